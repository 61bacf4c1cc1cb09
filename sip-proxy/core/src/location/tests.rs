use std::net::SocketAddr;

use super::*;
use crate::interface::{ListenerId, Transport};

fn now(start: Instant, ms: u64) -> Now {
    Now {
        instant: start + Duration::from_millis(ms),
        unix_ms: 1_000_000 + ms,
    }
}

fn binding(uri: &str, received: &str, expires_unix_ms: u64, connection: Option<u64>) -> Binding {
    Binding {
        uri: uri.to_owned(),
        q: 1_000,
        expires_unix_ms,
        call_id: "c".to_owned(),
        cseq: 1,
        received: received.parse::<SocketAddr>().unwrap(),
        transport: if connection.is_some() {
            Transport::Tcp
        } else {
            Transport::Udp
        },
        listener: ListenerId(0),
        connection: connection.map(ConnectionId),
        path: Vec::new(),
        user_agent: None,
    }
}

fn stored(out: &mut Outbox) -> Vec<(String, usize)> {
    let mut stored = Vec::new();
    while let Some(output) = out.pop() {
        if let Output::StoreBindings { user, bindings } = output {
            stored.push((user, bindings.len()));
        }
    }
    stored
}

#[test]
fn contacts_expire_one_by_one_and_are_stored() {
    let start = crate::sim::start();
    let mut location = Location::new();
    let mut out = Outbox::default();
    let bindings = vec![
        binding("sip:a@10.0.0.1", "10.0.0.1:5060", 1_010_000, None),
        binding("sip:a@10.0.0.2", "10.0.0.2:5060", 1_020_000, None),
    ];
    location.replace(now(start, 0), "alice", bindings, &mut out);
    assert_eq!(stored(&mut out), [("alice".to_owned(), 2)]);
    assert_eq!(location.poll_timeout(), Some(now(start, 10_000).instant));
    assert_eq!(location.handle_timeout(now(start, 9_999), &mut out), 0);
    assert_eq!(location.handle_timeout(now(start, 10_000), &mut out), 1);
    assert_eq!(stored(&mut out), [("alice".to_owned(), 1)]);
    assert_eq!(location.handle_timeout(now(start, 20_000), &mut out), 1);
    assert_eq!(stored(&mut out), [("alice".to_owned(), 0)]);
    assert_eq!(location.binding_count(), 0);
    assert!(location.users.is_empty() && location.records.is_empty());
    assert!(location.sources.is_empty());
}

#[test]
fn a_closed_connection_takes_only_contacts_behind_a_nat_with_it() {
    let start = crate::sim::start();
    let mut location = Location::new();
    let mut out = Outbox::default();
    let bindings = vec![
        binding(
            "sip:a@192.168.1.2:5070",
            "203.0.113.1:40000",
            2_000_000,
            Some(7),
        ),
        binding(
            "sip:a@203.0.113.1:5070",
            "203.0.113.1:40001",
            2_000_000,
            Some(7),
        ),
        binding(
            "sip:a@203.0.113.1:5071",
            "203.0.113.1:40002",
            2_000_000,
            Some(8),
        ),
    ];
    location.replace(now(start, 0), "alice", bindings, &mut out);
    location.handle_connection_closed(now(start, 1), ConnectionId(7), &mut out);
    let left = location.bindings(1_000_001, "alice");
    let left: Vec<_> = left
        .iter()
        .map(|binding| (binding.received.port(), binding.connection))
        .collect();
    assert_eq!(left, [(5070, None), (40002, Some(ConnectionId(8)))]);
    assert!(!location.connections.contains_key(&ConnectionId(7)));
}

#[test]
fn restored_contacts_are_not_stored_again_and_dead_ones_not_restored() {
    let start = crate::sim::start();
    let mut location = Location::new();
    let bindings = vec![
        binding("sip:a@10.0.0.1", "10.0.0.1:5060", 1_000_000, None),
        binding("sip:a@10.0.0.2", "10.0.0.2:5060", 1_020_000, Some(3)),
    ];
    location.restore(now(start, 0), "alice", bindings);
    let found = location.bindings(1_000_000, "alice");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].connection, None);
    assert!(location.is_registered_source("10.0.0.2".parse().unwrap()));
    assert!(!location.is_registered_source("10.0.0.1".parse().unwrap()));
}

#[test]
fn accounts_that_are_deleted_lose_their_contacts() {
    let start = crate::sim::start();
    let mut location = Location::new();
    let mut out = Outbox::default();
    for user in ["alice", "bob"] {
        let contact = binding("sip:a@10.0.0.1", "10.0.0.1:5060", 2_000_000, None);
        location.replace(now(start, 0), user, vec![contact], &mut out);
    }
    stored(&mut out);
    location.retain_users(|user| user == "bob", &mut out);
    assert_eq!(stored(&mut out), [("alice".to_owned(), 0)]);
    assert_eq!(location.binding_count(), 1);
}
