//! The program that forwards (XDP), where frames come in.
//!
//! It forwards what is without doubt the next packet of a flow in the table whose lease holds.
//! Everything else it passes on, to where it would go if there was no program: nothing is ever
//! dropped here.

use super::{
    OurEnd, Scene, address_words, copy, find_slot, for_each_family, look_up, require_addresses,
    require_same, require_udp,
};
use crate::assembler::Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9};
use crate::assembler::{
    AssembleError, Assembler, Condition, Helper, Label, Operation, Register, Width,
};
use crate::layout;
use crate::packet::{self, Family};

/// On to where frames go without us.
pub(crate) const PASS: i32 = 2;
/// Back out of the interface that it came in by.
pub(crate) const TRANSMIT: i32 = 3;

/// Offsets in `struct xdp_md`.
mod context {
    pub(super) const DATA: i16 = 0;
    pub(super) const DATA_END: i16 = 4;
}

/// What one interface needs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Traits {
    /// Its place in the table of links.
    pub(crate) place: i32,
    /// Frames come from programs on this very machine, which leave the sum of UDP to hardware that
    /// does not exist: what is in the field is no sum. So packets of IPv4 leave without one; those of
    /// IPv6 must have one (RFC 8200 §8.1).
    pub(crate) is_virtual: bool,
    /// Packets a second that are forwarded of one flow; 0: as many as come.
    pub(crate) packets_max: u32,
}

impl Traits {
    /// Units of pace that one packet takes; 0: none.
    fn packet_pace(self) -> i32 {
        let second: i32 = 1_000_000_000 >> layout::PACE_BITS;
        i32::try_from(self.packets_max).map_or(0, |it| second.checked_div(it).unwrap_or(0))
    }
}

/// Numbers further ahead than this are for the relay to judge (`MAX_DROPOUT` of RFC 3550 A.1).
const STEP_MAX: i32 = 3_000;

/// So far ahead of its pace a stream may be: 10 ms, as with sockets.
const PACE_AHEAD_MAX: i32 = 10_000_000 >> layout::PACE_BITS;

/// Nothing is further ahead than this, a second: what is, is behind.
const PACE_BEHIND: i32 = 1 << 24;

/// After so long another packet takes the way through the socket, if the one before did not
/// renew the lease.
const RENEW_AGAIN_NS: i32 = 250_000_000;

/// UDP with its header: longer than that it is not sent on to another interface, since it may have
/// come in several pieces, which few drivers take from others.
const REDIRECT_LEN_MAX: i32 = 2_048;

/// A gap in the timestamps that is no pause in speech any more.
const MADE_NS_MAX: u64 = 60_000_000_000;

/// Writes the program. R6 is the frame, R7 the slot, R8 the end of the frame and then the time,
/// R9 what the kernel says of the frame, and then the interface that it is sent to; 0: back.
pub(crate) fn write(scene: &Scene, traits: Traits) -> Result<Vec<u64>, AssembleError> {
    let mut it = Assembler::new();
    let (pass, back) = (it.label(), it.label());
    it.set(R9, R1);
    it.load(Width::B4, R6, R9, context::DATA);
    it.load(Width::B4, R8, R9, context::DATA_END);
    for_each_family(&mut it, scene, packet::RTP_END, pass, |it, family| {
        let has_sum = family == Family::V6 || !traits.is_virtual;
        require_rtp(it, family, pass);
        find_flow(it, scene, family, pass);
        require_flow(it, family, pass);
        if has_sum {
            require_udp_sum(it, family, pass);
        }
        find_way(it, scene, family, traits.place, pass);
        require_lease(it, pass);
        require_pace(it, traits.packet_pace(), pass);
        note_sequence(it, family, pass);
        note_jitter(it, family);
        count(it, family);
        rewrite(it, family, has_sum);
        it.jump_if(R9, Condition::Equal, 0, back);
        it.set(R1, R9);
        it.set(R2, 0);
        it.call(Helper::Redirect);
        it.exit();
    });
    it.place(pass);
    it.set(R0, PASS);
    it.exit();
    it.place(back);
    it.set(R0, TRANSMIT);
    it.exit();
    it.finish()
}

