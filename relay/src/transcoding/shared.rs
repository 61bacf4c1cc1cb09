//! What a worker and a codec thread both know of a flow, and of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use relay_core::SocketId;
use relay_transcode::{Counters, DropReason};
use relay_wire::TranscodingStats;

use super::courier::Courier;
use crate::wake::Wake;

/// Names a flow for as long as it is transcoded: sockets are used again, generations are not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct FlowKey {
    pub(super) worker: u8,
    /// Where it arrives.
    pub(super) flow: SocketId,
    pub(super) generation: u32,
}

/// Packets of one flow that may wait for its codec thread: over half a second of what a phone
/// sends, and so little that a flood of one flow leaves room for the others.
const WAITING_MAX: u32 = 32;

/// What both sides know of one flow.
#[derive(Debug, Default)]
pub(super) struct FlowState {
    waiting: AtomicU32,
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    lost: AtomicU64,
    concealed_ms: AtomicU64,
    dropped: AtomicU64,
    /// Packets that the queue had no room for.
    unsent: AtomicU64,
    /// From here to the peer and back, in microseconds, by its reports; 0 while it is not known.
    round_trip_us: AtomicU32,
}

impl FlowState {
    /// Counts one more packet that waits, unless too many do.
    pub(super) fn begin_waiting(&self) -> bool {
        // Only the worker makes it more.
        let may_wait = self.waiting.load(Ordering::Relaxed) < WAITING_MAX;
        if may_wait {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        may_wait
    }

    pub(super) fn end_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_unsent(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> TranscodingStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TranscodingStats {
            packets_in: read(&self.packets_in) + read(&self.unsent),
            packets_out: read(&self.packets_out),
            lost: read(&self.lost),
            concealed_ms: read(&self.concealed_ms),
            dropped: read(&self.dropped) + read(&self.unsent),
        }
    }

    /// From here to the peer and back, in microseconds, as the peer's reports about ours have it.
    pub(super) fn round_trip_us(&self) -> Option<u32> {
        let us = self.round_trip_us.load(Ordering::Relaxed);
        (us > 0).then_some(us)
    }

    pub(super) fn set_round_trip(&self, round_trip: Duration) {
        let us = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.round_trip_us.store(us.max(1), Ordering::Relaxed);
    }

    /// The codec thread says how far it is.
    pub(super) fn publish(&self, counters: &Counters) {
        let dropped = DropReason::ALL.into_iter().map(|it| counters.dropped(it));
        for (place, count) in [
            (&self.packets_in, counters.packets_in),
            (&self.packets_out, counters.packets_out),
            (&self.lost, counters.lost),
            (&self.concealed_ms, counters.concealed_ms),
            (&self.dropped, dropped.sum()),
        ] {
            place.store(count, Ordering::Relaxed);
        }
    }
}

/// Counters of all flows: names, and how they are read.
const TOTALS: usize = 6 + DropReason::ALL.len();

/// What was done for all flows of one worker.
#[derive(Debug, Default)]
pub(super) struct Totals([AtomicU64; TOTALS]);

/// The same of one flow.
pub(super) type Counts = [u64; TOTALS];

pub(super) fn counts_of(counters: &Counters) -> Counts {
    let mut counts = [0; TOTALS];
    let [
        packets_in,
        packets_out,
        lost,
        concealed,
        sources,
        pauses,
        drops @ ..,
    ] = &mut counts;
    *packets_in = counters.packets_in;
    *packets_out = counters.packets_out;
    *lost = counters.lost;
    *concealed = counters.concealed_ms;
    *sources = counters.source_changes;
    *pauses = counters.pauses;
    for (place, reason) in drops.iter_mut().zip(DropReason::ALL) {
        *place = counters.dropped(reason);
    }
    counts
}

impl Totals {
    /// Adds what a flow counts now beyond what it counted before.
    pub(super) fn add(&self, now: &Counts, before: &Counts) {
        for (total, (now, before)) in self.0.iter().zip(now.iter().zip(before)) {
            if now != before {
                total.fetch_add(now - before, Ordering::Relaxed);
            }
        }
    }

    /// All of them, with their labels.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = [
            "transcode_packets_in",
            "transcode_packets_out",
            "transcode_lost",
            "transcode_concealed_ms",
            "transcode_source_changes",
            "transcode_pauses",
        ];
        let names = names
            .into_iter()
            .chain(DropReason::ALL.into_iter().map(DropReason::name));
        names.zip(self.0.iter().map(|it| it.load(Ordering::Relaxed)))
    }
}

/// What codec threads send to one worker.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) courier: Courier,
    pub(super) wake: Arc<Wake>,
    pub(super) totals: Totals,
    /// Packets that the worker's queue had no room for.
    pub(super) unsent: AtomicU64,
    /// Streams that could not be set up.
    pub(super) failed: AtomicU64,
}

impl Outlet {
    pub(super) fn new(wake: Arc<Wake>) -> Self {
        Self {
            courier: Courier::new(),
            wake,
            totals: Totals::default(),
            unsent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn count_unsent(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_flow_leaves_room_for_others() {
        let state = FlowState::default();
        assert_eq!((0..100).filter(|_| state.begin_waiting()).count(), 32);
        state.end_waiting();
        assert!(state.begin_waiting() && !state.begin_waiting());
    }

    #[test]
    fn totals_have_a_name_each() {
        let totals = Totals::default();
        let counters = Counters::default();
        let mut counts = counts_of(&counters);
        counts[2] = 7;
        totals.add(&counts, &counts_of(&counters));
        let all: Vec<_> = totals.all().collect();
        assert_eq!(all.len(), TOTALS);
        assert_eq!(all[2], ("transcode_lost", 7));
    }
}
