//! The calls of a worker, and when each is next looked at for silence.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::time::{Duration, Instant};

use relay_wire::CallKey;

use crate::SocketId;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    /// Control's; opaque.
    pub(crate) record: Box<[u8]>,
    /// Its open endpoints, in the order they were opened.
    pub(crate) endpoints: Vec<SocketId>,
    /// Silence is counted from here, or from the newest packet.
    silent_since: Instant,
    /// Silence that is reported; `None`: none is.
    timeout_ms: Option<NonZeroU32>,
    /// What is reported if nothing was ever heard, and since when that is waited for.
    first_packet: Option<(Instant, NonZeroU32)>,
    /// An endpoint that is gone was heard.
    was_heard: bool,
    /// When silence was reported, if that still holds.
    reported_at: Option<Instant>,
    /// Its entry in [`Calls::deadlines`].
    deadline: Option<Instant>,
}

/// What is to be reported of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Silence {
    /// Nothing was ever heard.
    FromTheFirst,
    /// Nothing was heard for long.
    ForLong,
}

/// When a call whose silence was reported is looked at again if it has no time-out.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The calls of one worker, in order of their keys.
///
/// Packets never touch this: endpoints note when they were heard, and a call is looked at when
/// its deadline comes, which moves on if something was heard in between.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Boxed, since half of what a tree has room for is empty when keys come in their order.
    by_key: BTreeMap<CallKey, Box<Call>>,
    deadlines: BTreeSet<(Instant, CallKey)>,
    record_bytes: usize,
}

impl Calls {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Bytes of all records.
    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    pub(crate) fn get(&self, key: CallKey) -> Option<&Call> {
        self.by_key.get(&key).map(|it| &**it)
    }

    pub(crate) fn get_mut(&mut self, key: CallKey) -> Option<&mut Call> {
        self.by_key.get_mut(&key).map(|it| &mut **it)
    }

    /// The calls after `after`, in order.
    pub(crate) fn page(&self, after: Option<CallKey>) -> impl Iterator<Item = (CallKey, &Call)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_key
            .range((from, Bound::Unbounded))
            .map(|(key, call)| (*key, &**call))
    }

    /// Adds a call whose key is not taken.
    pub(crate) fn insert(&mut self, now: Instant, key: CallKey, record: Vec<u8>, timeout_ms: u32) {
        self.record_bytes += record.len();
        let call = Call {
            record: record.into_boxed_slice(),
            endpoints: Vec::new(),
            silent_since: now,
            timeout_ms: None,
            first_packet: None,
            was_heard: false,
            reported_at: None,
            deadline: None,
        };
        self.by_key.insert(key, Box::new(call));
        self.set_timeout(now, key, timeout_ms);
    }

    pub(crate) fn remove(&mut self, key: CallKey) -> Option<Box<Call>> {
        self.set_deadline(key, None);
        let call = self.by_key.remove(&key)?;
        self.record_bytes -= call.record.len();
        Some(call)
    }

    pub(crate) fn set_record(&mut self, key: CallKey, record: Vec<u8>) {
        if let Some(call) = self.by_key.get_mut(&key) {
            self.record_bytes += record.len();
            self.record_bytes -= call.record.len();
            call.record = record.into_boxed_slice();
        }
    }

    /// Counts silence from now, and reports it after so long; 0 is never.
    pub(crate) fn set_timeout(&mut self, now: Instant, key: CallKey, timeout_ms: u32) {
        let Some(call) = self.by_key.get_mut(&key) else {
            return;
        };
        call.silent_since = now;
        call.timeout_ms = NonZeroU32::new(timeout_ms);
        call.reported_at = None;
        let deadline = call.due(None).map(|(at, _)| at);
        self.set_deadline(key, deadline);
    }

    /// Waits from now for something to be heard for the first time, and reports that nothing is
    /// after so long; 0 is never.
    pub(crate) fn set_first_packet_timeout(&mut self, now: Instant, key: CallKey, timeout_ms: u32) {
        let Some(call) = self.by_key.get_mut(&key) else {
            return;
        };
        call.first_packet = NonZeroU32::new(timeout_ms).map(|it| (now, it));
        // Who was heard is known when it is looked at.
        let deadline = call.due(None).map(|(at, _)| at);
        self.set_deadline(key, deadline);
    }

    /// Reports silence that was reported already once more: whoever heard of it may be gone.
    pub(crate) fn report_again(&mut self, now: Instant, key: CallKey) {
        if let Some(call) = self.by_key.get_mut(&key)
            && call.reported_at.take().is_some()
        {
            self.set_deadline(key, Some(now));
        }
    }

    /// The next time that a call is to be looked at.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A call whose deadline has come.
    pub(crate) fn due(&self, now: Instant) -> Option<CallKey> {
        let (at, key) = self.deadlines.first()?;
        (*at <= now).then_some(*key)
    }

    /// Looks at a call whose deadline has come, and was last heard at `heard_at`. Says whether
    /// its silence is to be reported.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        key: CallKey,
        heard_at: Option<Instant>,
    ) -> Option<Silence> {
        let call = self.by_key.get_mut(&key)?;
        let Some((due, silence)) = call.due(heard_at) else {
            self.set_deadline(key, None);
            return None;
        };
        if heard_at.is_some_and(|at| call.reported_at.is_some_and(|it| at > it)) {
            call.reported_at = None;
        }
        let is_silent = due <= now;
        let is_news = is_silent && call.reported_at.is_none();
        if is_news {
            call.reported_at = Some(now);
        }
        let timeout_ms = call
            .timeout_ms
            .or_else(|| call.first_packet.map(|(_, it)| it));
        let again = now + timeout_ms.map_or(LOOK_AGAIN, duration);
        let next = if is_silent { again } else { due };
        self.set_deadline(key, Some(next));
        is_news.then_some(silence)
    }

    fn set_deadline(&mut self, key: CallKey, deadline: Option<Instant>) {
        let Some(call) = self.by_key.get_mut(&key) else {
            return;
        };
        if let Some(at) = call.deadline.take() {
            self.deadlines.remove(&(at, key));
        }
        if let Some(at) = deadline {
            call.deadline = deadline;
            self.deadlines.insert((at, key));
        }
    }
}

impl Call {
    /// When its silence is due to be reported, if it was last heard at `heard_at`, and as what.
    fn due(&self, heard_at: Option<Instant>) -> Option<(Instant, Silence)> {
        let silent_since = heard_at.map_or(self.silent_since, |it| it.max(self.silent_since));
        let long = self.timeout_ms.map(duration);
        let long = long.map(|it| (silent_since + it, Silence::ForLong));
        let is_unheard = heard_at.is_none() && !self.was_heard;
        let first = self.first_packet.filter(|_| is_unheard);
        let first = first.map(|(since, it)| (since + duration(it), Silence::FromTheFirst));
        [first, long]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Remembers when an endpoint that goes was last heard, so that closing it is no silence.
    pub(crate) fn note_heard(&mut self, heard_at: Option<Instant>) {
        if let Some(heard_at) = heard_at {
            self.silent_since = self.silent_since.max(heard_at);
            self.was_heard = true;
        }
    }
}

fn duration(ms: NonZeroU32) -> Duration {
    Duration::from_millis(ms.get().into())
}
