//! The `trimtab` program; see [`trimtab::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    trimtab::cli::main()
}
