//! The step after the linker: renames and prunes exports, removes everything that only pruned
//! exports used, and merges equal functions.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use walrus::{Module, ModuleConfig};

use super::abi::Abi;
use super::merge::merge;

/// Whether functions keep their names. Names are a tenth of the module. With them the proxy's log
/// shows where a trap was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Kept,
    Dropped,
}

/// Rewrites a module to have exactly the exports of the list. Fails if an export is missing, or an
/// import is not on the list.
pub(crate) fn prune(bytes: &[u8], abi: &Abi, names: Names) -> Result<Vec<u8>> {
    let mut config = ModuleConfig::new();
    config.generate_name_section(names == Names::Kept);
    let mut module = config
        .parse(bytes)
        .map_err(|error| anyhow::anyhow!("not a wasm module: {error:#}"))?;
    for (from, to) in &abi.renames {
        rename(&mut module, from, to)?;
    }
    let dropped: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !abi.exports.contains(&export.name))
        .map(|export| export.id())
        .collect();
    for id in dropped {
        module.exports.delete(id);
    }
    check_exports(&module, abi)?;
    walrus::passes::gc::run(&mut module);
    check_imports(&module, abi)?;
    merge(module.emit_wasm(), names == Names::Kept)
}

fn rename(module: &mut Module, from: &str, to: &str) -> Result<()> {
    let find = |module: &Module, name: &str| {
        module
            .exports
            .iter()
            .find(|export| export.name == name)
            .map(|export| export.id())
    };
    let source = find(module, from).with_context(|| {
        format!("the module does not export {from:?}, which is to become {to:?}")
    })?;
    if let Some(replaced) = find(module, to) {
        module.exports.delete(replaced);
    }
    to.clone_into(&mut module.exports.get_mut(source).name);
    Ok(())
}

fn check_exports(module: &Module, abi: &Abi) -> Result<()> {
    let there: BTreeSet<&str> = module
        .exports
        .iter()
        .map(|export| export.name.as_str())
        .collect();
    let missing: Vec<_> = abi
        .exports
        .iter()
        .filter(|name| !there.contains(name.as_str()))
        .collect();
    if !missing.is_empty() {
        bail!("the module does not export {missing:?}, which filter/abi.json asks for");
    }
    Ok(())
}

fn check_imports(module: &Module, abi: &Abi) -> Result<()> {
    let foreign: Vec<_> = module
        .imports
        .iter()
        .filter(|import| !abi.imports.contains(&import.name))
        .map(|import| format!("{}.{}", import.module, import.name))
        .collect();
    if !foreign.is_empty() {
        bail!(
            "the module imports {foreign:?}, which filter/abi.json does not allow; a host without them refuses the module"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use walrus::{FunctionBuilder, ModuleConfig};

    /// Makes a module with one import, which only the export `spare` uses, and functions `old` and
    /// `new` that return 1 and 2.
    fn sample() -> Vec<u8> {
        let mut module = Module::with_config(ModuleConfig::new());
        let status = module.types.add(&[], &[walrus::ValType::I32]);
        let (import, _) = module.add_import_func("env", "proxy_spare", status);
        let mut spare = FunctionBuilder::new(&mut module.types, &[], &[walrus::ValType::I32]);
        spare.func_body().call(import);
        let spare = spare.finish(vec![], &mut module.funcs);
        module.exports.add("spare", spare);
        for (name, value) in [("old", 1), ("new", 2)] {
            let mut function =
                FunctionBuilder::new(&mut module.types, &[], &[walrus::ValType::I32]);
            function.func_body().i32_const(value);
            let function = function.finish(vec![], &mut module.funcs);
            module.exports.add(name, function);
        }
        module.emit_wasm()
    }

    fn abi(exports: &[&str], imports: &[&str], renames: &[(&str, &str)]) -> Abi {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let renames = renames
            .iter()
            .map(|&(from, to)| (from.to_owned(), to.to_owned()))
            .collect();
        Abi {
            exports: set(exports),
            pick_exports: BTreeSet::new(),
            imports: set(imports),
            renames,
        }
    }

    /// Returns the constant that the exported function returns.
    fn constant(bytes: &[u8], export: &str) -> i32 {
        let module = Module::from_buffer(bytes).unwrap();
        let function = module.exports.get_func(export).unwrap();
        let local = module.funcs.get(function).kind.unwrap_local();
        match &local.block(local.entry_block()).instrs[0].0 {
            walrus::ir::Instr::Const(constant) => match constant.value {
                walrus::ir::Value::I32(value) => value,
                _ => panic!("not an i32"),
            },
            other => panic!("not a constant: {other:?}"),
        }
    }

    #[test]
    fn a_renamed_export_takes_the_place_of_the_one_it_replaces() {
        let pruned = prune(
            &sample(),
            &abi(&["old"], &[], &[("new", "old")]),
            Names::Dropped,
        )
        .unwrap();
        assert_eq!(constant(&sample(), "old"), 1);
        assert_eq!(constant(&pruned, "old"), 2);
    }

    #[test]
    fn what_only_a_dropped_export_used_is_gone_with_its_import() {
        let pruned = prune(&sample(), &abi(&["old", "new"], &[], &[]), Names::Dropped).unwrap();
        let module = Module::from_buffer(&pruned).unwrap();
        assert_eq!(module.imports.iter().count(), 0);
        assert_eq!(module.funcs.iter().count(), 2);
    }

    #[test]
    fn a_foreign_import_and_a_missing_export_are_refused_by_name() {
        let kept = prune(
            &sample(),
            &abi(&["spare"], &["proxy_spare"], &[]),
            Names::Dropped,
        );
        assert!(kept.is_ok());
        let foreign = prune(
            &sample(),
            &abi(&["spare"], &["proxy_log"], &[]),
            Names::Dropped,
        )
        .unwrap_err()
        .to_string();
        assert!(foreign.contains("env.proxy_spare"), "{foreign}");
        let missing = prune(
            &sample(),
            &abi(&["old", "proxy_on_tick"], &[], &[]),
            Names::Dropped,
        )
        .unwrap_err()
        .to_string();
        assert!(missing.contains("proxy_on_tick"), "{missing}");
        let rename = prune(
            &sample(),
            &abi(&["old"], &[], &[("none", "old")]),
            Names::Dropped,
        )
        .unwrap_err()
        .to_string();
        assert!(rename.contains("none"), "{rename}");
    }
}
