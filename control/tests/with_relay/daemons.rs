//! The two processes, their settings, and a client.

use std::env;
use std::fs;
use std::net::UdpSocket;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use control_ng::{Command, Message, Reply};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ports of the relay of one test.
const MEDIA_PORTS: u16 = 200;

/// A relay and a control, and a client of theirs.
pub(crate) struct Daemons {
    folder: TempDir,
    relay_path: PathBuf,
    relay: Option<Child>,
    control: Option<Child>,
    client: UdpSocket,
    ng_port: u16,
    media_ports: Range<u16>,
    cookies: u32,
}

/// A description with one audio stream on loopback.
pub(crate) fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\n"
    )
}

impl Daemons {
    /// Waits until the disk has limits that were set over ng, whose answer does not wait for that.
    pub(crate) fn wait_for_limits(&self) {
        let file = self.folder.path().join("data/limits.json");
        let patience = Instant::now() + PATIENCE;
        while !file.exists() {
            assert!(Instant::now() < patience, "no {}", file.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts both. `None`, said aloud, if there is no relay to start.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same with more settings of control.
    pub(crate) fn start_with(settings: &str) -> Option<Self> {
        let relay_path = find_relay()?;
        let folder = TempDir::new().unwrap();
        let ng_port = free_port();
        let first = free_range();
        let media_ports = first..first + MEDIA_PORTS;
        write_settings(folder.path(), ng_port, &media_ports, settings);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(("127.0.0.1", ng_port)).unwrap();
        let second = Duration::from_secs(1);
        client.set_read_timeout(Some(second)).unwrap();
        let mut daemons = Self {
            folder,
            relay_path,
            relay: None,
            control: None,
            client,
            ng_port,
            media_ports,
            cookies: 0,
        };
        daemons.start_relay();
        daemons.start_control();
        Some(daemons)
    }

    /// What both have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn media_ports(&self) -> Range<u16> {
        self.media_ports.clone()
    }

    pub(crate) fn start_relay(&mut self) {
        self.relay = Some(self.spawn(&self.relay_path));
    }

    pub(crate) fn start_control(&mut self) {
        let path = Path::new(env!("CARGO_BIN_EXE_tandem-control"));
        self.control = Some(self.spawn(path));
        self.ask(&Command::Ping, |reply| assert!(reply.is_ok()));
    }

    pub(crate) fn kill_relay(&mut self) {
        kill(self.relay.take());
    }

    pub(crate) fn kill_control(&mut self) {
        kill(self.control.take());
    }

    /// Stops both, which must go well.
    pub(crate) fn stop(mut self) {
        for child in [self.control.take(), self.relay.take()] {
            let status = terminate(child.expect("it runs"));
            assert!(status.success(), "{status}");
        }
    }

    /// Asks as a proxy does: again after a second, until there is a reply.
    pub(crate) fn ask<T>(
        &mut self,
        command: &Command<'_>,
        read: impl FnOnce(&Reply<'_>) -> T,
    ) -> T {
        self.cookies += 1;
        let cookie = format!("{}-{}", self.ng_port, self.cookies);
        let datagram = command.encode(cookie.as_bytes());
        let start = Instant::now();
        let mut buffer = vec![0; 65_536];
        while start.elapsed() < PATIENCE {
            // Refused as long as nobody listens.
            let _ = self.client.send(&datagram);
            match self.client.recv(&mut buffer) {
                Ok(len) => {
                    let message = Message::split(&buffer[..len]).unwrap();
                    if message.cookie == cookie.as_bytes() {
                        return read(&Reply::parse(message.body).unwrap());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(_) => {}
            }
        }
        panic!("no reply to {command:?}");
    }

    /// The port of the first m-line of the SDP that comes back.
    pub(crate) fn negotiate(&mut self, command: &Command<'_>) -> u16 {
        self.ask(command, |reply| {
            assert!(reply.is_ok(), "{:?}", reply.error_reason());
            let sdp = std::str::from_utf8(reply.sdp().unwrap()).unwrap();
            let media = sdp.lines().find_map(|line| line.strip_prefix("m=audio "));
            media.unwrap().split(' ').next().unwrap().parse().unwrap()
        })
    }

    fn spawn(&self, path: &Path) -> Child {
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.folder.path().join("log"));
        Process::new(path)
            .arg("--config")
            .arg(self.folder.path().join("tandem.toml"))
            .arg(format!("--exit-with-parent={}", std::process::id()))
            .stdin(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprint!("{}", self.log());
        }
        kill(self.control.take());
        kill(self.relay.take());
    }
}

fn find_relay() -> Option<PathBuf> {
    let named = env::var_os("TANDEM_RELAY").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_BIN_EXE_tandem-control")).with_file_name("tandem-relay");
    let path = named.unwrap_or(beside);
    if !path.exists() {
        eprintln!(
            "SKIPPED: no relay at {}; build it, or name it with TANDEM_RELAY",
            path.display()
        );
        return None;
    }
    Some(path)
}

fn write_settings(folder: &Path, ng_port: u16, media_ports: &Range<u16>, more: &str) {
    let (first, last) = (media_ports.start, media_ports.end - 1);
    let text = format!(
        "[log]\nlevel = \"info\"\n\
         [relay]\ninterfaces = [\"127.0.0.1\", \"other=127.0.0.1\"]\nports = [{first}, {last}]\nworkers = 2\n\
         [control]\nlisten = [\"127.0.0.1:{ng_port}\"]\n{more}"
    );
    fs::write(folder.join("tandem.toml"), text).unwrap();
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// The even first port of a range of which at least the ends are free, outside those that the
/// system hands out by itself.
fn free_range() -> u16 {
    let is_free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let start = 12_000 + u16::try_from(std::process::id() % 50).unwrap() * MEDIA_PORTS;
    let mut starts = (start..30_000).step_by(usize::from(MEDIA_PORTS));
    // Tests of one process run at the same time: each takes another range.
    static TAKEN: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap();
    let first = starts
        .find(|first| !taken.contains(first) && is_free(*first) && is_free(first + MEDIA_PORTS - 1))
        .expect("there are free ports");
    taken.push(first);
    first
}

fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn terminate(mut child: Child) -> ExitStatus {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    kill(Some(child));
    panic!("it does not stop");
}
