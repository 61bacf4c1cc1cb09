//! Sockets for media.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Bytes that the kernel may queue for us; it doubles the number for its own book-keeping, of
/// which a small packet takes some 800. So this is about 300 packets: six seconds of one voice
/// stream, a fifth of a second of video, and not much for somebody who sends at random.
const RECEIVE_QUEUE_BYTES: usize = 128 * 1024;

/// Binds one UDP port.
///
/// Without `SO_REUSEADDR` and `SO_REUSEPORT`: a port that somebody else has is an error, not
/// half of their packets.
///
/// # Errors
///
/// The system's, above all `EADDRINUSE`.
pub(crate) fn bind(address: IpAddr, port: u16) -> io::Result<OwnedFd> {
    let address = SocketAddr::new(address, port);
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        // Otherwise IPv4 peers would come in disguise (::ffff:192.0.2.1).
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(RECEIVE_QUEUE_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, UdpSocket};

    #[test]
    fn does_not_share_a_port() {
        let first = bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let port = UdpSocket::from(first.try_clone().unwrap())
            .local_addr()
            .unwrap()
            .port();
        let error = bind(Ipv4Addr::LOCALHOST.into(), port).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
        drop(first);
        bind(Ipv4Addr::LOCALHOST.into(), port).unwrap();
    }
}
