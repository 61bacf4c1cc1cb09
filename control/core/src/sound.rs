//! Sounds to be played: what a file holds, as samples that a codec takes.
//!
//! Nothing here takes part in calls: the driver has a thread of its own decode, which takes time.

mod resample;
mod wav;

use relay_wire::{SOUND_SAMPLES_MAX, SampleRate};

pub use wav::SoundError;

/// Samples, of one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sound {
    /// Of how many a second.
    pub rate: SampleRate,
    /// These.
    pub samples: Vec<i16>,
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    /// Its samples a second.
    pub hz: u32,
    /// How long it is.
    pub duration_ms: u32,
}

/// What a file holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decoded {
    /// What it says of itself.
    pub told: Told,
    /// Its sound, once for each rate that was asked for.
    pub sounds: Vec<Sound>,
}

/// Reads WAV: PCM of 8, 16, 24 and 32 bits, and both laws of G.711, of one channel or several, which
/// are mixed; less than ten minutes.
///
/// # Errors
///
/// When it is something else, or longer.
pub fn decode(file: &[u8], rates: &[SampleRate]) -> Result<Decoded, SoundError> {
    let wav = wav::Wav::parse(file)?;
    let duration_ms = wav.duration_ms();
    let longest = SOUND_SAMPLES_MAX / 16;
    if !usize::try_from(duration_ms).is_ok_and(|ms| ms < longest) {
        return Err(SoundError::TooLong);
    }
    let told = Told {
        hz: wav.hz(),
        duration_ms: u32::try_from(duration_ms).map_err(|_| SoundError::TooLong)?,
    };
    let samples = wav.samples();
    let sounds = rates.iter().map(|rate| Sound {
        rate: *rate,
        samples: resample::resample(&samples, told.hz, rate.hz()),
    });
    Ok(Decoded {
        told,
        sounds: sounds.collect(),
    })
}

/// The body of a fuzz target: any file.
pub(crate) fn fuzz(data: &[u8]) {
    let rates = [SampleRate::Narrow, SampleRate::Wide];
    if let Ok(decoded) = decode(data, &rates) {
        let millis = decoded.told.duration_ms;
        for sound in decoded.sounds {
            assert!(sound.samples.len() <= SOUND_SAMPLES_MAX + 16);
            let expected = u64::from(millis) * u64::from(sound.rate.hz()) / 1_000;
            let found = sound.samples.len() as u64;
            assert!(found.abs_diff(expected) <= u64::from(sound.rate.hz()) / 1_000 + 1);
        }
    }
}

#[cfg(test)]
mod tests;
