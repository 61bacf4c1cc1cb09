//! What the relay can make of a payload type.

use std::borrow::Cow;

use relay_wire::{Codec, IlbcMode, SampleRate};

use super::format::Format;

/// A codec that may be offered though a party does not have it.
#[derive(Clone, Copy, Debug)]
struct Known {
    name: &'static str,
    clock_hz: u32,
    channels: u8,
    payload_type: Option<u8>,
    parameters: &'static str,
    /// Offered without being asked for.
    is_usual: bool,
}

const fn known(name: &'static str, clock_hz: u32, payload_type: Option<u8>) -> Known {
    Known {
        name,
        clock_hz,
        channels: 1,
        payload_type,
        parameters: "",
        is_usual: true,
    }
}

/// In the order that they are offered in: first those that cost nothing or sound best, and last
/// the two that sound worst.
const KNOWN: [Known; 8] = [
    known("PCMU", 8_000, Some(0)),
    known("PCMA", 8_000, Some(8)),
    known("G722", 8_000, Some(9)),
    Known {
        channels: 2,
        parameters: "useinbandfec=1",
        ..known("opus", 48_000, None)
    },
    Known {
        parameters: "mode=20",
        ..known("iLBC", 8_000, None)
    },
    known("GSM", 8_000, Some(3)),
    Known {
        is_usual: false,
        ..known("L16", 8_000, None)
    },
    Known {
        is_usual: false,
        ..known("L16", 16_000, None)
    },
];

impl Known {
    fn format(&self) -> Format {
        Format {
            payload_type: self.payload_type.unwrap_or(u8::MAX),
            name: Cow::Borrowed(self.name),
            clock_hz: self.clock_hz,
            channels: self.channels,
            parameters: Cow::Borrowed(self.parameters),
        }
    }

    fn is(&self, format: &Format) -> bool {
        let is_opus = self.name == "opus" && (1..=2).contains(&format.channels);
        let channels = is_opus || self.channels == format.channels;
        self.clock_hz == format.clock_hz && channels && format.is_named(self.name)
    }
}

/// All codecs that the relay has. What has no number of its own is numbered 255.
pub(super) fn all() -> impl Iterator<Item = Format> {
    KNOWN.iter().map(Known::format)
}

/// Keys 0 to 9, `*`, `#`, A to D (RFC 4733 §3.2).
pub(super) const EVENTS: &str = "0-15";

/// What can be offered beside codecs, in the usual clock.
pub(super) fn companions() -> impl Iterator<Item = Format> {
    let names = ["telephone-event", "CN"];
    names.into_iter().filter_map(|name| companion(name, 8_000))
}

/// What goes beside codecs of a clock.
pub(super) fn companion(name: &str, clock_hz: u32) -> Option<Format> {
    let (name, parameters) = match name {
        "telephone-event" => ("telephone-event", EVENTS),
        "CN" => ("CN", ""),
        _ => return None,
    };
    let is_static = (name, clock_hz) == ("CN", 8_000);
    Some(Format {
        payload_type: if is_static { 13 } else { u8::MAX },
        name: Cow::Borrowed(name),
        clock_hz,
        channels: 1,
        parameters: Cow::Borrowed(parameters),
    })
}

/// Those that are offered without being asked for.
pub(super) fn usual() -> impl Iterator<Item = Format> {
    KNOWN.iter().filter(|it| it.is_usual).map(Known::format)
}

/// Whether the relay can read and write a codec.
pub(super) fn has(format: &Format) -> bool {
    KNOWN.iter().any(|it| it.is(format))
}

/// The codec of a payload type, if the relay has it. `rate` is that of the other side.
pub(super) fn codec(format: &Format, rate: SampleRate) -> Option<Codec> {
    let known = KNOWN.iter().find(|it| it.is(format))?;
    Some(match (known.name, known.clock_hz) {
        ("PCMU", _) => Codec::Pcmu,
        ("PCMA", _) => Codec::Pcma,
        ("G722", _) => Codec::G722,
        ("opus", _) => Codec::Opus(match (rate, format.parameter("maxplaybackrate")) {
            (SampleRate::Narrow, _) | (_, Some(..16_000)) => SampleRate::Narrow,
            _ => SampleRate::Wide,
        }),
        ("GSM", _) => Codec::Gsm,
        ("iLBC", _) => Codec::Ilbc(ilbc_mode(format)),
        ("L16", 8_000) => Codec::L16(SampleRate::Narrow),
        _ => Codec::L16(SampleRate::Wide),
    })
}

