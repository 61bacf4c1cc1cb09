//! Responses that we make ourselves (RFC 3261 §8.2.6).

use crate::header::HeaderId;
use crate::message::Message;

/// A response to a request: Via, From, To, Call-ID and CSeq (and Timestamp in 100) are copied;
/// what is set here is added. As in [`Edits`](crate::Edits), no value can add a line.
#[derive(Clone, Debug)]
pub struct Response<'m, 'a> {
    request: &'m Message<'a>,
}

impl<'m, 'a> Response<'m, 'a> {
    /// A response with the usual reason phrase.
    #[must_use]
    pub const fn new(request: &'m Message<'a>, _status: u16) -> Self {
        Self { request }
    }

    /// Another reason phrase.
    pub fn reason(&mut self, _reason: &str) -> &mut Self {
        todo!()
    }

    /// The tag of To, if the request has none. Not for 100 (RFC 3261 §8.2.6.2).
    pub fn to_tag(&mut self, _tag: &[u8]) -> &mut Self {
        todo!()
    }

    /// Copies Record-Route (RFC 3261 §12.1.1), for what makes a dialog.
    pub fn copy_record_route(&mut self) -> &mut Self {
        todo!()
    }

    /// Adds a field.
    pub fn header(&mut self, _id: HeaderId, _value: &[u8]) -> &mut Self {
        todo!()
    }

    /// Adds a field of any name.
    pub fn header_named(&mut self, _name: &[u8], _value: &[u8]) -> &mut Self {
        todo!()
    }

    /// Sets the body.
    pub fn body(&mut self, _content_type: &[u8], _body: &[u8]) -> &mut Self {
        todo!()
    }

    /// Appends the response to `out`.
    pub fn emit(&self, _out: &mut Vec<u8>) {
        let _ = self.request;
        todo!()
    }

    /// The response.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1_024);
        self.emit(&mut out);
        out
    }
}

/// What RFC 3261 §21 calls a status.
#[must_use]
pub const fn reason_phrase(_status: u16) -> &'static str {
    "Unknown"
}
