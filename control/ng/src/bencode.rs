//! Bencode: `i42e`, `4:text`, `l…e`, `d…e`.
//!
//! Looser than BitTorrent's: keys of a dictionary come in any order, as ng's clients send them,
//! and are written in the order of insertion.

use std::borrow::Cow;

use crate::{Dictionary, Value, json};

/// Lists and dictionaries within one another.
pub const DEPTH_MAX: usize = 32;

/// Values in one document, so that a datagram of `lelele…` costs little memory.
pub const ITEMS_MAX: usize = 8_192;

/// Bytes of one document: a UDP datagram holds less, a reply read from elsewhere may be longer.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Digits of the greatest length that fits in [`DOCUMENT_BYTES_MAX`].
const LENGTH_DIGITS_MAX: usize = 6;

/// Entries of most requests; others grow.
const ENTRIES_USUAL: usize = 12;

/// Characters of the longest integer, `-9223372036854775808`.
const INTEGER_BYTES_MAX: usize = 20;

/// Why bytes are no document.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Values are nested more than [`DEPTH_MAX`] deep.
    #[error("nested too deep")]
    Deep,
    /// A document that begins as JSON and is none.
    #[error("not JSON")]
    Json,
    /// A length or a number that is none, or is over its limit.
    #[error("not a number")]
    Number,
    /// More than [`ITEMS_MAX`] values or [`DOCUMENT_BYTES_MAX`] bytes.
    #[error("too large")]
    TooLarge,
    /// A document, and then more.
    #[error("bytes after the document")]
    Trailing,
    /// The bytes end within the document; of a stream, more may come.
    #[error("cut short")]
    Truncated,
    /// A byte that begins nothing.
    #[error("not bencode")]
    Unexpected,
}

impl<'a> Value<'a> {
    /// Reads one document that is exactly `bytes`: JSON if it begins with a brace, else bencode.
    ///
    /// # Errors
    ///
    /// When the bytes are anything but one document within the limits.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        if json::is_json(bytes) {
            return json::parse(bytes);
        }
        let (value, len) = Self::parse_prefix(bytes)?;
        if len != bytes.len() {
            return Err(ParseError::Trailing);
        }
        Ok(value)
    }

    /// Reads a document that we wrote, which may have any number of values.
    pub(crate) fn parse_own(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Parser::new(bytes, usize::MAX).value(0)
    }

    /// Reads the bencoded document at the beginning of `bytes` and says how long it is.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`] if more bytes could make it a document; otherwise as in
    /// [`Value::parse`].
    pub fn parse_prefix(bytes: &'a [u8]) -> Result<(Self, usize), ParseError> {
        let mut parser = Parser::new(bytes, ITEMS_MAX);
        let value = parser.value(0)?;
        Ok((value, parser.position))
    }

    /// Appends the encoded form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => encode_bytes(bytes, out),
            Self::Dictionary(dictionary) => dictionary.encode(out),
            Self::Integer(number) => {
                out.push(b'i');
                if *number < 0 {
                    out.push(b'-');
                }
                encode_digits(number.unsigned_abs(), out);
                out.push(b'e');
            }
            Self::List(values) => {
                out.push(b'l');
                for value in values {
                    value.encode(out);
                }
                out.push(b'e');
            }
        }
    }
}

impl Dictionary<'_> {
    /// Appends the encoded form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'd');
        for (key, value) in self.iter() {
            encode_bytes(key, out);
            value.encode(out);
        }
        out.push(b'e');
    }
}

#[inline(always)]
pub(crate) fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // In one piece: each piece of its own is a look whether there is room for it.
    match u8::try_from(bytes.len()) {
        Ok(len @ 0..10) => out.extend_from_slice(&[b'0' + len, b':']),
        Ok(len @ 10..100) => out.extend_from_slice(&[b'0' + len / 10, b'0' + len % 10, b':']),
        _ => {
            encode_long(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
            out.push(b':');
        }
    }
    out.extend_from_slice(bytes);
}

/// Each string has its length before it, so this is done some hundred times for a reply: without
/// `format!`, which takes memory for each, and mostly with one or two digits.
#[inline]
pub(crate) fn encode_digits(number: u64, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(number @ 0..10) => out.push(b'0' + number),
        Ok(number @ 10..100) => {
            out.extend_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
        }
        _ => encode_long(number, out),
    }
}

