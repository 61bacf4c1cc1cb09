//! Sounds, which leave like what a party says; and which it hears alone, if that is wanted.

use relay_rtp::rtcp::{Body, Compound};
use relay_wire::{Codec, Format, Play, Sink, SoundKey};

use super::*;

/// A sound on the port, with reports from another one if there is one.
pub(super) fn play(port: Port, is_alone: bool, rtcp: Option<Port>) -> Command {
    Command::Play {
        call: CallKey(1),
        port,
        play: Play {
            sound: SoundKey(1),
            to: Format::new(Codec::Pcma, 8, 20),
            opus: None,
            start: 0,
            times: 1,
            duration_ms: 0,
            unit_hz: 8_000,
            is_alone,
            rtcp,
        },
    }
}

/// A call whose parties are heard.
fn talk() -> Bench {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Immediate);
    bench.arrive(0, ALICE);
    bench.arrive(1, BOB);
    bench
}

#[test]
fn a_sound_leaves_where_the_other_party_is_heard_and_is_counted() {
    let mut bench = talk();
    let command = play(port(30_000), false, None);
    let outcome = bench.relay.handle_command(bench.now, command, ROOM);
    let Ok(Outcome::Play { socket, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    let before = bench.stats().endpoints[0].packets_out;
    assert_eq!(
        bench.relay.handle_played(bench.now, socket, RTP),
        forward(0, ALICE)
    );
    assert_eq!(bench.stats().endpoints[0].packets_out, before + 1);
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE), "beside it");
}

#[test]
fn nothing_is_played_where_nothing_is() {
    let mut bench = talk();
    bench.refused(play(port(30_004), false, None), Refusal::UnknownPort);
    let nowhere = bench.relay.handle_played(bench.now, SocketId::new(9), RTP);
    assert_eq!(nowhere, Verdict::Drop(DropReason::UnknownFlow));
    bench.done(signal(30_000, "[2001:db8::5]:4000", Learning::Off));
    let unheard = bench.relay.handle_played(bench.now, SocketId::new(0), RTP);
    assert_eq!(unheard, Verdict::Drop(DropReason::AddressFamily));
}

#[test]
fn who_hears_it_alone_hears_no_speech_until_it_is_over() {
    let mut bench = talk();
    let (call, alice) = (CallKey(1), SocketId::new(0));
    bench.relay.handle_playing(call, alice, true);
    for _ in 0..3 {
        let kept = Verdict::Drop(DropReason::Filtered);
        assert_eq!(bench.packet(1, BOB, RTP), kept);
    }
    assert_eq!(
        bench.packet(1, BOB, RTCP),
        forward(0, ALICE),
        "reports go on"
    );
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB), "so does she");
    assert_eq!(
        bench.relay.handle_played(bench.now, alice, RTP),
        forward(0, ALICE)
    );
    // What is played to the other one is nothing to it.
    bench.relay.handle_playing(call, SocketId::new(1), true);
    bench.relay.handle_playing(call, SocketId::new(1), false);
    assert_eq!(bench.counter("dropped_filtered"), 3);
    assert_eq!(
        bench.packet(1, BOB, RTP),
        Verdict::Drop(DropReason::Filtered)
    );
    bench.relay.handle_playing(call, alice, false);
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE));
}

#[test]
fn who_is_connected_elsewhere_or_heard_by_others_is_not_silenced() {
    let mut bench = talk();
    let (call, alice) = (CallKey(1), SocketId::new(0));
    bench.done(Command::SetSinks {
        call,
        ingress: port(30_002),
        sinks: vec![Sink {
            call,
            rtp: Some(port(30_002)),
            rtcp: None,
            is_remade: false,
            is_sealed: false,
        }],
    });
    bench.relay.handle_playing(call, alice, true);
    assert_eq!(bench.packet(1, BOB, RTP), Verdict::Copied);
    assert!(bench.relay.poll_copy().is_some());
    assert_eq!(bench.relay.poll_copy(), None);
    bench.done(Command::SetSinks {
        call,
        ingress: port(30_002),
        sinks: vec![],
    });
    bench.done(connect(30_002, Some(30_002)));
    assert_eq!(bench.packet(1, BOB, RTP), forward(1, BOB));
    // The port that it was played at is gone, and the one that has its socket is another.
    bench.done(Command::CloseEndpoint {
        call,
        port: port(30_000),
    });
    assert_eq!(bench.packet(1, BOB, RTP), forward(1, BOB));
}

