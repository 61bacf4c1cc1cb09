//! How much one socket may bring, so that whoever floods a port costs the other calls nothing.
//!
//! A socket that has brought more in a period than any stream does rests until the period is
//! over: nothing is read from it, its queue fills, and the kernel drops the rest of the flood for
//! less than it would cost us to look at it.
//!
//! ```text
//!  reading ── budget spent ──► resting ── the period is over ──► reading
//! ```

use std::time::{Duration, Instant};

use relay_core::SocketId;

/// How long a budget is for: short enough that nobody hears of a rest, long enough that a burst
/// from the socket's queue, of some 300 packets, does not spend the budget of a fast stream.
const PERIOD: Duration = Duration::from_millis(10);
const PERIODS_PER_SECOND: u32 = 100;

/// The budgets of one driver's sockets.
#[derive(Debug)]
pub(super) struct Budget {
    /// For one socket in one period.
    packets_max: u32,
    /// Counts the periods.
    period: u32,
    ends_at: Option<Instant>,
    resting: Vec<SocketId>,
}

/// What one socket has brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    period: u32,
    packets: u32,
}

impl Budget {
    /// So many packets a second for each socket; 0 is no limit.
    pub(super) fn per_second(packets: u32) -> Self {
        Self {
            packets_max: match packets {
                0 => u32::MAX,
                packets => (packets / PERIODS_PER_SECOND).max(1),
            },
            period: 0,
            ends_at: None,
            resting: Vec::new(),
        }
    }

    /// Counts a packet. Says whether it is the one that spends the budget: then the socket must
    /// rest.
    #[inline]
    pub(super) fn spend(&self, spent: &mut Spent) -> bool {
        if spent.period != self.period {
            *spent = Spent {
                period: self.period,
                packets: 0,
            };
        }
        spent.packets = spent.packets.saturating_add(1);
        spent.packets == self.packets_max
    }

    /// A socket rests from now on.
    pub(super) fn rest(&mut self, socket: SocketId) {
        self.resting.push(socket);
    }

    /// Begins a new period if the old one is over, and takes a socket whose rest is over then.
    pub(super) fn poll_rested(&mut self, now: Instant) -> Option<SocketId> {
        if self.ends_at.is_none_or(|it| it <= now) {
            if let Some(socket) = self.resting.pop() {
                return Some(socket);
            }
            self.ends_at = Some(now + PERIOD);
            self.period = self.period.wrapping_add(1);
        }
        None
    }

    /// How long to wait, so that no socket rests for too long.
    pub(super) fn timeout(&self, now: Instant, timeout: Option<Duration>) -> Option<Duration> {
        let ends_at = self.ends_at.filter(|_| !self.resting.is_empty());
        let rest = ends_at.map(|it| it.saturating_duration_since(now));
        [timeout, rest].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: SocketId = SocketId::new(7);

    /// Packets after which a socket must rest.
    fn spends(budget: &Budget, spent: &mut Spent, packets: usize) -> Vec<usize> {
        (1..=packets).filter(|_| budget.spend(spent)).collect()
    }

    #[test]
    fn a_socket_rests_once_a_period_and_until_it_is_over() {
        let (mut budget, start) = (Budget::per_second(50_000), Instant::now());
        let mut spent = Spent::default();
        assert_eq!(budget.poll_rested(start), None);
        assert_eq!(spends(&budget, &mut spent, 10_000), [500]);
        budget.rest(SOCKET);
        let wait = Some(Duration::from_secs(1));
        assert_eq!(budget.timeout(start, wait), Some(PERIOD));
        assert_eq!(
            budget.timeout(start, Some(Duration::ZERO)),
            Some(Duration::ZERO)
        );
        assert_eq!(budget.poll_rested(start + PERIOD / 2), None);
        assert_eq!(budget.poll_rested(start + PERIOD), Some(SOCKET));
        assert_eq!(budget.poll_rested(start + PERIOD), None);
        assert_eq!(budget.timeout(start + PERIOD, wait), wait);
        assert_eq!(spends(&budget, &mut spent, 499), [] as [usize; 0]);
    }

    #[test]
    fn a_fast_stream_and_a_full_queue_do_not_rest() {
        let (mut budget, start) = (Budget::per_second(50_000), Instant::now());
        let mut spent = Spent::default();
        for period in 0..100 {
            budget.poll_rested(start + PERIOD * period);
            // 10,000 packets a second, and 300 that waited.
            assert!(spends(&budget, &mut spent, 100 + 300).is_empty());
        }
    }

    #[test]
    fn no_limit_is_none() {
        let budget = Budget::per_second(0);
        assert!(spends(&budget, &mut Spent::default(), 1_000_000).is_empty());
    }
}
