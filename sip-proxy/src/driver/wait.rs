//! Waits for sockets, for timers, and for tasks of the runtime.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{Driver, PAUSE, Socket, TIMER_GRAIN};

/// Messages read of one socket in one turn at most, so that the others are not kept waiting.
const READS_MAX: u32 = 64;

/// After so many turns with one message each, it is seen whether there is a second one.
const PROBE_AFTER: u32 = 16;

/// How many messages to read of a socket that is ready: one, now and then two, and twice as many
/// each time that there were so many. So messages that come alone cost hardly any reads that find
/// nothing, and a burst does not cost a wait for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads {
    most: u32,
    /// Turns with one message since the last look for a second one.
    alone: u32,
}

impl Default for Reads {
    fn default() -> Self {
        Self { most: 1, alone: 0 }
    }
}

impl Reads {
    /// How many to read now.
    pub(super) const fn most(self) -> u32 {
        self.most
    }

    /// So many were read.
    pub(super) const fn note(&mut self, read: u32) {
        if read < self.most {
            *self = Self { most: 1, alone: 0 };
        } else if self.most == 1 && self.alone < PROBE_AFTER {
            self.alone += 1;
        } else if self.most < READS_MAX {
            self.most *= 2;
        }
    }
}

/// What tasks of the runtime wake the loop by.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Whether it rang since somebody looked: then ringing it again costs nothing.
    has_rung: AtomicBool,
    eventfd: OwnedFd,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            has_rung: AtomicBool::new(false),
            eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    pub(super) fn ring(&self) {
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            // It cannot be full: it is emptied each time that it has rung.
            let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
        }
    }

    /// Whoever rings after this rings anew. To be called before looking at what it rang for.
    fn stop(&self) {
        let _ = rustix::io::read(&self.eventfd, &mut [0; 8]);
        self.has_rung.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// What has come, filled anew by each wait.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// A task of the runtime has something, or is to be looked at.
    pub alarm: bool,
    pub media: bool,
    /// By UDP socket, in their order.
    pub sockets: Vec<bool>,
}

impl Driver {
    /// Waits until there is something to do.
    pub(super) fn wait(&self, now: Instant, ready: &mut Ready) {
        let timeout = self.timeout(now);
        let mut fds = Vec::with_capacity(self.sockets.len() + 2);
        fds.push(PollFd::new(&self.alarm.eventfd, PollFlags::IN));
        let media = self.media.as_ref();
        fds.extend(media.map(|link| PollFd::new(&link.socket, PollFlags::IN)));
        let sockets = fds.len();
        for socket in &self.sockets {
            if let Socket::Udp(udp) = socket {
                fds.push(PollFd::from_borrowed_fd(udp.as_fd(), udp.interest()));
            }
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "cannot wait for messages");
                std::thread::sleep(PAUSE);
            }
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        ready.alarm = is_ready(&fds[0]);
        ready.media = media.is_some() && is_ready(&fds[1]);
        ready.sockets.clear();
        ready.sockets.extend(fds[sockets..].iter().map(is_ready));
        if ready.alarm {
            self.alarm.stop();
        }
    }

    /// How long to wait at most; `None` is for ever.
    fn timeout(&self, now: Instant) -> Option<Timespec> {
        if !self.echoes.is_empty() {
            return Some(Timespec::default());
        }
        let due = self.due()?.max(self.timers_after);
        Timespec::try_from(due.saturating_duration_since(now)).ok()
    }

    /// When something is due.
    fn due(&self) -> Option<Instant> {
        let media = self.media.as_ref();
        let media = media.and_then(|link| link.client.poll_timeout());
        let due = [self.proxy.poll_timeout(), media, self.accept_after];
        due.into_iter().flatten().min()
    }

    /// Whether timers are to be looked at in this turn.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.timers_after <= now && self.due().is_some_and(|due| due <= now);
        if is_due {
            self.timers_after = now + TIMER_GRAIN;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_stays_full_is_read_more_of() {
        let mut reads = Reads::default();
        for _ in 0..100 {
            reads.note(reads.most());
        }
        assert_eq!(reads.most(), READS_MAX);
        reads.note(READS_MAX - 1);
        assert_eq!(reads.most(), 1);
    }

    #[test]
    fn messages_that_come_alone_cost_one_read_each_nearly_always() {
        let mut reads = Reads::default();
        let mut tried = 0;
        for _ in 0..1_000 {
            tried += reads.most();
            reads.note(1);
        }
        assert!((1_000..1_100).contains(&tried), "{tried}");
    }

    #[test]
    fn an_alarm_rings_once_until_it_is_stopped() {
        let alarm = Alarm::new().unwrap();
        let count = || {
            let mut bytes = [0; 8];
            rustix::io::read(&alarm.eventfd, &mut bytes).map(|_| u64::from_ne_bytes(bytes))
        };
        assert!(count().is_err(), "it has not rung");
        alarm.ring();
        alarm.ring();
        assert_eq!(count(), Ok(1));
        alarm.stop();
        assert!(count().is_err());
        alarm.ring();
        assert_eq!(count(), Ok(1));
    }
}
