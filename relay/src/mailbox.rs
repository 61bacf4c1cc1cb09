//! Commands into a worker, replies and events out of it: bounded queues, one pair for each
//! worker.
//!
//! Nothing is lost, since neither end takes what it cannot pass on: the link stops reading from
//! control while a worker's queue is full, and the worker leaves requests where they are while
//! the link has not taken its replies. Packets are forwarded all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::queue::ArrayQueue;
use relay_wire::{Event, Reply, Request};

use crate::wake::Wake;

/// Requests of one worker that wait, and replies and events that do. A reply takes up to
/// `MESSAGE_BYTES_MAX`.
const QUEUE_LEN: usize = 64;

/// Numbers the connections of control, so that no reply goes to another than who asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What a worker is asked.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) connection: ConnectionId,
    pub(crate) request: Request,
}

/// What a worker says.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// To whoever is connected.
    Event(Event),
    /// To who asked.
    Reply {
        connection: ConnectionId,
        reply: Reply,
    },
}

/// The two queues of one worker. The link has one end, the worker the other.
#[derive(Debug)]
pub(crate) struct Mailbox {
    incoming: ArrayQueue<Incoming>,
    outgoing: ArrayQueue<Outgoing>,
    worker_wake: Arc<Wake>,
    link_wake: Arc<Wake>,
    /// The worker waits for room in `outgoing`.
    wants_room: AtomicBool,
    is_stopping: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(worker_wake: Arc<Wake>, link_wake: Arc<Wake>) -> Self {
        Self {
            incoming: ArrayQueue::new(QUEUE_LEN),
            outgoing: ArrayQueue::new(QUEUE_LEN),
            worker_wake,
            link_wake,
            wants_room: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// The link asks. Gives the request back if the queue is full.
    pub(crate) fn ask(&self, incoming: Incoming) -> Result<(), Incoming> {
        let result = self.incoming.push(incoming);
        // Also if it is full: the worker may be about to sleep.
        self.worker_wake.wake();
        result
    }

    /// The link takes what the worker has said.
    pub(crate) fn hear(&self) -> Option<Outgoing> {
        let outgoing = self.outgoing.pop()?;
        if self.wants_room.swap(false, Ordering::SeqCst) {
            self.worker_wake.wake();
        }
        Some(outgoing)
    }

    /// The worker takes a request. If the link holds one back for want of room, the reply to
    /// this one wakes it.
    pub(crate) fn take(&self) -> Option<Incoming> {
        self.incoming.pop()
    }

    /// The worker may say something. If not, it is woken when it may.
    pub(crate) fn has_room(&self) -> bool {
        if !self.outgoing.is_full() {
            return true;
        }
        self.wants_room.store(true, Ordering::SeqCst);
        // The link may have taken something just before it could see that.
        !self.outgoing.is_full()
    }

    /// The worker says something, having asked [`Self::has_room`].
    pub(crate) fn say(&self, outgoing: Outgoing) {
        let said = self.outgoing.push(outgoing);
        debug_assert!(said.is_ok(), "only the worker fills this, and it asked");
        self.link_wake.wake();
    }

    /// Tells the worker to end.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.worker_wake.wake();
    }

    /// The worker is to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}
