//! Calls over a network that loses, repeats and reorders, seed by seed.

use super::{Network, Reaction, World};
use crate::interface::CdrCause;

const ALICE: &str = "198.51.100.1:5060";
const BOB: &str = "198.51.100.2:5062";

const BAD: Network = Network {
    loss: 20,
    duplicates: 10,
    delay_ms: (1, 80),
};

/// A world whose phones registered before the network went bad.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add("alice", ALICE);
    world.add("bob", BOB);
    world.network = BAD;
    world.media_delay_ms = (1, 120);
    world
}

/// One call of a random kind, and how it ended.
fn run(seed: u64) -> Option<CdrCause> {
    let mut world = world(seed);
    let (alice, bob) = (ALICE.parse().unwrap(), BOB.parse().unwrap());
    world.phone(bob).reaction = match seed % 4 {
        0 => Reaction::Refuse(486),
        1 => Reaction::Ring,
        _ => Reaction::Answer(2_000),
    };
    world.phone(bob).early_sdp = seed.is_multiple_of(3);
    world.with(alice, |phone, now| phone.call(now, "bob"));
    world.run_ms(20_000);
    if seed % 4 == 1 && world.phone(alice).dialogs[0].statuses.last() == Some(&180) {
        world.with(alice, |phone, now| phone.cancel(now, 0));
    }
    world.run_ms(60_000);
    if world.phone(alice).dialogs[0].is_up {
        let ends = if seed.is_multiple_of(2) { alice } else { bob };
        if seed.is_multiple_of(5) {
            let call_id = world.phone(alice).dialogs[0].call_id.clone();
            let now = world.now();
            world.proxy.handle_media_timeout(now, &call_id);
        } else {
            world.with(ends, |phone, now| phone.bye(now, 0));
        }
    }
    world.assert_idle();
    // INVITE may be lost eleven times: then there was no call at all.
    if world.proxy.counters().calls == 0 {
        return None;
    }
    assert_eq!(world.cdrs.len(), 1, "one record");
    assert_eq!(
        world.call_deletes(),
        usize::from(world.media.len() > 1),
        "one delete"
    );
    let statuses = &world.phone(alice).dialogs[0].statuses;
    let finals = statuses.iter().filter(|status| **status >= 200).count();
    assert!(finals <= 1, "one final response: {statuses:?}");
    let cdr = &world.cdrs[0];
    if cdr.answer_unix_ms.is_some() {
        assert_eq!(cdr.status, 200);
        assert!(matches!(
            cdr.cause,
            CdrCause::CallerBye | CdrCause::CalleeBye | CdrCause::MediaTimeout
        ));
    }
    Some(cdr.cause)
}

#[test]
fn every_call_ends_with_one_record_and_nothing_left() {
    let mut causes = Vec::new();
    for seed in 0..200 {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "seed {seed}");
        causes.extend(result.unwrap());
    }
    // Each kind of end was really met.
    for cause in [
        CdrCause::CallerBye,
        CdrCause::CalleeBye,
        CdrCause::Cancelled,
        CdrCause::Failed,
        CdrCause::MediaTimeout,
    ] {
        let count = causes.iter().filter(|met| **met == cause).count();
        assert!(count >= 5, "{cause:?}: {count} of {}", causes.len());
    }
}

#[test]
fn registration_survives_loss() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.network = BAD;
        let alice = world.add_unregistered("alice", ALICE);
        world.with(alice, |phone, now| phone.register(now));
        world.run_ms(70_000);
        assert!(world.phone(alice).is_registered, "seed {seed}");
        // The retransmitted REGISTER is no replay.
        assert_eq!(world.proxy.counters().registered, 1, "seed {seed}");
        assert_eq!(world.proxy.counters().credentials_refused, 0, "seed {seed}");
        world.assert_idle();
    }
}
