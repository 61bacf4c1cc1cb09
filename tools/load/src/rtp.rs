//! Media: paced RTP through a relay, and a check of every packet that comes out of it.

mod arrivals;
mod calls;
mod io;
mod options;
mod report;
mod schedule;
mod stamp;
mod tally;
#[cfg(test)]
mod tests;
mod worker;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::link::Interface;
use crate::watch::{self, Sample, Watch};
use crate::{LoadError, Machine};
use arrivals::Arrivals;
use calls::{Call, Calls, Parties};
use io::Ports;
pub use options::{
    CALLS_MAX, CODECS, Codec, DURATION_MAX_S, Options, PAYLOAD_MAX, RATE_MAX, THREADS_MAX, Target,
};
use report::Findings;
pub use report::{Asked, Generator, Packets, Report, SetUp};
use schedule::{Pace, Schedule};
use stamp::Shape;
use tally::Tally;
use worker::{Shared, Stream, Work};

/// From the start of the threads to the first packet.
const LEAD: Duration = Duration::from_millis(50);

/// How often progress is told.
const STEP: Duration = Duration::from_millis(50);

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Time sent for.
    pub elapsed: Duration,
    /// Packets sent so far.
    pub sent: u64,
    /// Packets received so far.
    pub received: u64,
}

/// Sets the calls up, sends, checks, ends the calls, and reports.
///
/// `stop` ends it early, with a report of what was sent until then. `progress` is told some twenty
/// times a second how far it is.
///
/// # Errors
///
/// When options are out of bounds or a target is not permitted; when a call cannot be set up, in
/// which case those that were are ended.
pub fn run(
    options: &Options,
    stop: &AtomicBool,
    progress: impl FnMut(Progress),
) -> Result<Report, LoadError> {
    options.check()?;
    let watched = Watch::new(&options.watch, &options.watch_cores)?;
    let run = getrandom::u32().map_err(|error| LoadError::Option(error.to_string()))?;
    let groups = open_groups(options)?;
    let set_up_at = Instant::now();
    let parties = parties(options, &groups);
    let (calls, set_up_s) = match &options.target {
        Target::Ng(server) => {
            let calls = Calls::set_up(options, *server, run, &parties)?;
            (Some(calls), Some(set_up_at.elapsed().as_secs_f64()))
        }
        Target::Echoes(_) => (None, None),
    };
    if stop.load(Ordering::Relaxed) {
        return Err(LoadError::Stopped);
    }
    let places = calls.as_ref().map(|it| it.calls.as_slice());
    let works = plan(options, run, groups, places)?;
    let (tally, mut findings) = send(options, works, &watched, stop, progress);
    findings.set_up_s = set_up_s;
    // Whether or not that works, there is something to report.
    let _ = calls.map(Calls::end);
    Ok(Report::new(options, &tally, findings))
}

/// The two ports of each thread.
fn open_groups(options: &Options) -> Result<Vec<Ports>, LoadError> {
    let local = match options.local {
        Some(local) => local,
        None => local_address(options)?,
    };
    let interface = options.link.as_deref().map(Interface::find).transpose()?;
    let threads = options.cores.len().max(1);
    let open = |index| Ports::open(local, interface.as_ref(), index);
    (0..threads).map(open).collect()
}

/// The address that the target is reached from.
fn local_address(options: &Options) -> Result<IpAddr, LoadError> {
    let target = match &options.target {
        Target::Ng(server) => Some(*server),
        Target::Echoes(addresses) => addresses.first().copied(),
    };
    let target = target.ok_or_else(|| LoadError::Option("there is no target".to_owned()))?;
    crate::local_address_towards(target)
}

/// The ports of each call, in the order of the threads.
fn parties(options: &Options, groups: &[Ports]) -> Vec<Parties> {
    let calls = usize::try_from(options.calls).unwrap_or(usize::MAX);
    let shares = groups.iter().zip(shares(calls, groups.len()));
    let pairs = shares.flat_map(|(group, range)| range.map(|_| group.addresses()));
    pairs.collect()
}

/// Divides `count` into ranges of about the same length.
fn shares(count: usize, parts: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..parts).map(move |part| part * count / parts..(part + 1) * count / parts)
}

/// What each thread is to do.
fn plan(
    options: &Options,
    run: u32,
    groups: Vec<Ports>,
    calls: Option<&[Call]>,
) -> Result<Vec<Work>, LoadError> {
    let parts = groups.len();
    let count = match (&options.target, calls) {
        (_, Some(calls)) => calls.len(),
        (Target::Echoes(addresses), None) => addresses.len(),
        (Target::Ng(_), None) => 0,
    };
    let mut first = 0;
    let ranges = groups.into_iter().zip(shares(count, parts));
    ranges
        .enumerate()
        .map(|(index, (ports, range))| {
            let streams: Vec<Stream> = match (&options.target, calls) {
                (_, Some(calls)) => calls[range]
                    .iter()
                    .flat_map(|call| streams_of(options, call))
                    .collect(),
                (Target::Echoes(addresses), None) => {
                    addresses[range].iter().map(|it| echo(*it)).collect()
                }
                (Target::Ng(_), None) => Vec::new(),
            };
            let shape = shape(options, run);
            let ways = streams.iter().map(|it| (it.from, it.to));
            let is_receiving = options.sink.is_none();
            let work = Work {
                io: ports.into_io(shape.packet_len(), ways, is_receiving)?,
                first,
                schedule: Schedule::new(streams.len(), pace(options, run)),
                shape,
                measure_from: options.warm_up,
                drain: is_receiving.then_some(options.drain),
                gather_ns: nanoseconds(options.gather),
                core: options.cores.get(index).copied(),
                streams,
            };
            first += u32::try_from(work.streams.len()).unwrap_or(0);
            Ok(work)
        })
        .collect()
}

