//! Packets from one thread to another, in memory that goes back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use relay_core::SocketId;
use relay_rtp::Kind;

use super::queue::Queue;
use super::shared::FlowKey;
use crate::io::SEND_BYTES_MAX;

/// Bytes of the longest packet.
pub(super) const PARCEL_BYTES_MAX: usize = SEND_BYTES_MAX;

/// Packets under way at most: tens of milliseconds of a codec thread's work. Of a courier that has
/// more, so many stay in memory when they are not under way.
const PARCELS_MAX: usize = 1_024;

/// A packet under way.
#[derive(Debug)]
pub(crate) struct Parcel<L = Label> {
    pub(crate) label: L,
    len: usize,
    bytes: [u8; PARCEL_BYTES_MAX],
}

impl<L> Parcel<L> {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Parcel {
    /// The socket that RTP of its flow arrives at.
    pub(crate) fn flow(&self) -> SocketId {
        self.label.key.flow
    }

    pub(crate) fn kind(&self) -> Kind {
        self.label.kind
    }

    /// It was made of a sound.
    pub(crate) fn is_played(&self) -> bool {
        self.label.leaves.is_some()
    }
}

/// What is written on a parcel between a worker and a codec thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    /// Whose it is.
    pub(super) key: FlowKey,
    pub(super) kind: Kind,
    /// Where RTP of this flow leaves from, as long as that stays so. Of what was made: it is of a
    /// sound, which leaves from there.
    pub(super) leaves: Option<SocketId>,
    /// When it arrived, or was made.
    pub(super) at: Instant,
}

/// A bounded queue of packets. Nobody waits for it, and when as many packets were under way as
/// ever are, nobody allocates. Where that is more than is ordinary, memory beyond goes back.
#[derive(Debug)]
pub(crate) struct Courier<L = Label> {
    full: Queue<Parcel<L>>,
    empty: Queue<Parcel<L>>,
    /// Parcels there are, full, empty and in hand.
    made: AtomicUsize,
    parcels_max: usize,
    /// Of these, how many are not given back to the system.
    kept_max: usize,
}

impl<L: Copy> Courier<L> {
    pub(crate) fn new() -> Self {
        Self::with_room(PARCELS_MAX)
    }

    /// One for so many packets.
    pub(crate) fn with_room(parcels_max: usize) -> Self {
        Self::of(parcels_max, parcels_max.min(PARCELS_MAX))
    }

    fn of(parcels_max: usize, kept_max: usize) -> Self {
        Self {
            full: Queue::new(parcels_max),
            empty: Queue::new(kept_max),
            made: AtomicUsize::new(0),
            parcels_max,
            kept_max,
        }
    }

    /// Sends a packet. Says whether there was room for it.
    pub(crate) fn send(&self, label: L, bytes: &[u8]) -> bool {
        if bytes.len() > PARCEL_BYTES_MAX {
            return false;
        }
        let Some(mut parcel) = self.empty.pop().or_else(|| self.make(label)) else {
            return false;
        };
        parcel.label = label;
        parcel.len = bytes.len();
        parcel.bytes[..bytes.len()].copy_from_slice(bytes);
        self.full.push(parcel);
        true
    }

    /// Takes the oldest packet; it is to be given back.
    pub(crate) fn take(&self) -> Option<Box<Parcel<L>>> {
        self.full.pop()
    }

    pub(crate) fn give_back(&self, parcel: Box<Parcel<L>>) {
        let is_one_less = |made| (made > self.kept_max).then_some(made - 1);
        let order = Ordering::Relaxed;
        match self.made.fetch_update(order, order, is_one_less) {
            Ok(_) => drop(parcel),
            Err(_) => self.empty.push(parcel),
        }
    }

    /// Packets that wait at most.
    pub(super) fn room(&self) -> usize {
        self.parcels_max
    }

    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    /// One more, if there are not enough already.
    fn make(&self, label: L) -> Option<Box<Parcel<L>>> {
        let is_one_more = |made| (made < self.parcels_max).then_some(made + 1);
        self.made
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_one_more)
            .ok()?;
        Some(Box::new(Parcel {
            label,
            len: 0,
            bytes: [0; PARCEL_BYTES_MAX],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(flow: u32) -> Label {
        Label {
            key: FlowKey {
                worker: 0,
                flow: SocketId::new(flow),
                generation: 1,
            },
            kind: Kind::Rtp,
            leaves: None,
            at: Instant::now(),
        }
    }

    #[test]
    fn a_full_queue_takes_no_more_and_loses_nothing() {
        let courier = Courier::with_room(3);
        for round in 0..5_u8 {
            for flow in 0..3 {
                assert!(courier.send(label(flow), &[round; 100]));
            }
            assert!(!courier.send(label(9), &[9]));
            for flow in 0..3 {
                let parcel = courier.take().unwrap();
                assert_eq!(parcel.flow(), SocketId::new(flow));
                assert_eq!(parcel.bytes(), [round; 100]);
                courier.give_back(parcel);
            }
            assert!(courier.take().is_none() && courier.is_empty());
        }
    }

    #[test]
    fn what_is_in_hand_counts_and_what_is_too_long_is_not_taken() {
        let courier = Courier::with_room(1);
        assert!(!courier.send(label(1), &[0; PARCEL_BYTES_MAX + 1]));
        assert!(courier.send(label(1), &[0; PARCEL_BYTES_MAX]));
        let parcel = courier.take().unwrap();
        assert!(!courier.send(label(2), &[]));
        courier.give_back(parcel);
        assert!(courier.send(label(2), &[]));
    }

    #[test]
    fn memory_beyond_the_ordinary_goes_back() {
        let courier = Courier::of(6, 2);
        for _ in 0..3 {
            for flow in 0..6 {
                assert!(courier.send(label(flow), &[1]));
            }
            assert!(!courier.send(label(6), &[1]));
            for flow in 0..6 {
                let parcel = courier.take().unwrap();
                assert_eq!(parcel.flow(), SocketId::new(flow));
                courier.give_back(parcel);
            }
            assert_eq!(courier.made.load(Ordering::Relaxed), 2);
        }
    }
}
