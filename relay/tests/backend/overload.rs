//! Too much from one.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::control::{Control, port, remove};
use crate::harness::{Options, on_each_driver};
use crate::phone::{Phone, rtp};

/// Calls beside the one that is flooded.
const CALLS: u16 = 10;

/// Packets that each side of them sends: one each 5 ms.
const PACKETS: u16 = 200;

/// The flood ends by itself.
const FLOOD_PACKETS_MAX: u32 = 2_000_000;

/// What one port may bring: 50 packets in a period, which a flood exceeds on any machine.
const PACKETS_PER_PORT_MAX: u32 = 5_000;

/// Two phones and the relay's ports that face them.
struct Pair {
    call: u64,
    phones: [Phone; 2],
    ports: [u16; 2],
}

fn pair(control: &mut Control, call: u16) -> Pair {
    let first = control.first_port() + 4 * call;
    let (phones, ports) = ([Phone::new(), Phone::new()], [first, first + 2]);
    let remotes = [Some(phones[0].address()), Some(phones[1].address())];
    let call = u64::from(call);
    control.set_up(call, ports.map(port), remotes);
    Pair {
        call,
        phones,
        ports,
    }
}

/// Sends as fast as it can to one port until it is told to stop.
fn flood(target: u16, is_over: &AtomicBool) -> u32 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", target)).unwrap();
    let packet = rtp(666, 1);
    let mut sent = 0;
    while sent < FLOOD_PACKETS_MAX && !is_over.load(Ordering::Relaxed) {
        sent += u32::from(socket.send(&packet).is_ok());
    }
    sent
}

/// Datagrams that the kernel dropped at a port (the last column of /proc/net/udp).
fn dropped_by_kernel(number: u16) -> u64 {
    let address = format!("0100007F:{number:04X}");
    // The table is read in pieces: while others open and close sockets a line may be passed over.
    let mut tables = (0..50).map(|_| std::fs::read_to_string("/proc/net/udp").unwrap());
    let line = tables.find_map(|it| Some(it.lines().find(|it| it.contains(&address))?.to_owned()));
    let line = line.unwrap_or_else(|| panic!("port {number} is not open"));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

/// Both sides of each call talk at an even pace.
fn talk(pairs: &[Pair]) {
    for sequence in 0..PACKETS {
        let next = Instant::now() + Duration::from_millis(5);
        for Pair { phones, ports, .. } in pairs {
            for (phone, port) in phones.iter().zip(ports) {
                phone.send(&rtp(u32::from(*port), sequence), *port);
            }
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// The relay has seen all that was said, and passed it on.
fn expect_nothing_lost(control: &mut Control, pair: &Pair) {
    let packets = u64::from(PACKETS);
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let stats = control.call(pair.call);
        let counts = stats.endpoints.iter();
        let counts: Vec<_> = counts
            .map(|it| (it.rtp_packets_in, it.packets_out))
            .collect();
        if counts == [(packets, packets); 2] {
            break;
        }
        assert!(Instant::now() < patience, "{counts:?} of {packets}");
    }
    assert_eq!(pair.ports.map(dropped_by_kernel), [0, 0]);
}

#[test]
fn a_flood_of_one_port_costs_the_other_calls_nothing() {
    expect_fairness(PACKETS_PER_PORT_MAX);
}

/// The drivers go round the sockets that have something, so a flood that is not limited costs
/// time, but nobody's turn: even a worker that has no time left drops what floods it alone.
#[test]
fn a_flood_without_a_limit_costs_the_other_calls_nothing() {
    expect_fairness(0);
}

fn expect_fairness(packets_per_port_max: u32) {
    let options = Options {
        packets_per_port_max,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let mut flooded = pair(&mut control, 0);
        let pairs: Vec<_> = (1..=CALLS).map(|it| pair(&mut control, it)).collect();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let (target, is_over) = (flooded.ports[0], &is_over);
            let flood = scope.spawn(move || flood(target, is_over));
            talk(&pairs);
            // The call ends, and another has its ports, in the middle of it.
            control.apply(0, vec![remove(0)]);
            flooded = pair(&mut control, 0);
            thread::sleep(Duration::from_millis(50));
            is_over.store(true, Ordering::Relaxed);
            assert!(flood.join().unwrap() > 10_000, "it was a test");
        });
        for pair in &pairs {
            expect_nothing_lost(&mut control, pair);
        }
        if packets_per_port_max > 0 {
            assert!(control.counter("sockets_rested") > 0);
            assert!(control.counter("receives_overflown") > 0);
        }
        for healthy in ["completions_overflown", "receives_failed", "closes_failed"] {
            assert_eq!(control.counter(healthy), 0, "{healthy}");
        }
        expect_recovery(&flooded);
    });
}

/// The port that was flooded serves its own phones again.
fn expect_recovery(flooded: &Pair) {
    let [alice, bob] = &flooded.phones;
    let heard = (0..500).any(|sequence| {
        alice.send(&rtp(1, sequence), flooded.ports[0]);
        bob.receive_within(Duration::from_millis(10)).is_some()
    });
    assert!(heard);
}

#[test]
fn a_fast_stream_is_no_flood() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let Pair { phones, ports, .. } = pair(&mut control, 0);
        let mut sequence = 0;
        // 10,000 packets a second, in bursts.
        for _ in 0..20 {
            let next = Instant::now() + Duration::from_millis(10);
            for _ in 0..100 {
                phones[0].send(&rtp(1, sequence), ports[0]);
                sequence += 1;
            }
            for sequence in sequence - 100..sequence {
                phones[1].expect(&rtp(1, sequence), ports[1]);
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        assert_eq!(control.counter("sockets_rested"), 0);
        assert_eq!(control.counter("receives_overflown"), 0);
    });
}
