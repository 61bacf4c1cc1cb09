//! `tandem migrate`: rtpengine's settings as ours, and what became of each.
//!
//! ```text
//! rtpengine.conf, or a command line ─► read.rs ─► what is set
//!                                   options.rs ─► what becomes of each option
//!                                     write.rs ─► tandem.toml
//! ```

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{print, print_json, remark};
use crate::{Context, examples};

use self::options::Fate;
use self::read::Given;
use self::write::{OTHER_SOURCES_COST, Settings};

mod options;
mod read;
#[cfg(test)]
mod tests;
mod write;

/// `tandem migrate`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem migrate /etc/rtpengine/rtpengine.conf > tandem.toml" => "from a settings file",
    "tandem migrate -- --interface=192.0.2.1 --listen-ng=2223" => "from a command line",
    "tandem migrate --json rtpengine.conf" => "what became of each option, for a script"
))]
pub(crate) struct MigrateArgs {
    /// rtpengine's settings file
    file: Option<PathBuf>,

    /// Section of that file to read
    #[arg(long, default_value = "rtpengine", value_name = "NAME")]
    section: String,

    /// rtpengine's command line; it has precedence over the file
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// What became of one option.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    given: Given,
    kind: Kind,
    text: String,
}

/// The kinds of outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Ours has it, under another name.
    Kept,
    /// Ours does without.
    NotNeeded,
    /// Ours cannot do it.
    NotSupported,
    /// No option of rtpengine, or a value that it has not.
    Wrong,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::NotNeeded => "not needed",
            Self::NotSupported => "not supported",
            Self::Wrong => "not understood",
        }
    }
}

/// Does what `tandem migrate` is asked.
pub(crate) fn run(context: &Context, args: &MigrateArgs) -> Result<(), Failure> {
    if args.file.is_none() && args.options.is_empty() {
        let text = "name rtpengine's settings file, or write its options after --";
        return Err(Failure::usage(text));
    }
    let mut given = Vec::new();
    if let Some(path) = &args.file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        given = read::file(&text, &args.section).map_err(Failure::usage)?;
    }
    given = read::merge(given, read::command_line(&args.options));
    let (settings, outcomes) = translate(given);
    let text = settings.to_toml();
    if context.json {
        let options: Vec<_> = outcomes.iter().map(to_json).collect();
        return print_json(
            &json!({"settings": text, "options": options, "warnings": [OTHER_SOURCES_COST]}),
        );
    }
    for outcome in &outcomes {
        remark(&describe(outcome));
    }
    remark(&format!(
        "control.other_sources = forward: {OTHER_SOURCES_COST}"
    ));
    print(text.trim_end())
}

/// Our settings, and what became of each option.
fn translate(given: Vec<Given>) -> (Settings, Vec<Outcome>) {
    let mut settings = Settings::default();
    let outcomes = given.into_iter().map(|given| {
        let (kind, text) = match options::fate(&given.name) {
            Some(Fate::Kept(apply)) => match apply(&mut settings, &given.value) {
                Ok(text) => (Kind::Kept, text),
                Err(text) => (Kind::Wrong, text),
            },
            Some(Fate::NotNeeded(why)) => (Kind::NotNeeded, why.to_owned()),
            Some(Fate::NotSupported(why)) => (Kind::NotSupported, why.to_owned()),
            None => (Kind::Wrong, "rtpengine has no such option".to_owned()),
        };
        Outcome { given, kind, text }
    });
    let outcomes = outcomes.collect();
    (settings, outcomes)
}

fn describe(outcome: &Outcome) -> String {
    let Given { name, value } = &outcome.given;
    let option = if value.is_empty() {
        name.clone()
    } else {
        format!("{name} = {value}")
    };
    format!("{option}: {}: {}", outcome.kind.name(), outcome.text)
}

fn to_json(outcome: &Outcome) -> serde_json::Value {
    json!({
        "option": outcome.given.name,
        "value": outcome.given.value,
        "outcome": outcome.kind.name(),
        "text": outcome.text,
    })
}
