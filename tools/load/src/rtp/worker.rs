//! One thread: sends what is due, reads what arrived, and checks it.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockAddr;

use super::arrivals::{Arrival, Arrivals};
use super::schedule::Schedule;
use super::stamp::{Fault, Shape, Stamp};
use super::tally::Tally;
use crate::datagram::{BATCH_MAX, ReceiveBatch, Received, SendBatch};

/// Packets that are stamped before they are sent: more would be older than they say.
const RUN_MAX: usize = 16;

/// Batches that are read before it is looked again at what is due.
const READS_MAX: usize = 4;

/// A pause that is shorter is not worth a sleep.
const PAUSE_MIN_NS: u64 = 60_000;

/// The longest sleep, so that a stop is soon noticed.
const PAUSE_MAX_NS: u64 = 20_000_000;

/// Bytes beyond the packets that we send, so that longer ones show.
const LEN_SPARE: usize = 64;

/// One direction of a call.
#[derive(Debug)]
pub(super) struct Stream {
    /// Which of the two sockets it is sent from.
    pub(super) from: usize,
    pub(super) to: SockAddr,
    /// Which of the two sockets it must arrive at.
    pub(super) arrives_at: usize,
    /// Who must have sent it there, if that is known.
    pub(super) arrives_from: Option<SocketAddr>,
    pub(super) sent: u32,
    pub(super) arrivals: Arrivals,
}

/// What one thread does.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) sockets: [UdpSocket; 2],
    /// Number of the first stream; the others follow.
    pub(super) first: u32,
    pub(super) streams: Vec<Stream>,
    pub(super) schedule: Schedule,
    pub(super) shape: Shape,
    /// Latency and lateness count from then on, from the start.
    pub(super) measure_from: Duration,
    /// How long to wait for packets after the last one was sent; `None`: nothing is received.
    pub(super) drain: Option<Duration>,
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
    sends: [SendBatch; 2],
    receive: ReceiveBatch,
    payload: Vec<u8>,
    /// The count of each socket, as the kernel said last.
    dropped: [u32; 2],
    measure_from_ns: u64,
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
    let len = work.shape.packet_len();
    let payload = vec![0x55; work.shape.payload_len];
    let measure_from_ns = now_ns(shared.start + work.measure_from);
    Worker {
        shared,
        sends: [SendBatch::new(len), SendBatch::new(len)],
        receive: ReceiveBatch::new(len + LEN_SPARE),
        payload,
        dropped: [0; 2],
        measure_from_ns,
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
            let pause_ns = due_ns.saturating_sub(self.elapsed_ns());
            if sent + received == 0 && pause_ns >= PAUSE_MIN_NS {
                self.sleep(pause_ns);
            }
        }
        self.drain();
        self.publish();
        self.tally.skipped = self.work.schedule.skipped();
        self.tally.dropped_here = self.dropped.iter().copied().map(u64::from).sum();
        self.tally
    }

    /// Sends a run of what is due; says how much that was.
    fn send_due(&mut self) -> usize {
        let now_ns = self.elapsed_ns();
        let mut count = 0;
        while count < RUN_MAX
            && let Some(due) = self.work.schedule.poll_due(now_ns)
        {
            self.prepare(due.stream, now_ns - due.at_ns);
            count += 1;
        }
        for side in 0..2 {
            if !self.sends[side].is_empty() {
                let tally = &mut self.tally;
                let socket = self.work.sockets[side].as_fd();
                let taken = self.sends[side].send(socket, |error| tally.count_unsent(error));
                tally.sent += u64::try_from(taken).unwrap_or(0);
            }
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
        self.sends[stream.from].push(&stream.to, |out| shape.write(&stamp, payload, out));
    }

    /// Reads what waits at both sockets; says how much that was.
    fn receive_waiting(&mut self) -> usize {
        if self.work.drain.is_none() {
            return 0;
        }
        (0..2).map(|side| self.receive_at(side)).sum()
    }

    fn receive_at(&mut self, side: usize) -> usize {
        let mut all = 0;
        for _ in 0..READS_MAX {
            // An error is that of an earlier send, which is counted as lost.
            let socket = self.work.sockets[side].as_fd();
            let count = self.receive.receive(socket).unwrap_or(0);
            let read_ns = wall_ns();
            for index in 0..count {
                let received = self.receive.get(index);
                if let Some(dropped) = received.control.dropped {
                    self.dropped[side] = dropped;
                }
                check(&mut self.work, &mut self.tally, side, &received, |stamp| {
                    let arrived_ns = received.control.arrived_ns.unwrap_or(read_ns);
                    (stamp.sent_ns >= self.measure_from_ns)
                        .then(|| arrived_ns.saturating_sub(stamp.sent_ns))
                });
            }
            all += count;
            if count < BATCH_MAX {
                break;
            }
        }
        all
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
        let pause_ns = pause_ns.min(PAUSE_MAX_NS);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: pause_ns.try_into().unwrap_or(0),
        };
        let [a, b] = &self.work.sockets;
        let mut fds = [PollFd::new(a, PollFlags::IN), PollFd::new(b, PollFlags::IN)];
        let fds = match self.work.drain {
            Some(_) => &mut fds[..],
            None => &mut [],
        };
        // Woken early by a signal is woken.
        let _ = poll(fds, Some(&timeout));
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

/// Holds a datagram against what was sent. `latency` says what to record, if anything.
fn check(
    work: &mut Work,
    tally: &mut Tally,
    side: usize,
    received: &Received<'_>,
    latency: impl FnOnce(&Stamp) -> Option<u64>,
) {
    let stamp = match work.shape.read(received.bytes) {
        Ok(stamp) if !received.is_truncated => stamp,
        Err(Fault::Foreign) => {
            tally.foreign += 1;
            return;
        }
        _ => {
            tally.corrupted += 1;
            return;
        }
    };
    let index = stamp.stream.checked_sub(work.first);
    let index = index.and_then(|it| usize::try_from(it).ok());
    let Some(stream) = index.and_then(|it| work.streams.get_mut(it)) else {
        tally.misdelivered += 1;
        return;
    };
    let is_from_it = stream
        .arrives_from
        .is_none_or(|it| received.source == Some(it));
    if stream.arrives_at != side || !is_from_it {
        tally.misdelivered += 1;
        return;
    }
    match stream.arrivals.handle(stamp.number) {
        Arrival::Duplicate => tally.duplicated += 1,
        Arrival::Late => tally.late += 1,
        arrival => {
            tally.received += 1;
            tally.reordered += u64::from(arrival == Arrival::Reordered);
            if let Some(latency_ns) = latency(&stamp) {
                tally.latency_ns.saturating_record(latency_ns.max(1));
            }
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
