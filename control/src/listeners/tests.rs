//! Real sockets on loopback; the loop is a thread with a core that has no relay, which answers
//! pings, lists and whatever is wrong.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Instant;

use control_core::{Config, Control, Now, Output};
use control_ng::{Framer, Message, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, WebSocket};

use super::*;

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

const PING: &[u8] = b"c1 d7:command4:pinge";
const PONG: &[u8] = b"c1 d6:result4:ponge";

struct Server {
    tcp: SocketAddr,
    http: SocketAddr,
    https: Option<SocketAddr>,
    link: Arc<Link>,
    gate: Arc<Gate>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn config() -> NgConfig {
    NgConfig {
        listen_tcp: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        listen_http: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        listen_https: Vec::new(),
        tls: None,
        allow: vec![IpAddr::from(Ipv4Addr::LOCALHOST).into()],
        metrics_allow: Vec::new(),
        requests_per_second_max: 0,
        connections_max: 64,
        idle_timeout: Some(PATIENCE),
    }
}

impl Server {
    fn start(config: &NgConfig) -> Self {
        let gate = Arc::new(Gate::new(config));
        let streams = Streams::start(config, &gate).unwrap().unwrap();
        let &[tcp, http, ..] = &streams.addresses[..] else {
            panic!("two listeners")
        };
        let https = streams.addresses.get(2).copied();
        let link = Arc::clone(&streams.link);
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = thread::spawn(move || run(streams, &is_over));
        Self {
            tcp,
            http,
            https,
            link,
            gate,
            stop,
            thread: Some(thread),
        }
    }

    /// Waits until something was counted so often.
    fn wait_for(&self, which: impl Fn(&Counts) -> &std::sync::atomic::AtomicU64, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(&which) < count {
            assert!(Instant::now() < deadline, "{:?}", self.gate.counts);
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.count(&which), count);
    }

    fn count(&self, count: impl Fn(&Counts) -> &std::sync::atomic::AtomicU64) -> u64 {
        count(&self.gate.counts).load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the loop failed");
        }
    }
}

fn run(mut streams: Streams, is_over: &AtomicBool) {
    let mut control = Control::new(Config {
        media_timeout_s: 60,
        silent_timeout_s: 0,
        first_packet_timeout_s: 0,
        final_timeout_s: 0,
        delete_delay_s: 0,
        offer_timeout_s: 60,
        calls_max: 10,
        endpoint_learning: relay_wire::Learning::Heuristic,
        transcode: control_core::Transcode::WhenNeeded,
        tells_keys: false,
        tells_reports: false,
        seed: [7; 32],
    });
    let pause = Timespec::try_from(Duration::from_millis(20)).unwrap();
    while !is_over.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(&streams, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&pause));
        while let Some(inbound) = streams.receive() {
            match inbound {
                Inbound::Metrics(asker) => drop(asker.send("tandem_calls 0\n".to_owned())),
                Inbound::Request { client, message } => {
                    assert_eq!(client.carrier, Carrier::Stream);
                    let now = Now {
                        instant: Instant::now(),
                        unix_ms: 1_700_000_000_000,
                    };
                    if message.windows(8).any(|it| it == b"tell-all") {
                        streams.announce(NEWS);
                    }
                    control.handle_request(now, client, &message);
                }
            }
            while let Some(output) = control.poll_output() {
                if let Output::Send { client, datagram } = output {
                    streams.send(client, datagram);
                }
            }
        }
    }
}

/// What all are told when somebody says "tell-all".
const NEWS: &[u8] = b"n1 d6:notify6:onDTMFe";

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads until the peer closes, in whichever way.
fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
    all
}

