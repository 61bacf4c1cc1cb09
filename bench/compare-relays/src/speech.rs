//! Speech of one codec, and calls whose other side wants another.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use codec::{Codec, Encoder, PAYLOAD_LEN_MAX, Rate};
use control_ng::{CodecDirective, Codecs, Command, Delete, Negotiation};
use tandem_load::{NgClient, describe, media_address};

/// Number of a codec that has none of its own: no call has two of these.
const DYNAMIC: u8 = 96;

/// Bytes before a payload.
const HEADER_LEN: usize = 12;

/// Where who speaks is, and who listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) caller: IpAddr,
    pub(crate) callee: IpAddr,
}

/// One who speaks, and where to.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: UdpSocket,
    relay: SocketAddr,
}

/// Sets up so many calls, of each of which one side speaks.
pub(crate) fn begin(
    client: &mut NgClient,
    count: usize,
    ends: Ends,
    (from, to): (Codec, Codec),
) -> Result<Vec<Stream>> {
    let streams = (0..count).map(|at| stream(client, at, ends, from, to));
    streams.collect()
}

fn stream(client: &mut NgClient, at: usize, ends: Ends, from: Codec, to: Codec) -> Result<Stream> {
    let socket = UdpSocket::bind((ends.caller, 0)).context("cannot open a socket")?;
    let id = name(at);
    let callee = SocketAddr::new(ends.callee, 20_000 + u16::try_from(2 * at)?);
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

fn name(at: usize) -> String {
    format!("transcoding-{at}")
}

/// Ends them.
pub(crate) fn end(client: &mut NgClient, count: usize) -> Result<()> {
    for at in 0..count {
        let id = name(at);
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
pub(crate) fn packet_ms(codec: Codec) -> u8 {
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
#[derive(Debug)]
pub(crate) struct Speech {
    codec: Codec,
    interval: Duration,
    payloads: Vec<Vec<u8>>,
}

impl Speech {
    pub(crate) fn new(codec: Codec, length: Duration) -> Self {
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

    /// Sends what is due between two times, each stream at its own moment of an interval, or up to
    /// `grain` before it.
    pub(crate) fn play(
        &self,
        streams: &[Stream],
        from: Duration,
        length: Duration,
        grain: Duration,
    ) -> Result<()> {
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
                let wait = due.saturating_sub(began.elapsed());
                if wait > grain {
                    thread::sleep(wait);
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcoding::PARTNERS;

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
