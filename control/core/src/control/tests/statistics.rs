//! What `statistics` tells, under the peer's names.

use std::time::Duration;

use control_ng::{Command, Dictionary};

use crate::tests::{CONFIG, Sim, SimRelay, delete, port, sdp};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

/// Asks, and looks at one part of what is told.
fn look<T>(sim: &mut Sim, part: &str, seen: impl FnOnce(&Dictionary<'_>) -> T) -> T {
    sim.ask(&Command::Statistics, |reply| {
        let all = reply.dictionary().get("statistics").unwrap();
        let all = all.as_dictionary().unwrap();
        seen(all.get(part).unwrap().as_dictionary().unwrap())
    })
}

fn number(of: &Dictionary<'_>, key: &str) -> Option<i64> {
    of.get(key)?.as_integer()
}

fn text(of: &Dictionary<'_>, key: &str) -> String {
    of.get(key).unwrap().as_str().unwrap().to_owned()
}

/// Makes a call; says where the caller's packets arrive.
fn call(sim: &mut Sim, name: &str) -> u16 {
    sim.offer(name, "alice", &sdp(CALLER, 4_000));
    port(&sim.answer(name, "alice", "bob", &sdp(CALLEE, 5_000)), 0)
}

#[test]
fn calls_that_were_not_heard_or_were_ended_by_hand_are_counted() {
    let mut sim = Sim::new();
    let heard = call(&mut sim, "c1");
    call(&mut sim, "c2");
    sim.offer("c3", "alice", &sdp(CALLER, 4_000));
    sim.relay.at(heard).packets = 50;
    sim.sleep(Duration::from_secs(10));
    sim.ask(&delete(b"c1"), |reply| assert!(reply.is_ok()));
    let all = Command::Cli(b"terminate all");
    sim.ask(&all, |reply| assert!(reply.is_ok()));
    sim.sleep(Duration::ZERO);
    assert!(sim.relay.calls.is_empty());
    look(&mut sim, "totalstatistics", |total| {
        for (key, count) in [
            ("managedsessions", 3),
            ("regularterminatedsessions", 1),
            ("forcedterminatedsessions", 2),
            ("onewaystreams", 1),
            // That of the call that nobody answered, too.
            ("zerowaystreams", 2),
            ("relayedpackets_user", 0),
            ("relayedpackets_kernel", 0),
            ("relayedpacketerrors", 0),
            ("relayedbytes_kernel", 0),
        ] {
            assert_eq!(number(total, key), Some(count), "{key}");
        }
        for (key, expected) in [
            ("avgcallduration", "10.000000"),
            ("totalcallsduration", "30.000000"),
            ("totalcallsduration2", "300.000000"),
            ("totalcallsduration_stddev", "0.000000"),
        ] {
            assert_eq!(text(total, key), expected, "{key}");
        }
    });
    look(&mut sim, "voip_metrics", |streams| {
        assert_eq!(number(streams, "packets_lost"), Some(50));
        assert_eq!(number(streams, "rtp_duplicates"), Some(0));
        assert_eq!(number(streams, "rtp_reordered"), Some(0));
    });
    look(&mut sim, "mos", |mos| {
        let one: f64 = text(mos, "mos_total").parse().unwrap();
        let squared: f64 = text(mos, "mos2_total").parse().unwrap();
        assert!(one > 1.0 && (squared - one * one).abs() < 0.001);
        assert_eq!(text(mos, "mos_stddev"), "0.000000");
    });
    sim.ask(&Command::Statistics, |reply| {
        let all = reply.dictionary().get("statistics").unwrap();
        let interfaces = all.as_dictionary().unwrap().get("interfaces").unwrap();
        let inside = interfaces.as_list().unwrap()[0].as_dictionary().unwrap();
        let of = |way: &str| inside.get(way).unwrap().as_dictionary().unwrap().clone();
        assert_eq!(number(&of("ingress"), "packets"), Some(50));
        assert_eq!(number(&of("ingress"), "bytes"), Some(50 * 172));
        assert_eq!(number(&of("ingress"), "errors"), Some(0));
        assert_eq!(number(&of("egress"), "packets"), Some(0));
    });
}

#[test]
fn what_is_forwarded_in_a_second_is_told() {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(2));
    look(&mut sim, "currentstatistics", |current| {
        assert_eq!(number(current, "packetrate"), None, "nobody knows yet");
    });
    for forwarded in [1_000, 2_000] {
        sim.relay.forwarded = Some(forwarded);
        sim.control.refresh();
        sim.pump();
        sim.sleep(Duration::from_secs(5));
    }
    look(&mut sim, "currentstatistics", |current| {
        // Two workers, a thousand packets each in five seconds, half of them by the kernel.
        for (key, rate) in [
            ("packetrate", 400),
            ("packetrate_user", 200),
            ("packetrate_kernel", 200),
            ("byterate", 40_000),
            ("byterate_user", 20_000),
            ("byterate_kernel", 20_000),
            ("errorrate", 4),
            ("errorrate_user", 4),
            ("errorrate_kernel", 0),
        ] {
            assert_eq!(number(current, key), Some(rate), "{key}");
        }
    });
    look(&mut sim, "totalstatistics", |total| {
        let halves = number(total, "relayedpackets_kernel");
        assert_eq!(halves, None, "it is not known of each call");
    });
    sim.disconnect();
    look(&mut sim, "currentstatistics", |current| {
        assert_eq!(number(current, "packetrate"), None, "nobody knows any more");
    });
}

