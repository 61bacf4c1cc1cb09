//! Offers and answers.

use std::time::Duration;

use control_ng::{
    AddressFamily, Command, EndpointLearning, Flag, Negotiation, RtcpMux, Support, Words,
};
use proptest::prelude::*;
use relay_wire::{Handover, Learning, SourceRules};

use crate::sdp::tests::any_description;
use crate::tests::{CONFIG, Sim, SimRelay, on, port, sdp};
use crate::{Config, Notice};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

fn offer<'a>(sdp: &'a str) -> Negotiation<'a> {
    Negotiation::new(b"c1", b"alice", sdp.as_bytes())
}

/// The ports that face the callee and the caller, after offer and answer.
fn call(sim: &mut Sim) -> (u16, u16) {
    let to_callee = sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    (port(&to_callee, 0), port(&to_caller, 0))
}

#[test]
fn media_flows_both_ways_after_offer_and_answer() {
    let mut sim = Sim::new();
    let (callee, caller) = call(&mut sim);
    assert_eq!(sim.relay.open_ports().len(), 4);
    let at_caller = sim.relay.at(caller).clone();
    assert_eq!(at_caller.remote, Some("192.0.2.10:4000".parse().unwrap()));
    assert_eq!(at_caller.rtp, Some(on(0, callee)));
    assert_eq!(at_caller.rtcp, Some(on(0, callee + 1)));
    let at_callee = sim.relay.at(callee).clone();
    assert_eq!(
        at_callee.remote,
        Some("198.51.100.20:5000".parse().unwrap())
    );
    assert_eq!(at_callee.rtp, Some(on(0, caller)));
    let rtcp = sim.relay.at(callee + 1).clone();
    assert_eq!(rtcp.remote, Some("198.51.100.20:5001".parse().unwrap()));
    assert_eq!((rtcp.rtp, rtcp.rtcp), (None, Some(on(0, caller + 1))));
}

#[test]
fn the_sdp_names_the_relay_and_is_otherwise_untouched() {
    let mut sim = Sim::new();
    let out = sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    let number = port(&out, 0);
    let expected = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nt=0 0\r\n\
         m=audio {number} RTP/AVP 0 8 101\r\nc=IN IP4 10.0.0.1\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\na=rtcp:{}\r\n",
        number + 1
    );
    assert_eq!(out, expected);
}

#[test]
fn what_the_callee_sends_before_it_answers_reaches_the_caller() {
    let mut sim = Sim::new();
    let out = sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    let at_callee = sim.relay.at(port(&out, 0)).clone();
    let towards_caller = at_callee.rtp.expect("connected");
    let at_caller = sim.relay.at(towards_caller.number);
    assert_eq!(at_caller.remote, Some("192.0.2.10:4000".parse().unwrap()));
}

#[test]
fn an_offer_again_keeps_the_ports() {
    let mut sim = Sim::new();
    let (callee, caller) = call(&mut sim);
    let again = sim.reoffer("c1", "alice", "bob", &sdp(CALLER, 4_000));
    assert_eq!(port(&again, 0), callee);
    let sdp_in = sdp(CALLER, 4_444);
    let moved = offer(&sdp_in).to_tag(b"bob").flag(Flag::PortLatching);
    let moved = sim.negotiate(&Command::Offer(moved));
    assert_eq!(port(&moved, 0), callee);
    let remote = sim.relay.at(caller).remote;
    assert_eq!(remote, Some("192.0.2.10:4444".parse().unwrap()));
    assert_eq!(sim.relay.open_ports().len(), 4);
}

#[test]
fn the_callee_may_offer_too() {
    let mut sim = Sim::new();
    let (callee, _) = call(&mut sim);
    let to_caller = sim.reoffer("c1", "bob", "alice", &sdp(CALLEE, 5_555));
    let caller = port(&to_caller, 0);
    assert_eq!(sim.relay.at(callee).rtp, Some(on(0, caller)));
    let to_callee = sim.answer("c1", "bob", "alice", &sdp(CALLER, 4_000));
    assert_eq!(port(&to_callee, 0), callee);
    let remote = sim.relay.at(callee).remote;
    assert_eq!(remote, Some("198.51.100.20:5555".parse().unwrap()));
}

