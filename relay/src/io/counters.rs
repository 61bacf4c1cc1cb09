//! What happens in a driver and is no affair of a call.

use std::io;

/// Counters of one driver. All grow only.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counters {
    /// Turns of the loop: packets by turns is the size of a batch.
    pub(crate) turns: u64,
    /// Turns that waited for company of the first packet.
    pub(crate) turns_in_company: u64,
    /// Times that the completions did not fit and the kernel had to keep them.
    pub(crate) completions_overflown: u64,
    /// Receives that ended since all buffers were in use; they were armed again.
    pub(crate) receives_starved: u64,
    /// Receives that failed for another reason; they were armed again.
    pub(crate) receives_failed: u64,
    /// Datagrams longer than a buffer, dropped.
    pub(crate) receives_truncated: u64,
    /// Datagrams that the kernel described in a way we do not understand, dropped.
    pub(crate) receives_malformed: u64,
    /// Datagrams that the kernel dropped since the queue of their socket was full: as far as is
    /// known, since the kernel says so with the next datagram of the socket.
    pub(crate) receives_overflown: u64,
    /// Times that a socket brought more than any stream does and was left alone for some
    /// milliseconds.
    pub(crate) sockets_rested: u64,
    /// Packets dropped since the socket's send queue, or the device's, was full.
    pub(crate) sends_full: u64,
    /// Packets that no route leads for, or that a firewall forbids.
    pub(crate) sends_unreachable: u64,
    /// Packets that were too long for the path.
    pub(crate) sends_too_long: u64,
    /// Packets that could not be sent for another reason.
    pub(crate) sends_failed: u64,
    /// Sockets that could not be taken out of their slots: a bug if it is not 0.
    pub(crate) closes_failed: u64,
}

impl Counters {
    /// All of them, with their labels.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("turns", self.turns),
            ("turns_in_company", self.turns_in_company),
            ("completions_overflown", self.completions_overflown),
            ("receives_starved", self.receives_starved),
            ("receives_failed", self.receives_failed),
            ("receives_truncated", self.receives_truncated),
            ("receives_malformed", self.receives_malformed),
            ("receives_overflown", self.receives_overflown),
            ("sockets_rested", self.sockets_rested),
            ("sends_full", self.sends_full),
            ("sends_unreachable", self.sends_unreachable),
            ("sends_too_long", self.sends_too_long),
            ("sends_failed", self.sends_failed),
            ("closes_failed", self.closes_failed),
        ]
        .into_iter()
    }

    /// Counts packets that were not sent. Nothing else is done about them: RTP is made for loss.
    pub(super) fn count_unsent(&mut self, error: &io::Error, packets: u64) {
        let counter = match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => &mut self.sends_full,
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::ECONNREFUSED
                | libc::EPERM
                | libc::EACCES,
            ) => &mut self.sends_unreachable,
            Some(libc::EMSGSIZE) => &mut self.sends_too_long,
            _ => &mut self.sends_failed,
        };
        *counter += packets;
    }
}
