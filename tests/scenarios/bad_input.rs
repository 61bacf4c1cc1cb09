//! Rubbish from strangers, and from those who should know better: an error reply or a counter,
//! never a crash, never a flood of log, and everybody else is served as before.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};
use tandem_fuzz::torture::{self, Expectation};
use tandem_tests::{
    Daemon, Exchange, Message, NgClient, RtpEndpoint, Site, Tandem, TwoPhones, Value, mutations,
    offer_sdp, random_datagrams, truncations, until,
};

/// Bytes of log that any daemon may write in one of these scenarios: thousands of mistakes must
/// not make thousands of lines.
const LOG_BYTES_MAX: u64 = 64 * 1_024;

/// KiB that any daemon may grow by.
const GROWTH_KIB_MAX: u64 = 24 * 1_024;

/// Host number of the stranger.
const STRANGER: u8 = 66;

#[test]
fn the_proxy_survives_what_is_not_sip() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    phones.call_once();
    let before = memory(&tandem);

    let invite = valid_invite(&site, &tandem);
    let mut rubbish = random_datagrams(1, 400);
    rubbish.extend(truncations(&invite, 200));
    rubbish.extend(mutations(2, &invite, 400));
    rubbish.extend(oversized(&invite));
    let socket = UdpSocket::bind(site.address(STRANGER, 5_060)).expect("the address is free");
    for datagram in &rubbish {
        socket
            .send_to(datagram, tandem.sip())
            .expect("loopback takes packets");
        pace();
    }
    for message in rubbish.iter().step_by(4) {
        let connection = TcpStream::connect(tandem.sip());
        send_over_tcp(connection.expect("the proxy takes connections"), message);
    }
    assert!(tandem.count("/sip-proxy/report/sip/malformed") > 100);
    assert!(tandem.count("/sip-proxy/report/sip/invalid") > 10);
    phones.call_once();
    assert_unharmed(&tandem, before);
    tandem.stop_with_log_limit(LOG_BYTES_MAX);
}

