//! From payloads of the near side to samples of the far side's rate.

use codec::resample::{Down, Up};
use codec::{Codec, Decoder, Error, Rate, g711, gsm};

/// Milliseconds that one packet may hold (RFC 3551 §4.2).
pub(crate) const PACKET_MS_MAX: usize = 200;

/// Samples of that at 8 and 16 kHz.
pub(crate) const SAMPLES_MAX: usize = Rate::Wide.samples(PACKET_MS_MAX);

/// Samples of a packet of any rate. Of 48 kHz there is Opus alone, whose packets are shorter.
pub(crate) const FULL_SAMPLES_MAX: usize = codec::SAMPLES_MAX;

#[derive(Debug)]
pub(crate) struct Near {
    decoder: Decoder,
    resampler: Resampler,
    /// µ-law becomes A-law.
    is_to_alaw: bool,
}

#[derive(Debug)]
enum Resampler {
    None,
    Up(Up),
    Down(Down),
}

impl Near {
    pub(crate) fn new(from: Codec, to: Codec) -> Result<Self, Error> {
        let resampler = match (from.rate(), to.rate()) {
            (Rate::Narrow, Rate::Wide) => Resampler::Up(Up::new()),
            (Rate::Wide, Rate::Narrow) => Resampler::Down(Down::new()),
            (one, other) if one == other => Resampler::None,
            // Nothing else becomes 48 kHz, or comes of it.
            _ => return Err(Error::Rate),
        };
        let decoder = Decoder::new(from)?;
        Ok(Self {
            decoder,
            resampler,
            is_to_alaw: (from, to) == (Codec::Pcmu, Codec::Pcma),
        })
    }

    /// Another source follows.
    pub(crate) fn reset(&mut self) -> Result<(), Error> {
        self.decoder.reset()
    }

    /// Samples of the near side's rate.
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, Error> {
        let len = self.decoder.decode(payload, samples)?;
        if self.is_to_alaw {
            // As octet by octet: encoding alone is not alike for both signs.
            for sample in &mut samples[..len] {
                *sample = g711::ALAW.nearest(*sample);
            }
        }
        Ok(len)
    }

    /// What decodes GSM, if that is what comes.
    pub(crate) fn gsm_mut(&mut self) -> Option<&mut gsm::Decoder> {
        self.decoder.gsm_mut()
    }

    /// Fills in for what was lost before `next`.
    pub(crate) fn conceal(&mut self, next: Option<&[u8]>, samples: &mut [i16]) {
        self.decoder.conceal(next, samples);
    }

    /// To the far side's rate.
    pub(crate) fn resample<'a>(&mut self, near: &'a [i16], far: &'a mut [i16]) -> &'a [i16] {
        match &mut self.resampler {
            Resampler::None => near,
            Resampler::Up(up) => {
                let len = up.resample(near, far);
                &far[..len]
            }
            Resampler::Down(down) => {
                let len = down.resample(near, far);
                &far[..len]
            }
        }
    }
}
