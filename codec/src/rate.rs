//! The two sample rates of telephony.

/// Samples a second on our side of a codec.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Rate {
    /// 8 kHz.
    #[default]
    Narrow,
    /// 16 kHz.
    Wide,
}

impl Rate {
    /// Samples a second.
    #[must_use]
    pub const fn hz(self) -> u16 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
        }
    }

    /// Samples of so many milliseconds.
    #[must_use]
    pub const fn samples(self, milliseconds: usize) -> usize {
        self.hz() as usize / 1_000 * milliseconds
    }
}
