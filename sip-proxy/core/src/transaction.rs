//! Transactions: the table, its timers, and what they send (RFC 3261 §17).
//!
//! A response finds its transaction by the branch that we made ([`Branch`]), a request by
//! [`ServerKey`]. What is over keeps only the bytes that may have to be sent again.

pub(crate) mod client;
pub(crate) mod client_invite;
mod entry;
pub(crate) mod key;
pub(crate) mod server;
pub(crate) mod server_invite;
pub(crate) mod timer;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use sip_proxy_message::{Message, cancel_for};

use crate::deadlines::{Armed, Deadlines};
use crate::interface::Destination;
use crate::outbox::Outbox;
use client::Client;
use client_invite::{Fired, InviteClient, Reaction};
use entry::{Entry, Machine};
use key::{Branch, ServerKey};
use server::Server;
use server_invite::{InviteServer, Resend};

/// Names a transaction for as long as the process lives. Those of CANCEL requests are odd: one
/// more than that of the INVITE, whose branch they share.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct TransactionId(pub(crate) u64);

impl TransactionId {
    const fn of_cancel(self) -> Self {
        Self(self.0 | 1)
    }
}

/// All transactions.
#[derive(Debug)]
pub(crate) struct Transactions {
    entries: FxHashMap<TransactionId, Entry>,
    servers: FxHashMap<ServerKey, TransactionId>,
    /// Clients without any response yet, by where they were sent.
    unanswered: BTreeSet<(SocketAddr, TransactionId)>,
    deadlines: Deadlines<TransactionId>,
    next: u64,
    max: usize,
}

/// What became of a response that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrived {
    /// It was for a transaction, which needs nothing more.
    Absorbed,
    /// It is for whoever sent the request.
    PassOn {
        client: TransactionId,
        owner: TransactionId,
    },
    /// It answers nothing that we sent.
    Stray,
}

/// What a timer brought about in a client transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) client: TransactionId,
    pub(crate) owner: TransactionId,
    pub(crate) kind: EventKind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EventKind {
    /// No final response will come.
    TimedOut,
    /// It rang for too long (timer C) and was cancelled.
    RingTimeout,
    /// It could not be sent.
    Unreachable,
    /// It is forgotten; nothing else will come of it.
    Terminated,
}

/// What is needed to send a request.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) branch: Branch,
    pub(crate) bytes: Vec<u8>,
    pub(crate) destination: Destination,
    pub(crate) is_reliable: bool,
    /// Of an INVITE: timer C.
    pub(crate) ring_timeout: Option<Duration>,
    pub(crate) owner: Option<TransactionId>,
}

