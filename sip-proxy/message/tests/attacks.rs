//! Attacks that have worked on other proxies and phones, tried on this layer.
//!
//! Most are *differentials*: two readers of the same bytes see two messages, so that one of them
//! checks what the other does not obey. Here that means: either both spellings are seen as the
//! same, or the message is refused.

use std::time::{Duration, Instant};

use sip_proxy_message::{
    Contacts, Edits, Frame, Framer, HeaderId, MESSAGE_LEN_MAX, Message, ParseError, Response, Uri,
    salvage, validate_request,
};

const HEAD: &str = "INVITE sip:bob@pbx.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:alice@pbx.example>;tag=1\r\n\
    To: <sip:bob@pbx.example>\r\n\
    Call-ID: c@d\r\n\
    CSeq: 7 INVITE\r\n";

fn invite(fields: &str) -> Vec<u8> {
    format!("{HEAD}{fields}\r\n").into_bytes()
}

/// Whether the proxy would go on with it.
fn passes(bytes: &[u8]) -> bool {
    Message::parse(bytes).is_ok_and(|message| validate_request(&message).is_ok())
}

/// A header that must not get through is removed however it is spelt (CVE-2020-28361).
#[test]
fn a_removed_header_is_gone_in_every_spelling() {
    for name in [
        "P-Asserted-Identity:",
        "P-Asserted-Identity :",
        "P-Asserted-Identity\t:",
        "P-Asserted-Identity \t :",
        "p-ASSERTED-identity:",
        "P-Asserted-Identity:\r\n ",
    ] {
        let bytes = invite(&format!("{name} <sip:boss@pbx.example>\r\nX-Last: 1\r\n"));
        let message = Message::parse(&bytes).expect(name);
        let cleaned = Edits::new(&message)
            .remove(HeaderId::PAssertedIdentity)
            .to_vec();
        assert!(
            !String::from_utf8_lossy(&cleaned).contains("boss"),
            "{name}"
        );
        assert!(
            Message::parse(&cleaned)
                .unwrap()
                .header_named(b"x-last")
                .is_some()
        );
    }
    for name in [
        "P-Asserted-Identity\r\n :",
        "P-Asserted-Identity\u{b}:",
        "P-Asserted-Identity\u{a0}:",
        " P-Asserted-Identity:",
    ] {
        assert!(
            !passes(&invite(&format!("{name} <sip:boss@pbx.example>\r\n"))),
            "{name}"
        );
    }
}

/// Who is authenticated must be who is called from (AST-2016-009: two To, odd white space).
#[test]
fn identity_is_said_once() {
    for second in [
        "From: <sip:boss@pbx.example>;tag=2",
        "f: <sip:boss@pbx.example>;tag=2",
        "FROM : <sip:boss@pbx.example>;tag=2",
        "To: <sip:x@pbx.example>",
        "t:<sip:x@pbx.example>",
        "Call-ID: x",
        "i: x",
        "CSeq: 8 INVITE",
        "cseq : 8 INVITE",
        "Max-Forwards: 9",
    ] {
        assert!(!passes(&invite(&format!("{second}\r\n"))), "{second}");
    }
    for value in [
        "<sip:alice@pbx.example>, <sip:boss@pbx.example>;tag=1",
        "<sip:alice@pbx.example><sip:boss@pbx.example>;tag=1",
        "<sip:alice@pbx.example> <sip:boss@pbx.example>;tag=1",
        "sip:boss@pbx.example <sip:alice@pbx.example>;tag=1",
        "\"a\" <sip:boss@pbx.example> \"b\" <sip:alice@pbx.example>;tag=1",
        "\"a <sip:boss@pbx.example>\\\" <sip:alice@pbx.example>;tag=1",
        "<sip:alice@pbx.example>;tag=1;tag=2",
    ] {
        let bytes = String::from_utf8(invite("")).unwrap();
        let bytes = bytes.replace("<sip:alice@pbx.example>;tag=1", value);
        assert!(!passes(bytes.as_bytes()), "{value}");
    }
}

