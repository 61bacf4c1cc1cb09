//! What strangers and accounts may not do.

use super::{World, config};
use crate::Proxy;
use crate::interface::{Account, CdrCause, MediaRequest};

const ALICE: &str = "198.51.100.1:5060";
const NEIGHBOUR: &str = "198.51.100.1:9";
const BOB: &str = "198.51.100.2:5062";
const MALLORY: &str = "203.0.113.66:5060";

/// A request of somebody without a phone.
fn request(method: &str, uri: &str, from: &str, to: &str, more: &str) -> Vec<u8> {
    let branch: String = format!("{method}{uri}{to}")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.66;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: made-up\r\n\
         CSeq: 1 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The status lines that arrived at an address.
fn statuses(world: &mut World, address: &str) -> Vec<String> {
    world.run_ms(100);
    let seen = world.seen_at(address).into_iter();
    seen.map(|text| text.lines().next().unwrap().to_owned())
        .collect()
}

/// An answer without what must differ from time to time.
fn shape(text: &str) -> String {
    let is_varying = |line: &&str| {
        !line.starts_with("To:") && !line.starts_with("From:") && !line.starts_with("Via:")
    };
    let lines: Vec<&str> = text.lines().filter(is_varying).collect();
    let shape = lines.join("\n");
    let mut parts = shape.split("nonce=\"");
    let mut cut = parts.next().unwrap().to_owned();
    for part in parts {
        cut += &part[part.find('"').unwrap()..];
    }
    cut
}

#[test]
fn unknown_users_and_wrong_passwords_look_alike() {
    let mut answers = Vec::new();
    for (user, password) in [("alice", "wrong"), ("nobody", "nobody-password")] {
        let mut world = World::new(1);
        let phone = world.add_unregistered(user, ALICE);
        world.phone(phone).password = password.to_owned();
        world.with(phone, |phone, now| phone.register(now));
        world.run_ms(1_000);
        assert!(!world.phone(phone).is_registered);
        assert_eq!(world.proxy.counters().credentials_refused, 1);
        let seen = world.seen_at(ALICE);
        assert_eq!(seen.len(), 2, "a challenge, and another one");
        answers.push(seen.into_iter().map(shape).collect::<Vec<_>>());
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn calls_to_known_and_unknown_users_are_challenged_alike() {
    let mut world = World::new(1);
    for user in ["bob", "nobody"] {
        let uri = format!("sip:{user}@example.com");
        let bytes = request(
            "INVITE",
            &uri,
            "<sip:x@example.net>;tag=1",
            &format!("<{uri}>"),
            "",
        );
        world.inject(MALLORY, &bytes);
    }
    world.run_ms(100);
    let seen = world.seen_at(MALLORY);
    assert_eq!(seen.len(), 2);
    assert!(seen[0].starts_with("SIP/2.0 407 "), "{}", seen[0]);
    assert_eq!(shape(seen[0]), shape(seen[1]));
    assert!(world.cdrs.is_empty());
    world.assert_idle();
}

#[test]
fn nobody_is_relayed_to_foreign_domains() {
    let mut world = World::new(1);
    let bytes = request(
        "INVITE",
        "sip:+19005551234@carrier.example.net",
        "<sip:x@example.net>;tag=1",
        "<sip:+19005551234@carrier.example.net>",
        "",
    );
    world.inject(MALLORY, &bytes);
    assert_eq!(
        statuses(&mut world, MALLORY),
        ["SIP/2.0 403 Relaying Denied"]
    );
    assert!(world.resolves.is_empty());
    assert_eq!(world.proxy.counters().forbidden, 1);
}

#[test]
fn accounts_act_in_their_own_name_only() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    // Alice's password, Bob's name.
    world.phone(alice).calls_as = Some("bob".to_owned());
    world.with(alice, |phone, now| phone.call(now, "carol"));
    world.run_ms(1_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [403]);
    world.phone(alice).is_registered = false;
    world.with(alice, |phone, now| phone.register(now));
    world.run_ms(1_000);
    assert!(!world.phone(alice).is_registered);
    assert_eq!(world.stored.len(), 2);
    assert!(world.cdrs.is_empty());
}

#[test]
fn an_old_nonce_is_answered_with_a_new_one_that_works() {
    let mut world = World::new(1);
    let alice = world.add_unregistered("alice", ALICE);
    world.with(alice, |phone, now| phone.register(now));
    world.run_ms(1);
    // The answer to the challenge is on its way for longer than the nonce lives.
    world.network.delay_ms = (301_000, 301_000);
    world.run_ms(2);
    world.network.delay_ms = (1, 1);
    world.run_ms(400_000);
    let seen = world.seen_at(ALICE);
    let stale = seen
        .iter()
        .filter(|text| text.contains("stale=true"))
        .count();
    assert_eq!(stale, 1, "{seen:#?}");
}

#[test]
fn requests_of_unknown_dialogs_are_refused() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    let call_id = world.phone(alice).dialogs[0].call_id.clone();
    let before = world.phone(bob).requests.len();
    for (method, from_tag, to_tag) in [
        ("BYE", "guess", "guess"),
        ("INVITE", "guess", "bob"),
        ("BYE", "alice-4", "guess"),
        ("INFO", "", "x"),
    ] {
        let bytes = request(
            method,
            "sip:bob@198.51.100.2:5062",
            &format!("<sip:alice@example.com>;tag={from_tag}x"),
            &format!("<sip:bob@example.com>;tag={to_tag}"),
            "",
        );
        let bytes = String::from_utf8(bytes)
            .unwrap()
            .replace("made-up", &call_id);
        world.inject(MALLORY, bytes.as_bytes());
        // A stray ACK gets nothing.
        world.inject(MALLORY, bytes.replace(method, "ACK").as_bytes());
    }
    let refusals = statuses(&mut world, MALLORY);
    assert_eq!(refusals.len(), 4);
    assert!(
        refusals.iter().all(|line| line.starts_with("SIP/2.0 481")),
        "{refusals:?}"
    );
    assert_eq!(world.proxy.counters().acks_stray, 4);
    assert_eq!(world.phone(bob).requests.len(), before);
    assert!(world.cdrs.is_empty());
    assert_eq!(world.proxy.counters().calls_now, 1);
}

#[test]
fn a_route_of_ours_does_not_open_other_dialogs() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    let route = world.phone(alice).dialogs[0].routes[0].clone();
    assert!(route.contains("sip:tan"), "{route}");
    let bytes = request(
        "INVITE",
        "sip:+19005551234@carrier.example.net",
        "<sip:alice@example.com>;tag=other",
        "<sip:bob@example.com>;tag=made",
        &format!("Route: {route}\r\n"),
    );
    world.inject(MALLORY, &bytes);
    let refusals = statuses(&mut world, MALLORY);
    assert!(refusals[0].starts_with("SIP/2.0 481"), "{refusals:?}");
    assert!(world.resolves.is_empty());
}

