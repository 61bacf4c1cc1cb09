//! WAV: a list of chunks, of which one says what the samples of another are.

/// Channels that are mixed at most.
const CHANNELS_MAX: u16 = 8;

/// Samples a second that there may be.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// What the samples of a WAV file are called.
const PCM: u16 = 1;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

/// Why a file cannot be played.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SoundError {
    /// It is no WAV, or cut short.
    #[error("not a WAV file")]
    Malformed,
    /// Its samples are of another kind.
    #[error("samples of a kind that cannot be played")]
    Unsupported,
    /// Nothing is in it.
    #[error("no sound is in it")]
    Empty,
    /// More than can be played.
    #[error("longer than ten minutes")]
    TooLong,
}

/// A file, understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wav<'a> {
    kind: Kind,
    channels: usize,
    hz: u32,
    data: &'a [u8],
}

/// How a sample is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Unsigned.
    Pcm8,
    /// Signed, in so many bytes.
    Pcm(usize),
    ALaw,
    MuLaw,
}

impl Kind {
    fn new(tag: u16, bits: u16) -> Option<Self> {
        Some(match (tag, bits) {
            (PCM, 8) => Self::Pcm8,
            (PCM, 16) => Self::Pcm(2),
            (PCM, 24) => Self::Pcm(3),
            (PCM, 32) => Self::Pcm(4),
            (A_LAW, 8) => Self::ALaw,
            (MU_LAW, 8) => Self::MuLaw,
            _ => return None,
        })
    }

    fn len(self) -> usize {
        match self {
            Self::Pcm(len) => len,
            Self::Pcm8 | Self::ALaw | Self::MuLaw => 1,
        }
    }

    /// A sample as its upper 16 bits.
    fn read(self, bytes: &[u8]) -> i16 {
        let [first, ..] = bytes else {
            return 0;
        };
        match self {
            Self::Pcm8 => i16::from(first.wrapping_sub(128).cast_signed()) << 8,
            Self::ALaw => a_law(*first),
            Self::MuLaw => mu_law(*first),
            Self::Pcm(_) => bytes.last_chunk().map_or(0, |it| i16::from_le_bytes(*it)),
        }
    }
}

impl<'a> Wav<'a> {
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, SoundError> {
        let body = file.strip_prefix(b"RIFF").and_then(|it| it.get(4..));
        let body = body.and_then(|it| it.strip_prefix(b"WAVE"));
        let mut rest = body.ok_or(SoundError::Malformed)?;
        let mut format = None;
        while let Some((name, after)) = rest.split_first_chunk::<4>() {
            let (len, after) = after.split_first_chunk().ok_or(SoundError::Malformed)?;
            let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
            // Who wrote the file as it came may not have known how long it would be.
            let (chunk, after) = after.split_at(len.min(after.len()));
            match name {
                b"fmt " => format = Some(chunk),
                b"data" => return Self::of(format.ok_or(SoundError::Malformed)?, chunk),
                _ => {}
            }
            // Chunks begin at even places.
            rest = after.get(len % 2..).unwrap_or_default();
        }
        Err(SoundError::Malformed)
    }

    fn of(format: &[u8], data: &'a [u8]) -> Result<Self, SoundError> {
        let word = |at: usize| {
            let bytes = format.get(at..).and_then(|it| it.first_chunk());
            bytes.map(|it| u16::from_le_bytes(*it))
        };
        let hz = format.get(4..).and_then(|it| it.first_chunk());
        let hz = hz.map(|it| u32::from_le_bytes(*it));
        let (Some(tag), Some(channels), Some(hz), Some(bits)) = (word(0), word(2), hz, word(14))
        else {
            return Err(SoundError::Malformed);
        };
        // The name then stands at the beginning of another one, of 16 bytes.
        let tag = match tag {
            EXTENSIBLE => word(24).ok_or(SoundError::Malformed)?,
            tag => tag,
        };
        let can_be = (1..=CHANNELS_MAX).contains(&channels) && RATES_HZ.contains(&hz);
        let kind = Kind::new(tag, bits).filter(|_| can_be);
        let kind = kind.ok_or(SoundError::Unsupported)?;
        let wav = Self {
            kind,
            channels: usize::from(channels),
            hz,
            data,
        };
        if wav.data.len() < wav.frame_len() {
            return Err(SoundError::Empty);
        }
        Ok(wav)
    }

    pub(super) fn hz(&self) -> u32 {
        self.hz
    }

    pub(super) fn duration_ms(&self) -> u64 {
        let frames = (self.data.len() / self.frame_len()) as u64;
        frames * 1_000 / u64::from(self.hz)
    }

    /// Samples of all channels as one.
    pub(super) fn samples(&self) -> Vec<i16> {
        let frames = self.data.chunks_exact(self.frame_len());
        let mixed = frames.map(|frame| {
            let channels = frame.chunks_exact(self.kind.len());
            let sum: i32 = channels.map(|it| i32::from(self.kind.read(it))).sum();
            let channels = i32::try_from(self.channels).unwrap_or(1);
            i16::try_from(sum / channels).unwrap_or(0)
        });
        mixed.collect()
    }

    /// Bytes of one sample of each channel.
    fn frame_len(&self) -> usize {
        self.kind.len() * self.channels
    }
}

/// ITU-T G.711, table 1a.
fn a_law(octet: u8) -> i16 {
    let octet = octet ^ 0x55;
    let (segment, step) = (octet >> 4 & 7, i16::from(octet & 15) << 4);
    let size = match segment {
        0 => step + 8,
        _ => (step + 0x108) << (segment - 1),
    };
    if octet & 0x80 == 0 { -size } else { size }
}

/// ITU-T G.711, table 2a.
fn mu_law(octet: u8) -> i16 {
    let octet = !octet;
    let (segment, step) = (octet >> 4 & 7, i16::from(octet & 15) << 3);
    let size = ((step + 0x84) << segment) - 0x84;
    if octet & 0x80 == 0 { size } else { -size }
}
