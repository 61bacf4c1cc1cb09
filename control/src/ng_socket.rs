//! One UDP socket that ng is received on.
//!
//! A proxy that sent to one address of this host does not take a reply from another. A socket
//! bound to an address replies from it anyway; one bound to all of them asks the kernel which one
//! each datagram was sent to, and tells it which one to reply from (ip(7), `IP_PKTINFO`).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Bytes that the kernel keeps of datagrams that have not been read: a burst of requests while
/// one is worked on. Linux gives as much of it as `net.core.rmem_max` allows.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct NgSocket {
    socket: UdpSocket,
    local: SocketAddr,
}

/// Where a datagram came from and where it was sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Received {
    pub(crate) len: usize,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl NgSocket {
    /// Binds a socket.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // So that 0.0.0.0 and :: can both be listened to.
            socket.set_only_v6(true)?;
        }
        prepare(&socket, address)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// Takes over a socket that is bound. What came before stays to be read.
    pub(crate) fn adopt(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        prepare(&socket, local)?;
        Ok(Self { socket, local })
    }

    /// The address it is bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether a reply from this address leaves by this socket.
    pub(crate) fn serves(&self, local: SocketAddr) -> bool {
        let is_wildcard =
            self.local.ip().is_unspecified() && self.local.is_ipv4() == local.is_ipv4();
        self.local == local || (is_wildcard && self.local.port() == local.port())
    }

    /// Sends a datagram from a local address. It is lost if there is no room, as on any network.
    pub(crate) fn send(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> io::Result<()> {
        if !self.local.ip().is_unspecified() {
            return self.socket.send_to(datagram, remote).map(drop);
        }
        let parts = [IoSlice::new(datagram)];
        let to = SockaddrStorage::from(remote);
        let fd = self.socket.as_raw_fd();
        match local.ip() {
            IpAddr::V4(address) => {
                let info = packet_info4(address);
                let from = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd, &parts, &from, MsgFlags::MSG_DONTWAIT, Some(&to))?;
            }
            IpAddr::V6(address) => {
                let info = packet_info6(address);
                let from = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd, &parts, &from, MsgFlags::MSG_DONTWAIT, Some(&to))?;
            }
        }
        Ok(())
    }

    /// Reads a datagram, if there is one; otherwise the error says that it would block.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        if !self.local.ip().is_unspecified() {
            let (len, remote) = self.socket.recv_from(buffer)?;
            let local = self.local;
            return Ok(Received { len, remote, local });
        }
        let mut parts = [IoSliceMut::new(buffer)];
        let mut space = nix::cmsg_space!(in_pktinfo, in6_pktinfo);
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let remote = message.address.as_ref().and_then(socket_address);
        let remote = remote.ok_or(io::ErrorKind::InvalidData)?;
        let mut local = self.local;
        for part in message.cmsgs()? {
            match part {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    let bits = u32::from_be(info.ipi_addr.s_addr);
                    local.set_ip(Ipv4Addr::from_bits(bits).into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    local.set_ip(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => {}
            }
        }
        let len = message.bytes;
        Ok(Received { len, remote, local })
    }
}

impl AsFd for NgSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn prepare(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    // Less is a pity, not an error.
    let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => setsockopt(socket, Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, Ipv6RecvPacketInfo, &true)?,
        }
    }
    Ok(())
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let ip4 = address.as_sockaddr_in();
    let ip4 = ip4.map(|address| SocketAddr::from((address.ip(), address.port())));
    ip4.or_else(|| Some(SocketAddr::V6((*address.as_sockaddr_in6()?).into())))
}

fn packet_info4(address: Ipv4Addr) -> in_pktinfo {
    in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: in_addr {
            s_addr: address.to_bits().to_be(),
        },
        ipi_addr: in_addr { s_addr: 0 },
    }
}

fn packet_info6(address: Ipv6Addr) -> in6_pktinfo {
    in6_pktinfo {
        ipi6_addr: in6_addr {
            s6_addr: address.octets(),
        },
        ipi6_ifindex: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sends a datagram to `to` and checks that the reply comes from there.
    fn is_answered_from(bound: &str, to: IpAddr) {
        let socket = NgSocket::bind(bound.parse().unwrap()).unwrap();
        let mut buffer = [0; 64];
        let nothing = socket.receive(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let client = UdpSocket::bind(SocketAddr::new(to, 0)).unwrap();
        let patience = Duration::from_secs(5);
        client.set_read_timeout(Some(patience)).unwrap();
        let to = SocketAddr::new(to, socket.local().port());
        client.send_to(b"hello", to).unwrap();
        // Loopback delivers while it is sent.
        let received = socket.receive(&mut buffer).unwrap();
        assert_eq!(&buffer[..received.len], b"hello");
        assert_eq!(received.local, to);
        assert_eq!(received.remote, client.local_addr().unwrap());
        assert!(socket.serves(received.local));
        socket
            .send(received.local, received.remote, b"world")
            .unwrap();
        let (len, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"world"[..], to));
    }

    #[test]
    fn replies_leave_from_the_address_that_was_asked() {
        for address in ["127.0.0.1", "127.0.0.2", "127.3.4.5"] {
            is_answered_from("0.0.0.0:0", address.parse().unwrap());
        }
        is_answered_from("127.0.0.1:0", Ipv4Addr::LOCALHOST.into());
    }

    #[test]
    fn the_same_with_ip6() {
        if UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("SKIPPED: this host has no IPv6");
            return;
        }
        is_answered_from("[::]:0", Ipv6Addr::LOCALHOST.into());
        is_answered_from("[::1]:0", Ipv6Addr::LOCALHOST.into());
    }

    #[test]
    fn what_came_before_a_socket_was_adopted_is_read_with_its_address() {
        let bound = UdpSocket::bind("0.0.0.0:0").unwrap();
        let to = SocketAddr::from(([127, 0, 0, 3], bound.local_addr().unwrap().port()));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"early", to).unwrap();
        let socket = NgSocket::adopt(bound).unwrap();
        let mut buffer = [0; 64];
        let received = socket.receive(&mut buffer).unwrap();
        assert_eq!(&buffer[..received.len], b"early");
        assert_eq!(received.local, to);
        assert_eq!(received.remote, client.local_addr().unwrap());
        let nothing = socket.receive(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}
