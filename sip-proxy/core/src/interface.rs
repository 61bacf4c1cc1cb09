//! What goes into the proxy and what comes out of it.
//!
//! The driver owns sockets, clock, DNS, the database and the ng client. Whatever takes time is
//! asked for by an [`Output`] with a token and comes back by a `handle_*` call with that token;
//! an answer that never comes is the driver's to turn into an error before its deadline.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// The time of one turn of the driver, read once.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub instant: Instant,
    /// For what leaves the process: milliseconds since 1970 (UTC).
    pub unix_ms: u64,
}

/// How messages travel (RFC 3261 §18).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// A byte stream, framed by Content-Length.
    Tcp,
    /// One message a datagram.
    Udp,
}

/// One bound address, by its place in [`ProxyConfig::listeners`](crate::ProxyConfig).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ListenerId(pub u16);

/// One TCP connection, as the driver numbers them. Never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

/// A concrete local address that SIP is received on. An unspecified address is expanded by the
/// driver, so that Via and Record-Route always have something to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// How.
    pub transport: Transport,
    /// Where; never unspecified.
    pub address: SocketAddr,
    /// Bits of the network that the address is in, to choose a listener for a destination.
    pub prefix_len: u8,
    /// What Via and Record-Route say instead of the address.
    pub advertised: Option<IpAddr>,
}

/// Where a message came from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    /// The local end.
    pub listener: ListenerId,
    /// The other end.
    pub address: SocketAddr,
    /// The connection, over TCP.
    pub connection: Option<ConnectionId>,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Destination {
    /// The local end that it leaves from; its transport is the message's.
    pub listener: ListenerId,
    /// The other end.
    pub address: SocketAddr,
    /// Over TCP: the connection to use. If it is gone, or `None`, the driver finds or opens one
    /// to `address`.
    pub connection: Option<ConnectionId>,
}

/// Joins a question to its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u64);

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write the record of a finished (or failed) call.
    Cdr(Box<Cdr>),
    /// Ask control about media; answer by [`Proxy::handle_media_reply`](crate::Proxy).
    Media {
        /// For the answer.
        token: Token,
        /// The question.
        request: MediaRequest,
    },
    /// Look a host name up; answer by [`Proxy::handle_resolved`](crate::Proxy).
    Resolve {
        /// For the answer.
        token: Token,
        /// A name; never an address.
        host: String,
        /// Its port, if the URI gave one (otherwise 5060).
        port: Option<u16>,
    },
    /// Send a message.
    Send {
        /// Where to.
        destination: Destination,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The contacts of an account changed: replace those that are stored.
    StoreBindings {
        /// The account's name.
        user: String,
        /// All of them; empty if none is left.
        bindings: Vec<Binding>,
    },
}

/// What the proxy asks of control. Sent as ng `offer`, `answer` and `delete`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MediaRequest {
    /// An SDP answer to the last offer.
    Answer(MediaSdp),
    /// The call is over; the reply carries its counts.
    Delete {
        /// Call-ID.
        call_id: String,
        /// Tag of the caller.
        from_tag: String,
        /// The branch of [`MediaSdp::via_branch`] if only this fork ended.
        via_branch: Option<String>,
    },
    /// An SDP offer.
    Offer(MediaSdp),
}

/// An SDP that goes through the relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MediaSdp {
    /// Call-ID.
    pub call_id: String,
    /// Tag of whoever made the *offer* (as ng wants it, in answers too).
    pub from_tag: String,
    /// Tag of whoever answers, when known.
    pub to_tag: Option<String>,
    /// Names the fork, so that each gets ports of its own.
    pub via_branch: Option<String>,
    /// Where the message with this SDP came from.
    pub received_from: IpAddr,
    /// The SDP.
    pub sdp: Vec<u8>,
}

/// What control answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MediaReply {
    /// The call is gone; `None` if control did not know it.
    Deleted(Option<MediaCounts>),
    /// The SDP to send on.
    Sdp(Vec<u8>),
}

/// Why there is no reply.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MediaError {
    /// Control takes no more calls (`load limit`, no ports).
    #[error("the media relay is full: {0}")]
    Overloaded(String),
    /// Control said no, with its reason.
    #[error("the media relay refused: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("the media relay does not answer")]
    Unreachable,
}

/// Packets and bytes that went through the relay.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MediaCounts {
    /// From the caller.
    pub caller_packets: u64,
    /// From the caller.
    pub caller_bytes: u64,
    /// From the callee.
    pub callee_packets: u64,
    /// From the callee.
    pub callee_bytes: u64,
}

/// One account. `Debug` leaves out what is as good as the password.
#[derive(Clone, Eq, PartialEq)]
pub struct Account {
    /// User part of its address of record.
    pub user: String,
    /// `MD5(user:realm:password)` in hex (RFC 7616 §3.4.2).
    pub ha1_md5: String,
    /// `SHA-256(user:realm:password)` in hex.
    pub ha1_sha256: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Account")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// One registered contact (RFC 3261 §10).
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The contact's URI as registered, without angle brackets.
    pub uri: String,
    /// Preference, 0 to 1000 (q × 1000).
    pub q: u16,
    /// When it ends: milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// Call-ID of the registration.
    pub call_id: String,
    /// CSeq of the registration.
    pub cseq: u32,
    /// Where the registration came from, which is where requests are sent to.
    pub received: SocketAddr,
    /// By which transport.
    pub transport: Transport,
    /// Our end.
    pub listener: ListenerId,
    /// The connection, over TCP; not stored.
    pub connection: Option<ConnectionId>,
    /// Path of the registration (RFC 3327), nearest first, as written.
    pub path: Vec<String>,
    /// What the phone calls itself (User-Agent).
    pub user_agent: Option<String>,
}

/// What is kept of a call that ended (or was never answered).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cdr {
    /// Call-ID.
    pub call_id: String,
    /// Address of record of the caller, `user@host`.
    pub caller: String,
    /// Whom the caller asked for, `user@host`.
    pub callee: String,
    /// Where the first INVITE came from.
    pub caller_address: SocketAddr,
    /// Where the answered (or last tried) branch went.
    pub callee_address: Option<SocketAddr>,
    /// The first INVITE arrived: milliseconds since 1970.
    pub start_unix_ms: u64,
    /// A provisional response other than 100 was first passed on.
    pub ring_unix_ms: Option<u64>,
    /// The 2xx was passed on.
    pub answer_unix_ms: Option<u64>,
    /// It was over.
    pub end_unix_ms: u64,
    /// Final status of the INVITE (RFC 3261 §21); 200 for an answered call.
    pub status: u16,
    /// How it ended.
    pub cause: CdrCause,
    /// From the relay, if it knew the call.
    pub media: Option<MediaCounts>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CdrCause {
    /// The callee sent BYE.
    CalleeBye,
    /// The caller sent BYE.
    CallerBye,
    /// The caller sent CANCEL, or gave up.
    Cancelled,
    /// It lasted longer than allowed.
    DurationLimit,
    /// It was refused or failed; see the status.
    Failed,
    /// No media came for too long.
    MediaTimeout,
    /// Nobody answered in time.
    NoAnswer,
}

impl CdrCause {
    /// As stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CalleeBye => "callee-bye",
            Self::CallerBye => "caller-bye",
            Self::Cancelled => "cancelled",
            Self::DurationLimit => "duration-limit",
            Self::Failed => "failed",
            Self::MediaTimeout => "media-timeout",
            Self::NoAnswer => "no-answer",
        }
    }
}
