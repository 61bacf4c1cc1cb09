//! Who is slow, asks too much, or reads nothing, and what that may cost.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[test]
fn a_peer_that_is_idle_or_slow_is_closed() {
    let server = Server::start(&NgConfig {
        idle_timeout: Some(Duration::from_millis(50)),
        ..config()
    });
    for begun in [&b""[..], b"c", b"c d3:sdp9:v="] {
        let mut stream = connect(server.tcp);
        stream.write_all(begun).unwrap();
        assert_eq!(read_all(&mut stream), b"");
    }
    // One that goes on sending a byte at a time gets no more time for it.
    let mut stream = connect(server.tcp);
    let mut writer = stream.try_clone().unwrap();
    thread::spawn(move || {
        let drip = b"c d3:sdp60000:".iter().chain([b'x'; 60_000].iter());
        for byte in drip {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("all of it was taken");
    });
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(server.count(|it| &it.idle), 4);
    for begun in [
        "",
        "POST /ng HT",
        "POST /ng HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nc",
    ] {
        let mut stream = connect(server.http);
        stream.write_all(begun.as_bytes()).unwrap();
        let answer = read_all(&mut stream);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"),
            "{begun}"
        );
    }
}

/// Whether a connection without an idle time-out is still there a minute after this has come.
async fn lasts(link: &Arc<Link>, parts: &[&[u8]]) -> bool {
    let place = Place::take(link, Access::All).unwrap();
    let peer = link.join(client(9), Spoken::Tcp);
    let (near, mut far) = tokio::io::duplex(64);
    let serve = crate::listeners::tcp::serve(place, peer, near);
    let server = tokio::spawn(serve);
    for part in parts {
        far.write_all(part).await.unwrap();
        tokio::time::sleep(MESSAGE_TIME / 2).await;
    }
    let lasts = timeout(6 * MESSAGE_TIME, far.read_u8()).await.is_err();
    drop(far);
    server.await.unwrap();
    lasts
}

#[test]
fn white_space_begins_no_message_that_would_have_to_end() {
    let server = Server::start(&NgConfig {
        idle_timeout: None,
        ..config()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        assert!(lasts(&server.link, &[]).await);
        assert!(lasts(&server.link, &[b"\r\n"]).await);
        assert!(lasts(&server.link, &[b"\r\n", b" ", b"\n"]).await);
        assert!(!lasts(&server.link, &[b"\r\nc"]).await);
        assert!(!lasts(&server.link, &[b" ", b"c d"]).await);
    });
    assert_eq!(server.count(|it| &it.idle), 2);
}

/// Writes until the server has had enough of it, and reads nothing.
fn flood(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let error = loop {
        if let Err(error) = stream.write_all(bytes) {
            break error;
        }
    };
    assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "it is still there");
}

