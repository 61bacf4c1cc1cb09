//! All calls, found by Call-ID and tags.

use std::collections::HashMap;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::{Call, CallInfo, CallNumber, Side};
use crate::deadlines::Deadlines;

/// Calls with the same Call-ID: one that was tried again while the last one is being cleaned up.
const SAME_ID_MAX: usize = 4;

/// The table, bounded by the setting.
#[derive(Debug)]
pub(crate) struct Calls {
    calls: FxHashMap<CallNumber, Call>,
    by_call_id: HashMap<Vec<u8>, Vec<CallNumber>>,
    deadlines: Deadlines<CallNumber>,
    next: u64,
    max: usize,
}

impl Calls {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            calls: FxHashMap::default(),
            by_call_id: HashMap::new(),
            deadlines: Deadlines::new(),
            next: 0,
            max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether a call with this Call-ID may begin.
    pub(crate) fn has_room(&self, call_id: &[u8]) -> bool {
        let same = self.by_call_id.get(call_id).map_or(0, Vec::len);
        self.calls.len() < self.max && same < SAME_ID_MAX
    }

    pub(crate) fn insert(&mut self, call: Call) -> CallNumber {
        let number = CallNumber(self.next);
        self.next += 1;
        self.by_call_id
            .entry(call.call_id.clone())
            .or_default()
            .push(number);
        self.calls.insert(number, call);
        number
    }

    pub(crate) fn get(&self, number: CallNumber) -> Option<&Call> {
        self.calls.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: CallNumber) -> Option<&mut Call> {
        self.calls.get_mut(&number)
    }

    pub(crate) fn remove(&mut self, number: CallNumber) -> Option<Call> {
        let call = self.calls.remove(&number)?;
        if let Some(numbers) = self.by_call_id.get_mut(&call.call_id) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_call_id.remove(&call.call_id);
            }
        }
        Some(call)
    }

    /// All calls of this Call-ID, oldest first.
    pub(crate) fn with_call_id(&self, call_id: &[u8]) -> &[CallNumber] {
        self.by_call_id.get(call_id).map_or(&[], Vec::as_slice)
    }

    /// The call that a request inside a dialog belongs to, and who sent it.
    pub(crate) fn find_dialog(
        &self,
        call_id: &[u8],
        from_tag: &[u8],
        to_tag: &[u8],
    ) -> Option<(CallNumber, Side)> {
        self.with_call_id(call_id).iter().rev().find_map(|number| {
            let side = self.calls.get(number)?.side(from_tag, to_tag)?;
            Some((*number, side))
        })
    }

    /// The call that this caller is making or having.
    pub(crate) fn find_live(&self, call_id: &[u8], caller_tag: &[u8]) -> Option<CallNumber> {
        self.with_call_id(call_id).iter().copied().find(|number| {
            self.calls
                .get(number)
                .is_some_and(|call| !call.is_over() && call.caller.tag == caller_tag)
        })
    }

    /// Makes sure that the call is looked at when its time is up.
    pub(crate) fn arm(&mut self, number: CallNumber) {
        if let Some(call) = self.calls.get_mut(&number) {
            self.deadlines.arm(&mut call.armed, number, call.limit_at);
        }
    }

    /// Takes a call whose time is up.
    pub(crate) fn pop_limit(&mut self, now: Instant) -> Option<CallNumber> {
        while let Some((at, number)) = self.deadlines.pop(now) {
            let Some(call) = self.calls.get_mut(&number) else {
                continue;
            };
            call.armed.fired(at);
            if call.limit_at.is_some_and(|limit| limit <= now) {
                call.limit_at = None;
                return Some(number);
            }
            self.deadlines.arm(&mut call.armed, number, call.limit_at);
        }
        None
    }

    /// Calls, oldest first.
    pub(crate) fn infos(&self, limit: usize) -> Vec<CallInfo> {
        let mut numbers: Vec<CallNumber> = self.calls.keys().copied().collect();
        numbers.sort_unstable();
        let calls = numbers.iter().filter_map(|number| self.calls.get(number));
        calls.take(limit).map(Call::info).collect()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}
