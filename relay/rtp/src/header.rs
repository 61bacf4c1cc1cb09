//! The fixed header of RTP alone: what a relay wants of every packet.

use crate::{PayloadType, Sequence, Ssrc};

/// The fields of the fixed header (RFC 3550 §5.1), read with one look at the length. Unlike
/// [`Packet`](crate::Packet) it does not ask whether what follows the header holds together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FixedHeader {
    /// What the payload is.
    pub payload_type: PayloadType,
    /// The number of the packet in its stream.
    pub sequence: Sequence,
    /// When the payload was made, in units of its clock.
    pub timestamp: u32,
    /// Whose stream it is.
    pub ssrc: Ssrc,
}

impl FixedHeader {
    /// `None` if it is not version 2, or shorter than a fixed header.
    #[must_use]
    #[inline]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let &[flags, second, n0, n1, t0, t1, t2, t3, s0, s1, s2, s3] = datagram.first_chunk()?;
        if flags >> 6 != 2 {
            return None;
        }
        Some(Self {
            payload_type: PayloadType::of_byte(second),
            sequence: Sequence::new(u16::from_be_bytes([n0, n1])),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: Ssrc::new(u32::from_be_bytes([s0, s1, s2, s3])),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Packet;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_rtp_has_none() {
        assert_eq!(FixedHeader::read(&[0x80; 11]), None);
        assert_eq!(FixedHeader::read(&[0x40; 12]), None);
        assert!(FixedHeader::read(&[0x80; 12]).is_some());
    }

    proptest! {
        #[test]
        fn agrees_with_the_whole_packet(mut bytes in prop::collection::vec(any::<u8>(), 12..100)) {
            bytes[0] = bytes[0] & 0x3f | 0x80;
            let header = FixedHeader::read(&bytes).unwrap();
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert_eq!(header.payload_type, packet.payload_type());
                prop_assert_eq!(header.sequence, packet.sequence());
                prop_assert_eq!(header.timestamp, packet.timestamp());
                prop_assert_eq!(header.ssrc, packet.ssrc());
            }
        }
    }
}
