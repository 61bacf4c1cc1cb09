//! A proxy has speech made silent, keys kept back, and parties put together; and hears of keys.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use tandem_tests::{Handset, NgClient, Site, Tandem, Value, dial, speech};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// A report of a key.
fn key(sequence: u8, code: u8, is_end: bool) -> Vec<u8> {
    let end = if is_end { 0x80 } else { 0 };
    vec![
        0x80,
        101,
        0,
        sequence,
        0,
        0,
        200 + code,
        0,
        0,
        0,
        0,
        7,
        code,
        end | 10,
        3,
        0x20,
    ]
}

fn done(client: &NgClient, command: &str, entries: &[(&str, &str)]) {
    let all = [&[("call-id", "c1")], entries].concat();
    let reply = client.request(command, &all);
    assert_eq!(reply.text("result"), "ok", "{command}: {reply:?}");
}

#[test]
fn a_proxy_silences_keeps_keys_back_hears_of_them_and_connects() {
    let site = Site::new();
    let proxy = listener(&site);
    let tandem = Tandem::start_pair(&site, |file| {
        file.control.dtmf_log = proxy.local_addr().ok();
    });
    let client = NgClient::new(tandem.ng());
    let mut lines = [2, 3, 4, 5].map(|host| Handset::new(&site, host));
    let [a, b, c, d] = &mut lines;
    dial(&client, "c1", [a, b], ["a", "b"], &[]);
    dial(&client, "c1", [c, d], ["c", "d"], &[]);

    a.say(&speech(7, 1, 0x2a));
    b.hear(&speech(7, 1, 0x2a));
    done(&client, "silence media", &[("from-tag", "a")]);
    a.say(&speech(7, 2, 0x2a));
    b.hear(&speech(7, 2, 0xd5));
    b.say(&speech(7, 1, 0x2a));
    a.hear(&speech(7, 1, 0x2a));
    done(&client, "unsilence media", &[("from-tag", "a")]);

    // Told of, and heard by the other party.
    for (sequence, is_end) in [(3, false), (4, true), (5, true), (6, true)] {
        a.say(&key(sequence, 5, is_end));
        b.hear(&key(sequence, 5, is_end));
    }
    hear_key(&proxy, 5, "a");
    // Told of all the same.
    done(
        &client,
        "block DTMF",
        &[("from-tag", "a"), ("flags", "directional")],
    );
    a.say(&key(7, 6, false));
    a.say(&key(8, 6, true));
    a.say(&speech(7, 9, 0x2a));
    b.hear(&speech(7, 9, 0x2a));
    hear_key(&proxy, 6, "a");
    done(&client, "block DTMF", &[("DTMF-security", "zero")]);
    b.say(&key(2, 7, true));
    a.hear(&{
        let mut zero = key(2, 7, true);
        zero[12] = 0;
        zero
    });
    hear_key(&proxy, 7, "b");
    done(&client, "unblock DTMF", &[("all", "all")]);
    a.say(&key(10, 8, true));
    b.hear(&key(10, 8, true));
    hear_key(&proxy, 8, "a");

    done(&client, "connect", &[("from-tag", "a"), ("to-tag", "c")]);
    a.say(&speech(7, 11, 0x2a));
    c.hear(&speech(7, 11, 0x2a));
    c.say(&speech(7, 1, 0x2b));
    a.hear(&speech(7, 1, 0x2b));
    // Who was left is not heard: what comes next is of the other.
    b.say(&speech(7, 3, 0x2c));
    d.say(&speech(7, 1, 0x2c));
    c.say(&speech(7, 2, 0x2b));
    a.hear(&speech(7, 2, 0x2b));
    let count = client.request("cli", &[("body", "list numsessions")]);
    let count = count.text("response");
    assert!(count.contains("Current sessions total: 1\n"), "{count}");
}

