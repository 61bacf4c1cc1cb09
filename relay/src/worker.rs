//! One worker: a thread, its ring, its calls.
//!
//! However many packets it serves, one turn reads the clock once and, with io_uring, makes one
//! system call.

mod desk;
mod outbox;
mod request;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_core::{Outcome, Relay, SocketId};
use relay_wire::{Answer, CallKey, Command, CommandError, FromRelay, InterfaceId, Play, Port};

use crate::copier::Copier;
use crate::dtls::Shaker;
use crate::io::Io;
use crate::mailbox::{Mailbox, Outgoing};
use crate::socket::{self, Place};
use crate::transcoding::{Ending, Parcel, Taking, Transcoder};
use desk::{Decider, Desk};
use outbox::Outbox;
use request::Progress;

/// What is done in one turn at most, one for each command, so that packets never wait for more than
/// a millisecond.
const EFFORT_MAX: u32 = 256;

/// To open a port takes some ten microseconds more than another command.
const OPEN_EFFORT: u32 = 8;

/// Packets of codec threads that are sent in one turn at most. They come in hundreds when a thread
/// has much to do, and what has arrived meanwhile is not to wait for them: to send these takes some
/// hundred microseconds.
const MADE_MAX: u32 = 32;

/// The same of copies: they come as what they are copies of does.
const COPIES_MAX: u32 = 256;

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    relay: Relay,
    io: Io,
    transcoder: Transcoder,
    copier: Copier,
    shaker: Shaker,
    desk: Desk,
    mailbox: Arc<Mailbox>,
    interfaces: Vec<Place>,
    /// What packets leave with, by socket.
    tos: Vec<u8>,
    /// The request at hand, if it is not finished.
    progress: Option<Progress>,
    /// What this turn has done: up to [`EFFORT_MAX`].
    effort: u32,
    outbox: Outbox,
    /// More can be done at once: the next turn must not wait.
    is_busy: bool,
    /// So it is with packets of codec threads.
    has_made: bool,
    /// And with copies.
    has_copies: bool,
    /// And with handshakes.
    has_handshakes: bool,
}

