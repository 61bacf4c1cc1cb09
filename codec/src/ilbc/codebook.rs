//! The adaptive codebook: what was decoded of the frame so far (RFC 3951 §3.6.3).
//!
//! ```text
//! index   0 …            lags from the target's length up
//!         augmented      lags 20 to 39, for targets of 40 samples
//!         expanded       the first section again, filtered
//!         augmented      the second section again, filtered
//! ```

use super::SUBBLOCK;
use super::bitstream::Stages;
use super::tables::{EXPANSION, GAINS_1, GAINS_2, GAINS_3};
use super::vector::add_filtered;

/// Samples of the memory that codebooks are made of.
pub(super) const MEMORY: usize = 147;

/// The same for the rest of the start state's sub-blocks.
pub(super) const MEMORY_OF_REST: usize = 85;

/// Vectors that an augmented section has: lags from 20 to 39.
pub(super) const AUGMENTED: usize = 20;

/// Samples that the two periods of an augmented vector share.
const OVERLAP: usize = 5;

/// Vectors of the first section that the second and third stage of the first block can use.
pub(super) const NARROW: usize = 44;

/// Less than this is not what later stages' gains are parts of (§3.6.4.2).
const SCALE_MIN: f32 = 0.1;

/// The samples before a target, the latest one last, and silence after that, so that all vectors
/// can be taken by blocks of 40 samples.
pub(super) type Memory = [f32; MEMORY + 80];

/// The memory, and the same filtered.
#[derive(Debug)]
pub(super) struct Codebook {
    pub(super) base: Memory,
    pub(super) expanded: Memory,
}

/// Vectors of a section: those taken from the memory, and all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Section {
    pub(super) plain: usize,
    pub(super) all: usize,
}

impl Section {
    /// For a target of `len` samples after `memory` samples.
    pub(super) const fn of(len: usize, memory: usize) -> Self {
        let plain = memory - len + 1;
        Self {
            plain,
            all: if len == SUBBLOCK {
                plain + AUGMENTED
            } else {
                plain
            },
        }
    }
}

impl Codebook {
    /// Expands a memory (§3.6.3.2).
    pub(super) fn new(base: &Memory) -> Self {
        const BEFORE: usize = 3;
        const AFTER: usize = EXPANSION.len() - 1 - BEFORE;
        let mut padded = [0.0; BEFORE + MEMORY + AFTER];
        padded[BEFORE..BEFORE + MEMORY].copy_from_slice(&base[..MEMORY]);
        let mut expanded = [0.0; MEMORY + 80];
        let (filtered, _) = expanded.split_at_mut(MEMORY);
        add_filtered(&EXPANSION, &padded, filtered);
        Self {
            base: *base,
            expanded,
        }
    }

    /// The vector of an index, of `len` samples, and silence after it.
    pub(super) fn vector(&self, section: Section, index: usize, len: usize) -> [f32; SUBBLOCK] {
        let (memory, index) = match index.checked_sub(section.all) {
            None => (&self.base, index),
            Some(index) => (&self.expanded, index),
        };
        match index.checked_sub(section.plain) {
            Some(index) if section.all > section.plain => {
                let mut vector = [0.0; 60];
                augment(memory, AUGMENTED + index.min(AUGMENTED - 1), &mut vector);
                let vector = vector.first_chunk();
                *vector.expect("an augmented vector has room for more")
            }
            // In the rest of the start state's sub-blocks, 20 ms frames have two indices to spare;
            // they lead into the zeros before the memory.
            _ => {
                let mut vector = block(memory, (MEMORY - len).saturating_sub(index));
                vector[len..].fill(0.0);
                vector
            }
        }
    }
}

/// The block of a memory that begins at `from`, at most at its end.
fn block(memory: &Memory, from: usize) -> [f32; SUBBLOCK] {
    *memory[from..]
        .first_chunk()
        .expect("there are two blocks of silence at the end")
}