#[test]
fn an_offer_in_the_reply_is_answered_in_the_ack() {
    let mut sim = Sim::new();
    let to_caller = sim.reoffer("c1", "bob", "alice", &sdp(CALLEE, 5_000));
    let to_callee = sim.answer("c1", "bob", "alice", &sdp(CALLER, 4_000));
    let (caller, callee) = (port(&to_caller, 0), port(&to_callee, 0));
    assert_eq!(sim.relay.at(caller).rtp, Some(on(0, callee)));
    assert_eq!(sim.relay.at(callee).rtp, Some(on(0, caller)));
    let remote = sim.relay.at(caller).remote;
    assert_eq!(remote, Some("192.0.2.10:4000".parse().unwrap()));
}

#[test]
fn hold_in_each_spelling_stops_the_media_timeout_and_resume_starts_it() {
    let zero = sdp("0.0.0.0", 4_000);
    let direction = |name: &str| sdp(CALLER, 4_000) + "a=" + name + "\r\n";
    for hold in [zero, direction("sendonly"), direction("inactive")] {
        let mut sim = Sim::new();
        let (callee, _) = call(&mut sim);
        let timeout = |sim: &Sim| sim.relay.calls.values().next().unwrap().media_timeout_ms;
        assert_eq!(timeout(&sim), 60_000);
        let out = sim.reoffer("c1", "alice", "bob", &hold);
        assert_eq!(port(&out, 0), callee, "{hold}");
        assert_eq!(out.contains("0.0.0.0"), hold.contains("c=IN IP4 0.0.0.0"));
        sim.answer(
            "c1",
            "alice",
            "bob",
            &(sdp(CALLEE, 5_000) + "a=recvonly\r\n"),
        );
        assert_eq!(timeout(&sim), 3_600_000, "{hold}");
        sim.reoffer("c1", "alice", "bob", &sdp(CALLER, 4_000));
        sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
        assert_eq!(timeout(&sim), 60_000);
    }
}

#[test]
fn the_type_of_service_of_an_offer_is_that_of_its_ports() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let mut offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    offer.tos = Some(136);
    let to_callee = sim.negotiate(&Command::Offer(offer));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    for out in [to_callee, to_caller] {
        for number in [port(&out, 0), port(&out, 0) + 1] {
            assert_eq!(sim.relay.at(number).tos, Some(136));
        }
    }
    assert_eq!(sim.control.counters().unheeded, 0);
    let out = sim.offer("c2", "carol", &sdp(CALLER, 4_000));
    assert_eq!(sim.relay.at(port(&out, 0)).tos, None, "the interface's");
}

#[test]
fn an_unanswered_call_has_no_media_timeout() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    assert_eq!(sim.relay.calls.values().next().unwrap().media_timeout_ms, 0);
}

#[test]
fn each_fork_has_ports_of_its_own_and_the_last_to_answer_is_heard() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let fork = |branch| Command::Offer(offer(&sdp_in).via_branch(branch));
    let first = port(&sim.negotiate(&fork(b"z9hG4bK1")), 0);
    let second = port(&sim.negotiate(&fork(b"z9hG4bK2")), 0);
    assert_ne!(first, second);
    assert_eq!(sim.pairs_open(), 3, "the caller's ports serve both");
    let caller = sim.relay.at(first).rtp.unwrap();
    assert_eq!(
        sim.relay.at(second).rtp,
        Some(caller),
        "all are heard at first"
    );

    let answer = |sim: &mut Sim, branch, tag, number| {
        let sdp_out = sdp(CALLEE, number);
        let answer = Negotiation::new(b"c1", b"alice", sdp_out.as_bytes());
        let answer = answer.to_tag(tag).via_branch(branch);
        port(&sim.negotiate(&Command::Answer(answer)), 0)
    };
    assert_eq!(answer(&mut sim, b"z9hG4bK1", b"bob1", 5_000), caller.number);
    assert_eq!(sim.relay.at(caller.number).rtp, Some(on(0, first)));
    assert_eq!(
        sim.relay.at(second).rtp,
        None,
        "early media of one at a time"
    );
    assert_eq!(answer(&mut sim, b"z9hG4bK2", b"bob2", 6_000), caller.number);
    assert_eq!(sim.relay.at(caller.number).rtp, Some(on(0, second)));
    assert_eq!(sim.relay.at(second).rtp, Some(caller));
    assert_eq!(sim.relay.at(first).rtp, None);
    assert_eq!(sim.pairs_open(), 3);
}

