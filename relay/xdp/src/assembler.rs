//! Instructions of the kernel's machine (eBPF, RFC 9669), written one after the other, with labels.
//!
//! Only what our programs need is here. Nothing is checked but that labels fit: the kernel's
//! verifier does the rest, and says what it minds.

use thiserror::Error;

/// A register.
///
/// R0 has results, R1 – R5 arguments (a call forgets them), R6 – R9 stay, R10 is the end of the
/// stack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// How much is loaded or stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Width {
    /// One byte.
    B1,
    /// Two.
    B2,
    /// Four.
    B4,
    /// Eight.
    B8,
}

/// What is done with 64 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Or,
    And,
    ShiftLeft,
    ShiftRight,
    Negate,
    ExclusiveOr,
    Move,
    /// The sign moves in from above.
    ShiftRightSigned,
}

/// When a jump is taken: how a register compares with an operand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    /// It is equal.
    Equal,
    /// It is not.
    NotEqual,
    /// It is greater, unsigned.
    Above,
    /// It is greater or equal, unsigned.
    NotBelow,
    /// They have a bit in common.
    AnyBit,
    /// It is greater, signed.
    Greater,
    /// It is less or equal, signed.
    NotGreater,
}

/// The other side of an operation: a register, or a number whose sign is extended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operand {
    /// What is in it.
    Register(Register),
    /// This.
    Number(i32),
}

/// What the kernel does for programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Helper {
    /// `bpf_map_lookup_elem`: R1 map, R2 address of the key.
    MapLookup,
    /// `bpf_xdp_get_buff_len`: R1 what the kernel says of the frame. The program may know where the
    /// frame ends without it, but computing with that takes more privileges.
    FrameLen,
    /// `bpf_ktime_get_ns`: nanoseconds of `CLOCK_MONOTONIC`.
    Time,
    /// `bpf_redirect`: R1 interface, R2 0. R0 is what the program is to return.
    Redirect,
}

/// A place in a program that is jumped to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Label(usize);

/// A program that is being written.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    words: Vec<u64>,
    /// Where each label is.
    labels: Vec<Option<usize>>,
    /// Which instruction jumps where.
    jumps: Vec<(usize, Label)>,
}

/// Why there is no program.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
pub enum AssembleError {
    /// A label was never placed.
    #[error("a label has no place")]
    LabelWithoutPlace,
    /// Further than an instruction can say.
    #[error("a jump is too far")]
    TooFar,
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

// Classes and modes (RFC 9669 §3).
const CLASS_LD: u8 = 0x00;
const CLASS_LDX: u8 = 0x01;
const CLASS_ST: u8 = 0x02;
const CLASS_STX: u8 = 0x03;
const CLASS_ALU: u8 = 0x04;
const CLASS_JMP: u8 = 0x05;
const CLASS_JMP32: u8 = 0x06;
const CLASS_ALU64: u8 = 0x07;
const MODE_IMM: u8 = 0x00;
const MODE_MEM: u8 = 0x60;
const MODE_ATOMIC: u8 = 0xc0;
const SOURCE_REGISTER: u8 = 0x08;
const SIZE_DOUBLE: u8 = 0x18;
const JUMP_ALWAYS: u8 = 0x00;
const JUMP_CALL: u8 = 0x80;
const JUMP_EXIT: u8 = 0x90;
const ALU_MOVE: u8 = 0xb0;
const ALU_SWAP: u8 = 0xd0;
const SWAP_TO_BIG_ENDIAN: u8 = 0x08;
/// In the source of a wide load: the number is a file descriptor of a map.
const PSEUDO_MAP_FD: u8 = 1;

impl Assembler {
    /// An empty program.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A label that has no place yet.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.words.len());
    }

    /// `to = to ∘ operand`.
    pub(crate) fn alu(&mut self, operation: Operation, to: Register, operand: impl Into<Operand>) {
        self.operate(CLASS_ALU64 | operation.bits(), to, operand.into(), 0);
    }

    /// `to = operand`.
    pub(crate) fn set(&mut self, to: Register, operand: impl Into<Operand>) {
        self.alu(Operation::Move, to, operand);
    }

    /// Clears the upper 32 bits.
    pub(crate) fn truncate(&mut self, register: Register) {
        self.operate(CLASS_ALU | ALU_MOVE, register, register.into(), 0);
    }

    /// Turns the lower `bits` (16 or 32) from or to network order, and clears those above.
    pub(crate) fn swap(&mut self, register: Register, bits: i32) {
        self.push(
            CLASS_ALU | ALU_SWAP | SWAP_TO_BIG_ENDIAN,
            register.number(),
            0,
            0,
            bits,
        );
    }