/// Only RTP, by RFC 5761 §4, whose lengths agree with each other and with the frame.
fn require_rtp(it: &mut Assembler, family: Family, pass: Label) {
    require_udp(it, family, pass);
    require_lens(it, family, pass);
    it.load(Width::B1, R1, R6, family.ttl());
    it.jump_if(R1, Condition::NotGreater, 1, pass);
    it.load(Width::B1, R1, R6, family.in_udp(packet::RTP));
    it.alu(Operation::And, R1, 0xc0);
    it.jump_if(R1, Condition::NotEqual, 0x80, pass);
    // RTCP is from 192 to 223.
    let is_rtp = it.label();
    it.load(Width::B1, R1, R6, family.in_udp(packet::RTP_TYPE));
    it.jump_if(R1, Condition::Above, 223, is_rtp);
    it.jump_if(R1, Condition::NotBelow, 192, pass);
    it.place(is_rtp);
}

/// R2 is the length of IP: of IPv6 that without its header, which is all that it says.
fn require_lens(it: &mut Assembler, family: Family, pass: Label) {
    let (ip_len, before, header_len) = match family {
        Family::V4 => (packet::IP_LEN, packet::IP, family.header_len()),
        Family::V6 => (packet::IP6_LEN, family.in_udp(0), 0),
    };
    // The end of IP is not beyond that of the frame, …
    it.set(R1, R9);
    it.call(Helper::FrameLen);
    it.alu(Operation::Subtract, R0, i32::from(before));
    it.load(Width::B2, R2, R6, ip_len);
    it.swap(R2, 16);
    it.jump_if(R2, Condition::Above, R0, pass);
    // … nothing is behind UDP, and the header of RTP is before its end.
    load_udp_len(it, R1, family);
    let shortest = packet::UDP_HEADER_LEN + packet::RTP_HEADER_LEN - 1;
    it.jump_if(R1, Condition::NotGreater, shortest, pass);
    it.alu(Operation::Add, R1, i32::from(header_len));
    it.jump_if(R1, Condition::NotEqual, R2, pass);
}

fn load_udp_len(it: &mut Assembler, to: Register, family: Family) {
    it.load(Width::B2, to, R6, family.in_udp(packet::UDP_LEN));
    it.swap(to, 16);
}

/// R7 becomes the slot of the flow that arrives where the packet does.
fn find_flow(it: &mut Assembler, scene: &Scene, family: Family, pass: Label) {
    let end = OurEnd {
        family,
        address: family.destination(),
        port: family.in_udp(packet::UDP_DESTINATION),
        flow: layout::PORT_ARRIVES,
    };
    find_slot(it, scene, &end, pass);
    it.set(R7, R0);
}

/// From the peer, to the port, of the source and the type that the slot is about.
fn require_flow(it: &mut Assembler, family: Family, pass: Label) {
    let slot = |field| (R7, field);
    let [addresses, _] = family.slot_addresses();
    require_addresses(it, family, slot(addresses), pass);
    for (in_udp, field) in [
        (packet::UDP_PORTS, layout::OLD_PORTS),
        (packet::RTP_SSRC, layout::SSRC),
    ] {
        let in_packet = family.in_udp(in_udp);
        require_same(it, Width::B4, in_packet, slot(field), pass);
    }
    it.load(Width::B1, R1, R6, family.in_udp(packet::RTP_TYPE));
    it.alu(Operation::And, R1, 0x7f);
    it.load(Width::B1, R2, R7, layout::PAYLOAD_TYPE);
    it.jump_if(R1, Condition::NotEqual, R2, pass);
}

