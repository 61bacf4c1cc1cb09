//! The quantizers of both bands, whose steps follow the signal (G.722 §6.2.1.1, §6.2.1.3).

use wide::u16x8;

use super::{Mode, saturate};

/// Q6: where the steps of the lower band end, as multiples of its scale factor, times 16, so that
/// the upper half of a product is what the standard asks for. The first three, which every
/// difference has passed, fill the table up.
const ENDS: [[u16; 8]; 4] = {
    const MULTIPLES: [u16; 32] = [
        0, 0, 0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858,
        940, 1_023, 1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
    ];
    let mut ends = [[0; 8]; 4];
    let mut index = 0;
    while index < MULTIPLES.len() {
        ends[index / 8][index % 8] = MULTIPLES[index] << 4;
        index += 1;
    }
    ends
};

/// QM6: what an octet's six bits stand for, in multiples of the scale factor.
const LEVELS_6: [i16; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];

/// QM5: the same for the upper five of them.
const LEVELS_5: [i16; 32] = [
    -280, -280, -23_352, -17_560, -14_120, -11_664, -9_752, -8_184, -6_864, -5_712, -4_696, -3_784,
    -2_960, -2_208, -1_520, -880, 23_352, 17_560, 14_120, 11_664, 9_752, 8_184, 6_864, 5_712,
    4_696, 3_784, 2_960, 2_208, 1_520, 880, 280, -280,
];

/// QM4: the same for the upper four, which alone what follows the signal is made of.
const LEVELS_4: [i16; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];

/// WL by way of RL4: how the scale factor of the lower band grows, by the upper four bits.
const GROWTH_LOWER: [i16; 16] = [
    -60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60,
];

/// QM2: what the two bits of the upper band stand for.
const LEVELS_2: [i16; 4] = [-7_408, -1_616, 7_408, 1_616];

/// WH by way of RH2: how the scale factor of the upper band grows.
const GROWTH_UPPER: [i16; 4] = [798, -214, 798, -214];

/// Where the inner step of the upper band ends, as a multiple of its scale factor.
const END_UPPER: i32 = 564;

/// ILB: powers of two in steps of a 32nd.
const POWERS: [u16; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

/// A scale factor and its logarithm. `LOG_MAX` bounds the logarithm; `SHIFT` is what a power is
/// shifted by where the logarithm is least.
#[derive(Clone, Debug)]
struct Scale<const LOG_MAX: i16, const SHIFT: u32> {
    /// NB: eleven bits behind the point.
    log: i16,
    /// DET: at most 2^14.
    factor: u16,
}

impl<const LOG_MAX: i16, const SHIFT: u32> Scale<LOG_MAX, SHIFT> {
    fn new() -> Self {
        Self {
            log: 0,
            factor: Self::factor(0),
        }
    }

    /// LOGSCL, SCALEL, LOGSCH and SCALEH.
    fn adapt(&mut self, growth: i16) {
        // 127/128 of it, as the standard rounds; it is no more than 22,528.
        let leaked = self.log - ((self.log + 127) >> 7);
        self.log = (leaked + growth).clamp(0, LOG_MAX);
        self.factor = Self::factor(self.log);
    }

    fn factor(log: i16) -> u16 {
        let log = log.unsigned_abs();
        let power = u32::from(POWERS[usize::from(log >> 6 & 31)]);
        // One bit more than the shift, since the greatest logarithm shifts the other way.
        let shifted = (power << 1) >> (SHIFT + 1 - u32::from(log >> 11));
        u16::try_from(shifted << 2).unwrap_or(u16::MAX)
    }

    /// The level that a code stands for.
    fn level(&self, level: i16) -> i16 {
        saturate((i32::from(self.factor) * i32::from(level)) >> 15)
    }
}

/// The lower band: six bits.
#[derive(Clone, Debug)]
pub(super) struct Lower {
    scale: Scale<18_432, 8>,
}

impl Default for Lower {
    fn default() -> Self {
        Self {
            scale: Scale::new(),
        }
    }
}

impl Lower {
    /// QUANTL: the code of a difference.
    pub(super) fn quantize(&self, difference: i16) -> u8 {
        let is_negative = difference < 0;
        let magnitude = if is_negative { !difference } else { difference }.cast_unsigned();
        // Ends grow, so those that were passed are as many as the step's number. Comparing all of
        // them has no branch that could be guessed wrong.
        let (factor, magnitude) = (u16x8::splat(self.scale.factor), u16x8::splat(magnitude));
        let [a, b, c, d] = ENDS.map(|ends| {
            let ends = u16x8::new(ends).mul_keep_high(factor);
            ends.simd_le(magnitude).to_bitmask()
        });
        let passed = a | b << 8 | c << 16 | d << 24;
        CODES[usize::from(is_negative)][passed.trailing_ones() as usize]
    }

    /// INVQBL: what a code stands for to the listener.
    pub(super) fn difference(&self, code: u8, mode: Mode) -> i16 {
        let code = usize::from(code & 0x3f);
        self.scale.level(match mode {
            Mode::One => LEVELS_6[code],
            Mode::Two => LEVELS_5[code >> 1],
            Mode::Three => LEVELS_4[code >> 2],
        })
    }

    /// INVQAL: what a code stands for to the predictor. Lets the scale follow.
    pub(super) fn adapt(&mut self, code: u8) -> i16 {
        let code = usize::from(code >> 2 & 0xf);
        let difference = self.scale.level(LEVELS_4[code]);
        self.scale.adapt(GROWTH_LOWER[code]);
        difference
    }
}

/// ILP and ILN: the codes of positive and of negative differences, by how many ends they have
/// passed; the first three entries are for those of the table that everything has. No code begins
/// with four zeros, as the standard will have it, so the negative ones are not in one piece.
const CODES: [[u8; 32 + 1]; 2] = [
    [
        0, 0, 0, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42,
        41, 40, 39, 38, 37, 36, 35, 34, 33, 32,
    ],
    [
        0, 0, 0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14,
        13, 12, 11, 10, 9, 8, 7, 6, 5, 4,
    ],
];

/// The upper band: two bits.
#[derive(Clone, Debug)]
pub(super) struct Upper {
    scale: Scale<22_528, 10>,
}

impl Default for Upper {
    fn default() -> Self {
        Self {
            scale: Scale::new(),
        }
    }
}

impl Upper {
    /// QUANTH: the code of a difference.
    pub(super) fn quantize(&self, difference: i16) -> u8 {
        let is_negative = difference < 0;
        let magnitude = if is_negative { !difference } else { difference };
        let end = (END_UPPER * i32::from(self.scale.factor)) >> 12;
        let is_outer = i32::from(magnitude) >= end;
        u8::from(!is_negative) << 1 | u8::from(!is_outer)
    }

    /// INVQAH: what a code stands for. Lets the scale follow.
    pub(super) fn adapt(&mut self, code: u8) -> i16 {
        let code = usize::from(code & 3);
        let difference = self.scale.level(LEVELS_2[code]);
        self.scale.adapt(GROWTH_UPPER[code]);
        difference
    }
}
