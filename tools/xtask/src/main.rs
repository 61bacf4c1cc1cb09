//! `cargo xtask`: the developer's commands.
//!
//! ```text
//! check     what decides whether a change lands, in the order of .ci/run
//! deps      who imports whom, against the table in deps.rs
//! tidy      documents against the code
//! licences  licences of all dependencies against deny.toml
//! docs      writes what is made from the code: docs/configuration.md, docs/tandem.toml
//! test      every test there is, with one honest last line
//! ```

#![forbid(unsafe_code)]

mod check;
mod deps;
mod docs;
mod licences;
mod markdown;
mod metadata;
mod ng_words;
mod spdx;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer's commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do all that .ci/run does, in its order, and stop at the first failure
    Check,
    /// Check who imports whom (the layering), and that cores perform no I/O
    Deps,
    /// Check documents against the code: functions, links, generated pages, words
    Tidy,
    /// Check the licences of all dependencies against deny.toml
    Licences,
    /// Write docs/configuration.md and docs/tandem.toml from tools/settings/src/file.rs
    Docs,
    /// Build the programs and run every test: unit, property, fuzz, scenarios, doctests
    Test,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check => check::run(),
        Command::Deps => deps::run(),
        Command::Tidy => tidy::run(),
        Command::Licences => licences::run(),
        Command::Docs => docs::write(),
        Command::Test => test::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
