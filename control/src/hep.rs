//! Copies of ng messages, and reports of parties by RTCP, for Homer, as HEPv3 over UDP.
//!
//! ```text
//! "HEP3", length │ chunk: vendor, type, length, data │ chunk …
//! ```
//!
//! What cannot be sent at once is lost and counted ([`Outlet`]): capturing holds up nothing. Keys of
//! SRTP are no capturer's business: asterisks stand in their place.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use control_core::{Now, QualityReport};
use relay_wire::{Reception, Report};
use serde_json::{Value as Json, json};

use crate::outlet::Outlet;

/// The protocol's number by which Homer knows messages of ng.
const PROTOCOL_NG: u8 = 0x3d;

/// The same of RTCP, as JSON.
const PROTOCOL_RTCP: u8 = 5;

/// UDP (RFC 790).
const IP_PROTOCOL_UDP: u8 = 17;

/// Bytes of a captured message that are sent: what a datagram over IPv4 holds beside the rest.
const PAYLOAD_BYTES_MAX: usize = 60_000;

/// Bytes of a Call-ID that are sent.
const CALL_ID_BYTES_MAX: usize = 1_024;

/// Requests remembered, so that their replies are told with the same Call-ID.
const REQUESTS_MAX: usize = 1_024;

/// One captured message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capture<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) unix_ms: u64,
    pub(crate) agent_id: u32,
    pub(crate) protocol: u8,
    /// What belongs together has the same.
    pub(crate) correlation_id: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Capture<'_> {
    /// The datagram for Homer.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.payload.len());
        out.extend_from_slice(b"HEP3\0\0");
        let (source, destination) = (self.source, self.destination);
        let is_ip4 = source.is_ipv4() && destination.is_ipv4();
        // AF_INET and AF_INET6 of Linux.
        chunk(&mut out, 1, &[if is_ip4 { 2 } else { 10 }]);
        chunk(&mut out, 2, &[IP_PROTOCOL_UDP]);
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                chunk(&mut out, 3, &source.octets());
                chunk(&mut out, 4, &destination.octets());
            }
            (source, destination) => {
                chunk(&mut out, 5, &as_ip6(source).octets());
                chunk(&mut out, 6, &as_ip6(destination).octets());
            }
        }
        chunk(&mut out, 7, &source.port().to_be_bytes());
        chunk(&mut out, 8, &destination.port().to_be_bytes());
        let seconds = u32::try_from(self.unix_ms / 1_000).unwrap_or(u32::MAX);
        let micros = u32::try_from(self.unix_ms % 1_000 * 1_000).unwrap_or_default();
        chunk(&mut out, 9, &seconds.to_be_bytes());
        chunk(&mut out, 10, &micros.to_be_bytes());
        chunk(&mut out, 11, &[self.protocol]);
        chunk(&mut out, 12, &self.agent_id.to_be_bytes());
        chunk(&mut out, 15, cut(self.payload, PAYLOAD_BYTES_MAX));
        if !self.correlation_id.is_empty() {
            chunk(&mut out, 17, cut(self.correlation_id, CALL_ID_BYTES_MAX));
        }
        let len = u16::try_from(out.len()).unwrap_or(u16::MAX);
        out[4..6].copy_from_slice(&len.to_be_bytes());
        out
    }
}

fn chunk(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    let len = u16::try_from(6 + data.len()).unwrap_or(u16::MAX);
    // Vendor 0: what the specification itself defines.
    out.extend_from_slice(&0_u16.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(data);
}

fn as_ip6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn cut(bytes: &[u8], len_max: usize) -> &[u8] {
    &bytes[..bytes.len().min(len_max)]
}

/// What stands before a key of SRTP (RFC 4568 §9.1), and before a password of ICE (RFC 8839 §5.4).
const BEFORE_SECRETS: [&[u8]; 2] = [b"inline:", b"ice-pwd:"];

/// A message with asterisks in the place of keys, as long as it was.
fn without_keys(message: &[u8]) -> Cow<'_, [u8]> {
    let mut hidden = Cow::Borrowed(message);
    let mut at = 0;
    while let Some(found) = message[at..].iter().position(|b| *b == b':') {
        at += found + 1;
        let before = &message[..at];
        let ends_with = |name: &[u8]| {
            let start = at.saturating_sub(name.len());
            before[start..].eq_ignore_ascii_case(name)
        };
        if BEFORE_SECRETS.into_iter().any(ends_with) {
            let len = key_len(&message[at..]);
            hidden.to_mut()[at..at + len].fill(b'*');
            at += len;
        }
    }
    hidden
}

