//! The server transaction of everything but INVITE (RFC 3261 §17.2.2).
//!
//! ```text
//!   request received ──► Trying ──200-699──► Completed ──timer J──► Terminated
//! ```
//!
//! Proceeding is Trying with a response to repeat, so it needs no state of its own.

use std::time::Instant;

use super::server_invite::Resend;
use super::timer::{TRANSACTION_TIMEOUT, linger};

/// One request that was received.
#[derive(Debug)]
pub(crate) struct Server {
    state: State,
    is_reliable: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Trying,
    /// Repeat the response for each retransmission of the request until timer J.
    Completed {
        until: Instant,
    },
    Terminated,
}

impl Server {
    pub(crate) const fn new(is_reliable: bool) -> Self {
        Self {
            state: State::Trying,
            is_reliable,
        }
    }

    /// The request arrived again.
    pub(crate) const fn handle_request(&self) -> Resend {
        match self.state {
            State::Trying | State::Completed { .. } => Resend::LastResponse,
            State::Terminated => Resend::Nothing,
        }
    }

    /// A response is to go out. `false` if it is too late for it.
    pub(crate) fn handle_response(&mut self, now: Instant, status: u16) -> bool {
        if self.state != State::Trying {
            return false;
        }
        if status >= 200 {
            self.state = State::Completed {
                until: now + linger(self.is_reliable, TRANSACTION_TIMEOUT),
            };
        }
        true
    }

    /// Lets timer J fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let State::Completed { until } = self.state
            && until <= now
        {
            self.state = State::Terminated;
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Completed { until } => Some(until),
            State::Trying | State::Terminated => None,
        }
    }

    /// No final response was sent.
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Trying)
    }

    /// It may be forgotten.
    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests;
