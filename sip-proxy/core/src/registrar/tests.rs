use super::*;

const RULES: Rules = Rules {
    expires_min_s: 60,
    expires_max_s: 3_600,
    contacts_max: 2,
};

/// What a REGISTER with these fields does to `current`, one second after 1,000.
fn register(current: &[Binding], cseq: u32, fields: &str) -> Result<Vec<Binding>, Refused> {
    with_registration("c1", cseq, fields, |registration| {
        registration.apply(current)
    })
}

fn with_registration<T>(
    call_id: &str,
    cseq: u32,
    fields: &str,
    check: impl FnOnce(&Registration<'_, '_>) -> T,
) -> T {
    let bytes = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
         From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n{fields}Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(bytes.as_bytes()).unwrap();
    check(&Registration {
        message: &message,
        unix_ms: 1_000,
        source: Source {
            listener: ListenerId(3),
            address: "203.0.113.5:4000".parse().unwrap(),
            connection: None,
        },
        transport: Transport::Udp,
        rules: RULES,
    })
}

fn shown(bindings: &[Binding]) -> Vec<(&str, u64, u16)> {
    bindings
        .iter()
        .map(|binding| (binding.uri.as_str(), binding.expires_unix_ms, binding.q))
        .collect()
}

#[test]
fn adds_refreshes_and_removes() {
    let added = register(&[], 1, "Contact: <sip:a@10.0.0.1>;q=0.5;expires=100\r\n").unwrap();
    assert_eq!(shown(&added), [("sip:a@10.0.0.1", 101_000, 500)]);
    assert_eq!(added[0].received, "203.0.113.5:4000".parse().unwrap());
    assert_eq!(added[0].listener, ListenerId(3));

    let two = register(&added, 2, "Contact: sip:a@10.0.0.2\r\nExpires: 200\r\n").unwrap();
    assert_eq!(
        shown(&two),
        [
            ("sip:a@10.0.0.1", 101_000, 500),
            ("sip:a@10.0.0.2", 201_000, 1_000)
        ]
    );

    let refreshed = register(&two, 3, "Contact: <sip:a@10.0.0.1>;expires=99999\r\n").unwrap();
    assert_eq!(shown(&refreshed)[0], ("sip:a@10.0.0.1", 3_601_000, 1_000));

    let one = register(&refreshed, 4, "Contact: <sip:a@10.0.0.2>;expires=0\r\n").unwrap();
    assert_eq!(shown(&one), [("sip:a@10.0.0.1", 3_601_000, 1_000)]);
    assert_eq!(register(&one, 5, ""), Ok(one.clone()));
}

#[test]
fn the_star_removes_all_but_only_with_expires_0() {
    let added = register(&[], 1, "Contact: <sip:a@10.0.0.1>\r\n").unwrap();
    assert_eq!(
        register(&added, 2, "Contact: *\r\nExpires: 0\r\n"),
        Ok(Vec::new())
    );
    for fields in ["Contact: *\r\n", "Contact: *\r\nExpires: 60\r\n"] {
        assert_eq!(register(&added, 2, fields).unwrap_err().status, 400);
    }
    let late = register(&added, 1, "Contact: *\r\nExpires: 0\r\n");
    assert_eq!(late.unwrap_err().status, 500);
}

#[test]
fn an_older_request_of_the_same_call_id_changes_nothing() {
    let contact = "Contact: <sip:a@10.0.0.1>\r\n";
    let added = register(&[], 7, contact).unwrap();
    for cseq in [6, 7] {
        assert_eq!(register(&added, cseq, contact).unwrap_err().status, 500);
    }
    let other = with_registration("c2", 1, contact, |registration| registration.apply(&added));
    assert_eq!(other.unwrap()[0].call_id, "c2");
}

#[test]
fn too_brief_too_many_and_unusable_contacts_are_refused_as_a_whole() {
    for (fields, status) in [
        ("Contact: <sip:a@10.0.0.1>;expires=59\r\n", 423),
        (
            "Contact: <sip:a@10.0.0.1>, <sip:a@10.0.0.2>, <sip:a@10.0.0.3>\r\n",
            403,
        ),
        ("Contact: <sip:a@10.0.0.1>, <mailto:a@b>\r\n", 400),
        ("Contact: <sip:a@10.0.0.1>, *\r\n", 400),
    ] {
        assert_eq!(
            register(&[], 1, fields).unwrap_err().status,
            status,
            "{fields}"
        );
    }
}

#[test]
fn equivalent_uris_are_one_contact() {
    let added = register(&[], 1, "Contact: <sip:%61lice@Phone.example.com:5070>\r\n").unwrap();
    let again = register(&added, 2, "Contact: <sip:alice@phone.EXAMPLE.com:5070>\r\n").unwrap();
    assert_eq!(again.len(), 1);
}

#[test]
fn the_answer_lists_contacts_with_what_is_left_and_the_path() {
    let path = "Path: <sip:edge.example.com;lr>\r\n";
    let fields = format!("Contact: <sip:a@10.0.0.1>;q=0.25;expires=90\r\n{path}");
    let bindings = register(&[], 1, &fields).unwrap();
    assert_eq!(bindings[0].path, ["<sip:edge.example.com;lr>"]);
    let answer = with_registration("c1", 1, &fields, |registration| {
        registration.accepted(&bindings, b"tag")
    });
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("Contact: <sip:a@10.0.0.1>;expires=90;q=0.250\r\n"),
        "{answer}"
    );
    assert!(answer.contains(path), "{answer}");
}
