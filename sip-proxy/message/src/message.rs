//! One SIP message over the bytes that came in (RFC 3261 §7).

pub(crate) mod parse;
mod table;

use std::cell::OnceCell;
use std::net::IpAddr;

use crate::authorization::Credentials;
use crate::emit::{Replacement, received_replacements};
use crate::header::scan::{has_control_or_space, number, saturating_number, trim};
use crate::header::{
    CSeq, Contacts, HeaderError, HeaderId, HeaderValues, NameAddr, NameAddrs, Params, Rport,
    Tokens, Via, Vias, first_value, split_first,
};
use crate::limits::{MESSAGE_LEN_MAX, PARAM_COUNT_MAX};
use crate::method::Method;
use crate::uri::Host;

pub(crate) use table::{Entry, Shift, Table};

/// A message whose structure is sound: lines, names and lengths. Header values are looked at when
/// somebody asks for them.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    start_line: StartLine<'a>,
    is_version_supported: bool,
    body_start: usize,
    table: Table,
    /// What many ask for is read when somebody first does.
    read: Read<'a>,
}

#[derive(Clone, Debug, Default)]
struct Read<'a> {
    via: OnceCell<Result<Via<'a>, HeaderError>>,
    from: OnceCell<Result<NameAddr<'a>, HeaderError>>,
    to: OnceCell<Result<NameAddr<'a>, HeaderError>>,
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
    /// Nothing but line ends: a keep-alive (RFC 5626 §4.4.1).
    #[error("empty")]
    Empty,
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
    /// Longer than [`MESSAGE_LEN_MAX`], or a line too long.
    #[error("message too long")]
    TooLong,
}

impl ParseError {
    /// Every [`Self::name`], in alphabetical order; duplicates are one.
    pub const NAMES: [&'static str; 10] = [
        "bare_line_end",
        "content_length",
        "duplicate",
        "empty",
        "header_line",
        "incomplete",
        "nul",
        "start_line",
        "too_long",
        "too_many_headers",
    ];

    /// The metrics label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareLineEnd => "bare_line_end",
            Self::ContentLength => "content_length",
            Self::Duplicate(_) => "duplicate",
            Self::Empty => "empty",
            Self::HeaderLine => "header_line",
            Self::Incomplete => "incomplete",
            Self::Nul => "nul",
            Self::StartLine => "start_line",
            Self::TooLong => "too_long",
            Self::TooManyHeaders => "too_many_headers",
        }
    }
}

