//! The limit of open files: every endpoint is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no endpoints: sockets, rings, eventfds, logs, and some to spare.
const FILES_APART: u64 = 128;

/// Raises the limit so that `endpoints` fit, as far as the system lets us. Returns how many do.
#[must_use]
pub(crate) fn make_room(endpoints: u64) -> u64 {
    let needed = endpoints + FILES_APART;
    let limit = getrlimit(Resource::Nofile);
    if is_enough(limit.current, needed) {
        return endpoints;
    }
    let mut attempts = vec![limit.maximum.map_or(needed, |maximum| maximum.min(needed))];
    if !is_enough(limit.maximum, needed) {
        // Only a privileged process may go beyond the hard limit.
        attempts.insert(0, needed);
    }
    for current in attempts {
        let maximum = limit.maximum.map(|maximum| maximum.max(current));
        let raised = Rlimit {
            current: Some(current),
            maximum,
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            break;
        }
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    current.saturating_sub(FILES_APART).min(endpoints)
}

/// No limit is enough, too.
fn is_enough(limit: Option<u64>, needed: u64) -> bool {
    limit.is_none_or(|limit| limit >= needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_need_is_always_met() {
        assert_eq!(make_room(16), 16);
    }

    #[test]
    fn what_cannot_be_is_cut_down() {
        let room = make_room(u64::from(u32::MAX) * 16);
        assert!(room > 0 && room < u64::from(u32::MAX) * 16);
    }
}
