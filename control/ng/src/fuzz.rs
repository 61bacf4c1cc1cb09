//! Bodies of fuzz targets: they must not panic, and they assert what always holds.

use crate::{Event, Framer, Message, Reply, Request, Value};

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

/// Any bytes as JSON: what is read is written so that it reads the same, in both forms.
pub fn json(data: &[u8]) {
    let document = [b"{", data].concat();
    let Ok(value) = Value::parse(&document) else {
        return;
    };
    let mut json = Vec::new();
    value.encode_json(&mut json);
    assert_eq!(Value::parse(&json).as_ref(), Ok(&value));
    let mut bencode = Vec::new();
    value.encode(&mut bencode);
    assert_eq!(Value::parse(&bencode).as_ref(), Ok(&value));
}

/// Any bytes as a stream of messages, of which the first byte says how it is cut: the cuts change
/// nothing, and whatever is one document ends where the stream says.
pub fn stream(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let whole = divide(stream, stream.len().max(1));
    assert_eq!(divide(stream, usize::from(cut).max(1)), whole);
    let document = Message::split(stream).filter(|it| !it.cookie[0].is_ascii_whitespace());
    if let Some(message) = document
        && message.body.first() == Some(&b'd')
        && let Ok((_, len)) = Value::parse_prefix(message.body)
        && message.cookie.len() + 1 + len <= STREAM_MESSAGE_BYTES_MAX
    {
        let expected = &stream[..message.cookie.len() + 1 + len];
        assert_eq!(whole.0.first().map(Vec::as_slice), Some(expected));
    }
}

const STREAM_MESSAGE_BYTES_MAX: usize = 2_000;

/// The messages of a stream that arrives in pieces, and whether it ended well.
fn divide(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(STREAM_MESSAGE_BYTES_MAX);
    let mut messages = Vec::new();
    for piece in stream.chunks(piece) {
        framer.push(piece);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => {
                    assert!(message.len() <= STREAM_MESSAGE_BYTES_MAX);
                    assert!(Message::split(message).is_some());
                    messages.push(message.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
        assert!(framer.pending_bytes() <= STREAM_MESSAGE_BYTES_MAX);
    }
    (messages, true)
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
