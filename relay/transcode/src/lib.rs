//! One direction of a stream, from one codec to another; performs no I/O.
//!
//! A [`Plan`] says what arrives and what is to leave; a [`Stream`] does it. Packets and the time go
//! in through `handle_*`, packets with the time at which they leave come out through `poll_*`.
//!
//! ```text
//! packet ─► Sequencer ─┬─ speech ─► decode ─► resample ─► fill ─► encode ─► Pacer ─► Outbox ─► packet
//!          (in order?) │    └ lost: made up; pause: skipped         ▲
//!                      ├─ event  ─► event, or tones ────────────────┤
//!                      └─ noise  ─► noise as said, or made ─────────┘
//! ```
//!
//! Everything that leaves lies on one timeline, counted in samples of the far side with 64 bits.
//! Timestamps of the near side are placed on it from one origin, so that nothing drifts. Numbers
//! are given when packets leave, one after the other; what was lost and not made up is passed over.
//!
//! Frames of GSM may be coded together with those of other streams ([`Batch`]).
//!
//! [`Routes`] have a plan for each codec that may come, and the stream goes on when another does.
//! [`Translation`] is for the two laws of G.711, where nothing of this is needed. [`Leg`] makes and
//! reads RTCP of one side. A [`Player`] makes a stream of a sound.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use codec::Codec;
//! use relay_rtp::{PayloadType, Ssrc};
//! use relay_transcode::{Identity, Plan, Side, Stream};
//!
//! let side = |codec, payload_type| Side::new(codec, PayloadType::new(payload_type).unwrap(), 20);
//! let plan = Plan::new(side(Codec::Pcma, 8), side(Codec::Gsm, 3));
//! let now = Instant::now();
//! let ours = Identity { ssrc: Ssrc::new(7), sequence: 1, timestamp: 2 };
//! let mut stream = Stream::new(now, plan, ours)?;
//!
//! let mut packet = vec![0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
//! packet.extend([0xd5; 160]);
//! stream.handle_packet(now, &packet);
//! let sent = stream.poll_packet(now).unwrap();
//! assert_eq!(sent[..2], [0x80, 0x80 | 3]);
//! assert_eq!(sent.len(), 12 + 33);
//! # Ok::<(), codec::Error>(())
//! ```

#![forbid(unsafe_code)]

mod batch;
mod counters;
mod far;
#[doc(hidden)]
pub mod fuzz;
mod near;
mod numbers;
mod outbox;
mod pacer;
mod plan;
mod player;
mod reception;
mod routes;
mod rtcp;
mod sequencer;
mod stream;
mod timeline;
mod translate;

pub use batch::Batch;
pub use counters::{Counters, DropReason};
pub use plan::{Events, Plan, Side, Work};
pub use player::{Player, Playing, Sound};
pub use reception::Reception;
pub use routes::Routes;
pub use rtcp::{Leg, REPORT_LEN_MAX, Sent};
pub use stream::{Identity, Stream};
pub use translate::Translation;
