//! Where what is in a frame: Ethernet, IPv4 without options, UDP, RTP.

/// Offsets from the beginning of the frame.
pub(crate) const ETHER_TYPE: i16 = 12;
pub(crate) const IP: i16 = 14;
pub(crate) const IP_TOS: i16 = IP + 1;
pub(crate) const IP_LEN: i16 = IP + 2;
pub(crate) const IP_FRAGMENT: i16 = IP + 6;
pub(crate) const IP_TTL: i16 = IP + 8;
pub(crate) const IP_PROTOCOL: i16 = IP + 9;
pub(crate) const IP_SUM: i16 = IP + 10;
/// Source and destination.
pub(crate) const IP_ADDRESSES: i16 = IP + 12;
pub(crate) const IP_SOURCE: i16 = IP + 12;
pub(crate) const IP_DESTINATION: i16 = IP + 16;
pub(crate) const UDP: i16 = IP + 20;
/// Source and destination.
pub(crate) const UDP_PORTS: i16 = UDP;
pub(crate) const UDP_SOURCE: i16 = UDP;
pub(crate) const UDP_DESTINATION: i16 = UDP + 2;
pub(crate) const UDP_LEN: i16 = UDP + 4;
pub(crate) const UDP_SUM: i16 = UDP + 6;
pub(crate) const RTP: i16 = UDP + 8;
pub(crate) const RTP_TYPE: i16 = RTP + 1;
pub(crate) const RTP_SEQUENCE: i16 = RTP + 2;
pub(crate) const RTP_TIMESTAMP: i16 = RTP + 4;
pub(crate) const RTP_SSRC: i16 = RTP + 8;
/// The end of the fixed header.
pub(crate) const RTP_END: i16 = RTP + 12;

/// Bytes of an IPv4 header without options.
pub(crate) const IP_HEADER_LEN: i32 = 20;
/// Bytes of a UDP header.
pub(crate) const UDP_HEADER_LEN: i32 = 8;
/// Bytes of the shortest RTP packet.
pub(crate) const RTP_HEADER_LEN: i32 = 12;

/// EtherType of IPv4.
pub(crate) const ETHER_TYPE_IPV4: u16 = 0x0800;
/// Version 4, five words of header: no options.
pub(crate) const IP_VERSION_AND_LEN: i32 = 0x45;
/// "More fragments", and the offset of one.
pub(crate) const IP_IS_FRAGMENT: u16 = 0x3fff;
/// UDP.
pub(crate) const PROTOCOL_UDP: i32 = 17;
/// The same as a word of the pseudo-header (RFC 768).
pub(crate) const PROTOCOL_UDP_WORD: u16 = 17;

/// A number as it stands in a packet, loaded as if it were the machine's.
pub(crate) const fn network(number: u16) -> i32 {
    u16::from_ne_bytes(number.to_be_bytes()) as i32
}