fn pace(options: &Options, run: u32) -> Pace {
    Pace {
        interval_ns: nanoseconds(options.interval()),
        ramp_ns: nanoseconds(options.ramp),
        end_ns: nanoseconds(options.duration),
        jitter_seed: options.is_jittered.then_some(u64::from(run)),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn shape(options: &Options, run: u32) -> Shape {
    let ptime_ms = u32::try_from(options.ptime.as_millis()).unwrap_or(20);
    Shape {
        run,
        payload_type: options.payload_type.unwrap_or(options.codec.payload_type),
        payload_len: options.payload_bytes(),
        timestamp_step: options.codec.ticks_per_ms * ptime_ms,
    }
}

/// The directions of a call. What a party receives comes from where it sends to: that is what
/// symmetric RTP means (RFC 4961).
fn streams_of(options: &Options, call: &Call) -> Vec<Stream> {
    let ends = [call.caller_sends_to, call.callee_sends_to];
    let stream = |from: usize| Stream {
        from,
        to: ends[from],
        arrives_at: 1 - from,
        arrives_from: Some(ends[1 - from]),
        sent: 0,
        arrivals: Arrivals::default(),
    };
    let is_one_way = options.is_one_way || options.sink.is_some();
    let directions = if is_one_way { 0..1 } else { 0..2 };
    directions.map(stream).collect()
}

fn echo(address: SocketAddr) -> Stream {
    Stream {
        from: 0,
        to: address,
        arrives_at: 0,
        arrives_from: Some(address),
        sent: 0,
        arrivals: Arrivals::default(),
    }
}

/// Runs the threads, and watches meanwhile.
fn send(
    options: &Options,
    works: Vec<Work>,
    watched: &Watch,
    stop: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> (Tally, Findings) {
    let shared = Shared {
        start: Instant::now() + LEAD,
        stop,
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
    };
    let device = options.sink_device.as_deref();
    let machine = Machine::read();
    let all_from = sunk(device);
    let backlog_from = watch::backlog_drops(&options.cores);
    thread::scope(|scope| {
        let shared = &shared;
        let threads: Vec<_> = works
            .into_iter()
            .map(|work| scope.spawn(move || worker::run(work, shared)))
            .collect();
        let mut until = |time: Duration| {
            while shared.start.elapsed() < time && !stop.load(Ordering::Relaxed) {
                thread::sleep(STEP.min(time.saturating_sub(shared.start.elapsed())));
                progress(Progress {
                    elapsed: shared.start.elapsed(),
                    sent: shared.sent.load(Ordering::Relaxed),
                    received: shared.received.load(Ordering::Relaxed),
                });
            }
        };
        until(options.warm_up);
        let from = Moment::now(watched, device);
        until(options.duration);
        let to = Moment::now(watched, device);
        let sending_s = shared.start.elapsed().as_secs_f64();
        let mut tally = Tally::default();
        for thread in threads {
            match thread.join() {
                Ok(part) => tally.add(&part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if options.sink.is_some() {
            // Nobody tells when the last packet has reached the sink.
            thread::sleep(options.drain);
        }
        let all = sunk(device).zip(all_from);
        let all = all.map(|(to, from)| to.saturating_sub(from));
        let measured = to.sunk.zip(from.sunk);
        let measured = measured.map(|(to, from)| to.saturating_sub(from));
        tally.backlog_full = watch::backlog_drops(&options.cores).saturating_sub(backlog_from);
        let findings = Findings {
            machine,
            set_up_s: None,
            sending_s,
            measured_s: (to.at - from.at).as_secs_f64(),
            processes: watched.processes(&from.sample, &to.sample),
            cores: watched.cores(&from.sample, &to.sample),
            sunk: all.zip(measured),
            is_stopped: stop.load(Ordering::Relaxed),
        };
        (tally, findings)
    })
}

/// What had been used and had arrived at one moment.
struct Moment {
    at: Instant,
    sample: Sample,
    sunk: Option<u64>,
}

impl Moment {
    fn now(watched: &Watch, device: Option<&str>) -> Self {
        Self {
            at: Instant::now(),
            sample: watched.sample(),
            sunk: sunk(device),
        }
    }
}

/// Packets that reached an interface on which nobody receives, in the namespace of this thread.
fn sunk(device: Option<&str>) -> Option<u64> {
    let device = device?;
    let text = fs::read_to_string("/proc/thread-self/net/dev").ok()?;
    arrived_at(&text, device)
}

/// What `/proc/net/dev` says that arrived at an interface: the second column. That counts packets
/// whether they are dropped behind it (ifb) or for want of an address (veth), but not those that
/// found no room before it.
#[must_use]
pub fn arrived_at(text: &str, device: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, counts) = line.split_once(':')?;
        let packets = counts.split_whitespace().nth(1)?;
        (name.trim() == device).then(|| packets.parse().ok())?
    })
}
