//! What a completion belongs to, in the 64 bits that the kernel hands back.
//!
//! ```text
//! bits 63..56  what it is
//! bits 31..0   socket
//! ```

use relay_core::SocketId;

/// One receive buffer of the pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BufferId(pub(super) u16);

/// What a completion belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// A request to cancel: nothing depends on how it went.
    Cancel,
    /// The eventfd that says control left a command.
    Mailbox,
    /// The multishot receive of a socket.
    Receive(SocketId),
    /// A send that failed.
    Send,
}

const KIND_SHIFT: u32 = 56;
const CANCEL: u64 = 1;
const MAILBOX: u64 = 2;
const RECEIVE: u64 = 3;
const SEND: u64 = 4;

impl Token {
    pub(super) fn pack(self) -> u64 {
        let (kind, value) = match self {
            Self::Cancel => (CANCEL, 0),
            Self::Mailbox => (MAILBOX, 0),
            Self::Receive(socket) => (RECEIVE, socket.slot()),
            Self::Send => (SEND, 0),
        };
        kind << KIND_SHIFT | u64::from(value)
    }

    /// `None` for what [`Self::pack`] never makes.
    pub(super) fn unpack(bits: u64) -> Option<Self> {
        let value = u32::try_from(bits & !(0xff << KIND_SHIFT)).ok()?;
        match bits >> KIND_SHIFT {
            CANCEL => Some(Self::Cancel),
            MAILBOX => Some(Self::Mailbox),
            RECEIVE => Some(Self::Receive(SocketId::new(value))),
            SEND => Some(Self::Send),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacks_what_it_packed() {
        let tokens = [
            Token::Cancel,
            Token::Mailbox,
            Token::Receive(SocketId::new(0)),
            Token::Receive(SocketId::new(u32::MAX)),
            Token::Send,
        ];
        for token in tokens {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(0), None);
        assert_eq!(Token::unpack(RECEIVE << KIND_SHIFT | 1 << 32), None);
    }
}
