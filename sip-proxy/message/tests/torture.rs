//! What becomes of hard messages: RFC 4475, by messages of our own and, where it can be had, by
//! the RFC's own archive.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use sip_proxy_message::{
    Message, Method, Refusal, Response, salvage, validate_forward, validate_request,
    validate_response,
};
use tandem_fuzz::torture::{
    Expectation::{self, Accept, Answer, Discard},
    messages,
};

/// Goes the way of a datagram through a proxy, as far as the message layer is concerned.
fn fate(bytes: &[u8]) -> Expectation {
    let Ok(message) = Message::parse(bytes) else {
        return salvage(bytes).map_or(Discard, |broken| answered(&broken, 400));
    };
    let verdict = if message.status().is_some() {
        validate_response(&message)
    } else {
        validate_request(&message).and_then(|()| validate_forward(&message, &[]))
    };
    match verdict {
        Ok(()) => Accept,
        Err(Refusal::Answer { status, .. }) => answered(&message, status),
        Err(Refusal::Drop { .. }) => Discard,
    }
}

/// The answer must itself be a sound message with the request's topmost Via.
fn answered(request: &Message<'_>, status: u16) -> Expectation {
    let bytes = Response::new(request, status).to_tag(b"t").to_vec();
    let response = Message::parse(&bytes).expect("our own response parses");
    assert_eq!(response.status(), Some(status));
    assert_eq!(
        response.headers(sip_proxy_message::HeaderId::Via).next(),
        request.headers(sip_proxy_message::HeaderId::Via).next()
    );
    Answer(status)
}

#[test]
fn our_own_messages_meet_their_fate() {
    for case in messages() {
        assert_eq!(
            fate(&case.bytes),
            case.expectation,
            "{} {}",
            case.name,
            case.what
        );
    }
}

#[test]
fn what_is_accepted_is_kept_byte_for_byte() {
    for case in messages() {
        let Ok(message) = Message::parse(&case.bytes) else {
            continue;
        };
        assert!(case.bytes.starts_with(message.bytes()), "{}", case.name);
        let trailing = case.bytes.len() - message.bytes().len();
        assert!(trailing == 0 || case.name == "dblreq", "{}", case.name);
        let copy = sip_proxy_message::Edits::new(&message).to_vec();
        assert_eq!(copy, message.bytes(), "{}", case.name);
    }
}

/// The first message of our own of that name, parsed.
fn with_message(name: &str, check: impl FnOnce(Message<'_>)) {
    let cases = messages();
    let case = cases
        .iter()
        .find(|case| case.name == name)
        .expect("a case of that name");
    check(Message::parse(&case.bytes).expect("a message that parses"));
}

#[test]
fn white_space_changes_nothing_of_what_is_meant() {
    with_message("wsinv", |message| {
        assert_eq!(message.cseq().unwrap().number, 31);
        assert_eq!(message.max_forwards(), Ok(Some(42)));
        assert_eq!(message.to().unwrap().tag, Some(&b"0071zz"[..]));
        assert_eq!(message.from().unwrap().tag, Some(&b"m4x"[..]));
        let branches: Vec<_> = message
            .vias()
            .map(|via| via.unwrap().branch.unwrap())
            .collect();
        assert_eq!(
            branches,
            [&b"oldstyle77"[..], b"z9hG4bKspaces2", b"z9hG4bKspaces1"]
        );
        assert_eq!(
            message.route().next().unwrap().unwrap().uri,
            b"sip:edge.pbx.example;lr;odd=thing;odder"
        );
        let sip_proxy_message::Contacts::List(mut contacts) = message.contacts().unwrap() else {
            panic!("no star here");
        };
        assert_eq!(contacts.next().unwrap().q, Some(750));
        assert!(contacts.next().is_none());
    });
}

#[test]
fn percent_signs_in_names_are_no_escapes() {
    with_message("esc02", |message| {
        assert_eq!(message.method(), Some(Method::Other(b"REGIST%45%52")));
        let sip_proxy_message::Contacts::List(contacts) = message.contacts().unwrap() else {
            panic!("no star here");
        };
        assert_eq!(contacts.count(), 2, "C%6fntact is another header");
    });
}

#[test]
fn escaped_users_are_seen_through() {
    with_message("esc01", |message| {
        let to = message.to().unwrap().parse_uri().unwrap();
        assert_eq!(to.user_unescaped().as_deref(), Some(&b"boss"[..]));
        let uri = sip_proxy_message::Uri::parse(message.request_uri().unwrap()).unwrap();
        assert_eq!(
            uri.user_unescaped().as_deref(),
            Some(&b"sips:boss@pbx.example"[..])
        );
    });
}

/// Where the RFC's own messages are, as files `<name>.dat`: a folder named by
/// `TANDEM_RFC4475_DIR`, or the sources of the crate `sipx-testkit`, which carries the archive of
/// the RFC's appendix A, if cargo has them.
fn archive() -> Option<PathBuf> {
    if let Some(dir) = env::var_os("TANDEM_RFC4475_DIR") {
        return Some(dir.into());
    }
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry/src")).ok()?.flatten();
    let crates =
        registries.flat_map(|registry| fs::read_dir(registry.path()).into_iter().flatten());
    crates
        .flatten()
        .filter(|it| {
            it.file_name()
                .to_string_lossy()
                .starts_with("sipx-testkit-")
        })
        .map(|it| it.path().join("corpus/rfc4475"))
        .find(|dir| dir.is_dir())
}

#[test]
fn messages_of_the_rfc_meet_the_same_fate_as_ours() {
    let Some(dir) = archive() else {
        println!("SKIPPED: the archive of RFC 4475 is not here; `cargo info sipx-testkit` gets it");
        return;
    };
    let mut seen = 0;
    for case in messages() {
        let path = dir.join(case.name).with_extension("dat");
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(fate(&bytes), case.expectation, "{} of the RFC", case.name);
        seen += 1;
    }
    assert_eq!(seen, 49);
}
