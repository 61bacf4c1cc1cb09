//! What it costs to make a call and to end it: offer, answer and delete.
//!
//! Three times: as fast as it goes, when a relay finds several requests each time that it wakes up,
//! by a relay that has just been started and by one that has had as many calls before; and one
//! request at a time, when it wakes up for each of them.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use control_ng::{Command, Delete, Negotiation};
use tandem_load::watch::{cpu_ns, resident_kib};
use tandem_load::{NgClient, describe};

use crate::contestants::Contestant;
use crate::plan::Plan;
use crate::relay::Running;
use crate::results::SetUp;
use crate::world::SinkWorld;

/// Calls that are made and ended before anything is measured: memory is taken in blocks.
const CALLS_FIRST: usize = 200;

/// Time between calls that end and others, after which no relay keeps anything of the first: ours
/// lets ports rest for five seconds.
const REST: Duration = Duration::from_secs(6);

/// Requests a second when they come one at a time: three for each call.
const REQUESTS_PER_SECOND: u32 = 3_000;

/// Calls that are made in this way.
const CALLS_PACED: usize = 2_000;

/// Measures each relay, freshly started, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, set_ups: &mut Vec<SetUp>) -> Result<()> {
    for round in 0..plan.rounds {
        for contestant in plan.main() {
            if plan.is_stopped(stop) {
                return Ok(());
            }
            let set_up = one(plan, contestant, round)?;
            plan.clock.tick(plan.set_up_s());
            plan.clock.tell(&set_up.line());
            set_ups.push(set_up);
        }
    }
    Ok(())
}

fn one(plan: &Plan, contestant: &Contestant, round: u32) -> Result<SetUp> {
    let world = SinkWorld::new(&contestant.name)?;
    let core = plan.cores.relay;
    let relay = Running::start(contestant, &world.namespace, SinkWorld::RELAY, &[], core)?;
    let calls = plan.set_up_calls;
    let result = world.namespace.within(|| {
        let mut client = NgClient::new(relay.server, Duration::from_secs(10), &relay.permission)?;
        make(&mut client, &relay, CALLS_FIRST, &Pace::None)?;
        end(&mut client, CALLS_FIRST, &Pace::None)?;
        let before = Used::now(&relay);
        make(&mut client, &relay, calls, &Pace::None)?;
        let made = Used::now(&relay);
        let memory = made.memory_since(&before, calls);
        end(&mut client, calls, &Pace::None)?;
        let at_first = Used::now(&relay).since(&before, calls);
        let memory_kib = made
            .sum()
            .memory_kib
            .saturating_sub(before.sum().memory_kib);
        thread::sleep(REST);
        let before = Used::now(&relay);
        let began = Instant::now();
        make(&mut client, &relay, calls, &Pace::None)?;
        end(&mut client, calls, &Pace::None)?;
        let ended = Used::now(&relay);
        let elapsed = began.elapsed();
        thread::sleep(REST);
        let rested = Used::now(&relay);
        make(&mut client, &relay, CALLS_PACED, &Pace::begin())?;
        end(&mut client, CALLS_PACED, &Pace::begin())?;
        let line = format!(
            "set-up   {:<16} newly started: {at_first}, {memory}; as fast as it goes: {}; \
             one request at a time: {}",
            contestant.name,
            ended.since(&before, calls),
            Used::now(&relay).since(&rested, CALLS_PACED),
        );
        let cpu_ns = ended.sum().cpu_ns.saturating_sub(before.sum().cpu_ns);
        Ok((line, cpu_ns, memory_kib, elapsed))
    });
    let (line, cpu_ns, memory_kib, elapsed) = result?;
    plan.clock.tell(&line);
    let each = |total: u64| total / u64::try_from(calls.max(1)).unwrap_or(1);
    Ok(SetUp {
        relay: contestant.name.clone(),
        is_peer: !contestant.is_ours(),
        round,
        calls,
        cpu_us_per_call: micros(each(cpu_ns)),
        memory_bytes_per_call: each(memory_kib.saturating_mul(1_024)),
        seconds: elapsed.as_secs_f64(),
    })
}

fn micros(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e6
}

/// When requests are sent.
pub(crate) enum Pace {
    /// As soon as there is room for more that are not answered.
    None,
    /// Each when its time has come.
    Even { began: Instant },
}

impl Pace {
    fn begin() -> Self {
        Self::Even {
            began: Instant::now(),
        }
    }

