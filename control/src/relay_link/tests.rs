//! A relay played by the test, at the other end of the socket.

use std::thread;

use relay_wire::{CallKey, Command, PortPartition, WorkerId, decode, encode};
use rustix::event::{PollFd, Timespec, poll};
use rustix::net::{accept, bind, listen};
use tempfile::TempDir;

use super::*;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A relay as far as its socket goes.
struct FakeRelay {
    folder: TempDir,
    listener: OwnedFd,
}

impl FakeRelay {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let listener = Self::listen(&folder.path().join("relay.sock"));
        Self { folder, listener }
    }

    fn listen(path: &Path) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC;
        let family = AddressFamily::UNIX;
        let socket = socket_with(family, SocketType::SEQPACKET, flags, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        listen(&socket, 8).unwrap();
        socket
    }

    fn link(&self) -> RelayLink {
        RelayLink::new(&self.folder.path().join("relay.sock"))
    }

    /// Takes the connection that waits, whose greeting must be right.
    fn accept(&self) -> OwnedFd {
        let socket = accept(&self.listener).unwrap();
        let version = PROTOCOL_VERSION;
        assert_eq!(receive(&socket), ToRelay::Hello { version });
        socket
    }
}

fn receive(socket: &OwnedFd) -> ToRelay {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let (len, _) = recv(socket, &mut buffer[..], RecvFlags::empty()).unwrap();
    decode(&buffer[..len]).unwrap()
}

fn say(socket: &OwnedFd, message: &FromRelay) {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    send(socket, &bytes, SendFlags::empty()).unwrap();
}

fn hello() -> FromRelay {
    FromRelay::Hello(Hello {
        version: PROTOCOL_VERSION,
        instance: 7,
        interfaces: Vec::new(),
        partition: PortPartition::new(30_000, 30_099, 1).unwrap(),
        idle_per_worker_max: 0,
        fingerprints: Vec::new(),
    })
}

/// A relay and a link to it that have greeted each other.
fn connected() -> (FakeRelay, RelayLink, OwnedFd) {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    settle(&mut link);
    let socket = relay.accept();
    say(&socket, &hello());
    next(&mut link);
    (relay, link, socket)
}

fn request(id: u32, bytes: usize) -> Request {
    let set_record = Command::SetRecord {
        call: CallKey(1),
        record: vec![7; bytes],
    };
    Request {
        id,
        worker: WorkerId(0),
        commands: vec![set_record],
    }
}

/// Runs a link for so long, or until something happens.
fn run(link: &mut RelayLink, time: Duration) -> Option<LinkEvent> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let now = Instant::now();
        link.handle_timeout(now);
        link.flush();
        if let Some(event) = link.receive(now) {
            return Some(event);
        }
        let due = link.poll_timeout(now).map_or(until, |due| due.min(until));
        let wait = Timespec::try_from(due.saturating_duration_since(now)).unwrap();
        let interest = link.interest();
        let mut fds: Vec<_> = interest
            .iter()
            .map(|(socket, flags)| PollFd::from_borrowed_fd(*socket, *flags))
            .collect();
        poll(&mut fds, Some(&wait)).unwrap();
    }
    None
}

fn next(link: &mut RelayLink) -> LinkEvent {
    run(link, PATIENCE).expect("something happens")
}

/// Lets the link do what it can do now; nothing must come of it.
fn settle(link: &mut RelayLink) {
    let event = run(link, Duration::from_millis(200));
    assert!(event.is_none(), "{event:?}");
}

#[test]
fn a_relay_that_comes_back_is_greeted_again() {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    for _ in 0..3 {
        settle(&mut link);
        let socket = relay.accept();
        say(&socket, &hello());
        assert!(matches!(next(&mut link), LinkEvent::Hello(hello) if hello.instance == 7));
        drop(socket);
        assert!(matches!(next(&mut link), LinkEvent::Lost));
    }
}

#[test]
fn a_relay_that_is_not_there_yet_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.sock");
    let mut link = RelayLink::new(&path);
    settle(&mut link);
    let listener = FakeRelay::listen(&path);
    settle(&mut link);
    let relay = FakeRelay { folder, listener };
    say(&relay.accept(), &hello());
    assert!(matches!(next(&mut link), LinkEvent::Hello(_)));
}

