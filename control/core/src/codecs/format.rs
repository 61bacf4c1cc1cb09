//! Payload types of an m-line, and what is said of them.

use std::borrow::Cow;

use codec_catalog::Descriptor;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digits::push_number;

/// Payload types that one m-line may name. The rest are left alone, and so is the line.
pub(crate) const FORMATS_MAX: usize = 48;

/// From here on no payload type stands for a codec by itself (RFC 3551 §6).
const UNASSIGNED: u8 = 35;

/// Characters of a name or of parameters; longer ones are regarded as none.
const TEXT_LEN_MAX: usize = 256;

/// One payload type, and what it stands for (RFC 8866 §6.6, §6.15).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Format {
    /// 0 to 127.
    pub(crate) payload_type: u8,
    /// Empty if nobody says what it is.
    #[serde(
        serialize_with = "serialize_text",
        deserialize_with = "deserialize_text"
    )]
    pub(crate) name: Text,
    pub(crate) clock_hz: u32,
    /// 1 where none are written.
    pub(crate) channels: u8,
    /// What `a=fmtp` says of it.
    #[serde(
        serialize_with = "serialize_text",
        deserialize_with = "deserialize_text"
    )]
    pub(crate) parameters: Text,
}

/// Of a name or of parameters. Nearly always it is one of a few, which take no memory.
pub(crate) type Text = Cow<'static, str>;

/// What nearly all payload types are called, and nearly all parameters. Their places stand in the
/// records of calls.
const USUAL: [&str; 16] = [
    "",
    "PCMU",
    "PCMA",
    "telephone-event",
    "0-15",
    "0-16",
    "opus",
    "useinbandfec=1",
    "G722",
    "iLBC",
    "mode=20",
    "GSM",
    "G729",
    "CN",
    "maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1",
    "maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1",
];

/// A text to be kept.
pub(crate) fn kept(text: &str) -> Text {
    match USUAL.iter().find(|usual| **usual == text) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(text.to_owned()),
    }
}

/// A text as it is written.
#[derive(Deserialize, Serialize)]
enum Spelling<'a> {
    /// By its place in [`USUAL`].
    Usual(u8),
    Other(&'a str),
}

fn serialize_text<S: Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
    let place = USUAL.iter().position(|usual| usual == text);
    let place = place.and_then(|place| u8::try_from(place).ok());
    let spelling = place.map_or(Spelling::Other(text), Spelling::Usual);
    spelling.serialize(serializer)
}

fn deserialize_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
    match Spelling::deserialize(deserializer)? {
        Spelling::Usual(place) => {
            let usual = USUAL.get(usize::from(place)).copied();
            let usual = usual.ok_or_else(|| Error::custom("no text has this number"))?;
            Ok(Cow::Borrowed(usual))
        }
        Spelling::Other(text) => Ok(kept(text)),
    }
}

impl Format {
    /// A payload type of which nothing is said yet: one of RFC 3551's, or unknown.
    pub(crate) fn of_payload_type(payload_type: u8) -> Self {
        let is_static = payload_type < UNASSIGNED;
        let descriptor = is_static.then(|| Descriptor::of_payload_type(payload_type));
        let descriptor = descriptor.flatten();
        Self {
            payload_type,
            name: Cow::Borrowed(descriptor.map_or("", |it| it.name)),
            clock_hz: descriptor.map_or(0, |it| it.rtp_clock_hz),
            channels: descriptor.map_or(1, |it| it.channels.max(1)),
            parameters: Cow::Borrowed(""),
        }
    }

    /// Takes `PCMU/8000/1`, the end of an `a=rtpmap`.
    pub(crate) fn read_rtpmap(&mut self, text: &str) {
        let mut words = text.trim().split('/');
        let (Some(name), Some(Ok(clock_hz))) = (words.next(), words.next().map(str::parse)) else {
            return;
        };
        let channels = words.next().map_or(Ok(1), str::parse);
        if let Ok(channels) = channels
            && !name.is_empty()
            && name.len() <= TEXT_LEN_MAX
        {
            (self.clock_hz, self.channels) = (clock_hz, channels.max(1));
            if self.name != name {
                self.name = kept(name);
            }
        }
    }

