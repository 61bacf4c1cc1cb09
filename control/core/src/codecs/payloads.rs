//! What a party says that its payload types are, in few bytes: all that is kept of it, for whoever
//! must know later which packets are keys, what a codec's silence is, or whether two parties that
//! never spoke to one another can.

use std::hash::Hasher;

use relay_wire::{
    Codec, EVENT_TYPES_MAX, Events, Format as Side, IlbcMode, Route, SampleRate, Silence,
};
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::capability;
use super::format::Format;
use crate::digits::payload_type;
use crate::sdp::{Media, Sdp, Transport};

/// Payload types that are kept of one medium: those that come first.
const PAYLOADS_MAX: usize = relay_wire::SILENCES_MAX;

/// Milliseconds of a packet, where nobody said another number.
const PTIME_MS: u16 = 20;

/// A payload type, and what it stands for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Payload {
    number: u8,
    sound: Sound,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Sound {
    /// One that the relay has.
    Codec(Codec),
    /// Keys (RFC 4733), in a clock of so many thousands.
    Events { clock_khz: u8 },
    /// Comfort noise (RFC 3389) beside codecs of that clock.
    Noise { clock_khz: u8 },
    /// Something else, known again by these bytes of a hash.
    Other([u8; 6]),
    /// Several payloads in one (RFC 2198), in a clock of so many thousands.
    Redundant { clock_khz: u8 },
}

impl Payload {
    /// What a description says of one medium.
    pub(crate) fn read(sdp: &Sdp<'_>, media: &Media) -> Box<[Self]> {
        if media.transport != Transport::Rtp {
            return Box::default();
        }
        let numbers = sdp.formats(media).split(|&b| b == b' ');
        let numbers = numbers.filter_map(payload_type).take(PAYLOADS_MAX);
        let payloads = numbers.filter_map(|number| {
            let sound = Sound::of(&format_of(sdp, media, number))?;
            Some(Self { number, sound })
        });
        payloads.collect()
    }

    /// What arrives if it goes by these routes.
    pub(crate) fn of_routes(routes: &[Route]) -> Vec<Self> {
        let codec = |route: &Route| Self {
            number: route.from.payload_type,
            sound: Sound::Codec(route.from.codec),
        };
        let events = |route: &Route| {
            let events = route.from.events?;
            Some(Self {
                number: events.payload_type,
                sound: Sound::Events {
                    clock_khz: khz(events.clock_hz),
                },
            })
        };
        let mut payloads: Vec<_> = routes.iter().map(codec).collect();
        for event in routes.iter().filter_map(events) {
            if !payloads.contains(&event) {
                payloads.push(event);
            }
        }
        payloads
    }

    /// What a party sends that was told `heard` of the other, and has said `own` itself: it is to
    /// send by the other's numbers (RFC 3264 §6.1), and some send by their own.
    pub(crate) fn sent(heard: &[Self], own: &[Self]) -> Vec<Self> {
        let is_new = |it: &&Self| !heard.iter().any(|other| other.number == it.number);
        let more = own.iter().filter(is_new);
        heard.iter().chain(more).copied().collect()
    }

    /// What a party is to hear that has named `own`, and whose partner has named `others`, if it has
    /// said anything yet: what both know and comes first, or else what comes first.
    pub(crate) fn heard(own: &[Self], others: &[Self]) -> Option<Side> {
        let known = |it: &&Self| it.codec().is_some();
        let is_shared = |it: &&Self| others.iter().any(|other| is_same(it, other));
        let shared = own.iter().find(|it| known(it) && is_shared(it));
        let payload = shared.or_else(|| own.iter().find(known))?;
        let codec = payload.codec()?;
        Some(Side::new(codec, payload.number, ptime_ms(codec)))
    }

    /// Keys among payload types.
    pub(crate) fn events(payloads: &[Self]) -> Vec<Events> {
        let events = payloads.iter().filter_map(|it| match it.sound {
            Sound::Events { clock_khz } => Some(Events {
                payload_type: it.number,
                clock_hz: u32::from(clock_khz) * 1_000,
            }),
            _ => None,
        });
        events.take(EVENT_TYPES_MAX).collect()
    }

    /// Those within which others may lie.
    pub(crate) fn redundant(payloads: &[Self]) -> Vec<u8> {
        let is_redundant = |it: &&Self| matches!(it.sound, Sound::Redundant { .. });
        let numbers = payloads.iter().filter(is_redundant).map(|it| it.number);
        numbers.take(relay_wire::REDUNDANT_TYPES_MAX).collect()
    }

