//! Commands into a worker, replies and events out of it: bounded queues, one pair for each
//! worker.
//!
//! Nothing is lost, since neither end takes what it cannot pass on: the link stops reading from
//! control while a worker's queue is full, and the worker leaves requests where they are while
//! the link has not taken its replies. Packets are forwarded all the while.
//!
//! A short reply takes a shorter way: the worker sends it to control itself, and the link sleeps
//! on ([`ReplyTo::send`]). Replies have numbers, so their order does not matter.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::queue::ArrayQueue;
use relay_wire::{Event, FromRelay, Request};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

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
    pub(crate) from: ReplyTo,
    pub(crate) request: Request,
}

/// Who asked.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) connection: ConnectionId,
    /// Shared with the link, which shuts it down when the connection is over.
    pub(crate) socket: Arc<OwnedFd>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    Done,
    /// Whoever it is for is gone.
    Gone,
    /// There is no room for it now.
    NoRoom,
}

impl ReplyTo {
    /// Sends a message, whole or not at all, without waiting.
    pub(crate) fn send(&self, message: &[u8]) -> Sent {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            match send(&self.socket, message, flags) {
                Ok(_) => return Sent::Done,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Sent::NoRoom,
                Err(_) => return Sent::Gone,
            }
        }
    }
}

/// What a worker says.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// To whoever is connected.
    Event(Event),
    /// To who asked.
    Reply {
        connection: ConnectionId,
        message: FromRelay,
    },
    /// The same, encoded: one or more.
    Replies {
        connection: ConnectionId,
        packet: Vec<u8>,
    },
}

/// The two queues of one worker. The link has one end, the worker the other.
#[derive(Debug)]
pub(crate) struct Mailbox {
    incoming: ArrayQueue<Incoming>,
    outgoing: ArrayQueue<Outgoing>,
    worker_wake: Arc<Wake>,
    link_wake: Arc<Wake>,
    /// The worker has been woken for what is in `incoming`, and has not begun to take it.
    is_woken: AtomicBool,
    /// The worker waits for room in `outgoing`.
    wants_room: AtomicBool,
    /// The link waits for room in `incoming`.
    holds_back: AtomicBool,
    is_stopping: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(worker_wake: Arc<Wake>, link_wake: Arc<Wake>) -> Self {
        Self {
            incoming: ArrayQueue::new(QUEUE_LEN),
            outgoing: ArrayQueue::new(QUEUE_LEN),
            worker_wake,
            link_wake,
            is_woken: AtomicBool::new(false),
            wants_room: AtomicBool::new(false),
            holds_back: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// The link asks. Gives the request back if the queue is full; then the link is woken when it
    /// is not.
    pub(crate) fn ask(&self, incoming: Incoming) -> Result<(), Incoming> {
        let result = self.incoming.push(incoming).or_else(|incoming| {
            self.holds_back.store(true, Ordering::SeqCst);
            // The worker may have taken something just before it could see that.
            self.incoming.push(incoming)
        });
        // Also if it is full: the worker may be about to sleep.
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            self.worker_wake.wake();
        }
        result
    }

    /// The worker is about to take what there is: it is woken for what comes from now on.
    pub(crate) fn listen(&self) {
        self.is_woken.store(false, Ordering::SeqCst);
    }

    /// The link takes what the worker has said.
    pub(crate) fn hear(&self) -> Option<Outgoing> {
        let outgoing = self.outgoing.pop()?;
        if self.wants_room.swap(false, Ordering::SeqCst) {
            self.worker_wake.wake();
        }
        Some(outgoing)
    }

    /// The worker takes a request.
    pub(crate) fn take(&self) -> Option<Incoming> {
        let incoming = self.incoming.pop()?;
        if self.holds_back.swap(false, Ordering::SeqCst) {
            self.link_wake.wake();
        }
        Some(incoming)
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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use relay_wire::WorkerId;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn incoming(socket: &Arc<OwnedFd>) -> Incoming {
        Incoming {
            from: ReplyTo {
                connection: ConnectionId(1),
                socket: Arc::clone(socket),
            },
            request: Request {
                id: 1,
                worker: WorkerId(0),
                commands: Vec::new(),
            },
        }
    }

    fn is_woken(wake: &Wake) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() > 0
    }

    #[test]
    fn the_link_is_woken_when_there_is_room_for_what_it_holds_back() {
        let [worker, link] = [(); 2].map(|()| Arc::new(Wake::new().unwrap()));
        let mailbox = Mailbox::new(Arc::clone(&worker), Arc::clone(&link));
        let socket = Arc::new(UnixDatagram::unbound().unwrap().into());
        for _ in 0..QUEUE_LEN {
            mailbox.ask(incoming(&socket)).unwrap();
        }
        assert!(is_woken(&worker));
        mailbox.take().unwrap();
        assert!(!is_woken(&link), "nothing is held back");
        mailbox.ask(incoming(&socket)).unwrap();
        let held_back = mailbox.ask(incoming(&socket)).unwrap_err();
        mailbox.take().unwrap();
        assert!(is_woken(&link));
        mailbox.ask(held_back).unwrap();
    }

    #[test]
    fn the_worker_is_woken_once_for_what_it_takes_at_once() {
        let [worker, link] = [(); 2].map(|()| Arc::new(Wake::new().unwrap()));
        let mailbox = Mailbox::new(Arc::clone(&worker), link);
        let socket = Arc::new(UnixDatagram::unbound().unwrap().into());
        for _ in 0..3 {
            mailbox.ask(incoming(&socket)).unwrap();
            assert!(is_woken(&worker));
            worker.rest();
            mailbox.ask(incoming(&socket)).unwrap();
            assert!(!is_woken(&worker), "it is on its way");
            mailbox.listen();
            while mailbox.take().is_some() {}
        }
    }

    #[test]
    fn a_reply_is_sent_whole_or_there_is_no_room_or_nobody() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let from = incoming(&Arc::new(ours.into())).from;
        let reply = [7; 1_000];
        let mut sent = 0;
        while from.send(&reply) == Sent::Done {
            sent += 1;
            assert!(sent < 100_000, "it never blocks");
        }
        assert_eq!(from.send(&reply), Sent::NoRoom);
        assert_eq!(theirs.recv(&mut [0; 2_000]).unwrap(), reply.len());
        assert_eq!(from.send(&reply), Sent::Done);
        drop(theirs);
        assert_eq!(from.send(&reply), Sent::Gone);
    }
}
