//! Opus to Opus, at 48 kHz, in one channel and in two.

use codec::telephone_event::Payload;
use codec::tone::Generator;
use codec::{Codec, Decoder, Error, Rate, SAMPLES_MAX, opus};
use relay_transcode::{Events, Plan, Stream, Work};

use crate::harness::{EVENTS, OURS, Phone, Wire, pt, side, speech, to_sample, with_events};
use crate::keys::keys_heard;

const FULL: Codec = Codec::Opus(Rate::Full);
const STEREO: Codec = Codec::Opus(Rate::Stereo);

fn coded_anew(codec: Codec) -> Plan {
    let mut plan = Plan::new(side(codec), side(codec));
    plan.is_coded_anew = true;
    plan
}

/// Milliseconds of a tone of 6 kHz, which 8 kHz do not carry, on the left and of silence on the
/// right; in one channel, of the tone.
fn tone(rate: Rate, ms: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * 6_000.0 / f64::from(rate.hz());
    let channels = usize::from(rate.channels());
    let sample = |at: usize| match at % channels {
        0 => to_sample(((at / channels) as f64 * step).sin() * 8_000.0),
        _ => 0,
    };
    (0..rate.samples(ms)).map(sample).collect()
}

/// The mean square of what has left, channel by channel.
fn powers(codec: Codec, wire: &Wire) -> Vec<f64> {
    let (mut decoder, mut place) = (Decoder::new(codec).unwrap(), [0; SAMPLES_MAX]);
    let mut samples = vec![];
    for it in wire.speech() {
        let len = decoder.decode(&it.payload, &mut place).unwrap();
        samples.extend_from_slice(&place[..len]);
    }
    let channels = usize::from(codec.rate().channels());
    let power = |channel| {
        let own = samples.iter().skip(channel).step_by(channels);
        let sum: f64 = own.map(|it| f64::from(*it).powi(2)).sum();
        sum / (samples.len() / channels) as f64
    };
    (0..channels).map(power).collect()
}

/// Speaks for two seconds, of which `is_lost` loses packets.
fn speak(wire: &mut Wire, phone: &mut Phone, from_us: u64, is_lost: impl Fn(usize) -> bool) {
    let sound = tone(phone.side.codec.rate(), 2_000);
    for (at, samples) in sound.chunks_exact(phone.packet_samples()).enumerate() {
        let packet = phone.speak(samples);
        if !is_lost(at) {
            wire.send(from_us + at as u64 * phone.packet_us(), &packet);
        }
    }
}

#[test]
fn what_is_on_the_left_stays_there_through_losses_and_pauses() {
    for (codec, to_ms) in [
        (STEREO, 20),
        (STEREO, 60),
        (STEREO, 10),
        (FULL, 20),
        (FULL, 40),
    ] {
        let mut plan = coded_anew(codec);
        plan.to.ptime_ms = to_ms;
        assert_eq!(plan.work(), Work::Transcode);
        let (mut wire, mut phone) = (Wire::new(plan), Phone::new(plan.from));
        speak(&mut wire, &mut phone, 0, |at| at % 20 == 7);
        phone.pause(codec.rate().samples(1_007));
        speak(&mut wire, &mut phone, 3_007_000, |at| at % 20 == 7);
        wire.run_until(6_000_000);

        let name = format!("{codec:?}, {to_ms} ms");
        let out = wire.speech();
        let ticks = u32::from(to_ms) * 48;
        for pair in out.windows(2) {
            let passed = pair[1].timestamp - pair[0].timestamp;
            assert!(pair[1].marker || passed == ticks, "{name}: {passed}");
        }
        let end = out.last().unwrap().timestamp + ticks;
        assert!(
            end.abs_diff(5_007 * 48) <= ticks,
            "{name}: time is exact, {end}"
        );
        assert!(wire.stream.counters().concealed_ms >= 180, "{name}");
        let powers = powers(codec, &wire);
        assert!(
            powers[0] > 8_000_f64.powi(2) / 2.0 * 0.6,
            "{name}: {powers:?}"
        );
        for right in &powers[1..] {
            assert!(*right < powers[0] / 50.0, "{name}: {powers:?}");
        }
    }
}

