//! A registrar and stateful SIP proxy; performs no I/O.

#![forbid(unsafe_code)]

mod interface;

pub use interface::{
    Account, Binding, Cdr, CdrCause, ConnectionId, Destination, Listener, ListenerId, MediaCounts,
    MediaError, MediaReply, MediaRequest, MediaSdp, Now, Output, Source, Token, Transport,
};
use std::net::SocketAddr;

/// Settings of the core.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where SIP is received.
    pub listeners: Vec<Listener>,
    /// Ours, besides the listeners' addresses; the first is the realm.
    pub domains: Vec<String>,
    /// Key of nonces and of whatever else strangers must not guess.
    pub secret: [u8; 32],
    /// Media goes through the relay.
    pub relays_media: bool,
    /// Seconds.
    pub expires_min_s: u32,
    /// Seconds.
    pub expires_max_s: u32,
    /// Of one account.
    pub contacts_max: usize,
    /// Seconds.
    pub ring_timeout_s: u32,
    /// Seconds; 0 is no limit.
    pub call_duration_max_s: u32,
    /// Of one source address; 0 is no limit.
    pub requests_per_second_max: u32,
    /// At most.
    pub calls_max: usize,
}

/// One registrar and proxy. Everything goes in by `handle_*`, everything comes out by `poll_*`:
/// after each `handle_*`, drain [`Self::poll_output`].
#[derive(Debug)]
pub struct Proxy {}

impl Proxy {
    /// Makes a proxy without accounts and registrations.
    #[must_use]
    pub fn new(_config: ProxyConfig) -> Self {
        Self {}
    }

    /// Replaces all accounts.
    pub fn handle_accounts(&mut self, _accounts: Vec<Account>) {}

    /// Puts stored contacts back after a start.
    pub fn handle_stored_bindings(&mut self, _now: Now, _user: &str, _bindings: Vec<Binding>) {}

    /// One message: a datagram, or one framed message of a stream.
    pub fn handle_message(&mut self, _now: Now, _source: Source, _bytes: &[u8]) {}

    /// A message could not be sent, or the connection that it was sent on broke.
    pub fn handle_transport_error(&mut self, _now: Now, _destination: Destination) {}

    /// A connection was closed.
    pub fn handle_connection_closed(&mut self, _now: Now, _connection: ConnectionId) {}

    /// The answer to [`Output::Media`].
    pub fn handle_media_reply(
        &mut self,
        _now: Now,
        _token: Token,
        _reply: Result<MediaReply, MediaError>,
    ) {
    }

    /// Control says that a call has no media any more: it is ended with BYE to both sides.
    pub fn handle_media_timeout(&mut self, _now: Now, _call_id: &str) {}

    /// The answer to [`Output::Resolve`], best first; empty if there is none.
    pub fn handle_resolved(&mut self, _now: Now, _token: Token, _addresses: &[SocketAddr]) {}

    /// Lets timers fire. Does nothing before [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, _now: Now) {}

    /// When [`Self::handle_timeout`] is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<std::time::Instant> {
        None
    }

    /// Takes the next thing to do.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
}
