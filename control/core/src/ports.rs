//! Which ports are free.
//!
//! Ports are handed out in pairs, an even one for RTP and the next for RTCP, at random, so that a
//! stranger cannot guess where the next call will be. A pair that was given back rests for a
//! while: late packets of the old call must not reach a new one.
//!
//! ```text
//!               rested                 too many
//!  Resting ─────────────────► Warm ───────────────► Free
//!     ▲ release                │ take                │ take, if there are few warm ones
//!     └──────────── Used ◄─────┴─────────────────────┘
//! ```
//!
//! The relay keeps the sockets of some closed ports open, and to open such a port costs it next to
//! nothing. So a pair that was used and has rested is *warm*, and warm ones go first, as long as
//! there are so many that it cannot be guessed which. Control does not know which sockets the
//! relay has kept, and need not: to open another port just costs more.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use relay_wire::{Interface, InterfaceId, Port, PortPartition, WorkerId};

/// How long a pair rests. Phones retransmit BYE for 32 s, but stop media at once.
const QUARANTINE: Duration = Duration::from_secs(5);

/// How long it rests at least, when no other is left.
const QUARANTINE_MIN: Duration = Duration::from_secs(1);

/// How long a pair rests that someone else on this host has taken.
const QUARANTINE_FOREIGN: Duration = Duration::from_secs(60);

/// Warm pairs among which a stranger may guess. With fewer of them, all that are free are drawn
/// from. A host with few calls gets as many in time, and one with few ports has nothing to hide.
const WARM_MIN: usize = 256;

/// The free pairs of all workers and interfaces.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// By worker, then by the number in `pool_of`.
    pools: Vec<Vec<Pool>>,
    /// By interface. Those that are other names of one address have one pool.
    pool_of: Vec<usize>,
}

impl Ports {
    /// All ports of a relay, none in use.
    ///
    /// So many sockets does each worker keep when their calls are over.
    pub(crate) fn new(
        partition: &PortPartition,
        interfaces: &[Interface],
        idle_per_worker_max: u32,
    ) -> Self {
        let idle_max = usize::try_from(idle_per_worker_max).unwrap_or(usize::MAX);
        let mut places = Vec::new();
        let pool_of = interfaces.iter().map(|interface| {
            let place = (interface.address, interface.ports);
            let known = places.iter().position(|it| *it == place);
            known.unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            })
        });
        let pool_of = pool_of.collect();
        let warm_max = idle_max / 2 / places.len().max(1);
        let slices = (0..partition.workers()).filter_map(|n| partition.slice(WorkerId(n)));
        let pools = slices.map(|slice| {
            let pools = places
                .iter()
                .map(|(_, ports)| Pool::new(&slice, *ports, warm_max));
            pools.collect()
        });
        Self {
            pools: pools.collect(),
            pool_of,
        }
    }

    /// Takes a free pair; its RTP port.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        worker: WorkerId,
        interface: InterfaceId,
        rng: &mut StdRng,
    ) -> Option<u16> {
        self.pool(worker, interface)?.take(now, rng)
    }

    /// Takes one pair, named by its RTP port. `false` if it is not free.
    pub(crate) fn reserve(&mut self, worker: WorkerId, port: Port) -> bool {
        self.pool(worker, port.interface)
            .is_some_and(|pool| pool.reserve(port.number))
    }

    /// Gives a pair back.
    pub(crate) fn release(&mut self, now: Instant, worker: WorkerId, port: Port) {
        if let Some(pool) = self.pool(worker, port.interface) {
            pool.release(now + QUARANTINE, port.number);
        }
    }

    /// Gives a pair back that no packet can have reached: it need not rest.
    pub(crate) fn release_unused(&mut self, worker: WorkerId, port: Port) {
        if let Some(pool) = self.pool(worker, port.interface) {
            pool.restore(port.number);
        }
    }

    /// Gives a pair back that someone else uses.
    pub(crate) fn release_foreign(&mut self, now: Instant, worker: WorkerId, port: Port) {
        if let Some(pool) = self.pool(worker, port.interface) {
            pool.release(now + QUARANTINE_FOREIGN, port.number);
        }
    }

    /// Whether a port is the relay's, on some interface.
    pub(crate) fn cover(&self, number: u16) -> bool {
        let mut pools = self.pools.iter().flatten();
        pools.any(|pool| pool.pair(number & !1).is_some())
    }

    /// Pairs in use or resting, and all.
    pub(crate) fn usage(&mut self, now: Instant) -> (usize, usize) {
        let pools = self.pools.iter_mut().flatten();
        let usages = pools.map(|pool| pool.usage(now));
        usages.fold((0, 0), |(used, all), it| (used + it.used, all + it.all))
    }

    /// What of an interface's ports is in use or resting, of all workers.
    pub(crate) fn usage_of(&mut self, now: Instant, interface: InterfaceId) -> Option<Usage> {
        let place = *self.pool_of.get(usize::from(interface.0))?;
        let pools = self.pools.iter_mut().filter_map(|it| it.get_mut(place));
        let usages = pools.map(|pool| pool.usage(now));
        usages.reduce(|one, other| Usage {
            first: one.first.min(other.first),
            last: one.last.max(other.last),
            used: one.used + other.used,
            all: one.all + other.all,
        })
    }

    fn pool(&mut self, worker: WorkerId, interface: InterfaceId) -> Option<&mut Pool> {
        let pools = self.pools.get_mut(usize::from(worker.0))?;
        pools.get_mut(*self.pool_of.get(usize::from(interface.0))?)
    }
}

