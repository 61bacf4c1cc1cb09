//! A worker turn by turn, on both drivers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use relay_core::Limits;
use relay_dtls::Identity;
use relay_wire::{
    CallKey, CallStats, Codec, Format, Learning, PortPartition, Refusal, Reply, Request, Route,
    Sink, Transcoding, WorkerId, WorkerStats, decode,
};
use tandem_settings::Driver;

use super::*;
use crate::copier::Inlet;
use crate::dtls::Hall;
use crate::io::UringSize;
use crate::mailbox::{ConnectionId, Incoming, ReplyTo};
use crate::transcoding::{Pool, PoolLimits};
use crate::wake::Wake;

/// Receive buffers: few, so that they run out.
const BUFFERS: u16 = 4;

struct Bench {
    worker: Worker,
    /// Its threads do not run.
    pool: Arc<Pool>,
    mailbox: Arc<Mailbox>,
    from: ReplyTo,
    control: UnixDatagram,
    now: Instant,
}

impl Bench {
    /// `None`, and said so, where io_uring does not work.
    fn new(driver: Driver) -> Option<Self> {
        let wake = Arc::new(Wake::new().unwrap());
        let inlets = Copier::inlets(std::slice::from_ref(&wake));
        Self::one_of(driver, (0, 1), wake, inlets)
    }

    /// Two workers that know of each other.
    fn pair(driver: Driver) -> Option<[Self; 2]> {
        let wakes = [(); 2].map(|()| Arc::new(Wake::new().unwrap()));
        let inlets = Copier::inlets(&wakes);
        let [first, second] = wakes;
        let first = Self::one_of(driver, (0, 2), first, Arc::clone(&inlets))?;
        Some([first, Self::one_of(driver, (1, 2), second, inlets)?])
    }

