//! The seam between deciding and the kernel: packets in, verdicts out, on either driver.
//!
//! ```text
//!  wait ─► for_each(decide) ─► … commands … ─► flush ─► wait
//! ```
//!
//! The enum is matched once a batch; inside a batch there is no indirection.

mod address;
mod budget;
mod control_message;
mod counters;
mod poll;
mod uring;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_core::{Egress, Ingress, Sealing, SocketId, Verdict};
use tandem_settings::Driver;

/// Bytes of a datagram that is sent and has not arrived here: an Ethernet frame's.
pub(crate) const SEND_BYTES_MAX: usize = 1_500;

pub(crate) use counters::Counters;
pub use uring::UringSize;

use crate::error::SetupError;
use crate::wake::Wake;
use budget::Budget;
use poll::Poll;
use uring::Uring;

/// What is to be done with a datagram.
pub(crate) trait Decide {
    /// With one that has arrived, in memory of its own length.
    fn decide(&mut self, ingress: Ingress, packet: &mut [u8]) -> Verdict;

    /// With one that is to be sealed: it lies at the beginning of the buffer, and the rest is room.
    fn seal(&mut self, sealing: Sealing, buffer: &mut [u8]) -> Verdict;
}

/// Reads and writes the sockets of one worker. Belongs to the thread that opened it.
#[derive(Debug)]
pub(crate) enum Io {
    /// epoll, `recvmmsg` and `sendmmsg`: works everywhere, and is what io_uring is measured
    /// against.
    Poll(Box<Poll>),
    /// io_uring.
    Uring(Box<Uring>),
}

impl Io {
    /// Sets a driver up for `sockets_max` sockets, of which each may bring so many packets a second
    /// (0: as many as come). With [`Driver::Auto`], says why it is not
    /// io_uring if it is not.
    ///
    /// # Errors
    ///
    /// When it does not work here.
    pub(crate) fn open(
        driver: Driver,
        size: UringSize,
        sockets_max: u32,
        packets_per_port_max: u32,
        wake: Arc<Wake>,
    ) -> Result<(Self, Option<SetupError>), SetupError> {
        let budget = || Budget::per_second(packets_per_port_max);
        let poll = |wake| Poll::open(budget(), wake).map(|it| Self::Poll(Box::new(it)));
        match driver {
            Driver::Poll => Ok((poll(wake)?, None)),
            Driver::Uring => {
                let uring = Uring::open(size, sockets_max, budget(), wake)?;
                Ok((Self::Uring(Box::new(uring)), None))
            }
            Driver::Auto => match Uring::open(size, sockets_max, budget(), Arc::clone(&wake)) {
                Ok(uring) => Ok((Self::Uring(Box::new(uring)), None)),
                Err(error) => Ok((poll(wake)?, Some(error))),
            },
        }
    }

    /// As the operator calls it.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Poll(_) => "poll",
            Self::Uring(_) => "uring",
        }
    }

    /// The same as a counter that is 1, for whoever reads the worker's counters.
    #[must_use]
    pub(crate) fn driver_label(&self) -> &'static str {
        match self {
            Self::Poll(_) => "driver_poll",
            Self::Uring(_) => "driver_uring",
        }
    }

    /// Waits until something arrives, the worker is woken, or the time is over. `now` is when
    /// the turn before began. What was asked
    /// for before is submitted with the same system call.
    ///
    /// # Errors
    ///
    /// When the driver is broken; there is no way on then.
    pub(crate) fn wait(&mut self, now: Instant, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Poll(poll) => poll.wait(now, timeout),
            Self::Uring(uring) => uring.wait(now, timeout),
        }
    }

    /// Hands every datagram that has arrived to `decide`, and does what it says.
    pub(crate) fn for_each(&mut self, decide: impl Decide) {
        match self {
            Self::Poll(poll) => poll.for_each(decide),
            Self::Uring(uring) => uring.for_each(decide),
        }
    }

    /// Sends a datagram that has not arrived here: [`SEND_BYTES_MAX`] at most, and by how much sealing
    /// has made it longer.
    pub(crate) fn send(&mut self, egress: Egress, datagram: &[u8]) {
        match self {
            Self::Poll(poll) => poll.send(egress, datagram),
            Self::Uring(uring) => uring.send_copy(egress, datagram),
        }
    }

    /// Gives buffers back and arms what waits for them.
    ///
    /// # Errors
    ///
    /// When the driver is broken.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Poll(_) => Ok(()),
            Self::Uring(uring) => uring.flush(),
        }
    }

    /// Takes over a bound socket, whose slot is free.
    ///
    /// # Errors
    ///
    /// The system's, when it takes no more sockets.
    pub(crate) fn add_socket(&mut self, id: SocketId, socket: OwnedFd) -> io::Result<()> {
        match self {
            Self::Poll(poll) => poll.add_socket(id, socket),
            Self::Uring(uring) => uring.add_socket(id, socket),
        }
    }

    /// A socket that is open, of which all that was read has been handed in by
    /// [`Self::for_each`]: whatever else has come is still in it. `None` if that cannot be said of
    /// it now.
    pub(crate) fn file(&mut self, id: SocketId) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Poll(poll) => poll.file(id),
            Self::Uring(uring) => uring.file(id),
        }
    }

    /// Begins to close a socket; [`Self::poll_removed`] says when nothing can come of it.
    pub(crate) fn remove_socket(&mut self, id: SocketId) {
        match self {
            Self::Poll(poll) => poll.remove_socket(id),
            Self::Uring(uring) => uring.remove_socket(id),
        }
    }

    /// Takes the next socket that is gone.
    pub(crate) fn poll_removed(&mut self) -> Option<SocketId> {
        match self {
            Self::Poll(poll) => poll.poll_removed(),
            Self::Uring(uring) => uring.poll_removed(),
        }
    }

    /// What has happened so far.
    #[must_use]
    pub(crate) fn counters(&self) -> &Counters {
        match self {
            Self::Poll(poll) => poll.counters(),
            Self::Uring(uring) => uring.counters(),
        }
    }

    /// Buffers that the worker holds: 0 when all is at rest.
    #[must_use]
    pub(crate) fn leases(&self) -> u16 {
        match self {
            Self::Poll(_) => 0,
            Self::Uring(uring) => uring.leases(),
        }
    }
}