/// How many pairs are in use or resting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Usage {
    /// Ports.
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// Pairs.
    pub(crate) used: usize,
    pub(crate) all: usize,
}

/// The pairs of one worker on one interface. Taking, reserving and releasing take the same time
/// however many there are.
#[derive(Clone, Debug)]
struct Pool {
    first: u16,
    /// Numbers of free pairs, in no order.
    free: Vec<u16>,
    /// The same of those that were used not long ago.
    warm: Vec<u16>,
    warm_max: usize,
    /// By number of the pair.
    places: Vec<Place>,
    /// In the order of their ends, but for those of foreign pairs.
    resting: VecDeque<(Instant, u16)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// At this index of the free ones.
    Free(u16),
    /// At this index of the warm ones.
    Warm(u16),
    Resting,
    Used,
}

impl Pool {
    /// The pairs of a worker that lie within what an interface has.
    fn new(slice: &RangeInclusive<u16>, ports: Option<[u16; 2]>, warm_max: usize) -> Self {
        let [from, to] = ports.unwrap_or([0, u16::MAX]);
        // Both begin with an even port.
        let first = from.max(*slice.start());
        let ports = (u32::from(to.min(*slice.end())) + 1).saturating_sub(first.into());
        let pairs = u16::try_from(ports / 2).expect("half of all ports there are");
        Self {
            first,
            free: (0..pairs).collect(),
            warm: Vec::new(),
            warm_max,
            places: (0..pairs).map(Place::Free).collect(),
            resting: VecDeque::new(),
        }
    }

    fn usage(&mut self, now: Instant) -> Usage {
        self.wake(now);
        let all = self.places.len();
        let ports = u16::try_from(2 * all).unwrap_or(u16::MAX);
        Usage {
            first: self.first,
            last: self.first.saturating_add(ports).saturating_sub(1),
            used: all - self.free.len() - self.warm.len(),
            all,
        }
    }

    fn take(&mut self, now: Instant, rng: &mut StdRng) -> Option<u16> {
        self.wake(now);
        if self.free.is_empty() && self.warm.is_empty() {
            self.wake(now + (QUARANTINE - QUARANTINE_MIN));
        }
        let candidates = match self.warm.len() {
            WARM_MIN.. => self.warm.len(),
            warm => warm + self.free.len(),
        };
        if candidates == 0 {
            return None;
        }
        let at = rng.random_range(0..candidates);
        let warm = self.warm.get(at).copied();
        let pair = warm.unwrap_or_else(|| self.free[at - self.warm.len()]);
        self.occupy(pair);
        Some(self.first + 2 * pair)
    }

