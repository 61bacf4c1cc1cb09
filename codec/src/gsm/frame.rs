//! The 76 parameters of a frame, and the 33 octets that RTP carries them in.
//!
//! RFC 3551 §4.5.8.1: a signature of four bits, then every parameter in the order of EN 300 961,
//! most significant bit first. That makes 5 octets for the log-area ratios and 7 for each of the
//! four sub-frames.

/// Octets of a frame.
pub const FRAME_LEN: usize = 33;

/// What the first four bits of each frame are.
pub const SIGNATURE: u8 = 0xd;

/// The most frames that are taken from one packet: 400 ms, twice what a receiver must accept
/// (RFC 3551 §4.2), so that no packet costs much more than others.
pub const FRAMES_PER_PACKET_MAX: usize = 20;

/// Samples of a sub-frame.
pub(super) const SUBFRAME_LEN: usize = 40;

/// Pulses of a sub-frame.
pub(super) const PULSE_COUNT: usize = 13;

/// Why a payload holds no frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Not a whole number of frames, or none.
    #[error("{0} octets are not a whole number of GSM frames")]
    Length(usize),
    /// A frame does not begin with [`SIGNATURE`].
    #[error("GSM frame {0} of the packet does not begin with 0xD")]
    Signature(usize),
    /// More than [`FRAMES_PER_PACKET_MAX`].
    #[error("{0} GSM frames in one packet are too many")]
    TooMany(usize),
}

/// The frames of an RTP payload.
///
/// # Errors
///
/// If the payload is not 1 to [`FRAMES_PER_PACKET_MAX`] frames, or one of them lacks its
/// signature. All of it is to be dropped then.
pub fn split(payload: &[u8]) -> Result<&[[u8; FRAME_LEN]], PayloadError> {
    let (frames, rest) = payload.as_chunks::<FRAME_LEN>();
    if frames.is_empty() || !rest.is_empty() {
        return Err(PayloadError::Length(payload.len()));
    }
    if frames.len() > FRAMES_PER_PACKET_MAX {
        return Err(PayloadError::TooMany(frames.len()));
    }
    match frames.iter().position(|frame| frame[0] >> 4 != SIGNATURE) {
        Some(place) => Err(PayloadError::Signature(place)),
        None => Ok(frames),
    }
}

/// What a frame says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Parameters {
    /// Coded log-area ratios (`LARc`).
    pub(super) ratios: [u8; 8],
    pub(super) subframes: [Subframe; 4],
}

/// What a frame says of 5 ms.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Subframe {
    /// How far back the prediction lies (`Nc`).
    pub(super) lag: u8,
    /// Coded gain of the prediction (`bc`).
    pub(super) gain: u8,
    /// Which of every three samples has a pulse (`Mc`).
    pub(super) grid: u8,
    /// Coded greatest magnitude of the pulses (`xmaxc`).
    pub(super) amplitude: u8,
    /// Coded pulses (`xMc`).
    pub(super) pulses: [u8; PULSE_COUNT],
}

/// Bits of each coded log-area ratio.
const RATIO_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];

impl Parameters {
    #[inline(always)]
    pub(super) fn pack(&self) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        let mut word = u64::from(SIGNATURE);
        for (ratio, bits) in self.ratios.iter().zip(RATIO_BITS) {
            word = word << bits | u64::from(*ratio);
        }
        let (head, tail) = frame.split_at_mut(5);
        head.copy_from_slice(&word.to_be_bytes()[3..]);
        for (octets, subframe) in tail.chunks_exact_mut(7).zip(&self.subframes) {
            octets.copy_from_slice(&subframe.to_word().to_be_bytes()[1..]);
        }
        frame
    }

    /// The signature is not looked at.
    #[inline(always)]
    pub(super) fn unpack(frame: &[u8; FRAME_LEN]) -> Self {
        let (head, tail) = frame.split_at(5);
        let mut word = word_of(head);
        let mut ratios = [0; 8];
        for (ratio, bits) in ratios.iter_mut().zip(RATIO_BITS).rev() {
            *ratio = field(word, 0, bits);
            word >>= bits;
        }
        let mut subframes = [Subframe::default(); 4];
        for (subframe, octets) in subframes.iter_mut().zip(tail.chunks_exact(7)) {
            *subframe = Subframe::from_word(word_of(octets));
        }
        Self { ratios, subframes }
    }
}

