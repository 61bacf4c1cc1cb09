//! Accounts with several phones.

use super::{Reaction, World};
use crate::interface::{CdrCause, MediaRequest};

const ALICE: &str = "198.51.100.1:5060";
const DESK: &str = "198.51.100.2:5062";
const MOBILE: &str = "198.51.100.3:5062";

fn world(desk: Reaction, mobile: Reaction) -> World {
    let mut world = World::new(1);
    world.add("alice", ALICE);
    let desk_address = world.add("bob", DESK);
    let mobile_address = world.add("bob", MOBILE);
    world.phone(desk_address).reaction = desk;
    world.phone(mobile_address).reaction = mobile;
    world
}

fn call(world: &mut World) -> Vec<u16> {
    let alice = ALICE.parse().unwrap();
    let call = world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(20_000);
    world.phone(alice).dialogs[call].statuses.clone()
}

fn requests(world: &mut World, address: &str) -> Vec<String> {
    world.phone(address.parse().unwrap()).requests.clone()
}

#[test]
fn the_first_to_answer_gets_the_call_and_the_other_is_cancelled() {
    let mut world = world(Reaction::Answer(3_000), Reaction::Ring);
    assert_eq!(call(&mut world), [180, 180, 200]);
    assert_eq!(requests(&mut world, DESK), ["INVITE", "ACK"]);
    assert_eq!(requests(&mut world, MOBILE), ["INVITE", "CANCEL"]);
    let released = |request: &&MediaRequest| {
        matches!(
            request,
            MediaRequest::Delete {
                via_branch: Some(_),
                ..
            }
        )
    };
    assert_eq!(world.media.iter().filter(released).count(), 1);
    assert_eq!(world.call_deletes(), 0);
    world.with(ALICE.parse().unwrap(), |phone, now| phone.bye(now, 0));
    world.run_ms(5_000);
    assert_eq!(requests(&mut world, DESK), ["INVITE", "ACK", "BYE"]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].callee_address, Some(DESK.parse().unwrap()));
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn one_that_is_busy_does_not_end_the_call() {
    let mut world = world(Reaction::Answer(3_000), Reaction::Refuse(486));
    assert_eq!(call(&mut world), [180, 200]);
    world.with(ALICE.parse().unwrap(), |phone, now| phone.bye(now, 0));
    world.assert_idle();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn the_best_refusal_is_passed_on_when_all_refuse() {
    let mut world = world(Reaction::Refuse(503), Reaction::Refuse(486));
    assert_eq!(call(&mut world), [486]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(
        (world.cdrs[0].status, world.cdrs[0].cause),
        (486, CdrCause::Failed)
    );
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_received_503_is_not_passed_on() {
    let mut world = world(Reaction::Refuse(503), Reaction::Refuse(503));
    assert_eq!(call(&mut world), [500]);
    world.assert_idle();
}

#[test]
fn a_global_refusal_ends_all_branches() {
    let mut world = world(Reaction::Ring, Reaction::Refuse(603));
    assert_eq!(call(&mut world), [180, 603]);
    assert_eq!(requests(&mut world, DESK), ["INVITE", "CANCEL"]);
    assert_eq!(world.cdrs.len(), 1);
    world.assert_idle();
}

#[test]
fn lower_preferences_are_tried_after_higher_ones() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let mobile = world.add_unregistered("bob", MOBILE);
    world.phone(mobile).contact_params = ";q=0.3".to_owned();
    world.with(mobile, |phone, now| phone.register(now));
    let desk = world.add("bob", DESK);
    world.phone(desk).reaction = Reaction::Refuse(486);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 200]);
    assert_eq!(requests(&mut world, DESK), ["INVITE"]);
    assert_eq!(requests(&mut world, MOBILE), ["INVITE", "ACK"]);
    world.with(alice, |phone, now| phone.bye(now, 0));
    world.assert_idle();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn both_may_answer_at_once_and_the_caller_hears_of_both() {
    let mut world = world(Reaction::Answer(3_000), Reaction::Answer(3_000));
    assert_eq!(call(&mut world), [180, 180, 200, 200]);
    // The caller keeps the last and would end the other; the proxy keeps the first's record.
    assert_eq!(world.proxy.counters().calls_answered, 1);
    let call_id = world.phone(ALICE.parse().unwrap()).dialogs[0]
        .call_id
        .clone();
    let now = world.now();
    world.proxy.handle_media_timeout(now, &call_id);
    world.assert_idle();
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.call_deletes(), 1);
}

#[test]
fn cancel_reaches_every_branch() {
    let mut world = world(Reaction::Ring, Reaction::Ring);
    let alice = ALICE.parse().unwrap();
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(3_000);
    world.with(alice, |phone, now| phone.cancel(now, 0));
    world.run_ms(3_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [180, 180, 487]);
    for address in [DESK, MOBILE] {
        assert_eq!(requests(&mut world, address), ["INVITE", "CANCEL"]);
    }
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_message_goes_to_all_phones_and_is_answered_once() {
    let mut world = world(Reaction::Ring, Reaction::Ring);
    let alice = ALICE.parse().unwrap();
    world.with(alice, |phone, now| {
        phone.outside(now, "MESSAGE", "sip:bob@example.com");
    });
    world.run_ms(3_000);
    for address in [DESK, MOBILE] {
        assert_eq!(requests(&mut world, address), ["MESSAGE"]);
    }
    let finals = &world.phone(alice).finals;
    assert_eq!(
        finals
            .iter()
            .filter(|(method, _)| method == "MESSAGE")
            .count(),
        1
    );
    assert!(world.cdrs.is_empty());
    world.assert_idle();
}
