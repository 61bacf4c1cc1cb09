//! The manual pages, made from the words of `--help`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::Cli;
use crate::failure::Failure;

/// `tandem man`
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Folder to write `tandem.1`, `tandem-run.1` and so on to
    folder: PathBuf,
}

/// Writes a page for each command.
pub(crate) fn run(args: &ManArgs) -> Result<(), Failure> {
    let folder = args.folder.display();
    fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.folder))
        .map_err(|error| Failure::failed(format!("cannot write manual pages to {folder}: {error}")))
}
