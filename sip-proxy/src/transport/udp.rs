//! One UDP listener: reads in batches, and sends without ever waiting.
//!
//! The runtime watches the socket for what can be read only: watched for room as well, each
//! datagram that left it would wake the loop once more. Room is waited for when there is none.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};

use sip_proxy_core::Destination;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Datagrams that wait because the socket's buffer is full, at most. Beyond that they are dropped:
/// SIP repeats over UDP what is not answered.
const QUEUE_LEN_MAX: usize = 1_024;

/// Messages that one reading takes at most, so that one busy listener does not starve the rest.
pub(crate) const READ_BATCH_MAX: usize = 64;

/// What has gone through a listener.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct UdpCounters {
    pub received: u64,
    pub sent: u64,
    pub keepalives: u64,
    pub send_blocked: u64,
    pub send_dropped: u64,
    pub send_errors: u64,
}

/// A socket and what waits to be sent by it, in order.
#[derive(Debug)]
pub(crate) struct UdpListener {
    socket: AsyncFd<UdpSocket>,
    /// The same socket, watched for room while messages wait.
    room: Option<AsyncFd<UdpSocket>>,
    waiting: VecDeque<(Destination, Vec<u8>)>,
    pub counters: UdpCounters,
}

/// What one attempt to read gave.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Read {
    /// A message of this many bytes.
    Message(usize, SocketAddr),
    /// Something that is no message: a phone keeping its NAT open, or an error of the network.
    Nothing,
}

impl UdpListener {
    /// `socket` must not block.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: watched(socket, Interest::READABLE)?,
            room: None,
            waiting: VecDeque::new(),
            counters: UdpCounters::default(),
        })
    }

    /// Reads one datagram. If there is none, `context` is woken by the next.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Read> {
        loop {
            let Poll::Ready(Ok(mut guard)) = self.socket.poll_read_ready(context) else {
                return Poll::Pending;
            };
            let read = guard.try_io(|socket| socket.get_ref().recv_from(buffer));
            match read {
                Ok(Ok((len, _))) if is_keepalive(&buffer[..len]) => {
                    self.counters.keepalives += 1;
                    return Poll::Ready(Read::Nothing);
                }
                Ok(Ok((len, source))) => {
                    self.counters.received += 1;
                    return Poll::Ready(Read::Message(len, source));
                }
                // An answer by ICMP to something sent before, or a signal.
                Ok(Err(_)) => return Poll::Ready(Read::Nothing),
                // Asked again, the runtime says when there is more.
                Err(_would_block) => {}
            }
        }
    }

    /// Sends a message now, or soon if the socket's buffer is full.
    ///
    /// # Errors
    /// As the system says; a full queue is counted and no error, since to the sender a lost
    /// datagram and a dropped one are the same.
    pub(crate) fn send(&mut self, destination: Destination, bytes: Vec<u8>) -> io::Result<()> {
        if self.waiting.is_empty() {
            match self.socket.get_ref().send_to(&bytes, destination.address) {
                Ok(_) => {
                    self.counters.sent += 1;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.counters.send_errors += 1;
                    return Err(error);
                }
            }
        }
        if self.waiting.len() >= QUEUE_LEN_MAX {
            self.counters.send_dropped += 1;
            return Ok(());
        }
        self.counters.send_blocked += 1;
        self.waiting.push_back((destination, bytes));
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it. Returns the destination of one that could
    /// not be sent at all; call again then.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Option<Destination> {
        while let Some((destination, bytes)) = self.waiting.front() {
            let destination = *destination;
            let Ok(room) = room(&mut self.room, &self.socket) else {
                self.counters.send_errors += 1;
                self.waiting.pop_front();
                return Some(destination);
            };
            let Poll::Ready(Ok(mut guard)) = room.poll_write_ready(context) else {
                return None;
            };
            match guard.try_io(|socket| socket.get_ref().send_to(bytes, destination.address)) {
                Ok(Ok(_)) => self.counters.sent += 1,
                Ok(Err(_)) => {
                    self.counters.send_errors += 1;
                    self.waiting.pop_front();
                    return Some(destination);
                }
                Err(_would_block) => continue,
            }
            self.waiting.pop_front();
        }
        self.room = None;
        None
    }

    /// Whether messages wait, but nobody yet for room.
    pub(crate) fn must_wait_for_room(&self) -> bool {
        !self.waiting.is_empty() && self.room.is_none()
    }

    /// Messages that wait to be sent.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }
}

