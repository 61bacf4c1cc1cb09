//! Who is believed to be the peer, and who is not.

use super::*;

const SPRAYER: &str = "203.0.113.66:6666";

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = RTP.to_vec();
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

fn rules(number: u16, change: impl FnOnce(&mut SourceRules)) -> Command {
    let mut rules = SourceRules::default();
    change(&mut rules);
    Command::SetSourceRules {
        call: CallKey(1),
        port: port(number),
        rules,
    }
}

impl Bench {
    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Packets that go out of the relay by themselves while time passes.
    fn transmits(&mut self, ms: u64) -> Vec<Egress> {
        let mut transmits = Vec::new();
        for _ in 0..ms {
            self.wait(1);
            self.relay.handle_timeout(self.now);
            transmits.extend(std::iter::from_fn(|| {
                Some(self.relay.poll_transmit()?.egress())
            }));
        }
        transmits
    }
}

/// CVE-2025-53399: nothing of the sprayer's is forwarded, nothing is sent to it, whether it
/// comes before the phones, between their packets, or long after; whether it sends rubbish or goes
/// on with a stream at each port.
#[test]
fn a_sprayer_injects_nothing_and_hears_nothing() {
    for ([alice, bob], stride) in [
        ([ALICE, BOB], 7),
        ([ALICE, BOB], 1),
        // Behind NATs: another port; another address altogether.
        (["192.0.2.1:4444", BOB], 1),
        (["198.51.100.7:4444", "198.51.100.8:5555"], 7),
        (["198.51.100.7:4444", "198.51.100.8:5555"], 1),
    ] {
        let mut bench = Bench::new();
        bench.call_between_alice_and_bob(Learning::Heuristic);
        bench.more_calls(2..=3);
        let (mut heard, mut sequence) = (0, 0);
        for round in 0..500_u16 {
            for spray in 0..2 {
                for socket in 0..6 {
                    let packet = rtp(0xbad, round * stride);
                    let verdict = bench.packet(socket, SPRAYER, &packet);
                    assert!(matches!(verdict, Verdict::Drop(_)), "{round} {spray}");
                }
                // The sprayer is first, and the phones speak when the call is answered.
                if round > 50 {
                    for (socket, source) in [(0, alice), (1, bob)] {
                        let verdict = bench.packet(socket, source, &rtp(socket, sequence));
                        if let Verdict::Forward(egress) = verdict {
                            assert_ne!(egress.destination, address(SPRAYER));
                            heard += 1;
                        }
                    }
                    sequence += 1;
                }
                bench.wait(10);
            }
        }
        assert!(
            heard > 2 * usize::from(sequence) - 12,
            "{heard} of {sequence}"
        );
        let remotes: Vec<_> = bench.stats().endpoints.iter().map(|it| it.remote).collect();
        assert_eq!(remotes, [Some(address(alice)), Some(address(bob))]);
    }
}

/// It takes its time at each port, and is believed at two before it is known.
#[test]
fn a_patient_sprayer_loses_what_it_had() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.more_calls(2..=9);
    let (mut forwarded, sockets) = (0, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
    for socket in sockets {
        for sequence in 0..20 {
            let verdict = bench.packet(socket, SPRAYER, &rtp(7, sequence));
            forwarded += usize::from(matches!(verdict, Verdict::Forward(_)));
            bench.wait(20);
        }
    }
    assert_eq!(forwarded, 2 * 17);
    assert!(bench.stats().endpoints.iter().all(|it| !it.learnt));
    assert_eq!(bench.counter("sprayed"), 7 * 20);
}

