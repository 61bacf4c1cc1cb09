//! The agent of one component of one stream (RFC 8445).
//!
//! ```text
//!  candidates ─► pairs: Waiting ─► InProgress ─► Succeeded ─► nominated ─► selected
//!                          ▲          │ no answer
//!      a check of the peer ┴─ Failed ◄┘
//! ```
//!
//! Each component stands for itself. One may [wait](Agent::wait) for another, as one that is Frozen
//! does (RFC 8445 §6.1.2.6), so that nothing is checked twice over that does not work once.

mod answering;
mod checking;
mod pairs;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hmac::Mac;

use self::pairs::Origin;
use crate::Credentials;
use crate::allowance::Allowance;
use crate::pair::Pair;
use crate::stun::{Class, Control, Message, TransactionId, integrity};

/// Candidates of the peer; what goes beyond is ignored.
pub const CANDIDATES_MAX: usize = 24;

/// Pairs of one agent.
pub const PAIRS_MAX: usize = NAMED_MAX + STRAYS_MAX;

/// Pairs among these that signalling has named.
const NAMED_MAX: usize = 64;

/// Pairs among these that signalling has not named, and that have not shown to work. A check that was
/// overheard makes one wherever it is sent from again.
const STRAYS_MAX: usize = 24;

/// How often the peer may say that we are to change roles. Two agents need one change; who asks for
/// more would have us change and ask again for ever.
const CONFLICTS_MAX: u8 = 8;

/// Time between two checks (RFC 8445 §14.2).
const PACE: Duration = Duration::from_millis(50);

/// How long a better pair is waited for once there is one.
const NOMINATION_WAIT: Duration = Duration::from_millis(200);

/// Time between two datagrams that keep NATs open (RFC 8445 §11).
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The peer checks the pair in use more often than this (RFC 7675 §5.1): if it does not, it has
/// left it.
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// Datagrams that wait to be polled.
const TRANSMITS_MAX: usize = 64;

/// What other agents and tools read; those for the peer look for its name.
const SOFTWARE: &str = concat!("rtpengine-tandem-", env!("CARGO_PKG_VERSION"));

/// Who decides which pair is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The peer.
    Controlled,
    /// We.
    Controlling,
}

/// A socket of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Base {
    /// Where it is bound.
    pub address: SocketAddr,
    /// That of its candidate.
    pub priority: u32,
}

/// Where the peer may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The address.
    pub address: SocketAddr,
    /// The peer's priority for it.
    pub priority: u32,
}

/// What holds for an agent from its beginning. Another user name or password is another agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Who we are.
    pub local: Credentials,
    /// Our sockets.
    pub bases: Vec<Base>,
    /// 1: RTP, or all; 2: RTCP.
    pub component: u8,
    /// Decides if both sides want to decide, or none.
    pub tie_breaker: u64,
    /// Answer checks and make none (RFC 8445 §2.5).
    pub is_lite: bool,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received {
    /// It is by the peer.
    Taken,
    /// It is by somebody else, or makes no sense.
    Refused,
}

/// The pair that is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Selected {
    /// Our socket.
    pub base: usize,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// Who decides has decided. If not, it is the best so far.
    pub is_nominated: bool,
}

/// A datagram to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// From which socket.
    pub base: usize,
    /// To whom.
    pub destination: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// What an agent has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Checks of ours, each time that they were sent.
    pub checks_sent: u64,
    /// Checks of the peer that were answered.
    pub checks_answered: u64,
    /// Messages of somebody else, or that made no sense.
    pub refused: u64,
    /// Pairs that made room for others.
    pub pairs_evicted: u64,
    /// Pairs that there was no room for.
    pub pairs_refused: u64,
}

/// Speaks for one component.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    role: Role,
    remote: Option<Credentials>,
    remote_is_lite: bool,
    pairs: Vec<Pair>,
    /// Until when nothing more may be sent.
    next_check: Option<Instant>,
    /// Until then only what the peer checks is checked.
    frozen_until: Option<Instant>,
    /// When the first pair was valid.
    valid_since: Option<Instant>,
    selected: Option<Selected>,
    has_news: bool,
    keepalive_at: Option<Instant>,
    transmits: VecDeque<Transmit>,
    /// Requests so far.
    serial: u64,
    strangers: Allowance,
    /// The last check was of a pair that nobody but a check has named.
    has_asked_stray: bool,
    /// How often the peer has said that we are to change roles.
    conflicts: u8,
    counters: Counters,
}

