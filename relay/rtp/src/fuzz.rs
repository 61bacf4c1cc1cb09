//! Bodies of the fuzz targets: any bytes may come, nothing may panic, and what parses must hold
//! together.

use crate::{Kind, Packet, rtcp::Compound};

/// RTP: everything that parses lies within the datagram and adds up to it.
pub fn packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else {
        return;
    };
    let extension_len = packet.extension().map_or(0, |it| 4 + it.data.len());
    let headers_len = 12 + 4 * packet.csrcs().len() + extension_len;
    let payload_len = packet.payload().len();
    assert_eq!(headers_len + payload_len + packet.padding_len(), data.len());
    assert_ne!(Kind::of(data), Kind::Other);
    if let Some(elements) = packet.extension().and_then(|it| it.elements()) {
        let len: usize = elements.map(|it| 1 + it.data.len()).sum();
        assert!(len <= extension_len);
    }
}

/// RTCP: the packets of a compound add up to the datagram, and their parts lie within it.
pub fn compound(data: &[u8]) {
    let Ok(compound) = Compound::parse(data) else {
        return;
    };
    let mut len = 0;
    for packet in compound.packets() {
        len += packet.len();
        touch(packet);
    }
    assert_eq!(len, data.len());
    assert_eq!(Kind::of(data), Kind::Rtcp);
}

/// Reads all there is in one packet of a compound.
fn touch(packet: crate::rtcp::Packet<'_>) {
    use crate::rtcp::Body;
    let count = match packet.body() {
        Body::Goodbye(goodbye) => {
            assert!(goodbye.reason().is_none_or(|it| it.len() < packet.len()));
            goodbye.sources().len()
        }
        Body::Other(body) => {
            assert!(body.len() < packet.len());
            usize::from(packet.count())
        }
        Body::ReceiverReport(report) => report.blocks().len(),
        Body::SenderReport(report) => {
            let _ = (report.ntp_time(), report.octet_count());
            report.blocks().len()
        }
        Body::SourceDescription(description) => {
            let items = description.chunks().flat_map(|chunk| chunk.items());
            assert!(items.map(|it| it.text.len() + 2).sum::<usize>() <= packet.len());
            description.chunks().count()
        }
    };
    assert_eq!(count, usize::from(packet.count()));
}

/// The demultiplexer, alone.
pub fn demux(data: &[u8]) {
    if Kind::of(data) == Kind::Other {
        assert!(Packet::parse(data).is_err() || (192..=223).contains(&data[1]));
    }
}
