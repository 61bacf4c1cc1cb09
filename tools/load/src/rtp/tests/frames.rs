//! Whole frames over a cable in a network namespace, to a mirror that misbehaves in known ways.
//!
//! ```text
//! v0, without address ══ v1, 10.97.0.1: the mirror          10.97.0.9: no host, but a neighbour
//! ```

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;

const MIRROR: &str = "10.97.0.1";
const NOBODY: &str = "10.97.0.9";

/// A namespace with a cable. It goes when this does.
struct Cable {
    name: String,
}

impl Cable {
    /// `None`, said aloud, if this process may not make one.
    fn new(label: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            let is_required =
                std::env::var_os("TANDEM_TESTS_REQUIRE_ALL").is_some_and(|it| it == "1");
            assert!(!is_required, "must not be skipped here");
            let _ = writeln!(std::io::stderr(), "SKIPPED: only root may make namespaces");
            return None;
        }
        let name = format!("tandem-load-{}-{label}", std::process::id());
        ip(&["netns", "add", &name]);
        let this = Self { name };
        let within = |words: &[&str]| ip(&[&["-n", &this.name], words].concat());
        let mirror = ["link", "add", "v0", "type", "veth", "peer", "name", "v1"];
        within(&mirror);
        within(&["link", "set", "v0", "up"]);
        within(&["link", "set", "v1", "address", "02:00:0a:61:00:01", "up"]);
        within(&["addr", "add", &format!("{MIRROR}/24"), "dev", "v1"]);
        for (ip, hardware, device) in [
            (MIRROR, "02:00:0a:61:00:01", "v0"),
            (NOBODY, "02:00:0a:61:00:09", "v1"),
        ] {
            let neighbour = ["neigh", "replace", ip, "lladdr", hardware];
            within(&[&neighbour[..], &["dev", device, "nud", "permanent"]].concat());
        }
        Some(this)
    }

    /// Does something in a thread that is in the namespace; its threads are, too.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), kind).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status().unwrap();
    assert!(status.success(), "ip {}", words.join(" "));
}

/// 100 packets to each of 4 ports of a mirror, from an address of ours or of nobody.
fn through_mirror(label: &str, mischief: Mischief, local: &str) -> Option<Report> {
    let cable = Cable::new(label)?;
    let report = cable.within(|| {
        let mirror = Echo::start_at(MIRROR, 4, mischief);
        let options = Options {
            link: Some("v0".to_owned()),
            local: Some(local.parse().unwrap()),
            ..options(Target::Echoes(mirror.addresses.clone()))
        };
        run(&options, &AtomicBool::new(false), |_| ()).unwrap()
    });
    assert_eq!(report.packets.sent + report.generator.skipped, 400);
    Some(report)
}

#[test]
fn frames_come_back_whole_and_are_timed() {
    let Some(report) = through_mirror("good", Mischief::None, NOBODY) else {
        return;
    };
    assert!(report.is_clean(), "{:?}", report.packets);
    assert_eq!(report.packets.received, Some(report.packets.sent));
    assert_eq!(report.packets.reordered + report.packets.duplicated, 0);
    let latency = report.latency_us.unwrap();
    assert_eq!(latency.count, report.packets.sent);
    assert!(latency.p50 > 0.0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max);
}

#[test]
fn frames_that_are_lost_are_noticed() {
    let Some(report) = through_mirror("lose", Mischief::Lose, NOBODY) else {
        return;
    };
    assert_eq!(report.packets.lost, Some(report.packets.sent.div_ceil(10)));
}

#[test]
fn frames_that_are_changed_are_noticed() {
    let Some(report) = through_mirror("corrupt", Mischief::Corrupt, NOBODY) else {
        return;
    };
    let tenth = report.packets.sent.div_ceil(10);
    assert_eq!(report.packets.corrupted, tenth);
    assert_eq!(report.packets.lost, Some(tenth));
}

#[test]
fn frames_from_the_wrong_port_are_noticed() {
    let Some(report) = through_mirror("astray", Mischief::Misdeliver, NOBODY) else {
        return;
    };
    let tenth = report.packets.sent.div_ceil(10);
    assert_eq!(report.packets.misdelivered, tenth);
}

#[test]
fn what_frames_cannot_reach_is_told_before_anything_is_sent() {
    let Some(cable) = Cable::new("strangers") else {
        return;
    };
    let refuse = |link: &str, to: &str| {
        let to: SocketAddr = to.parse().unwrap();
        let options = Options {
            link: Some(link.to_owned()),
            local: Some(NOBODY.parse().unwrap()),
            ..options(Target::Echoes(vec![to]))
        };
        let options = Options {
            permission: Permission::new(vec![to.ip()]),
            ..options
        };
        let run = || run(&options, &AtomicBool::new(false), |_| ());
        cable.within(run).unwrap_err().to_string()
    };
    assert!(refuse("v7", "10.97.0.1:7").contains("v7"));
    assert!(refuse("v0", "10.97.0.2:7").contains("10.97.0.2 is not known"));
    assert!(refuse("v0", "[2001:db8::1]:7").contains("IPv4"));
}

/// An address of this host: its stack must not answer what comes to the ports.
#[test]
fn the_host_says_nothing_to_what_comes_back() {
    let Some(cable) = Cable::new("own") else {
        return;
    };
    let within = |words: &[&str]| ip(&[&["-n", &cable.name], words].concat());
    within(&["link", "set", "lo", "up"]);
    within(&["addr", "add", "10.97.0.5/32", "dev", "v0"]);
    cable.within(|| {
        let ports = Ports::open("10.97.0.5".parse().unwrap(), Some(&v0()), 0).unwrap();
        let phone = UdpSocket::bind((MIRROR, 0)).unwrap();
        phone.connect(ports.addresses()[0]).unwrap();
        // Were there nobody, as below, the second one would say so.
        assert_eq!(phone.send(b"one").unwrap(), 3);
        assert_eq!(phone.send(b"two").unwrap(), 3);
        let another = UdpSocket::bind(ports.addresses()[0]);
        assert!(another.is_err(), "the port is taken");
        drop(ports);
        let is_refused = (0..10_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            phone.send(b"three").is_err()
        });
        assert!(is_refused, "now there is nobody");
    });
}

fn v0() -> Interface {
    Interface::find("v0").unwrap()
}