#[test]
fn who_wants_fewer_bits_gets_fewer() {
    let octets = |plan: Plan| {
        let (mut wire, mut phone) = (Wire::new(plan), Phone::new(plan.from));
        speak(&mut wire, &mut phone, 0, |_| false);
        wire.run_until(4_000_000);
        let lens = wire.speech().into_iter().map(|it| it.payload.len());
        lens.sum::<usize>()
    };
    let as_it_is = octets(Plan::new(side(STEREO), side(STEREO)));
    let mut plan = coded_anew(STEREO);
    plan.opus = Some(opus::Settings {
        bitrate: Some(16_000),
        ..opus::Settings::new(Rate::Stereo)
    });
    let fewer = octets(plan);
    assert!(fewer < as_it_is / 2, "{fewer} of {as_it_is}");
    assert!(
        fewer < 6_000,
        "two seconds of 16 kbit/s, and what varies: {fewer}"
    );
}

#[test]
fn events_of_any_length_become_tones_in_both_channels() {
    const KEY: u8 = 8;
    for codec in [FULL, STEREO] {
        // A clock that has no whole number of samples in it, as some say.
        for clock_hz in [48_000, 44_100, 8_000] {
            let mut plan = Plan::new(with_events(side(codec)), side(codec));
            plan.from.events = Some(Events {
                payload_type: pt(EVENTS),
                clock_hz,
            });
            let (mut wire, mut phone) = (Wire::new(plan), Phone::new(plan.from));
            speak(&mut wire, &mut phone, 0, |_| false);
            for at in 1..=5_u16 {
                let payload = Payload {
                    event: KEY,
                    is_end: at == 5,
                    volume: 10,
                    duration: at * u16::try_from(clock_hz / 50).unwrap() + 1,
                };
                let packet = phone.packet(EVENTS, 7, &payload.emit());
                wire.send(2_000_000 + u64::from(at) * 20_000, &packet);
            }
            phone.pause(codec.rate().samples(200));
            speak(&mut wire, &mut phone, 2_200_000, |_| false);
            wire.run_until(6_000_000);
            let name = format!("{codec:?}, {clock_hz} Hz");
            assert_eq!(keys_heard(codec, &wire), [KEY], "{name}");
            let powers = powers(codec, &wire);
            for right in &powers[1..] {
                assert!(*right < powers[0] / 20.0, "{name}: {powers:?}");
            }
        }
    }
}

#[test]
fn tones_become_events_at_48_khz_too() {
    for codec in [FULL, STEREO] {
        let rate = codec.rate();
        let plan = Plan::new(side(codec), with_events(side(codec)));
        let (mut wire, mut phone) = (Wire::new(plan), Phone::new(plan.from));
        let mut sound = speech(rate, rate.samples(200));
        let mut generator = Generator::new(rate);
        generator.begin(5, 10);
        let mut key = vec![0; rate.samples(100)];
        generator.generate(&mut key);
        sound.extend(key);
        sound.extend(speech(rate, rate.samples(400)));
        for (at, samples) in (0..).zip(sound.chunks_exact(phone.packet_samples())) {
            let packet = phone.speak(samples);
            wire.send(at * 20_000, &packet);
        }
        wire.run_until(2_000_000);
        let events = wire.of(EVENTS);
        let said: Vec<_> = events
            .iter()
            .filter_map(|it| Payload::parse(&it.payload))
            .collect();
        assert!(!said.is_empty(), "{codec:?}");
        assert!(said.iter().all(|it| it.event == 5), "{codec:?}");
        let longest = said.iter().map(|it| it.duration).max().unwrap();
        assert!(
            (60 * 48..=140 * 48).contains(&longest),
            "{codec:?}: {longest}"
        );
    }
}

#[test]
fn nothing_else_has_48_khz() {
    let now = Wire::new(coded_anew(FULL)).start;
    for (from, to) in [
        (FULL, Codec::Gsm),
        (Codec::G722, STEREO),
        (FULL, STEREO),
        (Codec::L16(Rate::Full), Codec::Opus(Rate::Full)),
    ] {
        let mut plan = Plan::new(side(from), side(to));
        plan.is_coded_anew = true;
        let stream = Stream::new(now, plan, OURS);
        assert_eq!(stream.err(), Some(Error::Rate), "{from:?} to {to:?}");
    }
}
