//! The proxy over real sockets on loopback: phones, a control daemon, a database.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use sip_proxy_core::{CdrCause, MediaCounts};
use support::control::Control;
use support::phone::{Phone, Wire};
use support::sip::{Sip, uri};
use support::{PATIENCE, Proxy, REALM, eventually};

/// A call that was answered: what both sides need to end it.
struct Call {
    invite: Sip,
    response: Sip,
}

fn invite(phone: &mut Phone, call_id: &str) -> Sip {
    let to = format!("<sip:bob@{REALM}>");
    let body = phone.sdp(5_000);
    phone
        .request("INVITE", &format!("sip:bob@{REALM}"), call_id, &to)
        .body(&body)
}

/// Sends an INVITE, and one with credentials after the challenge.
fn begin_call(alice: &mut Phone, call_id: &str) {
    let first = invite(alice, call_id);
    alice.wire.send(&first.emit());
    let challenge = alice.final_response();
    assert_eq!(challenge.status(), 407, "{}", challenge.emit());
    let again = alice.answer_challenge(&first, &challenge, |phone| invite(phone, call_id));
    alice.wire.send(&again.emit());
}

/// Calls from alice to bob until the ACK has arrived.
fn call(alice: &mut Phone, bob: &mut Phone, call_id: &str) -> Call {
    begin_call(alice, call_id);
    let invite = bob.expect_request("INVITE");
    bob.wire
        .send(&invite.response("180 Ringing", "tbob").emit());
    alice.expect_status(180);
    let body = bob.sdp(6_000);
    let ok = invite
        .response("200 OK", "tbob")
        .with("Contact", &bob.contact())
        .body(&body);
    bob.wire.send(&ok.emit());
    let response = alice.expect_status(200);
    let ack = in_dialog(alice, "ACK", &response);
    alice.wire.send(&ack.emit());
    bob.expect_request("ACK");
    Call { invite, response }
}

/// A request of the caller within the dialog, along the route that the response recorded.
fn in_dialog(alice: &mut Phone, method: &str, response: &Sip) -> Sip {
    let target = uri(response.header("Contact")).to_owned();
    let to = response.header("To").to_owned();
    let call_id = response.header("Call-ID").to_owned();
    let cseq: u32 = response
        .header("CSeq")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut request = match method {
        "ACK" => alice.request_with_cseq(method, &target, &call_id, &to, cseq),
        _ => alice.request(method, &target, &call_id, &to),
    };
    for route in response.all("Record-Route").into_iter().rev() {
        request = request.with("Route", route);
    }
    request
}

fn hang_up(alice: &mut Phone, bob: &mut Phone, call: &Call) {
    let bye = in_dialog(alice, "BYE", &call.response);
    alice.wire.send(&bye.emit());
    let bye = bob.expect_request("BYE");
    bob.wire.send(&bye.response("200 OK", "").emit());
    assert_eq!(alice.final_response().status(), 200);
}

fn options(phone: &mut Phone) -> Sip {
    let to = format!("<sip:{REALM}>");
    phone.request("OPTIONS", &format!("sip:{REALM}"), "options", &to)
}

#[test]
fn registers_and_remembers_it_across_a_restart() {
    let proxy = Proxy::start(None);
    let mut bob = Phone::udp(&proxy, "bob");
    bob.register();
    let proxy = proxy.restart();
    let mut alice = Phone::udp(&proxy, "alice");
    alice.register();
    begin_call(&mut alice, "call-1");
    // The port is another one, yet the phone is found where it registered from.
    let invite = bob.expect_request("INVITE");
    assert!(invite.start.contains("bob@127.0.0.1"), "{}", invite.start);
}

#[test]
fn a_wrong_password_does_not_register() {
    let proxy = Proxy::start(None);
    let mut mallory = Phone::udp(&proxy, "bob");
    let request = |phone: &mut Phone| {
        let to = format!("<sip:bob@{REALM}>");
        phone.request("REGISTER", &format!("sip:{REALM}"), "reg", &to)
    };
    let first = request(&mut mallory);
    mallory.wire.send(&first.emit());
    let challenge = mallory.final_response();
    assert_eq!(challenge.status(), 401);
    let mut forged = mallory.answer_challenge(&first, &challenge, request);
    let (_, credentials) = forged.headers.last_mut().unwrap();
    *credentials = credentials.replace("response=\"", "response=\"0");
    mallory.wire.send(&forged.emit());
    assert!((400..500).contains(&mallory.final_response().status()));
    assert!(proxy.store().bindings(0, &[]).unwrap().is_empty());
}