/// An augmented vector, which is the first 40 samples, and room to make it in.
pub(super) type Augmented = [f32; 60];

/// Makes a vector that repeats itself after `lag` samples, from 20 to 39 (§3.6.3.3).
pub(super) fn augment(memory: &Memory, lag: usize, vector: &mut Augmented) {
    // Copies of fixed length are moves of registers.
    let half = |from: usize| -> &[f32; SUBBLOCK / 2] {
        let half = memory[from..].first_chunk();
        half.expect("there are two blocks of silence at the end")
    };
    let first = half(MEMORY - lag);
    vector[..SUBBLOCK / 2].copy_from_slice(first);
    vector[SUBBLOCK / 2..SUBBLOCK].copy_from_slice(half(MEMORY - lag + SUBBLOCK / 2));
    vector[lag..lag + SUBBLOCK / 2].copy_from_slice(first);
    for at in 1..OVERLAP {
        let weight = 0.2 * at as f32;
        let (last, before) = (MEMORY - OVERLAP + at, MEMORY - lag - OVERLAP + at);
        vector[lag - OVERLAP + at] = (1.0 - weight) * memory[last] + weight * memory[before];
    }
}

/// The gains that three indices stand for (§3.6.4.2).
pub(super) fn gains([first, second, third]: [u8; 3]) -> [f32; 3] {
    let first = GAINS_1[usize::from(first % 32)];
    let second = first.abs().max(SCALE_MIN) * GAINS_2[usize::from(second % 16)];
    let third = second.abs().max(SCALE_MIN) * GAINS_3[usize::from(third % 8)];
    [first, second, third]
}

/// Adds up a target's three vectors, of `len` samples (§4.4.1).
pub(super) fn construct(
    memory: &Memory,
    section: Section,
    stages: Stages,
    narrow: bool,
    len: usize,
) -> [f32; SUBBLOCK] {
    let codebook = Codebook::new(memory);
    let mut sum = [0.0; SUBBLOCK];
    for (stage, gain) in gains(stages.gain).into_iter().enumerate() {
        let index = usize::from(stages.index[stage]);
        let index = if narrow && stage > 0 {
            widen(index)
        } else {
            index
        };
        let vector = codebook.vector(section, index, len);
        for (sum, sample) in sum.iter_mut().zip(vector) {
            *sum += gain * sample;
        }
    }
    sum
}

/// The index in the whole codebook for one in the smaller one that the later stages of the first
/// block of 40 samples use (table 3.1).
pub(super) const fn widen(index: usize) -> usize {
    match index {
        0..NARROW => index,
        NARROW..108 => index + 64,
        _ => index + 128,
    }
}

/// The reverse of [`widen`].
pub(super) const fn narrow(index: usize) -> usize {
    match index {
        0..NARROW => index,
        NARROW..236 => index - 64,
        _ => index - 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_codebook_has_the_parts_of_the_table() {
        let section = Section::of(SUBBLOCK, MEMORY);
        assert_eq!(
            section,
            Section {
                plain: 108,
                all: 128
            }
        );
        let widened: Vec<usize> = (0..128).map(widen).collect();
        let expected = (0..44).chain(108..128).chain(128..172).chain(236..256);
        assert_eq!(widened, expected.collect::<Vec<_>>());
        assert!(widened.into_iter().map(narrow).eq(0..128));
    }

    #[test]
    fn an_augmented_vector_is_periodic() {
        let mut memory = [0.0; MEMORY + 80];
        for (at, sample) in memory[..MEMORY].iter_mut().enumerate() {
            *sample = ((at + 13) % 20) as f32;
        }
        let codebook = Codebook::new(&memory);
        let vector = codebook.vector(Section::of(SUBBLOCK, MEMORY), 108, SUBBLOCK);
        for (at, sample) in vector.into_iter().enumerate() {
            assert_eq!(sample, (at % 20) as f32, "{at}");
        }
    }
}
