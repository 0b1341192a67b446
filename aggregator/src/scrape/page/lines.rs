//! Reads the needed lines of a page.

use std::borrow::Cow;

/// How many lines with a needed name are read from one page. vLLM's list of adapters grows without
/// bound.
const MAX_LINES: usize = 16_384;
/// How many labels of one line are kept.
const MAX_LABELS: usize = 64;

/// Some programs begin UTF-8 text with this mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Page<'p> {
    /// The body.
    pub bytes: &'p [u8],
    /// Whether the bytes are known to be whole, by a length or by chunks. Otherwise a last line
    /// without a newline is left out, because half a number is a number too.
    pub complete: bool,
}

impl<'p> Page<'p> {
    /// Returns a page that is known to be whole.
    #[must_use]
    pub fn whole(bytes: &'p [u8]) -> Self {
        Self {
            bytes,
            complete: true,
        }
    }

    /// Returns the samples with a name for which `slot` has a slot, each with that slot.
    pub(crate) fn series(self, slot: impl Fn(&[u8]) -> Option<usize>) -> Vec<(usize, Series<'p>)> {
        let mut found = Vec::new();
        let mut rest = self
            .bytes
            .strip_prefix(BYTE_ORDER_MARK)
            .unwrap_or(self.bytes);
        let mut name = Vec::with_capacity(128);
        while !rest.is_empty() && found.len() < MAX_LINES {
            let (line, after) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => rest.split_at(end),
                None if self.complete => (rest, &[][..]),
                None => break,
            };
            rest = after.get(1..).unwrap_or_default();
            let line = line.trim_ascii();
            if line.first().is_none_or(|byte| *byte == b'#') {
                continue;
            }
            normalise(line, &mut name);
            if let Some(slot) = slot(&name)
                && let Some(series) = std::str::from_utf8(line).ok().and_then(Series::parse)
            {
                found.push((slot, series));
            }
        }
        found
    }
}

/// Writes the name of a line as it is looked up: without Ray's prefix, and with underscores for
/// colons, as OpenMetrics encoders write them. Exporters that support names in UTF-8 write the name
/// in quotes, first between the braces.
fn normalise(line: &[u8], name: &mut Vec<u8>) {
    let inside = line.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let (line, ends): (_, &[u8]) = match inside.and_then(|inside| inside.strip_prefix(b"\"")) {
        Some(quoted) => (quoted, b"\""),
        None => (line, b"{ \t"),
    };
    let end = line
        .iter()
        .position(|byte| ends.contains(byte))
        .unwrap_or(line.len());
    let raw = line.get(..end).unwrap_or_default();
    let raw = raw.strip_prefix(b"ray_").unwrap_or(raw);
    name.clear();
    name.extend(
        raw.iter()
            .map(|byte| if *byte == b':' { b'_' } else { *byte }),
    );
}

/// Names and values in the order of the line, with escapes resolved.
type Labels<'p> = Vec<(&'p str, Cow<'p, str>)>;

/// The labels and value of one line. Its slot stands for its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series<'p> {
    labels: Labels<'p>,
    pub(crate) value: f64,
}

impl<'p> Series<'p> {
    /// Reads a line of the text format or of OpenMetrics, without time stamp and exemplar. `None`:
    /// the line is not a sample.
    pub(crate) fn parse(line: &'p str) -> Option<Self> {
        let line = line.trim();
        let end = line.find(['{', ' ', '\t'])?;
        let (name, rest) = line.split_at(end);
        let (inside, rest) = match rest.trim_start().strip_prefix('{') {
            Some(inside) => Inside::read(inside)?,
            None => (Inside::default(), rest),
        };
        // The name stands in exactly one of the two places.
        if name.is_empty() != inside.has_name {
            return None;
        }
        let labels = inside.labels;
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { labels, value })
    }

    /// Returns the value of a label. An empty value counts as absent, as in Prometheus' data model.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| *label == name)
            .map(|(_, value)| value.as_ref())
            .filter(|value| !value.is_empty())
    }

    /// Returns all labels except `without`, sorted. They tell series of one name apart.
    pub(crate) fn identity(&self, without: &[&str]) -> Vec<(&'p str, &str)> {
        let others = self
            .labels
            .iter()
            .filter(|(label, _)| !without.contains(label));
        let mut identity: Vec<(&'p str, &str)> = others
            .map(|(label, value)| (*label, value.as_ref()))
            .collect();
        identity.sort_unstable();
        identity
    }
}

/// The text between the braces.
#[derive(Debug, Default)]
struct Inside<'p> {
    labels: Labels<'p>,
    /// Whether the metric's name is there, in quotes.
    has_name: bool,
}

