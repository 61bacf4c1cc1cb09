//! The client transaction of everything but INVITE (RFC 3261 §17.1.2).
//!
//! ```text
//!        │ request sent
//!        ▼
//!     Trying ──1xx──► Proceeding
//!  timer F │ │ 200-699   │ │ timer F
//!          │ └──► Completed│
//!          │         │ timer K
//!          └──► Terminated ◄┘
//! ```

use std::time::{Duration, Instant};

use super::client_invite::{Fired, Reaction};
use super::timer::{T1, T2, T4, TRANSACTION_TIMEOUT, linger};

/// One request that was sent on.
#[derive(Debug)]
pub(crate) struct Client {
    state: State,
    is_reliable: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// No final response yet: retransmit (timer E, `None` over a reliable transport) until
    /// timer F. The interval grows to T2, at once when a provisional response came.
    Trying {
        retransmit_at: Option<Instant>,
        interval: Duration,
        give_up_at: Instant,
    },
    /// Absorb retransmissions of the response until timer K.
    Completed {
        until: Instant,
    },
    Terminated,
}

impl Client {
    /// The request goes out now.
    pub(crate) fn new(now: Instant, is_reliable: bool) -> Self {
        Self {
            state: State::Trying {
                retransmit_at: (!is_reliable).then(|| now + T1),
                interval: T1,
                give_up_at: now + TRANSACTION_TIMEOUT,
            },
            is_reliable,
        }
    }

    /// A response with this status arrived.
    pub(crate) fn handle_response(&mut self, now: Instant, status: u16) -> Reaction {
        match &mut self.state {
            State::Trying { interval, .. } if status < 200 => {
                *interval = T2;
                Reaction::PassOn
            }
            State::Trying { .. } => {
                self.state = State::Completed {
                    until: now + linger(self.is_reliable, T4),
                };
                Reaction::PassOn
            }
            State::Completed { .. } | State::Terminated => Reaction::Absorb,
        }
    }

    /// The request could not be sent.
    pub(crate) fn handle_transport_error(&mut self) -> Fired {
        if !matches!(self.state, State::Trying { .. }) {
            return Fired::Nothing;
        }
        self.state = State::Terminated;
        Fired::TimedOut
    }

    /// Lets one timer fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Fired {
        match &mut self.state {
            State::Trying { give_up_at, .. } if *give_up_at <= now => {
                self.state = State::Terminated;
                Fired::TimedOut
            }
            State::Trying {
                retransmit_at: Some(retransmit_at),
                interval,
                ..
            } if *retransmit_at <= now => {
                *interval = (*interval * 2).min(T2);
                *retransmit_at = now + *interval;
                Fired::Retransmit
            }
            State::Completed { until } if *until <= now => {
                self.state = State::Terminated;
                Fired::Nothing
            }
            _ => Fired::Nothing,
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying {
                retransmit_at,
                give_up_at,
                ..
            } => Some(retransmit_at.map_or(give_up_at, |at| at.min(give_up_at))),
            State::Completed { until } => Some(until),
            State::Terminated => None,
        }
    }

    pub(crate) const fn is_reliable(&self) -> bool {
        self.is_reliable
    }

    /// It may be forgotten.
    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests;
