//! What one packet costs, by the sink method: media arrives over loopback and leaves through an
//! interface where nobody receives.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use tandem_load::rtp::{self, Options, Target};
use tandem_load::watch::Which;

use crate::contestants::Contestant;
use crate::plan::{Plan, Point};
use crate::relay::Running;
use crate::results::Cost;
use crate::world::SinkWorld;

/// Who loses more than one packet in so many is saturated, and spared higher rates.
const SATURATED_ONE_IN: u64 = 20;

/// A relay in its own sink.
struct Place<'a> {
    contestant: &'a Contestant,
    // Before the namespace, which cannot go while somebody is in it.
    relay: Running,
    world: SinkWorld,
    /// By streams, the lowest rate that was too much.
    saturated: BTreeMap<u32, u64>,
}

/// Measures each point of the matrix with each relay, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, costs: &mut Vec<Cost>) -> Result<()> {
    let start = |contestant| start(plan, contestant);
    let places: Result<Vec<Place<'_>>> = plan.of_cost().map(start).collect();
    let mut places = places?;
    for (round, point) in turns(plan) {
        for place in &mut places {
            if plan.is_stopped(stop) {
                return Ok(());
            }
            if takes_part(place.contestant, &point) {
                if !place.is_saturated(&point) {
                    let cost = one(plan, place, round, &point, stop)?;
                    plan.clock.tell(&cost.line());
                    place.learn(&point, &cost);
                    costs.push(cost);
                }
                plan.clock.tick(plan.cost_s(&point));
            }
        }
    }
    Ok(())
}

/// Seconds that all of it is thought to take.
pub(crate) fn expected_s(plan: &Plan) -> f64 {
    let of = |point: &Point| {
        let who = plan.of_cost().filter(|it| takes_part(it, point));
        f64::from(u32::try_from(who.count()).unwrap_or(0)) * plan.cost_s(point)
    };
    f64::from(plan.rounds) * plan.matrix.iter().map(of).sum::<f64>()
}

fn takes_part(contestant: &Contestant, point: &Point) -> bool {
    contestant.is_main || contestant.is_floor() || !point.is_for_main
}

/// The points of the matrix, once a round.
fn turns(plan: &Plan) -> impl Iterator<Item = (u32, Point)> {
    let points = |round| plan.matrix.iter().map(move |point| (round, *point));
    (0..plan.rounds).flat_map(points)
}

impl Place<'_> {
    fn is_saturated(&self, point: &Point) -> bool {
        let rate = self.saturated.get(&point.streams);
        rate.is_some_and(|rate| *rate < point.rate)
    }

    fn learn(&mut self, point: &Point, cost: &Cost) {
        if cost.lost * SATURATED_ONE_IN > cost.sent {
            let rate = self.saturated.entry(point.streams).or_insert(point.rate);
            *rate = point.rate.min(*rate);
        }
    }
}

fn start<'a>(plan: &Plan, contestant: &'a Contestant) -> Result<Place<'a>> {
    let world = SinkWorld::new(&contestant.name)?;
    let others = [SinkWorld::SINK];
    let core = plan.cores.relay;
    let relay = Running::start(
        contestant,
        &world.namespace,
        SinkWorld::RELAY,
        &others,
        core,
    )?;
    Ok(Place {
        contestant,
        relay,
        world,
        saturated: BTreeMap::new(),
    })
}

fn one(
    plan: &Plan,
    place: &Place<'_>,
    round: u32,
    point: &Point,
    stop: &AtomicBool,
) -> Result<Cost> {
    let relay = &place.relay;
    let options = Options {
        calls: point.streams,
        rate: Some(point.rate),
        duration: plan.warm_up + plan.measure,
        warm_up: plan.warm_up,
        drain: Duration::from_millis(300),
        sink: Some(SinkWorld::SINK),
        sink_device: Some(SinkWorld::DEVICE.to_owned()),
        cores: vec![plan.cores.load],
        watch: vec![Which::Pid(relay.media_pid())],
        watch_cores: vec![plan.cores.relay],
        timeout: Duration::from_secs(10),
        ..Options::new(Target::Ng(relay.server), relay.permission.clone())
    };
    let namespace = &place.world.namespace;
    let report = namespace.within(|| Ok(rtp::run(&options, stop, |_| ())?))?;
    let name = &place.contestant.name;
    Ok(Cost::new(name, round, point.streams, point.rate, &report))
}
