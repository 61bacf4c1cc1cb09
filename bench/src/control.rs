//! What a call costs control, with a relay that says yes to everything.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control_core::{Carrier, Client, Config, Control, Now, Output, Transcode};
use control_ng::{Command as Ng, Delete, Message, Negotiation, Request as NgRequest, Value};
use relay_wire::{
    Answer, CallStats, Command, Hello, Interface, PROTOCOL_VERSION, PortPartition, Reply, Request,
};

use crate::{Operation, operation};

pub(crate) const OPERATIONS: [Operation; 3] = [
    operation("control-ng/read an offer", read_an_offer),
    operation("control-ng/write a reply", write_a_reply),
    operation("control-core/offer, answer and delete", call),
];

const SDP: &[u8] =
    b"v=0\r\no=- 3724394400 3724394401 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n\
t=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

/// From one call to the next: ports rest for a while before they are used again.
const STEP: Duration = Duration::from_millis(10);

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

struct World {
    control: Control,
    now: Now,
    client: Client,
    number: u64,
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
                seed: [7; 32],
            }),
            now: Now {
                instant: Instant::now(),
                unix_ms: 1_700_000_000_000,
            },
            client: Client::new(Carrier::Datagram, address(20_000), address(2_223)),
            number: 0,
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
                    let reply = agree(&request);
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

fn agree(request: &Request) -> Reply {
    let answer = |command: &Command| match command {
        Command::RemoveCall { call } | Command::QueryCall { call } => Answer::Call(CallStats {
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
