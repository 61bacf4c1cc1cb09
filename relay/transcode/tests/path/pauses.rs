//! Pauses, and the noise in them.

use codec::comfort_noise::Description;
use codec::{Codec, Decoder, Rate, SAMPLES_MAX};
use relay_transcode::Plan;

use crate::harness::{CODECS, NOISE, Out, Phone, Wire, side, speech, with_noise};

/// Speaks for a second from this time on.
fn speak(wire: &mut Wire, phone: &mut Phone, from_us: u64) {
    let len = phone.packet_samples();
    let count = phone.side.codec.rate().samples(1_000) / len;
    let speech = speech(phone.side.codec.rate(), count * len);
    for (at, samples) in (0..).zip(speech.chunks_exact(len)) {
        let packet = phone.speak(samples);
        wire.send(from_us + at * phone.packet_us(), &packet);
    }
}

fn level_db(codec: Codec, out: &[&Out]) -> f64 {
    let (mut decoder, mut samples) = (Decoder::new(codec).unwrap(), [0; SAMPLES_MAX]);
    let (mut energy, mut count) = (0.0, 0.0);
    for it in out {
        let len = decoder.decode(&it.payload, &mut samples).unwrap();
        energy += samples[..len]
            .iter()
            .map(|it| f64::from(*it).powi(2))
            .sum::<f64>();
        count += len as f64;
    }
    10.0 * (energy / count / 32_768.0_f64.powi(2)).log10()
}

#[test]
fn checklist_9_a_pause_is_no_loss() {
    for from in CODECS {
        for to in CODECS.into_iter().filter(|to| *to != from) {
            let mut wire = Wire::new(Plan::new(side(from), side(to)));
            let mut phone = Phone::new(side(from));
            speak(&mut wire, &mut phone, 0);
            // Of 1 s and 7 ms.
            let rate = phone.side.codec.rate();
            phone.pause(rate.samples(1_007));
            speak(&mut wire, &mut phone, 2_007_000);
            wire.run_until(4_000_000);
            let counters = wire.stream.counters();
            assert_eq!(
                (counters.lost, counters.concealed_ms),
                (0, 0),
                "{from:?} to {to:?}"
            );
            assert_eq!(counters.pauses, 1);
            let out = wire.speech();
            let marked: Vec<_> = out.iter().filter(|it| it.marker).collect();
            assert_eq!(marked.len(), 2, "checklist 7: {from:?} to {to:?}");
            // Each second of 30 ms packets has 990 ms.
            let spoken_ms = (1_000 / phone.packet_us().div_ceil(1_000)) * phone.packet_us() / 1_000;
            let clock_per_ms = u64::from(to.rtp_clock_hz()) / 1_000;
            let expected = (spoken_ms + 1_007) * clock_per_ms;
            assert_eq!(
                u64::from(marked[1].timestamp),
                expected,
                "{from:?} to {to:?}"
            );
            assert!(
                (2_007_000..2_040_000).contains(&marked[1].at_us),
                "paced anew: {from:?} to {to:?}, {} µs",
                marked[1].at_us
            );
        }
    }
}

#[test]
fn checklist_9_nothing_is_invented_when_nothing_comes() {
    let mut wire = Wire::new(Plan::new(side(Codec::Pcma), side(Codec::Gsm)));
    speak(&mut wire, &mut Phone::new(side(Codec::Pcma)), 0);
    let before = wire.out.len();
    wire.run_until(100_000_000);
    assert_eq!(wire.out.len(), before);
    assert_eq!(wire.stream.poll_timeout(), None);
}

#[test]
fn checklist_10_noise_that_both_understand_is_said_as_it_was() {
    for to in [Codec::Gsm, Codec::Pcma, Codec::Opus(Rate::Narrow)] {
        let plan = Plan::new(with_noise(side(Codec::Pcma)), with_noise(side(to)));
        let mut wire = Wire::new(plan);
        let mut phone = Phone::new(plan.from);
        speak(&mut wire, &mut phone, 0);
        let said = [60, 120, 130];
        for at in 0..3_u64 {
            let packet = phone.packet(NOISE, phone.timestamp, &said);
            wire.send(1_000_000 + at * 200_000, &packet);
            phone.pause(1_600);
        }
        speak(&mut wire, &mut phone, 1_600_000);
        wire.run_until(3_000_000);
        let noise = wire.of(NOISE);
        assert_eq!(noise.len(), 3, "{to:?}");
        let ticks = |ms: u32| to.rtp_clock_hz() / 1_000 * ms;
        for (at, it) in (0..).zip(&noise) {
            assert_eq!(it.payload, said);
            assert_eq!(it.timestamp, ticks(1_000 + at * 200), "{to:?}");
            assert!(!it.marker);
        }
        let speech = wire.speech();
        assert_eq!(speech.len(), 100, "{to:?}");
        assert_eq!(speech[50].timestamp, ticks(1_600), "{to:?}");
        assert!(speech[50].marker && !speech[51].marker);
    }
}

