//! Calls that do not come about, and calls that we end.

use super::{Reaction, World, config};
use crate::interface::CdrCause;

const ALICE: &str = "198.51.100.1:5060";
const BOB: &str = "198.51.100.2:5062";

#[test]
fn a_cancelled_call_ends_at_both_sides() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).reaction = Reaction::Ring;
    let call = world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(3_000);
    world.with(alice, |phone, now| phone.cancel(now, call));
    world.run_ms(3_000);
    assert_eq!(world.phone(alice).dialogs[call].statuses, [180, 487]);
    assert_eq!(world.phone(bob).requests, ["INVITE", "CANCEL"]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(
        (world.cdrs[0].status, world.cdrs[0].cause),
        (487, CdrCause::Cancelled)
    );
    assert_eq!(world.cdrs[0].answer_unix_ms, None);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_call_may_be_cancelled_before_the_callee_says_anything() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).reaction = Reaction::Silent;
    let call = world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(3_000);
    // The proxy's 100 makes the CANCEL possible; the phone's own response is still missing.
    world.with(alice, |phone, now| phone.cancel(now, call));
    world.run_ms(40_000);
    assert_eq!(world.phone(alice).dialogs[call].statuses, [487]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, CdrCause::Cancelled);
    world.assert_idle();
}

#[test]
fn timer_c_ends_a_call_that_nobody_answers() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).reaction = Reaction::Ring;
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(170_000);
    assert!(world.cdrs.is_empty());
    world.run_ms(20_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 408]);
    assert_eq!(world.phone(bob).requests, ["INVITE", "CANCEL"]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(
        (world.cdrs[0].status, world.cdrs[0].cause),
        (408, CdrCause::NoAnswer)
    );
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_phone_that_is_gone_gives_408_and_one_record() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phones.remove(&bob);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(40_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [408]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, CdrCause::NoAnswer);
    world.assert_idle();
}

#[test]
fn unknown_and_absent_callees_differ_and_give_records() {
    for (callee, status) in [("nobody", 404), ("carol", 480)] {
        let mut world = World::new(1);
        let alice = world.add("alice", ALICE);
        world.with(alice, |phone, now| phone.call(now, callee));
        world.run_ms(1_000);
        assert_eq!(world.phone(alice).dialogs[0].statuses, [status]);
        assert_eq!(world.cdrs.len(), 1);
        assert_eq!(
            (world.cdrs[0].status, world.cdrs[0].cause),
            (status, CdrCause::Failed)
        );
        assert_eq!(world.call_deletes(), 0);
        world.assert_idle();
    }
}

#[test]
fn the_duration_limit_ends_a_call_with_bye_to_both() {
    let mut settings = config();
    settings.call_duration_max_s = 60;
    let mut world = World::with_config(1, settings);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(50_000);
    assert!(!world.phone(bob).dialogs[0].is_over);
    world.run_ms(20_000);
    for phone in [alice, bob] {
        assert!(world.phone(phone).dialogs[0].is_over);
        assert_eq!(world.phone(phone).requests.last().unwrap(), "BYE");
    }
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, CdrCause::DurationLimit);
    world.assert_idle();
}

#[test]
fn a_media_time_out_ends_a_call_with_bye_to_both() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    let call = world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    let call_id = world.phone(alice).dialogs[call].call_id.clone();
    let now = world.now();
    world.proxy.handle_media_timeout(now, "another call");
    world.proxy.handle_media_timeout(now, &call_id);
    world.proxy.handle_media_timeout(now, &call_id);
    world.run_ms(5_000);
    for (phone, last) in [(alice, "CSeq: 101 BYE"), (bob, "CSeq: 4 BYE")] {
        assert!(world.phone(phone).dialogs[0].is_over);
        let byes: Vec<&str> = world
            .seen_at(&phone.to_string())
            .into_iter()
            .filter(|text| text.starts_with("BYE "))
            .collect();
        assert_eq!(byes.len(), 1);
        assert!(
            byes[0].contains("CSeq: 1 BYE") || byes[0].contains(last),
            "{}",
            byes[0]
        );
    }
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, CdrCause::MediaTimeout);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_call_beyond_the_limit_is_told_when_to_try_again() {
    let mut settings = config();
    settings.calls_max = 1;
    let mut world = World::with_config(1, settings);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    world.with(bob, |phone, now| phone.call(now, "alice"));
    world.run_ms(5_000);
    assert_eq!(world.phone(bob).dialogs[1].statuses, [503]);
    let refusal = *world.seen_at(BOB).last().unwrap();
    assert!(refusal.contains("Retry-After: "), "{refusal}");
    world.with(alice, |phone, now| phone.bye(now, 0));
    world.run_ms(5_000);
    world.with(bob, |phone, now| phone.call(now, "alice"));
    world.run_ms(5_000);
    assert_eq!(world.phone(bob).dialogs[2].statuses, [180, 200]);
}

#[test]
fn crossing_byes_end_the_call_once() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    world.with(alice, |phone, now| phone.bye(now, 0));
    world.with(bob, |phone, now| phone.bye(now, 0));
    world.run_ms(5_000);
    for phone in [alice, bob] {
        assert_eq!(
            world.phone(phone).finals.last().unwrap(),
            &("BYE".to_owned(), 200)
        );
    }
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn calls_and_registrations_can_be_listed() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(500);
    let calls = world.proxy.calls(10);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].callee, "bob@example.com");
    assert!(calls[0].ring_unix_ms.is_some() && calls[0].answer_unix_ms.is_none());
    assert!(world.proxy.calls(0).is_empty());
    let registrations = world.proxy.registrations(10);
    let users: Vec<&str> = registrations.iter().map(|(user, _)| *user).collect();
    assert_eq!(users, ["alice", "bob"]);
}

#[test]
fn a_call_that_failed_may_be_tried_again_with_its_call_id() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).reaction = Reaction::Refuse(488);
    let call = world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(2_000);
    world.phone(bob).reaction = Reaction::Answer(100);
    world.with(alice, |phone, now| {
        phone.in_dialog(now, call, "INVITE", "v=0 again\r\n")
    });
    world.run_ms(2_000);
    assert_eq!(world.phone(alice).dialogs[call].statuses, [488, 180, 200]);
    world.with(alice, |phone, now| phone.bye(now, call));
    world.run_ms(2_000);
    let ends: Vec<_> = world
        .cdrs
        .iter()
        .map(|cdr| (cdr.status, cdr.cause))
        .collect();
    assert_eq!(ends, [(488, CdrCause::Failed), (200, CdrCause::CallerBye)]);
    assert_eq!(world.call_deletes(), 2);
    world.assert_idle();
}

#[test]
fn the_same_invite_by_another_way_is_refused() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(500);
    // It comes again under another branch, as if a proxy on the way had forked to us twice.
    world.with(alice, |phone, now| {
        let dialog = &mut phone.dialogs[0];
        dialog.remote = "<sip:bob@example.com>".to_owned();
        dialog.target = "sip:bob@example.com".to_owned();
        dialog.routes.clear();
        phone.in_dialog(now, 0, "INVITE", "v=0 merged\r\n");
    });
    world.run_ms(500);
    let answers = world.seen_at(ALICE);
    assert!(answers.iter().any(|text| text.starts_with("SIP/2.0 482 ")));
    assert_eq!(world.proxy.counters().loops, 1);
    assert_eq!(world.proxy.counters().calls, 1);
}
