//! Passwords that a person can read off a screen and type into a phone.

use crate::failure::Failure;

/// Letters and digits without those that look alike (0 O o, 1 l I).
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// 16 characters of 56 are 92 bits: enough against guessing the digest's hash off-line.
const LEN: usize = 16;

/// A random password.
pub(crate) fn generate() -> Result<String, Failure> {
    let mut password = String::new();
    while password.len() < LEN {
        let mut bytes = [0; LEN];
        getrandom::fill(&mut bytes).map_err(|error| {
            Failure::failed(format!("the system has no random numbers: {error}"))
        })?;
        let left = LEN - password.len();
        password.extend(bytes.into_iter().filter_map(letter).take(left));
    }
    Ok(password)
}

/// One letter for a byte. The bytes beyond the last whole alphabet have none, or its first
/// letters would come more often.
fn letter(byte: u8) -> Option<char> {
    let index = usize::from(byte);
    (index < 256 / ALPHABET.len() * ALPHABET.len())
        .then(|| char::from(ALPHABET[index % ALPHABET.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_typeable_and_never_the_same() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), LEN);
        let letters = (0..=u8::MAX).filter_map(letter).count();
        assert_eq!(letters, 4 * ALPHABET.len(), "each as often as any other");
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)));
    }
}
