//! `;name=value` (RFC 3261 §25.1 `generic-param`), of header values and of URIs.

use super::scan::{Cursor, is_param_name, is_param_value};
use crate::limits::PARAM_COUNT_MAX;

/// The parameters of a header value or of a URI, checked when they were parsed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Params<'a> {
    /// From the first semicolon to the end; empty if there is none.
    bytes: &'a [u8],
}

/// One parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Param<'a> {
    /// Compared without case.
    pub name: &'a [u8],
    /// As written: in quotes if it was; `None` if there is no equals sign.
    pub value: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// The bytes, from the first semicolon on.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Param<'a>> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || next(&mut cursor).ok().flatten())
    }

    /// The first of that name.
    #[must_use]
    pub fn find(self, name: &[u8]) -> Option<Param<'a>> {
        self.iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first of that name; `None` also if it has no value.
    #[must_use]
    pub fn value(self, name: &[u8]) -> Option<&'a [u8]> {
        self.find(name).and_then(|param| param.value)
    }

    /// Whether there is one of that name.
    #[must_use]
    pub fn contains(self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// Of bytes that would pass [`Self::parse`].
    pub(crate) const fn known(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Checks `bytes`, which must be parameters to their end, showing each to `see`; `None` if
    /// they are not, if there are too many, or if `see` says no.
    pub(crate) fn parse(
        bytes: &'a [u8],
        mut see: impl FnMut(Param<'a>) -> Option<()>,
    ) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut count = 0;
        while let Some(param) = next(&mut cursor).ok()? {
            count += 1;
            if count > PARAM_COUNT_MAX {
                return None;
            }
            see(param)?;
        }
        Some(Self { bytes })
    }
}

/// Neither a parameter nor the end.
struct NotAParam;

fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Param<'a>>, NotAParam> {
    cursor.skip_lws();
    if cursor.rest().is_empty() {
        return Ok(None);
    }
    if !cursor.eat_separator(b';') {
        return Err(NotAParam);
    }
    let name = cursor.take_while(is_param_name);
    if name.is_empty() {
        return Err(NotAParam);
    }
    if !cursor.eat_separator(b'=') {
        return Ok(Some(Param { name, value: None }));
    }
    let value = match cursor.peek() {
        Some(b'"') => cursor.quoted().ok_or(NotAParam)?,
        _ => cursor.take_while(is_param_value),
    };
    if value.is_empty() {
        return Err(NotAParam);
    }
    Ok(Some(Param {
        name,
        value: Some(value),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Params<'_>> {
        Params::parse(text.as_bytes(), |_| Some(()))
    }

    #[test]
    fn finds_by_name_in_any_case_with_any_white_space() {
        let params = parse(";lr ;\r\n X = \"a;b=c\\\"\" ; y=[::1]:5").unwrap();
        assert_eq!(params.iter().count(), 3);
        assert!(params.contains(b"LR") && params.value(b"lr").is_none());
        assert_eq!(params.value(b"x"), Some(&b"\"a;b=c\\\"\""[..]));
        assert_eq!(params.value(b"y"), Some(&b"[::1]:5"[..]));
        assert!(!params.contains(b"b"), "what is quoted is no parameter");
        assert_eq!(parse("").unwrap().iter().count(), 0);
    }

    #[test]
    fn refuses_what_is_no_parameter() {
        for text in [
            "lr",
            ";",
            ";;lr",
            ";lr;",
            ";=a",
            ";a=",
            ";a=\"b",
            ";a=\"b\"c",
            ";a b",
            ";a,b",
            ";a=b=c",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn stops_at_the_limit() {
        assert!(parse(&";a".repeat(PARAM_COUNT_MAX)).is_some());
        assert!(parse(&";a".repeat(PARAM_COUNT_MAX + 1)).is_none());
    }
}
