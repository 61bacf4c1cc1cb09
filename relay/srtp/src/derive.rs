//! Session keys out of a master key (RFC 3711 §4.3).

use zeroize::Zeroizing;

use crate::cipher::{Aes, BLOCK_LEN};

/// What a key is for: the label of RFC 3711 §4.3.1 and §4.3.2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Purpose {
    RtpCipher = 0,
    RtpTag = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpTag = 4,
    RtcpSalt = 5,
}

/// Where the label stands in the salt of 14 bytes: before a number of 48 bits, which is 0 where
/// keys are derived once.
const LABEL_AT: usize = 7;

/// Derives keys of one master key.
#[derive(Debug)]
pub(crate) struct Derivation {
    master: Aes,
    /// The master salt and two zeros; four, if it is one of 12 bytes (RFC 7714 §11, erratum 4938).
    salt: Zeroizing<[u8; BLOCK_LEN]>,
}

impl Derivation {
    /// `None` if AES has no key of this length, or the salt is too long.
    pub(crate) fn new(key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut padded = Zeroizing::new([0; BLOCK_LEN]);
        padded[..BLOCK_LEN - 2]
            .get_mut(..salt.len())?
            .copy_from_slice(salt);
        Some(Self {
            master: Aes::new(key)?,
            salt: padded,
        })
    }

    /// So many bytes for a purpose.
    pub(crate) fn derive(&self, purpose: Purpose, len: usize) -> Zeroizing<Vec<u8>> {
        let mut start = *self.salt;
        start[LABEL_AT] ^= purpose as u8;
        let mut bytes = Zeroizing::new(vec![0; len]);
        self.master.apply_counter(start, &mut bytes);
        bytes
    }
}
