//! What control keeps of a call takes no more memory than it is worth: counted by the allocator
//! itself.
//!
//! There is room for a table's half of it that is empty, for the history of the call, and for the
//! replies, which are kept for half a minute in case that a request comes again.

use std::net::SocketAddr;
use std::time::Instant;

use control_core::{Carrier, Client, Config, Control, Now, Output, Transcode};
use control_ng::{Command as Ng, Delete, Negotiation};
use relay_wire::{
    Answer, CallStats, Command, EndpointStats, Hello, Interface, InterfaceId, Learning,
    PROTOCOL_VERSION, Port, PortPartition, Reply, Request, SourceStats,
};
use tandem_allocations::{Counting, bytes_of_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLS: u32 = 1_000;

/// Bytes of a call that was answered. README promises 8,000 together with the relay, which takes
/// more than half of it.
const CALL_BYTES_MAX: i64 = 2_600;

/// The same without the replies.
const CALL_BYTES_LATER_MAX: i64 = 1_800;

/// What is remembered of how two streams sounded, however long the call is.
const QUALITY_BYTES_MAX: i64 = 1_100;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 8000 RTP/AVP 0\r\na=ptime:20\r\na=sendrecv\r\n";

const CONFIG: Config = Config {
    media_timeout_s: 60,
    silent_timeout_s: 3_600,
    first_packet_timeout_s: 15,
    final_timeout_s: 0,
    delete_delay_s: 0,
    offer_timeout_s: 180,
    calls_max: 10_000,
    endpoint_learning: Learning::Heuristic,
    transcode: Transcode::WhenNeeded,
    tells_keys: false,
    tells_reports: false,
    quality_interval_s: 10,
    seed: [7; 32],
};

/// Control, and a relay that says yes to everything.
struct World {
    control: Control,
    now: Now,
    cookies: u32,
    /// What each stream has brought.
    packets: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            control: Control::new(CONFIG),
            now: Now {
                instant: start(),
                unix_ms: 1_700_000_000_000,
            },
            cookies: 0,
            packets: 0,
        };
        let hello = Hello {
            version: PROTOCOL_VERSION,
            instance: 1,
            interfaces: vec![Interface {
                name: "default".to_owned(),
                address: [192, 0, 2, 9].into(),
                advertised: None,
                ports: None,
            }],
            partition: PortPartition::new(10_000, 59_999, 1).unwrap(),
            idle_per_worker_max: 16_384,
            fingerprints: Vec::new(),
        };
        world.control.handle_relay_hello(world.now, hello);
        world.settle();
        world
    }

    fn ask(&mut self, command: &Ng<'_>) {
        self.cookies += 1;
        let datagram = command.encode(self.cookies.to_string().as_bytes());
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let client = Client::new(Carrier::Datagram, address(20_000), address(2_223));
        self.control.handle_request(self.now, client, &datagram);
        assert_eq!(self.settle(), 1, "one reply to each request");
    }

    /// Plays the relay until there is nothing to do; says how many datagrams were sent.
    fn settle(&mut self) -> usize {
        let mut sent = 0;
        while let Some(output) = self.control.poll_output() {
            match output {
                Output::Relay(request) => {
                    let reply = agree(&request, self.packets);
                    self.control.handle_relay_reply(self.now, reply);
                }
                Output::Send { datagram, .. } => {
                    let text = String::from_utf8_lossy(&datagram);
                    assert!(text.contains("6:result2:ok"), "{text}");
                    sent += 1;
                }
                Output::Key(_) | Output::Load(_) | Output::Notice(_) | Output::Report(_) => {}
            }
        }
        sent
    }

    /// Makes calls, each with a name of its own.
    fn call(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let id = format!("set-up-{number}@192.0.2.1");
            let it = || Negotiation::new(id.as_bytes(), b"caller", SDP.as_bytes()).replace_origin();
            self.ask(&Ng::Offer(it()));
            self.ask(&Ng::Answer(it().to_tag(b"callee")));
        }
    }

    fn end(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.ask(&Ng::Delete(Delete {
                call_id: format!("set-up-{number}@192.0.2.1").as_bytes(),
                from_tag: Some(b"caller"),
                delay_s: Some(0),
                ..Delete::default()
            }));
        }
    }

    /// Lets time pass in which everybody speaks and all calls are looked at.
    fn listen(&mut self) {
        self.packets += 500;
        let end = self.now.instant + std::time::Duration::from_secs(10);
        while let Some(due) = self.control.poll_timeout().filter(|due| *due <= end) {
            let due = due.max(self.now.instant);
            let passed = due.saturating_duration_since(self.now.instant);
            self.now.unix_ms += u64::try_from(passed.as_millis()).unwrap();
            self.now.instant = due;
            self.control.handle_timeout(self.now);
            self.settle();
        }
        let passed = end.saturating_duration_since(self.now.instant);
        self.now.unix_ms += u64::try_from(passed.as_millis()).unwrap();
        self.now.instant = end;
    }

    /// Lets time pass in which nobody asks anything but whether we are there.
    fn rest(&mut self) {
        for _ in 0..3 {
            self.now.instant += std::time::Duration::from_secs(31);
            self.now.unix_ms += 31_000;
            self.ask(&Ng::Delete(Delete {
                call_id: b"no such call",
                ..Delete::default()
            }));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "somewhere to count from; nothing is measured"
)]
fn start() -> Instant {
    Instant::now()
}

