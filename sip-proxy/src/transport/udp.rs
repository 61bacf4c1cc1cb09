//! One UDP listener: reads what there is, and sends without ever waiting.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;
use sip_proxy_core::Destination;

use crate::driver::Reads;

/// Datagrams that wait because the socket's buffer is full, at most. Beyond that they are dropped:
/// SIP repeats over UDP what is not answered.
const QUEUE_LEN_MAX: usize = 1_024;

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
    pub reads: Reads,
    pub counters: UdpCounters,
}

/// What one attempt to read gave.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Read {
    /// There is nothing to be read.
    Empty,
    /// A message of this many bytes.
    Message(usize, SocketAddr),
    /// Something that is no message: a phone keeping its NAT open, or an error of the network.
    Nothing,
}

impl UdpListener {
    /// `socket` must not block.
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self {
            socket,
            waiting: VecDeque::new(),
            reads: Reads::default(),
            counters: UdpCounters::default(),
        }
    }

    /// Reads one datagram.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match self.socket.recv_from(buffer) {
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
            match self.socket.send_to(&bytes, destination.address) {
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
    pub(crate) fn flush(&mut self) -> Option<Destination> {
        while let Some((destination, bytes)) = self.waiting.front() {
            let destination = *destination;
            let sent = self.socket.send_to(bytes, destination.address);
            if matches!(&sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return None;
            }
            self.waiting.pop_front();
            match sent {
                Ok(_) => self.counters.sent += 1,
                Err(_) => {
                    self.counters.send_errors += 1;
                    return Some(destination);
                }
            }
        }
        None
    }

    /// What is to be waited for: messages, and room only while something waits for it.
    pub(crate) fn interest(&self) -> PollFlags {
        match self.waiting.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::IN | PollFlags::OUT,
        }
    }

    /// Messages that wait to be sent.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }
}

impl AsFd for UdpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
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

    #[test]
    fn what_the_system_refuses_is_told() {
        let mut listener = UdpListener::new(bound());
        let too_long = vec![0; 70_000];
        let to = destination("127.0.0.1:9".parse().unwrap());
        assert!(listener.send(to, too_long).is_err());
        assert_eq!(listener.counters.send_errors, 1);
    }

    #[test]
    fn reads_messages_and_skips_keepalives() {
        let socket = bound();
        let address = socket.local_addr().unwrap();
        let mut listener = UdpListener::new(socket);
        let mut buffer = [0; 100];
        assert_eq!(listener.read(&mut buffer), Read::Empty);
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"\r\n\r\n", address).unwrap();
        peer.send_to(b"hello", address).unwrap();
        // Over loopback what was sent is there.
        assert_eq!(listener.read(&mut buffer), Read::Nothing);
        let from = peer.local_addr().unwrap();
        assert_eq!(listener.read(&mut buffer), Read::Message(5, from));
        assert_eq!(listener.read(&mut buffer), Read::Empty);
        assert_eq!(
            (listener.counters.received, listener.counters.keepalives),
            (1, 1)
        );
    }

    /// What a socket did not take at once leaves later, and in order.
    #[test]
    fn what_waits_for_room_is_sent_when_there_is_some() {
        let mut listener = UdpListener::new(bound());
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = destination(peer.local_addr().unwrap());
        assert_eq!(listener.interest(), PollFlags::IN);
        listener.waiting.push_back((to, b"first".to_vec()));
        assert!(listener.interest().contains(PollFlags::OUT));
        listener.send(to, b"second".to_vec()).unwrap();
        assert_eq!(listener.counters.sent, 0);
        assert_eq!(listener.flush(), None);
        assert_eq!(listener.waiting_len(), 0);
        assert_eq!(listener.interest(), PollFlags::IN);
        for expected in [&b"first"[..], b"second"] {
            let mut buffer = [0; 100];
            let len = peer.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], expected);
        }
        assert_eq!(listener.counters.sent, 2);
    }
}
