//! Reports of peers, told to control.

use relay_wire::{Reception, Report, Sent};

use super::*;

/// A sender report of source 7 on source 8, and a receiver report of source 9 on nobody.
const REPORTS: &[u8] = &[
    0x81, 200, 0, 12, 0, 0, 0, 7, 0, 0, 0, 3, 0x80, 0, 0, 0, 0, 0, 0, 160, 0, 0, 0, 50, 0, 0, 0x1f,
    0x40, 0, 0, 0, 8, 64, 0xff, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0x80,
    201, 0, 1, 0, 0, 0, 9,
];

fn bench(enabled: bool) -> Bench {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(Command::TellReports { enabled });
    bench
}

fn told(bench: &mut Bench) -> Vec<(Port, Report)> {
    let events = std::iter::from_fn(|| bench.relay.poll_event());
    let reports = events.filter_map(|event| match event {
        Event::Report {
            call,
            ingress,
            report,
        } => {
            assert_eq!(call, CallKey(1));
            Some((ingress, report))
        }
        _ => None,
    });
    reports.collect()
}

#[test]
fn what_a_peer_reports_is_told_and_goes_on() {
    let mut bench = bench(true);
    assert_eq!(bench.packet(0, ALICE, REPORTS), forward(1, BOB));
    let source = address(ALICE);
    let sent = Report {
        source,
        ssrc: 7,
        sender: Some(Sent {
            ntp_time: 3 << 32 | 1 << 31,
            rtp_timestamp: 160,
            packets: 50,
            octets: 8_000,
        }),
        reception: Some(Reception {
            ssrc: 8,
            fraction_lost: 64,
            packets_lost: -1,
            highest_sequence: 65_537,
            jitter: 4,
            last_report: 5,
            delay: 6,
        }),
    };
    let heard = Report {
        source,
        ssrc: 9,
        sender: None,
        reception: None,
    };
    let port = port(30_000);
    assert_eq!(told(&mut bench), [(port, sent), (port, heard)]);
    assert_eq!(bench.counter("reports_told"), 2);
}

#[test]
fn nothing_is_told_of_strangers_of_what_is_no_report_or_if_nobody_asks() {
    let mut bench = bench(true);
    let _ = bench.packet(0, "203.0.113.66:6000", REPORTS);
    let _ = bench.packet(0, ALICE, &REPORTS[..40]);
    let _ = bench.packet(0, ALICE, RTP);
    assert_eq!(told(&mut bench), []);
    bench.done(Command::TellReports { enabled: false });
    let _ = bench.packet(0, ALICE, REPORTS);
    assert_eq!(told(&mut bench), []);
    assert_eq!(bench.counter("reports_told"), 0);
}

#[test]
fn who_sends_many_reports_takes_nothing_from_others() {
    let mut bench = bench(true);
    for _ in 0..3_000 {
        let _ = bench.packet(0, ALICE, REPORTS);
    }
    assert_eq!(told(&mut bench).len(), 16);
    assert_eq!(bench.packet(1, BOB, REPORTS), forward(0, ALICE));
    assert_eq!(told(&mut bench).len(), 2, "Bob is heard");
    bench.now += Duration::from_secs(1);
    let _ = bench.packet(0, ALICE, REPORTS);
    let _ = bench.packet(0, ALICE, REPORTS);
    let _ = bench.packet(0, ALICE, REPORTS);
    assert_eq!(told(&mut bench).len(), 4, "four a second");
    let counts = ["reports_told", "reports_untold"].map(|it| bench.counter(it));
    assert_eq!(counts, [22, 6_006 - 20]);
}

#[test]
fn a_flood_of_reports_leaves_room_for_what_ends_calls() {
    let mut bench = Bench::with_limits(|it| it.calls_max = 120);
    bench.call_between_alice_and_bob(Learning::Off);
    bench.more_calls(2..=120);
    bench.done(Command::TellReports { enabled: true });
    for socket in 2..240_u16 {
        let number = 30_000 + socket / 2 * 4 + socket % 2 * 2;
        let source = format!("192.0.2.200:{number}");
        for _ in 0..8 {
            let _ = bench.packet(socket.into(), &source, REPORTS);
        }
    }
    // 16 of each may be told, and half of the queue is for them.
    let counts = ["reports_told", "events_lost"].map(|it| bench.counter(it));
    assert_eq!(counts, [2_048, 238 * 16 - 2_048]);
    assert_eq!(bench.relay.events.len(), 2_048);
}
