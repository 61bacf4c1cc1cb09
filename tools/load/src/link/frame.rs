//! Frames of Ethernet that hold a UDP datagram over IPv4 (RFC 791, RFC 768), as bytes.
//!
//! ```text
//!  0  to (6)  from (6)  type 0x0800
//! 14  0x45  0  length (2)  id (2)  DF (2)  TTL  17  checksum (2)  from (4)  to (4)
//! 34  from port (2)  to port (2)  length (2)  checksum (2)
//! 42  datagram
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes before the datagram in a frame that we write.
pub(crate) const HEADER_LEN: usize = ETHERNET_LEN + IP_LEN + UDP_LEN;

const ETHERNET_LEN: usize = 14;
/// Without options, as we write it.
const IP_LEN: usize = 20;
const UDP_LEN: usize = 8;

const TYPE_IPV4: u16 = 0x0800;
const PROTOCOL_UDP: u8 = 17;
const DO_NOT_FRAGMENT: u16 = 0x4000;
/// More fragments, or not the first.
const FRAGMENT_BITS: u16 = 0x3fff;
const TTL: u8 = 64;

/// A hardware address.
pub(crate) type Hardware = [u8; 6];

/// One end of the way of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct End {
    pub(crate) hardware: Hardware,
    pub(crate) address: SocketAddrV4,
}

/// What stands before a datagram: the same for all datagrams of one length between two ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header([u8; HEADER_LEN]);

/// A datagram in a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Datagram<'a> {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) bytes: &'a [u8],
}

