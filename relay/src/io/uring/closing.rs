//! The end of a ring: all that is under way is called back, and the kernel is done with the buffers
//! before they go.
//!
//! With many thousands of sockets that must not take longer than a new relay has patience. So each
//! request is ended by its own name, the kernel is waited for as long as it has something to say, and
//! all slots are emptied at once.

use std::time::Duration;

use relay_core::{DropReason, Ingress, Sealing, SocketId, Verdict};

use super::batching::Company;
use super::{Slot, Uring};
use crate::io::Decide;

/// What it took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Closed {
    /// Requests that were ended.
    pub(super) cancelled: usize,
    /// Waits for the kernel.
    pub(super) turns: usize,
    /// Requests that the kernel still has: the buffers stay.
    pub(super) left: usize,
}

/// Whatever still comes is for nobody.
struct Discard;

impl Decide for Discard {
    fn decide(&mut self, _: Ingress, _: &mut [u8]) -> Verdict {
        Verdict::Drop(DropReason::UnknownFlow)
    }

    fn seal(&mut self, _: Sealing, _: &mut [u8]) -> Verdict {
        Verdict::Drop(DropReason::UnknownFlow)
    }
}

/// Waits at most. Each brings all completions that fit, so that more are only for a busy kernel.
const TURNS_MAX: usize = 20;

/// How long each of them lasts at most.
const TURN_TIMEOUT: Duration = Duration::from_millis(50);

impl Uring {
    /// Ends all that is under way. Nothing works afterwards.
    pub(super) fn close_all(&mut self) -> Closed {
        let mut closed = Closed {
            cancelled: self.cancel_all(),
            ..Closed::default()
        };
        while self.under_way() > 0 && closed.turns < TURNS_MAX {
            let company = Company {
                packets: u32::try_from(self.under_way()).unwrap_or(u32::MAX),
                bound: TURN_TIMEOUT,
            };
            if self.enter(Some(TURN_TIMEOUT), Some(company)).is_err() {
                break;
            }
            self.for_each(Discard);
            closed.turns += 1;
        }
        closed.left = self.under_way();
        // The kernel would do that, too, but in its own time, and ports are wanted again at once.
        let _ = self.ring.clear_files(self.slots.len());
        closed
    }

    /// Asks for the end of each receive. Says how many there are, with the watch of the mailbox.
    fn cancel_all(&mut self) -> usize {
        let mut cancelled = self.to_cancel.len();
        let _ = self.cancel_closing();
        cancelled -= self.to_cancel.len();
        for index in 0..self.slots.len() {
            let is_armed = matches!(&self.slots[index], Slot::Open(socket) if socket.is_armed);
            if let Some(index) = u32::try_from(index).ok().filter(|_| is_armed) {
                let result = self.ring.cancel_receive(SocketId::new(index));
                cancelled += usize::from(result.is_ok());
            }
        }
        if self.is_mailbox_armed {
            cancelled += usize::from(self.ring.cancel_mailbox().is_ok());
        }
        cancelled
    }

    /// Receives, sends and watches that the kernel has not completed yet.
    fn under_way(&self) -> usize {
        let is_armed = |slot: &&Slot| match slot {
            Slot::Empty => false,
            Slot::Open(socket) => socket.is_armed,
            Slot::Closing => true,
        };
        let receives = self.slots.iter().filter(is_armed).count();
        receives + usize::from(self.is_mailbox_armed) + usize::from(self.leases())
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.close_all().left > 0 {
            self.pool.leak();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use super::*;
    use crate::io::budget::Budget;
    use crate::io::uring::UringSize;
    use crate::wake::Wake;

    /// A ring whose sockets all receive; `None`, said aloud, where there is none.
    fn ring_with(sockets: u32) -> Option<Uring> {
        let wake = Arc::new(Wake::new().unwrap());
        let size = UringSize::with_buffers(64);
        let opened = Uring::open(size, sockets, Budget::per_second(0), wake);
        let mut uring = opened
            .inspect_err(|error| eprintln!("SKIPPED, this is not tested: {error}"))
            .ok()?;
        for index in 0..sockets {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let id = SocketId::new(index);
            uring.add_socket(id, OwnedFd::from(socket)).unwrap();
        }
        uring.flush().unwrap();
        uring.enter(Some(Duration::ZERO), None).unwrap();
        uring.for_each(Discard);
        Some(uring)
    }

    #[test]
    fn many_sockets_are_closed_by_one_request_each_and_few_waits() {
        const SOCKETS: u32 = 500;
        let Some(mut uring) = ring_with(SOCKETS) else {
            return;
        };
        let receives = usize::try_from(SOCKETS).unwrap();
        assert_eq!(uring.under_way(), receives + 1);
        let closed = uring.close_all();
        assert_eq!(closed.cancelled, receives + 1, "each once, and the mailbox");
        assert_eq!(closed.left, 0);
        // The queue of this ring has room for 256.
        assert!(closed.turns < receives / 50, "{} waits", closed.turns);
        assert_eq!(uring.close_all(), Closed::default(), "nothing is left");
    }

    #[test]
    fn more_sockets_than_the_queue_has_room_for_are_removed_in_one_turn() {
        const SOCKETS: u32 = 300;
        let Some(mut uring) = ring_with(SOCKETS) else {
            return;
        };
        for index in 0..SOCKETS {
            uring.remove_socket(SocketId::new(index));
        }
        let mut removed = BTreeSet::new();
        for _ in 0..1_000 {
            if removed.len() == usize::try_from(SOCKETS).unwrap() {
                break;
            }
            uring.flush().unwrap();
            uring.enter(Some(TURN_TIMEOUT), None).unwrap();
            uring.for_each(Discard);
            removed.extend(std::iter::from_fn(|| uring.poll_removed()));
        }
        assert!(removed.into_iter().eq((0..SOCKETS).map(SocketId::new)));
        assert_eq!(uring.under_way(), 1, "the mailbox");
    }

    #[test]
    fn sockets_are_closed_when_the_ring_is() {
        let Some(mut uring) = ring_with(2) else {
            return;
        };
        let address = match &uring.slots[1] {
            Slot::Open(socket) => rustix::net::getsockname(&socket.file).unwrap(),
            other => panic!("{other:?}"),
        };
        let address = std::net::SocketAddr::try_from(address).unwrap();
        assert!(UdpSocket::bind(address).is_err());
        uring.remove_socket(SocketId::new(0));
        drop(uring);
        UdpSocket::bind(address).expect("nobody has the port any more");
    }
}
