//! One thread: sends what is due, reads what arrived, and checks it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::arrivals::{Arrival, Arrivals};
use super::io::Io;
use super::schedule::Schedule;
use super::stamp::{Fault, Shape, Stamp};
use super::tally::Tally;
use crate::datagram::Received;

/// Packets that are stamped before they are sent: more would be older than they say.
const RUN_MAX: usize = 16;

/// A pause that is shorter is not worth a sleep.
const PAUSE_MIN_NS: u64 = 60_000;

/// The longest sleep, so that a stop is soon noticed.
const PAUSE_MAX_NS: u64 = 20_000_000;

/// One direction of a call.
#[derive(Debug)]
pub(super) struct Stream {
    /// Which of the two ports it is sent from.
    pub(super) from: usize,
    pub(super) to: SocketAddr,
    /// Which of the two ports it must arrive at.
    pub(super) arrives_at: usize,
    /// Who must have sent it there, if that is known.
    pub(super) arrives_from: Option<SocketAddr>,
    pub(super) sent: u32,
    pub(super) arrivals: Arrivals,
}

/// What one thread does.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) io: Io,
    /// Number of the first stream; the others follow.
    pub(super) first: u32,
    pub(super) streams: Vec<Stream>,
    pub(super) schedule: Schedule,
    pub(super) shape: Shape,
    /// Latency and lateness count from then on, from the start.
    pub(super) measure_from: Duration,
    /// How long to wait for packets after the last one was sent; `None`: nothing is received.
    pub(super) drain: Option<Duration>,
    /// Packets that are due within so many nanoseconds leave together.
    pub(super) gather_ns: u64,
    /// Core to stay on.
    pub(super) core: Option<usize>,
}

/// What all threads of a run share.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) start: Instant,
    /// Ends sending.
    pub(super) stop: &'a AtomicBool,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// A thread at work.
#[derive(Debug)]
struct Worker<'a> {
    work: Work,
    shared: &'a Shared<'a>,
    payload: Vec<u8>,
    measure_from_ns: u64,
    /// Nothing is sent before.
    hold_until_ns: u64,
    /// Packets sent and received that the sums of all threads have in them.
    published: (u64, u64),
    tally: Tally,
}

/// Does the work of one thread.
pub(super) fn run(work: Work, shared: &Shared<'_>) -> Tally {
    if let Some(id) = work.core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
    // Otherwise sleeps are 50 µs longer than asked for. Refused, lateness shows it.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let payload = vec![0x55; work.shape.payload_len];
    let measure_from_ns = now_ns(shared.start + work.measure_from);
    Worker {
        shared,
        payload,
        measure_from_ns,
        hold_until_ns: 0,
        published: (0, 0),
        tally: Tally::default(),
        work,
    }
    .run()
}