impl Agent {
    /// An agent that answers nobody but who knows its password, and has nobody to ask yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            role: Role::Controlled,
            remote: None,
            remote_is_lite: false,
            pairs: Vec::new(),
            next_check: None,
            frozen_until: None,
            valid_since: None,
            selected: None,
            has_news: false,
            keepalive_at: None,
            transmits: VecDeque::new(),
            serial: 0,
            strangers: Allowance::default(),
            has_asked_stray: false,
            conflicts: 0,
            counters: Counters::default(),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who the peer is, as far as it was said.
    #[must_use]
    pub fn remote(&self) -> Option<&Credentials> {
        self.remote.as_ref()
    }

    /// Takes over what signalling says of the peer. What was found out stays; candidates that are
    /// new are checked too. `role` counts until somebody is named or a conflict has decided.
    pub fn update(
        &mut self,
        now: Instant,
        role: Role,
        remote: Option<Credentials>,
        remote_is_lite: bool,
        candidates: &[Candidate],
    ) {
        if self.remote.is_none() {
            self.role = role;
        }
        if remote.is_some() {
            (self.remote, self.remote_is_lite) = (remote, remote_is_lite);
        }
        if remote_is_lite && !self.settings.is_lite {
            // RFC 8445 §6.1.1
            self.role = Role::Controlling;
        }
        for candidate in candidates.iter().take(CANDIDATES_MAX) {
            for base in 0..self.settings.bases.len() {
                self.add_pair(now, base, *candidate, Origin::Signalling);
            }
        }
        self.recount();
        self.check_soon(now);
    }

    /// Begins no check by itself for a while, but for what the peer checks.
    pub fn wait(&mut self, until: Instant) {
        self.frozen_until = Some(until);
    }

    /// There is nothing to wait for any more.
    pub fn go_on(&mut self, now: Instant) {
        self.frozen_until = None;
        self.check_soon(now);
    }

    /// The pair in use, or the best so far.
    #[must_use]
    pub fn selected(&self) -> Option<Selected> {
        self.selected
    }

    /// The same, once each time that it has changed.
    #[must_use]
    pub fn poll_selected(&mut self) -> Option<Selected> {
        self.selected.filter(|_| std::mem::take(&mut self.has_news))
    }

    /// Whether what comes to a socket from an address may be the peer's: it has answered a check
    /// there, or made one.
    #[must_use]
    pub fn knows(&self, base: usize, source: SocketAddr) -> bool {
        let pair = self.pairs.iter().find(|it| it.is(base, source));
        pair.is_some_and(|it| it.is_valid || it.heard_at.is_some())
    }

    /// What was seen so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a datagram that [is STUN](crate::is_stun).
    pub fn handle_packet(
        &mut self,
        now: Instant,
        base: usize,
        source: SocketAddr,
        datagram: &[u8],
    ) -> Received {
        let received = match Message::parse(datagram) {
            Ok(message) if base < self.settings.bases.len() && source.port() != 0 => {
                match message.class() {
                    Class::Request => self.handle_request(now, (base, source), &message, datagram),
                    Class::Success | Class::Error => {
                        self.handle_answer(now, (base, source), &message)
                    }
                    // Somebody keeps a NAT open.
                    Class::Indication if self.knows(base, source) => Received::Taken,
                    Class::Indication => Received::Refused,
                }
            }
            _ => Received::Refused,
        };
        self.counters.refused += u64::from(received == Received::Refused);
        received
    }

    /// Takes the next datagram that is to be sent.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn send(&mut self, base: usize, destination: SocketAddr, bytes: Vec<u8>) {
        if self.transmits.len() < TRANSMITS_MAX {
            self.transmits.push_back(Transmit {
                base,
                destination,
                bytes,
            });
        }
    }

    fn control(&self) -> Control {
        match self.role {
            Role::Controlled => Control::Controlled(self.settings.tie_breaker),
            Role::Controlling => Control::Controlling(self.settings.tie_breaker),
        }
    }

    fn change_role(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            self.recount();
        }
    }

    /// A name for a request that nobody can guess.
    fn next_id(&mut self) -> TransactionId {
        self.serial += 1;
        let mut mac = integrity(&self.settings.local.password);
        mac.update(&self.settings.tie_breaker.to_be_bytes());
        mac.update(&[self.settings.component]);
        mac.update(&self.serial.to_be_bytes());
        let code = mac.finalize().into_bytes();
        let mut id = [0; 12];
        id.copy_from_slice(&code[..12]);
        TransactionId(id)
    }

    /// A pair is to be used from now on.
    fn select(&mut self, now: Instant, (base, remote): (usize, SocketAddr), is_nominated: bool) {
        let selected = Selected {
            base,
            remote,
            is_nominated,
        };
        if self.selected != Some(selected) {
            self.selected = Some(selected);
            self.has_news = true;
        }
        if is_nominated && !self.settings.is_lite {
            self.keepalive_at = Some(now + KEEPALIVE);
        }
    }

    fn is_over(&self) -> bool {
        self.selected.is_some_and(|it| it.is_nominated)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests need an instant to begin with"
)]
mod tests;