    /// `to = *(from + offset)`.
    pub(crate) fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        let code = CLASS_LDX | MODE_MEM | width.bits();
        self.push(code, to.number(), from.number(), offset, 0);
    }

    /// `*(to + offset) = from`.
    pub(crate) fn store(
        &mut self,
        width: Width,
        to: Register,
        offset: i16,
        from: impl Into<Operand>,
    ) {
        match from.into() {
            Operand::Register(from) => {
                let code = CLASS_STX | MODE_MEM | width.bits();
                self.push(code, to.number(), from.number(), offset, 0);
            }
            Operand::Number(number) => {
                let code = CLASS_ST | MODE_MEM | width.bits();
                self.push(code, to.number(), 0, offset, number);
            }
        }
    }

    /// `*(to + offset) += from`, in one piece, 64 bits.
    pub(crate) fn add_atomic(&mut self, to: Register, offset: i16, from: Register) {
        let code = CLASS_STX | MODE_ATOMIC | Width::B8.bits();
        self.push(code, to.number(), from.number(), offset, 0);
    }

    /// `to = number`, of 64 bits.
    pub(crate) fn set_wide(&mut self, to: Register, number: u64) {
        self.wide(to, 0, number);
    }

    /// `to =` the map with this file descriptor.
    pub(crate) fn set_map(&mut self, to: Register, fd: i32) {
        self.wide(to, PSEUDO_MAP_FD, u64::from(fd.cast_unsigned()));
    }

    /// Jumps if `left ∘ right`.
    pub(crate) fn jump_if(
        &mut self,
        left: Register,
        condition: Condition,
        right: impl Into<Operand>,
        label: Label,
    ) {
        self.jumps.push((self.words.len(), label));
        self.operate(CLASS_JMP | condition.bits(), left, right.into(), 0);
    }

    /// The same with the lower 32 bits, so that the number is any of 32 bits.
    pub(crate) fn jump_if_32(
        &mut self,
        left: Register,
        condition: Condition,
        right: u32,
        label: Label,
    ) {
        self.jumps.push((self.words.len(), label));
        let right = Operand::Number(right.cast_signed());
        self.operate(CLASS_JMP32 | condition.bits(), left, right, 0);
    }

    /// Jumps.
    pub(crate) fn jump(&mut self, label: Label) {
        self.jumps.push((self.words.len(), label));
        self.push(CLASS_JMP | JUMP_ALWAYS, 0, 0, 0, 0);
    }

    /// Has the kernel do something; R0 is what came of it.
    pub(crate) fn call(&mut self, helper: Helper) {
        self.push(CLASS_JMP | JUMP_CALL, 0, 0, 0, helper.number());
    }

    /// Ends the program with R0.
    pub(crate) fn exit(&mut self) {
        self.push(CLASS_JMP | JUMP_EXIT, 0, 0, 0, 0);
    }

    /// The program, as the kernel reads it.
    ///
    /// # Errors
    ///
    /// When a jump goes nowhere, or too far.
    pub(crate) fn finish(mut self) -> Result<Vec<u64>, AssembleError> {
        for (at, label) in self.jumps {
            let to = self.labels[label.0].ok_or(AssembleError::LabelWithoutPlace)?;
            // Counted from the next instruction.
            let (to, next) = (i64::try_from(to), i64::try_from(at + 1));
            let (Ok(to), Ok(next)) = (to, next) else {
                return Err(AssembleError::TooFar);
            };
            let offset = i16::try_from(to - next).map_err(|_| AssembleError::TooFar)?;
            let mut bytes = self.words[at].to_ne_bytes();
            bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
            self.words[at] = u64::from_ne_bytes(bytes);
        }
        Ok(self.words)
    }

    fn operate(&mut self, code: u8, to: Register, operand: Operand, offset: i16) {
        match operand {
            Operand::Register(from) => self.push(
                code | SOURCE_REGISTER,
                to.number(),
                from.number(),
                offset,
                0,
            ),
            Operand::Number(number) => self.push(code, to.number(), 0, offset, number),
        }
    }

    /// An instruction of two words: 64 bits of a number.
    fn wide(&mut self, to: Register, source: u8, number: u64) {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        let low = i32::from_le_bytes([a, b, c, d]);
        let high = i32::from_le_bytes([e, f, g, h]);
        let code = CLASS_LD | MODE_IMM | SIZE_DOUBLE;
        self.push(code, to.number(), source, 0, low);
        self.push(0, 0, 0, 0, high);
    }

    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, number: i32) {
        // `struct bpf_insn` has the two registers as bit fields: the first is in the lower half
        // of the byte on little endian.
        let registers = if cfg!(target_endian = "little") {
            from << 4 | to
        } else {
            to << 4 | from
        };
        let [a, b] = offset.to_ne_bytes();
        let [c, d, e, f] = number.to_ne_bytes();
        self.words
            .push(u64::from_ne_bytes([code, registers, a, b, c, d, e, f]));
    }
}

