//! Offers and answers, be they of parties or of the relay's own; the list of calls; what is said when
//! the relay stays away.

use std::sync::Arc;
use std::time::Duration;

use control_ng::{Command, Create, Message, Negotiation, Request, Support, Value, reply};
use rand::RngExt;
use relay_wire::{CallKey, CommandError, Refusal as RelayRefusal, WorkerId};

use crate::call::{CallState, Client};
use crate::negotiation::{Negotiator, Refusal, Turn, is_loop};
use crate::playing::endings;

use super::jobs::{Call, Then};
use super::{Control, DATAGRAM_BYTES_MAX, Held, Now};

/// Proxies know this text, and try another relay.
const SESSIONS: &str = "Parallel session limit reached";

/// Said when the relay stays away.
const NO_RELAY: &str = "Media relay not available";

/// Call-IDs that `list` names at most, so that the reply fits in a datagram.
const LIST_BYTES_MAX: usize = 60_000;

/// Deletes remembered until records can be read.
const DOOMED_MAX: usize = 4_096;

impl Control {
    /// Carries a description of our own out, and makes up what it does not name.
    pub(super) fn create(&mut self, now: Now, mut held: Held, cookie: &[u8], create: &Create<'_>) {
        let party = &create.party;
        if !party.call_id.is_empty() && !party.from_tag.is_empty() {
            return self.negotiate(now, held, cookie, Turn::Create(create));
        }
        // They stay the same if it has to be tried again.
        let mut name = || format!("{:032x}", self.rng.random::<u128>());
        let made_up = held.names.get_or_insert_with(|| [name(), name()].into());
        let made_up = Arc::clone(made_up);
        let [call_id, from_tag] = [0, 1].map(|it| made_up[it].as_bytes());
        let or = |given, made_up| if given == b"" { made_up } else { given };
        let party = Negotiation {
            call_id: or(party.call_id, call_id),
            from_tag: or(party.from_tag, from_tag),
            ..party.clone()
        };
        let named = Create {
            party,
            ..create.clone()
        };
        self.negotiate(now, held, cookie, Turn::Create(&named));
    }

    /// Carries an offer or an answer out.
    pub(super) fn negotiate(&mut self, now: Now, held: Held, cookie: &[u8], turn: Turn<'_>) {
        if self.pass_loop(now, &held, cookie, turn) {
            return;
        }
        let mut key = self.keys.get(turn.said().call_id).copied();
        if let Some(known) = key
            && let Some(call) = self.calls.get(&known)
        {
            if call.is_busy() {
                return self.enqueue(now, known, held);
            }
            if call.ended.is_some() {
                // A new call of an old name.
                self.forget(now, known);
                key = None;
            } else if call.must_restore {
                self.enqueue(now, known, held);
                return self.restore(now, known);
            }
        }
        match key {
            Some(key) => self.negotiate_known(now, key, held, cookie, turn),
            None if turn.begins() => self.begin(now, held, cookie, turn),
            None => {
                let reason = Refusal::UnknownCall.to_string();
                self.finish_refused(now, &held, cookie, &reason);
            }
        }
    }

    /// Lets a description go on as it is that has passed us before.
    pub(super) fn pass_loop(
        &mut self,
        now: Now,
        held: &Held,
        cookie: &[u8],
        turn: Turn<'_>,
    ) -> bool {
        let (Turn::Answer(passed) | Turn::Offer(passed)) = turn else {
            return false;
        };
        let is_loop = is_loop(&self.policy, passed);
        if is_loop {
            let reply = reply::ok().with("sdp", passed.sdp).encode(cookie);
            self.finish(now, held, reply);
        }
        is_loop
    }

    fn negotiate_known(
        &mut self,
        now: Now,
        key: CallKey,
        held: Held,
        cookie: &[u8],
        turn: Turn<'_>,
    ) {
        let call = &self.calls[&key];
        let (worker, mut next) = (call.worker, call.state.clone());
        let mut negotiator = self.negotiator(now, &held, worker);
        match negotiator.carry_out(&mut next, turn) {
            Ok(sdp) => {
                let reply = reply_to(cookie, turn, &sdp);
                self.agree(now, key, held, cookie, (next, reply));
            }
            Err(refusal) => {
                self.release_added(now, key, &next, None);
                self.finish_refused(now, &held, cookie, &refusal.to_string());
            }
        }
    }

    /// Begins a call, on the first worker that has ports for it.
    fn begin(&mut self, now: Now, held: Held, cookie: &[u8], turn: Turn<'_>) {
        if let Some(overload) = self.admission.refuse(self.keys.len()) {
            return self.refuse_load(now, &held, cookie, turn.said(), overload.text());
        }
        let mut workers = self.placement.order();
        // The workers tried before come last.
        let tried = usize::from(held.attempts).min(workers.len());
        workers.rotate_left(tried);
        let call_id: Arc<[u8]> = turn.said().call_id.into();
        for worker in workers {
            let mut state = CallState::new(Arc::clone(&call_id), now.unix_ms);
            let mut negotiator = self.negotiator(now, &held, worker);
            match negotiator.carry_out(&mut state, turn) {
                Ok(sdp) => {
                    let key = self.add_call(now, worker, &call_id);
                    self.trace_begun(now, key, &held);
                    let reply = reply_to(cookie, turn, &sdp);
                    return self.agree(now, key, held, cookie, (state, reply));
                }
                Err(refusal) => {
                    for port in state.ports() {
                        self.ports.release_unused(worker, port);
                    }
                    if refusal != Refusal::OutOfPorts {
                        return self.finish_refused(now, &held, cookie, &refusal.to_string());
                    }
                }
            }
        }
        self.finish_refused(now, &held, cookie, &Refusal::OutOfPorts.to_string());
    }

