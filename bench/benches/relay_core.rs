//! What one packet costs before the kernel is asked for anything.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use relay_core::{Ingress, Limits, Outcome, Relay, SocketId, Verdict};
use relay_wire::{CallKey, Command, InterfaceId, Learning, Port, PortPartition, WorkerId};

const PORTS: [u16; 2] = [10_000, 59_999];

/// G.711, 20 ms: 12 bytes of header, 160 of payload.
const PACKET_LEN: usize = 172;

fn port(number: usize) -> Port {
    Port {
        interface: InterfaceId(0),
        number: u16::try_from(number).expect("the benches use ports below 60000"),
    }
}

fn peer(number: usize) -> SocketAddr {
    let number = u16::try_from(number).expect("as in port()");
    SocketAddr::from(([192, 0, 2, 1], number))
}

fn command(relay: &mut Relay, now: Instant, command: Command) -> Option<SocketId> {
    match relay
        .handle_command(now, command, 1_024)
        .expect("within the limits")
    {
        Outcome::Done(_) => None,
        Outcome::Later(_) => unreachable!("nothing is being closed"),
        Outcome::Bind { socket, .. } => {
            relay.handle_bound(socket, Ok(())).expect("it was reserved");
            Some(socket)
        }
    }
}

/// A worker with `calls` calls of two endpoints each, and the sockets that packets arrive at.
fn worker(calls: usize, now: Instant) -> (Relay, Vec<Ingress>) {
    let mut relay = Relay::new(Limits {
        worker: WorkerId(0),
        partition: PortPartition::new(PORTS[0], PORTS[1], 1).expect("a valid range"),
        interfaces: vec!["192.0.2.9".parse().expect("an address")],
        calls_max: calls,
        endpoints_max: 2 * u32::try_from(calls).expect("few"),
    });
    let mut ingresses = Vec::new();
    for number in 0..calls {
        let call = CallKey(number as u64);
        let pair = [0, 2].map(|offset| usize::from(PORTS[0]) + 4 * number + offset);
        let record = Vec::new();
        command(
            &mut relay,
            now,
            Command::CreateCall {
                call,
                media_timeout_ms: 60_000,
                record,
            },
        );
        for number in pair {
            let open = Command::OpenEndpoint {
                call,
                port: port(number),
            };
            let socket = command(&mut relay, now, open).expect("a socket");
            ingresses.push(Ingress {
                socket,
                source: peer(number),
            });
            let remote = Some(peer(number));
            let learning = Learning::Heuristic;
            command(
                &mut relay,
                now,
                Command::SetRemote {
                    call,
                    port: port(number),
                    remote,
                    learning,
                },
            );
        }
        for (ingress, egress) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let ingress = port(ingress);
            let egress = Some(port(egress));
            command(
                &mut relay,
                now,
                Command::Connect {
                    call,
                    ingress,
                    rtp: egress,
                    rtcp: egress,
                },
            );
        }
    }
    (relay, ingresses)
}

fn handle_packet(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("relay-core/handle_packet");
    group.throughput(Throughput::Elements(1));
    for streams in [10, 1_000, 10_000] {
        let now = Instant::now();
        let (mut relay, ingresses) = worker(streams / 2, now);
        let mut packet = [0_u8; PACKET_LEN];
        packet[..2].copy_from_slice(&[0x80, 8]);
        let mut turn = ingresses.iter().copied().cycle();
        let mut number = 0_u32;
        group.bench_function(
            BenchmarkId::from_parameter(format!("{streams} streams")),
            |bencher| {
                bencher.iter(|| {
                    let ingress = turn.next().expect("a cycle has no end");
                    // Each stream goes on: what is late or there twice is another path.
                    number = number.wrapping_add(u32::from(ingress.socket.slot() == 0));
                    packet[2..4].copy_from_slice(&number.to_be_bytes()[2..]);
                    packet[4..8].copy_from_slice(&number.wrapping_mul(160).to_be_bytes());
                    packet[8..12].copy_from_slice(&ingress.socket.slot().to_be_bytes());
                    let verdict = relay.handle_packet(now, ingress, black_box(&mut packet));
                    debug_assert!(matches!(verdict, Verdict::Forward(_)));
                    verdict
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, handle_packet);
criterion_main!(benches);
