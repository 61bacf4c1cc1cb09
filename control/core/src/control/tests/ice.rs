//! What is said of ICE to either party, and to the relay.

use control_ng::{Flag, Flags, Ice as Wish, IceLite, Negotiation};
use relay_wire::{Ice, InterfaceId};

use crate::tests::{Sim, delete, on, port, sdp};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

/// What a party says that is at an address and speaks ICE.
pub(super) fn with_ice(address: &str, media_port: u16, user: &str) -> String {
    sdp(address, media_port)
        + &format!(
            "a=ice-ufrag:{user}\r\na=ice-pwd:theirPasswordOf{user}\r\n\
             a=candidate:1 1 UDP 2130706431 {address} {media_port} typ host\r\n\
             a=candidate:1 2 UDP 2130706430 {address} {} typ host\r\n",
            media_port + 1
        )
}

fn offer(sdp: &str) -> Negotiation<'_> {
    Negotiation::new(b"c1", b"alice", sdp.as_bytes())
}

fn answer(sdp: &str) -> Negotiation<'_> {
    offer(sdp).to_tag(b"bob")
}

fn wishing(negotiation: Negotiation<'_>, ice: Wish) -> Negotiation<'_> {
    Negotiation {
        ice: Some(ice),
        ..negotiation
    }
}

fn value<'s>(sdp: &'s str, name: &str) -> Option<&'s str> {
    sdp.lines().find_map(|it| it.strip_prefix(name))
}

fn candidates(sdp: &str) -> usize {
    let lines = sdp.lines();
    lines.filter(|it| it.starts_with("a=candidate:")).count()
}

fn has_ice(sdp: &str) -> bool {
    sdp.contains("a=ice-") || candidates(sdp) > 0
}

impl Sim {
    fn offered(&mut self, offer: Negotiation<'_>) -> String {
        self.negotiate(&control_ng::Command::Offer(offer))
    }

    fn answered(&mut self, answer: Negotiation<'_>) -> String {
        self.negotiate(&control_ng::Command::Answer(answer))
    }

    fn ice_at(&mut self, number: u16) -> Option<Ice> {
        self.relay.at(number).ice.clone()
    }
}

#[test]
fn each_party_is_told_of_the_relay_and_of_nobody_else() {
    let mut sim = Sim::new();
    let (alice, bob) = (
        with_ice(CALLER, 4_000, "ally"),
        with_ice(CALLEE, 5_000, "bobb"),
    );
    let to_bob = sim.offered(offer(&alice));
    assert!(!to_bob.contains("ally") && !to_bob.contains(&format!("{CALLER} 4000")));
    let towards_bob = port(&to_bob, 0);
    let to_alice = sim.answered(answer(&bob));
    let towards_alice = port(&to_alice, 0);
    for (told, number, user, address, is_controlling) in [
        (&to_bob, towards_bob, "bobb", "198.51.100.20:5000", true),
        (&to_alice, towards_alice, "ally", "192.0.2.10:4000", false),
    ] {
        assert_eq!(candidates(told), 2, "{told}");
        let ice = sim.ice_at(number).expect("the relay speaks ICE");
        assert_eq!(Some(&*ice.local.user), value(told, "a=ice-ufrag:"));
        assert_eq!(Some(&*ice.local.password), value(told, "a=ice-pwd:"));
        assert_eq!(ice.remote.as_ref().map(|it| &*it.user), Some(user));
        assert_eq!(ice.is_controlling, is_controlling);
        let candidates: Vec<_> = ice.candidates.iter().map(|it| it.address).collect();
        assert_eq!(candidates, [address.parse().unwrap()]);
        let rtcp = sim.ice_at(number + 1).expect("RTCP has a port of its own");
        assert_eq!((ice.component, rtcp.component), (1, 2));
        assert_eq!(rtcp.candidates.len(), 1);
        assert_eq!(rtcp.local, ice.local);
    }
    assert_ne!(value(&to_bob, "a=ice-pwd:"), value(&to_alice, "a=ice-pwd:"));
}

