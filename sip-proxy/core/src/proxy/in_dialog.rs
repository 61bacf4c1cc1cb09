//! Requests inside a dialog: whose they are, and where they go.
//!
//! They are not authenticated. They must belong to a call that we know, by its tags, or carry the
//! signed token of our Record-Route; and they go to the other end of that dialog only, to the
//! address its messages come from, whatever their URIs say.

use sip_proxy_message::{Message, Method, validate_forward};

use crate::Proxy;
use crate::call::{CallNumber, Side};
use crate::flow_token::FlowToken;
use crate::fork::{Hop, Kind, MediaParties, SdpRole, Target};
use crate::interface::{CdrCause, Destination, MediaRequest, MediaSdp, Now, Output, Source};
use crate::media::{Waiter, is_sdp, text};
use crate::proxy::begin::Plan;
use crate::proxy::reply::Reply;
use crate::route::Way;
use crate::transaction::key::ServerKey;

/// A dialog, as one of its requests sees it.
#[derive(Clone, Debug)]
struct Dialog {
    next: Destination,
    call: Option<(CallNumber, Side)>,
    media_branch: Option<String>,
    /// The dialog began before this process did.
    is_of_earlier_run: bool,
}

impl Proxy {
    pub(crate) fn handle_in_dialog(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        way: Way,
        key: ServerKey,
    ) {
        let Some(dialog) = self.find_dialog(source, message, &way) else {
            self.counters.dialog_unknown += 1;
            self.reply(source, message, &Reply::new(481));
            return;
        };
        let call = dialog.call.map(|(number, _)| number);
        let target = Target {
            uri: None,
            path: Vec::new(),
            hop: Hop::At(dialog.next),
        };
        let plan = Plan {
            way,
            kind: Kind::InDialog,
            call,
            media: self.parties(message, &dialog),
            targets: Ok(vec![vec![target]]),
        };
        if message.method() == Some(Method::Invite)
            && let Some(call) = call.and_then(|number| self.calls.get_mut(number))
        {
            call.is_late_offer = !is_sdp(message);
        }
        self.begin(now, source, message, key, plan);
        if message.method() == Some(Method::Bye) {
            self.handle_bye(now, message, &dialog);
        }
    }

    /// The ACK for a 2xx; any other was absorbed before.
    pub(crate) fn handle_ack(&mut self, now: Now, source: Source, message: &Message<'_>) {
        let way = Way::read(&self.home, message)
            .ok()
            .filter(|_| validate_forward(message, &[]).is_ok());
        let dialog = way
            .as_ref()
            .and_then(|way| self.find_dialog(source, message, way));
        let (Some(way), Some(dialog)) = (way, dialog) else {
            // The ACK for a failure that was sent without a transaction has the tag that we gave.
            let (_, to_tag) = tags(message);
            if to_tag != self.local_tag(message).as_bytes() {
                self.counters.acks_stray += 1;
            }
            return;
        };
        let bytes = self.rewrite_ack(message, &way, dialog.next);
        let is_answer = is_sdp(message)
            && dialog.call.is_none_or(|(number, _)| {
                self.calls
                    .get(number)
                    .is_some_and(|call| call.is_late_offer)
            });
        if !is_answer || !self.config.relays_media {
            self.out.send(dialog.next, bytes);
            return;
        }
        let (sender_tag, other_tag) = tags(message);
        let request = MediaRequest::Answer(MediaSdp {
            call_id: text(message.call_id().unwrap_or_default()),
            from_tag: text(other_tag),
            to_tag: Some(text(sender_tag)),
            via_branch: dialog.media_branch,
            received_from: source.address.ip(),
            sdp: message.body().to_vec(),
        });
        let waiter = Waiter::Ack {
            call: dialog.call.map(|(number, _)| number),
            destination: dialog.next,
            bytes,
        };
        if self.ask_media(request, waiter).is_err()
            && let Some((number, _)) = dialog.call
        {
            self.hang_up(now, number, CdrCause::Failed);
        }
    }

    /// Whether a request has Call-ID and tags of a call that we know.
    pub(crate) fn is_in_known_dialog(&self, message: &Message<'_>) -> bool {
        let (from_tag, to_tag) = tags(message);
        message
            .call_id()
            .is_ok_and(|call_id| self.calls.find_dialog(call_id, from_tag, to_tag).is_some())
    }

