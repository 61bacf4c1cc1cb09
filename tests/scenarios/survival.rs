//! Control is killed while calls are being set up and others are up: nothing of either is lost.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use relay_wire::{
    CallKey, Command, FromRelay, InterfaceId, PROTOCOL_VERSION, Port, Reply, Request, ToRelay,
    WorkerId, decode, encode,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use tandem_tests::{
    MediaReport, NgClient, RtpEndpoint, Site, Tandem, Value, converse, offer_sdp, sdp_endpoint,
    until,
};

/// How much goes on when control dies.
struct Scale {
    /// Calls that are up.
    up: usize,
    /// Of these, calls in which people talk all the time.
    talking: usize,
    /// Calls that are being set up meanwhile: an offer and an answer each.
    new: usize,
    /// Calls that are waited for at the same time.
    window: usize,
    /// Calls begun each second; without it, as many as the window lets through.
    rate: Option<u32>,
}

/// From one sending of a request to the next, as proxies do it.
const RESEND: Duration = Duration::from_secs(1);

/// Ports enough for 10,000 calls.
const PORTS: [u16; 2] = [10_000, 59_999];

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn control_killed_while_hundreds_of_calls_are_set_up_forgets_none() {
    survive(&Scale {
        up: 200,
        talking: 5,
        new: 400,
        window: 32,
        rate: None,
    });
}

#[test]
#[ignore = "takes a machine that sets up 500 calls a second"]
fn control_killed_at_five_hundred_calls_a_second_forgets_none() {
    survive(&Scale {
        up: 2_000,
        talking: 20,
        new: 2_500,
        window: 2_000,
        rate: Some(500),
    });
}

fn survive(scale: &Scale) {
    let site = Site::new();
    // However slow this machine is, no call ends by itself.
    let mut tandem = Tandem::start_pair(&site, |file| {
        file.control.media_timeout_s = 0;
        file.control.offer_timeout_s = 3_600;
        file.relay.ports = PORTS;
    });
    let client = NgClient::new(tandem.ng());
    let sdp = offer_sdp(&RtpEndpoint::new(site.ip(2)), 1, "sendrecv");

    let talks: Vec<_> = (0..scale.talking)
        .map(|n| set_up_talk(&site, &client, n))
        .collect();
    for n in scale.talking..scale.up {
        let id = format!("up-{n}");
        let entries = [("call-id", id.as_str()), ("from-tag", "a"), ("sdp", &sdp)];
        assert_eq!(client.request("offer", &entries).text("result"), "ok");
        let answer = [&entries[..], &[("to-tag", "b")]].concat();
        assert_eq!(client.request("answer", &answer).text("result"), "ok");
    }

    let answered = AtomicUsize::new(0);
    let ng = tandem.ng();
    let (crowd, talked) = thread::scope(|scope| {
        let talkers: Vec<_> = talks
            .into_iter()
            .map(|(ends, relay)| {
                let answered = &answered;
                let talk = move || {
                    let all = || answered.load(Ordering::Relaxed) == scale.new;
                    let ([_, _], reports) =
                        converse(ends, relay, || until("all are set up", LIMIT, all));
                    (relay, reports)
                };
                scope.spawn(talk)
            })
            .collect();
        let crowd = scope.spawn(|| Crowd::new(scale, &sdp).set_up(ng, &answered));
        until("some calls are set up", LIMIT, || {
            answered.load(Ordering::Relaxed) >= scale.new / 4
        });
        tandem.kill_control();
        assert!(
            answered.load(Ordering::Relaxed) < scale.new,
            "it was in the middle of it"
        );
        tandem.start_control();
        let crowd = crowd.join().expect("each request is answered");
        let talked: Vec<_> = talkers
            .into_iter()
            .map(|it| it.join().expect("they talk"))
            .collect();
        (crowd, talked)
    });
    // Shown with `--nocapture`; nothing depends on it.
    eprintln!("{}", crowd.figures(&talked));

    for (relay, [by_caller, by_callee]) in &talked {
        by_caller.assert_heard_all_of(by_callee, relay[0]);
        by_callee.assert_heard_all_of(by_caller, relay[1]);
    }
    assert_none_forgotten(&tandem, &client, scale, &crowd.offered, &sdp);
    assert_all_end(&tandem, &client, scale);
    tandem.stop();
}

/// Each call that somebody was told of is there, has ports that no other has, and keeps them.
fn assert_none_forgotten(
    tandem: &Tandem,
    client: &NgClient,
    scale: &Scale,
    offered: &BTreeMap<String, String>,
    sdp: &str,
) {
    assert_eq!(offered.len(), scale.new);
    assert_eq!(sessions(client), scale.up + scale.new);
    let ports: HashSet<u16> = offered
        .values()
        .map(|sdp| sdp_endpoint(sdp).port())
        .collect();
    assert_eq!(ports.len(), scale.new, "no port was given to two calls");
    // Those of the call that found control ready are closed when the kernel gets round to it.
    until("no other ports are open", LIMIT, || {
        tandem.media_ports().len() == 4 * (scale.up + scale.new)
    });
    for (id, before) in offered {
        let entries = [("call-id", id.as_str()), ("from-tag", "a"), ("sdp", sdp)];
        let again = client.request("offer", &[&entries[..], &[("to-tag", "b")]].concat());
        let now = sdp_endpoint(again.text("sdp"));
        assert_eq!(now, sdp_endpoint(before), "{id} keeps its ports");
    }
}

