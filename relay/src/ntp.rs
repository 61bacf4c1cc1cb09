//! The time as RTCP tells it (RFC 3550 §4).

use std::time::{SystemTime, UNIX_EPOCH};

/// From the beginning of NTP's time to that of Unix.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// NTP's time: seconds since 1900 and their fraction.
pub(crate) fn ntp_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs().wrapping_add(NTP_TO_UNIX_S) << 32) | fraction
}
