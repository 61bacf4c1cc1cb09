use sip_proxy_message::{Method, Response};

use super::*;
use crate::interface::{ListenerId, Output};

fn destination(port: u16) -> Destination {
    Destination {
        listener: ListenerId(0),
        address: ([198, 51, 100, 1], port).into(),
        connection: None,
    }
}

fn request(method: &str, branch: &str) -> Vec<u8> {
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn branch(id: TransactionId) -> Branch {
    Branch {
        id,
        secret: 77,
        loop_hash: 0,
    }
}

fn send(table: &mut Transactions, now: Instant, method: &str, port: u16) -> Branch {
    let branch = branch(table.reserve());
    let departure = Departure {
        branch,
        bytes: request(method, &branch.emit()),
        destination: destination(port),
        is_reliable: false,
        ring_timeout: (method == "INVITE").then_some(Duration::from_secs(180)),
        owner: Some(TransactionId(1_000)),
    };
    table.send_request(now, departure, &mut Outbox::default());
    branch
}

/// Lets a response arrive; what comes of it and the methods of what is sent.
fn arrive(
    table: &mut Transactions,
    now: Instant,
    branch: &Branch,
    method: &str,
    status: u16,
) -> (Arrived, Vec<String>) {
    let request = request(method, &branch.emit());
    let request = Message::parse(&request).unwrap();
    let mut response = Response::new(&request, status);
    response.to_tag(b"t");
    let bytes = response.to_vec();
    let response = Message::parse(&bytes).unwrap();
    let mut out = Outbox::default();
    let arrived = table.handle_response(now, branch, method == "CANCEL", &response, &mut out);
    (arrived, sent(&mut out))
}

fn sent(out: &mut Outbox) -> Vec<String> {
    let mut methods = Vec::new();
    while let Some(Output::Send { bytes, .. }) = out.pop() {
        let text = String::from_utf8(bytes).unwrap();
        methods.push(text.split(' ').next().unwrap().to_owned());
    }
    methods
}

fn passed_on(client: TransactionId) -> Arrived {
    Arrived::PassOn {
        client,
        owner: TransactionId(1_000),
    }
}

#[test]
fn a_failure_is_acknowledged_each_time_and_passed_on_once() {
    let now = crate::sim::start();
    let mut table = Transactions::new(10);
    let branch = send(&mut table, now, "INVITE", 1);
    let (arrived, acks) = arrive(&mut table, now, &branch, "INVITE", 486);
    assert_eq!(
        (arrived, acks),
        (passed_on(branch.id), vec!["ACK".to_owned()])
    );
    let (arrived, acks) = arrive(&mut table, now, &branch, "INVITE", 486);
    assert_eq!((arrived, acks), (Arrived::Absorbed, vec!["ACK".to_owned()]));
    table.handle_timeout(now + Duration::from_secs(33), &mut Outbox::default());
    assert_eq!(table.len(), 0);
    let (arrived, acks) = arrive(&mut table, now, &branch, "INVITE", 486);
    assert_eq!((arrived, acks), (Arrived::Stray, Vec::new()));
}

#[test]
fn a_response_needs_the_secret_of_its_branch() {
    let now = crate::sim::start();
    let mut table = Transactions::new(10);
    let mut branch = send(&mut table, now, "BYE", 1);
    branch.secret += 1;
    assert_eq!(
        arrive(&mut table, now, &branch, "BYE", 200).0,
        Arrived::Stray
    );
    branch.secret -= 1;
    assert_eq!(
        arrive(&mut table, now, &branch, "BYE", 200).0,
        passed_on(branch.id)
    );
}

#[test]
fn cancel_waits_for_a_provisional_response_and_shares_the_branch() {
    let now = crate::sim::start();
    let mut table = Transactions::new(10);
    let mut out = Outbox::default();
    let branch = send(&mut table, now, "INVITE", 1);
    assert!(!table.cancel(now, branch.id, &mut out));
    arrive(&mut table, now, &branch, "INVITE", 180);
    assert!(table.cancel(now, branch.id, &mut out));
    assert_eq!(sent(&mut out), ["CANCEL"]);
    assert!(!table.cancel(now, branch.id, &mut out));
    let (arrived, _) = arrive(&mut table, now, &branch, "CANCEL", 200);
    assert_eq!(arrived, Arrived::Absorbed);
    let (arrived, _) = arrive(&mut table, now, &branch, "INVITE", 487);
    assert_eq!(arrived, passed_on(branch.id));
}

#[test]
fn only_what_waits_for_a_first_response_is_lost_with_its_destination() {
    let now = crate::sim::start();
    let mut table = Transactions::new(10);
    let waiting = send(&mut table, now, "INVITE", 1);
    let ringing = send(&mut table, now, "INVITE", 1);
    let elsewhere = send(&mut table, now, "INVITE", 2);
    arrive(&mut table, now, &ringing, "INVITE", 180);
    let events = table.handle_transport_error(destination(1));
    let lost: Vec<_> = events
        .iter()
        .map(|event| (event.client, event.kind))
        .collect();
    assert_eq!(lost, [(waiting.id, EventKind::Unreachable)]);
    assert_eq!(table.len(), 2);
    assert!(table.handle_transport_error(destination(3)).is_empty());
    assert_ne!(elsewhere.id, waiting.id);
}

#[test]
fn a_full_table_takes_no_more_requests() {
    let mut table = Transactions::new(2);
    for number in 0..3 {
        let bytes = request("MESSAGE", &format!("z9hG4bK{number}"));
        let message = Message::parse(&bytes).unwrap();
        let key = ServerKey::new(&message, Method::Message).unwrap();
        let id = table.insert_server(key, false, destination(1), false);
        assert_eq!(id.is_some(), number < 2);
    }
    assert!(table.is_full());
}

#[test]
fn a_finished_request_keeps_only_what_may_be_sent_again() {
    let now = crate::sim::start();
    let mut table = Transactions::new(10);
    let mut out = Outbox::default();
    let bytes = request("INVITE", "z9hG4bKs");
    let message = Message::parse(&bytes).unwrap();
    let key = ServerKey::new(&message, Method::Invite).unwrap();
    let id = table
        .insert_server(key, true, destination(1), false)
        .unwrap();
    table.respond(now, id, 180, b"SIP/2.0 180".to_vec(), &mut out);
    table.handle_request_again(id, &mut out);
    assert_eq!(sent(&mut out).len(), 2);
    table.respond(now, id, 200, b"SIP/2.0 200".to_vec(), &mut out);
    assert!(table.entries[&id].bytes.is_empty());
    sent(&mut out);
    table.handle_request_again(id, &mut out);
    assert!(
        sent(&mut out).is_empty(),
        "2xx are repeated by who made them"
    );
    let client = send(&mut table, now, "INVITE", 1);
    arrive(&mut table, now, &client, "INVITE", 200);
    assert!(table.entries[&client.id].bytes.is_empty());
    table.handle_timeout(now + Duration::from_secs(33), &mut out);
    assert_eq!(table.len(), 0);
    assert_eq!(table.find_server(&key), None);
    assert!(table.unanswered.is_empty());
    assert_eq!(table.poll_timeout(), None);
}