/// Has the runtime watch a socket, which must not block, for one thing only.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for owners whose descriptor may change: a socket's does not"
)]
pub(crate) fn watched(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

/// The socket, watched for room from now on.
fn room<'a>(
    room: &'a mut Option<AsyncFd<UdpSocket>>,
    socket: &AsyncFd<UdpSocket>,
) -> io::Result<&'a AsyncFd<UdpSocket>> {
    match room {
        Some(room) => Ok(room),
        none => {
            let again = socket.get_ref().try_clone()?;
            Ok(none.insert(watched(again, Interest::WRITABLE)?))
        }
    }
}

/// What phones send to keep a NAT's mapping: line ends, NULs, or nothing at all.
fn is_keepalive(datagram: &[u8]) -> bool {
    datagram.len() <= 4 && datagram.iter().all(|byte| b"\r\n\0".contains(byte))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use sip_proxy_core::ListenerId;

    use super::*;

    fn destination(address: SocketAddr) -> Destination {
        Destination {
            listener: ListenerId(0),
            address,
            connection: None,
        }
    }

    fn bound() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    #[test]
    fn keepalives_are_told_from_messages() {
        for datagram in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0"] {
            assert!(is_keepalive(datagram));
        }
        for datagram in [&b"\r\n\r\n\r\n"[..], b"x", b"OPTIONS"] {
            assert!(!is_keepalive(datagram));
        }
    }

    #[tokio::test]
    async fn what_the_system_refuses_is_told() {
        let mut listener = UdpListener::new(bound()).unwrap();
        let too_long = vec![0; 70_000];
        let to = destination("127.0.0.1:9".parse().unwrap());
        assert!(listener.send(to, too_long).is_err());
        assert_eq!(listener.counters.send_errors, 1);
    }

    #[tokio::test]
    async fn reads_messages_and_skips_keepalives() {
        let socket = bound();
        let address = socket.local_addr().unwrap();
        let mut listener = UdpListener::new(socket).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"\r\n\r\n", address).unwrap();
        peer.send_to(b"hello", address).unwrap();
        let mut buffer = [0; 100];
        let mut read = async || poll_fn(|context| listener.poll_read(context, &mut buffer)).await;
        assert_eq!(read().await, Read::Nothing);
        let from = peer.local_addr().unwrap();
        assert_eq!(read().await, Read::Message(5, from));
        assert_eq!(
            (listener.counters.received, listener.counters.keepalives),
            (1, 1)
        );
    }

    /// What a socket did not take at once leaves later, and in order.
    #[tokio::test]
    async fn what_waits_for_room_is_sent_when_there_is_some() {
        let mut listener = UdpListener::new(bound()).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = destination(peer.local_addr().unwrap());
        listener.waiting.push_back((to, b"first".to_vec()));
        assert!(listener.must_wait_for_room());
        listener.send(to, b"second".to_vec()).unwrap();
        assert_eq!(listener.counters.sent, 0);
        poll_fn(|context| {
            assert_eq!(listener.poll_flush(context), None);
            match listener.waiting_len() {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        assert!(!listener.must_wait_for_room() && listener.room.is_none());
        for expected in [&b"first"[..], b"second"] {
            let mut buffer = [0; 100];
            let len = peer.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], expected);
        }
        assert_eq!(listener.counters.sent, 2);
    }
}
