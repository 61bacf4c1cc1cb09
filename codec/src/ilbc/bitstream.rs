//! A frame's parameters and their bits (RFC 3951 §3.8).
//!
//! Bits are sorted by how much their loss hurts: first the important bits of all parameters, then
//! the less important ones, then the rest.

use super::Mode;
use super::mode::Mode::{Ms20, Ms30};

/// Parameters of a frame, in the order of table 3.2.
const PARAMETERS_MAX: usize = 6 + 3 + 58 + 6 + 24 + 1;

/// Octets of a frame, at most.
const FRAME_LEN_MAX: usize = Ms30.frame_len();

/// Indices and gains of a block that three stages of the codebook describe.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Stages {
    pub(super) index: [u8; 3],
    pub(super) gain: [u8; 3],
}

/// What a frame says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Parameters {
    /// Codebook indices of the line spectral frequencies; the second set in 30 ms frames only.
    pub(super) lsf: [[u8; 3]; 2],
    /// The two sub-blocks of the start state: 1 for the first two. Other values than those from 1
    /// to the number of sub-blocks less one mean nothing.
    pub(super) start: u8,
    /// Whether the start state begins with its first sub-block, rather than ends with its second.
    pub(super) state_first: bool,
    /// Index of the start state's greatest sample.
    pub(super) peak: u8,
    /// Quantised samples of the start state.
    pub(super) state: [u8; 58],
    /// What is left of the two sub-blocks of the start state.
    pub(super) rest: Stages,
    /// The other sub-blocks, in the order of coding.
    pub(super) blocks: [Stages; 4],
    /// Whether the frame stands for a lost one.
    pub(super) empty: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            lsf: [[0; 3]; 2],
            start: 1,
            state_first: true,
            peak: 0,
            state: [0; 58],
            rest: Stages::default(),
            blocks: [Stages::default(); 4],
            empty: false,
        }
    }
}

impl Parameters {
    /// Reads a frame; `None` unless it has the mode's length.
    pub(super) fn unpack(mode: Mode, frame: &[u8]) -> Option<Self> {
        if frame.len() != mode.frame_len() {
            return None;
        }
        let layout = Layout::of(mode);
        let mut values = [0_u8; PARAMETERS_MAX];
        let mut bits = Reader { frame, at: 0 };
        for class in 0..3 {
            for (value, split) in values.iter_mut().zip(layout.splits()) {
                let above = value.checked_shl(split[class].into()).unwrap_or(0);
                *value = above | bits.take(split[class]);
            }
        }
        Some(Self::from_values(mode, &values))
    }

    /// Writes a frame into the first octets of `frame`, which must be long enough.
    pub(super) fn pack(&self, mode: Mode, frame: &mut [u8]) {
        let layout = Layout::of(mode);
        let values = self.to_values(mode);
        let mut bits = Writer::default();
        for class in 0..3 {
            for (value, split) in values.iter().zip(layout.splits()) {
                let below: u8 = split[class + 1..].iter().sum();
                bits.put(value.checked_shr(below.into()).unwrap_or(0), split[class]);
            }
        }
        let len = mode.frame_len();
        frame[..len].copy_from_slice(&bits.octets[..len]);
    }

    fn from_values(mode: Mode, values: &[u8; PARAMETERS_MAX]) -> Self {
        let mut values = values.iter().copied();
        let mut next = || values.next().unwrap_or(0);
        let mut this = Self::default();
        this.visit(mode, |value| *value = next());
        this
    }

    fn to_values(self, mode: Mode) -> [u8; PARAMETERS_MAX] {
        let mut values = [0_u8; PARAMETERS_MAX];
        let mut places = values.iter_mut();
        let mut this = self;
        this.visit(mode, |value| {
            if let Some(place) = places.next() {
                *place = *value;
            }
        });
        values
    }

    /// Goes through the parameters of a mode in the order of table 3.2.
    fn visit(&mut self, mode: Mode, mut each: impl FnMut(&mut u8)) {
        self.lsf[..mode.spectra()]
            .as_flattened_mut()
            .iter_mut()
            .for_each(&mut each);
        each(&mut self.start);
        let mut flag = u8::from(self.state_first);
        each(&mut flag);
        self.state_first = flag != 0;
        each(&mut self.peak);
        self.state[..mode.state_len()]
            .iter_mut()
            .for_each(&mut each);
        self.rest.index.iter_mut().for_each(&mut each);
        self.rest.gain.iter_mut().for_each(&mut each);
        let blocks = &mut self.blocks[..mode.subblocks() - 2];
        for block in blocks.iter_mut() {
            block.index.iter_mut().for_each(&mut each);
        }
        for block in blocks {
            block.gain.iter_mut().for_each(&mut each);
        }
        flag = u8::from(self.empty);
        each(&mut flag);
        self.empty = flag != 0;
    }
}

/// How many bits of each parameter are in each class; the last number is always 0.
struct Layout {
    splits: [[u8; 4]; PARAMETERS_MAX],
    len: usize,
}

static LAYOUT_20: Layout = Layout::new(
    Ms20,
    [[6, 0, 1], [2, 0, 3], [1, 1, 2]],
    &[
        [7, 0, 1],
        [0, 0, 7],
        [0, 0, 7],
        [0, 0, 8],
        [0, 0, 8],
        [0, 0, 8],
    ],
    &[
        [1, 2, 2],
        [1, 1, 2],
        [0, 0, 3],
        [1, 1, 3],
        [0, 2, 2],
        [0, 0, 3],
    ],
);