#[test]
fn a_call_is_relayed_recorded_and_ended() {
    let control = Control::start();
    let mut proxy = Proxy::start(Some(control.address));
    let (mut alice, mut bob) = (Phone::udp(&proxy, "alice"), Phone::udp(&proxy, "bob"));
    alice.register();
    bob.register();
    let call = call(&mut alice, &mut bob, "call-1");
    for sdp in [&call.invite.body, &call.response.body] {
        assert!(sdp.contains("m=audio 40000 RTP/AVP 0"), "{sdp}");
    }
    hang_up(&mut alice, &mut bob, &call);

    proxy.stop();
    let records = proxy.store().cdrs(0, 10).unwrap();
    assert_eq!(records.len(), 1);
    let cdr = &records[0].cdr;
    assert_eq!(
        (cdr.call_id.as_str(), cdr.status, cdr.cause),
        ("call-1", 200, CdrCause::CallerBye)
    );
    assert_eq!(
        (cdr.caller.as_str(), cdr.callee.as_str()),
        ("alice@example.org", "bob@example.org")
    );
    let times = [
        Some(cdr.start_unix_ms),
        cdr.ring_unix_ms,
        cdr.answer_unix_ms,
        Some(cdr.end_unix_ms),
    ];
    assert!(
        times.iter().all(Option::is_some) && times.is_sorted(),
        "{times:?}"
    );
    let counts = MediaCounts {
        caller_packets: 11,
        caller_bytes: 11 * 172,
        callee_packets: 22,
        callee_bytes: 22 * 172,
    };
    assert_eq!(cdr.media, Some(counts));
    assert_eq!(control.seen(), ["offer", "answer", "delete"]);
}

#[test]
fn a_call_crosses_from_tcp_to_udp_and_back() {
    let control = Control::start();
    let proxy = Proxy::start(Some(control.address));
    let (mut alice, mut bob) = (Phone::tcp(&proxy, "alice"), Phone::udp(&proxy, "bob"));
    alice.register();
    bob.register();
    let answered = call(&mut alice, &mut bob, "call-1");
    hang_up(&mut alice, &mut bob, &answered);

    let (mut alice, mut bob) = (Phone::udp(&proxy, "alice"), Phone::tcp(&proxy, "bob"));
    alice.register();
    bob.register();
    begin_call(&mut alice, "call-2");
    // Over the connection that bob opened: nobody could open one to a phone behind a NAT.
    let invite = bob.expect_request("INVITE");
    bob.wire
        .send(&invite.response("486 Busy Here", "tbob").emit());
    bob.expect_request("ACK");
}

