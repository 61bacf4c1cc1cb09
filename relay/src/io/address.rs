//! Socket addresses as the kernel lays them out, written and read byte by byte: `sockaddr_in`
//! and `sockaddr_in6` of ip(7) and ipv6(7).
//!
//! ```text
//! sockaddr_in   family (2, host order)  port (2)  address (4)   zero (8)
//! sockaddr_in6  family (2, host order)  port (2)  flowinfo (4)  address (16)  scope (4, host order)
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of a `sockaddr_in6`, the longer of the two.
pub(super) const ADDRESS_LEN_MAX: usize = size_of::<libc::sockaddr_in6>();

/// Bytes of a `sockaddr_in`.
const ADDRESS_LEN_V4: usize = size_of::<libc::sockaddr_in>();

/// `sa_family_t` is 16 bits wide, the constants of libc are not.
const FAMILY_V4: u16 = 2;
const FAMILY_V6: u16 = 10;

const _: () = {
    assert!(ADDRESS_LEN_V4 == 16 && ADDRESS_LEN_MAX == 28);
    assert!(FAMILY_V4 as i32 == libc::AF_INET && FAMILY_V6 as i32 == libc::AF_INET6);
};

/// Writes an address; returns how many bytes it takes.
pub(super) fn write_address(address: SocketAddr, out: &mut [u8; ADDRESS_LEN_MAX]) -> usize {
    out[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            out[..2].copy_from_slice(&FAMILY_V4.to_ne_bytes());
            out[4..8].copy_from_slice(&address.ip().octets());
            out[8..ADDRESS_LEN_V4].fill(0);
            ADDRESS_LEN_V4
        }
        SocketAddr::V6(address) => {
            out[..2].copy_from_slice(&FAMILY_V6.to_ne_bytes());
            out[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
            out[8..24].copy_from_slice(&address.ip().octets());
            out[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
            ADDRESS_LEN_MAX
        }
    }
}

/// Reads an address: `None` if it is of neither family, or cut short.
pub(super) fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match family {
        FAMILY_V4 => {
            let ip: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
        }
        FAMILY_V6 => {
            let flowinfo = u32::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
            let ip: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, flowinfo, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        for text in ["192.0.2.1:4000", "[2001:db8::1]:4000", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut bytes = [0xff; ADDRESS_LEN_MAX];
            let len = write_address(address, &mut bytes);
            assert_eq!(read_address(&bytes[..len]), Some(address), "{text}");
            for cut in 0..8 {
                assert_eq!(read_address(&bytes[..cut]), None, "{cut} bytes of {text}");
            }
        }
        assert_eq!(read_address(&[1; ADDRESS_LEN_MAX]), None, "another family");
    }

    /// The kernel's own opinion, by way of a socket.
    #[test]
    fn agrees_with_another_implementation() {
        let six = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 4_000, 0x12345, 3);
        for address in ["192.0.2.1:4000".parse().unwrap(), SocketAddr::from(six)] {
            let theirs = socket2::SockAddr::from(address);
            let mut bytes = [0; ADDRESS_LEN_MAX];
            let len = write_address(address, &mut bytes);
            assert_eq!(usize::try_from(theirs.len()).unwrap(), len);
            assert_eq!(read_address(&bytes[..len]), theirs.as_socket());
        }
    }
}
