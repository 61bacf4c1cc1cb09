//! Packets from one end to the other.

use std::time::Duration;

use relay_wire::{CallKey, Command, InterfaceId, Learning, Port, SourceRules};

use crate::control::{close, connect_to, create, open, port, remove, set_remote};
use crate::harness::{Options, on_each_driver};
use crate::phone::{Phone, rtcp, rtp};

#[test]
fn forwards_both_ways() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, bob) = (Phone::new(), Phone::new());
        control.set_up(
            1,
            [port(first), port(first + 2)],
            [Some(alice.address()), Some(bob.address())],
        );
        for sequence in 0..100 {
            alice.send(&rtp(1, sequence), first);
            bob.expect(&rtp(1, sequence), first + 2);
            bob.send(&rtp(2, sequence), first + 2);
            alice.expect(&rtp(2, sequence), first);
        }
        let stats = control.call(1);
        for (endpoint, ssrc) in stats.endpoints.iter().zip([1, 2]) {
            assert_eq!(endpoint.rtp_packets_in, 100);
            assert_eq!(endpoint.rtp_bytes_in, 17_200);
            assert_eq!(endpoint.packets_out, 100);
            assert_eq!(endpoint.bytes_out, 17_200);
            assert_eq!(endpoint.rtcp_packets_in, 0);
            assert_eq!(endpoint.dropped, 0);
            assert_eq!(
                (endpoint.ssrc, endpoint.payload_type),
                (Some(ssrc), Some(8))
            );
            assert!(endpoint.learnt && endpoint.idle_ms.is_some());
        }
        let worker = control.worker(0);
        assert_eq!((worker.packets_in, worker.packets_out), (200, 200));
        assert_eq!((worker.calls, worker.endpoints), (1, 2));
    });
}

#[test]
fn rtcp_goes_its_own_way_or_along() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let [a_rtp, a_rtcp, b_mux] = [first, first + 1, first + 2].map(port);
        let (alice, alice_rtcp, bob) = (Phone::new(), Phone::new(), Phone::new());
        let (call, learning) = (CallKey(1), Learning::Heuristic);
        control.apply(
            0,
            vec![
                create(1),
                open(1, a_rtp),
                open(1, a_rtcp),
                open(1, b_mux),
                set_remote(1, a_rtp, Some(alice.address()), learning),
                set_remote(1, a_rtcp, Some(alice_rtcp.address()), learning),
                set_remote(1, b_mux, Some(bob.address()), learning),
                // Bob multiplexes, Alice does not.
                Command::Connect {
                    call,
                    ingress: b_mux,
                    rtp: Some(a_rtp),
                    rtcp: Some(a_rtcp),
                },
                connect_to(1, a_rtp, b_mux),
                Command::Connect {
                    call,
                    ingress: a_rtcp,
                    rtp: None,
                    rtcp: Some(b_mux),
                },
            ],
        );
        bob.send(&rtcp(2), first + 2);
        alice_rtcp.expect(&rtcp(2), first + 1);
        bob.send(&rtp(2, 1), first + 2);
        alice.expect(&rtp(2, 1), first);
        alice_rtcp.send(&rtcp(1), first + 1);
        bob.expect(&rtcp(1), first + 2);
        alice_rtcp.send(&rtp(1, 1), first + 1);
        alice.send(&rtp(1, 2), first);
        bob.expect(&rtp(1, 2), first + 2);
        let stats = control.call(1);
        assert_eq!(stats.endpoints[1].rtcp_packets_in, 1);
        assert_eq!(stats.endpoints[1].dropped, 1, "RTP on the port of RTCP");
        assert_eq!(stats.endpoints[2].rtcp_packets_in, 1);
        assert_eq!(stats.endpoints[2].rtp_packets_in, 1);
    });
}

#[test]
fn what_is_neither_passes_untouched() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, bob) = (Phone::new(), Phone::new());
        control.set_up(
            1,
            [port(first), port(first + 2)],
            [Some(alice.address()), Some(bob.address())],
        );
        let t38 = [0, 1, 6, 0, 1, 2, 3, 4, 5, 6];
        // What fits a frame of 9,000 bytes: a jumbo frame is forwarded whole.
        let longest = vec![0x55; 8_972];
        for packet in [&t38[..], &[], &[0], &longest] {
            alice.send(packet, first);
            bob.expect(packet, first + 2);
        }
    });
}

