//! Descriptors of the codecs of RFC 3551 and of those that came after it.

/// What SDP and RTP need to know of a codec before any sample is touched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Descriptor {
    /// The encoding name of `a=rtpmap`.
    pub name: &'static str,
    /// What it encodes.
    pub media: Media,
    /// The payload type that RFC 3551 assigns, if it assigns one.
    pub static_payload_type: Option<u8>,
    /// Samples a second. Not always the RTP clock: G.722 samples at 16 kHz and counts at 8 kHz.
    pub sample_rate_hz: u32,
    /// What RTP timestamps count in.
    pub rtp_clock_hz: u32,
    /// Audio channels; 0 if it is no audio.
    pub channels: u8,
    /// Milliseconds of audio in one packet unless `a=ptime` says otherwise (RFC 3551 §4.2); 0 if
    /// packets hold no fixed time.
    pub packet_ms: u8,
}

/// What a codec encodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Media {
    /// Sound, or what goes with it.
    Audio,
    /// Both at once, multiplexed.
    AudioVideo,
    /// Pictures.
    Video,
}

impl Descriptor {
    /// The codec of a static payload type. `None` if the type is dynamic, reserved or unassigned.
    #[must_use]
    pub fn of_payload_type(payload_type: u8) -> Option<&'static Self> {
        let mut descriptors = DESCRIPTORS.iter();
        descriptors.find(|it| it.static_payload_type == Some(payload_type))
    }

    /// The codec that `a=rtpmap` names. Names are compared without regard to case (RFC 8866
    /// §6.6); channels are 1 where none are written.
    #[must_use]
    pub fn of_rtpmap(name: &str, rtp_clock_hz: u32, channels: u8) -> Option<&'static Self> {
        DESCRIPTORS.iter().find(|it| {
            it.name.eq_ignore_ascii_case(name)
                && it.rtp_clock_hz == rtp_clock_hz
                && it.channels.max(1) == channels.max(1)
        })
    }
}

/// Audio whose RTP clock is its sample rate.
const fn audio(
    name: &'static str,
    static_payload_type: Option<u8>,
    rate_hz: u32,
    channels: u8,
    packet_ms: u8,
) -> Descriptor {
    Descriptor {
        name,
        media: Media::Audio,
        static_payload_type,
        sample_rate_hz: rate_hz,
        rtp_clock_hz: rate_hz,
        channels,
        packet_ms,
    }
}

const fn video(name: &'static str, payload_type: u8, media: Media) -> Descriptor {
    Descriptor {
        name,
        media,
        static_payload_type: Some(payload_type),
        sample_rate_hz: 90_000,
        rtp_clock_hz: 90_000,
        channels: 0,
        packet_ms: 0,
    }
}

/// G.722 samples at 16 kHz; its RTP clock of 8 kHz is a mistake that was kept (RFC 3551 §4.5.2).
const G722: Descriptor = Descriptor {
    sample_rate_hz: 16_000,
    ..audio("G722", Some(9), 8_000, 1, 20)
};

/// Every codec known here: first those with a static payload type, in its order (RFC 3551, tables
/// 4 and 5), then the dynamic ones that phones speak.
pub static DESCRIPTORS: [Descriptor; 32] = [
    audio("PCMU", Some(0), 8_000, 1, 20),
    audio("GSM", Some(3), 8_000, 1, 20),
    audio("G723", Some(4), 8_000, 1, 30),
    audio("DVI4", Some(5), 8_000, 1, 20),
    audio("DVI4", Some(6), 16_000, 1, 20),
    audio("LPC", Some(7), 8_000, 1, 20),
    audio("PCMA", Some(8), 8_000, 1, 20),
    G722,
    audio("L16", Some(10), 44_100, 2, 20),
    audio("L16", Some(11), 44_100, 1, 20),
    audio("QCELP", Some(12), 8_000, 1, 20),
    audio("CN", Some(13), 8_000, 1, 0),
    audio("MPA", Some(14), 90_000, 1, 0),
    audio("G728", Some(15), 8_000, 1, 20),
    audio("DVI4", Some(16), 11_025, 1, 20),
    audio("DVI4", Some(17), 22_050, 1, 20),
    audio("G729", Some(18), 8_000, 1, 20),
    video("CelB", 25, Media::Video),
    video("JPEG", 26, Media::Video),
    video("nv", 28, Media::Video),
    video("H261", 31, Media::Video),
    video("MPV", 32, Media::Video),
    video("MP2T", 33, Media::AudioVideo),
    video("H263", 34, Media::Video),
    audio("iLBC", None, 8_000, 1, 30),
    audio("opus", None, 48_000, 2, 20),
    audio("telephone-event", None, 8_000, 1, 0),
    audio("telephone-event", None, 16_000, 1, 0),
    audio("telephone-event", None, 48_000, 1, 0),
    audio("L16", None, 8_000, 1, 20),
    audio("L16", None, 16_000, 1, 20),
    audio("CN", None, 16_000, 1, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_payload_types_are_those_of_rfc_3551() {
        let name = |payload_type| Descriptor::of_payload_type(payload_type).map(|it| it.name);
        assert_eq!(name(0), Some("PCMU"));
        assert_eq!(name(8), Some("PCMA"));
        assert_eq!(name(18), Some("G729"));
        assert_eq!(name(34), Some("H263"));
        for free in [
            1, 2, 19, 20, 24, 27, 29, 30, 35, 72, 76, 77, 95, 96, 127, 255,
        ] {
            assert_eq!(name(free), None, "{free}");
        }
    }

    #[test]
    fn no_two_descriptors_say_the_same() {
        for (index, one) in DESCRIPTORS.iter().enumerate() {
            for other in &DESCRIPTORS[..index] {
                let same_type = one.static_payload_type.is_some()
                    && one.static_payload_type == other.static_payload_type;
                let same_map = (one.name, one.rtp_clock_hz, one.channels)
                    == (other.name, other.rtp_clock_hz, other.channels);
                assert!(!same_type && !same_map, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn each_is_found_by_what_sdp_says_of_it() {
        for descriptor in &DESCRIPTORS {
            let name = descriptor.name.to_uppercase();
            let found = Descriptor::of_rtpmap(&name, descriptor.rtp_clock_hz, descriptor.channels);
            assert_eq!(found, Some(descriptor));
        }
        assert_eq!(Descriptor::of_rtpmap("PCMU", 16_000, 1), None);
    }

    #[test]
    fn g722_counts_slower_than_it_samples() {
        let g722 = Descriptor::of_rtpmap("G722", 8_000, 1).unwrap();
        assert_eq!(g722.sample_rate_hz, 16_000);
    }
}