#[test]
fn an_answer_from_another_tag_of_the_same_sdp_takes_over() {
    let mut sim = Sim::new();
    let (callee, caller) = call(&mut sim);
    let out = sim.answer("c1", "alice", "voicemail", &sdp("203.0.113.9", 7_000));
    assert_eq!(port(&out, 0), caller);
    let remote = sim.relay.at(callee).remote;
    assert_eq!(remote, Some("203.0.113.9:7000".parse().unwrap()));
    // Both names are known from now on.
    for tag in ["bob", "voicemail"] {
        let out = sim.reoffer("c1", "alice", tag, &sdp(CALLER, 4_000));
        assert_eq!(port(&out, 0), callee);
    }
}

#[test]
fn a_refused_medium_gives_its_ports_back_when_the_answer_is_there() {
    let mut sim = Sim::new();
    let video = "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n";
    let out = sim.offer("c1", "alice", &(sdp(CALLER, 4_000) + video));
    assert_ne!(port(&out, 1), 0);
    assert_eq!(sim.relay.open_ports().len(), 8);
    let refused = sdp(CALLEE, 5_000) + "m=video 0 RTP/AVP 96\r\n";
    let out = sim.answer("c1", "alice", "bob", &refused);
    assert_eq!(port(&out, 1), 0);
    assert_eq!(sim.relay.open_ports().len(), 4);
}

#[test]
fn a_medium_can_be_added_later() {
    let mut sim = Sim::new();
    let (callee, _) = call(&mut sim);
    let more = sdp(CALLER, 4_000) + "m=video 4002 RTP/AVP 96\r\n";
    let out = sim.reoffer("c1", "alice", "bob", &more);
    assert_eq!(port(&out, 0), callee);
    let video = port(&out, 1);
    let accepted = sdp(CALLEE, 5_000) + "m=video 5002 RTP/AVP 96\r\n";
    let out = sim.answer("c1", "alice", "bob", &accepted);
    assert_eq!(sim.relay.at(video).rtp, Some(on(0, port(&out, 1))));
    assert_eq!(sim.relay.open_ports().len(), 8);
}

#[test]
fn fax_over_udp_passes_as_bytes_through_one_port() {
    let mut sim = Sim::new();
    call(&mut sim);
    let fax = |address: &str, number: u16| {
        let sdp = sdp(address, number);
        sdp.replace("audio", "image")
            .replace("RTP/AVP 0 8 101", "udptl t38")
    };
    sim.offer("fax", "alice", &fax(CALLER, 4_100));
    let out = sim.answer("fax", "alice", "bob", &fax(CALLEE, 5_100));
    let caller = port(&out, 0);
    assert!(!out.contains("a=rtcp"), "{out}");
    let at_caller = sim.relay.at(caller).clone();
    assert!(at_caller.rtp.is_some());
    assert_eq!(
        at_caller.rtp, at_caller.rtcp,
        "whatever the bytes look like"
    );
    assert_eq!(sim.relay.open_ports().len(), 4 + 2);
}

fn with_mux(sdp: String) -> String {
    sdp + "a=rtcp-mux\r\n"
}

