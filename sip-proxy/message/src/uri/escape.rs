//! `%41` (RFC 3261 §19.1.2).

use std::borrow::Cow;

use memchr::memchr;

/// Whether every `%` is followed by two hex digits.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(percent) = memchr(b'%', rest) {
        let [high, low, after @ ..] = &rest[percent + 1..] else {
            return false;
        };
        if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
            return false;
        }
        rest = after;
    }
    true
}

/// Without escapes. Copies only if there are some.
pub(super) fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(characters(bytes).map(|character| character.byte).collect())
}

/// One character of a URI's part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Character {
    pub(super) byte: u8,
    /// It was escaped, and without the escape it would mean something else: `%3B` is not `;`.
    pub(super) is_literal: bool,
}

/// The characters of a part whose escapes are sound.
pub(super) fn characters(bytes: &[u8]) -> impl Iterator<Item = Character> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after;
            let byte = high << 4 | low;
            let is_literal = is_reserved(byte);
            return Some(Character { byte, is_literal });
        }
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(Character {
            byte: *first,
            is_literal: false,
        })
    })
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 3261 §25.1 `reserved`.
const fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
    )
}
