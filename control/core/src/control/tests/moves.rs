//! Parties that move, and what the others are told.

use control_ng::{Change, Command, Flag, Negotiation, Treat, Whose};
use relay_wire::OnMedia;

use crate::tests::{Sim, on, port, sdp};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

/// The ports that face the callee and the caller, after offer and answer.
fn call(sim: &mut Sim) -> (u16, u16) {
    let to_callee = sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    (port(&to_callee, 0), port(&to_caller, 0))
}

/// The port that the callee is told of when the caller is at another one, with flags.
fn told(sim: &mut Sim, text: &str, flags: &[Flag]) -> u16 {
    let offer = Negotiation::new(b"c1", b"alice", text.as_bytes()).to_tag(b"bob");
    let offer = flags.iter().fold(offer, |offer, flag| offer.flag(*flag));
    port(&sim.negotiate(&Command::Offer(offer)), 0)
}

#[test]
fn who_moves_gets_its_peer_told_of_another_port_and_who_moves_back_of_the_first() {
    let mut sim = Sim::new();
    let (callee, caller) = call(&mut sim);
    let moved = told(&mut sim, &sdp(CALLER, 4_444), &[]);
    assert_ne!(moved, callee);
    assert_eq!(sim.relay.at(caller).rtp, Some(on(0, moved)));
    for port in [moved, callee] {
        let flow = sim.relay.at(port).clone();
        assert_eq!(flow.rtp, Some(on(0, caller)), "what is late comes through");
        assert_eq!(flow.remote, Some("198.51.100.20:5000".parse().unwrap()));
        assert_eq!(sim.relay.at(port + 1).rtcp, Some(on(0, caller + 1)));
    }
    assert_eq!(sim.pairs_open(), 3);
    assert_eq!(told(&mut sim, &sdp(CALLER, 4_000), &[]), callee);
    let out = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_555));
    assert_ne!(port(&out, 0), caller, "an answer may move too");
    let out = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert_eq!(port(&out, 0), caller);
    assert_eq!(sim.pairs_open(), 4, "nothing is taken twice");
}

#[test]
fn what_is_kept_back_is_kept_back_at_older_ports_too() {
    let mut sim = Sim::new();
    let (callee, _) = call(&mut sim);
    let moved = told(&mut sim, &sdp(CALLER, 4_444), &[]);
    let block = Command::Treat(Treat {
        call_id: b"c1",
        whose: Whose::Call,
        change: Change::Block(true),
    });
    assert!(sim.ask(&block, |reply| reply.is_ok()));
    for port in [callee, moved] {
        let filter = sim.relay.at(port).filter.clone();
        assert!(filter.is_some_and(|it| it.on_media == OnMedia::Drop));
    }
}

#[test]
fn who_goes_round_and_round_takes_no_more_than_a_few_ports() {
    let mut sim = Sim::new();
    call(&mut sim);
    for number in 0..20 {
        told(&mut sim, &sdp(CALLER, 4_000 + 2 * number), &[]);
    }
    assert_eq!(sim.pairs_open(), 4);
}

#[test]
fn who_is_put_on_hold_does_not_move() {
    for hold in ["a=sendonly\r\n", "a=inactive\r\n"] {
        let mut sim = Sim::new();
        let (callee, _) = call(&mut sim);
        let held = sdp(CALLER, 4_444) + hold;
        assert_eq!(told(&mut sim, &held, &[]), callee);
        assert_eq!(told(&mut sim, &sdp("0.0.0.0", 4_000), &[]), callee);
        assert_eq!(told(&mut sim, &sdp(CALLER, 4_000), &[]), callee, "resumed");
        assert_ne!(told(&mut sim, &held, &[Flag::NoPortLatching]), callee);
    }
}

#[test]
fn ports_are_kept_if_that_is_wanted() {
    let mut sim = Sim::new();
    let (callee, _) = call(&mut sim);
    let moved = told(&mut sim, &sdp(CALLER, 4_444), &[Flag::PortLatching]);
    assert_eq!(moved, callee);
    assert_eq!(sim.pairs_open(), 2);
}

#[test]
fn another_tag_on_another_branch_is_another_party() {
    let mut sim = Sim::new();
    let (callee, caller) = call(&mut sim);
    let sdp_in = sdp(CALLEE, 5_000);
    let again = Negotiation::new(b"c1", b"bob", sdp_in.as_bytes());
    let other = again.clone().to_tag(b"carol").via_branch(b"9");
    let to_carol = port(&sim.negotiate(&Command::Offer(other)), 0);
    assert!(![callee, caller].contains(&to_carol));
    let back = again.to_tag(b"alice").via_branch(b"10");
    assert_eq!(port(&sim.negotiate(&Command::Offer(back)), 0), caller);
}