#[test]
fn learns_a_peer_behind_a_nat_and_drops_who_sprays() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, bob, attacker) = (Phone::new(), Phone::new(), Phone::new());
        // What Alice signals is her address behind the NAT, from which nothing ever comes.
        let behind_nat = "127.0.0.1:9".parse().unwrap();
        control.set_up(
            1,
            [port(first), port(first + 2)],
            [Some(behind_nat), Some(bob.address())],
        );
        alice.send(&rtp(1, 1), first);
        bob.expect(&rtp(1, 1), first + 2);
        bob.send(&rtp(2, 1), first + 2);
        alice.expect(&rtp(2, 1), first);
        for spray in 0..50 {
            attacker.send(&rtp(666, spray), first);
            attacker.send(&rtp(666, spray), first + 2);
        }
        bob.send(&rtp(2, 2), first + 2);
        alice.expect(&rtp(2, 2), first);
        alice.send(&rtp(1, 2), first);
        bob.expect(&rtp(1, 2), first + 2);
        attacker.expect_nothing();
        let stats = control.call(1);
        assert_eq!(stats.endpoints[0].remote, Some(alice.address()));
        for endpoint in &stats.endpoints {
            assert_eq!((endpoint.dropped, endpoint.rtp_packets_in), (50, 2));
        }
        assert_eq!(control.counter("dropped_source_mismatch"), 100);
    });
}

#[test]
fn a_stranger_is_heard_when_it_has_proven_to_be_a_stream() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, bob) = (Phone::on("127.0.0.2:0"), Phone::new());
        let attacker = Phone::on("127.0.0.66:0");
        control.set_up(
            1,
            [port(first), port(first + 2)],
            [Some("127.0.0.9:4000".parse().unwrap()), Some(bob.address())],
        );
        // The attacker is first, with as many packets as it likes.
        for sequence in 0..50 {
            attacker.send_to(&rtp(666, sequence * 9), "127.0.0.1", first);
        }
        let mut sequence = 0;
        let (packet, from) = loop {
            sequence += 1;
            alice.send_to(&rtp(1, sequence), "127.0.0.1", first);
            if let Some(received) = bob.receive_within(Duration::from_millis(20)) {
                break received;
            }
            assert!(sequence < 500, "she is never heard");
        };
        assert_eq!((&packet[8..12], from), (&[0, 0, 0, 1][..], first + 2));
        bob.send(&rtp(2, 1), first + 2);
        alice.expect(&rtp(2, 1), first);
        attacker.expect_nothing();
        assert!(control.counter("dropped_unproven") >= 53);
    });
}

#[test]
fn opens_the_nat_of_a_peer() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let alice = Phone::new();
        let rules = SourceRules {
            pierces_nat: true,
            ..SourceRules::default()
        };
        control.apply(
            0,
            vec![
                create(1),
                open(1, port(first)),
                Command::SetSourceRules {
                    call: CallKey(1),
                    port: port(first),
                    rules,
                },
                set_remote(1, port(first), Some(alice.address()), Learning::Heuristic),
            ],
        );
        for _ in 0..2 {
            alice.expect(&[], first);
        }
        alice.send(&rtp(1, 1), first);
        while control.call(1).endpoints[0].rtp_packets_in == 0 {}
        while alice.receive_within(Duration::from_millis(1)).is_some() {}
        alice.expect_nothing();
    });
}

#[test]
fn holds_and_resumes() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, bob) = (Phone::new(), Phone::new());
        let ports = [port(first), port(first + 2)];
        control.set_up(1, ports, [Some(alice.address()), Some(bob.address())]);
        let hold = Command::Connect {
            call: CallKey(1),
            ingress: ports[0],
            rtp: None,
            rtcp: None,
        };
        control.apply(0, vec![hold]);
        alice.send(&rtp(1, 1), first);
        bob.send(&rtp(2, 1), first + 2);
        alice.expect(&rtp(2, 1), first);
        control.apply(0, vec![connect_to(1, ports[0], ports[1])]);
        alice.send(&rtp(1, 2), first);
        bob.expect(&rtp(1, 2), first + 2);
        assert_eq!(control.counter("dropped_not_connected"), 1);
    });
}

