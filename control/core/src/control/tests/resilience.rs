//! Requests that come twice or at once, and a relay that says no.

use std::time::Duration;

use control_ng::{Command, Delete, Negotiation};
use proptest::prelude::*;

use crate::tests::{CONFIG, Sim, SimRelay, client, delete, port, sdp};
use crate::{Config, Notice};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

#[test]
fn a_request_sent_again_gets_the_same_reply_and_is_not_done_again() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    let datagram = sim.request(&Command::Offer(offer));
    let first = sim.sent.pop_front().unwrap();
    sim.request(&delete("c1"));
    sim.sent.clear();
    sim.send(&datagram);
    assert_eq!(sim.sent.pop_front(), Some(first));
    assert!(sim.relay.calls.is_empty(), "no call out of an old offer");
    assert_eq!(sim.control.counters().repeated, 1);
}

#[test]
fn a_request_sent_again_while_the_relay_works_gets_one_reply() {
    let mut sim = Sim::new();
    sim.is_slow = true;
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    let datagram = sim.request(&Command::Offer(offer));
    sim.send(&datagram);
    assert_eq!(sim.requests.len(), 1);
    sim.deliver_all();
    assert_eq!(sim.sent.len(), 1);
}

#[test]
fn another_client_with_the_same_cookie_gets_a_reply_of_its_own() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let offer = |call: &'static str| {
        let offer = Negotiation::new(call.as_bytes(), b"alice", sdp_in.as_bytes());
        Command::Offer(offer).encode(b"0_17_1")
    };
    sim.send(&offer("c1"));
    sim.client = client(2);
    sim.send(&offer("c2"));
    assert_eq!(sim.relay.calls.len(), 2);
    // And so does the same client after a restart, which counts from the beginning.
    sim.send(&offer("c3"));
    assert_eq!(sim.relay.calls.len(), 3);
}

#[test]
fn requests_of_one_call_are_done_in_their_order() {
    let mut sim = Sim::new();
    sim.is_slow = true;
    let sdp_in = sdp(CALLER, 4_000);
    let sdp_out = sdp(CALLEE, 5_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    let answer = Negotiation::new(b"c1", b"alice", sdp_out.as_bytes()).to_tag(b"bob");
    sim.request(&Command::Offer(offer));
    sim.request(&Command::Answer(answer));
    sim.request(&delete("c1"));
    assert_eq!(sim.requests.len(), 1, "the others wait");
    sim.deliver_all();
    assert_eq!(sim.sent.len(), 3);
    for _ in 0..3 {
        sim.reply(|reply| assert!(reply.is_ok() && reply.warning().is_none()));
    }
    assert!(sim.relay.calls.is_empty());
}

#[test]
fn a_flood_for_one_busy_call_is_bounded() {
    let mut sim = Sim::new();
    sim.is_slow = true;
    let sdp_in = sdp(CALLER, 4_000);
    for _ in 0..100 {
        let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
        sim.request(&Command::Offer(offer));
    }
    assert_eq!(sim.control.counters().dropped, 100 - 1 - 32);
    sim.deliver_all();
    assert_eq!(sim.sent.len(), 33);
}

#[test]
fn a_port_that_someone_else_uses_is_passed_over() {
    let mut sim = Sim::new();
    // A quarter of the pairs, by their odd port only.
    sim.relay.foreign = (30_000..30_400).filter(|n| n % 8 == 7).collect();
    for n in 0..10 {
        let out = sim.offer(&format!("call{n}"), "alice", &sdp(CALLER, 4_000));
        assert!(!sim.relay.foreign.contains(&(port(&out, 0) + 1)));
    }
    assert!(sim.control.counters().ports_taken > 0);
    assert_eq!(sim.relay.calls.len(), 10);
    assert_eq!(
        sim.relay.open_ports().len(),
        40,
        "nothing is left of the attempts"
    );
}

#[test]
fn when_every_port_is_taken_the_attempts_end() {
    let mut sim = Sim::new();
    sim.relay.foreign = (30_000..30_400).collect();
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    assert_eq!(sim.refusal(&Command::Offer(offer)), "Ran out of ports");
    assert!(sim.relay.calls.is_empty());
    assert_eq!(sim.control.call_count(), 0);
    assert!(matches!(
        sim.notices[..],
        [
            ..,
            Notice::RelayRefused { .. },
            Notice::RequestRefused { .. }
        ]
    ));
}

#[test]
fn a_medium_that_cannot_be_added_leaves_the_call_as_it_was() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    let endpoints = sim.relay.calls.values().next().unwrap().endpoints.clone();
    sim.relay.foreign = (30_000..30_400).collect();
    let more = sdp(CALLER, 4_444) + "m=video 4002 RTP/AVP 96\r\n";
    let offer = Negotiation::new(b"c1", b"alice", more.as_bytes()).to_tag(b"bob");
    assert_eq!(sim.refusal(&Command::Offer(offer)), "Ran out of ports");
    let after = sim.relay.calls.values().next().unwrap().endpoints.clone();
    assert_eq!(after, endpoints);
    sim.reoffer("c1", "alice", "bob", &sdp(CALLER, 4_000));
}

