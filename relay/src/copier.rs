//! Copies of packets, from the worker that a packet came to to the worker that the copy leaves from,
//! which may be the same.
//!
//! A worker never waits for another: what its queue does not take is dropped and counted.

use std::sync::Arc;

use relay_core::{COPIED_BURST, Copy};
use relay_wire::SINKS_MAX;

use crate::transcoding::{Courier, Parcel};
use crate::wake::Wake;

/// Copies that wait for one worker.
///
/// While a worker stands still its sockets hold what comes, and when it goes on all of that is
/// copied before any of it has left. Ten conferences of sixteen in which everybody speaks make
/// 120,000 copies a second, so these are 68 ms of them; what waited much longer than that is too
/// late for who listens. And they are more than one endpoint may cause at once, so that one whose
/// packets go in a circle does not take all the room from the others.
///
/// 13 MB while they are there, of which 1.6 MB stay: a queue that was never as full costs its slots
/// alone (0.3 MB).
const WAITING_MAX: usize = 8_192;

const _: () = assert!(WAITING_MAX > SINKS_MAX * COPIED_BURST as usize);

/// What waits for one worker.
#[derive(Debug)]
pub(crate) struct Inlet {
    courier: Courier<Copy>,
    wake: Arc<Wake>,
}

/// Copies as one worker sees them.
#[derive(Debug)]
pub(crate) struct Copier {
    worker: usize,
    /// By worker.
    inlets: Arc<[Inlet]>,
    /// Workers that were sent something in this turn.
    to_wake: Vec<bool>,
    /// Copies that the other worker had no room for, or that are too long.
    unsent: u64,
}

impl Copier {
    /// Queues for as many workers as there are wakes, in their order.
    pub(crate) fn inlets(wakes: &[Arc<Wake>]) -> Arc<[Inlet]> {
        let inlet = |wake: &Arc<Wake>| Inlet {
            courier: Courier::with_room(WAITING_MAX),
            wake: Arc::clone(wake),
        };
        wakes.iter().map(inlet).collect()
    }

    pub(crate) fn new(worker: u8, inlets: Arc<[Inlet]>) -> Self {
        Self {
            worker: worker.into(),
            to_wake: vec![false; inlets.len()],
            inlets,
            unsent: 0,
        }
    }

    /// Sends a copy to who is to let it out.
    pub(crate) fn send(&mut self, copy: Copy, packet: &[u8]) {
        let worker = usize::from(copy.worker.0);
        let inlet = self.inlets.get(worker);
        if inlet.is_some_and(|it| it.courier.send(copy, packet)) {
            self.to_wake[worker] = true;
        } else {
            self.unsent += 1;
        }
    }

    /// Wakes others that were sent something. Once a turn, since it is a system call.
    pub(crate) fn kick(&mut self) {
        for (index, (inlet, to_wake)) in self.inlets.iter().zip(&mut self.to_wake).enumerate() {
            if std::mem::take(to_wake) && index != self.worker {
                inlet.wake.wake();
            }
        }
    }

    /// Takes a copy that is to leave from here; it is to be given back.
    pub(crate) fn take(&self) -> Option<Box<Parcel<Copy>>> {
        self.inlets[self.worker].courier.take()
    }

    pub(crate) fn give_back(&self, parcel: Box<Parcel<Copy>>) {
        self.inlets[self.worker].courier.give_back(parcel);
    }

    pub(crate) fn unsent(&self) -> u64 {
        self.unsent
    }
}
