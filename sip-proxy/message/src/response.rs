//! Responses that we make ourselves (RFC 3261 §8.2.6).

use std::net::IpAddr;

use crate::emit::{Text, push_body, push_field, push_number, push_text, received_replacements};
use crate::header::HeaderId;
use crate::message::Message;

/// A response to a request: Via, From, To, Call-ID and CSeq (and Timestamp in 100) are copied as
/// they stand; what is set here is added. As in [`Edits`](crate::Edits), no value can add a line.
#[derive(Clone, Debug)]
pub struct Response<'m, 'a> {
    request: &'m Message<'a>,
    status: u16,
    reason: Option<String>,
    to_tag: Vec<u8>,
    received: Option<(IpAddr, Option<u16>)>,
    copies_record_route: bool,
    /// Fields to add, as bytes.
    fields: Vec<u8>,
    body: Vec<u8>,
}

/// Bytes of the fields that a registrar or proxy adds: two challenges.
const FIELDS_LEN_USUAL: usize = 512;

impl<'m, 'a> Response<'m, 'a> {
    /// A response with the usual reason phrase.
    #[must_use]
    pub const fn new(request: &'m Message<'a>, status: u16) -> Self {
        Self {
            request,
            status,
            reason: None,
            to_tag: Vec::new(),
            received: None,
            copies_record_route: false,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Another reason phrase.
    pub fn reason(&mut self, reason: &str) -> &mut Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// The tag of To, if the request has none. Not for 100 (RFC 3261 §8.2.6.2).
    pub fn to_tag(&mut self, tag: &[u8]) -> &mut Self {
        self.to_tag = tag.to_vec();
        self
    }

    /// Sets `received` and, if `port` is given, `rport` of the topmost Via: where the request
    /// really came from. Does nothing if that Via cannot be parsed.
    pub const fn received(&mut self, address: IpAddr, port: Option<u16>) -> &mut Self {
        self.received = Some((address, port));
        self
    }

    /// Copies Record-Route (RFC 3261 §12.1.1), for what makes a dialog.
    pub const fn copy_record_route(&mut self) -> &mut Self {
        self.copies_record_route = true;
        self
    }

    /// Adds a field.
    pub fn header(&mut self, id: HeaderId, value: &[u8]) -> &mut Self {
        self.header_named(id.name().as_bytes(), value)
    }

    /// Adds a field of any name.
    pub fn header_named(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        if self.fields.is_empty() {
            self.fields.reserve(FIELDS_LEN_USUAL);
        }
        push_field(&mut self.fields, name, value);
        self
    }

    /// Sets the body.
    pub fn body(&mut self, content_type: &[u8], body: &[u8]) -> &mut Self {
        self.body = body.to_vec();
        self.header(HeaderId::ContentType, content_type)
    }

    /// Appends the response to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let reason = self.reason.as_deref();
        let reason = reason.unwrap_or_else(|| reason_phrase(self.status));
        let mut status = Text::new();
        push_number(&mut status, self.status);
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(status.bytes());
        out.push(b' ');
        push_text(out, reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.emit_vias(out);
        if self.copies_record_route {
            self.copy_all(HeaderId::RecordRoute, out);
        }
        self.copy_first(HeaderId::From, out);
        self.emit_to(out);
        self.copy_first(HeaderId::CallId, out);
        self.copy_first(HeaderId::CSeq, out);
        if self.status == 100 {
            self.copy_first(HeaderId::Timestamp, out);
        }
        out.extend_from_slice(&self.fields);
        push_body(out, &self.body);
    }

    /// The response.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1_024);
        self.emit(&mut out);
        out
    }

    fn emit_vias(&self, out: &mut Vec<u8>) {
        let replacements = self
            .received
            .map(|(address, port)| received_replacements(self.request, address, port))
            .and_then(Result::ok)
            .unwrap_or_default();
        let bytes = self.request.bytes();
        for entry in self
            .request
            .table()
            .iter()
            .filter(|entry| entry.id == HeaderId::Via)
        {
            let (mut copied, end) = (usize::from(entry.start), usize::from(entry.end));
            for (place, text) in replacements.iter().flatten() {
                // All are in the first Via field.
                if (copied..end).contains(&place.start) {
                    out.extend_from_slice(&bytes[copied..place.start]);
                    out.extend_from_slice(text.bytes());
                    copied = place.end;
                }
            }
            out.extend_from_slice(&bytes[copied..end]);
        }
    }

    fn emit_to(&self, out: &mut Vec<u8>) {
        let lacks_tag = matches!(self.request.to(), Ok(to) if to.tag.is_none());
        if self.to_tag.is_empty() || !lacks_tag {
            return self.copy_first(HeaderId::To, out);
        }
        if let Some(entry) = self.request.table().first(HeaderId::To) {
            let value_end = usize::from(entry.value_end);
            out.extend_from_slice(&self.request.bytes()[usize::from(entry.start)..value_end]);
            out.extend_from_slice(b";tag=");
            push_text(out, &self.to_tag);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn copy_first(&self, id: HeaderId, out: &mut Vec<u8>) {
        if let Some(entry) = self.request.table().first(id) {
            out.extend_from_slice(self.request.line(entry));
        }
    }

    fn copy_all(&self, id: HeaderId, out: &mut Vec<u8>) {
        for entry in self.request.table().iter().filter(|entry| entry.id == id) {
            out.extend_from_slice(self.request.line(entry));
        }
    }
}

/// The reason phrase of a status (RFC 3261 §21 and the RFCs that added some).
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        430 => "Flow Failed",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests;
