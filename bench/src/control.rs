//! What a call costs control, with a relay that says yes to everything.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control_core::{Carrier, Client, Config, Control, Now, Output, Transcode};
use control_ng::{Command as Ng, Delete, Message, Negotiation, Request as NgRequest, Value};
use relay_wire::{
    Answer, CallStats, Command, EndpointStats, Hello, Interface, InterfaceId, PROTOCOL_VERSION,
    Port, PortPartition, Reply, Request, SourceStats,
};

use crate::{Operation, operation};

pub(crate) const OPERATIONS: [Operation; 4] = [
    operation("control-ng/read an offer", read_an_offer),
    operation("control-ng/write a reply", write_a_reply),
    operation("control-core/offer, answer and delete", call),
    operation("control-core/look at how 16 calls sound", look),
];

const SDP: &[u8] =
    b"v=0\r\no=- 3724394400 3724394401 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n\
t=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

/// From one call to the next: ports rest for a while before they are used again.
const STEP: Duration = Duration::from_millis(10);

/// From one look at how a call sounds to the next, and a little more.
const INTERVAL: Duration = Duration::from_secs(11);

fn read_an_offer() -> Box<dyn FnMut()> {
    let offer = Negotiation::new(b"a84b4c76e66710@192.0.2.1", b"1928301774", SDP)
        .received_from([192, 0, 2, 1].into())
        .replace_origin();
    let datagram = Ng::Offer(offer).encode(b"1_4711_17");
    Box::new(move || {
        let message = Message::split(black_box(&datagram)).expect("as encoded");
        let document = Value::parse(message.body).expect("as encoded");
        assert!(NgRequest::parse(&document).is_ok());
    })
}

fn write_a_reply() -> Box<dyn FnMut()> {
    Box::new(|| {
        let reply = control_ng::reply::ok().with("sdp", black_box(SDP));
        black_box(reply.encode(b"1_4711_17"));
    })
}

/// Offer, answer and delete of one call after the other.
fn call() -> Box<dyn FnMut()> {
    let mut world = World::new();
    Box::new(move || {
        world.number += 1;
        world.now.instant += STEP;
        world.now.unix_ms += 10;
        let call_id = format!("{}@192.0.2.1", world.number).into_bytes();
        let negotiation = || Negotiation::new(&call_id, b"caller", SDP).replace_origin();
        world.ask(0, &Ng::Offer(negotiation()));
        world.ask(1, &Ng::Answer(negotiation().to_tag(b"callee")));
        world.ask(
            2,
            &Ng::Delete(Delete {
                call_id: &call_id,
                from_tag: Some(b"caller"),
                delay_s: Some(0),
                ..Delete::default()
            }),
        );
        world.control.handle_timeout(world.now);
    })
}

/// Some calls that a worker tells of in one message, as time and again in the life of a call.
fn look() -> Box<dyn FnMut()> {
    let mut world = World::new();
    for number in 0..16 {
        world.number = number;
        let call_id = format!("{number}@192.0.2.1").into_bytes();
        let negotiation = || Negotiation::new(&call_id, b"caller", SDP).replace_origin();
        world.ask(0, &Ng::Offer(negotiation()));
        world.ask(1, &Ng::Answer(negotiation().to_tag(b"callee")));
    }
    Box::new(move || {
        world.now.instant += INTERVAL;
        world.now.unix_ms += 11_000;
        world.packets += 500;
        world.looks = 0;
        world.control.handle_timeout(world.now);
        world.settle();
        assert_eq!(world.looks, 16);
    })
}

struct World {
    control: Control,
    now: Now,
    client: Client,
    number: u64,
    /// What each stream has brought, and how often somebody asked.
    packets: u64,
    looks: usize,
}

