//! One worker: a thread, its ring, its calls.
//!
//! However many packets it serves, one turn reads the clock once and, with io_uring, makes one
//! system call.

mod request;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_core::{Outcome, Relay, SocketId};
use relay_wire::{Answer, Command, CommandError, FromRelay, InterfaceId, Port, Refusal, encode};

use crate::io::Io;
use crate::mailbox::{Mailbox, Outgoing, Sent};
use crate::socket::{self, Place};
use request::Progress;

/// Commands applied in one turn. Opening a port takes some ten microseconds, so packets never
/// wait for more than a millisecond.
const COMMANDS_PER_TURN_MAX: usize = 32;

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    relay: Relay,
    io: Io,
    mailbox: Arc<Mailbox>,
    interfaces: Vec<Place>,
    /// What packets leave with, by socket.
    tos: Vec<u8>,
    /// The request at hand, if it is not finished.
    progress: Option<Progress>,
    /// Where replies are encoded; kept for its memory.
    message: Vec<u8>,
    /// More can be done at once: the next turn must not wait.
    is_busy: bool,
}

impl Worker {
    pub(crate) fn new(relay: Relay, io: Io, mailbox: Arc<Mailbox>, interfaces: Vec<Place>) -> Self {
        Self {
            relay,
            io,
            mailbox,
            interfaces,
            tos: Vec::new(),
            progress: None,
            message: Vec::new(),
            is_busy: false,
        }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    ///
    /// When the driver is broken.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut now = Instant::now();
        while !self.mailbox.is_stopping() {
            self.io.wait(now, self.timeout(now))?;
            now = Instant::now();
            self.serve_media(now);
            self.serve_control(now);
            // Gives buffers back, then arms receives: one armed on an empty ring fails at once.
            self.io.flush()?;
        }
        Ok(())
    }

    fn serve_media(&mut self, now: Instant) {
        let relay = &mut self.relay;
        self.io
            .for_each(|ingress, packet| relay.handle_packet(now, ingress, packet));
        self.forget_closed();
    }

    fn serve_control(&mut self, now: Instant) {
        self.serve_mailbox(now);
        self.close_sockets();
        self.relay.handle_timeout(now);
        self.send_piercings();
        self.tell_events();
    }

    /// How long the next turn may wait.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.is_busy {
            return Some(Duration::ZERO);
        }
        let deadline = self.relay.poll_timeout()?;
        Some(deadline.saturating_duration_since(now))
    }

    /// Applies some of what control has asked for.
    fn serve_mailbox(&mut self, now: Instant) {
        self.is_busy = false;
        for _ in 0..COMMANDS_PER_TURN_MAX {
            if !self.mailbox.has_room() {
                // The link wakes us when there is.
                return;
            }
            let Some(mut progress) = self.progress.take().or_else(|| self.next_request()) else {
                return;
            };
            match progress.next_command() {
                None => self.reply(progress),
                Some(command) => {
                    let is_later = self.step(now, &mut progress, command);
                    self.progress = Some(progress);
                    if is_later {
                        break;
                    }
                }
            }
        }
        self.is_busy = true;
    }

    /// Sends a short reply at once; the link sends others, and those that control has no room for.
    fn reply(&mut self, progress: Progress) {
        let is_short = progress.is_short();
        let (from, reply) = progress.finish();
        let message = FromRelay::Reply(reply);
        if is_short {
            encode(&message, &mut self.message);
            if from.send(&self.message) != Sent::NoRoom {
                return;
            }
        }
        let connection = from.connection;
        self.mailbox.say(Outgoing::Reply {
            connection,
            message,
        });
    }

    fn next_request(&self) -> Option<Progress> {
        self.mailbox.take().map(Progress::new)
    }

    /// Applies one command. Says whether it has to wait for a socket to close.
    fn step(&mut self, now: Instant, progress: &mut Progress, command: Command) -> bool {
        let result = match self.relay.handle_command(now, command, progress.room()) {
            Ok(Outcome::Bind {
                socket,
                port,
                tos,
                is_bound,
            }) => self.bind(socket, port, tos, is_bound),
            Ok(Outcome::Done(answer)) => Ok(self.complete(answer)),
            // No codecs run yet.
            Ok(Outcome::Treat { target, .. }) => {
                self.relay.handle_treated(target, Err(Refusal::Overload))
            }
            Ok(Outcome::Later(command)) => {
                progress.put_back(command);
                return true;
            }
            Err(error) => Err(error),
        };
        progress.note(result);
        false
    }

    /// The socket half of opening an endpoint.
    fn bind(
        &mut self,
        id: SocketId,
        port: Port,
        tos: Option<u8>,
        is_bound: bool,
    ) -> Result<Answer, CommandError> {
        let InterfaceId(interface) = port.interface;
        let place = self.interfaces.get(usize::from(interface)).copied();
        let place = place.map(|it| Place {
            tos: tos.unwrap_or(it.tos),
            ..it
        });
        let result = match place {
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
            Some(place) if is_bound => self.renew_socket(id, place),
            Some(place) => self.open_socket(id, place, port.number),
        };
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
        self.relay.handle_bound(id, result.map_err(errno))
    }

    fn open_socket(&mut self, id: SocketId, place: Place, port: u16) -> io::Result<()> {
        let socket = socket::bind(place, port)?;
        self.io.add_socket(id, socket)?;
        if self.tos.len() <= id.index() {
            self.tos.resize(id.index() + 1, 0);
        }
        self.tos[id.index()] = place.tos;
        Ok(())
    }

    /// Makes the socket of a call that is over that of another: nothing that has come to the one
    /// may reach the other.
    fn renew_socket(&mut self, id: SocketId, place: Place) -> io::Result<()> {
        // Another port will do, so nothing is tried that might take long.
        let file = self.io.file(id);
        let file = file.ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRINUSE))?;
        let discarded = socket::discard(file)?;
        self.relay.handle_discarded(discarded);
        if self.tos[id.index()] != place.tos {
            socket::mark(file, place)?;
            self.tos[id.index()] = place.tos;
        }
        Ok(())
    }

    /// Adds what the core cannot know.
    fn complete(&self, mut answer: Answer) -> Answer {
        if let Answer::Worker(stats) = &mut answer {
            let counters = self.io.counters().all();
            let leases = ("buffers_leased", u64::from(self.io.leases()));
            let driver = (self.io.driver_label(), 1);
            let counters = counters.chain([leases, driver]);
            stats
                .counters
                .extend(counters.map(|(name, count)| (name.to_owned(), count)));
        }
        answer
    }

    fn close_sockets(&mut self) {
        while let Some(socket) = self.relay.poll_close() {
            self.io.remove_socket(socket);
        }
        self.forget_closed();
    }

    fn forget_closed(&mut self) {
        while let Some(socket) = self.io.poll_removed() {
            self.relay.handle_closed(socket);
        }
    }

    /// Sends the empty datagrams that open NATs.
    fn send_piercings(&mut self) {
        while let Some(egress) = self.relay.poll_transmit() {
            self.io.send_empty(egress);
        }
    }

    /// Events stay in the core while the link has no room for them.
    fn tell_events(&mut self) {
        while self.mailbox.has_room()
            && let Some(event) = self.relay.poll_event()
        {
            self.mailbox.say(Outgoing::Event(event));
        }
    }
}

#[cfg(test)]
mod tests;
