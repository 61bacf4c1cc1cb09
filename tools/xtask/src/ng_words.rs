//! The table of ng in README.md: each command, key and flag, by what becomes of it. It is made from
//! the tables of docs/ng.md, which a test of `control-ng` holds against the code.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::tree;

const PAGE: &str = "README.md";
const MANUAL: &str = "docs/ng.md";

/// What stands around the table in the page.
const BEGIN: &str = "<!-- Written by `cargo xtask docs` from docs/ng.md. -->\n";
const END: &str = "<!-- As far as here. -->\n";

/// How remarks of the manual begin on words that make no difference yet.
const NOT_DONE: &str = "understood, but not done";

/// Headings of the manual's tables, and what they are called in the page.
const TABLES: [(&str, &str); 3] = [
    ("Commands", "commands"),
    ("Keys", "keys"),
    ("Flags", "flags"),
];

/// The page with its table as the manual has it.
pub(crate) fn page() -> Result<(&'static str, String)> {
    let read = |path: &'static str| fs::read_to_string(tree::root().join(path)).context(path);
    let text = with_table(&read(PAGE)?, &table(&read(MANUAL)?));
    Ok((
        PAGE,
        text.context("README.md has no place for the table of ng")?,
    ))
}

fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// Words by whether they are done.
fn table(manual: &str) -> String {
    let mut text = "| | done | not done |\n| --- | --- | --- |\n".to_owned();
    for (heading, name) in TABLES {
        let rows = rows(manual, heading);
        let cell = |is_wanted: bool| {
            let words = rows.iter().filter(|(_, is_done)| *is_done == is_wanted);
            let words: Vec<&str> = words.map(|(word, _)| *word).collect();
            words.join(" ")
        };
        let _ = writeln!(text, "| {name} | {} | {} |", cell(true), cell(false));
    }
    text
}

/// The words of a table of the manual, as they are written there, and whether they are done.
fn rows<'a>(manual: &'a str, heading: &str) -> Vec<(&'a str, bool)> {
    let section = manual.split_once(&format!("\n## {heading}\n"));
    let section = section.map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &'a str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let (word, is_there) = (cells.next()?, cells.next()? == "yes");
        Some((
            word,
            is_there && !cells.any(|cell| cell.starts_with(NOT_DONE)),
        ))
    };
    lines.filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# ng\n\n## Commands\n\n| command | there |\n| --- | --- |\n\
        | `ping` | yes | `pong` |\n| `mesh` | no | |\n\n## Keys\n\n| `sdp` | yes | `x` | |\n\n\
        ## Flags\n\n| `fast` | yes | |\n| `reuse codecs` | yes | understood, but not done: so |\n";

    #[test]
    fn each_word_stands_under_whether_it_is_done() {
        let expected = "| | done | not done |\n| --- | --- | --- |\n\
            | commands | `ping` | `mesh` |\n| keys | `sdp` |  |\n\
            | flags | `fast` | `reuse codecs` |\n";
        assert_eq!(table(SAMPLE), expected);
    }

    #[test]
    fn only_the_table_of_the_page_is_written_over() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let written = with_table(&page, "new\n").unwrap();
        assert_eq!(written, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(with_table("no place", "new\n"), None);
    }

    #[test]
    fn every_row_of_the_manual_is_in_the_page() {
        let manual = fs::read_to_string(tree::root().join(MANUAL)).unwrap();
        let (_, page) = page().unwrap();
        for (heading, least) in [("Commands", 25), ("Keys", 40), ("Flags", 45)] {
            let rows = rows(&manual, heading);
            assert!(rows.len() >= least, "{heading}: {}", rows.len());
            for (word, _) in rows {
                assert!(page.contains(word), "{word}");
            }
        }
    }
}
