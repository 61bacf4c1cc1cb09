//! What a peer said in RTCP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One report (RFC 3550 §6.4).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Where it came from.
    pub source: SocketAddr,
    /// Who reports.
    pub ssrc: u32,
    /// What was sent, if it is a sender report.
    pub sender: Option<Sent>,
    /// How reception of the first source goes; a phone hears one.
    pub reception: Option<Reception>,
}

/// What the sender of a report has sent (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sent {
    /// When, in NTP's format: seconds since 1900 and their fraction.
    pub ntp_time: u64,
    /// The same moment in units of the media's clock.
    pub rtp_timestamp: u32,
    /// RTP packets since the beginning.
    pub packets: u32,
    /// Payload bytes since the beginning.
    pub octets: u32,
}

/// How reception of one source goes (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reception {
    /// Whose stream.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; duplicates make it negative.
    pub packets_lost: i32,
    /// The highest sequence number, extended.
    pub highest_sequence: u32,
    /// In units of the timestamp.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report; 0 if there was none.
    pub last_report: u32,
    /// Time since that report arrived, in 1/65,536 s.
    pub delay: u32,
}
