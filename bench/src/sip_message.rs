//! What the proxy does with the bytes of every SIP message.

use std::hint::black_box;

use sip_proxy_message::{
    Edits, Framer, HeaderId, Message, Response, Uri, validate_forward, validate_request,
};

use crate::{Operation, operation};

pub(crate) const OPERATIONS: [Operation; 7] = [
    operation("sip-proxy-message/parse", parse),
    operation("sip-proxy-message/parse and read", parse_and_read),
    operation("sip-proxy-message/validate", validate),
    operation("sip-proxy-message/read credentials", credentials),
    operation("sip-proxy-message/frame", frame),
    operation("sip-proxy-message/forward", forward),
    operation("sip-proxy-message/respond", respond),
];

/// An INVITE as a desk phone sends it: 18 header fields and a session description.
fn invite() -> Vec<u8> {
    let sdp = "v=0\r\no=alice 3905237412 3905237412 IN IP4 198.51.100.23\r\ns=call\r\n\
        c=IN IP4 198.51.100.23\r\nt=0 0\r\nm=audio 16384 RTP/AVP 0 8 9 18 101\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n\
        a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    let head = format!(
        "INVITE sip:bob@pbx.example;transport=udp SIP/2.0\r\n\
        Via: SIP/2.0/UDP 198.51.100.23:5060;branch=z9hG4bKPj3f0f8a8a2b;rport\r\n\
        Max-Forwards: 70\r\n\
        From: \"Alice Phone\" <sip:alice@pbx.example>;tag=f2c0b7e1d5\r\n\
        To: <sip:bob@pbx.example>\r\n\
        Contact: <sip:alice@198.51.100.23:5060;ob>\r\n\
        Call-ID: 7d1f0a36c2b94e2f8f4f9f8e77@198.51.100.23\r\n\
        CSeq: 20341 INVITE\r\n\
        Route: <sip:192.0.2.10:5060;lr>\r\n\
        Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, OPTIONS\r\n\
        Supported: replaces, 100rel, timer, norefersub\r\n\
        Session-Expires: 1800\r\n\
        Min-SE: 90\r\n\
        User-Agent: Example Desk Phone 4.2.1.118\r\n\
        Proxy-Authorization: Digest username=\"alice\", realm=\"pbx.example\", nonce=\"Zm9vYmFy\", \
        uri=\"sip:bob@pbx.example\", response=\"3b1c6a6f5d4e2f1098a7b6c5d4e3f201\", algorithm=MD5, \
        cnonce=\"8f2c1d\", qop=auth, nc=00000001\r\n\
        Accept: application/sdp\r\n\
        X-Site: east\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: {}\r\n\r\n",
        sdp.len()
    );
    (head + sdp).into_bytes()
}

/// The values that routing and transactions need.
fn read(message: &Message<'_>) -> bool {
    let uri = message.request_uri().map(Uri::parse);
    uri.is_some_and(|uri| uri.is_ok())
        && message.via().is_ok()
        && message.from().is_ok()
        && message.to().is_ok()
        && message.call_id().is_ok()
        && message.cseq().is_ok()
        && message.max_forwards().is_ok()
        && message.route().next().is_some()
}

fn parse() -> Box<dyn FnMut()> {
    let bytes = invite();
    Box::new(move || assert!(Message::parse(black_box(&bytes)).is_ok()))
}

fn parse_and_read() -> Box<dyn FnMut()> {
    let bytes = invite();
    Box::new(move || {
        let message = Message::parse(black_box(&bytes));
        assert!(message.is_ok_and(|message| read(&message)));
    })
}

/// One that is there for as long as the program.
fn message() -> Message<'static> {
    Message::parse(invite().leak()).expect("a sound INVITE")
}

fn validate() -> Box<dyn FnMut()> {
    let message = message();
    Box::new(move || {
        let message = black_box(&message);
        let result = validate_request(message).and_then(|()| validate_forward(message, &[]));
        assert!(result.is_ok());
    })
}

fn credentials() -> Box<dyn FnMut()> {
    let message = message();
    Box::new(move || {
        let credentials = black_box(&message).credentials(HeaderId::ProxyAuthorization);
        assert_eq!(credentials.count(), 1);
    })
}

fn frame() -> Box<dyn FnMut()> {
    let bytes = invite();
    let mut framer = Framer::new();
    Box::new(move || {
        framer.push(black_box(&bytes)).expect("room");
        assert!(framer.poll_frame().is_ok_and(|frame| frame.is_some()));
    })
}

fn forward() -> Box<dyn FnMut()> {
    let message = message();
    let mut out = Vec::with_capacity(4_096);
    Box::new(move || {
        let mut edits = Edits::new(black_box(&message));
        edits
            .replace_request_uri(b"sip:bob@203.0.113.5:5060;ob")
            .prepend(
                HeaderId::Via,
                b"SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKabcdefghij",
            )
            .prepend(HeaderId::RecordRoute, b"<sip:192.0.2.10:5060;lr>")
            .remove_top(HeaderId::Route)
            .decrement_max_forwards();
        let received = edits.set_received([198, 51, 100, 23].into(), Some(5_060));
        received.expect("a sound Via");
        out.clear();
        edits.emit(&mut out);
        black_box(&out);
    })
}

fn respond() -> Box<dyn FnMut()> {
    let message = message();
    let mut out = Vec::with_capacity(4_096);
    Box::new(move || {
        out.clear();
        Response::new(black_box(&message), 100).emit(&mut out);
        black_box(&out);
    })
}
