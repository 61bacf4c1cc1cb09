use super::*;

const INVITE: &str = "INVITE sip:bob@pbx.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa , SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb\r\n\
    v:SIP/2.0/TCP 192.0.2.3\r\n\
    Route: <sip:one.example;lr>,<sip:two.example;lr>\r\n\
    Subject: keep   me \r\n\
    Route:  <sip:three.example;lr>\r\n\
    Max-Forwards: 17\r\n\
    From: <sip:a@pbx.example>;tag=1\r\n\
    l: 4\r\n\
    \r\n\
    body";

fn edited(change: impl FnOnce(&mut Edits<'_, '_>)) -> String {
    let message = Message::parse(INVITE.as_bytes()).unwrap();
    let mut edits = Edits::new(&message);
    change(&mut edits);
    let bytes = edits.to_vec();
    Message::parse(&bytes).expect("what was edited parses");
    String::from_utf8(bytes).unwrap()
}

/// The whole message with some text in place of other text, which must be there once.
fn with(changes: &[(&str, &str)]) -> String {
    let mut text = INVITE.to_owned();
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn no_change_is_no_change() {
    assert_eq!(edited(|_| {}), INVITE);
}

#[test]
fn what_a_proxy_does_to_a_request_changes_nothing_else() {
    let text = edited(|edits| {
        edits.replace_request_uri(b"sip:bob@192.0.2.99:5070;ob");
        edits.prepend(HeaderId::Via, b"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKc");
        edits.prepend(HeaderId::RecordRoute, b"<sip:192.0.2.9;lr>");
        edits
            .set_received([198, 51, 100, 7].into(), Some(6060))
            .unwrap();
        edits.remove_top(HeaderId::Route);
        edits.decrement_max_forwards();
    });
    assert_eq!(
        text,
        with(&[
            ("sip:bob@pbx.example", "sip:bob@192.0.2.99:5070;ob"),
            (
                "Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa ,",
                "Record-Route: <sip:192.0.2.9;lr>\r\n\
                 Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKc\r\n\
                 Via: SIP/2.0/UDP 192.0.2.1;rport=6060;branch=z9hG4bKa;received=198.51.100.7 ,"
            ),
            ("<sip:one.example;lr>,", ""),
            ("Max-Forwards: 17", "Max-Forwards: 16"),
        ])
    );
}

#[test]
fn topmost_values_go_one_by_one_and_take_their_field_along() {
    let without = |count: usize| {
        edited(|edits| {
            for _ in 0..count {
                edits.remove_top(HeaderId::Via);
            }
        })
    };
    let first = "SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa , ";
    let field = format!("Via: {first}SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb\r\n");
    assert_eq!(without(1), with(&[(first, "")]));
    assert_eq!(without(2), with(&[(&field, "")]));
    let all = with(&[(&field, ""), ("v:SIP/2.0/TCP 192.0.2.3\r\n", "")]);
    assert_eq!(without(3), all);
    assert_eq!(without(9), all);
}

#[test]
fn last_prepended_is_on_top() {
    let text = edited(|edits| {
        edits.prepend(HeaderId::Route, b"<sip:b>");
        edits.prepend(HeaderId::Route, b"<sip:a>");
        edits.remove(HeaderId::Via);
    });
    let message = Message::parse(text.as_bytes()).unwrap();
    let routes: Vec<_> = message.route().map(|route| route.unwrap().uri).collect();
    assert_eq!(
        routes[..3],
        [&b"sip:a"[..], b"sip:b", b"sip:one.example;lr"]
    );
    assert_eq!(routes.len(), 5);
    assert!(!message.contains(HeaderId::Via));
}

#[test]
fn replacing_leaves_one_field_and_appends_a_missing_one() {
    let text = edited(|edits| {
        edits
            .replace(HeaderId::Route, b"<sip:x>")
            .replace(HeaderId::Route, b"<sip:y>");
        edits
            .replace(HeaderId::Contact, b"<sip:c>")
            .replace(HeaderId::Contact, b"<sip:d>");
        edits
            .append_named(b"X-One", b"1")
            .append(HeaderId::Server, b"tandem");
    });
    assert_eq!(
        text,
        with(&[
            (
                "Route: <sip:one.example;lr>,<sip:two.example;lr>",
                "Route: <sip:y>"
            ),
            ("Route:  <sip:three.example;lr>\r\n", ""),
            (
                "l: 4\r\n",
                "l: 4\r\nContact: <sip:d>\r\nX-One: 1\r\nServer: tandem\r\n"
            ),
        ])
    );
}

#[test]
fn removing_wins_over_everything_else() {
    let text = edited(|edits| {
        edits.set_received([1, 1, 1, 1].into(), Some(1)).unwrap();
        edits
            .remove_top(HeaderId::Via)
            .replace(HeaderId::Via, b"x")
            .remove(HeaderId::Via);
    });
    assert!(
        !Message::parse(text.as_bytes())
            .unwrap()
            .contains(HeaderId::Via)
    );
}

#[test]
fn body_and_its_length_and_type_change_together() {
    let text = edited(|edits| {
        edits.replace_body(Some(b"application/sdp"), b"v=0\r\n");
    });
    assert_eq!(
        text,
        with(&[
            ("l: 4\r\n", "l: 5\r\nContent-Type: application/sdp\r\n"),
            ("\r\nbody", "\r\nv=0\r\n"),
        ])
    );
    let message = Message::parse(b"INFO sip:a SIP/2.0\r\nTo: <sip:a>\r\n\r\nold").unwrap();
    let bytes = Edits::new(&message).replace_body(None, b"new one").to_vec();
    assert_eq!(
        bytes,
        b"INFO sip:a SIP/2.0\r\nTo: <sip:a>\r\nContent-Length: 7\r\n\r\nnew one"
    );
}

#[test]
fn max_forwards_is_added_if_missing_and_never_below_zero() {
    let after = |field: &str| {
        let text = format!("INFO sip:a SIP/2.0\r\n{field}l: 0\r\n\r\n");
        let message = Message::parse(text.as_bytes()).unwrap();
        let bytes = Edits::new(&message)
            .decrement_max_forwards()
            .decrement_max_forwards()
            .to_vec();
        Message::parse(&bytes).unwrap().max_forwards().unwrap()
    };
    assert_eq!(after(""), Some(70));
    assert_eq!(after("Max-Forwards: 70\r\n"), Some(69));
    assert_eq!(after("Max-Forwards: 0\r\n"), Some(0));
}

#[test]
fn received_and_rport_of_the_sender_are_replaced() {
    let after = |via: &str, address: &str, port| {
        let text = format!("INFO sip:a SIP/2.0\r\nVia: {via}\r\nl: 0\r\n\r\n");
        let message = Message::parse(text.as_bytes()).unwrap();
        let bytes = Edits::new(&message)
            .set_received([9, 9, 9, 9].into(), Some(9))
            .unwrap()
            .set_received(address.parse().unwrap(), port)
            .unwrap()
            .to_vec();
        let via = Message::parse(&bytes)
            .unwrap()
            .header(HeaderId::Via)
            .unwrap();
        String::from_utf8(via.to_vec()).unwrap()
    };
    assert_eq!(
        after(
            "SIP/2.0/UDP h;received=1.2.3.4;rport=5;x=y",
            "192.0.2.1",
            Some(7)
        ),
        "SIP/2.0/UDP h;received=192.0.2.1;rport=7;x=y"
    );
    assert_eq!(
        after(
            "SIP/2.0/UDP h;RPORT ; Received = [::2]",
            "2001:db8::1",
            Some(7)
        ),
        "SIP/2.0/UDP h;rport=7 ; received=2001:db8::1"
    );
    assert_eq!(
        after("SIP/2.0/UDP h;rport", "192.0.2.1", None),
        "SIP/2.0/UDP h;rport;received=192.0.2.1"
    );
    assert_eq!(
        after("SIP/2.0/UDP h", "192.0.2.1", Some(8)),
        "SIP/2.0/UDP h;received=192.0.2.1;rport=8"
    );
}

#[test]
fn no_value_adds_a_line() {
    let text = edited(|edits| {
        edits.append_named(b"X:\r\nEvil", b"a\r\nVia: SIP/2.0/UDP evil\r\n\r\nb\0c");
        edits.append_named(b"", b"nameless");
        edits.prepend(HeaderId::Route, b"<sip:a>\nVia: x");
        edits.replace(HeaderId::Subject, b"\r\n\r\n");
    });
    let message = Message::parse(text.as_bytes()).unwrap();
    let original = Message::parse(INVITE.as_bytes()).unwrap();
    assert_eq!(message.fields().count(), original.fields().count() + 3);
    assert_eq!(message.vias().count(), 3);
    assert_eq!(
        message.header_named(b"X___Evil"),
        Some(&b"a  Via: SIP/2.0/UDP evil    b c"[..])
    );
    assert_eq!(message.body(), b"body");
}

#[test]
fn a_message_without_fields_can_be_given_some() {
    let message = Message::parse(b"INFO sip:a SIP/2.0\r\n\r\n").unwrap();
    let bytes = Edits::new(&message)
        .append(HeaderId::Server, b"s")
        .prepend(HeaderId::Via, b"v")
        .to_vec();
    assert_eq!(bytes, b"INFO sip:a SIP/2.0\r\nVia: v\r\nServer: s\r\n\r\n");
}

/// What is known of a stamped message without reading it is what one would read.
#[test]
fn a_stamped_via_is_as_one_would_read_it() {
    let many = ";a".repeat(crate::limits::PARAM_COUNT_MAX - 1);
    for via in [
        "SIP/2.0/UDP h",
        "SIP/2.0/UDP h:5062;rport",
        "SIP/2.0/UDP 192.0.2.9:5062;rport;branch=z9hG4bKx;x=y",
        "SIP/2.0/UDP h ; branch=z9hG4bKx ; rport=9 ; received=192.0.2.77;maddr=h2 , SIP/2.0/TCP g",
        "SIP / 2.0 / TCP [2001:db8::9]:1;received=2001:db8::7;branch=z;rport",
        &format!("SIP/2.0/UDP h{many};branch=z"),
    ] {
        let bytes = format!(
            "INVITE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nVia: {via}\r\nFrom: <sip:a@h>;tag=1\r\n\r\n"
        );
        let message = Message::parse(bytes.as_bytes()).unwrap();
        for address in ["192.0.2.1", "2001:db8::1"] {
            for port in [None, Some(0), Some(7), Some(65_535)] {
                let mut bytes = Vec::new();
                let stamped = message.stamped(address.parse().unwrap(), port, &mut bytes);
                let stamped = stamped.unwrap();
                let read = Message::parse(stamped.bytes()).unwrap();
                assert_eq!(stamped.via(), read.via(), "{via} {address} {port:?}");
            }
        }
    }
}

#[test]
fn the_topmost_value_is_left_out_without_edits_as_with_them() {
    for fields in [
        "",
        "Via: SIP/2.0/UDP a\r\n",
        "Via: SIP/2.0/UDP a, SIP/2.0/UDP b\r\nVia: SIP/2.0/UDP c\r\n",
        "v:\r\n SIP/2.0/UDP a\r\n , \tSIP/2.0/UDP b;x=\",\"\r\n",
        "Via: SIP/2.0/UDP a\r\nX: y\r\nVia: SIP/2.0/UDP c\r\n",
    ] {
        let bytes = format!("SIP/2.0 200 OK\r\nTo: <sip:b@h>\r\n{fields}CSeq: 1 X\r\n\r\nbody");
        let message = Message::parse(bytes.as_bytes()).unwrap();
        let mut edits = Edits::new(&message);
        edits.remove_top(HeaderId::Via);
        assert_eq!(
            message.without_top(HeaderId::Via),
            edits.to_vec(),
            "{fields}"
        );
    }
}
