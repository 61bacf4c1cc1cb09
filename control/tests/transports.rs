//! The daemon itself, as a process, on each transport: who asks is answered in the same way, and
//! can ask again when it was killed and started again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait before something is tried again.
const PAUSE: Duration = Duration::from_millis(50);

struct Daemon(Child);

impl Daemon {
    fn start(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-control"));
        command.arg("--config").arg(file).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries until it works.
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(PAUSE);
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = until("nobody listens", || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks over UDP as a proxy does: again and again, until the reply comes.
fn ask_by_datagram(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((address.ip(), 0)).unwrap();
    socket.connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    until("no reply over UDP", || {
        let mut reply = vec![0; 65_536];
        socket.send(request).ok()?;
        let len = socket.recv(&mut reply).ok()?;
        reply.truncate(len);
        Some(reply)
    })
}

fn ask_by_stream(stream: &mut TcpStream, request: &[u8], len: usize) -> Vec<u8> {
    stream.write_all(request).unwrap();
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply).unwrap();
    reply
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address);
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// An address of this test alone: others use 127.0.0.1.
fn address(port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 31, high, low.clamp(1, 254)], port))
}

#[test]
fn all_transports_answer_alike_before_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tandem.toml");
    let (ng, tcp, http) = (address(22_231), address(22_232), address(22_233));
    let settings = format!(
        "[control]\nlisten = [\"{ng}\"]\nlisten_tcp = [\"{tcp}\"]\nlisten_http = [\"{http}\"]\n"
    );
    std::fs::write(&file, settings).unwrap();
    let mut daemon = Daemon::start(&file);
    for run in 0..3 {
        for (request, reply) in [
            (&b"c1 d7:command4:pinge"[..], &b"c1 d6:result4:ponge"[..]),
            (b"c2 {\"command\":\"ping\"}", b"c2 {\"result\":\"pong\"}"),
            (
                b"c3 {\"command\":\"list\"}",
                b"c3 {\"calls\":[],\"result\":\"ok\"}",
            ),
        ] {
            assert_eq!(ask_by_datagram(ng, request), reply, "run {run}");
            assert_eq!(
                ask_by_stream(&mut connect(tcp), request, reply.len()),
                reply
            );
        }
        let ping = get(http, "/ping");
        assert!(ping.ends_with("\r\n\r\npong\n"), "{ping}");
        let metrics = get(http, "/metrics");
        for name in ["tandem_calls 0\n", "tandem_ng_connections_total "] {
            assert!(metrics.contains(name), "{metrics}");
        }
        // A connection ends with the daemon, and the next one listens at once.
        let mut stream = connect(tcp);
        daemon.kill();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
        daemon = Daemon::start(&file);
    }
}

#[test]
fn a_stranger_is_not_answered_over_udp() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tandem.toml");
    let (ng, http) = (address(22_234), address(22_235));
    let friend = address(0);
    let settings = format!(
        "[control]\nlisten = [\"{ng}\"]\nlisten_http = [\"{http}\"]\nng_allow = [\"{}\"]\n\
         metrics_allow = [\"127.0.0.1\"]\n",
        friend.ip()
    );
    std::fs::write(&file, settings).unwrap();
    let _daemon = Daemon::start(&file);
    let ping = b"c1 d7:command4:pinge";
    assert_eq!(ask_by_datagram(ng, ping), b"c1 d6:result4:ponge");
    let stranger = UdpSocket::bind("127.99.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    for _ in 0..100 {
        stranger.send_to(ping, ng).unwrap();
    }
    // When the friend's next request is answered the stranger's have been read.
    assert_eq!(ask_by_datagram(ng, ping), b"c1 d6:result4:ponge");
    assert!(stranger.recv(&mut [0; 64]).is_err());
    until("strangers are not counted", || {
        let mut stream = TcpStream::connect(http).ok()?;
        let request = "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer
            .contains("tandem_ng_strangers_total 100\n")
            .then_some(())
    });
}

/// Nobody can have anything sent to someone else by asking in his name.
#[test]
fn strangers_get_not_a_byte_over_any_transport() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tandem.toml");
    let (ng, tcp, http) = (address(22_241), address(22_242), address(22_243));
    let settings = format!(
        "[control]\nlisten = [\"{ng}\"]\nlisten_tcp = [\"{tcp}\"]\nlisten_http = [\"{http}\"]\n\
         ng_allow = [\"127.0.0.3\"]\nmetrics_allow = [\"127.0.0.2\"]\n"
    );
    std::fs::write(&file, settings).unwrap();
    let _daemon = Daemon::start(&file);
    let bind = |last: u8| UdpSocket::bind((std::net::Ipv4Addr::new(127, 0, 0, last), 0)).unwrap();
    let allowed = bind(3);
    allowed.connect(ng).unwrap();
    let patience = Some(Duration::from_secs(1));
    allowed.set_read_timeout(patience).unwrap();
    let mut buffer = [0; 65_536];
    let mut ping = || {
        until("no reply", || {
            allowed.send(b"c d7:command4:pinge").ok()?;
            allowed.recv(&mut buffer).ok()
        })
    };
    ping();
    // One that nobody knows, and one who may read numbers, though not this way.
    for stranger in [bind(4), bind(2)] {
        for request in [
            &b"c d7:command4:pinge"[..],
            b"c d5:limiti9999e7:command4:liste",
            b"c d7:command3:cli4:body17:list sessions alle",
            b"c {\"command\":\"statistics\"}",
            b"nonsense",
            b"",
        ] {
            stranger.send_to(request, ng).unwrap();
        }
        // Requests are answered in their order: what was to come would be there.
        ping();
        stranger.set_nonblocking(true).unwrap();
        let nothing = stranger.recv(&mut [0; 64]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
    // From 127.0.0.1, which is nobody here.
    for address in [tcp, http] {
        let mut stream = connect(address);
        let _ = stream.write_all(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        assert_eq!(all, b"");
    }
}
