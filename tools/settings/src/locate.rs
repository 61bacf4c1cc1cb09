//! From a key such as `relay.ports` to its line in the file, and back.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where each key and value of a file stands, as byte ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// With dots and, in arrays, an index: `relay.ports`, `sip_proxy.listen[1]`.
    key: String,
    /// The key's own text; for an element of an array, its value.
    name: Range<usize>,
    value: Range<usize>,
}

impl Spans {
    /// Reads the positions of all keys. What cannot be parsed has none.
    pub(crate) fn parse(text: &str) -> Self {
        let (table, _errors) = DeTable::parse_recoverable(text);
        let mut spans = Self::default();
        spans.add_table("", table.get_ref());
        spans
    }

    fn add_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = match prefix {
                "" => name.get_ref().to_string(),
                prefix => format!("{prefix}.{}", name.get_ref()),
            };
            self.add(key, name.span(), value);
        }
    }

    fn add(&mut self, key: String, name: Range<usize>, value: &Spanned<DeValue<'_>>) {
        self.entries.push(Entry {
            key: key.clone(),
            name,
            value: value.span(),
        });
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(&key, table),
            DeValue::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.add(format!("{key}[{index}]"), element.span(), element);
                }
            }
            _ => {}
        }
    }

    /// Where `key` stands; if it is an element or a key that the file does not have, where the
    /// nearest thing around it stands.
    pub(crate) fn find(&self, key: &str) -> Option<Range<usize>> {
        let mut key = key;
        loop {
            if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
                return Some(entry.name.clone());
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// The innermost key whose name or value holds `span`.
    pub(crate) fn key_at(&self, span: &Range<usize>) -> Option<&str> {
        let holds = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
        self.entries
            .iter()
            .filter(|entry| holds(&entry.name) || holds(&entry.value))
            .max_by_key(|entry| (entry.key.len(), entry.name.start))
            .map(|entry| entry.key.as_str())
    }
}

/// Line and column of a byte, both counted from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..floor_char_boundary(text, offset)];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[line_start..].chars().count() + 1)
}

/// The line that `span` begins on, with the span underlined.
pub(crate) fn excerpt(text: &str, span: &Range<usize>) -> String {
    let (line, column) = line_and_column(text, span.start);
    let content = text.lines().nth(line - 1).unwrap_or_default();
    let in_span = text.get(span.clone()).unwrap_or_default();
    let width = in_span.lines().next().unwrap_or_default().chars().count();
    let content: String = content.chars().map(without_control).collect();
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(column - 1);
    let marks = "^".repeat(width.max(1));
    format!("{margin} |\n{number} | {content}\n{margin} | {indent}{marks}")
}

/// One column for one character, whatever the file holds.
fn without_control(character: char) -> char {
    if character.is_control() {
        ' '
    } else {
        character
    }
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[relay]\nports = [\n  1,\n  2,\n]\n\n[sip_proxy]\n  domains = [\"ä\", \"b\"]\n";

    fn line_of(key: &str) -> Option<usize> {
        let span = Spans::parse(TEXT).find(key)?;
        Some(line_and_column(TEXT, span.start).0)
    }

    #[test]
    fn finds_keys_elements_and_what_surrounds_missing_ones() {
        assert_eq!(line_of("relay"), Some(1));
        assert_eq!(line_of("relay.ports"), Some(2));
        assert_eq!(line_of("relay.ports[1]"), Some(4));
        assert_eq!(
            line_of("relay.ports[7]"),
            Some(2),
            "falls back to the array"
        );
        assert_eq!(line_of("relay.workers"), Some(1), "falls back to the table");
        assert_eq!(line_of("sip_proxy.domains"), Some(8));
        assert_eq!(line_of("control.listen"), None);
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let span = Spans::parse(TEXT).find("sip_proxy.domains[1]").unwrap();
        assert_eq!(line_and_column(TEXT, span.start), (8, 19));
    }

    #[test]
    fn underlines_what_is_meant() {
        let span = Spans::parse(TEXT).find("sip_proxy.domains").unwrap();
        assert_eq!(
            excerpt(TEXT, &span),
            "  |\n8 |   domains = [\"ä\", \"b\"]\n  |   ^^^^^^^"
        );
    }
}
