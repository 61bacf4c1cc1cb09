//! What a transcoded stream costs: speech of one codec arrives over loopback, and that of another
//! leaves through an interface where nobody receives. A call is one stream in either direction.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use codec::{Codec, Encoder, PAYLOAD_LEN_MAX, Rate};
use control_ng::{CodecDirective, Codecs, Command, Delete, Negotiation};
use tandem_load::watch::cpu_ns;
use tandem_load::{NgClient, describe, media_address};

use crate::contestants::Contestant;
use crate::plan::Plan;
use crate::relay::Running;
use crate::results::{ByRound, Transcoded};
use crate::world::SinkWorld;

/// What is on the other side of A-law.
const PARTNERS: [Codec; 5] = [
    Codec::Pcmu,
    Codec::G722,
    Codec::Gsm,
    Codec::Ilbc(codec::ilbc::Mode::Ms30),
    Codec::Opus(Rate::Narrow),
];

/// Streams at once: enough for codecs to find company, and few enough for one core and any of them.
const STREAMS: usize = 32;

/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Number of a codec that has none of its own: no call has two of these.
const DYNAMIC: u8 = 96;

/// Bytes before a payload.
const HEADER_LEN: usize = 12;

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
            let streams = (0..STREAMS).map(|at| stream(&mut client, at, from, to));
            let streams = streams.collect::<Result<Vec<_>>>()?;
            let speech = Speech::new(from, WARM_UP + measured);
            speech.play(&streams, Duration::ZERO, WARM_UP)?;
            let (before, left) = (cpu_ns(self.relay.media_pid()), SinkWorld::left()?);
            speech.play(&streams, WARM_UP, measured)?;
            let cpu_ns = cpu_ns(self.relay.media_pid()).saturating_sub(before);
            let left = SinkWorld::left()?.saturating_sub(left);
            end(&mut client)?;
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

/// One who speaks, and where to.
struct Stream {
    socket: UdpSocket,
    relay: SocketAddr,
}

/// Sets up a call of which one side speaks.
fn stream(client: &mut NgClient, at: usize, from: Codec, to: Codec) -> Result<Stream> {
    let socket = UdpSocket::bind((SinkWorld::RELAY, 0)).context("cannot open a socket")?;
    let id = format!("transcoding-{at}");
    let callee = SocketAddr::new(SinkWorld::SINK, 20_000 + u16::try_from(2 * at)?);
    let offered = sdp(from, socket.local_addr()?);
    let mut offer = Negotiation::new(id.as_bytes(), b"caller", offered.as_bytes()).replace_origin();
    let mut codecs = Codecs::default();
    let wanted = encoding(to);
    codecs.push(CodecDirective::Transcode, wanted.as_bytes());
    offer.codecs = codecs;
    client.ask(&Command::Offer(offer), |_| ())?;
    let answered = sdp(to, callee);
    let answer = Negotiation::new(id.as_bytes(), b"caller", answered.as_bytes())
        .replace_origin()
        .to_tag(b"callee");
    let relay = client.ask(&Command::Answer(answer), |reply| {
        reply.sdp().and_then(media_address)
    })?;
    let Some(relay) = relay else {
        bail!("the answer to {} has no address", from.name());
    };
    Ok(Stream { socket, relay })
}

fn end(client: &mut NgClient) -> Result<()> {
    for at in 0..STREAMS {
        let id = format!("transcoding-{at}");
        let delete = Delete {
            call_id: id.as_bytes(),
            from_tag: Some(b"caller"),
            delay_s: Some(0),
            ..Delete::default()
        };
        client.ask(&Command::Delete(delete), |_| ())?;
    }
    Ok(())
}

fn sdp(codec: Codec, address: SocketAddr) -> String {
    let encoding = encoding(codec);
    describe(
        address,
        payload_type(codec),
        &encoding,
        packet_ms(codec).into(),
    )
}

/// Milliseconds of a packet.
fn packet_ms(codec: Codec) -> u8 {
    codec.descriptor().packet_ms
}

/// As `a=rtpmap` has it.
fn encoding(codec: Codec) -> String {
    let it = codec.descriptor();
    match it.channels {
        0 | 1 => format!("{}/{}", it.name, it.rtp_clock_hz),
        channels => format!("{}/{}/{channels}", it.name, it.rtp_clock_hz),
    }
}

