//! WAV files of 16-bit samples.

use std::fs;
use std::path::Path;

use super::SAMPLE_RATE_HZ;

/// What a WAV file holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wav {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// The first channel.
    pub samples: Vec<i16>,
}

/// Writes samples at [`SAMPLE_RATE_HZ`].
///
/// # Panics
///
/// When the file cannot be written.
pub fn write_wav(path: &Path, samples: &[i16]) {
    let data_len = u32::try_from(samples.len() * 2).expect("a test file is small");
    let mut bytes = Vec::with_capacity(samples.len() * 2 + 44);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(data_len + 36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes()); // PCM
    bytes.extend_from_slice(&1_u16.to_le_bytes()); // channels
    bytes.extend_from_slice(&SAMPLE_RATE_HZ.to_le_bytes());
    bytes.extend_from_slice(&(SAMPLE_RATE_HZ * 2).to_le_bytes()); // bytes per second
    bytes.extend_from_slice(&2_u16.to_le_bytes()); // bytes per sample of all channels
    bytes.extend_from_slice(&16_u16.to_le_bytes()); // bits per sample
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data_len.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    fs::write(path, bytes).expect("the scenario's folder takes files");
}

/// Reads a file whose data chunk is the last, as recorders write it. A recorder that was stopped
/// may have left the lengths at zero: then the data goes on to the end of the file.
///
/// # Panics
///
/// When it is not a WAV file of 16-bit samples.
#[must_use]
#[track_caller]
pub fn read_wav(path: &Path) -> Wav {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(bytes.get(..4), Some(&b"RIFF"[..]), "{}", path.display());
    let format = chunk(&bytes, b"fmt ").expect("a WAV file says its format");
    let channels = usize::from(field(format, 2));
    assert_ne!(channels, 0, "channels of {}", path.display());
    assert_eq!(field(format, 14), 16, "bits of {}", path.display());
    let rate = u32::from(field(format, 4)) | u32::from(field(format, 6)) << 16;
    let data = chunk(&bytes, b"data").expect("a WAV file has data");
    let moments = data.chunks_exact(2 * channels);
    Wav {
        sample_rate_hz: rate,
        samples: moments
            .map(|moment| i16::from_le_bytes([moment[0], moment[1]]))
            .collect(),
    }
}

fn field(format: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([format[at], format[at + 1]])
}

/// The contents of one chunk. Chunks follow the 12 bytes of the RIFF header.
fn chunk<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(12..)?;
    loop {
        let (name, after) = rest.split_at_checked(4)?;
        let (len, contents) = after.split_at_checked(4)?;
        let len = u32::from_le_bytes(len.try_into().ok()?);
        let len = usize::try_from(len).ok()?;
        if name == wanted {
            let whole = if len == 0 { contents.len() } else { len };
            return Some(&contents[..whole.min(contents.len())]);
        }
        rest = contents.get(len + len % 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let samples = vec![0, 1, -1, i16::MAX, i16::MIN];
        write_wav(file.path(), &samples);
        let wav = read_wav(file.path());
        assert_eq!(wav.sample_rate_hz, SAMPLE_RATE_HZ);
        assert_eq!(wav.samples, samples);
    }
}