impl Worker {
    pub(crate) fn new(
        relay: Relay,
        io: Io,
        (transcoder, copier, shaker): (Transcoder, Copier, Shaker),
        mailbox: Arc<Mailbox>,
        interfaces: Vec<Place>,
    ) -> Self {
        Self {
            relay,
            io,
            transcoder,
            copier,
            shaker,
            desk: Desk::default(),
            mailbox,
            interfaces,
            tos: Vec::new(),
            progress: None,
            effort: 0,
            outbox: Outbox::default(),
            is_busy: false,
            has_made: false,
            has_copies: false,
            has_handshakes: false,
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
        self.io.for_each(Decider {
            now,
            relay: &mut self.relay,
            transcoder: &mut self.transcoder,
            copier: &mut self.copier,
            shaker: &mut self.shaker,
        });
        self.transcoder.kick();
        self.send_made(now);
        self.copier.kick();
        self.let_copies_out();
        self.serve_handshakes();
        self.forget_closed();
    }

    fn serve_control(&mut self, now: Instant) {
        self.serve_mailbox(now);
        self.close_sockets();
        self.relay.handle_timeout(now);
        self.send_transmits();
        self.send_reports();
        self.shaker.order(&mut self.relay);
        self.shaker.kick();
        self.tell_events();
    }

    /// How long the next turn may wait.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.is_busy || self.has_made || self.has_copies || self.has_handshakes {
            return Some(Duration::ZERO);
        }
        let deadline = self.relay.poll_timeout()?;
        Some(deadline.saturating_duration_since(now))
    }

    /// Applies some of what control has asked for.
    fn serve_mailbox(&mut self, now: Instant) {
        self.is_busy = false;
        self.mailbox.listen();
        if self.outbox.flush(&self.mailbox) {
            self.apply_commands(now);
            self.outbox.flush(&self.mailbox);
        }
    }

    fn apply_commands(&mut self, now: Instant) {
        self.effort = 0;
        while self.effort < EFFORT_MAX {
            self.effort += 1;
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

    /// A short reply leaves with the others of this turn; the link sends the others.
    fn reply(&mut self, progress: Progress) {
        let is_short = progress.is_short();
        let (from, reply) = progress.finish();
        let message = FromRelay::Reply(reply);
        if is_short {
            self.outbox.push(from, &message, &self.mailbox);
        } else {
            let connection = from.connection;
            self.mailbox.say(Outgoing::Reply {
                connection,
                message,
            });
        }
    }

    fn next_request(&self) -> Option<Progress> {
        self.mailbox.take().map(Progress::new)
    }

    /// Applies one command. Says whether it has to wait for a socket to close.
    fn step(&mut self, now: Instant, progress: &mut Progress, command: Command) -> bool {
        let ending = Ending::of(&command);
        progress.note_command(&command);
        let result = match self.relay.handle_command(now, command, progress.room()) {
            Ok(Outcome::Bind {
                socket,
                port,
                tos,
                is_bound,
            }) => self.bind(socket, port, tos, is_bound),
            Ok(Outcome::Done(answer)) => Ok(self.complete(answer)),
            Ok(Outcome::Treat {
                target,
                transcoding,
            }) => {
                // A new call learns only with the answer what is to become of its media.
                let kind = match progress.has_created(target.call) {
                    true => Taking::Restored,
                    false => Taking::New,
                };
                let transcoding = transcoding.as_ref();
                let treatment = self.transcoder.treat(target, transcoding, kind);
                self.relay.handle_treated(target, treatment)
            }
            Ok(Outcome::Play {
                call,
                port,
                socket,
                play,
            }) => self.play(now, (call, port, socket), play.as_ref()),
            Ok(Outcome::Later(command)) => {
                progress.put_back(command);
                return true;
            }
            Err(error) => Err(error),
        };
        if let (Ok(_), Some(ending)) = (&result, ending) {
            self.transcoder.end(ending);
        }
        progress.note(result);
        false
    }

    /// Has something played, or nothing any more.
    fn play(
        &mut self,
        now: Instant,
        place: (CallKey, Port, SocketId),
        play: Option<&Play>,
    ) -> Result<Answer, CommandError> {
        let (call, _, socket) = place;
        let Some(play) = play else {
            self.relay.handle_playing(call, socket, false);
            return Ok(Answer::Played(self.transcoder.stop_playing(socket)));
        };
        let result = self.transcoder.play(now, place, play);
        result.map_err(CommandError::Refused)?;
        self.relay.handle_playing(call, socket, play.is_alone);
        Ok(Answer::Done)
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
        self.effort += OPEN_EFFORT;
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
            let unsent = ("copies_unsent", self.copier.unsent());
            let counters = counters.chain([leases, driver, unsent]);
            let counters = counters.chain(self.transcoder.counters());
            let counters = counters.chain(self.shaker.counters());
            stats
                .counters
                .extend(counters.map(|(name, count)| (name.to_owned(), count)));
        }
        if let Answer::Call(stats) = &mut answer {
            self.transcoder.complete(stats);
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

    /// Sends some of what codec threads have made.
    fn send_made(&mut self, now: Instant) {
        self.has_made = false;
        for _ in 0..MADE_MAX {
            let Some(made) = self.transcoder.poll_made() else {
                return;
            };
            if made.is_played() {
                self.send_played(now, made);
                continue;
            }
            let (relay, bytes) = (&mut self.relay, made.bytes());
            let verdict = relay.handle_made(made.flow(), made.kind(), bytes);
            send_copies(relay, &mut self.copier, bytes);
            self.desk.send(relay, &mut self.io, verdict, bytes);
            self.transcoder.give_back(made);
        }
        // They are not announced again.
        self.has_made = true;
    }

    /// Sends a packet of a sound. An empty one says that there are no more.
    fn send_played(&mut self, now: Instant, made: Box<Parcel>) {
        let (socket, bytes) = (made.flow(), made.bytes());
        if let Some(call) = self.transcoder.note_leaving(now, socket, bytes) {
            self.relay.handle_playing(call, socket, false);
        }
        if !bytes.is_empty() {
            let verdict = self.relay.handle_played(now, socket, bytes);
            self.desk
                .send(&mut self.relay, &mut self.io, verdict, bytes);
        }
        self.transcoder.give_back(made);
    }

    /// Sends some of the copies that are to leave from here.
    fn let_copies_out(&mut self) {
        self.has_copies = false;
        for _ in 0..COPIES_MAX {
            let Some(parcel) = self.copier.take() else {
                return;
            };
            let bytes = parcel.bytes();
            let verdict = self.relay.handle_copy(&parcel.label, bytes);
            self.desk
                .send(&mut self.relay, &mut self.io, verdict, bytes);
            self.copier.give_back(parcel);
        }
        // Nor are these.
        self.has_copies = true;
    }

    /// Installs keys that handshakes gave, and sends what belongs to some.
    fn serve_handshakes(&mut self) {
        let (relay, io) = (&mut self.relay, &mut self.io);
        let send = |egress, bytes: &[u8]| io.send(egress, bytes);
        self.has_handshakes = self.shaker.serve(relay, send);
    }

    /// Sends what opens NATs, and what finds peers.
    fn send_transmits(&mut self) {
        while let Some(transmit) = self.relay.poll_transmit() {
            self.io.send(transmit.egress(), transmit.bytes());
        }
    }

    /// Sends the relay's own reports.
    fn send_reports(&mut self) {
        while let Some(report) = self.relay.poll_report() {
            self.io.send(report.egress(), report.bytes());
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

/// Sends the copies of a packet that was just handed in to who lets them out.
#[inline]
fn send_copies(relay: &mut Relay, copier: &mut Copier, packet: &[u8]) {
    while let Some(copy) = relay.poll_copy() {
        let len = packet.len().min(copy.len.into());
        copier.send(copy, &packet[..len]);
    }
}

#[cfg(test)]
mod tests;
