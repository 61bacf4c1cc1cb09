//! The program that forwards (XDP), where frames come in.
//!
//! It forwards what is without doubt the next packet of a flow in the table whose lease holds.
//! Everything else it passes on, to where it would go if there was no program: nothing is ever
//! dropped here.

use super::{OurEnd, Scene, copy, find_slot, require_same, require_udp};
use crate::assembler::Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9};
use crate::assembler::{AssembleError, Assembler, Condition, Helper, Label, Operation, Width};
use crate::{layout, packet};

/// On to where frames go without us.
pub(crate) const PASS: i32 = 2;
/// Back out of the interface that it came in by.
pub(crate) const TRANSMIT: i32 = 3;

/// Offsets in `struct xdp_md`.
mod context {
    pub(super) const DATA: i16 = 0;
    pub(super) const DATA_END: i16 = 4;
    pub(super) const INTERFACE: i16 = 12;
}

/// What one interface needs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Traits {
    /// Frames come from programs on this very machine, which leave the sum of UDP to hardware that
    /// does not exist: what is in the field is no sum. So packets leave without one.
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

/// Where the source is in the addresses of an Ethernet frame.
const ETHERNET_SOURCE: i16 = 6;

/// A gap in the timestamps that is no pause in speech any more.
const MADE_NS_MAX: u64 = 60_000_000_000;

/// Writes the program. R6 is the frame, R7 the slot, R8 the end of the frame and then the time,
/// R9 what the kernel says of the frame.
pub(crate) fn write(scene: &Scene, traits: Traits) -> Result<Vec<u64>, AssembleError> {
    let mut it = Assembler::new();
    let pass = it.label();
    require_rtp(&mut it, pass);
    let end = OurEnd {
        address: packet::IP_DESTINATION,
        port: packet::UDP_DESTINATION,
        flow: layout::PORT_ARRIVES,
    };
    find_slot(&mut it, scene, &end, pass);
    it.set(R7, R0);
    require_flow(&mut it, pass);
    // Not every driver sends what came in elsewhere, and one that does not drops it.
    it.load(Width::B4, R1, R9, context::INTERFACE);
    it.load(Width::B4, R2, R7, layout::INTERFACE);
    it.jump_if(R1, Condition::NotEqual, R2, pass);
    require_our_ethernet(&mut it, pass);
    if !traits.is_virtual {
        require_udp_sum(&mut it, pass);
    }
    require_lease(&mut it, pass);
    require_pace(&mut it, traits.packet_pace(), pass);
    note_sequence(&mut it, pass);
    note_jitter(&mut it);
    count(&mut it);
    rewrite(&mut it, traits);
    it.set(R0, TRANSMIT);
    it.exit();
    it.place(pass);
    it.set(R0, PASS);
    it.exit();
    it.finish()
}

/// Only RTP, by RFC 5761 §4, whose lengths agree with each other and with the frame.
fn require_rtp(it: &mut Assembler, pass: Label) {
    it.set(R9, R1);
    it.load(Width::B4, R6, R9, context::DATA);
    it.load(Width::B4, R8, R9, context::DATA_END);
    it.set(R1, R6);
    it.alu(Operation::Add, R1, i32::from(packet::RTP_END));
    it.jump_if(R1, Condition::Above, R8, pass);
    require_udp(it, pass);
    // The end of IP is not beyond that of the frame, …
    it.set(R1, R9);
    it.call(Helper::FrameLen);
    it.alu(Operation::Subtract, R0, i32::from(packet::IP));
    it.load(Width::B2, R2, R6, packet::IP_LEN);
    it.swap(R2, 16);
    it.jump_if(R2, Condition::Above, R0, pass);
    // … nothing is behind UDP, and the header of RTP is before its end.
    it.load(Width::B2, R1, R6, packet::UDP_LEN);
    it.swap(R1, 16);
    let shortest = packet::UDP_HEADER_LEN + packet::RTP_HEADER_LEN - 1;
    it.jump_if(R1, Condition::NotGreater, shortest, pass);
    it.alu(Operation::Add, R1, packet::IP_HEADER_LEN);
    it.jump_if(R1, Condition::NotEqual, R2, pass);
    it.load(Width::B1, R1, R6, packet::IP_TTL);
    it.jump_if(R1, Condition::NotGreater, 1, pass);
    it.load(Width::B1, R1, R6, packet::RTP);
    it.alu(Operation::And, R1, 0xc0);
    it.jump_if(R1, Condition::NotEqual, 0x80, pass);
    // RTCP is from 192 to 223.
    let is_rtp = it.label();
    it.load(Width::B1, R1, R6, packet::RTP_TYPE);
    it.jump_if(R1, Condition::Above, 223, is_rtp);
    it.jump_if(R1, Condition::NotBelow, 192, pass);
    it.place(is_rtp);
}

