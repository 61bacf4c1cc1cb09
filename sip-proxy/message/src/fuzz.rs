//! Bodies of the fuzz targets: any bytes may come, nothing may panic, and what parses must hold
//! together.

use crate::{
    Contacts, Credentials, Edits, Frame, FrameError, Framer, HeaderId, MESSAGE_LEN_MAX, Message,
    NameAddr, ParseError, Response, StartLine, Uri, Via, ack_for, cancel_for, salvage,
    validate_forward, validate_local, validate_request, validate_response,
};

/// A datagram: what parses is told apart in one way only, and what does not is answered with
/// something that does.
pub fn datagram(data: &[u8]) {
    let Ok(message) = Message::parse(data) else {
        if let Some(broken) = salvage(data) {
            answer(&broken, 400);
        }
        return;
    };
    assert_adds_up(&message);
    assert_same(
        &message,
        &Message::parse(message.bytes()).expect("its own bytes"),
    );
    read_everything(&message);
    assert_stamps(&message);
    if validate_request(&message).is_ok() {
        let _ = validate_forward(&message, &[b"timer"]);
        let _ = validate_local(&message, &[]);
        assert_fit_for_a_proxy(&message);
        answer(&message, 486);
    } else if validate_response(&message).is_ok() {
        assert_fit_for_a_proxy(&message);
    }
}

/// A stream: however it is cut into reads, the same messages come out of it, and each ends where
/// the parser says that it ends.
pub fn stream(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let whole = frames(data, data.len().max(1));
    let pieces = frames(data, usize::from(*cut).max(1));
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1.is_some(), pieces.1.is_some());
    for message in &whole.0 {
        match Message::parse(message) {
            Ok(parsed) => assert_eq!(parsed.bytes(), message.as_slice()),
            Err(error) => assert!(
                !matches!(
                    error,
                    ParseError::ContentLength | ParseError::Empty | ParseError::TooLong
                ),
                "the framer saw another length"
            ),
        }
    }
}

/// A URI: its parts lie in it in their order, and it is the same as itself.
pub fn uri(data: &[u8]) {
    let (one, other) = data.split_at(data.iter().position(|b| *b == b'\n').unwrap_or(data.len()));
    let Ok(uri) = Uri::parse(one) else {
        return;
    };
    assert_eq!(uri.bytes(), one);
    assert!(uri.is_equivalent(&uri));
    assert!(
        !one.iter()
            .any(|byte| matches!(byte, b' ' | b'\r' | b'\n' | b'<' | b'>' | b'"'))
    );
    let part_len = |part: Option<&[u8]>| part.map_or(0, |part| part.len());
    let parts = part_len(uri.user) + part_len(uri.password) + part_len(uri.headers);
    assert!(parts + uri.params.bytes().len() < one.len());
    assert!(
        uri.user_unescaped()
            .is_none_or(|user| user.len() <= one.len())
    );
    assert!(!format!("{uri:?}").is_empty());
    if let Ok(other) = Uri::parse(other.get(1..).unwrap_or_default()) {
        assert_eq!(uri.is_equivalent(&other), other.is_equivalent(&uri));
    }
}

/// The values of headers, each by itself; as lines of a message would have them, so that a line
/// end is a fold.
pub fn header_values(data: &[u8]) {
    let _ = crate::CSeq::parse(data);
    let _ = crate::Contact::parse(data);
    if let Ok(via) = Via::parse(data) {
        let _ = (via.response_target(), via.unique_branch());
        assert!(via.params.iter().count() <= crate::PARAM_COUNT_MAX);
    }
    if let Ok(name_addr) = NameAddr::parse(HeaderId::To, data) {
        let tags = name_addr
            .params
            .iter()
            .filter(|param| param.name.eq_ignore_ascii_case(b"tag"));
        assert_eq!(tags.count(), usize::from(name_addr.tag.is_some()));
        let _ = name_addr.parse_uri();
    }
}

/// Digest credentials.
pub fn authorization(data: &[u8]) {
    if let Ok(Some(credentials)) = Credentials::parse(HeaderId::Authorization, data) {
        let secret = String::from_utf8_lossy(&credentials.response);
        let debug = format!("{credentials:?}");
        assert!(secret.len() < 32 || !debug.contains(&*secret));
        assert!(credentials.username.len() <= data.len());
        let _ = credentials.nonce_count();
    }
}

