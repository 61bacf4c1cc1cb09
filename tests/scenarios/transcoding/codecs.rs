//! What SDP says of the codecs.

use std::net::SocketAddr;

use codec::ilbc::Mode;
use codec::{Codec, Rate};
use tandem_tests::Party;

/// Those of which each becomes each other.
pub(super) const CODECS: [Codec; 7] = [
    Codec::Pcmu,
    Codec::Pcma,
    Codec::Gsm,
    Codec::Ilbc(Mode::Ms20),
    Codec::Ilbc(Mode::Ms30),
    Codec::G722,
    Codec::Opus(Rate::Wide),
];

/// As people call it.
pub(super) fn name(codec: Codec) -> String {
    match codec {
        Codec::Ilbc(Mode::Ms20) => "iLBC-20".to_owned(),
        Codec::Ilbc(Mode::Ms30) => "iLBC-30".to_owned(),
        other => other.name().to_owned(),
    }
}

/// A codec as the relay has it for a peer with another: Opus need not be wider than that.
pub(super) fn facing(codec: Codec, other: Codec) -> Codec {
    match codec {
        Codec::Opus(_) => Codec::Opus(other.rate()),
        codec => codec,
    }
}

/// Milliseconds of a packet.
pub(super) fn packet_ms(codec: Codec) -> usize {
    if codec == Codec::Ilbc(Mode::Ms30) {
        30
    } else {
        20
    }
}

/// The number that a phone gives to a codec (RFC 3551 §6 where that has one).
pub(super) fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Gsm => 3,
        Codec::Pcma => 8,
        Codec::G722 => 9,
        Codec::Ilbc(_) => 97,
        _ => 98,
    }
}

/// A phone that has one codec only.
pub(super) fn party(codec: Codec, address: SocketAddr) -> Party {
    let payload_type = payload_type(codec);
    let attributes: &[&str] = match codec {
        Codec::Ilbc(Mode::Ms20) => &["rtpmap:97 iLBC/8000", "fmtp:97 mode=20", "ptime:20"],
        Codec::Ilbc(Mode::Ms30) => &["rtpmap:97 iLBC/8000", "fmtp:97 mode=30", "ptime:30"],
        Codec::Opus(_) => &["rtpmap:98 opus/48000/2", "ptime:20"],
        _ => &["ptime:20"],
    };
    Party::with_media(
        address,
        "audio",
        &format!("RTP/AVP {payload_type}"),
        attributes,
    )
}
