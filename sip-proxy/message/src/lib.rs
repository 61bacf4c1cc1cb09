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
//!
//! ```
//! use sip_proxy_message::{Edits, HeaderId, Message, Refusal, Response, salvage, validate_request};
//!
//! /// What a proxy sends because of a datagram.
//! fn handle(datagram: &[u8]) -> Option<Vec<u8>> {
//!     let Ok(message) = Message::parse(datagram) else {
//!         return salvage(datagram).map(|broken| Response::new(&broken, 400).to_vec());
//!     };
//!     match validate_request(&message) {
//!         Ok(()) => {}
//!         Err(Refusal::Answer { status, .. }) => return Some(Response::new(&message, status).to_vec()),
//!         Err(Refusal::Drop { .. }) => return None,
//!     }
//!     let mut edits = Edits::new(&message);
//!     edits
//!         .prepend(HeaderId::Via, b"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKnew")
//!         .decrement_max_forwards();
//!     Some(edits.to_vec())
//! }
//!
//! let request = b"OPTIONS sip:bob@pbx.example SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKold\r\nMax-Forwards: 9\r\n\
//!     From: <sip:alice@pbx.example>;tag=1\r\nTo: <sip:bob@pbx.example>\r\n\
//!     Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nX: kept  as it is \r\nContent-Length: 0\r\n\r\n";
//! let forwarded = handle(request).expect("a sound request");
//! let forwarded = Message::parse(&forwarded).expect("still sound");
//! assert_eq!(forwarded.vias().count(), 2);
//! assert_eq!(forwarded.max_forwards(), Ok(Some(8)));
//! ```

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
