//! `"Name" <uri>;params` and `uri;params` (RFC 3261 §20.10, §20.20, §20.39).

use memchr::memchr;

use super::scan::{Cursor, is_lws, is_token, trim};
use super::{HeaderError, HeaderId, Params};
use crate::uri::{Uri, UriError};

/// A value of From, To, Contact, Route, Record-Route, Path, Refer-To …
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NameAddr<'a> {
    /// As written, in quotes if it was; empty if there is none.
    pub display_name: &'a [u8],
    /// Between the angle brackets; without them, up to the first semicolon.
    pub uri: &'a [u8],
    /// Of the header, after the URI.
    pub params: Params<'a>,
    /// Of the header, looked up once.
    pub tag: Option<&'a [u8]>,
}

impl<'a> NameAddr<'a> {
    /// Parses one value of the header `id`. The URI is only delimited: see [`Self::parse_uri`].
    ///
    /// # Errors
    /// If it follows neither form, or has two tags.
    pub fn parse(id: HeaderId, value: &'a [u8]) -> Result<Self, HeaderError> {
        Self::read(value).ok_or(HeaderError::Malformed(id))
    }

    /// Parses the URI.
    ///
    /// # Errors
    /// If it breaks its grammar.
    pub fn parse_uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.uri)
    }

    fn read(value: &'a [u8]) -> Option<Self> {
        let (display_name, uri, params) = delimit(trim(value))?;
        if uri.is_empty() {
            return None;
        }
        let mut tag = None;
        let params = Params::parse(params, |param| {
            if param.name.eq_ignore_ascii_case(b"tag") {
                // Of two tags, the next hop may believe the other.
                let value = param
                    .value
                    .filter(|value| value.iter().all(|b| is_token(*b)))?;
                return tag.replace(value).is_none().then_some(());
            }
            Some(())
        })?;
        Some(Self {
            display_name,
            uri,
            params,
            tag,
        })
    }
}

/// Divides a value into display name, URI and parameters.
fn delimit(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut cursor = Cursor::new(value);
    let display_name = if cursor.peek() == Some(b'"') {
        let name = cursor.quoted()?;
        cursor.skip_lws();
        name
    } else if let Some(bracket) = memchr(b'<', value) {
        let name = trim(cursor.take(bracket));
        name.iter().all(|byte| is_display(*byte)).then_some(name)?
    } else {
        return delimit_bare(value);
    };
    if !cursor.eat(b'<') {
        return None;
    }
    let close = memchr(b'>', cursor.rest())?;
    let uri = cursor.take(close);
    cursor.eat(b'>');
    Some((display_name, uri, cursor.rest()))
}

/// Without brackets, everything after the first semicolon is the header's, and a comma or a
/// question mark in the URI is not allowed (RFC 3261 §20).
fn delimit_bare(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = value
        .iter()
        .position(|byte| *byte == b';' || is_lws(*byte))
        .unwrap_or(value.len());
    let (uri, params) = value.split_at(end);
    let is_allowed = |byte: &u8| !matches!(byte, b',' | b'?' | b'"' | b'>');
    uri.iter().all(is_allowed).then_some((&[], uri, params))
}

/// What an unquoted display name may hold: more than tokens, since phones send names as their
/// owners typed them, but nothing by which another reader could find another URI.
const fn is_display(byte: u8) -> bool {
    is_token(byte)
        || is_lws(byte)
        || byte >= 0x80
        || matches!(
            byte,
            b'(' | b')'
                | b'/'
                | b'#'
                | b'&'
                | b'='
                | b'?'
                | b'$'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'|'
                | b'^'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(value: &[u8]) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(HeaderId::To, value)
    }

    #[test]
    fn reads_both_forms() {
        let parsed = to(br#""A \" <x>" <sip:a@b;lr?c=d> ; TAG = 1 ;x"#).unwrap();
        assert_eq!(parsed.display_name, br#""A \" <x>""#);
        assert_eq!(parsed.uri, b"sip:a@b;lr?c=d");
        assert_eq!(parsed.tag, Some(&b"1"[..]));
        assert!(parsed.params.contains(b"X"));
        let parsed = to(b"sip:a@b;tag=2").unwrap();
        assert_eq!((parsed.uri, parsed.tag), (&b"sip:a@b"[..], Some(&b"2"[..])));
        let parsed = to("M\u{fc}ller (Home)<sip:a@b>".as_bytes()).unwrap();
        assert_eq!(parsed.display_name, "M\u{fc}ller (Home)".as_bytes());
        assert_eq!(to(b"<sip:a@b>\r\n\t;tag=3").unwrap().tag, Some(&b"3"[..]));
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for value in [
            &b""[..],
            b"<>",
            b"<sip:a@b",
            b"\"x <sip:a@b>",
            b"sip:x@y <sip:a@b>",
            b"A, B <sip:a@b>",
            b"\"A\" B <sip:a@b>",
            b"<sip:a@b>;tag=1;tag=2",
            b"<sip:a@b>;tag=1;TAG=1",
            b"<sip:a@b>;tag",
            b"<sip:a@b>;tag=\"1\"",
            b"<sip:a@b>;;tag=1",
            b"<sip:a@b> tag=1",
            b"<sip:a@b><sip:c@d>",
            b"sip:a@b?x=y;tag=1",
            b"sip:a@b, sip:c@d",
            b"sip:a@b sip:c@d",
        ] {
            assert!(to(value).is_err(), "{}", String::from_utf8_lossy(value));
        }
    }
}
