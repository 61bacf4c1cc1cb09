//! Packets to samples.

use audiopus::coder::{Decoder as Library, GenericCtl};

use super::{Error, PACKET_MS_MAX, channels, sample_rate};
use crate::Rate;

/// Packets to samples.
#[derive(Debug)]
pub struct Decoder {
    library: Library,
    rate: Rate,
}

impl Decoder {
    /// A decoder that has heard nothing.
    ///
    /// # Errors
    ///
    /// If libopus has no memory.
    pub fn new(rate: Rate) -> Result<Self, Error> {
        let library = Library::new(sample_rate(rate), channels(rate))?;
        Ok(Self { library, rate })
    }

    /// Forgets what it has heard.
    ///
    /// # Errors
    ///
    /// None that libopus is known to have.
    pub fn reset(&mut self) -> Result<(), Error> {
        Ok(self.library.reset_state()?)
    }

    /// Samples a second that it gives.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Decodes one packet; the number of samples written. [`super::duration`] tells it before.
    ///
    /// # Errors
    ///
    /// If it is no packet, or `samples` is too short for it.
    pub fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, Error> {
        if payload.is_empty() {
            return Err(Error::Packet);
        }
        let samples = self.at_most(samples);
        let len = self.library.decode(Some(payload), samples, false)?;
        Ok(len * usize::from(self.rate.channels()))
    }

    /// Fills in for what was lost; the number of samples written, which are whole 2.5 ms and
    /// 120 ms at most.
    ///
    /// `next` is the packet after the lost one, if it is there already. It may say what was lost;
    /// it is still to be decoded itself, afterwards.
    ///
    /// # Errors
    ///
    /// If `next` is no packet.
    pub fn conceal(&mut self, next: Option<&[u8]>, samples: &mut [i16]) -> Result<usize, Error> {
        let samples = self.at_most(samples);
        let quarter = self.rate.samples(10) / 4;
        let len = samples.len() / quarter * quarter;
        if len == 0 {
            return Ok(0);
        }
        let next = next.filter(|it| !it.is_empty());
        let samples = &mut samples[..len];
        let len = self.library.decode(next, samples, next.is_some())?;
        Ok(len * usize::from(self.rate.channels()))
    }

    /// As many as the longest packet has.
    fn at_most<'a>(&self, samples: &'a mut [i16]) -> &'a mut [i16] {
        let len = samples.len().min(self.rate.samples(PACKET_MS_MAX));
        &mut samples[..len]
    }
}