/// One host in a URI, whichever way it is searched for.
#[test]
fn a_uri_has_one_host() {
    for uri in [
        "sip:alice@pbx.example@evil.example",
        "sip:alice@pbx.example;x=@evil.example",
        "sip:alice@pbx.example?x=@evil.example",
        "sip:alice@pbx.example\\@evil.example",
        "sip:alice@pbx.example#@evil.example",
        "sip:alice@pbx.example:5060:5061",
        "sip:alice@[::1]evil.example",
        "sip:alice@[::1].evil.example",
        "sip:alice@pbx.example/evil.example",
        "sip:alice@pbx.example%00.evil.example",
        "sip:alice@pbx.example\u{2024}evil.example",
        "sip:alice@0x7f.0.0.1.1",
        "sip:alice@127.1",
        "sip:alice@0177.0.0.1",
        "sip:alice@2130706433",
        "sip:alice@pbx.example;maddr=a;maddr=b",
        "sip:alice@pbx.example;transport=udp;TRANSPORT=tcp",
    ] {
        assert!(Uri::parse(uri.as_bytes()).is_err(), "{uri}");
    }
}

/// Bytes that one reader takes for the end of a line and another does not.
#[test]
fn lines_are_told_apart_in_one_way() {
    for fields in [
        "X-A: 1\nRoute: <sip:evil.example>\r\n",
        "X-A: 1\rRoute: <sip:evil.example>\r\n",
        "X-A: 1\r\r\nRoute: <sip:evil.example>\r\n",
        "X-A: 1\n\r\n",
        "X-A: 1\0\r\n",
        "X-A: \"\0\"\r\n",
        "X-A: 1\r\n \r\nRoute: <sip:evil.example>\r\n",
        "X-A\r\n",
        "X-A 1\r\n",
    ] {
        let bytes = invite(fields);
        assert!(Message::parse(&bytes).is_err(), "{fields:?}");
        // What is answered must not carry the line on.
        let broken = salvage(&bytes).expect("it can be answered");
        let answer = Response::new(&broken, 400).to_vec();
        assert!(Message::parse(&answer).is_ok(), "{fields:?}");
        assert!(
            !String::from_utf8_lossy(&answer).contains("evil"),
            "{fields:?}"
        );
    }
}

/// A body whose length two readers see differently is a second request to one of them.
#[test]
fn no_request_hides_in_a_body() {
    let smuggled = "OPTIONS sip:evil.example SIP/2.0\r\nl: 0\r\n\r\n";
    for fields in [
        "Content-Length: 0\r\nContent-Length: 41\r\n",
        "l: 0\r\nContent-Length: 41\r\n",
        "Content-Length : 0\r\nl\t: 41\r\n",
        "Content-Length: 0, 41\r\n",
        "Content-Length: +41\r\n",
        "Content-Length: 0x29\r\n",
        "Content-Length: 41.0\r\n",
        "Content-Length: 4 1\r\n",
        "Content-Length: 4\r\n 1\r\n",
        "Content-Length: \u{ff14}\u{ff11}\r\n",
        "Content-Length: -0\r\n",
        "Content-Length: 18446744073709551657\r\n",
        "Content-Length: 4294967337\r\n",
    ] {
        let mut bytes = invite(fields);
        bytes.extend_from_slice(smuggled.as_bytes());
        assert!(Message::parse(&bytes).is_err(), "{fields:?}");
        let mut framer = Framer::new();
        framer.push(&bytes).unwrap();
        assert!(framer.poll_frame().is_err(), "{fields:?}");
    }
    let mut bytes = invite("Content-Length: 0\r\n");
    let len = bytes.len();
    bytes.extend_from_slice(smuggled.as_bytes());
    assert_eq!(
        Message::parse(&bytes).unwrap().bytes().len(),
        len,
        "the rest of a datagram is left out"
    );
    let mut framer = Framer::new();
    framer.push(&bytes).unwrap();
    assert!(matches!(framer.poll_frame(), Ok(Some(Frame::Message(first))) if first.len() == len));
}

/// Without UTF-8, or with what looks like it, no header vanishes (rsipstack's silent end).
#[test]
fn bytes_that_are_no_text_hide_nothing() {
    let mut bytes = invite("X-A: ");
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(
        b"\xff\xfe\xc0\x80\xed\xa0\x80\r\nContact: <sip:alice@192.0.2.1>\r\n\r\n",
    );
    let message = Message::parse(&bytes).unwrap();
    assert!(message.contains(HeaderId::Contact));
    assert_eq!(
        message.header_named(b"x-a"),
        Some(&b"\xff\xfe\xc0\x80\xed\xa0\x80"[..])
    );
    assert_eq!(Edits::new(&message).to_vec(), bytes);
}

