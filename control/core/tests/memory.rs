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
    Answer, CallStats, Command, Hello, Interface, Learning, PROTOCOL_VERSION, PortPartition, Reply,
    Request,
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
    seed: [7; 32],
};

/// Control, and a relay that says yes to everything.
struct World {
    control: Control,
    now: Now,
    cookies: u32,
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
                    let reply = agree(&request);
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
