//! `filter/abi.json`: the imports and exports of the module.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The committed list. The SDK exports all callbacks, and Envoy calls every one that a module
/// exports, used or not (about 10 us per request for the response callbacks). So the list says
/// which ones stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Abi {
    /// Exports of the finished module, by their final names. It has exactly these.
    pub(crate) exports: BTreeSet<String>,
    /// Exports that the role pick needs. Others would only cost time with each request there.
    pub(crate) pick_exports: BTreeSet<String>,
    /// Exports that replace another one, as `(from, to)`. The export `to` is dropped, and `from`
    /// gets its name.
    pub(crate) renames: Vec<(String, String)>,
    /// Functions that the module may import, from any module that the ABI version names (`env`,
    /// `wasi_...`).
    pub(crate) imports: BTreeSet<String>,
}

impl Abi {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not understood", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let object = value.as_object().context("want an object")?;
        for key in object.keys() {
            if !["exports", "pick_exports", "rename_exports", "imports"].contains(&key.as_str()) {
                bail!(
                    "unknown field {key:?}; known are exports, pick_exports, rename_exports, imports"
                );
            }
        }
        let renames = value["rename_exports"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let renames = renames.iter().map(|rename| {
            let text = |key: &str| {
                rename[key]
                    .as_str()
                    .map(str::to_owned)
                    .with_context(|| format!("rename_exports: {rename} has no text {key:?}"))
            };
            Ok((text("from")?, text("to")?))
        });
        Ok(Self {
            exports: names(&value, "exports")?,
            pick_exports: names(&value, "pick_exports")?,
            renames: renames.collect::<Result<_>>()?,
            imports: names(&value, "imports")?,
        })
    }
}

fn names(value: &Value, field: &str) -> Result<BTreeSet<String>> {
    let list = value[field]
        .as_array()
        .with_context(|| format!("{field}: want a list of names"))?;
    list.iter()
        .map(|name| {
            name.as_str()
                .map(str::to_owned)
                .with_context(|| format!("{field}: {name} is not a text"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_with_its_renames() {
        let abi = Abi::parse(r#"{"exports": ["memory", "b"], "pick_exports": ["b"], "rename_exports": [{"from": "a", "to": "b"}], "imports": ["proxy_log"]}"#).unwrap();
        assert_eq!(
            abi.exports,
            BTreeSet::from(["b".to_owned(), "memory".to_owned()])
        );
        assert_eq!(abi.pick_exports, BTreeSet::from(["b".to_owned()]));
        assert_eq!(abi.renames, [("a".to_owned(), "b".to_owned())]);
        assert_eq!(abi.imports, BTreeSet::from(["proxy_log".to_owned()]));
    }

    #[test]
    fn a_misspelt_or_incomplete_list_is_refused_and_named() {
        for (text, named) in [
            (r#"{"exports": [], "imports": [], "import": []}"#, "import"),
            (r#"{"exports": []}"#, "pick_exports"),
            (r#"{"exports": [], "pick_exports": []}"#, "imports"),
            (r#"{"exports": [1], "imports": []}"#, "exports"),
            (
                r#"{"exports": [], "pick_exports": [], "imports": [], "rename_exports": [{"from": "a"}]}"#,
                "to",
            ),
        ] {
            let error = format!("{:#}", Abi::parse(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