    fn wait(&self, index: usize) {
        if let Self::Even { began } = self {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let due = *began + Duration::from_secs(1) * index / REQUESTS_PER_SECOND;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

/// What the processes of a relay have used, one by one.
#[derive(Clone, Debug)]
struct Used {
    processes: Vec<Process>,
}

#[derive(Clone, Debug)]
struct Process {
    name: String,
    used: Sum,
}

/// What several processes have used together.
#[derive(Clone, Copy, Debug)]
struct Sum {
    cpu_ns: u64,
    memory_kib: u64,
}

impl Used {
    fn now(relay: &Running) -> Self {
        let process = |pid: u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            Process {
                name: name.trim().to_owned(),
                used: Sum {
                    cpu_ns: cpu_ns(pid),
                    memory_kib: resident_kib(pid),
                },
            }
        };
        Self {
            processes: relay.pids().into_iter().map(process).collect(),
        }
    }

    fn sum(&self) -> Sum {
        let used = || self.processes.iter().map(|it| it.used);
        Sum {
            cpu_ns: used().map(|it| it.cpu_ns).sum(),
            memory_kib: used().map(|it| it.memory_kib).sum(),
        }
    }

    /// The memory that each process has taken for a call since then.
    fn memory_since(&self, before: &Self, calls: usize) -> String {
        let calls = u64::try_from(calls.max(1)).unwrap_or(1);
        let pairs = self.processes.iter().zip(&before.processes);
        let parts = pairs.map(|(after, before)| {
            let kib = after.used.memory_kib.saturating_sub(before.used.memory_kib);
            format!("{} {} bytes", after.name, kib * 1_024 / calls)
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// The CPU that each process has used for a call since then.
    fn since(&self, before: &Self, calls: usize) -> String {
        let calls = u64::try_from(calls.max(1)).unwrap_or(1);
        let pairs = self.processes.iter().zip(&before.processes);
        let parts = pairs.map(|(after, before)| {
            let ns = after.used.cpu_ns.saturating_sub(before.used.cpu_ns);
            format!("{} {:.0} µs", after.name, micros(ns / calls))
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Makes calls that say nothing.
pub(crate) fn make(
    client: &mut NgClient,
    relay: &Running,
    calls: usize,
    pace: &Pace,
) -> Result<()> {
    make_calls(client, relay, calls, calls, pace)
}

/// The same as fast as it goes; only the first `opened` of them get ports, and the stream of the
/// others is refused.
pub(crate) fn make_some_open(
    client: &mut NgClient,
    relay: &Running,
    calls: usize,
    opened: usize,
) -> Result<()> {
    make_calls(client, relay, calls, opened, &Pace::None)
}

fn make_calls(
    client: &mut NgClient,
    relay: &Running,
    calls: usize,
    opened: usize,
    pace: &Pace,
) -> Result<()> {
    for (turn, is_offer) in [true, false].into_iter().enumerate() {
        client.ask_all(
            calls,
            |index, cookie| {
                pace.wait(turn * calls + index);
                let id = format!("set-up-{index}");
                let port = match (index < opened, is_offer) {
                    (true, true) => 8_000,
                    (true, false) => 8_002,
                    (false, _) => 0,
                };
                let sdp = describe(SocketAddr::new(relay.server.ip(), port), 0, "", 20);
                let it = Negotiation::new(id.as_bytes(), b"caller", sdp.as_bytes());
                let it = it.replace_origin();
                let command = match is_offer {
                    true => Command::Offer(it),
                    false => Command::Answer(it.to_tag(b"callee")),
                };
                command.encode(cookie)
            },
            |_, reply| accept(relay, reply),
        )?;
    }
    Ok(())
}

fn end(client: &mut NgClient, calls: usize, pace: &Pace) -> Result<()> {
    client.ask_all(
        calls,
        |index, cookie| {
            pace.wait(index);
            Command::Delete(Delete {
                call_id: format!("set-up-{index}").as_bytes(),
                from_tag: Some(b"caller"),
                delay_s: Some(0),
                ..Delete::default()
            })
            .encode(cookie)
        },
        |_, _| Ok(()),
    )?;
    Ok(())
}

fn accept(relay: &Running, reply: &control_ng::Reply<'_>) -> Result<(), tandem_load::LoadError> {
    match reply.error_reason() {
        None => Ok(()),
        Some(reason) => Err(tandem_load::LoadError::Refused {
            server: relay.server,
            what: "a call".to_owned(),
            reason: reason.into_owned(),
        }),
    }
}
