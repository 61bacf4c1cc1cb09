//! Payload types of an m-line, and what is said of them.

use codec_catalog::Descriptor;
use serde::{Deserialize, Serialize};

/// Payload types that one m-line may name. The rest are left alone, and so is the line.
pub(crate) const FORMATS_MAX: usize = 48;

/// Characters of a name or of parameters; longer ones are regarded as none.
const TEXT_LEN_MAX: usize = 256;

/// One payload type, and what it stands for (RFC 8866 §6.6, §6.15).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Format {
    /// 0 to 127.
    pub(crate) payload_type: u8,
    /// Empty if nobody says what it is.
    pub(crate) name: String,
    pub(crate) clock_hz: u32,
    /// 1 where none are written.
    pub(crate) channels: u8,
    /// What `a=fmtp` says of it.
    pub(crate) parameters: String,
}

impl Format {
    /// A payload type of which nothing is said yet: one of RFC 3551's, or unknown.
    pub(crate) fn of_payload_type(payload_type: u8) -> Self {
        let descriptor = Descriptor::of_payload_type(payload_type);
        Self {
            payload_type,
            name: descriptor.map_or_else(String::new, |it| it.name.to_owned()),
            clock_hz: descriptor.map_or(0, |it| it.rtp_clock_hz),
            channels: descriptor.map_or(1, |it| it.channels.max(1)),
            parameters: String::new(),
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
            name.clone_into(&mut self.name);
        }
    }

    /// Takes the end of an `a=fmtp`.
    pub(crate) fn read_fmtp(&mut self, text: &str) {
        let text = text.trim();
        if text.len() <= TEXT_LEN_MAX {
            text.clone_into(&mut self.parameters);
        }
    }

    /// Whether both are the same codec, whatever their numbers and parameters are.
    pub(crate) fn is_same_codec(&self, other: &Self) -> bool {
        let codec = (self.clock_hz, self.channels);
        self.is_named(&other.name) && codec == (other.clock_hz, other.channels)
    }

    /// Names are compared without regard to case. What has none is like nothing.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        !self.name.is_empty() && self.name.eq_ignore_ascii_case(name)
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

    /// The lines that say what it is, without their ends.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let (payload_type, name, clock_hz) = (self.payload_type, &self.name, self.clock_hz);
        let channels = match self.channels {
            0 | 1 => String::new(),
            channels => format!("/{channels}"),
        };
        let rtpmap = (!name.is_empty())
            .then(|| format!("a=rtpmap:{payload_type} {name}/{clock_hz}{channels}"));
        let parameters = &self.parameters;
        let fmtp = (!parameters.is_empty()).then(|| format!("a=fmtp:{payload_type} {parameters}"));
        rtpmap.into_iter().chain(fmtp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_payload_types_need_no_rtpmap() {
        let pcma = Format::of_payload_type(8);
        assert_eq!((pcma.name.as_str(), pcma.clock_hz), ("PCMA", 8_000));
        let lines: Vec<_> = pcma.lines().collect();
        assert_eq!(lines, ["a=rtpmap:8 PCMA/8000"]);
        let unknown = Format::of_payload_type(99);
        assert_eq!(unknown.lines().count(), 0);
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
        let lines: Vec<_> = opus.lines().collect();
        let expected = [
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 minptime=10;useinbandfec=1",
        ];
        assert_eq!(lines, expected);
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
