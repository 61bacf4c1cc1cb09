//! What docs/ng.md says is there is there, and nothing that it says is not.

use crate::{Dictionary, Flag, Request, RequestError, Value, Word};

const MANUAL: &str = include_str!("../../../../../docs/ng.md");

/// The cells of the table below a heading.
pub(super) fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = MANUAL.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim));
    let rows: Vec<Vec<_>> = rows.map(Iterator::collect).collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows
}

pub(super) fn name(cell: &'static str) -> &'static str {
    cell.trim_matches('`')
}

pub(super) fn is_there(cell: &str) -> bool {
    assert!(["yes", "no"].contains(&cell), "{cell}");
    cell == "yes"
}

/// A request with all that any command needs.
pub(super) fn whole(command: &'static str) -> Dictionary<'static> {
    let keys = ["call-id", "from-tag", "to-tag", "sdp", "body"];
    let start = Dictionary::new().with("command", command);
    keys.iter().fold(start, |all, key| all.with(key, "v=0"))
}

/// How many words of a request are not acted on.
fn unheeded(dictionary: Dictionary<'_>) -> u32 {
    let document = Value::from(dictionary);
    Request::parse(&document).unwrap().unheeded.count
}

#[test]
fn commands_are_there_or_unsupported_as_the_manual_says() {
    for row in table("Commands") {
        let document = Value::from(whole(name(row[0])));
        match Request::parse(&document) {
            Ok(request) => {
                let written = request.command.name();
                assert_eq!(written, Some(name(row[0])));
                assert!(is_there(row[1]), "{}", row[0]);
            }
            Err(error) => {
                assert_eq!(error, RequestError::Unsupported, "{}", row[0]);
                assert!(!is_there(row[1]), "{}", row[0]);
            }
        }
    }
}

#[test]
fn keys_are_understood_or_counted_as_the_manual_says() {
    for row in table("Keys") {
        let (key, example) = (name(row[0]), row[2]);
        let mut dictionary = whole("offer");
        if example == "dictionary" {
            let inner = Dictionary::new().with("strip", "x");
            let inner = if key == "codec" {
                inner
            } else {
                Dictionary::new()
            };
            dictionary.push(key.as_bytes(), inner);
        } else if example == "list" {
            let row = Dictionary::new().with("from", "x").with("type", "x");
            dictionary.push(key.as_bytes(), vec![Value::from(row)]);
        } else {
            dictionary.push(key.as_bytes(), name(example));
        }
        assert_eq!(unheeded(dictionary) == 0, is_there(row[1]), "{key}");
    }
}

#[test]
fn flags_are_understood_or_counted_as_the_manual_says() {
    let rows = table("Flags");
    for row in &rows {
        let flag = name(row[0]);
        let dictionary = whole("offer").with("flags", vec![Value::from(flag)]);
        assert_eq!(unheeded(dictionary) == 0, is_there(row[1]), "{flag}");
    }
    for flag in Flag::ALL {
        let is_told = |row: &&Vec<&'static str>| Flag::find(name(row[0]).as_bytes()) == Some(*flag);
        assert!(
            rows.iter().any(|row| is_told(&row)),
            "{flag:?} is not in the manual"
        );
    }
}