impl World {
    fn new() -> Self {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut world = Self {
            control: Control::new(Config {
                media_timeout_s: 60,
                silent_timeout_s: 3_600,
                first_packet_timeout_s: 0,
                final_timeout_s: 0,
                delete_delay_s: 0,
                offer_timeout_s: 180,
                calls_max: 10_000,
                endpoint_learning: relay_wire::Learning::Heuristic,
                transcode: Transcode::WhenNeeded,
                tells_keys: false,
                tells_reports: false,
                quality_interval_s: 10,
                seed: [7; 32],
            }),
            now: Now {
                instant: Instant::now(),
                unix_ms: 1_700_000_000_000,
            },
            client: Client::new(Carrier::Datagram, address(20_000), address(2_223)),
            number: 0,
            packets: 0,
            looks: 0,
        };
        world.control.handle_relay_hello(
            world.now,
            Hello {
                version: PROTOCOL_VERSION,
                instance: 1,
                interfaces: vec![Interface {
                    name: "default".to_owned(),
                    address: [192, 0, 2, 9].into(),
                    advertised: None,
                    ports: None,
                }],
                partition: PortPartition::new(10_000, 59_999, 1).expect("a valid range"),
                idle_per_worker_max: 16_384,
                fingerprints: Vec::new(),
            },
        );
        world.settle();
        world
    }

    fn ask(&mut self, number: u64, command: &Ng<'_>) {
        let cookie = format!("{}_{number}", self.number);
        let datagram = command.encode(cookie.as_bytes());
        self.control
            .handle_request(self.now, self.client, &datagram);
        assert_eq!(self.settle(), 1, "one reply to each request");
    }

    /// Plays the relay until there is nothing to do; says how many datagrams were sent.
    fn settle(&mut self) -> usize {
        let mut sent = 0;
        while let Some(output) = self.control.poll_output() {
            match output {
                Output::Relay(request) => {
                    let asks = |it: &&Command| matches!(it, Command::QueryCall { .. });
                    self.looks += request.commands.iter().filter(asks).count();
                    let reply = agree(&request, self.packets);
                    self.control.handle_relay_reply(self.now, reply);
                }
                Output::Send { datagram, .. } => {
                    // Its end says so: to look through all of it would be a part of what is counted.
                    let is_ok = datagram.ends_with(b"6:result2:oke");
                    assert!(is_ok, "{}", String::from_utf8_lossy(&datagram));
                    sent += 1;
                }
                Output::Key(_) | Output::Load(_) | Output::Notice(_) | Output::Report(_) => {}
            }
        }
        sent
    }
}

fn agree(request: &Request, packets: u64) -> Reply {
    let answer = |command: &Command| match command {
        Command::QueryCall { call } => Answer::Call(CallStats {
            call: *call,
            endpoints: [10_000, 10_001, 10_002, 10_003]
                .map(|number| endpoint(number, packets))
                .to_vec(),
        }),
        Command::RemoveCall { call } => Answer::Call(CallStats {
            call: *call,
            endpoints: Vec::new(),
        }),
        Command::ListCalls { .. } => Answer::Calls {
            calls: Vec::new(),
            more: false,
        },
        _ => Answer::Done,
    };
    Reply {
        id: request.id,
        answers: request.commands.iter().map(answer).collect(),
        failure: None,
    }
}

/// The even ports are those of media.
fn endpoint(number: u16, packets: u64) -> EndpointStats {
    let media = (number.is_multiple_of(2)).then(|| SourceStats {
        ssrc: number.into(),
        payload_type: 8,
        packets,
        bytes: packets * 172,
        lost: packets / 100,
        reordered: 0,
        duplicates: 0,
        jitter_us: Some(1_500),
        last_sequence: 0,
        last_timestamp: 0,
    });
    EndpointStats {
        port: Port {
            interface: InterfaceId(0),
            number,
        },
        remote: None,
        learnt: true,
        ssrc: media.map(|it| it.ssrc),
        payload_type: media.map(|it| it.payload_type),
        idle_ms: Some(10),
        rtp_packets_in: media.map_or(0, |it| it.packets),
        rtp_bytes_in: 0,
        rtcp_packets_in: 0,
        rtcp_bytes_in: 0,
        packets_out: packets,
        bytes_out: 0,
        dropped: 0,
        sources: media.into_iter().collect(),
        round_trip_us: None,
        transcoding: None,
    }
}
