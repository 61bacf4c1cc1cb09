//! The order in which the blocks of a frame are coded (RFC 3951 §3.6.1, §4.3).
//!
//! From the start state on forwards, then backwards: each block is made of what lies between it
//! and the other end of what is known, seen in the direction that it is coded in.

use super::bitstream::{Parameters, Stages};
use super::codebook::{MEMORY, MEMORY_OF_REST, Memory, Section, construct};
use super::spectrum::Predictors;
use super::{Mode, SAMPLES_MAX, SUBBLOCK, state};

/// A block that is coded by codebook.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Target {
    /// Its first sample in time.
    pub(super) from: usize,
    pub(super) len: usize,
    /// Whether it is coded backwards: from what follows it.
    pub(super) backward: bool,
    /// Whether the later stages have half a codebook only.
    pub(super) narrow: bool,
    /// First sample that is known when this block's turn comes, and the one after the last.
    known: [usize; 2],
}

impl Target {
    pub(super) const fn section(&self) -> Section {
        let memory = if self.len == SUBBLOCK {
            MEMORY
        } else {
            MEMORY_OF_REST
        };
        Section::of(self.len, memory)
    }

    /// Samples that its codebook may be made of, and samples that are known.
    pub(super) const fn memory_len(&self) -> usize {
        if self.len == SUBBLOCK {
            MEMORY
        } else {
            MEMORY_OF_REST
        }
    }

    /// Samples that are known when its turn comes.
    pub(super) const fn known_len(&self) -> usize {
        self.known[1] - self.known[0]
    }

    /// What its codebook is made of.
    pub(super) fn memory(&self, excitation: &[f32; SAMPLES_MAX]) -> Memory {
        let mut memory = [0.0; MEMORY + 80];
        let known = &excitation[self.known[0]..self.known[1]];
        let len = known.len().min(MEMORY);
        let latest = &mut memory[MEMORY - len..MEMORY];
        if self.backward {
            latest.copy_from_slice(&known[..len]);
            latest.reverse();
        } else {
            latest.copy_from_slice(&known[known.len() - len..]);
        }
        memory
    }

    /// What a codebook's indices and gains stand for.
    pub(super) fn construct(
        &self,
        excitation: &[f32; SAMPLES_MAX],
        stages: Stages,
    ) -> [f32; SUBBLOCK] {
        let memory = self.memory(excitation);
        construct(&memory, self.section(), stages, self.narrow, self.len)
    }

    /// The samples of this block, in the direction that it is coded in.
    pub(super) fn take(&self, excitation: &[f32; SAMPLES_MAX], block: &mut [f32; SUBBLOCK]) {
        let block = &mut block[..self.len];
        block.copy_from_slice(&excitation[self.from..self.from + self.len]);
        if self.backward {
            block.reverse();
        }
    }

    /// The reverse of [`Self::take`].
    pub(super) fn put(&self, excitation: &mut [f32; SAMPLES_MAX], block: &[f32; SUBBLOCK]) {
        let place = &mut excitation[self.from..self.from + self.len];
        place.copy_from_slice(&block[..self.len]);
        if self.backward {
            place.reverse();
        }
    }

    /// The sub-block of the frame that it lies in.
    pub(super) const fn subblock(&self) -> usize {
        self.from / SUBBLOCK
    }
}

/// Where the start state lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Start {
    /// Its first sub-block, counted from 0.
    pub(super) subblock: usize,
    /// Whether the samples quantised one by one come first.
    pub(super) state_first: bool,
}

impl Start {
    /// `None` if the frame names a place that does not exist.
    pub(super) fn of(mode: Mode, parameters: &Parameters) -> Option<Self> {
        let subblock = usize::from(parameters.start).checked_sub(1)?;
        (subblock + 2 <= mode.subblocks()).then_some(Self {
            subblock,
            state_first: parameters.state_first,
        })
    }

    /// The reverse of [`Self::of`].
    pub(super) fn to_parameter(self) -> u8 {
        u8::try_from(self.subblock + 1).expect("a frame has six sub-blocks at most")
    }

    /// The first of the samples that are quantised one by one.
    pub(super) const fn state(&self, mode: Mode) -> usize {
        let from = self.subblock * SUBBLOCK;
        if self.state_first {
            from
        } else {
            from + 2 * SUBBLOCK - mode.state_len()
        }
    }

    /// The blocks in the order of coding: first what is left of the start state's sub-blocks.
    pub(super) fn targets(self, mode: Mode) -> impl Iterator<Item = Target> {
        let (state, end) = (self.subblock * SUBBLOCK, (self.subblock + 2) * SUBBLOCK);
        let rest = if self.state_first {
            [state + mode.state_len(), state]
        } else {
            [state, end - mode.state_len()]
        };
        let rest = Target {
            from: rest[0],
            len: 2 * SUBBLOCK - mode.state_len(),
            backward: !self.state_first,
            narrow: false,
            known: if self.state_first {
                [state, rest[0]]
            } else {
                [rest[1], end]
            },
        };
        let forward = (self.subblock + 2..mode.subblocks()).map(move |subblock| Target {
            from: subblock * SUBBLOCK,
            len: SUBBLOCK,
            backward: false,
            narrow: subblock == self.subblock + 2,
            known: [state, subblock * SUBBLOCK],
        });
        let backward = (0..self.subblock).rev().map(move |subblock| Target {
            from: subblock * SUBBLOCK,
            len: SUBBLOCK,
            backward: true,
            narrow: mode.subblocks() == self.subblock + 2 && subblock + 1 == self.subblock,
            known: [(subblock + 1) * SUBBLOCK, mode.samples()],
        });
        std::iter::once(rest).chain(forward).chain(backward)
    }
}

/// The excitation that a frame describes.
pub(super) fn decode(
    mode: Mode,
    start: Start,
    parameters: &Parameters,
    predictors: &Predictors,
) -> [f32; SAMPLES_MAX] {
    let mut excitation = [0.0; SAMPLES_MAX];
    let (from, len) = (start.state(mode), mode.state_len());
    state::decode(
        &predictors[start.subblock],
        parameters.peak,
        &parameters.state[..len],
        &mut excitation[from..from + len],
    );
    let stages = std::iter::once(&parameters.rest).chain(&parameters.blocks);
    for (target, stages) in start.targets(mode).zip(stages) {
        let block = target.construct(&excitation, *stages);
        target.put(&mut excitation, &block);
    }
    excitation
}
