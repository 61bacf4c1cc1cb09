//! `tandem run` with daemons that do nothing but come and go.
//!
//! A script stands for each daemon; it becomes this very test program, which then plays the
//! daemon ([`fake_daemon`]): it makes the socket that shows it is ready, and writes what happens
//! to it into a journal.

mod harness;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use harness::Place;
use listenfd::ListenFd;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use tandem_settings::{exit_with_parent, load};

const DAEMONS: [&str; 3] = ["tandem-relay", "tandem-control", "tandem-sip-proxy"];

/// More than anything here takes, even on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "not a test: what a script becomes"]
fn fake_daemon() {
    let name = env::var("FAKE_DAEMON").expect("started by a script");
    let folder = env::var("FAKE_FOLDER").unwrap();
    let folder = Path::new(&folder);
    let parent = env::var("FAKE_PARENT").unwrap().parse().unwrap();
    exit_with_parent(parent);
    let journal = |what: &str| {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("journal"))
            .unwrap();
        writeln!(file, "{name} {what}").unwrap();
    };
    let has_file = |suffix: &str| folder.join(format!("{name}.{suffix}")).exists();
    journal(&format!("started {}", process::id()));
    // What a daemon would log.
    eprintln!("{{\"message\":\"{name} says hello\"}}");
    let mut signals = Signals::new([SIGTERM]).unwrap();
    if has_file("fails") {
        process::exit(1);
    }
    let _ready = become_ready(&name, folder);
    for _signal in signals.forever() {
        journal("asked to stop");
        if !has_file("ignores-signals") {
            break;
        }
    }
    // The next one must not be asked before this one has ended.
    thread::sleep(Duration::from_millis(100));
    journal("stopped");
    process::exit(0);
}

/// Makes what `tandem run` looks for, as the real daemon would.
fn become_ready(name: &str, folder: &Path) -> Box<dyn std::any::Any> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let loaded = load(Some(&folder.join("tandem.toml"))).unwrap();
    match name {
        "tandem-relay" => {
            let path = loaded.relay_socket();
            let _ = fs::remove_file(&path);
            let relay = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
            bind(&relay, &SocketAddrUnix::new(&path).unwrap()).unwrap();
            listen(&relay, 1).unwrap();
            Box::new(relay)
        }
        "tandem-control" => {
            let socket = ListenFd::from_env().take_udp_socket(0).unwrap().unwrap();
            let address = socket.local_addr().unwrap();
            assert_eq!(address, loaded.file.control.listen[0]);
            // Until the test lets it.
            while folder.join("tandem-control.held").exists() {
                thread::sleep(Duration::from_millis(10));
            }
            Box::new(thread::spawn(move || {
                let mut buffer = [0; 1_500];
                loop {
                    let (len, client) = socket.recv_from(&mut buffer).unwrap();
                    let datagram = String::from_utf8_lossy(&buffer[..len]).into_owned();
                    let cookie = datagram.split(' ').next().unwrap();
                    let pong = format!("{cookie} d6:result4:ponge");
                    socket.send_to(pong.as_bytes(), client).unwrap();
                }
            }))
        }
        _ => {
            let path = loaded.sip_proxy_socket();
            let _ = fs::remove_file(&path);
            Box::new(UnixListener::bind(path).unwrap())
        }
    }
}

/// A folder with three scripts, and settings with an address of its own.
struct Site {
    place: Place,
    ip: String,
}

impl Site {
    fn new(more_settings: &str) -> Self {
        let [_, _, high, low] = process::id().to_be_bytes();
        let counter = next_number();
        let ip = format!("127.{}.{high}.{low}", 241 + counter % 14);
        let settings = format!(
            "[control]\nlisten = [\"{ip}:2223\"]\n[sip_proxy]\nlisten = [\"udp:{ip}:5060\"]\n\
             control = \"{ip}:2223\"\n{more_settings}"
        );
        let site = Self {
            place: Place::new(&settings),
            ip,
        };
        fs::create_dir(site.place.path("bin")).unwrap();
        for name in DAEMONS {
            site.write_script(name, "exit 0");
        }
        site
    }

