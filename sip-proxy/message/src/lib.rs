//! SIP messages: parse, read, edit (RFC 3261).
//!
//! ```text
//! bytes ─► Framer (TCP) ─► Message::parse ─► validate_request ─► typed headers
//!                                   └────────► Edits / Response / Request ─► bytes
//! ```
//!
//! [`Message`] is a table of where each header field stands in the bytes that came in. Nothing is
//! copied or decoded until somebody asks, and [`Edits`] writes the same bytes again with only the
//! asked-for changes. What cannot be parsed is never passed on: see [`ParseError`].

#![forbid(unsafe_code)]

mod authorization;
mod edit;
mod emit;
mod framer;
mod header;
mod limits;
mod message;
mod method;
mod request;
mod response;
mod uri;
mod validate;

#[doc(hidden)]
pub mod fuzz;

pub use authorization::{Algorithm, Credentials, Qop};
pub use edit::Edits;
pub use framer::{Frame, FrameError, Framer};
pub use header::{
    CSeq, Contact, ContactIter, Contacts, HeaderError, HeaderId, HeaderValues, NameAddr, NameAddrs,
    Param, Params, Rport, Tokens, Via, Vias,
};
pub use limits::{
    BODY_LEN_MAX, HEADER_COUNT_INLINE, HEADER_COUNT_MAX, MESSAGE_LEN_MAX, PARAM_COUNT_MAX,
    START_LINE_LEN_MAX, URI_LEN_MAX, VALUE_COUNT_MAX,
};
pub use message::{Field, Message, ParseError, StartLine};
pub use method::Method;
pub use request::{Request, ack_for, cancel_for};
pub use response::{Response, reason_phrase};
pub use uri::{Host, Scheme, Uri, UriError};
pub use validate::{
    Refusal, salvage, validate_forward, validate_local, validate_request, validate_response,
};
