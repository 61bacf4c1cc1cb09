//! The thread: its loop.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use relay_dtls::{Event, Handshakes, Identity, Keys};
use tracing::{debug, warn};

use super::{Failed, Hall, Name, Order};

/// How much less important the thread is to the system than a worker (nice(2)).
const NICENESS: i32 = 10;

/// Datagrams that are taken in one turn, so that time goes on.
const TURN_MAX: usize = 64;

/// A worker that has no room for keys is asked again after that.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// The thread, before it runs.
#[derive(Debug)]
pub(crate) struct DtlsThread {
    hall: Arc<Hall>,
    table: Handshakes<Name>,
    /// Keys that a worker has no room for yet. Nothing else is done while there are any.
    waiting: VecDeque<(Name, Keys)>,
    to_wake: Vec<bool>,
    /// The last that was to begin has to wait.
    is_full: bool,
}

impl DtlsThread {
    pub(super) fn new(hall: Arc<Hall>, identity: Identity, endpoints_max: usize) -> Self {
        Self {
            to_wake: vec![false; hall.outlets.len()],
            hall,
            table: Handshakes::new(identity, endpoints_max),
            waiting: VecDeque::new(),
            is_full: false,
        }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    ///
    /// Never.
    pub(crate) fn run(mut self) -> io::Result<()> {
        if let Err(error) = rustix::process::nice(NICENESS) {
            warn!(%error, "the thread of handshakes is as important as the workers");
        }
        while !self.hall.inlet.is_stopping.load(Ordering::Acquire) {
            let now = Instant::now();
            let is_busy = self.turn(now);
            if !is_busy {
                let timeout = match self.waiting.is_empty() {
                    true => self.table.poll_timeout(),
                    false => Some(now + ASK_AGAIN),
                };
                let timeout = timeout.map(|it| it.saturating_duration_since(Instant::now()));
                self.hall.inlet.wake.wait(timeout);
            }
        }
        Ok(())
    }

    /// Does some of what there is to do. Says whether there may be more.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        let is_free = self.hand_out_keys();
        let mut is_busy = false;
        if is_free {
            self.take_orders(now);
            is_busy = self.take_datagrams(now);
            self.table.handle_timeout(now);
            self.serve_events();
        }
        self.publish();
        self.wake_workers();
        is_busy
    }

    fn take_orders(&mut self, now: Instant) {
        while let Some(order) = self.hall.inlet.orders.pop() {
            match order {
                Order::Begin(name, dtls) => {
                    let was_full = self.is_full;
                    self.is_full = !self.table.begin(now, name, dtls);
                    if self.is_full && !was_full {
                        warn!("too many endpoints shake hands: more have to wait");
                    }
                }
                Order::End(name) => self.table.end(now, name),
            }
        }
    }

    fn take_datagrams(&mut self, now: Instant) -> bool {
        let courier = &self.hall.inlet.courier;
        for _ in 0..TURN_MAX {
            let Some(parcel) = courier.take() else {
                return false;
            };
            let label = parcel.label;
            let from = (label.source, label.is_peer);
            self.table
                .handle_datagram(now, label.name, from, parcel.bytes());
            courier.give_back(parcel);
        }
        true
    }

    fn serve_events(&mut self) {
        while let Some(event) = self.table.poll_event() {
            match event {
                Event::Transmit { from, to, bytes } => {
                    self.send(super::Leaving { name: from, to }, &bytes)
                }
                Event::Done { endpoint, keys } => {
                    debug!(worker = endpoint.worker, "a handshake is done");
                    self.waiting.push_back((endpoint, keys));
                }
                Event::Failed {
                    endpoint,
                    failure,
                    is_peer,
                } => self.tell(endpoint, Failed { failure, is_peer }),
            }
        }
        self.hand_out_keys();
    }

    fn send(&mut self, label: super::Leaving, bytes: &[u8]) {
        let index = usize::from(label.name.worker);
        let Some(outlet) = self.hall.outlets.get(index) else {
            return;
        };
        if outlet.courier.send(label, bytes) {
            self.to_wake[index] = true;
        } else {
            outlet.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells of a failure, if there is room: it is only said, and that once.
    fn tell(&mut self, name: Name, failed: Failed) {
        let index = usize::from(name.worker);
        if let Some(outlet) = self.hall.outlets.get(index)
            && outlet.results.push((name, Err(failed))).is_ok()
        {
            self.to_wake[index] = true;
        }
    }

    /// Says whether all are handed out.
    fn hand_out_keys(&mut self) -> bool {
        while let Some((name, keys)) = self.waiting.pop_front() {
            let index = usize::from(name.worker);
            let Some(outlet) = self.hall.outlets.get(index) else {
                continue;
            };
            self.to_wake[index] = true;
            if let Err((name, Ok(keys))) = outlet.results.push((name, Ok(keys))) {
                self.waiting.push_front((name, keys));
                return false;
            }
        }
        true
    }

    fn publish(&self) {
        for (place, count) in self.hall.inlet.counts.iter().zip(self.table.counters()) {
            place.store(count, Ordering::Relaxed);
        }
    }

    fn wake_workers(&mut self) {
        for (outlet, to_wake) in self.hall.outlets.iter().zip(&mut self.to_wake) {
            if std::mem::take(to_wake) {
                outlet.wake.wake();
            }
        }
    }
}
