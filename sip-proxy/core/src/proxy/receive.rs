//! Messages as they come in: what each one is, and who deals with it.

use sip_proxy_message::{
    HeaderId, Message, Method, Refusal, Rport, Uri, salvage, validate_forward, validate_local,
    validate_request, validate_response,
};

use crate::Proxy;
use crate::interface::{Now, Source};
use crate::proxy::in_dialog::tags;
use crate::proxy::reply::Reply;
use crate::route::Way;
use crate::transaction::Arrived;
use crate::transaction::key::{Branch, ServerKey};

/// Bytes of a Call-ID. It is kept for each call and written into each record.
const CALL_ID_LEN_MAX: usize = 512;

/// Option tags that we know as the last hop; as a hop between others we need know none.
const OPTIONS: [&[u8]; 1] = [b"path"];

impl Proxy {
    pub(crate) fn receive(&mut self, now: Now, source: Source, bytes: &[u8]) {
        let Some(start) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
            self.counters.keep_alives += 1;
            return;
        };
        let is_response = bytes[start..].starts_with(b"SIP/");
        let is_over = !is_response && self.is_over_limit(now, source);
        let parsed = Message::parse(bytes);
        // A call that was let in must also be able to end.
        if is_over && !parsed.as_ref().is_ok_and(|it| self.is_of_known_call(it)) {
            self.counters.limited += 1;
            return;
        }
        match &parsed {
            Ok(message) if message.status().is_some() => {
                self.receive_response(now, source, message);
            }
            Ok(message) => self.receive_request(now, source, message),
            Err(_) => self.receive_junk(source, bytes),
        }
    }

    fn is_over_limit(&mut self, now: Now, source: Source) -> bool {
        if self.config.requests_per_second_max == 0 {
            return false;
        }
        let ip = source.address.ip();
        let is_registered = self.location.is_registered_source(ip);
        !self.limits.accept(now.instant, ip, is_registered)
    }

    /// Whether a request belongs to a call or a transaction that is there already. A stranger
    /// would have to guess its tags or its branch.
    fn is_of_known_call(&self, message: &Message<'_>) -> bool {
        let invite = match message.method() {
            Some(Method::Ack | Method::Cancel) => Method::Invite,
            Some(method) => method,
            None => return false,
        };
        self.is_in_known_dialog(message)
            || ServerKey::new(message, invite)
                .is_ok_and(|key| self.transactions.find_server(&key).is_some())
    }

    fn receive_junk(&mut self, source: Source, bytes: &[u8]) {
        self.counters.malformed += 1;
        if let Some(request) = salvage(bytes) {
            self.reply(source, &request, &Reply::new(400));
        }
    }

    fn receive_response(&mut self, now: Now, source: Source, message: &Message<'_>) {
        self.counters.responses += 1;
        if validate_response(message).is_err() {
            self.counters.invalid += 1;
            return;
        }
        let (Ok(via), Ok(cseq)) = (message.via(), message.cseq()) else {
            self.counters.invalid += 1;
            return;
        };
        let branch = via.branch.and_then(Branch::parse);
        let (Some(branch), true) = (branch, self.home.is_our_hop(via.host, via.port)) else {
            self.counters.responses_stray += 1;
            return;
        };
        let is_to_cancel = cseq.method == Method::Cancel;
        let out = &mut self.out;
        match self
            .transactions
            .handle_response(now.instant, &branch, is_to_cancel, message, out)
        {
            Arrived::Absorbed => {}
            // "Any responses that do not match a transaction MUST be dropped" (RFC 6026 §8.9):
            // what is behind them could be made up by anybody.
            Arrived::Stray => self.counters.responses_stray += 1,
            Arrived::PassOn { client, owner } => {
                self.branch_response(now, source, owner, client, message);
            }
        }
    }

    fn receive_request(&mut self, now: Now, source: Source, message: &Message<'_>) {
        self.counters.requests += 1;
        let Ok(via) = message.via() else {
            // It is not valid without, and answered as it is.
            self.check_request(now, source, message);
            return;
        };
        let port = (via.rport != Rport::Absent).then_some(source.address.port());
        let address = source.address.ip().to_canonical();
        let mut bytes = std::mem::take(&mut self.stamped);
        match message.stamped(address, port, &mut bytes) {
            Ok(stamped) => self.check_request(now, source, &stamped),
            Err(_) => self.counters.invalid += 1,
        }
        self.stamped = bytes;
    }

    fn check_request(&mut self, now: Now, source: Source, message: &Message<'_>) {
        match validate_request(message) {
            Ok(()) => self.handle_request(now, source, message),
            Err(refusal) => self.refuse(source, message, refusal),
        }
    }

    fn refuse(&mut self, source: Source, message: &Message<'_>, refusal: Refusal) {
        self.counters.invalid += 1;
        let Refusal::Answer {
            status,
            reason,
            unsupported,
        } = refusal
        else {
            return;
        };
        let mut reply = Reply::because(status, reason);
        if let Some(id) = unsupported {
            let tags = message
                .tokens(id)
                .filter(|tag| !OPTIONS.contains(tag))
                .map(String::from_utf8_lossy);
            let tags: Vec<_> = tags.collect();
            reply = reply.with(HeaderId::Unsupported, tags.join(", "));
        }
        self.reply(source, message, &reply);
    }

    /// A request that is sound, with `received` filled in.
    fn handle_request(&mut self, now: Now, source: Source, message: &Message<'_>) {
        let Some(method) = message.method() else {
            return;
        };
        let own_key = match method {
            Method::Ack => Method::Invite,
            method => method,
        };
        let Ok(key) = ServerKey::new(message, own_key) else {
            self.counters.invalid += 1;
            return;
        };
        let known = self.transactions.find_server(&key);
        match (method, known) {
            (Method::Ack, Some(id)) if self.transactions.handle_ack(now.instant, id) => {}
            (Method::Ack, _) => self.handle_ack(now, source, message),
            (Method::Cancel, _) => self.handle_cancel(now, source, message),
            (_, Some(id)) => self.transactions.handle_request_again(id, &mut self.out),
            (_, None) => self.handle_new_request(now, source, message, key),
        }
    }

    fn handle_new_request(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        key: ServerKey,
    ) {
        if let Some(reply) = self.refuse_unreadable(message) {
            self.counters.invalid += 1;
            self.reply(source, message, &reply);
            return;
        }
        let Ok(way) = Way::read(&self.home, message) else {
            self.counters.invalid += 1;
            self.reply(source, message, &Reply::because(400, "Malformed Route"));
            return;
        };
        if self.is_loop(message, &way) {
            self.counters.loops += 1;
            self.reply(source, message, &Reply::new(482));
            return;
        }
        if self.transactions.is_full() {
            self.counters.overloaded += 1;
            self.reply(source, message, &Reply::overloaded());
            return;
        }
        let to_tag = message.to().ok().and_then(|to| to.tag);
        let is_local = to_tag.is_none() && self.is_for_us(message, &way);
        let checked = if is_local {
            validate_local(message, &OPTIONS)
        } else {
            validate_forward(message, &[])
        };
        if let Err(refusal) = checked {
            self.refuse(source, message, refusal);
            return;
        }
        if to_tag.is_some() {
            self.handle_in_dialog(now, source, message, way, key);
        } else {
            self.handle_out_of_dialog(now, source, message, way, key);
        }
    }

    /// What is too long to be kept, or cannot be written into a record.
    fn refuse_unreadable(&self, message: &Message<'_>) -> Option<Reply> {
        let call_id = message.call_id().unwrap_or_default();
        let is_text = str::from_utf8(call_id).is_ok();
        (call_id.len() > CALL_ID_LEN_MAX || !is_text)
            .then_some(Reply::because(400, "Unusable Call-ID"))
    }

    /// Whether a request outside a dialog ends here: REGISTER, and OPTIONS for the proxy itself.
    pub(crate) fn is_for_us(&self, message: &Message<'_>, way: &Way) -> bool {
        match message.method() {
            Some(Method::Register) => true,
            Some(Method::Options) => Uri::parse(&way.uri).is_ok_and(|uri| {
                uri.user.is_none() && way.routes.is_empty() && self.home.is_ours(&uri)
            }),
            _ => false,
        }
    }

    /// Whether the request went through here before without change of what routing depends on
    /// (RFC 3261 §16.3 step 4, RFC 5393 §4.2).
    fn is_loop(&self, message: &Message<'_>, way: &Way) -> bool {
        let ours = message.vias().map_while(Result::ok).filter_map(|via| {
            let branch = via.branch.and_then(Branch::parse)?;
            self.home.is_our_hop(via.host, via.port).then_some(branch)
        });
        let mut ours = ours.peekable();
        if ours.peek().is_none() {
            return false;
        }
        let hash = self.loop_hash(message, way);
        ours.any(|branch| branch.loop_hash == hash)
    }

    pub(crate) fn loop_hash(&self, message: &Message<'_>, way: &Way) -> u32 {
        use std::hash::BuildHasher;
        let (from_tag, to_tag) = tags(message);
        let hash = self.loop_hasher.hash_one((
            &way.uri,
            &way.routes,
            message.call_id().unwrap_or_default(),
            from_tag,
            to_tag,
            message.cseq().map_or(0, |cseq| cseq.number),
            message.method().map(Method::name),
        ));
        // Half of it is enough: a false alarm needs an accident within one request's Vias.
        u32::try_from(hash >> 32).unwrap_or_default()
    }
}
