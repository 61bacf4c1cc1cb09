//! Our relay beside rtpengine, on this machine, in interleaved rounds.
//!
//! ```text
//! sink world (cost.rs)       CPU of a packet, over streams × packets/s
//! two hosts (hosts.rs)       highest rate without loss; latency
//! either (set_up.rs)         CPU and memory of a call
//!        (transcoding.rs)    CPU of calls whose sides share no codec
//!        (sip.rs)            CPU of SIP calls and registrations, beside Kamailio
//!        (idle.rs)           memory of processes that do nothing
//! two hosts (asked.rs)       latency while 10,000 calls are listed, queried and counted
//!           (beside.rs)      latency while codec threads have more than they can do
//!           (crowd.rs)       CPU of a packet by the kernel's table, for few streams and many
//! ```
//!
//! Everything happens in network namespaces of its own, which go away at the end, after a failure
//! and after Ctrl-C; what a killed run left is taken away by the next one.

#![forbid(unsafe_code)]

mod asked;
mod beside;
mod clock;
mod contestants;
mod cost;
mod crowd;
mod files;
mod hosts;
mod idle;
mod namespace;
mod napi;
mod pace;
mod plan;
mod process;
mod ratios;
mod relay;
mod results;
mod search;
mod set_up;
mod sip;
mod speech;
mod transcoding;
mod world;
mod write;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};

use contestants::{Choice, Contestant, PEER, PEER_NEWER};
use pace::Pace;
use plan::{Effort, HOSTS_STREAMS, Plan};
use results::Results;
use world::Cores;

/// Compare our relay with rtpengine: cost, loss, latency, capacity, call set-up.
#[derive(Debug, Parser)]
#[command(name = "compare-relays", version, max_term_width = 100)]
struct Arguments {
    /// A few minutes instead of ten: every ratio, roughly
    #[arg(long, conflicts_with = "full")]
    quick: bool,

    /// The whole matrix of streams and rates, for the curves: an hour or two
    #[arg(long)]
    full: bool,

    /// What to measure; without it: all
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,

    /// Relays that take part, by name; without it: all there are
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,

    /// One more of ours with other settings of [relay], as NAME:KEY=VALUE,KEY=VALUE, where the
    /// key `folder` names other programs; or `floor`, which only forwards, or floor-NAME:OPTIONS;
    /// may be given many times
    #[arg(long, value_name = "NAME:SETTINGS")]
    variant: Vec<String>,

    /// The peer
    #[arg(long, value_name = "PROGRAM", default_value = "/usr/bin/rtpengine")]
    rtpengine: PathBuf,

    /// A newer rtpengine that takes part, too
    #[arg(long, value_name = "PROGRAM")]
    peer_binary: Option<PathBuf>,

    /// Seconds that 10,000 streams must endure at 60 % of the capacity, if not as many as usual
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    endurance: Option<u64>,

    /// Folder of our programs; without it: that of this one
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,

    /// Between two hosts: what is lost at these rates, in turns, rather than all that is usual
    #[arg(long, value_name = "PACKETS/S", value_delimiter = ',')]
    at: Vec<u64>,

    /// With --at: one-way streams
    #[arg(long, value_name = "N", requires = "at", default_value_t = HOSTS_STREAMS)]
    streams: u32,

    /// Between two hosts the generator sends through UDP sockets, rather than whole frames past
    /// its host's stack
    #[arg(long)]
    by_sockets: bool,

    /// Between two hosts packets that are due within so many microseconds leave together, as a NIC
    /// hands over what arrived between two interrupts
    #[arg(long, value_name = "US", default_value_t = 0)]
    gather: u64,

    /// Rounds, if not as many as usual
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,

    /// Priority of generator and relays alike, from -20 to 19, against what else this machine does
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_hyphen_values = true
    )]
    nice: i32,

    /// Core of the generator
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    load_core: usize,

    /// Core of the relay
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    relay_core: usize,

    /// Folder of the results
    #[arg(long, value_name = "FOLDER", default_value = "target/compare-relays")]
    out: PathBuf,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Latency while 10,000 calls are listed, queried and counted.
    Asked,
    /// Latency while codec threads have more than they can do.
    Beside,
    /// CPU of a packet, by the sink method.
    Cost,
    /// CPU of a packet by the kernel's table, for few streams and for many.
    Crowd,
    /// Highest rate without loss, latency and endurance, between two hosts.
    Hosts,
    /// Memory of processes that do nothing.
    Idle,
    /// CPU and memory of a call.
    SetUp,
    /// CPU of SIP calls and registrations, beside Kamailio.
    Sip,
    /// CPU of calls whose sides share no codec.
    Transcoding,
}