fn assert_all_end(tandem: &Tandem, client: &NgClient, scale: &Scale) {
    let up = (0..scale.up).map(|n| format!("up-{n}"));
    for id in up.chain((0..scale.new).map(|n| format!("new-{n}"))) {
        let query = client.request("query", &[("call-id", &id)]);
        assert_eq!(query.text("result"), "ok", "{id}: {query:?}");
        let tags = query.find("tags").map(|tags| tags.entries().count());
        assert_eq!(tags, Some(2), "{id}: {query:?}");
        let reply = client.request("delete", &[("call-id", &id), ("delete-delay", "0")]);
        assert_eq!(
            (reply.text("result"), reply.text("warning")),
            ("ok", ""),
            "{id}"
        );
    }
    assert_eq!(sessions(client), 0);
    until("the ports are released", LIMIT, || {
        tandem.media_ports().is_empty()
    });
}

/// Calls that control knows: more than a list has room for.
fn sessions(client: &NgClient) -> usize {
    let reply = client.request("statistics", &[]);
    let count = reply.integer(&["statistics", "currentstatistics", "sessionstotal"]);
    let count = count.and_then(|count| usize::try_from(count).ok());
    count.unwrap_or_else(|| panic!("no count of calls in {reply:?}"))
}

/// A call whose ends hear one another.
fn set_up_talk(site: &Site, client: &NgClient, n: usize) -> ([RtpEndpoint; 2], [SocketAddr; 2]) {
    let ends = [20, 21].map(|host| RtpEndpoint::new(site.ip(host)));
    let id = format!("up-{n}");
    let [caller, callee] = ends.each_ref().map(|end| offer_sdp(end, 1, "sendrecv"));
    let offer = [
        ("call-id", id.as_str()),
        ("from-tag", "a"),
        ("sdp", &caller),
    ];
    let to_callee = client.request("offer", &offer);
    let answer = [
        ("call-id", id.as_str()),
        ("from-tag", "a"),
        ("to-tag", "b"),
        ("sdp", &callee),
    ];
    let to_caller = client.request("answer", &answer);
    let relay = [&to_caller, &to_callee].map(|reply| sdp_endpoint(reply.text("sdp")));
    (ends, relay)
}

/// Many calls that a proxy sets up: some at a time, an offer and then an answer, each sent again
/// until there is a reply.
struct Crowd<'a> {
    scale: &'a Scale,
    sdp: &'a str,
    /// Requests that wait for a reply, by their cookie, and when they were sent.
    open: BTreeMap<String, (String, Instant)>,
    begun: usize,
    /// What came back for offers and for answers, by Call-ID.
    offered: BTreeMap<String, String>,
    answered: BTreeMap<String, String>,
    resent: usize,
    began: Instant,
    last_reply: Instant,
    longest_wait: Duration,
}

impl<'a> Crowd<'a> {
    fn new(scale: &'a Scale, sdp: &'a str) -> Self {
        let now = Instant::now();
        Self {
            scale,
            sdp,
            open: BTreeMap::new(),
            begun: 0,
            offered: BTreeMap::new(),
            answered: BTreeMap::new(),
            resent: 0,
            began: now,
            last_reply: now,
            longest_wait: Duration::ZERO,
        }
    }

    fn set_up(mut self, ng: SocketAddr, answered: &AtomicUsize) -> Self {
        let client = NgClient::new(ng);
        while self.answered.len() < self.scale.new {
            let waiting = self.open.keys();
            assert!(self.began.elapsed() < LIMIT, "no reply: {waiting:?}");
            while self.may_begin() {
                self.send(&client, "offer", &format!("new-{}", self.begun));
                self.begun += 1;
            }
            self.send_again(&client);
            if let Some(datagram) = client.receive_raw(Duration::from_millis(2)) {
                self.take(&client, &datagram);
                answered.store(self.answered.len(), Ordering::Relaxed);
            }
        }
        self
    }

    fn may_begin(&self) -> bool {
        let due = self.scale.rate.map_or(usize::MAX, |rate| {
            let due = self.began.elapsed().as_millis() * u128::from(rate) / 1_000;
            usize::try_from(due).unwrap_or(usize::MAX)
        });
        self.begun < self.scale.new.min(due) && self.open.len() < self.scale.window
    }

