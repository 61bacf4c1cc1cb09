//! The link to control: one thread between a `SOCK_SEQPACKET` socket and the mailboxes.
//!
//! ```text
//!            ┌ listener ─► newcomers ─ Hello ─► control ┐
//!  control ──┤                                          ├── mailbox 0 ── worker 0
//!            └ Requests ──────────► ◄── Replies, Events ┘── mailbox 1 ── worker 1
//! ```
//!
//! The link is not woken for short replies: the worker sends them itself, all of a turn together.
//!
//! Control comes and goes; media does not notice. One control is served at a time, and a new one
//! that says a proper `Hello` takes the old one's place: the old one is dead or about to be.
//! Events that nobody is there to hear are dropped, and those that end calls are counted: a control
//! that asks for the calls again (`ListCalls`) is told of their time-outs again.

mod connection;
mod listener;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use relay_wire::{
    CommandError, Event, Failure, FromRelay, Hello, PROTOCOL_VERSION, Refusal, Reply, Request,
    ToRelay, WorkerId,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{info, warn};

use crate::mailbox::{ConnectionId, Incoming, Mailbox, Outgoing};
use crate::transcoding::Sounds;
use crate::wake::Wake;
use connection::{Connection, Receipt};
pub(crate) use listener::Listener;

/// Connections that have not said `Hello` yet.
const NEWCOMERS_MAX: usize = 8;

/// How long they may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests read in one turn, so that replies and newcomers are not kept waiting.
const REQUESTS_PER_TURN_MAX: usize = 64;

/// The link to control.
#[derive(Debug)]
pub(crate) struct Link {
    listener: Listener,
    hello: Hello,
    mailboxes: Vec<Arc<Mailbox>>,
    sounds: Arc<Sounds>,
    wake: Arc<Wake>,
    is_stopping: Arc<AtomicBool>,
    newcomers: Vec<Newcomer>,
    control: Option<Control>,
    connections: u64,
    events_unheard: u64,
}

/// A connection that has not said `Hello` yet.
#[derive(Debug)]
struct Newcomer {
    connection: Connection,
    until: Instant,
}

/// The connection that is served.
#[derive(Debug)]
struct Control {
    connection: Connection,
    /// Read, but the worker's mailbox was full. Nothing more is read until it is not.
    held_back: Option<Request>,
    /// The mailbox that is listened to next: each in turn.
    next_mailbox: usize,
}

/// Who has something for us.
#[derive(Clone, Copy, Debug)]
struct Ready {
    listener: bool,
    wake: bool,
    control: bool,
}

impl Link {
    pub(crate) fn new(
        listener: Listener,
        hello: Hello,
        mailboxes: Vec<Arc<Mailbox>>,
        sounds: Arc<Sounds>,
        wake: Arc<Wake>,
        is_stopping: Arc<AtomicBool>,
    ) -> Self {
        Self {
            listener,
            hello,
            mailboxes,
            sounds,
            wake,
            is_stopping,
            newcomers: Vec::new(),
            control: None,
            connections: 0,
            events_unheard: 0,
        }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    ///
    /// When the system gives no way on.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.is_stopping.load(Ordering::Acquire) {
            let ready = self.wait()?;
            // Each of these asks the system, which has said already for whom it has something.
            if ready.wake {
                self.wake.rest();
            }
            if ready.listener {
                self.accept();
            }
            if !self.newcomers.is_empty() {
                self.greet();
            }
            self.serve_control(ready.control);
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut fds = Vec::with_capacity(3 + self.newcomers.len());
        fds.push(watch(self.listener.as_fd(), PollFlags::IN));
        fds.push(watch(self.wake.as_fd(), PollFlags::IN));
        if let Some(control) = &self.control {
            fds.push(watch(control.connection.as_fd(), control.interest()));
        }
        let newcomers = self.newcomers.iter();
        fds.extend(newcomers.map(|it| watch(it.connection.as_fd(), PollFlags::IN)));
        let deadline = self.newcomers.iter().map(|it| it.until).min();
        let timeout = deadline.map(|it| it.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |index: usize| fds.get(index).is_some_and(|it| !it.revents().is_empty());
        Ok(Ready {
            listener: is_ready(0),
            wake: is_ready(1),
            control: self.control.is_some() && is_ready(2),
        })
    }

    fn accept(&mut self) {
        while self.newcomers.len() < NEWCOMERS_MAX {
            match self.listener.accept() {
                Ok(Some(socket)) => {
                    self.connections += 1;
                    let id = ConnectionId(self.connections);
                    self.newcomers.push(Newcomer {
                        connection: Connection::new(id, socket),
                        until: Instant::now() + HELLO_TIMEOUT,
                    });
                }
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "cannot accept a connection of control");
                    return;
                }
            }
        }
    }

