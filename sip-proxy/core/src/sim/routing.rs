//! The way that requests take.

use super::World;
use crate::interface::CdrCause;

const ALICE: &str = "198.51.100.1:5060";
const BOB: &str = "198.51.100.2:5062";
const BOB_INSIDE: &str = "10.9.0.7:5062";

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap()
}

fn field<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .collect()
}

#[test]
fn a_forwarded_request_has_our_marks_and_no_credentials() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    world.phone(alice).more = "P-Asserted-Identity: <sip:ceo@example.com>\r\n".to_owned();
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(500);
    let invite = *world.seen_at(BOB).last().unwrap();
    assert!(field(invite, "P-Asserted-Identity").is_empty());
    assert_eq!(
        first_line(invite),
        "INVITE sip:bob@198.51.100.2:5062 SIP/2.0"
    );
    let vias = field(invite, "Via");
    assert_eq!(vias.len(), 2, "{invite}");
    assert!(vias[0].starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"));
    assert!(vias[1].contains("received=198.51.100.1"), "{}", vias[1]);
    assert_eq!(field(invite, "Max-Forwards"), ["69"]);
    assert!(field(invite, "Proxy-Authorization").is_empty());
    let routes = field(invite, "Record-Route");
    assert_eq!(routes.len(), 1);
    assert!(routes[0].ends_with("@192.0.2.1:5060;lr>"), "{}", routes[0]);
}

#[test]
fn a_dialog_that_changes_listeners_has_two_record_routes() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB_INSIDE);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    let invite = world.seen_at(BOB_INSIDE)[2];
    let routes = field(invite, "Record-Route");
    assert_eq!(routes.len(), 2);
    assert!(routes[0].contains("@10.9.0.1:5060;lr>"), "{routes:?}");
    assert!(routes[1].contains("@192.0.2.1:5060;lr>"), "{routes:?}");
    for (sender, receiver) in [(bob, alice), (alice, bob)] {
        world.with(sender, |phone, now| phone.in_dialog(now, 0, "INFO", ""));
        world.run_ms(1_000);
        assert_eq!(
            world.phone(sender).finals.last().unwrap(),
            &("INFO".to_owned(), 200)
        );
        let seen = world.seen_at(&receiver.to_string());
        let info = seen.iter().rfind(|text| text.starts_with("INFO ")).unwrap();
        assert!(field(info, "Route").is_empty(), "{info}");
    }
    world.with(bob, |phone, now| phone.bye(now, 0));
    world.run_ms(1_000);
    assert_eq!(world.cdrs[0].cause, CdrCause::CalleeBye);
    world.assert_idle();
}

#[test]
fn phones_behind_nat_are_reached_where_their_messages_come_from() {
    let mut world = World::new(1);
    let (alice, bob) = (
        world.add_unregistered("alice", "203.0.113.1:40001"),
        world.add_unregistered("bob", "203.0.113.2:40002"),
    );
    for (address, contact) in [
        (alice, "sip:alice@192.168.1.5"),
        (bob, "sip:bob@192.168.1.5:5070"),
    ] {
        world.phone(address).contact = contact.to_owned();
        world.with(address, |phone, now| phone.register(now));
        world.run_ms(100);
        assert!(world.phone(address).is_registered);
    }
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 200]);
    assert_eq!(world.phone(bob).requests, ["INVITE", "ACK"]);
    // The NAT gives Alice another port; her next request says so.
    let mut phone = world.phones.remove(&alice).unwrap();
    phone.address = "203.0.113.1:40999".parse().unwrap();
    let moved = phone.address;
    world.phones.insert(moved, phone);
    world.with(moved, |phone, now| phone.in_dialog(now, 0, "INFO", ""));
    world.run_ms(1_000);
    world.with(bob, |phone, now| phone.bye(now, 0));
    world.run_ms(5_000);
    assert!(world.phone(moved).dialogs[0].is_over);
    assert_eq!(
        world.phone(bob).finals.last().unwrap(),
        &("BYE".to_owned(), 200)
    );
    assert_eq!(world.cdrs.len(), 1);
    world.assert_idle();
}

#[test]
fn what_we_end_goes_through_proxies_on_the_way() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    // A proxy between us and Bob adds itself to what he sees.
    world.phone(bob).record_routes_added = vec!["<sip:edge.example.net;lr>".to_owned()];
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    let call_id = world.phone(alice).dialogs[0].call_id.clone();
    let now = world.now();
    world.proxy.handle_media_timeout(now, &call_id);
    world.run_ms(1_000);
    let seen = world.seen_at(BOB);
    let bye = seen.iter().find(|text| text.starts_with("BYE ")).unwrap();
    assert_eq!(first_line(bye), "BYE sip:bob@198.51.100.2:5062 SIP/2.0");
    assert_eq!(field(bye, "Route"), ["<sip:edge.example.net;lr>"]);
    let seen = world.seen_at(ALICE);
    let bye = seen.iter().find(|text| text.starts_with("BYE ")).unwrap();
    assert!(field(bye, "Route").is_empty());
}

