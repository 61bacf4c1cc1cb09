//! What happened to registrations and calls.

use hdrhistogram::Histogram;

use crate::histogram::histogram;

/// What happened.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) registrations_begun: u64,
    pub(super) registrations_done: u64,
    pub(super) calls_begun: u64,
    /// Answered, acknowledged, and ended with a BYE that was answered.
    pub(super) calls_done: u64,
    pub(super) calls_answered: u64,
    /// Whose callee saw another media address than the caller's.
    pub(super) calls_anchored: u64,
    /// Not begun because too many were there.
    pub(super) calls_left_out: u64,
    /// By status; 0 is no answer at all.
    pub(super) failures: std::collections::BTreeMap<u16, u64>,
    pub(super) retransmissions_sent: u64,
    pub(super) retransmissions_received: u64,
    /// A provisional response after a final one.
    pub(super) out_of_order: u64,
    pub(super) challenges: u64,
    pub(super) malformed: u64,
    pub(super) sends_failed: u64,
    /// Datagrams that found our own receive queue full.
    pub(super) dropped_here: u64,
    /// From REGISTER to its final response, challenge included.
    pub(super) register_ns: Histogram<u64>,
    /// From INVITE to the first response other than 100.
    pub(super) ring_ns: Histogram<u64>,
    /// From INVITE to 200, challenge included.
    pub(super) answer_ns: Histogram<u64>,
    /// From BYE to its response.
    pub(super) bye_ns: Histogram<u64>,
    /// From being due to being begun.
    pub(super) lateness_ns: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            registrations_begun: 0,
            registrations_done: 0,
            calls_begun: 0,
            calls_done: 0,
            calls_answered: 0,
            calls_anchored: 0,
            calls_left_out: 0,
            failures: std::collections::BTreeMap::new(),
            retransmissions_sent: 0,
            retransmissions_received: 0,
            out_of_order: 0,
            challenges: 0,
            malformed: 0,
            sends_failed: 0,
            dropped_here: 0,
            register_ns: histogram(),
            ring_ns: histogram(),
            answer_ns: histogram(),
            bye_ns: histogram(),
            lateness_ns: histogram(),
        }
    }
}

impl Tally {
    pub(super) fn fail(&mut self, status: u16) {
        *self.failures.entry(status).or_default() += 1;
    }
}