#[test]
fn who_asks_and_does_not_read_is_closed_and_counted() {
    let server = Server::start(&NgConfig {
        idle_timeout: Some(Duration::from_millis(200)),
        ..config()
    });
    flood(&mut connect(server.tcp), &PING.repeat(1_000));
    server.wait_for(|it| &it.idle, 1);
    let request = b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n";
    flood(&mut connect(server.http), &request.repeat(1_000));
    server.wait_for(|it| &it.idle, 2);
    // The library answers these by itself.
    let socket = web_socket(&server, None).unwrap();
    let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    ping.resize(6 + 125, b'x');
    flood(
        &mut socket.get_ref().try_clone().unwrap(),
        &ping.repeat(1_000),
    );
    server.wait_for(|it| &it.idle, 3);
    let deadline = Instant::now() + PATIENCE;
    while server.link.waiting.load(Ordering::Relaxed) > 0 {
        assert!(Instant::now() < deadline, "replies are left");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_stranger_gets_nothing() {
    let server = Server::start(&NgConfig {
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        ..config()
    });
    for address in [server.tcp, server.http] {
        let mut stream = connect(address);
        let _ = stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(read_all(&mut stream), b"");
    }
    assert_eq!(server.count(|it| &it.strangers), 2);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_places_come_back() {
    let server = Server::start(&NgConfig {
        connections_max: 2,
        ..config()
    });
    let mut first = connect(server.tcp);
    let mut second = connect(server.http);
    first.write_all(PING).unwrap();
    assert_eq!(read_messages(&mut first, 1), [PONG]);
    assert!(get(&mut second, "/ping").ends_with("pong\n"));
    let mut third = connect(server.tcp);
    let _ = third.write_all(PING);
    assert_eq!(read_all(&mut third), b"");
    assert_eq!(server.count(|it| &it.connections_refused), 1);
    drop(first);
    // When the first is seen to be gone there is room again.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut next = connect(server.tcp);
        let _ = next.write_all(PING);
        let _ = next.shutdown(Shutdown::Write);
        if read_all(&mut next) == PONG {
            break;
        }
        assert!(Instant::now() < deadline, "no place came back");
    }
}

#[test]
fn an_address_beyond_its_rate_is_answered_later() {
    let server = Server::start(&NgConfig {
        requests_per_second_max: 100,
        ..config()
    });
    let mut stream = connect(server.tcp);
    stream.write_all(&PING.repeat(150)).unwrap();
    assert_eq!(read_messages(&mut stream, 150).len(), 150);
    assert!(server.count(|it| &it.over_rate) > 0);
}

/// With so low a rate all of them take a minute.
#[test]
fn what_was_asked_in_time_is_answered_while_more_has_to_wait() {
    let slow = NgConfig {
        requests_per_second_max: 1,
        ..config()
    };
    let server = Server::start(&slow);
    let mut stream = connect(server.tcp);
    stream.write_all(&PING.repeat(IN_FLIGHT_MAX)).unwrap();
    assert_eq!(read_messages(&mut stream, 2), [PONG, PONG]);
    let half = u64::try_from(IN_FLIGHT_MAX / 2).unwrap();
    assert!(server.count(|it| &it.over_rate) < half);
    let server = Server::start(&slow);
    let mut socket = web_socket(&server, None).unwrap();
    for _ in 0..IN_FLIGHT_MAX {
        socket.write(tungstenite::Message::binary(PING)).unwrap();
    }
    socket.flush().unwrap();
    for _ in 0..2 {
        assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(PONG));
    }
    assert!(server.count(|it| &it.over_rate) < half);
    // And what has to wait is answered when its time has come.
    assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(PONG));
}

#[test]
fn who_may_only_read_numbers_takes_no_more_than_his_share_of_places() {
    let server = Server::start(&NgConfig {
        allow: Vec::new(),
        metrics_allow: vec!["127.0.0.0/8".parse().unwrap()],
        connections_max: 8,
        ..config()
    });
    let mut open: Vec<_> = (0..2).map(|_| connect(server.http)).collect();
    for stream in &mut open {
        assert!(get(stream, "/ping").starts_with("http/1.1 200"));
    }
    assert_eq!(read_all(&mut connect(server.http)), b"");
    assert_eq!(server.count(|it| &it.connections_refused), 1);
    assert_eq!(
        server.link.open.load(Ordering::Relaxed),
        2,
        "and six for proxies"
    );
}

#[test]
fn replies_that_nobody_reads_take_no_more_memory_than_there_is_for_them() {
    let all = Arc::new(AtomicUsize::new(0));
    let one = || Waiting::new(vec![0; WAITING_BYTES_MAX / 4], true, &all);
    let mut three: Vec<_> = (0..3).map(|_| one().unwrap()).collect();
    assert!(one().is_none());
    // What calls wait for has room of its own.
    let short = || Waiting::new(vec![0; REQUEST_BYTES_MAX], true, &all);
    let answers: Vec<_> = std::iter::from_fn(short).collect();
    assert_eq!(
        answers.len(),
        WAITING_BYTES_MAX / 4 / REQUEST_BYTES_MAX,
        "as many as there is room for"
    );
    drop(answers);
    let mut taken = three.pop().unwrap();
    drop(three);
    assert_eq!(taken.take().len(), WAITING_BYTES_MAX / 4);
    assert_eq!(all.load(Ordering::Relaxed), WAITING_BYTES_MAX / 4);
    drop(taken);
    assert_eq!(all.load(Ordering::Relaxed), 0);
}

