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
