//! What the kernel writes beside a datagram: the sender's address (ip(7), ipv6(7)), and control
//! messages (cmsg(3)), read byte by byte.
//!
//! ```text
//! sockaddr_in   family (2, host order)  port (2)  address (4)   zero (8)
//! sockaddr_in6  family (2, host order)  port (2)  flowinfo (4)  address (16)  scope (4, host order)
//! cmsg          length (8)  level (4)  type (4)  data, padded to 8
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of a `sockaddr_in6`, the longer of the two.
pub(crate) const ADDRESS_LEN_MAX: usize = size_of::<libc::sockaddr_in6>();

/// `sa_family_t` is 16 bits wide, the constants of libc are not.
const FAMILY_V4: u16 = 2;
const FAMILY_V6: u16 = 10;

const _: () = {
    assert!(FAMILY_V4 as i32 == libc::AF_INET && FAMILY_V6 as i32 == libc::AF_INET6);
    // As read_control reads them.
    assert!(size_of::<libc::cmsghdr>() == CONTROL_HEADER_LEN && size_of::<usize>() == 8);
    assert!(size_of::<libc::timespec>() == 16);
};

/// Bytes before the data of a control message.
const CONTROL_HEADER_LEN: usize = 16;

/// What control messages said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Control {
    /// When the datagram reached this host, in nanoseconds since 1970 (`SO_TIMESTAMPNS`).
    pub(crate) arrived_ns: Option<u64>,
    /// Datagrams that found the receive queue full since the socket was made (`SO_RXQ_OVFL`);
    /// there only if there were any.
    pub(crate) dropped: Option<u32>,
}

/// Reads an address: `None` if it is of neither family, or cut short.
pub(crate) fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match family {
        FAMILY_V4 => {
            let ip: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
        }
        FAMILY_V6 => {
            let ip: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
            // The flow label is no part of an address that one compares.
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope).into())
        }
        _ => None,
    }
}

/// Reads control messages; those that make no sense end it.
pub(crate) fn read_control(mut bytes: &[u8]) -> Control {
    let mut control = Control::default();
    while let Some((len, level, kind)) = read_control_header(bytes) {
        let Some(data) = bytes.get(CONTROL_HEADER_LEN..len) else {
            break;
        };
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => control.arrived_ns = read_time(data),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                control.dropped = data.first_chunk().map(|it| u32::from_ne_bytes(*it));
            }
            _ => {}
        }
        bytes = bytes.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    control
}

fn read_control_header(bytes: &[u8]) -> Option<(usize, i32, i32)> {
    let len = usize::from_ne_bytes(*bytes.first_chunk()?);
    let level = i32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*bytes.get(12..)?.first_chunk()?);
    (CONTROL_HEADER_LEN..=bytes.len())
        .contains(&len)
        .then_some((len, level, kind))
}

fn read_time(data: &[u8]) -> Option<u64> {
    let seconds = u64::from_ne_bytes(*data.first_chunk()?);
    let nanoseconds = u64::from_ne_bytes(*data.get(8..)?.first_chunk()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (CONTROL_HEADER_LEN + data.len()).to_ne_bytes().to_vec();
        bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn both_messages_are_read_in_any_order() {
        let mut time = 3_u64.to_ne_bytes().to_vec();
        time.extend(7_u64.to_ne_bytes());
        let time = message(libc::SCM_TIMESTAMPNS, &time);
        let dropped = message(libc::SO_RXQ_OVFL, &9_u32.to_ne_bytes());
        let expected = Control {
            arrived_ns: Some(3_000_000_007),
            dropped: Some(9),
        };
        assert_eq!(read_control(&[&time[..], &dropped].concat()), expected);
        assert_eq!(read_control(&[&dropped[..], &time].concat()), expected);
        assert_eq!(read_control(&[]), Control::default());
    }

    /// The kernel's own opinion, by way of another implementation.
    #[test]
    fn addresses_are_read_as_another_implementation_writes_them() {
        for text in ["192.0.2.1:4000", "[2001:db8::1]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let theirs = socket2::SockAddr::from(address);
            let mut bytes = vec![0; ADDRESS_LEN_MAX];
            let family = if address.is_ipv4() {
                FAMILY_V4
            } else {
                FAMILY_V6
            };
            bytes[..2].copy_from_slice(&family.to_ne_bytes());
            bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
            match address {
                SocketAddr::V4(it) => bytes[4..8].copy_from_slice(&it.ip().octets()),
                SocketAddr::V6(it) => {
                    bytes[8..24].copy_from_slice(&it.ip().octets());
                    bytes[24..28].copy_from_slice(&it.scope_id().to_ne_bytes());
                }
            }
            assert_eq!(read_address(&bytes), theirs.as_socket());
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_panics(bytes: Vec<u8>) {
            let _ = read_control(&bytes);
            let _ = read_address(&bytes);
        }
    }
}
