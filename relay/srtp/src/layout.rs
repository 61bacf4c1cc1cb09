//! Where the parts of a packet are.

/// Bytes of SRTCP that are never encrypted: the first header, and whose it is (RFC 3711 §3.4).
pub(crate) const RTCP_CLEAR_LEN: usize = 8;

/// The number of an SRTCP packet, and whether that is encrypted.
pub(crate) const RTCP_INDEX_LEN: usize = 4;

/// What SRTP wants of the header of RTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RtpHeader {
    pub(crate) sequence: u16,
    pub(crate) ssrc: u32,
    /// Bytes before the payload: the fixed header, the sources that contributed, the extension.
    pub(crate) len: usize,
}

impl RtpHeader {
    /// `None` if it is no RTP, or its header does not end within it (RFC 3550 §5.1).
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let &[flags, _, n0, n1, _, _, _, _, s0, s1, s2, s3] = packet.first_chunk()?;
        if flags >> 6 != 2 {
            return None;
        }
        let mut len = 12 + 4 * usize::from(flags & 0x0f);
        if flags & 0x10 != 0 {
            let &[_, _, words_high, words_low] = packet.get(len..)?.first_chunk()?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([words_high, words_low]));
        }
        (len <= packet.len()).then_some(Self {
            sequence: u16::from_be_bytes([n0, n1]),
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            len,
        })
    }
}

/// Whose an RTCP packet is (RFC 3550 §6.4.1). `None` if it is none.
pub(crate) fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let &[flags, _, _, _, s0, s1, s2, s3] = packet.first_chunk()?;
    (flags >> 6 == 2).then_some(u32::from_be_bytes([s0, s1, s2, s3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_begins_behind_contributors_and_extension() {
        let mut packet = [0; 40];
        packet[0] = 0x80;
        assert_eq!(RtpHeader::read(&packet).unwrap().len, 12);
        packet[0] = 0x82;
        assert_eq!(RtpHeader::read(&packet).unwrap().len, 20);
        packet[0] = 0x92;
        packet[23] = 2;
        assert_eq!(RtpHeader::read(&packet).unwrap().len, 32);
        packet[23] = 4;
        assert_eq!(RtpHeader::read(&packet).unwrap().len, 40);
        packet[23] = 5;
        assert_eq!(RtpHeader::read(&packet), None);
        packet[0] = 0x8f;
        assert_eq!(RtpHeader::read(&packet), None);
        assert_eq!(RtpHeader::read(&packet[..11]), None);
        packet[0] = 0x40;
        assert_eq!(RtpHeader::read(&packet), None);
    }

    #[test]
    fn rtcp_names_its_source_in_eight_bytes() {
        let packet = [0x80, 201, 0, 1, 0, 0, 1, 2];
        assert_eq!(rtcp_ssrc(&packet), Some(0x102));
        assert_eq!(rtcp_ssrc(&packet[..7]), None);
        assert_eq!(rtcp_ssrc(&[0; 8]), None);
    }
}