#[test]
fn a_participant_reaches_only_the_other_one() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    // A re-INVITE "to" somewhere else still goes to Bob.
    world.phone(alice).dialogs[0].target = "sip:+19005551234@carrier.example.net".to_owned();
    world.with(alice, |phone, now| phone.in_dialog(now, 0, "INFO", ""));
    world.run_ms(1_000);
    assert!(world.resolves.is_empty());
    assert_eq!(world.phone(bob).requests.last().unwrap(), "INFO");
}

#[test]
fn a_dialog_outlives_the_process() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    world.proxy = Proxy::new(config());
    world.with(alice, |phone, now| {
        phone.in_dialog(now, 0, "INVITE", "v=0 hold\r\n")
    });
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 200, 200]);
    assert_eq!(
        world.phone(bob).dialogs[0].bodies.last().unwrap(),
        "relayed:v=0 hold\r\n"
    );
    world.with(bob, |phone, now| phone.bye(now, 0));
    world.run_ms(5_000);
    assert!(world.phone(alice).dialogs[0].is_over);
    assert!(matches!(
        world.media.last(),
        Some(MediaRequest::Delete { .. })
    ));
    world.assert_idle();
}

#[test]
fn cancel_from_another_address_cancels_nothing() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(500);
    let invite = world.sent_by(ALICE, "INVITE").last().unwrap().clone();
    let cancel = invite.replace("INVITE", "CANCEL");
    world.inject(MALLORY, cancel.as_bytes());
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 200]);
}

