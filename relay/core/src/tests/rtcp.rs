//! RTCP that ends here and is answered, or passes in part.

use std::ops::Range;

use relay_rtp::Ssrc;
use relay_rtp::rtcp::{Body, Compound, ReportBlock};
use relay_wire::{Filter, OnMedia, OnRtcp, Transcoding};

use super::*;
use crate::Report;

/// Ports of RTCP of Alice and Bob: sockets 2 and 3.
const RTCP_PORTS: [u16; 2] = [30_001, 30_003];

const NTP: u64 = 100 << 32;

fn answer(port_number: u16, received: u16, sent: Option<u16>) -> Command {
    Command::SetRtcp {
        call: CallKey(1),
        port: port(port_number),
        rtcp: OnRtcp::Answer {
            received: port(received),
            sent: sent.map(port),
        },
    }
}

/// A call whose RTCP has ports of its own, and is answered on both sides.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.relay.set_identity(bench.now, NTP, 7);
    bench.call_between_alice_and_bob(Learning::Off);
    let remotes = ["192.0.2.1:4001", "192.0.2.2:5001"];
    for (number, remote) in RTCP_PORTS.into_iter().zip(remotes) {
        let (call, port) = (CallKey(1), port(number));
        bench.done(Command::OpenEndpoint {
            call,
            port,
            tos: None,
        });
        bench.done(signal(number, remote, Learning::Off));
    }
    for [ingress, egress] in [RTCP_PORTS, [RTCP_PORTS[1], RTCP_PORTS[0]]] {
        bench.done(Command::Connect {
            call: CallKey(1),
            ingress: port(ingress),
            rtp: None,
            rtcp: Some(port(egress)),
        });
    }
    bench.done(answer(30_001, 30_000, Some(30_002)));
    bench.done(answer(30_003, 30_002, Some(30_000)));
    bench
}

/// Speech of 20 ms.
fn speech(ssrc: u8, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([0, 0, 0, ssrc]);
    packet.resize(172, 0xd5);
    packet
}

/// Lets time pass up to the next reports; what they are, by the socket that they leave through.
fn reports(bench: &mut Bench, ms: u64) -> Vec<Report> {
    bench.pass(ms);
    let mut reports: Vec<_> = std::iter::from_fn(|| bench.relay.poll_report()).collect();
    reports.sort_by_key(|it| it.egress().socket);
    reports
}

/// Both speak for as long as it takes until each is told once; some packets of Alice's are lost.
/// What they are told, and the number of the newest packets then.
fn speak(bench: &mut Bench, numbers: &mut u16, lost: Range<u16>) -> Vec<(Report, u16)> {
    let mut told = Vec::new();
    for _ in 0..301 {
        *numbers += 1;
        if !lost.contains(numbers) {
            let _ = bench.packet(0, ALICE, &speech(7, *numbers));
        }
        let _ = bench.packet(1, BOB, &speech(9, *numbers));
        let reports = reports(bench, 20);
        told.extend(reports.into_iter().map(|it| (it, *numbers)));
    }
    told.sort_by_key(|(it, _)| it.egress().socket);
    told
}

/// What a receiver report says: whose it is, and the block.
fn read_receiver(report: &Report) -> (u32, Option<ReportBlock>) {
    let compound = Compound::parse(report.bytes()).unwrap();
    let Body::ReceiverReport(report) = compound.packets().next().unwrap().body() else {
        panic!("something is said of what was sent");
    };
    (report.ssrc().value(), report.blocks().next())
}

/// When a sender report was true, in NTP's time.
fn ntp(report: &Report) -> u64 {
    u64::from_be_bytes(report.bytes()[8..16].try_into().unwrap())
}

/// What a sender report says: who sends, its timestamp, packets, octets; and the block.
fn read(report: &Report) -> (u32, [u32; 3], Option<ReportBlock>) {
    let compound = Compound::parse(report.bytes()).unwrap();
    let mut packets = compound.packets();
    let Body::SenderReport(sent) = packets.next().unwrap().body() else {
        panic!("nothing is said of what was sent");
    };
    let Body::SourceDescription(names) = packets.next().unwrap().body() else {
        panic!("no name");
    };
    let name = names.chunks().next().unwrap();
    assert_eq!(name.ssrc, sent.ssrc());
    assert_eq!(name.items().next().unwrap().text.len(), 12);
    let counts = [
        sent.rtp_timestamp(),
        sent.packet_count(),
        sent.octet_count(),
    ];
    (sent.ssrc().value(), counts, sent.blocks().next())
}

