//! What an ng request costs to read and its reply to write.

use std::hint::black_box;
use std::net::IpAddr;

use control_ng::{Command, Counts, Message, Negotiation, Request, Support, Value, reply};
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
        bencher.iter(|| reply::ok().with("sdp", black_box(SDP)).encode(b"1_4711_17"));
    });
}

/// About as much as the reply to a delete says of the four ports of a call.
fn report(criterion: &mut Criterion) {
    let counts = Counts {
        packets: 9_012,
        bytes: 1_550_064,
        errors: 0,
    };
    criterion.bench_function("ng/write a report", |bencher| {
        bencher.iter(|| {
            reply::write_ok(b"1_4711_17", |out| {
                out.put("created", 1_795_233_164_u32);
                for port in [30_000_u32, 30_001, 30_004, 30_005] {
                    out.dictionary("stream", |out| {
                        out.put("local port", black_box(port));
                        out.put("local address", IpAddr::from([192, 0, 2, 1]));
                        out.put("family", "IPv4");
                        out.list("flags", |out| out.put("confirmed"));
                        out.dictionary("stats", |out| counts.write(out));
                        out.dictionary("stats_out", |out| counts.write(out));
                    });
                }
            })
        });
    });
}

criterion_group!(benches, offer, report);
criterion_main!(benches);
