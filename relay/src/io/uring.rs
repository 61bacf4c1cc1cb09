//! The io_uring driver: one ring for each worker.
//!
//! ```text
//!  enter ─► completions ─┬─ Receive ─► lease ─► decide ─┬─ Forward ─► send (same buffer)
//!                        │                              └─ Drop ────► release
//!                        ├─ Send ────► count what could not be sent
//!                        └─ Mailbox ─► (the worker looks)
//!  enter has submitted: release what was sent
//!  flush: publish what was released, then arm what waits
//! ```
//!
//! A socket is armed once and receives until its buffers run out. It is then *starved*: its
//! datagrams wait in the kernel until it is armed again. That reads at once what waits, so only as
//! many are armed in a turn as there are buffers for: else all of them would starve again, in
//! every turn, and a worker that has fallen behind would never catch up. One that brings more than its [`Budget`] is cancelled and
//! armed again when the period is over.

mod batching;
mod buffers;
mod closing;
mod receive;
mod ring;
mod token;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::cqueue;
use relay_core::{Egress, Ingress, SocketId, Verdict};

use super::Decide;
use super::address::write_address;
use super::budget::{Budget, Spent};
use super::counters::Counters;
use crate::error::{RingStep, SetupError};
use crate::wake::Wake;
use batching::{Batching, Company};
use buffers::{BUFFER_SIZE, BufferPool, Lease};
use receive::{ReceiveError, read_received};
use ring::{ADDRESS_AT, PAYLOAD_AT, Ring, RingSize};
use token::{BufferId, Token};

/// How much one ring takes, and how it waits. Small ones are for tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UringSize {
    /// Receive buffers: a power of two, at most 32,768.
    buffers: u16,
    /// How long a packet may wait for others, so that a wake-up serves several. Zero: never.
    batch_wait: Duration,
}

impl UringSize {
    /// So many receive buffers, rounded up to a power of two.
    ///
    /// # Panics
    ///
    /// Above 32,768.
    #[must_use]
    pub const fn with_buffers(buffers: u16) -> Self {
        assert!(buffers <= 1 << 15, "the kernel takes no more");
        Self {
            buffers: buffers.next_power_of_two(),
            batch_wait: Duration::ZERO,
        }
    }

    /// The same, with packets that wait so long for others at most.
    #[must_use]
    pub const fn with_batch_wait(mut self, batch_wait: Duration) -> Self {
        self.batch_wait = batch_wait;
        self
    }

    /// A batch completes at most one receive of each buffer and one send that failed, and an
    /// overflowing queue costs a system call to drain, so there is room for the worst case, and
    /// for the last completions of sockets that are being closed.
    fn ring(self, sockets_max: u32) -> RingSize {
        let buffers = u32::from(self.buffers);
        RingSize {
            submissions: buffers.clamp(64, 4_096),
            completions: (4 * buffers).clamp(256, 65_536),
            files: sockets_max,
        }
    }
}

impl Default for UringSize {
    /// A burst of 4,096 packets, a hundredth of a second of what one core forwards: 36 MiB of
    /// addresses, of which little is touched as long as packets come evenly.
    fn default() -> Self {
        Self::with_buffers(4_096)
    }
}

/// The io_uring driver of one worker.
#[derive(Debug)]
pub(crate) struct Uring {
    // First, so that it is dropped first: the kernel must be done with the memory below.
    ring: Ring,
    pool: BufferPool,
    wake: Arc<Wake>,
    is_mailbox_armed: bool,
    slots: Vec<Slot>,
    /// Sockets that are to be armed: new ones, and those whose receive has ended.
    to_arm: Vec<SocketId>,
    /// Sockets whose receive ended for want of buffers.
    starved: Vec<SocketId>,
    /// Closed sockets whose receives are to be ended.
    to_cancel: Vec<SocketId>,
    /// Sockets with no receive, closed when what was asked of them has been submitted.
    idle_closes: Vec<SocketId>,
    /// Sockets that are gone, for [`Uring::poll_removed`].
    removed: VecDeque<SocketId>,
    /// The batch at hand; kept for its memory.
    batch: Vec<cqueue::Entry>,
    /// Buffers that are being sent.
    sending: Vec<Lease>,
    batching: Batching,
    budget: Budget,
    counters: Counters,
}

/// The socket in one slot.
#[derive(Debug)]
enum Slot {
    Empty,
    Open(Socket),
    /// The kernel is yet to say that its receive has ended. It is ours no more, but the ring's.
    Closing,
}