fn encode_long(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; INTEGER_BYTES_MAX];
    let mut first = digits.len();
    while number > 0 {
        // Two at a time: most are times, of ten digits. A remainder of a hundred fits in a byte.
        let pair = u8::try_from(number % 100).unwrap_or_default();
        number /= 100;
        first -= 1;
        digits[first] = b'0' + pair % 10;
        if number > 0 || pair > 9 {
            first -= 1;
            digits[first] = b'0' + pair / 10;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

struct Parser<'a> {
    bytes: &'a [u8],
    position: usize,
    items_left: usize,
}

impl<'a> Parser<'a> {
    fn new(bytes: &'a [u8], items_max: usize) -> Self {
        Self {
            bytes,
            position: 0,
            items_left: items_max,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, ParseError> {
        self.count_item()?;
        match self.peek()? {
            b'd' => self.dictionary(depth + 1),
            b'i' => self.integer(),
            b'l' => self.list(depth + 1),
            b'0'..=b'9' => Ok(Value::Bytes(self.string()?)),
            _ => Err(ParseError::Unexpected),
        }
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value<'a>, ParseError> {
        self.enter(depth)?;
        // Of those within others there may be many, so that these begin without room.
        let mut dictionary = match depth {
            1 => Dictionary::with_capacity(ENTRIES_USUAL),
            _ => Dictionary::new(),
        };
        while !self.take_end()? {
            let key = self.string()?;
            let value = self.value(depth)?;
            dictionary.push(key, value);
        }
        Ok(Value::Dictionary(dictionary))
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, ParseError> {
        self.enter(depth)?;
        let mut values = Vec::new();
        while !self.take_end()? {
            values.push(self.value(depth)?);
        }
        Ok(Value::List(values))
    }

    fn integer(&mut self) -> Result<Value<'a>, ParseError> {
        self.position += 1;
        let digits = self.until(b'e', INTEGER_BYTES_MAX)?;
        let digits = std::str::from_utf8(digits).map_err(|_| ParseError::Number)?;
        let number = digits.parse().map_err(|_| ParseError::Number)?;
        Ok(Value::Integer(number))
    }

    fn string(&mut self) -> Result<Cow<'a, [u8]>, ParseError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(ParseError::Unexpected);
        }
        let digits = self.until(b':', LENGTH_DIGITS_MAX)?;
        let len = digits.iter().try_fold(0_usize, |len, digit| {
            let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
            Some(len * 10 + digit)
        });
        let len = len.ok_or(ParseError::Number)?;
        if len > DOCUMENT_BYTES_MAX {
            return Err(ParseError::TooLarge);
        }
        let rest = &self.bytes[self.position..];
        let string = rest.get(..len).ok_or(ParseError::Truncated)?;
        self.position += len;
        Ok(Cow::Borrowed(string))
    }

    /// Takes what stands before `end`, and `end`.
    fn until(&mut self, end: u8, len_max: usize) -> Result<&'a [u8], ParseError> {
        let rest = &self.bytes[self.position..];
        let window = &rest[..rest.len().min(len_max + 1)];
        let Some(len) = memchr::memchr(end, window) else {
            return Err(if window.len() > len_max {
                ParseError::Number
            } else {
                ParseError::Truncated
            });
        };
        self.position += len + 1;
        Ok(&rest[..len])
    }

    fn peek(&self) -> Result<u8, ParseError> {
        let byte = self.bytes.get(self.position);
        byte.copied().ok_or(ParseError::Truncated)
    }

    fn take_end(&mut self) -> Result<bool, ParseError> {
        let is_end = self.peek()? == b'e';
        self.position += usize::from(is_end);
        Ok(is_end)
    }

    fn enter(&mut self, depth: usize) -> Result<(), ParseError> {
        self.position += 1;
        if depth > DEPTH_MAX {
            return Err(ParseError::Deep);
        }
        Ok(())
    }

    fn count_item(&mut self) -> Result<(), ParseError> {
        let left = self.items_left.checked_sub(1);
        self.items_left = left.ok_or(ParseError::TooLarge)?;
        if self.position > DOCUMENT_BYTES_MAX {
            return Err(ParseError::TooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
