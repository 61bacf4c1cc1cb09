//! Peers that are found by ICE: Alice speaks it, Bob does not.

use relay_ice::{Agent, Base, Candidate, Class, Credentials, Message, Role, Settings, Writer};
use relay_wire::{Ice, IceBase, IceCandidate, IceCredentials, OnRtcp};

use super::playing::play;
use super::*;
use crate::Transmit;

pub(super) const ALICE_V6: &str = "[2001:db8::a]:4000";
const RELAY: &str = "203.0.113.1:30000";
pub(super) const RELAY_V6: &str = "[2001:db8::1]:30000";

fn port_v6(number: u16) -> Port {
    Port {
        interface: InterfaceId(1),
        number,
    }
}

fn credentials(user: &str) -> IceCredentials {
    IceCredentials {
        user: user.to_owned(),
        password: format!("the password of {user}"),
    }
}

fn named(user: &str) -> Credentials {
    Credentials::new(user, format!("the password of {user}"))
}

/// What the relay is told of Alice: sockets 0 (IPv4) and 2 (IPv6), Bob is at 1.
pub(super) fn ice(user: &str, is_controlling: bool) -> Ice {
    let base = |port, priority| IceBase { port, priority };
    Ice {
        local: credentials(user),
        remote: Some(credentials("alice")),
        bases: vec![base(port(30_000), 200), base(port_v6(30_000), 100)],
        component: 1,
        tie_breaker: 7,
        is_controlling,
        is_lite: false,
        remote_is_lite: false,
        candidates: vec![IceCandidate {
            address: address(ALICE),
            priority: 200,
        }],
    }
}

pub(super) fn set(ice: Option<Ice>) -> Command {
    Command::SetIce {
        call: CallKey(1),
        port: port(30_000),
        ice,
    }
}

/// Alice's side, at the given addresses.
pub(super) fn alice(user: &str, role: Role, own: &[&str], relay: &[&str]) -> Agent {
    let mut agent = Agent::new(Settings {
        local: named("alice"),
        bases: own
            .iter()
            .map(|it| Base {
                address: address(it),
                priority: 200,
            })
            .collect(),
        component: 1,
        tie_breaker: 9,
        is_lite: false,
    });
    let candidates: Vec<_> = relay
        .iter()
        .map(|it| Candidate {
            address: address(it),
            priority: 200,
        })
        .collect();
    agent.update(start(), role, Some(named(user)), false, &candidates);
    agent
}

/// A call whose one side has two endpoints.
pub(super) fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    let (call, port) = (CallKey(1), port_v6(30_000));
    bench.done(Command::OpenEndpoint {
        call,
        port,
        tos: None,
    });
    bench.done(Command::Connect {
        call,
        ingress: port,
        rtp: Some(super::port(30_002)),
        rtcp: Some(super::port(30_002)),
    });
    bench
}

impl Bench {
    fn stun(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.relay.poll_transmit()).collect()
    }

    /// Lets Alice and the relay talk, whose sockets are 0 and 2.
    pub(super) fn talk(&mut self, alice: &mut Agent, ms: u64) {
        for _ in 0..ms / 10 {
            self.now += Duration::from_millis(10);
            self.relay.handle_timeout(self.now);
            alice.handle_timeout(self.now);
            for _ in 0..4 {
                self.exchange(alice);
            }
        }
    }

    fn exchange(&mut self, alice: &mut Agent) {
        for sent in self.stun() {
            let from = match sent.egress().socket.slot() {
                0 => RELAY,
                _ => RELAY_V6,
            };
            let mut bases = alice.settings().bases.iter();
            let to = bases.position(|it| it.address == sent.egress().destination);
            if let Some(to) = to {
                alice.handle_packet(self.now, to, address(from), sent.bytes());
            }
        }
        while let Some(sent) = alice.poll_transmit() {
            let socket = if sent.destination == address(RELAY) {
                0
            } else {
                2
            };
            let source = alice.settings().bases[sent.base].address.to_string();
            let verdict = self.packet(socket, &source, &sent.bytes);
            assert_eq!(verdict, Verdict::Drop(DropReason::Answered));
        }
    }
}