/// Reads messages of ng until there are so many.
fn read_messages(stream: &mut TcpStream, count: usize) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(usize::MAX);
    let (mut messages, mut buffer) = (Vec::new(), vec![0; 4_096]);
    while messages.len() < count {
        while let Some(message) = framer.next_message().unwrap() {
            messages.push(message.to_vec());
        }
        if messages.len() < count {
            let len = stream.read(&mut buffer).unwrap();
            assert!(len > 0, "closed after {} of {count}", messages.len());
            framer.push(&buffer[..len]);
        }
    }
    messages
}

#[test]
fn requests_cut_anywhere_are_answered() {
    let server = Server::start(&config());
    let both = [PING, b"\r\nc2 {\"command\":\"ping\"}"].concat();
    let mut stream = connect(server.tcp);
    for cut in 1..both.len() {
        for piece in [&both[..cut], &both[cut..]] {
            stream.write_all(piece).unwrap();
        }
        let replies = read_messages(&mut stream, 2);
        assert_eq!(replies, [PONG, b"c2 {\"result\":\"pong\"}"], "{cut}");
    }
    for byte in &both {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(read_messages(&mut stream, 2).len(), 2);
}

#[test]
fn many_requests_at_once_are_all_answered_on_several_connections() {
    const COUNT: usize = 1_000;
    let server = Server::start(&config());
    let cookies: BTreeSet<_> = (0..COUNT).map(|n| format!("k{n}")).collect();
    let requests: String = cookies
        .iter()
        .map(|cookie| format!("{cookie} d7:command4:pinge"))
        .collect();
    let mut streams: Vec<_> = (0..4).map(|_| connect(server.tcp)).collect();
    for stream in &mut streams {
        let mut writer = stream.try_clone().unwrap();
        let requests = requests.clone();
        thread::spawn(move || writer.write_all(requests.as_bytes()).unwrap());
    }
    for stream in &mut streams {
        let replies = read_messages(stream, COUNT);
        let answered = replies.iter().map(|reply| {
            let reply = Message::split(reply).unwrap();
            assert_eq!(reply.body, b"d6:result4:ponge");
            String::from_utf8(reply.cookie.to_vec()).unwrap()
        });
        assert_eq!(answered.collect::<BTreeSet<_>>(), cookies);
    }
    assert_eq!(server.count(|it| &it.undelivered), 0);
}

#[test]
fn who_says_that_it_is_done_is_answered_before_the_end() {
    let server = Server::start(&config());
    let mut stream = connect(server.tcp);
    stream.write_all(&[PING, PING].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), [PONG, PONG].concat());
}

#[test]
fn what_cannot_be_read_is_refused_after_what_can_be() {
    let server = Server::start(&config());
    for (wrong, reply) in [
        (
            &b"c2 hello"[..],
            "c2 d12:error-reason22:Invalid NG data format6:result5:errore",
        ),
        (
            b"c2 d3:sdp70000:v=0",
            "c2 d12:error-reason16:Request too long6:result5:errore",
        ),
    ] {
        let mut stream = connect(server.tcp);
        stream.write_all(&[PING, wrong].concat()).unwrap();
        assert_eq!(read_all(&mut stream), [PONG, reply.as_bytes()].concat());
    }
    let mut stream = connect(server.tcp);
    stream.write_all(&[b'x'; 300]).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(server.count(|it| &it.malformed), 3);
}

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

/// Sends a request over HTTP and reads the response, whose length it says.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "{}",
            head.escape_ascii()
        );
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

fn get(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: relay:8080\r\n\r\n");
    exchange(stream, request.as_bytes())
}

fn post(stream: &mut TcpStream, path: &str, more: &str, body: &[u8]) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: relay:8080\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    exchange(stream, &[head.as_bytes(), body].concat())
}