    fn reserve(&mut self, port: u16) -> bool {
        let Some(pair) = self.pair(port) else {
            return false;
        };
        match self.places[usize::from(pair)] {
            Place::Free(_) | Place::Warm(_) => self.occupy(pair),
            Place::Resting => {
                self.resting.retain(|(_, resting)| *resting != pair);
                self.places[usize::from(pair)] = Place::Used;
            }
            Place::Used => return false,
        }
        true
    }

    fn release(&mut self, until: Instant, port: u16) {
        let Some(pair) = self.pair(port) else {
            return;
        };
        if self.places[usize::from(pair)] == Place::Used {
            self.places[usize::from(pair)] = Place::Resting;
            self.resting.push_back((until, pair));
        }
    }

    fn restore(&mut self, port: u16) {
        if let Some(pair) = self.pair(port)
            && self.places[usize::from(pair)] == Place::Used
        {
            self.vacate(pair);
        }
    }

    /// Makes those free that have rested.
    fn wake(&mut self, now: Instant) {
        // Foreign ones rest longer and would hold up those behind them: they go round again.
        for _ in 0..self.resting.len() {
            match self.resting.front().copied() {
                Some((until, pair)) if until <= now => {
                    self.resting.pop_front();
                    self.warm(pair);
                }
                Some((until, _)) if until > now + QUARANTINE => self.resting.rotate_left(1),
                _ => break,
            }
        }
    }

    fn occupy(&mut self, pair: u16) {
        let (list, index, place): (_, _, fn(u16) -> Place) = match self.places[usize::from(pair)] {
            Place::Free(index) => (&mut self.free, index, Place::Free),
            Place::Warm(index) => (&mut self.warm, index, Place::Warm),
            Place::Resting | Place::Used => return,
        };
        list.swap_remove(usize::from(index));
        if let Some(moved) = list.get(usize::from(index)) {
            self.places[usize::from(*moved)] = place(index);
        }
        self.places[usize::from(pair)] = Place::Used;
    }

    /// Makes a pair free that was used, and cools another down if too many are warm: one of those
    /// that have been for long, since the relay closes the oldest first.
    fn warm(&mut self, pair: u16) {
        if self.warm_max == 0 {
            return self.vacate(pair);
        }
        if self.warm.len() >= self.warm_max
            && let Some(cooled) = self.warm.first().copied()
        {
            self.occupy(cooled);
            self.vacate(cooled);
        }
        let index = u16::try_from(self.warm.len()).expect("there are fewer pairs than ports");
        self.warm.push(pair);
        self.places[usize::from(pair)] = Place::Warm(index);
    }

    fn vacate(&mut self, pair: u16) {
        let index = u16::try_from(self.free.len()).expect("there are fewer pairs than ports");
        self.free.push(pair);
        self.places[usize::from(pair)] = Place::Free(index);
    }