/// `*` removes all contacts, so it must be the only one.
#[test]
fn a_star_among_contacts_is_refused() {
    let contacts = |fields: &str| {
        let bytes = invite(fields);
        let message = Message::parse(&bytes).unwrap();
        message
            .contacts()
            .map(|contacts| matches!(contacts, Contacts::Star))
    };
    assert_eq!(contacts("Contact: *\r\n"), Ok(true));
    for fields in [
        "Contact: *, <sip:a>\r\n",
        "m: *\r\nContact: <sip:a>\r\n",
        "Contact: *\r\nm: *\r\n",
        "Contact: *;q=1\r\n",
        "Contact: <*>\r\n",
    ] {
        assert!(contacts(fields).is_err(), "{fields:?}");
    }
    assert_eq!(contacts("Contact: \"*\" <sip:a>\r\n"), Ok(false));
}

/// Size and number are bounded before work is done (CVE-2017-11521 and its like).
#[test]
fn more_of_anything_is_refused() {
    let fields = |count| "X-A: 1\r\n".repeat(count);
    assert!(Message::parse(&invite(&fields(150))).is_ok());
    assert_eq!(
        Message::parse(&invite(&fields(500))).err(),
        Some(ParseError::TooManyHeaders)
    );
    assert!(!passes(&invite(&format!(
        "Route: <sip:a;lr>{}\r\n",
        ",<sip:b;lr>".repeat(500)
    ))));
    assert!(!passes(&invite(&format!(
        "Contact: <sip:a>{}\r\n",
        ";x=y".repeat(500)
    ))));
    assert!(!passes(&invite(&format!(
        "Contact: <sip:a{}>\r\n",
        ";x=y".repeat(500)
    ))));
    assert!(!passes(&invite(&format!(
        "Contact: <sip:{}@b>\r\n",
        "a".repeat(5_000)
    ))));
    assert_eq!(
        Message::parse(&vec![b'a'; MESSAGE_LEN_MAX + 1]).err(),
        Some(ParseError::TooLong)
    );
}

/// Reads all lists of a message, refused or not, and answers it.
fn read_all(bytes: &[u8]) {
    let message = Message::parse(bytes).ok().or_else(|| salvage(bytes));
    if let Some(message) = message {
        let _ = (validate_request(&message), message.contacts());
        let _ = (
            message.vias().count(),
            message.route().count(),
            message.tokens(HeaderId::Require).count(),
        );
        let _ = message.credentials(HeaderId::Authorization).count();
        let _ = Response::new(&message, 400).to_vec();
    }
}

/// No message takes much longer than its bytes: each is the longest that there can be, made of
/// what is slow to read. The limit is far above what any needs, even on a busy machine.
#[test]
#[expect(clippy::disallowed_methods, reason = "this is about time itself")]
fn nothing_takes_time_beyond_its_length() {
    let fill = |unit: &str| unit.repeat(60_000 / unit.len());
    for fields in [
        format!("X-A: {}\r\n", fill("a\r\n ")),
        format!("X-A: {}\r\n", fill("\"")),
        format!("X-A: {}\r\n", fill("\"\\\0\"")),
        format!("Via: {}\r\n", fill(",")),
        format!("Via: {}\r\n", fill("SIP/2.0/UDP a,")),
        format!("Route: {}\r\n", fill("<sip:a>,")),
        format!("Route: {}\r\n", fill("<")),
        format!("Contact: {}\r\n", fill("\"a\" <sip:b>,")),
        format!("Contact: <sip:a>{}\r\n", fill(";a")),
        format!("Contact: <sip:a{}>\r\n", fill(";a")),
        format!("Authorization: Digest {}\r\n", fill("a=b,")),
        format!("Authorization: Digest a=\"{}\"\r\n", fill("\\\"")),
        format!("Require: {}\r\n", fill("a,")),
        fill("no colon"),
        fill("no colon\r\n"),
        fill("\r\n "),
        fill("\n"),
    ] {
        let bytes = invite(&fields);
        // The quickest of three: the machine may have been paused.
        let time = || {
            let start = Instant::now();
            read_all(&bytes);
            start.elapsed()
        };
        let took = [time(), time(), time()].into_iter().min().unwrap();
        assert!(
            took < Duration::from_secs(1),
            "{took:?} for {}…",
            &fields[..20]
        );
    }
}

/// An answer to nonsense is no bigger than the nonsense, so it is of no use for reflection.
#[test]
fn answers_do_not_amplify() {
    let bytes = invite(&format!("no colon {}\r\n", "x".repeat(100)));
    let broken = salvage(&bytes).unwrap();
    let answer = Response::new(&broken, 400).to_tag(b"12345678").to_vec();
    assert!(
        answer.len() <= bytes.len(),
        "{} {}",
        answer.len(),
        bytes.len()
    );
}
