//! How sound is sampled.

/// What samples on our side of a codec are like.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Rate {
    /// 8 kHz.
    #[default]
    Narrow,
    /// 16 kHz.
    Wide,
    /// 48 kHz: all that can be heard.
    Full,
    /// 48 kHz in two channels, whose samples take turns, the left one first. Wherever samples are
    /// counted, those of both are.
    Stereo,
}

impl Rate {
    /// Samples a second of each channel.
    #[must_use]
    pub const fn hz(self) -> u16 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
            Self::Full | Self::Stereo => 48_000,
        }
    }

    /// How many channels there are.
    #[must_use]
    pub const fn channels(self) -> u8 {
        match self {
            Self::Narrow | Self::Wide | Self::Full => 1,
            Self::Stereo => 2,
        }
    }

    /// Samples a second of all channels together.
    #[must_use]
    pub const fn per_second(self) -> u32 {
        self.hz() as u32 * self.channels() as u32
    }

    /// Samples of so many milliseconds, of all channels together.
    #[must_use]
    pub const fn samples(self, milliseconds: usize) -> usize {
        self.hz() as usize / 1_000 * self.channels() as usize * milliseconds
    }

    /// Whether it is one of those of 48 kHz, which only Opus has.
    #[must_use]
    pub const fn is_full(self) -> bool {
        matches!(self, Self::Full | Self::Stereo)
    }
}
