//! Headers that are lists: `a, b` in one field is the same as `a` and `b` in two (RFC 3261 §7.3.1).

use memchr::memchr;

use super::scan::{quoted_len, trim};
use super::{HeaderError, HeaderId, NameAddr, Via};
use crate::message::Message;

/// The values of a list header, over all its fields, in order, without white space around them.
/// Commas in quotes and angle brackets do not divide. An empty value (`a,,b`, or a field without
/// value) is a value like any other: who parses it will find it malformed.
#[derive(Clone, Debug)]
pub struct HeaderValues<'m, 'a> {
    message: &'m Message<'a>,
    id: HeaderId,
    /// Of the next field to look at.
    number: usize,
    /// What is left of the current field.
    rest: Option<&'a [u8]>,
}

impl<'m, 'a> HeaderValues<'m, 'a> {
    pub(crate) fn new(message: &'m Message<'a>, id: HeaderId) -> Self {
        Self {
            message,
            id,
            number: message.table().first_number(id),
            rest: None,
        }
    }
}

impl<'a> Iterator for HeaderValues<'_, 'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.rest.is_none() {
            let entry = self.message.table().at(self.number)?;
            self.number += 1;
            if entry.id == self.id {
                self.rest = Some(self.message.value(entry));
            }
        }
        let (value, rest) = split_first(self.rest?);
        self.rest = rest;
        Some(value)
    }
}

/// The first value of a field.
pub(crate) fn first_value(field: &[u8]) -> &[u8] {
    split_first(field).0
}

/// The first value of a field, and what follows its comma.
pub(crate) fn split_first(field: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b',', field).and_then(|_| dividing_comma(field)) {
        Some(comma) => (trim(&field[..comma]), Some(&field[comma + 1..])),
        None => (trim(field), None),
    }
}

fn dividing_comma(field: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match field.get(at)? {
            b',' => return Some(at),
            // A quote or bracket that is never closed takes the rest with it.
            b'"' => at += quoted_len(&field[at..])?,
            b'<' => at += memchr(b'>', &field[at..])? + 1,
            _ => at += 1,
        }
    }
}

/// The Via values, topmost first.
#[derive(Clone, Debug)]
pub struct Vias<'m, 'a> {
    values: HeaderValues<'m, 'a>,
    /// The next one is the topmost, which the message has read already.
    is_at_top: bool,
}

impl<'m, 'a> Vias<'m, 'a> {
    pub(crate) fn new(message: &'m Message<'a>) -> Self {
        Self {
            values: message.headers(HeaderId::Via),
            is_at_top: true,
        }
    }
}

impl<'a> Iterator for Vias<'_, 'a> {
    type Item = Result<Via<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.values.next()?;
        Some(match std::mem::take(&mut self.is_at_top) {
            true => self.values.message.via(),
            false => Via::parse(value),
        })
    }
}

/// The values of Route, Record-Route, Path …, topmost first.
#[derive(Clone, Debug)]
pub struct NameAddrs<'m, 'a>(pub(crate) HeaderValues<'m, 'a>, pub(crate) HeaderId);

impl<'a> Iterator for NameAddrs<'_, 'a> {
    type Item = Result<NameAddr<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.1;
        self.0.next().map(|value| NameAddr::parse(id, value))
    }
}

/// The tokens of Require, Supported, Allow …; compared without case, but for methods. Such a
/// header may be empty, so empty values are passed over.
#[derive(Clone, Debug)]
pub struct Tokens<'m, 'a>(pub(crate) HeaderValues<'m, 'a>);

impl<'a> Iterator for Tokens<'_, 'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.find(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(field: &[u8]) -> Vec<&[u8]> {
        let mut values = Vec::new();
        let mut rest = Some(field);
        while let Some(field) = rest {
            let (value, after) = split_first(field);
            values.push(value);
            rest = after;
        }
        values
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_divide() {
        assert_eq!(
            split(br#""a, \", b" <sip:c,d@e> ;x="," , <sip:f> "#),
            [&br#""a, \", b" <sip:c,d@e> ;x=",""#[..], b"<sip:f>"]
        );
    }

    #[test]
    fn what_is_never_closed_takes_the_rest() {
        assert_eq!(split(b"a, \"b, c"), [&b"a"[..], b"\"b, c"]);
        assert_eq!(split(b"<a, b"), [&b"<a, b"[..]]);
    }

    #[test]
    fn empty_values_are_values() {
        assert_eq!(split(b",a,,"), [&b""[..], b"a", b"", b""]);
        assert_eq!(split(b""), [&b""[..]]);
    }
}
