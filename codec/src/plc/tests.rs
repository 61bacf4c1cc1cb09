use super::*;
use crate::signal;
use proptest::prelude::*;

/// Loses the packets that `is_lost` says, of 20 ms each.
fn through(rate: Rate, samples: &[i16], is_lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut concealment = Concealment::new(rate);
    let mut played = samples.to_vec();
    let packet = 20 * concealment.per_ms;
    for (number, samples) in played.chunks_mut(packet).enumerate() {
        if is_lost(number) {
            samples.fill(0x5555);
            concealment.conceal(samples);
        } else {
            concealment.receive(samples);
        }
    }
    played
}

#[test]
fn without_loss_nothing_changes() {
    let speech = signal::speech(8_000, 8_000);
    assert_eq!(through(Rate::Narrow, &speech, |_| false), speech);
}

#[test]
fn a_steady_voice_goes_on_as_if_nothing_were_lost() {
    for (rate, rate_hz) in [(Rate::Narrow, 8_000), (Rate::Wide, 16_000)] {
        let voice: Vec<i16> = signal::tone(rate_hz, 100.0, 8_000.0)
            .zip(signal::tone(rate_hz, 300.0, 3_000.0))
            .map(|(a, b)| a + b)
            .take(rate_hz as usize)
            .collect();
        let played = through(rate, &voice, |number| number == 10);
        let per_ms = rate_hz as usize / 1_000;
        // Within the first 10 ms there is no fading, so it is all but the same.
        let lost = 200 * per_ms..210 * per_ms;
        let snr = signal::snr_db(&voice[lost.clone()], &played[lost], 0);
        assert!(snr > 30.0, "{snr} dB at {rate_hz} Hz");
        // When it is heard again, it is in step soon.
        let after = 230 * per_ms..;
        assert_eq!(voice[after.clone()], played[after]);
    }
}

#[test]
fn speech_is_hurt_less_than_by_silence() {
    let speech = signal::speech(8_000, 40_000);
    let is_lost = |number: usize| number % 10 == 7;
    let played = through(Rate::Narrow, &speech, is_lost);
    let mut silenced = speech.clone();
    for (number, samples) in silenced.chunks_mut(160).enumerate() {
        if is_lost(number) {
            samples.fill(0);
        }
    }
    let (ours, silence) = (
        signal::snr_db(&speech, &played, 0),
        signal::snr_db(&speech, &silenced, 0),
    );
    assert!(ours > silence + 3.0, "{ours} dB against {silence} dB");
}

#[test]
fn there_is_silence_after_60_ms_and_no_sound_is_louder_than_before() {
    for (rate, rate_hz) in [(Rate::Narrow, 8_000), (Rate::Wide, 16_000)] {
        let voice: Vec<i16> = signal::tone(rate_hz, 130.0, 20_000.0).take(3_200).collect();
        let first_lost = 3_200 / (rate_hz as usize / 50);
        let mut concealment = Concealment::new(rate);
        concealment.receive(&mut voice.clone());
        let mut made = vec![0; rate_hz as usize];
        for samples in made.chunks_mut(first_lost.max(7)) {
            concealment.conceal(samples);
        }
        let per_ms = rate_hz as usize / 1_000;
        let (sound, silence) = made.split_at(60 * per_ms);
        assert!(sound.iter().all(|it| it.unsigned_abs() <= 20_000));
        assert!(
            sound[..40 * per_ms]
                .iter()
                .any(|it| it.unsigned_abs() > 5_000)
        );
        assert!(silence.iter().all(|it| *it == 0));
    }
}

#[test]
fn no_joint_is_a_click() {
    // A tone whose period is no whole number of samples, and no multiple of a packet.
    let voice: Vec<i16> = signal::tone(8_000, 137.3, 10_000.0).take(16_000).collect();
    let steepest = |samples: &[i16]| {
        let steps = samples.windows(2).map(|it| it[0].abs_diff(it[1]));
        steps.max().unwrap()
    };
    let natural = steepest(&voice);
    for gap in 1..6 {
        let played = through(Rate::Narrow, &voice, |number| number % 20 >= 20 - gap);
        let found = steepest(&played);
        assert!(found < 2 * natural, "{found} against {natural}, {gap} lost");
    }
}

#[test]
fn how_a_gap_is_cut_into_packets_does_not_matter() {
    let speech = signal::speech(8_000, 4_000);
    let mut whole = Concealment::new(Rate::Narrow);
    whole.receive(&mut speech.clone());
    let mut pieces = whole.clone();
    let (mut one, mut many) = ([0; 480], [0; 480]);
    whole.conceal(&mut one);
    for piece in many.chunks_mut(37) {
        pieces.conceal(piece);
    }
    assert_eq!(one, many);
}

proptest! {
    /// Any sound, any packets, any loss.
    #[test]
    fn nothing_panics_and_silence_stays_silent(
        seed in any::<u64>(),
        amplitude in prop_oneof![Just(0.0), Just(32_768.0), 0.0..32_768.0],
        packets in proptest::collection::vec((any::<bool>(), 0_usize..900), 1..40),
        is_wide in any::<bool>(),
    ) {
        let rate = if is_wide { Rate::Wide } else { Rate::Narrow };
        let mut concealment = Concealment::new(rate);
        let mut sound = signal::noise(seed, amplitude);
        for (is_lost, len) in packets {
            let mut samples: Vec<i16> = sound.by_ref().take(len).collect();
            if is_lost {
                concealment.conceal(&mut samples);
            } else {
                concealment.receive(&mut samples);
            }
            prop_assert!(amplitude > 0.0 || samples.iter().all(|it| *it == 0));
        }
    }
}