/// The messages of RFC 4475, from a stranger at the port that most of their Vias name.
#[test]
fn the_proxy_answers_each_torture_message_as_it_deserves() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    let before = memory(&tandem);
    let socket = UdpSocket::bind(site.address(STRANGER, 5_060)).expect("the address is free");
    let mut wrong = Vec::new();
    for case in torture::messages() {
        let status = status_of(&socket, tandem.sip(), &case.bytes);
        let is_right = match case.expectation {
            Expectation::Accept => true,
            Expectation::Answer(expected) => status == Some(expected),
            Expectation::Discard => status.is_none(),
        };
        if !is_right {
            wrong.push((case.name, case.expectation, status));
        }
        let connection = TcpStream::connect(tandem.sip());
        send_over_tcp(
            connection.expect("the proxy takes connections"),
            &case.bytes,
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    phones.call_once();
    assert_unharmed(&tandem, before);
    tandem.stop_with_log_limit(LOG_BYTES_MAX);
}

#[test]
fn control_survives_what_is_not_ng_and_what_is_not_sdp() {
    let site = Site::new();
    // Some of the offers are good enough: they end by themselves.
    let tandem = Tandem::start_with(&site, |file| file.control.offer_timeout_s = 5);
    let mut phones = TwoPhones::new(&site, &tandem);
    phones.call_once();
    let before = memory(&tandem);

    let client = NgClient::new(tandem.ng());
    let media = RtpEndpoint::new(site.ip(STRANGER));
    let sdp = offer_sdp(&media, 1, "sendrecv");
    let offer = offer_of(sdp.as_bytes());
    for datagram in random_datagrams(3, 400) {
        client.send_raw(&datagram).expect("control is there");
        pace();
    }
    let mut payloads = truncations(&offer, 200);
    payloads.extend(mutations(4, &offer, 200));
    payloads.extend(NESTED_AND_OVERLONG.iter().map(|payload| payload.to_vec()));
    for payload in &payloads {
        answers_in_form(&client, payload);
    }
    // Well-formed ng with an SDP that is not.
    let mut descriptions = truncations(sdp.as_bytes(), 60);
    descriptions.extend(mutations(5, sdp.as_bytes(), 300));
    descriptions.extend(random_datagrams(6, 40));
    for sdp in &descriptions {
        answers_in_form(&client, &offer_of(sdp));
    }
    let malformed = "/control/report/totalstatistics/malformedrequests";
    assert!(tandem.count(malformed) > 100);
    phones.call_once();
    assert_unharmed(&tandem, before);
    tandem.stop_with_log_limit(LOG_BYTES_MAX);
}

#[test]
fn the_relay_survives_what_is_not_rtp_and_lets_nobody_in() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    let call = phones.connect();
    let before = memory(&tandem);
    let ports = tandem.media_ports();
    // The call is past the time in which its ends are still learnt.
    let (call, reports) = call.converse(|| sleep(Duration::from_millis(3_200)));
    call.assert_nothing_lost(&reports);

    // A stranger sprays all ports of the call while people talk.
    let stranger = RtpEndpoint::new(site.ip(STRANGER));
    let media_ip = tandem.media_ip();
    let (call, reports) = call.converse(|| {
        let mut rubbish = random_datagrams(7, 100);
        rubbish.extend((0..100).map(rtp_of_a_stranger));
        rubbish.extend(truncations(&RTCP_COMPOUND, RTCP_COMPOUND.len()));
        for datagram in rubbish {
            for port in &ports {
                stranger.send_raw(SocketAddr::new(media_ip, *port), &datagram);
            }
            sleep(Duration::from_millis(2));
        }
    });
    call.assert_nothing_lost(&reports);
    assert_eq!(stranger.receive(Duration::ZERO), None, "nothing leaks out");
    let mismatches = "/relay/report/counters/dropped_source_mismatch";
    assert!(tandem.count(mismatches) > 500, "each of them is counted");

    // One of the two sends rubbish itself: only the other has to live with it.
    let rtcp = SocketAddr::new(call.relay[0].ip(), call.relay[0].port() + 1);
    for datagram in random_datagrams(8, 200) {
        call.ends[0].send_raw(call.relay[0], &datagram);
        call.ends[0].send_rtcp_raw(rtcp, &datagram);
        pace();
    }
    for datagram in truncations(&RTCP_COMPOUND, RTCP_COMPOUND.len()) {
        call.ends[0].send_rtcp_raw(rtcp, &datagram);
    }
    while call.ends[1].receive(Duration::from_millis(200)).is_some() {}
    let (mut call, reports) = call.converse(|| sleep(Duration::from_millis(300)));
    let heard = &reports[0].received;
    assert_eq!(heard.len(), usize::from(reports[1].sent), "the way back");
    phones.hang_up(&mut call);
    phones.call_once();
    assert_unharmed(&tandem, before);
    tandem.stop_with_log_limit(LOG_BYTES_MAX);
}

#[test]
fn the_sockets_between_the_daemons_survive_rubbish_too() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    phones.call_once();
    let before = memory(&tandem);

    for message in random_datagrams(9, 48) {
        send_to_relay(&tandem.runtime_dir().join("relay.sock"), &message);
    }
    for line in random_datagrams(10, 48) {
        send_to_proxy(&tandem.runtime_dir().join("sip-proxy.sock"), &line);
    }
    // Each of these took control's place at the relay for a moment.
    until(
        "control has its relay back",
        Duration::from_secs(20),
        || tandem.places_calls(),
    );
    phones.call_once();
    assert_unharmed(&tandem, before);
    tandem.stop_with_log_limit(LOG_BYTES_MAX);
}

