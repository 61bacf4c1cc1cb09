//! What a transcoded stream costs: speech of one codec arrives over loopback, and that of another
//! leaves through an interface where nobody receives. A call is one stream in either direction.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use codec::{Codec, Rate};
use tandem_load::NgClient;
use tandem_load::watch::cpu_ns;

use crate::contestants::Contestant;
use crate::plan::Plan;
use crate::relay::Running;
use crate::results::{ByRound, Transcoded};
use crate::speech::{self, Ends, Speech, packet_ms};
use crate::world::SinkWorld;

/// What is on the other side of A-law.
pub(crate) const PARTNERS: [Codec; 5] = [
    Codec::Pcmu,
    Codec::G722,
    Codec::Gsm,
    Codec::Ilbc(codec::ilbc::Mode::Ms30),
    Codec::Opus(Rate::Narrow),
];

/// Streams at once: enough for codecs to find company, and few enough for one core and any of them.
const STREAMS: usize = 32;

/// Who hears is nobody.
const ENDS: Ends = Ends {
    caller: SinkWorld::RELAY,
    callee: SinkWorld::SINK,
};

/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Seconds that all of it is thought to take.
pub(crate) fn expected_s(plan: &Plan) -> f64 {
    let runs = plan.main().count() * 2 * PARTNERS.len();
    let runs = f64::from(u32::try_from(runs).unwrap_or(0)) * f64::from(plan.rounds);
    runs * ((WARM_UP + plan.measure).as_secs_f64() + 0.5)
}

/// Measures each pair in either direction with each relay, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, all: &mut Vec<Transcoded>) -> Result<()> {
    let start = |contestant| Place::start(plan, contestant);
    let places = plan.main().map(start).collect::<Result<Vec<_>>>()?;
    for round in 0..plan.rounds {
        for partner in PARTNERS {
            for (from, to) in [(Codec::Pcma, partner), (partner, Codec::Pcma)] {
                for place in &places {
                    if plan.is_stopped(stop) {
                        return Ok(());
                    }
                    let it = place.measure(plan, round, from, to)?;
                    plan.clock
                        .tick((WARM_UP + plan.measure).as_secs_f64() + 0.5);
                    plan.clock.tell(&it.line());
                    all.push(it);
                }
            }
        }
    }
    Ok(())
}

/// A relay in its own sink.
struct Place<'a> {
    contestant: &'a Contestant,
    // Before the namespace, which cannot go while somebody is in it.
    relay: Running,
    world: SinkWorld,
}

impl<'a> Place<'a> {
    fn start(plan: &Plan, contestant: &'a Contestant) -> Result<Self> {
        let world = SinkWorld::new(&contestant.name)?;
        let others = [SinkWorld::SINK];
        let relay = Running::start(
            contestant,
            &world.namespace,
            SinkWorld::RELAY,
            &others,
            plan.cores.relay,
        )?;
        Ok(Self {
            contestant,
            relay,
            world,
        })
    }

    fn measure(&self, plan: &Plan, round: u32, from: Codec, to: Codec) -> Result<Transcoded> {
        let measured = plan.measure;
        self.world.namespace.within(|| {
            let mut client = NgClient::new(
                self.relay.server,
                Duration::from_secs(10),
                &self.relay.permission,
            )?;
            let streams = speech::begin(&mut client, STREAMS, ENDS, (from, to))?;
            let speech = Speech::new(from, WARM_UP + measured);
            speech.play(&streams, Duration::ZERO, WARM_UP, Duration::ZERO)?;
            let (before, left) = (cpu_ns(self.relay.media_pid()), SinkWorld::left()?);
            speech.play(&streams, WARM_UP, measured, Duration::ZERO)?;
            let cpu_ns = cpu_ns(self.relay.media_pid()).saturating_sub(before);
            let left = SinkWorld::left()?.saturating_sub(left);
            speech::end(&mut client, STREAMS)?;
            let streams = f64::from(u32::try_from(STREAMS)?);
            let seconds = measured.as_secs_f64();
            let due = streams * seconds * 1_000.0 / f64::from(packet_ms(to));
            Ok(Transcoded {
                relay: self.contestant.name.clone(),
                round,
                from: from.name().to_owned(),
                to: to.name().to_owned(),
                cpu_ms_per_second: Duration::from_nanos(cpu_ns).as_secs_f64() * 1e3
                    / streams
                    / seconds,
                left: f64::from(u32::try_from(left)?) / due,
            })
        })
    }
}

/// Milliseconds of CPU for a second of a call with both directions, by round.
pub(crate) fn call_ms(all: &[Transcoded], relay: &str, partner: &str) -> ByRound {
    let mut sums: BTreeMap<u32, (f64, u32)> = BTreeMap::new();
    let of = |it: &&Transcoded| {
        it.relay == relay && (it.from == partner || it.to == partner) && it.is_done()
    };
    for it in all.iter().filter(of) {
        let sum = sums.entry(it.round).or_default();
        *sum = (sum.0 + it.cpu_ms_per_second, sum.1 + 1);
    }
    let whole = sums
        .into_iter()
        .filter(|(_, (_, directions))| *directions == 2);
    whole.map(|(round, (ms, _))| (round, ms)).collect()
}

/// Those that calls are measured with.
pub(crate) fn partners() -> impl Iterator<Item = &'static str> {
    PARTNERS.into_iter().map(Codec::name)
}
