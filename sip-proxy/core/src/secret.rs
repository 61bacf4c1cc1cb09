//! What strangers cannot make up: message authentication codes under the proxy's secret.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a code: a guess succeeds once in 2^96 tries.
pub(crate) const CODE_LEN: usize = 12;

/// The secret, kept from `Debug`.
#[derive(Clone)]
pub(crate) struct Secret(Hmac<Sha256>);

impl Secret {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        let mac = Hmac::new_from_slice(&key);
        Self(mac.expect("HMAC takes keys of any length (RFC 2104 §2)"))
    }

    /// The whole code over `parts`, for one `purpose`; the lengths are part of it, so that no
    /// two lists of parts look the same.
    pub(crate) fn long_code(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
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
    let mut digits = vec![0; bytes.len() * 2];
    write_hex(bytes, &mut digits);
    String::from_utf8(digits).expect("digits are ASCII")
}

/// In hex, into twice as many bytes.
pub(crate) fn write_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// The bytes that [`hex`] wrote; `None` if it did not.
pub(crate) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.chunks_exact(2) {
        bytes.push(unhex_digit(pair[0])? << 4 | unhex_digit(pair[1])?);
    }
    Some(bytes)
}

/// Lower case only, so that a code has one spelling.
pub(crate) const fn unhex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
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
