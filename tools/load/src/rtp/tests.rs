//! Runs against a relay that misbehaves in known ways: each must be noticed, and counted right.

mod frames;
mod relay;

use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::Permission;
use relay::{Echo, Mischief, Relay};

/// 100 packets of each of 4 streams.
fn options(target: Target) -> Options {
    Options {
        calls: 4,
        ptime: Duration::from_millis(5),
        duration: Duration::from_millis(500),
        warm_up: Duration::ZERO,
        ..Options::new(target, Permission::new(Vec::new()))
    }
}

fn through_echo(mischief: Mischief) -> Report {
    let echo = Echo::start(4, mischief);
    let options = options(Target::Echoes(echo.addresses.clone()));
    run(&options, &AtomicBool::new(false), |_| ()).unwrap()
}

#[test]
fn a_good_relay_loses_nothing() {
    let report = through_echo(Mischief::None);
    let packets = &report.packets;
    assert_eq!(packets.sent + report.generator.skipped, 400);
    assert_eq!(packets.received, Some(packets.sent));
    assert_eq!(packets.lost, Some(0));
    let odd = packets.reordered + packets.duplicated + packets.late + packets.foreign;
    assert_eq!(odd, 0, "{packets:?}");
    assert!(report.is_clean());
    let latency = report.latency_us.unwrap();
    assert_eq!(latency.count, packets.sent);
    assert!(latency.p50 > 0.0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max);
    assert!(!report.curve.is_empty());
}

#[test]
fn loss_is_noticed() {
    let report = through_echo(Mischief::Lose);
    assert_eq!(report.packets.lost, Some(report.packets.sent.div_ceil(10)));
    assert!(!report.is_clean());
}

#[test]
fn corruption_is_noticed_and_is_loss() {
    let report = through_echo(Mischief::Corrupt);
    let tenth = report.packets.sent.div_ceil(10);
    assert_eq!(report.packets.corrupted, tenth);
    assert_eq!(report.packets.lost, Some(tenth));
    assert!(!report.is_clean());
}

#[test]
fn repetition_is_noticed_and_is_no_loss() {
    let report = through_echo(Mischief::Duplicate);
    assert_eq!(report.packets.duplicated, report.packets.sent.div_ceil(10));
    assert_eq!(report.packets.lost, Some(0));
}

#[test]
fn disorder_is_noticed_and_is_no_loss() {
    let report = through_echo(Mischief::Reorder);
    let packets = &report.packets;
    // One that is held back at the very end never comes.
    assert!(packets.reordered >= 20, "{packets:?}");
    assert!(packets.lost.unwrap() <= 4, "{packets:?}");
    assert_eq!(packets.corrupted + packets.duplicated, 0);
}

#[test]
fn what_is_gathered_is_all_sent() {
    let echo = Echo::start(4, Mischief::None);
    let options = Options {
        gather: Duration::from_millis(2),
        ..options(Target::Echoes(echo.addresses.clone()))
    };
    let report = run(&options, &AtomicBool::new(false), |_| ()).unwrap();
    assert_eq!(report.packets.sent + report.generator.skipped, 400);
    assert!(report.is_clean());
}

#[test]
fn delivery_from_the_wrong_port_is_noticed() {
    let report = through_echo(Mischief::Misdeliver);
    assert_eq!(
        report.packets.misdelivered,
        report.packets.sent.div_ceil(10)
    );
    assert!(!report.is_clean());
}

#[test]
fn delivery_to_the_wrong_party_is_noticed() {
    let relay = Relay::start_with("127.0.0.1", Mischief::Misdeliver);
    let options = options(Target::Ng(relay.address));
    let report = run(&options, &AtomicBool::new(false), |_| ()).unwrap();
    let tenth = report.packets.sent.div_ceil(10);
    assert_eq!(report.packets.misdelivered, tenth);
    assert_eq!(report.packets.lost, Some(tenth));
    assert!(!report.is_clean());
}

#[test]
fn packets_of_strangers_are_told_apart() {
    let report = through_echo(Mischief::Replay);
    assert!(report.packets.foreign > 0);
    assert_eq!(report.packets.corrupted, 0);
    assert!(report.is_clean());
}

#[test]
fn calls_are_set_up_carried_both_ways_and_ended() {
    for cores in [vec![], vec![0, 0, 0]] {
        let relay = Relay::start();
        let options = Options {
            cores,
            ..options(Target::Ng(relay.address))
        };
        let report = run(&options, &AtomicBool::new(false), |_| ()).unwrap();
        assert_eq!(report.packets.sent + report.generator.skipped, 800);
        assert!(report.is_clean(), "{:?}", report.packets);
        assert_eq!(report.packets.received, Some(report.packets.sent));
        assert!(report.set_up.is_some());
        assert_eq!(relay.calls_left(), 0);
    }
}

#[test]
fn a_stop_ends_the_run_with_a_report_and_without_calls() {
    let relay = Relay::start();
    let options = Options {
        duration: Duration::from_secs(600),
        ..options(Target::Ng(relay.address))
    };
    let stop = AtomicBool::new(false);
    let report = run(&options, &stop, |progress| {
        if progress.received > 0 {
            stop.store(true, Ordering::Relaxed);
        }
    })
    .unwrap();
    assert!(report.is_stopped && report.is_clean());
    assert!(report.packets.sent > 0);
    assert_eq!(relay.calls_left(), 0);
}

#[test]
fn a_refused_call_ends_those_before_it() {
    let relay = Relay::start();
    let options = Options {
        calls: relay::CALLS_MAX + 1,
        ..options(Target::Ng(relay.address))
    };
    let error = run(&options, &AtomicBool::new(false), |_| ()).unwrap_err();
    assert!(error.to_string().contains("enough"), "{error}");
    assert_eq!(relay.calls_left(), 0);
}

#[test]
fn a_relay_that_is_not_there_is_told() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let options = Options {
        timeout: Duration::from_millis(200),
        ..options(Target::Ng(address))
    };
    let error = run(&options, &AtomicBool::new(false), |_| ()).unwrap_err();
    assert!(error.is_unreachable(), "{error}");
}

#[test]
fn a_server_cannot_aim_the_load_at_strangers() {
    let relay = Relay::start_with("192.0.2.1", Mischief::None);
    let options = options(Target::Ng(relay.address));
    let error = run(&options, &AtomicBool::new(false), |_| ()).unwrap_err();
    assert!(matches!(error, LoadError::NotPermitted(_)), "{error}");
    assert_eq!(relay.calls_left(), 0);
}

#[test]
fn every_stream_belongs_to_one_thread() {
    for (count, parts) in [(0, 3), (2, 3), (10, 3), (9, 1)] {
        let all: Vec<usize> = shares(count, parts).flatten().collect();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
        assert_eq!(shares(count, parts).count(), parts);
    }
}

#[test]
fn what_reached_an_interface_is_its_second_column() {
    let text = "Inter-|   Receive   |  Transmit\n face |bytes packets errs drop\n\
                    lo: 1 2 3 4 5 6 7 8\n sink0: 100 20 0 20 0 0 0 0\n";
    assert_eq!(arrived_at(text, "sink0"), Some(20));
    assert_eq!(arrived_at(text, "lo"), Some(2));
    assert_eq!(arrived_at(text, "sink"), None);
}
