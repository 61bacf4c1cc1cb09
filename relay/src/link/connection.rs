//! One connection of control: whole messages, never waiting.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use relay_wire::{FromRelay, MESSAGE_BYTES_MAX, ToRelay, decode_first, encode};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown, sockopt};

use crate::mailbox::{ConnectionId, ReplyTo, Sent};

/// Bytes that the kernel may hold for control: it must take the longest message, and it counts
/// its own book-keeping.
const SEND_BUFFER_BYTES: usize = 2 * MESSAGE_BYTES_MAX;

/// What came.
#[derive(Debug)]
pub(super) enum Receipt {
    /// The other end is gone.
    Closed,
    /// Bytes that are no message.
    Malformed,
    /// One message.
    Message(ToRelay),
    /// There is nothing to read now.
    Nothing,
}

/// One connection. It is over when this is dropped, even if a worker is about to reply to it.
#[derive(Debug)]
pub(super) struct Connection {
    link: ReplyTo,
    /// Where packets are read into.
    incoming: Vec<u8>,
    /// Where in it the messages are that were not looked at yet.
    unread: Range<usize>,
    /// A message that control has no room for yet; empty if there is none.
    outgoing: Vec<u8>,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, socket: OwnedFd) -> Self {
        // Linux gives less than asked for if net.core.wmem_max is lower, and its default is
        // enough: two messages rather than one is a comfort.
        let _ = sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES);
        Self {
            link: ReplyTo {
                connection: id,
                socket: Arc::new(socket),
            },
            incoming: Vec::new(),
            unread: 0..0,
            outgoing: Vec::new(),
        }
    }

    /// Reads a message, if there is one.
    pub(super) fn receive(&mut self) -> Receipt {
        if !self.has_unread() {
            match self.receive_packet() {
                Ok(0) => return Receipt::Closed,
                Ok(len) if len > MESSAGE_BYTES_MAX => return Receipt::Malformed,
                Ok(len) => self.unread = 0..len,
                Err(Errno::AGAIN) => return Receipt::Nothing,
                Err(_) => return Receipt::Closed,
            }
        }
        let bytes = &self.incoming[self.unread.clone()];
        match decode_first(bytes) {
            Ok((message, rest)) => {
                self.unread.start = self.unread.end - rest.len();
                Receipt::Message(message)
            }
            Err(_) => Receipt::Malformed,
        }
    }

    fn receive_packet(&mut self) -> Result<usize, Errno> {
        // One byte more, so that a packet that is too long does not pass for one that fits.
        self.incoming.resize(MESSAGE_BYTES_MAX + 1, 0);
        let buffer = &mut self.incoming[..];
        let received = rustix::io::retry_on_intr(|| {
            recv(&self.link.socket, &mut *buffer, RecvFlags::DONTWAIT)
        });
        received.map(|(len, _)| len)
    }

    /// Messages have been read and not looked at.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Puts a message down to be sent. There must be none that waits.
    pub(super) fn queue(&mut self, message: &FromRelay) {
        debug_assert!(!self.is_blocked());
        encode(message, &mut self.outgoing);
    }

    /// The same with one that is encoded, or several.
    pub(super) fn queue_packet(&mut self, packet: Vec<u8>) {
        debug_assert!(!self.is_blocked());
        self.outgoing = packet;
    }

    /// Sends what waits, if there is room. Says whether the connection is alive.
    pub(super) fn flush(&mut self) -> bool {
        if self.outgoing.is_empty() {
            return true;
        }
        let sent = self.link.send(&self.outgoing);
        if sent == Sent::Done {
            self.outgoing.clear();
        }
        sent != Sent::Gone
    }

    /// Its number.
    pub(super) fn id(&self) -> ConnectionId {
        self.link.connection
    }

    /// Where replies are to go.
    pub(super) fn reply_to(&self) -> ReplyTo {
        self.link.clone()
    }

    /// A message waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Says which version is spoken here, to whoever speaks another.
    pub(super) fn refuse(&mut self, version: u16) {
        self.queue(&FromRelay::VersionMismatch { version });
        self.flush();
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.socket.as_fd()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = shutdown(&self.link.socket, Shutdown::Both);
    }
}
