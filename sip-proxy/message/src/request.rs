//! Requests that we make ourselves.

use crate::emit::{push_body, push_field, push_text};
use crate::header::{HeaderError, HeaderId, first_value};
use crate::message::{Message, StartLine};
use crate::method::Method;

/// A request, field by field: BYE in a dialog (RFC 3261 §12.2.1.1), OPTIONS. As in
/// [`Edits`](crate::Edits), no value can add a line. Content-Length comes by itself.
#[derive(Clone, Debug)]
pub struct Request {
    /// Start line and fields.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    /// A request without header fields.
    #[must_use]
    pub fn new(method: Method<'_>, uri: &[u8]) -> Self {
        let mut head = Vec::with_capacity(512);
        push_text(&mut head, method.name());
        head.push(b' ');
        push_text(&mut head, uri);
        head.extend_from_slice(b" SIP/2.0\r\n");
        Self {
            head,
            body: Vec::new(),
        }
    }

    /// Adds a field.
    pub fn header(&mut self, id: HeaderId, value: &[u8]) -> &mut Self {
        self.header_named(id.name().as_bytes(), value)
    }

    /// Adds a field of any name.
    pub fn header_named(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        push_field(&mut self.head, name, value);
        self
    }

    /// Sets the body.
    pub fn body(&mut self, content_type: &[u8], body: &[u8]) -> &mut Self {
        self.body = body.to_vec();
        self.header(HeaderId::ContentType, content_type)
    }

    /// Appends the request to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        push_body(out, &self.body);
    }

    /// The request.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.head.len() + self.body.len() + 32);
        self.emit(&mut out);
        out
    }

    /// A request of the same transaction as `request`: the same URI, top Via, From, Call-ID,
    /// number and Route.
    fn alongside(
        request: &Message<'_>,
        method: Method<'_>,
        to: &[u8],
    ) -> Result<Self, HeaderError> {
        let StartLine::Request { uri, .. } = request.start_line() else {
            return Err(HeaderError::Missing(HeaderId::CSeq));
        };
        let value = |id| request.header(id).ok_or(HeaderError::Missing(id));
        let mut made = Self::new(method, uri);
        made.header(HeaderId::Via, first_value(value(HeaderId::Via)?));
        for route in request.headers(HeaderId::Route) {
            made.header(HeaderId::Route, route);
        }
        made.header(HeaderId::MaxForwards, b"70");
        made.header(HeaderId::From, value(HeaderId::From)?);
        made.header(HeaderId::To, to);
        made.header(HeaderId::CallId, value(HeaderId::CallId)?);
        let mut cseq = request.cseq()?.number.to_string().into_bytes();
        cseq.push(b' ');
        cseq.extend_from_slice(method.name());
        made.header(HeaderId::CSeq, &cseq);
        Ok(made)
    }
}

/// The ACK for a final response other than 2xx to the INVITE that we sent (RFC 3261 §17.1.1.3).
///
/// # Errors
/// If `invite` or `response` lacks what the ACK is made of.
pub fn ack_for(invite: &Message<'_>, response: &Message<'_>) -> Result<Request, HeaderError> {
    let to = response.header(HeaderId::To);
    let to = to.ok_or(HeaderError::Missing(HeaderId::To))?;
    Request::alongside(invite, Method::Ack, to)
}

/// The CANCEL for the request that we sent (RFC 3261 §9.1).
///
/// # Errors
/// If `request` lacks what the CANCEL is made of.
pub fn cancel_for(request: &Message<'_>) -> Result<Request, HeaderError> {
    let to = request.header(HeaderId::To);
    let to = to.ok_or(HeaderError::Missing(HeaderId::To))?;
    Request::alongside(request, Method::Cancel, to)
}

#[cfg(test)]
mod tests;
