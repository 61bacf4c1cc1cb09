//! What strangers cannot make up: message authentication codes under the proxy's secret.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a code: a guess succeeds once in 2^96 tries.
pub(crate) const CODE_LEN: usize = 12;

/// The secret, kept from `Debug`.
#[derive(Clone)]
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The whole code over `parts`, for one `purpose`; the lengths are part of it, so that no
    /// two lists of parts look the same.
    pub(crate) fn long_code(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .expect("HMAC takes keys of any length (RFC 2104 §2)");
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A code short enough for a header.
    pub(crate) fn code(&self, purpose: &str, parts: &[&[u8]]) -> [u8; CODE_LEN] {
        let long = self.long_code(purpose, parts);
        let mut code = [0; CODE_LEN];
        code.copy_from_slice(&long[..CODE_LEN]);
        code
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Small letters, as digest authentication wants them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes that [`hex`] wrote; `None` if it did not.
pub(crate) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    text.chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_comes_back() {
        assert_eq!(hex(&[0, 0x5a, 0xff]), "005aff");
        assert_eq!(unhex(b"005aff"), Some(vec![0, 0x5a, 0xff]));
        assert_eq!(unhex(b"5"), None);
        assert_eq!(unhex(b"5G"), None);
    }

    #[test]
    fn codes_differ_by_key_purpose_and_parts() {
        let secret = Secret::new([1; 32]);
        let code = secret.code("a", &[b"bc"]);
        assert_eq!(code, secret.code("a", &[b"bc"]));
        assert_ne!(code, Secret::new([2; 32]).code("a", &[b"bc"]));
        assert_ne!(code, secret.code("b", &[b"bc"]));
        assert_ne!(code, secret.code("a", &[b"b", b"c"]));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
