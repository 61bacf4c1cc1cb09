//! Samples to any codec's payloads.

use crate::{Codec, Error, g711, g722, gsm, ilbc, l16, opus};

/// Samples to payloads. Allocates when it is made, and never else.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    state: State,
}

#[derive(Debug)]
enum State {
    /// G.711 and L16 remember nothing.
    None,
    Gsm(Box<gsm::Encoder>),
    Ilbc(Box<ilbc::Encoder>),
    G722(Box<g722::Encoder>),
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder that has heard silence so far.
    ///
    /// # Errors
    ///
    /// If libopus has no memory, or it is L16 of 48 kHz.
    pub fn new(codec: Codec) -> Result<Self, Error> {
        let state = match codec {
            Codec::L16(rate) if rate.is_full() => return Err(Error::Rate),
            Codec::Pcmu | Codec::Pcma | Codec::L16(_) => State::None,
            Codec::Gsm => State::Gsm(Box::default()),
            Codec::Ilbc(mode) => State::Ilbc(Box::new(ilbc::Encoder::new(mode))),
            Codec::G722 => State::G722(Box::default()),
            Codec::Opus(rate) => return Self::with_opus(opus::Settings::new(rate)),
        };
        Ok(Self { codec, state })
    }

    /// An encoder of Opus with these settings.
    ///
    /// # Errors
    ///
    /// If libopus has no memory.
    pub fn with_opus(settings: opus::Settings) -> Result<Self, Error> {
        Ok(Self {
            codec: Codec::Opus(settings.rate),
            state: State::Opus(opus::Encoder::new(settings)?),
        })
    }

    /// What it encodes to.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// What encodes GSM, for [`gsm::encode_batch`]. `None` if it encodes something else.
    pub fn gsm_mut(&mut self) -> Option<&mut gsm::Encoder> {
        match &mut self.state {
            State::Gsm(encoder) => Some(encoder),
            _ => None,
        }
    }

    /// How much work is made of it, 0 to 10, where that can be chosen: with Opus.
    ///
    /// # Errors
    ///
    /// None that libopus is known to have.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), Error> {
        match &mut self.state {
            State::Opus(encoder) => Ok(encoder.set_complexity(complexity)?),
            _ => Ok(()),
        }
    }

    /// Encodes the samples of one packet; the number of octets written.
    ///
    /// # Errors
    ///
    /// If the samples are not a whole number of [`Codec::frame_samples`], at least one and no more
    /// than [`crate::SAMPLES_MAX`], or with Opus not the length of a frame; or if `payload` is too
    /// short. Nothing was encoded then.
    pub fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        let is_whole = samples.len().is_multiple_of(self.codec.frame_samples());
        if !is_whole || samples.is_empty() || samples.len() > crate::SAMPLES_MAX {
            return Err(Error::Samples(samples.len()));
        }
        if let Some(len) = self.codec.payload_len(samples.len())
            && payload.len() < len
        {
            return Err(Error::Room);
        }
        Ok(match &mut self.state {
            State::None => match self.codec {
                Codec::Pcmu => g711::ULAW.encode_into(samples, payload),
                Codec::Pcma => g711::ALAW.encode_into(samples, payload),
                _ => l16::encode(samples, payload),
            },
            State::Gsm(encoder) => {
                let frames = samples.as_chunks().0.iter();
                let places = payload.as_chunks_mut().0;
                let encoded = frames.zip(places).map(|(frame, place)| {
                    *place = encoder.encode(frame);
                    place.len()
                });
                encoded.sum()
            }
            State::Ilbc(encoder) => {
                let frames = samples.chunks_exact(self.codec.frame_samples());
                frames.fold(0, |len, frame| {
                    len + encoder.encode(frame, &mut payload[len..])
                })
            }
            State::G722(encoder) => encoder.encode(samples, payload),
            State::Opus(encoder) => encoder.encode(samples, payload)?,
        })
    }
}
