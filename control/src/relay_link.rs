//! The connection to the relay: made, kept, and made again when it breaks.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use relay_wire::{
    Event, FromRelay, Hello, MESSAGE_BYTES_MAX, PROTOCOL_VERSION, Reply, Request, ToRelay, append,
    decode_first,
};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with, sockopt,
};
use tracing::{error, info, warn};

/// How soon a broken connection is made again; the wait doubles with each failure.
const RETRY_MIN: Duration = Duration::from_millis(50);

/// How long it waits at most: a relay that is back should not be kept waiting.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long the relay may take to answer the greeting.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of requests that are sent at once, though there may be more in this turn.
const PACKET_BYTES: usize = 16 * 1_024;

/// What the relay said, or that it is gone.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Something happened.
    Event(Event),
    /// It is there.
    Hello(Hello),
    /// It is gone.
    Lost,
    /// It answered.
    Reply(Reply),
}

/// The connection, or the attempt at it.
#[derive(Debug)]
pub(crate) struct RelayLink {
    path: PathBuf,
    connection: Option<Connection>,
    /// When there is no connection: the next attempt, at once if there was none. When the greeting
    /// is not answered yet: the end of patience.
    due: Option<Instant>,
    retry: Duration,
    /// It was said already what is wrong; said again only after it was right.
    has_complained: bool,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    is_greeted: bool,
    /// Packets that the relay has no room for yet.
    outgoing: VecDeque<Vec<u8>>,
    /// Messages that will be the next packet.
    packet: Vec<u8>,
    /// Where packets are read into.
    incoming: Vec<u8>,
    /// Where in it the messages are that were not looked at yet.
    unread: Range<usize>,
}

impl RelayLink {
    /// A link that will be made in the first turn.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            connection: None,
            due: None,
            retry: RETRY_MIN,
            has_complained: false,
        }
    }

    /// Sends a request, with the others of this turn, by [`Self::flush`]. Without a connection it is
    /// lost, and so is its answer.
    pub(crate) fn send(&mut self, request: Request) {
        if let Some(connection) = &mut self.connection {
            connection.send(&ToRelay::Request(request));
        }
    }

    /// The same of a sound.
    pub(crate) fn send_sound(&mut self, message: &ToRelay) {
        if let Some(connection) = &mut self.connection {
            connection.send(message);
        }
    }

    /// What to wait for.
    pub(crate) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let connection = self.connection.as_ref()?;
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !connection.outgoing.is_empty());
        Some((connection.socket.as_fd(), flags))
    }

    /// When the next turn is due whatever comes.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match &self.connection {
            Some(connection) if connection.is_greeted => None,
            _ => Some(self.due.unwrap_or(now)),
        }
    }

    /// Does what is due: connects, or loses patience.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout(now).is_none_or(|due| due > now) {
            return;
        }
        if self.connection.is_none() {
            return self.connect(now);
        }
        if self.may_complain() {
            warn!("the relay does not answer the greeting; trying again");
        }
        self.disconnect(now);
    }

    /// Sends what was said in this turn, and what had to wait.
    pub(crate) fn flush(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.flush();
        }
    }

    /// Takes the next thing that the relay said; `None` if there is nothing more now.
    pub(crate) fn receive(&mut self, now: Instant) -> Option<LinkEvent> {
        loop {
            let message = self.connection.as_mut()?.receive()?;
            let event = self.handle_message(now, message);
            if event.is_some() {
                return event;
            }
        }
    }

    /// Messages have been read and not been received: there is nothing to wait for.
    pub(crate) fn has_unread(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(Connection::has_unread)
    }

    fn connect(&mut self, now: Instant) {
        let connection = Connection::open(&self.path);
        match connection {
            Ok(connection) => {
                self.connection = Some(connection);
                self.due = Some(now + HELLO_TIMEOUT);
            }
            Err(error) => {
                if self.may_complain() {
                    let path = self.path.display();
                    warn!(%path, %error, "the relay is not there yet; waiting for it");
                }
                self.disconnect(now);
            }
        }
    }

    fn disconnect(&mut self, now: Instant) {
        self.connection = None;
        self.due = Some(now + self.retry);
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    /// What a message means; `None` if it is nothing to the core.
    fn handle_message(
        &mut self,
        now: Instant,
        message: io::Result<FromRelay>,
    ) -> Option<LinkEvent> {
        let connection = self.connection.as_mut()?;
        match message {
            Ok(FromRelay::Hello(hello))
                if !connection.is_greeted && hello.version == PROTOCOL_VERSION =>
            {
                connection.is_greeted = true;
                self.has_complained = false;
                self.retry = RETRY_MIN;
                let instance = hello.instance;
                info!(
                    instance,
                    workers = hello.partition.workers(),
                    "connected to the relay"
                );
                Some(LinkEvent::Hello(hello))
            }
            Ok(FromRelay::Reply(reply)) if connection.is_greeted => Some(LinkEvent::Reply(reply)),
            Ok(FromRelay::Event { event, .. }) if connection.is_greeted => {
                Some(LinkEvent::Event(event))
            }
            Ok(FromRelay::VersionMismatch { version }) => {
                if self.may_complain() {
                    error!(
                        relay = version,
                        control = PROTOCOL_VERSION,
                        "the relay speaks another version; run both of the same release"
                    );
                }
                self.retry = RETRY_MAX;
                self.lost(now)
            }
            Ok(_) => {
                if self.may_complain() {
                    error!("the relay said what it must not say now");
                }
                self.lost(now)
            }
            Err(error) => {
                if connection.is_greeted && self.may_complain() {
                    warn!(%error, "the connection to the relay broke; trying again");
                }
                self.lost(now)
            }
        }
    }

    /// Whether to say what is wrong: once, however often it is tried.
    fn may_complain(&mut self) -> bool {
        !std::mem::replace(&mut self.has_complained, true)
    }

    fn lost(&mut self, now: Instant) -> Option<LinkEvent> {
        let was_greeted = self.connection.as_ref().is_some_and(|it| it.is_greeted);
        self.disconnect(now);
        was_greeted.then_some(LinkEvent::Lost)
    }
}

