//! `tandem drain`: no new calls, wait for the last one, stop.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tandem_settings::load;

use crate::failure::Failure;
use crate::output::{print, print_json, remark};
use crate::time::span;
use crate::{Context, admin, examples};

/// `tandem drain`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem drain" => "before an upgrade: stops when the last call is over",
    "tandem drain --timeout 600" => "waits ten minutes; exit code 1 if there are calls still",
    "tandem drain --keep-running" => "waits, and leaves everything running without new calls",
    "tandem drain --cancel" => "takes new calls again"
))]
pub(crate) struct DrainArgs {
    /// Seconds to wait for the last call; 0 only says how many there are. Without it: as long as
    /// it takes
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    /// Do not stop when the last call is over
    #[arg(long)]
    keep_running: bool,

    /// Take new calls again
    #[arg(long, conflicts_with_all = ["timeout", "keep_running"])]
    cancel: bool,
}

/// How often control is asked how many calls there are.
const INTERVAL: Duration = Duration::from_millis(500);

/// Time that control may take to be gone when it has said that it stops.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Drains control.
pub(crate) fn run(context: &Context, args: &DrainArgs) -> Result<(), Failure> {
    let socket = load(context.config.as_deref())?.control_socket();
    let request = json!({ "command": "drain", "on": !args.cancel });
    let status = admin::ask_control(&socket, &request)?;
    if args.cancel {
        return report(context, &status, "new calls are taken again", false);
    }
    let began = Instant::now();
    let calls_at_first = calls_of(&status);
    let mut meter = Meter::new(context.json);
    let mut status = status;
    while calls_of(&status) > 0 {
        let waited = began.elapsed();
        let left = args
            .timeout
            .map(|it| Duration::from_secs(it).saturating_sub(waited));
        if left.is_some_and(|left| left.is_zero()) {
            meter.end();
            let calls = calls_of(&status);
            report(context, &status, "", false)?;
            return Err(Failure::failed(format!(
                "{calls} calls are still up after {}; control goes on draining \
                 (`tandem drain` waits again, `tandem drain --cancel` takes new calls)",
                span(waited)
            )));
        }
        meter.show(calls_of(&status), calls_at_first, waited);
        thread::sleep(left.map_or(INTERVAL, |left| left.min(INTERVAL)));
        status = admin::ask_control(&socket, &json!({ "command": "status" }))?;
        if status["is_draining"] != true {
            meter.end();
            return Err(Failure::failed(
                "control takes new calls again: somebody cancelled it, or control was started again",
            ));
        }
    }
    meter.end();
    if args.keep_running {
        return report(
            context,
            &status,
            "no calls are left; control runs on",
            false,
        );
    }
    let status = stop(&socket)?;
    report(
        context,
        &status,
        "no calls were left, and control has stopped",
        true,
    )
}

/// Has control stop, and waits until it has.
fn stop(socket: &Path) -> Result<Value, Failure> {
    let status = admin::ask_control(socket, &json!({ "command": "stop" }))?;
    let deadline = Instant::now() + STOP_LIMIT;
    while Instant::now() < deadline {
        match admin::ask_control(socket, &json!({ "command": "status" })) {
            Err(failure) if failure.is_unreachable() => return Ok(status),
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
    Err(Failure::failed(
        "control said that it stops, and still answers",
    ))
}

fn report(context: &Context, status: &Value, words: &str, stopped: bool) -> Result<(), Failure> {
    if context.json {
        let calls = calls_of(status);
        let draining = status["is_draining"] == true;
        let value = json!({ "calls": calls, "is_draining": draining, "has_stopped": stopped });
        return print_json(&value);
    }
    match words {
        "" => Ok(()),
        words => print(words),
    }
}

fn calls_of(status: &Value) -> u64 {
    status["calls"].as_u64().unwrap_or_default()
}

/// How far it is: one line that changes on a terminal, one for each change elsewhere.
struct Meter {
    is_quiet: bool,
    is_terminal: bool,
    shown: Option<u64>,
}

impl Meter {
    fn new(is_quiet: bool) -> Self {
        Self {
            is_quiet,
            is_terminal: io::stderr().is_terminal(),
            shown: None,
        }
    }

    fn show(&mut self, calls: u64, at_first: u64, waited: Duration) {
        if self.is_quiet {
            return;
        }
        let line = format!("{calls} of {at_first} calls are up, after {}", span(waited));
        if self.is_terminal {
            let mut out = io::stderr().lock();
            // The line before is overwritten and what is left of it erased (ECMA-48 EL).
            let _ = write!(out, "\r{line}\x1b[K").and_then(|()| out.flush());
        } else if self.shown != Some(calls) {
            remark(&line);
        }
        self.shown = Some(calls);
    }

    fn end(&self) {
        if self.is_terminal && !self.is_quiet && self.shown.is_some() {
            remark("");
        }
    }
}
