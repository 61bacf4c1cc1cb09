//! The two programs, and what they have in common.
//!
//! They are written for one relay: its addresses and ports stand in them as numbers.

pub(crate) mod forward;
pub(crate) mod observe;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::assembler::Register::{R0, R1, R2, R3, R6, R10};
use crate::assembler::{Assembler, Condition, Helper, Label, Operation, Register, Width};
use crate::packet;

/// What both programs are written for.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// Where media arrives: each has all the ports.
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) ports: RangeInclusive<u16>,
    pub(crate) ports_fd: i32,
    pub(crate) slots_fd: i32,
}

impl Scene {
    /// Ports of one address.
    pub(crate) fn ports_len(&self) -> u32 {
        u32::try_from(self.ports.len()).unwrap_or(0)
    }

    /// The place of a port in the table of ports.
    pub(crate) fn index_of(&self, address: Ipv4Addr, port: u16) -> Option<u32> {
        let place = self.addresses.iter().position(|it| *it == address)?;
        let port = self.ports.contains(&port).then_some(port)?;
        let first = u32::try_from(place).ok()? * self.ports_len();
        Some(first + u32::from(port - self.ports.start()))
    }
}

/// Leaves for `out` if the frame at R6, which has been checked to be long enough, is not a whole
/// IPv4 packet without options that has UDP in it.
fn require_udp(it: &mut Assembler, out: Label) {
    it.load(Width::B2, R1, R6, packet::ETHER_TYPE);
    let ipv4 = packet::network(packet::ETHER_TYPE_IPV4);
    it.jump_if(R1, Condition::NotEqual, ipv4, out);
    it.load(Width::B1, R1, R6, packet::IP);
    it.jump_if(R1, Condition::NotEqual, packet::IP_VERSION_AND_LEN, out);
    it.load(Width::B1, R1, R6, packet::IP_PROTOCOL);
    it.jump_if(R1, Condition::NotEqual, packet::PROTOCOL_UDP, out);
    it.load(Width::B2, R1, R6, packet::IP_FRAGMENT);
    let is_fragment = packet::network(packet::IP_IS_FRAGMENT);
    it.jump_if(R1, Condition::AnyBit, is_fragment, out);
}

/// Which address and port of ours.
struct OurEnd {
    address: i16,
    port: i16,
    /// Which flow of that port.
    flow: i16,
}

/// Sets R0 to the slot of the flow at one of our ports, or leaves for `out`.
fn find_slot(it: &mut Assembler, scene: &Scene, end: &OurEnd, out: Label) {
    let found = it.label();
    it.load(Width::B4, R1, R6, end.address);
    for (place, address) in (0..).zip(&scene.addresses) {
        let next = it.label();
        let address = u32::from_ne_bytes(address.octets());
        it.jump_if_32(R1, Condition::NotEqual, address, next);
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
fn look_up(it: &mut Assembler, map_fd: i32, index: Register, out: Label) {
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

/// Copies a field of the slot into the packet at R6.
fn copy(it: &mut Assembler, width: Width, from: (Register, i16), to: (Register, i16)) {
    it.load(width, R1, from.0, from.1);
    it.store(width, to.0, to.1, R1);
}