/// A codec as SDP names it, without a number. Where it has modes it says the one.
pub(super) fn format(of: Codec) -> Option<Format> {
    let is_it = |format: &Format| match (of, codec(format, SampleRate::Wide)) {
        (Codec::Ilbc(_), Some(Codec::Ilbc(_))) | (Codec::Opus(_), Some(Codec::Opus(_))) => true,
        (_, other) => other == Some(of),
    };
    let mut format = all().find(is_it)?;
    if let Codec::Ilbc(IlbcMode::Ms30) = of {
        format.parameters = Cow::Borrowed("");
    }
    Some(format)
}

/// What one side says of iLBC: 30 ms where nothing is said (RFC 3952 §5).
pub(super) fn ilbc_mode(format: &Format) -> IlbcMode {
    match format.parameter("mode") {
        Some(20) => IlbcMode::Ms20,
        _ => IlbcMode::Ms30,
    }
}

/// What both sides may speak: 20 ms only if both say so.
pub(super) fn ilbc_mode_of_both(one: &Format, other: &Format) -> IlbcMode {
    match (ilbc_mode(one), ilbc_mode(other)) {
        (IlbcMode::Ms20, IlbcMode::Ms20) => IlbcMode::Ms20,
        _ => IlbcMode::Ms30,
    }
}

/// What a codec hears. Opus hears as much as there is to be heard.
pub(super) fn rate(format: &Format) -> SampleRate {
    let is_wide = format.is_named("G722")
        || format.is_named("opus")
        || (format.is_named("L16") && format.clock_hz == 16_000);
    if is_wide {
        SampleRate::Wide
    } else {
        SampleRate::Narrow
    }
}

/// Milliseconds of a packet where nothing is said.
pub(super) fn ptime_ms(codec: Codec) -> u16 {
    match codec {
        Codec::Ilbc(IlbcMode::Ms30) => 30,
        _ => 20,
    }
}

/// Whether packets of so many milliseconds hold whole frames.
pub(super) fn is_whole(codec: Codec, ptime_ms: u16) -> bool {
    match codec {
        Codec::Gsm | Codec::Ilbc(IlbcMode::Ms20) => ptime_ms.is_multiple_of(20),
        Codec::Ilbc(IlbcMode::Ms30) => ptime_ms.is_multiple_of(30),
        Codec::Opus(_) => matches!(ptime_ms, 10 | 20 | 40 | 60),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec_catalog::Descriptor;

    #[test]
    fn each_codec_is_one_of_the_catalog() {
        for format in all() {
            let found = Descriptor::of_rtpmap(&format.name, format.clock_hz, format.channels);
            let number = found.unwrap().static_payload_type;
            // The static numbers of L16 are for other rates.
            assert_eq!(
                number.unwrap_or(u8::MAX),
                format.payload_type,
                "{}",
                format.name
            );
            assert!(has(&format));
        }
        assert!(
            !has(&Format::of_payload_type(18)),
            "G.729 is passed on, but not understood"
        );
        assert!(!has(&Format::of_payload_type(96)));
    }

    #[test]
    fn opus_works_with_what_the_other_side_hears() {
        let mut opus = usual().find(|it| it.is_named("opus")).unwrap();
        let narrow = Some(Codec::Opus(SampleRate::Narrow));
        assert_eq!(codec(&opus, SampleRate::Narrow), narrow);
        assert_eq!(
            codec(&opus, SampleRate::Wide),
            Some(Codec::Opus(SampleRate::Wide))
        );
        opus.read_fmtp("maxplaybackrate=8000");
        assert_eq!(codec(&opus, SampleRate::Wide), narrow);
    }

    #[test]
    fn the_mode_of_ilbc_is_that_of_both() {
        let mut ilbc = all().find(|it| it.is_named("iLBC")).unwrap();
        let short = ilbc.clone();
        assert_eq!(ilbc_mode_of_both(&short, &short), IlbcMode::Ms20);
        ilbc.read_fmtp("");
        assert_eq!(ilbc_mode_of_both(&short, &ilbc), IlbcMode::Ms30);
    }
}
