//! Bodies of fuzz targets: they must not panic, and they assert what always holds.

use crate::{Event, Message, Reply, Request, Value};

/// Any bytes as bencode.
pub fn bencode(data: &[u8]) {
    let Ok((value, len)) = Value::parse_prefix(data) else {
        return;
    };
    assert!(len <= data.len());
    let mut encoded = Vec::new();
    value.encode(&mut encoded);
    assert_eq!(Value::parse(&encoded).as_ref(), Ok(&value));
}

/// Any bytes as a message, read by a server and by a client.
pub fn request(data: &[u8]) {
    let Some(message) = Message::split(data) else {
        return;
    };
    assert_eq!(message.join(), data);
    let Ok(document) = Value::parse(message.body) else {
        return;
    };
    if let Ok(request) = Request::parse(&document) {
        let encoded = request.command.encode(message.cookie);
        let again = Message::split(&encoded).expect("the cookie is the same");
        let document = Value::parse(again.body).expect("it was encoded just now");
        let again = Request::parse(&document).expect("what was understood is written so");
        assert_eq!(again.command, request.command);
    }
    let _ = Event::parse(&document);
    if let Ok(reply) = Reply::parse(message.body) {
        let _ = (reply.outcome(), reply.sdp(), reply.totals());
        let _ = reply.received_from(b"a");
    }
}
