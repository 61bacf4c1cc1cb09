//! Refuses credentials that were used before (RFC 7616 §3.4, nonce count).
//!
//! Requests of one phone may overtake each other, so each nonce has a window of counts. Memory is
//! bounded by two generations of nonces: when the younger is full, the older is forgotten, and
//! with it every nonce that was made before its youngest; those are stale from then on.

use std::mem;

use rustc_hash::FxHashMap;

use super::nonce::NonceId;

/// Nonces of one generation.
const GENERATION_LEN_MAX: usize = 65_536;

/// Counts below the highest that may still come.
const WINDOW: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Replays {
    young: FxHashMap<u64, Window>,
    old: FxHashMap<u64, Window>,
    /// Youngest time in [`Self::old`].
    old_unix_ms: Option<u64>,
    young_unix_ms: Option<u64>,
    /// Nonces of this time or before are accepted only if they are still known.
    forgotten_unix_ms: Option<u64>,
}

/// Which counts of a nonce were seen.
#[derive(Clone, Copy, Debug)]
struct Window {
    highest: u32,
    /// Bit `i` stands for `highest - i`.
    seen: u64,
}

impl Replays {
    /// Whether this count of the nonce comes for the first time.
    pub(super) fn accept(&mut self, nonce: NonceId, count: u32) -> bool {
        if let Some(window) = self.young.get_mut(&nonce.salt) {
            return window.accept(count);
        }
        if let Some(window) = self.old.get_mut(&nonce.salt) {
            return window.accept(count);
        }
        if Some(nonce.unix_ms) <= self.forgotten_unix_ms {
            return false;
        }
        if self.young.len() >= GENERATION_LEN_MAX {
            self.age();
        }
        self.young_unix_ms = self.young_unix_ms.max(Some(nonce.unix_ms));
        self.young.insert(
            nonce.salt,
            Window {
                highest: count,
                seen: 1,
            },
        );
        true
    }

    fn age(&mut self) {
        self.forgotten_unix_ms = self.old_unix_ms;
        self.old = mem::take(&mut self.young);
        self.old_unix_ms = self.young_unix_ms.take();
    }
}

impl Window {
    fn accept(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        let is_new = behind < WINDOW && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn nonce(salt: u64) -> NonceId {
        NonceId {
            unix_ms: salt + 1,
            salt,
        }
    }

    #[test]
    fn a_count_is_accepted_once_in_any_order() {
        let mut replays = Replays::default();
        for count in [3, 1, 2, 70, 8] {
            assert!(replays.accept(nonce(1), count), "{count}");
        }
        for count in [1, 2, 3, 70, 8, 5] {
            assert!(!replays.accept(nonce(1), count), "{count}");
        }
        assert!(replays.accept(nonce(1), u32::MAX));
        assert!(replays.accept(nonce(2), 1));
    }

    #[test]
    fn a_forgotten_nonce_is_never_fresh_again() {
        let mut replays = Replays::default();
        let count = 2 * GENERATION_LEN_MAX as u64 + 1;
        for salt in 0..count {
            assert!(replays.accept(nonce(salt), 1));
        }
        assert!(replays.young.len() + replays.old.len() <= 2 * GENERATION_LEN_MAX);
        for salt in [0, 1, count / 2, count - 1] {
            assert!(!replays.accept(nonce(salt), 1), "{salt}");
        }
    }
}
