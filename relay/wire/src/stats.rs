//! Counts, as the relay reports them. All grow only.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{CallKey, Port};

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