#[test]
fn http_answers_on_one_connection() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    assert!(get(stream, "/ping").starts_with("http/1.1 200"));
    let metrics = get(stream, "/metrics");
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(metrics.ends_with("\r\n\r\ntandem_calls 0\n"), "{metrics}");
    let ng = post(stream, "/ng", "", PING);
    assert!(
        ng.contains("content-type: application/x-rtpengine-ng"),
        "{ng}"
    );
    assert!(ng.ends_with("\r\n\r\nc1 d6:result4:ponge"), "{ng}");
    let json = b"c2 {\"command\":\"list\"}";
    assert!(post(stream, "/ng", "", json).ends_with("c2 {\"calls\":[],\"result\":\"ok\"}"));
    let plain = post(stream, "/ng-plain", "", b"{\"command\":\"ping\"}");
    assert!(plain.contains("content-type: application/json"), "{plain}");
    assert!(plain.ends_with("\r\n\r\n{\"result\":\"pong\"}"), "{plain}");
    let plain = post(stream, "/ng-plain", "", b"d7:command4:pinge");
    assert!(plain.ends_with("\r\n\r\nd6:result4:ponge"), "{plain}");
    let chunked = b"POST /ng-plain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        8\r\nd7:comma\r\n9\r\nnd4:pinge\r\n0\r\n\r\n";
    assert!(exchange(stream, chunked).ends_with("\r\n\r\nd6:result4:ponge"));
}

#[test]
fn http_says_what_is_wrong() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    for (path, status) in [("/", "404"), ("/ng", "405"), ("/admin", "404")] {
        assert!(
            get(stream, path).starts_with(&format!("http/1.1 {status}")),
            "{path}"
        );
    }
    assert!(post(stream, "/ng", "", b"nonsense").starts_with("http/1.1 400"));
    assert!(post(stream, "/ng", "", b"c x").contains("Invalid NG data format"));
    assert!(post(stream, "/metrics", "", b"").starts_with("http/1.1 405"));
    // The command line is the core's, like any other command.
    let cli = get(stream, "/cli/list/numsessions");
    assert!(
        cli.starts_with("http/1.1 501") || cli.starts_with("http/1.1 200"),
        "{cli}"
    );
    let long = vec![b'x'; REQUEST_BYTES_MAX + 1];
    let head = format!(
        "POST /ng HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        long.len()
    );
    assert!(exchange(stream, head.as_bytes()).starts_with("http/1.1 413"));
    let stream = &mut connect(server.http);
    stream.write_all(b"\x16\x03\x01 no HTTP\r\n\r\n").unwrap();
    assert!(read_all(stream).starts_with(b"HTTP/1.1 400"));
}

#[test]
fn a_page_of_another_site_is_refused() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    for (origin, status) in [
        ("http://relay", "403"),
        ("https://example.com", "403"),
        ("null", "403"),
    ] {
        let origin = format!("Origin: {origin}\r\n");
        let answer = post(stream, "/ng", &origin, PING);
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")),
            "{origin}{answer}"
        );
    }
}

#[test]
fn what_changes_something_is_not_done_for_a_picture_of_a_page() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    let mut ask = |path: &str, more: &str| {
        let host = server.http;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        exchange(stream, request.as_bytes())
    };
    let browser = "User-Agent: Mozilla/5.0\r\n";
    for path in [
        "/cli/terminate/all",
        "/cli/+set+maxsessions+0",
        "/cli/call/x/%74erminate",
        "/cli/%0bterminate/all",
        "/cli/%C2%A0set/maxsessions/0",
        "/cli/call/x/terminate%0B",
    ] {
        assert!(ask(path, browser).starts_with("http/1.1 405"), "{path}");
        assert!(ask(path, "").starts_with("http/1.1 200"), "{path}");
    }
    assert!(ask("/cli/list/numsessions", browser).starts_with("http/1.1 200"));
    let elsewhere = "Sec-Fetch-Site: cross-site\r\n";
    assert!(ask("/cli/list/numsessions", elsewhere).starts_with("http/1.1 403"));
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
    let four: Vec<_> = (0..4).map(|_| one().unwrap()).collect();
    assert!(one().is_none());
    drop(four);
    let mut taken = one().unwrap();
    assert_eq!(taken.take().len(), WAITING_BYTES_MAX / 4);
    assert_eq!(all.load(Ordering::Relaxed), WAITING_BYTES_MAX / 4);
    drop(taken);
    assert_eq!(all.load(Ordering::Relaxed), 0);
}

