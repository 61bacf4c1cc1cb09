//! What it costs to make a call and to end it: offer, answer and delete.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
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
        make(&mut client, &relay, CALLS_FIRST)?;
        end(&mut client, CALLS_FIRST)?;
        let before = Used::now(&relay);
        let began = Instant::now();
        make(&mut client, &relay, calls)?;
        let made = Used::now(&relay);
        end(&mut client, calls)?;
        let ended = Used::now(&relay);
        Ok((before, made, ended, began.elapsed()))
    });
    let (before, made, ended, elapsed) = result?;
    let each = |ns: u64| ns / u64::try_from(calls.max(1)).unwrap_or(1);
    Ok(SetUp {
        relay: contestant.name.clone(),
        is_peer: !contestant.is_ours(),
        round,
        calls,
        cpu_us_per_call: micros(each(ended.cpu_ns.saturating_sub(before.cpu_ns))),
        memory_bytes_per_call: each(
            made.memory_kib
                .saturating_sub(before.memory_kib)
                .saturating_mul(1_024),
        ),
        seconds: elapsed.as_secs_f64(),
    })
}

fn micros(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e6
}

/// What all processes of a relay have used.
#[derive(Clone, Copy, Debug)]
struct Used {
    cpu_ns: u64,
    memory_kib: u64,
}

impl Used {
    fn now(relay: &Running) -> Self {
        let pids = relay.pids();
        Self {
            cpu_ns: pids.iter().map(|pid| cpu_ns(*pid)).sum(),
            memory_kib: pids.iter().map(|pid| resident_kib(*pid)).sum(),
        }
    }
}

fn make(client: &mut NgClient, relay: &Running, calls: usize) -> Result<()> {
    for is_offer in [true, false] {
        client.ask_all(
            calls,
            |index, cookie| {
                let id = format!("set-up-{index}");
                let port = if is_offer { 8_000 } else { 8_002 };
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

fn end(client: &mut NgClient, calls: usize) -> Result<()> {
    client.ask_all(
        calls,
        |index, cookie| {
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
