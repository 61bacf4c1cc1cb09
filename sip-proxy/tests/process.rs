//! The program as an operator meets it: arguments, settings, signals, exit codes.

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sip_proxy_store::Store;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

fn write_settings(folder: &TempDir, sip_proxy: &str) -> std::path::PathBuf {
    let path = folder.path().join("tandem.toml");
    fs::write(&path, format!("[sip_proxy]\n{sip_proxy}\n")).unwrap();
    path
}

fn command(settings: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-sip-proxy"));
    command.arg("--config").arg(settings).stderr(Stdio::piped());
    command
}

const LOOPBACK: &str = "listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]";

/// A running daemon, killed when the test is over, however it ends.
struct Daemon {
    child: Child,
}

impl Daemon {
    fn start(settings: &Path, socket: &Path) -> Self {
        let child = command(settings).spawn().unwrap();
        let mut daemon = Self { child };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(socket).is_err() {
            let ended = daemon.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "it did not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    /// Sends a signal and waits for the end. Exit code and log.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &Output) -> String {
    let parts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    parts.concat()
}

#[test]
fn a_signal_stops_it_cleanly_and_a_restart_works() {
    let folder = tempfile::tempdir().unwrap();
    let settings = write_settings(&folder, LOOPBACK);
    let socket = folder.path().join("data/run/sip-proxy.sock");
    for signal in ["-TERM", "-INT"] {
        let daemon = Daemon::start(&settings, &socket);
        let mut stream = UnixStream::connect(&socket).unwrap();
        writeln!(stream, r#"{{"command":"status"}}"#).unwrap();
        let mut line = String::new();
        std::io::BufReader::new(stream)
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("\"uptime_s\""), "{line}");
        let (code, log) = daemon.stop(signal);
        assert_eq!(code, Some(0), "{log}");
        assert!(
            log.contains("listening") && log.contains("stopped"),
            "{log}"
        );
        assert!(!socket.exists(), "the admin socket is left behind");
    }
}

#[test]
fn checking_the_settings_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = write_settings(&folder, LOOPBACK);
    let output = command(&settings).arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("fine"));
    assert!(!folder.path().join("data").exists());
}

#[test]
fn wrong_settings_exit_with_2_and_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let settings = write_settings(&folder, "listen = [\"sctp:127.0.0.1:5060\"]");
    for arguments in [&["--check-config"][..], &[]] {
        let output = command(&settings).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(
            text(&output).contains("tandem.toml:2:"),
            "{}",
            text(&output)
        );
    }
}

#[test]
fn a_port_in_use_exits_with_2_and_says_so() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = taken.local_addr().unwrap();
    let settings = write_settings(&folder, &format!("listen = [\"udp:{address}\"]"));
    let output = command(&settings).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("Another program has this port"),
        "{}",
        text(&output)
    );
}

#[test]
fn another_realm_than_the_accounts_have_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("data/tandem.sqlite3")).unwrap();
    store.add_account("alice", "old.example", "alice").unwrap();
    let domains = format!("{LOOPBACK}\ndomains = [\"new.example\"]");
    let output = command(&write_settings(&folder, &domains))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("old.example"), "{}", text(&output));
}

#[test]
fn a_second_daemon_with_the_same_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = write_settings(&folder, LOOPBACK);
    let socket = folder.path().join("data/run/sip-proxy.sock");
    let first = Daemon::start(&settings, &socket);
    let output = command(&settings).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("Is another tandem-sip-proxy running"),
        "{}",
        text(&output)
    );
    assert!(socket.exists(), "the first one's socket was taken away");
    assert_eq!(first.stop("-TERM").0, Some(0));
}
