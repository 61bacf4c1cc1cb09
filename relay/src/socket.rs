//! Sockets for media.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

/// Bytes that the kernel may queue for us; it doubles the number for its own book-keeping, of
/// which a small packet takes some 800. So this is about 300 packets: six seconds of one voice
/// stream, a fifth of a second of video, and not much for somebody who sends at random.
const RECEIVE_QUEUE_BYTES: usize = 128 * 1024;

/// Where ports are bound, and how packets leave from them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    /// Type of service (IPv4) or traffic class (IPv6) of what leaves (RFC 2474 §3).
    pub(crate) tos: u8,
}

/// Binds one UDP port.
///
/// Without `SO_REUSEADDR` and `SO_REUSEPORT`: a port that somebody else has is an error, not
/// half of their packets.
///
/// # Errors
///
/// The system's, above all `EADDRINUSE`.
pub(crate) fn bind(place: Place, port: u16) -> io::Result<OwnedFd> {
    let address = SocketAddr::new(place.address, port);
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        // Otherwise IPv4 peers would come in disguise (::ffff:192.0.2.1).
        socket.set_only_v6(true)?;
    }
    match (place.tos, domain) {
        (0, _) => {}
        (tos, Domain::IPV6) => socket.set_tclass_v6(tos.into())?,
        (tos, _) => socket.set_tos_v4(tos.into())?,
    }
    socket.set_recv_buffer_size(RECEIVE_QUEUE_BYTES)?;
    count_overflow(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Has the kernel say with each datagram how many it has dropped, once there are some.
fn count_overflow(socket: &Socket) -> io::Result<()> {
    let is_on: libc::c_int = 1;
    // JUSTIFICATION: no safe interface has this option.
    // SAFETY: setsockopt(2) wants an address of as many readable bytes as it is told; they are
    // those of `is_on`, which it only reads during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RXQ_OVFL,
            (&raw const is_on).cast(),
            INT_LEN,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Bytes of a `c_int`, as the kernel wants them.
const INT_LEN: libc::socklen_t = 4;

const _: () = assert!(INT_LEN as usize == size_of::<libc::c_int>());

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, UdpSocket};

    const LOOPBACK: Place = Place {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tos: 0,
    };

    #[test]
    fn does_not_share_a_port() {
        let first = bind(LOOPBACK, 0).unwrap();
        let port = UdpSocket::from(first.try_clone().unwrap())
            .local_addr()
            .unwrap()
            .port();
        let error = bind(LOOPBACK, port).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
        drop(first);
        bind(LOOPBACK, port).unwrap();
    }
}
