//! A phone: as simple as one can be that registers, calls and is called.

mod callee;
mod caller;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_proxy_message::Message;

use super::world::PROXY;
use crate::digest::tests::REALM;
use crate::interface::{Destination, ListenerId, Now, Output};
use crate::outbox::Outbox;
use crate::transaction::timer::T2;
use crate::transaction::{TransactionId, Transactions};

/// What a phone does with an INVITE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reaction {
    /// Rings, then answers after so many milliseconds.
    Answer(u64),
    /// Refuses at once.
    Refuse(u16),
    /// Rings for ever.
    Ring,
    /// Does not answer at all.
    Silent,
}

/// One end of a call.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: u32,
    /// Statuses that its INVITE got, in order.
    pub(crate) statuses: Vec<u16>,
    /// Bodies that came in.
    pub(crate) bodies: Vec<String>,
    pub(crate) is_up: bool,
    pub(crate) is_over: bool,
    invite: Option<TransactionId>,
    invite_cseq: u32,
    acks: BTreeMap<(String, u32), Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Sent {
    method: String,
    uri: String,
    /// Fields after Via, without CSeq and credentials.
    fields: String,
    body: String,
    dialog: Option<usize>,
    has_credentials: bool,
}

#[derive(Debug)]
struct Ringing {
    dialog: usize,
    server: TransactionId,
    request: Vec<u8>,
    answer_at: Option<Instant>,
}

/// A 2xx that is repeated until its ACK comes.
#[derive(Debug)]
struct Unacknowledged {
    dialog: usize,
    cseq: u32,
    bytes: Vec<u8>,
    at: Instant,
    interval: Duration,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) address: SocketAddr,
    pub(crate) contact: String,
    /// After the contact in REGISTER.
    pub(crate) contact_params: String,
    pub(crate) prefers_md5: bool,
    pub(crate) reaction: Reaction,
    pub(crate) sdp: Option<String>,
    pub(crate) early_sdp: bool,
    pub(crate) is_registered: bool,
    pub(crate) dialogs: Vec<Dialog>,
    /// Final statuses of requests other than INVITE, by method.
    pub(crate) finals: Vec<(String, u16)>,
    /// Methods of requests that came in.
    pub(crate) requests: Vec<String>,
    pub(crate) challenges: usize,
    /// Whose name stands in From instead of its own.
    pub(crate) calls_as: Option<String>,
    /// More fields of its requests in dialogs.
    pub(crate) more: String,
    /// Hops between the proxy and it, as its responses show them.
    pub(crate) record_routes_added: Vec<String>,
    transactions: Transactions,
    out: Outbox,
    sent: BTreeMap<TransactionId, Sent>,
    ringing: Vec<Ringing>,
    unacknowledged: Vec<Unacknowledged>,
    count: u32,
    nonce_count: u32,
}

impl Phone {
    pub(crate) fn new(user: &str, password: &str, address: SocketAddr) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            address,
            contact: format!("sip:{user}@{address}"),
            contact_params: String::new(),
            prefers_md5: false,
            reaction: Reaction::Answer(1_000),
            sdp: Some(format!("v=0 {user}\r\n")),
            early_sdp: false,
            is_registered: false,
            dialogs: Vec::new(),
            finals: Vec::new(),
            requests: Vec::new(),
            challenges: 0,
            calls_as: None,
            more: String::new(),
            record_routes_added: Vec::new(),
            transactions: Transactions::new(1_000),
            out: Outbox::default(),
            sent: BTreeMap::new(),
            ringing: Vec::new(),
            unacknowledged: Vec::new(),
            count: 0,
            nonce_count: 0,
        }
    }

    pub(crate) fn register(&mut self, now: Now) {
        self.count += 1;
        let fields = format!(
            "From: <sip:{user}@{REALM}>;tag=r{count}\r\nTo: <sip:{user}@{REALM}>\r\n\
             Call-ID: reg-{address}\r\nContact: <{contact}>{params}\r\n\
             User-Agent: Sim\r\n",
            user = self.name(),
            params = self.contact_params,
            count = self.count,
            address = self.address,
            contact = self.contact
        );
        let sent = Sent {
            method: "REGISTER".to_owned(),
            uri: format!("sip:{REALM}"),
            fields,
            body: String::new(),
            dialog: None,
            has_credentials: false,
        };
        self.send(now, sent, "");
    }

    fn name(&self) -> &str {
        self.calls_as.as_deref().unwrap_or(&self.user)
    }

    pub(crate) fn poll_send(&mut self) -> Option<Vec<u8>> {
        match self.out.pop()? {
            Output::Send { bytes, .. } => Some(bytes),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let answers = self.ringing.iter().filter_map(|ringing| ringing.answer_at);
        let repeats = self.unacknowledged.iter().map(|waiting| waiting.at);
        let timers = answers.chain(repeats);
        timers.chain(self.transactions.poll_timeout()).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.transactions.handle_timeout(now.instant, &mut self.out);
        let is_due = |ringing: &Ringing| ringing.answer_at.is_some_and(|at| at <= now.instant);
        while let Some(index) = self.ringing.iter().position(is_due) {
            let ringing = self.ringing.remove(index);
            self.answer(now, &ringing);
        }
        self.unacknowledged
            .retain(|waiting| waiting.until > now.instant);
        for waiting in &mut self.unacknowledged {
            if waiting.at <= now.instant {
                waiting.interval = (waiting.interval * 2).min(T2);
                waiting.at = now.instant + waiting.interval;
                self.out.send(to_proxy(), waiting.bytes.clone());
            }
        }
    }

    pub(crate) fn handle_message(&mut self, now: Now, bytes: &[u8]) {
        let message = Message::parse(bytes).expect("the proxy sends what can be parsed");
        if message.status().is_some() {
            self.handle_response(now, &message);
        } else {
            self.handle_request(now, &message);
        }
    }
}

fn first_contact(message: &Message<'_>) -> Option<String> {
    match message.contacts().ok()? {
        sip_proxy_message::Contacts::List(mut contacts) => {
            Some(text(contacts.next()?.name_addr.uri))
        }
        sip_proxy_message::Contacts::Star => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn to_proxy() -> Destination {
    Destination {
        listener: ListenerId(0),
        address: PROXY.parse().unwrap(),
        connection: None,
    }
}
