//! The INVITE client transaction (RFC 3261 §17.1.1 with RFC 6026 §8.4), and timer C (§16.6).
//!
//! ```text
//!              │ INVITE sent
//!              ▼
//!          Calling ──1xx──► Proceeding ──cancelled──► Cancelled
//!   timer B │ │ │2xx           │ │ 2xx                 │ │ │ until
//!           │ │ └──────────────┼─┴─► Accepted ◄────────┘ │ │
//!           │ └──300-699──► Completed ◄──────────────────┘ │
//!           ▼                  │ timer D     │ timer M     ▼
//!       Terminated ◄───────────┴─────────────┴─────────────┘
//! ```

use std::time::{Duration, Instant};

use super::timer::{T1, TRANSACTION_TIMEOUT, linger};

/// One INVITE that was sent on.
#[derive(Debug)]
pub(crate) struct InviteClient {
    state: State,
    is_reliable: bool,
    ring_timeout: Duration,
}

/// Each state owns the timers that may fire in it, so leaving the state is what stops them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// No response yet: retransmit (timer A, `None` over a reliable transport) until timer B.
    Calling {
        retransmit_at: Option<Instant>,
        interval: Duration,
        give_up_at: Instant,
    },
    /// A provisional response came; timer C runs.
    Proceeding {
        ring_until: Instant,
    },
    /// CANCEL was sent: a final response must come soon (RFC 3261 §9.1).
    Cancelled {
        until: Instant,
    },
    /// A failure was acknowledged: acknowledge its retransmissions until timer D.
    Completed {
        until: Instant,
    },
    /// A 2xx came: pass its retransmissions on until timer M.
    Accepted {
        until: Instant,
    },
    Terminated,
}

/// What to do with a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reaction {
    /// Nothing.
    Absorb,
    /// Send the ACK again.
    Acknowledge,
    /// Make the ACK for this failure, send it, and pass the response on.
    AcknowledgeAndPassOn,
    /// Pass the response on.
    PassOn,
}

/// What a timer asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fired {
    /// Nothing yet.
    Nothing,
    /// Send the request again.
    Retransmit,
    /// It rang for too long: cancel it.
    RingTimeout,
    /// There was no final response.
    TimedOut,
}

impl InviteClient {
    /// The INVITE goes out now.
    pub(crate) fn new(now: Instant, is_reliable: bool, ring_timeout: Duration) -> Self {
        Self {
            state: State::Calling {
                retransmit_at: (!is_reliable).then(|| now + T1),
                interval: T1,
                give_up_at: now + TRANSACTION_TIMEOUT,
            },
            is_reliable,
            ring_timeout,
        }
    }

    /// A response with this status arrived.
    pub(crate) fn handle_response(&mut self, now: Instant, status: u16) -> Reaction {
        match (self.state, status) {
            (State::Calling { .. }, 100..=199) => {
                self.ring(now);
                Reaction::PassOn
            }
            (State::Proceeding { .. }, 100) => Reaction::Absorb,
            (State::Proceeding { .. }, 101..=199) => {
                // "The proxy MUST reset timer C" (RFC 3261 §16.7 step 2).
                self.ring(now);
                Reaction::PassOn
            }
            (State::Cancelled { .. }, 100..=199) => Reaction::PassOn,
            (
                State::Calling { .. } | State::Proceeding { .. } | State::Cancelled { .. },
                200..=299,
            ) => {
                self.state = State::Accepted {
                    until: now + TRANSACTION_TIMEOUT,
                };
                Reaction::PassOn
            }
            (State::Calling { .. } | State::Proceeding { .. } | State::Cancelled { .. }, _) => {
                self.state = State::Completed {
                    until: now + linger(self.is_reliable, TRANSACTION_TIMEOUT),
                };
                Reaction::AcknowledgeAndPassOn
            }
            (State::Completed { .. }, 300..) => Reaction::Acknowledge,
            (State::Accepted { .. }, 200..=299) => Reaction::PassOn,
            (State::Completed { .. } | State::Accepted { .. } | State::Terminated, _) => {
                Reaction::Absorb
            }
        }
    }

    /// CANCEL goes out now for this INVITE.
    pub(crate) fn handle_cancelled(&mut self, now: Instant) {
        if matches!(self.state, State::Calling { .. } | State::Proceeding { .. }) {
            self.state = State::Cancelled {
                until: now + TRANSACTION_TIMEOUT,
            };
        }
    }

    /// The INVITE could not be sent.
    pub(crate) fn handle_transport_error(&mut self) -> Fired {
        if !matches!(self.state, State::Calling { .. }) {
            return Fired::Nothing;
        }
        self.state = State::Terminated;
        Fired::TimedOut
    }

    /// Lets one timer fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Fired {
        match &mut self.state {
            State::Calling { give_up_at, .. } if *give_up_at <= now => self.time_out(),
            State::Calling {
                retransmit_at: Some(retransmit_at),
                interval,
                ..
            } if *retransmit_at <= now => {
                *interval *= 2;
                *retransmit_at = now + *interval;
                Fired::Retransmit
            }
            State::Proceeding { ring_until } if *ring_until <= now => {
                // Whether or not a CANCEL can be sent: this is the last it waits.
                *ring_until = now + TRANSACTION_TIMEOUT;
                Fired::RingTimeout
            }
            State::Cancelled { until } if *until <= now => self.time_out(),
            State::Completed { until } | State::Accepted { until } if *until <= now => {
                self.state = State::Terminated;
                Fired::Nothing
            }
            _ => Fired::Nothing,
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Calling {
                retransmit_at,
                give_up_at,
                ..
            } => Some(retransmit_at.map_or(give_up_at, |at| at.min(give_up_at))),
            State::Proceeding { ring_until: until }
            | State::Cancelled { until }
            | State::Completed { until }
            | State::Accepted { until } => Some(until),
            State::Terminated => None,
        }
    }

    /// A CANCEL may be sent only after a provisional response (RFC 3261 §9.1).
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// No final response came yet, and it may still come.
    #[cfg(test)]
    pub(crate) const fn is_pending(&self) -> bool {
        matches!(
            self.state,
            State::Calling { .. } | State::Proceeding { .. } | State::Cancelled { .. }
        )
    }

    pub(crate) const fn is_reliable(&self) -> bool {
        self.is_reliable
    }

    /// It may be forgotten.
    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    fn ring(&mut self, now: Instant) {
        self.state = State::Proceeding {
            ring_until: now + self.ring_timeout,
        };
    }

    fn time_out(&mut self) -> Fired {
        self.state = State::Terminated;
        Fired::TimedOut
    }
}

#[cfg(test)]
mod tests;
