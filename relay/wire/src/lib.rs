//! The messages between control and relay.
//!
//! Control is the author of the truth about calls, the relay its keeper. Control connects to the
//! relay's `SOCK_SEQPACKET` socket; each packet on it is one [`ToRelay`] or [`FromRelay`] or
//! several, one behind the other ([`append`], [`decode_first`]). The first message in each direction is a `Hello` that names the
//! [`PROTOCOL_VERSION`]; nothing else is understood before it.
//!
//! ```text
//! control                             relay
//!    │ ── Hello { version } ───────────► │
//!    │ ◄── Hello { instance, workers } ─ │  which addresses and ports there are
//!    │ ── Request { ListCalls } ───────► │  (to each worker) what survived me?
//!    │ ◄── Reply { records } ─────────── │
//!    │ ── Request { commands … } ──────► │  applied between two batches of packets
//!    │ ◄── Reply { answers … } ───────── │
//!    │ ◄── Event { MediaTimeout } ────── │
//! ```
//!
//! This crate knows no sockets: it is plain data, and a golden-bytes test notices when its form
//! changes.

#![forbid(unsafe_code)]

pub mod bytes;
mod codec;
mod command;
mod crypto;
mod dtls;
mod event;
mod filter;
mod ice;
mod partition;
mod play;
mod report;
mod rtcp;
mod sink;
mod stats;
mod transcoding;

pub use codec::{DecodeError, append, decode, decode_first, encode};
pub use command::{
    Answer, CallRecord, Command, CommandError, Failure, Handover, Learning, Refusal, Request,
    SourceRules, ToRelay,
};
pub use crypto::{Crypto, CryptoSuite, EndpointCrypto, Secret};
pub use dtls::{Dtls, DtlsRole, Fingerprint, FingerprintHash};
pub use event::{Event, FromRelay, Hello, Interface, Reply};
pub use filter::{Filter, Key, OnEvents, OnMedia, Silence};
pub use ice::{Ice, IceBase, IceCandidate, IceCredentials};
pub use partition::{PartitionError, PortPartition};
pub use play::{Play, SoundKey, SoundPiece};
pub use report::{Reception, Report, Sent};
pub use rtcp::OnRtcp;
pub use sink::Sink;
pub use stats::{CallStats, EndpointStats, SourceStats, WorkerStats};
pub use transcoding::{
    Codec, Events, Format, IlbcMode, OpusPurpose, OpusSettings, Route, SampleRate, Transcoding,
    TranscodingStats,
};

use serde::{Deserialize, Serialize};

/// Version of the messages. Control and relay that differ refuse each other with a clear word.
pub const PROTOCOL_VERSION: u16 = 2;

/// Bytes of the longest message, and of the longest packet. `SOCK_SEQPACKET` keeps packets whole, so
/// the send buffers of the socket must hold one.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// Bytes of the longest record that control may leave with a call. Two of them and their frame
/// fit in one message, so a page of [`Command::ListCalls`] always makes progress.
pub const RECORD_BYTES_MAX: usize = 48 * 1024;

/// Commands in one [`Request`].
pub const COMMANDS_MAX: usize = 256;

/// Endpoints of one call: eight streams of two legs, RTP and RTCP, four branches.
pub const ENDPOINTS_PER_CALL_MAX: usize = 128;

/// Routes of one [`Transcoding`].
pub const ROUTES_MAX: usize = 8;

/// Sinks of one endpoint: so many times a packet is copied at most.
pub const SINKS_MAX: usize = 16;

/// Payload types of events in one [`Filter`].
pub const EVENT_TYPES_MAX: usize = 8;

/// Payload types of redundant data in one [`Filter`].
pub const REDUNDANT_TYPES_MAX: usize = 4;

/// Payload types that a [`Filter`] makes silent.
pub const SILENCES_MAX: usize = 16;

/// Bytes of the identifier of a master key in one [`Crypto`] (RFC 4568 §6.1).
pub const CRYPTO_IDENTIFIER_BYTES_MAX: usize = 128;

/// Endpoints that one [`Ice`] names: so many addresses an interface has.
pub const ICE_BASES_MAX: usize = 4;

/// Candidates of the peer in one [`Ice`].
pub const ICE_CANDIDATES_MAX: usize = 24;

/// Bytes of a user name fragment or a password of ICE (RFC 8839 §5.4).
pub const ICE_TEXT_BYTES_MAX: usize = 256;

/// Bytes of samples in one [`SoundPiece`].
pub const SOUND_PIECE_BYTES_MAX: usize = 64 * 1024;

/// Samples of one sound: ten minutes at 16 kHz.
pub const SOUND_SAMPLES_MAX: usize = 10 * 60 * 16_000;

/// Sources of RTP whose quality one endpoint remembers.
pub const SOURCES_PER_ENDPOINT_MAX: usize = 4;

const _: () = assert!(2 * RECORD_BYTES_MAX + 1_024 <= MESSAGE_BYTES_MAX);
const _: () = assert!(SOUND_PIECE_BYTES_MAX + 1_024 <= MESSAGE_BYTES_MAX);

/// A call as control numbers it. Never used again within the life of a relay.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct CallKey(pub u64);

/// One worker thread of the relay, from 0.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct WorkerId(pub u8);

/// One of the addresses that media is received on, by its place in [`Hello::interfaces`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct InterfaceId(pub u8);

/// A UDP port of one interface. This is the name of an endpoint.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Port {
    /// The address that the port is on.
    pub interface: InterfaceId,
    /// The UDP port number.
    pub number: u16,
}