/// Up to what ends a key in SDP, be the SDP as it is or in a string of JSON, where a slash may be
/// two characters.
fn key_len(text: &[u8]) -> usize {
    let is_end = |(n, byte): (usize, &u8)| match byte {
        b'|' | b';' | b' ' | b'"' | b'\r' | b'\n' => true,
        b'\\' => matches!(text.get(n + 1), Some(b'r' | b'n' | b't')),
        _ => false,
    };
    let end = text.iter().enumerate().position(is_end);
    end.unwrap_or(text.len())
}

/// Sends captures to one Homer.
#[derive(Debug)]
pub(crate) struct HepSender {
    outlet: Outlet,
    agent_id: u32,
    /// Cookies and Call-IDs of the newest requests, by their client.
    requests: VecDeque<(SocketAddr, Vec<u8>, Vec<u8>)>,
}

impl HepSender {
    /// Prepares to send to `homer`.
    pub(crate) fn new(homer: SocketAddr, agent_id: u32) -> io::Result<Self> {
        Ok(Self {
            outlet: Outlet::to(homer)?,
            agent_id,
            requests: VecDeque::new(),
        })
    }

    /// Captures that could not be sent.
    pub(crate) fn lost(&self) -> u64 {
        self.outlet.lost
    }

    /// A request came.
    pub(crate) fn request(&mut self, now: Now, from: SocketAddr, to: SocketAddr, message: &[u8]) {
        let call_id = call_id_of(message).unwrap_or_default();
        // As much as is sent: what is remembered is not to grow with what clients write.
        let call_id = cut(call_id, CALL_ID_BYTES_MAX).to_vec();
        self.send(now, (from, to), &call_id, message);
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        let cookie = cut(cookie_of(message), CALL_ID_BYTES_MAX).to_vec();
        self.requests.push_back((from, cookie, call_id));
    }

    /// A reply, or an event, was sent.
    pub(crate) fn reply(&mut self, now: Now, from: SocketAddr, to: SocketAddr, message: &[u8]) {
        let cookie = cookie_of(message);
        let is_it = |(client, of, _): &&(SocketAddr, Vec<u8>, Vec<u8>)| {
            *client == to && of.as_slice() == cookie
        };
        let known = self.requests.iter().rev().find(is_it);
        let known = known.map(|(_, _, call_id)| call_id.clone());
        let call_id = known.or_else(|| Some(call_id_of(message)?.to_vec()));
        self.send(now, (from, to), &call_id.unwrap_or_default(), message);
    }

    /// A party has reported.
    pub(crate) fn report(&mut self, report: &QualityReport) {
        self.send_capture(&Capture {
            source: report.report.source,
            destination: report.destination,
            unix_ms: report.unix_ms,
            agent_id: self.agent_id,
            protocol: PROTOCOL_RTCP,
            correlation_id: &report.call_id,
            payload: rtcp_json(&report.report).to_string().as_bytes(),
        });
    }

    fn send(
        &mut self,
        now: Now,
        (source, destination): (SocketAddr, SocketAddr),
        correlation_id: &[u8],
        payload: &[u8],
    ) {
        self.send_capture(&Capture {
            source,
            destination,
            unix_ms: now.unix_ms,
            agent_id: self.agent_id,
            protocol: PROTOCOL_NG,
            correlation_id,
            payload: &without_keys(payload),
        });
    }

    fn send_capture(&mut self, capture: &Capture<'_>) {
        self.outlet.send(&capture.encode());
    }
}

/// A report as Homer reads it, with its names.
fn rtcp_json(report: &Report) -> Json {
    let block = |it: &Reception| {
        json!({
            "source_ssrc": it.ssrc,
            "fraction_lost": it.fraction_lost,
            "packets_lost": it.packets_lost,
            "highest_seq_no": it.highest_sequence,
            "ia_jitter": it.jitter,
            "lsr": it.last_report,
            "dlsr": it.delay,
        })
    };
    let blocks: Vec<_> = report.reception.iter().map(block).collect();
    // RFC 3550 §12.1.
    let packet_type = if report.sender.is_some() { 200 } else { 201 };
    let mut document = json!({
        "type": packet_type,
        "ssrc": report.ssrc,
        "report_count": blocks.len(),
        "report_blocks": blocks,
    });
    if let Some(sent) = &report.sender {
        let micros = ((sent.ntp_time & 0xffff_ffff) * 1_000_000) >> 32;
        document["sender_information"] = json!({
            "ntp_timestamp_sec": sent.ntp_time >> 32,
            "ntp_timestamp_usec": micros,
            "rtp_timestamp": sent.rtp_timestamp,
            "packets": sent.packets,
            "octets": sent.octets,
        });
    }
    document
}