/// Not if the sum is only that of the pseudo-header: who sends from another virtual machine of the
/// same host, or from this one, leaves the rest to hardware that the frame never comes to. One of
/// 65,536 right sums looks like that; such a packet goes to the socket. So does one of IPv6 without
/// a sum.
fn require_udp_sum(it: &mut Assembler, family: Family, pass: Label) {
    it.load(Width::B2, R3, R6, family.in_udp(packet::UDP_LEN));
    let protocol = packet::network(packet::PROTOCOL_UDP_WORD);
    it.alu(Operation::Add, R3, protocol);
    for word in (0..2 * family.address_len()).step_by(2) {
        it.load(Width::B2, R1, R6, family.addresses() + word);
        it.alu(Operation::Add, R3, R1);
    }
    fold(it);
    it.alu(Operation::ExclusiveOr, R3, 0xffff);
    it.load(Width::B2, R1, R6, family.in_udp(packet::UDP_SUM));
    it.jump_if(R1, Condition::Equal, R3, pass);
    if family == Family::V6 {
        it.jump_if(R1, Condition::Equal, 0, pass);
    }
}

/// R9 becomes the interface that the packet leaves by, if it is another and takes it; else 0. What is
/// longer than all that the kernel has lately sent in one piece is for the kernel.
fn find_way(it: &mut Assembler, scene: &Scene, family: Family, place: i32, pass: Label) {
    let (is_other, found) = (it.label(), it.label());
    load_udp_len(it, R8, family);
    it.load(Width::B2, R1, R7, layout::LEN_MAX);
    it.jump_if(R8, Condition::Above, R1, pass);
    it.load(Width::B1, R1, R7, layout::PLACE);
    it.jump_if(R1, Condition::NotEqual, place, is_other);
    require_our_ethernet(it, R7, layout::ETHERNET + ETHERNET_SOURCE, pass);
    it.set(R9, 0);
    it.jump(found);
    it.place(is_other);
    it.jump_if(R8, Condition::Above, REDIRECT_LEN_MAX, pass);
    look_up(it, scene.links_fd, place, pass);
    require_our_ethernet(it, R0, layout::LINK_ETHERNET, pass);
    it.load(Width::B1, R1, R7, layout::PLACE);
    look_up(it, scene.links_fd, R1, pass);
    // Not every driver takes what came in elsewhere, and one that does not drops it.
    it.load(Width::B4, R9, R0, layout::LINK_TARGET);
    it.jump_if(R9, Condition::Equal, 0, pass);
    it.place(found);
}

/// To the Ethernet address that we send from there, or else to that of the interface. One that takes
/// in everything (a bridge, a mirror, `tcpdump`) has frames for others as well; the kernel drops these
/// after us.
fn require_our_ethernet(it: &mut Assembler, from: Register, field: i16, pass: Label) {
    for at in [0, 2, 4] {
        require_same(it, Width::B2, at, (from, field + at), pass);
    }
}

/// Where the source is in the addresses of an Ethernet frame.
const ETHERNET_SOURCE: i16 = 6;

/// R8 becomes the time. Now and then a packet takes the way through the socket, and renews.
fn require_lease(it: &mut Assembler, pass: Label) {
    let holds = it.label();
    it.call(Helper::Time);
    it.set(R8, R0);
    it.load(Width::B8, R1, R7, layout::LEASE_UNTIL);
    it.jump_if(R8, Condition::NotBelow, R1, pass);
    it.load(Width::B8, R1, R7, layout::RENEW_AT);
    it.jump_if(R1, Condition::Above, R8, holds);
    it.set(R1, R8);
    it.alu(Operation::Add, R1, RENEW_AGAIN_NS);
    it.store(Width::B8, R7, layout::RENEW_AT, R1);
    it.jump(pass);
    it.place(holds);
}

