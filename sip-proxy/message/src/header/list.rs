//! Headers that are lists: `a, b` in one field is the same as `a` and `b` in two (RFC 3261 §7.3.1).

use super::{HeaderError, HeaderId, NameAddr, Via};
use crate::message::Message;

/// The values of a list header, over all its fields, in order. Commas in quotes and angle
/// brackets do not divide.
#[derive(Clone, Debug)]
pub struct HeaderValues<'m, 'a> {
    _message: &'m Message<'a>,
    _id: HeaderId,
}

impl<'a> Iterator for HeaderValues<'_, 'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        todo!()
    }
}

/// The Via values, topmost first.
#[derive(Clone, Debug)]
pub struct Vias<'m, 'a>(pub(crate) HeaderValues<'m, 'a>);

impl<'a> Iterator for Vias<'_, 'a> {
    type Item = Result<Via<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Via::parse)
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

/// The tokens of Require, Supported, Allow …
#[derive(Clone, Debug)]
pub struct Tokens<'m, 'a>(pub(crate) HeaderValues<'m, 'a>);

impl<'a> Iterator for Tokens<'_, 'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next()
    }
}