#[test]
fn rtcp_on_the_port_of_rtp_needs_one_endpoint_a_side() {
    let mut sim = Sim::new();
    let out = sim.offer("c1", "alice", &with_mux(sdp(CALLER, 4_000)));
    let callee = port(&out, 0);
    assert!(out.contains(&format!("a=rtcp:{}\r\n", callee + 1)), "{out}");
    assert!(out.contains("a=rtcp-mux\r\n"));
    let out = sim.answer("c1", "alice", "bob", &with_mux(sdp(CALLEE, 5_000)));
    let caller = port(&out, 0);
    assert!(out.contains(&format!("a=rtcp:{caller}\r\n")), "{out}");
    assert_eq!(sim.relay.open_ports().len(), 2);
    assert_eq!(sim.relay.at(caller).rtcp, Some(on(0, callee)));
}

#[test]
fn a_callee_without_mux_turns_it_off_for_both() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &with_mux(sdp(CALLER, 4_000)));
    let out = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert!(!out.contains("rtcp-mux"));
    assert_eq!(sim.relay.open_ports().len(), 4);
}

#[test]
fn demux_hides_it_from_the_callee_and_separates_here() {
    let mut sim = Sim::new();
    let sdp_in = with_mux(sdp(CALLER, 4_000));
    let demux = Negotiation {
        rtcp_mux: Words::default().with(RtcpMux::Demux),
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(demux));
    let callee = port(&out, 0);
    assert!(!out.contains("rtcp-mux"), "{out}");
    let out = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    let caller = port(&out, 0);
    assert!(out.contains("a=rtcp-mux\r\n"), "{out}");
    assert_eq!(sim.relay.at(caller).rtcp, Some(on(0, callee + 1)));
    assert_eq!(sim.relay.at(callee + 1).rtcp, Some(on(0, caller)));
    assert_eq!(sim.relay.open_ports().len(), 3);
}

#[test]
fn directions_name_the_interfaces_and_the_advertised_address_is_said() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let crossing = Negotiation {
        direction: Some([&b"inside"[..], b"outside"]),
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(crossing));
    assert!(out.contains("c=IN IP4 203.0.113.1\r\n"), "{out}");
    let callee = on(1, port(&out, 0));
    let out = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert!(out.contains("c=IN IP4 10.0.0.1\r\n"), "{out}");
    assert_eq!(sim.relay.at(port(&out, 0)).rtp, Some(callee));
}

#[test]
fn an_ip4_caller_talks_to_an_ip6_callee() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let bridging = Negotiation {
        address_family: Some(AddressFamily::Ip6),
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(bridging.replace_origin()));
    assert!(out.contains("c=IN IP6 2001:db8::1\r\n"), "{out}");
    assert!(out.contains("o=- 1 1 IN IP6 2001:db8::1\r\n"), "{out}");
    let callee = port(&out, 0);
    let sdp_out = sdp("2001:db8::99", 5_000).replace("IP4", "IP6");
    let out = sim.answer("c1", "alice", "bob", &sdp_out);
    assert!(out.contains("c=IN IP4 10.0.0.1\r\n"), "{out}");
    let remote = sim.relay.at(callee).remote;
    assert_eq!(remote, Some("[2001:db8::99]:5000".parse().unwrap()));
}

#[test]
fn media_address_and_source_address_override() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let told = Negotiation {
        media_address: Some("203.0.113.77".parse().unwrap()),
        endpoint_learning: Some(EndpointLearning::Immediate),
        ..offer(&sdp_in)
    };
    let told = told.received_from("172.16.0.9".parse().unwrap());
    let out = sim.negotiate(&Command::Offer(told.flag(Flag::SipSourceAddress)));
    assert!(out.contains("c=IN IP4 203.0.113.77\r\n"), "{out}");
    let caller = sim.relay.at(port(&out, 0)).rtp.unwrap();
    let at_caller = sim.relay.at(caller.number).clone();
    assert_eq!(at_caller.remote, Some("172.16.0.9:4000".parse().unwrap()));
    assert_eq!(at_caller.learning, Learning::Immediate);
}

