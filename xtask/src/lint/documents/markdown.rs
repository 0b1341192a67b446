//! Finds the code spans and links of a document, with their lines. In tables also the heading of
//! their column.

/// A code span or the target of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Line of the document, from 1.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) kind: Kind,
    /// Heading of the table's column, in lower case. Empty outside of tables.
    pub(super) column: String,
    /// The text before the span in the same cell or paragraph.
    pub(super) before: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Link,
}

/// Returns all spans of a document. Fenced blocks are left out, because they show commands and
/// pictures.
pub(super) fn spans(text: &str) -> Vec<Span> {
    let mut reader = Reader::default();
    let mut is_fenced = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            is_fenced = !is_fenced;
            reader.end_paragraph();
        } else if !is_fenced && trimmed.starts_with('|') {
            reader.row(trimmed, index + 1);
        } else if !is_fenced {
            reader.text(line, index + 1);
        }
    }
    reader.end_paragraph();
    reader.spans
}

#[derive(Default)]
struct Reader {
    spans: Vec<Span>,
    /// Headings of the table's columns. Empty outside of tables.
    columns: Vec<String>,
    paragraph: String,
    paragraph_line: usize,
}

impl Reader {
    /// Reads a line outside of tables. A code span may continue on the next line.
    fn text(&mut self, line: &str, number: usize) {
        self.columns.clear();
        if line.trim().is_empty() {
            return self.end_paragraph();
        }
        if self.paragraph.is_empty() {
            self.paragraph_line = number;
        }
        self.paragraph.push_str(line);
        self.paragraph.push('\n');
    }

    fn end_paragraph(&mut self) {
        let text = std::mem::take(&mut self.paragraph);
        self.scan(&text, self.paragraph_line, "");
    }

    fn row(&mut self, line: &str, number: usize) {
        self.end_paragraph();
        let cells = cells(line);
        if self.columns.is_empty() {
            self.columns = cells
                .iter()
                .map(|cell| cell.trim().to_lowercase())
                .collect();
            return;
        }
        for (index, cell) in cells.iter().enumerate() {
            let column = self.columns.get(index).cloned().unwrap_or_default();
            self.scan(cell, number, &column);
        }
    }

    fn scan(&mut self, text: &str, first_line: usize, column: &str) {
        let mut at = 0;
        while let Some(next) = text.get(at..).and_then(|rest| rest.find(['`', ']'])) {
            let start = at + next;
            let rest = text.get(start..).unwrap_or_default();
            let found = if rest.starts_with('`') {
                code(rest)
            } else {
                link(rest)
            };
            let Some((inner, length, kind)) = found else {
                at = start + 1;
                continue;
            };
            let before = text.get(..start).unwrap_or_default();
            self.spans.push(Span {
                line: first_line + before.matches('\n').count(),
                text: inner.replace('\n', " "),
                kind,
                column: column.to_owned(),
                before: before.to_owned(),
            });
            at = start + length;
        }
    }
}

/// Returns the code span at the beginning of `text`, and its length in bytes.
fn code(text: &str) -> Option<(&str, usize, Kind)> {
    let ticks = text.len() - text.trim_start_matches('`').len();
    let (fence, rest) = text.split_at_checked(ticks)?;
    let end = rest.find(fence)?;
    Some((rest.get(..end)?.trim(), end + 2 * ticks, Kind::Code))
}

/// Returns the target of a link. `text` begins where the text of the link ends.
fn link(text: &str) -> Option<(&str, usize, Kind)> {
    let target = text.strip_prefix("](")?;
    let end = target.find(')')?;
    Some((target.get(..end)?, end + 3, Kind::Link))
}

/// Returns the cells of a table's row. A bar within a code span separates nothing.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut is_code) = (vec![String::new()], false);
    for char in line.trim().trim_matches('|').chars() {
        match (char, cells.last_mut()) {
            ('|', _) if !is_code => cells.push(String::new()),
            (_, Some(cell)) => {
                is_code ^= char == '`';
                cell.push(char);
            }
            (_, None) => {}
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String, Kind, String)> {
        let all = spans(text).into_iter();
        all.map(|span| (span.line, span.text, span.kind, span.column))
            .collect()
    }

    #[test]
    fn spans_come_with_line_kind_and_column() {
        let text = "# A `head`\n\nOne `two\nthree` and [four](five.md).\n```sh\n`not this`\n```\n| what | Held by |\n|---|---|\n| `a|b` | x; `c` |\n";
        let none = String::new();
        assert_eq!(
            found(text),
            [
                (1, "head".to_owned(), Kind::Code, none.clone()),
                (3, "two three".to_owned(), Kind::Code, none.clone()),
                (4, "five.md".to_owned(), Kind::Link, none),
                (10, "a|b".to_owned(), Kind::Code, "what".to_owned()),
                (10, "c".to_owned(), Kind::Code, "held by".to_owned()),
            ]
        );
        assert_eq!(
            spans(text).pop().map(|span| span.before).as_deref(),
            Some(" x; ")
        );
    }

    #[test]
    fn what_is_not_closed_is_no_span() {
        assert_eq!(found("a ` b\n\nc ](d\n"), []);
        assert_eq!(
            found("``a ` b`` c"),
            [(1, "a ` b".to_owned(), Kind::Code, String::new())]
        );
    }
}
