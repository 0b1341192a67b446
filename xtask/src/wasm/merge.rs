//! Merges functions with the same code. The compiler leaves copies of generic code for types with
//! the same layout, and may not merge them by itself. Merging is safe here, because nothing
//! compares pointers to functions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow};
use walrus::ir::{VisitorMut, dfs_pre_order_mut};
use walrus::{ConstExpr, ElementItems, FunctionId, Module, ModuleConfig};
use wasmparser::{Parser, Payload, TypeRef};

/// Merges until nothing more can be merged: merged functions can make their callers equal. Exports
/// stay.
pub(super) fn merge(mut bytes: Vec<u8>, names: bool) -> Result<Vec<u8>> {
    let mut before = usize::MAX;
    loop {
        let alike = alike(&bytes)?;
        let (mut module, ids) = parse(&bytes, names)?;
        if ids.len() >= before {
            return Ok(bytes);
        }
        before = ids.len();
        let id = |index: &u32| ids.get(*index as usize).copied();
        let kept = alike
            .iter()
            .filter_map(|(copy, kept)| Some((id(copy)?, id(kept)?)));
        redirect(&mut module, &Redirect(kept.collect()));
        walrus::passes::gc::run(&mut module);
        bytes = module.emit_wasm();
    }
}

/// Returns the index of each function that is a copy, with the index of the function that is kept.
fn alike(bytes: &[u8]) -> Result<Vec<(u32, u32)>> {
    let (mut imported, mut types, mut bodies) = (0, Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.context("not a wasm module")? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(section) => {
                types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.as_bytes()),
            _ => {}
        }
    }
    let mut first = HashMap::new();
    let mut alike = Vec::new();
    for (function, index) in types.iter().zip(&bodies).zip(imported..) {
        let kept = *first.entry(function).or_insert(index);
        if kept != index {
            alike.push((index, kept));
        }
    }
    Ok(alike)
}

/// Returns the module, and its functions by index.
fn parse(bytes: &[u8], names: bool) -> Result<(Module, Vec<FunctionId>)> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let mut config = ModuleConfig::new();
    config.generate_name_section(names);
    let into = Arc::clone(&found);
    config.on_parse(move |module, indices| {
        let count = u32::try_from(module.funcs.iter().count())?;
        let ids = (0..count)
            .map(|index| indices.get_func(index))
            .collect::<Result<Vec<_>, _>>()?;
        if let Ok(mut into) = into.lock() {
            *into = ids;
        }
        Ok(())
    });
    let module = config
        .parse(bytes)
        .map_err(|error| anyhow!("not a wasm module: {error:#}"))?;
    let ids = found
        .lock()
        .map_err(|_| anyhow!("the parser panicked"))?
        .clone();
    Ok((module, ids))
}

struct Redirect(HashMap<FunctionId, FunctionId>);

impl Redirect {
    fn of(&self, id: &mut FunctionId) {
        *id = self.0.get(id).copied().unwrap_or(*id);
    }
}

impl VisitorMut for &Redirect {
    fn visit_function_id_mut(&mut self, id: &mut FunctionId) {
        self.of(id);
    }
}

/// Redirects all calls of copies and references to them. An export keeps its own function.
fn redirect(module: &mut Module, to: &Redirect) {
    for (_, function) in module.funcs.iter_local_mut() {
        let start = function.entry_block();
        dfs_pre_order_mut(&mut &*to, function, start);
    }
    for element in module.elements.iter_mut() {
        match &mut element.items {
            ElementItems::Functions(ids) => ids.iter_mut().for_each(|id| to.of(id)),
            ElementItems::Expressions(_, expressions) => {
                for expression in expressions {
                    if let ConstExpr::RefFunc(id) = expression {
                        to.of(id);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use walrus::{FunctionBuilder, ValType};

    /// Makes a module with one export per value. Each export calls functions of its own.
    fn sample(values: &[i32]) -> Vec<u8> {
        let mut module = Module::with_config(ModuleConfig::new());
        for value in values {
            let mut inner = FunctionBuilder::new(&mut module.types, &[], &[ValType::I32]);
            inner.func_body().i32_const(*value);
            let inner = inner.finish(vec![], &mut module.funcs);
            let mut outer = FunctionBuilder::new(&mut module.types, &[], &[ValType::I32]);
            outer
                .func_body()
                .call(inner)
                .i32_const(1)
                .binop(walrus::ir::BinaryOp::I32Add);
            let outer = outer.finish(vec![], &mut module.funcs);
            let mut top = FunctionBuilder::new(&mut module.types, &[], &[ValType::I32]);
            top.func_body()
                .call(outer)
                .i32_const(*value)
                .binop(walrus::ir::BinaryOp::I32Mul);
            let top = top.finish(vec![], &mut module.funcs);
            module
                .exports
                .add(&format!("f{}", module.exports.iter().count()), top);
        }
        module.emit_wasm()
    }

    fn functions(bytes: &[u8]) -> usize {
        Module::from_buffer(bytes).unwrap().funcs.iter().count()
    }

    #[test]
    fn what_is_alike_becomes_one_and_so_do_then_its_callers() {
        let merged = merge(sample(&[7, 7, 8]), false).unwrap();
        let module = Module::from_buffer(&merged).unwrap();
        assert_eq!(module.exports.iter().count(), 3);
        // The 7s share a value and its caller. Their two exports stay, or become one. The 8 has
        // three functions.
        assert!(functions(&merged) <= 7, "{}", functions(&merged));
        assert_eq!(merge(merged.clone(), false).unwrap(), merged);
    }

    #[test]
    fn what_differs_stays() {
        let bytes = sample(&[7, 8]);
        assert_eq!(
            functions(&merge(bytes.clone(), false).unwrap()),
            functions(&bytes)
        );
    }
}