    fn one_of(
        driver: Driver,
        (worker, workers): (u8, u8),
        wake: Arc<Wake>,
        inlets: Arc<[Inlet]>,
    ) -> Option<Self> {
        let link_wake = Arc::new(Wake::new().unwrap());
        let size = UringSize::with_buffers(BUFFERS);
        let io = match Io::open(driver, size, 64, 0, Arc::clone(&wake)) {
            Ok((io, _)) => io,
            Err(error) if driver == Driver::Uring => {
                eprintln!("SKIPPED on uring: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let relay = Relay::new(Limits {
            worker: WorkerId(worker),
            partition: PortPartition::new(13_000, 13_999, workers).unwrap(),
            interfaces: vec![address],
            calls_max: 100,
            endpoints_max: 64,
            idle_max: 10,
        });
        let limits = PoolLimits {
            threads: 1,
            flows_max: 4,
            refuses_when_busy: true,
        };
        let (pool, _) = Pool::new(limits, std::slice::from_ref(&wake)).unwrap();
        let transcoder = Transcoder::new(0, Arc::clone(&pool));
        let copier = Copier::new(worker, inlets);
        let wakes = vec![Arc::clone(&wake); workers.into()];
        // Its thread does not run.
        let (hall, _) = Hall::new(Identity::new().unwrap(), 0, &wakes).unwrap();
        let shaker = Shaker::new(worker, hall);
        let mailbox = Arc::new(Mailbox::new(wake, link_wake));
        let places = vec![Place { address, tos: 0 }];
        let (ours, control) = UnixDatagram::pair().unwrap();
        Some(Self {
            worker: Worker::new(
                relay,
                io,
                (transcoder, copier, shaker),
                Arc::clone(&mailbox),
                places,
            ),
            pool,
            mailbox,
            from: ReplyTo {
                connection: ConnectionId(1),
                socket: Arc::new(ours.into()),
            },
            control,
            now: Instant::now(),
        })
    }

    /// One turn, in which something happens when media has been read and before control is served.
    fn turn(&mut self, between: impl FnOnce()) {
        self.worker.io.wait(self.now, Some(Duration::ZERO)).unwrap();
        self.worker.serve_media(self.now);
        between();
        self.worker.serve_control(self.now);
        self.worker.io.flush().unwrap();
    }

    fn apply(&mut self, commands: Vec<Command>, between: impl FnOnce()) -> Reply {
        let incoming = Incoming {
            from: self.from.clone(),
            request: Request {
                id: 1,
                worker: WorkerId(0),
                commands,
            },
        };
        self.mailbox.ask(incoming).unwrap();
        self.turn(between);
        let mut bytes = vec![0; 10_000];
        let len = self.control.recv(&mut bytes).unwrap();
        match decode(&bytes[..len]).unwrap() {
            FromRelay::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// A call at any port that nobody has.
    fn first_call(&mut self) -> u16 {
        self.first_call_from(13_000)
    }

    /// The same from some port on.
    fn first_call_from(&mut self, first: u16) -> u16 {
        let numbers = (first..14_000).step_by(2);
        for (call, number) in (1_000..).zip(numbers) {
            let reply = self.apply(call_at(call, number), || {});
            if reply.failure.is_none() {
                self.apply(vec![remove(call)], || {});
                return number;
            }
            self.apply(vec![remove(call)], || {});
        }
        panic!("all ports are taken");
    }

    fn call(&mut self, call: u64) -> CallStats {
        let call = CallKey(call);
        let reply = self.apply(vec![Command::QueryCall { call }], || {});
        match &reply.answers[..] {
            [Answer::Call(stats)] => stats.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn counter(&mut self, name: &str) -> u64 {
        let reply = self.apply(vec![Command::QueryWorker], || {});
        let [Answer::Worker(WorkerStats { counters, .. })] = &reply.answers[..] else {
            panic!("{reply:?}");
        };
        let counter = counters.iter().find(|(it, _)| it == name);
        counter.unwrap_or_else(|| panic!("no counter {name}")).1
    }
}

/// A call that believes whoever comes first.
fn call_at(call: u64, number: u16) -> Vec<Command> {
    let (call, interface) = (CallKey(call), InterfaceId(0));
    let port = Port { interface, number };
    vec![
        Command::CreateCall {
            call,
            media_timeout_ms: 0,
            record: Vec::new(),
        },
        Command::OpenEndpoint {
            call,
            port,
            tos: None,
        },
        Command::SetRemote {
            call,
            port,
            remote: None,
            learning: Learning::Immediate,
        },
    ]
}

fn remove(call: u64) -> Command {
    let call = CallKey(call);
    Command::RemoveCall { call }
}

fn send(phone: &UdpSocket, port: u16, packets: usize) {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for _ in 0..packets {
        phone.send_to(&[0x80; 172], to).unwrap();
    }
}

/// Stale packets come while the call is being made, and before: some of them have been read when it
/// is made, and some wait in the kernel, since there are no more buffers.
fn expect_no_stale_packet(driver: Driver, before: usize, during: usize) {
    let Some(mut bench) = Bench::new(driver) else {
        return;
    };
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let number = bench.first_call();
    for call in 1..20 {
        bench.turn(|| {});
        send(&phone, number, before);
        let reply = bench.apply(call_at(call, number), || send(&phone, number, during));
        assert_eq!(reply.failure, None);
        for _ in 0..10 {
            bench.turn(|| {});
        }
        let stats = bench.call(call).endpoints.remove(0);
        assert_eq!((stats.rtp_packets_in, stats.dropped), (0, 0));
        assert!(!stats.learnt, "it would be sent what the new call says");
        let lost = u64::try_from(before + during).unwrap() * call;
        assert_eq!(bench.counter("dropped_idle_port"), lost, "all are counted");
        // The port is not deaf.
        send(&phone, number, 1);
        for _ in 0..2 {
            bench.turn(|| {});
        }
        assert!(bench.call(call).endpoints[0].learnt);
        bench.apply(vec![remove(call)], || {});
        assert_eq!(bench.counter("ports_reused"), call);
    }
}

#[test]
fn no_packet_of_an_old_call_reaches_the_next_at_its_port() {
    for driver in [Driver::Poll, Driver::Uring] {
        for (before, during) in [(0, 3), (3, 0), (60, 0), (60, 3)] {
            expect_no_stale_packet(driver, before, during);
        }
    }
}

/// What a restart of the relay leaves of a call, as control installs it: all in one request.
fn transcoded_call_at(call: u64, number: u16) -> Vec<Command> {
    let mut commands = call_at(call, number);
    commands.push(transcode(call, number));
    commands
}

fn transcode(call: u64, number: u16) -> Command {
    let route = Route {
        from: Format::new(Codec::Pcma, 8, 20),
        to: Format::new(Codec::Gsm, 3, 20),
        opus: None,
        suppresses_silence: false,
        is_coded_anew: false,
    };
    Command::SetTranscoding {
        call: CallKey(call),
        ingress: Port {
            interface: InterfaceId(0),
            number,
        },
        transcoding: Some(Transcoding {
            routes: vec![route],
            rtcp: None,
        }),
    }
}

#[test]
fn too_much_to_do_keeps_new_calls_away_but_not_those_that_are_restored() {
    let Some(mut bench) = Bench::new(Driver::Poll) else {
        return;
    };
    let number = bench.first_call();
    bench.pool.fill();
    let overload = CommandError::Refused(Refusal::Overload);
    // Offer and answer of a new call are two requests.
    assert_eq!(bench.apply(call_at(1, number), || {}).failure, None);
    let refused = bench.apply(vec![transcode(1, number)], || {}).failure;
    assert_eq!(refused.expect("a failure").error, overload);
    bench.apply(vec![remove(1)], || {});
    let restored = bench.apply(transcoded_call_at(2, number), || {});
    assert_eq!(restored.failure, None);
    assert_eq!(bench.counter("transcode_flows"), 1);
    // As many as there were before fit, and no more.
    bench.apply(vec![remove(2)], || {});
    for call in 3..6 {
        let commands = transcoded_call_at(call, number);
        assert_eq!(bench.apply(commands, || {}).failure, None);
        bench.apply(vec![remove(call)], || {});
    }
    let refused = bench.apply(transcoded_call_at(6, number), || {}).failure;
    assert_eq!(refused.expect("a failure").error, overload);
}

/// A packet leaves by a worker that it did not come to, and by its own.
fn expect_copies(driver: Driver) {
    let Some([mut ours, mut theirs]) = Bench::pair(driver) else {
        return;
    };
    let [alice, bob, carol] = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let interface = InterfaceId(0);
    let at_alice = ours.first_call_from(13_000);
    assert_eq!(ours.apply(call_at(1, at_alice), || {}).failure, None);
    let at_bob = ours.first_call_from(at_alice + 2);
    let at_carol = theirs.first_call_from(13_500);
    for (bench, call, number, phone) in [
        (&mut ours, 2, at_bob, &bob),
        (&mut theirs, 3, at_carol, &carol),
    ] {
        let mut commands = call_at(call, number);
        commands.push(Command::SetRemote {
            call: CallKey(call),
            port: Port { interface, number },
            remote: Some(phone.local_addr().unwrap()),
            learning: Learning::Off,
        });
        assert_eq!(bench.apply(commands, || {}).failure, None);
    }
    let sink = |(call, number)| Sink {
        call: CallKey(call),
        rtp: Some(Port { interface, number }),
        rtcp: None,
        is_remade: false,
        is_sealed: false,
    };
    let reply = ours.apply(
        vec![Command::SetSinks {
            call: CallKey(1),
            ingress: Port {
                interface,
                number: at_alice,
            },
            sinks: [(2, at_bob), (3, at_carol)].map(sink).to_vec(),
        }],
        || {},
    );
    assert_eq!(reply.failure, None);
    // More than there are buffers.
    const PACKETS: usize = 40;
    send(&alice, at_alice, PACKETS);
    let mut heard = [0; 2];
    let ends = [(&bob, at_bob), (&carol, at_carol)];
    for (phone, _) in ends {
        phone.set_nonblocking(true).unwrap();
    }
    while heard != [PACKETS; 2] {
        ours.turn(|| {});
        theirs.turn(|| {});
        for ((phone, port), heard) in ends.iter().zip(&mut heard) {
            let mut packet = [0; 200];
            while let Ok((len, from)) = phone.recv_from(&mut packet) {
                assert_eq!((len, from.port()), (172, *port));
                *heard += 1;
            }
        }
    }
    assert_eq!(ours.counter("packets_copied_only"), PACKETS as u64);
    assert_eq!(theirs.counter("copies_sent"), PACKETS as u64);
    assert_eq!(ours.counter("copies_unsent"), 0);
}

#[test]
fn what_comes_to_one_worker_leaves_by_several() {
    for driver in [Driver::Poll, Driver::Uring] {
        expect_copies(driver);
    }
}
