use super::*;

const OPTIONS: &str = "OPTIONS sip:bob@pbx.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:a@pbx.example>;tag=1\r\n\
    To: <sip:bob@pbx.example>\r\n\
    Call-ID: c@d\r\n\
    CSeq: 7 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// Status, or `None` for what is dropped; 0 for what passes.
fn fate(from: &str, to: &str) -> Option<u16> {
    assert_eq!(OPTIONS.matches(from).count(), 1, "{from}");
    fate_of(&OPTIONS.replace(from, to))
}

fn fate_of(text: &str) -> Option<u16> {
    let message = Message::parse(text.as_bytes()).expect(text);
    let verdict = validate_request(&message)
        .and_then(|()| validate_forward(&message, &[b"sec-agree"]))
        .and_then(|()| validate_local(&message, &[b"timer"]));
    match verdict {
        Ok(()) => Some(0),
        Err(Refusal::Answer { status, .. }) => Some(status),
        Err(Refusal::Drop { .. }) => None,
    }
}

#[test]
fn sound_requests_pass() {
    assert_eq!(fate_of(OPTIONS), Some(0));
    assert_eq!(fate("Max-Forwards: 70\r\n", ""), Some(0));
    assert_eq!(fate(";branch=z9hG4bKa", ""), Some(0));
    assert_eq!(fate(";tag=1", ""), Some(0));
    assert_eq!(
        fate("sip:bob@pbx.example SIP", "tel:+15550100 SIP"),
        Some(0)
    );
    assert_eq!(
        fate("Call-ID: c@d", "Call-ID: c@d\r\nExpires: 99999999999999"),
        Some(0)
    );
    assert_eq!(
        fate("Call-ID: c@d", "Call-ID: c@d\r\nProxy-Require: Sec-Agree"),
        Some(0)
    );
    assert_eq!(fate("Call-ID: c@d", "Call-ID: c@d\r\nRequire:"), Some(0));
}

#[test]
fn missing_and_malformed_fields_are_answered_with_400() {
    for field in [
        "From: <sip:a@pbx.example>;tag=1\r\n",
        "To: <sip:bob@pbx.example>\r\n",
        "Call-ID: c@d\r\n",
        "CSeq: 7 OPTIONS\r\n",
    ] {
        assert_eq!(fate(field, ""), Some(400), "{field}");
    }
    for (from, to) in [
        ("<sip:a@pbx.example>", "<sip:a b@pbx.example>"),
        (
            "<sip:a@pbx.example>;tag=1",
            "<sip:a@pbx.example>;tag=1;tag=2",
        ),
        ("To: <sip:bob@pbx.example>", "To: <sip:bob@pbx.example"),
        ("c@d", "c d"),
        ("c@d", ""),
        ("7 OPTIONS", "7 INVITE"),
        ("7 OPTIONS", "7 options"),
        ("7 OPTIONS", "x OPTIONS"),
        ("Max-Forwards: 70", "Max-Forwards: 256"),
        ("Max-Forwards: 70", "Max-Forwards:"),
        ("sip:bob@pbx.example SIP", "sip:bob@pbx..example SIP"),
        ("sip:bob@pbx.example SIP", "sip:bob@pbx.example?Route=x SIP"),
        (";branch=z9hG4bKa", ";branch=z9hG4bKa;branch=z9hG4bKa"),
        (";branch=z9hG4bKa", ";branch=z9hG4bKa, garbage"),
        (
            "Call-ID: c@d",
            "Call-ID: c@d\r\nRoute: <sip:a;lr>,,<sip:b;lr>",
        ),
        ("Call-ID: c@d", "Call-ID: c@d\r\nRecord-Route: sip:a b"),
        ("Call-ID: c@d", "Call-ID: c@d\r\nContact: *"),
        ("Call-ID: c@d", "Call-ID: c@d\r\nContact: <sip:x>;q=7"),
        ("Call-ID: c@d", "Call-ID: c@d\r\nContact: <sip:x y>"),
        ("Call-ID: c@d", "Call-ID: c@d\r\nExpires: soon"),
    ] {
        assert_eq!(fate(from, to), Some(400), "{from} {to}");
    }
}