impl Register {
    const fn number(self) -> u8 {
        self as u8
    }
}

impl Width {
    const fn bits(self) -> u8 {
        match self {
            Self::B1 => 0x10,
            Self::B2 => 0x08,
            Self::B4 => 0x00,
            Self::B8 => 0x18,
        }
    }
}

impl Operation {
    const fn bits(self) -> u8 {
        match self {
            Self::Add => 0x00,
            Self::Subtract => 0x10,
            Self::Multiply => 0x20,
            Self::Or => 0x40,
            Self::And => 0x50,
            Self::ShiftLeft => 0x60,
            Self::ShiftRight => 0x70,
            Self::Negate => 0x80,
            Self::ExclusiveOr => 0xa0,
            Self::Move => 0xb0,
            Self::ShiftRightSigned => 0xc0,
        }
    }
}

impl Condition {
    const fn bits(self) -> u8 {
        match self {
            Self::Equal => 0x10,
            Self::Above => 0x20,
            Self::NotBelow => 0x30,
            Self::AnyBit => 0x40,
            Self::NotEqual => 0x50,
            Self::Greater => 0x60,
            Self::NotGreater => 0xd0,
        }
    }
}

impl Helper {
    const fn number(self) -> i32 {
        match self {
            Self::MapLookup => 1,
            Self::FrameLen => 188,
            Self::Time => 5,
            Self::Redirect => 23,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Register::{R0, R1, R2, R6, R10};
    use super::*;

    /// The bytes of a program, on a little-endian machine.
    fn bytes(write: impl FnOnce(&mut Assembler)) -> Vec<[u8; 8]> {
        let mut it = Assembler::new();
        write(&mut it);
        let words = it.finish().unwrap();
        words.into_iter().map(u64::to_ne_bytes).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn instructions_are_what_the_kernel_reads() {
        let program = bytes(|it| {
            it.set(R0, 2);
            it.alu(Operation::Add, R1, R2);
            it.load(Width::B2, R1, R6, 12);
            it.store(Width::B4, R10, -4, R1);
            it.store(Width::B1, R6, 1, 7);
            it.add_atomic(R6, 64, R1);
            it.swap(R1, 16);
            it.truncate(R1);
            it.call(Helper::MapLookup);
            it.exit();
        });
        let expected = [
            [0xb7, 0x00, 0, 0, 2, 0, 0, 0],
            [0x0f, 0x21, 0, 0, 0, 0, 0, 0],
            [0x69, 0x61, 12, 0, 0, 0, 0, 0],
            [0x63, 0x1a, 0xfc, 0xff, 0, 0, 0, 0],
            [0x72, 0x06, 1, 0, 7, 0, 0, 0],
            [0xdb, 0x16, 64, 0, 0, 0, 0, 0],
            [0xdc, 0x01, 0, 0, 16, 0, 0, 0],
            [0xbc, 0x11, 0, 0, 0, 0, 0, 0],
            [0x85, 0x00, 0, 0, 1, 0, 0, 0],
            [0x95, 0x00, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(program, expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn wide_numbers_take_two_words() {
        let program = bytes(|it| {
            it.set_wide(R1, 0x0102_0304_0506_0708);
            it.set_map(R1, 9);
        });
        let expected = [
            [0x18, 0x01, 0, 0, 8, 7, 6, 5],
            [0, 0, 0, 0, 4, 3, 2, 1],
            [0x18, 0x11, 0, 0, 9, 0, 0, 0],
            [0; 8],
        ];
        assert_eq!(program, expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn jumps_count_words_from_the_next_instruction() {
        let program = bytes(|it| {
            let (back, out) = (it.label(), it.label());
            it.place(back);
            it.jump_if(R1, Condition::Equal, 5, out);
            it.set_wide(R1, 0);
            it.jump_if_32(R1, Condition::Above, u32::MAX, back);
            it.jump(out);
            it.place(out);
            it.exit();
        });
        assert_eq!(program[0], [0x15, 0x01, 4, 0, 5, 0, 0, 0]);
        assert_eq!(program[3], [0x26, 0x01, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(program[4], [0x05, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_label_must_be_somewhere_near() {
        let mut it = Assembler::new();
        let nowhere = it.label();
        it.jump(nowhere);
        assert_eq!(it.finish(), Err(AssembleError::LabelWithoutPlace));
        let mut it = Assembler::new();
        let far = it.label();
        it.jump(far);
        for _ in 0..40_000 {
            it.exit();
        }
        it.place(far);
        assert_eq!(it.finish(), Err(AssembleError::TooFar));
    }
}
