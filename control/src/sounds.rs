//! Sounds that are to be played: read and decoded by a thread of their own, given to the relay, and
//! kept there for who asks for the same file again.
//!
//! ```text
//! core ── Load ─► Sounds ─► thread: file ─► samples ─► Sounds ─┬─► relay: pieces
//!                                                              └─► core: names
//! ```
//!
//! A file is looked for below one folder and nowhere else, and is read only if it is one: a pipe or
//! a device would keep all others waiting.

mod file;
mod shelf;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;

use control_core::sound::{Sound, SoundError};
use control_core::{Load, Loaded};
use relay_wire::{SOUND_PIECE_BYTES_MAX, SoundKey, SoundPiece, ToRelay};
use tracing::warn;

use shelf::Shelf;

/// Sounds that wait to be read.
const ORDERS_MAX: usize = 64;

/// Sounds that were read and wait to be sent: each may be long.
const RESULTS_MAX: usize = 2;

/// Sounds to be played, as the loop sees them.
#[derive(Debug)]
pub(crate) struct Sounds {
    orders: SyncSender<Order>,
    results: Receiver<Done>,
    wake: UnixStream,
    /// Counts connections to the relay: each begins without sounds.
    connection: u64,
}

/// What the thread is asked.
#[derive(Debug)]
struct Order {
    load: Load,
    connection: u64,
}

/// What became of it.
#[derive(Debug)]
struct Done {
    order: Order,
    result: Result<Loaded, SoundError>,
    /// Sounds that the relay has not yet.
    new: Vec<(SoundKey, Sound)>,
    /// Sounds that it need not have any more.
    over: Vec<SoundKey>,
}

impl Sounds {
    /// Begins a thread that waits for something to read.
    ///
    /// # Errors
    ///
    /// When the system gives none.
    pub(crate) fn new(folder: Option<PathBuf>) -> io::Result<Self> {
        let (orders, todo) = sync_channel(ORDERS_MAX);
        let (done, results) = sync_channel(RESULTS_MAX);
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let shelf = Shelf::new(folder);
        let run = move || read_all(shelf, &todo, &done, &waker);
        Builder::new().name("sounds".to_owned()).spawn(run)?;
        Ok(Self {
            orders,
            results,
            wake,
            connection: 0,
        })
    }

    /// What becomes readable when there is something to [take](Self::poll).
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// There is another relay, or the same one has forgotten what it had.
    pub(crate) fn handle_hello(&mut self) {
        self.connection += 1;
    }

    /// Has something read. Gives its number back if too much is to be read already.
    pub(crate) fn load(&self, load: Load) -> Result<(), u64> {
        let order = Order {
            load,
            connection: self.connection,
        };
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(order) | TrySendError::Disconnected(order) => order.load.id,
        })
    }

    /// Takes one thing that was read, once `send` has given it to the relay.
    pub(crate) fn poll(
        &self,
        mut send: impl FnMut(&ToRelay),
    ) -> Option<(u64, Result<Loaded, SoundError>)> {
        loop {
            let done = self.results.try_recv().or_else(|_| {
                let mut bytes = [0; 64];
                while rustix::io::read(&self.wake, &mut bytes).is_ok_and(|len| len > 0) {}
                // It may have come meanwhile.
                self.results.try_recv()
            });
            let done = done.ok()?;
            if let Some(taken) = self.take(done, &mut send) {
                return Some(taken);
            }
        }
    }

    fn take(
        &self,
        done: Done,
        send: &mut impl FnMut(&ToRelay),
    ) -> Option<(u64, Result<Loaded, SoundError>)> {
        let id = done.order.load.id;
        if done.order.connection != self.connection && done.result.is_ok() {
            // What the relay had then it has no more.
            return match self.load(done.order.load) {
                Ok(()) => None,
                Err(id) => Some((id, Err(SoundError::Empty))),
            };
        }
        for (key, sound) in &done.new {
            send_sound(*key, sound, send);
        }
        for key in done.over {
            send(&ToRelay::ForgetSound(key));
        }
        Some((id, done.result))
    }
}

fn send_sound(key: SoundKey, sound: &Sound, send: &mut impl FnMut(&ToRelay)) {
    let mut start = 0;
    let len = u32::try_from(sound.samples.len()).unwrap_or(u32::MAX);
    for samples in sound.samples.chunks(SOUND_PIECE_BYTES_MAX / 2) {
        send(&ToRelay::Sound(SoundPiece {
            sound: key,
            rate: sound.rate,
            len,
            start,
            samples: samples.iter().flat_map(|it| it.to_le_bytes()).collect(),
        }));
        start += u32::try_from(samples.len()).unwrap_or(0);
    }
}

/// The thread: ends when nobody orders any more.
fn read_all(mut shelf: Shelf, todo: &Receiver<Order>, done: &SyncSender<Done>, waker: &UnixStream) {
    while let Ok(order) = todo.recv() {
        shelf.begin(order.connection);
        let (mut new, mut over) = (Vec::new(), Vec::new());
        let result = shelf.load(&order.load, &mut new, &mut over);
        if let Err(error) = &result {
            warn!(%error, "cannot be played");
        }
        let read = Done {
            order,
            result: result.map_err(|error| error.kind()),
            new,
            over,
        };
        if done.send(read).is_err() {
            return;
        }
        // Full means that it will be looked at in any case.
        let _ = rustix::io::write(waker, &[1]);
    }
}

#[cfg(test)]
mod tests;
