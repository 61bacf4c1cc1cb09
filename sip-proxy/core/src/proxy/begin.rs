//! Starts passing a request on: its transaction, its call, its first targets.

use sip_proxy_message::{HeaderId, Host, Message, Method, Uri};

use crate::Proxy;
use crate::call::{Call, CallNumber, Record};
use crate::dialog::Leg;
use crate::fork::{Final, Fork, Kind, MediaParties, SdpRole, Target};
use crate::interface::{Now, Source};
use crate::media::{is_sdp, text};
use crate::proxy::reply::Reply;
use crate::route::Way;
use crate::transaction::TransactionId;
use crate::transaction::key::ServerKey;

/// What [`Proxy::begin`] needs to know beyond the request itself.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) way: Way,
    pub(crate) kind: Kind,
    pub(crate) call: Option<CallNumber>,
    pub(crate) media: Option<MediaParties>,
    pub(crate) targets: Result<Vec<Vec<Target>>, Final>,
}

impl Proxy {
    /// A request outside a dialog of an account that may send it.
    pub(crate) fn begin_first(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        way: Way,
        key: ServerKey,
        targets: Result<Vec<Vec<Target>>, Final>,
    ) {
        if message.method() != Some(Method::Invite) {
            let plan = Plan {
                way,
                kind: Kind::First,
                call: None,
                media: None,
                targets,
            };
            self.begin(now, source, message, key, plan);
            return;
        }
        if let Some(reply) = self.refuse_call(message) {
            self.reply(source, message, &reply);
            return;
        }
        let Some(id) = self.insert_server(source, message, key) else {
            return;
        };
        let Some(call) = self.new_call(now, source, message, &way, id) else {
            self.transactions.remove(id);
            self.reply(source, message, &Reply::new(400));
            return;
        };
        let plan = Plan {
            way,
            kind: Kind::First,
            call: Some(call),
            media: self.first_parties(message),
            targets,
        };
        self.run(now, source, message, id, plan);
    }

    /// Whether there is room for a call, and it is not one that we already have: the same
    /// request by another way (RFC 3261 §8.2.2.2).
    fn refuse_call(&mut self, message: &Message<'_>) -> Option<Reply> {
        let call_id = message.call_id().unwrap_or_default();
        let tag = message.from().ok().and_then(|from| from.tag);
        let is_merged = self
            .calls
            .find_live(call_id, tag.unwrap_or_default())
            .is_some();
        if is_merged {
            self.counters.loops += 1;
            return Some(Reply::new(482));
        }
        if !self.calls.has_room(call_id) {
            self.counters.overloaded += 1;
            return Some(Reply::overloaded());
        }
        None
    }

    fn new_call(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        way: &Way,
        id: TransactionId,
    ) -> Option<CallNumber> {
        let flow = self.reply_destination(source, message);
        let caller = Leg::of_caller(message, flow)?;
        let from = message.from().ok()?;
        let record = Record {
            caller: address_of_record(from.uri),
            callee: address_of_record(&way.uri),
            caller_address: source.address,
            callee_address: None,
            start_unix_ms: now.unix_ms,
            ring_unix_ms: None,
            answer_unix_ms: None,
            end: None,
        };
        let call_id = message.call_id().ok()?.to_vec();
        let mut call = Call::new(call_id, id, caller, record);
        call.is_late_offer = !is_sdp(message);
        self.counters.calls += 1;
        Some(self.calls.insert(call))
    }

    fn first_parties(&self, message: &Message<'_>) -> Option<MediaParties> {
        let tag = message.from().ok()?.tag.unwrap_or_default();
        self.config.relays_media.then(|| MediaParties {
            call_id: text(message.call_id().unwrap_or_default()),
            sender_tag: text(tag),
            other_tag: None,
            branch: None,
            request_sdp: if is_sdp(message) {
                SdpRole::Offer
            } else {
                SdpRole::None
            },
        })
    }

    /// Makes the server transaction and goes on.
    pub(crate) fn begin(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        key: ServerKey,
        plan: Plan,
    ) {
        if let Some(id) = self.insert_server(source, message, key) {
            self.run(now, source, message, id, plan);
        }
    }

    /// `None`, and an answer that says so, if there is no room.
    fn insert_server(
        &mut self,
        source: Source,
        message: &Message<'_>,
        key: ServerKey,
    ) -> Option<TransactionId> {
        let is_invite = message.method() == Some(Method::Invite);
        let peer = self.reply_destination(source, message);
        let is_reliable = self.is_reliable(source.listener);
        let id = self
            .transactions
            .insert_server(key, is_invite, peer, is_reliable);
        if id.is_none() {
            self.counters.overloaded += 1;
            self.reply(source, message, &Reply::overloaded());
        }
        id
    }

    fn run(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        id: TransactionId,
        plan: Plan,
    ) {
        let is_invite = message.method() == Some(Method::Invite);
        if is_invite && plan.targets.is_ok() {
            let trying = self.emit_reply(message, &Reply::new(100));
            self.transactions
                .respond(now.instant, id, 100, trying, &mut self.out);
        }
        let loop_hash = self.loop_hash(message, &plan.way);
        let (groups, best) = match plan.targets {
            Ok(groups) => (groups.into(), None),
            Err(failure) => (std::collections::VecDeque::new(), Some(failure)),
        };
        let fork = Fork {
            request: message.bytes().into(),
            source,
            is_invite,
            way: plan.way,
            loop_hash,
            kind: plan.kind,
            call: plan.call,
            media: plan.media,
            groups,
            // Nearly always there is one, and it is kept for half a minute.
            branches: Vec::with_capacity(1),
            upstream: std::collections::VecDeque::with_capacity(1),
            best,
            is_cancelled: false,
            is_decided: false,
            is_failed: false,
        };
        self.forks.insert(id, fork);
        self.advance_with(now, id, Some(message));
    }
}

/// `user@host`, as records name people.
fn address_of_record(uri: &[u8]) -> String {
    let Ok(uri) = Uri::parse(uri) else {
        return text(uri);
    };
    let user = uri.user_unescaped().unwrap_or_default();
    let user = text(&user);
    match uri.host {
        Some(host) if user.is_empty() => host.to_string(),
        Some(Host::Name(host)) => [&user, "@", &String::from_utf8_lossy(host)].concat(),
        Some(host) => format!("{user}@{host}"),
        None => user,
    }
}

/// Whether a request makes a dialog, so that we want to see what follows.
pub(crate) const fn makes_dialog(method: Method<'_>) -> bool {
    matches!(
        method,
        Method::Invite | Method::Notify | Method::Refer | Method::Subscribe
    )
}

/// The header that holds credentials for proxies.
pub(crate) const PROXY_CREDENTIALS: HeaderId = HeaderId::ProxyAuthorization;
