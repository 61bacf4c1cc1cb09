//! Spellings of keys and flags: `received from`, `received-from` and `Received_From` are one word.

/// The longest word that means anything; longer ones are unknown.
const WORD_BYTES_MAX: usize = 40;

/// A word in its one normal spelling: small letters, divided by hyphens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normal {
    bytes: [u8; WORD_BYTES_MAX],
    len: usize,
}

impl Normal {
    /// The word in its normal spelling; empty if it is longer than any that is known.
    pub(crate) fn new(word: &[u8]) -> Self {
        let mut normal = Self {
            bytes: [0; WORD_BYTES_MAX],
            len: 0,
        };
        let word = word.trim_ascii();
        if word.len() <= WORD_BYTES_MAX {
            for (to, from) in normal.bytes.iter_mut().zip(word) {
                *to = letter(*from);
            }
            normal.len = word.len();
        }
        normal
    }

    /// The word; nothing if it is not ASCII, since no known word is otherwise.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// Whether two spellings mean the same word.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| letter(*a) == letter(*b))
}

fn letter(byte: u8) -> u8 {
    match byte {
        b' ' | b'_' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_one_word() {
        for spelling in ["received from", "received-from", "Received_From"] {
            assert_eq!(Normal::new(spelling.as_bytes()).as_str(), "received-from");
            assert!(same(spelling.as_bytes(), b"received from"));
        }
        assert!(!same(b"received", b"received from"));
    }

    #[test]
    fn words_beyond_the_limit_are_no_known_word() {
        assert_eq!(Normal::new(&[b'a'; 41]).as_str(), "");
        assert_eq!(Normal::new(&[b'a'; 40]).as_str().len(), 40);
    }
}