impl<'a> Message<'a> {
    /// Parses one message: a datagram, or what [`Framer`](crate::Framer) found. Empty lines before
    /// it and bytes after the body that Content-Length announced are passed over (RFC 3261 §7.5,
    /// §18.3).
    ///
    /// # Errors
    /// If the next hop could see another message than we do. See also [`salvage`](crate::salvage).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        parse::parse(bytes)
    }

    /// Reads what [`Self::parse`] refused, without its broken lines and its body.
    pub(crate) fn parse_broken(bytes: &'a [u8]) -> Option<Self> {
        parse::parse_broken(bytes)
    }

    /// All bytes, from the start line to the end of the body.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first line.
    #[must_use]
    pub const fn start_line(&self) -> StartLine<'a> {
        self.start_line
    }

    /// Whether the start line says `SIP/2.0`.
    #[must_use]
    pub const fn is_version_supported(&self) -> bool {
        self.is_version_supported
    }

    /// The method, if it is a request.
    #[must_use]
    pub const fn method(&self) -> Option<Method<'a>> {
        match self.start_line {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Status { .. } => None,
        }
    }

    /// The request URI, if it is a request.
    #[must_use]
    pub const fn request_uri(&self) -> Option<&'a [u8]> {
        match self.start_line {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Status { .. } => None,
        }
    }

    /// The status code, if it is a response.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.start_line {
            StartLine::Request { .. } => None,
            StartLine::Status { code, .. } => Some(code),
        }
    }

    /// All header fields, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'a>> + '_ {
        self.table.iter().map(|entry| self.field(entry))
    }

    /// The value of the first field of that header, not split.
    #[must_use]
    pub fn header(&self, id: HeaderId) -> Option<&'a [u8]> {
        self.table.first(id).map(|entry| self.value(entry))
    }

    /// Whether there is such a field.
    #[must_use]
    pub const fn contains(&self, id: HeaderId) -> bool {
        self.table.contains(id)
    }

    /// The value of the first field of that name, for headers without an id.
    #[must_use]
    pub fn header_named(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.fields()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The values of a list header, split at commas.
    #[must_use]
    pub fn headers(&self, id: HeaderId) -> HeaderValues<'_, 'a> {
        HeaderValues::new(self, id)
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn via(&self) -> Result<Via<'a>, HeaderError> {
        *self
            .read
            .via
            .get_or_init(|| Via::parse(first_value(self.required(HeaderId::Via)?)))
    }

    /// All Vias, topmost first.
    #[must_use]
    pub fn vias(&self) -> Vias<'_, 'a> {
        Vias::new(self)
    }

    /// From.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn from(&self) -> Result<NameAddr<'a>, HeaderError> {
        let id = HeaderId::From;
        *self
            .read
            .from
            .get_or_init(|| NameAddr::parse(id, self.required(id)?))
    }

    /// To.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn to(&self) -> Result<NameAddr<'a>, HeaderError> {
        let id = HeaderId::To;
        *self
            .read
            .to
            .get_or_init(|| NameAddr::parse(id, self.required(id)?))
    }

    /// Call-ID, compared byte by byte.
    ///
    /// # Errors
    /// If there is none, or it is empty or has white space in it.
    pub fn call_id(&self) -> Result<&'a [u8], HeaderError> {
        let value = self.required(HeaderId::CallId)?;
        if value.is_empty() || has_control_or_space(value) {
            return Err(HeaderError::Malformed(HeaderId::CallId));
        }
        Ok(value)
    }

    /// CSeq.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn cseq(&self) -> Result<CSeq<'a>, HeaderError> {
        CSeq::parse(self.required(HeaderId::CSeq)?)
    }

    /// Max-Forwards, if it is there.
    ///
    /// # Errors
    /// If it is not a number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.header(HeaderId::MaxForwards)
            .map(|value| {
                number(value)
                    .and_then(|hops| u8::try_from(hops).ok())
                    .ok_or(HeaderError::Malformed(HeaderId::MaxForwards))
            })
            .transpose()
    }

    /// Expires in seconds, if it is there; more than fits is as much as fits.
    ///
    /// # Errors
    /// If it is no number.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.header(HeaderId::Expires)
            .map(|value| saturating_number(value).ok_or(HeaderError::Malformed(HeaderId::Expires)))
            .transpose()
    }

    /// All contacts, checked.
    ///
    /// # Errors
    /// If one is malformed, there are more than [`VALUE_COUNT_MAX`](crate::VALUE_COUNT_MAX), or
    /// `*` is not alone.
    pub fn contacts(&self) -> Result<Contacts<'_, 'a>, HeaderError> {
        Contacts::parse(self, |_| true)
    }

    /// The values of Route, Record-Route, Path, Service-Route …, topmost first.
    #[must_use]
    pub fn name_addrs(&self, id: HeaderId) -> NameAddrs<'_, 'a> {
        NameAddrs(self.headers(id), id)
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

    /// The digest credentials of Authorization or Proxy-Authorization, one a field. Those of
    /// other schemes are passed over.
    pub fn credentials(
        &self,
        id: HeaderId,
    ) -> impl Iterator<Item = Result<Credentials<'a>, HeaderError>> + '_ {
        self.fields()
            .filter(move |field| field.id == id)
            .filter_map(move |field| Credentials::parse(id, field.value).transpose())
    }

    /// Content-Length, if it is there; equal to the body's length.
    #[must_use]
    pub fn content_length(&self) -> Option<usize> {
        self.contains(HeaderId::ContentLength)
            .then(|| self.body().len())
    }

    /// Type and subtype of the body without parameters, such as `application/sdp`. Compared
    /// without case.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a [u8]> {
        let value = self.header(HeaderId::ContentType)?;
        Some(trim(value.split(|byte| *byte == b';').next()?))
    }

    /// The body; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.body_start..]
    }

    /// The message with where it came from in its topmost Via (RFC 3261 §18.2.1, RFC 3581 §4),
    /// written into `out`, which is emptied before. What was found out about this one is not
    /// found out again.
    ///
    /// # Errors
    /// If there is no Via that can be parsed.
    pub fn stamped<'b>(
        &self,
        address: IpAddr,
        port: Option<u16>,
        out: &'b mut Vec<u8>,
    ) -> Result<Message<'b>, HeaderError> {
        let replacements = received_replacements(self, address, port)?;
        let all = || replacements.iter().flatten();
        let inserted = all().map(|(_, text)| text.bytes().len());
        let replaced = all().map(|(place, _)| place.len());
        let len = self.bytes.len() + inserted.sum::<usize>();
        let shift = Shift {
            // All of them are in the value of this field.
            after: self.table.first_number(HeaderId::Via),
            added: len - self.bytes.len(),
            removed: replaced.sum(),
        };
        let len = len - shift.removed;
        if len > MESSAGE_LEN_MAX {
            return Err(HeaderError::TooMany(HeaderId::Via));
        }
        out.clear();
        out.reserve(len);
        let mut copied = 0;
        for (place, text) in all() {
            out.extend_from_slice(&self.bytes[copied..place.start]);
            out.extend_from_slice(text.bytes());
            copied = place.end;
        }
        out.extend_from_slice(&self.bytes[copied..]);
        let message = self.moved(out, &shift);
        if let Some(via) = self.stamped_via(&message, address, port, &replacements) {
            // It was not read before.
            let _ = message.read.via.set(Ok(via));
        }
        Ok(message)
    }

    /// The topmost Via of what [`Self::stamped`] made; `None` if it has to be read to know.
    fn stamped_via<'b>(
        &self,
        stamped: &Message<'b>,
        address: IpAddr,
        port: Option<u16>,
        replacements: &[Option<Replacement>; 2],
    ) -> Option<Via<'b>> {
        let via = self.via().ok()?;
        let params = via.params.bytes();
        // A parameter has two bytes at least, and two may have been added.
        let is_countable = params.len() + 4 <= 2 * PARAM_COUNT_MAX;
        if port == Some(0) || !is_countable {
            return None;
        }
        let all = || replacements.iter().flatten();
        let moved = |position: usize| {
            let before = all().filter(|(place, _)| place.end <= position);
            before.fold(position, |at, (place, text)| {
                at + text.bytes().len() - place.len()
            })
        };
        let again = |part: &[u8]| {
            let start = moved(self.position(part));
            &stamped.bytes[start..start + part.len()]
        };
        let host = |host| match host {
            Host::Address(address) => Host::Address(address),
            Host::Name(name) => Host::Name(again(name)),
        };
        // What was added stands behind them, if there are none where they would begin.
        let start = match params {
            [] => all().map(|(place, _)| place.start).min()?,
            params => self.position(params),
        };
        let grown = all().map(|(_, text)| text.bytes().len()).sum::<usize>();
        let end = start + params.len() + grown - all().map(|(place, _)| place.len()).sum::<usize>();
        Some(Via {
            transport: again(via.transport),
            host: host(via.host),
            port: via.port,
            branch: via.branch.map(again),
            received: Some(address),
            rport: port.map_or(via.rport, Rport::Port),
            maddr: via.maddr.map(host),
            params: Params::known(&stamped.bytes[start..end]),
        })
    }

    /// The message without the topmost value of a list header, and without its field if it was
    /// the only one in it: what [`Edits::remove_top`](crate::Edits::remove_top) makes of it.
    #[must_use]
    pub fn without_top(&self, id: HeaderId) -> Vec<u8> {
        let Some(entry) = self.table.first(id) else {
            return self.bytes.to_vec();
        };
        let values = self.value(entry);
        let removed = match split_first(values).1 {
            Some(after) => {
                let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
                self.position(values)..self.position(after) + blanks.count()
            }
            None => usize::from(entry.start)..usize::from(entry.end),
        };
        [&self.bytes[..removed.start], &self.bytes[removed.end..]].concat()
    }

    /// What was read of this message, for bytes that differ from it in one field.
    fn moved<'b>(&self, bytes: &'b [u8], shift: &Shift) -> Message<'b> {
        let again = |part: &[u8]| {
            // Of nothing there is no telling where it stands.
            if part.is_empty() {
                return &bytes[..0];
            }
            let start = self.position(part);
            &bytes[start..start + part.len()]
        };
        Message {
            bytes,
            start_line: match self.start_line {
                // The method is what the bytes begin with.
                StartLine::Request { method, uri } => StartLine::Request {
                    method: Method::from_name(&bytes[..method.name().len()]),
                    uri: again(uri),
                },
                StartLine::Status { code, reason } => StartLine::Status {
                    code,
                    reason: again(reason),
                },
            },
            is_version_supported: self.is_version_supported,
            body_start: self.body_start + shift.added - shift.removed,
            table: self.table.shifted(shift),
            read: Read::default(),
        }
    }

    pub(crate) const fn table(&self) -> &Table {
        &self.table
    }

    /// Where the body begins, right after the empty line.
    pub(crate) const fn body_start(&self) -> usize {
        self.body_start
    }

    pub(crate) fn value(&self, entry: &Entry) -> &'a [u8] {
        &self.bytes[usize::from(entry.value_start)..usize::from(entry.value_end)]
    }

    /// The whole line, CRLF included.
    pub(crate) fn line(&self, entry: &Entry) -> &'a [u8] {
        &self.bytes[usize::from(entry.start)..usize::from(entry.end)]
    }

    /// Where a part of this message stands in it.
    pub(crate) fn position(&self, part: &[u8]) -> usize {
        part.as_ptr()
            .addr()
            .saturating_sub(self.bytes.as_ptr().addr())
    }

    fn field(&self, entry: &Entry) -> Field<'a> {
        Field {
            id: entry.id,
            name: &self.bytes[usize::from(entry.start)..usize::from(entry.name_end)],
            value: self.value(entry),
        }
    }

    fn required(&self, id: HeaderId) -> Result<&'a [u8], HeaderError> {
        self.header(id).ok_or(HeaderError::Missing(id))
    }
}
