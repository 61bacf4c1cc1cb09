//! A registrar and stateful SIP proxy; performs no I/O.
//!
//! ```text
//! datagram ─► receive ─► transaction? ─► register ─► registrar, location
//!                │                  └──► admit, begin ─► fork ─► send ─► Output::Send
//!                └ response ─► upstream ─► (media) ─► Output::Send
//! ```
//!
//! Everything goes in by `handle_*` with the time, everything comes out by
//! [`Proxy::poll_output`]. Questions to others (media, names) are outputs with a token; nothing
//! waits for their answers but the one message that needs them.

#![forbid(unsafe_code)]

mod call;
mod counters;
mod deadlines;
mod dialog;
mod digest;
mod flow_token;
mod fork;
mod home;
mod interface;
mod limits;
mod location;
mod media;
mod outbox;
mod proxy;
mod registrar;
mod route;
mod secret;
#[cfg(test)]
mod sim;
mod transaction;

#[doc(hidden)]
pub mod fuzz;

pub use call::CallInfo;
pub use counters::Counters;
pub use interface::{
    Account, Binding, Cdr, CdrCause, ConnectionId, Destination, Listener, ListenerId, MediaCounts,
    MediaError, MediaReply, MediaRequest, MediaSdp, Now, Output, Source, Token, Transport,
};

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustc_hash::FxHashMap;

use call::Calls;
use digest::Authenticator;
use fork::Fork;
use home::Home;
use limits::SourceLimits;
use location::Location;
use media::Waiter;
use outbox::Outbox;
use secret::Secret;
use transaction::{TransactionId, Transactions};

/// Transactions for each call that may be: INVITE, BYE and CANCEL on both sides linger for half a
/// minute.
const TRANSACTIONS_PER_CALL: usize = 8;

/// Transactions that there is always room for, so that phones can register.
const TRANSACTIONS_MIN: usize = 65_536;

/// Settings of the core. `Debug` leaves the secret out.
#[derive(Clone)]
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

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProxyConfig")
            .field("listeners", &self.listeners)
            .field("domains", &self.domains)
            .field("relays_media", &self.relays_media)
            .field("expires_min_s", &self.expires_min_s)
            .field("expires_max_s", &self.expires_max_s)
            .field("contacts_max", &self.contacts_max)
            .field("ring_timeout_s", &self.ring_timeout_s)
            .field("call_duration_max_s", &self.call_duration_max_s)
            .field("requests_per_second_max", &self.requests_per_second_max)
            .field("calls_max", &self.calls_max)
            .finish_non_exhaustive()
    }
}

/// One registrar and proxy. Everything goes in by `handle_*`, everything comes out by `poll_*`:
/// after each `handle_*`, drain [`Self::poll_output`].
#[derive(Debug)]
pub struct Proxy {
    config: ProxyConfig,
    home: Home,
    secret: Secret,
    random: StdRng,
    /// Tells the tokens of this run from those of earlier ones.
    epoch: u32,
    loop_hasher: RandomState,
    auth: Authenticator,
    limits: SourceLimits,
    location: Location,
    transactions: Transactions,
    forks: FxHashMap<TransactionId, Fork>,
    calls: Calls,
    /// Who waits for control.
    waiters: FxHashMap<Token, Waiter>,
    /// Which branch of which request waits for an address.
    resolving: FxHashMap<Token, (TransactionId, TransactionId)>,
    next_token: u64,
    /// Memory for a request with where it came from in it.
    stamped: Vec<u8>,
    out: Outbox,
    counters: Counters,
}

