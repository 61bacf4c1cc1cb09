//! The program that observes (tcx), where frames go out.
//!
//! It sees what the kernel makes of packets that the relay sends: the interface, the Ethernet
//! addresses, the type of service, the time to live. It writes that into the slot of the flow and
//! grants it a lease. So the program that forwards needs no routes and no neighbours: it does what
//! the kernel has done with a packet of the same flow a few seconds ago, and what does not come
//! by here (because a firewall drops it, or because it leaves by another interface, or with
//! another address) is never forwarded by it.

use super::{OurEnd, Scene, copy, find_slot, require_same, require_udp};
use crate::assembler::Register::{R0, R1, R6, R7, R8, R9};
use crate::assembler::{AssembleError, Assembler, Condition, Helper, Operation, Width};
use crate::{layout, packet};

/// On with the frame, as if we had not looked.
const NEXT: i32 = -1;

/// Offsets in `struct __sk_buff`.
mod context {
    pub(super) const VLAN_PRESENT: i16 = 20;
    pub(super) const CAME_IN_BY: i16 = 36;
    pub(super) const INTERFACE: i16 = 40;
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

/// Writes the program.
pub(crate) fn write(scene: &Scene, lease: Lease) -> Result<Vec<u64>, AssembleError> {
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
    it.set(R1, R6);
    it.alu(Operation::Add, R1, i32::from(packet::RTP));
    it.jump_if(R1, Condition::Above, R8, out);
    require_udp(&mut it, out);
    let end = OurEnd {
        address: packet::IP_SOURCE,
        port: packet::UDP_SOURCE,
        flow: layout::PORT_LEAVES,
    };
    find_slot(&mut it, scene, &end, out);
    it.set(R7, R0);
    let addresses = (R7, layout::NEW_ADDRESSES);
    require_same(&mut it, Width::B8, packet::IP_ADDRESSES, addresses, out);
    let ports = (R7, layout::NEW_PORTS);
    require_same(&mut it, Width::B4, packet::UDP_PORTS, ports, out);
    for (width, from, to) in [
        (Width::B8, 0, layout::ETHERNET),
        (Width::B4, 8, layout::ETHERNET + 8),
        (Width::B1, packet::IP_TOS, layout::TOS),
        (Width::B1, packet::IP_TTL, layout::TTL),
    ] {
        copy(&mut it, width, (R6, from), (R7, to));
    }
    let interface = (R9, context::INTERFACE);
    copy(&mut it, Width::B4, interface, (R7, layout::INTERFACE));
    it.call(Helper::Time);
    for (after_ns, field) in [
        (lease.renewed_after_ns, layout::RENEW_AT),
        (lease.ns, layout::LEASE_UNTIL),
    ] {
        it.set_wide(R1, after_ns);
        it.alu(Operation::Add, R1, R0);
        it.store(Width::B8, R7, field, R1);
    }
    it.place(out);
    it.set(R0, NEXT);
    it.exit();
    it.finish()
}
