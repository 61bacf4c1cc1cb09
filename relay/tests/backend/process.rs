//! The binary itself: signals, exit codes, descriptors.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::control::{Control, create, open, port, remove};
use crate::harness::Ports;

struct Daemon {
    child: Child,
    folder: tempfile::TempDir,
    _ports: Ports,
}

impl Daemon {
    fn start(driver: &str, idle_max: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::claim();
        let settings = format!(
            "[tandem]\ndata_dir = \".\"\n[relay]\ninterfaces = [\"127.0.0.1\"]\nworkers = 1\n\
             ports = [{}, {}]\ndriver = \"{driver}\"\nidle_sockets_max = {idle_max}\n",
            ports.first,
            ports.last()
        );
        fs::write(folder.path().join("tandem.toml"), settings).unwrap();
        let child = command(&folder).stderr(Stdio::piped()).spawn().unwrap();
        Self {
            child,
            folder,
            _ports: ports,
        }
    }

    fn connect(&self) -> Control {
        let path = self.folder.path().join("run/relay.sock");
        let until = Instant::now() + Duration::from_secs(10);
        while !Control::is_answered(&path) {
            assert!(Instant::now() < until, "it does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Control::connect(&path)
    }

    fn files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(folder).unwrap().count()
    }

    /// Sends a signal; returns the exit code and what was logged.
    fn end(mut self, signal: Signal) -> (i32, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        assert!(!self.folder.path().join("run/relay.sock").exists());
        (code, log)
    }
}

impl Drop for Daemon {
    /// Leaves none behind when a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-relay"));
    command
        .arg("--config")
        .arg(folder.path().join("tandem.toml"));
    command
}

#[test]
fn serves_and_stops_cleanly() {
    for (driver, signal) in [("poll", Signal::TERM), ("auto", Signal::INT)] {
        let daemon = Daemon::start(driver, 100);
        let mut control = daemon.connect();
        control.apply(0, vec![create(1), open(1, port(control.first_port()))]);
        let (code, log) = daemon.end(signal);
        assert_eq!(code, 0, "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}

#[test]
fn a_thousand_calls_leave_no_descriptor_behind() {
    for (driver, idle_max) in [("poll", 0), ("auto", 0), ("poll", 10), ("auto", 10)] {
        let daemon = Daemon::start(driver, idle_max);
        let mut control = daemon.connect();
        let first = control.first_port();
        control.worker(0);
        let before = daemon.files();
        for call in 0..1_000 {
            let ports = first + u16::try_from(call % 30 * 4).unwrap();
            let mut commands = vec![create(call)];
            commands.extend((0..4).map(|it| open(call, port(ports + it))));
            commands.push(remove(call));
            control.apply(0, commands);
        }
        let stats = control.worker(0);
        assert_eq!((stats.calls, stats.endpoints), (0, 0));
        while control.counter("endpoints_closing") > 0 {}
        // All are closed, but for as many as may be kept.
        assert_eq!(control.counter("ports_idle"), u64::from(idle_max));
        assert_eq!(daemon.files(), before + usize::try_from(idle_max).unwrap());
        daemon.end(Signal::TERM);
    }
}

#[test]
fn wrong_settings_are_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[relay]\nports = [1, 2]\n";
    fs::write(folder.path().join("tandem.toml"), settings).unwrap();
    let output = command(&folder).arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("tandem.toml:2") && error.contains("relay.ports"),
        "{error}"
    );
}
