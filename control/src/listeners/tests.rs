//! Real sockets on loopback; the loop is a thread with a core that has no relay, which answers
//! pings, lists and whatever is wrong.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Instant;

use control_core::{Config, Control, Now, Output};
use control_ng::{Framer, Message, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, WebSocket};

use super::*;

mod http;
mod limits;
mod tcp;
mod tls;
mod websocket;

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
        quality_interval_s: 0,
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
