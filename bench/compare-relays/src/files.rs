//! How many calls a relay can have: every port is an open file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files of a relay that are no ports, and some to spare.
const FILES_APART: u64 = 128;

/// RTP and RTCP, towards both parties.
const FILES_PER_CALL: u64 = 4;

/// As many as 10,000 calls need.
const FILES_WANTED: u64 = 10_000 * FILES_PER_CALL + FILES_APART;

/// Raises the limit of this process, which relays inherit, as far as the system lets us; says how
/// many calls that is enough for.
pub(crate) fn calls_possible() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let attempts = [
        // Only a privileged process may go beyond the hard limit.
        (
            Some(FILES_WANTED),
            limit.maximum.map(|it| it.max(FILES_WANTED)),
        ),
        (limit.maximum, limit.maximum),
    ];
    for (current, maximum) in attempts {
        if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
            break;
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let calls = files.saturating_sub(FILES_APART) / FILES_PER_CALL;
    u32::try_from(calls).unwrap_or(u32::MAX)
}
