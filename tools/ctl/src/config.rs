//! `tandem config`: is the file right, what does a key mean, what would a whole file look like.

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tandem_settings::load;
use tandem_settings::manual::{self, Key};

use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::{Context, examples};

/// `tandem config`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem config check" => "says where the file is wrong, and the cure",
    "tandem config explain relay.ports" => "what a key means, and its default",
    "tandem config explain log" => "a whole table",
    "tandem config default > tandem.toml" => "a file to start from"
))]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the settings are right
    Check,
    /// Say what a key, a table, or every key means
    Explain {
        /// Such as `relay.ports` or `relay`; everything if left out
        key: Option<String>,
    },
    /// Print a settings file with every key, its default and its meaning
    Default,
}

/// Does what `tandem config` is asked.
pub(crate) fn run(context: &Context, args: &ConfigArgs) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Explain { key } => explain(context, key.as_deref().unwrap_or_default()),
        ConfigCommand::Default => print(&manual::example_file()),
    }
}

fn check(context: &Context) -> Result<(), Failure> {
    let loaded = load(context.config.as_deref())?;
    let path = loaded.path().map(|path| path.display().to_string());
    if context.json {
        return print_json(&json!({"path": path, "result": "ok"}));
    }
    match path {
        Some(path) => print(&format!("{path}: fine")),
        None => print("there is no settings file; the defaults hold"),
    }
}

fn explain(context: &Context, wanted: &str) -> Result<(), Failure> {
    let keys: Vec<Key> = manual::tables()
        .into_iter()
        .flat_map(|table| table.keys)
        .filter(|key| wanted.is_empty() || key.table == wanted || key.path() == wanted)
        .collect();
    if keys.is_empty() {
        return Err(unknown(wanted));
    }
    if context.json {
        return print_json(&keys.iter().map(to_json).collect());
    }
    let mut text = String::new();
    for key in keys {
        let default = key.default.as_deref().unwrap_or("none");
        let meaning = key.text.replace('\n', "\n  ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}  ({}; default {default})\n  {meaning}\n",
            key.path(),
            key.kind
        );
    }
    print(text.trim_end())
}

fn unknown(wanted: &str) -> Failure {
    let text = match manual::nearest_key(wanted) {
        Some(nearest) => format!("{wanted:?} is no key; did you mean {nearest}?"),
        None => format!("{wanted:?} is no key; `tandem config explain` shows all"),
    };
    Failure::usage(text)
}

fn to_json(key: &Key) -> Value {
    json!({
        "key": key.path(),
        "kind": key.kind,
        "default": key.default,
        "text": key.text,
    })
}
