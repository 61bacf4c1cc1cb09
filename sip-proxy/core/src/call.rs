//! Calls, from the first INVITE to the record of how they ended.

mod table;

pub(crate) use table::Calls;

use std::net::SocketAddr;
use std::time::Instant;

use crate::deadlines::Armed;
use crate::dialog::Leg;
use crate::interface::{Cdr, CdrCause, MediaCounts};
use crate::transaction::TransactionId;

/// Names a call for as long as the process lives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallNumber(pub(crate) u64);

/// Which participant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// By its place in [`Call::callees`].
    Callee(usize),
    Caller,
}

/// A call, for whoever asks which there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallInfo {
    /// Call-ID.
    pub call_id: String,
    /// Address of record of the caller, `user@host`.
    pub caller: String,
    /// Whom the caller asked for, `user@host`.
    pub callee: String,
    /// Where the first INVITE came from.
    pub caller_address: SocketAddr,
    /// Where the answered (or last tried) branch went.
    pub callee_address: Option<SocketAddr>,
    /// The first INVITE arrived: milliseconds since 1970.
    pub start_unix_ms: u64,
    /// It rang, if it did.
    pub ring_unix_ms: Option<u64>,
    /// It was answered, if it was.
    pub answer_unix_ms: Option<u64>,
    /// It is over, and only waits for the relay's counts.
    pub is_ending: bool,
}

/// Callees of one call: each fork that answered anything is one.
const CALLEE_COUNT_MAX: usize = 32;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) call_id: Vec<u8>,
    /// The transaction of the first INVITE.
    pub(crate) invite: TransactionId,
    pub(crate) caller: Leg,
    /// Every fork that sent a tag.
    pub(crate) callees: Vec<Leg>,
    /// Which of them answered.
    pub(crate) answered_by: Option<usize>,
    /// The relay was asked for ports, so that it has to be told of the end.
    pub(crate) has_media: bool,
    /// The last INVITE came without an offer, so that the answer comes in PRACK or ACK.
    pub(crate) is_late_offer: bool,
    /// When it is ended by us.
    pub(crate) limit_at: Option<Instant>,
    pub(crate) armed: Armed,
    record: Record,
}

/// What becomes the [`Cdr`].
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) caller: String,
    pub(crate) callee: String,
    pub(crate) caller_address: SocketAddr,
    pub(crate) callee_address: Option<SocketAddr>,
    pub(crate) start_unix_ms: u64,
    pub(crate) ring_unix_ms: Option<u64>,
    pub(crate) answer_unix_ms: Option<u64>,
    /// When, with which status and why it ended.
    pub(crate) end: Option<(u64, u16, CdrCause)>,
}

impl Call {
    pub(crate) fn new(
        call_id: Vec<u8>,
        invite: TransactionId,
        caller: Leg,
        record: Record,
    ) -> Self {
        Self {
            call_id,
            invite,
            caller,
            callees: Vec::with_capacity(1),
            answered_by: None,
            has_media: false,
            is_late_offer: false,
            limit_at: None,
            armed: Armed::default(),
            record,
        }
    }

    /// Call-ID as the relay wants it; checked to be text when the call began.
    pub(crate) fn media_id(&self) -> String {
        String::from_utf8_lossy(&self.call_id).into_owned()
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.record.end.is_some()
    }

    /// Whose request it is, by its tags.
    pub(crate) fn side(&self, from_tag: &[u8], to_tag: &[u8]) -> Option<Side> {
        if from_tag == self.caller.tag {
            return self.callee_by_tag(to_tag).map(|_| Side::Caller);
        }
        if to_tag == self.caller.tag {
            return self.callee_by_tag(from_tag).map(Side::Callee);
        }
        None
    }

    pub(crate) fn callee_by_tag(&self, tag: &[u8]) -> Option<usize> {
        self.callees.iter().position(|leg| leg.tag == tag)
    }

    /// Remembers a callee, or what is new about it.
    pub(crate) fn learn_callee(&mut self, mut leg: Leg) -> Option<usize> {
        if let Some(known) = self.callee_by_tag(&leg.tag) {
            // Two phones with the same tag: the one that answered is the one we talk to.
            if self.answered_by == Some(known) && self.callees[known].flow != leg.flow {
                return Some(known);
            }
            leg.cseq = self.callees[known].cseq;
            self.callees[known] = leg;
            return Some(known);
        }
        if self.callees.len() == CALLEE_COUNT_MAX {
            return None;
        }
        self.callees.push(leg);
        Some(self.callees.len() - 1)
    }

    pub(crate) fn tried(&mut self, address: SocketAddr) {
        self.record.callee_address = Some(address);
    }

    pub(crate) fn rang(&mut self, unix_ms: u64) {
        self.record.ring_unix_ms.get_or_insert(unix_ms);
    }

    /// `true` the first time.
    pub(crate) fn answered(&mut self, unix_ms: u64, callee: usize) -> bool {
        if self.answered_by.is_some() || self.is_over() {
            return false;
        }
        self.answered_by = Some(callee);
        self.record.callee_address = Some(self.callees[callee].flow.address);
        self.record.answer_unix_ms = Some(unix_ms);
        true
    }

    /// `true` the first time.
    pub(crate) const fn end(&mut self, unix_ms: u64, status: u16, cause: CdrCause) -> bool {
        if self.record.end.is_some() {
            return false;
        }
        self.record.end = Some((unix_ms, status, cause));
        true
    }

    pub(crate) fn info(&self) -> CallInfo {
        let record = &self.record;
        CallInfo {
            call_id: self.media_id(),
            caller: record.caller.clone(),
            callee: record.callee.clone(),
            caller_address: record.caller_address,
            callee_address: record.callee_address,
            start_unix_ms: record.start_unix_ms,
            ring_unix_ms: record.ring_unix_ms,
            answer_unix_ms: record.answer_unix_ms,
            is_ending: self.is_over(),
        }
    }

    /// The record; `None` if the call is not over.
    pub(crate) fn cdr(&self, media: Option<MediaCounts>) -> Option<Cdr> {
        let record = &self.record;
        let (end_unix_ms, status, cause) = record.end?;
        Some(Cdr {
            call_id: self.media_id(),
            caller: record.caller.clone(),
            callee: record.callee.clone(),
            caller_address: record.caller_address,
            callee_address: record.callee_address,
            start_unix_ms: record.start_unix_ms,
            ring_unix_ms: record.ring_unix_ms,
            answer_unix_ms: record.answer_unix_ms,
            end_unix_ms,
            status,
            cause,
            media,
        })
    }
}