static LAYOUT_30: Layout = Layout::new(
    Ms30,
    [[4, 2, 1], [1, 1, 3], [1, 1, 2]],
    &[
        [6, 1, 1],
        [0, 0, 7],
        [0, 0, 7],
        [0, 7, 1],
        [0, 0, 8],
        [0, 0, 8],
        [0, 7, 1],
        [0, 0, 8],
        [0, 0, 8],
        [0, 7, 1],
        [0, 0, 8],
        [0, 0, 8],
    ],
    &[
        [1, 2, 2],
        [1, 2, 1],
        [0, 0, 3],
        [0, 2, 3],
        [0, 2, 2],
        [0, 0, 3],
        [0, 1, 4],
        [0, 1, 3],
        [0, 0, 3],
        [0, 1, 4],
        [0, 1, 3],
        [0, 0, 3],
    ],
);

impl Layout {
    /// `rest`: first index, first gain and second gain of the rest of the start state's
    /// sub-blocks. `indices` and `gains`: those of the other sub-blocks.
    const fn new(mode: Mode, rest: [[u8; 3]; 3], indices: &[[u8; 3]], gains: &[[u8; 3]]) -> Self {
        let mut this = Self {
            splits: [[0; 4]; PARAMETERS_MAX],
            len: 0,
        };
        let mut spectrum = 0;
        while spectrum < mode.spectra() {
            this.push(&[[6, 0, 0], [7, 0, 0], [7, 0, 0]]);
            spectrum += 1;
        }
        let start_bits = if mode.spectra() == 1 { 2 } else { 3 };
        this.push(&[[start_bits, 0, 0], [1, 0, 0], [6, 0, 0]]);
        let mut sample = 0;
        while sample < mode.state_len() {
            this.push(&[[0, 1, 2]]);
            sample += 1;
        }
        this.push(&[rest[0], [0, 0, 7], [0, 0, 7]]);
        this.push(&[rest[1], rest[2], [0, 0, 3]]);
        this.push(indices);
        this.push(gains);
        this.push(&[[0, 0, 1]]);
        this
    }

    const fn push(&mut self, splits: &[[u8; 3]]) {
        let mut at = 0;
        while at < splits.len() {
            let [first, second, third] = splits[at];
            self.splits[self.len] = [first, second, third, 0];
            self.len += 1;
            at += 1;
        }
    }

    const fn of(mode: Mode) -> &'static Self {
        match mode {
            Ms20 => &LAYOUT_20,
            Ms30 => &LAYOUT_30,
        }
    }

    fn splits(&self) -> &[[u8; 4]] {
        &self.splits[..self.len]
    }
}

/// Takes up to eight bits at a time, the most significant first.
struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, bits: u8) -> u8 {
        let octet = |at: usize| self.frame.get(at).map_or(0, |octet| u16::from(*octet));
        let pair = octet(self.at / 8) << 8 | octet(self.at / 8 + 1);
        let [value, _] = (pair << (self.at % 8)).to_be_bytes();
        self.at += usize::from(bits);
        value.checked_shr(8 - u32::from(bits)).unwrap_or(0)
    }
}

/// Puts up to eight bits at a time.
struct Writer {
    /// One more than a frame has, for the second half of the last pair.
    octets: [u8; FRAME_LEN_MAX + 1],
    at: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            octets: [0; FRAME_LEN_MAX + 1],
            at: 0,
        }
    }
}

impl Writer {
    fn put(&mut self, value: u8, bits: u8) {
        if bits == 0 {
            return;
        }
        let mask = 0xff_u8.checked_shr(8 - u32::from(bits)).unwrap_or(0);
        let value = u16::from(value & mask) << (16 - usize::from(bits) - self.at % 8);
        let [first, second] = value.to_be_bytes();
        self.octets[self.at / 8] |= first;
        self.octets[self.at / 8 + 1] |= second;
        self.at += usize::from(bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_have_the_sizes_of_the_table() {
        for (mode, sizes) in [(Ms20, [48, 64, 192]), (Ms30, [64, 96, 240])] {
            let layout = Layout::of(mode);
            for (class, size) in sizes.into_iter().enumerate() {
                let bits = layout.splits().iter().map(|split| u32::from(split[class]));
                assert_eq!(bits.sum::<u32>(), size, "{mode:?} class {class}");
            }
        }
    }

    #[test]
    fn every_bit_of_a_frame_survives() {
        let mut random = 1_u32;
        for mode in Mode::ALL {
            for _ in 0..200 {
                let mut frame = vec![0; mode.frame_len()];
                for octet in &mut frame {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *octet = random.to_be_bytes()[0];
                }
                let parameters = Parameters::unpack(mode, &frame).expect("the right length");
                let mut again = vec![0; mode.frame_len()];
                parameters.pack(mode, &mut again);
                assert_eq!(again, frame);
            }
        }
    }

    #[test]
    fn important_bits_come_first() {
        let mut frame = [0; 38];
        frame[0] = 0b1000_0100;
        frame[37] = 1;
        let parameters = Parameters::unpack(Ms20, &frame).expect("38 octets");
        assert_eq!(parameters.lsf[0][0], 0b10_0001);
        assert!(parameters.empty);
        assert_eq!(Parameters::unpack(Ms20, &frame[1..]), None);
    }
}
