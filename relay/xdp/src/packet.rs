//! Where what is in a frame: Ethernet, IPv4 without options or IPv6 without extensions, UDP, RTP.

/// Offsets from the beginning of the frame.
pub(crate) const ETHER_TYPE: i16 = 12;
pub(crate) const IP: i16 = 14;
/// Those of IPv4.
pub(crate) const IP_TOS: i16 = IP + 1;
pub(crate) const IP_LEN: i16 = IP + 2;
pub(crate) const IP_FRAGMENT: i16 = IP + 6;
pub(crate) const IP_SUM: i16 = IP + 10;
/// Those of IPv6: its length is without the header.
pub(crate) const IP6_LEN: i16 = IP + 4;

/// Offsets from the beginning of UDP. Source and destination.
pub(crate) const UDP_PORTS: i16 = 0;
pub(crate) const UDP_SOURCE: i16 = 0;
pub(crate) const UDP_DESTINATION: i16 = 2;
pub(crate) const UDP_LEN: i16 = 4;
pub(crate) const UDP_SUM: i16 = 6;
pub(crate) const RTP: i16 = 8;
pub(crate) const RTP_TYPE: i16 = RTP + 1;
pub(crate) const RTP_SEQUENCE: i16 = RTP + 2;
pub(crate) const RTP_TIMESTAMP: i16 = RTP + 4;
pub(crate) const RTP_SSRC: i16 = RTP + 8;
/// The end of the fixed header.
pub(crate) const RTP_END: i16 = RTP + 12;

/// Bytes of a UDP header.
pub(crate) const UDP_HEADER_LEN: i32 = 8;
/// Bytes of the shortest RTP packet.
pub(crate) const RTP_HEADER_LEN: i32 = 12;

/// Version 4, five words of header: no options.
pub(crate) const IP_VERSION_AND_LEN: i32 = 0x45;
/// "More fragments", and the offset of one.
pub(crate) const IP_IS_FRAGMENT: u16 = 0x3fff;
/// Version 6; the lower half of that byte is traffic class.
pub(crate) const IP6_VERSION: i32 = 0x60;
/// UDP.
pub(crate) const PROTOCOL_UDP: i32 = 17;
/// The same as a word of the pseudo-header (RFC 768, RFC 8200 §8.1).
pub(crate) const PROTOCOL_UDP_WORD: u16 = 17;

/// Which IP: where things are depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// As frames name it.
    pub(crate) const fn ether_type(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }

    /// Bytes of the header of IP.
    pub(crate) const fn header_len(self) -> i16 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    /// Where something of UDP is, from the beginning of the frame.
    pub(crate) const fn in_udp(self, place: i16) -> i16 {
        IP + self.header_len() + place
    }

    /// Bytes of an address.
    pub(crate) const fn address_len(self) -> i16 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Source and destination, which end the header.
    pub(crate) const fn addresses(self) -> i16 {
        self.in_udp(0) - 2 * self.address_len()
    }

    pub(crate) const fn source(self) -> i16 {
        self.addresses()
    }

    pub(crate) const fn destination(self) -> i16 {
        self.addresses() + self.address_len()
    }

    /// How often a packet may still be passed on.
    pub(crate) const fn ttl(self) -> i16 {
        match self {
            Self::V4 => IP + 8,
            Self::V6 => IP + 7,
        }
    }

    /// What is in it.
    pub(crate) const fn protocol(self) -> i16 {
        match self {
            Self::V4 => IP + 9,
            Self::V6 => IP + 6,
        }
    }

    /// UDP with its header, of a packet that every network takes whole: the smallest MTU that Linux
    /// believes in (552, RFC 1191 has less), and that of IPv6 (RFC 8200 §5).
    pub(crate) const fn udp_len_safe(self) -> i32 {
        match self {
            Self::V4 => 552 - 20,
            Self::V6 => 1_280 - 40,
        }
    }
}

/// A number as it stands in a packet, loaded as if it were the machine's.
pub(crate) const fn network(number: u16) -> i32 {
    u16::from_ne_bytes(number.to_be_bytes()) as i32
}