    /// Takes the end of an `a=fmtp`.
    pub(crate) fn read_fmtp(&mut self, text: &str) {
        let text = text.trim();
        if text.len() <= TEXT_LEN_MAX {
            self.parameters = kept(text);
        }
    }

    /// Whether both are the same codec, whatever their numbers and parameters are.
    pub(crate) fn is_same_codec(&self, other: &Self) -> bool {
        let codec = (self.clock_hz, self.channels);
        let is_alike = self.is_named(&other.name) || (self.is_g729() && other.is_g729());
        codec == (other.clock_hz, other.channels) && is_alike
    }

    /// Annex A is the same on the wire, and goes by both names.
    fn is_g729(&self) -> bool {
        self.is_named("G729") || self.is_named("G729a")
    }

    /// Names are compared without regard to case. What has none is like nothing.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let is_alike = self.name == name || self.name.eq_ignore_ascii_case(name);
        !self.name.is_empty() && self.name.len() == name.len() && is_alike
    }

    /// Keys as events (RFC 4733).
    pub(crate) fn is_events(&self) -> bool {
        self.is_named("telephone-event")
    }

    /// Comfort noise (RFC 3389).
    pub(crate) fn is_noise(&self) -> bool {
        self.is_named("CN")
    }

    /// What goes beside a codec, and is none.
    pub(crate) fn is_companion(&self) -> bool {
        self.is_events() || self.is_noise()
    }

    /// The number that a parameter has, as in `mode=20; x=1`.
    pub(crate) fn parameter(&self, name: &str) -> Option<u32> {
        let mut parameters = self
            .parameters
            .split(';')
            .filter_map(|it| it.split_once('='));
        let (_, value) = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
        value.trim().parse().ok()
    }

    /// Its name, as in `a=rtpmap`: `opus/48000/2`.
    pub(crate) fn title(&self) -> String {
        let mut title = format!("{}/{}", self.name, self.clock_hz);
        if self.channels > 1 {
            title += &format!("/{}", self.channels);
        }
        title
    }

    /// Appends the lines that say what it is.
    pub(crate) fn write(&self, line_break: &[u8], out: &mut Vec<u8>) {
        if !self.name.is_empty() {
            out.extend_from_slice(b"a=rtpmap:");
            push_number(self.payload_type, out);
            push_all(&[b" ", self.name.as_bytes(), b"/"], out);
            push_number(self.clock_hz, out);
            if self.channels > 1 {
                out.push(b'/');
                push_number(self.channels, out);
            }
            out.extend_from_slice(line_break);
        }
        if !self.parameters.is_empty() {
            out.extend_from_slice(b"a=fmtp:");
            push_number(self.payload_type, out);
            push_all(&[b" ", self.parameters.as_bytes(), line_break], out);
        }
    }
}

fn push_all(parts: &[&[u8]], out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: &Format) -> String {
        let mut out = Vec::new();
        format.write(b"\n", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn static_payload_types_need_no_rtpmap() {
        let pcma = Format::of_payload_type(8);
        assert_eq!((&*pcma.name, pcma.clock_hz), ("PCMA", 8_000));
        assert_eq!(written(&pcma), "a=rtpmap:8 PCMA/8000\n");
        let unknown = Format::of_payload_type(99);
        assert_eq!(written(&unknown), "");
        assert!(
            !unknown.is_same_codec(&unknown),
            "what has no name is like nothing"
        );
    }

    #[test]
    fn reads_what_it_writes() {
        let mut opus = Format::of_payload_type(111);
        opus.read_rtpmap("opus/48000/2");
        opus.read_fmtp("minptime=10;useinbandfec=1");
        let expected = "a=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n";
        assert_eq!(written(&opus), expected);
        assert_eq!(opus.parameter("UseInbandFec"), Some(1));
        assert_eq!(opus.parameter("stereo"), None);
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        let mut format = Format::of_payload_type(0);
        let known = format.clone();
        for text in [
            "",
            "PCMU",
            "PCMU/x",
            "/8000",
            "PCMU/8000/x",
            "PCMU/8000/256",
        ] {
            format.read_rtpmap(text);
            assert_eq!(format, known, "{text}");
        }
    }
}
