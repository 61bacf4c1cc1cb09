//! Sockets that lose as little as the system allows, and say so when they do.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::sockopt as rustix_sockopt;
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes of a queue that we ask for. The kernel counts some 800 for a small packet, so this is
/// about 20,000 packets.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Binds a socket at `ip` and a free port, with queues as long as we may have.
pub(crate) fn bind(ip: IpAddr) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, 0);
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    lengthen_queues(&socket)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Beyond the system's limit if we may, else up to it.
fn lengthen_queues(socket: &Socket) -> io::Result<()> {
    let fd = socket.as_fd();
    if rustix_sockopt::set_socket_recv_buffer_size_force(fd, QUEUE_BYTES).is_err() {
        socket.set_recv_buffer_size(QUEUE_BYTES)?;
    }
    if rustix_sockopt::set_socket_send_buffer_size_force(fd, QUEUE_BYTES).is_err() {
        socket.set_send_buffer_size(QUEUE_BYTES)?;
    }
    Ok(())
}

/// The address of this host that `target` is reached from. Nothing is sent.
pub(crate) fn local_address_towards(target: SocketAddr) -> io::Result<IpAddr> {
    let any = match target {
        SocketAddr::V4(_) => IpAddr::from([0; 4]),
        SocketAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}
