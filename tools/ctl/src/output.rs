//! What commands print: tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// Columns assumed where the terminal does not say, as in a pipe: nothing is wrapped there.
const WIDTH_UNLIMITED: u16 = 500;

/// Writes to standard output; a reader that went away ends the command quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Writes bytes to standard output as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Writes a remark to standard error. One that cannot be written is lost: it is not the output.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes one JSON document.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}"))
}

/// Writes anything that can be written as JSON.
pub(crate) fn print_as_json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_value(value)
        .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    print_json(&json)
}

/// A table with a header, as wide as the terminal.
#[derive(Debug)]
pub(crate) struct Grid {
    table: Table,
}

impl Grid {
    /// An empty table. A title that begins with `>` belongs to a column of numbers.
    pub(crate) fn new(titles: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(titles.iter().map(|title| title.trim_start_matches('>')));
        if !io::stdout().is_terminal() {
            table.set_width(WIDTH_UNLIMITED);
        }
        for (index, title) in titles.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                // Two spaces between columns, none before the first.
                column.set_padding((0, 2));
                if title.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { table }
    }

    /// Adds a row. Control characters, which may come from a peer, are shown as `·`.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.table.add_row(cells.map(|cell| clean(&cell)));
    }

    /// Writes it, or what to say when it has no rows.
    pub(crate) fn print(&self, if_empty: &str) -> Result<(), Failure> {
        if self.table.is_empty() {
            return print(if_empty);
        }
        print(&self.table.trim_fmt())
    }
}

/// Text that cannot steer the terminal.
pub(crate) fn clean(text: &str) -> String {
    let harmless = |character: char| {
        if character.is_control() {
            '·'
        } else {
            character
        }
    };
    text.chars().map(harmless).collect()
}

/// `-` for what is not known.
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| "-".to_owned())
}

/// A tree of values as indented lines, for replies whose shape is the server's affair.
pub(crate) fn outline(value: &Value) -> String {
    let mut lines = String::new();
    outline_into(value, 0, &mut lines);
    lines
}

fn outline_into(value: &Value, depth: usize, lines: &mut String) {
    let indent = "  ".repeat(depth);
    let mut entry = |name: &str, value: &Value| {
        if is_leaf(value) {
            lines.push_str(&format!("{indent}{}: {}\n", clean(name), leaf(value)));
        } else {
            lines.push_str(&format!("{indent}{}:\n", clean(name)));
            outline_into(value, depth + 1, lines);
        }
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(name, value)| entry(name, value)),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .for_each(|(index, value)| entry(&format!("[{index}]"), value)),
        other => lines.push_str(&format!("{indent}{}\n", leaf(other))),
    }
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.is_empty(),
        Value::Array(values) => values.iter().all(|it| !it.is_object() && !it.is_array()),
        _ => true,
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Array(values) => values.iter().map(leaf).collect::<Vec<_>>().join(", "),
        Value::Object(_) => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outlines_nested_replies() {
        let reply = json!({"a": {"b": [1, 2], "c": [{"d": "x\u{1b}"}]}, "e": {}});
        assert_eq!(
            outline(&reply),
            "a:\n  b: 1, 2\n  c:\n    [0]:\n      d: x·\ne: \n"
        );
    }
}
