//! What holds for all messages, whatever is in them.

use proptest::prelude::*;
use sip_proxy_message::{
    Edits, Frame, Framer, HeaderId, Message, Method, NameAddr, Request, Response, Uri, Via,
};

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,20}"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,10}(\\.[a-z]{2,6}){0,3}",
        any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
        any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from(bits))),
    ]
}

fn user() -> impl Strategy<Value = String> {
    "([a-zA-Z0-9_.!~*'()&=+$,;?/-]|%[0-9a-fA-F]{2}){1,20}"
}

/// A SIP URI and the parts that it was made of.
fn uri() -> impl Strategy<Value = (String, String, Option<u16>)> {
    (
        user(),
        host(),
        proptest::option::of(1_u16..),
        proptest::option::of("[a-z]{1,8}"),
    )
        .prop_map(|(user, host, port, param)| {
            let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
            let param = param.map(|name| format!(";{name}=1")).unwrap_or_default();
            (format!("sip:{user}@{host}{port_text}{param}"), user, port)
        })
}

/// White space and folds where the grammar takes them.
fn blank() -> impl Strategy<Value = String> {
    "( |\t){0,3}|( ?\r\n[ \t]{1,3})"
}

fn field() -> impl Strategy<Value = (String, String)> {
    let value = "[ -~]{0,40}(\r\n [!-~][ -~]{0,20})?|[\u{80}-\u{fff}]{0,10}";
    ("X-[a-zA-Z0-9!%*_+`'~-]{1,12}", value)
}