impl Header {
    /// For datagrams of `len` bytes; `None` if IP cannot carry as many.
    ///
    /// The UDP checksum is left out, which IPv4 allows: what is in our datagrams has one of its
    /// own, and between two local interfaces the kernel checks none either.
    pub(crate) fn new(from: End, to: End, len: usize) -> Option<Self> {
        let udp_len = u16::try_from(UDP_LEN + len).ok()?;
        let ip_len = u16::try_from(IP_LEN + UDP_LEN + len).ok()?;
        let mut bytes = [0; HEADER_LEN];
        bytes[..6].copy_from_slice(&to.hardware);
        bytes[6..12].copy_from_slice(&from.hardware);
        bytes[12..14].copy_from_slice(&TYPE_IPV4.to_be_bytes());
        let ip = &mut bytes[ETHERNET_LEN..ETHERNET_LEN + IP_LEN];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
        ip[6..8].copy_from_slice(&DO_NOT_FRAGMENT.to_be_bytes());
        (ip[8], ip[9]) = (TTL, PROTOCOL_UDP);
        ip[12..16].copy_from_slice(&from.address.ip().octets());
        ip[16..20].copy_from_slice(&to.address.ip().octets());
        let sum = !sum(ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let udp = &mut bytes[ETHERNET_LEN + IP_LEN..];
        udp[..2].copy_from_slice(&from.address.port().to_be_bytes());
        udp[2..4].copy_from_slice(&to.address.port().to_be_bytes());
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        Some(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }
}

impl<'a> Datagram<'a> {
    /// Reads a frame; `None` if it holds anything else, a part of a datagram, or is cut short.
    pub(crate) fn read(frame: &'a [u8]) -> Option<Self> {
        let ip = frame.get(ETHERNET_LEN..)?;
        let header_len = usize::from(*ip.first()? & 0x0f) * 4;
        let is_udp = word(frame, 12)? == TYPE_IPV4
            && ip.first()? >> 4 == 4
            && header_len >= IP_LEN
            && word(ip, 6)? & FRAGMENT_BITS == 0
            && *ip.get(9)? == PROTOCOL_UDP;
        // Behind it there may be what fills a short frame.
        let ip = ip.get(..usize::from(word(ip, 2)?)).filter(|_| is_udp)?;
        let udp = ip.get(header_len..)?;
        let udp = udp.get(..usize::from(word(udp, 4)?))?;
        Some(Self {
            source: SocketAddrV4::new(address(ip, 12)?, word(udp, 0)?),
            destination: SocketAddrV4::new(address(ip, 16)?, word(udp, 2)?),
            bytes: udp.get(UDP_LEN..)?,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
    Some(Ipv4Addr::from(octets))
}

/// The sum of RFC 1071, of an even number of bytes.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2);
    let sum: u32 = words
        .map(|it| u32::from(u16::from_be_bytes([it[0], it[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let [.., high, low] = (sum + (sum >> 16)).to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(last: u8, port: u16) -> End {
        End {
            hardware: [2, 0, 10, 99, 0, last],
            address: SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, last), port),
        }
    }

    fn frame(from: End, to: End, datagram: &[u8]) -> Vec<u8> {
        let header = Header::new(from, to, datagram.len()).unwrap();
        [header.bytes(), datagram].concat()
    }

    #[test]
    fn a_header_is_as_the_rfcs_draw_it() {
        let header = Header::new(end(1, 4_000), end(2, 5_000), 172).unwrap();
        let expected: [&[u8]; 6] = [
            &[2, 0, 10, 99, 0, 2, 2, 0, 10, 99, 0, 1, 8, 0],
            // Worked out with another program: 0xffff less the sum of the other words.
            &[0x45, 0, 0, 200, 0, 0, 0x40, 0, 64, 17, 0x25, 0x5d],
            &[10, 99, 0, 1],
            &[10, 99, 0, 2],
            &[0x0f, 0xa0, 0x13, 0x88],
            &[0, 180, 0, 0],
        ];
        assert_eq!(header.bytes()[..], expected.concat());
    }

    #[test]
    fn no_datagram_is_longer_than_ip_carries() {
        assert!(Header::new(end(1, 1), end(2, 2), 65_507).is_some());
        assert!(Header::new(end(1, 1), end(2, 2), 65_508).is_none());
    }

    #[test]
    fn what_fills_a_short_frame_is_no_part_of_the_datagram() {
        let mut bytes = frame(end(1, 1), end(2, 2), b"abc");
        bytes.resize(60, 0);
        assert_eq!(Datagram::read(&bytes).unwrap().bytes, b"abc");
    }

    #[test]
    fn options_of_ip_are_skipped() {
        let mut bytes = frame(end(1, 1), end(2, 2), b"abc");
        bytes.splice(34..34, [1, 1, 1, 0]);
        bytes[14] = 0x46;
        bytes[17] += 4;
        assert_eq!(Datagram::read(&bytes).unwrap().bytes, b"abc");
    }

    #[test]
    fn what_is_no_whole_datagram_is_not_read() {
        let good = frame(end(1, 1), end(2, 2), b"abc");
        assert!(Datagram::read(&good).is_some());
        // Of ARP, of IPv6, with a header that is too short, a first and a later fragment, of TCP.
        for (at, value) in [
            (13, 6),
            (14, 0x65),
            (14, 0x44),
            (20, 0x20),
            (21, 1),
            (23, 6),
            // Longer than the frame, and than the packet.
            (17, 200),
            (39, 200),
        ] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert_eq!(Datagram::read(&bytes), None, "{at}: {value}");
        }
        for len in 0..good.len() {
            assert_eq!(Datagram::read(&good[..len]), None, "{len}");
        }
    }

    proptest! {
        #[test]
        fn a_frame_reads_as_it_was_written(ports: [u16; 2], datagram: Vec<u8>) {
            let (from, to) = (end(7, ports[0]), end(9, ports[1]));
            let bytes = frame(from, to, &datagram);
            let read = Datagram::read(&bytes).unwrap();
            prop_assert_eq!((read.source, read.destination), (from.address, to.address));
            prop_assert_eq!(read.bytes, &datagram[..]);
            // With its checksum a header adds up to nothing.
            prop_assert_eq!(sum(&bytes[14..34]), 0xffff);
        }

        #[test]
        fn nothing_that_is_read_panics(mut bytes: Vec<u8>, is_ip: bool) {
            if is_ip && bytes.len() > 24 {
                bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
                bytes[20..22].fill(0);
                bytes[23] = 17;
            }
            let _ = Datagram::read(&bytes);
        }
    }
}
