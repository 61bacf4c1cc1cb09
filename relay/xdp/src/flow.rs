//! A flow, and how it stands in the table.

use std::net::{IpAddr, SocketAddr};

use crate::layout::{self, SLOT_BYTES, SLOT_WORDS};
use crate::packet::Family;

/// A flow: packets that arrive from a peer at one of our ports, and leave from another to another
/// peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flow {
    /// Who sends.
    pub peer: SocketAddr,
    /// Where it arrives.
    pub arrives_at: SocketAddr,
    /// Where it leaves from.
    pub leaves_from: SocketAddr,
    /// Who gets it.
    pub to: SocketAddr,
    /// Only of this source (RFC 3550 §5.1).
    pub ssrc: u32,
    /// Only of this type.
    pub payload_type: u8,
    /// Nanoseconds of one unit of its timestamps, times 2^[`TICK_SCALE_BITS`](crate::TICK_SCALE_BITS);
    /// 0: not known, and then jitter is not measured.
    pub tick: u32,
    /// The highest number so far, extended.
    pub highest: u64,
    /// Bit n: the packet n before that has come.
    pub seen: u64,
    /// In 1/16 ns.
    pub jitter: u64,
}

impl Flow {
    /// That of all four ends.
    pub(crate) fn family(&self) -> Option<Family> {
        let ends = [self.peer, self.arrives_at, self.leaves_from, self.to];
        match ends.map(|it| it.is_ipv4()) {
            [true, true, true, true] => Some(Family::V4),
            [false, false, false, false] => Some(Family::V6),
            _ => None,
        }
    }

    /// What a slot is when the flow is installed: at that time of `CLOCK_MONOTONIC`.
    pub(crate) fn words(&self, family: Family, now_ns: u64) -> [u64; SLOT_WORDS] {
        let old = Ends::new(self.peer, self.arrives_at);
        let new = Ends::new(self.leaves_from, self.to);
        let ip = difference(old.addresses(), new.addresses());
        let udp = add(ip, difference(&old.ports, &new.ports));
        let mut slot = [0; SLOT_BYTES as usize];
        let [old_addresses, new_addresses] = family.slot_addresses();
        let mut put = |field, bytes: &[u8]| put(&mut slot, field, bytes);
        put(old_addresses, old.addresses());
        put(layout::OLD_PORTS, &old.ports);
        put(layout::SSRC, &self.ssrc.to_be_bytes());
        put(new_addresses, new.addresses());
        put(layout::NEW_PORTS, &new.ports);
        put(layout::UDP_DIFFERENCE, &udp.to_ne_bytes());
        put(layout::IP_DIFFERENCE, &ip.to_ne_bytes());
        put(layout::PAYLOAD_TYPE, &[self.payload_type]);
        put(layout::TICK, &self.tick.to_ne_bytes());
        put(layout::HIGHEST, &self.highest.to_ne_bytes());
        put(layout::SEEN, &self.seen.to_ne_bytes());
        put(layout::JITTER, &self.jitter.to_ne_bytes());
        let [.., a, b, c, d] = (now_ns >> layout::PACE_BITS).to_be_bytes();
        let paced = u32::from_be_bytes([a, b, c, d]);
        put(layout::PACED, &paced.to_ne_bytes());
        let mut words = [0; SLOT_WORDS];
        for (word, bytes) in words.iter_mut().zip(slot.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        words
    }
}

/// Writes a field of an entry.
pub(crate) fn put(entry: &mut [u8], field: i16, bytes: &[u8]) {
    let first = usize::from(field.unsigned_abs());
    entry[first..first + bytes.len()].copy_from_slice(bytes);
}

/// Source and destination as they stand in packets.
struct Ends {
    /// One after the other; those of IPv4 are shorter.
    addresses: [u8; 32],
    addresses_len: usize,
    ports: [u8; 4],
}

impl Ends {
    fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let mut ends = Self {
            addresses: [0; 32],
            addresses_len: 0,
            ports: [0; 4],
        };
        for (nth, end) in [from, to].into_iter().enumerate() {
            match end.ip() {
                IpAddr::V4(address) => ends.push(&address.octets()),
                IpAddr::V6(address) => ends.push(&address.octets()),
            }
            ends.ports[2 * nth..2 * nth + 2].copy_from_slice(&end.port().to_be_bytes());
        }
        ends
    }

    fn push(&mut self, address: &[u8]) {
        let end = self.addresses_len + address.len();
        self.addresses[self.addresses_len..end].copy_from_slice(address);
        self.addresses_len = end;
    }

    fn addresses(&self) -> &[u8] {
        &self.addresses[..self.addresses_len]
    }
}

/// What a sum changes by if `new` takes the place of `old` (RFC 1624, equation 3).
fn difference(old: &[u8], new: &[u8]) -> u16 {
    let words = |bytes| <[u8]>::as_chunks(bytes).0.iter();
    let old = words(old).map(|it| !u16::from_ne_bytes(*it));
    let new = words(new).map(|it| u16::from_ne_bytes(*it));
    old.chain(new).fold(0, add)
}

/// Adds in ones' complement (RFC 1071).
fn add(a: u16, b: u16) -> u16 {
    let (sum, carries) = a.overflowing_add(b);
    sum + u16::from(carries)
}