impl Transactions {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            entries: FxHashMap::default(),
            servers: FxHashMap::default(),
            unanswered: BTreeSet::new(),
            deadlines: Deadlines::new(),
            next: 2,
            max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.max
    }

    /// A number for a new transaction.
    pub(crate) fn reserve(&mut self) -> TransactionId {
        let id = TransactionId(self.next);
        self.next += 2;
        id
    }

    pub(crate) fn find_server(&self, key: &ServerKey) -> Option<TransactionId> {
        self.servers.get(key).copied()
    }

    /// A request arrived that is no retransmission. `None` if the table is full.
    pub(crate) fn insert_server(
        &mut self,
        key: ServerKey,
        is_invite: bool,
        peer: Destination,
        is_reliable: bool,
    ) -> Option<TransactionId> {
        if self.is_full() {
            return None;
        }
        let id = self.reserve();
        let machine = if is_invite {
            Machine::InviteServer(InviteServer::new(is_reliable))
        } else {
            Machine::Server(Server::new(is_reliable))
        };
        self.servers.insert(key, id);
        self.entries.insert(
            id,
            Entry {
                machine,
                peer,
                bytes: Vec::new(),
                armed: Armed::default(),
                key: Some(key),
                secret: 0,
                owner: None,
            },
        );
        Some(id)
    }

    /// The request of a server transaction arrived again.
    pub(crate) fn handle_request_again(&self, id: TransactionId, out: &mut Outbox) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let resend = match &entry.machine {
            Machine::InviteServer(machine) => machine.handle_request(),
            Machine::Server(machine) => machine.handle_request(),
            Machine::Client(_) | Machine::InviteClient(_) => Resend::Nothing,
        };
        if resend == Resend::LastResponse {
            entry.send(out);
        }
    }

    /// An ACK arrived for a server transaction. `false` if it is to be passed on.
    pub(crate) fn handle_ack(&mut self, now: Instant, id: TransactionId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let Machine::InviteServer(machine) = &mut entry.machine else {
            return false;
        };
        let is_absorbed = machine.handle_ack(now);
        self.settle(id);
        is_absorbed
    }

    /// Sends a response, unless the transaction is past it.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        id: TransactionId,
        status: u16,
        bytes: Vec<u8>,
        out: &mut Outbox,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let goes_out = match &mut entry.machine {
            Machine::InviteServer(machine) => machine.handle_response(now, status),
            Machine::Server(machine) => machine.handle_response(now, status),
            Machine::Client(_) | Machine::InviteClient(_) => false,
        };
        if goes_out {
            if entry.keeps_response() {
                entry.bytes.clone_from(&bytes);
            }
            out.send(entry.peer, bytes);
            self.settle(id);
        }
        goes_out
    }

    /// Whether no final response was sent yet.
    pub(crate) fn is_server_proceeding(&self, id: TransactionId) -> bool {
        match self.entries.get(&id).map(|entry| &entry.machine) {
            Some(Machine::InviteServer(machine)) => machine.is_proceeding(),
            Some(Machine::Server(machine)) => machine.is_proceeding(),
            _ => false,
        }
    }

    /// Where the responses of a server transaction go.
    pub(crate) fn peer(&self, id: TransactionId) -> Option<Destination> {
        self.entries.get(&id).map(|entry| entry.peer)
    }

    /// Sends a request. Its number comes from [`Self::reserve`].
    pub(crate) fn send_request(&mut self, now: Instant, departure: Departure, out: &mut Outbox) {
        let machine = match departure.ring_timeout {
            Some(timeout) => {
                Machine::InviteClient(InviteClient::new(now, departure.is_reliable, timeout))
            }
            None => Machine::Client(Client::new(now, departure.is_reliable)),
        };
        let id = departure.branch.id;
        self.unanswered.insert((departure.destination.address, id));
        let entry = Entry {
            machine,
            peer: departure.destination,
            bytes: departure.bytes,
            armed: Armed::default(),
            key: None,
            secret: departure.branch.secret,
            owner: departure.owner,
        };
        entry.send(out);
        self.entries.insert(id, entry);
        self.settle(id);
    }

    /// Cancels an INVITE that was sent. `false` if that is not possible (yet): before a
    /// provisional response, or after the final one.
    pub(crate) fn cancel(&mut self, now: Instant, id: TransactionId, out: &mut Outbox) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let Machine::InviteClient(machine) = &mut entry.machine else {
            return false;
        };
        if !machine.is_proceeding() {
            return false;
        }
        let Ok(Ok(cancel)) = Message::parse(&entry.bytes).map(|invite| cancel_for(&invite)) else {
            return false;
        };
        machine.handle_cancelled(now);
        let departure = Departure {
            branch: Branch {
                id: id.of_cancel(),
                secret: entry.secret,
                loop_hash: 0,
            },
            bytes: cancel.to_vec(),
            destination: entry.peer,
            is_reliable: entry.is_reliable(),
            ring_timeout: None,
            owner: None,
        };
        self.settle(id);
        self.send_request(now, departure, out);
        true
    }

    /// A response arrived with this branch in its topmost Via.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        branch: &Branch,
        is_to_cancel: bool,
        response: &Message<'_>,
        out: &mut Outbox,
    ) -> Arrived {
        let id = if is_to_cancel {
            branch.id.of_cancel()
        } else {
            branch.id
        };
        let (Some(entry), Some(status)) = (self.entries.get_mut(&id), response.status()) else {
            return Arrived::Stray;
        };
        if entry.secret != branch.secret {
            return Arrived::Stray;
        }
        self.unanswered.remove(&(entry.peer.address, id));
        let reaction = match &mut entry.machine {
            Machine::Client(machine) => machine.handle_response(now, status),
            Machine::InviteClient(machine) => machine.handle_response(now, status),
            Machine::InviteServer(_) | Machine::Server(_) => return Arrived::Stray,
        };
        match reaction {
            Reaction::Acknowledge => entry.send(out),
            Reaction::AcknowledgeAndPassOn => entry.acknowledge(response, out),
            Reaction::Absorb | Reaction::PassOn => {}
        }
        if status >= 200 && matches!(reaction, Reaction::PassOn) {
            entry.bytes = Vec::new();
        }
        let owner = entry.owner;
        self.settle(id);
        match (reaction, owner) {
            (Reaction::AcknowledgeAndPassOn | Reaction::PassOn, Some(owner)) => {
                Arrived::PassOn { client: id, owner }
            }
            _ => Arrived::Absorbed,
        }
    }

    /// Nothing can be sent to this destination any more: requests that wait for a first response
    /// from there are lost.
    pub(crate) fn handle_transport_error(&mut self, destination: Destination) -> Vec<Event> {
        let address = destination.address;
        let range = (address, TransactionId(0))..=(address, TransactionId(u64::MAX));
        let lost = self.unanswered.range(range);
        let lost: Vec<TransactionId> = lost.map(|(_, id)| *id).collect();
        let mut events = Vec::new();
        for id in lost {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if entry.peer != destination {
                continue;
            }
            let fired = match &mut entry.machine {
                Machine::Client(machine) => machine.handle_transport_error(),
                Machine::InviteClient(machine) => machine.handle_transport_error(),
                Machine::InviteServer(_) | Machine::Server(_) => Fired::Nothing,
            };
            if fired == Fired::TimedOut {
                events.extend(entry.event(id, EventKind::Unreachable));
                self.settle(id);
            }
        }
        events
    }

    /// Lets timers fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some((at, id)) = self.deadlines.pop(now) {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.armed.fired(at);
            let fired = entry.handle_timeout(now, out);
            let owned = |kind| {
                entry.owner.map(|owner| Event {
                    client: id,
                    owner,
                    kind,
                })
            };
            match fired {
                Fired::TimedOut => events.extend(owned(EventKind::TimedOut)),
                Fired::RingTimeout => events.extend(owned(EventKind::RingTimeout)),
                Fired::Nothing if entry.is_terminated() => {
                    events.extend(owned(EventKind::Terminated));
                }
                Fired::Nothing | Fired::Retransmit => {}
            }
            if fired == Fired::RingTimeout {
                self.cancel(now, id, out);
            }
            self.settle(id);
        }
        events
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Forgets what nobody waits for, as if it had never been.
    pub(crate) fn remove(&mut self, id: TransactionId) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.unanswered.remove(&(entry.peer.address, id));
        if let Some(key) = entry.key {
            self.servers.remove(&key);
        }
    }

    /// After a change of state: arms the timer, drops bytes that are not needed, forgets what is
    /// over.
    fn settle(&mut self, id: TransactionId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.is_terminated() {
            self.remove(id);
            return;
        }
        if !entry.keeps_response() {
            entry.bytes = Vec::new();
        }
        let deadline = entry.poll_timeout();
        self.deadlines.arm(&mut entry.armed, id, deadline);
    }
}

#[cfg(test)]
mod tests;
