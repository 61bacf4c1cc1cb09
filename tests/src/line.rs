//! The line of a phone: one UDP socket, messages in their order, retransmissions left out.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::Message;

/// Time that any single message may take to arrive.
pub(crate) const MESSAGE_LIMIT: Duration = Duration::from_secs(5);

/// Time after which a request is sent again: T1 of RFC 3261, without the doubling.
const RETRANSMIT_INTERVAL: Duration = Duration::from_millis(500);

/// Messages that are remembered to tell a retransmission from a new one.
const SEEN_MAX: usize = 64;

/// A socket on the way to a proxy.
#[derive(Debug)]
pub(crate) struct Line {
    socket: UdpSocket,
    proxy: SocketAddr,
    inbox: VecDeque<Message>,
    seen: VecDeque<Vec<u8>>,
}

impl Line {
    /// Binds an address.
    ///
    /// # Panics
    ///
    /// When it is taken.
    #[track_caller]
    pub(crate) fn new(local: SocketAddr, proxy: SocketAddr) -> Self {
        let socket = UdpSocket::bind(local).unwrap_or_else(|error| panic!("{local}: {error}"));
        Self {
            socket,
            proxy,
            inbox: VecDeque::new(),
            seen: VecDeque::new(),
        }
    }

    /// Where it receives.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("the socket is bound")
    }

    /// Sends a message.
    #[track_caller]
    pub(crate) fn send(&self, message: &Message) {
        let datagram = message.to_bytes();
        let sent = self.socket.send_to(&datagram, self.proxy);
        assert_eq!(sent.expect("loopback takes packets"), datagram.len());
    }

    /// The final response to a request.
    #[track_caller]
    pub(crate) fn await_final(&mut self, request: &Message) -> Message {
        loop {
            let response = self.await_response(request);
            if response.status().is_some_and(|status| status >= 200) {
                return response;
            }
        }
    }

    /// The next response to a request. The request is sent again while there is none; requests
    /// that arrive meanwhile are kept.
    #[track_caller]
    pub(crate) fn await_response(&mut self, request: &Message) -> Message {
        let deadline = Instant::now() + MESSAGE_LIMIT;
        let mut kept = VecDeque::new();
        let mut found = None;
        while found.is_none() && Instant::now() < deadline {
            match self.next(RETRANSMIT_INTERVAL) {
                Some(message) if belongs_to(&message, request) => found = Some(message),
                Some(message) => kept.push_back(message),
                None => self.send(request),
            }
        }
        kept.append(&mut self.inbox);
        self.inbox = kept;
        found.unwrap_or_else(|| panic!("no response to {}", request.start))
    }

    /// The next message that is not a retransmission.
    #[track_caller]
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Message> {
        if let Some(message) = self.inbox.pop_front() {
            return Some(message);
        }
        let deadline = Instant::now() + limit;
        let mut buffer = [0; 65_536];
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).ok()?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, _)) if self.is_new(&buffer[..len]) => {
                    return Some(Message::parse(&buffer[..len]));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        }
    }

    /// Remembers a datagram. Blank ones are keep-alives (RFC 5626 §3.5.1).
    fn is_new(&mut self, datagram: &[u8]) -> bool {
        if datagram.iter().all(u8::is_ascii_whitespace)
            || self.seen.iter().any(|seen| seen == datagram)
        {
            return false;
        }
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(datagram.to_vec());
        true
    }
}

#[track_caller]
fn belongs_to(message: &Message, request: &Message) -> bool {
    message.status().is_some()
        && message.branch() == request.branch()
        && message.cseq().1 == request.cseq().1
}