/// A request made of parts, with any fields between those that it must have.
fn request() -> impl Strategy<Value = (Vec<u8>, Vec<(String, String)>)> {
    let parts = (
        uri(),
        proptest::collection::vec(field(), 0..12),
        proptest::collection::vec(any::<u8>(), 0..200),
        (token(), token(), 0_u32..1 << 31),
        (blank(), blank()),
    );
    parts.prop_map(|(uri, fields, body, (tag, id, number), (one, two))| {
        let uri = uri.0;
        let mut text = format!(
            "INVITE {uri} SIP/2.0\r\n\
             v :{one}SIP/2.0/UDP{two} h.example ;branch=z9hG4bK{tag}\r\n\
             From:{one}<{uri}>{two};tag={tag}\r\nTo:{two}<{uri}>\r\n\
             Call-ID: {id}\r\nCSeq: {number}{one} INVITE\r\nl:{two}{}\r\n",
            body.len()
        );
        for (name, value) in &fields {
            text.push_str(&format!("{name}:{value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&body);
        (bytes, fields)
    })
}

proptest! {
    #[test]
    fn what_was_put_in_is_read_out((bytes, fields) in request()) {
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.bytes(), &bytes[..]);
        prop_assert!(message.via().is_ok() && message.from().is_ok() && message.to().is_ok());
        prop_assert!(message.from().unwrap().tag.is_some());
        prop_assert!(sip_proxy_message::validate_request(&message).is_ok());
        let seen: Vec<_> = message.fields().filter(|field| field.name.starts_with(b"X-")).collect();
        prop_assert_eq!(seen.len(), fields.len());
        for (field, (name, value)) in seen.iter().zip(&fields) {
            prop_assert_eq!(field.name, name.as_bytes());
            prop_assert_eq!(field.value, value.trim_matches([' ', '\t', '\r', '\n']).as_bytes());
        }
    }

    #[test]
    fn edits_touch_nothing_else((bytes, _) in request(), value in "[ -~]{0,30}") {
        let message = Message::parse(&bytes).unwrap();
        let mut edits = Edits::new(&message);
        edits.prepend(HeaderId::Via, b"SIP/2.0/UDP new;branch=z9hG4bKnew");
        edits.set_received([192, 0, 2, 1].into(), Some(7)).unwrap();
        edits.append_named(b"Y", value.as_bytes()).decrement_max_forwards();
        let edited = edits.to_vec();
        let edited = Message::parse(&edited).unwrap();
        prop_assert_eq!(edited.vias().count(), 2);
        prop_assert_eq!(edited.via().unwrap().unique_branch(), Some(&b"z9hG4bKnew"[..]));
        prop_assert_eq!(edited.body(), message.body());
        let kept = |message: &Message<'_>| {
            let keeps = |id| !matches!(id, HeaderId::Via | HeaderId::MaxForwards);
            let fields = message.fields().filter(|field| keeps(field.id) && field.name != b"Y");
            fields.map(|field| (field.name.to_vec(), field.value.to_vec())).collect::<Vec<_>>()
        };
        prop_assert_eq!(kept(&edited), kept(&message));
        let back = Edits::new(&edited).remove_top(HeaderId::Via).to_vec();
        let back = Message::parse(&back).unwrap();
        prop_assert_eq!(back.via().unwrap().branch, message.via().unwrap().branch);
    }

    #[test]
    fn responses_carry_the_request_back((bytes, _) in request(), status in 101_u16..700, tag in token()) {
        let request = Message::parse(&bytes).unwrap();
        let response = Response::new(&request, status).to_tag(tag.as_bytes()).to_vec();
        let response = Message::parse(&response).unwrap();
        prop_assert_eq!(response.status(), Some(status));
        prop_assert_eq!(response.call_id(), request.call_id());
        prop_assert_eq!(response.cseq(), request.cseq());
        prop_assert_eq!(response.via(), request.via());
        prop_assert_eq!(response.from(), request.from());
        prop_assert_eq!(response.to().unwrap().tag, Some(tag.as_bytes()));
        prop_assert!(sip_proxy_message::validate_response(&response).is_ok());
    }

    #[test]
    fn streams_come_out_as_they_went_in(
        requests in proptest::collection::vec(request(), 1..5),
        cuts in proptest::collection::vec(1_usize..500, 1..30),
    ) {
        let stream: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let mut framer = Framer::new();
        let mut found = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            framer.push(piece).unwrap();
            while let Some(Frame::Message(message)) = framer.poll_frame().unwrap() {
                found.push(message.to_vec());
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let sent: Vec<_> = requests.into_iter().map(|(bytes, _)| bytes).collect();
        prop_assert_eq!(found, sent);
    }

    #[test]
    fn built_requests_parse(method in token(), (uri, _, _) in uri(), fields in proptest::collection::vec(field(), 0..9), body in proptest::collection::vec(any::<u8>(), 0..99)) {
        let mut request = Request::new(Method::from_name(method.as_bytes()), uri.as_bytes());
        for (name, value) in &fields {
            request.header_named(name.as_bytes(), value.as_bytes());
        }
        let bytes = request.body(b"a/b", &body).to_vec();
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.method().unwrap().name(), method.as_bytes());
        prop_assert_eq!(message.request_uri(), Some(uri.as_bytes()));
        prop_assert_eq!(message.body(), &body[..]);
        prop_assert_eq!(message.fields().count(), fields.len() + 2);
    }

    #[test]
    fn uris_are_taken_apart_as_they_were_put_together((text, user, port) in uri()) {
        let uri = Uri::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(uri.user, Some(user.as_bytes()));
        prop_assert_eq!(uri.port, port);
        prop_assert!(uri.is_equivalent(&uri));
        let other_port = match port { None => ":5060", Some(_) => "" };
        let host = uri.host.unwrap();
        let other = format!("sip:{user}@{host}{other_port}");
        prop_assert!(!Uri::parse(other.as_bytes()).unwrap().is_equivalent(&uri));
    }

    #[test]
    fn parsers_take_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::parse(&bytes);
        let _ = sip_proxy_message::salvage(&bytes);
        let _ = Uri::parse(&bytes);
        let _ = Via::parse(&bytes);
        let _ = NameAddr::parse(HeaderId::From, &bytes);
    }
}
