//! Control or the relay goes and comes back.

use std::time::Duration;

use control_ng::{Command, Negotiation, Support};
use relay_wire::CallKey;

use crate::Notice;
use crate::tests::{CONFIG, Sim, SimRelay, delete, port, sdp};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

fn call(sim: &mut Sim, name: &str) -> (u16, u16) {
    let to_callee = sim.offer(name, "alice", &sdp(CALLER, 4_000));
    let to_caller = sim.answer(name, "alice", "bob", &sdp(CALLEE, 5_000));
    (port(&to_callee, 0), port(&to_caller, 0))
}

#[test]
fn a_new_control_knows_the_calls_of_the_old_one() {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(2));
    let names: Vec<_> = (0..9).map(|n| format!("call{n}")).collect();
    let ports: Vec<_> = names.iter().map(|name| call(&mut sim, name)).collect();
    let before = sim.relay.calls.clone();
    sim.restart_control();
    assert_eq!(sim.control.call_count(), 9);
    assert_eq!(sim.relay.calls, before, "and leaves them alone");
    for (name, (callee, caller)) in names.iter().zip(&ports) {
        let out = sim.reoffer(name, "alice", "bob", &sdp(CALLER, 4_000));
        assert_eq!(port(&out, 0), *callee);
        let out = sim.reoffer(name, "bob", "alice", &sdp(CALLEE, 5_000));
        assert_eq!(port(&out, 0), *caller);
    }
    // New calls get other ports and keys.
    let (callee, _) = call(&mut sim, "new");
    assert!(ports.iter().all(|(a, b)| *a != callee && *b != callee));
    assert_eq!(sim.relay.calls.len(), 10);
    for name in names.iter().map(String::as_str).chain(["new"]) {
        sim.ask(&delete(name), |reply| assert!(reply.warning().is_none()));
    }
    assert!(sim.relay.calls.is_empty());
}

#[test]
fn a_call_that_rang_while_control_was_away_is_answered() {
    let mut sim = Sim::new();
    let callee = port(&sim.offer("c1", "alice", &sdp(CALLER, 4_000)), 0);
    sim.restart_control();
    let out = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    let caller = port(&out, 0);
    assert_eq!(sim.relay.at(caller).rtp.unwrap().number, callee);
    assert_eq!(sim.relay.open_ports().len(), 4);
}

#[test]
fn time_outs_go_on_after_a_restart() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    sim.sleep(Duration::from_secs(100));
    sim.restart_control();
    sim.sleep(Duration::from_secs(79));
    assert_eq!(sim.relay.calls.len(), 1);
    sim.sleep(Duration::from_secs(2));
    assert!(sim.relay.calls.is_empty());
}

#[test]
fn a_record_that_cannot_be_read_ends_its_call_and_no_other() {
    let mut sim = Sim::new();
    for name in ["c1", "c2", "c3"] {
        call(&mut sim, name);
    }
    let mut calls = sim.relay.calls.values_mut();
    calls.next().unwrap().record[0] = 200;
    calls.next().unwrap().record.truncate(9);
    sim.restart_control();
    assert_eq!(sim.control.call_count(), 1);
    assert_eq!(sim.relay.calls.len(), 1);
    assert_eq!(sim.control.counters().records_unreadable, 2);
    sim.reoffer("c3", "alice", "bob", &sdp(CALLER, 4_000));
}

#[test]
fn records_that_claim_the_same_port_do_not_both_stand() {
    let mut sim = Sim::new();
    call(&mut sim, "c1");
    let mut copy = sim.relay.calls.values().next().unwrap().clone();
    copy.endpoints.clear();
    sim.relay.calls.insert(CallKey(u64::MAX - 1), copy);
    sim.restart_control();
    assert_eq!(sim.control.call_count(), 1);
    assert_eq!(sim.relay.calls.len(), 1);
}

#[test]
fn a_restarted_relay_gets_all_calls_again() {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(2));
    for n in 0..9 {
        call(&mut sim, &format!("call{n}"));
    }
    let before = sim.relay.calls.clone();
    sim.restart_relay();
    let mut after = sim.relay.calls.clone();
    for (key, call) in &mut after {
        // Nothing is said about when the last request came.
        call.record.clone_from(&before[key].record);
    }
    assert_eq!(after, before);
    assert_eq!(sim.control.call_count(), 9);
    sim.ask(&delete("call4"), |reply| assert!(reply.warning().is_none()));
}

#[test]
fn a_call_whose_port_is_taken_when_the_relay_returns_is_lost_and_counted() {
    let mut sim = Sim::new();
    let (callee, _) = call(&mut sim, "c1");
    call(&mut sim, "c2");
    sim.relay.foreign.insert(callee);
    sim.restart_relay();
    assert_eq!(sim.control.call_count(), 1);
    assert_eq!(sim.relay.calls.len(), 1);
    assert_eq!(sim.control.counters().calls_lost, 1);
    assert!(
        sim.notices
            .iter()
            .any(|notice| matches!(notice, Notice::CallLost { call, .. } if call == "c1"))
    );
}

