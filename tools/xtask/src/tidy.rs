//! Documents against the code, and the code against a few habits.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::markdown::{anchors, code, links};
use crate::{docs, tree};

/// Where the paths of a packet, an ng request and a SIP request are told.
const ARCHITECTURE: &str = "docs/architecture.md";

/// A longer file probably holds a second idea.
const LINES_MAX: usize = 800;

/// Words that mean unfinished, put together here so that this file has none of them.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
];

/// Runs all checks and reports every fault.
pub(crate) fn run() -> Result<()> {
    let files = tree::files()?;
    let mut faults = docs::stale();
    faults.extend(unused_dependencies(&files)?);
    for path in &files {
        let Some(text) = tree::text(path)? else {
            continue;
        };
        faults.extend(word_faults(path, &text));
        match path.extension().and_then(|it| it.to_str()) {
            Some("md") => faults.extend(link_faults(path, &text)),
            Some("rs") => report_length(path, &text),
            _ => {}
        }
        if path == Path::new(ARCHITECTURE) {
            faults.extend(station_faults(&text, &files)?);
        }
    }
    if !faults.is_empty() {
        bail!("tidy:\n  {}", faults.join("\n  "));
    }
    println!("tidy: {} files are", files.len());
    Ok(())
}

/// Words that must not be committed, and paths of the machine that it was written on.
fn word_faults(path: &Path, text: &str) -> Vec<String> {
    let root = tree::root().display().to_string();
    let home = env::var("HOME").unwrap_or_default();
    let places = [root, home]
        .into_iter()
        .filter(|it| it.len() > 1)
        .map(|it| it + "/");
    let unfinished = UNFINISHED.into_iter().map(str::to_owned);
    let banned: Vec<String> = places.chain(unfinished).collect();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for word in banned.iter().filter(|word| line.contains(word.as_str())) {
            faults.push(format!(
                "{}:{number}: {word:?} must not stay",
                path.display()
            ));
        }
    }
    faults
}

fn report_length(path: &Path, text: &str) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        println!(
            "note: {} has {lines} lines; is there a second idea in it?",
            path.display()
        );
    }
}

/// Links to files or headings that are not there.
fn link_faults(page: &Path, text: &str) -> Vec<String> {
    let folder = tree::root().join(page.parent().unwrap_or(page));
    let fault = |link: &crate::markdown::Link<'_>| {
        let target = match link.path {
            "" => tree::root().join(page),
            path => folder.join(path),
        };
        let at = format!("{}:{}", page.display(), link.line);
        if !target.exists() {
            return Some(format!("{at}: {} is not there", link.path));
        }
        let anchor = link.anchor?;
        let is_page = target.extension().is_some_and(|it| it == "md");
        let headings = anchors(&fs::read_to_string(&target).unwrap_or_default());
        (is_page && !headings.iter().any(|it| it == anchor))
            .then(|| format!("{at}: {} has no heading #{anchor}", target.display()))
    };
    links(text).iter().filter_map(fault).collect()
}

/// Functions that the path tables name but the code does not have.
///
/// In a cell, a file in backticks is followed by what is found in it:
/// `` `relay/src/worker.rs` `run` → `io.rs` `wait` ``. A file without a folder is near the last
/// one with a folder.
fn station_faults(text: &str, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let rows = (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.starts_with('|'));
    for (number, row) in rows {
        for cell in row.split('|') {
            faults.extend(
                cell_faults(cell, files)?
                    .into_iter()
                    .map(|fault| format!("{ARCHITECTURE}:{number}: {fault}")),
            );
        }
    }
    Ok(faults)
}

fn cell_faults(cell: &str, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut current: Option<PathBuf> = None;
    for token in code(cell) {
        if token.ends_with(".rs") {
            let found = resolve(token, current.as_deref(), files);
            if found.is_none() {
                faults.push(format!("{token} is not there"));
            }
            current = found;
        } else if let Some(path) = current.as_deref()
            && is_name(token)
            && !defines(&tree::text(path)?.unwrap_or_default(), token)
        {
            faults.push(format!("{} has no {token}", path.display()));
        }
    }
    Ok(faults)
}