    /// Hears what newcomers have to say.
    fn greet(&mut self) {
        let now = Instant::now();
        for mut newcomer in std::mem::take(&mut self.newcomers) {
            match newcomer.connection.receive() {
                Receipt::Message(ToRelay::Hello { version }) => {
                    self.welcome(newcomer.connection, version);
                }
                Receipt::Nothing if now < newcomer.until => self.newcomers.push(newcomer),
                Receipt::Nothing => warn!("a connection said nothing for too long"),
                // A relay that looks whether another one is alive.
                Receipt::Closed => {}
                Receipt::Message(_) | Receipt::Malformed => {
                    // Perhaps a control whose version cannot even say so.
                    newcomer.connection.refuse(PROTOCOL_VERSION);
                    warn!("a connection did not begin with a greeting");
                }
            }
        }
    }

    fn welcome(&mut self, mut connection: Connection, version: u16) {
        if version != PROTOCOL_VERSION {
            connection.refuse(PROTOCOL_VERSION);
            warn!(
                version,
                expected = PROTOCOL_VERSION,
                "control speaks another version: run the control of the same release"
            );
            return;
        }
        connection.queue(&FromRelay::Hello(self.hello.clone()));
        if !connection.flush() {
            return;
        }
        let id = connection.id().0;
        match self.control {
            None => info!(connection = id, "control is here"),
            Some(_) => info!(connection = id, "another control takes over"),
        }
        self.sounds.forget_all();
        self.control = Some(Control {
            connection,
            held_back: None,
            next_mailbox: 0,
        });
    }

    /// Passes requests in and replies out.
    fn serve_control(&mut self, is_ready: bool) {
        let Some(mut control) = self.control.take() else {
            self.drop_unheard();
            return;
        };
        let has_requests =
            is_ready || control.held_back.is_some() || control.connection.has_unread();
        let is_alive = control.pass_replies(&self.mailboxes)
            && (!has_requests || control.pass_requests(&self.mailboxes, &self.sounds));
        if is_alive {
            self.control = Some(control);
        } else {
            let id = control.connection.id().0;
            info!(connection = id, "control is gone; media goes on");
            self.drop_unheard();
        }
    }

    /// Nobody is connected: replies have lost whom they were for, and events come again.
    fn drop_unheard(&mut self) {
        let unheard = self.mailboxes.iter();
        let unheard = unheard.flat_map(|it| std::iter::from_fn(|| it.hear()));
        let events = unheard.filter(ends_call).count();
        if events > 0 {
            self.events_unheard += events as u64;
            warn!(
                events,
                total = self.events_unheard,
                "calls timed out while control was away; it is told again when it asks"
            );
        }
    }
}

