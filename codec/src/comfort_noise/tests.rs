use super::*;
use crate::signal;
use proptest::prelude::*;

fn noise_of(description: &Description, len: usize) -> Vec<i16> {
    let mut generator = Generator::new();
    generator.describe(description);
    // The level glides at first.
    generator.generate(&mut [0; 1_000]);
    let mut samples = vec![0; len];
    generator.generate(&mut samples);
    samples
}

fn description_of(samples: &[i16], order: usize) -> Description {
    let mut analyzer = Analyzer::new();
    samples.chunks(160).for_each(|frame| analyzer.listen(frame));
    analyzer.describe(order)
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(payload in proptest::collection::vec(any::<u8>(), 1..40)) {
        let description = Description::parse(&payload).unwrap();
        let mut written = [0; PAYLOAD_LEN_MAX];
        let len = description.emit(&mut written);
        prop_assert_eq!(len, payload.len().min(PAYLOAD_LEN_MAX));
        prop_assert_eq!(Description::parse(&written[..len]), Some(description));
    }

    #[test]
    fn no_payload_makes_noise_louder_than_it_says(
        payload in proptest::collection::vec(any::<u8>(), 1..14),
    ) {
        let description = Description::parse(&payload).unwrap();
        let said = -f64::from(description.level());
        let made = signal::level_db(&noise_of(&description, 8_000));
        prop_assert!(made < said + 9.0 || made < -85.0, "{} for {}", made, said);
    }
}

#[test]
fn nothing_is_no_description() {
    assert_eq!(Description::parse(&[]), None);
}

#[test]
fn noise_is_as_loud_as_it_says() {
    for level in [10, 30, 45, 60, 75] {
        let made = signal::level_db(&noise_of(&Description::white(level), 16_000));
        assert!((made + f64::from(level)).abs() < 1.0, "{level}: {made}");
    }
}

#[test]
fn coloured_noise_is_as_loud_as_white() {
    for reflections in [&[200][..], &[40], &[40, 180], &[20, 160, 100, 140, 127, 90]] {
        let payload = [&[40][..], reflections].concat();
        let description = Description::parse(&payload).unwrap();
        let made = signal::level_db(&noise_of(&description, 32_000));
        assert!((made + 40.0).abs() < 1.5, "{reflections:?}: {made}");
    }
}

#[test]
fn a_negative_first_coefficient_is_a_low_hum() {
    let samples = noise_of(&Description::parse(&[30, 20]).unwrap(), 8_000);
    let neighbours = samples
        .windows(2)
        .map(|it| f64::from(it[0]) * f64::from(it[1]));
    let energy: f64 = samples.iter().map(|it| f64::from(*it).powi(2)).sum();
    assert!(neighbours.sum::<f64>() / energy > 0.7);
}

#[test]
fn described_noise_sounds_like_what_was_heard() {
    // Low-pass noise: the mean of neighbours, twice.
    let white: Vec<_> = signal::noise(3, 4_000.0).take(16_002).collect();
    let mean = |it: &[i16]| {
        i16::try_from((i32::from(it[0]) + 2 * i32::from(it[1]) + i32::from(it[2])) / 4)
    };
    let heard: Vec<_> = white.windows(3).map(|it| mean(it).unwrap()).collect();
    let described = description_of(&heard, 10);
    let again = description_of(&noise_of(&described, 16_000), 10);
    assert!(described.level().abs_diff(again.level()) <= 1);
    for (one, other) in described.reflections().zip(again.reflections()).take(4) {
        assert!((one - other).abs() < 0.12, "{described:?} {again:?}");
    }
}

#[test]
fn digital_silence_is_the_faintest_there_is() {
    assert_eq!(description_of(&[0; 1_600], 10), Description::white(127));
    assert_eq!(Analyzer::new().describe(10), Description::white(127));
}

#[test]
fn a_pure_tone_does_not_make_it_ring() {
    let tone: Vec<_> = signal::tone(8_000, 1_000.0, 10_000.0).take(8_000).collect();
    let described = description_of(&tone, ORDER_MAX);
    let made = signal::level_db(&noise_of(&described, 16_000));
    assert!((made - signal::level_db(&tone)).abs() < 3.0, "{made}");
}

#[test]
fn a_new_level_comes_without_an_edge() {
    let mut generator = Generator::new();
    generator.describe(&Description::white(20));
    let mut samples = [0; 160];
    generator.generate(&mut samples);
    let first = samples[0].unsigned_abs();
    assert!(first < 500, "{first}: less than the noise will be");
}