#[test]
fn what_is_asked_for_decides_who_is_told() {
    let (alice, plain) = (with_ice(CALLER, 4_000, "ally"), sdp(CALLER, 4_000));
    for (wish, of_ice, of_plain) in [
        (None, true, false),
        (Some(Wish::Default), true, false),
        (Some(Wish::Force), true, true),
        (Some(Wish::Optional), true, true),
        (Some(Wish::Remove), false, false),
    ] {
        for (text, expected) in [(&alice, of_ice), (&plain, of_plain)] {
            let mut sim = Sim::new();
            let offer = Negotiation {
                ice: wish,
                ..offer(text)
            };
            let told = sim.offered(offer);
            assert_eq!(has_ice(&told), expected, "{wish:?}");
            let number = port(&told, 0);
            assert_eq!(sim.ice_at(number).is_some(), expected);
        }
    }
}

#[test]
fn who_offers_ice_gets_it_whatever_the_other_party_speaks() {
    let bob = sdp(CALLEE, 5_000);
    for (wish, flags, expected) in [
        (None, Flags::default(), true),
        (Some(Wish::Force), Flags::default(), true),
        (Some(Wish::Remove), Flags::default(), false),
        (None, Flags::default().with(Flag::RejectIce), false),
    ] {
        let mut sim = Sim::new();
        let alice = with_ice(CALLER, 4_000, "ally");
        let told = sim.offered(wishing(offer(&alice), Wish::Remove));
        assert!(!has_ice(&told));
        let answer = Negotiation {
            ice: wish,
            flags,
            ..answer(&bob)
        };
        assert_eq!(has_ice(&sim.answered(answer)), expected);
    }
    // Who did not offer it is not told of it.
    let mut sim = Sim::new();
    sim.offered(wishing(offer(&sdp(CALLER, 4_000)), Wish::Force));
    let told = sim.answered(wishing(
        answer(&with_ice(CALLEE, 5_000, "bobb")),
        Wish::Force,
    ));
    assert!(!has_ice(&told));
}

#[test]
fn who_has_declined_is_not_asked_again_unless_told_to() {
    let mut sim = Sim::new();
    let alice = sdp(CALLER, 4_000);
    let first = sim.offered(wishing(offer(&alice), Wish::Force));
    assert!(has_ice(&first));
    let towards_bob = port(&first, 0);
    sim.answered(answer(&sdp(CALLEE, 5_000)));
    assert_eq!(sim.ice_at(towards_bob), None, "plain media");
    assert!(!has_ice(&sim.offered(offer(&alice).to_tag(b"bob"))));
    let again = sim.offered(wishing(offer(&alice).to_tag(b"bob"), Wish::Force));
    assert!(has_ice(&again));
    assert_eq!(sim.ice_at(towards_bob), None, "plain media goes on");
    sim.answered(answer(&with_ice(CALLEE, 5_000, "bobb")));
    assert!(sim.ice_at(towards_bob).is_some());
    let third = sim.offered(offer(&alice).to_tag(b"bob"));
    assert!(has_ice(&third), "it understands");
    assert_eq!(value(&third, "a=ice-ufrag:"), value(&again, "a=ice-ufrag:"));
}

#[test]
fn one_fork_declines_and_another_takes_it() {
    let mut sim = Sim::new();
    let told = sim.offered(wishing(offer(&sdp(CALLER, 4_000)), Wish::Force));
    let towards_bob = port(&told, 0);
    sim.answered(answer(&sdp(CALLEE, 5_000)));
    assert_eq!(sim.ice_at(towards_bob), None);
    sim.answered(answer(&with_ice(CALLEE, 5_000, "bobb")));
    let ice = sim.ice_at(towards_bob).expect("it was told of it");
    assert_eq!(Some(&*ice.local.user), value(&told, "a=ice-ufrag:"));
}

#[test]
fn a_name_stays_until_the_party_begins_anew() {
    let mut sim = Sim::new();
    let bob = sdp(CALLEE, 5_000);
    let mut turn = |user: &str, number: u16| {
        let alice = with_ice(CALLER, number, user);
        sim.offered(wishing(offer(&alice), Wish::Remove));
        let told = sim.answered(answer(&bob));
        (
            port(&told, 0),
            value(&told, "a=ice-ufrag:").unwrap().to_owned(),
        )
    };
    let first = turn("ally", 4_000);
    assert_eq!(turn("ally", 4_000), first);
    let moved = turn("ally", 4_800);
    assert_eq!(
        moved, first,
        "it finds out by itself that the party has moved"
    );
    let anew = turn("alma", 4_800);
    assert_eq!(anew.0, first.0);
    assert_ne!(anew.1, first.1);
}

