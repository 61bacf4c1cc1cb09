//! The ng protocol, both directions.
//!
//! A message is a cookie, a space and a document; the reply repeats the cookie. Control parses
//! requests and writes replies, its clients do the reverse, with the same types:
//!
//! ```
//! use control_ng::{Command, Message, Negotiation, Reply, Request, Value};
//!
//! // A client asks …
//! let offer = Negotiation::new(b"a84b4c76e66710", b"1928301774", b"v=0\r\n...").replace_origin();
//! let datagram = Command::Offer(offer).encode(b"cookie-1");
//!
//! // … control understands …
//! let message = Message::split(&datagram).unwrap();
//! let document = Value::parse(message.body).unwrap();
//! let request = Request::parse(&document).unwrap();
//! assert!(matches!(request.command, Command::Offer(offer) if offer.from_tag == b"1928301774"));
//!
//! // … and the client reads what it replied.
//! let datagram = control_ng::reply::ok().with("sdp", "v=0\r\n...").encode(message.cookie);
//! let message = Message::split(&datagram).unwrap();
//! let reply = Reply::parse(message.body).unwrap();
//! assert!(reply.is_ok());
//! assert_eq!(reply.sdp(), Some(&b"v=0\r\n..."[..]));
//! ```
//!
//! Documents are bencode or JSON, told apart by their first byte; a reply is in the form of its
//! request. Over a stream [`Framer`] finds where a message ends.

#![forbid(unsafe_code)]

mod attribute;
mod bencode;
mod emit;
mod event;
mod flags;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod message;
pub mod reply;
mod request;
mod value;
mod word;

pub use attribute::{ATTRIBUTE_CHANGES_MAX, AttributeChange, AttributeEdit};
pub use bencode::{DEPTH_MAX, DOCUMENT_BYTES_MAX, ITEMS_MAX, ParseError};
pub use emit::{DictionaryWriter, Emit, ListWriter};
pub use event::Event;
pub use flags::{
    AddressFamily, AliasKey, CodecDirective, Dtls, DtmfSecurity, EndpointLearning, Flag, Flags,
    Ice, IceLite, MediaEcho, MediaKind, Osrtp, Replace, RtcpMux, SdesWord, Support, Switch, Word,
    Words,
};
pub use framing::{FrameError, Framer};
pub use message::{COOKIE_BYTES_MAX, Message};
pub use reply::{Counts, Outcome, Reply, Totals};
pub use request::{
    CODEC_DIRECTIVES_MAX, Change, Clip, Codecs, Command, Connect, Create, Delete, KeyPolicy,
    Listener, Medium, Mesh, MeshFlow, Negotiation, Party, Play, Query, Request, RequestError,
    SUITES_MAX, Sdes, Senders, Sink, Stop, Treat, Unheeded, Whose,
};
pub use value::{Dictionary, Value};
