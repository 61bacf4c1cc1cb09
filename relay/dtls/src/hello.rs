//! What a client begins with, as far as it tells one handshake from another.

/// What all hellos of one handshake have in common, and no others have.
pub(crate) type Random = [u8; 32];

/// A hello of a client, or a part of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hello {
    /// A handshake begins with it. The next one answers a cookie (RFC 6347 §4.2.1).
    pub(crate) is_first: bool,
    /// `None`: it is in another part.
    pub(crate) random: Option<Random>,
}

impl Hello {
    /// `None`: it is something else. A hello is in the clear: in a handshake record of the first epoch
    /// (RFC 6347 §4.1, §4.2.2).
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        const HANDSHAKE: u8 = 22;
        const CLIENT_HELLO: u8 = 1;
        let is_clear = bytes.first() == Some(&HANDSHAKE) && bytes.get(3..5) == Some(&[0, 0]);
        let message = bytes.get(13..).filter(|_| is_clear)?;
        let is_hello = message.first() == Some(&CLIENT_HELLO);
        let (number, rest) = message.get(4..)?.split_first_chunk::<2>()?;
        let (offset, rest) = rest.split_first_chunk::<3>()?;
        let random = match offset {
            [0, 0, 0] => Some(*rest.get(5..)?.first_chunk()?),
            _ => None,
        };
        is_hello.then_some(Self {
            is_first: *number == [0, 0],
            random,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_told_by_its_random_and_whether_it_is_the_first() {
        let mut bytes = crate::fuzz::hello();
        let hello = Hello::of(&bytes).unwrap();
        assert!(hello.is_first);
        assert_eq!(hello.random.unwrap(), bytes[27..59]);
        assert_eq!(Hello::of(&bytes[..58]), None);
        bytes[18] = 1;
        assert!(!Hello::of(&bytes).unwrap().is_first);
        // Behind the first part there is no random.
        bytes[21] = 1;
        assert_eq!(Hello::of(&bytes).unwrap().random, None);
        for (at, other) in [(0, 23), (4, 1), (13, 2)] {
            let mut bytes = crate::fuzz::hello();
            bytes[at] = other;
            assert_eq!(Hello::of(&bytes), None, "at {at}");
        }
    }
}
