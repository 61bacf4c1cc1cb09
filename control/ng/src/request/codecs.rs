//! What a request says of codecs: the dictionary `codec`, and the same as flags.

use super::given::Given;
use crate::flags::{CodecDirective, Word};
use crate::{Dictionary, Value};

/// Codecs that one request may name, all lists together.
pub const CODEC_DIRECTIVES_MAX: usize = 64;

/// What is to be done with codecs. Each is named as in `a=rtpmap`, in full or in part, such as
/// `opus` or `opus/48000/2`, by its payload type, or as `all` or `full`; what follows the channels
/// are bit rate, packet time, `a=fmtp` and options of the encoder.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Codecs<'a> {
    directives: Vec<(CodecDirective, &'a [u8])>,
}

impl<'a> Codecs<'a> {
    /// What is named for one purpose, in the order given.
    pub fn named(&self, directive: CodecDirective) -> impl Iterator<Item = &'a [u8]> {
        let all = self.directives.iter();
        all.filter_map(move |(of, codec)| (*of == directive).then_some(*codec))
    }

    /// Whether nothing is said of codecs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directives.is_empty()
    }

    /// Names one more. `false` if there are too many, or it is no name.
    pub fn push(&mut self, directive: CodecDirective, codec: &'a [u8]) -> bool {
        let codec = codec.trim_ascii();
        let has_room = self.directives.len() < CODEC_DIRECTIVES_MAX && !codec.is_empty();
        if has_room {
            // In the order of directives, so that it does not matter in which they were given.
            let is_before = |it: &(CodecDirective, _)| it.0.number() <= directive.number();
            let at = self.directives.partition_point(is_before);
            self.directives.insert(at, (directive, codec));
        }
        has_room
    }

    /// Takes the dictionary. What it has beyond the directives goes to `unheeded`.
    pub(super) fn read(&mut self, value: Given<'a>, mut unheeded: impl FnMut(&'a [u8])) -> bool {
        let mut any = false;
        for (key, codecs) in value.entries() {
            any = true;
            let Some(directive) = CodecDirective::find(key) else {
                unheeded(key);
                continue;
            };
            for codec in codecs.words() {
                if !self.push(directive, codec) {
                    unheeded(codec);
                }
            }
        }
        any
    }

    /// Takes a key such as `codec-strip` with its value. `false` if it is none.
    pub(super) fn read_named(&mut self, key: &[u8], codec: &'a [u8]) -> bool {
        let mut flag = key.to_vec();
        flag.push(b'-');
        // `split` wants a codec behind it.
        flag.push(b'x');
        match split(&flag) {
            Some((directive, b"x")) => self.push(directive, codec),
            _ => false,
        }
    }

    /// Takes a flag such as `codec-strip-PCMU` or `transcode-opus`. `false` if it is none.
    pub(super) fn read_flag(&mut self, flag: &'a [u8]) -> bool {
        let Some((directive, codec)) = split(flag) else {
            return false;
        };
        self.push(directive, codec)
    }

    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        let mut dictionary = Dictionary::new();
        for directive in CodecDirective::ALL {
            let codecs: Vec<_> = self.named(*directive).map(Value::from).collect();
            if !codecs.is_empty() {
                dictionary.push(directive.name().as_bytes(), codecs);
            }
        }
        to.push(&b"codec"[..], dictionary);
    }
}

/// The directive in front of a flag, and the codec: `codec-mask-GSM`, `codec-mask=GSM`.
fn split(flag: &[u8]) -> Option<(CodecDirective, &[u8])> {
    let rest = strip_word(flag, b"codec").unwrap_or(flag);
    if rest.len() == flag.len() {
        // `transcode` alone is spelt without `codec-` too.
        return Some((CodecDirective::Transcode, strip_word(flag, b"transcode")?));
    }
    let mut directives = CodecDirective::ALL.iter();
    directives.find_map(|it| Some((*it, strip_word(rest, it.name().as_bytes())?)))
}

