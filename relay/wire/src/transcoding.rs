//! What is to become of media whose two sides share no codec.
//!
//! These types say what `relay-transcode` plans with, in words that need no codec.

use serde::{Deserialize, Serialize};

use crate::Port;

/// What becomes of the RTP that arrives at one endpoint, before it leaves as
/// [`Command::Connect`](crate::Command::Connect) has it.
///
/// If all that the routes ask for is the other law of G.711, or other payload types, packets keep
/// their source and timestamps, and their numbers but for jumps, and RTCP passes as it is. Otherwise packets are new ones
/// of a source of the relay's own, which stays the same when the routes change, and RTCP is the
/// relay's own on either side: so either direction of a stream is to have routes then, if only from
/// a codec to itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Transcoding {
    /// One for each codec that the peer may send, at most
    /// [`ROUTES_MAX`](crate::ROUTES_MAX) and one at least. Their payload types differ. The peer may
    /// change from one to another at any time; what is of no route goes no further.
    pub routes: Vec<Route>,
    /// The endpoint that exchanges RTCP with this peer: the one where RTP arrives if they share a
    /// port (RFC 5761). `None`: the relay sends this peer no reports.
    pub rtcp: Option<Port>,
}

/// From one codec to another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Route {
    /// What arrives.
    pub from: Format,
    /// What is to leave.
    pub to: Format,
    /// How Opus is encoded, if it is; `None` for what suits its rate.
    pub opus: Option<OpusSettings>,
    /// Pauses are said by comfort noise, and nothing else is sent in them, if `to` has it.
    pub suppresses_silence: bool,
    /// Opus is decoded and encoded even where it could pass as it is, since who receives it, or the
    /// proxy, wants it to be another.
    pub is_coded_anew: bool,
}

/// What one side sends, or is sent: a codec and what goes with it, as SDP agreed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Format {
    /// The codec, with what its `a=fmtp` decides. Its RTP clock follows from it.
    pub codec: Codec,
    /// 0 to 127.
    pub payload_type: u8,
    /// Milliseconds of a packet, 1 to 200. What arrives may differ.
    pub ptime_ms: u16,
    /// Keys as events (RFC 4733); without them they are tones.
    pub events: Option<Events>,
    /// The payload type of comfort noise (RFC 3389) in the clock of the codec.
    pub comfort_noise: Option<u8>,
}

impl Format {
    /// Speech alone: keys are tones, and pauses are sent.
    #[must_use]
    pub const fn new(codec: Codec, payload_type: u8, ptime_ms: u16) -> Self {
        Self {
            codec,
            payload_type,
            ptime_ms,
            events: None,
            comfort_noise: None,
        }
    }
}

/// Keys as events.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Events {
    /// 0 to 127.
    pub payload_type: u8,
    /// Their RTP clock: that of the codec beside them, if the peer heeds RFC 4733 §2.1; many send
    /// 8,000 beside Opus. 8,000 to 48,000.
    pub clock_hz: u32,
}

/// A codec that the relay reads and writes. All are of one channel but Opus, whose two are mixed
/// down unless its rate is [`SampleRate::Stereo`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Codec {
    /// G.711, µ-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// GSM 06.10 full rate.
    Gsm,
    /// iLBC, in the mode that both sides share (RFC 3952 §5).
    Ilbc(IlbcMode),
    /// G.722 with 64 kbit/s. Its RTP clock is 8,000 (RFC 3551 §4.5.2).
    G722,
    /// Samples as they are, of 8 or 16 kHz; the rate is the RTP clock.
    L16(SampleRate),
    /// Opus, with samples of this rate on the relay's side: the narrower of what the other side's
    /// codec has and what `maxplaybackrate` allows (RFC 7587 §6.1); above 16 kHz it is the same on
    /// both sides of a route. Its RTP clock is 48,000.
    Opus(SampleRate),
}

/// The length of iLBC's frames.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum IlbcMode {
    /// 20 ms.
    Ms20,
    /// 30 ms, which also holds if nothing is said.
    Ms30,
}

/// Samples a second.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum SampleRate {
    /// 8,000.
    Narrow,
    /// 16,000.
    Wide,
    /// 48,000: Opus on both sides.
    Full,
    /// The same in two channels.
    Stereo,
}

/// How Opus is encoded.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OpusSettings {
    /// 0 to 10: how much work is made of it. Less is made of it while there is too much to do.
    pub complexity: u8,
    /// Bits a second, as `maxaveragebitrate` says; `None` for what suits the rate.
    pub bitrate: Option<u32>,
    /// What share of packets is lost on the way, in percent. Above 0, packets repeat what the one
    /// before them said, which is what `useinbandfec=1` asks for.
    pub loss_percent: u8,
    /// What is encoded.
    pub purpose: OpusPurpose,
    /// In two channels that say the same, each at half the power. At [`SampleRate::Stereo`] there are
    /// two anyway.
    pub is_stereo: bool,
}

/// What Opus encodes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum OpusPurpose {
    /// Speech.
    #[default]
    Speech,
    /// Anything, as true to the original as it can be.
    Audio,
    /// The same with less delay.
    LowDelay,
}

/// What became of the packets of one endpoint that were transcoded. All grow only, and begin anew
/// when the endpoint does.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TranscodingStats {
    /// Packets that arrived and were to be transcoded.
    pub packets_in: u64,
    /// Packets that were made of them.
    pub packets_out: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Milliseconds that were made up for what was lost.
    pub concealed_ms: u64,
    /// Packets that could not be used, for whatever reason.
    pub dropped: u64,
}

impl TranscodingStats {
    /// Bytes that this takes in a message, at most.
    pub(crate) const LEN_MAX: usize = 5 * 10;
}
