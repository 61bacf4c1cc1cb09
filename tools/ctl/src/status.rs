//! `tandem status`: what runs, and what it does.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use control_ng::Dictionary;
use serde_json::{Value, json};
use tandem_settings::{Loaded, load};

use crate::failure::Failure;
use crate::ng_client::{NgClient, accepted, dictionary_to_json, server_of};
use crate::output::{Grid, or_dash, print_json};
use crate::time::span;
use crate::{Context, admin, examples, run};

/// `tandem status`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem status" => "one line for each daemon; exit code 3 if one is down",
    "watch tandem status" => "the same, every two seconds",
    "tandem status --json | jq .control.report" => "every counter there is"
))]
pub(crate) struct StatusArgs {}

/// Time that control may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What is known of one daemon.
#[derive(Debug)]
struct Daemon {
    name: &'static str,
    /// What it says of itself, or why it does not.
    report: Result<Value, String>,
    /// What of it is worth a place in the table.
    counts: &'static [Count],
}

/// Prints one line for each daemon.
pub(crate) fn run(context: &Context, _args: &StatusArgs) -> Result<(), Failure> {
    let loaded = load(context.config.as_deref())?;
    let control = ask_control(&loaded);
    let daemons = [relay(&loaded, &control), control, ask_sip_proxy(&loaded)];
    if context.json {
        print_json(&daemons.iter().map(Daemon::to_json).collect())?;
    } else {
        print_table(&daemons)?;
    }
    let down: Vec<&str> = daemons
        .iter()
        .filter(|it| it.report.is_err())
        .map(|it| it.name)
        .collect();
    match down.is_empty() {
        true => Ok(()),
        false => Err(Failure::unreachable(format!(
            "no answer from {}; `tandem run` starts all three",
            down.join(", ")
        ))),
    }
}

fn ask_control(loaded: &Loaded) -> Daemon {
    let ask = || {
        let client = NgClient::new(server_of(loaded)?, TIMEOUT)?;
        let body = client.ask(&Dictionary::new().with("command", "statistics"))?;
        let reply = accepted(&body)?;
        let reply = dictionary_to_json(reply.dictionary());
        Ok(reply.get("statistics").cloned().unwrap_or(reply))
    };
    let report: Result<Value, Failure> = ask();
    Daemon {
        name: "control",
        report: report.map_err(|failure| failure.to_string()),
        counts: &CONTROL_COUNTS,
    }
}

/// The relay speaks to control alone: what it counts is in control's statistics, if it has any.
fn relay(loaded: &Loaded, control: &Daemon) -> Daemon {
    let socket = loaded.relay_socket();
    let report = match run::find_holder(&socket) {
        Ok(()) => Ok(relay_report(&socket, control)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(format!("this user may not look at {}", socket.display()))
        }
        Err(_) => Err(format!("no process holds {}", socket.display())),
    };
    Daemon {
        name: "relay",
        report,
        counts: &RELAY_COUNTS,
    }
}

fn relay_report(socket: &Path, control: &Daemon) -> Value {
    let statistics = control.report.as_ref().ok();
    let counted = statistics.and_then(|it| it.get("relay"));
    let mut report = counted.cloned().unwrap_or_else(|| json!({}));
    if let Some(ports) = statistics.and_then(|it| it.get("ports")) {
        report["ports"] = ports.clone();
    }
    // It makes its socket when it starts.
    report["uptime_s"] = json!(age_s(socket));
    report
}

fn age_s(path: &Path) -> Option<u64> {
    let made = fs::metadata(path).and_then(|it| it.modified()).ok()?;
    Some(made.elapsed().ok()?.as_secs())
}

fn ask_sip_proxy(loaded: &Loaded) -> Daemon {
    let report = admin::ask(&loaded.sip_proxy_socket(), "status");
    Daemon {
        name: "sip-proxy",
        report: report.map_err(|failure| failure.to_string()),
        counts: &SIP_PROXY_COUNTS,
    }
}

impl Daemon {
    fn to_json(&self) -> (String, Value) {
        let value = match &self.report {
            Ok(report) => json!({"up": true, "report": report}),
            Err(reason) => json!({"up": false, "reason": reason}),
        };
        (self.name.to_owned(), value)
    }
}

fn print_table(daemons: &[Daemon]) -> Result<(), Failure> {
    let mut grid = Grid::new(&["DAEMON", "STATE", "UPTIME", "COUNTS"]);
    for daemon in daemons {
        let (state, uptime, now) = match &daemon.report {
            Ok(report) => ("up", uptime(report), summary(report, daemon.counts)),
            Err(reason) => ("down", None, what_of(reason)),
        };
        grid.row([
            daemon.name.to_owned(),
            state.to_owned(),
            or_dash(uptime),
            now,
        ]);
    }
    grid.print("")
}

/// A failure's first half. The cure is the same for all, and said once below the table.
fn what_of(reason: &str) -> String {
    reason.split(';').next().unwrap_or_default().to_owned()
}

/// Of a daemon of ours, or as the peer's statistics have it: as text, in seconds.
fn uptime(report: &Value) -> Option<String> {
    let total = &report["totalstatistics"]["uptime"];
    let seconds = report["uptime_s"]
        .as_u64()
        .or_else(|| total.as_u64())
        .or_else(|| total.as_str()?.parse().ok())?;
    Some(span(Duration::from_secs(seconds)))
}

/// What there is to say of it in one line: the numbers that are there, with their names.
fn summary(report: &Value, counts: &[Count]) -> String {
    let numbers = counts.iter().filter_map(|(pointer, what)| {
        let number = report.pointer(pointer)?.as_u64()?;
        Some(format!("{what} {number}"))
    });
    numbers.collect::<Vec<_>>().join(", ")
}

/// Where a number stands in a report, and its name.
type Count = (&'static str, &'static str);

const RELAY_COUNTS: [Count; 7] = [
    ("/calls", "calls"),
    ("/endpoints", "sockets"),
    ("/counters/ports_idle", "idle"),
    ("/packets_in", "packets in"),
    ("/packets_out", "packets out"),
    ("/ports/used", "ports used"),
    ("/ports/free", "ports free"),
];

const CONTROL_COUNTS: [Count; 4] = [
    ("/currentstatistics/sessionstotal", "calls"),
    ("/totalstatistics/managedsessions", "ended"),
    ("/totalstatistics/rejectedsessions", "refused"),
    ("/totalstatistics/timeoutsessions", "timed out"),
];

const SIP_PROXY_COUNTS: [Count; 4] = [
    ("/now/calls", "calls"),
    ("/now/registrations", "registrations"),
    ("/now/accounts", "accounts"),
    ("/now/connections", "TCP connections"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_summed_up_in_words() {
        let control = json!({
            "currentstatistics": {"sessionstotal": 2},
            "totalstatistics": {"uptime": "3700", "managedsessions": 5},
        });
        assert_eq!(summary(&control, &CONTROL_COUNTS), "calls 2, ended 5");
        assert_eq!(uptime(&control).unwrap(), "1 h 1 min");
        let proxy = json!({"uptime_s": 61, "now": {"accounts": 2, "connections": 0}});
        assert_eq!(
            summary(&proxy, &SIP_PROXY_COUNTS),
            "accounts 2, TCP connections 0"
        );
        assert_eq!(uptime(&proxy).unwrap(), "1 min 1 s");
        assert_eq!(summary(&json!({}), &RELAY_COUNTS), "");
    }
}