    /// The dialog of a request: a call that we know, or what our Record-Route says.
    fn find_dialog(&mut self, source: Source, message: &Message<'_>, way: &Way) -> Option<Dialog> {
        let call_id = message.call_id().ok()?;
        let (from_tag, to_tag) = tags(message);
        if let Some((number, side)) = self.calls.find_dialog(call_id, from_tag, to_tag) {
            return self.known_dialog(source, message, number, side);
        }
        let user = way.token.as_deref()?;
        let parse = |caller_tag| FlowToken::parse(user, &self.secret, call_id, caller_tag);
        let (token, next) = match parse(from_tag) {
            Some(token) => (token, token.callee),
            None => parse(to_tag).map(|token| (token, token.caller))?,
        };
        self.home.listener(next.listener)?;
        Some(Dialog {
            next,
            call: None,
            media_branch: None,
            is_of_earlier_run: token.epoch != self.epoch,
        })
    }

    fn known_dialog(
        &mut self,
        source: Source,
        message: &Message<'_>,
        number: CallNumber,
        side: Side,
    ) -> Option<Dialog> {
        let from = self.reply_destination(source, message);
        let (_, to_tag) = tags(message);
        let call = self.calls.get_mut(number)?;
        let (next, callee) = match side {
            Side::Caller => {
                let callee = call.callee_by_tag(to_tag)?;
                call.caller.refresh(message, from);
                (call.callees[callee].flow, callee)
            }
            Side::Callee(callee) => {
                call.callees[callee].refresh(message, from);
                (call.caller.flow, callee)
            }
        };
        Some(Dialog {
            next,
            call: Some((number, side)),
            media_branch: call.callees[callee].media_branch.clone(),
            is_of_earlier_run: false,
        })
    }

    /// Who talks, if the request may change the media.
    fn parties(&self, message: &Message<'_>, dialog: &Dialog) -> Option<MediaParties> {
        let method = message.method()?;
        if !matches!(method, Method::Invite | Method::Prack | Method::Update)
            || !self.config.relays_media
        {
            return None;
        }
        let is_late_offer = dialog
            .call
            .and_then(|(number, _)| self.calls.get(number))
            .is_some_and(|call| call.is_late_offer);
        let request_sdp = match (is_sdp(message), method) {
            (false, _) => SdpRole::None,
            (true, Method::Prack) if is_late_offer => SdpRole::Answer,
            (true, _) => SdpRole::Offer,
        };
        let (sender_tag, other_tag) = tags(message);
        Some(MediaParties {
            call_id: text(message.call_id().ok()?),
            sender_tag: text(sender_tag),
            other_tag: Some(text(other_tag)),
            branch: dialog.media_branch.clone(),
            request_sdp,
        })
    }

    /// The call is over as soon as somebody says so; what the other says to it does not matter.
    fn handle_bye(&mut self, now: Now, message: &Message<'_>, dialog: &Dialog) {
        let Some((number, side)) = dialog.call else {
            if dialog.is_of_earlier_run && self.config.relays_media {
                self.delete_unknown(message);
            }
            return;
        };
        let Some(call) = self.calls.get(number) else {
            return;
        };
        let (_, to_tag) = tags(message);
        let (callee, cause) = match side {
            Side::Caller => (call.callee_by_tag(to_tag), CdrCause::CallerBye),
            Side::Callee(callee) => (Some(callee), CdrCause::CalleeBye),
        };
        match call.answered_by {
            Some(answered) if Some(answered) == callee => {
                self.finish_call(now, number, 200, cause);
            }
            // One of several that answered, or an early dialog: the call goes on without it.
            _ => {}
        }
    }

    /// The call is one of an earlier run of the process: its record is lost, its media need not
    /// wait for their time-out.
    fn delete_unknown(&mut self, message: &Message<'_>) {
        let (from_tag, _) = tags(message);
        let request = MediaRequest::Delete {
            call_id: text(message.call_id().unwrap_or_default()),
            from_tag: text(from_tag),
            via_branch: None,
        };
        let token = self.new_token();
        self.out.push(Output::Media { token, request });
    }
}

/// The sender's tag and the other's.
pub(crate) fn tags<'a>(message: &Message<'a>) -> (&'a [u8], &'a [u8]) {
    let tag = |address: Option<sip_proxy_message::NameAddr<'a>>| {
        address.and_then(|address| address.tag).unwrap_or_default()
    };
    (tag(message.from().ok()), tag(message.to().ok()))
}