impl Control {
    /// What to wait for.
    fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        // Closing is always noticed (poll(2): POLLHUP is ignored in events).
        interest.set(PollFlags::IN, self.held_back.is_none());
        interest.set(PollFlags::OUT, self.connection.is_blocked());
        interest
    }

    /// Passes on what the workers say, as far as control takes it. Says whether it is alive.
    fn pass_replies(&mut self, mailboxes: &[Arc<Mailbox>]) -> bool {
        loop {
            if !self.connection.flush() {
                return false;
            }
            if self.connection.is_blocked() {
                return true;
            }
            let Some((worker, outgoing)) = self.hear(mailboxes) else {
                return true;
            };
            match outgoing {
                Outgoing::Event(event) => {
                    self.connection.queue(&FromRelay::Event { worker, event });
                }
                Outgoing::Reply {
                    connection,
                    message,
                } if connection == self.connection.id() => self.connection.queue(&message),
                Outgoing::Replies { connection, packet } if connection == self.connection.id() => {
                    self.connection.queue_packet(packet);
                }
                // To the control before this one.
                Outgoing::Reply { .. } | Outgoing::Replies { .. } => {}
            }
        }
    }

    /// Takes from the mailboxes in turn.
    fn hear(&mut self, mailboxes: &[Arc<Mailbox>]) -> Option<(WorkerId, Outgoing)> {
        for _ in mailboxes {
            let index = self.next_mailbox;
            self.next_mailbox = (index + 1) % mailboxes.len();
            if let Some(outgoing) = mailboxes[index].hear() {
                let worker = WorkerId(u8::try_from(index).unwrap_or(u8::MAX));
                return Some((worker, outgoing));
            }
        }
        None
    }

    /// Reads requests and hands them to the workers. Says whether control is alive.
    fn pass_requests(&mut self, mailboxes: &[Arc<Mailbox>], sounds: &Sounds) -> bool {
        let mut requests = 0;
        // What has been read is passed on: there is nothing to wait for then.
        while requests < REQUESTS_PER_TURN_MAX || self.connection.has_unread() {
            requests += 1;
            if self.connection.is_blocked() {
                // Who does not read answers gets no more of them.
                return true;
            }
            let request = match self.held_back.take() {
                Some(request) => request,
                None => match self.connection.receive() {
                    Receipt::Message(ToRelay::Request(request)) => request,
                    Receipt::Message(ToRelay::Sound(piece)) => {
                        sounds.add(&piece);
                        continue;
                    }
                    Receipt::Message(ToRelay::ForgetSound(sound)) => {
                        sounds.forget(sound);
                        continue;
                    }
                    Receipt::Nothing => return true,
                    Receipt::Closed => return false,
                    Receipt::Malformed | Receipt::Message(ToRelay::Hello { .. }) => {
                        warn!("control sent what is no request");
                        return false;
                    }
                },
            };
            let Some(mailbox) = mailboxes.get(usize::from(request.worker.0)) else {
                self.refuse(request.id);
                if !self.connection.flush() {
                    return false;
                }
                continue;
            };
            let incoming = Incoming {
                from: self.connection.reply_to(),
                request,
            };
            if let Err(incoming) = mailbox.ask(incoming) {
                self.held_back = Some(incoming.request);
                return true;
            }
        }
        true
    }

    /// There is no such worker.
    fn refuse(&mut self, id: u32) {
        self.connection.queue(&FromRelay::Reply(Reply {
            id,
            answers: Vec::new(),
            failure: Some(Failure {
                index: 0,
                error: CommandError::Refused(Refusal::WrongWorker),
            }),
        }));
    }
}

/// What comes thousands of times a second is not worth a line in the log.
fn ends_call(outgoing: &Outgoing) -> bool {
    match outgoing {
        Outgoing::Event(event) => match event {
            Event::FirstPacketTimeout { .. } | Event::MediaTimeout { .. } => true,
            Event::Key { .. } | Event::Report { .. } => false,
        },
        Outgoing::Reply { .. } | Outgoing::Replies { .. } => false,
    }
}

fn watch(fd: BorrowedFd<'_>, interest: PollFlags) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, interest)
}

#[cfg(test)]
mod tests {
    use relay_wire::{CallKey, InterfaceId, Key, Port, Report};

    use super::*;

    #[test]
    fn keys_and_reports_that_nobody_hears_are_no_calls_that_timed_out() {
        let call = CallKey(1);
        let ingress = Port {
            interface: InterfaceId(0),
            number: 30_000,
        };
        let key = Key {
            code: 5,
            volume: 10,
            duration_ms: 100,
            source: "192.0.2.1".parse().unwrap(),
        };
        let report = Report {
            source: "192.0.2.1:4001".parse().unwrap(),
            ssrc: 7,
            sender: None,
            reception: None,
        };
        let ends = [
            Event::MediaTimeout { call },
            Event::FirstPacketTimeout { call },
            Event::Key { call, ingress, key },
            Event::Report {
                call,
                ingress,
                report,
            },
        ];
        let ends = ends.map(|it| ends_call(&Outgoing::Event(it)));
        assert_eq!(ends, [true, true, false, false]);
    }
}