/// Twenty thousand bad messages at full speed write no more log than a few dozen.
#[test]
fn a_flood_of_bad_messages_is_no_flood_of_log() {
    let site = Site::new();
    let tandem = Tandem::start_with(&site, |file| {
        file.sip_proxy.requests_per_second_max = 100;
    });
    let mut phones = TwoPhones::new(&site, &tandem);
    let before = memory(&tandem);
    let sip = UdpSocket::bind(site.address(STRANGER, 5_060)).expect("the address is free");
    let ng = NgClient::new(tandem.ng());
    let bad_sip = b"INVITE sip:x SIP/2.0\r\nVia: rubbish\r\nCSeq: none\r\n\r\n";
    for count in 0..20_000_u32 {
        sip.send_to(bad_sip, tandem.sip())
            .expect("loopback takes packets");
        let bad_ng = format!("{count} d7:command5:nonsee");
        ng.send_raw(bad_ng.as_bytes()).expect("control is there");
    }
    until("everybody is served again", Duration::from_secs(20), || {
        tandem.places_calls()
    });
    phones.call_once();
    assert_unharmed(&tandem, before);
    tandem.stop_with_log_limit(LOG_BYTES_MAX);
}

/// Memory of relay, control and proxy.
fn memory(tandem: &Tandem) -> [u64; 3] {
    daemons(tandem).map(|daemon| daemon.process().rss_kib())
}

fn daemons(tandem: &Tandem) -> [&Daemon; 3] {
    [tandem.relay(), tandem.control(), tandem.sip_proxy()]
}

#[track_caller]
fn assert_unharmed(tandem: &Tandem, before: [u64; 3]) {
    for (daemon, before) in daemons(tandem).into_iter().zip(before) {
        assert!(daemon.process().is_alive());
        let growth = daemon.process().rss_kib().saturating_sub(before);
        assert!(growth <= GROWTH_KIB_MAX, "grew by {growth} KiB");
    }
    until("nothing is left", Duration::from_secs(20), || {
        tandem.call_count() == 0 && tandem.media_ports().is_empty()
    });
}

/// Whatever is asked, the reply has the form of one: bencode with a result, or JSON with one if
/// that was begun with.
#[track_caller]
fn answers_in_form(client: &NgClient, payload: &[u8]) {
    let reply = client.exchange(payload, Duration::from_secs(5));
    let shown = String::from_utf8_lossy(payload);
    let Some(reply) = reply else {
        // Nothing was asked: a cookie and no payload.
        assert!(payload.is_empty(), "no reply to {shown}");
        return;
    };
    let texts: [String; 2] = if payload.starts_with(b"{") {
        let reply: serde_json::Value = serde_json::from_slice(&reply)
            .unwrap_or_else(|error| panic!("not JSON ({error}), to {shown}"));
        ["result", "error-reason"].map(|key| reply[key].as_str().unwrap_or_default().to_owned())
    } else {
        let reply = Value::decode(&reply).unwrap_or_else(|| panic!("not bencode, to {shown}"));
        ["result", "error-reason"].map(|key| reply.text(key).to_owned())
    };
    let [result, reason] = texts;
    match result.as_str() {
        "error" => assert!(!reason.is_empty(), "no reason: {shown}"),
        "load limit" | "ok" | "pong" => {}
        result => panic!("{result:?} to {shown}"),
    }
}

/// An offer as Kamailio makes it.
fn offer_of(sdp: &[u8]) -> Vec<u8> {
    let mut offer = b"d8:supportsl10:load limite3:sdp".to_vec();
    offer.extend(format!("{}:", sdp.len()).bytes());
    offer.extend_from_slice(sdp);
    offer.extend_from_slice(b"7:call-id3:bad13:received-froml3:IP49:127.0.0.1e8:from-tag1:a");
    offer.extend_from_slice(b"7:command5:offere");
    offer
}