fn payload_type(codec: Codec) -> u8 {
    codec.descriptor().static_payload_type.unwrap_or(DYNAMIC)
}

/// Payloads, and when each is due.
struct Speech {
    codec: Codec,
    interval: Duration,
    payloads: Vec<Vec<u8>>,
}

impl Speech {
    fn new(codec: Codec, length: Duration) -> Self {
        let interval = Duration::from_millis(packet_ms(codec).into());
        let samples = codec.packet_samples(packet_ms(codec).into());
        let count = length.as_millis() / interval.as_millis();
        let mut encoder = Encoder::new(codec).ok();
        let mut place = vec![0; PAYLOAD_LEN_MAX];
        let mut voice = Voice::default();
        let payloads = (0..count).map(|_| {
            let samples: Vec<i16> = (0..samples).map(|_| voice.sample(codec.rate())).collect();
            let len = encoder.as_mut().map(|it| it.encode(&samples, &mut place));
            place[..len.and_then(Result::ok).unwrap_or(0)].to_vec()
        });
        Self {
            codec,
            interval,
            payloads: payloads.collect(),
        }
    }

    /// Sends what is due between two times, each stream at its own moment of an interval.
    fn play(&self, streams: &[Stream], from: Duration, length: Duration) -> Result<()> {
        let began = Instant::now();
        let first = from.as_millis() / self.interval.as_millis();
        let end = (from + length).as_millis() / self.interval.as_millis();
        let count = u32::try_from(streams.len())?;
        let mut packet = Vec::with_capacity(2_048);
        for at in first..end {
            let Some(payload) = self.payloads.get(usize::try_from(at)?) else {
                break;
            };
            for (index, stream) in (0..).zip(streams) {
                let turn = u32::try_from(at - first)?;
                let due = self.interval * turn + self.interval * index / count;
                thread::sleep(due.saturating_sub(began.elapsed()));
                packet.clear();
                self.write(&mut packet, u32::try_from(at)?, index, payload);
                stream.socket.send_to(&packet, stream.relay)?;
            }
        }
        Ok(())
    }

    fn write(&self, packet: &mut Vec<u8>, at: u32, stream: u32, payload: &[u8]) {
        let [.., high, low] = at.to_be_bytes();
        let samples = self.codec.packet_samples(packet_ms(self.codec).into());
        let timestamp = at.wrapping_mul(self.codec.ticks(samples));
        packet.extend([0x80, payload_type(self.codec), high, low]);
        packet.extend(timestamp.to_be_bytes());
        packet.extend(stream.wrapping_add(0x7a4d_0000).to_be_bytes());
        debug_assert_eq!(packet.len(), HEADER_LEN);
        packet.extend(payload);
    }
}

/// Something that encoders take for speech: a pitch that glides, its harmonics, and syllables.
#[derive(Debug, Default)]
struct Voice {
    at: u32,
    phase: f64,
}

impl Voice {
    #[expect(clippy::cast_possible_truncation, reason = "far below the limit")]
    fn sample(&mut self, rate: Rate) -> i16 {
        let turn = std::f64::consts::TAU;
        let rate_hz = f64::from(rate.hz());
        let time_s = f64::from(self.at) / rate_hz;
        self.at = self.at.wrapping_add(1);
        self.phase += turn * (120.0 + 30.0 * (turn * 0.7 * time_s).sin()) / rate_hz;
        let harmonics = (1..20).map(|n| (self.phase * f64::from(n)).sin() / f64::from(n));
        let syllable = 0.05 + (turn * 2.0 * time_s).sin().max(0.0);
        (harmonics.sum::<f64>() * syllable * 5_000.0) as i16
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Named as the generator of load names them, which is written by hand.
    #[test]
    fn codecs_are_described_as_the_generator_of_load_does() {
        for codec in PARTNERS {
            let named = tandem_load::rtp::CODECS.iter();
            let mut named = named.filter(|it| it.encoding == encoding(codec));
            let it = named.next().expect("it is in both lists");
            let is_static = codec.descriptor().static_payload_type.is_some();
            assert!(
                !is_static || it.payload_type == payload_type(codec),
                "{it:?}"
            );
            assert_eq!(it.ticks_per_ms, codec.descriptor().rtp_clock_hz / 1_000);
        }
    }
}
