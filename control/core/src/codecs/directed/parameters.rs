//! What `a=fmtp` says of a codec: whether two mean the same, and how it is written.

use std::borrow::Cow;

use crate::codecs::format::{Format, Text, kept};

/// Codecs whose parameters must be the same, word for word: packets cannot be told apart otherwise.
const STRICT: [&str; 8] = [
    "iLBC", "GSM", "L16", "speex", "G723", "G723-24", "G726-32", "EVS",
];

/// How much two payload types have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Likeness {
    /// Nothing, or it cannot be relied upon.
    Other,
    /// One may stand for the other.
    Compatible,
    /// The same.
    Same,
}

/// Whether one may be sent to who wants the other.
pub(super) fn compare(one: &Format, other: &Format) -> Likeness {
    if !one.is_same_codec(other) {
        return Likeness::Other;
    }
    if one.is_named("AMR") || one.is_named("AMR-WB") {
        return compare_amr(one, other);
    }
    let is_strict = STRICT.iter().any(|name| one.is_named(name));
    if is_strict && one.parameters != other.parameters {
        return Likeness::Other;
    }
    Likeness::Same
}

/// RFC 4867 §8.3.1.
fn compare_amr(one: &Format, other: &Format) -> Likeness {
    let differs = |name| one.parameter(name).unwrap_or(0) != other.parameter(name).unwrap_or(0);
    let framing = ["octet-align", "crc", "interleaving", "robust-sorting"];
    if framing.into_iter().any(differs) {
        return Likeness::Other;
    }
    let (one_modes, other_modes) = (modes(one), modes(other));
    let is_subset = match (one_modes, other_modes) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => other & !one == 0,
    };
    if !is_subset {
        return Likeness::Other;
    }
    let changes = ["mode-change-neighbor", "mode-change-period"];
    if one_modes != other_modes || changes.into_iter().any(differs) {
        return Likeness::Compatible;
    }
    Likeness::Same
}

/// `mode-set=0,2,4` as bits; `None`: all.
fn modes(format: &Format) -> Option<u16> {
    let mut parameters = format
        .parameters
        .split(';')
        .filter_map(|it| it.split_once('='));
    let (_, set) = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case("mode-set"))?;
    let modes = set
        .split(',')
        .filter_map(|it| it.trim().parse::<u16>().ok());
    Some(
        modes
            .filter(|it| *it < 16)
            .fold(0, |bits, mode| bits | 1 << mode),
    )
}

/// The parameters of Opus that have an order (RFC 7587 §6.1). Others follow.
const OPUS: [&str; 9] = [
    "stereo",
    "sprop-stereo",
    "useinbandfec",
    "usedtx",
    "cbr",
    "maxplaybackrate",
    "maxaveragebitrate",
    "sprop-maxcapturerate",
    "minptime",
];

/// The parameters as they are told: those of Opus in one order, whatever order they came in.
pub(super) fn written(format: &Format) -> Text {
    if !format.is_named("opus") || format.parameters.is_empty() {
        return format.parameters.clone();
    }
    let mut words: Vec<_> = pairs(&format.parameters).collect();
    let place = |key: &str| OPUS.iter().position(|it| *it == key).unwrap_or(OPUS.len());
    words.sort_by_key(|(key, _)| place(key));
    join(&words)
}

/// What is said of Opus to who offered it: what it said of its own sending is what it is to
/// receive, and the other way round. `is_mono`: what it gets has one channel.
pub(super) fn answered(offered: &Format, is_mono: bool) -> Text {
    if !offered.is_named("opus") {
        return offered.parameters.clone();
    }
    let said = |name| {
        let value = pairs(&offered.parameters).find(|(key, _)| *key == name);
        value.and_then(|(_, value)| match value {
            "0" | "1" => Some(value),
            _ => None,
        })
    };
    let stereo = said("sprop-stereo").unwrap_or(if is_mono { "0" } else { "1" });
    let mut words = vec![("stereo", stereo)];
    words.extend(said("stereo").map(|it| ("sprop-stereo", it)));
    // Whether things are said twice to the relay is for who sends to say, and it can use it.
    words.push(("useinbandfec", "1"));
    join(&words)
}

fn pairs(parameters: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = parameters
        .split(';')
        .map(str::trim)
        .filter(|it| !it.is_empty());
    words.map(|it| it.split_once('=').unwrap_or((it, "")))
}

fn join(words: &[(&str, &str)]) -> Text {
    let mut text = String::new();
    for (key, value) in words {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(key);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
    }
    if text.is_empty() {
        return Cow::Borrowed("");
    }
    kept(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(rtpmap: &str, parameters: &str) -> Format {
        let mut format = Format::of_payload_type(96);
        format.read_rtpmap(rtpmap);
        format.read_fmtp(parameters);
        format
    }

    #[test]
    fn amr_fits_if_framing_is_the_same_and_modes_are_no_more() {
        let cases = [
            ("octet-align=1", "octet-align=1", Likeness::Same),
            ("", "octet-align=0", Likeness::Same),
            ("octet-align=1", "octet-align=0", Likeness::Other),
            ("", "mode-set=0,2", Likeness::Compatible),
            ("mode-set=0,2", "", Likeness::Other),
            ("mode-set=0,2,4", "mode-set=0,2", Likeness::Compatible),
            ("mode-set=0,2", "mode-set=0,2,4", Likeness::Other),
            ("", "mode-change-period=2", Likeness::Compatible),
        ];
        for (one, other, expected) in cases {
            let (one, other) = (format("AMR/8000", one), format("AMR/8000", other));
            assert_eq!(compare(&one, &other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn parameters_count_where_frames_depend_on_them() {
        let modes = ["mode=20", "mode=30"].map(|it| format("iLBC/8000", it));
        assert_eq!(compare(&modes[0], &modes[1]), Likeness::Other);
        let opus = ["stereo=1", ""].map(|it| format("opus/48000/2", it));
        assert_eq!(compare(&opus[0], &opus[1]), Likeness::Same);
        let video = ["x=1", ""].map(|it| format("H264/90000", it));
        assert_eq!(compare(&video[0], &video[1]), Likeness::Same);
        assert_eq!(compare(&video[0], &opus[0]), Likeness::Other);
    }

    #[test]
    fn what_opus_says_has_an_order_and_loses_nothing() {
        let opus = format(
            "opus/48000/2",
            "x=7;minptime=10; useinbandfec=1;stereo=0;flag",
        );
        let expected = "stereo=0; useinbandfec=1; minptime=10; x=7; flag";
        assert_eq!(written(&opus), expected);
        let other = format("AMR/8000", "b=1;a=2");
        assert_eq!(written(&other), "b=1;a=2");
    }

    #[test]
    fn an_answer_of_opus_says_what_is_sent_and_heard() {
        let cases = [
            ("", true, "stereo=0; useinbandfec=1"),
            ("", false, "stereo=1; useinbandfec=1"),
            (
                "stereo=1;maxplaybackrate=8000",
                true,
                "stereo=0; sprop-stereo=1; useinbandfec=1",
            ),
            (
                "sprop-stereo=1;useinbandfec=0",
                true,
                "stereo=1; useinbandfec=1",
            ),
        ];
        for (offered, is_mono, expected) in cases {
            let opus = format("opus/48000/2", offered);
            assert_eq!(answered(&opus, is_mono), expected, "{offered}");
        }
    }
}
