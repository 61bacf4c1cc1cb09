//! The program that observes (tcx), where frames go out.
//!
//! It sees what the kernel makes of packets that the relay sends: the interface, the Ethernet
//! addresses, the type of service, the time to live. It writes that into the slot of the flow and
//! grants it a lease. So the program that forwards needs no routes and no neighbours: it does what
//! the kernel has done with a packet of the same flow a few seconds ago, and what does not come
//! by here (because a firewall drops it, or because it leaves by an interface without us, or with
//! another address) is never forwarded by it.

use super::{
    OurEnd, Scene, copy, find_slot, for_each_family, require_addresses, require_same, require_udp,
};
use crate::assembler::Register::{R0, R1, R2, R3, R6, R7, R8, R9};
use crate::assembler::{AssembleError, Assembler, Condition, Helper, Label, Operation, Width};
use crate::layout;
use crate::packet::{self, Family};

/// On with the frame, as if we had not looked.
const NEXT: i32 = -1;

/// Offsets in `struct __sk_buff`.
mod context {
    pub(super) const VLAN_PRESENT: i16 = 20;
    pub(super) const CAME_IN_BY: i16 = 36;
    pub(super) const DATA: i16 = 76;
    pub(super) const DATA_END: i16 = 80;
}

/// How long a lease lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lease {
    /// Nothing is forwarded after it.
    pub(crate) ns: u64,
    /// Packets try to renew it after so long.
    pub(crate) renewed_after_ns: u64,
}

/// Writes the program for the interface of that place. R6 is the frame, R7 the slot, R8 the end of
/// the frame and then the time, R9 what the kernel says of the frame.
pub(crate) fn write(scene: &Scene, lease: Lease, place: i32) -> Result<Vec<u64>, AssembleError> {
    let mut it = Assembler::new();
    let out = it.label();
    it.set(R9, R1);
    it.load(Width::B4, R1, R9, context::VLAN_PRESENT);
    it.jump_if(R1, Condition::NotEqual, 0, out);
    // A frame that has come in somewhere is not the relay's, whatever stands in it: where this host
    // is a bridge or a router, a guest or a stranger would say where media go.
    it.load(Width::B4, R1, R9, context::CAME_IN_BY);
    it.jump_if(R1, Condition::NotEqual, 0, out);
    it.load(Width::B4, R6, R9, context::DATA);
    it.load(Width::B4, R8, R9, context::DATA_END);
    for_each_family(&mut it, scene, packet::RTP, out, |it, family| {
        require_udp(it, family, out);
        require_flow(it, scene, family, out);
        note_way(it, family, place);
        it.call(Helper::Time);
        it.set(R8, R0);
        note_len(it, family, lease);
        grant(it, lease);
        it.jump(out);
    });
    it.place(out);
    it.set(R0, NEXT);
    it.exit();
    it.finish()
}

/// R7 becomes the slot of the flow that the packet is of.
fn require_flow(it: &mut Assembler, scene: &Scene, family: Family, out: Label) {
    let end = OurEnd {
        family,
        address: family.source(),
        port: family.in_udp(packet::UDP_SOURCE),
        flow: layout::PORT_LEAVES,
    };
    find_slot(it, scene, &end, out);
    it.set(R7, R0);
    let [_, addresses] = family.slot_addresses();
    require_addresses(it, family, (R7, addresses), out);
    let (in_packet, ports) = (family.in_udp(packet::UDP_PORTS), (R7, layout::NEW_PORTS));
    require_same(it, Width::B4, in_packet, ports, out);
}

/// What frames of the flow look like, and where they leave.
fn note_way(it: &mut Assembler, family: Family, place: i32) {
    for (width, from, to) in [
        (Width::B8, 0, layout::ETHERNET),
        (Width::B4, 8, layout::ETHERNET + 8),
        (Width::B1, family.ttl(), layout::TTL),
        match family {
            Family::V4 => (Width::B1, packet::IP_TOS, layout::TOS),
            Family::V6 => (Width::B4, packet::IP, layout::IP6_FIRST),
        },
    ] {
        copy(it, width, (R6, from), (R7, to));
    }
    it.store(Width::B1, R7, layout::PLACE, place);
}

/// What is longer than all that has lately left in one piece may be too long for a network on the
/// way, or for the one that it leaves by: it goes through the socket, where it is cut. Each time that
/// a lease is due the measure is taken anew, since networks change.
fn note_len(it: &mut Assembler, family: Family, lease: Lease) {
    let (grows, done) = (it.label(), it.label());
    let is_safe = it.label();
    it.load(Width::B2, R3, R6, family.in_udp(packet::UDP_LEN));
    it.swap(R3, 16);
    it.jump_if(R3, Condition::Above, family.udp_len_safe(), is_safe);
    it.set(R3, family.udp_len_safe());
    it.place(is_safe);
    it.load(Width::B8, R1, R7, layout::LEN_SINCE);
    it.set_wide(R2, lease.renewed_after_ns);
    it.alu(Operation::Add, R1, R2);
    it.jump_if(R1, Condition::Above, R8, grows);
    it.store(Width::B8, R7, layout::LEN_SINCE, R8);
    it.store(Width::B2, R7, layout::LEN_MAX, R3);
    it.place(grows);
    it.load(Width::B2, R1, R7, layout::LEN_MAX);
    it.jump_if(R1, Condition::NotBelow, R3, done);
    it.store(Width::B2, R7, layout::LEN_MAX, R3);
    it.place(done);
}

/// From now on.
fn grant(it: &mut Assembler, lease: Lease) {
    for (after_ns, field) in [
        (lease.renewed_after_ns, layout::RENEW_AT),
        (lease.ns, layout::LEASE_UNTIL),
    ] {
        it.set_wide(R1, after_ns);
        it.alu(Operation::Add, R1, R8);
        it.store(Width::B8, R7, field, R1);
    }
}