    fn write_script(&self, name: &str, on_check: &str) {
        let path = self.place.path("bin").join(name);
        let text = format!(
            "#!/bin/sh\n\
             for argument; do case $argument in\n\
             --check-config) {on_check} ;;\n\
             --exit-with-parent=*) parent=${{argument#*=}} ;;\n\
             esac; done\n\
             FAKE_DAEMON={name} FAKE_FOLDER='{}' FAKE_PARENT=$parent \\\n\
             exec '{}' --exact fake_daemon --ignored --nocapture --quiet\n",
            self.place.path("").display(),
            env::current_exe().unwrap().display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    fn mark(&self, daemon: &str, how: &str) {
        fs::write(self.place.path(&format!("{daemon}.{how}")), "").unwrap();
    }

    fn start(&self, arguments: &[&str]) -> Run {
        let bin_dir = self.place.path("bin").display().to_string();
        let config = self.place.path("tandem.toml").display().to_string();
        let all = [
            &["run", "--bin-dir", &bin_dir, "--config", &config],
            arguments,
        ]
        .concat();
        let mut child = self
            .place
            .command(&all)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Collector::new(child.stdout.take().unwrap());
        let err = Collector::new(child.stderr.take().unwrap());
        Run { child, out, err }
    }

    fn journal(&self) -> Vec<String> {
        let text = fs::read_to_string(self.place.path("journal")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Journal entries without process numbers.
    fn events(&self) -> Vec<String> {
        let short = |line: String| match line.split_once(" started ") {
            Some((name, _)) => format!("{name} started"),
            None => line,
        };
        self.journal().into_iter().map(short).collect()
    }

    /// The process of the newest start of a daemon.
    fn pid(&self, daemon: &str) -> Option<Pid> {
        let prefix = format!("{daemon} started ");
        let lines = self.journal();
        let pid = lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix(&prefix))?;
        Pid::from_raw(pid.parse().ok()?)
    }
}

/// Tests of one program may run at once.
fn next_number() -> usize {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// A running `tandem run`. Killed when dropped; its children follow by themselves.
struct Run {
    child: Child,
    out: Collector,
    err: Collector,
}

impl Run {
    fn out(&self) -> String {
        self.out.text()
    }

    fn err(&self) -> String {
        self.err.text()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    #[track_caller]
    fn await_running(&self) {
        until(
            "it runs",
            || self.out().contains("Tandem is running"),
            || self.err(),
        );
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.out.finish();
                self.err.finish();
                return status;
            }
            assert!(start.elapsed() < LIMIT, "still runs: {}", self.err());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Fails if it has ended, as most have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe as lines come.
struct Collector {
    text: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Collector {
    fn new(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&text);
        let read = move || {
            for line in BufReader::new(pipe).lines() {
                let line = line.unwrap() + "\n";
                shared.lock().unwrap().push_str(&line);
            }
        };
        Self {
            text,
            reader: Some(thread::spawn(read)),
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits for the last line: the process has ended, its pipe may still hold some.
    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool, explain: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < LIMIT,
            "not in time: {what}\n{}",
            explain()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(pid: Pid) -> bool {
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // A zombie has ended; it waits for its parent only.
    test_kill_process(pid).is_ok() && !stat.contains(") Z ")
}

#[test]
fn starts_in_order_announces_and_stops_in_the_other_order() {
    let site = Site::new("");
    let mut run = site.start(&[]);
    run.await_running();
    let starts = DAEMONS.map(|name| format!("{name} started"));
    assert_eq!(site.events(), starts);
    assert!(
        run.err()
            .contains("relay     | {\"message\":\"tandem-relay says hello\"}"),
        "{}",
        run.err()
    );
    run.signal(Signal::TERM);
    let status = run.wait();
    assert!(status.success(), "{status}: {}", run.err());
    let stops = ["tandem-sip-proxy", "tandem-control", "tandem-relay"]
        .map(|name| [format!("{name} asked to stop"), format!("{name} stopped")]);
    assert_eq!(site.events()[3..], stops.concat());
}

#[test]
fn one_that_dies_is_started_again_and_said_so() {
    let site = Site::new("");
    let run = site.start(&[]);
    run.await_running();
    for name in DAEMONS {
        let first = site.pid(name).unwrap();
        kill_process(first, Signal::KILL).unwrap();
        until(
            "another one runs",
            || site.pid(name).unwrap() != first,
            || run.err(),
        );
        let second = site.pid(name).unwrap().as_raw_nonzero();
        let short = name.trim_start_matches("tandem-");
        for words in [
            format!("{short} ended with signal: 9 (SIGKILL); starting it again in 0.2 s"),
            format!("{short} started, process {second}"),
        ] {
            until(
                "it is said",
                || run.err().contains(&words),
                || format!("{words}\n{}", run.err()),
            );
        }
    }
    assert_eq!(
        run.out().matches("Tandem is running").count(),
        1,
        "announced once"
    );
}

#[test]
fn what_is_sent_while_control_is_down_is_answered_by_the_next_one() {
    let site = Site::new("");
    let run = site.start(&[]);
    run.await_running();
    let first = site.pid("tandem-control").unwrap();
    site.mark("tandem-control", "held");
    kill_process(first, Signal::KILL).unwrap();
    until("it is dead", || !is_alive(first), || run.err());
    // Connected, so that a refusal would be an error.
    let proxy = UdpSocket::bind((site.ip.as_str(), 0)).unwrap();
    proxy.connect((site.ip.as_str(), 2_223)).unwrap();
    proxy.set_read_timeout(Some(LIMIT)).unwrap();
    proxy.send(b"7_1 d7:command4:pinge").unwrap();
    let another_runs = || site.pid("tandem-control").unwrap() != first;
    until("another one runs", another_runs, || run.err());
    fs::remove_file(site.place.path("tandem-control.held")).unwrap();
    let mut reply = [0; 100];
    let len = proxy.recv(&mut reply).unwrap();
    assert_eq!(&reply[..len], b"7_1 d6:result4:ponge");
}

#[test]
fn children_do_not_outlive_a_supervisor_that_is_killed() {
    let site = Site::new("");
    let mut run = site.start(&[]);
    run.await_running();
    let pids = DAEMONS.map(|name| site.pid(name).unwrap());
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    run.signal(Signal::KILL);
    assert_eq!(run.wait().signal(), Some(9));
    until(
        "all are gone",
        || !pids.iter().any(|pid| is_alive(*pid)),
        || format!("{pids:?}"),
    );
}

#[test]
fn the_second_signal_ends_what_hangs() {
    let site = Site::new("");
    site.mark("tandem-sip-proxy", "ignores-signals");
    let mut run = site.start(&[]);
    run.await_running();
    let pids = DAEMONS.map(|name| site.pid(name).unwrap());
    run.signal(Signal::INT);
    let asked = || {
        site.events()
            .contains(&"tandem-sip-proxy asked to stop".to_owned())
    };
    until("it was asked", asked, || run.err());
    run.signal(Signal::INT);
    assert!(run.wait().success());
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(run.err().contains("stopping at once"), "{}", run.err());
}

#[test]
fn one_that_hangs_is_killed_after_its_time() {
    let site = Site::new("");
    site.mark("tandem-control", "ignores-signals");
    let mut run = site.start(&[]);
    run.await_running();
    run.signal(Signal::TERM);
    assert!(run.wait().success());
    assert!(
        run.err()
            .contains("control did not stop within 5 s; killing it"),
        "{}",
        run.err()
    );
    assert_eq!(site.events().last().unwrap(), "tandem-relay stopped");
}

#[test]
fn one_that_fails_at_the_start_ends_everything() {
    let site = Site::new("");
    site.mark("tandem-control", "fails");
    let mut run = site.start(&[]);
    assert_eq!(run.wait().code(), Some(1), "{}", run.err());
    assert!(
        run.err()
            .contains("control ended with exit status: 1 before it was ready"),
        "{}",
        run.err()
    );
    let events = [
        "tandem-relay started",
        "tandem-control started",
        "tandem-relay asked to stop",
        "tandem-relay stopped",
    ];
    assert_eq!(site.events(), events);
    assert!(!run.out().contains("Tandem is running"));
}

#[test]
fn a_daemons_complaint_about_the_settings_ends_it_before_anything_starts() {
    let site = Site::new("");
    site.write_script(
        "tandem-control",
        "echo 'tandem.toml:2:1: control.listen: no' >&2; exit 2",
    );
    let mut run = site.start(&[]);
    assert_eq!(run.wait().code(), Some(2));
    assert!(
        run.err().contains("tandem.toml:2:1: control.listen: no"),
        "{}",
        run.err()
    );
    assert_eq!(site.events(), Vec::<String>::new());
}

#[test]
fn a_port_that_is_taken_is_reported_with_its_owner_and_its_setting() {
    let site = Site::new("");
    let _taken = UdpSocket::bind(format!("{}:5060", site.ip)).unwrap();
    let mut run = site.start(&[]);
    assert_eq!(run.wait().code(), Some(1));
    let err = run.err();
    let owner = format!("(process {})", process::id());
    for part in [
        "tandem.toml:4:11: sip_proxy.listen[0]: UDP port 5060 is in use by",
        &owner,
    ] {
        assert!(err.contains(part), "{part:?} is missing: {err}");
    }
    assert_eq!(site.events(), Vec::<String>::new());
}

#[test]
fn the_same_with_the_port_of_ng() {
    let site = Site::new("");
    let _taken = UdpSocket::bind(format!("{}:2223", site.ip)).unwrap();
    let mut run = site.start(&[]);
    assert_eq!(run.wait().code(), Some(1));
    let err = run.err();
    let owner = format!("(process {})", process::id());
    for part in [
        "tandem.toml:2:11: control.listen[0]: UDP port 2223 is in use by",
        &owner,
    ] {
        assert!(err.contains(part), "{part:?} is missing: {err}");
    }
    assert_eq!(site.events(), Vec::<String>::new());
}

#[test]
fn a_second_run_on_the_same_data_is_refused() {
    let site = Site::new("");
    let run = site.start(&[]);
    run.await_running();
    let mut second = site.start(&[]);
    assert_eq!(second.wait().code(), Some(1));
    let words = format!("it is running already, as process {}", run.child.id());
    assert!(second.err().contains(&words), "{}", second.err());
    assert_eq!(site.events().len(), DAEMONS.len());
}

#[test]
fn in_json_every_line_is_json() {
    let site = Site::new("[log]\nformat = \"json\"\n");
    let mut run = site.start(&[]);
    run.await_running();
    run.signal(Signal::TERM);
    assert!(run.wait().success());
    let err = run.err();
    for line in err.lines().filter(|line| !is_of_libtest(line)) {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["message"].is_string(), "{line}");
    }
    assert!(err.contains("relay is ready"), "{err}");
    assert!(err.contains("tandem-relay says hello"), "{err}");
}

/// What the test runner inside the fake daemons prints of its own.
fn is_of_libtest(line: &str) -> bool {
    line.is_empty() || line.starts_with("running ")
}

#[test]
fn demo_accounts_are_printed_to_standard_output_and_not_to_the_log() {
    let site = Site::new("");
    let run = site.start(&["--demo"]);
    run.await_running();
    let passwords = fs::read_to_string(site.place.path("data/demo-accounts")).unwrap();
    let users: Vec<_> = passwords
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    assert_eq!(users.len(), 2);
    until(
        "the box is whole",
        || run.out().contains("Ctrl-C"),
        || run.out(),
    );
    for (user, password) in users {
        assert!(
            run.out().contains(user) && run.out().contains(password),
            "{}",
            run.out()
        );
        assert!(!run.err().contains(password), "a secret in the log");
    }
    assert!(run.out().contains(&site.ip), "{}", run.out());
}
