//! Pages that are made from the code, and parts of pages that are made from others.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tandem_settings::manual;

use crate::{ng_words, tree};

/// Every generated file, and what should be in it.
fn pages() -> Result<[(&'static str, String); 3]> {
    Ok([
        ("docs/configuration.md", manual::markdown()),
        ("docs/tandem.toml", manual::example_file()),
        ng_words::page()?,
    ])
}

/// Writes the pages.
pub(crate) fn write() -> Result<()> {
    for (path, text) in pages()? {
        fs::write(tree::root().join(path), text).context(path)?;
        println!("wrote {path}");
    }
    Ok(())
}

/// The pages that differ from what the code says.
pub(crate) fn stale() -> Vec<String> {
    let differs = |(path, text): &(&str, String)| {
        fs::read_to_string(tree::root().join(Path::new(path)))
            .ok()
            .as_ref()
            != Some(text)
    };
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => return vec![format!("{error:#}")],
    };
    let stale = pages.into_iter().filter(differs);
    stale
        .map(|(path, _)| format!("{path} is not up to date; run `cargo xtask docs`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_pages_are_what_the_code_says() {
        assert_eq!(stale(), Vec::<String>::new());
    }

    #[test]
    fn every_key_has_a_text_and_the_example_is_a_settings_file() {
        let keys: Vec<_> = manual::tables()
            .into_iter()
            .flat_map(|table| table.keys)
            .collect();
        assert!(keys.len() > 20, "found only {}", keys.len());
        for key in keys {
            assert!(!key.text.is_empty(), "{} is not explained", key.path());
        }
        let path = Path::new("docs/tandem.toml");
        let example = tandem_settings::Loaded::parse(path, &manual::example_file()).unwrap();
        assert_eq!(example.file, tandem_settings::File::default());
        // Also with the defaults that are commented out.
        let text = manual::example_file();
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && !setting.ends_with('…') => setting,
            _ => line,
        });
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let spelt_out = tandem_settings::Loaded::parse(path, &text).unwrap();
        assert_eq!(spelt_out.file, tandem_settings::File::default());
    }
}
