//! Measures what a decision, decoding and indexing cost in a VM (wasmtime, not V8), and natively.
//!
//! Times are the thread's CPU time. Rounds alternate between the two, and the results are medians,
//! because figures drift on a shared machine. Run it with `cargo xtask bench --bench vm`.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a benchmark stops at the first surprise"
)]

#[path = "../crates/loadtable/benches/vm/work.rs"]
mod work;

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::error::Context as _;
use wasmtime::{Config, Engine, Instance, Module, OptLevel, Result, Store, TypedFunc, ensure};
use work::Work;

const SIZES: [u32; 3] = [100, 1_000, 5_000];
const ROUNDS: usize = 40;
/// Least CPU time of one measurement, in microseconds.
const SPAN_US: f64 = 4_000.0;

/// A measured step: its name in the guest, the same natively, and the most microseconds that it may
/// take in the VM with 1,000 endpoints. Absent: no limit.
type Step = (&'static str, fn(&mut Work, u32) -> u32, Option<f64>);
const STEPS: [Step; 4] = [
    ("choose", Work::choose, Some(6.0)),
    ("decode", Work::decode, Some(150.0)),
    ("index", Work::index, None),
    ("index_anew", Work::index_anew, None),
];

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn load() -> Result<Self> {
        let path = std::env::var_os("TRIMTAB_VM_GUEST").context(
            "TRIMTAB_VM_GUEST does not say where the guest is: run `cargo xtask bench --bench vm`",
        )?;
        // As the tests and `trimtab proxy` run the filter.
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::Speed);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, std::fs::read(path)?)?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        Ok(Self { store, instance })
    }

    fn prepare(&mut self, endpoints: u32) -> Result<()> {
        let prepare = self
            .instance
            .get_typed_func::<u32, ()>(&mut self.store, "prepare")?;
        prepare.call(&mut self.store, endpoints)
    }

    fn step(&mut self, name: &str) -> Result<TypedFunc<u32, u32>> {
        self.instance.get_typed_func(&mut self.store, name)
    }
}

fn main() -> Result<()> {
    let mut guest = Guest::load()?;
    let mut missed = Vec::new();
    for endpoints in SIZES {
        guest.prepare(endpoints)?;
        let mut native = Work::new(endpoints);
        for (name, run, most_us) in STEPS {
            let in_vm = guest.step(name)?;
            ensure!(
                in_vm.call(&mut guest.store, 3)? == run(&mut native, 3),
                "{name}: the VM computes something else"
            );
            let times = repeats(|times| run(&mut native, times));
            let (mut vm_us, mut native_us) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                native_us.push(timed_us(times, |times| run(&mut native, times)));
                vm_us.push(timed_us(times, |times| {
                    in_vm
                        .call(&mut guest.store, times)
                        .expect("the guest returns")
                }));
            }
            let (vm_us, native_us) = (Quartiles::of(vm_us), Quartiles::of(native_us));
            println!(
                "{name:10} {endpoints:5} endpoints: {vm_us} in the VM, {native_us} native, x {:.2}",
                vm_us.median / native_us.median
            );
            if endpoints == 1_000 && most_us.is_some_and(|most_us| vm_us.median > most_us) {
                missed.push(format!(
                    "{name} {:.1} us, at most {most_us:?}",
                    vm_us.median
                ));
            }
        }
    }
    if !missed.is_empty() {
        println!("over the budget: {}", missed.join(", "));
    }
    Ok(())
}

/// Returns how often one measurement repeats the step, so that it takes at least [`SPAN_US`].
fn repeats(mut run: impl FnMut(u32) -> u32) -> u32 {
    let mut times = 1;
    while timed_us(times, &mut run) * f64::from(times) < SPAN_US {
        times *= 2;
    }
    times
}

/// Returns the CPU microseconds of one run out of `times`.
fn timed_us(times: u32, mut run: impl FnMut(u32) -> u32) -> f64 {
    let before = cpu_us();
    black_box(run(times));
    (cpu_us() - before) / f64::from(times)
}

/// Returns the CPU microseconds of this thread so far. Rejected: `/proc`, which the scheduler
/// updates only at its ticks.
fn cpu_us() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e6 + spent.tv_nsec as f64 / 1e3
}

struct Quartiles {
    low: f64,
    median: f64,
    high: f64,
}

impl Quartiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| values[values.len() * part / 4];
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}

impl std::fmt::Display for Quartiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { low, median, high } = self;
        write!(f, "{median:.2} us ({low:.2}-{high:.2})")
    }
}
