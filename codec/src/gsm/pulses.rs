//! Regular pulse excitation: of what the predictions leave, every third sample, coded in three
//! bits (EN 300 961 §5.2.13 to §5.2.17).

use super::arithmetic::{abs, code, mult, mult_r, saturate};
use super::frame::{PULSE_COUNT, SUBFRAME_LEN, Subframe};

/// Samples from one pulse to the next.
const GRID: usize = 3;

/// The taps of the weighting filter, with 13 bits behind the point.
const TAPS: [i16; 11] = [
    -134, -374, 0, 2_054, 5_741, 8_192, 5_741, 2_054, 0, -374, -134,
];

/// Taps on either side of the middle one.
const REACH: usize = TAPS.len() / 2;

/// Mantissas (`FAC`) and their inverses (`NRFAC`).
const MANTISSAS: [i16; 8] = [
    18_431, 20_479, 22_527, 24_575, 26_623, 28_671, 30_719, 32_767,
];
const INVERSE_MANTISSAS: [i16; 8] = [
    29_128, 26_215, 23_832, 21_846, 20_165, 18_725, 17_476, 16_384,
];

/// A coded excitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Excitation {
    pub(super) grid: u8,
    pub(super) amplitude: u8,
    pub(super) pulses: [u8; PULSE_COUNT],
}

impl Excitation {
    /// Codes what the predictions left.
    #[inline(always)]
    pub(super) fn encode(rest: &[i16; SUBFRAME_LEN]) -> Self {
        let weighted = weigh(rest);
        let grid = strongest_grid(&weighted);
        let chosen: [i16; PULSE_COUNT] = std::array::from_fn(|place| weighted[grid + GRID * place]);
        let amplitude = code_amplitude(&chosen);
        let (exponent, mantissa) = split_amplitude(amplitude);
        let inverse = INVERSE_MANTISSAS[mantissa];
        Self {
            grid: grid.to_le_bytes()[0],
            amplitude,
            pulses: chosen.map(|pulse| {
                // The exponent is that of the greatest, so no bit is shifted out.
                code((mult(pulse << (6 - exponent), inverse) >> 12) + 4)
            }),
        }
    }

    /// The samples that a coded excitation stands for.
    #[inline(always)]
    pub(super) fn decode(&self) -> [i16; SUBFRAME_LEN] {
        let levels = &LEVELS[usize::from(self.amplitude & 63)];
        let mut samples = [0; SUBFRAME_LEN];
        let places = samples[usize::from(self.grid & 3)..].iter_mut();
        for (sample, pulse) in places.step_by(GRID).zip(self.pulses) {
            *sample = levels[usize::from(pulse & 7)];
        }
        samples
    }
}

impl From<&Subframe> for Excitation {
    fn from(subframe: &Subframe) -> Self {
        Self {
            grid: subframe.grid,
            amplitude: subframe.amplitude,
            pulses: subframe.pulses,
        }
    }
}

/// The weighting filter: the middle of a convolution with samples that are 0 on both sides.
#[inline(always)]
fn weigh(rest: &[i16; SUBFRAME_LEN]) -> [i16; SUBFRAME_LEN] {
    let mut padded = [0; SUBFRAME_LEN + 2 * REACH];
    padded[REACH..REACH + SUBFRAME_LEN].copy_from_slice(rest);
    let mut sums = [0x1000; SUBFRAME_LEN];
    for (place, tap) in TAPS.iter().enumerate() {
        let tap = i32::from(*tap);
        for (sum, sample) in sums.iter_mut().zip(&padded[place..]) {
            *sum += tap * i32::from(*sample);
        }
    }
    sums.map(|sum| saturate(sum >> 13))
}

/// Which of the four grids holds the most energy; the first of equal ones.
#[inline(always)]
fn strongest_grid(weighted: &[i16; SUBFRAME_LEN]) -> usize {
    let squares = weighted.map(|sample| {
        let scaled = i32::from(sample >> 2);
        scaled * scaled
    });
    let energies: [i32; 4] = std::array::from_fn(|grid| {
        let places = squares[grid..].iter().step_by(GRID);
        places.take(PULSE_COUNT).sum()
    });
    let mut strongest = 0;
    for (grid, energy) in energies.iter().enumerate() {
        if *energy > energies[strongest] {
            strongest = grid;
        }
    }
    strongest
}

/// Codes the greatest magnitude: three bits of exponent, three of mantissa.
#[inline(always)]
fn code_amplitude(pulses: &[i16; PULSE_COUNT]) -> u8 {
    let greatest = pulses.iter().fold(0, |max, pulse| abs(*pulse).max(max));
    // Bits above the lowest nine.
    let exponent = i16::BITS - (greatest >> 9).leading_zeros();
    code(greatest >> (exponent + 5)) + (exponent << 3).to_le_bytes()[0]
}

/// Exponent and mantissa of a coded amplitude. The smallest 16 amplitudes share an exponent, so
/// their mantissas are shifted up until they fill their place.
const fn split_amplitude(amplitude: u8) -> (i16, usize) {
    let mut exponent = if amplitude > 15 {
        (amplitude as i16 >> 3) - 1
    } else {
        0
    };
    let mut mantissa = amplitude as i16 - (exponent << 3);
    if mantissa == 0 {
        return (-4, 7);
    }
    while mantissa <= 7 {
        mantissa = mantissa << 1 | 1;
        exponent -= 1;
    }
    (exponent, (mantissa - 8).cast_unsigned() as usize)
}

/// What each pulse stands for, by coded amplitude and coded pulse.
static LEVELS: [[i16; 8]; 64] = {
    let mut levels = [[0; 8]; 64];
    let mut amplitude = 0;
    while amplitude < 64 {
        let (exponent, mantissa) = split_amplitude(amplitude);
        let mut pulse = 0;
        while pulse < 8 {
            let middle = (2 * pulse - 7) << 12;
            let scaled = mult_r(MANTISSAS[mantissa], middle);
            let shift = 6 - exponent;
            // `1 << -1`, for the loudest amplitudes, is 0 to the standard.
            let half = if shift > 0 { 1 << (shift - 1) } else { 0 };
            levels[amplitude as usize][pulse.cast_unsigned() as usize] =
                scaled.saturating_add(half) >> shift;
            pulse += 1;
        }
        amplitude += 1;
    }
    levels
};
