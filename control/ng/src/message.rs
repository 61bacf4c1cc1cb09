//! The frame of a message: a cookie, a space, a document.

/// Bytes of the longest cookie. Clients send some twenty.
pub const COOKIE_BYTES_MAX: usize = 255;

/// A message, divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// Joins a reply to its request; opaque.
    pub cookie: &'a [u8],
    /// The document.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Divides a datagram at its first space. `None` if it has no cookie or one that is too long:
    /// there is nobody to answer then.
    #[must_use]
    pub fn split(datagram: &'a [u8]) -> Option<Self> {
        let len = memchr::memchr(b' ', datagram)?;
        if len == 0 || len > COOKIE_BYTES_MAX {
            return None;
        }
        Some(Self {
            cookie: &datagram[..len],
            body: &datagram[len + 1..],
        })
    }

    /// The datagram.
    #[must_use]
    pub fn join(self) -> Vec<u8> {
        [self.cookie, b" ", self.body].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_what_stands_before_the_first_space() {
        let message = Message::split(b"0_4711_17 d3:a b0:e").unwrap();
        assert_eq!(message.cookie, b"0_4711_17");
        assert_eq!(message.body, b"d3:a b0:e");
        assert_eq!(message.join(), b"0_4711_17 d3:a b0:e");
    }

    #[test]
    fn nothing_without_a_cookie_is_a_message() {
        assert_eq!(Message::split(b""), None);
        assert_eq!(Message::split(b"d7:command4:pinge"), None);
        assert_eq!(Message::split(b" d7:command4:pinge"), None);
        let long = [vec![b'x'; 256], b" de".to_vec()].concat();
        assert_eq!(Message::split(&long), None);
    }
}
