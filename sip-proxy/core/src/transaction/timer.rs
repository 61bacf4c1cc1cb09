//! The timer values of RFC 3261 §17 (table 4 in appendix A).

use std::time::Duration;

/// Estimate of the round trip.
pub(crate) const T1: Duration = Duration::from_millis(500);

/// Longest interval between retransmissions of anything but an INVITE.
pub(crate) const T2: Duration = Duration::from_secs(4);

/// How long a message may stay in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);

/// 64 × T1: how long a request is repeated before it counts as lost (timers B, F, H), and how
/// long what ended is remembered (timers D, J, L, M).
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(32);

/// How long what is over waits for retransmissions: not at all over a reliable transport.
pub(crate) const fn linger(is_reliable: bool, duration: Duration) -> Duration {
    if is_reliable {
        Duration::ZERO
    } else {
        duration
    }
}