#[test]
fn rtcp_goes_where_its_attribute_says() {
    let mut sim = Sim::new();
    let to_callee = sim.offer(
        "c1",
        "alice",
        &(sdp(CALLER, 4_000) + "a=rtcp:4999 IN IP4 192.0.2.12\r\n"),
    );
    let to_caller = sim.answer(
        "c1",
        "alice",
        "bob",
        &(sdp(CALLEE, 5_000) + "a=rtcp:5999\r\n"),
    );
    let (caller, callee) = (port(&to_caller, 0), port(&to_callee, 0));
    let remote = |sim: &mut Sim, port| sim.relay.at(port).remote.unwrap().to_string();
    assert_eq!(remote(&mut sim, caller + 1), "192.0.2.12:4999");
    assert_eq!(remote(&mut sim, callee + 1), format!("{CALLEE}:5999"));
    assert_eq!(sim.relay.at(caller + 1).rtcp, Some(on(0, callee + 1)));
}

#[test]
fn flags_say_what_holds_for_the_source_of_media() {
    let rules = SourceRules::default();
    let cases: [(&[Flag], SourceRules); 6] = [
        (&[], rules),
        (&[Flag::PortLatching, Flag::Symmetric], rules),
        (
            &[Flag::MediaHandover],
            SourceRules {
                handover: Handover::AnyStream,
                ..rules
            },
        ),
        (
            &[Flag::MediaHandover, Flag::StrictSource],
            SourceRules {
                handover: Handover::Never,
                ..rules
            },
        ),
        (
            &[Flag::Asymmetric, Flag::NatWait],
            SourceRules {
                is_asymmetric: true,
                waits_for_peer: true,
                ..rules
            },
        ),
        (
            &[Flag::PierceNat],
            SourceRules {
                pierces_nat: true,
                ..rules
            },
        ),
    ];
    for (flags, expected) in cases {
        let mut sim = Sim::new();
        let sdp_in = sdp(CALLER, 4_000);
        let told = flags.iter().fold(offer(&sdp_in), |it, flag| it.flag(*flag));
        let out = sim.negotiate(&Command::Offer(told));
        let caller = sim.relay.at(port(&out, 0)).rtp.unwrap();
        assert_eq!(sim.relay.at(caller.number).rules, expected, "{flags:?}");
        let callee = sim.relay.at(port(&out, 0)).rules;
        assert_eq!(callee, rules, "they are about who the request is from");
    }
}

#[test]
fn others_than_the_party_are_heard_if_wanted_and_learnt_once_there_is_an_answer() {
    let mut sim = Sim::new();
    sim.control.forward_other_sources();
    let to_callee = sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    let callee = port(&to_callee, 0);
    let caller = sim.relay.at(callee).rtp.unwrap().number;
    for port in [caller, caller + 1, callee] {
        let flow = sim.relay.at(port);
        assert!(flow.rules.forwards_others);
        assert_eq!(flow.learning, Learning::Off, "nobody has answered");
    }
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    for port in [caller, caller + 1, callee] {
        assert_eq!(sim.relay.at(port).learning, Learning::Heuristic);
    }
}

#[test]
fn calls_are_spread_over_the_workers_and_stay_there() {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(2));
    for n in 0..4 {
        let call = format!("call{n}");
        sim.offer(&call, "alice", &sdp(CALLER, 4_000));
        sim.answer(&call, "alice", "bob", &sdp(CALLEE, 5_000));
    }
    let workers: Vec<_> = sim.relay.calls.values().map(|call| call.worker).collect();
    assert_eq!(workers.iter().filter(|worker| **worker == 0).count(), 2);
    for call in sim.relay.calls.values() {
        let partition = sim.relay.hello.partition;
        let owners = call
            .endpoints
            .keys()
            .map(|port| partition.owner(port.number));
        assert!(
            owners
                .into_iter()
                .all(|owner| owner.unwrap().0 == call.worker)
        );
    }
}

