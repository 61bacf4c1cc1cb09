//! `tandem doctor`: what of this host holds media back.
//!
//! ```text
//! /proc, /sys, unit files ─► read ─► Facts ─► rules ─► Findings ─► report
//! sockets of the daemons ───────────┘
//! ```

mod facts;
mod parse;
mod read;
mod report;
mod rules;

use std::env;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use control_ng::Dictionary;
use tandem_settings::{Loaded, load};

use crate::failure::Failure;
use crate::ng_client::{NgClient, server_of};
use crate::output::{print, print_json};
use crate::{Context, examples, run};
use facts::{Facts, State};
use read::{Host, Wanted};
use rules::{Severity, diagnose};

/// Names a folder with another host's `/proc` and `/sys`, as for the scripts of `kernel-tuning`.
const ROOT_VARIABLE: &str = "TANDEM_TUNING_ROOT";

/// Control answers from memory.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Exit code when something critical, or worth a warning, was found.
const EXIT_CODE_FOUND: u8 = 1;

/// `tandem doctor`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem doctor" => "what is the matter, the worst first; exit code 1 if anything is",
    "sudo tandem doctor" => "the same, and what only root may look at",
    "tandem doctor --json | jq .facts.network" => "what was read of the network",
    "tandem doctor --tuning-arguments" => "device, cores and ports as kernel-tuning/apply takes them"
))]
pub(crate) struct DoctorArgs {
    /// Print the arguments of kernel-tuning's scripts for these settings, one a line, and no
    /// findings
    #[arg(long)]
    tuning_arguments: bool,
}

/// Reads the host and says what holds media back.
pub(crate) fn run(context: &Context, args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let loaded = load(context.config.as_deref())?;
    let root = env::var_os(ROOT_VARIABLE).map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let mut facts = Host::new(root).read(&wanted(&loaded));
    if args.tuning_arguments {
        print(&tuning_arguments(&facts))?;
        return Ok(ExitCode::SUCCESS);
    }
    knock(&loaded, &mut facts)?;
    let findings = diagnose(&facts);
    match context.json {
        true => print_json(&report::json(&findings, &facts)?)?,
        false => print(&report::text(&findings, comfy_table::Table::new().width()))?,
    }
    Ok(
        match findings.iter().any(|it| it.severity < Severity::Note) {
            true => ExitCode::from(EXIT_CODE_FOUND),
            false => ExitCode::SUCCESS,
        },
    )
}

fn wanted(loaded: &Loaded) -> Wanted<'_> {
    let port_of = |listen: &String| listen.rsplit_once(':')?.1.parse().ok();
    Wanted {
        file: &loaded.file,
        relay_socket: loaded.relay_socket(),
        control_ports: loaded
            .file
            .control
            .listen
            .iter()
            .map(|it| it.port())
            .collect(),
        sip_ports: loaded
            .file
            .sip_proxy
            .listen
            .iter()
            .filter_map(port_of)
            .collect(),
    }
}

/// Finds out who answers.
fn knock(loaded: &Loaded, facts: &mut Facts) -> Result<(), Failure> {
    let daemons = &mut facts.daemons;
    let relay = loaded.relay_socket();
    daemons.relay.state = state_of(run::find_holder(&relay), &relay);
    let proxy = loaded.sip_proxy_socket();
    daemons.sip_proxy.state = state_of(UnixStream::connect(&proxy).map(drop), &proxy);
    let ping = Dictionary::new().with("command", "ping");
    let answer = NgClient::new(server_of(loaded)?, TIMEOUT).and_then(|client| client.ask(&ping));
    daemons.control.state = match (answer, &daemons.control.process) {
        (Ok(_), _) => State::Up,
        (Err(_), None) => State::Down,
        (Err(failure), Some(_)) => State::Unreachable(failure.to_string()),
    };
    Ok(())
}

fn state_of(knocked: std::io::Result<()>, path: &std::path::Path) -> State {
    match knocked {
        Ok(()) => State::Up,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            State::Unreachable(format!("this user may not look at {}", path.display()))
        }
        Err(_) => State::Down,
    }
}

/// One argument a line, so that a script can read them whatever they contain.
fn tuning_arguments(facts: &Facts) -> String {
    let settings = &facts.settings;
    let cores: Vec<String> = settings.cores.iter().map(ToString::to_string).collect();
    let mut lines = Vec::new();
    for device in facts.network.devices.iter().filter(|it| it.name != "lo") {
        lines.extend(["--device".to_owned(), device.name.clone()]);
    }
    lines.extend([
        "--ports".to_owned(),
        format!("{}-{}", settings.ports[0], settings.ports[1]),
    ]);
    lines.extend(["--workers".to_owned(), settings.workers.to_string()]);
    if !cores.is_empty() {
        lines.extend(["--cores".to_owned(), cores.join(",")]);
    }
    if settings.has_ipv6 {
        lines.push("--ipv6".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