#[test]
fn many_calls_do_not_mix() {
    let options = Options {
        workers: 2,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let partition = control.hello.as_ref().unwrap().partition;
        let mut calls = Vec::new();
        for worker in 0..2 {
            let slice = partition.slice(relay_wire::WorkerId(worker)).unwrap();
            for number in slice.step_by(4) {
                let (alice, bob) = (Phone::new(), Phone::new());
                let ports = [port(number), port(number + 2)];
                let call = u64::from(number);
                control.apply(
                    worker,
                    vec![
                        create(call),
                        open(call, ports[0]),
                        open(call, ports[1]),
                        set_remote(call, ports[0], Some(alice.address()), Learning::Off),
                        set_remote(call, ports[1], Some(bob.address()), Learning::Off),
                        connect_to(call, ports[0], ports[1]),
                    ],
                );
                calls.push((number, alice, bob));
            }
        }
        assert_eq!(calls.len(), 64);
        for round in 0..3 {
            for (number, alice, _) in &calls {
                alice.send(&rtp(u32::from(*number), round), *number);
            }
            for (number, _, bob) in &calls {
                bob.expect(&rtp(u32::from(*number), round), number + 2);
            }
        }
        for worker in 0..2 {
            let stats = control.worker(worker);
            assert_eq!((stats.calls, stats.packets_out), (32, 96));
        }
    });
}

#[test]
fn a_removed_call_forwards_nothing_and_its_port_is_free_at_once() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, bob) = (Phone::new(), Phone::new());
        let remotes = [Some(alice.address()), Some(bob.address())];
        let ports = [port(first), port(first + 2)];
        control.set_up(1, ports, remotes);
        alice.send(&rtp(1, 1), first);
        bob.expect(&rtp(1, 1), first + 2);
        for call in 2..20 {
            // In one request, so that the socket is still being closed when it is wanted again.
            control.apply(
                0,
                vec![
                    remove(call - 1),
                    create(call),
                    open(call, ports[0]),
                    open(call, ports[1]),
                    set_remote(call, ports[0], remotes[0], Learning::Heuristic),
                    set_remote(call, ports[1], remotes[1], Learning::Heuristic),
                ],
            );
            alice.send(&rtp(1, 2), first);
            bob.send(&rtp(2, 2), first + 2);
            control.apply(
                0,
                vec![
                    connect_to(call, ports[0], ports[1]),
                    close(call, ports[1]),
                    open(call, ports[1]),
                    set_remote(call, ports[1], remotes[1], Learning::Heuristic),
                ],
            );
            // Closing has ended the flow.
            alice.send(&rtp(1, 3), first);
            control.apply(0, vec![connect_to(call, ports[0], ports[1])]);
            alice.send(&rtp(1, 4), first);
            loop {
                let (packet, from) = bob.receive();
                assert_eq!(from, first + 2);
                if packet == rtp(1, 4) {
                    break;
                }
                // What was sent before may be handled after: sockets are not the link.
                assert!(packet == rtp(1, 2) || packet == rtp(1, 3));
            }
        }
        assert_eq!(control.worker(0).endpoints, 2);
        assert_eq!(control.counter("closes_failed"), 0);
    });
}

#[test]
fn joins_ipv4_and_ipv6() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    let options = Options {
        interfaces: &["127.0.0.1", "::1"],
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, bob) = (Phone::new(), Phone::on("[::1]:0"));
        let six = Port {
            interface: InterfaceId(1),
            number: first,
        };
        // The same number on both interfaces.
        control.set_up(
            1,
            [port(first), six],
            [Some(alice.address()), Some(bob.address())],
        );
        alice.send(&rtp(1, 1), first);
        bob.expect(&rtp(1, 1), first);
        bob.send(&rtp(2, 1), first);
        alice.expect(&rtp(2, 1), first);
        // An address that cannot be reached from there is nobody.
        control.apply(
            0,
            vec![set_remote(1, six, Some(alice.address()), Learning::Off)],
        );
        alice.send(&rtp(1, 2), first);
        bob.send(&rtp(2, 2), first);
        alice.expect_nothing();
        assert_eq!(control.counter("dropped_address_family"), 1);
    });
}