fn cookie_of(message: &[u8]) -> &[u8] {
    let end = message.iter().position(|byte| *byte == b' ');
    &message[..end.unwrap_or(0)]
}

/// The Call-ID of a message in bencode, or in JSON as it is usually written. Looked for by its
/// key alone: what is not found is captured without.
fn call_id_of(message: &[u8]) -> Option<&[u8]> {
    const BENCODE: &[u8] = b"7:call-id";
    const JSON: &[u8] = b"\"call-id\":\"";
    let after = |key: &[u8]| {
        let at = message
            .windows(key.len())
            .position(|window| window == key)?;
        Some(&message[at + key.len()..])
    };
    if let Some(rest) = after(BENCODE) {
        let colon = rest.iter().take(6).position(|byte| *byte == b':')?;
        let len: usize = str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
        return rest[colon + 1..].get(..len);
    }
    let rest = after(JSON)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    use relay_wire::Sent;

    use super::*;

    const REQUEST: &[u8] = b"c1 d7:call-id3:abc7:command5:offere";

    fn at() -> Now {
        Now {
            instant: Instant::now(),
            unix_ms: 1_700_000_000_123,
        }
    }

    /// Chunks by type, read by the specification: every length must be right.
    fn chunks(datagram: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let number = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
        assert_eq!(&datagram[..4], b"HEP3");
        assert_eq!(usize::from(number(&datagram[4..])), datagram.len());
        let mut rest = &datagram[6..];
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            assert_eq!(number(rest), 0, "vendor");
            let len = usize::from(number(&rest[4..]));
            chunks.push((number(&rest[2..]), rest[6..len].to_vec()));
            rest = &rest[len..];
        }
        chunks
    }

    #[test]
    fn a_message_is_told_with_where_when_and_what() {
        let capture = Capture {
            source: "192.0.2.1:5060".parse().unwrap(),
            destination: "192.0.2.2:2223".parse().unwrap(),
            unix_ms: 1_700_000_000_123,
            agent_id: 7,
            protocol: PROTOCOL_NG,
            correlation_id: b"abc",
            payload: REQUEST,
        };
        let expected: [(u16, &[u8]); 12] = [
            (1, &[2]),
            (2, &[17]),
            (3, &[192, 0, 2, 1]),
            (4, &[192, 0, 2, 2]),
            (7, &[0x13, 0xc4]),
            (8, &[0x08, 0xaf]),
            (9, &1_700_000_000_u32.to_be_bytes()),
            (10, &123_000_u32.to_be_bytes()),
            (11, &[0x3d]),
            (12, &[0, 0, 0, 7]),
            (15, REQUEST),
            (17, b"abc"),
        ];
        let expected = expected.map(|(kind, data)| (kind, data.to_vec()));
        assert_eq!(chunks(&capture.encode()), expected);
        let over_ip6 = Capture {
            source: "[2001:db8::1]:5060".parse().unwrap(),
            payload: &[0; 70_000],
            ..capture
        };
        let chunks = chunks(&over_ip6.encode());
        assert_eq!(chunks[0], (1, vec![10]));
        assert_eq!(chunks[2].1.len(), 16);
        assert!(
            chunks
                .iter()
                .any(|(kind, data)| *kind == 15 && data.len() == PAYLOAD_BYTES_MAX)
        );
    }

    #[test]
    fn a_reply_is_told_with_the_call_of_its_request() {
        let homer = UdpSocket::bind("127.0.0.1:0").unwrap();
        homer
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut sender = HepSender::new(homer.local_addr().unwrap(), 1).unwrap();
        let client = "192.0.2.1:5060".parse().unwrap();
        let server = "192.0.2.2:2223".parse().unwrap();
        sender.request(at(), client, server, REQUEST);
        sender.reply(at(), server, client, b"c1 d6:result2:oke");
        for payload in [REQUEST, b"c1 d6:result2:oke"] {
            let mut buffer = [0; 2_048];
            let len = homer.recv(&mut buffer).unwrap();
            let chunks = chunks(&buffer[..len]);
            assert!(chunks.contains(&(15, payload.to_vec())));
            assert!(chunks.contains(&(17, b"abc".to_vec())), "{chunks:?}");
        }
    }

    #[test]
    fn keys_are_nobodys_business() {
        let cases: [(&str, &str); 7] = [
            (
                "a=crypto:1 X inline:AbC/+==|2^20|1:4\r\n",
                "a=crypto:1 X inline:*******|2^20|1:4\r\n",
            ),
            ("Inline:ab;inline:cd e", "Inline:**;inline:** e"),
            (
                r#"{"sdp":"inline:ab\/cd\r\nb"}"#,
                r#"{"sdp":"inline:******\r\nb"}"#,
            ),
            (r#"{"sdp":"inline:ab"}"#, r#"{"sdp":"inline:**"}"#),
            ("inline:", "inline:"),
            (
                "a=ice-pwd:aB+/\r\na=ptime:20",
                "a=ice-pwd:****\r\na=ptime:20",
            ),
            ("a inline:b", "a inline:*"),
        ];
        for (message, hidden) in cases {
            let told = without_keys(message.as_bytes());
            assert_eq!(String::from_utf8_lossy(&told), hidden);
        }
        assert!(matches!(without_keys(b"online:abc"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_report_is_told_with_its_call_and_the_names_of_homer() {
        let homer = UdpSocket::bind("127.0.0.1:0").unwrap();
        homer
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut sender = HepSender::new(homer.local_addr().unwrap(), 1).unwrap();
        let report = Report {
            source: "192.0.2.1:4001".parse().unwrap(),
            ssrc: 7,
            sender: Some(Sent {
                ntp_time: 3 << 32 | 1 << 31,
                rtp_timestamp: 160,
                packets: 50,
                octets: 8_000,
            }),
            reception: Some(Reception {
                ssrc: 8,
                fraction_lost: 64,
                packets_lost: -1,
                highest_sequence: 65_537,
                jitter: 4,
                last_report: 5,
                delay: 6,
            }),
        };
        sender.report(&QualityReport {
            call_id: b"abc".to_vec(),
            unix_ms: 1_700_000_000_123,
            destination: "192.0.2.2:30001".parse().unwrap(),
            report,
        });
        let mut buffer = [0; 2_048];
        let len = homer.recv(&mut buffer).unwrap();
        let chunks = chunks(&buffer[..len]);
        assert!(chunks.contains(&(11, vec![5])), "{chunks:?}");
        assert!(chunks.contains(&(17, b"abc".to_vec())), "{chunks:?}");
        assert!(chunks.contains(&(8, 30_001_u16.to_be_bytes().to_vec())));
        let payload = chunks.iter().find(|(kind, _)| *kind == 15).unwrap();
        let told: Json = serde_json::from_slice(&payload.1).unwrap();
        let expected = json!({
            "type": 200,
            "ssrc": 7,
            "report_count": 1,
            "report_blocks": [{
                "source_ssrc": 8,
                "fraction_lost": 64,
                "packets_lost": -1,
                "highest_seq_no": 65_537,
                "ia_jitter": 4,
                "lsr": 5,
                "dlsr": 6,
            }],
            "sender_information": {
                "ntp_timestamp_sec": 3,
                "ntp_timestamp_usec": 500_000,
                "rtp_timestamp": 160,
                "packets": 50,
                "octets": 8_000,
            },
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_call_id_is_found_in_either_form_and_nothing_is_read_beyond() {
        assert_eq!(call_id_of(REQUEST), Some(&b"abc"[..]));
        let json = br#"c1 {"command":"offer","call-id":"abc"}"#;
        assert_eq!(call_id_of(json), Some(&b"abc"[..]));
        for wrong in [
            &b"c1 d7:call-id99:abce"[..],
            b"c1 d7:call-idabce",
            b"c1 d7:call-id",
            b"c1 {\"call-id\":\"abc",
            b"",
        ] {
            assert_eq!(call_id_of(wrong), None);
        }
    }

    #[test]
    fn requests_without_end_are_not_remembered_without_end() {
        let homer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sender = HepSender::new(homer.local_addr().unwrap(), 1).unwrap();
        let client = "192.0.2.1:5060".parse().unwrap();
        for _ in 0..2 * REQUESTS_MAX {
            sender.request(at(), client, client, REQUEST);
        }
        assert_eq!(sender.requests.len(), REQUESTS_MAX);
        let long = [b"c1 d7:call-id5000:", &[b'x'; 5_000][..], b"e"].concat();
        sender.request(at(), client, client, &long);
        let (_, _, call_id) = sender.requests.back().unwrap();
        assert_eq!(call_id.len(), CALL_ID_BYTES_MAX);
    }
}
