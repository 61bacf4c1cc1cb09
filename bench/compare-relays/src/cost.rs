//! What one packet costs, by the sink method: media arrives over loopback and leaves through an
//! interface where nobody receives.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use tandem_load::rtp::{self, Options, Target};

use crate::plan::{Plan, Rounds};
use crate::relay::{Contestant, Running};
use crate::results::Cost;
use crate::world::SinkWorld;

/// A relay in its own sink.
struct Place<'a> {
    contestant: &'a Contestant,
    // Before the namespace, which cannot go while somebody is in it.
    relay: Running,
    world: SinkWorld,
}

/// Measures each point of the matrix with each relay, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, costs: &mut Vec<Cost>) -> Result<()> {
    let start = |contestant| start(plan, contestant);
    let places: Vec<Place<'_>> = plan
        .contestants
        .iter()
        .map(start)
        .collect::<Result<Vec<_>>>()?;
    for (round, streams, rate) in Rounds::new(plan) {
        for place in &places {
            if plan.is_stopped(stop) {
                return Ok(());
            }
            let cost = one(plan, place, round, streams, rate, stop)?;
            plan.tell(&cost.line());
            costs.push(cost);
        }
    }
    Ok(())
}

fn start<'a>(plan: &Plan, contestant: &'a Contestant) -> Result<Place<'a>> {
    let world = SinkWorld::new(&contestant.name)?;
    let others = [SinkWorld::SINK];
    let core = plan.cores.relay;
    let relay = contestant.start(&world.namespace, SinkWorld::RELAY, &others, core)?;
    Ok(Place {
        contestant,
        relay,
        world,
    })
}

fn one(
    plan: &Plan,
    place: &Place<'_>,
    round: u32,
    streams: u32,
    rate: u64,
    stop: &AtomicBool,
) -> Result<Cost> {
    let relay = &place.relay;
    let options = Options {
        calls: streams,
        rate: Some(rate),
        duration: plan.warm_up + plan.measure,
        warm_up: plan.warm_up,
        drain: Duration::from_millis(300),
        sink: Some(SinkWorld::SINK),
        sink_device: Some(SinkWorld::DEVICE.to_owned()),
        cores: vec![plan.cores.load],
        watch: vec![tandem_load::watch::Which::Pid(relay.media_pid())],
        watch_cores: vec![plan.cores.relay],
        timeout: Duration::from_secs(10),
        ..Options::new(Target::Ng(relay.server), relay.permission.clone())
    };
    let report = place
        .world
        .namespace
        .within(|| Ok(rtp::run(&options, stop, |_| ())?))?;
    Ok(Cost::new(
        &place.contestant.name,
        round,
        streams,
        rate,
        &report,
    ))
}