#[test]
fn each_peer_is_told_what_it_is_sent_and_how_it_is_heard() {
    let mut bench = bench();
    let mut numbers = 0;
    let told = speak(&mut bench, &mut numbers, 20..30);
    let [(to_alice, to_alice_at), (to_bob, to_bob_at)] = &told[..] else {
        panic!("one each: {told:?}");
    };
    let [to_alice_at, to_bob_at] = [*to_alice_at, *to_bob_at].map(u32::from);
    let rtcp = |socket, destination| Egress {
        socket: SocketId::new(socket),
        destination: address(destination),
    };
    assert_eq!(to_alice.egress(), rtcp(2, "192.0.2.1:4001"));
    assert_eq!(to_bob.egress(), rtcp(3, "192.0.2.2:5001"));
    let (ssrc, [_, packets, octets], block) = read(to_bob);
    assert_eq!(ssrc, 7);
    assert_eq!((packets, octets), (to_bob_at - 10, (to_bob_at - 10) * 172));
    let heard = block.unwrap();
    assert_eq!(
        (heard.ssrc, heard.highest_sequence),
        (Ssrc::new(9), to_bob_at)
    );
    let (ssrc, [_, packets, octets], block) = read(to_alice);
    assert_eq!((ssrc, packets, octets), (9, to_alice_at, to_alice_at * 172));
    let heard = block.unwrap();
    assert_eq!(
        (heard.ssrc, heard.highest_sequence),
        (Ssrc::new(7), to_alice_at)
    );
    assert_eq!(heard.lost, 10);
    assert_eq!(u32::from(heard.fraction_lost), 2_560 / to_alice_at);
    assert_eq!((heard.last_report, heard.delay_since_last_report), (0, 0));
    // Nothing is lost since.
    let told = speak(&mut bench, &mut numbers, 0..0);
    let again = read(&told[0].0).2.unwrap();
    assert_eq!((again.lost, again.fraction_lost), (10, 0));
    assert_eq!(bench.counter("reports_made"), 4);
}

#[test]
fn a_stream_that_goes_on_has_the_timestamp_of_now() {
    let mut bench = bench();
    let mut sequence = 0;
    let told = loop {
        sequence += 1;
        let _ = bench.packet(0, ALICE, &speech(7, sequence));
        let told = reports(&mut bench, 20);
        // Bob's is the one that leaves from socket 3.
        if let Some(to_bob) = told.iter().find(|it| it.egress().socket.slot() == 3) {
            break *to_bob;
        }
    };
    let (_, [timestamp, packets, _], _) = read(&told);
    assert_eq!(packets, u32::from(sequence));
    let newest = u32::from(sequence) * 160;
    assert!(
        (newest..newest + 160).contains(&timestamp),
        "{timestamp} after {newest}"
    );
}

#[test]
fn reports_of_peers_end_here_and_are_answered() {
    let mut bench = bench();
    let (begun, mut numbers) = (bench.now, 0);
    let told = speak(&mut bench, &mut numbers, 0..0);
    let compound = Compound::parse(told[0].0.bytes()).unwrap();
    let Body::SenderReport(own) = compound.packets().next().unwrap().body() else {
        panic!("Alice is sent something");
    };
    let name = u32::try_from(own.ntp_time() >> 16 & 0xffff_ffff).unwrap();
    assert!(own.ntp_time() >= NTP + (5 << 32), "{:x}", own.ntp_time());

    // Alice answers our report, 120 ms after she had held it for half a second, with one of hers.
    let since = (u128::from(own.ntp_time() - NTP) * 1_000_000_000) >> 32;
    let sent_at = Duration::from_nanos(u64::try_from(since).unwrap());
    let mut hers = vec![
        0x81, 200, 0, 12, 0, 0, 0, 7, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0,
    ];
    hers.resize(28, 0);
    hers.extend([0, 0, 0, 9]);
    hers.resize(44, 0);
    hers.extend(name.to_be_bytes());
    hers.extend(32_768_u32.to_be_bytes());
    let answered = begun + sent_at + Duration::from_millis(620);
    bench.now = bench.now.max(answered);
    let late = bench.now - answered;
    let verdict = bench.packet(2, "192.0.2.1:4001", &hers);
    assert_eq!(verdict, Verdict::Drop(DropReason::Answered));
    let endpoints = bench.stats().endpoints;
    let rtcp = endpoints.iter().find(|it| it.port.number == 30_001);
    let rtcp = rtcp.unwrap();
    let far = u128::from(rtcp.round_trip_us.unwrap());
    assert!(far.abs_diff(120_000 + late.as_micros()) < 100, "{far}");
    assert_eq!((rtcp.rtcp_packets_in, rtcp.dropped), (1, 0), "no loss");
    assert_eq!(bench.counter("dropped_answered"), 1);

    // Ours says when hers came.
    let at = bench.now;
    bench.pass(4_000);
    while bench.relay.poll_report().is_some() {}
    let told = speak(&mut bench, &mut numbers, 0..0);
    let block = read(&told[0].0).2.unwrap();
    assert_eq!(block.last_report, 0xaabb_ccdd);
    let delay = u128::from(block.delay_since_last_report) * 1_000 / 65_536;
    assert!(
        (bench.now - at).as_millis() >= delay && delay > 3_900,
        "{delay}"
    );
}

