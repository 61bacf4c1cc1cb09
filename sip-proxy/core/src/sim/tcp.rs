//! Phones on connections.

use std::net::SocketAddr;

use super::World;
use super::world::tcp_source;
use crate::digest::tests::answer;
use crate::interface::ConnectionId;

const ALICE: &str = "198.51.100.1:5060";

fn register(contact: &str, cseq: u32, credentials: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP 203.0.113.9:5060;branch=z9hG4bKt{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: tcp\r\nCSeq: {cseq} REGISTER\r\nContact: <{contact}>\r\nUser-Agent: Sim\r\n\
         {credentials}Content-Length: 0\r\n\r\n"
    )
}

/// Registers Bob over a connection with this number.
fn with_bob(contact: &str, from: &str, connection: u64) -> World {
    let mut world = World::new(1);
    world.add("alice", ALICE);
    let source = tcp_source(from, connection);
    world.inject_from(source, register(contact, 1, "").as_bytes());
    world.run_ms(10);
    let (_, challenge) = world.last_to_phone.clone().unwrap();
    let uri = "sip:example.com";
    let value = answer(&challenge, "bob", "bob-password", "REGISTER", uri, 1);
    let credentials = format!("Authorization: {value}\r\n");
    world.inject_from(source, register(contact, 2, &credentials).as_bytes());
    world.run_ms(10);
    let (destination, granted) = world.last_to_phone.clone().unwrap();
    assert!(granted.starts_with("SIP/2.0 200 "), "{granted}");
    assert_eq!(destination.connection, Some(ConnectionId(connection)));
    world
}

fn call(world: &mut World) {
    let alice: SocketAddr = ALICE.parse().unwrap();
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(100);
}

#[test]
fn requests_leave_on_the_connection_of_the_registration() {
    let mut world = with_bob("sip:bob@192.168.0.9;transport=tcp", "203.0.113.9:40000", 7);
    call(&mut world);
    let (destination, text) = world.last_to_phone.clone().unwrap();
    assert!(text.starts_with("INVITE "), "{text}");
    assert_eq!(destination.connection, Some(ConnectionId(7)));
    assert!(text.contains("Via: SIP/2.0/TCP 192.0.2.1:5060;"), "{text}");
    let routes: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("Record-Route"))
        .collect();
    assert_eq!(routes.len(), 2, "two listeners");
    assert!(routes[0].contains(";transport=tcp;lr>"), "{routes:?}");
}

#[test]
fn a_phone_behind_nat_is_gone_with_its_connection() {
    let mut world = with_bob("sip:bob@192.168.0.9;transport=tcp", "203.0.113.9:40000", 7);
    let now = world.now();
    world.proxy.handle_connection_closed(now, ConnectionId(7));
    call(&mut world);
    let alice = ALICE.parse().unwrap();
    assert_eq!(world.phone(alice).dialogs[0].statuses, [480]);
    assert_eq!(world.stored.last().unwrap().1.len(), 0);
}

#[test]
fn a_phone_that_listens_is_called_back() {
    let mut world = with_bob(
        "sip:bob@203.0.113.9:5099;transport=tcp",
        "203.0.113.9:40000",
        7,
    );
    let now = world.now();
    world.proxy.handle_connection_closed(now, ConnectionId(7));
    call(&mut world);
    let (destination, text) = world.last_to_phone.clone().unwrap();
    assert!(text.starts_with("INVITE "), "{text}");
    assert_eq!(destination.connection, None);
    assert_eq!(destination.address, "203.0.113.9:5099".parse().unwrap());
}

#[test]
fn a_request_that_cannot_be_sent_fails_at_once() {
    let mut world = with_bob("sip:bob@192.168.0.9;transport=tcp", "203.0.113.9:40000", 7);
    call(&mut world);
    let (destination, _) = world.last_to_phone.clone().unwrap();
    let now = world.now();
    world.proxy.handle_transport_error(now, destination);
    world.run_ms(100);
    let alice = ALICE.parse().unwrap();
    assert_eq!(world.phone(alice).dialogs[0].statuses, [480]);
    assert_eq!(world.cdrs.len(), 1);
    world.assert_idle();
}

#[test]
fn a_lost_request_other_than_invite_gets_no_late_408() {
    let mut world = with_bob("sip:bob@192.168.0.9;transport=tcp", "203.0.113.9:40000", 7);
    let alice: SocketAddr = ALICE.parse().unwrap();
    world.with(alice, |phone, now| {
        phone.outside(now, "MESSAGE", "sip:bob@example.com")
    });
    world.run_ms(40_000);
    let seen = world.seen_at(ALICE);
    assert!(!seen.iter().any(|text| text.starts_with("SIP/2.0 408")));
    world.assert_idle();
}

#[test]
fn nothing_is_repeated_over_a_connection() {
    let mut world = with_bob("sip:bob@192.168.0.9;transport=tcp", "203.0.113.9:40000", 7);
    call(&mut world);
    let before = world.seen.len();
    world.run_ms(20_000);
    assert_eq!(world.seen.len(), before);
}