impl Worker<'_> {
    fn run(mut self) -> Tally {
        while let Some(due_ns) = self.work.schedule.poll_timeout() {
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
            let sent = self.send_due();
            let received = self.receive_waiting();
            self.publish();
            let next_ns = due_ns.max(self.hold_until_ns);
            let pause_ns = next_ns.saturating_sub(self.elapsed_ns());
            if sent + received == 0 && pause_ns >= PAUSE_MIN_NS {
                self.sleep(pause_ns);
            }
        }
        self.drain();
        self.publish();
        self.tally.skipped = self.work.schedule.skipped();
        self.tally.dropped_here = self.work.io.dropped();
        self.tally
    }

    /// Sends a run of what is due; says how much that was.
    fn send_due(&mut self) -> usize {
        let now_ns = self.elapsed_ns();
        if now_ns < self.hold_until_ns {
            return 0;
        }
        let mut count = 0;
        while count < RUN_MAX
            && let Some(due) = self.work.schedule.poll_due(now_ns)
        {
            self.prepare(due.stream, now_ns - due.at_ns);
            count += 1;
        }
        self.work.io.send(&mut self.tally);
        if count < RUN_MAX && self.work.gather_ns > 0 {
            self.hold_until_ns = (now_ns / self.work.gather_ns + 1) * self.work.gather_ns;
        }
        count
    }

    fn prepare(&mut self, index: usize, lateness_ns: u64) {
        let stream = &mut self.work.streams[index];
        let stamp = Stamp {
            run: self.work.shape.run,
            stream: self.work.first + u32::try_from(index).unwrap_or(u32::MAX),
            number: stream.sent,
            sent_ns: wall_ns(),
        };
        stream.sent = stream.sent.wrapping_add(1);
        if stamp.sent_ns >= self.measure_from_ns {
            self.tally.sent_measured += 1;
            self.tally.lateness_ns.saturating_record(lateness_ns.max(1));
        }
        let (shape, payload) = (&self.work.shape, &mut self.payload);
        let write = |out: &mut [u8]| shape.write(&stamp, payload, out);
        self.work.io.push(index, stream.from, stream.to, write);
    }

    /// Reads what waits at both ports; says how much that was.
    fn receive_waiting(&mut self) -> usize {
        if self.work.drain.is_none() {
            return 0;
        }
        let Work {
            io,
            streams,
            first,
            shape,
            ..
        } = &mut self.work;
        let mut check = Check {
            streams,
            first: *first,
            shape,
            measure_from_ns: self.measure_from_ns,
            tally: &mut self.tally,
        };
        io.receive(|side, received| check.handle(side, received))
    }

    /// Waits for what is still on its way.
    fn drain(&mut self) {
        let Some(patience) = self.work.drain else {
            return;
        };
        let deadline = Instant::now() + patience;
        while self.tally.received < self.tally.sent && Instant::now() < deadline {
            if self.receive_waiting() == 0 {
                self.sleep(PAUSE_MAX_NS);
            }
            self.publish();
        }
        // What comes twice comes soon after.
        self.sleep(PAUSE_MAX_NS);
        self.receive_waiting();
    }

    /// Sleeps until something arrives, or for so long.
    fn sleep(&self, pause_ns: u64) {
        let pause = Duration::from_nanos(pause_ns.min(PAUSE_MAX_NS));
        match self.work.drain {
            Some(_) => self.work.io.wait(pause),
            None => std::thread::sleep(pause),
        }
    }

    /// Adds to the sums of all threads what is new.
    fn publish(&mut self) {
        let now = (self.tally.sent, self.tally.received);
        let new = (now.0 - self.published.0, now.1 - self.published.1);
        self.published = now;
        self.shared.sent.fetch_add(new.0, Ordering::Relaxed);
        self.shared.received.fetch_add(new.1, Ordering::Relaxed);
    }

    fn elapsed_ns(&self) -> u64 {
        let elapsed = self.shared.start.elapsed();
        elapsed.as_nanos().try_into().unwrap_or(u64::MAX)
    }
}

/// Holds datagrams against what was sent.
struct Check<'a> {
    streams: &'a mut [Stream],
    first: u32,
    shape: &'a Shape,
    measure_from_ns: u64,
    tally: &'a mut Tally,
}

impl Check<'_> {
    fn handle(&mut self, side: usize, received: &Received<'_>) {
        let stamp = match self.shape.read(received.bytes) {
            Ok(stamp) if !received.is_truncated => stamp,
            Err(Fault::Foreign) => {
                self.tally.foreign += 1;
                return;
            }
            _ => {
                self.tally.corrupted += 1;
                return;
            }
        };
        let index = stamp.stream.checked_sub(self.first);
        let index = index.and_then(|it| usize::try_from(it).ok());
        let stream = index.and_then(|it| self.streams.get_mut(it));
        let is_right = |it: &&mut Stream| {
            let is_from_it = it.arrives_from.is_none_or(|it| received.source == Some(it));
            it.arrives_at == side && is_from_it
        };
        let Some(stream) = stream.filter(is_right) else {
            self.tally.misdelivered += 1;
            return;
        };
        match stream.arrivals.handle(stamp.number) {
            Arrival::Duplicate => self.tally.duplicated += 1,
            Arrival::Late => self.tally.late += 1,
            arrival => {
                self.tally.received += 1;
                self.tally.reordered += u64::from(arrival == Arrival::Reordered);
                self.time(&stamp, received.control.arrived_ns);
            }
        }
    }

    fn time(&mut self, stamp: &Stamp, arrived_ns: Option<u64>) {
        if stamp.sent_ns >= self.measure_from_ns {
            let latency_ns = arrived_ns.unwrap_or_else(wall_ns);
            let latency_ns = latency_ns.saturating_sub(stamp.sent_ns);
            self.tally.latency_ns.saturating_record(latency_ns.max(1));
        }
    }
}

/// The wall clock, which is also that of the kernel's time stamps.
fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| it.as_nanos().try_into().unwrap_or(u64::MAX))
}

/// A moment of the steady clock, by the wall clock.
fn now_ns(moment: Instant) -> u64 {
    let ahead = moment.saturating_duration_since(Instant::now());
    wall_ns().saturating_add(ahead.as_nanos().try_into().unwrap_or(u64::MAX))
}