/// Changes to a message: the first bytes say which, the rest is the message. What was not to be
/// changed is as it was.
pub fn edits(data: &[u8]) {
    let (script, data) = data.split_at(data.len().min(8));
    let Ok(message) = Message::parse(data) else {
        return;
    };
    let mut edits = Edits::new(&message);
    let mut changed = vec![HeaderId::ContentLength, HeaderId::ContentType];
    for step in script {
        changed.push(apply(&mut edits, &message, *step));
    }
    let bytes = edits.to_vec();
    let edited = match Message::parse(&bytes) {
        Ok(edited) => edited,
        Err(ParseError::TooLong | ParseError::TooManyHeaders) => return,
        Err(error) => panic!("{error} after edits of a sound message"),
    };
    let untouched = |message: &Message<'_>| {
        let fields = message.fields();
        let fields =
            fields.filter(|field| field.id == HeaderId::Other || !changed.contains(&field.id));
        let fields = fields.filter(|field| field.name != b"X-Fuzz");
        fields
            .map(|field| (field.name.to_vec(), field.value.to_vec()))
            .collect::<Vec<_>>()
    };
    assert_eq!(untouched(&message), untouched(&edited));
    assert_eq!(message.method(), edited.method());
    if !script.iter().any(|step| step % 10 == 9) {
        assert_eq!(message.body(), edited.body());
    }
}

fn apply(edits: &mut Edits<'_, '_>, message: &Message<'_>, step: u8) -> HeaderId {
    let text = message.bytes();
    let text = &text[..text.len().min(usize::from(step))];
    let list = [
        HeaderId::Via,
        HeaderId::Route,
        HeaderId::RecordRoute,
        HeaderId::Contact,
    ];
    let id = list[usize::from(step / 10) % list.len()];
    match step % 10 {
        0 => edits.prepend(id, text),
        1 => edits.append(id, text),
        2 => edits.replace(id, text),
        3 => edits.remove(id),
        4 => edits.remove_top(id),
        5 => {
            let _ = edits.set_received([192, 0, 2, step].into(), Some(5060));
            return HeaderId::Via;
        }
        6 => {
            edits.decrement_max_forwards();
            return HeaderId::MaxForwards;
        }
        7 => edits.replace_request_uri(b"sip:fuzz@example.com"),
        8 => edits.append_named(b"X-Fuzz", text),
        _ => edits.replace_body(Some(b"text/plain"), text),
    };
    id
}

/// Start line, fields, empty line and body are the whole message, and no value holds a line end
/// that is no fold.
fn assert_adds_up(message: &Message<'_>) {
    let bytes = message.bytes();
    let mut at = bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .expect("a start line")
        + 2;
    for entry in message.table().iter() {
        assert_eq!(usize::from(entry.start), at);
        at = usize::from(entry.end);
        let line = message.line(entry);
        let (inner, line_end) = line.split_at(line.len() - 2);
        assert_eq!(line_end, b"\r\n");
        assert_folds(inner);
    }
    assert_eq!(&bytes[at..at + 2], b"\r\n");
    assert_eq!(&bytes[at + 2..], message.body());
    for id in [
        HeaderId::To,
        HeaderId::From,
        HeaderId::CallId,
        HeaderId::CSeq,
    ] {
        assert!(message.fields().filter(|field| field.id == id).count() <= 1);
    }
    assert!(
        message
            .content_length()
            .is_none_or(|len| len == message.body().len())
    );
}

/// A message that says where it came from is what one would read from its bytes, and what edits
/// make of it.
fn assert_stamps(message: &Message<'_>) {
    for (address, port) in [("192.0.2.1", None), ("2001:db8::1", Some(65_535))] {
        let address = address.parse().expect("an address");
        let mut bytes = Vec::new();
        let mut edits = Edits::new(message);
        let Ok(stamped) = message.stamped(address, port, &mut bytes) else {
            let is_too_long = message.bytes().len() + 100 > MESSAGE_LEN_MAX;
            assert!(is_too_long || edits.set_received(address, port).is_err());
            continue;
        };
        edits.set_received(address, port).expect("a sound Via");
        assert_eq!(stamped.bytes(), edits.to_vec());
        assert_adds_up(&stamped);
        let again = Message::parse(stamped.bytes()).expect("still sound");
        assert_same(&stamped, &again);
        assert_eq!(stamped.via(), again.via());
    }
}