/// What follows a word and its divider.
fn strip_word<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let (divider, rest) = rest.split_first()?;
    let is_word = head.eq_ignore_ascii_case(word) && b"-_ =".contains(divider);
    is_word.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, Request};

    fn named(codecs: &Codecs<'_>, directive: CodecDirective) -> Vec<String> {
        let names = codecs.named(directive);
        names
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect()
    }

    #[test]
    fn flags_say_the_same_as_the_dictionary() {
        let mut codecs = Codecs::default();
        let flags: [&[u8]; 8] = [
            b"codec-strip-all",
            b"codec-offer-PCMA",
            b"transcode-opus/48000/2",
            b"codec-transcode-iLBC/8000/1///mode--20",
            b"Codec_Mask_G722",
            b"codec-accept=GSM",
            b"codec-consume-GSM",
            b"codec-offer-telephone-event",
        ];
        for flag in flags {
            assert!(codecs.read_flag(flag), "{}", String::from_utf8_lossy(flag));
        }
        assert_eq!(named(&codecs, CodecDirective::Strip), ["all"]);
        let offered = ["PCMA", "telephone-event"];
        assert_eq!(named(&codecs, CodecDirective::Offer), offered);
        let added = ["opus/48000/2", "iLBC/8000/1///mode--20"];
        assert_eq!(named(&codecs, CodecDirective::Transcode), added);
        assert_eq!(named(&codecs, CodecDirective::Mask), ["G722"]);
        assert_eq!(named(&codecs, CodecDirective::Accept), ["GSM"]);
    }

    #[test]
    fn flags_of_other_kinds_are_none_of_these() {
        let mut codecs = Codecs::default();
        for flag in [
            &b"codec"[..],
            b"codec-",
            b"codec-strip",
            b"codec-strip-",
            b"strip-PCMU",
            b"transcode",
            b"transcode-",
            b"transcoder-PCMU",
            b"codecs-strip-PCMU",
        ] {
            assert!(!codecs.read_flag(flag), "{}", String::from_utf8_lossy(flag));
        }
        assert!(codecs.is_empty());
    }

    #[test]
    fn a_dictionary_of_lists_or_of_strings_divided_by_commas() {
        let body = b"d7:command5:offer7:call-id1:c8:from-tag1:a3:sdp5:v=0\r\n5:codecd\
            5:stripl4:PCMU4:PCMAe9:transcode8:opus,GSM4:hidel1:xee5:ptimei30e\
            13:ptime-reverse2:20e";
        let document = Value::parse(body).unwrap();
        let request = Request::parse(&document).unwrap();
        assert_eq!(request.unheeded.names, [b"hide"]);
        let Command::Offer(offer) = request.command else {
            panic!("{:?}", request.command);
        };
        assert_eq!(
            named(&offer.codecs, CodecDirective::Strip),
            ["PCMU", "PCMA"]
        );
        assert_eq!(
            named(&offer.codecs, CodecDirective::Transcode),
            ["opus", "GSM"]
        );
        assert_eq!(offer.ptime_ms, Some(30));
        assert_eq!(offer.ptime_reverse_ms, Some(20));
    }

    #[test]
    fn a_packet_time_that_cannot_be_is_not_heeded() {
        for (ptime, is_heeded) in [("0", false), ("1", true), ("200", true), ("201", false)] {
            let document = Value::from(
                Dictionary::new()
                    .with("command", "ping")
                    .with("ptime", ptime),
            );
            let request = Request::parse(&document).unwrap();
            assert_eq!(request.unheeded.count == 0, is_heeded, "{ptime}");
        }
    }

    #[test]
    fn more_codecs_than_the_limit_are_told_of() {
        let mut codecs = Codecs::default();
        for number in 0..=CODEC_DIRECTIVES_MAX {
            let has_room = codecs.push(CodecDirective::Strip, b"PCMU");
            assert_eq!(has_room, number < CODEC_DIRECTIVES_MAX);
        }
    }
}