fn valid_invite(site: &Site, tandem: &Tandem) -> Vec<u8> {
    let media = RtpEndpoint::new(site.ip(STRANGER));
    let (domain, local) = (tandem.domain(), site.address(STRANGER, 5_060));
    Message::new(format!("INVITE sip:bob@{domain} SIP/2.0"))
        .with(
            "Via",
            format!("SIP/2.0/UDP {local};branch=z9hG4bKbad;rport"),
        )
        .with("Max-Forwards", "70")
        .with("From", format!("\"A stranger\" <sip:x@{domain}>;tag=1"))
        .with("To", format!("<sip:bob@{domain}>"))
        .with("Call-ID", "bad@example.com")
        .with("CSeq", "1 INVITE")
        .with("Contact", format!("<sip:x@{local}>"))
        .with_sdp(&offer_sdp(&media, 1, "sendrecv"))
        .to_bytes()
}

/// As large as a datagram can be, in three ways.
fn oversized(invite: &[u8]) -> Vec<Vec<u8>> {
    let (line, rest) = invite.split_at(invite.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    let stuffed = |stuffing: String| [line, stuffing.as_bytes(), rest].concat();
    vec![
        stuffed("Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n".repeat(1_200)),
        stuffed(format!("Subject: {}\r\n", "x".repeat(60_000))),
        stuffed(format!("Contact: {}\r\n", "<sip:a@b>,".repeat(6_000))),
        [invite, vec![b'a'; 60_000].as_slice()].concat(),
    ]
}

/// The final status that a datagram is answered with, if it is answered.
fn status_of(socket: &UdpSocket, proxy: SocketAddr, datagram: &[u8]) -> Option<u16> {
    socket
        .send_to(datagram, proxy)
        .expect("loopback takes packets");
    let limit = Duration::from_millis(250);
    socket
        .set_read_timeout(Some(limit))
        .expect("it is not zero");
    let mut buffer = [0; 65_536];
    loop {
        let (len, _) = socket.recv_from(&mut buffer).ok()?;
        let status = Message::parse(&buffer[..len]).status();
        if status.is_some_and(|status| status >= 200) {
            return status;
        }
    }
}

/// One connection a message; the proxy may close it at once, or answer.
fn send_over_tcp(mut stream: TcpStream, message: &[u8]) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
    let _ = stream.write_all(message);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 4_096]);
}

fn send_to_relay(path: &Path, message: &[u8]) {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None).expect("a socket");
    let address = SocketAddrUnix::new(path).expect("the path is short");
    connect(&socket, &address).expect("the relay takes connections");
    // It may have been closed already.
    let _ = send(&socket, message, SendFlags::NOSIGNAL);
    let _ = send(&socket, b"\0\x01", SendFlags::NOSIGNAL);
}

fn send_to_proxy(path: &Path, line: &[u8]) {
    let mut stream = UnixStream::connect(path).expect("the proxy takes connections");
    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
    let _ = stream.write_all(line);
    let _ = stream.write_all(b"\n{\"request\":\n");
    let _ = stream.read(&mut [0; 4_096]);
}

fn rtp_of_a_stranger(sequence: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, sequence, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef];
    packet.extend([0x55; 160]);
    packet
}

/// Leaves the receiver a moment: what overflows a socket buffer tests nothing.
fn pace() {
    sleep(Duration::from_micros(200));
}

/// Payloads that are wrong in ways that cutting and changing bytes does not find.
const NESTED_AND_OVERLONG: [&[u8]; 9] = [
    b"",
    b"x",
    b"{",
    b"{\"command\":\"ping\"",
    b"d7:command4:pinge4:more",
    b"d7:command99999999999999999999:pinge",
    b"d7:commandi99999999999999999999999ee",
    b"d7:command5:offer3:sdpdlllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllle",
    b"lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll",
];

/// A sender report and a BYE.
const RTCP_COMPOUND: [u8; 36] = [
    0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
    160, //
    0x81, 203, 0, 1, 0, 0, 0, 1,
];
