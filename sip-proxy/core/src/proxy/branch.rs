//! What comes of the branches of a request: responses, time-outs, errors (RFC 3261 §16.7).

use sip_proxy_message::Message;

use crate::Proxy;
use crate::dialog::Leg;
use crate::fork::{Accepted, Again, BranchState, Final, Kind};
use crate::interface::{Now, Source};
use crate::proxy::upstream::{tag_of, without_our_via};
use crate::transaction::{Event, EventKind, TransactionId};

/// Different 2xx of one branch.
const ACCEPTED_COUNT_MAX: usize = 8;

impl Proxy {
    /// A response that its client transaction wants passed on.
    pub(crate) fn branch_response(
        &mut self,
        now: Now,
        source: Source,
        id: TransactionId,
        branch_id: TransactionId,
        message: &Message<'_>,
    ) {
        let Some(status) = message.status() else {
            return;
        };
        match status {
            100..=199 => self.provisional(now, source, id, branch_id, message, status),
            200..=299 => self.accepted(now, source, id, branch_id, message, status),
            _ => {
                let response = Final::Received {
                    status,
                    bytes: without_our_via(message),
                };
                self.fail_branch(now, id, branch_id, response);
            }
        }
    }

    fn provisional(
        &mut self,
        now: Now,
        source: Source,
        id: TransactionId,
        branch_id: TransactionId,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let is_decided = fork.is_decided;
        let Some(branch) = fork.branch_mut(branch_id) else {
            return;
        };
        let is_cancel_due = std::mem::take(&mut branch.is_cancel_due);
        if is_cancel_due {
            self.transactions
                .cancel(now.instant, branch_id, &mut self.out);
        }
        if status == 100 || is_decided {
            return;
        }
        self.learn_callee(id, branch_id, message);
        self.queue(now, source, id, branch_id, message, status);
    }

    fn accepted(
        &mut self,
        now: Now,
        source: Source,
        id: TransactionId,
        branch_id: TransactionId,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let (is_invite, is_decided, is_failed) = (fork.is_invite, fork.is_decided, fork.is_failed);
        let Some(branch) = fork.branch_mut(branch_id) else {
            return;
        };
        let to_tag = tag_of(message);
        if is_invite && branch.accepted.iter().any(|known| known.to_tag == to_tag) {
            self.accepted_again(now, id, branch_id, message, &to_tag);
            return;
        }
        if !is_invite {
            branch.state = BranchState::Over;
            if is_decided {
                self.forget_if_done(id);
                return;
            }
        } else {
            branch.state = BranchState::Accepted;
            if branch.accepted.len() == ACCEPTED_COUNT_MAX {
                return;
            }
            // Hardly ever there is another.
            branch.accepted.reserve_exact(1);
            branch.accepted.push(Accepted {
                to_tag,
                again: Again::Ignore,
            });
            self.learn_callee(id, branch_id, message);
        }
        if is_invite && is_failed {
            // The sender was told that it failed, and cannot acknowledge this.
            self.refuse_accepted(now, id, branch_id, message);
            return;
        }
        self.cancel_others(now, id, Some(branch_id));
        if let Some(fork) = self.forks.get_mut(&id) {
            fork.is_decided = true;
            fork.groups.clear();
        }
        self.queue(now, source, id, branch_id, message, status);
    }

    /// A 2xx came again: the ACK was lost, or is late.
    fn accepted_again(
        &mut self,
        now: Now,
        id: TransactionId,
        branch_id: TransactionId,
        message: &Message<'_>,
        to_tag: &[u8],
    ) {
        let Some(branch) = self.forks.get(&id).and_then(|fork| fork.branch(branch_id)) else {
            return;
        };
        let Some(known) = branch.accepted.iter().find(|known| known.to_tag == to_tag) else {
            return;
        };
        let bytes = match &known.again {
            Again::Acknowledge(ack) => {
                if let Some(destination) = branch.destination {
                    self.out.send(destination, ack.clone());
                }
                return;
            }
            Again::Ignore => return,
            Again::PassOn(bytes) => bytes.clone(),
            Again::PassOnAsItCame => without_our_via(message),
        };
        let (status, out) = (message.status().unwrap_or(200), &mut self.out);
        self.transactions
            .respond(now.instant, id, status, bytes, out);
    }

    /// A branch has its final response, which is no 2xx, or never will.
    pub(crate) fn fail_branch(
        &mut self,
        now: Now,
        id: TransactionId,
        branch_id: TransactionId,
        response: Final,
    ) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let Some(branch) = fork.branch_mut(branch_id) else {
            return;
        };
        if !branch.is_pending() {
            return;
        }
        branch.state = BranchState::Over;
        let response = if branch.has_rung_out {
            Final::local(408)
        } else {
            response
        };
        let is_global = response.status() >= 600;
        fork.consider(response);
        self.release_branch_media(id, branch_id);
        if is_global {
            self.cancel_others(now, id, None);
            if let Some(fork) = self.forks.get_mut(&id) {
                fork.groups.clear();
            }
        }
        self.advance(now, id);
    }

    /// Something happened to a client transaction without a message.
    pub(crate) fn client_event(&mut self, now: Now, event: Event) {
        let Some(fork) = self.forks.get_mut(&event.owner) else {
            return;
        };
        let is_cancelled = fork.is_cancelled;
        let Some(branch) = fork.branch_mut(event.client) else {
            return;
        };
        let lost = if is_cancelled { 487 } else { 408 };
        match event.kind {
            EventKind::RingTimeout => branch.has_rung_out = true,
            EventKind::TimedOut => {
                self.fail_branch(now, event.owner, event.client, Final::local(lost));
            }
            EventKind::Unreachable => {
                self.fail_branch(now, event.owner, event.client, Final::local(480));
            }
            EventKind::Terminated => {
                branch.state = BranchState::Over;
                self.forget_if_done(event.owner);
            }
        }
    }

    /// Remembers who answered, for requests of our own and for where requests are sent.
    fn learn_callee(&mut self, id: TransactionId, branch_id: TransactionId, message: &Message<'_>) {
        let Some(fork) = self.forks.get(&id) else {
            return;
        };
        let Some(call) = fork.call.and_then(|call| self.calls.get_mut(call)) else {
            return;
        };
        let Some(flow) = fork.branch(branch_id).and_then(|branch| branch.destination) else {
            return;
        };
        if fork.kind == Kind::InDialog {
            // Whoever answers a re-INVITE may have moved too.
            let tag = tag_of(message);
            if tag == call.caller.tag {
                call.caller.refresh(message, flow);
            } else if let Some(callee) = call.callee_by_tag(&tag) {
                call.callees[callee].refresh(message, flow);
            }
            return;
        }
        let media_branch = fork
            .branch(branch_id)
            .filter(|_| fork.media.is_some())
            .map(|branch| branch.key.emit());
        if let Some(leg) = Leg::of_callee(&self.home, message, flow, media_branch) {
            call.learn_callee(leg);
        }
    }
}
