//! Reads the clocks, in one place.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sip_proxy_core::Now;

/// Both clocks, now.
pub(crate) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        unix_ms: unix.map_or(0, |unix| {
            u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
        }),
    }
}