/// A socket that is in use.
#[derive(Debug)]
struct Socket {
    /// The ring has it, too. This one is for what the ring is not asked to do.
    file: OwnedFd,
    is_armed: bool,
    /// It has spent its budget, and is armed when the period is over.
    is_resting: bool,
    spent: Spent,
    /// What the kernel has dropped of it so far.
    overflow: u32,
}

// A call has four of them.
const _: () = assert!(size_of::<Slot>() <= 24);

impl Uring {
    pub(super) fn open(
        size: UringSize,
        sockets_max: u32,
        budget: Budget,
        wake: Arc<Wake>,
    ) -> Result<Self, SetupError> {
        let pool = BufferPool::new(size.buffers).map_err(SetupError::Memory)?;
        let ring_size = size.ring(sockets_max);
        let ring = Ring::open(ring_size, &pool)?;
        let mut uring = Self {
            ring,
            pool,
            wake,
            is_mailbox_armed: false,
            slots: Vec::new(),
            to_arm: Vec::new(),
            starved: Vec::new(),
            to_cancel: Vec::new(),
            idle_closes: Vec::new(),
            removed: VecDeque::new(),
            batch: Vec::with_capacity(usize::try_from(ring_size.completions).unwrap_or(0)),
            sending: Vec::with_capacity(size.buffers.into()),
            batching: Batching::new(size.batch_wait),
            budget,
            counters: Counters::default(),
        };
        uring.flush().map_err(|source| SetupError::Ring {
            step: RingStep::Wake,
            source,
        })?;
        Ok(uring)
    }

    /// `now` is when the turn before began.
    pub(super) fn wait(&mut self, now: Instant, timeout: Option<Duration>) -> io::Result<()> {
        self.counters.turns += 1;
        self.end_rests(now)?;
        let timeout = self.budget.timeout(now, timeout);
        let company = self.batching.turn(now);
        let company = company.filter(|it| timeout.is_none_or(|timeout| timeout >= it.bound));
        let unfinished = [&self.starved, &self.to_arm, &self.to_cancel];
        let is_deaf = !self.is_mailbox_armed;
        if is_deaf || unfinished.into_iter().any(|it| !it.is_empty()) {
            // Their turn is next: what was sent makes no completion, so nothing else may come.
            return self.enter(Some(Duration::ZERO), None);
        }
        self.counters.turns_in_company += u64::from(company.is_some());
        self.enter(timeout, company)
    }

    fn enter(&mut self, timeout: Option<Duration>, company: Option<Company>) -> io::Result<()> {
        self.ring.enter(timeout, company)?;
        self.release_sent();
        // All that was asked of these is with the kernel now, which holds what it needs.
        for index in 0..self.idle_closes.len() {
            self.close(self.idle_closes[index]);
        }
        self.idle_closes.clear();
        Ok(())
    }

    pub(super) fn for_each(&mut self, mut decide: impl Decide) {
        if self.ring.is_overflown() {
            self.counters.completions_overflown += 1;
        }
        let mut batch = std::mem::take(&mut self.batch);
        self.ring.completions(&mut batch);
        self.pool.note_taken(batch.len());
        for completion in batch.drain(..) {
            match Token::unpack(completion.user_data()) {
                Some(Token::Receive(socket)) => self.received(socket, &completion, &mut decide),
                Some(Token::Send) => self.count_sent(completion.result()),
                Some(Token::Mailbox) => {
                    self.wake.rest();
                    self.is_mailbox_armed = cqueue::more(completion.flags());
                }
                Some(Token::Cancel) | None => {}
            }
        }
        self.batch = batch;
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.pool.publish();
        if !self.is_mailbox_armed {
            self.is_mailbox_armed = has_room(self.ring.arm_mailbox(self.wake.as_fd()))?;
        }
        self.feed_starved();
        self.cancel_closing()?;
        self.arm()
    }

    /// Ends the receives of closed sockets.
    fn cancel_closing(&mut self) -> io::Result<()> {
        while let Some(id) = self.to_cancel.pop() {
            // It may be over by now, and the slot even another socket's.
            if matches!(self.slots.get(id.index()), Some(Slot::Closing))
                && !has_room(self.ring.cancel_receive(id))?
            {
                self.to_cancel.push(id);
                break;
            }
        }
        Ok(())
    }