/// In this order: the cheap ones first.
const PARTS: [Part; 9] = [
    Part::Idle,
    Part::SetUp,
    Part::Sip,
    Part::Transcoding,
    Part::Asked,
    Part::Beside,
    Part::Crowd,
    Part::Cost,
    Part::Hosts,
];

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare-relays: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(reason) = obstacle() {
        println!("SKIPPED: {reason}");
        return Ok(());
    }
    if arguments.nice != 0 {
        // Relays inherit it.
        rustix::process::setpriority_process(None, arguments.nice)
            .context("cannot change the priority")?;
    }
    namespace::remove_stale();
    let stop = stop_flag()?;
    let mut skipped = Vec::new();
    let plan = plan(arguments, &mut skipped)?;
    let named = plan.contestants.iter();
    let named = named.map(|it| (it.name.clone(), it.version()));
    let mut results = Results::new(named.collect(), skipped);
    let parts = PARTS.into_iter();
    let parts = parts.filter(|it| arguments.part.is_empty() || arguments.part.contains(it));
    let parts: Vec<Part> = parts.collect();
    parts
        .iter()
        .for_each(|part| plan.clock.expect(expected_s(*part, &plan, &arguments.at)));
    // What one part cannot do does not keep the others from it.
    results.paces.extend(Pace::of(plan.cores.relay));
    for part in parts {
        if !plan.is_stopped(&stop)
            && let Err(error) = measure(part, &plan, &arguments.at, &stop, &mut results)
        {
            let reason = format!("{part:?}: {error:#}");
            plan.clock.tell(&format!("SKIPPED: {reason}"));
            results.skipped.push(reason);
        }
        results.paces.extend(Pace::of(plan.cores.relay));
    }
    results.is_stopped = stop.load(Ordering::Relaxed);
    let text = write::write(&results, &ratios(&plan, &results), &arguments.out)?;
    let minutes = plan.clock.elapsed().as_secs().div_ceil(60);
    println!(
        "\n{text}\n{minutes} minutes; written to {}",
        arguments.out.display()
    );
    Ok(())
}

fn measure(
    part: Part,
    plan: &Plan,
    at: &[u64],
    stop: &AtomicBool,
    results: &mut Results,
) -> Result<()> {
    match part {
        Part::Asked => asked::measure(plan, stop, &mut results.asked),
        Part::Beside => beside::measure(plan, stop, &mut results.besides),
        Part::Crowd => crowd::measure(plan, stop, &mut results.crowds),
        Part::Cost => cost::measure(plan, stop, &mut results.costs),
        Part::Hosts if !at.is_empty() => hosts::measure_at(plan, at, stop),
        Part::Hosts => hosts::measure(plan, stop, results),
        Part::Idle => idle::measure(plan, stop, &mut results.idles),
        Part::SetUp => set_up::measure(plan, stop, &mut results.set_ups),
        Part::Sip => sip::measure(plan, stop, &mut results.sips),
        Part::Transcoding => transcoding::measure(plan, stop, &mut results.transcodings),
    }
}

/// How long a part is thought to take.
fn expected_s(part: Part, plan: &Plan, at: &[u64]) -> f64 {
    let main = f64::from(u32::try_from(plan.main().count()).unwrap_or(0));
    match part {
        Part::Asked => asked::expected_s(plan),
        Part::Beside => beside::expected_s(plan),
        Part::Crowd => crowd::expected_s(plan),
        Part::Cost => cost::expected_s(plan),
        Part::Hosts if !at.is_empty() => hosts::expected_at_s(plan, at),
        Part::Hosts => hosts::expected_s(plan),
        Part::Idle => main * idle::EXPECTED_S,
        Part::Sip => sip::expected_s(plan),
        Part::Transcoding => transcoding::expected_s(plan),
        Part::SetUp => main * f64::from(plan.rounds) * plan.set_up_s(),
    }
}

fn ratios(plan: &Plan, results: &Results) -> Vec<ratios::Ratio> {
    let ours = plan.contestants.iter().filter(|it| it.is_ours());
    let ours: Vec<&str> = ours.map(|it| it.name.as_str()).collect();
    let mut all = ratios::ratios(results, &ours, PEER);
    all.extend(ratios::sip_ratios(results));
    // Nothing is promised of a newer peer, and what needs no peer has been said.
    let newer = ratios::ratios(results, &ours, PEER_NEWER);
    all.extend(
        newer
            .into_iter()
            .filter(|it| it.peer.is_some())
            .map(|it| ratios::Ratio { budget: None, ..it }),
    );
    all
}

fn plan(arguments: &Arguments, skipped: &mut Vec<String>) -> Result<Plan> {
    let folder = match &arguments.bin_dir {
        Some(folder) => folder.clone(),
        None => own_folder()?,
    };
    let choice = Choice {
        folder,
        rtpengine: &arguments.rtpengine,
        newer: arguments.peer_binary.as_deref(),
        variants: &arguments.variant,
        only: &arguments.only,
    };
    let contestants: Vec<Contestant> = contestants::gather(&choice, skipped)?;
    let cores = Cores {
        load: arguments.load_core,
        relay: arguments.relay_core,
    };
    let effort = match (arguments.quick, arguments.full) {
        (true, _) => Effort::Quick,
        (false, false) => Effort::Usual,
        (false, true) => Effort::Full,
    };
    let mut plan = Plan::new(effort, contestants, cores);
    plan.is_by_frames = !arguments.by_sockets;
    plan.gather = Duration::from_micros(arguments.gather);
    plan.streams = arguments.streams;
    plan.rounds = arguments.rounds.unwrap_or(plan.rounds);
    if let Some(seconds) = arguments.endurance {
        plan.endurance = Duration::from_secs(seconds);
    }
    if let Some(reason) = plan.fit(files::calls_possible()) {
        println!("SKIPPED: {reason}");
        skipped.push(reason);
    }
    Ok(plan)
}

/// Why nothing can be measured here.
fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may make network namespaces".to_owned());
    }
    let missing = ["ip", "taskset"].into_iter().find(|program| {
        let found = Command::new(program).arg("--version").output();
        // iproute2 spells it differently, which is no matter.
        found.is_err()
    });
    if let Some(program) = missing {
        return Some(format!("there is no program {program}"));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores < 2).then(|| "relay and generator need a core each".to_owned())
}

fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot hear signals")?;
    }
    Ok(stop)
}

fn own_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where am I")?;
    own.parent()
        .map(Path::to_owned)
        .context("a program is in a folder")
}
