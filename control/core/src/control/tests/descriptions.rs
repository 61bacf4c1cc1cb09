//! What descriptions say: `o=`, marks against loops, names of interfaces.

mod any;

use control_ng::{Command, Flag, Negotiation, Replace, Words};

use crate::tests::{Sim, sdp};

const CALLER: &str = "192.0.2.10";

fn offer(sdp: &str) -> Negotiation<'_> {
    Negotiation::new(b"c1", b"alice", sdp.as_bytes())
}

/// `o=` towards the callee, after an offer that asks for some things to be replaced.
fn origin(sim: &mut Sim, replace: &[Replace], origin: &str) -> String {
    let sdp_in = sdp(CALLER, 4_000).replace("o=- 1 1", &format!("o={origin}"));
    let replace = replace
        .iter()
        .fold(Words::default(), |all, it| all.with(*it));
    let offer = Negotiation {
        replace,
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(offer));
    let line = out.lines().nth(1).unwrap();
    line.strip_prefix("o=")
        .unwrap()
        .split(" IN")
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn the_version_of_a_description_counts_its_changes_or_its_sendings() {
    let mut sim = Sim::new();
    let version = [Replace::SdpVersion];
    assert_eq!(origin(&mut sim, &version, "- 1 7"), "- 1 7");
    assert_eq!(
        origin(&mut sim, &version, "- 1 9"),
        "- 1 7",
        "nothing else has changed"
    );
    assert_eq!(origin(&mut sim, &version, "bob 1 9"), "bob 1 8");
    assert_eq!(origin(&mut sim, &[], "bob 1 9"), "bob 1 9", "nobody asked");
    let force = [Replace::ForceIncrementSdpVersion];
    assert_eq!(origin(&mut sim, &force, "bob 1 9"), "bob 1 9");
    assert_eq!(origin(&mut sim, &force, "bob 1 9"), "bob 1 10");
}

#[test]
fn the_words_of_the_origin_stay_what_they_were_at_first() {
    let mut sim = Sim::new();
    assert_eq!(
        origin(&mut sim, &[Replace::Username], "alice 1 1"),
        "alice 1 1"
    );
    assert_eq!(
        origin(&mut sim, &[Replace::Username], "bob 2 3"),
        "alice 2 3"
    );
    assert_eq!(
        origin(&mut sim, &[Replace::OriginFull], "carol 3 4"),
        "alice 2 4",
        "the address has changed"
    );
}

#[test]
fn a_description_that_has_passed_before_is_left_alone() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let marked = sim.negotiate(&Command::Offer(offer(&sdp_in).flag(Flag::LoopProtect)));
    assert!(marked.contains("a=rtpengine:"), "{marked}");
    let again = Negotiation::new(b"c2", b"alice", marked.as_bytes()).flag(Flag::LoopProtect);
    assert_eq!(sim.negotiate(&Command::Offer(again)), marked);
    assert_eq!(sim.control.call_count(), 1, "no call of its own");
}

#[test]
fn an_interface_may_be_called_by_another_name() {
    let mut sim = Sim::new();
    sim.control.name_interface("other", "outside");
    let sdp_in = sdp(CALLER, 4_000);
    let negotiation = Negotiation {
        direction: Some([b"other", b"other"]),
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(negotiation));
    assert!(out.contains("c=IN IP4 203.0.113.1"), "{out}");
}

#[test]
fn inside_and_outside_are_families_unless_an_interface_is_called_so() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let towards = |name: &'static [u8]| Negotiation {
        direction: Some([b"internal", name]),
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(towards(b"external")));
    assert!(out.contains("c=IN IP6 "), "{out}");
    let mut sim = Sim::new();
    let out = sim.negotiate(&Command::Offer(towards(b"internal")));
    assert!(out.contains("c=IN IP4 10.0.0.1"), "{out}");
    let mut sim = Sim::new();
    sim.control.name_interface("external", "outside");
    let out = sim.negotiate(&Command::Offer(towards(b"external")));
    assert!(out.contains("c=IN IP4 203.0.113.1"), "{out}");
}
