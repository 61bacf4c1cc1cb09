//! Media that is stopped and goes on.

use control_ng::{Block, Command, Party};

use crate::tests::{Sim, port, sdp};

/// A call, and the ports that face caller and callee.
fn call(sim: &mut Sim) -> [u16; 2] {
    let to_callee = sim.offer("c1", "alice", &sdp("192.0.2.10", 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp("198.51.100.20", 5_000));
    [port(&to_caller, 0), port(&to_callee, 0)]
}

fn block(party: Option<Party<'_>>, is_blocked: bool) -> Command<'_> {
    let call_id = b"c1";
    Command::Block(Block {
        call_id,
        party,
        is_blocked,
    })
}

fn flows(sim: &mut Sim, ports: [u16; 2]) -> [bool; 2] {
    ports.map(|port| sim.relay.at(port).rtp.is_some())
}

#[test]
fn media_of_all_or_of_one_party_stops_and_goes_on() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    assert_eq!(flows(&mut sim, ports), [true, true]);
    let cases = [
        (None, [false, false]),
        (Some(Party::Tag(b"alice")), [false, true]),
        (
            Some(Party::Address("198.51.100.20".parse().unwrap())),
            [true, false],
        ),
    ];
    for (party, expected) in cases {
        assert!(sim.ask(&block(party.clone(), true), |reply| reply.is_ok()));
        assert_eq!(flows(&mut sim, ports), expected, "{party:?}");
        assert!(sim.ask(&block(party, false), |reply| reply.is_ok()));
        assert_eq!(flows(&mut sim, ports), [true, true]);
    }
}

#[test]
fn nobody_is_blocked_who_is_not_there() {
    let mut sim = Sim::new();
    assert_eq!(sim.refusal(&block(None, true)), "Unknown call-ID");
    call(&mut sim);
    let nobody = block(Some(Party::Tag(b"carol")), true);
    assert_eq!(
        sim.refusal(&nobody),
        "From-tag given, but no such tag exists"
    );
    let unlabelled = block(Some(Party::Label(b"1")), true);
    assert_eq!(
        sim.refusal(&unlabelled),
        "From-tag given, but no such tag exists"
    );
}
