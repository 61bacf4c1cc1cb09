//! Responses on their way back to the sender of a request (RFC 3261 §16.7).

use sip_proxy_message::{HeaderId, Message};

use crate::Proxy;
use crate::call::CallNumber;
use crate::fork::{Again, Final, Kind, Passing};
use crate::interface::{CdrCause, Now, Source};
use crate::proxy::reply::Reply;
use crate::transaction::TransactionId;

/// Provisional responses that wait for the relay behind each other.
const UPSTREAM_COUNT_MAX: usize = 32;

impl Proxy {
    /// No branch is left: the best response goes back.
    pub(crate) fn decide(&mut self, now: Now, id: TransactionId) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let none = Final::local(if fork.is_cancelled { 487 } else { 480 });
        let response = fork.best.take().unwrap_or(none);
        if !fork.is_invite && matches!(response, Final::Local { status: 408, .. }) {
            // It comes too late for its sender, and hurts others (RFC 4320 §4.2).
            self.forks.remove(&id);
            self.transactions.remove(id);
            return;
        }
        let request = fork.request.clone();
        let (status, bytes) = match response {
            // "A proxy which receives a 503 SHOULD NOT forward it […] unless it knows that any
            // subsequent requests would fail too" (RFC 3261 §16.7 step 6).
            Final::Received { status: 503, .. } => self.local_final(&request, 500, false),
            Final::Received { status, bytes } => (status, bytes),
            Final::Local {
                status,
                is_overload,
            } => self.local_final(&request, status, is_overload),
        };
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        fork.is_decided = true;
        fork.is_failed = true;
        fork.upstream.push_back(Passing {
            branch: None,
            status,
            bytes,
            waits_for: None,
            to_tag: Vec::new(),
        });
        self.flush(now, id);
    }

    fn local_final(&self, request: &[u8], status: u16, is_overload: bool) -> (u16, Vec<u8>) {
        let reply = if is_overload {
            Reply::overloaded()
        } else {
            Reply::new(status)
        };
        let bytes = Message::parse(request).map(|message| self.emit_reply(&message, &reply));
        (reply.status, bytes.unwrap_or_default())
    }

    /// Puts a response behind those that were received before it.
    pub(super) fn queue(
        &mut self,
        now: Now,
        source: Source,
        id: TransactionId,
        branch_id: TransactionId,
        message: &Message<'_>,
        status: u16,
    ) {
        let mut passing = Passing {
            branch: Some(branch_id),
            status,
            bytes: without_our_via(message),
            waits_for: None,
            to_tag: tag_of(message),
        };
        let waiting = self.forks.get(&id).map_or(0, |fork| fork.upstream.len());
        if status < 200 && waiting >= UPSTREAM_COUNT_MAX {
            self.counters.overloaded += 1;
            return;
        }
        let asked = self.answer_or_pass(source, id, branch_id, message, &mut passing);
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        fork.upstream.push_back(passing);
        match asked {
            Ok(()) => self.flush(now, id),
            Err(error) => self.fail_passing(now, id, fork_len(self, id), &error),
        }
    }

    /// Sends what is ready, in order.
    pub(crate) fn flush(&mut self, now: Now, id: TransactionId) {
        loop {
            let Some(fork) = self.forks.get_mut(&id) else {
                return;
            };
            let is_ready = fork
                .upstream
                .front()
                .is_some_and(|passing| passing.waits_for.is_none());
            if !is_ready {
                break;
            }
            let Some(passing) = fork.upstream.pop_front() else {
                break;
            };
            self.pass(now, id, passing);
        }
        self.forget_if_done(id);
    }

    fn pass(&mut self, now: Now, id: TransactionId, passing: Passing) {
        let status = passing.status;
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let has_media = fork.media.is_some();
        if (200..300).contains(&status)
            && let Some(branch_id) = passing.branch
            && let Some(branch) = fork.branch_mut(branch_id)
            && let Some(known) = branch
                .accepted
                .iter_mut()
                .find(|known| known.to_tag == passing.to_tag)
        {
            known.again = match has_media {
                true => Again::PassOn(passing.bytes.clone()),
                false => Again::PassOnAsItCame,
            };
            branch.sdp = None;
        }
        if status >= 200 && fork.groups.is_empty() && !fork.is_pending() {
            fork.request = [].into();
        }
        let first_call = fork.call.filter(|_| fork.kind == Kind::First);
        let is_cancelled = fork.is_cancelled;
        let out = &mut self.out;
        let is_sent = self
            .transactions
            .respond(now.instant, id, status, passing.bytes, out);
        if let Some(call) = first_call
            && is_sent
        {
            self.call_progress(now, call, status, &passing.to_tag, is_cancelled);
        }
    }

    /// A response to the INVITE that began a call was passed on.
    fn call_progress(
        &mut self,
        now: Now,
        number: CallNumber,
        status: u16,
        to_tag: &[u8],
        is_cancelled: bool,
    ) {
        match status {
            100 => {}
            101..=199 => {
                if let Some(call) = self.calls.get_mut(number) {
                    call.rang(now.unix_ms);
                }
            }
            200..=299 => self.call_answered(now, number, to_tag),
            _ => {
                let cause = match status {
                    _ if is_cancelled => CdrCause::Cancelled,
                    408 => CdrCause::NoAnswer,
                    _ => CdrCause::Failed,
                };
                self.finish_call(now, number, status, cause);
            }
        }
    }

    pub(crate) fn forget_if_done(&mut self, id: TransactionId) {
        if self.forks.get(&id).is_some_and(crate::fork::Fork::is_done) {
            self.forks.remove(&id);
        }
    }
}

fn fork_len(proxy: &Proxy, id: TransactionId) -> usize {
    proxy
        .forks
        .get(&id)
        .map_or(0, |fork| fork.upstream.len().saturating_sub(1))
}

/// The response as the sender of the request is to see it.
pub(super) fn without_our_via(message: &Message<'_>) -> Vec<u8> {
    message.without_top(HeaderId::Via)
}

pub(super) fn tag_of(message: &Message<'_>) -> Vec<u8> {
    let tag = message.to().ok().and_then(|to| to.tag);
    tag.unwrap_or_default().to_vec()
}