fn client(port: u16) -> Client {
    let remote = (Ipv4Addr::LOCALHOST, port).into();
    let local = (Ipv4Addr::LOCALHOST, 1).into();
    Client::new(Carrier::Stream, remote, local)
}

#[test]
fn a_connection_found_over_late_takes_no_replies_from_the_next_one() {
    let server = Server::start(&config());
    let first = server.link.join(client(9), Spoken::Tcp);
    let mut second = server.link.join(client(9), Spoken::Tcp);
    drop(first);
    assert!(server.link.hand_out(client(9), PONG.to_vec()));
    assert_eq!(second.replies.try_recv().unwrap().bytes(), PONG);
    drop(second);
    assert!(!server.link.hand_out(client(9), PONG.to_vec()));
}

/// Says something over a connection that holds next to nothing, and checks that the answer counts
/// from its first byte to its last one.
async fn check_that_it_counts(link: &Arc<Link>, number: u16, parts: [&[u8]; 2], end: &[u8]) {
    let client = client(number);
    let place = Place::take(link, Access::All).unwrap();
    let peer = link.join(client, Spoken::Http);
    let (near, mut far) = tokio::io::duplex(64);
    let server = tokio::spawn(crate::listeners::http::serve(
        place,
        peer,
        near,
        Access::All,
        false,
    ));
    let [handshake, request] = parts;
    if !handshake.is_empty() {
        far.write_all(handshake).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(read_some(&mut far, 1).await);
        }
    }
    far.write_all(request).await.unwrap();
    let mut all = read_some(&mut far, 2_000).await;
    assert!(link.waiting.load(Ordering::Relaxed) > 20_000, "{number}");
    while !all.ends_with(end) {
        all.extend(read_some(&mut far, 1).await);
    }
    let deadline = Instant::now() + PATIENCE;
    while link.waiting.load(Ordering::Relaxed) > 0 {
        assert!(Instant::now() < deadline, "{number}");
        tokio::task::yield_now().await;
    }
    drop(far);
    server.await.unwrap();
}

async fn read_some(stream: &mut tokio::io::DuplexStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let read = timeout(PATIENCE, stream.read_exact(&mut bytes)).await;
    read.unwrap().unwrap();
    bytes
}

/// A frame of a client, masked with zeros.
fn frame(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&[0x82, 0xfe][..], &len, &[0; 4], message].concat()
}

#[test]
fn a_reply_counts_until_it_is_read_over_http_and_web_socket_too() {
    let server = Server::start(&config());
    let name = "x".repeat(30_000);
    let line = format!("list sessions {name}");
    let document = format!("d7:command3:cli4:body{}:{line}e", line.len());
    let message = format!("c1 {document}");
    let post = |path: &str, body: &str| {
        let len = body.len();
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n{body}")
            .into_bytes()
    };
    let open = |name: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {name}.rtpengine.com\r\n\r\n"
        )
        .into_bytes()
    };
    // The answer names what it did not find, and ng says afterwards that this is a result.
    let (cli, ng) = (&b").\n\n"[..], &b"6:result2:oke"[..]);
    let all = [
        (Vec::new(), post("/cli", &line), cli),
        (Vec::new(), post("/ng", &message), ng),
        (Vec::new(), post("/ng-plain", &document), ng),
        (open("cli"), frame(line.as_bytes()), cli),
        (open("ng"), frame(message.as_bytes()), ng),
        (open("ng-plain"), frame(document.as_bytes()), ng),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (number, (handshake, request, end)) in (1..).zip(&all) {
        let parts = [&handshake[..], request];
        runtime.block_on(check_that_it_counts(&server.link, number, parts, end));
    }
}
