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
    NgClient, RtpEndpoint, Site, Tandem, Value, converse, offer_sdp, sdp_endpoint, until,
};

/// Calls that are up when control dies.
const UP: usize = 200;

/// Of these, calls in which people talk all the time.
const TALKING: usize = 5;

/// Calls that are being set up meanwhile.
const NEW: usize = 400;

/// Requests whose replies are waited for at the same time.
const WINDOW: usize = 32;

/// Control is killed when so many of the new calls have been answered.
const KILLED_AT: usize = NEW / 4;

/// From one sending of a request to the next, as proxies do it.
const RESEND: Duration = Duration::from_secs(1);

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn control_killed_while_hundreds_of_calls_are_set_up_forgets_none() {
    let site = Site::new();
    // However slow this machine is, no call ends by itself.
    let mut tandem = Tandem::start_pair(&site, |file| {
        file.control.media_timeout_s = 0;
        file.control.offer_timeout_s = 3_600;
    });
    let client = NgClient::new(tandem.ng());
    let sdp = offer_sdp(&RtpEndpoint::new(site.ip(2)), 1, "sendrecv");

    let talks: Vec<_> = (0..TALKING)
        .map(|n| set_up_talk(&site, &client, n))
        .collect();
    for n in TALKING..UP {
        let id = format!("up-{n}");
        let entries = [("call-id", id.as_str()), ("from-tag", "a"), ("sdp", &sdp)];
        assert_eq!(client.request("offer", &entries).text("result"), "ok");
        let answer = [&entries[..], &[("to-tag", "b")]].concat();
        assert_eq!(client.request("answer", &answer).text("result"), "ok");
    }

    let answered = AtomicUsize::new(0);
    let ng = tandem.ng();
    let (replies, talked) = thread::scope(|scope| {
        let talkers: Vec<_> = talks
            .into_iter()
            .map(|(ends, relay)| {
                let answered = &answered;
                let talk = move || {
                    let all = || answered.load(Ordering::Relaxed) == NEW;
                    let ([_, _], reports) =
                        converse(ends, relay, || until("all are set up", LIMIT, all));
                    (relay, reports)
                };
                scope.spawn(talk)
            })
            .collect();
        let crowd = scope.spawn(|| set_up_crowd(ng, &sdp, &answered));
        until("some calls are set up", LIMIT, || {
            answered.load(Ordering::Relaxed) >= KILLED_AT
        });
        tandem.kill_control();
        assert!(
            answered.load(Ordering::Relaxed) < NEW,
            "it was in the middle of it"
        );
        tandem.start_control();
        let replies = crowd.join().expect("each request is answered");
        let talked: Vec<_> = talkers
            .into_iter()
            .map(|it| it.join().expect("they talk"))
            .collect();
        (replies, talked)
    });

    for (relay, [by_caller, by_callee]) in &talked {
        by_caller.assert_heard_all_of(by_callee, relay[0]);
        by_callee.assert_heard_all_of(by_caller, relay[1]);
    }
    assert_none_forgotten(&tandem, &client, &replies, &sdp);
    assert_all_end(&tandem, &client);
    tandem.stop();
}

/// Each call that somebody was told of is there, has ports that no other has, and keeps them.
fn assert_none_forgotten(
    tandem: &Tandem,
    client: &NgClient,
    replies: &BTreeMap<String, String>,
    sdp: &str,
) {
    assert_eq!(replies.len(), NEW);
    assert_eq!(tandem.call_count(), UP + NEW);
    let ports: HashSet<u16> = replies
        .values()
        .map(|sdp| sdp_endpoint(sdp).port())
        .collect();
    assert_eq!(ports.len(), NEW, "no port was given to two calls");
    // Those of the call that found control ready are closed when the kernel gets round to it.
    until("no other ports are open", LIMIT, || {
        tandem.media_ports().len() == 4 * (UP + NEW)
    });
    for (id, before) in replies {
        let entries = [("call-id", id.as_str()), ("from-tag", "a"), ("sdp", sdp)];
        let again = client.request("offer", &entries);
        let now = sdp_endpoint(again.text("sdp"));
        assert_eq!(now, sdp_endpoint(before), "{id} keeps its ports");
    }
}

fn assert_all_end(tandem: &Tandem, client: &NgClient) {
    let up = (0..UP).map(|n| format!("up-{n}"));
    for id in up.chain((0..NEW).map(|n| format!("new-{n}"))) {
        let query = client.request("query", &[("call-id", &id)]);
        assert_eq!(query.text("result"), "ok", "{id}: {query:?}");
        let reply = client.request("delete", &[("call-id", &id), ("delete-delay", "0")]);
        assert_eq!(
            (reply.text("result"), reply.text("warning")),
            ("ok", ""),
            "{id}"
        );
    }
    assert_eq!(tandem.call_count(), 0);
    until("the ports are released", LIMIT, || {
        tandem.media_ports().is_empty()
    });
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

/// Offers many calls as a proxy does: some at a time, each sent again until it is answered. The
/// descriptions that came back, by Call-ID.
fn set_up_crowd(ng: SocketAddr, sdp: &str, answered: &AtomicUsize) -> BTreeMap<String, String> {
    let client = NgClient::new(ng);
    let mut replies = BTreeMap::new();
    let mut open: BTreeMap<String, (String, Instant)> = BTreeMap::new();
    let mut waiting = (0..NEW).map(|n| format!("new-{n}"));
    let deadline = Instant::now() + LIMIT;
    while replies.len() < NEW {
        assert!(
            Instant::now() < deadline,
            "without a reply: {:?}",
            open.keys()
        );
        while open.len() < WINDOW
            && let Some(id) = waiting.next()
        {
            let entries = [("call-id", id.as_str()), ("from-tag", "a"), ("sdp", sdp)];
            let entries = entries.map(|(key, value)| (key.to_owned(), Value::from(value)));
            let command = ("command".to_owned(), Value::from("offer"));
            let document = Value::Dictionary(entries.into_iter().chain([command]).collect());
            let datagram = format!("{id} {}", document.encode());
            // A server that is gone refuses: it is asked again.
            let _ = client.send_raw(datagram.as_bytes());
            open.insert(id, (datagram, Instant::now()));
        }
        for (datagram, sent_at) in open.values_mut().filter(|(_, at)| at.elapsed() >= RESEND) {
            let _ = client.send_raw(datagram.as_bytes());
            *sent_at = Instant::now();
        }
        let Some(datagram) = client.receive_raw(Duration::from_millis(50)) else {
            continue;
        };
        let space = datagram.iter().position(|byte| *byte == b' ');
        let (cookie, body) = datagram.split_at(space.expect("a reply has a cookie"));
        let id = String::from_utf8_lossy(cookie).into_owned();
        let reply = Value::decode(&body[1..]).expect("a reply can be read");
        assert_eq!(reply.text("result"), "ok", "{id}: {reply:?}");
        open.remove(&id);
        if replies
            .insert(id.clone(), reply.text("sdp").to_owned())
            .is_none()
        {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    replies
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