fn assert_folds(line: &[u8]) {
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(line.get(at + 1), Some(&b'\n')),
            b'\n' => {
                assert_eq!(line[at - 1], b'\r');
                assert!(matches!(line.get(at + 1), Some(b' ' | b'\t')));
            }
            0 => assert_eq!(line[at - 1], b'\\'),
            _ => {}
        }
    }
}

fn assert_same(one: &Message<'_>, other: &Message<'_>) {
    assert_eq!(one.start_line(), other.start_line());
    let (fields, others): (Vec<_>, Vec<_>) = (one.fields().collect(), other.fields().collect());
    assert_eq!(fields, others);
    assert_eq!(one.body(), other.body());
}

/// Calls every accessor.
fn read_everything(message: &Message<'_>) {
    for value in message.vias() {
        let _ = value;
    }
    for id in [HeaderId::Route, HeaderId::RecordRoute, HeaderId::Path] {
        for value in message.name_addrs(id).flatten() {
            let _ = value.parse_uri();
        }
    }
    if let Ok(Contacts::List(contacts)) = message.contacts() {
        let count = contacts.clone().count();
        assert_eq!(count, message.headers(HeaderId::Contact).count());
    }
    for id in [HeaderId::Require, HeaderId::Supported, HeaderId::Allow] {
        assert!(message.tokens(id).all(|token| !token.is_empty()));
    }
    for id in [HeaderId::Authorization, HeaderId::ProxyAuthorization] {
        let _ = message.credentials(id).count();
    }
    let _ = (
        message.expires(),
        message.max_forwards(),
        message.content_type(),
    );
}

/// What a proxy takes for granted after validation.
fn assert_fit_for_a_proxy(message: &Message<'_>) {
    assert!(message.via().is_ok() && message.vias().all(|via| via.is_ok()));
    assert!(message.from().is_ok_and(|from| from.parse_uri().is_ok()));
    assert!(message.to().is_ok_and(|to| to.parse_uri().is_ok()));
    assert!(message.call_id().is_ok_and(|id| !id.is_empty()));
    assert!(
        message
            .route()
            .all(|route| route.is_ok_and(|route| route.parse_uri().is_ok()))
    );
    let cseq = message.cseq().expect("checked");
    if let StartLine::Request { method, uri } = message.start_line() {
        assert_eq!(cseq.method, method);
        assert!(Uri::parse(uri).is_ok());
    }
    assert!(message.max_forwards().is_ok() || message.status().is_some());
}

/// Answers a request, and acknowledges and cancels it; all of that must parse.
fn answer(request: &Message<'_>, status: u16) {
    let mut response = Response::new(request, status);
    response
        .to_tag(b"fuzz")
        .received([192, 0, 2, 1].into(), Some(9));
    response.header(HeaderId::Server, request.bytes());
    let bytes = response.to_vec();
    let response = match Message::parse(&bytes) {
        Ok(response) => response,
        // Of a request that was at these limits itself.
        Err(ParseError::TooLong | ParseError::TooManyHeaders) => return,
        Err(error) => panic!("{error} in our own response"),
    };
    assert_eq!(response.status(), Some(status));
    assert_eq!(response.vias().count(), request.vias().count());
    assert_eq!(
        response.header(HeaderId::CallId),
        request.header(HeaderId::CallId)
    );
    for made in [ack_for(request, &response), cancel_for(request)]
        .into_iter()
        .flatten()
    {
        let bytes = made.to_vec();
        let made = match Message::parse(&bytes) {
            Ok(made) => made,
            Err(ParseError::TooLong | ParseError::TooManyHeaders) => continue,
            // A request URI that only `salvage` takes.
            Err(ParseError::StartLine) if status == 400 => continue,
            Err(error) => panic!("{error} in our own request"),
        };
        assert_eq!(made.vias().count(), 1);
        assert!(made.contains(HeaderId::CallId));
    }
}

/// The messages of a stream that is read in pieces, and how it ended.
fn frames(data: &[u8], piece_len: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut framer = Framer::new();
    let mut messages = Vec::new();
    for piece in data.chunks(piece_len) {
        if let Err(error) = framer.push(piece) {
            return (messages, Some(error));
        }
        loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(message))) => messages.push(message.to_vec()),
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(framer.pending_len() <= MESSAGE_LEN_MAX + piece_len);
    }
    (messages, None)
}
