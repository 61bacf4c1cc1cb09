//! SDP through the relay: holds, late offers, failures, order.

use super::{Network, Reaction, World};
use crate::interface::{CdrCause, MediaError, MediaRequest};

const ALICE: &str = "198.51.100.1:5060";
const BOB: &str = "198.51.100.2:5062";

/// What was asked, in order: kind, who offered, who answered, whether a fork was named.
fn asked(world: &World) -> Vec<(&'static str, String, Option<String>)> {
    world
        .media
        .iter()
        .map(|request| match request {
            MediaRequest::Answer(sdp) => ("answer", sdp.from_tag.clone(), sdp.to_tag.clone()),
            MediaRequest::Delete { from_tag, .. } => ("delete", from_tag.clone(), None),
            MediaRequest::Offer(sdp) => ("offer", sdp.from_tag.clone(), sdp.to_tag.clone()),
        })
        .collect()
}

fn kinds(world: &World) -> Vec<&'static str> {
    asked(world).into_iter().map(|(kind, _, _)| kind).collect()
}

fn branches(world: &World) -> Vec<Option<String>> {
    world
        .media
        .iter()
        .map(|request| match request {
            MediaRequest::Answer(sdp) | MediaRequest::Offer(sdp) => sdp.via_branch.clone(),
            MediaRequest::Delete { via_branch, .. } => via_branch.clone(),
        })
        .collect()
}

fn call_up() -> (World, std::net::SocketAddr, std::net::SocketAddr) {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    assert!(world.phone(alice).dialogs[0].is_up);
    (world, alice, bob)
}

#[test]
fn hold_and_resume_by_either_side_go_through_the_relay() {
    let (mut world, alice, bob) = call_up();
    for (holder, other) in [(alice, bob), (bob, alice)] {
        world.with(holder, |phone, now| {
            phone.in_dialog(now, 0, "INVITE", "v=0 hold\r\n")
        });
        world.run_ms(2_000);
        let statuses = &world.phone(holder).dialogs[0].statuses;
        let earlier = if holder == alice { 2 } else { 0 };
        assert_eq!(statuses[earlier..], [200]);
        let bodies = &world.phone(other).dialogs[0].bodies;
        assert_eq!(bodies.last().unwrap(), "relayed:v=0 hold\r\n");
    }
    world.with(alice, |phone, now| {
        phone.in_dialog(now, 0, "UPDATE", "v=0 resume\r\n")
    });
    world.run_ms(2_000);
    assert_eq!(
        kinds(&world),
        [
            "offer", "answer", "offer", "answer", "offer", "answer", "offer"
        ]
    );
    let asked = asked(&world);
    assert!(
        asked[4].1.starts_with("bob"),
        "the holder offers: {asked:?}"
    );
    assert!(
        asked[5].1.starts_with("bob"),
        "an answer names who offered: {asked:?}"
    );
    let branches = branches(&world);
    assert!(branches[0].is_some());
    assert!(
        branches.iter().all(|branch| *branch == branches[0]),
        "{branches:?}"
    );
    world.with(alice, |phone, now| phone.bye(now, 0));
    world.assert_idle();
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.call_deletes(), 1);
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(alice).sdp = None;
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    assert_eq!(kinds(&world), ["offer", "answer"]);
    let asked = asked(&world);
    assert!(
        asked[0].1.starts_with("bob") && asked[1].1.starts_with("bob"),
        "{asked:?}"
    );
    assert_eq!(
        world.phone(alice).dialogs[0].bodies,
        ["relayed:v=0 bob\r\n"]
    );
    assert_eq!(
        world.phone(bob).dialogs[0].bodies,
        ["relayed:v=0 alice late\r\n"]
    );
    world.with(alice, |phone, now| phone.bye(now, 0));
    world.assert_idle();
    assert_eq!(world.call_deletes(), 1);
}

#[test]
fn the_same_sdp_is_asked_about_once() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).early_sdp = true;
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [183, 200]);
    assert_eq!(kinds(&world), ["offer", "answer"]);
    let bodies = &world.phone(alice).dialogs[0].bodies;
    assert_eq!(bodies, &["relayed:v=0 bob\r\n", "relayed:v=0 bob\r\n"]);
}

#[test]
fn responses_never_overtake_each_other_however_slow_the_relay_is() {
    let mut with_both = 0;
    for seed in 0..100 {
        let mut world = World::new(seed);
        let alice = world.add("alice", ALICE);
        let bob = world.add("bob", BOB);
        let mobile = world.add("bob", "198.51.100.3:5062");
        world.phone(bob).early_sdp = true;
        world.phone(bob).reaction = Reaction::Answer(seed % 20 + 1);
        world.phone(mobile).reaction = Reaction::Ring;
        world.media_delay_ms = (1, 400);
        world.network.delay_ms = (1, 1);
        world.with(alice, |phone, now| phone.call(now, "bob"));
        world.run_ms(10_000);
        // Nothing is lost and all takes as long, so what was sent first came first.
        let sent = world.sent_in_all("SIP/2.0 ").into_iter();
        let to_invite = sent.filter(|text| text.contains("CSeq: 3 INVITE"));
        let mut expected: Vec<u16> = to_invite.map(|text| text[8..11].parse().unwrap()).collect();
        let answer = expected.iter().position(|status| *status == 200).unwrap();
        expected.truncate(answer + 1);
        with_both += usize::from(expected.contains(&180));
        let statuses = &world.phone(alice).dialogs[0].statuses;
        assert_eq!(*statuses, expected, "seed {seed}");
    }
    assert!(with_both > 20, "the other phone rang in time: {with_both}");
}

