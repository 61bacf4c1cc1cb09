//! Signalling: registrations and calls at a rate, through any SIP server over UDP.
//!
//! ```text
//! Caller ──REGISTER, INVITE, ACK, BYE──► server ──► Answerer
//!   ▲                                      │           │
//!   └────────────── 180, 200 ──────────────┴───────────┘
//! ```
//!
//! Both sides are ours, cores without I/O that one thread drives. They share a socket, as they do in a
//! phone: a registrar that expects NAT calls back where a registration came from. Messages are written and parsed
//! by `sip-proxy-message`; transactions follow RFC 3261 §17, with its timers.

mod answerer;
mod caller;
mod digest;
mod options;
mod report;
mod tally;
#[cfg(test)]
mod tests;
mod timers;
mod transaction;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sip_proxy_message::Contacts;
use socket2::SockAddr;

use crate::datagram::{BATCH_MAX, ReceiveBatch, SendBatch};
use crate::watch::Watch;
use crate::{LoadError, Machine, socket};
use answerer::Answerer;
use caller::Caller;
pub use options::{
    CALLS_AT_A_TIME_MAX, COUNT_MAX, DURATION_MAX_S, Mode, Options, RATE_MAX, USERS_MAX,
};
use report::Findings;
pub use report::{Asked, Report};
use tally::Tally;

/// Registrations per second of the accounts that take part in calls.
const REGISTER_RATE: u32 = 1_000;

/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 8_192;

/// The longest sleep, so that a stop is soon noticed.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Time since the load began.
    pub elapsed: Duration,
    /// Begun so far.
    pub begun: u64,
    /// Done so far.
    pub done: u64,
}

/// Registers the accounts if there are to be calls, makes the load, ends what is left, and
/// reports.
///
/// # Errors
///
/// When options are out of bounds, the server is not permitted, or an account cannot be
/// registered.
pub fn run(
    options: &Options,
    stop: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> Result<Report, LoadError> {
    options.check()?;
    let watch = Watch::new(&options.watch, &options.watch_cores)?;
    if let Some(id) = options.core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
    let run = getrandom::u32().map_err(|error| LoadError::Option(error.to_string()))?;
    let mut driver = Driver::new(options, run)?;
    if options.mode == Mode::Calls {
        driver.register_all(stop, false)?;
    }
    driver.caller.tally = Tally::default();
    let machine = Machine::read();
    let begun_at = Instant::now();
    let from = watch.sample();
    driver.load(stop, &mut progress);
    let to = watch.sample();
    let elapsed_s = begun_at.elapsed().as_secs_f64();
    driver.finish();
    let mut tally = std::mem::take(&mut driver.caller.tally);
    tally.dropped_here = u64::from(driver.dropped);
    let findings = Findings {
        machine,
        elapsed_s,
        processes: watch.processes(&from, &to),
        cores: watch.cores(&from, &to),
        is_stopped: stop.load(Ordering::Relaxed),
    };
    // Nothing is left behind at the server, whether or not that works.
    let _ = driver.register_all(&AtomicBool::new(false), true);
    Ok(Report::new(options, &tally, findings))
}

/// The two sides and their socket.
struct Driver<'a> {
    options: &'a Options,
    caller: Caller<'a>,
    answerer: Answerer,
    socket: UdpSocket,
    send: SendBatch,
    receive: ReceiveBatch,
    dropped: u32,
}

impl<'a> Driver<'a> {
    fn new(options: &'a Options, run: u32) -> Result<Self, LoadError> {
        let local = crate::local_address_towards(options.server)?;
        let socket = socket::bind(local).map_err(LoadError::system(format!("bind to {local}")))?;
        let local = socket
            .local_addr()
            .map_err(LoadError::system("ask for a socket's address"))?;
        Ok(Self {
            options,
            caller: Caller::new(options, run, local),
            answerer: Answerer::new(run, local, options.ring),
            socket,
            send: SendBatch::new(DATAGRAM_BYTES_MAX),
            receive: ReceiveBatch::new(DATAGRAM_BYTES_MAX),
            dropped: 0,
        })
    }

    /// Registers all accounts, or ends their registrations.
    fn register_all(&mut self, stop: &AtomicBool, is_end: bool) -> Result<(), LoadError> {
        let start = Instant::now();
        let gap = Duration::from_secs(1) / REGISTER_RATE;
        let mut begun = 0;
        while begun < self.options.users || self.caller.busy() > 0 {
            if stop.load(Ordering::Relaxed) {
                return Err(LoadError::Stopped);
            }
            let now = Instant::now();
            while begun < self.options.users && now >= start + gap * begun {
                self.caller.register(now, begun, is_end);
                begun += 1;
            }
            self.turn((begun < self.options.users).then(|| start + gap * begun));
        }
        match self.caller.tally.failures.iter().next() {
            Some((status, count)) if !is_end => Err(LoadError::Refused {
                server: self.options.server,
                what: format!("{count} of {} registrations", self.options.users),
                reason: match status {
                    0 => "no answer".to_owned(),
                    status => {
                        format!("status {status}; do the accounts exist, with this password?")
                    }
                },
            }),
            _ => Ok(()),
        }
    }

