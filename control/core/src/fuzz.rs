//! Bodies of fuzz targets: they must not panic, and they assert what always holds.

use std::net::{IpAddr, Ipv4Addr};

use crate::codecs;
use crate::record;
use crate::sdp::{
    KeyLine, KeyStyle, Manipulation, OriginChange, Rewrite, RtcpAttribute, Sdp, Section,
    SectionKeys, Transport, rewrite,
};

/// Any bytes as a session description: what goes out is one too, and going through once more
/// changes nothing.
pub fn sdp(data: &[u8]) {
    let Ok(sdp) = Sdp::parse(data) else {
        return;
    };
    let sections: Vec<_> = (10_000_u16..)
        .step_by(2)
        .zip(sdp.media())
        .map(|(port, media)| match (media.transport, media.port) {
            (Transport::Other, _) => Section::Keep,
            (_, 0) => Section::Refuse,
            _ => Section::Relay {
                port,
                rtcp_port: port + 1,
                rtcp_mux: media.has_rtcp_mux(),
                profile: Some(b"RTP/AVPF"),
                keys: SectionKeys::AsWritten,
                mixes_extensions: true,
                ice: Vec::new(),
            },
        })
        .collect();
    let changes = Rewrite {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        origin: &OriginChange {
            address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            ..OriginChange::default()
        },
        replace_zero: false,
        keeps_direction: false,
        strips_extensions: false,
        is_lite: false,
        key_style: KeyStyle::default(),
        loop_mark: None,
        manipulation: Manipulation::default(),
        rtcp_attribute: RtcpAttribute::Port,
        sections: &sections,
    };
    let once = rewrite(&sdp, &changes);
    let again = Sdp::parse(&once).expect("what was written can be read");
    assert_eq!(again.media().len(), sdp.media().len());
    assert_eq!(rewrite(&again, &changes), once);
}

/// Any bytes as what stands behind `a=crypto:`: what is read can be written, and read as the same.
pub fn keys(data: &[u8]) {
    let Some(line) = KeyLine::parse(data) else {
        return;
    };
    assert_eq!(line.crypto.check(), Ok(()));
    let style = KeyStyle {
        is_padded: data.len().is_multiple_of(2),
        has_lifetime: data.len().is_multiple_of(3),
    };
    let text = line.write(style);
    let argument = text.strip_prefix(b"crypto:").unwrap_or_default();
    assert_eq!(KeyLine::parse(argument), Some(line));
}

/// Any bytes as the record of a call.
pub fn record(data: &[u8]) {
    if let Ok(state) = record::decode(data) {
        let bytes = record::encode(&state);
        assert!(bytes.is_err() || record::decode(&bytes.unwrap_or_default()) == Ok(state));
    }
}

/// Any bytes as an offer and its answer, divided by a line `--`: what the parties are told of can be
/// read, and whatever the relay is to do has a place in what was said.
pub fn codecs(data: &[u8]) {
    codecs::fuzz(data);
}

/// Any bytes as a file that is to be played.
pub fn sound(data: &[u8]) {
    crate::sound::fuzz(data);
}
