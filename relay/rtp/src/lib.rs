//! RTP and RTCP as views over bytes.
//!
//! Each `parse` checks every length once; the accessors of the view that it returns cannot fail.
//! Nothing is copied and nothing is allocated.
//!
//! ```text
//! datagram ─► Kind::of ─┬─ Rtp  ─► Packet::parse ─► Extensions
//!                       ├─ Rtcp ─► Compound::parse ─► Report, Description, Goodbye …
//!                       └─ Other: STUN, DTLS, T.38, anything
//! ```
//!
//! ```
//! use relay_rtp::{Kind, Packet};
//!
//! let datagram = [0x80, 0x08, 0, 7, 0, 0, 0, 160, 0, 0, 0, 1, 0xd5, 0xd5];
//! assert_eq!(Kind::of(&datagram), Kind::Rtp);
//! let packet = Packet::parse(&datagram[..]).unwrap();
//! assert_eq!(packet.payload_type().value(), 8);
//! assert_eq!(packet.payload(), [0xd5, 0xd5]);
//! ```

#![forbid(unsafe_code)]

mod demux;
mod extension;
#[doc(hidden)]
pub mod fuzz;
mod header;
mod packet;
mod redundancy;
pub mod rtcp;
mod sequence;

pub use demux::Kind;
pub use extension::{Element, Elements, Extension};
pub use header::FixedHeader;
pub use packet::{Packet, ParseError, PayloadType, Ssrc};
pub use redundancy::{Redundancy, RedundantBlock};
pub use sequence::{ExtendedSequence, Sequence};
