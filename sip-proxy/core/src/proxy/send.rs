//! Sends a request on: branches, one after the other or side by side (RFC 3261 §16.6).

use std::net::SocketAddr;
use std::time::Duration;

use sip_proxy_message::{Edits, HeaderId, Message};

use crate::Proxy;
use crate::flow_token::FlowToken;
use crate::fork::{Branch, BranchState, Final, Fork, Hop, Kind, Target};
use crate::interface::{Destination, Now, Output, Token};
use crate::proxy::begin::{PROXY_CREDENTIALS, makes_dialog};
use crate::route::Way;
use crate::transaction::key::Branch as BranchKey;
use crate::transaction::{Departure, TransactionId};

impl Proxy {
    /// Goes on with a request whose branches may all be over: tries the next group of targets, or
    /// decides which response the sender gets.
    pub(crate) fn advance(&mut self, now: Now, id: TransactionId) {
        self.advance_with(now, id, None);
    }

    /// As [`Self::advance`]; who has the request at hand says so, and it is not parsed again.
    pub(crate) fn advance_with(
        &mut self,
        now: Now,
        id: TransactionId,
        request: Option<&Message<'_>>,
    ) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        if fork.is_decided || fork.is_pending() {
            self.forget_if_done(id);
            return;
        }
        if fork.is_cancelled {
            fork.groups.clear();
        }
        match fork.groups.pop_front() {
            Some(group) => {
                for target in group {
                    self.start_branch(now, id, target, request);
                }
                // All of them may have failed already.
                self.advance_with(now, id, request);
            }
            None => self.decide(now, id),
        }
    }

    fn start_branch(
        &mut self,
        now: Now,
        id: TransactionId,
        target: Target,
        request: Option<&Message<'_>>,
    ) {
        let token = self.new_token();
        let secret = self.random();
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let key = BranchKey {
            id: self.transactions.reserve(),
            secret,
            loop_hash: fork.loop_hash,
        };
        let (destination, state) = match &target.hop {
            Hop::At(destination) => (Some(*destination), BranchState::Sent),
            Hop::Named { .. } => (None, BranchState::Resolving(token)),
        };
        if let Hop::Named { host, port, .. } = &target.hop {
            self.resolving.insert(token, (id, key.id));
            self.out.push(Output::Resolve {
                token,
                host: host.clone(),
                port: *port,
            });
        }
        fork.branches.push(Branch {
            key,
            target,
            destination,
            state,
            is_cancel_due: false,
            has_rung_out: false,
            has_media: false,
            sdp: None,
            accepted: Vec::new(),
        });
        if destination.is_some() {
            self.offer_or_send(now, id, key.id, request);
        }
    }

    /// A host name was looked up.
    pub(crate) fn resolved(&mut self, now: Now, token: Token, addresses: &[SocketAddr]) {
        let Some((id, branch_id)) = self.resolving.remove(&token) else {
            return;
        };
        let Some(branch) = self
            .forks
            .get_mut(&id)
            .and_then(|fork| fork.branch_mut(branch_id))
        else {
            return;
        };
        if branch.state != BranchState::Resolving(token) {
            return;
        }
        let Hop::Named { transport, .. } = branch.target.hop else {
            return;
        };
        let destination = addresses.iter().find_map(|address| {
            let listener = self.home.listener_for(transport, address.ip())?;
            Some(Destination {
                listener,
                address: *address,
                connection: None,
            })
        });
        branch.destination = destination;
        if destination.is_some() {
            self.offer_or_send(now, id, branch_id, None);
        } else {
            self.counters.unresolved += 1;
            self.fail_branch(now, id, branch_id, Final::local(480));
        }
    }

    /// Sends a branch, with the SDP that the relay made if there is one.
    pub(crate) fn send_branch(
        &mut self,
        now: Now,
        id: TransactionId,
        branch_id: TransactionId,
        request: Option<&Message<'_>>,
        sdp: Option<&[u8]>,
    ) {
        let Some(fork) = self.forks.get(&id) else {
            return;
        };
        let Some(branch) = fork.branch(branch_id) else {
            return;
        };
        let Some(destination) = branch.destination else {
            return;
        };
        let bytes = match request {
            Some(message) => Some(self.rewrite(message, fork, branch, destination, sdp)),
            None => Message::parse(&fork.request)
                .ok()
                .map(|message| self.rewrite(&message, fork, branch, destination, sdp)),
        };
        let Some(bytes) = bytes else {
            self.fail_branch(now, id, branch_id, Final::local(500));
            return;
        };
        let departure = Departure {
            branch: branch.key,
            bytes,
            destination,
            is_reliable: self.is_reliable(destination.listener),
            ring_timeout: fork
                .is_invite
                .then(|| Duration::from_secs(u64::from(self.config.ring_timeout_s.max(1)))),
            owner: Some(id),
        };
        if let Some(call) = fork.call
            && fork.kind == Kind::First
            && let Some(call) = self.calls.get_mut(call)
        {
            call.tried(destination.address);
        }
        if let Some(branch) = self
            .forks
            .get_mut(&id)
            .and_then(|fork| fork.branch_mut(branch_id))
        {
            branch.state = BranchState::Sent;
        }
        self.transactions
            .send_request(now.instant, departure, &mut self.out);
    }

    /// The request as this branch gets it.
    fn rewrite(
        &self,
        message: &Message<'_>,
        fork: &Fork,
        branch: &Branch,
        destination: Destination,
        sdp: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut edits = Edits::new(message);
        edits.decrement_max_forwards();
        match branch_way(fork, &branch.target) {
            Some(way) => edit_way(&mut edits, message, &way),
            None => edit_way(&mut edits, message, &fork.way),
        }
        if fork.kind == Kind::First {
            self.drop_credentials(&mut edits, message);
            // Phones do not vouch for themselves (RFC 3325 §5).
            edits.remove(HeaderId::PAssertedIdentity);
            if message.method().is_some_and(makes_dialog) {
                self.record_route(&mut edits, message, fork, destination);
            }
        }
        let via = self.home.before_branch(destination.listener).as_bytes();
        edits.prepend_joined(HeaderId::Via, [via, &branch.key.write()]);
        if let Some(sdp) = sdp {
            edits.replace_body(None, sdp);
        }
        edits.to_vec()
    }

    /// One Record-Route, or two if the dialog changes listeners here, so that each side sees the
    /// one it can reach (RFC 5658).
    fn record_route(
        &self,
        edits: &mut Edits<'_, '_>,
        message: &Message<'_>,
        fork: &Fork,
        destination: Destination,
    ) {
        let call_id = message.call_id().unwrap_or_default();
        let tag = message.from().ok().and_then(|from| from.tag);
        let token = FlowToken {
            epoch: self.epoch,
            caller: self.reply_destination(fork.source, message),
            callee: destination,
        };
        let user = token.emit(&self.secret, call_id, tag.unwrap_or_default());
        let inbound = fork.source.listener;
        if inbound != destination.listener {
            let after = self.home.after_token(inbound).as_bytes();
            edits.prepend_joined(HeaderId::RecordRoute, [b"<sip:", user.as_bytes(), after]);
        }
        let after = self.home.after_token(destination.listener).as_bytes();
        edits.prepend_joined(HeaderId::RecordRoute, [b"<sip:", user.as_bytes(), after]);
    }

    /// Credentials for us are nobody else's business.
    fn drop_credentials(&self, edits: &mut Edits<'_, '_>, message: &Message<'_>) {
        let mut credentials = message.credentials(PROXY_CREDENTIALS).peekable();
        let is_ours = credentials.peek().is_some()
            && credentials.all(|credentials| {
                credentials.is_ok_and(|credentials| self.auth.is_for_us(&credentials))
            });
        if is_ours {
            edits.remove(PROXY_CREDENTIALS);
        }
    }

    /// A request that is passed on without a transaction: the ACK for a 2xx.
    pub(crate) fn rewrite_ack(
        &mut self,
        message: &Message<'_>,
        way: &Way,
        destination: Destination,
    ) -> Vec<u8> {
        let key = BranchKey {
            id: self.transactions.reserve(),
            secret: self.random(),
            loop_hash: self.loop_hash(message, way),
        };
        let mut edits = Edits::new(message);
        edits.decrement_max_forwards();
        edit_way(&mut edits, message, way);
        let via = self.home.before_branch(destination.listener).as_bytes();
        edits.prepend_joined(HeaderId::Via, [via, &key.write()]);
        edits.to_vec()
    }
}

/// The request's way with what the target changes in it; `None` if that is nothing.
fn branch_way(fork: &Fork, target: &Target) -> Option<Way> {
    if target.uri.is_none() && target.path.is_empty() {
        return None;
    }
    let uri = target.uri.as_ref().unwrap_or(&fork.way.uri);
    Some(Way {
        uri: uri.clone(),
        routes: target
            .path
            .iter()
            .chain(&fork.way.routes)
            .cloned()
            .collect(),
        token: None,
    })
}

/// Writes request URI and Route, but only what changed.
fn edit_way(edits: &mut Edits<'_, '_>, message: &Message<'_>, way: &Way) {
    let (uri, routes) = way.to_write();
    if message.request_uri() != Some(uri.as_ref()) {
        edits.replace_request_uri(&uri);
    }
    let is_unchanged = message
        .headers(HeaderId::Route)
        .eq(routes.iter().map(Vec::as_slice));
    if is_unchanged {
        return;
    }
    edits.remove(HeaderId::Route);
    for route in routes.iter().rev() {
        edits.prepend(HeaderId::Route, route);
    }
}