    /// Has as many be armed as there are buffers for, those that have waited longest first.
    fn feed_starved(&mut self) {
        if self.starved.is_empty() || self.pool.free() < self.pool.count() / 2 {
            return;
        }
        let fed = usize::from(self.pool.free() / RECEIVES_AT_ONCE).max(1);
        let fed = self.starved.drain(..fed.min(self.starved.len()));
        self.to_arm.extend(fed);
    }

    /// Arms what is to be armed.
    fn arm(&mut self) -> io::Result<()> {
        while let Some(id) = self.to_arm.pop() {
            // It may be closed by now, or even another socket in the same slot.
            if let Some(Slot::Open(socket)) = self.slots.get_mut(id.index())
                && !socket.is_armed
                && !socket.is_resting
            {
                socket.is_armed = has_room(self.ring.arm_receive(id))?;
                if !socket.is_armed {
                    self.to_arm.push(id);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Receives again on sockets that have rested.
    fn end_rests(&mut self, now: Instant) -> io::Result<()> {
        while let Some(id) = self.budget.poll_rested(now) {
            if let Some(Slot::Open(socket)) = self.slots.get_mut(id.index()) {
                socket.is_resting = false;
                self.to_arm.push(id);
            }
        }
        self.arm()
    }

    pub(super) fn send_copy(&mut self, egress: Egress, datagram: &[u8]) {
        if !matches!(self.slots.get(egress.socket.index()), Some(Slot::Open(_))) {
            return;
        }
        if let Err(error) = self.ring.send_copy(egress, datagram) {
            self.counters.count_unsent(&error, 1);
        }
    }

    pub(super) fn add_socket(&mut self, id: SocketId, socket: OwnedFd) -> io::Result<()> {
        while self.slots.len() <= id.index() {
            self.slots.push(Slot::Empty);
        }
        self.ring.set_file(id, socket.as_fd())?;
        self.slots[id.index()] = Slot::Open(Socket {
            file: socket,
            is_armed: false,
            is_resting: false,
            spent: Spent::default(),
            overflow: 0,
        });
        self.to_arm.push(id);
        Ok(())
    }

    /// The kernel reads sockets while we wait and at no other time, so that all it has read is in
    /// the completions of the last wait; unless these did not fit.
    pub(super) fn file(&mut self, id: SocketId) -> Option<BorrowedFd<'_>> {
        match self.slots.get(id.index()) {
            Some(Slot::Open(socket)) if !self.ring.is_overflown() => Some(socket.file.as_fd()),
            _ => None,
        }
    }

    pub(super) fn remove_socket(&mut self, id: SocketId) {
        let Some(slot) = self.slots.get_mut(id.index()) else {
            return;
        };
        let Slot::Open(socket) = slot else {
            return;
        };
        let is_armed = socket.is_armed;
        *slot = Slot::Closing;
        match is_armed {
            true => self.to_cancel.push(id),
            false => self.idle_closes.push(id),
        }
    }

    pub(super) fn poll_removed(&mut self) -> Option<SocketId> {
        self.removed.pop_front()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn leases(&self) -> u16 {
        self.pool.count() - self.pool.free()
    }

    /// A receive has brought a datagram, or has ended, or both.
    fn received(&mut self, socket: SocketId, completion: &cqueue::Entry, decide: &mut impl Decide) {
        let lease = cqueue::buffer_select(completion.flags())
            .and_then(|buffer| self.pool.lease(BufferId(buffer)));
        match (lease, usize::try_from(completion.result())) {
            (Some(lease), Ok(len)) => {
                self.batching.note();
                self.decide(socket, lease, len, decide);
            }
            (Some(lease), Err(_)) => self.pool.release(lease),
            (None, _) => {}
        }
        if !cqueue::more(completion.flags()) {
            self.receive_ended(socket, completion.result());
        }
    }

    /// Asks what is to be done with a filled buffer, and does it.
    fn decide(&mut self, id: SocketId, lease: Lease, len: usize, decide: &mut impl Decide) {
        let Some(Slot::Open(socket)) = self.slots.get_mut(id.index()) else {
            // It came while the socket was being closed.
            return self.pool.release(lease);
        };
        if self.budget.spend(&mut socket.spent) {
            // What has come already is served; a cancelled receive says so when it ends.
            socket.is_resting = true;
            self.counters.sockets_rested += 1;
            self.budget.rest(id);
            let _ = self.ring.cancel_receive(id);
        }
        let buffer = self.pool.bytes(&lease);
        let received = match read_received(buffer, len) {
            Ok(received) => received,
            Err(error) => {
                let counter = match error {
                    ReceiveError::Malformed => &mut self.counters.receives_malformed,
                    ReceiveError::Truncated => &mut self.counters.receives_truncated,
                };
                *counter += 1;
                return self.pool.release(lease);
            }
        };
        if let Some(overflow) = received.overflow {
            let lost = overflow.wrapping_sub(socket.overflow);
            self.counters.receives_overflown += u64::from(lost);
            socket.overflow = overflow;
        }
        let ingress = Ingress {
            socket: id,
            source: received.source,
        };
        let payload = &mut buffer[PAYLOAD_AT..][..received.payload_len];
        let mut verdict = decide.decide(ingress, payload);
        if let Verdict::Seal(sealing) = verdict {
            verdict = decide.seal(sealing, &mut buffer[PAYLOAD_AT..]);
        }
        match verdict {
            Verdict::Copied
            | Verdict::Drop(_)
            | Verdict::Seal(_)
            | Verdict::Shake(_)
            | Verdict::Take(_) => {
                self.pool.release(lease);
            }
            Verdict::Forward(egress) => self.send(egress, lease, received.payload_len),
            Verdict::ForwardPart { egress, len } => {
                self.send(egress, lease, BUFFER_ROOM.min(len.into()));
            }
        }
    }

    /// Sends from the buffer that the packet arrived in. The address goes where the sender's
    /// was.
    fn send(&mut self, egress: Egress, lease: Lease, len: usize) {
        let buffer = self.pool.bytes(&lease);
        let address = buffer[ADDRESS_AT..].first_chunk_mut();
        let address = address.expect("a buffer is longer than its head");
        let address_len = write_address(egress.destination, address);
        let sent = self
            .ring
            .send(egress.socket, &mut self.pool, &lease, address_len, len);
        match sent {
            Ok(()) => {
                self.sending.push(lease);
                if self.sending.len() >= SENDS_HELD_MAX {
                    self.submit_sends();
                }
            }
            Err(error) => {
                self.counters.count_unsent(&error, 1);
                self.pool.release(lease);
            }
        }
    }

    /// Sends what was decided so far, in the middle of a large batch, and gives the buffers back:
    /// else half of the pool would be in sends when receives go on.
    fn submit_sends(&mut self) {
        // What cannot be submitted now is so with the next turn.
        let _ = self.ring.submit();
        self.release_sent();
        self.pool.publish();
    }

    fn release_sent(&mut self) {
        if self.ring.is_submitted() {
            for lease in self.sending.drain(..) {
                self.pool.release(lease);
            }
        }
    }

    fn count_sent(&mut self, result: i32) {
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            self.counters.count_unsent(&error, 1);
        }
    }

    /// The receive of a socket has ended: for want of buffers, by being cancelled, or since the
    /// kernel saw fit.
    fn receive_ended(&mut self, socket: SocketId, result: i32) {
        match self.slots.get_mut(socket.index()) {
            Some(Slot::Open(socket)) => socket.is_armed = false,
            Some(Slot::Closing) => return self.close(socket),
            Some(Slot::Empty) | None => return,
        }
        if -result == libc::ENOBUFS {
            self.counters.receives_starved += 1;
            self.pool.widen();
            self.starved.push(socket);
            return;
        }
        if result < 0 && -result != libc::ECANCELED {
            self.counters.receives_failed += 1;
        }
        // Unless it rests.
        self.to_arm.push(socket);
    }

    /// Empties a slot in which nothing is under way.
    fn close(&mut self, id: SocketId) {
        if self.ring.clear_file(id).is_err() {
            self.counters.closes_failed += 1;
        }
        self.slots[id.index()] = Slot::Empty;
        self.removed.push_back(id);
    }
}

/// Whether there was room for a request: if not, it is to be made in the next turn.
fn has_room(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Bytes of a buffer that a datagram may have.
const BUFFER_ROOM: usize = BUFFER_SIZE - PAYLOAD_AT;

/// Sends that are held back within a turn, so that one system call submits many.
const SENDS_HELD_MAX: usize = 64;

/// Datagrams that the kernel reads from one socket at most before it turns to the next.
const RECEIVES_AT_ONCE: u16 = 32;
