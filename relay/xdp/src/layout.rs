//! Where what is in the memory that programs and relay share.
//!
//! Two tables. *Ports* has a word for each port of each of our addresses: the slot of the flow that
//! arrives there in its first four bytes, that of the flow that leaves from there in the others,
//! each plus one, so that 0 is none. *Slots* has one flow each: a cache line that packets read, and
//! one that they write.
//!
//! Numbers in network order are those that are compared with packets, or copied into them; all
//! others are in the machine's.

/// Bytes of an entry of *ports*.
pub(crate) const PORT_BYTES: u32 = 8;
/// In an entry of *ports*: the flow that arrives there.
pub(crate) const PORT_ARRIVES: i16 = 0;
/// In an entry of *ports*: the flow that leaves from there.
pub(crate) const PORT_LEAVES: i16 = 4;

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: u32 = 128;

/// Source and destination address that packets come with; network order.
pub(crate) const OLD_ADDRESSES: i16 = 0;
/// Source and destination port, the same.
pub(crate) const OLD_PORTS: i16 = 8;
/// Whose packets: network order.
pub(crate) const SSRC: i16 = 12;
/// Source and destination address that they leave with.
pub(crate) const NEW_ADDRESSES: i16 = 16;
/// Source and destination port, the same.
pub(crate) const NEW_PORTS: i16 = 24;
/// What that changes in the sum of a UDP datagram (RFC 1624): 16 bits.
pub(crate) const UDP_DIFFERENCE: i16 = 28;
/// What it changes in the sum of the IPv4 header.
pub(crate) const IP_DIFFERENCE: i16 = 30;
/// Destination and source of the Ethernet frame: 12 bytes, written by the observer.
pub(crate) const ETHERNET: i16 = 32;
/// 7 bits.
pub(crate) const PAYLOAD_TYPE: i16 = 44;
/// Type of service, by the observer.
pub(crate) const TOS: i16 = 45;
/// Time to live, by the observer.
pub(crate) const TTL: i16 = 46;
/// Until then the program forwards: nanoseconds of `CLOCK_MONOTONIC`, by the observer.
pub(crate) const LEASE_UNTIL: i16 = 48;
/// Where packets leave: by the observer.
pub(crate) const INTERFACE: i16 = 56;
/// Nanoseconds of one unit of the timestamp, times 2^[`TICK_SCALE_BITS`]; 0: not known.
pub(crate) const TICK: i16 = 60;

/// Packets forwarded.
pub(crate) const PACKETS: i16 = 64;
/// Their UDP payload.
pub(crate) const BYTES: i16 = 72;
/// When the newest came; 0: none did.
pub(crate) const ARRIVED: i16 = 80;
/// Its number, extended beyond 16 bits.
pub(crate) const HIGHEST: i16 = 88;
/// Bit n: the packet n before that has come.
pub(crate) const SEEN: i16 = 96;
/// In 1/16 ns (RFC 3550 A.8).
pub(crate) const JITTER: i16 = 104;
/// Timestamp of the newest.
pub(crate) const TIMESTAMP: i16 = 112;
/// Until when the stream has spent what it may send: [`PACE_BITS`] of nanoseconds are cut off, and
/// what is above 32 bits.
pub(crate) const PACED: i16 = 116;
/// From then on a packet takes the way through the socket.
pub(crate) const RENEW_AT: i16 = 120;

/// Fractions of a nanosecond that a tick is kept in.
pub const TICK_SCALE_BITS: i32 = 15;

/// A unit of pace is 2^6 ns.
pub(crate) const PACE_BITS: i32 = 6;

const WORD_BYTES: u32 = 8;

/// Words of a slot.
pub(crate) const SLOT_WORDS: usize = (SLOT_BYTES / WORD_BYTES) as usize;

/// The word of a slot that a field is in.
pub(crate) const fn word_of(field: i16) -> usize {
    // All of them are small and not negative.
    field.unsigned_abs() as usize / WORD_BYTES as usize
}

const _: () = assert!(RENEW_AT as u32 + WORD_BYTES == SLOT_BYTES);
