//! Every test there is, and one last line that says how it went.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::{env, io};

use anyhow::{Context, Result, anyhow, bail};

use crate::tree;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Builds the programs that scenarios start, then runs every test.
pub(crate) fn run() -> Result<()> {
    let build = ["build", "--locked", "--workspace", "--bins"];
    let status = tree::cargo().args(build).status().context("cargo build")?;
    if !status.success() {
        bail!("the programs do not build");
    }
    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for arguments in runs(has_nextest()) {
        println!("\n=== cargo {}", arguments.join(" "));
        let (result, is_success) = watch(tree::cargo().args(*arguments))?;
        tally.add(result);
        if !is_success {
            broken.push(format!("cargo {}", arguments[..2].join(" ")));
        }
    }
    let Tally {
        passed,
        failed,
        ignored,
    } = tally;
    println!("\n{passed} passed, {failed} failed, {ignored} ignored");
    if !broken.is_empty() {
        bail!("failed: {}", broken.join(", "));
    }
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// nextest keeps scenarios apart and shows what hangs, but leaves doctests to cargo.
fn runs(has_nextest: bool) -> &'static [&'static [&'static str]] {
    match has_nextest {
        true => &[
            &[
                "nextest",
                "run",
                "--locked",
                "--workspace",
                "--no-fail-fast",
            ],
            &["test", "--doc", "--locked", "--workspace", "--no-fail-fast"],
        ],
        false => &[&["test", "--locked", "--workspace", "--no-fail-fast"]],
    }
}

fn has_nextest() -> bool {
    Command::new("cargo-nextest")
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command, passes its output on, and counts the results in it.
fn watch(command: &mut Command) -> Result<(Tally, bool)> {
    if env::var_os("CARGO_TERM_COLOR").is_none() && io::IsTerminal::is_terminal(&io::stdout()) {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cargo cannot be started")?;
    let out = child.stdout.take().context("asked for above")?;
    let err = child.stderr.take().context("asked for above")?;
    let err = thread::spawn(move || pass_on(err, io::stderr()));
    let mut tally = pass_on(out, io::stdout());
    let more = err.join();
    tally.add(more.map_err(|_| anyhow!("the count of what cargo says is lost"))?);
    let status = child.wait().context("cargo is lost")?;
    Ok((tally, status.success()))
}

fn pass_on(from: impl Read, mut to: impl Write) -> Tally {
    let mut tally = Tally::default();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
        // A reader that went away must not stop the tests half-way.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        tally.add(Tally::of_line(&String::from_utf8_lossy(&line)).unwrap_or_default());
        line.clear();
    }
    tally
}

impl Tally {
    /// Reads libtest's `test result: ok. 8 passed; 0 failed; 1 ignored; …` or nextest's
    /// `Summary [ 1.2s] 30 tests run: 29 passed (1 slow), 1 failed, 2 skipped`.
    fn of_line(line: &str) -> Option<Self> {
        let line = without_colour(line);
        let counts = match line.trim_start() {
            // Indented, it is what a failed test printed, as nextest shows it.
            _ if line.starts_with("test result: ") => &line,
            line if line.starts_with("Summary [") => line.split_once("run:")?.1,
            _ => return None,
        };
        let count = |word: &str| {
            let pairs = counts.split([',', ';', '.']).map(str::trim);
            let mut numbers = pairs.filter_map(|pair| {
                let (number, rest) = pair.split_once(' ')?;
                rest.starts_with(word).then(|| number.parse().ok())?
            });
            numbers.next().unwrap_or(0)
        };
        Some(Self {
            passed: count("passed"),
            failed: count("failed") + count("timed out"),
            ignored: count("ignored") + count("skipped"),
        })
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Takes SGR sequences (`ESC [ … m`) out.
fn without_colour(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(line: &str) -> Option<(u64, u64, u64)> {
        Tally::of_line(line).map(|it| (it.passed, it.failed, it.ignored))
    }

    #[test]
    fn reads_the_results_of_both_runners() {
        let libtest = "test result: FAILED. 7 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n";
        assert_eq!(tally(libtest), Some((7, 2, 1)));
        let nextest = "     Summary [   3.210s] 36 tests run: 33 passed (1 slow), 2 failed, 1 timed out, 4 skipped\n";
        assert_eq!(tally(nextest), Some((33, 3, 4)));
        let coloured = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.2s] \u{1b}[1m5\u{1b}[0m tests run: \u{1b}[1m5\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m\n";
        assert_eq!(tally(coloured), Some((5, 0, 0)));
        assert_eq!(tally("test a ... ok"), None);
        let shown = "    test result: FAILED. 0 passed; 1 failed; 0 ignored";
        assert_eq!(tally(shown), None, "counted by the summary");
    }
}
