//! How much one source may ask for: a bucket of tokens for each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses that are told apart. Beyond it all strangers share one bucket, so that a flood from
/// made-up addresses costs no memory and registered phones (which have the larger share) least.
const SOURCE_COUNT_MAX: usize = 65_536;

/// How much more addresses of registered phones may send.
const REGISTERED_FACTOR: u32 = 10;

/// How often a full table is searched for addresses that fell silent.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The buckets.
#[derive(Debug)]
pub(crate) struct SourceLimits {
    per_second_max: u32,
    buckets: HashMap<IpAddr, Bucket>,
    shared: Option<Bucket>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a token.
    level: u64,
    filled_at: Instant,
}

impl SourceLimits {
    /// 0 is no limit.
    pub(crate) fn new(per_second_max: u32) -> Self {
        Self {
            per_second_max,
            buckets: HashMap::new(),
            shared: None,
            swept_at: None,
        }
    }

    /// Whether one more request from there is within the limit. Bursts of one second's worth are.
    pub(crate) fn accept(&mut self, now: Instant, source: IpAddr, is_registered: bool) -> bool {
        if self.per_second_max == 0 {
            return true;
        }
        let factor = if is_registered { REGISTERED_FACTOR } else { 1 };
        let rate = self.per_second_max.saturating_mul(factor);
        self.sweep_if_full(now);
        let is_full = self.buckets.len() >= SOURCE_COUNT_MAX;
        let full = Bucket::full(now, rate);
        let bucket = if is_full && !self.buckets.contains_key(&source) {
            self.shared.get_or_insert(full)
        } else {
            self.buckets.entry(source).or_insert(full)
        };
        bucket.take(now, rate)
    }

    fn sweep_if_full(&mut self, now: Instant) {
        let is_due = self.swept_at.is_none_or(|at| now - at >= SWEEP_INTERVAL);
        if self.buckets.len() < SOURCE_COUNT_MAX || !is_due {
            return;
        }
        self.swept_at = Some(now);
        self.buckets
            .retain(|_, bucket| now - bucket.filled_at < SWEEP_INTERVAL);
    }
}

impl Bucket {
    const fn full(now: Instant, rate: u32) -> Self {
        Self {
            level: rate as u64 * 1_000,
            filled_at: now,
        }
    }

    fn take(&mut self, now: Instant, rate: u32) -> bool {
        let rate = u64::from(rate);
        let elapsed_ms = u64::try_from((now - self.filled_at).as_millis()).unwrap_or(u64::MAX);
        // A rate per second is as many thousandths a millisecond.
        self.level = self
            .level
            .saturating_add(elapsed_ms.saturating_mul(rate))
            .min(rate * 1_000);
        self.filled_at += Duration::from_millis(elapsed_ms);
        if self.level < 1_000 {
            return false;
        }
        self.level -= 1_000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    fn accepted(limits: &mut SourceLimits, now: Instant, source: IpAddr, registered: bool) -> u32 {
        (0..2_000)
            .map(|_| u32::from(limits.accept(now, source, registered)))
            .sum()
    }

    #[test]
    fn each_source_has_its_share_and_registered_ones_ten_times_as_much() {
        let now = crate::sim::start();
        let mut limits = SourceLimits::new(100);
        assert_eq!(accepted(&mut limits, now, address(1), false), 100);
        assert_eq!(accepted(&mut limits, now, address(2), true), 1_000);
        let later = now + Duration::from_millis(250);
        assert_eq!(accepted(&mut limits, later, address(1), false), 25);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut limits = SourceLimits::new(0);
        let now = crate::sim::start();
        assert_eq!(accepted(&mut limits, now, address(1), false), 2_000);
    }

    #[test]
    fn made_up_addresses_do_not_grow_the_table() {
        let now = crate::sim::start();
        let mut limits = SourceLimits::new(1);
        let count = u32::try_from(SOURCE_COUNT_MAX).unwrap() + 500;
        let accepted = (0..count)
            .filter(|&i| limits.accept(now, address(i), false))
            .count();
        assert_eq!(limits.buckets.len(), SOURCE_COUNT_MAX);
        assert_eq!(accepted, SOURCE_COUNT_MAX + 1);
        let later = now + Duration::from_secs(2);
        assert!(limits.accept(later, address(count), false));
        assert_eq!(limits.buckets.len(), 1);
    }
}