/// No more than one socket would be read of: what is above goes there, and is limited there.
fn require_pace(it: &mut Assembler, packet_pace: i32, pass: Label) {
    if packet_pace == 0 {
        return;
    }
    let is_ahead = it.label();
    it.set(R1, R8);
    it.alu(Operation::ShiftRight, R1, layout::PACE_BITS);
    it.truncate(R1);
    it.load(Width::B4, R2, R7, layout::PACED);
    it.alu(Operation::Subtract, R2, R1);
    it.truncate(R2);
    it.jump_if(R2, Condition::NotGreater, PACE_BEHIND, is_ahead);
    it.set(R2, 0);
    it.place(is_ahead);
    it.jump_if(R2, Condition::Above, PACE_AHEAD_MAX, pass);
    it.alu(Operation::Add, R2, R1);
    it.alu(Operation::Add, R2, packet_pace);
    it.store(Width::B4, R7, layout::PACED, R2);
}

/// Only what comes after the highest so far; what is late is for the relay.
fn note_sequence(it: &mut Assembler, family: Family, pass: Label) {
    let (is_near, seen) = (it.label(), it.label());
    it.load(Width::B2, R1, R6, family.in_udp(packet::RTP_SEQUENCE));
    it.swap(R1, 16);
    it.load(Width::B8, R2, R7, layout::HIGHEST);
    it.set(R3, R1);
    it.alu(Operation::Subtract, R3, R2);
    // The distance is of 16 bits, with a sign.
    it.alu(Operation::ShiftLeft, R3, 48);
    it.alu(Operation::ShiftRightSigned, R3, 48);
    it.jump_if(R3, Condition::NotGreater, 0, pass);
    it.jump_if(R3, Condition::Greater, STEP_MAX, pass);
    it.alu(Operation::Add, R2, R3);
    it.store(Width::B8, R7, layout::HIGHEST, R2);
    it.load(Width::B8, R4, R7, layout::SEEN);
    it.jump_if(R3, Condition::NotGreater, 63, is_near);
    it.set(R4, 0);
    it.jump(seen);
    it.place(is_near);
    it.alu(Operation::ShiftLeft, R4, R3);
    it.place(seen);
    it.alu(Operation::Or, R4, 1);
    it.store(Width::B8, R7, layout::SEEN, R4);
}

/// RFC 3550 A.8, in nanoseconds, as the relay's core does it.
fn note_jitter(it: &mut Assembler, family: Family) {
    let (is_late, unknown) = (it.label(), it.label());
    it.load(Width::B4, R1, R6, family.in_udp(packet::RTP_TIMESTAMP));
    it.swap(R1, 32);
    it.load(Width::B4, R2, R7, layout::TIMESTAMP);
    it.store(Width::B4, R7, layout::TIMESTAMP, R1);
    it.load(Width::B8, R3, R7, layout::ARRIVED);
    it.store(Width::B8, R7, layout::ARRIVED, R8);
    it.load(Width::B4, R4, R7, layout::TICK);
    it.jump_if(R4, Condition::Equal, 0, unknown);
    it.jump_if(R3, Condition::Equal, 0, unknown);
    it.alu(Operation::Subtract, R1, R2);
    it.truncate(R1);
    it.alu(Operation::Multiply, R1, R4);
    it.alu(Operation::ShiftRight, R1, layout::TICK_SCALE_BITS);
    it.set_wide(R5, MADE_NS_MAX);
    it.jump_if(R1, Condition::NotBelow, R5, unknown);
    it.set(R5, R8);
    it.alu(Operation::Subtract, R5, R3);
    it.alu(Operation::Subtract, R5, R1);
    it.jump_if(R5, Condition::Greater, -1, is_late);
    it.alu(Operation::Negate, R5, 0);
    it.place(is_late);
    it.load(Width::B8, R1, R7, layout::JITTER);
    it.set(R2, R1);
    it.alu(Operation::Add, R2, 8);
    it.alu(Operation::ShiftRight, R2, 4);
    it.alu(Operation::Subtract, R1, R2);
    it.alu(Operation::Add, R1, R5);
    it.store(Width::B8, R7, layout::JITTER, R1);
    it.place(unknown);
}

