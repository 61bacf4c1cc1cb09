//! Codecs of descriptions that are the relay's own (`create`).

use super::capability;
use super::format::{FORMATS_MAX, Format};
use super::offer::DYNAMIC;
use super::wishes::{Fate, Spec, Wishes};

/// What audio has that nobody named a codec for: PCMU and PCMA.
const USUAL: [u8; 2] = [0, 8];

/// The clock of video (RFC 3551 §5).
const VIDEO_HZ: u32 = 90_000;

/// What a party is offered that is new. Of audio for which nothing is named, it is what the request
/// offers.
pub(crate) fn formats_of(wishes: &Wishes, kind: &[u8], named: &[&[u8]]) -> Vec<Format> {
    let is_audio = kind == b"audio";
    let own: Vec<_> = named.iter().map(|name| Spec::new(name)).collect();
    let specs = if own.is_empty() && is_audio {
        &wishes.offer
    } else {
        &own
    };
    let mut formats = Vec::new();
    add(&mut formats, specs, (kind == b"video").then_some(VIDEO_HZ));
    formats.retain(|format| wishes.fate(format) != Fate::Strip);
    if is_audio && formats.iter().all(Format::is_companion) {
        let usual = USUAL.map(Format::of_payload_type);
        let is_stripped = |it: &Format| wishes.fate(it) == Fate::Strip;
        // To offer nothing is a mistake of who wrote the rules: then they do not hold.
        let all = usual.iter().all(is_stripped);
        for format in usual.into_iter().filter(|it| all || !is_stripped(it)) {
            push(&mut formats, format);
        }
    }
    formats
}

/// What a party is offered that was told of `before`: with what is offered besides, and without what
/// is stripped, unless that were all.
pub(crate) fn formats_again(wishes: &Wishes, kind: &[u8], before: Vec<Format>) -> Vec<Format> {
    let mut formats = before.clone();
    if kind == b"audio" {
        add(&mut formats, &wishes.offer, None);
    }
    formats.retain(|format| wishes.fate(format) != Fate::Strip);
    if formats.iter().all(Format::is_companion) {
        return before;
    }
    formats
}

fn add(formats: &mut Vec<Format>, specs: &[Spec], usual_hz: Option<u32>) {
    for format in specs.iter().filter_map(|it| format_of(it, usual_hz)) {
        push(formats, format);
    }
}

/// A codec by its name alone, whether the relay has it or not. `None`: nobody knows its clock.
fn format_of(spec: &Spec, usual_hz: Option<u32>) -> Option<Format> {
    let fixed = (0..35).map(Format::of_payload_type);
    let mut known = capability::all()
        .chain(capability::companions())
        .chain(fixed);
    let known = known.find(|it| spec.means(it) || spec.is_number(it));
    known.or_else(|| spec.format(usual_hz))
}

/// Puts a codec behind all others by its own number, or by one that is free.
fn push(formats: &mut Vec<Format>, mut format: Format) {
    let is_there = formats.iter().any(|it| it.is_same_codec(&format));
    if is_there || formats.len() >= FORMATS_MAX {
        return;
    }
    let is_free = |number: &u8| formats.iter().all(|it| it.payload_type != *number);
    let own = Some(format.payload_type).filter(|it| *it < 128 && is_free(it));
    let number = own.or_else(|| DYNAMIC.into_iter().flatten().find(is_free));
    if let Some(number) = number {
        format.payload_type = number;
        formats.push(format);
    }
}

#[cfg(test)]
mod tests {
    use control_ng::CodecDirective;
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::wishes::tests::wishes;

    fn shown(formats: &[Format]) -> Vec<String> {
        let shown = formats.iter().map(|it| {
            let fmtp = &it.parameters;
            format!("{} {} {fmtp}", it.payload_type, it.title())
        });
        shown.map(|it| it.trim_end().to_owned()).collect()
    }

    #[test]
    fn audio_is_g711_unless_something_is_named() {
        use CodecDirective::{Offer, Strip};
        let usual = ["0 PCMU/8000", "8 PCMA/8000"];
        assert_eq!(shown(&formats_of(&wishes(&[]), b"audio", &[])), usual);
        assert!(formats_of(&wishes(&[]), b"video", &[]).is_empty());
        let offered = wishes(&[(Offer, "G722"), (Offer, "opus"), (Offer, "nonsense")]);
        let expected = ["9 G722/8000", "96 opus/48000/2 useinbandfec=1"];
        assert_eq!(shown(&formats_of(&offered, b"audio", &[])), expected);
        assert!(formats_of(&offered, b"video", &[]).is_empty());
        let named: [&[u8]; 4] = [b"18", b"PCMA", b"telephone-event", b"PCMA/8000"];
        let expected = [
            "18 G729/8000",
            "8 PCMA/8000",
            "96 telephone-event/8000 0-15",
        ];
        assert_eq!(shown(&formats_of(&offered, b"audio", &named)), expected);
        let stripped = wishes(&[(Offer, "telephone-event"), (Strip, "PCMU")]);
        let expected = ["96 telephone-event/8000 0-15", "8 PCMA/8000"];
        let formats = formats_of(&stripped, b"audio", &[]);
        assert_eq!(shown(&formats), expected, "keys alone are no audio");
        let none = formats_of(&wishes(&[(Strip, "all")]), b"audio", &[]);
        assert_eq!(shown(&none), usual);
    }

    #[test]
    fn what_the_relay_does_not_have_needs_a_clock_unless_it_is_video() {
        let named: [&[u8]; 5] = [
            b"VP8",
            b"AMR/8000",
            b"H264/90000/1///packetization-mode--1",
            b"a b/90000",
            b"x/90000/1///y\r\na=z",
        ];
        let shown = |kind: &[u8]| shown(&formats_of(&wishes(&[]), kind, &named));
        let h264 = |number| format!("{number} H264/90000 packetization-mode=1");
        let expected = ["96 VP8/90000", "97 AMR/8000", &h264(98)];
        assert_eq!(shown(b"video"), expected);
        assert_eq!(shown(b"text"), ["96 AMR/8000", &h264(97)]);
    }

    #[test]
    fn what_was_told_comes_again_with_more_or_less() {
        use CodecDirective::{Offer, Strip};
        let before = || [0, 9, 8].map(Format::of_payload_type).to_vec();
        let numbers = |named: &[_]| {
            let formats = formats_again(&wishes(named), b"audio", before());
            formats.iter().map(|it| it.payload_type).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&[]), [0, 9, 8]);
        assert_eq!(numbers(&[(Strip, "G722")]), [0, 8]);
        assert_eq!(numbers(&[(Strip, "all"), (Offer, "opus")]), [96]);
        assert_eq!(numbers(&[(Strip, "all")]), [0, 9, 8], "never nothing");
        assert_eq!(numbers(&[(Offer, "GSM"), (Offer, "PCMU")]), [0, 9, 8, 3]);
    }

    proptest! {
        #[test]
        fn each_codec_has_a_number_of_its_own(
            names in prop::collection::vec("[a-zA-Z0-9/-]{0,12}", 0..80),
            is_audio: bool,
        ) {
            let named: Vec<_> = names.iter().map(String::as_bytes).collect();
            let kind = if is_audio { &b"audio"[..] } else { b"video" };
            let formats = formats_of(&wishes(&[]), kind, &named);
            prop_assert!(formats.len() <= FORMATS_MAX);
            for (index, format) in formats.iter().enumerate() {
                prop_assert!(format.payload_type < 128);
                let others = &formats[..index];
                prop_assert!(others.iter().all(|it| it.payload_type != format.payload_type));
            }
        }
    }
}