impl Subframe {
    #[inline(always)]
    fn to_word(self) -> u64 {
        let head = [
            (self.lag, 7),
            (self.gain, 2),
            (self.grid, 2),
            (self.amplitude, 6),
        ];
        let pulses = self.pulses.map(|pulse| (pulse, 3));
        let fields = head.into_iter().chain(pulses);
        fields.fold(0, |word, (value, bits)| word << bits | u64::from(value))
    }

    #[inline(always)]
    fn from_word(word: u64) -> Self {
        let mut pulses = [0; PULSE_COUNT];
        for (shift, pulse) in (0..).step_by(3).zip(pulses.iter_mut().rev()) {
            *pulse = field(word, shift, 3);
        }
        Self {
            lag: field(word, 49, 7),
            gain: field(word, 47, 2),
            grid: field(word, 45, 2),
            amplitude: field(word, 39, 6),
            pulses,
        }
    }
}

/// At most eight octets as a number.
#[inline(always)]
fn word_of(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0, |word, octet| word << 8 | u64::from(*octet))
}

/// `bits` bits, at most seven, above the lowest `shift`.
#[inline(always)]
fn field(word: u64, shift: u32, bits: u32) -> u8 {
    (word >> shift).to_le_bytes()[0] & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_lie_where_rfc_3551_puts_them() {
        // Table 3 of §4.5.8.1, one bit of each parameter and no other.
        let mut parameters = Parameters::default();
        parameters.ratios[0] = 0b10_0000;
        parameters.ratios[1] = 0b00_0001;
        parameters.ratios[7] = 0b001;
        parameters.subframes[0].lag = 0b100_0000;
        parameters.subframes[0].pulses[0] = 0b100;
        parameters.subframes[0].pulses[12] = 0b001;
        parameters.subframes[3].amplitude = 0b10_0000;
        parameters.subframes[3].pulses[12] = 0b001;
        let mut expected = [0; FRAME_LEN];
        expected[0] = 0xd8;
        expected[1] = 0x01;
        expected[4] = 0x01;
        expected[5] = 0x80;
        expected[7] = 0x40;
        expected[11] = 0x01;
        expected[27] = 0x10;
        expected[32] = 0x01;
        assert_eq!(parameters.pack(), expected);
    }

    #[test]
    fn payloads_that_are_no_frames_are_refused() {
        let frame = [0xd0; FRAME_LEN];
        assert_eq!(split(&frame), Ok(&[frame][..]));
        assert_eq!(split(&[]), Err(PayloadError::Length(0)));
        assert_eq!(split(&frame[1..]), Err(PayloadError::Length(32)));
        let mut two = [frame, frame].concat();
        assert_eq!(split(&two).map(<[_]>::len), Ok(2));
        two[FRAME_LEN] = 0xc0;
        assert_eq!(split(&two), Err(PayloadError::Signature(1)));
        let most = [frame; FRAMES_PER_PACKET_MAX + 1];
        assert!(split(most[1..].as_flattened()).is_ok());
        let error = PayloadError::TooMany(most.len());
        assert_eq!(split(most.as_flattened()), Err(error));
    }

    proptest! {
        #[test]
        fn every_frame_comes_back_as_it_was(mut frame in proptest::array::uniform(any::<u8>())) {
            frame[0] = SIGNATURE << 4 | frame[0] & 0xf;
            prop_assert_eq!(Parameters::unpack(&frame).pack(), frame);
        }
    }
}