impl Proxy {
    /// Makes a proxy without accounts and registrations.
    #[must_use]
    pub fn new(config: ProxyConfig) -> Self {
        let home = Home::new(config.listeners.clone(), config.domains.clone());
        let secret = Secret::new(config.secret);
        let loop_hasher = RandomState::new();
        // Differs from run to run even though the secret does not.
        let run = loop_hasher.hash_one("run").to_be_bytes();
        let mut random = StdRng::from_seed(secret.long_code("random", &[&run]));
        let transactions_max = config
            .calls_max
            .saturating_mul(TRANSACTIONS_PER_CALL)
            .max(TRANSACTIONS_MIN);
        Self {
            epoch: random.next_u32(),
            auth: Authenticator::new(home.realm().to_owned(), secret.clone()),
            limits: SourceLimits::new(config.requests_per_second_max),
            location: Location::new(),
            transactions: Transactions::new(transactions_max),
            forks: FxHashMap::default(),
            calls: Calls::new(config.calls_max),
            waiters: FxHashMap::default(),
            resolving: FxHashMap::default(),
            next_token: 0,
            stamped: Vec::new(),
            out: Outbox::default(),
            counters: Counters::default(),
            config,
            home,
            secret,
            random,
            loop_hasher,
        }
    }

    /// Replaces all accounts.
    pub fn handle_accounts(&mut self, accounts: Vec<Account>) {
        self.auth.replace_accounts(accounts);
        let auth = &self.auth;
        self.location
            .retain_users(|user| auth.is_account(user), &mut self.out);
    }

    /// Puts stored contacts back after a start. Those of accounts that are not there (any more)
    /// are passed over: hand in the accounts first.
    pub fn handle_stored_bindings(&mut self, now: Now, user: &str, bindings: Vec<Binding>) {
        if self.auth.is_account(user) {
            self.location.restore(now, user, bindings);
        }
    }

    /// One message: a datagram, or one framed message of a stream.
    pub fn handle_message(&mut self, now: Now, source: Source, bytes: &[u8]) {
        self.receive(now, source, bytes);
    }

    /// A message could not be sent, or the connection that it was sent on broke.
    pub fn handle_transport_error(&mut self, now: Now, destination: Destination) {
        self.counters.transport_errors += 1;
        for event in self.transactions.handle_transport_error(destination) {
            self.client_event(now, event);
        }
    }

    /// A connection was closed.
    pub fn handle_connection_closed(&mut self, now: Now, connection: ConnectionId) {
        self.location
            .handle_connection_closed(now, connection, &mut self.out);
    }

    /// The answer to [`Output::Media`].
    pub fn handle_media_reply(
        &mut self,
        now: Now,
        token: Token,
        reply: Result<MediaReply, MediaError>,
    ) {
        self.media_reply(now, token, reply);
    }

    /// Control says that a call has no media any more: it is ended with BYE to both sides.
    pub fn handle_media_timeout(&mut self, now: Now, call_id: &str) {
        for number in self.calls.with_call_id(call_id.as_bytes()).to_vec() {
            self.hang_up(now, number, CdrCause::MediaTimeout);
        }
    }

    /// The answer to [`Output::Resolve`], best first; empty if there is none.
    pub fn handle_resolved(&mut self, now: Now, token: Token, addresses: &[SocketAddr]) {
        self.resolved(now, token, addresses);
    }

    /// Lets timers fire. Does nothing before [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        for event in self.transactions.handle_timeout(now.instant, &mut self.out) {
            self.client_event(now, event);
        }
        let expired = self.location.handle_timeout(now, &mut self.out);
        self.counters.bindings_expired += expired as u64;
        while let Some(number) = self.calls.pop_limit(now.instant) {
            self.hang_up(now, number, CdrCause::DurationLimit);
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<std::time::Instant> {
        [
            self.transactions.poll_timeout(),
            self.location.poll_timeout(),
            self.calls.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes the next thing to do.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            calls_now: self.calls.len() as u64,
            transactions_now: self.transactions.len() as u64,
            bindings_now: self.location.binding_count() as u64,
            ..self.counters
        }
    }

    /// Calls now, oldest first, at most `limit`.
    #[must_use]
    pub fn calls(&self, limit: usize) -> Vec<CallInfo> {
        self.calls.infos(limit)
    }

    /// Accounts with contacts, by name, at most `limit`.
    #[must_use]
    pub fn registrations(&self, limit: usize) -> Vec<(&str, &[Binding])> {
        self.location.registrations(limit)
    }

    fn random(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn new_token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    fn is_reliable(&self, listener: ListenerId) -> bool {
        self.home.transport(listener) == Transport::Tcp
    }
}