#[test]
fn of_a_stream_that_pauses_the_times_are_those_of_its_newest_packet() {
    let mut bench = bench();
    bench.relay.set_identity(bench.now, 1 << 32, 7);
    bench.pass(1_000);
    let _ = bench.packet(0, ALICE, &speech(7, 1));
    let _ = bench.packet(1, BOB, &speech(9, 1));
    let told = reports(&mut bench, 6_001);
    let sent: Vec<_> = told
        .iter()
        .map(|it| (read(it).0, read(it).1[0], ntp(it)))
        .collect();
    assert_eq!(sent, [(9, 160, 2 << 32), (7, 160, 2 << 32)]);
}

#[test]
fn of_a_stream_that_has_ended_nobody_says_that_it_is_sent() {
    let mut bench = bench();
    let _ = bench.packet(0, ALICE, &speech(7, 1));
    let _ = bench.packet(1, BOB, &speech(9, 1));
    let _ = reports(&mut bench, 6_001);
    let _ = reports(&mut bench, 6_001);
    let told = reports(&mut bench, 6_001);
    let heard: Vec<_> = told.iter().map(read_receiver).collect();
    let [(to_alice, of_alice), (to_bob, of_bob)] = heard[..] else {
        panic!("one each: {heard:?}");
    };
    assert_eq!(of_alice.unwrap().ssrc, Ssrc::new(7));
    assert_eq!(of_bob.unwrap().ssrc, Ssrc::new(9));
    assert!(to_alice != 9 && to_bob != 7, "sources of its own");
    let told = speak(&mut bench, &mut 1, 0..0);
    let senders: Vec<_> = told.iter().map(|(it, _)| read(it).0).collect();
    assert_eq!(senders, [9, 7], "it goes on");
}

#[test]
fn what_does_not_leave_for_a_party_is_not_said_to_be_sent() {
    let call = CallKey(1);
    let ingress = port(30_002);
    let elsewhere = |rtp: Option<u16>| Command::Connect {
        call,
        ingress,
        rtp: rtp.map(port),
        rtcp: None,
    };
    let stopped = Command::SetFilter {
        call,
        ingress,
        filter: Some(Filter {
            on_media: OnMedia::Drop,
            ..Filter::default()
        }),
    };
    let remade = Command::SetTranscoding {
        call,
        ingress,
        transcoding: Some(Transcoding {
            routes: vec![],
            rtcp: Some(port(30_003)),
        }),
    };
    for change in [elsewhere(None), elsewhere(Some(30_002)), stopped, remade] {
        let mut bench = bench();
        let shown = format!("{change:?}");
        bench.done(change);
        let told = speak(&mut bench, &mut 0, 0..0);
        let (to_alice, _) = told.first().unwrap();
        assert_eq!(to_alice.egress().socket.slot(), 2, "{shown}");
        let (ssrc, block) = read_receiver(to_alice);
        assert_ne!(ssrc, 9, "{shown}");
        assert_eq!(block.unwrap().ssrc, Ssrc::new(7), "{shown}");
        let to_bob = told.iter().find(|(it, _)| it.egress().socket.slot() == 3);
        match to_bob {
            Some((to_bob, _)) => assert_eq!(read(to_bob).0, 7, "{shown}: hers leaves"),
            None => assert!(shown.starts_with("SetTranscoding"), "{shown}"),
        }
    }
}

#[test]
fn who_is_sent_nothing_is_told_how_it_is_heard() {
    let mut bench = bench();
    assert_eq!(reports(&mut bench, 7_000).len(), 0, "nothing to say");
    let _ = bench.packet(0, ALICE, &speech(7, 1));
    let told = reports(&mut bench, 6_000);
    let to_alice = told.iter().find(|it| it.egress().socket.slot() == 2);
    let compound = Compound::parse(to_alice.unwrap().bytes()).unwrap();
    let Body::ReceiverReport(report) = compound.packets().next().unwrap().body() else {
        panic!("nothing was sent");
    };
    assert_eq!(report.blocks().next().unwrap().ssrc, Ssrc::new(7));
    assert!(
        ![0, 7].contains(&report.ssrc().value()),
        "a source of its own"
    );
}

