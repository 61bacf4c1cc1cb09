//! What one packet costs before the kernel is asked for anything.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use relay_core::{GROWTH_MAX, Ingress, Limits, Outcome, Relay, SocketId, Verdict};
use relay_wire::{
    CallKey, Command, CryptoSuite, EndpointCrypto, InterfaceId, Learning, Port, PortPartition,
    WorkerId,
};

use crate::{Operation, operation};

pub(crate) const OPERATIONS: [Operation; 5] = [
    operation("relay-core/forward a packet of 10 streams", || forward(10)),
    operation("relay-core/forward a packet of 1,000 streams", || {
        forward(1_000)
    }),
    operation("relay-core/forward a packet of 10,000 streams", || {
        forward(10_000)
    }),
    operation("relay-core/tell what was counted of a call", tell),
    operation(
        "relay-core/forward a packet and seal it, AES_CM_128_HMAC_SHA1_80",
        seal,
    ),
];

const PORTS: [u16; 2] = [10_000, 59_999];

/// After so many from one source, learning is over.
const PACKETS_TO_LEARN: u32 = 8;

/// G.711, 20 ms: 12 bytes of header, 160 of payload.
const PACKET_LEN: usize = 172;

fn port(number: usize) -> Port {
    Port {
        interface: InterfaceId(0),
        number: u16::try_from(number).expect("the operations use ports below 60000"),
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
        Outcome::Later(_) | Outcome::Play { .. } | Outcome::Treat { .. } => {
            unreachable!("nothing of that is asked")
        }
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
        idle_max: 0,
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
                tos: None,
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

/// The next packet of a stream: one that comes twice is another case, and so is a lost one.
fn write(packet: &mut [u8; PACKET_LEN], ingress: Ingress, number: u32) {
    packet[2..4].copy_from_slice(&number.to_be_bytes()[2..]);
    packet[4..8].copy_from_slice(&number.wrapping_mul(160).to_be_bytes());
    packet[8..12].copy_from_slice(&ingress.socket.slot().to_be_bytes());
}

fn forward(streams: usize) -> Box<dyn FnMut()> {
    let now = Instant::now();
    let (mut relay, ingresses) = worker(streams / 2, now);
    let mut packet = [0_u8; PACKET_LEN];
    packet[0] = 0x80;
    for number in 0..PACKETS_TO_LEARN {
        for ingress in &ingresses {
            write(&mut packet, *ingress, number);
            let _ = relay.handle_packet(now, *ingress, &mut packet);
        }
    }
    let (mut stream, mut number) = (0, PACKETS_TO_LEARN);
    Box::new(move || {
        let ingress = ingresses[stream];
        write(&mut packet, ingress, number);
        stream += 1;
        if stream == ingresses.len() {
            (stream, number) = (0, number + 1);
        }
        let verdict = relay.handle_packet(now, ingress, black_box(&mut packet));
        assert!(matches!(black_box(verdict), Verdict::Forward(_)));
    })
}

/// What control asks of each call time and again.
fn tell() -> Box<dyn FnMut()> {
    let now = Instant::now();
    let (mut relay, ingresses) = worker(1, now);
    let mut packet = [0_u8; PACKET_LEN];
    packet[0] = 0x80;
    for number in 0..PACKETS_TO_LEARN {
        for ingress in &ingresses {
            write(&mut packet, *ingress, number);
            let _ = relay.handle_packet(now, *ingress, &mut packet);
        }
    }
    Box::new(move || {
        let query = Command::QueryCall { call: CallKey(0) };
        let outcome = relay.handle_command(now, query, 1_024);
        let Ok(Outcome::Done(answer)) = outcome else {
            unreachable!("{outcome:?}");
        };
        let mut bytes = Vec::new();
        relay_wire::encode(&answer, &mut bytes);
        black_box(bytes);
    })
}

/// A packet of a call whose other party has keys.
fn seal() -> Box<dyn FnMut()> {
    let now = Instant::now();
    let (mut relay, ingresses) = worker(1, now);
    let send = Some(crate::srtp::crypto(CryptoSuite::AesCm128HmacSha1_80));
    let keys = Command::SetCrypto {
        call: CallKey(0),
        endpoints: vec![EndpointCrypto {
            port: port(usize::from(PORTS[0]) + 2),
            receive: None,
            send,
        }],
    };
    command(&mut relay, now, keys);
    let (ingress, mut number) = (ingresses[0], 0);
    let mut buffer = [0; PACKET_LEN + GROWTH_MAX];
    Box::new(move || {
        let packet = buffer.first_chunk_mut().expect("it is shorter");
        packet[0] = 0x80;
        write(packet, ingress, number);
        number += 1;
        let verdict = relay.handle_packet(now, ingress, black_box(packet));
        let Verdict::Seal(sealing) = verdict else {
            unreachable!("{verdict:?}");
        };
        let verdict = relay.seal(sealing, black_box(&mut buffer));
        assert!(matches!(
            black_box(verdict),
            Verdict::ForwardPart { len: 182, .. }
        ));
    })
}
