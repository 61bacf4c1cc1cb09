//! Samples to packets.

use audiopus::coder::Encoder as Library;
use audiopus::{Application, Bandwidth, Bitrate, Channels, Signal};

use super::{Error, PAYLOAD_LEN_MAX, channels, sample_rate};
use crate::Rate;
use crate::channels::spread;

/// The greatest complexity there is.
const COMPLEXITY_MAX: u8 = 10;

/// The longest frame that is written, in milliseconds.
const FRAME_MS_MAX: usize = 60;

/// What is encoded (RFC 6716 §2.1.7: libopus calls it the application).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Purpose {
    /// Speech.
    #[default]
    Speech,
    /// Anything, as true to the original as it can be. The bit rate varies more than with speech.
    Audio,
    /// The same with less delay.
    LowDelay,
}

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
    /// What is encoded.
    pub purpose: Purpose,
    /// Packets have two channels, for who cannot do without, though samples have one: both say the
    /// same, each at half the power. Of samples that have two, packets have two anyway.
    pub is_stereo: bool,
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
            purpose: Purpose::Speech,
            is_stereo: false,
        }
    }

    /// Bits a second: those that were asked for, or what suits.
    ///
    /// At complexity 0, libopus repeats nothing below 24 kbit/s at 8 kHz and 32 kbit/s at 16 kHz.
    /// At 48 kHz it is what RFC 7587 §3.1.1 has for speech, and in two channels for music.
    #[must_use]
    pub fn bits_per_second(&self) -> u32 {
        let suiting = match (self.rate, self.loss_percent) {
            (Rate::Narrow, 0) => 16_000,
            (Rate::Wide, 0) => 24_000,
            (Rate::Narrow, _) => 26_000,
            (Rate::Wide, _) => 34_000,
            (Rate::Full, 0) => 32_000,
            (Rate::Full, _) => 40_000,
            (Rate::Stereo, 0) => 64_000,
            (Rate::Stereo, _) => 72_000,
        };
        self.bitrate.unwrap_or(suiting).clamp(6_000, 510_000)
    }
}

/// Samples to packets.
#[derive(Debug)]
pub struct Encoder {
    library: Library,
    settings: Settings,
    /// The samples of both channels, in turn, if there are two.
    pairs: Option<Box<[i16]>>,
}

impl Encoder {
    /// An encoder that has heard silence so far.
    ///
    /// # Errors
    ///
    /// If libopus has no memory.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let rate = sample_rate(settings.rate);
        let is_spread = settings.is_stereo && settings.rate.channels() == 1;
        let (channels, pairs) = if is_spread {
            let pairs = vec![0; 2 * settings.rate.samples(FRAME_MS_MAX)];
            (Channels::Stereo, Some(pairs.into_boxed_slice()))
        } else {
            (channels(settings.rate), None)
        };
        let mut library = match settings.purpose {
            Purpose::Speech => Library::new(rate, channels, Application::Voip)?,
            Purpose::Audio => Library::new(rate, channels, Application::Audio)?,
            Purpose::LowDelay => Library::new(rate, channels, Application::LowDelay)?,
        };
        if settings.purpose == Purpose::Speech {
            library.set_signal(Signal::Voice)?;
        } else {
            library.set_vbr_constraint(false)?;
        }
        library.set_max_bandwidth(match settings.rate {
            Rate::Narrow => Bandwidth::Narrowband,
            Rate::Wide => Bandwidth::Wideband,
            Rate::Full | Rate::Stereo => Bandwidth::Fullband,
        })?;
        let mut encoder = Self {
            library,
            settings,
            pairs,
        };
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
        let bits_per_second = i32::try_from(self.settings.bits_per_second());
        self.library
            .set_bitrate(Bitrate::BitsPerSecond(bits_per_second.unwrap_or(i32::MAX)))?;
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
        let samples = match &mut self.pairs {
            Some(pairs) => spread_all(samples, pairs).ok_or(Error::Length)?,
            None => samples,
        };
        Ok(self.library.encode(samples, &mut payload[..len])?)
    }
}

/// Writes the samples of one channel to two, each at half the power. `None` if they are too many.
fn spread_all<'p>(samples: &[i16], pairs: &'p mut [i16]) -> Option<&'p [i16]> {
    let pairs = pairs.get_mut(..2 * samples.len())?;
    for (pair, &sample) in pairs.as_chunks_mut().0.iter_mut().zip(samples) {
        *pair = spread(sample);
    }
    Some(pairs)
}