/// Says something over a connection that holds next to nothing, and checks that the answer counts
/// from its first byte to its last one.
async fn check_that_it_counts(link: &Arc<Link>, number: u16, parts: [&[u8]; 2], end: &[u8]) {
    let client = Client {
        remote: (Ipv4Addr::LOCALHOST, number).into(),
        local: (Ipv4Addr::LOCALHOST, 1).into(),
        carrier: Carrier::Stream,
        format: control_core::Format::Bencode,
    };
    let place = Place::take(link, Access::All).unwrap();
    let peer = link.join(client, Spoken::Http);
    let (near, mut far) = tokio::io::duplex(64);
    let server = tokio::spawn(http::serve(place, peer, near, Access::All, false));
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

/// A server with TLS, the folder of its certificate, and who trusts that.
fn secure_server(change: impl FnOnce(&mut NgConfig)) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = crate::tls::tests::write(folder.path());
    let mut config = NgConfig {
        listen_https: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        tls: Some(files),
        ..config()
    };
    change(&mut config);
    (Server::start(&config), folder)
}

type TlsStream = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// Connects as who trusts the certificate in this folder alone.
fn connect_securely(server: &Server, folder: &std::path::Path) -> io::Result<TlsStream> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = connect(server.https.unwrap());
    let mut stream = rustls::StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

#[test]
fn https_and_secure_web_sockets_answer_as_plain_ones() {
    let (server, folder) = secure_server(|_| ());
    let mut stream = connect_securely(&server, folder.path()).unwrap();
    let head = "POST /ng HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 20\r\n\r\n";
    assert_eq!(PING.len(), 20);
    stream.write_all(&[head.as_bytes(), PING].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(answer.ends_with(PONG), "{}", answer.escape_ascii());
    let stream = connect_securely(&server, folder.path()).unwrap();
    let request = "wss://127.0.0.1/".into_client_request().unwrap();
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    socket.send(tungstenite::Message::binary(PING)).unwrap();
    assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(PONG));
}

