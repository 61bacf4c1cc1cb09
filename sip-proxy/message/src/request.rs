//! Requests that we make ourselves.

use crate::header::{HeaderError, HeaderId};
use crate::message::Message;
use crate::method::Method;

/// A request, field by field: BYE in a dialog (RFC 3261 §12.2.1.1), OPTIONS. As in
/// [`Edits`](crate::Edits), no value can add a line. Content-Length comes by itself.
#[derive(Clone, Debug)]
pub struct Request {
    _bytes: Vec<u8>,
}

impl Request {
    /// A request without header fields.
    #[must_use]
    pub fn new(_method: Method<'_>, _uri: &[u8]) -> Self {
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

    /// Appends the request to `out`.
    pub fn emit(&self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// The request.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1_024);
        self.emit(&mut out);
        out
    }
}

/// The ACK for a final response other than 2xx to the INVITE that we sent (RFC 3261 §17.1.1.3).
///
/// # Errors
/// If `invite` or `response` lacks what the ACK is made of.
pub fn ack_for(
    _invite: &Message<'_>,
    _response: &Message<'_>,
    _out: &mut Vec<u8>,
) -> Result<(), HeaderError> {
    todo!()
}

/// The CANCEL for the request that we sent (RFC 3261 §9.1).
///
/// # Errors
/// If `request` lacks what the CANCEL is made of.
pub fn cancel_for(_request: &Message<'_>, _out: &mut Vec<u8>) -> Result<(), HeaderError> {
    todo!()
}
