//! The two programs, and what they have in common.
//!
//! They are written for one relay: its addresses and ports stand in them as numbers. IPv4 and IPv6
//! have a part each, of the same steps at other offsets.

pub(crate) mod forward;
pub(crate) mod observe;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::assembler::Register::{R0, R1, R2, R3, R4, R5, R6, R8, R10};
use crate::assembler::{Assembler, Condition, Helper, Label, Operand, Operation, Register, Width};
use crate::packet::{self, Family};

/// What both programs are written for.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// Where media arrives: each has all the ports.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ports: RangeInclusive<u16>,
    pub(crate) ports_fd: i32,
    pub(crate) slots_fd: i32,
    pub(crate) links_fd: i32,
}

impl Scene {
    /// Ports of one address.
    pub(crate) fn ports_len(&self) -> u32 {
        u32::try_from(self.ports.len()).unwrap_or(0)
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        let has = |family| {
            let mut addresses = self.addresses.iter();
            addresses.any(|it| it.is_ipv4() == (family == Family::V4))
        };
        Family::ALL.into_iter().filter(move |it| has(*it))
    }

    /// The place of a port in the table of ports.
    pub(crate) fn index_of(&self, address: IpAddr, port: u16) -> Option<u32> {
        let place = self.addresses.iter().position(|it| *it == address)?;
        let port = self.ports.contains(&port).then_some(port)?;
        let first = u32::try_from(place).ok()? * self.ports_len();
        Some(first + u32::from(port - self.ports.start()))
    }
}

/// Writes a part for each family that we have an address of; leaves for `out` if the frame at R6, which
/// ends at R8, is of none or has not so much of UDP.
fn for_each_family(
    it: &mut Assembler,
    scene: &Scene,
    udp_end: i16,
    out: Label,
    mut write: impl FnMut(&mut Assembler, Family),
) {
    require_len(it, Family::V4.in_udp(udp_end), out);
    for family in scene.families() {
        let next = it.label();
        it.load(Width::B2, R1, R6, packet::ETHER_TYPE);
        let ether_type = packet::network(family.ether_type());
        it.jump_if(R1, Condition::NotEqual, ether_type, next);
        if family != Family::V4 {
            require_len(it, family.in_udp(udp_end), out);
        }
        write(it, family);
        it.place(next);
    }
}

/// Leaves for `out` if the frame at R6, which ends at R8, is shorter.
fn require_len(it: &mut Assembler, len: i16, out: Label) {
    it.set(R1, R6);
    it.alu(Operation::Add, R1, i32::from(len));
    it.jump_if(R1, Condition::Above, R8, out);
}

/// Leaves for `out` if the frame at R6, which has been checked to be long enough, is not a whole
/// packet without options or extensions that has UDP in it.
fn require_udp(it: &mut Assembler, family: Family, out: Label) {
    it.load(Width::B1, R1, R6, packet::IP);
    match family {
        Family::V4 => {
            it.jump_if(R1, Condition::NotEqual, packet::IP_VERSION_AND_LEN, out);
            it.load(Width::B2, R1, R6, packet::IP_FRAGMENT);
            let is_fragment = packet::network(packet::IP_IS_FRAGMENT);
            it.jump_if(R1, Condition::AnyBit, is_fragment, out);
        }
        Family::V6 => {
            it.alu(Operation::And, R1, 0xf0);
            it.jump_if(R1, Condition::NotEqual, packet::IP6_VERSION, out);
        }
    }
    it.load(Width::B1, R1, R6, family.protocol());
    it.jump_if(R1, Condition::NotEqual, packet::PROTOCOL_UDP, out);
}

/// Which address and port of ours.
struct OurEnd {
    family: Family,
    address: i16,
    port: i16,
    /// Which flow of that port.
    flow: i16,
}

/// Sets R0 to the slot of the flow at one of our ports, or leaves for `out`.
fn find_slot(it: &mut Assembler, scene: &Scene, end: &OurEnd, out: Label) {
    let found = it.label();
    match end.family {
        Family::V4 => it.load(Width::B4, R1, R6, end.address),
        Family::V6 => {
            it.load(Width::B8, R1, R6, end.address);
            it.load(Width::B8, R4, R6, end.address + 8);
        }
    }
    for (place, address) in (0..).zip(&scene.addresses) {
        let next = it.label();
        match (end.family, address) {
            (Family::V4, IpAddr::V4(address)) => {
                let address = u32::from_ne_bytes(address.octets());
                it.jump_if_32(R1, Condition::NotEqual, address, next);
            }
            (Family::V6, IpAddr::V6(address)) => {
                let halves = address.octets().as_chunks().0.to_vec();
                for (half, ours) in [R1, R4].into_iter().zip(halves) {
                    it.set_wide(R5, u64::from_ne_bytes(ours));
                    it.jump_if(half, Condition::NotEqual, R5, next);
                }
            }
            _ => continue,
        }
        it.set(R2, place * scene.ports_len().cast_signed());
        it.jump(found);
        it.place(next);
    }
    it.jump(out);
    it.place(found);
    it.load(Width::B2, R3, R6, end.port);
    it.swap(R3, 16);
    it.alu(Operation::Subtract, R3, i32::from(*scene.ports.start()));
    let last = scene.ports_len().saturating_sub(1).cast_signed();
    it.jump_if(R3, Condition::Above, last, out);
    it.alu(Operation::Add, R3, R2);
    look_up(it, scene.ports_fd, R3, out);
    it.load(Width::B4, R1, R0, end.flow);
    it.jump_if(R1, Condition::Equal, 0, out);
    it.alu(Operation::Subtract, R1, 1);
    look_up(it, scene.slots_fd, R1, out);
}

/// Sets R0 to an entry of a table, or leaves for `out`.
fn look_up(it: &mut Assembler, map_fd: i32, index: impl Into<Operand>, out: Label) {
    it.store(Width::B4, R10, -4, index);
    it.set_map(R1, map_fd);
    it.set(R2, R10);
    it.alu(Operation::Add, R2, -4);
    it.call(Helper::MapLookup);
    it.jump_if(R0, Condition::Equal, 0, out);
}

/// Leaves for `out` if a field of the packet at R6 is not the one of the slot.
fn require_same(
    it: &mut Assembler,
    width: Width,
    in_packet: i16,
    slot: (Register, i16),
    out: Label,
) {
    let (slot, field) = slot;
    it.load(width, R1, R6, in_packet);
    it.load(width, R2, slot, field);
    it.jump_if(R1, Condition::NotEqual, R2, out);
}

/// Leaves for `out` if the addresses of the packet at R6 are not those of the slot.
fn require_addresses(it: &mut Assembler, family: Family, slot: (Register, i16), out: Label) {
    let (slot, field) = slot;
    for word in address_words(family) {
        let in_packet = family.addresses() + word;
        require_same(it, Width::B8, in_packet, (slot, field + word), out);
    }
}

/// Copies a field of the slot into the packet at R6.
fn copy(it: &mut Assembler, width: Width, from: (Register, i16), to: (Register, i16)) {
    it.load(width, R1, from.0, from.1);
    it.store(width, to.0, to.1, R1);
}

/// Where the words of 8 bytes of source and destination are.
fn address_words(family: Family) -> impl Iterator<Item = i16> {
    (0..2 * family.address_len()).step_by(8)
}