#[test]
fn reports_come_every_five_to_six_seconds_and_end_with_the_endpoint() {
    let mut bench = bench();
    let _ = bench.packet(0, ALICE, &speech(7, 1));
    let mut seen = Vec::new();
    for ms in 0..30_000 {
        for report in reports(&mut bench, 1) {
            if report.egress().socket.slot() == 2 {
                seen.push(ms);
            }
        }
    }
    assert!((5..=6).contains(&seen.len()), "{seen:?}");
    assert!((5_000..=6_001).contains(&seen[0]), "{seen:?}");
    for pair in seen.windows(2) {
        assert!((5_000..=6_001).contains(&(pair[1] - pair[0])), "{seen:?}");
    }
    // Said again, they go on as they were.
    bench.done(answer(30_003, 30_002, None));
    bench.done(answer(30_003, 30_002, Some(30_000)));
    assert!(bench.relay.reports.next_deadline().is_some());
    for number in RTCP_PORTS {
        bench.done(Command::CloseEndpoint {
            call: CallKey(1),
            port: port(number),
        });
    }
    assert_eq!(reports(&mut bench, 10_000).len(), 0);
    assert_eq!(bench.relay.reports.next_deadline(), None, "nothing is left");
}

#[test]
fn where_a_party_has_left_rtcp_ends_and_nothing_is_reported() {
    let mut bench = bench();
    let call = CallKey(1);
    let port = port(30_001);
    let rtcp = OnRtcp::End;
    bench.done(Command::SetRtcp { call, port, rtcp });
    let verdict = bench.packet(2, "192.0.2.1:4001", RTCP);
    assert_eq!(verdict, Verdict::Drop(DropReason::Answered));
    let told = speak(&mut bench, &mut 0, 0..0);
    let leave = told.iter().map(|(it, _)| it.egress().socket.slot());
    assert_eq!(leave.collect::<Vec<_>>(), [3], "to Bob alone");
    let rtcp = OnRtcp::Pass;
    bench.done(Command::SetRtcp { call, port, rtcp });
    let verdict = bench.packet(2, "192.0.2.1:4001", RTCP);
    assert_eq!(verdict, forward(3, "192.0.2.2:5001"));
}

#[test]
fn many_that_are_due_at_once_are_made_in_turns() {
    let mut bench = Bench::with_limits(|it| it.calls_max = 200);
    bench.call_between_alice_and_bob(Learning::Off);
    bench.more_calls(2..=120);
    for call in 1..=120_u16 {
        for side in [0, 2] {
            let number = 30_000 + (call - 1) * 4 + side;
            bench.done(Command::SetRtcp {
                call: CallKey(call.into()),
                port: port(number),
                rtcp: OnRtcp::Answer {
                    received: port(number),
                    sent: None,
                },
            });
            let source = match (call, side) {
                (1, 0) => ALICE.to_owned(),
                (1, _) => BOB.to_owned(),
                _ => format!("192.0.2.200:{number}"),
            };
            let socket = u32::from(call - 1) * 2 + u32::from(side / 2);
            let _ = bench.packet(socket, &source, &speech(7, 1));
        }
    }
    bench.now += Duration::from_secs(60);
    bench.relay.handle_timeout(bench.now);
    let made = std::iter::from_fn(|| bench.relay.poll_report()).count();
    assert_eq!(made, 240);
    bench.relay.handle_timeout(bench.now);
    assert!(bench.relay.poll_report().is_none(), "once");
}

#[test]
fn without_feedback_the_rest_of_rtcp_passes() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(Command::SetRtcp {
        call: CallKey(1),
        port: port(30_000),
        rtcp: OnRtcp::PassReports,
    });
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0, 1, 0, 0];
    let bye = [0x81, 203, 0, 1, 0, 0, 0, 7];
    let mut packet = [RTCP, &nack, &bye].concat();
    let ingress = Ingress {
        socket: SocketId::new(0),
        source: address(ALICE),
    };
    let verdict = bench.relay.handle_packet(bench.now, ingress, &mut packet);
    let egress = Egress {
        socket: SocketId::new(1),
        destination: address(BOB),
    };
    assert_eq!(verdict, Verdict::ForwardPart { egress, len: 16 });
    assert_eq!(packet[..16], [RTCP, &bye].concat());
    assert_eq!(bench.packet(0, ALICE, RTCP), forward(1, BOB));
    assert_eq!(
        bench.packet(0, ALICE, &nack),
        Verdict::Drop(DropReason::Filtered),
        "nothing is left"
    );
    let all = [RTCP, &nack].concat();
    assert_eq!(
        bench.packet(1, BOB, &all),
        forward(0, ALICE),
        "the other way"
    );
    let sent: u64 = bench.stats().endpoints.iter().map(|it| it.bytes_out).sum();
    assert_eq!(sent, 16 + 8 + 24);
    assert_eq!(bench.counter("bytes_out"), sent);
}