/// What Alice is told by the packets of a sound from `numbers` on, 20 ms apart: how many left and
/// their bytes, the timestamp, and of what arrives from her the newest number and the report.
fn told(bench: &mut Bench, numbers: std::ops::Range<u16>) -> Vec<(u32, u32, u32, u32, u32)> {
    let mut told = Vec::new();
    for number in numbers {
        let mut packet = vec![0x80, 8];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend([0, 0, 0, 77]);
        packet.resize(172, 0xd5);
        let socket = SocketId::new(0);
        let verdict = bench.relay.handle_played(bench.now, socket, &packet);
        assert_eq!(verdict, forward(0, ALICE));
        while let Some(report) = bench.relay.poll_report() {
            assert_eq!(report.egress().socket, SocketId::new(2));
            let compound = Compound::parse(report.bytes()).unwrap();
            let packets: Vec<_> = compound.packets().collect();
            let Body::SenderReport(report) = packets[0].body() else {
                panic!("{packets:?}");
            };
            assert_eq!(report.ssrc().value(), 77);
            assert_eq!(packets.len(), 2, "and who says it");
            let block = report.blocks().next().unwrap();
            told.push((
                report.packet_count(),
                report.octet_count(),
                report.rtp_timestamp(),
                block.highest_sequence,
                block.last_report,
            ));
        }
        bench.pass(20);
    }
    told
}

#[test]
fn who_is_played_something_is_told_how_much() {
    let mut bench = talk();
    bench.relay.set_identity(bench.now, 100 << 32, 7);
    let (call, rtcp) = (CallKey(1), port(30_001));
    bench.done(Command::OpenEndpoint {
        call,
        port: rtcp,
        tos: None,
    });
    bench.done(signal(30_001, "192.0.2.1:4001", Learning::Off));
    bench.done(Command::Connect {
        call,
        ingress: rtcp,
        rtp: None,
        rtcp: Some(port(30_002)),
    });
    let play = play(port(30_000), false, Some(rtcp));
    bench.done(play.clone());
    let heard = u32::from(u16::from_be_bytes([RTP[2], RTP[3]]));
    assert_eq!(told(&mut bench, 0..1), [(1, 172, 0, heard, 0)], "at once");
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(&RTP[8..12]);
    report.extend([0, 0, 0x56, 0x78, 0x9a, 0xbc, 0, 0]);
    report.resize(28, 0);
    let verdict = bench.packet(2, "192.0.2.1:4001", &report);
    assert_eq!(verdict, forward(1, BOB));
    // The next sound goes on with the same stream, and so do reports.
    bench.done(play);
    let later = told(&mut bench, 1..302);
    assert_eq!(later.len(), 1, "each five seconds and a little more");
    let (packets, bytes, timestamp, newest, last) = later[0];
    assert!((251..=301).contains(&packets), "{packets}");
    assert_eq!((bytes, timestamp), (packets * 172, (packets - 1) * 160));
    assert_eq!((newest, last), (heard, 0x5678_9abc));
}

#[test]
fn who_has_no_port_for_reports_is_sent_none() {
    let mut bench = talk();
    bench.relay.set_identity(bench.now, 100 << 32, 7);
    for rtcp in [None, Some(port(30_009))] {
        bench.done(play(port(30_000), false, rtcp));
        assert_eq!(told(&mut bench, 0..3), []);
    }
}