/// Two processors may have packets of one flow at a time.
fn count(it: &mut Assembler, family: Family) {
    load_udp_len(it, R1, family);
    it.alu(Operation::Subtract, R1, packet::UDP_HEADER_LEN);
    it.add_atomic(R7, layout::BYTES, R1);
    it.set(R1, 1);
    it.add_atomic(R7, layout::PACKETS, R1);
}

/// Everything that the observer saw on a packet of the same flow which the kernel had sent for the
/// relay.
fn rewrite(it: &mut Assembler, family: Family, has_sum: bool) {
    let ethernet = |at| ((R7, layout::ETHERNET + at), (R6, at));
    let (from, to) = ethernet(0);
    copy(it, Width::B8, from, to);
    let (from, to) = ethernet(8);
    copy(it, Width::B4, from, to);
    match family {
        Family::V4 => rewrite_marks(it),
        Family::V6 => {
            copy(it, Width::B4, (R7, layout::IP6_FIRST), (R6, packet::IP));
            copy(it, Width::B1, (R7, layout::TTL), (R6, family.ttl()));
        }
    }
    let [_, addresses] = family.slot_addresses();
    for word in address_words(family) {
        let to = family.addresses() + word;
        copy(it, Width::B8, (R7, addresses + word), (R6, to));
    }
    let (from, to) = (layout::NEW_PORTS, family.in_udp(packet::UDP_PORTS));
    copy(it, Width::B4, (R7, from), (R6, to));
    if has_sum {
        adapt_udp_sum(it, family);
    } else {
        it.store(Width::B2, R6, family.in_udp(packet::UDP_SUM), 0);
    }
}

/// Type of service and time to live, and the sum of IPv4: R3 adds up what changes (RFC 1624,
/// equation 3).
fn rewrite_marks(it: &mut Assembler) {
    let ttl = Family::V4.ttl();
    it.load(Width::B2, R3, R6, packet::IP_SUM);
    it.alu(Operation::ExclusiveOr, R3, 0xffff);
    it.load(Width::B2, R1, R7, layout::IP_DIFFERENCE);
    it.alu(Operation::Add, R3, R1);
    for (word, byte, field) in [
        (packet::IP, packet::IP_TOS, layout::TOS),
        (ttl, ttl, layout::TTL),
    ] {
        it.load(Width::B2, R1, R6, word);
        it.alu(Operation::ExclusiveOr, R1, 0xffff);
        it.alu(Operation::Add, R3, R1);
        copy(it, Width::B1, (R7, field), (R6, byte));
        it.load(Width::B2, R1, R6, word);
        it.alu(Operation::Add, R3, R1);
    }
    fold(it);
    it.store(Width::B2, R6, packet::IP_SUM, R3);
}

/// 0 is no sum, and stays so; a sum that becomes 0 is written the other way (RFC 768). What else
/// stands in the header of IPv6 is not in the sum.
fn adapt_udp_sum(it: &mut Assembler, family: Family) {
    let (done, store) = (it.label(), it.label());
    let sum = family.in_udp(packet::UDP_SUM);
    it.load(Width::B2, R3, R6, sum);
    it.jump_if(R3, Condition::Equal, 0, done);
    it.alu(Operation::ExclusiveOr, R3, 0xffff);
    it.load(Width::B2, R1, R7, layout::UDP_DIFFERENCE);
    it.alu(Operation::Add, R3, R1);
    fold(it);
    it.jump_if(R3, Condition::NotEqual, 0, store);
    it.set(R3, 0xffff);
    it.place(store);
    it.store(Width::B2, R6, sum, R3);
    it.place(done);
}

/// R3, a sum of few words of 16 bits, becomes the field of a header.
fn fold(it: &mut Assembler) {
    for _ in 0..2 {
        it.set(R1, R3);
        it.alu(Operation::ShiftRight, R1, 16);
        it.alu(Operation::And, R3, 0xffff);
        it.alu(Operation::Add, R3, R1);
    }
    it.alu(Operation::ExclusiveOr, R3, 0xffff);
}
