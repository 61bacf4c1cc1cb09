//! `tandem load sip`

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tandem_load::sip::{Mode, Options, Progress, Report};

use super::{
    CommonArgs, add_uses, draw, explain, millis, progress_bar, seconds, stop_flag, tell_limits,
    thousands, times,
};
use crate::failure::Failure;
use crate::output::{Grid, print_as_json};
use crate::{Context, examples};

/// Where our own SIP proxy listens unless it is told otherwise.
const SERVER: &str = "127.0.0.1:5060";

/// Holds the password of the accounts, so that no list of processes shows it.
const PASSWORD_VARIABLE: &str = "TANDEM_LOAD_PASSWORD";

/// `tandem load sip`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "for i in 0 1 2 3; do echo secret | tandem user add load$i --stdin; done" => "accounts for the load",
    "TANDEM_LOAD_PASSWORD=secret tandem load sip --users 4 --rate 100 --seconds 30" => "100 calls a second among them",
    "TANDEM_LOAD_PASSWORD=secret tandem load sip registrations --users 4 --rate 1000" => "registrations",
    "tandem load sip --server 127.0.0.1:5062 --watch kamailio --hold 0 --rate 500" => "through another proxy, with what it costs"
))]
pub(super) struct SipArgs {
    /// What is begun
    #[arg(value_enum, default_value_t = What::Calls)]
    what: What,

    /// The SIP server, over UDP
    #[arg(long, value_name = "ADDRESS:PORT", default_value = SERVER)]
    server: SocketAddr,

    /// Domain of the accounts. Without it: the server's address
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,

    /// Calls or registrations begun per second
    #[arg(long, value_name = "N", default_value_t = 10)]
    rate: u32,

    /// Seconds to begin
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,

    /// Accounts: load0, load1 … They must exist at the server, all with the password in
    /// $TANDEM_LOAD_PASSWORD
    #[arg(long, value_name = "N", default_value_t = 10)]
    users: u32,

    /// What the names of the accounts begin with
    #[arg(long, value_name = "TEXT", default_value = "load")]
    prefix: String,

    /// Seconds that callees ring
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    ring: f64,

    /// Seconds that calls last
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    hold: f64,

    /// Calls at a time; more are left out
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    calls_at_a_time: usize,

    /// Seconds to wait at the end for what is not done
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    drain: f64,

    /// Core to stay on
    #[arg(long, value_name = "CORE")]
    core: Option<usize>,

    #[command(flatten)]
    common: CommonArgs,
}

/// What is begun at a rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    /// Calls from account to account, which this program answers
    Calls,
    /// Registrations
    Registrations,
}

/// Makes the load, prints the report, and says whether all was done.
pub(super) fn run(context: &Context, args: &SipArgs) -> Result<bool, Failure> {
    let options = options(args)?;
    let stop = stop_flag()?;
    let bar = progress_bar(options.duration);
    let result = tandem_load::sip::run(&options, &stop, |progress: Progress| {
        bar.set_position(millis(progress.elapsed));
        bar.set_message(format!(
            "{} begun, {} done",
            thousands(progress.begun),
            thousands(progress.done)
        ));
    });
    bar.finish_and_clear();
    let report = result.map_err(explain)?;
    if let Some(path) = &args.common.plot {
        draw(
            path,
            "Time to respond",
            "one in … takes longer",
            &report.curves,
        )?;
    }
    if context.json {
        print_as_json(&report)?;
    } else {
        print_report(&report)?;
    }
    tell_limits(&report.limits, "use another core, or less load");
    Ok(report.is_clean())
}

fn options(args: &SipArgs) -> Result<Options, Failure> {
    let mode = match args.what {
        What::Calls => Mode::Calls,
        What::Registrations => Mode::Registrations,
    };
    let common = &args.common;
    Ok(Options {
        domain: args.domain.clone(),
        rate: args.rate,
        duration: seconds("--seconds", args.seconds)?,
        users: args.users,
        prefix: args.prefix.clone(),
        password: std::env::var(PASSWORD_VARIABLE).unwrap_or_default(),
        ring: seconds("--ring", args.ring)?,
        hold: seconds("--hold", args.hold)?,
        calls_at_a_time: args.calls_at_a_time,
        drain: drain(args)?,
        core: args.core,
        watch: common.watch.iter().map(|it| it.as_str().into()).collect(),
        watch_cores: common.watch_core.clone(),
        ..Options::new(args.server, mode, common.permission())
    })
}

/// Calls that ring at the end of the load have to be waited for.
fn drain(args: &SipArgs) -> Result<Duration, Failure> {
    Ok(seconds("--drain", args.drain)?.max(seconds("--ring", args.ring)?))
}

fn print_report(report: &Report) -> Result<(), Failure> {
    let asked = &report.asked;
    let mut grid = Grid::new(&["WHAT", "HOW MUCH"]);
    let mut row = |what: &str, how_much: String| grid.row([what.to_owned(), how_much]);
    let (mode, rate, users) = (asked.mode, asked.rate, asked.users);
    row(
        "asked",
        format!(
            "{rate} {mode} a second at {}, {users} accounts",
            asked.server
        ),
    );
    if report.is_stopped {
        row("stopped", "before its time".to_owned());
    }
    row("begun", thousands(report.begun));
    let per_second = report.done_per_second;
    row(
        "done",
        format!("{}, {per_second:.1} a second", thousands(report.done)),
    );
    for (status, count) in &report.failures {
        let what = match status {
            0 => "no answer".to_owned(),
            status => format!("status {status}"),
        };
        row(&what, thousands(*count));
    }
    let counts = [
        ("challenges", report.challenges),
        ("media anchored", report.anchored),
        ("sent again", report.retransmissions_sent),
        ("received again", report.retransmissions_received),
        ("out of order", report.out_of_order),
        ("malformed", report.malformed),
    ];
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        row(what, thousands(count));
    }
    for (what, it) in &report.times_us {
        row(what, times(it));
    }
    let unit = mode.strip_suffix('s').unwrap_or(mode);
    add_uses(&mut grid, unit, &report.processes, &report.cores);
    grid.print("")
}