#[test]
fn at_the_limit_of_calls_a_client_is_sent_elsewhere() {
    let config = Config {
        calls_max: 1,
        ..CONFIG
    };
    let mut sim = Sim::with_relay(config, SimRelay::new(1));
    call(&mut sim);
    let sdp_in = sdp(CALLER, 4_000);
    let second = Negotiation::new(b"c2", b"alice", sdp_in.as_bytes());
    let reason = sim.refusal(&Command::Offer(second.clone()));
    assert_eq!(reason, "Parallel session limit reached");
    let knowing = second.supports(Support::LoadLimit);
    sim.ask(&Command::Offer(knowing), |reply| {
        assert!(matches!(reply.outcome(), control_ng::Outcome::LoadLimit(_)));
    });
    // A call that is there goes on.
    sim.reoffer("c1", "alice", "bob", &sdp_in);
}

#[test]
fn without_ports_left_an_offer_is_refused_in_the_words_that_proxies_know() {
    let mut sim = Sim::with_relay(
        Config {
            calls_max: 1_000,
            ..CONFIG
        },
        SimRelay::new(2),
    );
    for n in 0..100 {
        sim.offer(&format!("call{n}"), "alice", &sdp(CALLER, 4_000));
    }
    let sdp_in = sdp(CALLER, 4_000);
    let one_more = Negotiation::new(b"c2", b"alice", sdp_in.as_bytes());
    assert_eq!(sim.refusal(&Command::Offer(one_more)), "Ran out of ports");
    assert_eq!(sim.control.call_count(), 100);
    // The next one finds what a call that ended gave back.
    sim.request(&Command::Delete(control_ng::Delete {
        call_id: b"call7",
        ..Default::default()
    }));
    sim.reply(|reply| assert!(reply.is_ok()));
    sim.sleep(Duration::from_secs(2));
    sim.offer("c3", "alice", &sdp_in);
}

#[test]
fn says_what_is_wrong_with_a_request() {
    let mut sim = Sim::new();
    call(&mut sim);
    let sdp_in = sdp(CALLER, 4_000);
    let answer = |call, from, to: &'static str| {
        Command::Answer(Negotiation::new(call, from, sdp_in.as_bytes()).to_tag(to.as_bytes()))
    };
    let cases = [
        (answer(b"c9", b"alice", "bob"), "Unknown call-id"),
        (
            answer(b"c1", b"carol", "bob"),
            "Invalid dialogue association",
        ),
        (
            answer(b"c1", b"alice", "alice"),
            "Invalid dialogue association",
        ),
        (
            Command::Offer(Negotiation::new(b"c1", b"alice", b"hello")),
            "Failed to parse SDP",
        ),
        (
            Command::Offer(Negotiation::new(b"c7", b"alice", b"hello")),
            "Failed to parse SDP",
        ),
    ];
    for (command, reason) in cases {
        assert_eq!(sim.refusal(&command), reason);
    }
    assert_eq!(sim.control.call_count(), 1, "no trace of what was refused");
    assert_eq!(sim.port_usage().0, 2);
}

#[test]
fn parties_of_one_call_have_a_limit() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let branches: Vec<_> = (0..20).map(|n| format!("branch{n}")).collect();
    let mut refused = 0;
    for branch in &branches {
        let fork = offer(&sdp_in).via_branch(branch.as_bytes());
        refused += usize::from(sim.ask(&Command::Offer(fork), |reply| !reply.is_ok()));
    }
    assert_eq!(refused, 5);
    assert_eq!(sim.pairs_open(), 16);
}

#[test]
fn what_is_not_understood_is_noted_and_not_refused() {
    let mut sim = Sim::new();
    sim.send(b"c d7:command4:ping5:wiblei1e5:flagsl5:forceee");
    sim.reply(|reply| assert!(reply.is_ok()));
    assert_eq!(sim.control.counters().unheeded, 2);
    assert!(
        matches!(&sim.notices[..], [.., Notice::Unheeded { names, .. }]
        if names == "force, wible" || names == "wible, force")
    );
}

