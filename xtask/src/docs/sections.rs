//! The generated sections of documents that people write. A section stands between two comments,
//! which readers do not see: `<!-- generated: NAME -->` and `<!-- end -->`.

use anyhow::{Context as _, Result, bail};

const BEGIN: (&str, &str) = ("<!-- generated: ", " -->\n");
const END: &str = "<!-- end -->";

/// Replaces the contents of all sections of a document.
///
/// - `sections`: names and contents.
///
/// # Errors
/// The document lacks one of them, has one that is none of them, or leaves one open.
pub(super) fn replaced(document: &str, sections: &[(&str, String)]) -> Result<String> {
    let mut out = String::with_capacity(document.len());
    let mut rest = document;
    let mut found = Vec::new();
    while let Some((before, after)) = rest.split_once(BEGIN.0) {
        let (name, after) = after
            .split_once(BEGIN.1)
            .context("the comment before a generated section is not closed")?;
        let (_, end) = after
            .split_once(END)
            .with_context(|| format!("the generated section {name} has no {END}"))?;
        let (_, content) = sections
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("nothing generates the section {name}"))?;
        out.extend([
            before,
            BEGIN.0,
            name,
            BEGIN.1,
            content.trim_end(),
            "\n",
            END,
        ]);
        found.push(name);
        rest = end;
    }
    out.push_str(rest);
    for (name, _) in sections {
        if !found.contains(name) {
            bail!(
                "there is no section {name}: put {}{name} --> and {END} where it belongs",
                BEGIN.0
            );
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a\n<!-- generated: x -->\nold\n\nolder\n<!-- end -->\nb\n<!-- generated: y -->\n<!-- end -->\n";

    #[test]
    fn contents_are_replaced_and_what_people_wrote_stays() {
        let sections = [("y", "2\n".to_owned()), ("x", "1\n".to_owned())];
        let replaced = replaced(TEXT, &sections).unwrap();
        let expected = "a\n<!-- generated: x -->\n1\n<!-- end -->\nb\n<!-- generated: y -->\n2\n<!-- end -->\n";
        assert_eq!(replaced, expected);
        assert_eq!(super::replaced(&replaced, &sections).unwrap(), replaced);
    }

    #[test]
    fn a_section_that_is_missing_unknown_or_open_is_told() {
        let told = |text: &str, names: &[&'static str]| {
            let sections: Vec<_> = names.iter().map(|name| (*name, String::new())).collect();
            replaced(text, &sections).unwrap_err().to_string()
        };
        assert!(told(TEXT, &["x", "y", "z"]).contains("no section z"));
        assert!(told(TEXT, &["x"]).contains("generates the section y"));
        let open = TEXT.trim_end().trim_end_matches(END);
        assert!(told(open, &["x", "y"]).contains("section y has no"));
    }
}