#[test]
fn a_refused_offer_refuses_the_call() {
    for (error, status, has_retry) in [
        (MediaError::Overloaded("load limit".to_owned()), 503, true),
        (MediaError::Refused("bad SDP".to_owned()), 488, false),
        (MediaError::Unreachable, 500, false),
    ] {
        let mut world = World::new(1);
        let alice = world.add("alice", ALICE);
        let bob = world.add("bob", BOB);
        world.media_errors.push_back(error);
        world.with(alice, |phone, now| phone.call(now, "bob"));
        world.run_ms(5_000);
        assert_eq!(world.phone(alice).dialogs[0].statuses, [status]);
        let refusal = world.seen_at(ALICE).last().unwrap().contains("Retry-After");
        assert_eq!(refusal, has_retry);
        assert!(world.phone(bob).requests.is_empty());
        assert_eq!(world.cdrs.len(), 1);
        assert_eq!(world.cdrs[0].cause, CdrCause::Failed);
        assert_eq!(world.call_deletes(), 1);
        world.assert_idle();
    }
}

#[test]
fn a_refused_answer_ends_the_call_on_both_sides() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).early_sdp = false;
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(500);
    world.media_errors.push_back(MediaError::Unreachable);
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 500]);
    assert_eq!(world.phone(bob).requests, ["INVITE", "ACK", "BYE"]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(
        (world.cdrs[0].status, world.cdrs[0].cause),
        (500, CdrCause::Failed)
    );
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_refused_early_answer_cancels_the_call() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).early_sdp = true;
    world.with(alice, |phone, now| phone.call(now, "bob"));
    while world.phone(bob).requests.is_empty() {
        world.run_ms(1);
    }
    world
        .media_errors
        .push_back(MediaError::Refused("no".to_owned()));
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [488]);
    assert_eq!(world.phone(bob).requests, ["INVITE", "CANCEL"]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_refused_answer_to_a_hold_ends_the_call() {
    let (mut world, alice, bob) = call_up();
    world.with(alice, |phone, now| {
        phone.in_dialog(now, 0, "INVITE", "v=0 hold\r\n")
    });
    while world.phone(bob).requests.len() == 2 {
        world.run_ms(1);
    }
    // The offer is through; the answer to it is not.
    world.media_errors.push_back(MediaError::Unreachable);
    world.run_ms(9_000);
    let is_refused = world.phone(alice).dialogs[0].statuses.last() == Some(&500);
    assert!(is_refused, "{:?}", world.phone(alice).dialogs[0].statuses);
    let requests = &world.phone(bob).requests;
    assert!(
        requests.ends_with(&["ACK".to_owned(), "BYE".to_owned()]),
        "{requests:?}"
    );
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_call_cancelled_while_the_relay_is_asked_is_never_sent() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.media_delay_ms = (900, 900);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(100);
    world.with(alice, |phone, now| phone.cancel(now, 0));
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [487]);
    assert!(world.phone(bob).requests.is_empty());
    assert_eq!(kinds(&world), ["offer", "delete"]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, CdrCause::Cancelled);
    world.assert_idle();
}

#[test]
fn without_a_relay_sdp_is_left_alone() {
    let mut settings = super::config();
    settings.relays_media = false;
    let mut world = World::with_config(1, settings);
    world.network = Network::GOOD;
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    assert_eq!(world.phone(bob).dialogs[0].bodies, ["v=0 alice\r\n"]);
    assert_eq!(world.phone(alice).dialogs[0].bodies, ["v=0 bob\r\n"]);
    world.with(alice, |phone, now| phone.bye(now, 0));
    world.assert_idle();
    assert!(world.media.is_empty());
    assert_eq!(world.cdrs[0].media, None);
}

#[test]
fn an_early_dialog_may_negotiate_with_prack_and_update() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(alice).sdp = None;
    world.phone(bob).early_sdp = true;
    world.phone(bob).reaction = Reaction::Ring;
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(1_000);
    // The offer came in the 183, so the PRACK answers it; what follows is an offer again.
    world.with(alice, |phone, now| {
        phone.in_dialog(now, 0, "PRACK", "v=0 answer\r\n");
    });
    world.run_ms(1_000);
    world.with(alice, |phone, now| {
        phone.in_dialog(now, 0, "UPDATE", "v=0 other\r\n");
    });
    world.run_ms(1_000);
    let asked = asked(&world);
    let kinds: Vec<&str> = asked.iter().map(|(kind, _, _)| *kind).collect();
    assert_eq!(kinds, ["offer", "answer", "offer"]);
    assert!(asked[1].1.starts_with("bob"), "{asked:?}");
    assert!(asked[2].1.starts_with("alice"), "{asked:?}");
    assert_eq!(world.phone(bob).requests, ["INVITE", "PRACK", "UPDATE"]);
    let seen = world.seen_at(BOB);
    assert!(seen.last().unwrap().ends_with("relayed:v=0 other\r\n"));
}

#[test]
fn a_repeated_answer_is_the_same_sdp() {
    let (mut world, alice, bob) = call_up();
    let before = world.media.len();
    // The ACK is lost, so the phone repeats its 200.
    let again = world.sent_by(BOB, "SIP/2.0 200").last().unwrap().clone();
    assert!(again.contains("INVITE"), "{again}");
    let first = world.seen_at(ALICE).last().copied().unwrap().to_owned();
    world.inject(BOB, again.as_bytes());
    world.run_ms(10);
    assert_eq!(*world.seen_at(ALICE).last().unwrap(), first);
    assert_eq!(world.media.len(), before, "nothing is asked again");
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 200]);
    assert_eq!(world.phone(bob).requests, ["INVITE", "ACK", "ACK"]);
}
