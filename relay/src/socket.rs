//! Sockets for media.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Bytes that the kernel may queue for us; it doubles the number for its own book-keeping, of
/// which a small packet takes some 800. So this is about 300 packets: six seconds of one voice
/// stream, a fifth of a second of video, and not much for somebody who sends at random.
const RECEIVE_QUEUE_BYTES: usize = 128 * 1024;

/// Datagrams that are thrown away at most: some more than the queue holds.
const DISCARDS_MAX: u32 = 1_024;

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
    if place.tos != 0 {
        set_tos(SockRef::from(&socket), place)?;
    }
    socket.set_recv_buffer_size(RECEIVE_QUEUE_BYTES)?;
    count_overflow(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Has packets leave as a place says, from a socket that is bound already.
///
/// # Errors
///
/// The system's.
pub(crate) fn mark(socket: BorrowedFd<'_>, place: Place) -> io::Result<()> {
    set_tos(SockRef::from(&socket), place)
}

fn set_tos(socket: SockRef<'_>, place: Place) -> io::Result<()> {
    let tos = place.tos.into();
    match place.address {
        IpAddr::V4(_) => socket.set_tos_v4(tos),
        IpAddr::V6(_) => socket.set_tclass_v6(tos),
    }
}

/// Throws away what has come to a socket and was not read. Says how many datagrams that were.
///
/// # Errors
///
/// `EADDRINUSE` if they come faster than they go: somebody uses this port.
pub(crate) fn discard(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut discarded = 0;
    for _ in 0..DISCARDS_MAX {
        match recv(socket, &mut [0_u8; 0], RecvFlags::DONTWAIT) {
            Ok(_) => discarded += 1,
            Err(Errno::AGAIN) => return Ok(discarded),
            // What the network said of something sent before; the next call is not concerned.
            Err(_) => {}
        }
    }
    Err(io::Error::from_raw_os_error(libc::EADDRINUSE))
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
    use std::os::fd::AsFd;

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

    #[test]
    fn discards_all_that_waits_and_nothing_that_comes_later() {
        let socket = bind(LOOPBACK, 0).unwrap();
        let socket = UdpSocket::from(socket);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = |bytes: &[u8]| sender.send_to(bytes, socket.local_addr().unwrap()).unwrap();
        assert_eq!(discard(socket.as_fd()).unwrap(), 0);
        for bytes in [&b"one"[..], b"", b"three"] {
            send(bytes);
        }
        assert_eq!(discard(socket.as_fd()).unwrap(), 3);
        send(b"later");
        assert_eq!(socket.recv(&mut [0; 10]).unwrap(), 5);
    }

    #[test]
    fn marks_what_leaves_in_both_families_and_back() {
        let unmarked = |address: &str| Place {
            address: address.parse().unwrap(),
            tos: 0,
        };
        for place in [unmarked("127.0.0.1"), unmarked("::1")] {
            let socket = bind(place, 0).unwrap();
            for tos in [184, 0] {
                mark(socket.as_fd(), Place { tos, ..place }).unwrap();
                let socket = SockRef::from(&socket);
                let marked = match place.address {
                    IpAddr::V4(_) => socket.tos_v4(),
                    IpAddr::V6(_) => socket.tclass_v6(),
                };
                assert_eq!(marked.unwrap(), u32::from(tos));
            }
        }
    }
}
