//! A message with changes: everything that nobody asked to change stays byte for byte.

use std::net::IpAddr;

use crate::header::{HeaderError, HeaderId};
use crate::message::Message;

/// Changes to a message, applied by [`Self::emit`]. Values are written as given, but for CR, LF
/// and NUL, which become spaces: no value can add a line.
#[derive(Clone, Debug)]
pub struct Edits<'m, 'a> {
    message: &'m Message<'a>,
}

impl<'m, 'a> Edits<'m, 'a> {
    /// No changes yet.
    #[must_use]
    pub const fn new(message: &'m Message<'a>) -> Self {
        Self { message }
    }

    /// Replaces the request URI. Does nothing to a response.
    pub fn replace_request_uri(&mut self, _uri: &[u8]) -> &mut Self {
        todo!()
    }

    /// Puts a value above all others of the header, in a field of its own: Via, Record-Route,
    /// Route, Path. Values that are put one after the other end up last on top.
    pub fn prepend(&mut self, _id: HeaderId, _value: &[u8]) -> &mut Self {
        todo!()
    }

    /// Adds a field after all others.
    pub fn append(&mut self, _id: HeaderId, _value: &[u8]) -> &mut Self {
        todo!()
    }

    /// Adds a field of any name after all others.
    pub fn append_named(&mut self, _name: &[u8], _value: &[u8]) -> &mut Self {
        todo!()
    }

    /// Replaces the first field of the header and removes the others; appends it if there is none.
    pub fn replace(&mut self, _id: HeaderId, _value: &[u8]) -> &mut Self {
        todo!()
    }

    /// Removes all fields of the header.
    pub fn remove(&mut self, _id: HeaderId) -> &mut Self {
        todo!()
    }

    /// Removes the topmost value of a list header, and its field if it was the only one in it.
    pub fn remove_top(&mut self, _id: HeaderId) -> &mut Self {
        todo!()
    }

    /// Removes the topmost `count` values of a list header.
    pub fn remove_top_values(&mut self, _id: HeaderId, _count: usize) -> &mut Self {
        todo!()
    }

    /// Sets `received` and, if `port` is given, `rport` of the topmost Via (RFC 3261 §18.2.1,
    /// RFC 3581 §4), replacing what the sender may have put there.
    ///
    /// # Errors
    /// If the message has no Via that can be parsed.
    pub fn set_received(
        &mut self,
        _address: IpAddr,
        _port: Option<u16>,
    ) -> Result<&mut Self, HeaderError> {
        todo!()
    }

    /// Takes one off Max-Forwards, or adds it with 70 (RFC 3261 §16.6 step 3). Call after
    /// [`validate_request`](crate::validate_request), which refuses 0.
    pub fn decrement_max_forwards(&mut self) -> &mut Self {
        todo!()
    }

    /// Replaces the body, its Content-Length and, if given, its Content-Type.
    pub fn replace_body(&mut self, _content_type: Option<&[u8]>, _body: &[u8]) -> &mut Self {
        todo!()
    }

    /// Appends the changed message to `out`.
    pub fn emit(&self, _out: &mut Vec<u8>) {
        let _ = self.message;
        todo!()
    }

    /// The changed message.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.bytes().len() + 512);
        self.emit(&mut out);
        out
    }
}
