//! Which pairs there are: no more than a few, and of more than that those that may be of use.
//!
//! Candidates come from signalling, and from checks of whoever knows the password: or has seen one
//! check, and sends it again from anywhere. Neither may shut the other out: each has room of its own,
//! and takes none of the other's.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Agent, Candidate, NAMED_MAX, PAIRS_MAX, Role, STRAYS_MAX};
use crate::pair::{Check, Pair, State};
use crate::priority::of_pair;

/// Who has named a candidate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    Signalling,
    Check,
}

/// What it costs to lose a pair; what costs least goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Worth {
    /// Nobody has answered, or nobody has for long.
    Nothing,
    /// The peer may be there: more likely with a higher priority.
    Hope(u64),
    /// The peer was there last at this time.
    Heard(Instant),
}

impl Agent {
    /// Adds a pair, or takes note of what is new about it.
    pub(super) fn add_pair(
        &mut self,
        now: Instant,
        base: usize,
        candidate: Candidate,
        origin: Origin,
    ) {
        let Candidate { address, priority } = candidate;
        if !self.is_usable(base, address) {
            return;
        }
        let is_signalled = origin == Origin::Signalling;
        if let Some(pair) = self.pairs.iter_mut().find(|it| it.is(base, address)) {
            pair.remote_priority = priority;
            pair.is_signalled |= is_signalled;
            return;
        }
        let pair = Pair {
            base,
            remote: address,
            remote_priority: priority,
            priority: self.priority(base, priority),
            state: State::Waiting,
            is_signalled,
            is_triggered: false,
            is_valid: false,
            heard_at: None,
            is_wanted: false,
        };
        if self.make_room(now, &pair) {
            self.pairs.push(pair);
        } else {
            self.counters.pairs_refused += 1;
        }
    }

    fn is_usable(&self, base: usize, address: SocketAddr) -> bool {
        let own = self.settings.bases[base].address;
        address.port() != 0
            && !address.ip().is_unspecified()
            && !address.ip().is_multicast()
            && own.is_ipv4() == address.is_ipv4()
    }

    /// Sees to it that there is room for one more pair; says whether there is.
    fn make_room(&mut self, now: Instant, newcomer: &Pair) -> bool {
        let is_stray = newcomer.is_stray();
        let is_alike = |it: &&Pair| it.is_stray() == is_stray;
        let alike = self.pairs.iter().filter(is_alike).count();
        let most = if is_stray { STRAYS_MAX } else { NAMED_MAX };
        // Strays that are named, or work, are none any more.
        if alike < most && self.pairs.len() < PAIRS_MAX {
            return true;
        }
        let worth = |it: &Pair| {
            let worth = self.worth(now, it).filter(|_| is_alike(&it))?;
            let is_less = match worth {
                Worth::Nothing => true,
                // The peer is where it checked from last, or somebody wants it to seem so.
                Worth::Hope(priority) => is_stray || priority < newcomer.priority,
                Worth::Heard(_) => is_stray,
            };
            is_less.then_some(worth)
        };
        let pairs = self.pairs.iter().enumerate();
        let found = pairs.filter_map(|(at, it)| Some((worth(it)?, Reverse(at))));
        let Some((_, Reverse(at))) = found.min() else {
            return false;
        };
        self.pairs.remove(at);
        self.counters.pairs_evicted += 1;
        true
    }

    /// `None`: it must not be lost.
    fn worth(&self, now: Instant, pair: &Pair) -> Option<Worth> {
        let is_selected = |it: super::Selected| pair.is(it.base, it.remote);
        if pair.is_valid || self.selected.is_some_and(is_selected) {
            return None;
        }
        let is_in_vain = |it: &Check| it.is_in_vain(now);
        Some(match (&pair.state, pair.heard_at) {
            (State::Failed, _) => Worth::Nothing,
            (State::InProgress(check), _) if is_in_vain(check) => Worth::Nothing,
            // An answer is on its way.
            (State::InProgress(_), Some(_)) => return None,
            (_, Some(at)) => Worth::Heard(at),
            (_, None) => Worth::Hope(pair.priority),
        })
    }

    /// Puts pairs in their order anew.
    pub(super) fn recount(&mut self) {
        let mut pairs = std::mem::take(&mut self.pairs);
        for pair in &mut pairs {
            pair.priority = self.priority(pair.base, pair.remote_priority);
        }
        pairs.sort_by_key(|it| Reverse(it.priority));
        self.pairs = pairs;
    }

    fn priority(&self, base: usize, remote: u32) -> u64 {
        let local = self.settings.bases[base].priority;
        match self.role {
            Role::Controlled => of_pair(remote, local),
            Role::Controlling => of_pair(local, remote),
        }
    }
}
