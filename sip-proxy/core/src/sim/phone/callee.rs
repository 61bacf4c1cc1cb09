//! What a phone does with requests.

use std::collections::BTreeMap;
use std::time::Duration;

use sip_proxy_message::{HeaderId, Message, Method, Response};

use super::{Dialog, Phone, Reaction, Ringing, Unacknowledged, first_contact, text, to_proxy};
use crate::interface::Now;
use crate::transaction::TransactionId;
use crate::transaction::key::ServerKey;
use crate::transaction::timer::{T1, TRANSACTION_TIMEOUT};

impl Phone {
    pub(super) fn handle_request(&mut self, now: Now, message: &Message<'_>) {
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

    pub(super) fn handle_ack(
        &mut self,
        now: Now,
        known: Option<TransactionId>,
        message: &Message<'_>,
    ) {
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

    pub(super) fn handle_invite(&mut self, now: Now, server: TransactionId, message: &Message<'_>) {
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

    pub(super) fn new_callee(&mut self, message: &Message<'_>) -> usize {
        self.count += 1;
        let tag = format!("{}-{}-{}", self.user, self.address.ip(), self.count);
        let to = text(message.header(HeaderId::To).unwrap());
        let routes = message.headers(HeaderId::RecordRoute);
        self.dialogs.push(Dialog {
            call_id: text(message.call_id().unwrap()),
            local: format!("{to};tag={tag}"),
            remote: text(message.header(HeaderId::From).unwrap()),
            target: first_contact(message).unwrap(),
            routes: routes.map(text).collect(),
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

    pub(super) fn answer(&mut self, now: Now, ringing: &Ringing) {
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

    pub(super) fn handle_cancel(&mut self, now: Now, server: TransactionId, message: &Message<'_>) {
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

    pub(super) fn respond(
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

    pub(super) fn respond_in(
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

    pub(super) fn response_in(
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