#[test]
fn each_other_fault_has_its_status() {
    assert_eq!(fate("sip:bob@pbx.example SIP", "isbn:123 SIP"), Some(416));
    assert_eq!(
        fate("sip:bob@pbx.example SIP/2.0", "sip:bob@pbx.example SIP/3.0"),
        Some(505)
    );
    assert_eq!(fate("Max-Forwards: 70", "Max-Forwards: 0"), Some(483));
    assert_eq!(
        fate("Call-ID: c@d", "Call-ID: c@d\r\nProxy-Require: x"),
        Some(420)
    );
    assert_eq!(
        fate("Call-ID: c@d", "Call-ID: c@d\r\nRequire: timer, y"),
        Some(420)
    );
}

#[test]
fn what_cannot_be_answered_is_dropped() {
    assert_eq!(
        fate("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n", ""),
        None
    );
    assert_eq!(fate("SIP/2.0/UDP 192.0.2.1", "garbage"), None);
    assert_eq!(
        fate("SIP/2.0/UDP 192.0.2.1", "SIP/2.0/UDP 192.0.2.1.1"),
        None
    );
}

#[test]
fn an_ack_is_never_answered() {
    let ack = OPTIONS.replace("OPTIONS", "ACK");
    assert_eq!(fate_of(&ack), Some(0));
    assert_eq!(fate_of(&ack.replace("Call-ID: c@d\r\n", "")), None);
    assert_eq!(
        fate_of(&ack.replace("Max-Forwards: 70", "Max-Forwards: 0")),
        None
    );
    assert_eq!(
        fate_of(&ack.replace("sip:bob@pbx.example SIP", "isbn:1 SIP")),
        None
    );
    assert_eq!(fate_of(&ack.replace("c@d", "c@d\r\nRequire: x")), Some(0));
}

#[test]
fn too_many_values_of_a_list_are_refused() {
    let list = |count| vec!["<sip:a;lr>"; count].join(",");
    let with = |count| {
        fate(
            "Call-ID: c@d",
            &format!("Call-ID: c@d\r\nRoute: {}", list(count)),
        )
    };
    assert_eq!(with(VALUE_COUNT_MAX), Some(0));
    assert_eq!(with(VALUE_COUNT_MAX + 1), Some(400));
    let with = |count| {
        fate(
            "Call-ID: c@d",
            &format!("Call-ID: c@d\r\nContact: {}", list(count)),
        )
    };
    assert_eq!(with(VALUE_COUNT_MAX), Some(0));
    assert_eq!(with(VALUE_COUNT_MAX + 1), Some(400));
}

#[test]
fn responses_need_what_leads_them_back() {
    let response = OPTIONS.replace("OPTIONS sip:bob@pbx.example SIP/2.0", "SIP/2.0 200 OK");
    let passes = |text: &str| validate_response(&Message::parse(text.as_bytes()).unwrap()).is_ok();
    assert!(passes(&response));
    assert!(!passes(OPTIONS));
    assert!(validate_request(&Message::parse(response.as_bytes()).unwrap()).is_err());
    for (from, to) in [
        ("SIP/2.0 200", "SIP/2.1 200"),
        ("192.0.2.1", ""),
        ("c@d", "c d"),
        ("7 OPTIONS", "7"),
        ("<sip:bob@pbx.example>", ""),
    ] {
        assert!(!passes(&response.replacen(from, to, 1)), "{from}");
    }
}

#[test]
fn broken_requests_can_be_answered_if_they_say_who_sent_them() {
    let broken = OPTIONS.replace(
        "c@d",
        "c@d\r\nno colon here\r\nTo: <sip:second@pbx.example>",
    );
    let message = salvage(broken.as_bytes()).unwrap();
    assert_eq!(message.to().unwrap().uri, b"sip:bob@pbx.example");
    assert_eq!(message.cseq().unwrap().number, 7);
    assert_eq!(message.fields().count(), 7);
    for (from, to) in [
        ("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n", ""),
        ("Via: SIP", "Via: PIP"),
        ("OPTIONS sip:bob@pbx.example SIP/2.0", "SIP/2.0 200 OK"),
        (
            "OPTIONS sip:bob@pbx.example SIP/2.0",
            "ACK sip:bob@pbx.example SIP/2.0",
        ),
        ("OPTIONS sip:bob@pbx.example SIP/2.0", "GET / HTTP/1.1"),
        ("OPTIONS sip:bob@pbx.example SIP/2.0", ""),
    ] {
        assert!(
            salvage(broken.replacen(from, to, 1).as_bytes()).is_none(),
            "{from} {to}"
        );
    }
}