/// From the peer, to the port, of the source and the type that the slot is about.
fn require_flow(it: &mut Assembler, pass: Label) {
    let slot = |field| (R7, field);
    let addresses = slot(layout::OLD_ADDRESSES);
    require_same(it, Width::B8, packet::IP_ADDRESSES, addresses, pass);
    let ports = slot(layout::OLD_PORTS);
    require_same(it, Width::B4, packet::UDP_PORTS, ports, pass);
    require_same(it, Width::B4, packet::RTP_SSRC, slot(layout::SSRC), pass);
    it.load(Width::B1, R1, R6, packet::RTP_TYPE);
    it.alu(Operation::And, R1, 0x7f);
    it.load(Width::B1, R2, R7, layout::PAYLOAD_TYPE);
    it.jump_if(R1, Condition::NotEqual, R2, pass);
}

/// To the Ethernet address that we send from. An interface that takes in everything (a bridge, a
/// mirror, `tcpdump`) has frames for others as well; the kernel drops these after us.
fn require_our_ethernet(it: &mut Assembler, pass: Label) {
    for at in [0, 2, 4] {
        let ours = (R7, layout::ETHERNET + ETHERNET_SOURCE + at);
        require_same(it, Width::B2, at, ours, pass);
    }
}

/// Not if the sum is only that of the pseudo-header: who sends from another virtual machine of the
/// same host, or from this one, leaves the rest to hardware that the frame never comes to. One of
/// 65,536 right sums looks like that; such a packet goes to the socket.
fn require_udp_sum(it: &mut Assembler, pass: Label) {
    it.load(Width::B2, R3, R6, packet::UDP_LEN);
    let protocol = packet::network(packet::PROTOCOL_UDP_WORD);
    it.alu(Operation::Add, R3, protocol);
    for word in [0, 2, 4, 6] {
        it.load(Width::B2, R1, R6, packet::IP_ADDRESSES + word);
        it.alu(Operation::Add, R3, R1);
    }
    fold(it);
    it.alu(Operation::ExclusiveOr, R3, 0xffff);
    it.load(Width::B2, R1, R6, packet::UDP_SUM);
    it.jump_if(R1, Condition::Equal, R3, pass);
}

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
fn note_sequence(it: &mut Assembler, pass: Label) {
    let (is_near, seen) = (it.label(), it.label());
    it.load(Width::B2, R1, R6, packet::RTP_SEQUENCE);
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
fn note_jitter(it: &mut Assembler) {
    let (is_late, unknown) = (it.label(), it.label());
    it.load(Width::B4, R1, R6, packet::RTP_TIMESTAMP);
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
fn count(it: &mut Assembler) {
    it.load(Width::B2, R1, R6, packet::UDP_LEN);
    it.swap(R1, 16);
    it.alu(Operation::Subtract, R1, packet::UDP_HEADER_LEN);
    it.add_atomic(R7, layout::BYTES, R1);
    it.set(R1, 1);
    it.add_atomic(R7, layout::PACKETS, R1);
}

/// Everything that the observer saw on a packet of the same flow which the kernel had sent for the
/// relay.
fn rewrite(it: &mut Assembler, traits: Traits) {
    let ethernet = |at| ((R7, layout::ETHERNET + at), (R6, at));
    let (from, to) = ethernet(0);
    copy(it, Width::B8, from, to);
    let (from, to) = ethernet(8);
    copy(it, Width::B4, from, to);
    // The sum of IP: R3 adds up what changes (RFC 1624, equation 3).
    it.load(Width::B2, R3, R6, packet::IP_SUM);
    it.alu(Operation::ExclusiveOr, R3, 0xffff);
    it.load(Width::B2, R1, R7, layout::IP_DIFFERENCE);
    it.alu(Operation::Add, R3, R1);
    for (word, byte, field) in [
        (packet::IP, packet::IP_TOS, layout::TOS),
        (packet::IP_TTL, packet::IP_TTL, layout::TTL),
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
    let (from, to) = (layout::NEW_ADDRESSES, packet::IP_ADDRESSES);
    copy(it, Width::B8, (R7, from), (R6, to));
    let (from, to) = (layout::NEW_PORTS, packet::UDP_PORTS);
    copy(it, Width::B4, (R7, from), (R6, to));
    if traits.is_virtual {
        it.store(Width::B2, R6, packet::UDP_SUM, 0);
    } else {
        adapt_udp_sum(it);
    }
}

/// 0 is no sum, and stays so; a sum that becomes 0 is written the other way (RFC 768).
fn adapt_udp_sum(it: &mut Assembler) {
    let (done, store) = (it.label(), it.label());
    it.load(Width::B2, R3, R6, packet::UDP_SUM);
    it.jump_if(R3, Condition::Equal, 0, done);
    it.alu(Operation::ExclusiveOr, R3, 0xffff);
    it.load(Width::B2, R1, R7, layout::UDP_DIFFERENCE);
    it.alu(Operation::Add, R3, R1);
    fold(it);
    it.jump_if(R3, Condition::NotEqual, 0, store);
    it.set(R3, 0xffff);
    it.place(store);
    it.store(Width::B2, R6, packet::UDP_SUM, R3);
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