    /// Begins what is due until the time is over, then waits for what is not done.
    fn load(&mut self, stop: &AtomicBool, progress: &mut impl FnMut(Progress)) {
        let start = Instant::now();
        let end = start + self.options.duration;
        let gap = Duration::from_secs(1) / self.options.rate;
        let mut next = start;
        let mut told_at = start;
        let mut index = 0_u32;
        while Instant::now() < end && !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            while next <= now && next < end {
                self.begin(now, index);
                let lateness = u64::try_from((now - next).as_nanos()).unwrap_or(u64::MAX);
                let tally = &mut self.caller.tally;
                tally.lateness_ns.saturating_record(lateness.max(1));
                index = index.wrapping_add(1);
                next += gap;
            }
            self.turn(Some(next));
            if now >= told_at {
                told_at = now + Duration::from_millis(50);
                progress(self.progress(start));
            }
        }
        let is_stopped = stop.load(Ordering::Relaxed);
        let drain = self.options.drain
            + if is_stopped {
                Duration::ZERO
            } else {
                self.options.hold
            };
        let until = Instant::now() + drain;
        while self.caller.busy() > 0 && Instant::now() < until {
            if stop.load(Ordering::Relaxed) {
                self.caller.hang_up(Instant::now());
            }
            self.turn(None);
        }
    }

    fn begin(&mut self, now: Instant, index: u32) {
        let users = self.options.users;
        match self.options.mode {
            Mode::Registrations => self.caller.register(now, index % users, false),
            Mode::Calls => {
                let from = index % users;
                self.caller.call(now, from, (from + 1) % users);
            }
        }
    }

    fn progress(&self, start: Instant) -> Progress {
        let tally = &self.caller.tally;
        Progress {
            elapsed: start.elapsed(),
            begun: tally.calls_begun + tally.registrations_begun,
            done: tally.calls_done + tally.registrations_done,
        }
    }

    /// Ends the calls that are still up; those that do not end have failed.
    fn finish(&mut self) {
        let until = Instant::now() + Duration::from_secs(1);
        while self.caller.busy() > 0 && Instant::now() < until {
            self.caller.hang_up(Instant::now());
            self.turn(None);
        }
        self.caller.give_up();
    }

    /// Sends what is to be sent, sleeps until something happens, and hears what arrived.
    fn turn(&mut self, wake_at: Option<Instant>) {
        self.flush();
        let timeouts = [
            wake_at,
            self.caller.poll_timeout(),
            self.answerer.poll_timeout(),
        ];
        let now = Instant::now();
        let next = timeouts.into_iter().flatten().min();
        let pause = next.map_or(PAUSE_MAX, |at| at.saturating_duration_since(now));
        if !pause.is_zero() {
            self.sleep(pause.min(PAUSE_MAX));
        }
        self.hear();
        let now = Instant::now();
        self.caller.handle_timeout(now);
        self.answerer.handle_timeout(now, &mut self.caller.tally);
        self.flush();
    }

    fn sleep(&self, pause: Duration) {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: pause.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        // Woken early by a signal is woken.
        let _ = poll(&mut fds, Some(&timeout));
    }

    fn hear(&mut self) {
        // An error is that of an earlier send, which is repeated.
        let socket = self.socket.as_fd();
        let count = self.receive.receive(socket).unwrap_or(0);
        let now = Instant::now();
        for index in 0..count {
            let received = self.receive.get(index);
            if let Some(dropped) = received.control.dropped {
                self.dropped = dropped;
            }
            // Strangers are not heard, nor answered.
            let is_server = |it: &SocketAddr| it.ip() == self.options.server.ip();
            let Some(source) = received.source.filter(is_server) else {
                continue;
            };
            if is_response(received.bytes) {
                self.caller.handle_datagram(now, received.bytes);
            } else {
                let tally = &mut self.caller.tally;
                self.answerer
                    .handle_datagram(now, source, received.bytes, tally);
            }
        }
    }

    fn flush(&mut self) {
        let server = SockAddr::from(self.options.server);
        let requests = std::mem::take(&mut self.caller.out);
        let requests = requests.into_iter().map(|bytes| (server.clone(), bytes));
        self.send_all(requests.collect());
        let responses = std::mem::take(&mut self.answerer.out);
        let responses = responses
            .into_iter()
            .map(|(to, bytes)| (SockAddr::from(to), bytes));
        self.send_all(responses.collect());
    }

    fn send_all(&mut self, datagrams: Vec<(SockAddr, Vec<u8>)>) {
        for run in datagrams.chunks(BATCH_MAX) {
            for (to, bytes) in run {
                self.send.push(Some(to.clone()), |out| {
                    let len = bytes.len().min(out.len());
                    out[..len].copy_from_slice(&bytes[..len]);
                    len
                });
            }
            let failed = &mut self.caller.tally.sends_failed;
            let socket = self.socket.as_fd();
            self.send.send(socket, |_| *failed += 1);
        }
    }
}

/// Responses are for the caller, requests for the answerer.
fn is_response(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"SIP/")
}

/// The Call-ID of an exchange of this run.
fn call_id(key: u64, run: u32) -> String {
    format!("{key}-{run:08x}@load")
}

/// Which exchange of this run a Call-ID is of.
fn key_of(call_id: &[u8], run: u32) -> Option<u64> {
    let text = std::str::from_utf8(call_id).ok()?;
    let (key, rest) = text.split_once('-')?;
    let rest = rest.strip_suffix("@load")?;
    (u32::from_str_radix(rest, 16).ok()? == run).then(|| key.parse().ok())?
}

/// Where a caller says that it receives media: nobody sends there.
fn media_port(key: u64) -> u16 {
    // Below 50,000.
    u16::try_from(40_000 + key % 10_000).unwrap_or(40_000)
}

/// The URI of the first contact.
fn first_contact<'a>(contacts: Contacts<'_, 'a>) -> Option<&'a [u8]> {
    match contacts {
        Contacts::List(mut list) => list.next().map(|it| it.name_addr.uri),
        Contacts::Star => None,
    }
}
