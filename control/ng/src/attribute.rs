//! Attributes of SDP that a request wants taken out, put in or changed (`sdp-attr`).

use std::borrow::Cow;

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttributeChange<'a> {
    /// The kind of media section that it is about, such as `audio`; `None`: the session part.
    pub section: Option<&'a [u8]>,
    /// What is to be done.
    pub edit: AttributeEdit<'a>,
}

/// What is to be done about attributes. They are named by their beginning: `fmtp`, `fmtp:101` and
/// `fmtp:101 0-15` all name one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AttributeEdit<'a> {
    /// Put this one in.
    Add(Cow<'a, [u8]>),
    /// Take such ones out.
    Remove(Cow<'a, [u8]>),
    /// Write the second instead of the first.
    Substitute(Cow<'a, [u8]>, Cow<'a, [u8]>),
}

/// Changes that one request may ask for.
pub const ATTRIBUTE_CHANGES_MAX: usize = 64;

impl<'a> AttributeChange<'a> {
    /// Reads one. `None`: no such section or edit, or nothing to find.
    pub(crate) fn read(section: &'a [u8], edit: &str, argument: &'a [u8]) -> Option<Self> {
        let section = match section {
            b"none" | b"global" | b"session" => None,
            b"audio" | b"video" | b"image" | b"message" | b"application" | b"text" => Some(section),
            _ => return None,
        };
        let edit = match edit {
            "add" => AttributeEdit::Add(plain(argument)?),
            "remove" => AttributeEdit::Remove(plain(argument)?),
            "substitute" => {
                let at = memchr::memchr(b'>', argument)?;
                return Self::substitute(section, &argument[..at], &argument[at + 1..]);
            }
            _ => return None,
        };
        Some(Self { section, edit })
    }

    /// Reads one whose argument is two strings: only `substitute` has such.
    pub(crate) fn read_pair(
        section: &'a [u8],
        edit: &str,
        from: &'a [u8],
        to: &'a [u8],
    ) -> Option<Self> {
        let section = Self::read(section, "add", b"x")?.section;
        let is_one = edit == "substitute";
        is_one
            .then(|| Self::substitute(section, from, to))
            .flatten()
    }

    /// One that puts `to` in place of `from`.
    fn substitute(section: Option<&'a [u8]>, from: &'a [u8], to: &'a [u8]) -> Option<Self> {
        let edit = AttributeEdit::Substitute(plain(from)?, plain(to)?);
        Some(Self { section, edit })
    }
}

/// An attribute as it stands after `a=`. Scripts cannot write spaces and equals signs, so `..` and
/// `--` stand for them. What would be more than one line is no attribute.
fn plain(escaped: &[u8]) -> Option<Cow<'_, [u8]>> {
    let escaped = escaped.strip_prefix(b"a=").unwrap_or(escaped);
    if escaped.is_empty() || memchr::memchr3(b'\r', b'\n', 0, escaped).is_some() {
        return None;
    }
    let has = |pair: &[u8]| escaped.windows(2).any(|two| two == pair);
    if !has(b"..") && !has(b"--") {
        return Some(Cow::Borrowed(escaped));
    }
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, tail) = match rest {
            [b'.', b'.', tail @ ..] => (b' ', tail),
            [b'-', b'-', tail @ ..] => (b'=', tail),
            _ => (first, after),
        };
        plain.push(byte);
        rest = tail;
    }
    Some(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_dashes_stand_for_what_scripts_cannot_write() {
        let read = |argument| AttributeChange::read(b"audio", "remove", argument);
        let removed = |change: Option<AttributeChange<'_>>| match change?.edit {
            AttributeEdit::Remove(name) => Some(name.into_owned()),
            _ => None,
        };
        assert_eq!(
            removed(read(b"fmtp:101..0-16")),
            Some(b"fmtp:101 0-16".to_vec())
        );
        assert_eq!(removed(read(b"fmtp:9..x--1")), Some(b"fmtp:9 x=1".to_vec()));
        assert_eq!(removed(read(b"a=ptime:20")), Some(b"ptime:20".to_vec()));
    }

    #[test]
    fn no_change_can_write_a_second_line() {
        for argument in [&b"x\r\nm=audio 1 RTP/AVP 0"[..], b"x\ny", b"", b"a="] {
            assert_eq!(AttributeChange::read(b"audio", "add", argument), None);
        }
        assert_eq!(
            AttributeChange::read(b"audio", "substitute", b"x>y\nz"),
            None
        );
        assert_eq!(AttributeChange::read(b"audio", "substitute", b"x"), None);
        assert_eq!(AttributeChange::read(b"nonsense", "add", b"x"), None);
    }
}