#[test]
fn datagrams_that_are_no_requests_are_counted_and_answered_as_the_peer_does() {
    let mut sim = Sim::new();
    sim.send(b"nonsense");
    assert!(sim.sent.is_empty());
    for (datagram, reason) in [
        (&b"c [\"command\",\"ping\"]"[..], "Invalid NG data format"),
        (b"c d7:command", "Could not decode bencode dictionary"),
        (b"c ", "Invalid data (no payload)"),
        (b"c d7:command4:hopse", "Unrecognized command"),
    ] {
        sim.send(datagram);
        sim.reply(|reply| assert_eq!(reply.error_reason().unwrap(), reason));
    }
    // Replies are not replied to, or two servers would never stop.
    sim.send(b"c d6:result5:error12:error-reason1:xe");
    assert!(sim.sent.is_empty());
    assert_eq!(sim.control.counters().malformed, 4);
}

#[test]
fn lists_calls_up_to_a_limit() {
    let mut sim = Sim::new();
    call(&mut sim);
    sim.offer("c2", "alice", &sdp(CALLER, 4_000));
    sim.ask(&Command::List { limit: 32 }, |reply| {
        let calls = reply.dictionary().get("calls").unwrap();
        let mut names: Vec<_> = calls.words().collect();
        names.sort_unstable();
        assert_eq!(names, [b"c1", b"c2"]);
    });
    sim.ask(&Command::List { limit: 1 }, |reply| {
        let calls = reply.dictionary().get("calls").unwrap();
        assert_eq!(calls.as_list().unwrap().len(), 1);
    });
}

/// A number in the reply to `statistics`.
fn statistic(reply: &control_ng::Reply<'_>, group: &str, name: &str) -> Option<i64> {
    let statistics = reply.dictionary().get("statistics")?.as_dictionary()?;
    let group = statistics.get(group)?.as_dictionary()?;
    group.get(name)?.as_integer()
}

#[test]
fn what_became_of_calls_is_counted_under_the_peers_names() {
    let mut sim = Sim::new();
    for (name, to) in [("c1", "bob"), ("c2", "carol"), ("c3", "dave")] {
        sim.offer(name, "alice", &sdp(CALLER, 4_000));
        if name != "c3" {
            sim.answer(name, "alice", to, &sdp(CALLEE, 5_000));
        }
    }
    sim.sleep(Duration::from_secs(10));
    sim.ask(&crate::tests::delete(b"c2"), |reply| assert!(reply.is_ok()));
    sim.media_timeout();
    sim.sleep(Duration::from_secs(u64::from(CONFIG.offer_timeout_s)));
    let block = Command::Treat(control_ng::Treat {
        call_id: b"nobody",
        whose: control_ng::Whose::Call,
        change: control_ng::Change::Block(true),
    });
    sim.refusal(&block);
    sim.ask(&Command::Statistics, |reply| {
        let total = |key| statistic(reply, "totalstatistics", key);
        for key in [
            "timeoutsessions",
            "offertimeoutsessions",
            "regularterminatedsessions",
        ] {
            assert_eq!(total(key), Some(1), "{key}");
        }
        assert_eq!(total("managedsessions"), Some(3));
        let all = reply.dictionary().get("statistics").unwrap();
        let all = all.as_dictionary().unwrap();
        let text = |part: &str, key: &str| {
            let part = all.get(part).unwrap().as_dictionary().unwrap();
            part.get(key).unwrap().as_str().unwrap().to_owned()
        };
        let seconds: f64 = text("totalstatistics", "totalcallsduration")
            .parse()
            .unwrap();
        assert!(seconds >= 20.0, "{seconds}");
        assert_eq!(text("mos", "mos_average").len(), "4.400000".len());
        let blocked = statistic(reply, "controlstatistics", "totalblkmediacount");
        assert_eq!(blocked, Some(1));
    });
}