fn resolve(token: &str, current: Option<&Path>, files: &[PathBuf]) -> Option<PathBuf> {
    let exact = files.iter().find(|path| path.as_path() == Path::new(token));
    let crate_of = |path: &Path| {
        let text = path.to_string_lossy().into_owned();
        text.split_once("/src/")
            .map(|(crate_, _)| crate_.to_owned())
    };
    // Without a file before it, any of that name will do: "`limits.rs` of each crate".
    let home = current.and_then(crate_of);
    let near = || {
        files.iter().find(|path| {
            (home.is_none() || crate_of(path) == home) && path.ends_with(Path::new(token))
        })
    };
    exact.or_else(near).cloned()
}

/// A function or type, such as `run` or `Relay::handle_packet`, and not a phrase.
fn is_name(token: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
            && part
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || it == '_')
    };
    token.split("::").all(is_part)
}

/// Whether the last part of a name is defined in the text, and the first is mentioned.
fn defines(text: &str, name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    let keywords = [
        "fn", "struct", "enum", "trait", "mod", "const", "static", "type",
    ];
    let is_defined = keywords.iter().any(|keyword| {
        let definition = format!("{keyword} {last}");
        text.match_indices(&definition).any(|(at, _)| {
            let after = text[at + definition.len()..].chars().next();
            !after.is_some_and(|it| it.is_ascii_alphanumeric() || it == '_')
        })
    });
    // A variant of an enum has no keyword.
    let is_variant = parts.len() > 1 && text.contains(last);
    (is_defined || is_variant) && text.contains(first)
}

/// Dependencies of the workspace that no package uses.
fn unused_dependencies(files: &[PathBuf]) -> Result<Vec<String>> {
    let is_manifest = |path: &&PathBuf| path.file_name().is_some_and(|it| it == "Cargo.toml");
    let mut used = String::new();
    let mut declared = toml::Table::new();
    for path in files.iter().filter(is_manifest) {
        let text = tree::text(path)?.unwrap_or_default();
        if path == Path::new("Cargo.toml") {
            declared = text.parse()?;
        } else {
            used.push_str(&text);
        }
    }
    let dependencies = declared
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table);
    // Our own packages stand there so that whoever needs one writes no path.
    let is_foreign = |value: &toml::Value| value.get("path").is_none();
    let is_unused = |name: &&String| {
        let dotted = format!("\n{name}.workspace");
        let inline = format!("\n{name} = {{ workspace");
        !used.contains(&dotted) && !used.contains(&inline)
    };
    Ok(dependencies
        .into_iter()
        .flatten()
        .filter(|(_, value)| is_foreign(value))
        .map(|(name, _)| name)
        .filter(is_unused)
        .map(|name| format!("Cargo.toml: no package uses {name}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_gone_is_noticed() {
        let text = "impl Relay {\n    pub fn handle_packet(&mut self) {}\n}\nfn runs() {}\n";
        assert!(defines(text, "handle_packet"));
        assert!(defines(text, "Relay::handle_packet"));
        assert!(defines(text, "runs"));
        assert!(!defines(text, "run"));
        assert!(!defines(text, "Control::handle_packet"));
        assert!(!defines(text, "Relay::handle_command"));
    }

    #[test]
    fn phrases_are_not_taken_for_names() {
        assert!(is_name("run") && is_name("Relay::handle_packet"));
        assert!(!is_name("(Ingress, &mut [u8])") && !is_name("a b") && !is_name("--json"));
    }

    #[test]
    fn stations_are_checked_cell_by_cell() {
        let files = vec![
            PathBuf::from("tools/xtask/src/tidy.rs"),
            PathBuf::from("tools/xtask/src/tree.rs"),
        ];
        let good = " `tools/xtask/src/tidy.rs` `run` → `tree.rs` `files` ";
        assert_eq!(cell_faults(good, &files).unwrap(), Vec::<String>::new());
        let bad = " `tools/xtask/src/tidy.rs` `rush` → `trees.rs` `files` ";
        assert_eq!(
            cell_faults(bad, &files).unwrap(),
            [
                "tools/xtask/src/tidy.rs has no rush",
                "trees.rs is not there"
            ]
        );
    }

    #[test]
    fn unfinished_work_and_paths_of_this_machine_are_noticed() {
        let text = format!(
            "fine\n// {}: later\n{}/x\n",
            UNFINISHED[0],
            tree::root().display()
        );
        let faults = word_faults(Path::new("a.rs"), &text);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("a.rs:2: "), "{faults:?}");
    }
}