    fn add_call(&mut self, now: Now, worker: WorkerId, call_id: &Arc<[u8]>) -> CallKey {
        let key = CallKey(self.next_key);
        self.next_key += 1;
        self.keys.insert(Arc::clone(call_id), key);
        let state = CallState::new(Arc::clone(call_id), now.unix_ms);
        self.calls.insert(key, Box::new(Call::new(worker, state)));
        self.placement.add(worker);
        key
    }

    /// Has the relay do what offer or answer came to. An answer that is provisional makes the
    /// offer wait anew.
    fn agree(
        &mut self,
        now: Now,
        key: CallKey,
        held: Held,
        cookie: &[u8],
        (mut next, reply): (CallState, Vec<u8>),
    ) {
        if !next.is_confirmed && self.config.offer_timeout_s > 0 {
            let wait = Duration::from_secs(u64::from(self.config.offer_timeout_s));
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            next.offer_deadline_unix_ms = Some(now.unix_ms.saturating_add(wait_ms));
        }
        let added = self.ports_added(key, &next);
        let too_long = CommandError::Refused(RelayRefusal::TooLong);
        let result = if reply.len() > DATAGRAM_BYTES_MAX {
            Err(too_long)
        } else {
            let then = Then::Reply(reply);
            let before = self.calls.get(&key);
            let over = before.map(|call| endings(key, &call.state, &next));
            self.change(key, held.clone(), (next, then), over.unwrap_or_default())
        };
        if let Err(error) = result {
            self.release_unused(key, &added);
            if self.calls.get(&key).is_some_and(|it| it.is_new()) {
                self.forget(now, key);
            }
            self.finish_refused(now, &held, cookie, &error.to_string());
        }
    }

    pub(super) fn negotiator(&mut self, now: Now, held: &Held, worker: WorkerId) -> Negotiator<'_> {
        Negotiator {
            now,
            client: held.client,
            worker,
            guest_worker: None,
            interfaces: &self.link.interfaces,
            fingerprints: self.link.fingerprints(),
            policy: &self.policy,
            ports: &mut self.ports,
            rng: &mut self.rng,
            transcode: self.config.transcode,
            spares_codecs: held.spares_codecs,
        }
    }

    /// Sends the client to another relay. Those that know no better are told what makes them go
    /// there, whatever the reason is.
    fn refuse_load(
        &mut self,
        now: Now,
        held: &Held,
        cookie: &[u8],
        offer: &Negotiation<'_>,
        reason: &str,
    ) {
        self.count_refused(held.client, reason);
        self.trace_refused(now, held, reason);
        let reply = if offer.supports.has(Support::LoadLimit) {
            reply::load_limit(reason)
        } else {
            reply::error(SESSIONS)
        };
        self.finish(now, held, reply.encode(cookie));
    }

    /// The relay did not come back in time for a request.
    pub(super) fn give_up_waiting(&mut self, now: Now, mut held: Held) {
        self.let_go(now, &mut held);
        let held = &held;
        let message = Message::split(&held.datagram).expect("it was divided before");
        let document = Value::parse(message.body).expect("it was parsed before");
        let request = Request::parse(&document).expect("it was understood before");
        match request.command {
            Command::Create(Create { party: said, .. }) | Command::Offer(said) => {
                self.refuse_load(now, held, message.cookie, &said, NO_RELAY);
            }
            Command::Delete(delete) => {
                self.delete_unseen(now, delete.call_id);
                self.finish(now, held, reply::ok().encode(message.cookie));
            }
            _ => self.finish_refused(now, held, message.cookie, NO_RELAY),
        }
    }

    /// Ends a call while the relay is away: it is removed there when it is back.
    fn delete_unseen(&mut self, now: Now, call_id: &[u8]) {
        if let Some(key) = self.keys.get(call_id).copied() {
            self.forget(now, key);
        } else if !self.link.has_adopted() && self.link.doomed.len() < DOOMED_MAX {
            self.link.doomed.push(call_id.to_vec());
        }
    }

    /// `list`
    pub(super) fn list(&mut self, client: Client, cookie: &[u8], limit: u32) {
        self.counters.lists += 1;
        let mut bytes = 0;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let calls = self.calls.values().filter(|call| call.ended.is_none());
        let names = calls.map(|call| &call.state.call_id[..]).take(limit);
        let names = names.take_while(|name| {
            bytes += name.len() + 6;
            bytes <= LIST_BYTES_MAX
        });
        let calls: Vec<_> = names.map(Value::from).collect();
        let datagram = reply::ok().with("calls", calls).encode(cookie);
        self.send(client, datagram);
    }
}

/// The reply to a turn that came to this description.
pub(super) fn reply_to(cookie: &[u8], turn: Turn<'_>, sdp: &[u8]) -> Vec<u8> {
    reply::write_ok(cookie, |document| match turn {
        Turn::Answer(_) | Turn::Offer(_) => document.put("sdp", sdp),
        Turn::Create(Create { party, .. }) => {
            document.put("call-id", party.call_id);
            document.put("from-tag", party.from_tag);
            document.put("sdp", sdp);
        }
        Turn::CreateAnswer(_) => {}
    })
}
