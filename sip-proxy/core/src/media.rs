//! SDP on its way through the relay: what is asked, and who waits for the answer.
//!
//! Whatever waits is bounded, and is answered by the driver in any case. Requests wait before they
//! are sent; responses wait in the order they came in, so that none overtakes another.

mod question;

pub(crate) use question::{is_sdp, text};

use sip_proxy_message::Message;

use crate::Proxy;
use crate::call::CallNumber;
use crate::fork::{BranchState, Final, Kind, Passing};
use crate::interface::{
    CdrCause, Destination, MediaError, MediaReply, MediaRequest, Now, Output, Source, Token,
};
use crate::transaction::TransactionId;
use question::{final_for, request_question, response_question, with_sdp};

/// Questions that may be open at once. At a thousand calls a second this is several seconds'
/// worth, which is longer than anybody waits for an answer.
const WAITING_MAX: usize = 16_384;

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// An ACK with an SDP answer.
    Ack {
        call: Option<CallNumber>,
        destination: Destination,
        bytes: Vec<u8>,
    },
    /// The record of a call that is over.
    Record(CallNumber),
    /// A branch that was not sent yet.
    Request {
        fork: TransactionId,
        branch: TransactionId,
    },
    /// A response that was not passed on yet.
    Response { fork: TransactionId },
}

impl Proxy {
    /// Asks control. Fails at once if too many questions are open.
    pub(crate) fn ask_media(
        &mut self,
        request: MediaRequest,
        waiter: Waiter,
    ) -> Result<Token, MediaError> {
        let is_end = matches!(request, MediaRequest::Delete { .. });
        if self.waiters.len() >= WAITING_MAX && !is_end {
            self.counters.media_errors += 1;
            return Err(MediaError::Overloaded("too many wait for it".to_owned()));
        }
        let token = self.new_token();
        self.waiters.insert(token, waiter);
        self.out.push(Output::Media { token, request });
        Ok(token)
    }

    /// Control answered.
    pub(crate) fn media_reply(
        &mut self,
        now: Now,
        token: Token,
        reply: Result<MediaReply, MediaError>,
    ) {
        let Some(waiter) = self.waiters.remove(&token) else {
            return;
        };
        if let Waiter::Record(number) = waiter {
            let counts = match reply {
                Ok(MediaReply::Deleted(counts)) => counts,
                Ok(MediaReply::Sdp(_)) => None,
                Err(_) => {
                    self.counters.media_errors += 1;
                    None
                }
            };
            self.write_record(number, counts);
            return;
        }
        let sdp = match reply {
            Ok(MediaReply::Sdp(sdp)) => Ok(sdp),
            Ok(MediaReply::Deleted(_)) => Err(MediaError::Refused("no SDP".to_owned())),
            Err(error) => Err(error),
        };
        if sdp.is_err() {
            self.counters.media_errors += 1;
        }
        match waiter {
            Waiter::Ack {
                call,
                destination,
                bytes,
            } => self.ack_reply(now, call, destination, &bytes, sdp),
            Waiter::Request { fork, branch } => self.request_reply(now, token, fork, branch, sdp),
            Waiter::Response { fork } => self.response_reply(now, token, fork, sdp),
            Waiter::Record(_) => {}
        }
    }

    /// Sends a branch, after the relay was asked if its request holds SDP.
    pub(crate) fn offer_or_send(
        &mut self,
        now: Now,
        id: TransactionId,
        branch_id: TransactionId,
        request: Option<&Message<'_>>,
    ) {
        let Some(fork) = self.forks.get(&id) else {
            return;
        };
        let Some(branch) = fork.branch(branch_id) else {
            return;
        };
        let Some(question) = request_question(fork, branch) else {
            self.send_branch(now, id, branch_id, request, None);
            return;
        };
        let waiter = Waiter::Request {
            fork: id,
            branch: branch_id,
        };
        match self.ask_media(question, waiter) {
            Ok(token) => self.note_asked(id, branch_id, Some(token)),
            Err(error) => self.fail_branch(now, id, branch_id, final_for(&error)),
        }
    }

    /// Asks about the SDP of a response, or puts in what the relay made of the same one before.
    pub(crate) fn answer_or_pass(
        &mut self,
        source: Source,
        id: TransactionId,
        branch_id: TransactionId,
        message: &Message<'_>,
        passing: &mut Passing,
    ) -> Result<(), MediaError> {
        let Some(fork) = self.forks.get(&id) else {
            return Ok(());
        };
        let (Some(parties), Some(branch)) = (&fork.media, fork.branch(branch_id)) else {
            return Ok(());
        };
        if !is_sdp(message) {
            return Ok(());
        }
        if let Some((before, after)) = &branch.sdp
            && before == message.body()
        {
            passing.bytes = with_sdp(&passing.bytes, after);
            return Ok(());
        }
        let Some(request) = response_question(fork, branch, parties, source, passing, message)
        else {
            return Ok(());
        };
        let token = self.ask_media(request, Waiter::Response { fork: id })?;
        passing.waits_for = Some(token);
        self.note_asked(id, branch_id, None);
        Ok(())
    }

