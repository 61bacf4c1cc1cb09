//! The one control message that is asked for with what is received: how many datagrams a socket
//! has lost (`SO_RXQ_OVFL`, socket(7)). The kernel adds it only once there are some.
//!
//! ```text
//! cmsg_len (8)  cmsg_level (4)  cmsg_type (4)  count (4)  padding (4)
//! ```

/// Bytes that the message takes: `CMSG_SPACE(4)`.
pub(super) const CONTROL_LEN: usize = 24;

/// Its `cmsg_len`: `CMSG_LEN(4)`.
const MESSAGE_LEN: usize = 20;

/// What of a socket the kernel has dropped since it was bound, if the message says so. It wraps.
pub(super) fn read_overflow(control: &[u8]) -> Option<u32> {
    let len = usize::from_ne_bytes(*control.first_chunk()?);
    let level = i32::from_ne_bytes(*control.get(8..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*control.get(12..)?.first_chunk()?);
    let count = u32::from_ne_bytes(*control.get(16..)?.first_chunk()?);
    let is_ours = len == MESSAGE_LEN && level == libc::SOL_SOCKET && kind == libc::SO_RXQ_OVFL;
    is_ours.then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_count_and_nothing_else() {
        let mut message = Vec::new();
        message.extend_from_slice(&20_usize.to_ne_bytes());
        message.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        message.extend_from_slice(&libc::SO_RXQ_OVFL.to_ne_bytes());
        message.extend_from_slice(&7_u32.to_ne_bytes());
        assert_eq!(read_overflow(&message), Some(7));
        for cut in 0..20 {
            assert_eq!(read_overflow(&message[..cut]), None, "{cut}");
        }
        message[12] ^= 1;
        assert_eq!(read_overflow(&message), None, "of another type");
    }
}
