//! Phones that share no codec talk: each codec to each other, with and without loss on the way in,
//! through the sockets of a real relay, a minute each and all at once.

mod chain;
mod codecs;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use codec::ilbc::Mode;
use codec::{Codec, Encoder};
use tandem_tests::{Anchored, Namespace, Received, RtpEndpoint, Sink, Stage, public_ip, until};

use chain::{decode, mean, packets_of, reference, segments_db};
use codecs::{CODECS, facing, name, packet_ms, party, payload_type};

/// How long each speaks.
const SECONDS: usize = 60;

/// The least that speech may be like what the codecs alone make of it. To the sample (35 dB) that is
/// held in simulated time by the matrix of relay-transcode; here a busy machine brings packets late,
/// and what is made up for them lowers the mean (27 dB beside two busy loops on two cores). Speech
/// that is out of step by a sample or two, or of another codec, is far below.
const SNR_DB_MIN: f64 = 20.0;

/// The same, with what is made up for losses.
const SNR_DB_MIN_OF_ALL: f64 = 15.0;

/// After a loss, decoders and encoders take this long to forget what was made up.
const RECOVERY_MS: usize = 240;

/// What is compared at a time.
const SEGMENT_MS: usize = 20;

/// The first port of the listeners; each call has a pair.
const FIRST_PORT: u16 = 20_000;

/// Milliseconds between two looks at who is to speak.
const STEP_MS: usize = 10;

/// Milliseconds of speech that may be under way, of all calls together: a codec thread that has to
/// wait for its turn keeps 32 packets of a call, and may be one of two.
const BEHIND_MS_MAX: usize = 200;

/// Time that what was said has to be heard.
const LIMIT: Duration = Duration::from_secs(60);

/// Which packets are lost: one of twenty, not evenly; two together at times. None at the ends,
/// where nobody could tell.
fn is_lost(at: usize, count: usize) -> bool {
    at > 5 && at + 5 < count && (at * 7_919) % 101 < 5
}

/// One who speaks to one who listens.
struct Talk<'a> {
    /// What is spoken.
    from: Codec,
    to: Codec,
    loses: bool,
    end: RtpEndpoint,
    call: Anchored<'a>,
}

impl Talk<'_> {
    fn name(&self) -> String {
        let loss = if self.loses {
            "5 % lost"
        } else {
            "nothing lost"
        };
        format!("{} to {}, {loss}", name(self.from), name(self.to))
    }

    /// Packets that are heard of so many milliseconds of speech, at least.
    fn heard_after(&self, spoken_ms: usize) -> usize {
        let sent = spoken_ms / packet_ms(self.from);
        let count = SECONDS * 1_000 / packet_ms(self.from);
        match is_in_place(self) {
            true if self.loses => (0..sent).filter(|at| !is_lost(*at, count)).count(),
            true => sent,
            false => spoken_ms / packet_ms(self.to),
        }
    }
}

#[test]
fn every_codec_is_heard_as_every_other() {
    Stage::play(
        |_| {},
        |stage| {
            let hosts = [2, 3].map(|number| stage.internet.host(number));
            let talks = arrange(stage, &hosts[0]);
            assert_eq!(talks.len(), 2 * CODECS.len() * (CODECS.len() - 1));
            let ports = (FIRST_PORT..).step_by(2).take(talks.len());
            let sink = hosts[1].within(|| Sink::new(public_ip(3), ports));
            let spoken = CODECS.map(|codec| (codec, packets_of(codec, SECONDS)));
            let spoken = HashMap::from(spoken);
            speak(&talks, &spoken, &sink);
            let verdicts = talks.iter().zip(sink.finish()).map(|(talk, heard)| {
                let check = match is_in_place(talk) {
                    true => check_translated,
                    false => check,
                };
                let verdict = check(talk, &spoken[&talk.from], &heard);
                verdict.map_err(|what| format!("{}: {what}", talk.name()))
            });
            let wrong: Vec<String> = verdicts.filter_map(Result::err).collect();
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
            talks.into_iter().for_each(|talk| talk.call.end());
        },
    );
}

/// A call for each pair, twice.
fn arrange<'a>(stage: &'a Stage<'_>, host: &Namespace) -> Vec<Talk<'a>> {
    let pairs = CODECS.into_iter().flat_map(|from| {
        let others = CODECS.into_iter().filter(move |to| *to != from);
        others.flat_map(move |to| [false, true].map(|loses| (from, to, loses)))
    });
    let ports = (FIRST_PORT..).step_by(2);
    let talks = pairs.zip(ports).map(|((from, to, loses), port)| {
        let end = host.within(|| RtpEndpoint::new(public_ip(2)));
        let callee = SocketAddr::new(public_ip(3), port);
        let parties = [party(from, end.address()), party(to, callee)];
        let id = format!("{from:?} {to:?} {loses}");
        let call = Anchored::new(stage.client, &id, [&parties[0], &parties[1]]);
        Talk {
            from: agreed(from, to),
            to,
            loses,
            end,
            call,
        }
    });
    talks.collect()
}

