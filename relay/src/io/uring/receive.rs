//! What a completed receive left in its buffer.
//!
//! ```text
//!  0                     16              44             68                  68 + payload_len
//!  ├ io_uring_recvmsg_out ┼ address (28) ┼ control (24) ┼ payload ─────────► │ … room
//! ```

use std::net::SocketAddr;

use super::buffers::BUFFER_SIZE;
use super::ring::{ADDRESS_AT, CONTROL_AT, PAYLOAD_AT};
use crate::io::address::read_address;
use crate::io::control_message::read_overflow;

/// A datagram that arrived whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Received {
    pub(super) source: SocketAddr,
    pub(super) payload_len: usize,
    /// How many the socket has lost so far, if the kernel says so.
    pub(super) overflow: Option<u32>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReceiveError {
    /// Not laid out as it must be, or without an address that can be answered.
    Malformed,
    /// The datagram was longer than the buffer.
    Truncated,
}

/// Reads the head of a buffer of which the kernel has filled `len` bytes.
pub(super) fn read_received(
    buffer: &[u8; BUFFER_SIZE],
    len: usize,
) -> Result<Received, ReceiveError> {
    // namelen, controllen, payloadlen and flags of `io_uring_recvmsg_out`, in host order.
    let word = |at: usize| {
        u32::from_ne_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]])
    };
    let (address_len, control_len, payload_len, flags) = (word(0), word(4), word(8), word(12));
    if flags & MSG_TRUNC != 0 {
        return Err(ReceiveError::Truncated);
    }
    let (Ok(address_len), Ok(payload_len)) =
        (usize::try_from(address_len), usize::try_from(payload_len))
    else {
        return Err(ReceiveError::Malformed);
    };
    let address = buffer[ADDRESS_AT..CONTROL_AT].get(..address_len);
    let source = address.and_then(read_address);
    match source {
        Some(source) if len.checked_sub(PAYLOAD_AT) == Some(payload_len) && len <= BUFFER_SIZE => {
            Ok(Received {
                source,
                payload_len,
                overflow: match control_len {
                    0 => None,
                    _ => read_overflow(&buffer[CONTROL_AT..PAYLOAD_AT]),
                },
            })
        }
        _ => Err(ReceiveError::Malformed),
    }
}

/// `libc::MSG_TRUNC`, as it stands in the unsigned field.
const MSG_TRUNC: u32 = libc::MSG_TRUNC.cast_unsigned();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::address::write_address;

    const LEN: usize = PAYLOAD_AT + 172;

    fn buffer(flags: u32) -> [u8; BUFFER_SIZE] {
        let mut buffer = [0; BUFFER_SIZE];
        buffer[0..4].copy_from_slice(&16_u32.to_ne_bytes());
        buffer[8..12].copy_from_slice(&172_u32.to_ne_bytes());
        buffer[12..16].copy_from_slice(&flags.to_ne_bytes());
        let address = buffer[ADDRESS_AT..].first_chunk_mut().unwrap();
        write_address("192.0.2.1:4000".parse().unwrap(), address);
        buffer
    }

    #[test]
    fn reads_address_and_length() {
        let received = read_received(&buffer(0), LEN).unwrap();
        assert_eq!(received.source, "192.0.2.1:4000".parse().unwrap());
        assert_eq!((received.payload_len, received.overflow), (172, None));
    }

    #[test]
    fn a_truncated_datagram_is_none() {
        assert_eq!(
            read_received(&buffer(MSG_TRUNC), LEN),
            Err(ReceiveError::Truncated)
        );
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        for len in [0, PAYLOAD_AT - 1, LEN - 1, LEN + 1, BUFFER_SIZE + 1] {
            assert_eq!(
                read_received(&buffer(0), len),
                Err(ReceiveError::Malformed),
                "{len}"
            );
        }
        let mut long_address = buffer(0);
        long_address[0..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(
            read_received(&long_address, LEN),
            Err(ReceiveError::Malformed)
        );
    }
}
