//! The poll driver: epoll says which sockets have something, `recvmmsg` reads a batch of one
//! socket, `sendmmsg` sends each run of packets that leave through the same socket, from the
//! buffers that they arrived in.

mod batch;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_core::{Egress, Ingress, SocketId, Verdict};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::SendFlags;

use super::Decide;
use super::budget::{Budget, Spent};
use super::counters::Counters;
use crate::error::SetupError;
use crate::wake::Wake;
use batch::Batch;

/// Sockets that are read in one turn; the others have their turn next.
const EVENTS_MAX: usize = 256;

/// Marks the eventfd among the sockets, whose slots are 32 bits.
const WAKE: u64 = u64::MAX;

/// The poll driver of one worker.
pub(crate) struct Poll {
    epoll: OwnedFd,
    wake: Arc<Wake>,
    sockets: Vec<Option<Socket>>,
    budget: Budget,
    events: Vec<Event>,
    batch: Batch,
    removed: VecDeque<SocketId>,
    counters: Counters,
}

/// A socket that is in use.
#[derive(Debug)]
struct Socket {
    file: OwnedFd,
    /// It has spent its budget, and is watched again when the period is over.
    is_resting: bool,
    spent: Spent,
    /// What the kernel has dropped of it so far.
    overflow: u32,
}

impl Poll {
    pub(super) fn open(budget: Budget, wake: Arc<Wake>) -> Result<Self, SetupError> {
        let epoll =
            epoll::create(CreateFlags::CLOEXEC).map_err(|it| SetupError::Epoll(it.into()))?;
        epoll::add(
            &epoll,
            wake.as_fd(),
            EventData::new_u64(WAKE),
            EventFlags::IN,
        )
        .map_err(|it| SetupError::Epoll(it.into()))?;
        Ok(Self {
            epoll,
            wake,
            sockets: Vec::new(),
            budget,
            events: Vec::with_capacity(EVENTS_MAX),
            batch: Batch::new(),
            removed: VecDeque::new(),
            counters: Counters::default(),
        })
    }

    pub(super) fn wait(&mut self, now: Instant, timeout: Option<Duration>) -> io::Result<()> {
        self.counters.turns += 1;
        self.end_rests(now)?;
        let timeout = self.budget.timeout(now, timeout);
        let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
        self.events.clear();
        let events = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads one batch of each socket that has something. What remains is announced again, so
    /// that no socket keeps the others waiting for long.
    pub(super) fn for_each(&mut self, mut decide: impl Decide) {
        for index in 0..self.events.len() {
            match self.events[index].data.u64() {
                WAKE => self.wake.rest(),
                slot => {
                    if let Ok(slot) = u32::try_from(slot) {
                        self.serve(SocketId::new(slot), &mut decide);
                    }
                }
            }
        }
    }

    fn serve(&mut self, id: SocketId, decide: &mut impl Decide) {
        let Some(Some(socket)) = self.sockets.get_mut(id.index()) else {
            return;
        };
        if socket.is_resting {
            return;
        }
        let count = match self.batch.receive(socket.file.as_fd()) {
            Ok(count) => count,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.counters.receives_failed += 1;
                }
                return;
            }
        };
        let mut is_spent = false;
        for index in 0..count {
            is_spent |= self.budget.spend(&mut socket.spent);
            if let Some(overflow) = self.batch.overflow(index) {
                let lost = overflow.wrapping_sub(socket.overflow);
                self.counters.receives_overflown += u64::from(lost);
                socket.overflow = overflow;
            }
        }
        if is_spent {
            self.rest(id);
        }
        // The socket that packets have been collected for, to be sent together.
        let mut egress_of_run = None;
        for index in 0..count {
            let Some((source, packet)) = self.batch.packet(index, &mut self.counters) else {
                continue;
            };
            let ingress = Ingress { socket: id, source };
            let mut verdict = decide.decide(ingress, packet);
            if let Verdict::Seal(sealing) = verdict {
                verdict = decide.seal(sealing, self.batch.buffer(index));
            }
            let egress = match verdict {
                Verdict::Forward(egress) => egress,
                Verdict::ForwardPart { egress, len } => {
                    self.batch.set_len(index, len.into());
                    egress
                }
                Verdict::Copied
                | Verdict::Drop(_)
                | Verdict::Seal(_)
                | Verdict::Shake(_)
                | Verdict::Take(_) => {
                    continue;
                }
            };
            if egress_of_run != Some(egress.socket) {
                self.send_run(egress_of_run);
                egress_of_run = Some(egress.socket);
            }
            self.batch.queue(index, egress.destination);
        }
        self.send_run(egress_of_run);
    }

    /// Does not look at a socket any more until the period is over.
    fn rest(&mut self, id: SocketId) {
        if self.watch(id, EventFlags::empty()).is_ok()
            && let Some(Some(socket)) = self.sockets.get_mut(id.index())
        {
            socket.is_resting = true;
            self.counters.sockets_rested += 1;
            self.budget.rest(id);
        }
    }

    /// Looks at sockets again that have rested.
    fn end_rests(&mut self, now: Instant) -> io::Result<()> {
        while let Some(id) = self.budget.poll_rested(now) {
            // It may be closed by now, or even another socket in the same slot.
            if let Some(Some(socket)) = self.sockets.get_mut(id.index())
                && std::mem::take(&mut socket.is_resting)
            {
                self.watch(id, EventFlags::IN)?;
            }
        }
        Ok(())
    }

    fn watch(&self, id: SocketId, events: EventFlags) -> io::Result<()> {
        if let Some(Some(socket)) = self.sockets.get(id.index()) {
            let data = EventData::new_u64(id.slot().into());
            epoll::modify(&self.epoll, &socket.file, data, events)?;
        }
        Ok(())
    }

    fn send_run(&mut self, egress: Option<SocketId>) {
        let socket = egress.and_then(|it| self.sockets.get(it.index())?.as_ref());
        match socket {
            Some(socket) => self.batch.send(socket.file.as_fd(), &mut self.counters),
            None => self.batch.forget(),
        }
    }

    pub(super) fn send(&mut self, egress: Egress, datagram: &[u8]) {
        let Some(Some(socket)) = self.sockets.get(egress.socket.index()) else {
            return;
        };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if let Err(error) = rustix::net::sendto(&socket.file, datagram, flags, &egress.destination)
        {
            self.counters.count_unsent(&error.into(), 1);
        }
    }

    pub(super) fn add_socket(&mut self, id: SocketId, socket: OwnedFd) -> io::Result<()> {
        while self.sockets.len() <= id.index() {
            self.sockets.push(None);
        }
        let data = EventData::new_u64(id.slot().into());
        epoll::add(&self.epoll, &socket, data, EventFlags::IN)?;
        self.sockets[id.index()] = Some(Socket {
            file: socket,
            is_resting: false,
            spent: Spent::default(),
            overflow: 0,
        });
        Ok(())
    }

    pub(super) fn file(&self, id: SocketId) -> Option<BorrowedFd<'_>> {
        let socket = self.sockets.get(id.index())?.as_ref()?;
        Some(socket.file.as_fd())
    }

    /// Closing takes the socket out of the epoll, too: nobody else has its descriptor.
    pub(super) fn remove_socket(&mut self, id: SocketId) {
        let socket = self.sockets.get_mut(id.index()).and_then(Option::take);
        if socket.is_some() {
            self.removed.push_back(id);
        }
    }

    pub(super) fn poll_removed(&mut self) -> Option<SocketId> {
        self.removed.pop_front()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl std::fmt::Debug for Poll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poll")
            .field("sockets", &self.sockets.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
