//! The end of calls: by the parties, and by us.

use std::time::Duration;

use sip_proxy_message::{Message, Method};

use crate::Proxy;
use crate::call::CallNumber;
use crate::dialog::Leg;
use crate::fork::{Again, Final, Kind};
use crate::interface::{CdrCause, MediaCounts, MediaRequest, Now, Output};
use crate::media::{Waiter, text};
use crate::transaction::key::Branch as BranchKey;
use crate::transaction::{Departure, TransactionId};

impl Proxy {
    /// The first 2xx was passed on.
    pub(crate) fn call_answered(&mut self, now: Now, number: CallNumber, to_tag: &[u8]) {
        let limit_s = u64::from(self.config.call_duration_max_s);
        let Some(call) = self.calls.get_mut(number) else {
            return;
        };
        let Some(callee) = call.callee_by_tag(to_tag) else {
            return;
        };
        if !call.answered(now.unix_ms, callee) {
            return;
        }
        if limit_s > 0 {
            call.limit_at = Some(now.instant + Duration::from_secs(limit_s));
        }
        self.counters.calls_answered += 1;
        self.calls.arm(number);
    }

    /// The call is over: frees its media and, when the relay has said what went through it,
    /// writes its record. Does nothing the second time.
    pub(crate) fn finish_call(
        &mut self,
        now: Now,
        number: CallNumber,
        status: u16,
        cause: CdrCause,
    ) {
        let Some(call) = self.calls.get_mut(number) else {
            return;
        };
        if !call.end(now.unix_ms, status, cause) {
            return;
        }
        call.limit_at = None;
        if !call.has_media {
            self.write_record(number, None);
            return;
        }
        let request = MediaRequest::Delete {
            call_id: call.media_id(),
            from_tag: text(&call.caller.tag),
            via_branch: None,
        };
        if self.ask_media(request, Waiter::Record(number)).is_err() {
            self.write_record(number, None);
        }
    }

    /// Writes the record and forgets the call. What still comes finds its way by Record-Route.
    pub(crate) fn write_record(&mut self, number: CallNumber, media: Option<MediaCounts>) {
        if let Some(cdr) = self.calls.remove(number).and_then(|call| call.cdr(media)) {
            self.out.push(Output::Cdr(Box::new(cdr)));
        }
    }

    /// Ends a call ourselves: BYE to both if it was answered, else a failure to the caller.
    pub(crate) fn hang_up(&mut self, now: Now, number: CallNumber, cause: CdrCause) {
        let Some(call) = self.calls.get(number).filter(|call| !call.is_over()) else {
            return;
        };
        let Some(answered) = call.answered_by else {
            let invite = call.invite;
            self.fail_fork(now, invite, Final::local(503));
            return;
        };
        let (caller, callee) = (call.caller.clone(), call.callees[answered].clone());
        let call_id = call.call_id.clone();
        self.send_bye(now, &callee, &caller, &call_id);
        self.send_bye(now, &caller, &callee, &call_id);
        self.finish_call(now, number, 200, cause);
    }

    fn send_bye(&mut self, now: Now, to: &Leg, from: &Leg, call_id: &[u8]) {
        if !to.is_reachable() {
            return;
        }
        let branch = self.new_branch();
        let via = self.home.via(to.flow.listener, &branch.emit());
        let departure = Departure {
            branch,
            bytes: to.request(from, Method::Bye, call_id, from.cseq + 1, &via),
            destination: to.flow,
            is_reliable: self.is_reliable(to.flow.listener),
            ring_timeout: None,
            owner: None,
        };
        self.transactions
            .send_request(now.instant, departure, &mut self.out);
    }

    /// A 2xx that cannot be passed on: acknowledges it, and ends what it began.
    pub(crate) fn refuse_accepted(
        &mut self,
        now: Now,
        id: TransactionId,
        branch_id: TransactionId,
        message: &Message<'_>,
    ) {
        let Some(fork) = self.forks.get(&id) else {
            return;
        };
        let (request, kind, call) = (fork.request.clone(), fork.kind, fork.call);
        let routes = fork.way.routes.clone();
        let Some(flow) = fork.branch(branch_id).and_then(|branch| branch.destination) else {
            return;
        };
        let Ok(request) = Message::parse(&request) else {
            return;
        };
        let (Some(sender), Some(mut responder)) = (
            Leg::of_caller(&request, flow),
            Leg::of_callee(&self.home, message, flow, None),
        ) else {
            return;
        };
        if kind == Kind::InDialog {
            responder.replace_routes(routes);
        }
        let call_id = request.call_id().unwrap_or_default();
        let branch = self.new_branch().emit();
        let via = self.home.via(flow.listener, &branch);
        let ack = responder.request(&sender, Method::Ack, call_id, sender.cseq, &via);
        self.out.send(flow, ack.clone());
        if let Some(known) = self
            .forks
            .get_mut(&id)
            .and_then(|fork| fork.branch_mut(branch_id))
            .and_then(|branch| {
                let tag = &responder.tag;
                branch
                    .accepted
                    .iter_mut()
                    .find(|known| known.to_tag == *tag)
            })
        {
            known.again = Again::Acknowledge(ack);
        }
        match (kind, call) {
            (Kind::First, _) => self.send_bye(now, &responder, &sender, call_id),
            // The parties no longer agree about the session.
            (Kind::InDialog, Some(call)) => self.hang_up(now, call, CdrCause::Failed),
            (Kind::InDialog, None) => {}
        }
    }

    pub(crate) fn new_branch(&mut self) -> BranchKey {
        BranchKey {
            id: self.transactions.reserve(),
            secret: self.random(),
            loop_hash: 0,
        }
    }
}