#[test]
fn a_certificate_that_is_read_again_holds_for_the_next_connection() {
    let (server, folder) = secure_server(|_| ());
    let mut before = connect_securely(&server, folder.path()).unwrap();
    let tls = server.link.tls.as_ref().unwrap();
    std::fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    assert!(tls.reload().is_err());
    connect_securely(&server, folder.path()).expect("the old one goes on");
    crate::tls::tests::write(folder.path());
    assert!(
        connect_securely(&server, folder.path()).is_err(),
        "it is not in use yet"
    );
    tls.reload().unwrap();
    connect_securely(&server, folder.path()).unwrap();
    before.write_all(b"GET /ping HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    before.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"pong\n"), "who was there stays");
}

#[test]
fn who_does_not_speak_tls_or_says_nothing_is_closed_and_counted() {
    let (server, _folder) = secure_server(|config| {
        config.idle_timeout = Some(Duration::from_millis(50));
    });
    let https = server.https.unwrap();
    let mut stream = connect(https);
    stream
        .write_all(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let answer = read_all(&mut stream);
    assert!(
        !answer.windows(4).any(|it| it == b"pong"),
        "{}",
        answer.escape_ascii()
    );
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = connect(https);
        stream.write_all(begun).unwrap();
        assert_eq!(read_all(&mut stream), b"");
    }
    // They are counted when they are gone already.
    server.wait_for(|it| &it.tls_failed, 1);
    server.wait_for(|it| &it.idle, 2);
}

#[test]
fn a_stranger_sees_no_certificate() {
    let (server, folder) = secure_server(|config| {
        config.allow = vec!["192.0.2.0/24".parse().unwrap()];
    });
    assert!(connect_securely(&server, folder.path()).is_err());
    assert_eq!(server.count(|it| &it.strangers), 1);
    assert_eq!(server.count(|it| &it.tls_failed), 0);
}

#[test]
fn who_may_read_metrics_may_do_nothing_else() {
    let server = Server::start(&NgConfig {
        allow: Vec::new(),
        metrics_allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..config()
    });
    let stream = &mut connect(server.http);
    assert!(get(stream, "/metrics").starts_with("http/1.1 200"));
    assert!(get(stream, "/ping").starts_with("http/1.1 200"));
    assert!(get(stream, "/cli/list").starts_with("http/1.1 403"));
    assert!(post(stream, "/ng", "", PING).starts_with("http/1.1 403"));
    assert!(post(stream, "/ng-plain", "", b"d7:command4:pinge").starts_with("http/1.1 403"));
    assert!(web_socket(&server, Some("ng.rtpengine.com")).is_err());
    assert_eq!(read_all(&mut connect(server.tcp)), b"");
}

fn web_socket(
    server: &Server,
    protocol: Option<&str>,
) -> Result<WebSocket<TcpStream>, tungstenite::Error> {
    let mut request = format!("ws://{}/", server.http)
        .into_client_request()
        .unwrap();
    if let Some(protocol) = protocol {
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    }
    match tungstenite::client(request, connect(server.http)) {
        Ok((socket, response)) => {
            let chosen = response.headers().get("sec-websocket-protocol");
            let chosen = chosen.map(|it| it.to_str().unwrap());
            assert_eq!(chosen, protocol.map(|it| it.rsplit(", ").next().unwrap()));
            Ok(socket)
        }
        Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn say(socket: &mut WebSocket<TcpStream>, message: tungstenite::Message) -> tungstenite::Message {
    socket.send(message).unwrap();
    socket.read().unwrap()
}

#[test]
fn a_web_socket_speaks_what_was_agreed() {
    use tungstenite::Message;

    let server = Server::start(&config());
    for protocol in [
        None,
        Some("ng.rtpengine.com"),
        Some("janus-protocol, ng.rtpengine.com"),
    ] {
        let mut socket = web_socket(&server, protocol).unwrap();
        assert_eq!(
            say(&mut socket, Message::binary(PING)),
            Message::binary(PONG)
        );
        let text = Message::text(String::from_utf8(PING.to_vec()).unwrap());
        assert_eq!(say(&mut socket, text), Message::binary(PONG));
        let json = Message::text("c2 {\"command\":\"ping\"}");
        assert_eq!(
            say(&mut socket, json),
            Message::text("c2 {\"result\":\"pong\"}")
        );
        // Several at once.
        for _ in 0..200 {
            socket.write(Message::binary(PING)).unwrap();
        }
        socket.flush().unwrap();
        for _ in 0..200 {
            assert_eq!(socket.read().unwrap(), Message::binary(PONG));
        }
    }
    let mut plain = web_socket(&server, Some("ng-plain.rtpengine.com")).unwrap();
    let reply = say(&mut plain, Message::binary(&b"d7:command4:pinge"[..]));
    assert_eq!(reply, Message::binary(&b"d6:result4:ponge"[..]));
    let mut echo = web_socket(&server, Some("echo.rtpengine.com")).unwrap();
    for message in [Message::text("h\u{e9}"), Message::binary(vec![0, 255])] {
        assert_eq!(say(&mut echo, message.clone()), message);
    }
    let mut cli = web_socket(&server, Some("cli.rtpengine.com")).unwrap();
    let answer = say(&mut cli, Message::text("list numsessions"));
    assert!(!answer.is_empty());
    assert!(web_socket(&server, Some("janus-protocol")).is_err());
}

#[test]
fn a_web_socket_that_says_too_much_is_closed() {
    let server = Server::start(&config());
    let mut socket = web_socket(&server, None).unwrap();
    let _ = socket.send(tungstenite::Message::binary(vec![
        b'x';
        2 * REQUEST_BYTES_MAX
    ]));
    assert!(!matches!(
        socket.read(),
        Ok(tungstenite::Message::Binary(_))
    ));
    let mut socket = web_socket(&server, None).unwrap();
    assert_eq!(
        say(&mut socket, tungstenite::Message::binary(PING)),
        tungstenite::Message::binary(PONG),
        "others go on"
    );
}

#[test]
fn a_web_socket_is_asked_whether_it_is_there() {
    let server = Server::start(&NgConfig {
        idle_timeout: Some(Duration::from_millis(100)),
        ..config()
    });
    // Nothing is read, so no ping is answered.
    let socket = web_socket(&server, None).unwrap();
    let mut stream = socket.get_ref().try_clone().unwrap();
    let all = read_all(&mut stream);
    assert!(all.starts_with(&[0x89, 0]), "a ping comes first: {all:?}");
}

#[test]
fn the_same_request_has_the_same_reply_however_it_comes() {
    let server = Server::start(&config());
    let requests = [
        "{\"command\":\"list\"}",
        "{\"command\":\"nonsense\"}",
        "{\"command\":\"delete\"}",
        "{}",
    ];
    for request in requests {
        let mut bencode = Vec::new();
        Value::parse(request.as_bytes())
            .unwrap()
            .encode(&mut bencode);
        let read = |reply: &[u8]| {
            let value = Value::parse(reply).unwrap();
            let mut bencode = Vec::new();
            value.encode(&mut bencode);
            bencode
        };
        let bodies = [request.as_bytes(), &bencode];
        let mut replies = Vec::new();
        for body in bodies {
            let message = [b"c ", body].concat();
            let mut tcp = connect(server.tcp);
            tcp.write_all(&message).unwrap();
            replies.push(read(&read_messages(&mut tcp, 1)[0][2..]));
            let http = post(&mut connect(server.http), "/ng-plain", "", body);
            let (_, body) = http.split_once("\r\n\r\n").unwrap();
            replies.push(read(body.as_bytes()));
            let mut socket = web_socket(&server, None).unwrap();
            let reply = say(&mut socket, tungstenite::Message::binary(message));
            replies.push(read(&reply.into_data()[2..]));
        }
        replies.dedup();
        assert_eq!(replies.len(), 1, "{request}");
    }
}

#[test]
fn all_over_tcp_are_told_what_nobody_asked_for_and_requests_are_answered_all_the_same() {
    let server = Server::start(&config());
    let mut listener = connect(server.tcp);
    listener.write_all(PING).unwrap();
    assert_eq!(read_messages(&mut listener, 1), [PONG]);
    let mut http = connect(server.http);
    let pong = post(&mut http, "/ng", "", PING);
    let mut asker = connect(server.tcp);
    asker
        .write_all(b"c1 d7:command4:ping8:tell-all1:1e")
        .unwrap();
    // Whoever says that it is done gets its reply, whatever comes before.
    asker.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_messages(&mut asker, 2), [NEWS, PONG]);
    assert_eq!(read_all(&mut asker), b"");
    assert_eq!(read_messages(&mut listener, 1), [NEWS]);
    assert_eq!(post(&mut http, "/ng", "", PING), pong);
    // Who does not read is left out, and loses no reply by it.
    let mut deaf = connect(server.tcp);
    for _ in 0..500 {
        listener
            .write_all(b"c1 d7:command4:ping8:tell-all1:1e")
            .unwrap();
        assert_eq!(read_messages(&mut listener, 2), [NEWS, PONG]);
    }
    deaf.write_all(PING).unwrap();
    deaf.shutdown(Shutdown::Write).unwrap();
    let told = read_all(&mut deaf);
    assert!(told.ends_with(PONG), "{}", String::from_utf8_lossy(&told));
}
