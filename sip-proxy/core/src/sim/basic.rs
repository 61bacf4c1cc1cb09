//! Registration and plain calls.

use super::{Reaction, World};
use crate::interface::CdrCause;

const ALICE: &str = "198.51.100.1:5060";
const BOB: &str = "198.51.100.2:5062";

#[test]
fn registers_with_either_algorithm() {
    for prefers_md5 in [false, true] {
        let mut world = World::new(1);
        let alice = world.add_unregistered("alice", ALICE);
        world.phone(alice).prefers_md5 = prefers_md5;
        world.with(alice, |phone, now| phone.register(now));
        world.run_ms(1_000);
        assert!(world.phone(alice).is_registered);
        assert_eq!(world.stored.len(), 1);
        assert_eq!(world.stored[0].1[0].received, alice);
        assert_eq!(world.proxy.counters().registered, 1);
        assert_eq!(world.proxy.counters().challenged, 1);
    }
}

#[test]
fn a_call_is_set_up_and_ended_by_the_caller() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    let call = world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    let dialog = world.phone(alice).dialogs[call].clone();
    assert_eq!(dialog.statuses, [180, 200]);
    assert!(dialog.is_up);
    assert_eq!(dialog.bodies, ["relayed:v=0 bob\r\n"]);
    assert_eq!(
        world.phone(bob).dialogs[0].bodies,
        ["relayed:v=0 alice\r\n"]
    );
    assert_eq!(world.phone(bob).requests, ["INVITE", "ACK"]);
    assert_eq!(world.proxy.counters().calls_now, 1);
    world.with(alice, |phone, now| phone.bye(now, call));
    world.run_ms(5_000);
    assert_eq!(
        world.phone(alice).finals.last().unwrap(),
        &("BYE".to_owned(), 200)
    );
    assert!(world.phone(bob).dialogs[0].is_over);
    assert_eq!(world.cdrs.len(), 1);
    let cdr = &world.cdrs[0];
    assert_eq!(cdr.caller, "alice@example.com");
    assert_eq!(cdr.callee, "bob@example.com");
    assert_eq!(cdr.cause, CdrCause::CallerBye);
    assert_eq!(cdr.status, 200);
    assert_eq!(cdr.callee_address, Some(bob));
    assert_eq!(cdr.media.unwrap().caller_packets, 7);
    let (start, ring, answer) = (
        cdr.start_unix_ms,
        cdr.ring_unix_ms.unwrap(),
        cdr.answer_unix_ms.unwrap(),
    );
    assert!(start < ring && ring + 900 < answer && answer < cdr.end_unix_ms);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn the_callee_may_end_it() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    world.with(bob, |phone, now| phone.bye(now, 0));
    world.run_ms(5_000);
    assert!(world.phone(alice).dialogs[0].is_over);
    assert_eq!(
        world.phone(bob).finals.last().unwrap(),
        &("BYE".to_owned(), 200)
    );
    assert_eq!(world.cdrs[0].cause, CdrCause::CalleeBye);
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}

#[test]
fn a_busy_callee_gives_one_record() {
    let mut world = World::new(1);
    let alice = world.add("alice", ALICE);
    let bob = world.add("bob", BOB);
    world.phone(bob).reaction = Reaction::Refuse(486);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(5_000);
    assert_eq!(world.phone(alice).dialogs[0].statuses, [486]);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(
        (world.cdrs[0].status, world.cdrs[0].cause),
        (486, CdrCause::Failed)
    );
    assert_eq!(world.call_deletes(), 1);
    world.assert_idle();
}
