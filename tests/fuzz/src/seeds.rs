//! What mutations start from.

use crate::runner::Input;
use crate::torture;

/// SIP messages.
#[must_use]
pub fn messages() -> Vec<Input> {
    torture::messages()
        .into_iter()
        .map(|case| case.bytes)
        .collect()
}

/// SIP messages with something before each: a stream's first byte says how it is cut, the first
/// eight of an edited message say what is changed.
#[must_use]
pub fn prefixed_messages(prefix_len: u8) -> Vec<Input> {
    let prefixed = |(number, message): (u8, Input)| {
        let mut input: Input = (0..prefix_len)
            .map(|at| at.wrapping_mul(37).wrapping_add(number))
            .collect();
        input.extend(message);
        input
    };
    (1..).zip(messages()).map(prefixed).collect()
}

/// Streams: several messages and keep-alives one after the other.
#[must_use]
pub fn streams() -> Vec<Input> {
    let mut all = vec![23];
    let mut seeds = prefixed_messages(1);
    for message in messages() {
        if all.len() < 6_000 {
            all.extend_from_slice(&message);
            all.extend_from_slice(b"\r\n\r\n");
        }
    }
    seeds.push(all);
    seeds.push(b"\x01\r\n\r\n\r\nOPTIONS sip:a SIP/2.0\r\nl:0\r\n\r\n\r\n".to_vec());
    seeds
}

/// WAV files: each law and width, with one channel and two.
#[must_use]
pub fn sounds() -> Vec<Input> {
    let kinds = [
        (1, 8),
        (1, 16),
        (1, 24),
        (1, 32),
        (6, 8),
        (7, 8),
        (0xfffe, 16),
    ];
    let files = kinds
        .into_iter()
        .flat_map(|(tag, bits)| [sound(tag, bits, 1), sound(tag, bits, 2)]);
    files.collect()
}

fn sound(tag: u16, bits: u16, channels: u16) -> Input {
    let mut format = Vec::new();
    format.extend(tag.to_le_bytes());
    format.extend(channels.to_le_bytes());
    format.extend(11_025_u32.to_le_bytes());
    format.extend([0; 6]);
    format.extend(bits.to_le_bytes());
    // What the name of the samples stands in if it does not stand in front.
    format.extend([22, 0, bits.to_le_bytes()[0], 0, 0, 0, 0, 0, 1, 0]);
    format.resize(40, 0);
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0".to_vec();
    file.extend(format);
    file.extend(b"LIST\x03\0\0\0abc\0data\x40\0\0\0");
    file.extend((0..64_u8).map(|at| at.wrapping_mul(37)));
    file
}

