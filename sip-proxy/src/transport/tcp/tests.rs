//! Connections against peers that misbehave.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::*;

const MESSAGE: &[u8] = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n";
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_millis(300);

const LIMITS: Limits = Limits {
    connections_max: 8,
    message_deadline: DEADLINE,
    idle_timeout: Duration::from_secs(3),
};

/// A connection, both ends of it, and what its task tells.
struct Pair {
    peer: TcpStream,
    connections: Connections,
    events: mpsc::Receiver<Event>,
}

impl Pair {
    async fn new(limits: Limits) -> Self {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let (mut connections, events) = Connections::new(limits);
        connections.accept(ListenerId(0), stream, address);
        Self {
            peer,
            connections,
            events,
        }
    }

    async fn next(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn expect_message(&mut self) {
        assert!(matches!(self.next().await, Event::Message { bytes, .. } if bytes == MESSAGE));
    }

    async fn expect_closed(&mut self) -> Vec<Destination> {
        match self.next().await {
            Event::Closed(closed) => {
                assert!(self.connections.remove(closed.id));
                assert_eq!(self.connections.len(), 0);
                closed.unsent
            }
            Event::Message { .. } => panic!("a message came"),
        }
    }
}

fn destination(address: SocketAddr) -> Destination {
    Destination {
        listener: ListenerId(0),
        address,
        connection: None,
    }
}

#[tokio::test]
async fn a_stranger_that_says_nothing_is_closed() {
    let mut pair = Pair::new(LIMITS).await;
    let start = Instant::now();
    // Pings are no reason to stay.
    while pair.peer.write_all(b"\r\n\r\n").await.is_ok() && pair.events.is_empty() {
        tokio::time::sleep(DEADLINE / 10).await;
        assert!(start.elapsed() < PATIENCE);
    }
    pair.expect_closed().await;
}

#[tokio::test]
async fn a_message_that_trickles_in_is_not_waited_for() {
    let mut pair = Pair::new(LIMITS).await;
    pair.peer.write_all(MESSAGE).await.unwrap();
    pair.expect_message().await;
    let start = Instant::now();
    let mut pieces = MESSAGE.iter().cycle();
    // Never a whole message: the header's end does not come.
    while pair.events.is_empty() {
        let piece = *pieces.next().unwrap();
        let byte = if piece == b'\r' || piece == b'\n' {
            b'x'
        } else {
            piece
        };
        let _ = pair.peer.write_all(&[byte]).await;
        tokio::time::sleep(DEADLINE / 20).await;
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(start.elapsed() >= DEADLINE);
    pair.expect_closed().await;
}

#[tokio::test]
async fn a_known_peer_may_be_silent_between_messages() {
    let mut pair = Pair::new(LIMITS).await;
    pair.peer.write_all(MESSAGE).await.unwrap();
    pair.expect_message().await;
    tokio::time::sleep(2 * DEADLINE).await;
    pair.peer.write_all(MESSAGE).await.unwrap();
    pair.expect_message().await;
    // … but not for ever.
    let start = Instant::now();
    pair.expect_closed().await;
    assert!(start.elapsed() >= LIMITS.idle_timeout);
}

#[tokio::test]
async fn what_could_not_be_sent_is_told() {
    let (mut connections, events) = Connections::new(LIMITS);
    // A port that was free a moment ago: nobody listens there.
    let free = TcpListener::bind((LOCAL, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    connections
        .send(destination(free), LOCAL, MESSAGE.to_vec())
        .unwrap();
    connections
        .send(destination(free), LOCAL, MESSAGE.to_vec())
        .unwrap();
    assert_eq!(connections.counters.connected, 1, "one connection for both");
    let peer = TcpStream::connect(
        TcpListener::bind((LOCAL, 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap(),
    )
    .await
    .unwrap();
    let mut pair = Pair {
        peer,
        connections,
        events,
    };
    assert_eq!(pair.expect_closed().await, [destination(free); 2]);
}

#[tokio::test]
async fn messages_to_one_peer_keep_their_order_from_before_it_is_connected() {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let to = destination(listener.local_addr().unwrap());
    let (mut connections, _events) = Connections::new(LIMITS);
    for number in 0..100_u8 {
        connections.send(to, LOCAL, vec![number]).unwrap();
    }
    let (mut peer, _) = listener.accept().await.unwrap();
    let mut received = [0; 100];
    timeout(PATIENCE, peer.read_exact(&mut received))
        .await
        .unwrap()
        .unwrap();
    assert!(received.is_sorted());
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_dropped_and_not_waited_for() {
    let mut pair = Pair::new(LIMITS).await;
    let to = destination(pair.peer.local_addr().unwrap());
    let mut sent = 0;
    let error = loop {
        match pair.connections.send(to, LOCAL, vec![0; 60_000]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, SendError::Overflow(ConnectionId(0)));
    assert!(sent <= QUEUE_LEN_MAX && pair.connections.len() == 0);
}

#[tokio::test]
async fn no_more_connections_are_opened_than_allowed() {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut connections, _events) = Connections::new(LIMITS);
    let to = |last: u8| destination(SocketAddr::from(([127, 0, 0, last], port)));
    for last in 1..=8 {
        connections.send(to(last), LOCAL, MESSAGE.to_vec()).unwrap();
    }
    assert_eq!(
        connections.send(to(9), LOCAL, MESSAGE.to_vec()),
        Err(SendError::Full)
    );
    assert_eq!(connections.counters.refused_full, 1);
}