#[test]
fn checklist_10_noise_is_made_for_who_does_not_understand_it() {
    for to in CODECS {
        let plan = Plan::new(with_noise(side(Codec::Pcma)), side(to));
        let mut wire = Wire::new(plan);
        let mut phone = Phone::new(plan.from);
        speak(&mut wire, &mut phone, 0);
        let packet = phone.packet(NOISE, phone.timestamp, &[50]);
        wire.send(1_000_000, &packet);
        phone.pause(8_000 * 2);
        speak(&mut wire, &mut phone, 3_000_000);
        wire.run_until(5_000_000);
        let out = wire.speech();
        let step = out[1].timestamp - out[0].timestamp;
        // The last is what did not fill a packet.
        for pair in out[..out.len() - 1].windows(2) {
            assert_eq!(
                pair[1].timestamp - pair[0].timestamp,
                step,
                "{to:?}: without a gap"
            );
            let us = pair[1].at_us - pair[0].at_us;
            assert!(
                us <= 2 * 1_000 * u64::from(side(to).ptime_ms) + 5_000,
                "{to:?}: {us} µs between packets"
            );
        }
        let per_second = out.len() / 4;
        let level = level_db(to, &out[per_second * 3 / 2..per_second * 5 / 2]);
        assert!((level + 50.0).abs() < 4.0, "{to:?}: {level}");
        assert_eq!(out.iter().filter(|it| it.marker).count(), 1, "{to:?}");
    }
}

#[test]
fn checklist_9_noise_ends_when_nothing_comes_for_long() {
    let plan = Plan::new(with_noise(side(Codec::Pcma)), side(Codec::Gsm));
    let mut wire = Wire::new(plan);
    let mut phone = Phone::new(plan.from);
    speak(&mut wire, &mut phone, 0);
    let packet = phone.packet(NOISE, phone.timestamp, &[50]);
    wire.send(1_000_000, &packet);
    wire.run_until(600_000_000);
    assert!(
        (3_000..3_100).contains(&wire.out.len()),
        "{}",
        wire.out.len()
    );
    assert_eq!(wire.stream.poll_timeout(), None);
}

#[test]
fn checklist_10_silence_is_said_as_noise_if_that_is_asked_for() {
    let mut plan = Plan::new(side(Codec::Pcma), with_noise(side(Codec::Pcmu)));
    plan.suppresses_silence = true;
    let mut wire = Wire::new(plan);
    let mut phone = Phone::new(plan.from);
    speak(&mut wire, &mut phone, 0);
    let mut generator = codec::comfort_noise::Generator::new();
    generator.describe(&Description::white(60));
    let mut noise = [0; 160];
    for at in 50..200 {
        generator.generate(&mut noise);
        let packet = phone.speak(&noise);
        wire.send(at * 20_000, &packet);
    }
    speak(&mut wire, &mut phone, 4_000_000);
    wire.run_until(6_000_000);
    let said = wire.of(NOISE);
    assert!((1..=3).contains(&said.len()), "{}", said.len());
    let level = Description::parse(&said.last().unwrap().payload)
        .unwrap()
        .level();
    assert!((58..=62).contains(&level), "{level}");
    let speech = wire.speech();
    assert!(
        speech.len() < 130,
        "three seconds of silence were not sent: {}",
        speech.len()
    );
    let last = speech.last().unwrap();
    assert_eq!(last.timestamp, 249 * 160, "time went on");
    assert!(
        speech
            .iter()
            .any(|it| it.marker && it.timestamp == 200 * 160)
    );
}

#[test]
fn checklist_5_the_end_of_what_was_said_does_not_wait_for_what_is_said_next() {
    let mut to = side(Codec::Gsm);
    to.ptime_ms = 60;
    for from in [Codec::Pcma, Codec::Gsm] {
        let mut wire = Wire::new(Plan::new(side(from), to));
        speak(&mut wire, &mut Phone::new(side(from)), 0);
        wire.run_until(10_000_000);
        // 1,000 ms are 16 packets and 40 ms.
        assert_eq!(wire.speech().len(), 17, "{from:?}");
        assert!(wire.speech()[16].at_us < 1_700_000, "{from:?}");
        assert_eq!(wire.stream.poll_timeout(), None);
    }
}

#[test]
fn checklist_10_a_sign_of_life_of_opus_is_said_as_noise() {
    let plan = Plan::new(
        side(Codec::Opus(Rate::Narrow)),
        with_noise(side(Codec::Pcma)),
    );
    let mut wire = Wire::new(plan);
    let mut phone = Phone::new(plan.from);
    speak(&mut wire, &mut phone, 0);
    let toc = phone.speak(&[0; 160])[12];
    wire.run_until(1_020_000);
    for at in 0..3 {
        let packet = phone.packet(96, phone.timestamp, &[toc & !3]);
        wire.send(1_040_000 + at * 400_000, &packet);
        phone.pause(8 * 400);
    }
    speak(&mut wire, &mut phone, 2_240_000);
    wire.run_until(4_000_000);
    let noise = wire.of(NOISE);
    assert!((1..=3).contains(&noise.len()), "{}", noise.len());
    assert!(
        noise.iter().all(|it| it.payload.len() > 1),
        "with its colour"
    );
    let speech = wire.speech();
    let first = speech.iter().rposition(|it| it.marker).unwrap();
    assert_eq!(speech.len() - first, 50);
    assert_eq!(speech[first].timestamp, (51 * 20 + 1_200) * 8);
}