#[test]
fn a_call_that_names_somebody_has_its_keys_told_there_and_nowhere_else() {
    let site = Site::new();
    let [usual, other] = [(); 2].map(|()| listener(&site));
    let mut tandem = Tandem::start_pair(&site, |file| {
        file.control.dtmf_log = usual.local_addr().ok();
    });
    let client = NgClient::new(tandem.ng());
    let mut lines = [2, 3, 4, 5].map(|host| Handset::new(&site, host));
    let [a, b, c, d] = &mut lines;
    let there = other.local_addr().unwrap().to_string();
    dial(&client, "c1", [a, b], ["a", "b"], &[]);
    let log = [("DTMF-log-dest", &there[..])];
    dial(&client, "c2", [c, d], ["c", "d"], &log);
    for (sequence, [x, y, z]) in [(1, [1, 2, 3]), (2, [4, 5, 6])] {
        c.say(&key(sequence, x, true));
        d.hear(&key(sequence, x, true));
        hear_key_of(&other, "c2", x, "c");
        d.say(&key(sequence, y, true));
        c.hear(&key(sequence, y, true));
        hear_key_of(&other, "c2", y, "d");
        // Whoever else is told of keys was told of none of these.
        a.say(&key(sequence, z, true));
        b.hear(&key(sequence, z, true));
        hear_key_of(&usual, "c1", z, "a");
        if sequence == 1 {
            // The next control knows of it.
            tandem.kill_control();
            tandem.start_control();
        }
    }
}

#[test]
fn all_clients_over_tcp_are_told_of_keys_and_answered_as_ever() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |file| {
        file.control.listen_tcp = vec![over_tcp(file.control.listen[0])];
        file.control.dtmf_log_ng_tcp = true;
    });
    let client = NgClient::new(tandem.ng());
    let mut lines = [2, 3].map(|host| Handset::new(&site, host));
    let [a, b] = &mut lines;
    dial(&client, "c1", [a, b], ["a", "b"], &[]);
    let mut proxies = [(); 2].map(|()| {
        let proxy = TcpStream::connect(over_tcp(tandem.ng())).unwrap();
        proxy.set_read_timeout(Some(LIMIT)).unwrap();
        proxy
    });
    for proxy in &mut proxies {
        assert_eq!(ping(proxy), "pong");
    }
    for code in [5, 6] {
        a.say(&key(code, code, true));
        b.hear(&key(code, code, true));
        for proxy in &mut proxies {
            let (_, told) = message(proxy);
            assert_eq!(told.text("notify"), "onDTMF", "{told:?}");
            let key = told.find("data").expect("a key is told of");
            assert_eq!([key.text("callid"), key.text("source_tag")], ["c1", "a"]);
            assert_eq!(key.integer(&["event"]), Some(code.into()));
            assert_eq!(ping(proxy), "pong");
        }
    }
}

/// Where a server of ng over UDP speaks it over TCP, too.
fn over_tcp(ng: SocketAddr) -> SocketAddr {
    SocketAddr::new(ng.ip(), ng.port() + 1)
}

/// What a ping comes to.
#[track_caller]
fn ping(server: &mut TcpStream) -> String {
    server.write_all(b"p1 d7:command4:pinge").unwrap();
    let (cookie, reply) = message(server);
    assert_eq!(cookie, "p1", "{reply:?}");
    reply.text("result").to_owned()
}

/// The next message, when nothing comes after it: its cookie and what it says.
#[track_caller]
fn message(server: &mut TcpStream) -> (String, Value) {
    let (mut heard, mut buffer) = (Vec::new(), [0; 2_048]);
    loop {
        let len = server.read(&mut buffer).expect("a message comes");
        assert_ne!(len, 0, "closed after {}", heard.escape_ascii());
        heard.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8_lossy(&heard);
        if let Some((cookie, body)) = text.split_once(' ')
            && let Some(value) = Value::decode(body.as_bytes())
        {
            return (cookie.to_owned(), value);
        }
    }
}

/// Somebody who is told of keys.
fn listener(site: &Site) -> UdpSocket {
    let socket = UdpSocket::bind((site.ip(9), 0)).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

/// The next key that the proxy is told of is this one.
#[track_caller]
fn hear_key(proxy: &UdpSocket, code: u8, tag: &str) {
    hear_key_of(proxy, "c1", code, tag);
}

#[track_caller]
fn hear_key_of(proxy: &UdpSocket, call_id: &str, code: u8, tag: &str) {
    let mut buffer = [0; 2_048];
    let len = proxy.recv(&mut buffer).expect("a key is told of");
    let text = String::from_utf8_lossy(&buffer[..len]);
    for part in [
        &format!(r#""callid":"{call_id}""#),
        &format!(r#""source_tag":"{tag}""#),
        &format!(r#""event":{code},"duration":100,"volume":10}}"#),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
