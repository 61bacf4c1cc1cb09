//! What a datagram on a media port is, told by its first two bytes.
//!
//! RFC 7983 §7 gives the ranges of the first byte; RFC 5761 §4 tells RTP and RTCP apart by the
//! second. Nothing deeper is looked at: a datagram that only begins like RTP is still forwarded
//! as RTP, since a relay that drops what it does not understand breaks what it does not know.

/// What a datagram on a media port is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Neither: STUN, DTLS, T.38 over UDPTL, keep-alives, data.
    Other,
    /// Begins like RTCP: version 2 and a packet type from 192 to 223.
    Rtcp,
    /// Begins like RTP: version 2 and a whole fixed header.
    Rtp,
}

/// Bytes of the shortest RTCP packet: its common header (RFC 3550 §6.4.1).
const RTCP_LEN_MIN: usize = 4;

/// Bytes of the fixed header of RTP (RFC 3550 §5.1).
const RTP_LEN_MIN: usize = 12;

impl Kind {
    /// Tells by the first two bytes and the length.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Self {
        let &[first, second, ..] = datagram else {
            return Self::Other;
        };
        if first >> 6 != 2 {
            return Self::Other;
        }
        match second {
            // RFC 5761 §4: "RTP payload types in the range 64-95 MUST NOT be used" with a
            // multiplexed port, so that these can only be RTCP packet types.
            192..=223 if datagram.len() >= RTCP_LEN_MIN => Self::Rtcp,
            192..=223 => Self::Other,
            _ if datagram.len() >= RTP_LEN_MIN => Self::Rtp,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(first: u8, second: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[0] = first;
        bytes[1] = second;
        bytes
    }

    #[test]
    fn tells_rtp_and_rtcp_apart_by_the_second_byte() {
        for second in 0..=255 {
            let expected = if (192..=223).contains(&second) {
                Kind::Rtcp
            } else {
                Kind::Rtp
            };
            assert_eq!(
                Kind::of(&datagram(0x80, second, 12)),
                expected,
                "second byte {second}"
            );
        }
    }

    #[test]
    fn only_version_2_is_rtp() {
        for first in 0..=255 {
            let is_rtp = Kind::of(&datagram(first, 0, 12)) == Kind::Rtp;
            assert_eq!(is_rtp, (128..=191).contains(&first), "first byte {first}");
        }
    }

    #[test]
    fn what_is_too_short_is_neither() {
        assert_eq!(Kind::of(&[]), Kind::Other);
        assert_eq!(Kind::of(&[0x80]), Kind::Other);
        assert_eq!(Kind::of(&datagram(0x80, 0, 11)), Kind::Other);
        assert_eq!(Kind::of(&datagram(0x80, 201, 3)), Kind::Other);
        assert_eq!(Kind::of(&datagram(0x80, 201, 4)), Kind::Rtcp);
    }
}
