//! A relay played by the test, at the other end of the socket.

use std::future::poll_fn;
use std::os::fd::OwnedFd;

use relay_wire::{CallKey, Command, PortPartition, WorkerId};
use rustix::net::{accept, bind, listen};
use tempfile::TempDir;
use tokio::time::timeout;

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
    })
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

async fn next(link: &mut RelayLink) -> LinkEvent {
    let event = poll_fn(|context| link.poll_event(context));
    timeout(PATIENCE, event).await.expect("something happens")
}

/// Lets the link do what it can do now; nothing must come of it.
async fn settle(link: &mut RelayLink) {
    let event = poll_fn(|context| link.poll_event(context));
    let event = timeout(Duration::from_millis(200), event).await;
    assert!(event.is_err(), "{event:?}");
}

#[tokio::test]
async fn a_relay_that_comes_back_is_greeted_again() {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    for _ in 0..3 {
        settle(&mut link).await;
        let socket = relay.accept();
        say(&socket, &hello());
        assert!(matches!(next(&mut link).await, LinkEvent::Hello(hello) if hello.instance == 7));
        drop(socket);
        assert!(matches!(next(&mut link).await, LinkEvent::Lost));
    }
}

#[tokio::test]
async fn a_relay_that_is_not_there_yet_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.sock");
    let mut link = RelayLink::new(&path);
    settle(&mut link).await;
    let listener = FakeRelay::listen(&path);
    settle(&mut link).await;
    let relay = FakeRelay { folder, listener };
    say(&relay.accept(), &hello());
    assert!(matches!(next(&mut link).await, LinkEvent::Hello(_)));
}

#[tokio::test]
async fn a_relay_of_another_version_is_not_talked_to() {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    for _ in 0..2 {
        settle(&mut link).await;
        let version = PROTOCOL_VERSION + 1;
        say(&relay.accept(), &FromRelay::VersionMismatch { version });
        settle(&mut link).await;
        sleep(RETRY_MAX).await;
    }
    assert!(link.has_complained);
}

#[tokio::test]
async fn what_is_said_before_the_greeting_breaks_the_connection() {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    settle(&mut link).await;
    let socket = relay.accept();
    send(&socket, b"\xff\xff", SendFlags::empty()).unwrap();
    settle(&mut link).await;
    let end = recv(&socket, &mut [0; 1][..], RecvFlags::empty());
    assert_eq!(end.map(|(len, _)| len), Ok(0), "closed");
}

/// More than the socket holds, to a relay that does not read for a while.
#[tokio::test]
async fn requests_wait_for_a_slow_relay_and_keep_their_order() {
    let relay = FakeRelay::new();
    let mut link = relay.link();
    settle(&mut link).await;
    let socket = relay.accept();
    say(&socket, &hello());
    next(&mut link).await;
    let requests: Vec<_> = (0..200).map(|id| request(id, 20_000)).collect();
    for request in &requests {
        link.send(request.clone());
    }
    settle(&mut link).await;
    let waiting = |link: &RelayLink| link.connection.as_ref().unwrap().outgoing.len();
    assert!(waiting(&link) > 0, "the socket does not hold them all");
    let reader = tokio::task::spawn_blocking(move || {
        let received: Vec<_> = (0..200).map(|_| receive(&socket)).collect();
        (socket, received)
    });
    let both = async {
        tokio::select! {
            event = poll_fn(|context| link.poll_event(context)) => panic!("{event:?}"),
            read = reader => read.unwrap(),
        }
    };
    let (_socket, received) = timeout(PATIENCE, both).await.expect("all are sent");
    let sent: Vec<_> = requests.into_iter().map(ToRelay::Request).collect();
    assert!(received == sent, "each of them, in their order");
    assert_eq!(waiting(&link), 0);
}