#[test]
fn a_path_is_followed() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add_unregistered("bob", BOB);
    world.phone(bob).contact_params =
        "\r\nPath: <sip:edge.example.net;lr>, <sip:inner.example.net;lr>".to_owned();
    world.with(bob, |phone, now| phone.register(now));
    world.run_ms(100);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(500);
    let invite = *world.seen_at(BOB).last().unwrap();
    assert_eq!(
        field(invite, "Route"),
        ["<sip:edge.example.net;lr>", "<sip:inner.example.net;lr>"]
    );
}

#[test]
fn a_foreign_domain_is_looked_up() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.with(alice, |phone, now| phone.call(now, "sip:dave@example.net"));
    world.run_ms(500);
    assert_eq!(world.resolves.len(), 1);
    let (token, host) = world.resolves[0].clone();
    assert_eq!(host, "example.net");
    let now = world.now();
    let addresses = ["198.51.100.77:5060".parse().unwrap()];
    world.proxy.handle_resolved(now, token, &addresses);
    world.run_ms(500);
    let invite = world.seen_at("198.51.100.77:5060")[0];
    assert_eq!(first_line(invite), "INVITE sip:dave@example.net SIP/2.0");
    world.run_ms(60_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [408]);
    world.assert_idle();
}

#[test]
fn a_name_without_address_ends_the_call() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.with(alice, |phone, now| phone.call(now, "sip:dave@example.net"));
    world.run_ms(500);
    let (token, _) = world.resolves[0].clone();
    let now = world.now();
    world.proxy.handle_resolved(now, token, &[]);
    world.run_ms(500);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [480]);
    assert_eq!(world.cdrs.len(), 1);
    world.assert_idle();
}

#[test]
fn a_request_that_comes_back_is_a_loop() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.with(alice, |phone, now| phone.call(now, "sip:dave@example.net"));
    world.run_ms(500);
    let (token, _) = world.resolves[0].clone();
    let now = world.now();
    let addresses = ["198.51.100.77:5060".parse().unwrap()];
    world.proxy.handle_resolved(now, token, &addresses);
    world.run_ms(100);
    let back = world.seen_at("198.51.100.77:5060")[0].to_owned();
    let back = back.replacen(
        "Via: ",
        "Via: SIP/2.0/UDP 198.51.100.77;branch=z9hG4bKx, ",
        1,
    );
    world.inject("198.51.100.77:5060", back.as_bytes());
    world.run_ms(100);
    let answer = *world.seen_at("198.51.100.77:5060").last().unwrap();
    assert_eq!(first_line(answer), "SIP/2.0 482 Loop Detected");
    assert_eq!(world.proxy.counters().loops, 1);
}

fn options(uri: &str, hops: u8, more: &str) -> String {
    format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9:5060;rport;branch=z9hG4bKo\r\n\
         Max-Forwards: {hops}\r\nFrom: <sip:x@example.net>;tag=1\r\nTo: <{uri}>\r\nCall-ID: o\r\n\
         CSeq: 1 OPTIONS\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn options_for_us_are_answered_and_others_need_hops_left() {
    let mut world = World::new(1);
    for (uri, hops, more, status) in [
        ("sip:example.com", 70, "", "200 OK"),
        ("sip:192.0.2.1:5060", 0, "", "200 OK"),
        ("sip:bob@example.com", 0, "", "483 Too Many Hops"),
        (
            "sip:bob@example.com",
            70,
            "Proxy-Require: magic\r\n",
            "420 Bad Extension",
        ),
        (
            "sip:bob@example.com",
            70,
            "",
            "407 Proxy Authentication Required",
        ),
        (
            "mailto:bob@example.com",
            70,
            "",
            "416 Unsupported URI Scheme",
        ),
    ] {
        // From another port than Via says: the answer must find its way back.
        world.inject("198.51.100.9:33333", options(uri, hops, more).as_bytes());
        world.run_ms(10);
        let answer = *world.seen_at("198.51.100.9:33333").last().unwrap();
        assert_eq!(first_line(answer), format!("SIP/2.0 {status}"), "{uri}");
        assert!(answer.contains("received=198.51.100.9"), "{answer}");
        assert!(answer.contains("rport=33333"), "{answer}");
        assert_eq!(
            status.starts_with("420"),
            answer.contains("Unsupported: magic")
        );
    }
}

#[test]
fn a_strict_router_before_us_is_understood() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    // A strict router puts our Record-Route into the request URI, the target at the end of Route.
    let dialog = &mut world.phone(alice).dialogs[0];
    let ours = dialog.routes[0].trim_matches(['<', '>']).to_owned();
    let target = std::mem::replace(&mut dialog.target, ours);
    dialog.routes = vec![format!("<{target}>")];
    world.with(alice, |phone, now| phone.bye(now, 0));
    world.run_ms(5_000);
    assert!(world.phone(bob).dialogs[0].is_over);
    let bye = *world.seen_at(BOB).last().unwrap();
    assert_eq!(first_line(bye), format!("BYE {target} SIP/2.0"));
    assert!(field(bye, "Route").is_empty());
    assert_eq!(world.cdrs.len(), 1);
}
