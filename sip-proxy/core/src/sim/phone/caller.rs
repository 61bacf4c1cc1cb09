//! What a phone sends, and what it does with the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use sip_proxy_message::{HeaderId, Message, Method};

use super::{Dialog, Phone, Sent, first_contact, text, to_proxy};
use crate::digest::tests::{REALM, answer};
use crate::interface::Now;
use crate::transaction::key::Branch;
use crate::transaction::{Arrived, Departure, TransactionId};

impl Phone {
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
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nContact: <{}>\r\nUser-Agent: Sim\r\n{}",
            dialog.local, dialog.remote, dialog.call_id, self.contact, self.more
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

    pub(super) fn send(&mut self, now: Now, sent: Sent, credentials: &str) {
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

    pub(super) fn handle_response(&mut self, now: Now, message: &Message<'_>) {
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

    pub(super) fn handle_answer(&mut self, now: Now, client: TransactionId, message: &Message<'_>) {
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

    pub(super) fn retry(&mut self, now: Now, mut sent: Sent, message: &Message<'_>, status: u16) {
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

    pub(super) fn invite_answer(&mut self, number: usize, message: &Message<'_>, status: u16) {
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
        if status < 200 && dialog.is_up {
            return;
        }
        dialog.remote = to.clone();
        if let Some(contact) = first_contact(message) {
            dialog.target = contact;
        }
        if message.contains(HeaderId::RecordRoute) {
            let routes = message.headers(HeaderId::RecordRoute);
            dialog.routes = routes.map(text).collect();
            dialog.routes.reverse();
        }
        if status < 200 {
            return;
        }
        dialog.is_up = true;
        let ack = self.make_ack(number);
        self.dialogs[number].acks.insert(ack_key, ack.clone());
        self.out.send(to_proxy(), ack);
    }

    pub(super) fn make_ack(&mut self, number: usize) -> Vec<u8> {
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
}
