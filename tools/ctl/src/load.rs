//! `tandem load`: makes calls and media, and says what became of them.

mod rtp;
mod sip;

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use tandem_load::plot::{Curve, Plot};
use tandem_load::watch::{CoreUse, ProcessUse};
use tandem_load::{LoadError, Percentiles, Permission};

use crate::Context;
use crate::failure::Failure;
use crate::output::{Grid, remark};

/// The exit code of a run that lost something.
const EXIT_CODE_LOSS: u8 = 4;

/// `tandem load`
#[derive(Args, Debug)]
#[command(after_help = crate::examples!(
    "tandem load rtp --calls 100" => "media of 100 calls through our own relay, for ten seconds",
    "tandem load sip --rate 100" => "100 calls a second among accounts load0 to load9",
    "tandem help load rtp" => "all that can be varied"
))]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    command: LoadCommand,
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    /// Send media through a relay and check every packet that comes out of it
    ///
    /// Calls are set up over ng with any ng server, ours or another. Each packet carries its
    /// call, direction, number, time of sending and a checksum, so that loss, disorder,
    /// repetition, corruption and delivery to the wrong party are told apart. Whether this
    /// program kept its pace is measured, too, and said when it did not.
    ///
    /// The exit code is 4 if packets were lost, changed or delivered to the wrong party. Ctrl-C
    /// ends the run with a report, and the calls.
    Rtp(Box<rtp::RtpArgs>),
    /// Register and call at a rate through a SIP server
    ///
    /// This program is both sides: it registers accounts, calls from one to the next, answers,
    /// and hangs up, with the timers of RFC 3261. Whether the server keeps responses in order
    /// and whether media is led through a relay is noticed.
    ///
    /// The exit code is 4 if anything that was begun was not done. Ctrl-C ends the run with a
    /// report; calls are hung up and registrations ended in any case.
    Sip(Box<sip::SipArgs>),
}

/// What both kinds of load take.
#[derive(Args, Debug)]
struct CommonArgs {
    /// Process whose CPU is watched, by number or by the name of its program; may be given many
    /// times
    #[arg(long, value_name = "PID|NAME")]
    watch: Vec<String>,

    /// Core whose use is watched, interrupts included; may be given many times
    #[arg(long, value_name = "CORE")]
    watch_core: Vec<usize>,

    /// Address that is not this host's but may be loaded; may be given many times
    #[arg(long, value_name = "ADDRESS")]
    yes_send_to: Vec<IpAddr>,

    /// Draw the curve of times into this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<std::path::PathBuf>,
}

/// Makes the load.
pub(crate) fn run(context: &Context, args: &LoadArgs) -> Result<ExitCode, Failure> {
    let is_clean = match &args.command {
        LoadCommand::Rtp(args) => rtp::run(context, args),
        LoadCommand::Sip(args) => sip::run(context, args),
    }?;
    Ok(match is_clean {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_CODE_LOSS),
    })
}

impl CommonArgs {
    fn permission(&self) -> Permission {
        Permission::new(self.yes_send_to.clone())
    }
}

/// A flag that SIGINT and SIGTERM set. A second signal ends the process.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let registered =
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        registered.map_err(|error| Failure::failed(format!("cannot hear signals: {error}")))?;
    }
    Ok(stop)
}

/// A bar on standard error; nothing if that is no terminal.
fn progress_bar(duration: Duration) -> ProgressBar {
    let len = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Milliseconds, as the bar counts.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Draws how long all but some took.
fn draw(path: &Path, title: &str, x: &str, curves: &[Curve]) -> Result<(), Failure> {
    let plot = Plot {
        title,
        x,
        y: "µs",
        is_x_logarithmic: true,
        curves,
    };
    plot.write(path).map_err(explain)
}

/// Says where the report is about the generator rather than about what it loaded.
fn tell_limits(limits: &[String], cure: &str) {
    for limit in limits {
        remark(&format!(
            "tandem: the generator was the bottleneck: {limit}; {cure}"
        ));
    }
}

fn explain(error: LoadError) -> Failure {
    let text = error.to_string();
    match error {
        error if error.is_usage() => Failure::usage(text),
        error if error.is_unreachable() => Failure::unreachable(text),
        _ => Failure::failed(text),
    }
}

/// Rows for what was watched. `unit` is what `per_packet_us` is counted by.
fn add_uses(grid: &mut Grid, unit: &str, processes: &[ProcessUse], cores: &[CoreUse]) {
    for it in processes {
        let share = it.per_packet_us.map(|us| format!(", {us:.2} µs a {unit}"));
        let (cpu, memory) = (it.cpu_s, it.resident_kib / 1_024);
        grid.row([
            format!("{} ({})", it.name, it.pid),
            format!(
                "{cpu:.2} s of CPU{}, {memory} MiB",
                share.unwrap_or_default()
            ),
        ]);
    }
    for it in cores {
        let share = it.per_packet_us.map(|us| format!(", {us:.2} µs a {unit}"));
        let percent = |part: f64| format!("{:.0} %", part * 100.0);
        grid.row([
            format!("core {}", it.core),
            format!(
                "{} busy{}: programs {}, kernel {}, interrupts {}, stolen {}",
                percent(it.busy),
                share.unwrap_or_default(),
                percent(it.user),
                percent(it.system),
                percent(it.interrupts),
                percent(it.steal)
            ),
        ]);
    }
}

fn seconds(name: &str, value: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| Failure::usage(format!("{name} {value} is no time")))
}

fn times(it: &Percentiles) -> String {
    format!(
        "half {:.0} µs, 99 % {:.0} µs, 99.9 % {:.0} µs, all {:.0} µs",
        it.p50, it.p99, it.p999, it.max
    )
}

/// A number with a separator every three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