#[test]
fn a_relay_of_another_version_is_not_talked_to() {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    for _ in 0..2 {
        settle(&mut link);
        let version = PROTOCOL_VERSION + 1;
        say(&relay.accept(), &FromRelay::VersionMismatch { version });
        settle(&mut link);
        thread::sleep(RETRY_MAX);
    }
    assert!(link.has_complained);
}

#[test]
fn what_is_said_before_the_greeting_breaks_the_connection() {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    settle(&mut link);
    let socket = relay.accept();
    send(&socket, b"\xff\xff", SendFlags::empty()).unwrap();
    settle(&mut link);
    let end = recv(&socket, &mut [0; 1][..], RecvFlags::empty());
    assert_eq!(end.map(|(len, _)| len), Ok(0), "closed");
}

/// More than the socket holds, to a relay that does not read for a while.
#[test]
fn requests_wait_for_a_slow_relay_and_keep_their_order() {
    let (_relay, mut link, socket) = connected();
    let requests: Vec<_> = (0..200).map(|id| request(id, 20_000)).collect();
    for request in &requests {
        link.send(request.clone());
    }
    settle(&mut link);
    let waiting = |link: &RelayLink| link.connection.as_ref().unwrap().outgoing.len();
    assert!(waiting(&link) > 0, "the socket does not hold them all");
    let reader = thread::spawn(move || {
        let received: Vec<_> = (0..200).map(|_| receive(&socket)).collect();
        (socket, received)
    });
    let until = Instant::now() + PATIENCE;
    while waiting(&link) > 0 {
        settle(&mut link);
        assert!(Instant::now() < until, "all are sent");
    }
    let (_socket, received) = reader.join().unwrap();
    let sent: Vec<_> = requests.into_iter().map(ToRelay::Request).collect();
    assert!(received == sent, "each of them, in their order");
}

#[test]
fn requests_of_a_turn_leave_together_and_so_may_replies_come() {
    let (_relay, mut link, socket) = connected();
    for id in 0..3 {
        link.send(request(id, 10));
    }
    link.flush();
    let mut packet = vec![0; MESSAGE_BYTES_MAX];
    let (len, _) = recv(&socket, &mut packet[..], RecvFlags::empty()).unwrap();
    let mut rest = &packet[..len];
    for id in 0..3 {
        let (message, more) = decode_first::<ToRelay>(rest).unwrap();
        assert_eq!(message, ToRelay::Request(request(id, 10)));
        rest = more;
    }
    assert_eq!(rest, [] as [u8; 0]);

    packet.clear();
    for id in 0..3 {
        let reply = Reply {
            id,
            answers: Vec::new(),
            failure: None,
        };
        append(&FromRelay::Reply(reply), &mut packet);
    }
    send(&socket, &packet, SendFlags::empty()).unwrap();
    for id in 0..3 {
        assert!(matches!(next(&mut link), LinkEvent::Reply(reply) if reply.id == id));
        assert_eq!(link.has_unread(), id < 2);
    }
}

/// However long they are, no packet is too long.
#[test]
fn long_requests_leave_one_by_one() {
    let (_relay, mut link, socket) = connected();
    let sizes = [10_000, 125_000, 10, 16_000, 16_000];
    for (id, size) in (0..).zip(sizes) {
        link.send(request(id, size));
    }
    let mut ids = Vec::new();
    while ids.len() < sizes.len() {
        link.flush();
        let mut packet = vec![0; 2 * MESSAGE_BYTES_MAX];
        let (len, _) = recv(&socket, &mut packet[..], RecvFlags::empty()).unwrap();
        let mut rest = &packet[..len];
        while !rest.is_empty() {
            let (message, more) = decode_first(rest).expect("a packet is not too long");
            let ToRelay::Request(request) = message else {
                panic!("{message:?}");
            };
            ids.push(request.id);
            rest = more;
        }
    }
    assert_eq!(ids, [0, 1, 2, 3, 4]);
}
