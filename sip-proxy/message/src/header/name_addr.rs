//! `"Name" <uri>;params` and `uri;params` (RFC 3261 §20.10, §20.20, §20.39).

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
    pub fn parse(_id: HeaderId, _value: &'a [u8]) -> Result<Self, HeaderError> {
        todo!()
    }

    /// Parses the URI.
    ///
    /// # Errors
    /// If it breaks its grammar.
    pub fn parse_uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.uri)
    }
}
