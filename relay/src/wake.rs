//! Wakes a thread that waits for the kernel: an eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Wakes one thread. Any number of others may call [`Self::wake`].
#[derive(Debug)]
pub(crate) struct Wake(OwnedFd);

impl Wake {
    /// A new one, at rest.
    ///
    /// # Errors
    ///
    /// When the process has too many descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    /// Wakes the thread, or keeps it from falling asleep.
    pub(crate) fn wake(&self) {
        // eventfd(2): a write fails only when the count would overflow, and then the thread has
        // been woken often enough.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// For a thread that waits for nothing else: until it is woken, or so long at most.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
        let mut event = [PollFd::new(&self.0, PollFlags::IN)];
        // Woken early by a signal is woken.
        if matches!(poll(&mut event, timeout.as_ref()), Ok(1..)) {
            self.rest();
        }
    }

    /// Goes back to rest.
    pub(crate) fn rest(&self) {
        // Fails when it is at rest.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