impl Connection {
    /// Connects and greets.
    fn open(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        // Room for more than the longest message; what Linux gives by default is enough.
        let _ = sockopt::set_socket_send_buffer_size(&socket, 4 * MESSAGE_BYTES_MAX);
        let mut connection = Self {
            socket,
            is_greeted: false,
            outgoing: VecDeque::new(),
            packet: Vec::new(),
            incoming: vec![0; MESSAGE_BYTES_MAX + 1],
            unread: 0..0,
        };
        let version = PROTOCOL_VERSION;
        connection.send(&ToRelay::Hello { version });
        connection.flush();
        Ok(connection)
    }

    fn send(&mut self, message: &ToRelay) {
        let end = self.packet.len();
        append(message, &mut self.packet);
        if end > 0 && self.packet.len() > MESSAGE_BYTES_MAX {
            let last = self.packet.split_off(end);
            self.send_packet();
            self.packet = last;
        }
        if self.packet.len() >= PACKET_BYTES {
            self.send_packet();
        }
    }

    /// Sends what there is room for.
    fn flush(&mut self) {
        while let Some(bytes) = self.outgoing.front()
            && self.try_send(bytes).is_ok()
        {
            self.outgoing.pop_front();
        }
        self.send_packet();
    }

    fn send_packet(&mut self) {
        if self.packet.is_empty() {
            return;
        }
        if !self.outgoing.is_empty() || self.try_send(&self.packet).is_err() {
            // It goes when there is room; that the relay is gone shows when reading.
            self.outgoing.push_back(self.packet.clone());
        }
        self.packet.clear();
    }

    /// Sends a packet, whole or not at all.
    fn try_send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::io::retry_on_intr(|| send(&self.socket, bytes, flags)).map(drop)
    }

    /// Reads a message, if there is one.
    fn receive(&mut self) -> Option<io::Result<FromRelay>> {
        if self.unread.is_empty() {
            match self.receive_packet() {
                Ok(0) => return Some(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => self.unread = 0..len,
                Err(Errno::AGAIN) => return None,
                Err(error) => return Some(Err(error.into())),
            }
        }
        match decode_first(&self.incoming[self.unread.clone()]) {
            Ok((message, rest)) => {
                self.unread.start = self.unread.end - rest.len();
                Some(Ok(message))
            }
            Err(error) => Some(Err(io::Error::other(error))),
        }
    }

    fn receive_packet(&mut self) -> Result<usize, Errno> {
        let buffer = &mut self.incoming[..];
        let received =
            rustix::io::retry_on_intr(|| recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT));
        received.map(|(len, _)| len)
    }

    /// Messages have been read and not looked at.
    fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }
}

#[cfg(test)]
mod tests;
