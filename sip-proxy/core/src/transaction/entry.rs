//! One transaction in the table.

use std::time::Instant;

use sip_proxy_message::{Message, ack_for};

use super::client::Client;
use super::client_invite::{Fired, InviteClient};
use super::key::ServerKey;
use super::server::Server;
use super::server_invite::{InviteServer, Resend};
use super::{Event, EventKind, TransactionId};
use crate::deadlines::Armed;
use crate::interface::Destination;
use crate::outbox::Outbox;

/// A state machine, and the bytes that it may have to send again.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) machine: Machine,
    pub(super) peer: Destination,
    /// What may have to be sent again: a client's request or ACK, a server's last response.
    pub(super) bytes: Vec<u8>,
    pub(super) armed: Armed,
    /// Of a server: its place in the table of keys.
    pub(super) key: Option<ServerKey>,
    /// Of a client: what its branch must hold.
    pub(super) secret: u64,
    /// Of a client: the server transaction that it works for; `None` for requests of our own.
    pub(super) owner: Option<TransactionId>,
}

/// One of the four.
#[derive(Debug)]
pub(super) enum Machine {
    Client(Client),
    InviteClient(InviteClient),
    InviteServer(InviteServer),
    Server(Server),
}

impl Entry {
    pub(super) fn send(&self, out: &mut Outbox) {
        if !self.bytes.is_empty() {
            out.send(self.peer, self.bytes.clone());
        }
    }

    /// Sends the ACK for a failure and keeps it in place of the INVITE.
    pub(super) fn acknowledge(&mut self, response: &Message<'_>, out: &mut Outbox) {
        let ack = Message::parse(&self.bytes).map(|invite| ack_for(&invite, response));
        self.bytes = match ack {
            Ok(Ok(ack)) => ack.to_vec(),
            _ => Vec::new(),
        };
        self.send(out);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) -> Fired {
        let fired = match &mut self.machine {
            Machine::Client(machine) => machine.handle_timeout(now),
            Machine::InviteClient(machine) => machine.handle_timeout(now),
            Machine::InviteServer(machine) => match machine.handle_timeout(now) {
                Resend::LastResponse => Fired::Retransmit,
                Resend::Nothing => Fired::Nothing,
            },
            Machine::Server(machine) => {
                machine.handle_timeout(now);
                Fired::Nothing
            }
        };
        if fired == Fired::Retransmit {
            self.send(out);
        }
        fired
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Client(machine) => machine.poll_timeout(),
            Machine::InviteClient(machine) => machine.poll_timeout(),
            Machine::InviteServer(machine) => machine.poll_timeout(),
            Machine::Server(machine) => machine.poll_timeout(),
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        match &self.machine {
            Machine::Client(machine) => machine.is_terminated(),
            Machine::InviteClient(machine) => machine.is_terminated(),
            Machine::InviteServer(machine) => machine.is_terminated(),
            Machine::Server(machine) => machine.is_terminated(),
        }
    }

    /// Whether the last response may have to be sent again. Not asked of clients, which keep
    /// their request.
    pub(super) const fn keeps_response(&self) -> bool {
        match &self.machine {
            Machine::InviteServer(machine) => machine.keeps_response(),
            Machine::Client(_) | Machine::InviteClient(_) | Machine::Server(_) => true,
        }
    }

    pub(super) const fn is_reliable(&self) -> bool {
        match &self.machine {
            Machine::Client(machine) => machine.is_reliable(),
            Machine::InviteClient(machine) => machine.is_reliable(),
            Machine::InviteServer(_) | Machine::Server(_) => false,
        }
    }

    pub(super) fn event(&self, client: TransactionId, kind: EventKind) -> Option<Event> {
        self.owner.map(|owner| Event {
            client,
            owner,
            kind,
        })
    }
}
