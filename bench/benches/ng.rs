//! What an ng request costs to read and its reply to write.

use std::hint::black_box;

use control_ng::{Command, Message, Negotiation, Request, Support, Value};
use criterion::{Criterion, criterion_group, criterion_main};

const SDP: &[u8] =
    b"v=0\r\no=- 3724394400 3724394401 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n\
t=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

fn offer(criterion: &mut Criterion) {
    let offer = Negotiation::new(b"a84b4c76e66710@192.0.2.1", b"1928301774", SDP)
        .received_from([192, 0, 2, 1].into())
        .replace_origin()
        .supports(Support::LoadLimit);
    let datagram = Command::Offer(offer).encode(b"1_4711_17");
    criterion.bench_function("ng/read an offer", |bencher| {
        bencher.iter(|| {
            let message = Message::split(black_box(&datagram)).expect("as encoded");
            let document = Value::parse(message.body).expect("as encoded");
            Request::parse(&document).is_ok()
        });
    });
    criterion.bench_function("ng/write a reply", |bencher| {
        bencher.iter(|| {
            control_ng::reply::ok()
                .with("sdp", black_box(SDP))
                .encode(b"1_4711_17")
        });
    });
}

criterion_group!(benches, offer);
criterion_main!(benches);
