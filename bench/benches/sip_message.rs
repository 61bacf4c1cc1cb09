//! What the proxy does with the bytes of every SIP message.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip_proxy_message::{
    Edits, Framer, HeaderId, Message, Response, Uri, validate_forward, validate_request,
};

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

fn reading(criterion: &mut Criterion) {
    let bytes = invite();
    let message = Message::parse(&bytes).expect("a sound INVITE");
    let mut group = criterion.benchmark_group("sip_message");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Message::parse(black_box(&bytes)).is_ok());
    });
    group.bench_function("parse_and_read", |bencher| {
        bencher.iter(|| Message::parse(black_box(&bytes)).is_ok_and(|message| read(&message)));
    });
    group.bench_function("validate", |bencher| {
        bencher.iter(|| {
            let message = black_box(&message);
            validate_request(message).and_then(|()| validate_forward(message, &[]))
        });
    });
    group.bench_function("credentials", |bencher| {
        bencher.iter(|| {
            let message = black_box(&message);
            message.credentials(HeaderId::ProxyAuthorization).count()
        });
    });
    group.bench_function("frame", |bencher| {
        let mut framer = Framer::new();
        bencher.iter(|| {
            framer.push(black_box(&bytes)).expect("room");
            framer.poll_frame().is_ok_and(|frame| frame.is_some())
        });
    });
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let bytes = invite();
    let message = Message::parse(&bytes).expect("a sound INVITE");
    let mut out = Vec::with_capacity(4_096);
    let mut group = criterion.benchmark_group("sip_message");
    group.bench_function("forward", |bencher| {
        bencher.iter(|| {
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
            out.len()
        });
    });
    group.bench_function("respond", |bencher| {
        bencher.iter(|| {
            out.clear();
            Response::new(black_box(&message), 100).emit(&mut out);
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, reading, writing);
criterion_main!(benches);
