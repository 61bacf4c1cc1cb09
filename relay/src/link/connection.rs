//! One connection of control: whole messages, never waiting.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use relay_wire::{FromRelay, MESSAGE_BYTES_MAX, ToRelay, decode, encode};
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
    /// Where messages are read into.
    incoming: Vec<u8>,
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
            outgoing: Vec::new(),
        }
    }

    /// Reads a message, if there is one.
    pub(super) fn receive(&mut self) -> Receipt {
        // One byte more, so that a message that is too long does not pass for one that fits.
        self.incoming.resize(MESSAGE_BYTES_MAX + 1, 0);
        loop {
            match recv(
                &self.link.socket,
                &mut self.incoming[..],
                RecvFlags::DONTWAIT,
            ) {
                Ok((0, _)) => return Receipt::Closed,
                Ok((len, _)) => {
                    return match decode(&self.incoming[..len]) {
                        Ok(message) => Receipt::Message(message),
                        Err(_) => Receipt::Malformed,
                    };
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Receipt::Nothing,
                Err(_) => return Receipt::Closed,
            }
        }
    }

    /// Puts a message down to be sent. There must be none that waits.
    pub(super) fn queue(&mut self, message: &FromRelay) {
        debug_assert!(!self.is_blocked());
        encode(message, &mut self.outgoing);
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
