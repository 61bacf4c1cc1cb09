//! Bytes of a file to samples, and back.

use std::io::Cursor;

use codec::{Codec, Decoder, Encoder, PAYLOAD_LEN_MAX, Rate, SAMPLES_MAX};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::explain;
use super::format::Format;
use crate::failure::Failure;

/// Sound.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) rate: Rate,
    pub(super) samples: Vec<i16>,
}

impl Sound {
    /// Reads what a file holds.
    pub(super) fn read(bytes: &[u8], format: Format) -> Result<Self, Failure> {
        match (format, format.codec(), format.rate()) {
            (Format::Ilbc20 | Format::Ilbc30, ..) => {
                let (format, frames) = ilbc_frames(bytes)?;
                Self::decode(frames, format)
            }
            (_, Some(_), _) => Self::decode(bytes, format),
            (_, None, Some(rate)) => Self::plain(bytes, rate),
            (_, None, None) => Self::wav(bytes),
        }
    }

    /// Writes what a file is to hold.
    pub(super) fn write(&self, format: Format) -> Result<Vec<u8>, Failure> {
        match (format, format.codec()) {
            (_, Some(codec)) => self.encode(codec, format.header()),
            (Format::Wav, None) => self.to_wav(),
            (_, None) => Ok(self
                .samples
                .iter()
                .flat_map(|it| it.to_le_bytes())
                .collect()),
        }
    }

    /// Brings it to another rate.
    pub(super) fn at(self, rate: Rate) -> Self {
        let samples = match (self.rate, rate) {
            (Rate::Narrow, Rate::Wide) => {
                let mut wide = vec![0; 2 * self.samples.len()];
                codec::resample::Up::new().resample(&self.samples, &mut wide);
                wide
            }
            (Rate::Wide, Rate::Narrow) => {
                let mut narrow = vec![0; self.samples.len() / 2];
                codec::resample::Down::new().resample(&self.samples, &mut narrow);
                narrow
            }
            _ => self.samples,
        };
        Self { rate, samples }
    }

    fn plain(bytes: &[u8], rate: Rate) -> Result<Self, Failure> {
        let (pairs, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(Failure::failed(
                "it has an odd number of bytes, but its samples have two each",
            ));
        }
        let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        Ok(Self { rate, samples })
    }

    fn decode(bytes: &[u8], format: Format) -> Result<Self, Failure> {
        let codec = format.codec().unwrap_or(Codec::Pcmu);
        let mut decoder = Decoder::new(codec).map_err(explain)?;
        let frame_len = codec.payload_len(codec.packet_samples(20)).unwrap_or(1);
        let mut samples = Vec::new();
        let mut decoded = [0; SAMPLES_MAX];
        for (index, frame) in bytes.chunks(frame_len).enumerate() {
            let len = decoder.decode(frame, &mut decoded).map_err(|error| {
                let at = index * frame_len + format.header().len();
                Failure::failed(format!("it is damaged at byte {at}: {error}"))
            })?;
            samples.extend_from_slice(&decoded[..len]);
        }
        let rate = codec.rate();
        Ok(Self { rate, samples })
    }

    fn encode(&self, codec: Codec, header: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut encoder = Encoder::new(codec).map_err(explain)?;
        let packet = codec.packet_samples(20);
        let mut bytes = header.to_vec();
        let mut payload = vec![0; PAYLOAD_LEN_MAX];
        for samples in self.samples.chunks(packet) {
            let mut whole = samples.to_vec();
            whole.resize(samples.len().next_multiple_of(codec.frame_samples()), 0);
            let len = encoder.encode(&whole, &mut payload).map_err(explain)?;
            bytes.extend_from_slice(&payload[..len]);
        }
        Ok(bytes)
    }

    fn wav(bytes: &[u8]) -> Result<Self, Failure> {
        let reader = WavReader::new(Cursor::new(bytes)).map_err(explain_wav)?;
        let spec = reader.spec();
        let rate = match spec.sample_rate {
            8_000 => Rate::Narrow,
            16_000 => Rate::Wide,
            other => {
                return Err(Failure::failed(format!(
                    "its sample rate is {other} Hz, but phones have 8000 or 16000; convert it \
                     first, as with: ffmpeg -i FILE -ar 16000 OTHER.wav"
                )));
            }
        };
        let channels = usize::from(spec.channels.max(1));
        let samples = wav_samples(reader, spec)?;
        let samples = samples.chunks(channels).map(mean).collect();
        Ok(Self { rate, samples })
    }

    fn to_wav(&self) -> Result<Vec<u8>, Failure> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: u32::from(self.rate.hz()),
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).map_err(explain_wav)?;
        for sample in &self.samples {
            writer.write_sample(*sample).map_err(explain_wav)?;
        }
        writer.finalize().map_err(explain_wav)?;
        Ok(bytes.into_inner())
    }
}

/// Samples of all channels in turn, with 16 bits.
fn wav_samples(reader: WavReader<Cursor<&[u8]>>, spec: WavSpec) -> Result<Vec<i16>, Failure> {
    let samples: Result<Vec<_>, _> = match spec.sample_format {
        SampleFormat::Float => {
            let samples = reader.into_samples::<f32>();
            samples
                .map(|it| it.map(|it| of_float(it * 32_768.0)))
                .collect()
        }
        SampleFormat::Int => {
            let scale = 2_f32.powi(16 - i32::from(spec.bits_per_sample));
            let samples = reader.into_samples::<i32>();
            #[expect(clippy::cast_precision_loss, reason = "16 bits of it are kept")]
            let samples = samples.map(|it| it.map(|it| of_float(it as f32 * scale)));
            samples.collect()
        }
    };
    samples.map_err(explain_wav)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "limited, as conversions of floats are"
)]
fn of_float(sample: f32) -> i16 {
    sample.round() as i16
}

fn mean(channels: &[i16]) -> i16 {
    let sum: i64 = channels.iter().map(|it| i64::from(*it)).sum();
    let count = i64::try_from(channels.len()).unwrap_or(1).max(1);
    i16::try_from(sum / count).unwrap_or(0)
}

/// The frames of a file of iLBC, and what its header says they are.
fn ilbc_frames(bytes: &[u8]) -> Result<(Format, &[u8]), Failure> {
    let of = |format: Format| Some((format, bytes.strip_prefix(format.header())?));
    of(Format::Ilbc20)
        .or_else(|| of(Format::Ilbc30))
        .ok_or_else(|| {
            Failure::failed("it does not begin with #!iLBC20 or #!iLBC30, as files of iLBC do")
        })
}

fn explain_wav(error: hound::Error) -> Failure {
    Failure::failed(format!("it is no WAV file that can be read: {error}"))
}
