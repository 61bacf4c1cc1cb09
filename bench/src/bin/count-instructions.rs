//! Counts the instructions that the cores' operations take, which other work on the machine does
//! not change, under valgrind's callgrind.
//!
//! Each operation runs twice, in processes of their own, with different numbers of repetitions: the
//! difference is what the repetitions took, without what made them ready.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use bench::{Operation, operations};

/// Repetitions of the shorter and of the longer run.
const REPETITIONS: [u32; 2] = [500, 1_500];

const VALGRIND: &str = "valgrind";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        [] => count_all(""),
        ["--repeat", count, name] => repeat(count, name),
        ["--help" | "-h"] => {
            println!("usage: count-instructions [PART OF A NAME]");
            Ok(())
        }
        [part] => count_all(part),
        _ => Err(anyhow::anyhow!(
            "usage: count-instructions [PART OF A NAME]"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("count-instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn count_all(part: &str) -> Result<()> {
    let version = Command::new(VALGRIND).arg("--version").output();
    if version.is_err() {
        println!("SKIPPED: there is no valgrind to count instructions with");
        return Ok(());
    }
    println!("instructions");
    for operation in operations().filter(|it| it.name.contains(part)) {
        let [few, many] = REPETITIONS.map(|repetitions| count(&operation, repetitions));
        let (few, many) = (few?, many?);
        let repetitions = u64::from(REPETITIONS[1] - REPETITIONS[0]);
        let each = many.saturating_sub(few) / repetitions;
        println!("{each:>12}  {}", operation.name);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// All instructions of a process that does an operation so many times.
fn count(operation: &Operation, repetitions: u32) -> Result<u64> {
    let own = std::env::current_exe().context("where am I")?;
    let output = Command::new(VALGRIND)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--repeat", &repetitions.to_string(), operation.name])
        .stdin(Stdio::null())
        .output()
        .context("cannot run valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{}: {}", operation.name, text.trim());
    }
    collected(&text).with_context(|| format!("no count in: {}", text.trim()))
}

/// callgrind's last words: `==1234== Collected : 5678`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    line?.1.trim().parse().ok()
}

fn repeat(count: &str, name: &str) -> Result<()> {
    let count: u32 = count.parse().context("how often?")?;
    let operation = operations().find(|it| it.name == name);
    let operation = operation.with_context(|| format!("no operation is called {name}"))?;
    let mut work = (operation.prepare)();
    (0..count).for_each(|_| work());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_valgrind_s_last_words() {
        let text = "==7== Callgrind, a call-graph\n==7== \n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(text), Some(123_456));
        assert_eq!(collected("==7== I   refs: 1"), None);
    }
}
