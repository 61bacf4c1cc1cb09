//! What the doctor says, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::facts::Facts;
use super::rules::{Finding, Severity};
use crate::failure::Failure;
use crate::output::clean;

/// Wider lines are hard to read.
const WIDTH_MAX: usize = 100;

/// Narrower than this there is no room beside the margin.
const WIDTH_MIN: usize = 30;

/// Where text stands, below the severity.
const MARGIN: &str = "          ";

/// Findings as blocks of lines, and a last line that counts them. `width` is the terminal's.
pub(super) fn text(findings: &[Finding], width: Option<u16>) -> String {
    let width = width
        .map_or(WIDTH_MAX, usize::from)
        .clamp(WIDTH_MIN, WIDTH_MAX);
    let mut text = String::new();
    for finding in findings {
        block(&mut text, finding, width);
        text.push('\n');
    }
    text.push_str(&summary(findings));
    text
}

fn block(text: &mut String, finding: &Finding, width: usize) {
    let word = match finding.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "WARNING",
        Severity::Note => "NOTE",
    };
    let mut lines = wrap(&format!("{} [{}]", finding.finding, finding.rule), width);
    if let Some(first) = lines.first_mut() {
        first.replace_range(..word.len(), word);
    }
    for (name, words) in [("read", &finding.read[..]), ("why", finding.why)] {
        lines.extend(wrap(&format!("{name:<6}{words}"), width));
    }
    // A command that is broken into lines can no longer be copied.
    lines.push(format!("{MARGIN}cure  {}", clean(&finding.cure)));
    for line in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
}

/// Breaks words into lines behind the margin; lines after the first stand under the text.
fn wrap(words: &str, width: usize) -> Vec<String> {
    let words = clean(words);
    // `read  …` keeps its two spaces.
    let indent = if words.starts_with("read  ") || words.starts_with("why   ") {
        6
    } else {
        0
    };
    let (label, rest) = words.split_at(indent);
    let mut lines = Vec::new();
    let mut line = format!("{MARGIN}{label}");
    let mut is_empty = true;
    for word in rest.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(
                &mut line,
                format!("{MARGIN}{:indent$}", ""),
            ));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let [critical, warnings, notes] =
        [Severity::Critical, Severity::Warning, Severity::Note].map(count);
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let notes = plural(notes, "note");
    match critical + warnings {
        0 => format!("nothing holds media back ({notes})"),
        _ => format!(
            "{critical} critical, {}, {notes}",
            plural(warnings, "warning")
        ),
    }
}

/// Findings, and all that was read.
pub(super) fn json(findings: &[Finding], facts: &Facts) -> Result<Value, Failure> {
    let describe =
        |error: serde_json::Error| Failure::failed(format!("cannot describe the host: {error}"));
    let facts = serde_json::to_value(facts).map_err(describe)?;
    Ok(json!({"findings": findings, "facts": facts}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            rule: "governor",
            severity: Severity::Warning,
            finding: "cores 1-2 have the governor powersave".to_owned(),
            read: "scaling_governor in /sys/devices/system/cpu/cpuN/cpufreq".to_owned(),
            why: "A worker sleeps between packets, so a governor that looks at load keeps its core slow.",
            cure:
                "kernel-tuning/apply --only cpu --and many more words than a narrow terminal takes"
                    .to_owned(),
        }
    }

    #[test]
    fn prose_is_wrapped_and_commands_are_not() {
        for width in [40, 80, 300] {
            let text = text(&[finding()], Some(width));
            let limit = usize::from(width).min(WIDTH_MAX);
            for line in text.lines().filter(|line| !line.contains("cure")) {
                let is_long_word = line.split_whitespace().count() <= 2;
                assert!(line.chars().count() <= limit || is_long_word, "{line}");
            }
            assert!(text.contains(&finding().cure), "{text}");
        }
    }

    #[test]
    fn a_block_begins_with_how_bad_it_is() {
        let text = text(&[finding()], None);
        assert!(
            text.starts_with("WARNING   cores 1-2 have the governor powersave [governor]\n"),
            "{text}"
        );
        assert!(text.contains("\n          why   A worker"), "{text}");
        assert!(text.ends_with("0 critical, 1 warning, 0 notes"), "{text}");
        assert_eq!(super::text(&[], None), "nothing holds media back (0 notes)");
    }

    #[test]
    fn what_was_read_cannot_steer_the_terminal() {
        let mut finding = finding();
        finding.read = "a\u{1b}[2Jb".to_owned();
        assert!(!text(&[finding], None).contains('\u{1b}'));
    }
}