#[test]
fn made_up_responses_are_dropped() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(500);
    let to_bob = (*world.seen_at(BOB).last().unwrap()).to_owned();
    let branch = to_bob
        .split("branch=")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    // The right transaction number with another secret.
    let mut forged = branch.to_owned();
    forged.replace_range(30..31, if &branch[30..31] == "0" { "1" } else { "0" });
    for branch in [forged.as_str(), "z9hG4bKsomething"] {
        let bytes = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\n\
             Via: SIP/2.0/UDP 203.0.113.66\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
             To: <sip:bob@example.com>;tag=2\r\nCall-ID: x\r\nCSeq: 3 INVITE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        world.inject(MALLORY, bytes.as_bytes());
    }
    assert_eq!(world.proxy.counters().responses_stray, 2);
    assert!(statuses(&mut world, MALLORY).is_empty());
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180]);
}

#[test]
fn a_flood_is_ignored_after_its_share() {
    let mut settings = config();
    settings.requests_per_second_max = 10;
    let mut world = World::with_config(1, settings);
    world.add("alice", ALICE);
    let bytes = request(
        "OPTIONS",
        "sip:example.com",
        "<sip:x@y>;tag=1",
        "<sip:example.com>",
        "",
    );
    for _ in 0..50 {
        world.inject(MALLORY, &bytes);
    }
    assert_eq!(statuses(&mut world, MALLORY).len(), 10);
    assert_eq!(world.proxy.counters().limited, 40);
    world.run_ms(1_000);
    for _ in 0..50 {
        world.inject(ALICE, &bytes);
    }
    assert_eq!(
        world.proxy.counters().limited,
        40,
        "a registered phone may send more"
    );
}

#[test]
fn a_call_can_end_although_its_source_is_over_its_share() {
    let mut settings = config();
    settings.requests_per_second_max = 10;
    let mut world = World::with_config(1, settings);
    let alice = world.add_unregistered("alice", ALICE);
    world.add("bob", BOB);
    let call = world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    let bytes = request(
        "OPTIONS",
        "sip:example.com",
        "<sip:x@y>;tag=1",
        "<sip:example.com>",
        "",
    );
    for _ in 0..50 {
        // The same address, as seen from behind its NAT.
        world.inject(NEIGHBOUR, &bytes);
    }
    assert_eq!(world.proxy.counters().limited, 40);
    world.with(alice, |phone, now| phone.bye(now, call));
    world.run_ms(100);
    assert_eq!(world.cdrs.len(), 1, "the BYE was let through");
    assert_eq!(world.proxy.counters().limited, 40);
}

#[test]
fn nothing_secret_is_shown() {
    let world = World::new(1);
    let shown = format!("{:?}", world.proxy);
    let account = crate::digest::tests::account("alice", "alice-password");
    let Account {
        ha1_md5,
        ha1_sha256,
        ..
    } = account;
    assert!(!shown.contains(&ha1_md5) && !shown.contains(&ha1_sha256));
    assert!(!shown.contains("9, 9, 9, 9"), "the secret");
}

#[test]
fn a_deleted_account_is_not_called_any_more() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    let left = crate::digest::tests::account("alice", "alice-password");
    world.proxy.handle_accounts(vec![left]);
    world.run_ms(1);
    assert_eq!(
        world.stored.last().unwrap(),
        &("bob".to_owned(), Vec::new())
    );
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(1_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [404]);
    assert_eq!(world.cdrs[0].cause, CdrCause::Failed);
}