#[test]
fn media_is_taken_from_where_a_check_came_and_sent_where_it_was_decided() {
    for is_controlling in [false, true] {
        let mut bench = bench();
        bench.done(set(Some(ice("relay", is_controlling))));
        let unchecked = Verdict::Drop(DropReason::Unchecked);
        assert_eq!(
            bench.packet(0, ALICE, RTP),
            unchecked,
            "not even from there"
        );
        // As long as nothing is known, where signalling says.
        assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE));
        let role = match is_controlling {
            true => Role::Controlled,
            false => Role::Controlling,
        };
        // She is behind a NAT.
        let elsewhere = "192.0.2.77:7777";
        let mut alice = alice("relay", role, &[elsewhere], &[RELAY]);
        bench.talk(&mut alice, 2_000);
        assert!(alice.selected().is_some_and(|it| it.is_nominated));
        assert_eq!(bench.packet(0, elsewhere, RTP), forward(1, BOB));
        assert_eq!(bench.packet(1, BOB, RTP), forward(0, elsewhere));
        assert_eq!(bench.packet(0, ALICE, RTP), unchecked);
        assert_eq!(bench.packet(0, STRANGER, RTP), unchecked);
        assert_eq!(bench.counter("ice_agents"), 1);
        assert!(bench.counter("ice_checks_sent") > 0);
        assert!(bench.counter("ice_selections") > 0);
    }
}

#[test]
fn flows_go_to_the_endpoint_that_was_decided_on() {
    let mut bench = bench();
    bench.done(set(Some(ice("relay", false))));
    let mut alice = alice("relay", Role::Controlling, &[ALICE_V6], &[RELAY_V6]);
    bench.talk(&mut alice, 2_000);
    assert_eq!(bench.packet(2, ALICE_V6, RTP), forward(1, BOB));
    assert_eq!(bench.packet(1, BOB, RTP), forward(2, ALICE_V6));
    assert_eq!(bench.packet(1, BOB, RTCP), forward(2, ALICE_V6));
    // Control still knows only the first.
    bench.done(connect(30_002, None));
    bench.done(connect(30_002, Some(30_000)));
    assert_eq!(bench.packet(1, BOB, RTP), forward(2, ALICE_V6));
    // Another description does not undo what was found out.
    bench.done(signal(30_000, "192.0.2.9:9", Learning::Heuristic));
    assert_eq!(bench.packet(1, BOB, RTP), forward(2, ALICE_V6));
    bench.done(set(None));
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, "192.0.2.9:9"));
    assert_eq!(bench.counter("ice_agents"), 0);
}

/// Sounds and reports are for the peer, wherever it is.
#[test]
fn what_is_played_and_reported_goes_to_the_endpoint_that_was_decided_on() {
    let mut bench = bench();
    bench.done(set(Some(ice("relay", false))));
    let command = play(port(30_000), true, Some(port(30_000)));
    let outcome = bench.relay.handle_command(bench.now, command, ROOM);
    let Ok(Outcome::Play { socket, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    let muted = Verdict::Drop(DropReason::Filtered);
    bench.relay.handle_playing(CallKey(1), socket, true);
    assert_eq!(bench.packet(1, BOB, RTP), muted);
    let mut alice = alice("relay", Role::Controlling, &[ALICE_V6], &[RELAY_V6]);
    bench.talk(&mut alice, 2_000);
    assert_eq!(bench.packet(1, BOB, RTP), muted, "still");

    let there = forward(2, ALICE_V6);
    assert_eq!(bench.relay.handle_played(bench.now, socket, RTP), there);
    let report = bench.relay.poll_report().unwrap();
    assert_eq!(Verdict::Forward(report.egress()), there);
    bench.relay.handle_playing(CallKey(1), socket, false);
    assert_eq!(bench.packet(1, BOB, RTP), there);

    bench.done(Command::SetRtcp {
        call: CallKey(1),
        port: port(30_000),
        rtcp: OnRtcp::Answer {
            received: port(30_000),
            sent: Some(port(30_002)),
        },
    });
    assert_eq!(bench.packet(2, ALICE_V6, RTP), forward(1, BOB));
    bench.pass(7_000);
    let report = bench.relay.poll_report().unwrap();
    assert_eq!(Verdict::Forward(report.egress()), there);
}

#[test]
fn media_goes_on_while_ice_begins_anew() {
    let mut bench = bench();
    bench.done(set(Some(ice("relay", false))));
    let mut first = alice("relay", Role::Controlling, &[ALICE], &[RELAY]);
    bench.talk(&mut first, 2_000);
    bench.done(set(Some(ice("again", false))));
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE));
    // The old password is none any more.
    let old = Writer::new(Class::Request, relay_ice::TransactionId([1; 12]));
    let old = old.user("relay:alice").sign("the password of relay");
    assert_eq!(
        bench.packet(0, STRANGER, &old),
        Verdict::Drop(DropReason::Unchecked)
    );
    let moved = "192.0.2.66:4000";
    let mut second = alice("again", Role::Controlling, &[moved], &[RELAY]);
    bench.talk(&mut second, 2_000);
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, moved));
}