#[test]
fn trickling_and_lite_are_said_as_asked_for() {
    let mut sim = Sim::new();
    let alice = with_ice(CALLER, 4_000, "ally");
    let told = sim.offered(Negotiation {
        flags: Flags::default().with(Flag::TrickleIce),
        ice_lite: Some(IceLite::Forward),
        ..offer(&alice)
    });
    assert_eq!(value(&told, "a=ice-options:"), Some("trickle"));
    assert!(told.ends_with("a=end-of-candidates\r\n"), "{told}");
    assert!(told.contains("t=0 0\r\na=ice-lite\r\n"), "{told}");
    let ice = sim.ice_at(port(&told, 0)).unwrap();
    assert!(ice.is_lite && !ice.is_controlling);
    let told = sim.answered(answer(&sdp(CALLEE, 5_000)));
    assert!(!told.contains("a=ice-lite") && !told.contains("trickle"));
    assert!(!sim.ice_at(port(&told, 0)).unwrap().is_lite);
}

#[test]
fn a_new_control_goes_on_with_the_same_names() {
    let mut sim = Sim::new();
    let alice = with_ice(CALLER, 4_000, "ally");
    let told = sim.offered(wishing(offer(&alice), Wish::Force));
    let before = sim.ice_at(port(&told, 0));
    assert!(before.is_some());
    sim.restart_control();
    let again = sim.offered(offer(&alice));
    assert_eq!(value(&again, "a=ice-pwd:"), value(&told, "a=ice-pwd:"));
    assert_eq!(sim.ice_at(port(&again, 0)), before);
    let to_alice = sim.answered(answer(&sdp(CALLEE, 5_000)));
    let towards_alice = sim.ice_at(port(&to_alice, 0));
    sim.restart_relay();
    assert_eq!(sim.ice_at(port(&to_alice, 0)), towards_alice);
}

#[test]
fn further_addresses_of_the_interface_are_told_too_and_their_ports_given_back() {
    let mut sim = Sim::new();
    let alice = with_ice(CALLER, 4_000, "ally");
    let told = sim.offered(Negotiation {
        direction: Some([b"inside", b"outside"]),
        ..offer(&alice)
    });
    assert_eq!(candidates(&told), 4, "{told}");
    let own = on(1, port(&told, 0));
    let ice = sim.ice_at(own.number).unwrap();
    let [first, further] = ice.bases[..] else {
        panic!("{ice:?}");
    };
    assert_eq!(first.port, own);
    assert_eq!(further.port.interface, InterfaceId(2));
    assert!(first.priority > further.priority);
    for (host, base) in [("203.0.113.1", first), ("2001:db8::1", further)] {
        let line = format!(
            "1 UDP {} {host} {} typ host",
            base.priority, base.port.number
        );
        assert!(told.contains(&line), "{line} in {told}");
    }
    sim.answered(answer(&sdp(CALLEE, 5_000)));
    assert_eq!(sim.pairs_open(), 2, "it was declined");
    let mut sim = Sim::new();
    let told = sim.offered(Negotiation {
        direction: Some([b"inside", b"outside"]),
        ..offer(&alice)
    });
    let bob = with_ice(CALLEE, 5_000, "bobb");
    let to_alice = sim.answered(answer(&bob));
    let ice = sim.ice_at(port(&told, 0)).unwrap();
    // What comes to the further one goes where the rest goes.
    let further = sim.relay.at(ice.bases[1].port.number);
    assert_eq!(further.rtp, Some(on(0, port(&to_alice, 0))));
    assert_eq!(sim.pairs_open(), 3);
    sim.request(&delete("c1"));
    assert_eq!(sim.pairs_open(), 0);
}

#[test]
fn a_party_that_is_told_of_another_port_is_told_of_another_name() {
    let mut sim = Sim::new();
    let mut turn = |number: u16| {
        let alice = sdp(CALLER, number);
        let told = sim.offered(Negotiation {
            direction: Some([b"inside", b"outside"]),
            flags: Flags::default().with(Flag::NoPortLatching),
            ..wishing(offer(&alice), Wish::Force)
        });
        let number = port(&told, 0);
        let ice = sim.ice_at(number).expect("the relay speaks ICE there");
        assert_eq!(ice.bases.len(), 2);
        (number, ice.local.user)
    };
    let first = turn(4_000);
    assert_eq!(turn(4_000), first);
    for number in [4_002, 4_004, 4_006] {
        let moved = turn(number);
        assert_ne!(moved.0, first.0);
        assert_ne!(moved.1, first.1);
    }
}
