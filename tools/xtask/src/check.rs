//! What decides whether a change lands.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::tree;

/// One step: what it is, and the command.
struct Step {
    name: &'static str,
    command: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// The quick ones first.
const STEPS: [Step; 8] = [
    Step::new("formatting", &["cargo", "fmt", "--all", "--check"]),
    Step::new("layering", &["cargo", "xtask", "deps"]),
    Step::new("documents and words", &["cargo", "xtask", "tidy"]),
    Step::new("licences", &["cargo", "xtask", "licences"]),
    Step::new(
        "shell scripts",
        &[
            "shellcheck",
            "--external-sources",
            ".ci/run",
            "tools/setup.sh",
            "kernel-tuning/probe",
            "kernel-tuning/apply",
            "kernel-tuning/undo",
        ],
    ),
    Step::new(
        "clippy",
        &[
            "cargo",
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ),
    Step {
        name: "documentation",
        command: &[
            "cargo",
            "doc",
            "--locked",
            "--workspace",
            "--no-deps",
            "--keep-going",
            "--document-private-items",
        ],
        // Private items are documented here and nothing is published, so links to them are fine.
        environment: &[(
            "RUSTDOCFLAGS",
            "-D warnings -A rustdoc::private-intra-doc-links",
        )],
    },
    Step::new("tests", &["make", "test"]),
];

impl Step {
    const fn new(name: &'static str, command: &'static [&'static str]) -> Self {
        Self {
            name,
            command,
            environment: &[],
        }
    }

    fn run(&self) -> Result<()> {
        let (program, arguments) = self.command.split_first().context("a step has a command")?;
        let mut command = match *program {
            "cargo" => tree::cargo(),
            program => Command::new(program),
        };
        let status = command
            .args(arguments)
            .envs(self.environment.iter().copied())
            .current_dir(tree::root())
            .status()
            .with_context(|| format!("{}: {program} cannot be started", self.name))?;
        if !status.success() {
            bail!("{} failed: {}", self.name, self.command.join(" "));
        }
        Ok(())
    }
}

/// Runs the steps until one fails.
pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    for (number, step) in (1..).zip(&STEPS) {
        println!(
            "\n=== {number}/{} {}: {}",
            STEPS.len(),
            step.name,
            step.command.join(" ")
        );
        let step_start = Instant::now();
        let result = step.run();
        let took = step_start.elapsed().as_secs_f32();
        println!(
            "=== {} {} after {took:.1} s",
            step.name,
            if result.is_ok() { "passed" } else { "FAILED" }
        );
        result?;
    }
    println!(
        "\nall {} steps passed after {:.0} s",
        STEPS.len(),
        start.elapsed().as_secs_f32()
    );
    Ok(())
}