    fn pair(&self, port: u16) -> Option<u16> {
        let offset = port.checked_sub(self.first)?;
        let pair = offset / 2;
        (offset % 2 == 0 && usize::from(pair) < self.places.len()).then_some(pair)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::tests::start;

    const WORKER: WorkerId = WorkerId(0);
    const INTERFACE: InterfaceId = InterfaceId(0);

    fn ports(last: u16) -> (Ports, StdRng, Instant) {
        let partition = PortPartition::new(30_000, last, 1).unwrap();
        let rng = StdRng::seed_from_u64(1);
        let ports = Ports::new(&partition, &[interface(None)], 0);
        (ports, rng, start())
    }

    fn interface(ports: Option<[u16; 2]>) -> Interface {
        Interface {
            name: "default".to_owned(),
            address: [192, 0, 2, 1].into(),
            advertised: None,
            ports,
        }
    }

    /// All that can be taken of a worker on an interface.
    fn all(ports: &mut Ports, worker: u8, interface: u8) -> Vec<u16> {
        let (now, mut rng) = (start(), StdRng::seed_from_u64(1));
        let (worker, interface) = (WorkerId(worker), InterfaceId(interface));
        let mut all: Vec<_> =
            std::iter::from_fn(|| ports.take(now, worker, interface, &mut rng)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn an_interface_keeps_to_its_range() {
        let partition = PortPartition::new(30_000, 30_019, 2).unwrap();
        let ranges = [None, Some([30_004, 30_013]), Some([30_014, 40_000])];
        let mut ports = Ports::new(&partition, &ranges.map(interface), 0);
        assert_eq!(all(&mut ports, 0, 0).len(), 5, "all there are");
        assert_eq!(all(&mut ports, 0, 1), [30_004, 30_006, 30_008]);
        assert_eq!(all(&mut ports, 1, 1), [30_010, 30_012]);
        assert_eq!(all(&mut ports, 0, 2), [] as [u16; 0]);
        assert_eq!(all(&mut ports, 1, 2), [30_014, 30_016, 30_018]);
        for number in [0, 29_999, 30_020, u16::MAX] {
            assert!(!ports.cover(number), "{number}");
        }
        assert!(ports.cover(30_000) && ports.cover(30_019));
    }

    #[test]
    fn names_of_one_address_hand_out_each_pair_once() {
        let partition = PortPartition::new(30_000, 30_011, 1).unwrap();
        let whole = interface(None);
        let other = Interface {
            name: "other".to_owned(),
            advertised: Some([203, 0, 113, 1].into()),
            ..whole.clone()
        };
        let far = Interface {
            address: [192, 0, 2, 2].into(),
            ..whole.clone()
        };
        let mut ports = Ports::new(&partition, &[whole, far, other], 0);
        let now = start();
        assert_eq!(ports.usage(now), (0, 12), "two addresses");
        let taken = Port {
            interface: InterfaceId(2),
            number: 30_004,
        };
        assert!(ports.reserve(WORKER, taken));
        assert!(!ports.reserve(WORKER, port(30_004)), "by its other name");
        assert_eq!(all(&mut ports, 0, 0).len(), 5);
        assert_eq!(all(&mut ports, 0, 2), [] as [u16; 0]);
        assert_eq!(all(&mut ports, 0, 1).len(), 6);
        ports.release(now, WORKER, taken);
        let later = now + QUARANTINE;
        let mut rng = StdRng::seed_from_u64(1);
        let again = ports.take(later, WORKER, INTERFACE, &mut rng);
        assert_eq!(again, Some(30_004));
    }

    fn port(number: u16) -> Port {
        Port {
            interface: INTERFACE,
            number,
        }
    }

    #[test]
    fn hands_out_each_even_port_once_and_then_none() {
        let (mut ports, mut rng, now) = ports(30_019);
        let mut taken: Vec<_> = (0..10)
            .map(|_| ports.take(now, WORKER, INTERFACE, &mut rng).unwrap())
            .collect();
        assert_eq!(ports.take(now, WORKER, INTERFACE, &mut rng), None);
        assert_eq!(ports.usage(now), (10, 10));
        assert!(!taken.is_sorted(), "in random order");
        taken.sort_unstable();
        assert_eq!(taken, (30_000..30_020).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn a_pair_given_back_rests_before_it_is_used_again() {
        let (mut ports, mut rng, now) = ports(30_003);
        let first = ports.take(now, WORKER, INTERFACE, &mut rng).unwrap();
        ports.release(now, WORKER, port(first));
        let second = ports.take(now, WORKER, INTERFACE, &mut rng).unwrap();
        assert_ne!(first, second);
        assert_eq!(ports.take(now, WORKER, INTERFACE, &mut rng), None);
        let later = now + QUARANTINE_MIN;
        let again = ports.take(later, WORKER, INTERFACE, &mut rng);
        assert_eq!(again, Some(first), "sooner, since no other is left");
    }

    #[test]
    fn a_foreign_pair_does_not_hold_up_others() {
        let (mut ports, mut rng, now) = ports(30_003);
        let first = ports.take(now, WORKER, INTERFACE, &mut rng).unwrap();
        let second = ports.take(now, WORKER, INTERFACE, &mut rng).unwrap();
        ports.release_foreign(now, WORKER, port(first));
        ports.release(now, WORKER, port(second));
        let later = now + QUARANTINE;
        assert_eq!(ports.take(later, WORKER, INTERFACE, &mut rng), Some(second));
        assert_eq!(ports.take(later, WORKER, INTERFACE, &mut rng), None);
    }

    #[test]
    fn a_reserved_pair_is_not_handed_out() {
        let (mut ports, mut rng, now) = ports(30_003);
        assert!(ports.reserve(WORKER, port(30_002)));
        assert!(!ports.reserve(WORKER, port(30_002)), "twice");
        assert!(!ports.reserve(WORKER, port(30_001)), "odd");
        assert!(!ports.reserve(WORKER, port(40_000)), "outside");
        let taken = ports.take(now, WORKER, INTERFACE, &mut rng);
        assert_eq!(taken, Some(30_000));
        assert_eq!(ports.take(now, WORKER, INTERFACE, &mut rng), None);
    }

    #[test]
    fn what_was_not_taken_cannot_be_given_back() {
        let (mut ports, mut rng, now) = ports(30_001);
        ports.release(now, WORKER, port(30_000));
        ports.release(now, WORKER, port(30_000));
        let later = now + QUARANTINE;
        assert!(ports.take(later, WORKER, INTERFACE, &mut rng).is_some());
        assert!(ports.take(later, WORKER, INTERFACE, &mut rng).is_none());
    }

    /// Ports of which the relay keeps so many sockets.
    fn warm_ports(idle_max: u32) -> (Ports, StdRng, Instant) {
        let partition = PortPartition::new(30_000, 39_999, 1).unwrap();
        let ports = Ports::new(&partition, &[interface(None)], idle_max);
        (ports, StdRng::seed_from_u64(1), start())
    }

    /// Takes so many pairs, gives them back, and lets them rest.
    fn use_once(ports: &mut (Ports, StdRng, Instant), count: usize) -> Vec<u16> {
        let (ports, rng, now) = ports;
        let taken: Vec<_> = (0..count)
            .map(|_| ports.take(*now, WORKER, INTERFACE, rng).unwrap())
            .collect();
        for number in &taken {
            ports.release(*now, WORKER, port(*number));
        }
        *now += QUARANTINE;
        taken
    }

    #[test]
    fn a_pair_that_was_used_and_has_rested_comes_first_in_random_order() {
        let mut ports = warm_ports(16_384);
        let used = use_once(&mut ports, WARM_MIN + 100);
        let again = use_once(&mut ports, 100);
        assert!(again.iter().all(|it| used.contains(it)));
        assert_ne!(again, used[..100]);
        assert!(!again.is_sorted());
    }

    #[test]
    fn what_rests_is_not_preferred() {
        let mut ports = warm_ports(16_384);
        use_once(&mut ports, WARM_MIN + 10);
        let (ports, rng, now) = &mut ports;
        let first = ports.take(*now, WORKER, INTERFACE, rng).unwrap();
        ports.release(*now, WORKER, port(first));
        let others = (0..4_999).map(|_| ports.take(*now, WORKER, INTERFACE, rng).unwrap());
        assert!(others.into_iter().all(|it| it != first));
    }

    #[test]
    fn few_warm_pairs_are_no_better_than_others() {
        let mut ports = warm_ports(16_384);
        let used = use_once(&mut ports, WARM_MIN - 1);
        let next = use_once(&mut ports, 100);
        let again = next.iter().filter(|it| used.contains(it)).count();
        assert!(again < 50, "{again} of 100 could be guessed");
    }

    #[test]
    fn no_more_are_warm_than_the_relay_keeps() {
        for (idle_max, warm) in [(0, 0), (600, 300), (1 << 20, 1_000)] {
            let mut ports = warm_ports(idle_max);
            let used = use_once(&mut ports, 1_000);
            assert_eq!(ports.0.usage(ports.2), (0, 5_000));
            assert_eq!(ports.0.pools[0][0].warm.len(), warm);
            let (ports, _, _) = &mut ports;
            let mut all = all(ports, 0, 0);
            all.dedup();
            assert_eq!(all.len(), 5_000, "each once");
            assert!(used.iter().all(|it| all.contains(it)));
        }
    }
}
