//! One base and one address of the peer, and what is known of the way between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::stun::{Control, TransactionId};

/// How long an answer is waited for at first (RFC 8445 §14.3), and twice as long each time.
const PATIENCE: Duration = Duration::from_millis(500);

/// So often a request is sent (RFC 8489 §6.2.1).
const TRIES_MAX: u8 = 7;

/// How long an answer is waited for at last.
const LAST_PATIENCE: Duration = Duration::from_secs(8);

/// Who has not answered for so long most likely does not: two tries are over then.
const IN_VAIN: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) base: usize,
    pub(crate) remote: SocketAddr,
    pub(crate) remote_priority: u32,
    pub(crate) priority: u64,
    pub(crate) state: State,
    /// Signalling has named the candidate.
    pub(crate) is_signalled: bool,
    /// It is to be checked before others.
    pub(crate) is_triggered: bool,
    /// The peer answered a check.
    pub(crate) is_valid: bool,
    /// When the peer last checked it, and knew our password.
    pub(crate) heard_at: Option<Instant>,
    /// The peer, who decides, wants it.
    pub(crate) is_wanted: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Waiting,
    InProgress(Check),
    Succeeded,
    Failed,
}

/// A request that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    pub(crate) id: TransactionId,
    pub(crate) control: Control,
    pub(crate) is_nomination: bool,
    tries: u8,
    begun_at: Instant,
    sent_at: Instant,
    /// When it is sent again, or given up.
    pub(crate) next_at: Instant,
}

impl Check {
    pub(crate) fn new(
        now: Instant,
        id: TransactionId,
        control: Control,
        is_nomination: bool,
    ) -> Self {
        Self {
            id,
            control,
            is_nomination,
            tries: 1,
            begun_at: now,
            sent_at: now,
            next_at: now + PATIENCE,
        }
    }

    /// Counts one more try; says whether there is one.
    pub(crate) fn try_again(&mut self, now: Instant) -> bool {
        if self.tries >= TRIES_MAX {
            return false;
        }
        let patience = match self.tries + 1 {
            TRIES_MAX => LAST_PATIENCE,
            tries => PATIENCE * (1 << (tries - 1)),
        };
        self.tries += 1;
        (self.sent_at, self.next_at) = (now, now + patience);
        true
    }

    /// The peer is there: there is no need to wait long before it is asked again. For the last answer
    /// there is, lest somebody who sends checks in a row has them all given up.
    pub(crate) fn hurry(&mut self, now: Instant, pace: Duration) {
        if self.tries < TRIES_MAX {
            self.next_at = self.next_at.min((self.sent_at + pace).max(now));
        }
    }

    pub(crate) fn is_in_vain(&self, now: Instant) -> bool {
        now >= self.begun_at + IN_VAIN
    }
}

impl Pair {
    pub(crate) fn is(&self, base: usize, remote: SocketAddr) -> bool {
        self.base == base && self.remote == remote
    }

    pub(crate) fn check(&self) -> Option<&Check> {
        match &self.state {
            State::InProgress(check) => Some(check),
            _ => None,
        }
    }

    /// A check came from there, and nothing else is known of it.
    pub(crate) fn is_stray(&self) -> bool {
        !self.is_signalled && !self.is_valid
    }

    /// Whether it may become valid yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting | State::InProgress(_))
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests need an instant to begin with"
)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_seven_times_and_then_given_up() {
        let start = Instant::now();
        let id = TransactionId([0; 12]);
        let mut check = Check::new(start, id, Control::Controlled(1), false);
        let mut at = Vec::new();
        loop {
            at.push((check.next_at - start).as_millis());
            if !check.try_again(check.next_at) {
                break;
            }
        }
        assert_eq!(at, [500, 1_500, 3_500, 7_500, 15_500, 31_500, 39_500]);
    }

    #[test]
    fn who_was_heard_is_asked_again_soon() {
        let (start, pace) = (Instant::now(), Duration::from_millis(50));
        let mut check = Check::new(start, TransactionId([0; 12]), Control::Controlled(1), false);
        check.hurry(start, pace);
        assert_eq!(check.next_at, start + pace);
        let later = start + 10 * pace;
        check.hurry(later, pace);
        assert_eq!(check.next_at, start + pace, "never later than before");
    }

    #[test]
    fn checks_in_a_row_do_not_have_ours_given_up() {
        let (start, pace) = (Instant::now(), Duration::from_millis(50));
        let mut check = Check::new(start, TransactionId([0; 12]), Control::Controlled(1), false);
        let mut last = start;
        for _ in 0..100 {
            check.hurry(last, pace);
            last = check.next_at;
            if !check.try_again(last) {
                break;
            }
        }
        // The far end of the earth is a second away, and a satellite two.
        assert!(last >= start + LAST_PATIENCE, "{:?}", last - start);
    }
}