    /// Remembers that the relay holds ports, and what a request waits for.
    fn note_asked(&mut self, id: TransactionId, branch_id: TransactionId, token: Option<Token>) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let (call, is_first) = (fork.call, fork.kind == Kind::First);
        if let Some(branch) = fork.branch_mut(branch_id) {
            branch.has_media |= is_first;
            if let Some(token) = token {
                branch.state = BranchState::Offering(token);
            }
        }
        if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
            call.has_media = true;
        }
    }

    /// A branch is over while its call goes on: its ports are not needed any more.
    pub(crate) fn release_branch_media(&mut self, id: TransactionId, branch_id: TransactionId) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let goes_on =
            fork.is_pending() || !fork.groups.is_empty() || (fork.is_decided && !fork.is_failed);
        let Some(parties) = fork.media.clone() else {
            return;
        };
        let Some(branch) = fork.branch_mut(branch_id) else {
            return;
        };
        if !goes_on || !std::mem::take(&mut branch.has_media) {
            return;
        }
        let request = MediaRequest::Delete {
            call_id: parties.call_id,
            from_tag: parties.sender_tag,
            via_branch: Some(branch.key.emit()),
        };
        // Nobody waits for the answer.
        let token = self.new_token();
        self.out.push(Output::Media { token, request });
    }

    fn request_reply(
        &mut self,
        now: Now,
        token: Token,
        id: TransactionId,
        branch_id: TransactionId,
        sdp: Result<Vec<u8>, MediaError>,
    ) {
        let branch = self.forks.get(&id).and_then(|fork| fork.branch(branch_id));
        if branch.is_none_or(|branch| branch.state != BranchState::Offering(token)) {
            return;
        }
        match sdp {
            Ok(sdp) => self.send_branch(now, id, branch_id, None, Some(&sdp)),
            Err(error) => self.fail_branch(now, id, branch_id, final_for(&error)),
        }
    }

    fn response_reply(
        &mut self,
        now: Now,
        token: Token,
        id: TransactionId,
        sdp: Result<Vec<u8>, MediaError>,
    ) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let waiting = fork.upstream.iter();
        let Some(index) = waiting
            .map(|passing| passing.waits_for)
            .position(|waits_for| waits_for == Some(token))
        else {
            return;
        };
        let sdp = match sdp {
            Ok(sdp) => sdp,
            Err(error) => {
                self.fail_passing(now, id, index, &error);
                return;
            }
        };
        let passing = &mut fork.upstream[index];
        passing.waits_for = None;
        let before = Message::parse(&passing.bytes).map(|message| message.body().to_vec());
        passing.bytes = with_sdp(&passing.bytes, &sdp);
        let branch_id = passing.branch;
        if let (Some(branch_id), Ok(before)) = (branch_id, before)
            && let Some(branch) = fork.branch_mut(branch_id)
        {
            branch.sdp = Some((before, sdp));
        }
        self.flush(now, id);
    }

    /// The SDP of a response cannot be had, so the response cannot be passed on: the sender of
    /// the request is told that it failed, and whoever answered that it is over.
    pub(crate) fn fail_passing(
        &mut self,
        now: Now,
        id: TransactionId,
        index: usize,
        error: &MediaError,
    ) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let Some(passing) = fork.upstream.remove(index) else {
            return;
        };
        if passing.status >= 200
            && fork.is_invite
            && let Some(branch_id) = passing.branch
            && let Ok(message) = Message::parse(&passing.bytes)
        {
            self.refuse_accepted(now, id, branch_id, &message);
        }
        self.fail_fork(now, id, final_for(error));
    }

    /// Gives a request up: cancels what is on its way, and tells the sender at once.
    pub(crate) fn fail_fork(&mut self, now: Now, id: TransactionId, response: Final) {
        self.cancel_others(now, id, None);
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        if fork.is_failed {
            self.flush(now, id);
            return;
        }
        fork.groups.clear();
        fork.upstream.clear();
        fork.best = Some(response);
        self.decide(now, id);
    }

    fn ack_reply(
        &mut self,
        now: Now,
        call: Option<CallNumber>,
        destination: Destination,
        bytes: &[u8],
        sdp: Result<Vec<u8>, MediaError>,
    ) {
        match (sdp, call) {
            (Ok(sdp), _) => self.out.send(destination, with_sdp(bytes, &sdp)),
            (Err(_), Some(call)) => self.hang_up(now, call, CdrCause::Failed),
            (Err(_), None) => {}
        }
    }
}