    /// Those whose silence is one octet again and again.
    pub(crate) fn silences(payloads: &[Self]) -> Vec<Silence> {
        let silences = payloads.iter().filter_map(|it| {
            let octet = match it.sound {
                Sound::Codec(Codec::Pcmu) => 0xff,
                Sound::Codec(Codec::Pcma) => 0xd5,
                Sound::Codec(Codec::G722) => 0xfa,
                Sound::Codec(Codec::L16(_)) => 0,
                _ => return None,
            };
            Some(Silence {
                payload_type: it.number,
                octet,
            })
        });
        silences.take(relay_wire::SILENCES_MAX).collect()
    }

    /// Says what payload types stand for, as a description does. `kept` is what was kept of those
    /// of which their party must say more than can be told from here; what nobody knows any more is
    /// left out.
    pub(crate) fn formats(payloads: &[Self], kept: &[Format]) -> Vec<Format> {
        let formats = payloads.iter().filter_map(|it| it.format(kept));
        formats.collect()
    }

    /// What a party has that the other one has, too, by whatever number; all of it, if they share no
    /// codec.
    pub(crate) fn shared(own: &[Self], other: &[Self]) -> Vec<Self> {
        let is_shared = |it: &&Self| other.iter().any(|other| other.sound == it.sound);
        let shared = own.iter().filter(is_shared);
        let shared: Vec<_> = shared.copied().collect();
        if shared.iter().all(Self::is_companion) {
            return own.to_vec();
        }
        shared
    }

    /// What must be kept of a medium so that [`Self::formats`] knows all of it.
    pub(crate) fn keep(payloads: &[Self], sdp: &Sdp<'_>, media: &Media) -> Vec<Format> {
        let others = payloads.iter().filter(|it| it.is_other());
        let formats = others.map(|it| format_of(sdp, media, it.number));
        let is_special = |it: &Format| *it != Format::of_payload_type(it.payload_type);
        formats.filter(is_special).collect()
    }

    fn is_other(&self) -> bool {
        matches!(self.sound, Sound::Other(_) | Sound::Redundant { .. })
    }

    fn format(&self, kept: &[Format]) -> Option<Format> {
        let mut format = match self.sound {
            Sound::Codec(codec) => capability::format(codec)?,
            Sound::Events { clock_khz } => companion("telephone-event", clock_khz)?,
            Sound::Noise { clock_khz } => companion("CN", clock_khz)?,
            Sound::Other(_) | Sound::Redundant { .. } => {
                let mut kept = kept.iter().filter(|it| it.payload_type == self.number);
                let format = kept.next().cloned();
                let format = format.unwrap_or_else(|| Format::of_payload_type(self.number));
                Some(format).filter(|it| Sound::of(it) == Some(self.sound))?
            }
        };
        format.payload_type = self.number;
        Some(format)
    }

    fn codec(&self) -> Option<Codec> {
        match self.sound {
            Sound::Codec(codec) => Some(codec),
            _ => None,
        }
    }

    fn is_companion(&self) -> bool {
        matches!(self.sound, Sound::Events { .. } | Sound::Noise { .. })
    }
}

impl Sound {
    fn of(format: &Format) -> Option<Self> {
        if format.name.is_empty() {
            return None;
        }
        let clock_khz = khz(format.clock_hz);
        Some(if format.is_events() {
            Self::Events { clock_khz }
        } else if format.is_noise() {
            Self::Noise { clock_khz }
        } else if format.name.eq_ignore_ascii_case("red") {
            Self::Redundant { clock_khz }
        } else if let Some(codec) = capability::codec(format, SampleRate::Wide) {
            Self::Codec(codec)
        } else {
            let mut hasher = FxHasher::default();
            hasher.write(format.name.to_ascii_lowercase().as_bytes());
            hasher.write_u32(format.clock_hz);
            hasher.write_u8(format.channels);
            let [_, _, hash @ ..] = hasher.finish().to_be_bytes();
            Self::Other(hash)
        })
    }
}

/// What a description says of a payload type.
fn format_of(sdp: &Sdp<'_>, media: &Media, number: u8) -> Format {
    let mut format = Format::of_payload_type(number);
    for (name, text) in sdp.format_lines(media, number) {
        match name {
            b"rtpmap" => format.read_rtpmap(&String::from_utf8_lossy(text)),
            b"fmtp" => format.read_fmtp(&String::from_utf8_lossy(text)),
            _ => {}
        }
    }
    format
}

