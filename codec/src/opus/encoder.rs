//! Samples to packets.

use audiopus::coder::Encoder as Library;
use audiopus::{Application, Bandwidth, Bitrate, Channels, Signal};

use super::{Error, PAYLOAD_LEN_MAX, sample_rate};
use crate::Rate;

/// The greatest complexity there is.
const COMPLEXITY_MAX: u8 = 10;

/// How an encoder works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Samples a second that it is given.
    pub rate: Rate,
    /// 0 to 10. At 8 kHz 0 takes a quarter of the time of 10, and is heard by those who listen for
    /// it.
    pub complexity: u8,
    /// Bits a second, 6,000 to 510,000; `None` for what suits the rate and the loss.
    pub bitrate: Option<u32>,
    /// What share of packets is lost on the way, in percent. Above 0, packets also say what the
    /// one before them said, if the bit rate suffices for both.
    pub loss_percent: u8,
}

impl Settings {
    /// What suits a sample rate, as long as nothing is lost.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            complexity: 0,
            bitrate: None,
            loss_percent: 0,
        }
    }

    /// At complexity 0, libopus repeats nothing below 24 kbit/s at 8 kHz and 32 kbit/s at 16 kHz.
    fn bits_per_second(&self) -> i32 {
        let suiting = match (self.rate, self.loss_percent) {
            (Rate::Narrow, 0) => 16_000,
            (Rate::Wide, 0) => 24_000,
            (Rate::Narrow, _) => 26_000,
            (Rate::Wide, _) => 34_000,
        };
        let asked = self.bitrate.unwrap_or(suiting).clamp(6_000, 510_000);
        i32::try_from(asked).unwrap_or(i32::MAX)
    }
}

/// Samples to packets.
#[derive(Debug)]
pub struct Encoder {
    library: Library,
    settings: Settings,
}

impl Encoder {
    /// An encoder that has heard silence so far.
    ///
    /// # Errors
    ///
    /// If libopus has no memory.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let rate = sample_rate(settings.rate);
        let mut library = Library::new(rate, Channels::Mono, Application::Voip)?;
        library.set_signal(Signal::Voice)?;
        library.set_max_bandwidth(match settings.rate {
            Rate::Narrow => Bandwidth::Narrowband,
            Rate::Wide => Bandwidth::Wideband,
        })?;
        let mut encoder = Self { library, settings };
        encoder.set_complexity(settings.complexity)?;
        encoder.set_loss(settings.loss_percent)?;
        Ok(encoder)
    }

    /// How it works.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the complexity, 10 at most: less of it when there is too much to do.
    ///
    /// # Errors
    ///
    /// None that libopus is known to have.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), Error> {
        let complexity = complexity.min(COMPLEXITY_MAX);
        self.library.set_complexity(complexity)?;
        self.settings.complexity = complexity;
        Ok(())
    }

    /// Says what share of packets is lost on the way, 100 % at most.
    ///
    /// # Errors
    ///
    /// None that libopus is known to have.
    pub fn set_loss(&mut self, percent: u8) -> Result<(), Error> {
        let percent = percent.min(100);
        self.library.set_inband_fec(percent > 0)?;
        self.library.set_packet_loss_perc(percent)?;
        self.settings.loss_percent = percent;
        let bits_per_second = self.settings.bits_per_second();
        self.library
            .set_bitrate(Bitrate::BitsPerSecond(bits_per_second))?;
        Ok(())
    }

    /// Encodes samples of 2.5, 5, 10, 20, 40 or 60 ms to one packet; its length.
    ///
    /// # Errors
    ///
    /// If there are other numbers of samples, or `payload` is too short.
    pub fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        let len = payload.len().min(PAYLOAD_LEN_MAX);
        if samples.is_empty() || len == 0 {
            return Err(Error::Length);
        }
        Ok(self.library.encode(samples, &mut payload[..len])?)
    }
}
