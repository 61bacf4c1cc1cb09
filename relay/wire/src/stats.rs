//! Counts, as the relay reports them. All grow only.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{CallKey, Port, TranscodingStats};

/// Counts of one call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CallStats {
    /// Which call.
    pub call: CallKey,
    /// Its open endpoints, in the order they were opened.
    pub endpoints: Vec<EndpointStats>,
}

/// Counts of one endpoint.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EndpointStats {
    /// Which endpoint.
    pub port: Port,
    /// Where packets are sent now: learnt, or else as signalled.
    pub remote: Option<SocketAddr>,
    /// The remote address was learnt from packets.
    pub learnt: bool,
    /// SSRC of the newest RTP packet that arrived (RFC 3550 §5.1).
    pub ssrc: Option<u32>,
    /// Payload type of the newest RTP packet that arrived.
    pub payload_type: Option<u8>,
    /// Milliseconds since the newest packet arrived.
    pub idle_ms: Option<u64>,
    /// Arrived from the right source: RTP and whatever else is not RTCP.
    pub rtp_packets_in: u64,
    /// Their UDP payload bytes.
    pub rtp_bytes_in: u64,
    /// RTCP that arrived from the right source.
    pub rtcp_packets_in: u64,
    /// Its UDP payload bytes.
    pub rtcp_bytes_in: u64,
    /// Packets handed to the kernel to be sent from here.
    pub packets_out: u64,
    /// Their UDP payload bytes.
    pub bytes_out: u64,
    /// Arrived and went no further, for whatever reason.
    pub dropped: u64,
    /// How RTP arrives, source by source; the newest last, at most
    /// [`SOURCES_PER_ENDPOINT_MAX`](crate::SOURCES_PER_ENDPOINT_MAX).
    pub sources: Vec<SourceStats>,
    /// How long a packet takes from the relay to this endpoint's peer and back, by its newest
    /// report of reception (RFC 3550 §6.4.1), in microseconds.
    pub round_trip_us: Option<u32>,
    /// What became of packets that arrived here and were transcoded; `None` if none are. Packets
    /// of the other law of G.711 are not counted apart.
    pub transcoding: Option<TranscodingStats>,
}

/// How the RTP of one source arrives at one endpoint.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SourceStats {
    /// Which source (RFC 3550 §5.1).
    pub ssrc: u32,
    /// Payload type of its newest packet.
    pub payload_type: u8,
    /// All that arrived, duplicates included.
    pub packets: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// Numbers that were skipped and did not come later (RFC 3550 A.3).
    pub lost: u64,
    /// Arrived after one with a higher number.
    pub reordered: u64,
    /// Arrived twice.
    pub duplicates: u64,
    /// Interarrival jitter (RFC 3550 A.8) in microseconds; `None` while the clock of the payload
    /// type is not known.
    pub jitter_us: Option<u32>,
    /// The highest sequence number, extended from zero (RFC 3550 A.1).
    pub last_sequence: u32,
    /// Timestamp of the newest packet. The kernel's table does not tell it: of flows there it is
    /// that of the newest packet that came to the socket, some seconds ago.
    pub last_timestamp: u32,
}

/// Counts and gauges of one worker.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct WorkerStats {
    /// Calls now.
    pub calls: u64,
    /// Endpoints, and so sockets, now.
    pub endpoints: u64,
    /// Packets that arrived.
    pub packets_in: u64,
    /// Packets that were handed to the kernel.
    pub packets_out: u64,
    /// Counters by name: reasons of drops, events of the ring.
    pub counters: Vec<(String, u64)>,
}

impl CallStats {
    /// Bytes that this takes in a message, at most.
    #[must_use]
    pub fn encoded_len_max(&self) -> usize {
        // The key and the count of endpoints.
        let endpoints = self.endpoints.iter();
        10 + 5 + endpoints.map(EndpointStats::encoded_len_max).sum::<usize>()
    }
}