    fn send(&mut self, client: &NgClient, command: &str, id: &str) {
        let tags = [("from-tag", "a"), ("to-tag", "b")];
        let tags = &tags[..if command == "offer" { 1 } else { 2 }];
        let entries = [("command", command), ("call-id", id), ("sdp", self.sdp)];
        let entries = entries.iter().chain(tags);
        let entries = entries.map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
        let document = Value::Dictionary(entries.collect());
        let cookie = format!("{command}/{id}");
        let datagram = format!("{cookie} {}", document.encode());
        // A server that is gone refuses: it is asked again.
        let _ = client.send_raw(datagram.as_bytes());
        self.open.insert(cookie, (datagram, Instant::now()));
    }

    fn send_again(&mut self, client: &NgClient) {
        let late = self.open.values_mut();
        for (datagram, sent_at) in late.filter(|(_, at)| at.elapsed() >= RESEND) {
            let _ = client.send_raw(datagram.as_bytes());
            *sent_at = Instant::now();
            self.resent += 1;
        }
    }

    fn take(&mut self, client: &NgClient, datagram: &[u8]) {
        self.longest_wait = self.longest_wait.max(self.last_reply.elapsed());
        self.last_reply = Instant::now();
        let space = datagram.iter().position(|byte| *byte == b' ');
        let (cookie, body) = datagram.split_at(space.expect("a reply has a cookie"));
        let cookie = String::from_utf8_lossy(cookie).into_owned();
        let reply = Value::decode(&body[1..]).expect("a reply can be read");
        assert_eq!(reply.text("result"), "ok", "{cookie}: {reply:?}");
        let sdp = reply.text("sdp").to_owned();
        let (command, id) = cookie.split_once('/').expect("it is one of ours");
        let is_offer = command == "offer";
        let replies = if is_offer {
            &mut self.offered
        } else {
            &mut self.answered
        };
        let before = replies.insert(id.to_owned(), sdp.clone());
        if let Some(before) = before {
            assert_eq!(before, sdp, "{cookie}: what was said is said again");
        } else if is_offer {
            self.send(client, "answer", id);
        }
        self.open.remove(&cookie);
    }

    fn figures(&self, talked: &[([SocketAddr; 2], [MediaReport; 2])]) -> String {
        let seconds = self.last_reply.duration_since(self.began).as_secs_f64();
        let reports = talked.iter().flat_map(|(_, reports)| reports);
        let packets: usize = reports.map(|report| report.received.len()).sum();
        format!(
            "{} calls set up in {seconds:.1} s beside {} that were up; no reply for {} ms; {} \
             requests sent again; {packets} packets of {} talks arrived",
            self.scale.new,
            self.scale.up,
            self.longest_wait.as_millis(),
            self.resent,
            talked.len(),
        )
    }
}

/// What an older or a newer control left cannot be read: it says so, and gives the ports back.
#[test]
fn records_of_another_version_are_refused_in_clear_words() {
    let site = Site::new();
    let mut tandem = Tandem::prepare(&site, |_| {});
    tandem.start_relay();
    let relay = tandem.runtime_dir().join("relay.sock");
    let predecessor =
        socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("there are sockets left");
    let address = SocketAddrUnix::new(&relay).expect("the path is short");
    connect(&predecessor, &address).expect("the relay listens");
    let version = PROTOCOL_VERSION;
    let hello = exchange(&predecessor, &ToRelay::Hello { version });
    let FromRelay::Hello(hello) = hello else {
        panic!("{hello:?}");
    };
    let first = *hello
        .partition
        .slice(WorkerId(0))
        .expect("a worker has ports")
        .start();
    for (number, form) in (0..).zip([1, 0xfe]) {
        let call = CallKey(1_000 + u64::from(number));
        let port = Port {
            interface: InterfaceId(0),
            number: first + 2 * number,
        };
        let request = Request {
            id: number.into(),
            worker: WorkerId(0),
            commands: vec![
                Command::CreateCall {
                    call,
                    media_timeout_ms: 0,
                    record: vec![form, 1, 2, 3],
                },
                Command::OpenEndpoint {
                    call,
                    port,
                    tos: None,
                },
            ],
        };
        let reply = exchange(&predecessor, &ToRelay::Request(request));
        assert!(
            matches!(reply, FromRelay::Reply(Reply { failure: None, .. })),
            "{reply:?}"
        );
    }
    drop(predecessor);
    assert_eq!(tandem.media_ports().len(), 2);

    tandem.start_control();
    until("the ports are given back", LIMIT, || {
        tandem.media_ports().is_empty()
    });
    assert_eq!(tandem.call_count(), 0);
    let log = tandem.control().log();
    for form in ["1", "254"] {
        let words = format!("another version of control wrote it (form {form}, not ");
        assert!(log.contains(&words), "{log}");
    }
    tandem.stop();
}

fn exchange(relay: &rustix::fd::OwnedFd, message: &ToRelay) -> FromRelay {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    send(relay, &bytes, SendFlags::NOSIGNAL).expect("the relay reads");
    let mut buffer = vec![0; 128 * 1_024];
    let (len, _) = recv(relay, &mut buffer[..], RecvFlags::empty()).expect("the relay answers");
    decode(&buffer[..len]).expect("what it says can be read")
}