fn agree(request: &Request, packets: u64) -> Reply {
    let stats = |call| CallStats {
        call,
        endpoints: [10_000, 10_002]
            .map(|number| endpoint(number, packets))
            .to_vec(),
    };
    let answer = |command: &Command| match command {
        Command::RemoveCall { call } | Command::QueryCall { call } => Answer::Call(stats(*call)),
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

fn endpoint(number: u16, packets: u64) -> EndpointStats {
    EndpointStats {
        port: Port {
            interface: InterfaceId(0),
            number,
        },
        remote: None,
        learnt: true,
        ssrc: None,
        payload_type: None,
        idle_ms: None,
        rtp_packets_in: packets,
        rtp_bytes_in: 0,
        rtcp_packets_in: 0,
        rtcp_bytes_in: 0,
        packets_out: 0,
        bytes_out: 0,
        dropped: 0,
        sources: vec![SourceStats {
            ssrc: number.into(),
            payload_type: 8,
            packets,
            bytes: 0,
            lost: packets / 50,
            reordered: 0,
            duplicates: 0,
            jitter_us: Some(1_500),
            last_sequence: 0,
            last_timestamp: 0,
        }],
        round_trip_us: Some(20_000),
        transcoding: None,
    }
}

/// Bytes that are held for each of `CALLS` calls since then.
fn each_since(before: i64) -> i64 {
    (bytes_of_thread() - before) / i64::from(CALLS)
}

#[test]
fn a_call_takes_no_more_memory_than_it_may() {
    let mut world = World::new();
    world.call(0..10);
    world.end(0..10);
    let before = bytes_of_thread();
    world.call(0..CALLS);
    let at_once = each_since(before);
    world.rest();
    let later = each_since(before);
    println!("bytes of a call: {at_once} at once, {later} when its replies are forgotten");
    assert!(at_once <= CALL_BYTES_MAX, "{at_once} bytes at once");
    assert!(later <= CALL_BYTES_LATER_MAX, "{later} bytes later");
}

#[test]
fn what_is_remembered_of_how_a_call_sounded_is_bounded() {
    let mut world = World::new();
    world.call(0..10);
    world.end(0..10);
    let before = bytes_of_thread();
    world.call(0..CALLS);
    world.rest();
    let unheard = each_since(before);
    let mut grown = [0; 2];
    for grown in &mut grown {
        for _ in 0..40 {
            world.listen();
        }
        *grown = each_since(before) - unheard;
    }
    println!("bytes of a call for how it sounded: {grown:?}");
    assert!(grown[0] > 300, "{grown:?}: it was looked at");
    assert!(grown[1] <= QUALITY_BYTES_MAX, "{grown:?}");
}
