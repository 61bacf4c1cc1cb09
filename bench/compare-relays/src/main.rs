//! Our relay beside rtpengine, on this machine, in interleaved rounds.
//!
//! ```text
//! sink world (cost.rs)       CPU of a packet, over streams × packets/s
//! two hosts (hosts.rs)       highest rate without loss; latency
//! either (set_up.rs)         CPU and memory of a call
//! ```
//!
//! Everything happens in network namespaces of its own, which go away at the end, after a failure
//! and after Ctrl-C; what a killed run left is taken away by the next one.

#![forbid(unsafe_code)]

mod cost;
mod files;
mod hosts;
mod namespace;
mod plan;
mod relay;
mod results;
mod set_up;
mod world;
mod write;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use tandem_load::Machine;

use plan::Plan;
use relay::{Contestant, Kind};
use results::Results;
use world::Cores;

/// Compare our relay with rtpengine: cost, loss, latency, capacity, call set-up.
#[derive(Debug, Parser)]
#[command(name = "compare-relays", version, max_term_width = 100)]
struct Arguments {
    /// A few minutes instead of half an hour
    #[arg(long)]
    quick: bool,

    /// What to measure; without it: all
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,

    /// Relays that take part, by name; without it: all there are
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,

    /// One more of ours with other settings of [relay], as NAME:KEY=VALUE,KEY=VALUE; may be given
    /// many times
    #[arg(long, value_name = "NAME:SETTINGS")]
    variant: Vec<String>,

    /// The peer
    #[arg(long, value_name = "PROGRAM", default_value = "/usr/bin/rtpengine")]
    rtpengine: PathBuf,

    /// A newer rtpengine that takes part, too
    #[arg(long, value_name = "PROGRAM")]
    newest: Option<PathBuf>,

    /// Folder of our programs; without it: that of this one
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,

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
    /// CPU of a packet, by the sink method.
    Cost,
    /// Highest rate without loss, and latency, between two hosts.
    Hosts,
    /// CPU and memory of a call.
    SetUp,
}

/// The name of Debian's rtpengine in tables.
const PEER: &str = "rtpengine";

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
    let contestants = contestants(arguments, &mut skipped)?;
    let plan = plan(arguments, contestants, &mut skipped);
    let mut results = Results {
        machine: Machine::read(),
        contestants: plan
            .contestants
            .iter()
            .map(|it| (it.name.clone(), version(&it.kind)))
            .collect(),
        costs: Vec::new(),
        capacities: Vec::new(),
        latencies: Vec::new(),
        set_ups: Vec::new(),
        skipped,
        is_stopped: false,
    };
    let is_wanted = |part| arguments.part.is_empty() || arguments.part.contains(&part);
    // What one part cannot do does not keep the others from it.
    for part in [Part::SetUp, Part::Cost, Part::Hosts] {
        if is_wanted(part)
            && let Err(error) = measure(part, &plan, &stop, &mut results)
        {
            results.skipped.push(format!("{part:?}: {error:#}"));
        }
    }
    results.is_stopped = stop.load(Ordering::Relaxed);
    let ours = plan.contestants.iter().filter(|it| it.is_ours());
    let ratios: Vec<_> = ours.flat_map(|it| results.ratios(&it.name, PEER)).collect();
    let text = write::write(&results, &ratios, &arguments.out)?;
    println!("\n{text}\nwritten to {}", arguments.out.display());
    Ok(())
}

fn measure(part: Part, plan: &Plan, stop: &AtomicBool, results: &mut Results) -> Result<()> {
    match part {
        Part::Cost => cost::measure(plan, stop, &mut results.costs),
        Part::Hosts => hosts::measure(plan, stop, results),
        Part::SetUp => set_up::measure(plan, stop, &mut results.set_ups),
    }
}

fn plan(arguments: &Arguments, contestants: Vec<Contestant>, skipped: &mut Vec<String>) -> Plan {
    let cores = Cores {
        load: arguments.load_core,
        relay: arguments.relay_core,
    };
    let mut plan = match arguments.quick {
        true => Plan::quick(contestants, cores),
        false => Plan::full(contestants, cores),
    };
    plan.rounds = arguments.rounds.unwrap_or(plan.rounds);
    if let Some(reason) = plan.fit(files::calls_possible()) {
        println!("SKIPPED: {reason}");
        skipped.push(reason);
    }
    plan
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

fn contestants(arguments: &Arguments, skipped: &mut Vec<String>) -> Result<Vec<Contestant>> {
    let folder = match &arguments.bin_dir {
        Some(folder) => folder.clone(),
        None => own_folder()?,
    };
    let mut all = Vec::new();
    if let Some(program) = ["tandem-relay", "tandem-control"]
        .into_iter()
        .find(|it| !folder.join(it).exists())
    {
        bail!(
            "there is no {program} in {}: cargo build --release -p relay -p control",
            folder.display()
        );
    }
    let tandem = |name: &str, settings: String| Contestant {
        name: name.to_owned(),
        kind: Kind::Tandem {
            folder: folder.clone(),
            settings,
        },
    };
    for driver in ["uring", "poll"] {
        all.push(tandem(driver, format!("driver = \"{driver}\"")));
    }
    for variant in &arguments.variant {
        let (name, settings) = variant
            .split_once(':')
            .with_context(|| format!("{variant} is not of the form NAME:KEY=VALUE"))?;
        all.push(tandem(name, settings.replace(',', "\n")));
    }
    let peers = [
        (PEER, Some(&arguments.rtpengine)),
        ("newest", arguments.newest.as_ref()),
    ];
    for (name, program) in peers {
        let Some(program) = program else { continue };
        if program.exists() {
            all.push(Contestant {
                name: name.to_owned(),
                kind: Kind::Rtpengine {
                    program: program.clone(),
                },
            });
        } else {
            let reason = format!("{name}: there is no {}", program.display());
            println!("SKIPPED: {reason}");
            skipped.push(reason);
        }
    }
    all.retain(|it| arguments.only.is_empty() || arguments.only.contains(&it.name));
    if all.is_empty() {
        bail!("no relay of these names: {}", arguments.only.join(", "));
    }
    Ok(all)
}

fn own_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where am I")?;
    own.parent()
        .map(Path::to_owned)
        .context("a program is in a folder")
}

fn version(kind: &Kind) -> String {
    let (program, settings) = match kind {
        Kind::Tandem { folder, settings } => (folder.join("tandem-relay"), settings.as_str()),
        Kind::Rtpengine { program } => (program.clone(), "--table=-1 --num-threads=1"),
    };
    let output = Command::new(&program).arg("--version").output();
    let text = output.map(|it| [it.stdout, it.stderr].concat());
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let version = text.lines().next().unwrap_or("unknown").trim();
    format!("{version}, {}", settings.replace('\n', ", "))
}