impl EndpointStats {
    /// Bytes that this takes in a message without its sources, at most: the port; an IPv6
    /// address and its port; a flag; SSRC, payload type, idle time and round trip with a byte
    /// each to say that they are there; seven counts; how many sources; what was transcoded.
    const HEAD_LEN_MAX: usize =
        4 + (2 + 16 + 3) + 1 + 6 + 2 + 11 + 6 + 7 * 10 + 1 + 1 + TranscodingStats::LEN_MAX;

    /// Bytes of one source: SSRC, payload type, five counts, jitter, the newest packet.
    const SOURCE_LEN_MAX: usize = 5 + 1 + 5 * 10 + 6 + 5 + 5;

    /// Bytes that this takes in a message, at most.
    #[must_use]
    pub fn encoded_len_max(&self) -> usize {
        Self::HEAD_LEN_MAX + self.sources.len() * Self::SOURCE_LEN_MAX
    }
}

impl WorkerStats {
    /// Bytes that this takes in a message, at most.
    #[must_use]
    pub fn encoded_len_max(&self) -> usize {
        let counters = self.counters.iter().map(|(name, _)| 5 + name.len() + 10);
        4 * 10 + 5 + counters.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, CallRecord, InterfaceId, encode};

    fn encoded_len(answer: &Answer) -> usize {
        let mut bytes = Vec::new();
        encode(answer, &mut bytes);
        bytes.len()
    }

    fn largest_endpoint() -> EndpointStats {
        EndpointStats {
            port: Port {
                interface: InterfaceId(u8::MAX),
                number: u16::MAX,
            },
            remote: Some(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
                    .parse()
                    .unwrap(),
            ),
            learnt: true,
            ssrc: Some(u32::MAX),
            payload_type: Some(u8::MAX),
            idle_ms: Some(u64::MAX),
            rtp_packets_in: u64::MAX,
            rtp_bytes_in: u64::MAX,
            rtcp_packets_in: u64::MAX,
            rtcp_bytes_in: u64::MAX,
            packets_out: u64::MAX,
            bytes_out: u64::MAX,
            dropped: u64::MAX,
            sources: vec![
                SourceStats {
                    ssrc: u32::MAX,
                    payload_type: u8::MAX,
                    packets: u64::MAX,
                    bytes: u64::MAX,
                    lost: u64::MAX,
                    reordered: u64::MAX,
                    duplicates: u64::MAX,
                    jitter_us: Some(u32::MAX),
                    last_sequence: u32::MAX,
                    last_timestamp: u32::MAX,
                };
                crate::SOURCES_PER_ENDPOINT_MAX
            ],
            round_trip_us: Some(u32::MAX),
            transcoding: Some(TranscodingStats {
                packets_in: u64::MAX,
                packets_out: u64::MAX,
                lost: u64::MAX,
                concealed_ms: u64::MAX,
                dropped: u64::MAX,
            }),
        }
    }

    #[test]
    fn no_answer_is_longer_than_it_says() {
        let call = CallKey(u64::MAX);
        let worker = WorkerStats {
            calls: u64::MAX,
            endpoints: u64::MAX,
            packets_in: u64::MAX,
            packets_out: u64::MAX,
            counters: vec![("a name".to_owned(), u64::MAX); 200],
        };
        let answers = [
            Answer::Done,
            Answer::Played(Some(u64::MAX)),
            Answer::Worker(worker),
            Answer::Call(CallStats {
                call,
                endpoints: vec![largest_endpoint(); 128],
            }),
            Answer::Calls {
                calls: vec![
                    CallRecord {
                        call,
                        record: vec![0xff; 40_000],
                    };
                    3
                ],
                more: true,
            },
        ];
        for answer in answers {
            let (len, len_max) = (encoded_len(&answer), answer.encoded_len_max());
            assert!(len <= len_max, "{len} over {len_max}");
            assert!(len_max - len < 2_000, "{len} far below {len_max}");
        }
    }
}
