//! Sockets that were bound before the daemon was started: it receives ng on them, and what was
//! sent while it was away is answered.

use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

struct Site {
    folder: TempDir,
}

impl Site {
    fn new(listen: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let addresses: Vec<_> = listen.iter().map(ToString::to_string).collect();
        let settings = format!("[control]\nlisten = {addresses:?}\n");
        fs::write(folder.path().join("tandem.toml"), settings).unwrap();
        Self { folder }
    }

    /// Control with these descriptors, from 3 on.
    fn command(&self, passed: Vec<OwnedFd>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-control"));
        let mappings = passed.into_iter().zip(3..);
        let mappings: Vec<_> = mappings
            .map(|(parent_fd, child_fd)| FdMapping {
                parent_fd,
                child_fd,
            })
            .collect();
        command
            .arg("--config")
            .arg(self.folder.path().join("tandem.toml"))
            .env("LISTEN_FDS", mappings.len().to_string())
            .env_remove("LISTEN_PID")
            .stdin(Stdio::null())
            .stderr(File::create(self.log()).unwrap())
            .fd_mappings(mappings)
            .unwrap();
        command
    }

    fn start(&self, passed: Vec<OwnedFd>) -> Daemon {
        Daemon(self.command(passed).spawn().unwrap())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

struct Daemon(Child);

impl Daemon {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn has_open(&self, name: &Path) -> bool {
        let folder = format!("/proc/{}/fd", self.0.id());
        let mut files = fs::read_dir(folder).unwrap();
        files.any(|file| fs::read_link(file.unwrap().path()).is_ok_and(|link| link == name))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a descriptor is called in /proc.
fn name_of(descriptor: &impl AsRawFd) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).unwrap()
}

fn clone(socket: &UdpSocket) -> OwnedFd {
    socket.try_clone().unwrap().into()
}

/// An address of these tests alone: others use 127.0.0.1.
fn address(port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 33, high, low.clamp(1, 254)], port))
}

/// A proxy that is told when nobody listens.
fn proxy_of(address: SocketAddr) -> UdpSocket {
    let proxy = UdpSocket::bind((address.ip(), 0)).unwrap();
    proxy.connect(address).unwrap();
    proxy.set_read_timeout(Some(PATIENCE)).unwrap();
    proxy
}

#[track_caller]
fn assert_answered(proxy: &UdpSocket, cookie: &str) {
    let mut reply = [0; 100];
    let len = proxy.recv(&mut reply).unwrap();
    let expected = format!("{cookie} d6:result4:ponge");
    assert_eq!(String::from_utf8_lossy(&reply[..len]), expected);
}

fn ping(proxy: &UdpSocket, cookie: &str) {
    let request = format!("{cookie} d7:command4:pinge");
    proxy.send(request.as_bytes()).unwrap();
}

#[test]
fn what_is_sent_while_there_is_no_control_is_answered_when_there_is() {
    let ng = UdpSocket::bind(address(22_331)).unwrap();
    let site = Site::new(&[address(22_331)]);
    let proxy = proxy_of(address(22_331));
    for cookie in ["a1", "b2", "c3"] {
        ping(&proxy, cookie);
        let mut daemon = site.start(vec![clone(&ng)]);
        assert_answered(&proxy, cookie);
        daemon.kill();
    }
}

#[test]
fn what_is_not_passed_is_bound_and_what_is_of_no_use_is_closed_and_told() {
    let listen = [address(22_332), address(22_333)];
    let ng = UdpSocket::bind(listen[0]).unwrap();
    let stranger = UdpSocket::bind(address(22_334)).unwrap();
    let file = File::open("/dev/zero").unwrap();
    let site = Site::new(&listen);
    let passed = vec![
        file.try_clone().unwrap().into(),
        clone(&stranger),
        clone(&ng),
    ];
    let first = proxy_of(listen[0]);
    ping(&first, "d4");
    let daemon = site.start(passed);
    assert_answered(&first, "d4");
    // All are bound before any is read.
    let second = proxy_of(listen[1]);
    ping(&second, "e5");
    assert_answered(&second, "e5");
    assert!(daemon.has_open(&name_of(&ng)));
    assert!(!daemon.has_open(&name_of(&stranger)));
    assert!(!daemon.has_open(&name_of(&file)));
    let log = fs::read_to_string(site.log()).unwrap();
    for words in [
        "fd 3 is not a socket",
        "control.listen does not have its address",
        &listen[0].to_string(),
        &address(22_334).to_string(),
    ] {
        assert!(log.contains(words), "{words:?} is missing: {log}");
    }
}

/// sd_listen_fds(3): the variables may be left over from a process before.
#[test]
fn what_was_passed_to_another_process_is_left_alone() {
    let ng = UdpSocket::bind(address(22_335)).unwrap();
    let site = Site::new(&[address(22_335)]);
    let mut command = site.command(vec![clone(&ng)]);
    let status = command.env("LISTEN_PID", "1").status().unwrap();
    assert_eq!(status.code(), Some(1));
    let log = fs::read_to_string(site.log()).unwrap();
    let words = format!("cannot receive ng on {}", address(22_335));
    assert!(log.contains(&words), "{log}");
}

#[test]
fn nonsense_about_descriptors_is_no_reason_not_to_run() {
    let site = Site::new(&[address(22_336)]);
    for count in ["5", "-1", "18446744073709551615", "2000000000", ""] {
        let mut command = site.command(Vec::new());
        let check = command.env("LISTEN_FDS", count).arg("--check-config");
        let Output { status, .. } = check.output().unwrap();
        assert_eq!(status.code(), Some(0), "{count}");
    }
}