impl<'p> Inside<'p> {
    /// Reads up to the closing brace. Returns also the text after it.
    fn read(mut rest: &'p str) -> Option<(Self, &'p str)> {
        let mut inside = Self::default();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return Some((inside, after));
            }
            let (name, after) = match rest.strip_prefix('"') {
                Some(quoted) => unquoted(quoted)?,
                None => {
                    let end = rest.find(['=', ',', '"', '}'])?;
                    let (name, after) = rest.split_at(end);
                    (name.trim_end(), after)
                }
            };
            let is_quoted = rest.starts_with('"');
            rest = match after.trim_start().strip_prefix('=') {
                Some(value) => {
                    let (value, after) = unquoted(value.trim_start().strip_prefix('"')?)?;
                    if inside.labels.len() < MAX_LABELS {
                        inside.labels.push((name, unescape(value)));
                    }
                    after
                }
                None if is_quoted && !inside.has_name => {
                    inside.has_name = true;
                    after
                }
                None => return None,
            };
            // A comma, a closing brace, or a comma before the closing brace.
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(after) => after,
                None if rest.starts_with('}') => rest,
                None => return None,
            };
        }
    }
}

/// Returns the text before the closing quote, and the text after it.
fn unquoted(text: &str) -> Option<(&str, &str)> {
    let (inside, after) = text.split_at(closing_quote(text)?);
    Some((inside, after.strip_prefix('"')?))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some(other @ ('\\' | '"')) => plain.push(other),
                Some(other) => plain.extend(['\\', other]),
                None => plain.push('\\'),
            },
            (other, false) => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_lines_of_all_dialects_are_read() {
        for (line, labels, value) in [
            ("a 1", vec![], 1.0),
            ("vllm:x{engine=\"0\"} 3.0", vec![("engine", "0")], 3.0),
            (
                "a{x=\"1\", y=\"2\",} 1.9392065536e+010",
                vec![("x", "1"), ("y", "2")],
                1.939_206_553_6e10,
            ),
            (
                "a{x=\"p,q}\"} 8.128902e+06 1700000000",
                vec![("x", "p,q}")],
                8_128_902.0,
            ),
            (r#"a{x="\"q\\\n"}-2"#, vec![("x", "\"q\\\n")], -2.0),
            (
                "  a \t { x = \"1\" }\t+Inf # {t=\"1\"} 1.0 123",
                vec![("x", "1")],
                f64::INFINITY,
            ),
            ("a{} 5", vec![], 5.0),
            ("{\"vllm:x\",engine=\"0\"} 3", vec![("engine", "0")], 3.0),
            (
                "{ \"a.b\" , \"pod.name\" = \"p\", x=\"}\" , } 4 1700",
                vec![("pod.name", "p"), ("x", "}")],
                4.0,
            ),
            ("{\"a\"} 5", vec![], 5.0),
        ] {
            let series = Series::parse(line).expect(line);
            assert_eq!(series.value.to_bits(), f64::to_bits(value), "{line}");
            let expected: Vec<(&str, Cow<'_, str>)> =
                labels.into_iter().map(|(l, v)| (l, Cow::from(v))).collect();
            assert_eq!(series.labels, expected, "{line}");
        }
        assert!(Series::parse("a NaN").expect("a sample").value.is_nan());
        assert!(Series::parse("a -nan").expect("a sample").value.is_nan());
    }

    #[test]
    fn anything_else_is_no_sample() {
        for line in [
            "",
            "a",
            "...",
            "a{",
            "a{x",
            "a{x=",
            "a{x=\"",
            "a{x=\"1",
            "a{x=\"1\"",
            "a{x=\"1\" y=\"2\"} 1",
            "a{x=1} 1",
            "a{x=\"1\"}",
            "a{x=\"1\"} x",
            "{x=\"1\"} 1",
            "{} 1",
            "{\"a\",\"b\"} 1",
            "a{\"b\"} 1",
            "{\"a\"",
            "{\"a} 1",
            "{a} 1",
            "a{x} 1",
            "a b",
        ] {
            assert_eq!(Series::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_without_its_end_counts_only_on_a_whole_page() {
        let slot = |name: &[u8]| (name == b"vllm_x").then_some(7);
        let values = |bytes: &[u8], complete| {
            Page { bytes, complete }
                .series(slot)
                .iter()
                .map(|(slot, series)| (*slot, series.value))
                .collect::<Vec<_>>()
        };
        let page = b"# TYPE vllm:x gauge\nother 5\n  vllm:x 1\r\nray_vllm:x 2\nvllm_x 12";
        assert_eq!(values(page, true), [(7, 1.0), (7, 2.0), (7, 12.0)]);
        assert_eq!(values(page, false), [(7, 1.0), (7, 2.0)]);
    }

    #[test]
    fn a_byte_order_mark_and_names_in_quotes_hide_nothing() {
        let slot = |name: &[u8]| (name == b"vllm_x").then_some(7);
        for page in [
            "\u{feff}vllm:x 1\n",
            "{\"vllm:x\"} 1\n",
            "\u{feff}{ \"ray_vllm_x\", a=\"b\" } 1\n",
        ] {
            let series = Page::whole(page.as_bytes()).series(slot);
            let values: Vec<f64> = series.iter().map(|(_, series)| series.value).collect();
            assert_eq!(values, [1.0], "{page}");
        }
        assert!(
            Page::whole(b"{\"vllm:xy\"} 1\n{vllm:x} 1\n{\n{\"")
                .series(slot)
                .is_empty()
        );
    }
}
