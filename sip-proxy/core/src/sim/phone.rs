//! A phone: as simple as one can be that registers, calls and is called.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_proxy_message::{HeaderId, Message, Method, Response};

use super::world::PROXY;
use crate::digest::tests::{REALM, answer};
use crate::interface::{Destination, ListenerId, Now, Output};
use crate::outbox::Outbox;
use crate::transaction::key::{Branch, ServerKey};
use crate::transaction::timer::{T1, T2, TRANSACTION_TIMEOUT};
use crate::transaction::{Arrived, Departure, TransactionId, Transactions};

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

    /// Calls somebody; the number of the dialog.
    pub(crate) fn call(&mut self, now: Now, callee: &str) -> usize {
        self.count += 1;
        let number = self.dialogs.len();
        let uri = if callee.contains(':') {
            callee.to_owned()
        } else {
            format!("sip:{callee}@{REALM}")
        };
        let tag = format!("{}-{}", self.user, self.count);
        self.dialogs.push(Dialog {
            call_id: format!("call-{}-{}", self.address, self.count),
            local: format!("<sip:{}@{REALM}>;tag={tag}", self.name()),
            remote: format!("<{uri}>"),
            target: uri,
            routes: Vec::new(),
            cseq: 1,
            statuses: Vec::new(),
            bodies: Vec::new(),
            is_up: false,
            is_over: false,
            invite: None,
            invite_cseq: 0,
            acks: BTreeMap::new(),
        });
        let body = self.sdp.clone().unwrap_or_default();
        self.in_dialog(now, number, "INVITE", &body);
        number
    }

    pub(crate) fn bye(&mut self, now: Now, number: usize) {
        self.dialogs[number].is_over = true;
        self.in_dialog(now, number, "BYE", "");
    }

    /// Cancels; the INVITE must have had a provisional response.
    pub(crate) fn cancel(&mut self, now: Now, number: usize) {
        let invite = self.dialogs[number].invite.unwrap();
        assert!(self.transactions.cancel(now.instant, invite, &mut self.out));
    }

    /// Any request inside a dialog.
    pub(crate) fn in_dialog(&mut self, now: Now, number: usize, method: &str, body: &str) {
        let dialog = &self.dialogs[number];
        let mut fields = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nContact: <{}>\r\nUser-Agent: Sim\r\n",
            dialog.local, dialog.remote, dialog.call_id, self.contact
        );
        for route in &dialog.routes {
            fields += &format!("Route: {route}\r\n");
        }
        let sent = Sent {
            method: method.to_owned(),
            uri: dialog.target.clone(),
            fields,
            body: body.to_owned(),
            dialog: Some(number),
            has_credentials: false,
        };
        self.send(now, sent, "");
    }

    /// A request outside any dialog.
    pub(crate) fn outside(&mut self, now: Now, method: &str, uri: &str) {
        self.count += 1;
        let fields = format!(
            "From: <sip:{user}@{REALM}>;tag=o{count}\r\nTo: <{uri}>\r\n\
             Call-ID: out-{count}-{address}\r\nContact: <{contact}>\r\nUser-Agent: Sim\r\n",
            user = self.user,
            count = self.count,
            address = self.address,
            contact = self.contact
        );
        let sent = Sent {
            method: method.to_owned(),
            uri: uri.to_owned(),
            fields,
            body: String::new(),
            dialog: None,
            has_credentials: false,
        };
        self.send(now, sent, "");
    }

    fn send(&mut self, now: Now, sent: Sent, credentials: &str) {
        let branch = Branch {
            id: self.transactions.reserve(),
            secret: 5,
            loop_hash: u32::from(self.address.port()),
        };
        let cseq = match sent.dialog {
            Some(number) => {
                self.dialogs[number].cseq += 1;
                self.dialogs[number].cseq
            }
            None => {
                self.count += 1;
                self.count
            }
        };
        let method = &sent.method;
        let content_type = if sent.body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={}\r\nMax-Forwards: 70\r\n\
             {}CSeq: {cseq} {method}\r\n{credentials}{content_type}Content-Length: {}\r\n\r\n{}",
            sent.uri,
            self.address,
            branch.emit(),
            sent.fields,
            sent.body.len(),
            sent.body
        );
        if let Some(number) = sent.dialog
            && method == "INVITE"
        {
            self.dialogs[number].invite = Some(branch.id);
            self.dialogs[number].invite_cseq = cseq;
        }
        let departure = Departure {
            branch,
            bytes: text.into_bytes(),
            destination: to_proxy(),
            is_reliable: false,
            ring_timeout: (method == "INVITE").then(|| Duration::from_secs(1_000)),
            owner: Some(branch.id),
        };
        self.sent.insert(branch.id, sent);
        self.transactions
            .send_request(now.instant, departure, &mut self.out);
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

    fn handle_response(&mut self, now: Now, message: &Message<'_>) {
        let branch = Branch::parse(message.via().unwrap().branch.unwrap()).unwrap();
        let is_to_cancel = message.cseq().unwrap().method == Method::Cancel;
        let arrived = self.transactions.handle_response(
            now.instant,
            &branch,
            is_to_cancel,
            message,
            &mut self.out,
        );
        if let Arrived::PassOn { client, .. } = arrived {
            self.handle_answer(now, client, message);
        }
    }

    fn handle_answer(&mut self, now: Now, client: TransactionId, message: &Message<'_>) {
        let status = message.status().unwrap();
        let sent = self.sent[&client].clone();
        if matches!(status, 401 | 407) && !sent.has_credentials {
            self.challenges += 1;
            self.retry(now, sent, message, status);
            return;
        }
        if status == 100 {
            return;
        }
        if let Some(number) = sent.dialog
            && sent.method == "INVITE"
        {
            self.invite_answer(number, message, status);
            return;
        }
        if status >= 200 {
            self.finals.push((sent.method.clone(), status));
            if sent.method == "REGISTER" {
                self.is_registered = status == 200;
            }
            if let Some(number) = sent.dialog
                && !message.body().is_empty()
            {
                let body = String::from_utf8_lossy(message.body()).into_owned();
                self.dialogs[number].bodies.push(body);
            }
        }
    }

    fn retry(&mut self, now: Now, mut sent: Sent, message: &Message<'_>, status: u16) {
        let (asked, given) = if status == 401 {
            (HeaderId::WwwAuthenticate, "Authorization")
        } else {
            (HeaderId::ProxyAuthenticate, "Proxy-Authorization")
        };
        let challenges: Vec<String> = message
            .fields()
            .filter(|field| field.id == asked)
            .map(|field| String::from_utf8_lossy(field.value).into_owned())
            .collect();
        let wanted = if self.prefers_md5 { "MD5" } else { "SHA-256" };
        let challenge = challenges
            .iter()
            .find(|value| value.contains(wanted))
            .unwrap();
        self.nonce_count += 1;
        let value = answer(
            challenge,
            &self.user,
            &self.password,
            &sent.method,
            &sent.uri,
            self.nonce_count,
        );
        sent.has_credentials = true;
        self.send(now, sent, &format!("{given}: {value}\r\n"));
    }

    fn invite_answer(&mut self, number: usize, message: &Message<'_>, status: u16) {
        let dialog = &mut self.dialogs[number];
        let to = String::from_utf8_lossy(message.header(HeaderId::To).unwrap()).into_owned();
        let ack_key = (to.clone(), message.cseq().unwrap().number);
        if status < 300
            && let Some(ack) = dialog.acks.get(&ack_key)
        {
            self.out.send(to_proxy(), ack.clone());
            return;
        }
        dialog.statuses.push(status);
        if !message.body().is_empty() {
            let body = String::from_utf8_lossy(message.body()).into_owned();
            dialog.bodies.push(body);
        }
        if status >= 300 {
            dialog.is_over = !dialog.is_up;
            return;
        }
        if status < 200 {
            return;
        }
        dialog.is_up = true;
        dialog.remote = to.clone();
        if let Some(contact) = first_contact(message) {
            dialog.target = contact;
        }
        if message.contains(HeaderId::RecordRoute) {
            let routes = message.headers(HeaderId::RecordRoute);
            dialog.routes = routes.map(|value| text(value)).collect();
            dialog.routes.reverse();
        }
        let ack = self.make_ack(number);
        self.dialogs[number].acks.insert(ack_key, ack.clone());
        self.out.send(to_proxy(), ack);
    }

    fn make_ack(&mut self, number: usize) -> Vec<u8> {
        self.count += 1;
        let dialog = &self.dialogs[number];
        // A late offer is answered here.
        let body = match (&self.sdp, dialog.bodies.last()) {
            (None, Some(_)) => format!("v=0 {} late\r\n", self.user),
            _ => String::new(),
        };
        let mut text = format!(
            "ACK {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKack{}\r\nMax-Forwards: 70\r\n",
            dialog.target, self.address, self.count
        );
        for route in &dialog.routes {
            text += &format!("Route: {route}\r\n");
        }
        text += &format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\n",
            dialog.local, dialog.remote, dialog.call_id, dialog.invite_cseq
        );
        if !body.is_empty() {
            text += "Content-Type: application/sdp\r\n";
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        text.into_bytes()
    }

    fn handle_request(&mut self, now: Now, message: &Message<'_>) {
        let method = message.method().unwrap();
        let as_method = if method == Method::Ack {
            Method::Invite
        } else {
            method
        };
        let key = ServerKey::new(message, as_method).unwrap();
        let known = self.transactions.find_server(&key);
        if method == Method::Ack {
            self.handle_ack(now, known, message);
            return;
        }
        if let Some(known) = known {
            self.transactions.handle_request_again(known, &mut self.out);
            return;
        }
        self.requests.push(text(method.name()));
        let is_invite = method == Method::Invite;
        let server = self
            .transactions
            .insert_server(key, is_invite, to_proxy(), false)
            .unwrap();
        match method {
            Method::Invite => self.handle_invite(now, server, message),
            Method::Cancel => self.handle_cancel(now, server, message),
            _ => {
                let number = self.find_dialog(message);
                if method == Method::Bye
                    && let Some(number) = number
                {
                    self.dialogs[number].is_over = true;
                }
                let is_known = number.is_some();
                let status = if is_known || method == Method::Message {
                    200
                } else {
                    481
                };
                self.respond(now, server, message, status, None);
            }
        }
    }

    fn handle_ack(&mut self, now: Now, known: Option<TransactionId>, message: &Message<'_>) {
        if let Some(known) = known
            && self.transactions.handle_ack(now.instant, known)
        {
            return;
        }
        let cseq = message.cseq().unwrap().number;
        if let Some(number) = self.find_dialog(message) {
            self.requests.push("ACK".to_owned());
            let waiting = self.unacknowledged.len();
            self.unacknowledged
                .retain(|waiting| waiting.dialog != number || waiting.cseq != cseq);
            if waiting != self.unacknowledged.len() && !message.body().is_empty() {
                self.dialogs[number].bodies.push(text(message.body()));
            }
        }
    }

    fn handle_invite(&mut self, now: Now, server: TransactionId, message: &Message<'_>) {
        if let Some(number) = self.find_dialog(message) {
            self.dialogs[number].bodies.push(text(message.body()));
            let ringing = Ringing {
                dialog: number,
                server,
                request: message.bytes().to_vec(),
                answer_at: None,
            };
            self.answer(now, &ringing);
            return;
        }
        match self.reaction {
            Reaction::Refuse(status) => self.respond(now, server, message, status, None),
            Reaction::Silent => {}
            Reaction::Answer(_) | Reaction::Ring => {
                let number = self.new_callee(message);
                let early = self.sdp.clone().filter(|_| self.early_sdp);
                let status = if early.is_some() { 183 } else { 180 };
                self.respond_in(now, server, message, status, early, number);
                self.ringing.push(Ringing {
                    dialog: number,
                    server,
                    request: message.bytes().to_vec(),
                    answer_at: match self.reaction {
                        Reaction::Answer(ms) => Some(now.instant + Duration::from_millis(ms)),
                        _ => None,
                    },
                });
            }
        }
    }

    fn new_callee(&mut self, message: &Message<'_>) -> usize {
        self.count += 1;
        let tag = format!("{}-{}-{}", self.user, self.address.ip(), self.count);
        let to = text(message.header(HeaderId::To).unwrap());
        let routes = message.headers(HeaderId::RecordRoute);
        self.dialogs.push(Dialog {
            call_id: text(message.call_id().unwrap()),
            local: format!("{to};tag={tag}"),
            remote: text(message.header(HeaderId::From).unwrap()),
            target: first_contact(message).unwrap(),
            routes: routes.map(|value| text(value)).collect(),
            cseq: 100,
            statuses: Vec::new(),
            bodies: Some(text(message.body()))
                .into_iter()
                .filter(|body| !body.is_empty())
                .collect(),
            is_up: false,
            is_over: false,
            invite: None,
            invite_cseq: 0,
            acks: BTreeMap::new(),
        });
        self.dialogs.len() - 1
    }

    fn answer(&mut self, now: Now, ringing: &Ringing) {
        let number = ringing.dialog;
        let message = Message::parse(&ringing.request).unwrap();
        self.dialogs[number].is_up = true;
        let body = self.sdp.clone();
        let bytes = self.response_in(&message, 200, body, number);
        let out = &mut self.out;
        self.transactions
            .respond(now.instant, ringing.server, 200, bytes.clone(), out);
        self.unacknowledged.push(Unacknowledged {
            dialog: number,
            cseq: message.cseq().unwrap().number,
            bytes,
            at: now.instant + T1,
            interval: T1,
            until: now.instant + TRANSACTION_TIMEOUT,
        });
    }

    fn handle_cancel(&mut self, now: Now, server: TransactionId, message: &Message<'_>) {
        self.respond(now, server, message, 200, None);
        let key = ServerKey::new(message, Method::Invite).unwrap();
        let invite = self.transactions.find_server(&key);
        let Some(index) = self
            .ringing
            .iter()
            .position(|ringing| Some(ringing.server) == invite)
        else {
            return;
        };
        let ringing = self.ringing.remove(index);
        self.dialogs[ringing.dialog].is_over = true;
        let request = Message::parse(&ringing.request).unwrap();
        self.respond_in(now, ringing.server, &request, 487, None, ringing.dialog);
    }

    pub(crate) fn find_dialog(&self, message: &Message<'_>) -> Option<usize> {
        let call_id = text(message.call_id().unwrap());
        let tag = format!("tag={}", text(message.to().unwrap().tag?));
        self.dialogs
            .iter()
            .position(|dialog| dialog.call_id == call_id && dialog.local.ends_with(&tag))
    }

    fn respond(
        &mut self,
        now: Now,
        server: TransactionId,
        message: &Message<'_>,
        status: u16,
        body: Option<String>,
    ) {
        let mut response = Response::new(message, status);
        response.to_tag(b"x");
        if let Some(body) = body {
            response.body(b"application/sdp", body.as_bytes());
        }
        let bytes = response.to_vec();
        self.transactions
            .respond(now.instant, server, status, bytes, &mut self.out);
    }

    fn respond_in(
        &mut self,
        now: Now,
        server: TransactionId,
        message: &Message<'_>,
        status: u16,
        body: Option<String>,
        number: usize,
    ) {
        let bytes = self.response_in(message, status, body, number);
        self.transactions
            .respond(now.instant, server, status, bytes, &mut self.out);
    }

    fn response_in(
        &self,
        message: &Message<'_>,
        status: u16,
        body: Option<String>,
        number: usize,
    ) -> Vec<u8> {
        let tag = self.dialogs[number].local.rsplit("tag=").next().unwrap();
        let mut response = Response::new(message, status);
        response.to_tag(tag.as_bytes());
        for hop in &self.record_routes_added {
            response.header(HeaderId::RecordRoute, hop.as_bytes());
        }
        for hop in message.headers(HeaderId::RecordRoute) {
            response.header(HeaderId::RecordRoute, hop);
        }
        response.header(HeaderId::Contact, format!("<{}>", self.contact).as_bytes());
        if let Some(body) = body {
            response.body(b"application/sdp", body.as_bytes());
        }
        response.to_vec()
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
