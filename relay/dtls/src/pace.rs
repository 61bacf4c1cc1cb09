//! How often something may happen: so often at once, and then once in a while.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// What may happen `BURST` times at once, and then once in `INTERVAL_US`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace<const BURST: u32, const INTERVAL_US: u64> {
    /// When all of it is there again.
    full_at: Option<Instant>,
}

impl<const BURST: u32, const INTERVAL_US: u64> Pace<BURST, INTERVAL_US> {
    const INTERVAL: Duration = Duration::from_micros(INTERVAL_US);

    /// Says whether it may happen now; then it has.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |it| it.max(now));
        let is_left = full_at < now + Self::INTERVAL * BURST;
        if is_left {
            self.full_at = Some(full_at + Self::INTERVAL);
        }
        is_left
    }
}

/// Who has one address mostly has others: those of a network of IPv6 count as one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

/// Shares that sources have of what strangers may do: nobody can choose whose he has.
pub(crate) const SHARES: usize = 64;

/// How often strangers begin, at all endpoints together. Each share may 32 times at once, and then
/// 16 times in a second; all together 256 times, and 250.
#[derive(Debug)]
pub(crate) struct Strangers {
    hasher: RandomState,
    shares: [Pace<32, 62_500>; SHARES],
    all: Pace<256, 4_000>,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shares: [Pace::default(); SHARES],
            all: Pace::default(),
        }
    }
}

impl Strangers {
    /// The share of a source, below [`SHARES`].
    pub(crate) fn share_of(&self, source: IpAddr) -> usize {
        let [low, ..] = self.hasher.hash_one(network(source)).to_le_bytes();
        usize::from(low) % SHARES
    }

    /// Says whether one of this share may begin; then he has.
    pub(crate) fn take(&mut self, now: Instant, share: usize) -> bool {
        self.shares[share % SHARES].take(now) && self.all.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_in_each_interval() {
        let (mut pace, start) = (Pace::<4, 100_000>::default(), Instant::now());
        let mut taken = |ms| {
            let now = start + Duration::from_millis(ms);
            (0..10).filter(|_| pace.take(now)).count()
        };
        assert_eq!([0, 50, 150, 350, 10_000].map(&mut taken), [4, 1, 1, 2, 4]);
    }

    #[test]
    fn nobody_takes_the_share_of_another_or_has_more_than_one() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let shares: Vec<usize> = (0..=255)
            .map(|it| strangers.share_of(IpAddr::from([192, 0, 2, it])))
            .collect();
        let other = shares.iter().find(|it| **it != shares[0]);
        let mut taken = |share| (0..100).filter(|_| strangers.take(now, share)).count();
        assert_eq!(taken(shares[0]), 32);
        assert_eq!(taken(*other.unwrap()), 32);
        let of = |text: &str| strangers.share_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
    }
}
