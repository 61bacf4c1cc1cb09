//! Where what is in the memory that programs and relay share.
//!
//! Three tables. *Ports* has a word for each port of each of our addresses: the slot of the flow that
//! arrives there in its first four bytes, that of the flow that leaves from there in the others,
//! each plus one, so that 0 is none. *Slots* has one flow each: a cache line that packets read, one
//! that they write, one more that is read for IPv6, and one of the observer. *Links* has the
//! interfaces that run our programs, by their place in the settings.
//!
//! Numbers in network order are those that are compared with packets, or copied into them; all
//! others are in the machine's.

use crate::packet::Family;

/// Bytes of an entry of *ports*.
pub(crate) const PORT_BYTES: u32 = 8;
/// In an entry of *ports*: the flow that arrives there.
pub(crate) const PORT_ARRIVES: i16 = 0;
/// In an entry of *ports*: the flow that leaves from there.
pub(crate) const PORT_LEAVES: i16 = 4;

/// Bytes of an entry of *links*.
pub(crate) const LINK_BYTES: u32 = 16;
/// Words of one.
pub(crate) const LINK_WORDS: usize = (LINK_BYTES / WORD_BYTES) as usize;
/// Entries: interfaces at most.
pub(crate) const LINKS_MAX: u32 = 16;
/// In an entry of *links*: the Ethernet address, six bytes.
pub(crate) const LINK_ETHERNET: i16 = 0;
/// In an entry of *links*: the number that the kernel knows the interface by, if frames from another
/// interface may be sent there; else 0.
pub(crate) const LINK_TARGET: i16 = 8;

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: u32 = 256;

/// Source and destination address that packets come with; network order. IPv4 only.
pub(crate) const OLD_ADDRESSES: i16 = 0;
/// What IPv6 begins with: version, traffic class, flow label; by the observer. IPv6 only.
pub(crate) const IP6_FIRST: i16 = 0;
/// Source and destination port, the same.
pub(crate) const OLD_PORTS: i16 = 8;
/// Whose packets: network order.
pub(crate) const SSRC: i16 = 12;
/// Source and destination address that they leave with. IPv4 only.
pub(crate) const NEW_ADDRESSES: i16 = 16;
/// Source and destination port, the same.
pub(crate) const NEW_PORTS: i16 = 24;
/// What that changes in the sum of a UDP datagram (RFC 1624): 16 bits.
pub(crate) const UDP_DIFFERENCE: i16 = 28;
/// What it changes in the sum of the header of IPv4.
pub(crate) const IP_DIFFERENCE: i16 = 30;
/// Destination and source of the Ethernet frame: 12 bytes, written by the observer.
pub(crate) const ETHERNET: i16 = 32;
/// 7 bits.
pub(crate) const PAYLOAD_TYPE: i16 = 44;
/// Type of service, by the observer. IPv4 only.
pub(crate) const TOS: i16 = 45;
/// Time to live, or hop limit, by the observer.
pub(crate) const TTL: i16 = 46;
/// Where packets leave: the place in *links*, by the observer.
pub(crate) const PLACE: i16 = 47;
/// Until then the program forwards: nanoseconds of `CLOCK_MONOTONIC`, by the observer.
pub(crate) const LEASE_UNTIL: i16 = 48;
/// The longest datagram, with the header of UDP, that has lately left whole, 16 bits: by the observer.
pub(crate) const LEN_MAX: i16 = 56;
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

/// Source and destination address that packets come with: 32 bytes. IPv6 only.
pub(crate) const OLD_ADDRESSES_6: i16 = 128;
/// Those that they leave with.
pub(crate) const NEW_ADDRESSES_6: i16 = 160;

/// Since when [`LEN_MAX`] only grows: only the observer knows.
pub(crate) const LEN_SINCE: i16 = 192;

/// Fractions of a nanosecond that a tick is kept in.
pub const TICK_SCALE_BITS: i32 = 15;

/// A unit of pace is 2^6 ns.
pub(crate) const PACE_BITS: i32 = 6;

/// Bytes of what is written in one piece.
pub(crate) const WORD_BYTES: u32 = 8;

/// Words of a slot.
pub(crate) const SLOT_WORDS: usize = (SLOT_BYTES / WORD_BYTES) as usize;

/// The word of a slot that a field is in.
pub(crate) const fn word_of(field: i16) -> usize {
    // All of them are small and not negative.
    field.unsigned_abs() as usize / WORD_BYTES as usize
}

const LINE_BYTES: i16 = 64;

const _: () = assert!(TICK + 4 == LINE_BYTES && PACKETS == LINE_BYTES);
const _: () = assert!(RENEW_AT + 8 == 2 * LINE_BYTES && OLD_ADDRESSES_6 == 2 * LINE_BYTES);
const _: () = assert!(NEW_ADDRESSES_6 + 32 == LEN_SINCE && LEN_SINCE as u32 + 8 <= SLOT_BYTES);

impl Family {
    /// Where addresses are in a slot: those that packets come with, and that they leave with.
    pub(crate) const fn slot_addresses(self) -> [i16; 2] {
        match self {
            Self::V4 => [OLD_ADDRESSES, NEW_ADDRESSES],
            Self::V6 => [OLD_ADDRESSES_6, NEW_ADDRESSES_6],
        }
    }
}
