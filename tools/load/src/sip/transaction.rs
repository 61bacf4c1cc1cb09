//! Client transactions over UDP (RFC 3261 §17.1): when to send again, and when to give up.

use std::time::{Duration, Instant};

/// Round trip assumed.
pub(super) const T1: Duration = Duration::from_millis(500);
/// Longest interval between repetitions of anything but INVITE.
pub(super) const T2: Duration = Duration::from_secs(4);
/// How long a transaction may take: timers B, F and H.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(32);

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    GiveUp,
    Repeat,
}

/// A request that waits for its final response, or a 2xx that waits for its ACK.
#[derive(Clone, Debug)]
pub(super) struct Repetition {
    pub(super) bytes: Vec<u8>,
    interval: Duration,
    interval_max: Duration,
    repeat_at: Option<Instant>,
    give_up_at: Instant,
}

impl Repetition {
    /// An INVITE: timers A and B.
    pub(super) fn invite(now: Instant, bytes: Vec<u8>) -> Self {
        Self::new(now, bytes, GIVE_UP_AFTER)
    }

    /// Another request (timers E and F), or a 2xx to INVITE (§13.3.1.4).
    pub(super) fn other(now: Instant, bytes: Vec<u8>) -> Self {
        Self::new(now, bytes, T2)
    }

    fn new(now: Instant, bytes: Vec<u8>, interval_max: Duration) -> Self {
        Self {
            bytes,
            interval: T1,
            interval_max,
            repeat_at: Some(now + T1),
            give_up_at: now + GIVE_UP_AFTER,
        }
    }

    /// A provisional response to an INVITE: the server has it. `patience` is how long it may ring.
    pub(super) fn pause(&mut self, now: Instant, patience: Duration) {
        self.repeat_at = None;
        self.give_up_at = now + patience;
    }

    /// A provisional response to another request: timer E becomes T2 (§17.1.2.2).
    pub(super) fn slow_down(&mut self) {
        self.interval = T2;
    }

    /// When [`Self::poll_due`] is next to be asked.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.repeat_at
            .map_or(self.give_up_at, |at| at.min(self.give_up_at))
    }

    /// What is due by now.
    pub(super) fn poll_due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.give_up_at {
            return Some(Due::GiveUp);
        }
        self.repeat_at.filter(|at| now >= *at)?;
        self.interval = (self.interval * 2).min(self.interval_max);
        self.repeat_at = Some(now + self.interval);
        Some(Due::Repeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds at which something is sent again, and at which it is given up.
    fn times(mut it: Repetition, start: Instant) -> (Vec<u128>, u128) {
        let mut repeats = Vec::new();
        loop {
            let now = it.poll_timeout();
            let ms = (now - start).as_millis();
            match it.poll_due(now).unwrap() {
                Due::Repeat => repeats.push(ms),
                Due::GiveUp => return (repeats, ms),
            }
        }
    }

    /// RFC 3261 §17.1.1.2 and §17.1.2.2 name these times.
    #[test]
    fn requests_are_repeated_when_the_rfc_says() {
        let now = Instant::now();
        let invite = times(Repetition::invite(now, Vec::new()), now);
        assert_eq!(
            invite,
            (vec![500, 1_500, 3_500, 7_500, 15_500, 31_500], 32_000)
        );
        let (other, end) = times(Repetition::other(now, Vec::new()), now);
        assert_eq!(other[..6], [500, 1_500, 3_500, 7_500, 11_500, 15_500]);
        assert_eq!(end, 32_000);
    }

    #[test]
    fn what_rings_is_not_repeated() {
        let now = Instant::now();
        let mut it = Repetition::invite(now, Vec::new());
        it.pause(now, Duration::from_secs(60));
        assert_eq!(times(it, now), (vec![], 60_000));
    }
}
