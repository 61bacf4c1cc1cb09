//! The INVITE server transaction (RFC 3261 §17.2.1 with RFC 6026 §8.5).
//!
//! ```text
//!          │ INVITE received
//!          ▼
//!      Proceeding ──2xx──► Accepted
//!          │ 300-699          │ timer L
//!          ▼                  │
//!      Completed ──ACK──► Confirmed
//!          │ timer H          │ timer I
//!          ▼                  ▼
//!      Terminated ◄───────────┘
//! ```

use std::time::{Duration, Instant};

use super::timer::{T1, T2, T4, TRANSACTION_TIMEOUT, linger};

/// One INVITE that was received.
#[derive(Debug)]
pub(crate) struct InviteServer {
    state: State,
    is_reliable: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Proceeding,
    /// A failure was sent: retransmit it (timer G, `None` over a reliable transport) until the
    /// ACK or timer H.
    Completed {
        retransmit_at: Option<Instant>,
        interval: Duration,
        give_up_at: Instant,
    },
    /// The ACK came: absorb its retransmissions until timer I.
    Confirmed {
        until: Instant,
    },
    /// A 2xx went out: absorb retransmissions of the INVITE until timer L, and let
    /// retransmissions of the 2xx through.
    Accepted {
        until: Instant,
    },
    Terminated,
}

/// What a retransmission or a timer asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resend {
    /// Send the last response again.
    LastResponse,
    /// Nothing.
    Nothing,
}

impl InviteServer {
    pub(crate) const fn new(is_reliable: bool) -> Self {
        Self {
            state: State::Proceeding,
            is_reliable,
        }
    }

    /// The INVITE arrived again.
    pub(crate) const fn handle_request(&self) -> Resend {
        match self.state {
            State::Proceeding | State::Completed { .. } => Resend::LastResponse,
            State::Confirmed { .. } | State::Accepted { .. } | State::Terminated => Resend::Nothing,
        }
    }

    /// An ACK with the INVITE's branch arrived. `false` if it is not for a failure that was
    /// sent, so that it has to be passed on.
    pub(crate) fn handle_ack(&mut self, now: Instant) -> bool {
        match self.state {
            State::Completed { .. } => {
                self.state = State::Confirmed {
                    until: now + linger(self.is_reliable, T4),
                };
                true
            }
            State::Confirmed { .. } => true,
            State::Proceeding | State::Accepted { .. } | State::Terminated => false,
        }
    }

    /// A response is to go out. `false` if it is too late for it.
    pub(crate) fn handle_response(&mut self, now: Instant, status: u16) -> bool {
        match (self.state, status) {
            (State::Proceeding, 100..=199) => true,
            (State::Proceeding, 200..=299) => {
                self.state = State::Accepted {
                    until: now + TRANSACTION_TIMEOUT,
                };
                true
            }
            (State::Proceeding, _) => {
                self.state = State::Completed {
                    retransmit_at: (!self.is_reliable).then(|| now + T1),
                    interval: T1,
                    give_up_at: now + TRANSACTION_TIMEOUT,
                };
                true
            }
            (State::Accepted { .. }, 200..=299) => true,
            _ => false,
        }
    }

    /// Lets one timer fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Resend {
        match &mut self.state {
            State::Completed { give_up_at, .. } if *give_up_at <= now => {
                self.state = State::Terminated;
                Resend::Nothing
            }
            State::Completed {
                retransmit_at: Some(retransmit_at),
                interval,
                ..
            } if *retransmit_at <= now => {
                *interval = (*interval * 2).min(T2);
                *retransmit_at = now + *interval;
                Resend::LastResponse
            }
            State::Confirmed { until } | State::Accepted { until } if *until <= now => {
                self.state = State::Terminated;
                Resend::Nothing
            }
            _ => Resend::Nothing,
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Completed {
                retransmit_at,
                give_up_at,
                ..
            } => Some(retransmit_at.map_or(give_up_at, |at| at.min(give_up_at))),
            State::Confirmed { until } | State::Accepted { until } => Some(until),
            State::Proceeding | State::Terminated => None,
        }
    }

    /// The last response is still needed.
    pub(crate) const fn keeps_response(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed { .. })
    }

    /// No final response was sent.
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding)
    }

    /// It may be forgotten.
    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests;
