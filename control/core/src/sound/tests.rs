//! Files that can be played, and those that cannot.

use proptest::prelude::*;
use relay_wire::SampleRate::{Narrow, Wide};

use super::*;

/// A WAV file of these samples, as they are written.
pub(crate) fn wav(tag: u16, bits: u16, (channels, hz): (u16, u32), data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    let frame = channels * bits / 8;
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(hz.to_le_bytes());
    file.extend((hz * u32::from(frame)).to_le_bytes());
    file.extend(frame.to_le_bytes());
    file.extend(bits.to_le_bytes());
    // A chunk of odd length that is nothing to us.
    file.extend(b"LIST\x03\0\0\0abc\0data");
    file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    file.extend(data);
    file
}

fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|it| it.to_le_bytes()).collect()
}

fn samples(file: &[u8]) -> Vec<i16> {
    decode(file, &[Narrow]).unwrap().sounds.remove(0).samples
}

#[test]
fn samples_of_the_right_rate_stay_as_they_are() {
    let sent = [0, 1, -1, i16::MAX, i16::MIN];
    let found = decode(&wav(1, 16, (1, 8_000), &pcm(&sent)), &[Narrow]).unwrap();
    assert_eq!(found.sounds[0].samples, sent);
    assert_eq!(found.told.hz, 8_000);
    let found = decode(&wav(1, 16, (1, 8_000), &[0; 1_600]), &[]).unwrap();
    assert_eq!(found.told.duration_ms, 100);
}

#[test]
fn all_widths_of_pcm_mean_the_same() {
    let mono = (1, 8_000);
    assert_eq!(
        samples(&wav(1, 8, mono, &[0, 128, 255])),
        [-32_768, 0, 32_512]
    );
    let wide = [9, 0x34, 0x12, 9, 0, 0x80];
    assert_eq!(samples(&wav(1, 24, mono, &wide)), [0x1234, -32_768]);
    let wider = [9, 9, 0x34, 0x12];
    assert_eq!(samples(&wav(1, 32, mono, &wider)), [0x1234]);
}

#[test]
fn both_laws_mean_what_g711_says() {
    let mono = (1, 8_000);
    let a_law = [0xd5, 0x55, 0xaa, 0x2a, 0x80];
    assert_eq!(
        samples(&wav(6, 8, mono, &a_law)),
        [8, -8, 32_256, -32_256, 5_504]
    );
    let mu_law = [0xff, 0x7f, 0x80, 0x00, 0x8f];
    assert_eq!(
        samples(&wav(7, 8, mono, &mu_law)),
        [0, 0, 32_124, -32_124, 16_764]
    );
}

#[test]
fn channels_are_mixed() {
    let stereo = pcm(&[100, 300, i16::MAX, i16::MAX, i16::MIN, i16::MIN]);
    let found = samples(&wav(1, 16, (2, 8_000), &stereo));
    assert_eq!(found, [200, i16::MAX, i16::MIN]);
}

#[test]
fn a_tone_keeps_its_height_and_its_length_at_any_rate() {
    for hz in [
        8_000_u32, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000,
    ] {
        let at = |n: u32, rate: u32| {
            let turn = f64::from(n) * 440.0 / f64::from(rate) * std::f64::consts::TAU;
            10_000.0 * turn.sin()
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 10,000")]
        let sent: Vec<_> = (0..hz / 2).map(|n| at(n, hz).round() as i16).collect();
        let file = wav(1, 16, (1, hz), &pcm(&sent));
        let found = decode(&file, &[Narrow, Wide]).unwrap();
        assert!(found.told.duration_ms.abs_diff(500) <= 1);
        for sound in found.sounds {
            let rate = sound.rate.hz();
            let len = u32::try_from(sound.samples.len()).unwrap();
            assert!(len.abs_diff(rate / 2) <= 1, "{hz} to {rate}");
            // Not at its ends, where there is nothing on one side.
            for n in rate / 20..len - rate / 20 {
                let found = f64::from(sound.samples[usize::try_from(n).unwrap()]);
                let error = (found - at(n, rate)).abs();
                assert!(error < 50.0, "{hz} to {rate} at {n}: {error}");
            }
        }
    }
}

#[test]
fn what_a_phone_cannot_hear_does_not_become_something_else() {
    // 7 kHz, which would be 1 kHz.
    let sent: Vec<_> = (0..4_800_u32)
        .map(|n| {
            let turn = f64::from(n) * 7_000.0 / 48_000.0 * std::f64::consts::TAU;
            #[expect(clippy::cast_possible_truncation, reason = "at most 10,000")]
            let sample = (10_000.0 * turn.sin()).round() as i16;
            sample
        })
        .collect();
    let found = samples(&wav(1, 16, (1, 48_000), &pcm(&sent)));
    let loudest = found[100..700].iter().map(|it| it.unsigned_abs()).max();
    assert!(loudest < Some(50), "{loudest:?}");
}

#[test]
fn what_cannot_be_played_is_told_apart() {
    let mono = (1, 8_000);
    let error = |file: &[u8]| decode(file, &[]).unwrap_err();
    assert_eq!(error(b""), SoundError::Malformed);
    assert_eq!(error(b"RIFF\0\0\0\0AVI "), SoundError::Malformed);
    let whole = wav(1, 16, mono, &[1, 2]);
    for len in 0..whole.len() - 1 {
        assert!(decode(&whole[..len], &[]).is_err(), "{len}");
    }
    assert_eq!(error(&wav(1, 16, mono, &[1])), SoundError::Empty);
    assert_eq!(error(&wav(3, 32, mono, &[0; 8])), SoundError::Unsupported);
    assert_eq!(
        error(&wav(1, 16, (9, 8_000), &[0; 18])),
        SoundError::Unsupported
    );
    assert_eq!(
        error(&wav(1, 16, (0, 8_000), &[0; 18])),
        SoundError::Unsupported
    );
    assert_eq!(
        error(&wav(1, 16, (1, 0), &[0; 18])),
        SoundError::Unsupported
    );
    let long = vec![0; 601 * 4_000];
    assert_eq!(error(&wav(1, 8, (1, 4_000), &long)), SoundError::TooLong);
}

#[test]
fn a_length_that_nobody_knew_is_as_far_as_it_goes() {
    let mut file = wav(1, 16, (1, 8_000), &pcm(&[5, 6]));
    let at = file.len() - 8;
    file[at..at + 4].fill(0xff);
    assert_eq!(samples(&file), [5, 6]);
}

proptest! {
    #[test]
    fn no_file_does_harm(
        head in proptest::collection::vec(any::<u8>(), 0..40),
        tag in prop_oneof![Just(1_u16), Just(6), Just(0xfffe), any::<u16>()],
        bits in prop_oneof![Just(8_u16), Just(16), Just(24), Just(32)],
        channels in 0_u16..10,
        hz in prop_oneof![Just(8_000_u32), 3_000_u32..200_000],
        data in proptest::collection::vec(any::<u8>(), 0..500),
    ) {
        fuzz(&head);
        fuzz(&wav(tag, bits, (channels, hz % 60_000_000), &data));
    }
}
