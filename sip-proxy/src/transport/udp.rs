//! One UDP listener: reads in batches, and sends without ever waiting.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use sip_proxy_core::Destination;
use tokio::net::UdpSocket;

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
    socket: UdpSocket,
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
    /// No more is there.
    Empty,
}

impl UdpListener {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            waiting: VecDeque::new(),
            counters: UdpCounters::default(),
        })
    }

    /// Whether there is something to read.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> bool {
        matches!(self.socket.poll_recv_ready(context), Poll::Ready(Ok(())))
    }

    /// Reads one datagram.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match self.socket.try_recv_from(buffer) {
            Ok((len, _)) if is_keepalive(&buffer[..len]) => {
                self.counters.keepalives += 1;
                Read::Nothing
            }
            Ok((len, source)) => {
                self.counters.received += 1;
                Read::Message(len, source)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Empty,
            // An answer by ICMP to something sent before, or a signal.
            Err(_) => Read::Nothing,
        }
    }

    /// Sends a message now, or soon if the socket's buffer is full.
    ///
    /// # Errors
    /// As the system says; a full queue is counted and no error, since to the sender a lost
    /// datagram and a dropped one are the same.
    pub(crate) fn send(&mut self, destination: Destination, bytes: Vec<u8>) -> io::Result<()> {
        if self.waiting.is_empty() {
            match self.socket.try_send_to(&bytes, destination.address) {
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
            if !matches!(self.socket.poll_send_ready(context), Poll::Ready(Ok(()))) {
                return None;
            }
            let destination = *destination;
            match self.socket.try_send_to(bytes, destination.address) {
                Ok(_) => self.counters.sent += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => {
                    self.counters.send_errors += 1;
                    self.waiting.pop_front();
                    return Some(destination);
                }
            }
            self.waiting.pop_front();
        }
        None
    }

    /// Messages that wait to be sent.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }
}

/// What phones send to keep a NAT's mapping: line ends, NULs, or nothing at all.
fn is_keepalive(datagram: &[u8]) -> bool {
    datagram.len() <= 4 && datagram.iter().all(|byte| b"\r\n\0".contains(byte))
}

#[cfg(test)]
mod tests {
    use sip_proxy_core::ListenerId;

    use super::*;

    fn destination(address: SocketAddr) -> Destination {
        Destination {
            listener: ListenerId(0),
            address,
            connection: None,
        }
    }

    fn bound() -> std::net::UdpSocket {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
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
        listener.socket.writable().await.unwrap();
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
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"\r\n\r\n", address).unwrap();
        peer.send_to(b"hello", address).unwrap();
        listener.socket.readable().await.unwrap();
        let mut buffer = [0; 100];
        assert_eq!(listener.read(&mut buffer), Read::Nothing);
        let from = peer.local_addr().unwrap();
        assert_eq!(listener.read(&mut buffer), Read::Message(5, from));
        assert_eq!(listener.read(&mut buffer), Read::Empty);
        assert_eq!(
            (listener.counters.received, listener.counters.keepalives),
            (1, 1)
        );
    }
}