#[test]
fn each_proxy_is_told_of_with_what_it_asked_for() {
    let mut sim = Sim::new();
    call(&mut sim, "c1");
    sim.ask(&Command::Ping, |_| ());
    sim.ask(&Command::Cli(b"list sessions all"), |_| ());
    sim.refusal(&Command::Query(control_ng::Query {
        call_id: b"nobody",
        ..control_ng::Query::default()
    }));
    look(&mut sim, "controlstatistics", |control| {
        let proxies = control.get("proxies").unwrap().as_list().unwrap();
        assert_eq!(proxies.len(), 1);
        let proxy = proxies[0].as_dictionary().unwrap();
        assert_eq!(text(proxy, "proxy"), "127.0.0.1");
        for (key, count) in [
            ("offercount", 1),
            ("answercount", 1),
            ("pingcount", 1),
            ("clicount", 1),
            ("querycount", 1),
            ("statscount", 1),
            ("deletecount", 0),
            ("errorcount", 1),
        ] {
            assert_eq!(number(proxy, key), Some(count), "{key}");
        }
        assert_eq!(text(proxy, "offerduration"), "0.000000", "by this clock");
        for (key, count) in [
            ("totaloffercount", 1),
            ("totalclicount", 1),
            ("totalconncount", 0),
            ("uncountedrequests", 0),
        ] {
            assert_eq!(number(control, key), Some(count), "{key}");
        }
    });
}

#[test]
fn the_last_minute_is_told_when_it_is_over() {
    let mut sim = Sim::new();
    call(&mut sim, "c1");
    call(&mut sim, "c2");
    sim.sleep(Duration::from_secs(30));
    sim.ask(&delete(b"c2"), |reply| assert!(reply.is_ok()));
    look(&mut sim, "intervalstatistics", |interval| {
        assert_eq!(number(interval, "maxmanagedsessions"), Some(0));
    });
    sim.sleep(Duration::from_secs(30));
    look(&mut sim, "intervalstatistics", |interval| {
        assert_eq!(number(interval, "minmanagedsessions"), Some(0));
        assert_eq!(number(interval, "maxmanagedsessions"), Some(2));
        assert_eq!(text(interval, "totalcallsduration"), "30.000000");
        for key in ["minofferdelay", "maxofferdelay", "avgofferdelay"] {
            assert_eq!(text(interval, key), "0.000000", "{key}");
        }
        assert_eq!(number(interval, "avgofferrequestrate"), Some(0));
    });
}
