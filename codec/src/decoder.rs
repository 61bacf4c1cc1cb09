//! Any codec's payloads to samples.

use crate::plc::Concealment;
use crate::{Codec, Error, g711, g722, gsm, ilbc, l16, opus};

/// Payloads to samples. Allocates when it is made, and never else.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    state: State,
}

#[derive(Debug)]
enum State {
    /// G.711 and L16, which remember nothing themselves.
    Plain(Box<Concealment>),
    Gsm(Box<gsm::Decoder>),
    Ilbc(Box<ilbc::Decoder>, ilbc::Mode),
    G722(Box<(g722::Decoder, Concealment)>),
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder that has heard nothing.
    ///
    /// # Errors
    ///
    /// If libopus has no memory, or it is L16 of 48 kHz.
    pub fn new(codec: Codec) -> Result<Self, Error> {
        let concealment = Concealment::new(codec.rate());
        let state = match codec {
            Codec::L16(rate) if rate.is_full() => return Err(Error::Rate),
            Codec::Pcmu | Codec::Pcma | Codec::L16(_) => State::Plain(Box::new(concealment)),
            Codec::Gsm => State::Gsm(Box::default()),
            Codec::Ilbc(mode) => State::Ilbc(Box::new(ilbc::Decoder::new(mode)), mode),
            Codec::G722 => State::G722(Box::new((g722::Decoder::new(), concealment))),
            Codec::Opus(rate) => State::Opus(opus::Decoder::new(rate)?),
        };
        Ok(Self { codec, state })
    }

    /// What it decodes.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// What decodes GSM, for [`gsm::decode_batch`]. `None` if it decodes something else.
    pub fn gsm_mut(&mut self) -> Option<&mut gsm::Decoder> {
        match &mut self.state {
            State::Gsm(decoder) => Some(decoder),
            _ => None,
        }
    }

    /// Forgets what it has heard, as when another source begins.
    ///
    /// # Errors
    ///
    /// None that libopus is known to have.
    pub fn reset(&mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Plain(concealment) => **concealment = Concealment::new(self.codec.rate()),
            State::Gsm(decoder) => **decoder = gsm::Decoder::default(),
            State::Ilbc(decoder, mode) => **decoder = ilbc::Decoder::new(*mode),
            State::G722(state) => {
                **state = (g722::Decoder::new(), Concealment::new(self.codec.rate()));
            }
            State::Opus(decoder) => decoder.reset()?,
        }
        Ok(())
    }

    /// Decodes the payload of one packet; the number of samples written, as
    /// [`Codec::samples_in`] tells it before.
    ///
    /// # Errors
    ///
    /// If the payload is not one of this codec, or `samples` is too short for it. Nothing was
    /// decoded then.
    pub fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, Error> {
        let len = self.codec.samples_in(payload)?;
        let samples = samples.get_mut(..len).ok_or(Error::Room)?;
        match &mut self.state {
            State::Plain(concealment) => {
                let len = match self.codec {
                    Codec::Pcmu => g711::ULAW.decode_into(payload, samples),
                    Codec::Pcma => g711::ALAW.decode_into(payload, samples),
                    _ => l16::decode(payload, samples),
                };
                concealment.receive(samples);
                len
            }
            State::Gsm(decoder) => {
                let frames = gsm::split(payload)?.iter();
                let (places, _) = samples.as_chunks_mut();
                for (frame, place) in frames.zip(places) {
                    *place = decoder.decode(frame);
                }
                len
            }
            State::Ilbc(decoder, mode) => decode_ilbc(decoder, mode, self.codec, payload, samples)?,
            State::G722(state) => {
                let (decoder, concealment) = &mut **state;
                let len = decoder.decode(payload, samples);
                concealment.receive(samples);
                len
            }
            State::Opus(decoder) => decoder.decode(payload, samples)?,
        };
        Ok(len)
    }

    /// Fills in for what was lost, all of `samples`.
    ///
    /// `next` is the payload of the packet that follows what was lost, if it is there already:
    /// Opus may have said in it what was lost. It is still to be decoded itself, afterwards.
    pub fn conceal(&mut self, next: Option<&[u8]>, samples: &mut [i16]) {
        let len = samples.len();
        let filled = match &mut self.state {
            State::Plain(concealment) => {
                concealment.conceal(samples);
                len
            }
            State::G722(state) => {
                state.1.conceal(samples);
                len
            }
            State::Gsm(decoder) => {
                let (places, _) = samples.as_chunks_mut();
                for place in &mut *places {
                    *place = decoder.conceal();
                }
                places.len() * gsm::SAMPLES_PER_FRAME
            }
            State::Ilbc(decoder, mode) => {
                let places = samples.chunks_exact_mut(mode.samples());
                places.map(|place| decoder.conceal(place)).sum()
            }
            State::Opus(decoder) => conceal_opus(decoder, next, samples),
        };
        samples[filled.min(len)..].fill(0);
    }
}

/// A sender may not heed the mode that was negotiated; then the decoder changes its own.
fn decode_ilbc(
    decoder: &mut ilbc::Decoder,
    mode: &mut ilbc::Mode,
    codec: Codec,
    payload: &[u8],
    samples: &mut [i16],
) -> Result<usize, Error> {
    let negotiated = match codec {
        Codec::Ilbc(negotiated) => negotiated,
        _ => *mode,
    };
    let (sent, frames) = negotiated.split(payload)?;
    if sent != *mode {
        *decoder = ilbc::Decoder::new(sent);
        *mode = sent;
    }
    let places = samples.chunks_exact_mut(sent.samples());
    Ok(frames
        .zip(places)
        .map(|(frame, place)| decoder.decode(frame, place))
        .sum())
}

/// The packet after the lost ones says something of the last of them alone.
fn conceal_opus(decoder: &mut opus::Decoder, next: Option<&[u8]>, samples: &mut [i16]) -> usize {
    let said = next
        .and_then(|it| opus::duration(it, decoder.rate()))
        .unwrap_or(0);
    let (older, last) = samples.split_at_mut(samples.len().saturating_sub(said));
    let mut filled = 0;
    while filled < older.len() {
        match decoder.conceal(None, &mut older[filled..]) {
            Ok(len) if len > 0 => filled += len,
            _ => return filled,
        }
    }
    filled + decoder.conceal(next, last).unwrap_or(0)
}
