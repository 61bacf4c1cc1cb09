//! RTCP that the relay makes itself, or passes in part.

use control_ng::{Command, Flag, Negotiation, Switch};
use relay_wire::{InterfaceId, OnRtcp, Port};

use crate::tests::{Sim, port, sdp};

fn at(number: u16) -> Port {
    Port {
        interface: InterfaceId(0),
        number,
    }
}

/// What becomes of RTCP that arrives at some ports of the only call.
fn on_rtcp<const N: usize>(sim: &Sim, numbers: [u16; N]) -> [OnRtcp; N] {
    let call = sim.relay.calls.values().next().expect("there is one");
    numbers.map(|number| call.endpoints[&at(number)].on_rtcp)
}

fn negotiation<'a>(sdp: &'a str, change: impl FnOnce(&mut Negotiation<'a>)) -> Negotiation<'a> {
    let mut negotiation = Negotiation {
        call_id: b"c1",
        from_tag: b"alice",
        sdp: sdp.as_bytes(),
        ..Negotiation::default()
    };
    change(&mut negotiation);
    negotiation
}

/// Both descriptions, changed; what becomes of RTCP of the caller and of the callee.
fn call(
    sim: &mut Sim,
    change: impl FnOnce(&mut Negotiation<'_>),
    profiles: [&str; 2],
    more: [&str; 2],
) -> ([u16; 2], [OnRtcp; 2]) {
    let describe = |address, port, index: usize| {
        let text = sdp(address, port).replace("RTP/AVP ", &format!("{} ", profiles[index]));
        text + more[index]
    };
    let offered = describe("192.0.2.10", 4_000, 0);
    let to_callee = sim.negotiate(&Command::Offer(negotiation(&offered, change)));
    let answered = describe("198.51.100.20", 5_000, 1);
    let to_caller = sim.negotiate(&Command::Answer(negotiation(&answered, |it| {
        it.to_tag = Some(b"bob")
    })));
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    let seen = on_rtcp(sim, ports.map(|it| it + 1));
    (ports, seen)
}

#[test]
fn reports_are_made_for_both_parties_until_somebody_says_no() {
    let mut sim = Sim::new();
    let generate = |it: &mut Negotiation<'_>| it.flags = it.flags.with(Flag::GenerateRtcp);
    let (ports, seen) = call(&mut sim, generate, ["RTP/AVP"; 2], [""; 2]);
    let [a, b] = ports.map(at);
    let answer = |received, sent| OnRtcp::Answer {
        received,
        sent: Some(sent),
    };
    assert_eq!(seen, [answer(a, b), answer(b, a)]);
    assert_eq!(on_rtcp(&sim, ports), [OnRtcp::Pass; 2], "RTP's own ports");
    sim.restart_control();
    sim.restart_relay();
    let rtcp = ports.map(|it| it + 1);
    assert_eq!(on_rtcp(&sim, rtcp), [answer(a, b), answer(b, a)]);
    let description = sdp("192.0.2.10", 4_000);
    sim.negotiate(&Command::Offer(negotiation(&description, |it| {
        it.to_tag = Some(b"bob");
        it.generate_rtcp = Some(Switch::Off);
    })));
    assert_eq!(on_rtcp(&sim, rtcp), [OnRtcp::Pass; 2]);
}

#[test]
fn at_ports_that_a_party_left_rtcp_passes_no_more_than_elsewhere() {
    let mut sim = Sim::new();
    let generate = |it: &mut Negotiation<'_>| it.flags = it.flags.with(Flag::GenerateRtcp);
    let ([caller, left], _) = call(&mut sim, generate, ["RTP/AVP"; 2], [""; 2]);
    let moved = sdp("192.0.2.10", 4_444);
    let out = sim.negotiate(&Command::Offer(negotiation(&moved, |it| {
        it.to_tag = Some(b"bob")
    })));
    let callee = port(&out, 0);
    assert_ne!(callee, left, "the callee is told of another port");
    let [a, b] = [caller, callee].map(at);
    let answer = |received, sent| OnRtcp::Answer {
        received,
        sent: Some(sent),
    };
    let seen = on_rtcp(&sim, [caller, callee, left].map(|it| it + 1));
    assert_eq!(seen, [answer(a, b), answer(b, a), OnRtcp::End]);

    let mut sim = Sim::new();
    let to_avp = |it: &mut Negotiation<'_>| it.transport_protocol = Some(b"RTP/AVP");
    let nack = ["a=rtcp-fb:* nack\r\n", ""];
    let ([left, _], _) = call(&mut sim, to_avp, ["RTP/AVPF", "RTP/AVP"], nack);
    let moved = sdp("198.51.100.20", 5_555);
    let out = sim.negotiate(&Command::Answer(negotiation(&moved, |it| {
        it.to_tag = Some(b"bob")
    })));
    let caller = port(&out, 0);
    assert_ne!(caller, left, "the caller is told of another port");
    let seen = on_rtcp(&sim, [caller, left].map(|it| it + 1));
    assert_eq!(seen, [OnRtcp::PassReports; 2]);
}

#[test]
fn where_rtcp_comes_to_the_port_of_rtp_it_is_answered_there() {
    let mut sim = Sim::new();
    let generate = |it: &mut Negotiation<'_>| it.generate_rtcp = Some(Switch::On);
    let mux = "a=rtcp-mux\r\n";
    let offered = sdp("192.0.2.10", 4_000) + mux;
    let to_callee = sim.negotiate(&Command::Offer(negotiation(&offered, generate)));
    let answered = sdp("198.51.100.20", 5_000) + mux;
    let to_caller = sim.negotiate(&Command::Answer(negotiation(&answered, |it| {
        it.to_tag = Some(b"bob")
    })));
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    let [a, b] = ports.map(at);
    let answer = |received, sent| OnRtcp::Answer {
        received,
        sent: Some(sent),
    };
    assert_eq!(on_rtcp(&sim, ports), [answer(a, b), answer(b, a)]);
}

#[test]
fn encrypted_rtcp_passes_as_it_is() {
    let mut sim = Sim::new();
    let generate = |it: &mut Negotiation<'_>| it.flags = it.flags.with(Flag::GenerateRtcp);
    let (_, seen) = call(&mut sim, generate, ["RTP/SAVPF", "RTP/SAVP"], [""; 2]);
    assert_eq!(seen, [OnRtcp::Pass; 2]);
}

#[test]
fn feedback_goes_to_who_knows_it() {
    let to_avp = |it: &mut Negotiation<'_>| it.transport_protocol = Some(b"RTP/AVP");
    let nack = "a=rtcp-fb:* nack\r\n";
    for (profiles, more, expected) in [
        (["RTP/AVPF", "RTP/AVP"], [nack, ""], OnRtcp::PassReports),
        (["RTP/AVPF", "RTP/AVP"], [nack, nack], OnRtcp::Pass),
        (["RTP/AVP", "RTP/AVP"], [nack, ""], OnRtcp::Pass),
    ] {
        let mut sim = Sim::new();
        let (_, seen) = call(&mut sim, to_avp, profiles, more);
        assert_eq!(seen, [expected, OnRtcp::Pass], "{profiles:?} {more:?}");
    }
    let mut sim = Sim::new();
    let (_, seen) = call(&mut sim, |_| {}, ["RTP/AVPF"; 2], [nack, ""]);
    assert_eq!(seen, [OnRtcp::Pass; 2]);
}