#[test]
fn the_same_again_changes_nothing_and_candidates_come_late() {
    let mut bench = bench();
    let without = Ice {
        remote: None,
        candidates: vec![],
        ..ice("relay", false)
    };
    bench.done(set(Some(without)));
    assert_eq!(bench.pass(1_000), []);
    assert_eq!(bench.stun(), [], "nobody is known");
    bench.done(set(Some(ice("relay", false))));
    bench.relay.handle_timeout(bench.now);
    let sent = bench.stun();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].egress().destination, address(ALICE));
    let first = Message::parse(sent[0].bytes()).unwrap().id();
    bench.done(set(Some(ice("relay", false))));
    bench.pass(600);
    let again = bench.stun();
    let again: Vec<_> = again
        .iter()
        .map(|it| Message::parse(it.bytes()).unwrap().id())
        .collect();
    assert_eq!(again, [first], "asked once more, and not anew");
}

#[test]
fn stun_without_ice_passes_and_strangers_change_nothing() {
    let mut bench = bench();
    let check = Writer::new(Class::Request, relay_ice::TransactionId([1; 12]));
    let check = check.user("relay:alice").sign("a guess");
    assert_eq!(bench.packet(0, ALICE, &check), forward(1, BOB));
    bench.done(set(Some(ice("relay", false))));
    bench.stun();
    for n in 0..1_000_u16 {
        let source = format!("198.51.100.1:{}", 1_000 + n);
        let verdict = bench.packet(0, &source, &check);
        assert_eq!(verdict, Verdict::Drop(DropReason::Unchecked));
    }
    assert!(bench.stun().len() <= 8);
    assert_eq!(bench.counter("ice_refused"), 1_000);
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE));
}

#[test]
fn endpoints_that_close_take_their_agent_along() {
    let mut bench = bench();
    bench.done(set(Some(ice("relay", false))));
    bench.done(Command::CloseEndpoint {
        call: CallKey(1),
        port: port_v6(30_000),
    });
    assert_eq!(bench.counter("ice_agents"), 0);
    assert_eq!(bench.stun(), []);
    bench.refused(set(Some(ice("relay", false))), Refusal::UnknownPort);
    let alone = Ice {
        bases: ice("relay", false).bases[..1].to_vec(),
        ..ice("relay", false)
    };
    bench.done(set(Some(alone)));
    assert_eq!(bench.counter("ice_agents"), 1);
    let removed = bench.apply(Command::RemoveCall { call: CallKey(1) });
    assert!(matches!(removed, Ok(Answer::Call(_))));
    assert_eq!(bench.counter("ice_agents"), 0);
    assert_eq!(bench.relay.poll_timeout(), None);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut bench = bench();
    let base = |port| IceBase { port, priority: 1 };
    let with = |bases: Vec<IceBase>| {
        set(Some(Ice {
            bases,
            ..ice("relay", false)
        }))
    };
    let (first, unknown) = (base(port(30_000)), base(port(30_100)));
    bench.refused(with(vec![]), Refusal::TooLong);
    bench.refused(with(vec![first; 5]), Refusal::TooLong);
    bench.refused(with(vec![first, first]), Refusal::UnknownPort);
    bench.refused(with(vec![first, unknown]), Refusal::UnknownPort);
    bench.refused(with(vec![base(port_v6(30_000))]), Refusal::UnknownPort);
    bench.done(set(Some(ice("relay", false))));
    // A base has one agent.
    let other = Command::SetIce {
        call: CallKey(1),
        port: port(30_002),
        ice: Some(Ice {
            bases: vec![base(port(30_002)), base(port_v6(30_000))],
            ..ice("other", false)
        }),
    };
    bench.refused(other, Refusal::PortOpen);
}