#[test]
fn a_relay_with_other_ports_loses_the_calls_and_not_control() {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(2));
    for n in 0..4 {
        call(&mut sim, &format!("call{n}"));
    }
    sim.relay.hello.partition = relay_wire::PortPartition::new(50_000, 50_100, 1).unwrap();
    sim.restart_relay();
    assert_eq!(sim.control.call_count(), 0);
    assert_eq!(sim.control.counters().calls_lost, 4);
    call(&mut sim, "new");
}

#[test]
fn what_was_deleted_while_the_relay_was_away_does_not_come_back() {
    let mut sim = Sim::new();
    call(&mut sim, "c1");
    call(&mut sim, "c2");
    sim.disconnect();
    sim.request(&delete("c1"));
    assert!(sim.sent.is_empty(), "it may be back in a moment");
    sim.sleep(Duration::from_secs(4));
    sim.reply(|reply| assert!(reply.is_ok()));
    assert_eq!(sim.relay.calls.len(), 2, "it is away");
    sim.connect();
    assert_eq!(sim.relay.calls.len(), 1);
    assert_eq!(sim.control.call_count(), 1);
}

#[test]
fn a_delete_before_the_records_are_read_is_not_forgotten() {
    let mut sim = Sim::new();
    call(&mut sim, "c1");
    sim.control = crate::Control::new(CONFIG);
    sim.request(&delete("c1"));
    sim.sleep(Duration::from_secs(4));
    sim.reply(|reply| assert!(reply.is_ok()));
    sim.connect();
    assert!(sim.relay.calls.is_empty());
    assert_eq!(sim.control.call_count(), 0);
}

#[test]
fn requests_wait_for_the_relay_and_are_answered_when_it_comes() {
    let mut sim = Sim::disconnected(CONFIG, SimRelay::new(1));
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    let datagram = sim.request(&Command::Offer(offer));
    sim.sleep(Duration::from_secs(1));
    sim.send(&datagram);
    assert!(sim.sent.is_empty());
    sim.connect();
    assert_eq!(sim.sent.len(), 1, "one reply to a request sent twice");
    sim.reply(|reply| assert!(reply.is_ok()));
    assert_eq!(sim.relay.calls.len(), 1);
}

#[test]
fn without_a_relay_an_offer_is_sent_elsewhere_before_the_proxy_gives_up() {
    let mut sim = Sim::disconnected(CONFIG, SimRelay::new(1));
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    sim.request(&Command::Offer(offer.supports(Support::LoadLimit)));
    sim.request(&Command::Ping);
    sim.reply(|reply| assert!(reply.is_ok(), "a ping is answered at once"));
    sim.sleep(Duration::from_millis(3_100));
    sim.reply(|reply| assert!(matches!(reply.outcome(), control_ng::Outcome::LoadLimit(_))));
    sim.connect();
    assert!(sim.relay.calls.is_empty());
}

#[test]
fn a_request_cut_off_by_the_relay_is_carried_out_once_when_it_is_back() {
    for did_arrive in [false, true] {
        let mut sim = Sim::new();
        call(&mut sim, "c1");
        sim.is_slow = true;
        let sdp_in = sdp(CALLER, 4_000);
        let new = Negotiation::new(b"c2", b"alice", sdp_in.as_bytes());
        sim.request(&Command::Offer(new));
        let moved = sdp(CALLER, 4_444) + "m=video 4446 RTP/AVP 96\r\n";
        let known = Negotiation::new(b"c1", b"alice", moved.as_bytes()).to_tag(b"bob");
        sim.request(&Command::Offer(known));
        if did_arrive {
            for request in sim.requests.clone() {
                sim.relay.handle(&request);
            }
        }
        sim.disconnect();
        sim.is_slow = false;
        sim.connect();
        assert_eq!(sim.sent.len(), 2);
        for _ in 0..2 {
            sim.reply(|reply| assert!(reply.is_ok()));
        }
        assert_eq!(sim.relay.calls.len(), 2);
        assert_eq!(sim.relay.open_ports().len(), 8 + 2 + 4);
        for name in ["c1", "c2"] {
            sim.ask(&delete(name), |reply| assert!(reply.is_ok()));
        }
        assert!(sim.relay.calls.is_empty());
    }
}

#[test]
fn a_delete_cut_off_by_the_relay_is_finished() {
    let mut sim = Sim::new();
    call(&mut sim, "c1");
    sim.is_slow = true;
    sim.request(&delete("c1"));
    sim.disconnect();
    sim.is_slow = false;
    sim.connect();
    sim.reply(|reply| assert!(reply.is_ok()));
    assert!(sim.relay.calls.is_empty());
    assert_eq!(sim.control.call_count(), 0);
}

#[test]
fn a_call_that_fell_silent_while_control_was_away_is_ended() {
    let mut sim = Sim::new();
    call(&mut sim, "c1");
    let key = *sim.relay.calls.keys().next().unwrap();
    sim.control = crate::Control::new(CONFIG);
    sim.is_slow = true;
    sim.connect();
    // The relay tells of it again because it is asked for its calls.
    let event = relay_wire::Event::MediaTimeout { call: key };
    sim.control.handle_relay_event(sim.now(), event);
    sim.deliver_all();
    assert!(sim.relay.calls.is_empty());
    assert_eq!(sim.control.counters().media_timeouts, 1);
}