fn companion(name: &str, clock_khz: u8) -> Option<Format> {
    capability::companion(name, u32::from(clock_khz) * 1_000)
}

/// The nearest number of thousands.
fn khz(clock_hz: u32) -> u8 {
    u8::try_from((clock_hz + 500) / 1_000).unwrap_or(u8::MAX)
}

/// What must become of what goes from one party to another, neither of which answered an offer of
/// the other's. Nothing, if each sends what the other understands, or if it cannot be helped.
pub(crate) fn routes_between(one: &[Payload], other: &[Payload]) -> Vec<Route> {
    let is_understood = |from: &[Payload], to: &[Payload]| {
        let first = from.iter().find(|it| !it.is_companion());
        first.is_none_or(|first| to.contains(first))
    };
    if is_understood(one, other) && is_understood(other, one) {
        return Vec::new();
    }
    let mut routes = Vec::new();
    for from in one {
        let same = other.iter().find(|it| is_same(from, it));
        let to = same.or_else(|| other.iter().find(|it| it.codec().is_some()));
        if let Some(route) = to.and_then(|to| route((one, from), (other, to)))
            && routes.len() < relay_wire::ROUTES_MAX
        {
            routes.push(route);
        }
    }
    routes
}

/// The same codec, whatever its mode and its number are.
fn is_same(one: &Payload, other: &Payload) -> bool {
    match (one.codec(), other.codec()) {
        (Some(Codec::Ilbc(_)), Some(Codec::Ilbc(_)))
        | (Some(Codec::Opus(_)), Some(Codec::Opus(_))) => true,
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn route(
    (one, from): (&[Payload], &Payload),
    (other, to): (&[Payload], &Payload),
) -> Option<Route> {
    let (mut a, mut b) = (from.codec()?, to.codec()?);
    (a, b) = match (a, b) {
        // 20 ms only if both say so (RFC 3952 §5).
        (Codec::Ilbc(x), Codec::Ilbc(y)) if x != y => {
            (Codec::Ilbc(IlbcMode::Ms30), Codec::Ilbc(IlbcMode::Ms30))
        }
        (Codec::Opus(_), Codec::Opus(_)) => (FULL_OPUS, FULL_OPUS),
        _ => (limited(a, b), limited(b, a)),
    };
    Some(Route {
        from: side(one, from, a),
        to: side(other, to, b),
        opus: None,
        suppresses_silence: false,
        is_coded_anew: false,
    })
}

/// Between two parties that both have it.
const FULL_OPUS: Codec = Codec::Opus(SampleRate::Full);

/// Opus has as much as the other side can hear.
fn limited(codec: Codec, other: Codec) -> Codec {
    let is_narrow = !matches!(
        other,
        Codec::G722 | Codec::L16(SampleRate::Wide) | Codec::Opus(SampleRate::Wide)
    );
    match codec {
        Codec::Opus(_) if is_narrow => Codec::Opus(SampleRate::Narrow),
        codec => codec,
    }
}

fn side(payloads: &[Payload], payload: &Payload, codec: Codec) -> Side {
    let clock = match codec {
        Codec::Opus(_) => 48,
        Codec::L16(SampleRate::Wide) => 16,
        _ => 8,
    };
    let beside = |is: fn(Sound) -> Option<u8>| {
        let mut found = payloads
            .iter()
            .filter_map(|it| Some((it.number, is(it.sound)?)));
        let mut others = found.clone();
        let same = found.find(|(_, khz)| *khz == clock);
        same.or_else(|| others.next())
    };
    let events = beside(|it| match it {
        Sound::Events { clock_khz } => Some(clock_khz),
        _ => None,
    });
    let noise = beside(|it| match it {
        Sound::Noise { clock_khz } => Some(clock_khz),
        _ => None,
    });
    Side {
        events: events.map(|(payload_type, khz)| Events {
            payload_type,
            clock_hz: u32::from(khz) * 1_000,
        }),
        comfort_noise: noise.filter(|(_, khz)| *khz == clock).map(|(it, _)| it),
        ..Side::new(codec, payload.number, ptime_ms(codec))
    }
}

fn ptime_ms(codec: Codec) -> u16 {
    match codec {
        Codec::Ilbc(IlbcMode::Ms30) => 30,
        _ => PTIME_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(sdp: &str) -> Box<[Payload]> {
        let text = format!("v=0\r\nm=audio 4000 RTP/AVP {}", sdp.replace('\n', "\r\n"));
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        Payload::read(&sdp, &sdp.media()[0])
    }

    #[test]
    fn keys_and_silence_are_found_by_their_numbers() {
        let found = payloads(
            "0 8 9 18 110 96 101\na=rtpmap:96 L16/16000\n\
            a=rtpmap:110 telephone-event/48000\na=rtpmap:101 Telephone-Event/8000\n",
        );
        let events = Payload::events(&found);
        let events = events.iter().map(|it| (it.payload_type, it.clock_hz));
        assert_eq!(events.collect::<Vec<_>>(), [(110, 48_000), (101, 8_000)]);
        let silences = Payload::silences(&found);
        let silences = silences.iter().map(|it| (it.payload_type, it.octet));
        let expected = [(0, 0xff), (8, 0xd5), (9, 0xfa), (96, 0)];
        assert_eq!(silences.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_more_is_kept_than_the_relay_looks_at() {
        let numbers: Vec<_> = (96..128).map(|it: u8| it.to_string()).collect();
        let lines: Vec<_> = (96..128)
            .map(|it: u8| format!("a=rtpmap:{it} telephone-event/8000\n"))
            .collect();
        let found = payloads(&format!("{}\n{}", numbers.join(" "), lines.concat()));
        assert_eq!(found.len(), PAYLOADS_MAX);
        assert_eq!(Payload::events(&found).len(), EVENT_TYPES_MAX);
    }

    #[test]
    fn numbers_that_nobody_explains_are_not_kept() {
        assert_eq!(payloads("99 500 x\n"), Box::default());
    }

    #[test]
    fn a_party_sends_by_the_others_numbers_and_by_its_own() {
        let heard = payloads("8 101\na=rtpmap:101 telephone-event/8000\n");
        let own =
            payloads("8 101 96\na=rtpmap:101 opus/48000/2\na=rtpmap:96 telephone-event/8000\n");
        let sent = Payload::sent(&heard, &own);
        assert_eq!(sent.len(), 3);
        let events = Payload::events(&sent);
        let events = events.iter().map(|it| it.payload_type);
        assert_eq!(events.collect::<Vec<_>>(), [101, 96]);
    }

    #[test]
    fn who_understands_the_other_or_cannot_be_helped_needs_no_routes() {
        let keys = "a=rtpmap:101 telephone-event/8000\n";
        for (one, other, count) in [
            (format!("0 101\n{keys}"), "0 8\n", 0),
            ("18\n".to_owned(), "18 0\n", 0),
            ("18\n".to_owned(), "0\n", 0),
            // The other will send by a number that the one does not know.
            (format!("0 101\n{keys}"), "8 0\n", 1),
        ] {
            let (one, other) = (payloads(&one), payloads(other));
            assert_eq!(routes_between(&one, &other).len(), count, "{one:?}");
        }
    }

    #[test]
    fn who_shares_none_gets_a_route_for_each_payload_type() {
        let one = payloads("0 8 101\na=rtpmap:101 telephone-event/8000\n");
        let other =
            payloads("111 110\na=rtpmap:111 opus/48000/2\na=rtpmap:110 telephone-event/48000\n");
        let there = routes_between(&one, &other);
        let numbers = there
            .iter()
            .map(|it| (it.from.payload_type, it.to.payload_type));
        assert_eq!(numbers.collect::<Vec<_>>(), [(0, 111), (8, 111)]);
        assert_eq!(there[0].from.events.map(|it| it.payload_type), Some(101));
        assert_eq!(there[0].to.events.map(|it| it.clock_hz), Some(48_000));
        assert_eq!(there[0].to.codec, Codec::Opus(SampleRate::Narrow));
        let back = routes_between(&other, &one);
        assert_eq!(back.len(), 1);
        assert_eq!(
            (back[0].from.payload_type, back[0].to.payload_type),
            (111, 0)
        );
    }

    #[test]
    fn the_same_codec_by_another_number_is_a_route_too() {
        let one = payloads("96\na=rtpmap:96 iLBC/8000\na=fmtp:96 mode=20\n");
        let other = payloads("97\na=rtpmap:97 iLBC/8000\n");
        let routes = routes_between(&one, &other);
        let ilbc = Codec::Ilbc(IlbcMode::Ms30);
        assert_eq!((routes[0].from.codec, routes[0].to.codec), (ilbc, ilbc));
        assert_eq!(
            (routes[0].from.payload_type, routes[0].to.payload_type),
            (96, 97)
        );
    }
}
