//! Replies that were sent, for requests that are sent again.
//!
//! A proxy repeats a request, cookie and all, until a reply comes. The repetition must get the
//! reply of the first, not be carried out again. Cookies alone do not tell requests apart: two
//! proxies, or one that was restarted, may use the same ones.

use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::call::Client;

/// Replies live for one to two of these. Proxies give up after five seconds.
const GENERATION: Duration = Duration::from_secs(30);

/// Replies of one generation.
const REPLIES_MAX: usize = 65_536;

/// Bytes of all replies of one generation.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What was answered lately, and what is being worked on.
#[derive(Debug)]
pub(crate) struct Replies {
    young: FxHashMap<Key, Entry>,
    old: FxHashMap<Key, Entry>,
    young_bytes: usize,
    ends: Option<Instant>,
    hasher: FixedState,
    /// Generations that ended early because they were full.
    pub(crate) overflows: u64,
}

/// Names a request: a hash of who sent it, its cookie and its content. Nobody can steer it, since
/// its key is random; that two requests have the same happens once in centuries of full load.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key(u64);

/// What is known of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    /// The reply will come.
    InWork,
    /// The reply that was sent.
    Sent(Box<[u8]>),
}

impl Replies {
    /// No replies. The seed is random.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            young_bytes: 0,
            ends: None,
            hasher: FixedState::with_seed(seed),
            overflows: 0,
        }
    }

    /// The name of a request.
    pub(crate) fn key(&self, client: Client, datagram: &[u8]) -> Key {
        Key(self.hasher.hash_one((client, datagram)))
    }

    /// What is known of a request; if nothing, it is in work from now on.
    pub(crate) fn begin(&mut self, now: Instant, key: Key) -> Option<&Entry> {
        self.age(now);
        if self.young.contains_key(&key) || self.old.contains_key(&key) {
            return self.young.get(&key).or_else(|| self.old.get(&key));
        }
        self.young.insert(key, Entry::InWork);
        None
    }

    /// Keeps the reply.
    pub(crate) fn finish(&mut self, now: Instant, key: Key, reply: &[u8]) {
        self.age(now);
        self.old.remove(&key);
        self.young_bytes += reply.len();
        self.young.insert(key, Entry::Sent(reply.into()));
    }

    /// Forgets a request that will get no reply, so that its repetition is worked on.
    pub(crate) fn forget(&mut self, key: Key) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    fn age(&mut self, now: Instant) {
        let is_full = self.young.len() >= REPLIES_MAX || self.young_bytes >= REPLY_BYTES_MAX;
        let ends = *self.ends.get_or_insert(now + GENERATION);
        if now < ends && !is_full {
            return;
        }
        self.overflows += u64::from(is_full);
        // As much room as the generation before took, which need not grow again then.
        let next = FxHashMap::with_capacity_and_hasher(self.young.len(), FxBuildHasher);
        let young = std::mem::replace(&mut self.young, next);
        // After a long pause both generations are too old.
        let pause = now >= ends + GENERATION;
        self.old = if pause { FxHashMap::default() } else { young };
        self.young_bytes = 0;
        self.ends = Some(now + GENERATION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{client, start};

    #[test]
    fn a_repetition_while_the_first_is_in_work_is_known() {
        let mut replies = Replies::new(1);
        let key = replies.key(client(1), b"c1 d...e");
        assert_eq!(replies.begin(start(), key), None);
        assert_eq!(replies.begin(start(), key), Some(&Entry::InWork));
        replies.finish(start(), key, b"c1 reply");
        let sent = Entry::Sent(b"c1 reply"[..].into());
        assert_eq!(replies.begin(start(), key), Some(&sent));
    }

    #[test]
    fn the_same_cookie_of_another_client_or_content_is_another_request() {
        let mut replies = Replies::new(1);
        let key = replies.key(client(1), b"c1 d1e");
        assert_eq!(replies.begin(start(), key), None);
        assert_ne!(key, replies.key(client(2), b"c1 d1e"));
        assert_ne!(key, replies.key(client(1), b"c1 d2e"));
    }

    #[test]
    fn a_reply_is_kept_for_half_a_minute_and_not_for_ever() {
        let mut replies = Replies::new(1);
        let key = replies.key(client(1), b"c1 d1e");
        replies.begin(start(), key);
        replies.finish(start(), key, b"r");
        let at = |seconds| start() + Duration::from_secs(seconds);
        assert!(replies.begin(at(29), key).is_some());
        assert!(replies.begin(at(31), key).is_some());
        assert!(replies.begin(at(61), key).is_none());
    }

    #[test]
    fn a_flood_of_requests_does_not_grow_it_without_end() {
        let mut replies = Replies::new(1);
        for n in 0..3 * REPLIES_MAX {
            let key = replies.key(client(1), &n.to_be_bytes());
            replies.begin(start(), key);
            replies.finish(start(), key, b"reply");
        }
        assert!(replies.young.len() + replies.old.len() <= 2 * REPLIES_MAX);
        assert!(replies.overflows > 0);
    }
}