/// Sends everything in its time, and later than that if a slow machine has not brought the last
/// fifth of a second yet: neither the relay nor the listener is flooded when it goes on.
fn speak(talks: &[Talk<'_>], spoken: &HashMap<Codec, Vec<Vec<u8>>>, sink: &Sink) {
    for at_ms in (0..SECONDS * 1_000).step_by(STEP_MS) {
        thread::sleep(Duration::from_millis(STEP_MS as u64));
        for talk in talks {
            let packets = &spoken[&talk.from];
            let at = at_ms / packet_ms(talk.from);
            let is_due = at_ms.is_multiple_of(packet_ms(talk.from)) && at < packets.len();
            if is_due && !(talk.loses && is_lost(at, packets.len())) {
                talk.end.send_raw(talk.call.relay[0], &packets[at]);
            }
        }
        let spoken_ms = at_ms.saturating_sub(BEHIND_MS_MAX);
        let due = talks.iter().map(|talk| talk.heard_after(spoken_ms)).sum();
        until("what was said is heard", LIMIT, || sink.count() >= due);
    }
}

/// What a phone speaks when the other one is told of: with iLBC, the longer of both frames if they
/// differ (RFC 3952 §5).
fn agreed(from: Codec, to: Codec) -> Codec {
    match (from, to) {
        (Codec::Ilbc(_), Codec::Ilbc(_)) => Codec::Ilbc(Mode::Ms30),
        _ => from,
    }
}

/// From one law of G.711 to the other, and where nothing is to be done: a packet stays what it is,
/// but for its bytes.
fn is_in_place(talk: &Talk<'_>) -> bool {
    let is_g711 = |codec| matches!(codec, Codec::Pcmu | Codec::Pcma);
    let is_ilbc = |codec| matches!(codec, Codec::Ilbc(_));
    is_g711(talk.from) && is_g711(talk.to) || is_ilbc(talk.from) && is_ilbc(talk.to)
}

/// Each packet that was not lost came, and nothing made up for the others.
fn check_translated(talk: &Talk<'_>, packets: &[Vec<u8>], heard: &[Received]) -> Verdict {
    let mut heard = heard.iter();
    let is_law = talk.from != agreed(talk.to, talk.from);
    let mut law = Encoder::new(talk.to).unwrap();
    for (at, packet) in packets.iter().enumerate() {
        if talk.loses && is_lost(at, packets.len()) {
            continue;
        }
        let heard = heard
            .next()
            .ok_or_else(|| format!("packet {at} never came"))?;
        let mut payload = packet[12..].to_vec();
        if is_law {
            let samples = decode(talk.from, [&packet[12..]].into_iter());
            law.encode(&samples, &mut payload).unwrap();
            if talk.to == Codec::Pcma {
                // Both signs alike (G.711, table 3), which its encoder is not.
                let magnitudes: Vec<i16> = samples.iter().map(|it| it.saturating_abs()).collect();
                law.encode(&magnitudes, &mut payload).unwrap();
                let signs = payload.iter_mut().zip(&samples);
                signs.for_each(|(octet, sample)| *octet ^= if *sample < 0 { 0x80 } else { 0 });
            }
        }
        let ticks = u32::try_from(8 * packet_ms(talk.from)).unwrap();
        let is_it = usize::from(heard.sequence) == at
            && heard.timestamp == u32::from(heard.sequence) * ticks
            && heard.payload_type == payload_type(talk.to)
            && heard.payload == payload;
        expect(is_it, || format!("packet {at} is {heard:?}"))?;
    }
    expect(heard.next().is_none(), || {
        "more came than was said".to_owned()
    })
}

/// What was heard is what the codecs alone make of what was said, and as long.
fn check(talk: &Talk<'_>, packets: &[Vec<u8>], heard: &[Received]) -> Verdict {
    let (from, to) = (facing(talk.from, talk.to), facing(talk.to, talk.from));
    let first = heard.first().ok_or("nothing was heard")?;
    // Less than a frame: what does not fill a packet is still in the relay.
    let frame = to.packet_samples(packet_ms(to));
    for (at, packet) in (0_u32..).zip(heard) {
        let timestamp = packet.timestamp.wrapping_sub(first.timestamp);
        let is_next = packet.payload_type == payload_type(talk.to)
            && packet.ssrc == first.ssrc
            && u32::from(packet.sequence.wrapping_sub(first.sequence)) == at
            && timestamp == at * to.ticks(frame);
        expect(is_next, || {
            format!("packet {at} does not follow: {timestamp}, {packet:?} after {first:?}")
        })?;
    }
    let is_lost = |at| talk.loses && is_lost(at, packets.len());
    let reference = reference(from, to, packets, is_lost);
    let heard = decode(to, heard.iter().map(|packet| &packet.payload[..]));
    let (len, of) = (heard.len(), reference.len());
    expect(len.abs_diff(of) < frame, || {
        format!("{len} samples of {of}")
    })?;
    let segments = segments_db(&reference, &heard, to.rate().samples(SEGMENT_MS));
    let all = mean(segments.iter().map(|(_, snr)| *snr));
    expect(all > SNR_DB_MIN_OF_ALL, || {
        format!("{all:.1} dB of the reference chain")
    })?;
    let packet_ms = packet_ms(from);
    let is_sure = |(segment, _): &&(usize, f64)| {
        let (start_ms, end_ms) = (segment * SEGMENT_MS, (segment + 1) * SEGMENT_MS);
        let first = start_ms.saturating_sub(RECOVERY_MS) / packet_ms;
        !(first..=end_ms / packet_ms).any(is_lost)
    };
    let sure = mean(segments.iter().filter(is_sure).map(|(_, snr)| *snr));
    expect(sure > SNR_DB_MIN, || {
        format!("{sure:.1} dB of the reference chain")
    })
}

/// What is wrong, if something is.
type Verdict = Result<(), String>;

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}
