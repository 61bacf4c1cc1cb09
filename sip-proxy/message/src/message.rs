//! One SIP message over the bytes that came in (RFC 3261 §7).

use crate::authorization::Credentials;
use crate::header::{
    CSeq, Contacts, HeaderError, HeaderId, HeaderValues, NameAddr, NameAddrs, Tokens, Via, Vias,
};
use crate::method::Method;

/// A message whose structure is sound: lines, names and lengths. Header values are looked at when
/// somebody asks for them.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
}

/// The first line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartLine<'a> {
    /// Of a request.
    Request {
        /// What is asked.
        method: Method<'a>,
        /// Of whom; not parsed.
        uri: &'a [u8],
    },
    /// Of a response.
    Status {
        /// 100 to 699.
        code: u16,
        /// For people.
        reason: &'a [u8],
    },
}

/// One header field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// Which header.
    pub id: HeaderId,
    /// As written.
    pub name: &'a [u8],
    /// Without white space at either end; folds are still in it.
    pub value: &'a [u8],
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A CR without LF, or a LF without CR: the next hop may see other lines than we do.
    #[error("bare CR or LF")]
    BareLineEnd,
    /// Content-Length is no number, or more than there is.
    #[error("wrong Content-Length")]
    ContentLength,
    /// A header that may stand once stands twice.
    #[error("duplicate {0}")]
    Duplicate(HeaderId),
    /// A line that is no header field.
    #[error("malformed header line")]
    HeaderLine,
    /// The empty line after the header fields is missing.
    #[error("truncated header")]
    Incomplete,
    /// A NUL byte before the body.
    #[error("NUL byte in header")]
    Nul,
    /// Not a request line and not a status line.
    #[error("malformed start line")]
    StartLine,
    /// More header fields than [`HEADER_COUNT_MAX`](crate::HEADER_COUNT_MAX).
    #[error("too many header fields")]
    TooManyHeaders,
    /// Longer than [`MESSAGE_LEN_MAX`](crate::MESSAGE_LEN_MAX), or a line too long.
    #[error("message too long")]
    TooLong,
}

impl ParseError {
    /// Every error, in the order of the counters that [`Self::name`] labels; duplicates are one.
    pub const NAMES: [&'static str; 9] = [
        "bare_line_end",
        "content_length",
        "duplicate",
        "header_line",
        "incomplete",
        "nul",
        "start_line",
        "too_many_headers",
        "too_long",
    ];

    /// The metrics label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        todo!()
    }
}

impl<'a> Message<'a> {
    /// Parses one message: a datagram, or what [`Framer`](crate::Framer) found. Empty lines before
    /// it and bytes after the body that Content-Length announced are passed over (RFC 3261 §7.5,
    /// §18.3).
    ///
    /// # Errors
    /// If the next hop could see another message than we do. See also [`salvage`](crate::salvage).
    pub fn parse(_bytes: &'a [u8]) -> Result<Self, ParseError> {
        todo!()
    }

    /// All bytes, from the start line to the end of the body.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first line.
    #[must_use]
    pub fn start_line(&self) -> StartLine<'a> {
        todo!()
    }

    /// Whether the start line says `SIP/2.0`.
    #[must_use]
    pub const fn is_version_supported(&self) -> bool {
        todo!()
    }

    /// The method, if it is a request.
    #[must_use]
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start_line() {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Status { .. } => None,
        }
    }

    /// The request URI, if it is a request.
    #[must_use]
    pub fn request_uri(&self) -> Option<&'a [u8]> {
        match self.start_line() {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Status { .. } => None,
        }
    }

    /// The status code, if it is a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.start_line() {
            StartLine::Request { .. } => None,
            StartLine::Status { code, .. } => Some(code),
        }
    }

    /// All header fields, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'a>> + '_ {
        std::iter::empty()
    }

    /// The value of the first field of that header, not split.
    #[must_use]
    pub fn header(&self, _id: HeaderId) -> Option<&'a [u8]> {
        todo!()
    }

    /// Whether there is such a field.
    #[must_use]
    pub fn contains(&self, id: HeaderId) -> bool {
        self.header(id).is_some()
    }

    /// The value of the first field of that name, for headers without an id.
    #[must_use]
    pub fn header_named(&self, _name: &[u8]) -> Option<&'a [u8]> {
        todo!()
    }

    /// The values of a list header, split at commas.
    #[must_use]
    pub fn headers(&self, _id: HeaderId) -> HeaderValues<'_, 'a> {
        todo!()
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn via(&self) -> Result<Via<'a>, HeaderError> {
        todo!()
    }

    /// All Vias, topmost first.
    #[must_use]
    pub fn vias(&self) -> Vias<'_, 'a> {
        Vias(self.headers(HeaderId::Via))
    }

    /// From.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn from(&self) -> Result<NameAddr<'a>, HeaderError> {
        todo!()
    }

    /// To.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn to(&self) -> Result<NameAddr<'a>, HeaderError> {
        todo!()
    }

    /// Call-ID, compared byte by byte.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn call_id(&self) -> Result<&'a [u8], HeaderError> {
        todo!()
    }

    /// CSeq.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn cseq(&self) -> Result<CSeq<'a>, HeaderError> {
        todo!()
    }

    /// Max-Forwards, if it is there.
    ///
    /// # Errors
    /// If it is not a number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        todo!()
    }

    /// Expires in seconds, if it is there.
    ///
    /// # Errors
    /// If it is no number.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        todo!()
    }

    /// All contacts, checked.
    ///
    /// # Errors
    /// If one is malformed, or `*` is not alone.
    pub fn contacts(&self) -> Result<Contacts<'_, 'a>, HeaderError> {
        todo!()
    }

    /// The values of Route, Record-Route, Path, Service-Route …, topmost first.
    #[must_use]
    pub fn name_addrs(&self, _id: HeaderId) -> NameAddrs<'_, 'a> {
        todo!()
    }

    /// The routes that are still to be visited, next first.
    #[must_use]
    pub fn route(&self) -> NameAddrs<'_, 'a> {
        self.name_addrs(HeaderId::Route)
    }

    /// The proxies that want to see the dialog, topmost first.
    #[must_use]
    pub fn record_route(&self) -> NameAddrs<'_, 'a> {
        self.name_addrs(HeaderId::RecordRoute)
    }

    /// The option tags or methods of Require, Proxy-Require, Supported, Allow …
    #[must_use]
    pub fn tokens(&self, id: HeaderId) -> Tokens<'_, 'a> {
        Tokens(self.headers(id))
    }

    /// The digest credentials of Authorization or Proxy-Authorization, one a field.
    pub fn credentials(
        &self,
        id: HeaderId,
    ) -> impl Iterator<Item = Result<Credentials<'a>, HeaderError>> + '_ {
        self.fields()
            .filter(move |field| field.id == id)
            .map(move |field| Credentials::parse(id, field.value))
    }

    /// Content-Length, if it is there; equal to the body's length.
    #[must_use]
    pub fn content_length(&self) -> Option<usize> {
        todo!()
    }

    /// Type and subtype of the body without parameters, such as `application/sdp`.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a [u8]> {
        todo!()
    }

    /// The body; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        todo!()
    }
}