#[test]
fn statistics_are_summed_over_the_workers() {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(3));
    for name in ["c1", "c2"] {
        sim.offer(name, "alice", &sdp(CALLER, 4_000));
    }
    sim.is_slow = true;
    sim.request(&Command::Statistics);
    sim.request(&Command::Statistics);
    assert_eq!(sim.requests.len(), 3, "one question to each for both");
    sim.deliver_all();
    for _ in 0..2 {
        sim.reply(|reply| {
            assert_eq!(
                statistic(reply, "currentstatistics", "sessionsown"),
                Some(2)
            );
            assert_eq!(
                statistic(reply, "controlstatistics", "totaloffercount"),
                Some(2)
            );
            assert_eq!(statistic(reply, "ports", "used"), Some(8));
            let interfaces = reply.dictionary().get("statistics").unwrap();
            let interfaces = interfaces.as_dictionary().unwrap().get("interfaces");
            let inside = interfaces.unwrap().as_list().unwrap()[0].clone();
            let inside = inside.as_dictionary().unwrap();
            assert_eq!(inside.get("name").unwrap().as_str(), Some("inside"));
            let ports = inside.get("ports").unwrap().as_dictionary().unwrap();
            for (key, number) in [("min", 30_000), ("used", 8)] {
                assert_eq!(ports.get(key).unwrap().as_integer(), Some(number));
            }
            assert_eq!(statistic(reply, "relay", "calls"), Some(2));
            assert_eq!(statistic(reply, "relay", "endpoints"), Some(8));
        });
    }
    assert!(sim.sent.is_empty());
    // Asked again, it is counted again; and a relay that is gone keeps nobody waiting.
    sim.request(&Command::Statistics);
    sim.disconnect();
    sim.reply(|reply| {
        assert_eq!(
            statistic(reply, "currentstatistics", "sessionsown"),
            Some(2)
        );
        assert_eq!(statistic(reply, "relay", "calls"), None);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever phones say to one another, each gets an SDP with as many media, or an error; the
    /// relay is never asked for what it must refuse.
    #[test]
    fn any_descriptions_can_be_exchanged(
        exchange in prop::collection::vec((any_description(), 0..4_u8), 1..8),
    ) {
        let mut sim = Sim::new();
        for (text, kind) in &exchange {
            let (from, to) = if kind % 2 == 0 { ("alice", "bob") } else { ("bob", "alice") };
            let said = Negotiation::new(b"c1", from.as_bytes(), text.as_bytes());
            let command = match kind {
                0 => Command::Offer(said),
                1 => Command::Offer(said.to_tag(to.as_bytes())),
                _ => Command::Answer(said.to_tag(to.as_bytes())),
            };
            let media = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
            sim.ask(&command, |reply| {
                if let Some(sdp) = reply.sdp() {
                    let sdp = std::str::from_utf8(sdp).unwrap();
                    assert_eq!(media(sdp), media(text));
                } else {
                    assert!(reply.error_reason().is_some());
                }
            });
        }
        prop_assert_eq!(sim.control.counters().relay_refusals, 0);
        let open = sim.relay.open_ports().len();
        prop_assert!(open <= 2 * sim.port_usage().0, "no endpoint without a port");
    }
}

#[test]
fn what_is_asked_for_and_not_done_is_noted() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let profile = |profile: &'static [u8]| Negotiation {
        transport_protocol: Some(profile),
        ..offer(&sdp_in)
    };
    sim.negotiate(&Command::Offer(profile(b"RTP/AVP")));
    assert_eq!(sim.control.counters().unheeded, 0, "it is so already");
    sim.negotiate(&Command::Offer(profile(b"RTP/SAVP")));
    assert_eq!(sim.control.counters().unheeded, 0, "there are keys for it");
    sim.negotiate(&Command::Offer(profile(b"UDP/TLS/RTP/SAVPF")));
    assert!(sim.notices.iter().any(|notice| matches!(
        notice,
        Notice::Unheeded { names, .. } if names == "transport protocol"
    )));
}