#[test]
fn rtp_vouches_for_rtcp_from_the_same_address() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.done(Command::OpenEndpoint {
        call: CallKey(1),
        port: port(30_001),
        tos: None,
    });
    bench.done(signal(30_001, "192.0.2.1:4001", Learning::Heuristic));
    bench.done(connect(30_001, Some(30_002)));
    let unproven = Verdict::Drop(DropReason::Unproven);
    let (behind_nat, rtcp_behind_nat) = ("198.51.100.7:4444", "198.51.100.7:4555");
    assert_eq!(
        bench.packet(2, rtcp_behind_nat, RTCP),
        unproven,
        "too early"
    );
    assert_eq!(bench.packet(2, SPRAYER, RTCP), unproven);
    for sequence in 0..4 {
        bench.wait(20);
        let _ = bench.packet(0, behind_nat, &rtp(7, sequence));
    }
    assert_eq!(bench.packet(2, SPRAYER, RTCP), unproven);
    assert_eq!(bench.packet(2, rtcp_behind_nat, RTCP), forward(1, BOB));
    assert!(matches!(bench.packet(2, SPRAYER, RTCP), Verdict::Drop(_)));
    assert_eq!(
        bench.stats().endpoints[2].remote,
        Some(address(rtcp_behind_nat))
    );
}

#[test]
fn a_phone_that_moves_takes_its_rtcp_along() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.done(Command::OpenEndpoint {
        call: CallKey(1),
        port: port(30_001),
        tos: None,
    });
    bench.done(signal(30_001, "192.0.2.1:4001", Learning::Heuristic));
    bench.done(connect(30_001, Some(30_002)));
    assert_eq!(bench.packet(0, ALICE, &rtp(7, 1)), forward(1, BOB));
    assert_eq!(bench.packet(2, "192.0.2.1:4001", RTCP), forward(1, BOB));
    bench.wait(1_000);
    assert_eq!(
        bench.packet(0, "198.51.100.7:4444", &rtp(7, 9)),
        forward(1, BOB)
    );
    assert_eq!(bench.packet(2, "198.51.100.7:4445", RTCP), forward(1, BOB));
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, "198.51.100.7:4444"));
}

/// RFC 3550 §6.4.1, Figure 2: a sender report of Alice's, answered by Bob 5.25 s later, who held
/// it for 5.1.
#[test]
fn reports_say_how_far_the_peer_is() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    let mut report = vec![0x80, 200, 0, 6, 0, 0, 0, 7];
    report.extend([0xb4, 0x4d, 0xb7, 0x05, 0x20, 0x00, 0x00, 0x00]);
    report.resize(28, 0);
    let mut answer = vec![0x81, 201, 0, 7, 0, 0, 0, 8, 0, 0, 0, 7];
    answer.resize(24, 0);
    answer.extend([0xb7, 0x05, 0x20, 0x00]);
    answer.extend((51 * 65_536_u32 / 10).to_be_bytes());
    assert_eq!(bench.packet(1, BOB, &answer), forward(0, ALICE));
    assert_eq!(bench.stats().endpoints[1].round_trip_us, None, "to nothing");
    assert_eq!(bench.packet(0, ALICE, &report), forward(1, BOB));
    bench.wait(5_250);
    assert_eq!(bench.packet(1, BOB, &answer), forward(0, ALICE));
    let stats = bench.stats();
    let round_trip = stats.endpoints[1].round_trip_us.unwrap();
    assert!(round_trip.abs_diff(150_000) < 50, "{round_trip}");
    assert_eq!(stats.endpoints[0].round_trip_us, None);
}

#[test]
fn pierces_a_nat_until_the_peer_is_heard() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    assert_eq!(bench.transmits(1_000), [], "nobody asked for it");
    bench.done(rules(30_000, |it| it.pierces_nat = true));
    let to_alice = Egress {
        socket: SocketId::new(0),
        destination: address(ALICE),
    };
    assert_eq!(bench.transmits(401), [to_alice; 3]);
    // The same again is no second stream of them.
    bench.done(rules(30_000, |it| it.pierces_nat = true));
    assert_eq!(bench.transmits(400), [to_alice; 2]);
    bench.arrive(0, ALICE);
    assert_eq!(bench.transmits(60_000), []);
    assert_eq!(bench.relay.poll_timeout(), None);
}

#[test]
fn piercing_ends_by_itself_and_with_the_call() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    for number in [30_000, 30_002] {
        bench.done(rules(number, |it| it.pierces_nat = true));
    }
    bench.relay.handle_timeout(bench.now);
    bench.done(Command::CloseEndpoint {
        call: CallKey(1),
        port: port(30_002),
    });
    assert_eq!(bench.transmits(60_000).len(), 50);
    assert_eq!(bench.relay.poll_timeout(), None);
}