#[test]
fn a_silent_control_fails_calls_in_time_and_nothing_else() {
    let control = Control::start();
    control.set_silent(true);
    let proxy = Proxy::start(Some(control.address));
    let (mut alice, mut bob) = (Phone::udp(&proxy, "alice"), Phone::udp(&proxy, "bob"));
    alice.register();
    bob.register();
    let start = Instant::now();
    begin_call(&mut alice, "call-1");
    // While that call waits, everything else goes on.
    let mut other = Phone::udp(&proxy, "bob");
    for _ in 0..20 {
        let request = options(&mut other);
        other.wire.send(&request.emit());
        other.final_response();
    }
    let status = proxy.ask(r#"{"command":"status"}"#);
    assert_eq!(
        status["queues"]["media_requests"], 1,
        "the call is over: others waited for it"
    );
    let response = alice.final_response();
    assert!(
        (500..600).contains(&response.status()),
        "{}",
        response.emit()
    );
    assert!(
        start.elapsed() > proxy.settings.control_timeout / 2,
        "not tried for long enough"
    );
    let offers = control
        .seen()
        .iter()
        .filter(|name| *name == "offer")
        .count();
    assert_eq!(offers, 3, "sent, and sent again after 0.5 s and 1.5 s");

    control.set_silent(false);
    let mut carol = Phone::udp(&proxy, "alice");
    call(&mut carol, &mut bob, "call-2");
}

#[test]
fn a_media_timeout_ends_the_call() {
    let control = Control::start();
    let mut proxy = Proxy::start(Some(control.address));
    let (mut alice, mut bob) = (Phone::udp(&proxy, "alice"), Phone::udp(&proxy, "bob"));
    alice.register();
    bob.register();
    call(&mut alice, &mut bob, "call-1");
    control.time_out("call-1");
    for phone in [&mut alice, &mut bob] {
        let bye = phone.expect_request("BYE");
        phone.wire.send(&bye.response("200 OK", "").emit());
    }
    eventually("the acknowledgement", || {
        control
            .seen()
            .contains(&"acknowledge".to_owned())
            .then_some(())
    });
    eventually("the record", || {
        (proxy.store().cdr_count().unwrap() == 1).then_some(())
    });
    proxy.stop();
    assert_eq!(
        proxy.store().cdrs(0, 1).unwrap()[0].cdr.cause,
        CdrCause::MediaTimeout
    );
}

#[test]
fn a_locked_database_does_not_stop_calls() {
    let mut proxy = Proxy::start(None);
    let (mut alice, mut bob) = (Phone::udp(&proxy, "alice"), Phone::udp(&proxy, "bob"));
    let lock = rusqlite::Connection::open(&proxy.settings.database).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    alice.register();
    bob.register();
    let answered = call(&mut alice, &mut bob, "call-1");
    hang_up(&mut alice, &mut bob, &answered);
    assert_eq!(proxy.store().cdr_count().unwrap(), 0);
    lock.execute_batch("ROLLBACK").unwrap();
    proxy.stop();
    assert_eq!(proxy.store().cdr_count().unwrap(), 1);
}

#[test]
fn accounts_changed_by_another_process_count_within_seconds() {
    let proxy = Proxy::start(None);
    proxy.store().add_account("carol", REALM, "carol").unwrap();
    eventually("carol can register", || {
        let mut carol = Phone::udp(&proxy, "carol");
        let response = carol.ask(|phone| {
            let to = format!("<sip:carol@{REALM}>");
            phone.request("REGISTER", &format!("sip:{REALM}"), "reg", &to)
        });
        (response.status() == 200).then_some(())
    });
}

#[test]
fn messages_are_found_however_the_stream_is_cut() {
    let proxy = Proxy::start(None);
    let mut phone = Phone::tcp(&proxy, "alice");
    // Three at once, the second with a body that looks like a message.
    let second = options(&mut phone).body("OPTIONS sip:x SIP/2.0\r\n\r\n");
    let texts = [
        options(&mut phone).emit(),
        second.emit(),
        options(&mut phone).emit(),
    ];
    phone.wire.send(&texts.concat());
    let mut cseqs: Vec<String> = (0..3)
        .map(|_| phone.final_response().header("CSeq").to_owned())
        .collect();
    cseqs.sort();
    assert_eq!(cseqs, ["1 OPTIONS", "2 OPTIONS", "3 OPTIONS"]);
    // One in pieces.
    let text = options(&mut phone).emit();
    for piece in text.as_bytes().chunks(7) {
        phone.wire.send(std::str::from_utf8(piece).unwrap());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(phone.final_response().header("CSeq"), "4 OPTIONS");
}

#[test]
fn a_ping_is_answered() {
    let proxy = Proxy::start(None);
    let mut stream = TcpStream::connect(proxy.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[test]
fn a_stream_that_is_no_sip_is_closed() {
    let proxy = Proxy::start(None);
    let mut stream = TcpStream::connect(proxy.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    eventually("the end of the connection", || {
        (proxy.ask(r#"{"command":"status"}"#)["now"]["connections"] == 0).then_some(())
    });
}

#[test]
fn a_peer_that_reads_nothing_harms_nobody_else() {
    let proxy = Proxy::start(None);
    let mut greedy = Phone::tcp(&proxy, "alice");
    let mut other = Phone::udp(&proxy, "bob");
    let Wire::Tcp { stream, .. } = &greedy.wire else {
        unreachable!()
    };
    let mut writer = stream.try_clone().unwrap();
    let reader = stream.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        // Asks until the proxy has enough of it.
        while writer
            .write_all(options(&mut greedy).emit().as_bytes())
            .is_ok()
        {}
    });
    eventually("the proxy closes the connection", || {
        let start = Instant::now();
        let request = options(&mut other);
        other.wire.send(&request.emit());
        other.final_response();
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "UDP waited for TCP"
        );
        (proxy.ask(r#"{"command":"status"}"#)["tcp"]["overflowed"] == 1).then_some(())
    });
    let _ = reader.shutdown(Shutdown::Both);
    flood.join().unwrap();
}

#[test]
fn one_address_may_not_take_all_connections() {
    let proxy = Proxy::start(None);
    let status = || proxy.ask(r#"{"command":"status"}"#);
    let streams: Vec<TcpStream> = (0..30)
        .map(|_| TcpStream::connect(proxy.tcp).unwrap())
        .collect();
    eventually("refusals", || {
        (status()["tcp"]["refused_source"] == 5).then_some(())
    });
    assert_eq!(
        status()["now"]["connections"],
        25,
        "a quarter of connections_max"
    );
    drop(streams);
    eventually("all closed", || {
        (status()["now"]["connections"] == 0).then_some(())
    });
    Phone::tcp(&proxy, "bob").register();
}

#[test]
fn the_operator_sees_what_goes_on() {
    let control = Control::start();
    let proxy = Proxy::start(Some(control.address));
    let (mut alice, mut bob) = (Phone::udp(&proxy, "alice"), Phone::udp(&proxy, "bob"));
    alice.register();
    bob.register();
    call(&mut alice, &mut bob, "call-1");
    let status = proxy.ask(r#"{"command":"status"}"#);
    assert_eq!(status["now"]["accounts"], 2);
    assert_eq!(status["now"]["calls"], 1);
    assert_eq!(status["now"]["registrations"], 2);
    assert_eq!(status["media"]["requests"], 2);
    assert_eq!(
        status["listeners"][0]["address"],
        format!("udp:{}", proxy.udp)
    );

    let registrations = proxy.ask(r#"{"command":"registrations"}"#);
    assert_eq!(registrations["registrations"].as_array().unwrap().len(), 2);
    assert_eq!(registrations["registrations"][0]["user"], "alice");
    let calls = proxy.ask(r#"{"command":"calls"}"#);
    assert_eq!(calls["calls"][0]["call_id"], "call-1");
    assert_eq!(calls["calls"][0]["caller"], "alice@example.org");

    for line in [
        "",
        "nonsense",
        r#"{"command":"shutdown"}"#,
        &"x".repeat(10_000),
    ] {
        assert!(proxy.ask(line)["error"].is_string(), "{line:.20}");
    }
}