#[test]
fn a_full_worker_is_passed_over() {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(3));
    sim.relay.full = [0, 2].into();
    for n in 0..5 {
        sim.offer(&format!("call{n}"), "alice", &sdp(CALLER, 4_000));
    }
    assert!(sim.relay.calls.values().all(|call| call.worker == 1));
    sim.relay.full = [0, 1, 2].into();
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c9", b"alice", sdp_in.as_bytes());
    assert_eq!(sim.refusal(&Command::Offer(offer)), "Ran out of ports");
    assert_eq!(sim.control.call_count(), 5);
}

#[test]
fn a_call_that_the_relay_forgot_is_made_anew() {
    let mut sim = Sim::new();
    let callee = port(&sim.offer("c1", "alice", &sdp(CALLER, 4_000)), 0);
    sim.relay.calls.clear();
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert!(sim.relay.open_ports().contains(&callee));
    assert_eq!(sim.relay.open_ports().len(), 4);
}

#[test]
fn silence_reported_during_a_change_does_not_end_the_call_but_is_not_forgotten() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    sim.is_slow = true;
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes()).to_tag(b"bob");
    sim.request(&Command::Offer(offer));
    sim.media_timeout();
    sim.deliver();
    let rearmed = sim.requests.front().expect("the time-out is set again");
    assert!(rearmed.commands.iter().any(|command| matches!(
        command,
        relay_wire::Command::SetMediaTimeout {
            media_timeout_ms: 60_000,
            ..
        }
    )));
    sim.deliver_all();
    assert_eq!(sim.control.call_count(), 1);
}

