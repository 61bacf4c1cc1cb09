//! Bodies of the fuzz targets: any bytes may come, nothing may panic, and what parses must hold
//! together.

use crate::{Kind, Packet, Redundancy, rtcp, rtcp::Compound};

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
fn touch(packet: rtcp::Packet<'_>) {
    use rtcp::Body;
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

/// RTCP without feedback: what is left is RTCP, if anything is.
pub fn feedback(data: &[u8]) {
    let mut left = data.to_vec();
    let len = rtcp::remove_feedback(&mut left);
    left.truncate(len);
    match Compound::parse(&left) {
        Ok(compound) => {
            let mut types = compound.packets().map(|it| it.packet_type());
            assert!(types.all(|it| !matches!(it, 205 | 206)));
        }
        Err(_) => assert!(left.is_empty() || left == data),
    }
}

/// Redundant data: its parts add up to the payload, and those that are left when some are taken out
/// are what they were.
pub fn redundancy(data: &[u8]) {
    let Some(before) = Redundancy::parse(data) else {
        return;
    };
    let headers_len = 4 * before.blocks().len() - 3;
    let len: usize = before.blocks().iter().map(|it| it.len).sum();
    assert_eq!(headers_len + len, data.len());
    let mut left = data.to_vec();
    let len = before.remove_older(&mut left, |it| it % 2 == 0);
    left.truncate(len);
    let after = Redundancy::parse(&left).expect("it parsed before");
    let (newest, older) = before.blocks().split_last().expect("there is one");
    let kept = older.iter().filter(|it| it.payload_type % 2 == 1);
    let kept: Vec<_> = kept.chain([newest]).collect();
    assert_eq!(after.blocks().len(), kept.len());
    for (after, before) in after.blocks().iter().zip(kept) {
        let name = |it: &crate::RedundantBlock| (it.payload_type, it.older_by);
        assert_eq!(name(after), name(before));
        let text = |it: &crate::RedundantBlock, all: &[u8]| all[it.start..][..it.len].to_vec();
        assert_eq!(text(after, &left), text(before, data));
    }
}
