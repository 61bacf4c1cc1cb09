//! Messages that are wrong in one way each: every one is answered or counted, and what comes
//! after it is served as before. The corpus of RFC 4475 itself is the message layer's.

use super::World;

const SENDER: &str = "203.0.113.66:5060";

fn options(more: &str) -> String {
    format!(
        "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bKj\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@example.net>;tag=1\r\nTo: <sip:example.com>\r\n\
         Call-ID: junk\r\nCSeq: 1 OPTIONS\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// The status of the answer, if there is one.
fn answer(text: &[u8]) -> Option<u16> {
    let mut world = World::new(1);
    world.inject(SENDER, text);
    world.run_ms(10);
    let counters = world.proxy.counters();
    let seen = world.seen_at(SENDER);
    assert!(seen.len() <= 1, "one answer at most");
    let status = seen.first().map(|text| text[8..11].parse().unwrap());
    let is_counted = counters.malformed
        + counters.invalid
        + counters.challenged
        + counters.responses_stray
        + counters.acks_stray
        + counters.dialog_unknown
        + counters.keep_alives
        + counters.forbidden
        + counters.loops;
    assert!(
        status == Some(200) || is_counted > 0,
        "neither fine nor counted"
    );
    // The next one is served.
    world.inject(
        SENDER,
        options("").replace("z9hG4bKj", "z9hG4bKnext").as_bytes(),
    );
    world.run_ms(10);
    assert!(
        world
            .seen_at(SENDER)
            .last()
            .unwrap()
            .starts_with("SIP/2.0 200 ")
    );
    status
}

#[test]
fn each_fault_has_its_answer() {
    let fine = options("");
    for (text, status) in [
        (fine.clone(), Some(200)),
        (fine.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"), Some(505)),
        (fine.replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), Some(400)),
        (fine.replace("CSeq: 1 OPTIONS\r\n", ""), Some(400)),
        (fine.replace("Call-ID: junk\r\n", ""), Some(400)),
        (fine.replace("CSeq: 1 ", "CSeq: 99999999999 "), Some(400)),
        (
            fine.replace("Content-Length: 0", "Content-Length: -5"),
            Some(400),
        ),
        (
            fine.replace("Content-Length: 0", "Content-Length: 999"),
            Some(400),
        ),
        (
            fine.replace("From: ", "From: <sip:y@z>;tag=2\r\nFrom: "),
            Some(400),
        ),
        (
            fine.replace("Max-Forwards: 70", "Max-Forwards: 1000"),
            Some(400),
        ),
        (options("Require: magic\r\n"), Some(420)),
        (options("Route: <sip:\r\n"), Some(400)),
        (fine.replace("OPTIONS", "NEWMETHOD"), Some(407)),
        (
            fine.replace("Via: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bKj\r\n", ""),
            None,
        ),
        (fine.replace("OPTIONS", "ACK"), None),
        ("\r\n\r\n".to_owned(), None),
        ("hello".to_owned(), None),
        ("SIP/2.0 200 OK\r\n\r\n".to_owned(), None),
        (
            fine.replacen("OPTIONS sip:example.com SIP/2.0", "SIP/2.0 200 OK", 1),
            None,
        ),
        ("INVITE sip:example.com SIP/2.0\r\n\r\n".to_owned(), None),
    ] {
        assert_eq!(answer(text.as_bytes()), status, "{text}");
    }
}

#[test]
fn an_enormous_call_id_is_refused() {
    let text = options("").replace("junk", &"x".repeat(2_000));
    assert_eq!(answer(text.as_bytes()), Some(400));
}

#[test]
fn every_truncation_is_survived() {
    let text = options("Contact: <sip:a@b>;expires=1\r\nSupported: path\r\n");
    let mut world = World::new(1);
    for len in 0..text.len() {
        world.inject(SENDER, &text.as_bytes()[..len]);
    }
    world.run_ms(10);
    let counters = world.proxy.counters();
    let counted = counters.malformed + counters.keep_alives + counters.invalid;
    assert_eq!(counted, text.len() as u64);
    world.assert_idle();
}