/// What may happen to a call.
#[derive(Clone, Debug)]
enum Step {
    Answer {
        call: u8,
        branch: u8,
        port: u16,
        video: bool,
    },
    Delete {
        call: u8,
        branch: Option<u8>,
    },
    Disconnect,
    Offer {
        call: u8,
        branch: u8,
        port: u16,
        video: bool,
    },
    Reoffer {
        call: u8,
        from_callee: bool,
        port: u16,
    },
    Deliver(u8),
    RestartControl,
    RestartRelay,
    Sleep(u16),
    TakePort(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    let call = 0..3_u8;
    let branch = 0..3_u8;
    let port = 4_000..4_004_u16;
    prop_oneof![
        6 => (call.clone(), branch.clone(), port.clone(), any::<bool>())
            .prop_map(|(call, branch, port, video)| Step::Offer { call, branch, port, video }),
        6 => (call.clone(), branch.clone(), port.clone(), any::<bool>())
            .prop_map(|(call, branch, port, video)| Step::Answer { call, branch, port, video }),
        3 => (call.clone(), any::<bool>(), port)
            .prop_map(|(call, from_callee, port)| Step::Reoffer { call, from_callee, port }),
        3 => (call, prop::option::of(branch))
            .prop_map(|(call, branch)| Step::Delete { call, branch }),
        6 => (1..8_u8).prop_map(Step::Deliver),
        1 => Just(Step::Disconnect),
        1 => Just(Step::RestartControl),
        1 => Just(Step::RestartRelay),
        2 => (0..8_000_u16).prop_map(Step::Sleep),
        1 => (0..400_u16).prop_map(|n| Step::TakePort(30_000 + n)),
    ]
}

fn description(port: u16, video: bool) -> String {
    let video = if video {
        "m=video 4100 RTP/AVP 96\r\n"
    } else {
        ""
    };
    sdp(CALLER, port) + video
}

fn take(sim: &mut Sim, step: &Step) {
    let name = |call: u8| format!("call{call}");
    let branch_name = |branch: u8| format!("branch{branch}");
    match *step {
        Step::Answer {
            call,
            branch,
            port,
            video,
        } => {
            let (name, branch) = (name(call), branch_name(branch));
            let tag = branch.replace("branch", "tag");
            let sdp = description(port, video);
            let answer = Negotiation::new(name.as_bytes(), b"alice", sdp.as_bytes());
            let answer = answer.to_tag(tag.as_bytes()).via_branch(branch.as_bytes());
            sim.request(&Command::Answer(answer));
        }
        Step::Delete { call, branch } => {
            let name = name(call);
            let branch = branch.map(branch_name);
            sim.request(&Command::Delete(Delete {
                call_id: name.as_bytes(),
                from_tag: Some(b"alice"),
                via_branch: branch.as_ref().map(String::as_bytes),
                ..Delete::default()
            }));
        }
        Step::Disconnect => {
            sim.disconnect();
            sim.connect();
        }
        Step::Offer {
            call,
            branch,
            port,
            video,
        } => {
            let (name, branch) = (name(call), branch_name(branch));
            let sdp = description(port, video);
            let offer = Negotiation::new(name.as_bytes(), b"alice", sdp.as_bytes());
            sim.request(&Command::Offer(offer.via_branch(branch.as_bytes())));
        }
        Step::Reoffer {
            call,
            from_callee,
            port,
        } => {
            let name = name(call);
            let sdp = description(port, false);
            let (from, to) = if from_callee {
                ("tag1", "alice")
            } else {
                ("alice", "tag1")
            };
            let offer = Negotiation::new(name.as_bytes(), from.as_bytes(), sdp.as_bytes());
            sim.request(&Command::Offer(offer.to_tag(to.as_bytes())));
        }
        Step::Deliver(count) => {
            for _ in 0..count {
                if !sim.requests.is_empty() {
                    sim.deliver();
                }
            }
        }
        Step::RestartControl => sim.restart_control(),
        Step::RestartRelay => {
            sim.requests.clear();
            sim.restart_relay();
        }
        Step::Sleep(ms) => sim.sleep(Duration::from_millis(u64::from(ms))),
        Step::TakePort(port) => {
            sim.relay.foreign.insert(port);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens, in whatever order: when all is quiet, control and the relay agree on
    /// every call, and when all calls are deleted, nothing is left.
    #[test]
    fn control_and_relay_agree_in_the_end(steps in prop::collection::vec(any_step(), 1..60)) {
        let config = Config { offer_timeout_s: 20, ..CONFIG };
        let mut sim = Sim::with_relay(config, SimRelay::new(2));
        sim.is_slow = true;
        for step in &steps {
            take(&mut sim, step);
        }
        sim.deliver_all();
        prop_assert_eq!(sim.control.call_count(), sim.relay.calls.len());
        // A control that begins now comes to the same view, and leaves everything as it is.
        let before = sim.relay.calls.clone();
        sim.restart_control();
        sim.deliver_all();
        prop_assert_eq!(&sim.relay.calls, &before);
        prop_assert_eq!(sim.control.call_count(), before.len());
        sim.sent.clear();
        for call in ["call0", "call1", "call2"] {
            sim.request(&delete(call));
        }
        sim.deliver_all();
        prop_assert_eq!(sim.sent.len(), 3);
        prop_assert!(sim.relay.calls.is_empty());
        sim.sleep(Duration::from_secs(120));
        sim.offer_after_all();
    }
}

impl Sim {
    /// A call takes two pairs when all others are over and their ports have rested.
    fn offer_after_all(&mut self) {
        self.is_slow = false;
        self.relay.foreign.clear();
        self.sent.clear();
        self.offer("last", "alice", &sdp(CALLER, 4_000));
        assert_eq!(self.port_usage().0, 2);
    }
}
