//! Handshakes as one worker sees them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use relay_core::{Egress, Relay, Shaken, Shaking, SocketId};
use relay_dtls::Handshakes;
use tracing::warn;

use super::{Arrived, Failed, Hall, Name, Order};

/// Datagrams that are sent in one turn at most.
const SENT_MAX: u32 = 32;

/// The worker's end.
#[derive(Debug)]
pub(crate) struct Shaker {
    worker: u8,
    hall: Arc<Hall>,
    /// The thread was sent something in this turn.
    to_wake: bool,
}

impl Shaker {
    pub(crate) fn new(worker: u8, hall: Arc<Hall>) -> Self {
        Self {
            worker,
            hall,
            to_wake: false,
        }
    }

    /// Takes a datagram that has arrived.
    #[cold]
    pub(crate) fn take(&mut self, shaken: Shaken, source: SocketAddr, bytes: &[u8]) {
        let Shaken {
            socket,
            generation,
            is_peer,
        } = shaken;
        let name = self.name(socket, generation);
        let label = Arrived {
            name,
            source,
            is_peer,
        };
        if self.hall.inlet.courier.send(label, bytes) {
            self.to_wake = true;
        } else {
            self.hall.inlet.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Passes on what control wants, as far as there is room; the rest stays where it is.
    pub(crate) fn order(&mut self, relay: &mut Relay) {
        let orders = &self.hall.inlet.orders;
        // Others put orders in as well: what had no room after all would be lost.
        while orders.len() + 256 < orders.capacity()
            && let Some(shaking) = relay.poll_shaking()
        {
            let order = match shaking {
                Shaking::Begin {
                    socket,
                    generation,
                    dtls,
                } => Order::Begin(self.name(socket, generation), dtls),
                Shaking::End { socket, generation } => Order::End(self.name(socket, generation)),
            };
            let ordered = orders.push(order);
            debug_assert!(ordered.is_ok(), "there is room for one of each worker");
            self.to_wake = true;
        }
    }

    /// Wakes the thread, if it was sent something. Once a turn, since it is a system call.
    pub(crate) fn kick(&mut self) {
        if std::mem::take(&mut self.to_wake) {
            self.hall.inlet.wake.wake();
        }
    }

    /// Installs keys, and sends some of what the thread has to be sent. Says whether there may be
    /// more.
    pub(crate) fn serve(&self, relay: &mut Relay, mut send: impl FnMut(Egress, &[u8])) -> bool {
        let outlet = &self.hall.outlets[usize::from(self.worker)];
        while let Some((name, result)) = outlet.results.pop() {
            let Name {
                socket, generation, ..
            } = name;
            match result {
                Ok(keys) => relay.handle_shaken(socket, generation, keys.receive, keys.send),
                Err(failed) => {
                    let Failed { failure, is_peer } = failed;
                    // Once of each: strangers do not hide what the peer does.
                    let of = relay.handle_unshaken(socket, generation, is_peer);
                    if let Some((call, port)) = of {
                        let whose = if is_peer { "the peer" } else { "somebody else" };
                        let (call, port) = (call.0, port.number);
                        warn!(call, port, with = whose, %failure, "a handshake has failed");
                    }
                }
            }
        }
        for _ in 0..SENT_MAX {
            let Some(parcel) = outlet.courier.take() else {
                return false;
            };
            let label = parcel.label;
            let Name {
                socket, generation, ..
            } = label.name;
            if let Some(egress) = relay.handle_shaking(socket, generation, label.to) {
                send(egress, parcel.bytes());
            }
            outlet.courier.give_back(parcel);
        }
        true
    }

    /// What is counted. What the thread counts is told by the first worker.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        let outlet = &self.hall.outlets[usize::from(self.worker)];
        let unsent = ("dtls_unsent", outlet.lost.load(Ordering::Relaxed));
        let is_first = self.worker == 0;
        let inlet = &self.hall.inlet;
        let counts = inlet.counts.iter().map(|it| it.load(Ordering::Relaxed));
        let names = Handshakes::<Name>::COUNTERS;
        let shared = names.into_iter().zip(counts);
        let lost = ("dtls_lost", inlet.lost.load(Ordering::Relaxed));
        let shared = shared.chain([lost]).filter(move |_| is_first);
        std::iter::once(unsent).chain(shared)
    }

    fn name(&self, socket: SocketId, generation: u32) -> Name {
        Name {
            worker: self.worker,
            socket,
            generation,
        }
    }
}