/// URIs, two in an input.
#[must_use]
pub fn uris() -> Vec<Input> {
    [
        "sip:alice@example.com\nsip:%61lice@EXAMPLE.com;unknown=1",
        "sips:a;b=c?d:secret@[2001:db8::9]:5061;transport=tcp;lr?to=x%40y&subject=z\nsips:h",
        "tel:+1-201-555-0123;phone-context=example.com;ext=7\ntel:+12015550123",
        "sip:192.0.2.1:5060;maddr=239.255.255.1;ttl=15;user=phone;method=INVITE\nsip:192.0.2.1",
        "urn:service:sos\nurn:service:sos",
        "sip:1_odd~(x)&y=z+$/?,;:p&w@example.com\nsip:#31#@example.com",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Values of headers.
#[must_use]
pub fn header_values() -> Vec<Input> {
    [
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc;rport=5060;received=192.0.2.2",
        "SIP / 2.0 / TCP [2001:db8::1] : 9 ; maddr=h.example.com;\r\n ttl=3;branch=\"x\"",
        "\"Al \\\" <x>\" <sip:a@b;lr?c=d>;tag=1;q=0.5;expires=60;+sip.instance=\"<urn:uuid:1>\"",
        "sip:a@b;tag=2;expires=4294967296",
        "M\u{fc}ller<sips:[::1]>\r\n\t;tag=a",
        "2147483647 INVITE",
        "*",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Credentials.
#[must_use]
pub fn credentials() -> Vec<Input> {
    [
        "Digest username=\"al\\\"ice\", realm=\"tandem\", nonce=\"abc,d\", uri=\"sip:h\",\r\n response=\"0123456789abcdef0123456789abcdef\", algorithm=SHA-256, cnonce=\"x\", qop=auth, nc=0000000a, opaque=\"o\"",
        "Digest username=u,realm=\"\",nonce=n==,uri=sip:h,response=r,qop=\"auth-int\",algorithm=MD5-sess",
        "Basic dXNlcjpwYXNz",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Session descriptions: plain, held, with everything that WebRTC adds, and one as in RFC 3264.
#[must_use]
pub fn session_descriptions() -> Vec<Input> {
    [
        "v=0\no=desk 20518 20518 IN IP4 198.51.100.7\ns=-\nc=IN IP4 198.51.100.7\nt=0 0\n\
         m=audio 40124 RTP/AVP 8 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n\
         a=ptime:20\na=sendrecv\n",
        "v=0\no=- 1 2 IN IP6 2001:db8::7\ns=hold\nt=0 0\na=sendonly\n\
         m=audio 40126 RTP/AVP 0\nc=IN IP6 2001:db8::7\na=rtcp:40129 IN IP6 2001:db8::8\n\
         m=video 0 RTP/AVP 31\nb=AS:256\nm=image 40130 udptl t38\n",
        "v=0\no=- 46117 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0\na=ice-lite\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 0\nc=IN IP4 0.0.0.0\na=rtcp:9 IN IP4 0.0.0.0\n\
         a=candidate:1 1 udp 2130706431 198.51.100.7 50000 typ host generation 0\n\
         a=ice-ufrag:aaaa\na=ice-pwd:bbbbbbbbbbbbbbbbbbbbbb\na=fingerprint:sha-256 00:11\n\
         a=setup:actpass\na=mid:0\na=rtcp-mux\na=rtpmap:111 opus/48000/2\na=ssrc:1 cname:x\n",
        "v=0\r\no=a 1 1 IN IP4 host.example.com\r\ns=\r\nc=IN IP4 224.2.17.12/127\r\nt=0 0\r\n\
         m=audio 49170/2 RTP/AVP 0\r\nm=application 32416 udp wb\r\na=orient:portrait\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// What stands behind `a=crypto:`, as RFC 4568 and others have it.
#[must_use]
pub fn key_lines() -> Vec<Input> {
    [
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 \
         FEC_ORDER=FEC_SRTP",
        "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;\
         inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 WSH=64 -x",
        "3 AEAD_AES_128_GCM inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nz==|1:128",
        "4 NULL_HMAC_SHA1_32 inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5 UNENCRYPTED_SRTP \
         UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP KDR=0",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Requests and events of the ng protocol.
#[must_use]
pub fn ng_messages() -> Vec<Input> {
    let [sdp, ..] = session_descriptions()
        .try_into()
        .unwrap_or([const { Vec::new() }; 4]);
    let offer = |sdp: &[u8]| {
        let mut offer = b"c00k1e_1 d7:call-id6:call-17:command5:offer5:flagsl13:trust-addresse\
            8:from-tag3:abc13:received-froml3:IP412:198.51.100.7e7:replacel6:origin18:session-connectione\
            8:supportsl6:eventse3:sdp"
            .to_vec();
        offer.extend_from_slice(sdp.len().to_string().as_bytes());
        offer.push(b':');
        offer.extend_from_slice(sdp);
        offer.push(b'e');
        offer
    };
    let mut seeds = vec![offer(&sdp), offer(b"v=0")];
    for text in [
        "1 d7:command4:pinge",
        "2 d7:command6:delete7:call-id6:call-18:from-tag3:abc6:to-tag3:xyz12:delete-delayi0ee",
        "3 d7:command6:answer7:call-id6:call-18:from-tag3:abc6:to-tag3:xyz10:via-branch4:zz-93:sdp3:v=0e",
        "4 d7:command5:query7:call-id6:call-1e",
        "5 d7:command4:list5:limiti-7ee",
        "6 d6:result2:oke",
        "7 d7:call-id6:call-15:event13:media timeout8:from-tag3:abce",
        "8 d1:ali1ei-2e3:xyzle0:dee1:bd1:cd1:dd1:eleeeee",
        "9 {\"command\":\"delete\",\"call-id\":\"c\\u00e9\",\"flags\":[\"fatal\"],\"delete-delay\":0}",
        "10 {\"a\":[1,-2.5e3,true,null,{\"b\":{\"c\":[[]]}}],\"a\":\"\\\"}\"}",
    ] {
        seeds.push(text.as_bytes().to_vec());
    }
    seeds
}

/// The same without their cookies: bare bencode.
#[must_use]
pub fn bencode() -> Vec<Input> {
    let mut seeds = ng_messages();
    for seed in &mut seeds {
        let cookie_len = seed
            .iter()
            .position(|byte| *byte == b' ')
            .map_or(0, |at| at + 1);
        seed.drain(..cookie_len);
    }
    seeds
}

/// JSON without the first brace.
#[must_use]
pub fn json() -> Vec<Input> {
    let seeds = bencode().into_iter();
    seeds
        .filter_map(|seed| seed.strip_prefix(b"{").map(<[u8]>::to_vec))
        .collect()
}

/// Streams of ng messages, with the length of the pieces first.
#[must_use]
pub fn ng_streams() -> Vec<Input> {
    let messages = ng_messages();
    let one = |message: &Input| [&[3], message.as_slice()].concat();
    let mut seeds: Vec<_> = messages.iter().map(one).collect();
    seeds.push([&[11], messages[2..].concat().as_slice()].concat());
    seeds.push([&[1], messages[2..].join(&b"\r\n"[..]).as_slice()].concat());
    seeds
}

/// RTP packets: plain, with CSRCs, padding and both kinds of extension.
#[must_use]
pub fn rtp_packets() -> Vec<Input> {
    let plain = b"\x80\x00\x00\x01\x00\x00\x00\xa0\xde\xad\xbe\xef".to_vec();
    let with = |first: u8, rest: &[u8]| {
        let mut packet = plain.clone();
        packet[0] = first;
        packet.extend_from_slice(rest);
        packet
    };
    vec![
        with(0x80, &[0xd5; 160]),
        with(0x82, b"\0\0\0\x01\0\0\0\x02payload"),
        with(0xa0, b"payload\0\0\x03"),
        with(0x90, b"\xbe\xde\0\x02\x10\x7f\x21ab\0\0\0payload"),
        with(0x90, b"\x10\x00\0\x02\x01\x02ab\0\x03\x01cpayload"),
        with(0xb1, b"\0\0\0\x01\xbe\xde\0\x01\x10\x7f\0\0payload\x01"),
        plain,
    ]
}

/// Compound RTCP packets.
#[must_use]
pub fn rtcp_packets() -> Vec<Input> {
    let sender_report =
        b"\x80\xc8\0\x06\0\0\0\x01\xe0\0\0\0\x80\0\0\0\0\0\0\xa0\0\0\0\x01\0\0\0\xa0";
    let receiver_report = b"\x81\xc9\0\x07\0\0\0\x02\0\0\0\x01\x10\0\0\x05\0\0\x12\x34\0\0\0\x09\x11\x22\x33\x44\0\0\x80\0";
    let description = b"\x81\xca\0\x04\0\0\0\x01\x01\x05a@b.c\0\0\0\0\0";
    let goodbye = b"\x81\xcb\0\x03\0\0\0\x01\x06moving\0";
    let feedback = b"\x81\xcd\0\x03\0\0\0\x01\0\0\0\x02\x12\x34\0\0";
    let extended = b"\x80\xcf\0\x02\0\0\0\x01\x04\0\0\0";
    vec![
        sender_report.to_vec(),
        [&sender_report[..], description].concat(),
        [&receiver_report[..], description, goodbye].concat(),
        [&receiver_report[..], feedback, extended].concat(),
        goodbye.to_vec(),
    ]
}

/// Nothing but numbers, for targets that read a script of steps from their input.
#[must_use]
pub fn scripts() -> Vec<Input> {
    let script = |step: u8| {
        (0..400_u16)
            .map(|at| at.to_le_bytes()[0].wrapping_mul(step))
            .collect()
    };
    [1, 3, 5, 7, 11, 29, 91, 173].map(script).to_vec()
}

/// Settings files.
#[must_use]
pub fn settings() -> Vec<Input> {
    [
        "[tandem]\ndata_dir = \"/var/lib/tandem\"\n\n[log]\nlevel = \"info,control=debug\"\nformat = \"json\"\n",
        "[relay]\ninterfaces = [\"lan=192.168.1.1\", \"wan=10.0.0.1!203.0.113.1\"]\nports = [30000, 39998]\n\
         workers = 4\ncores = [0, 1]\ndriver = \"uring\"\ncalls_per_worker_max = 1_000\n",
        "[control]\nlisten = [\"127.0.0.1:2223\", \"[::1]:2223\"]\nmedia_timeout_s = 60\noffer_timeout_s = 300\n\
         [sip_proxy]\nlisten = [\"udp:0.0.0.0:5060\", \"tcp:[::]:5060\"]\nadvertise = \"203.0.113.5\"\n\
         domains = [\"pbx.example\"]\nexpires_min_s = 60\nexpires_max_s = 3600\n",
        "# nothing\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// SIP messages one after the other, each with a byte before it: a quarter of its length. Bytes
/// after a message's body are passed over, so it may be filled up.
#[must_use]
pub fn framed_messages() -> Vec<Input> {
    let framed = |message: Input| {
        let quarter = u8::try_from(message.len().div_ceil(4)).ok()?;
        let mut input = vec![quarter];
        input.extend(message);
        input.resize(1 + 4 * usize::from(quarter), 0);
        Some(input)
    };
    let all: Vec<_> = messages().into_iter().filter_map(framed).collect();
    all.chunks(3).map(<[Input]>::concat).collect()
}
