//! What one thread counted, and how the counts of several are joined.

use std::io;

use hdrhistogram::Histogram;

use crate::histogram::histogram;

/// What one thread counted.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Packets that the kernel took from us.
    pub(crate) sent: u64,
    /// Of these, sent after the warm-up.
    pub(crate) sent_measured: u64,
    /// Packets that arrived, each once.
    pub(crate) received: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicated: u64,
    pub(crate) late: u64,
    pub(crate) corrupted: u64,
    pub(crate) misdelivered: u64,
    pub(crate) foreign: u64,
    /// Sends that failed because a queue of this host was full.
    pub(crate) sends_full: u64,
    /// Frames that the link, or who is at its other end, had no room for; counted as sent.
    pub(crate) link_full: u64,
    /// Sends that failed for other reasons, above all that nobody listens.
    pub(crate) sends_refused: u64,
    /// Packets that were never sent because the schedule was too far behind.
    pub(crate) skipped: u64,
    /// Packets that found our own receive queue full.
    pub(crate) dropped_here: u64,
    /// Packets that found the system's queue for one of our cores full.
    pub(crate) backlog_full: u64,
    /// From sending to arrival, after the warm-up.
    pub(crate) latency_ns: Histogram<u64>,
    /// From being due to being sent, after the warm-up.
    pub(crate) lateness_ns: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            sent: 0,
            sent_measured: 0,
            received: 0,
            reordered: 0,
            duplicated: 0,
            late: 0,
            corrupted: 0,
            misdelivered: 0,
            foreign: 0,
            sends_full: 0,
            link_full: 0,
            sends_refused: 0,
            skipped: 0,
            dropped_here: 0,
            backlog_full: 0,
            latency_ns: histogram(),
            lateness_ns: histogram(),
        }
    }
}

impl Tally {
    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.sent_measured += other.sent_measured;
        self.received += other.received;
        self.reordered += other.reordered;
        self.duplicated += other.duplicated;
        self.late += other.late;
        self.corrupted += other.corrupted;
        self.misdelivered += other.misdelivered;
        self.foreign += other.foreign;
        self.sends_full += other.sends_full;
        self.link_full += other.link_full;
        self.sends_refused += other.sends_refused;
        self.skipped += other.skipped;
        self.dropped_here += other.dropped_here;
        self.backlog_full += other.backlog_full;
        for (sum, part) in [
            (&mut self.latency_ns, &other.latency_ns),
            (&mut self.lateness_ns, &other.lateness_ns),
        ] {
            // All histograms have the same bounds, so that this cannot fail.
            let _ = sum.add(part);
        }
    }

    /// Counts a frame that was not delivered.
    pub(crate) fn count_unlinked(&mut self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::ENOBUFS) => {
                self.sent += 1;
                self.link_full += 1;
            }
            _ => self.count_unsent(error),
        }
    }

    /// Counts a packet that could not be sent.
    pub(crate) fn count_unsent(&mut self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => self.sends_full += 1,
            _ => self.sends_refused += 1,
        }
    }
}
