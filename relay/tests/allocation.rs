//! Neither a packet nor a turn of a worker allocates, whichever driver it has: counted by the
//! allocator of the whole process, in which nobody else does much meanwhile.

#[expect(dead_code, reason = "the other tests need more of it")]
#[path = "backend/control.rs"]
mod control;
#[expect(dead_code, reason = "the other tests need more of it")]
#[path = "backend/harness.rs"]
mod harness;
#[expect(dead_code, reason = "the other tests need more of it")]
#[path = "backend/phone.rs"]
mod phone;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use relay_wire::{CallKey, Codec, Command, Format, Route, Transcoding};
use tandem_allocations::{Counting, of_process};

use crate::control::port;
use crate::harness::{Options, TestRelay, on_each_driver};
use crate::phone::{rtcp, rtp};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the threads of the test itself may allocate once in a while. A packet or a turn that did
/// so would be 500 at least.
const OTHERS_MAX: u64 = 10;

/// Packets of one batch, which the relay gets at once.
const BATCH: usize = 20;

fn phone() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Duration::from_secs(10);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket
}

/// Sends batches of packets from one phone, and receives them at the other.
fn talk(phones: &[UdpSocket; 2], relay: u16, packets: &mut [Vec<u8>], batches: u16) {
    let mut buffer = [0; 2_000];
    let relay = SocketAddr::from((Ipv4Addr::LOCALHOST, relay));
    for batch in 0..batches {
        for (number, packet) in (0_u16..).zip(packets.iter_mut()) {
            let sequence = batch.wrapping_mul(100).wrapping_add(number);
            if packet[1] == 8 {
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            }
            phones[0].send_to(packet, relay).unwrap();
        }
        for _ in 0..packets.len() {
            phones[1].recv(&mut buffer).unwrap();
        }
    }
}

#[test]
fn no_turn_allocates() {
    // Fewer buffers than a batch has packets, so that receives starve and are armed again.
    let options = Options {
        buffers: 8,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let phones = [phone(), phone()];
        let remotes = [&phones[0], &phones[1]].map(|it| it.local_addr().ok());
        control.set_up(1, [port(first), port(first + 2)], remotes);
        let mut packets: Vec<_> = (0..BATCH).map(|_| rtp(1, 0)).collect();
        packets[7] = rtcp(1);
        packets[11] = vec![0, 1, 2, 3];
        talk(&phones, first, &mut packets, 50);

        let before = of_process();
        talk(&phones, first, &mut packets, 500);
        let allocations = of_process() - before;
        assert!(
            allocations < OTHERS_MAX,
            "{allocations}, {}",
            relay.driver()
        );
        let worker = control.worker(0);
        assert_eq!(worker.packets_out, 550 * BATCH as u64, "it was a test");
        no_packet_that_is_transcoded_allocates(relay);
    });
}

/// The same, of a worker and a codec thread.
fn no_packet_that_is_transcoded_allocates(relay: &TestRelay) {
    let mut control = relay.connect();
    let ports = [4, 6].map(|number| control.first_port() + number);
    let phones = [phone(), phone()];
    let remotes = [&phones[0], &phones[1]].map(|it| it.local_addr().ok());
    control.set_up(2, ports.map(port), remotes);
    let route = Route {
        from: Format::new(Codec::Pcma, 8, 20),
        to: Format::new(Codec::Gsm, 3, 20),
        opus: None,
        suppresses_silence: false,
        is_coded_anew: false,
    };
    let transcoding = Transcoding {
        routes: vec![route],
        rtcp: None,
    };
    let set = Command::SetTranscoding {
        call: CallKey(2),
        ingress: port(ports[0]),
        transcoding: Some(transcoding),
    };
    control.apply(0, vec![set]);
    let packets: Vec<_> = (0..250).map(|sequence| rtp(1, sequence)).collect();
    let (warm_up, others) = packets.split_at(50);
    let relay = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
    let talk = |packets: &[Vec<u8>]| {
        for packet in packets {
            phones[0].send_to(packet, relay).unwrap();
            assert_eq!(phones[1].recv(&mut [0; 2_000]).unwrap(), 12 + 33);
        }
    };
    talk(warm_up);
    let before = of_process();
    talk(others);
    let allocations = of_process() - before;
    assert!(allocations < OTHERS_MAX, "{allocations}");
}
