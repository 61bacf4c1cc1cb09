//! The characters of SIP (RFC 3261 §25.1) and a cursor over them.

/// A token: names of methods, headers, parameters.
const TOKEN: u8 = 1;
/// Linear white space. CR and LF inside a value are a fold: the header table saw to that.
const LWS: u8 = 2;
/// A host name or an IPv4 address. Underscores are not in the grammar, but in many a network.
const HOST: u8 = 4;
/// A URI, whatever its scheme: no white space, controls, quotes, angle brackets, backslashes.
const URI: u8 = 8;
/// `unreserved`, `escaped` and `user-unreserved`; `#` too, since people dial it.
const USER: u8 = 16;
/// The name of a parameter: a token, or what RFC 3261 allows in those of URIs beyond it.
const PARAM_NAME: u8 = 32;
/// The value of a parameter without quotes: that, or UTF-8, which some do not quote.
const PARAM_VALUE: u8 = 64;
/// What divides a URI, or must be looked at: `@`, `?` and `%`.
const URI_MARK: u8 = 128;

/// What each byte can be part of.
const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = class(byte);
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

const fn class(byte: u8) -> u8 {
    let mut class = match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => TOKEN | HOST | USER | PARAM_NAME | PARAM_VALUE,
        b'-' | b'.' | b'_' => TOKEN | HOST | USER | PARAM_NAME | PARAM_VALUE,
        b'!' | b'%' | b'*' | b'+' | b'\'' | b'~' => TOKEN | USER | PARAM_NAME | PARAM_VALUE,
        b'`' => TOKEN | PARAM_NAME | PARAM_VALUE,
        b'/' | b'&' | b'$' | b'(' | b')' | b'?' => USER | PARAM_NAME | PARAM_VALUE,
        b'[' | b']' | b':' | b'@' => PARAM_NAME | PARAM_VALUE,
        b'=' | b',' | b';' | b'#' => USER,
        b' ' | b'\t' | b'\r' | b'\n' => LWS,
        0x80.. => PARAM_VALUE,
        _ => 0,
    };
    if !matches!(byte, 0..=b' ' | 0x7f | b'"' | b'<' | b'>' | b'\\') {
        class |= URI;
    }
    if matches!(byte, b'@' | b'?' | b'%') {
        class |= URI_MARK;
    }
    class
}

pub(crate) const fn is_lws(byte: u8) -> bool {
    CLASS[byte as usize] & LWS != 0
}

pub(crate) const fn is_host(byte: u8) -> bool {
    CLASS[byte as usize] & HOST != 0
}

pub(crate) const fn is_uri(byte: u8) -> bool {
    CLASS[byte as usize] & URI != 0
}

/// Of a URI, and none of its marks.
pub(crate) const fn is_plain_uri(byte: u8) -> bool {
    CLASS[byte as usize] & (URI | URI_MARK) == URI
}

pub(crate) const fn is_user(byte: u8) -> bool {
    CLASS[byte as usize] & USER != 0
}

pub(crate) const fn is_param_name(byte: u8) -> bool {
    CLASS[byte as usize] & PARAM_NAME != 0
}

pub(crate) const fn is_param_value(byte: u8) -> bool {
    CLASS[byte as usize] & PARAM_VALUE != 0
}

pub(crate) const fn is_token(byte: u8) -> bool {
    CLASS[byte as usize] & TOKEN != 0
}

/// Whether there is a control character. Looks at all bytes, which is quicker than stopping early.
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| (*byte < b' ') | (*byte == 0x7f);
    bytes
        .iter()
        .fold(false, |found, byte| found | is_control(byte))
}

/// As [`has_control`], and of spaces.
pub(crate) fn has_control_or_space(bytes: &[u8]) -> bool {
    let is_either = |byte: &u8| (*byte <= b' ') | (*byte == 0x7f);
    bytes
        .iter()
        .fold(false, |found, byte| found | is_either(byte))
}

/// Without white space at either end.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_lws(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_lws(*last)
    {
        bytes = rest;
    }
    bytes
}

/// A whole number of 1 to 10 digits that fits.
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    u32::try_from(value).ok()
}

/// As [`number`], with numbers that are too great for us taken as the greatest: a second count of
/// "for ever" is no reason to refuse a registration.
pub(crate) fn saturating_number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(number(digits).unwrap_or(u32::MAX))
}

/// A port: 1 to 65535.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    number(digits)
        .and_then(|value| u16::try_from(value).ok())
        .filter(|port| *port != 0)
}

/// Length of the quoted string that `bytes` begins with, both quotes included.
pub(crate) fn quoted_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Reads a value from left to right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn skip_lws(&mut self) {
        while let [first, rest @ ..] = self.rest
            && is_lws(*first)
        {
            self.rest = rest;
        }
    }

    /// Takes one byte if it is `expected`.
    pub(crate) fn eat(&mut self, expected: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == expected => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `expected` with white space around it (`SEMI`, `SLASH`, `COLON` … of the grammar).
    pub(crate) fn eat_separator(&mut self, expected: u8) -> bool {
        let before = *self;
        self.skip_lws();
        if self.eat(expected) {
            self.skip_lws();
            return true;
        }
        *self = before;
        false
    }

    /// Takes `count` bytes, or as many as there are.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Takes what `accepts`; may be nothing.
    pub(crate) fn take_while(&mut self, accepts: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self
            .rest
            .iter()
            .position(|byte| !accepts(*byte))
            .unwrap_or(self.rest.len());
        self.take(count)
    }

    /// Takes a token of at least one character.
    pub(crate) fn token(&mut self) -> Option<&'a [u8]> {
        let token = self.take_while(is_token);
        (!token.is_empty()).then_some(token)
    }

    /// Takes a quoted string, with its quotes.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let count = quoted_len(self.rest)?;
        Some(self.take(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_integers_do() {
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        assert_eq!(number(b"0000000007"), Some(7));
        for digits in [
            &b""[..],
            b"4294967296",
            b"00000000007",
            b"+1",
            b"-1",
            b" 1",
            b"1x",
        ] {
            assert_eq!(number(digits), None, "{digits:?}");
        }
        assert_eq!(saturating_number(b"99999999999999999999"), Some(u32::MAX));
        assert_eq!(saturating_number(b"9x"), None);
        assert_eq!(
            (port(b"65535"), port(b"65536"), port(b"0")),
            (Some(65_535), None, None)
        );
    }

    #[test]
    fn quotes_end_at_the_first_that_is_not_escaped() {
        assert_eq!(quoted_len(b"\"a\\\"b\"c"), Some(6));
        assert_eq!(quoted_len(b"\"\\\\\""), Some(4));
        for open in [&b""[..], b"a", b"\"", b"\"a", b"\"\\\"", b"\"\\"] {
            assert_eq!(quoted_len(open), None, "{open:?}");
        }
    }

    #[test]
    fn tokens_are_those_of_the_grammar() {
        let tokens: Vec<u8> = (0..=u8::MAX).filter(|byte| is_token(*byte)).collect();
        assert_eq!(tokens.len(), 26 + 26 + 10 + 10);
        assert!(b"-.!%*_+`'~".iter().all(|byte| tokens.contains(byte)));
    }
}
