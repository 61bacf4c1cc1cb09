//! Keys, as events and as tones.

use codec::telephone_event::{Payload, Receiver};
use codec::tone::{Detector, Edge, Generator};
use codec::{Codec, Decoder, Rate, SAMPLES_MAX, g711};
use relay_transcode::{DropReason, Events, Plan};

use crate::harness::{EVENTS, Phone, Wire, pt, side, speech, with_events};

const KEY: u8 = 5;

/// 200 ms of speech, a key of 100 ms by events, 200 ms of speech.
fn press(wire: &mut Wire, phone: &mut Phone, beside: bool) {
    let codec = phone.side.codec;
    let len = phone.packet_samples();
    let speech = speech(codec.rate(), 30 * len);
    let mut us = 0;
    let mut frames = speech.chunks_exact(len);
    for samples in frames.by_ref().take(10) {
        let packet = phone.speak(samples);
        wire.send(us, &packet);
        us += 20_000;
    }
    let begin = phone.timestamp;
    let ticks = u16::try_from(codec.ticks(len)).unwrap();
    for at in 1..=7_u16 {
        let payload = Payload {
            event: KEY,
            is_end: at >= 5,
            volume: 10,
            duration: at.min(5) * ticks,
        };
        let packet = phone.packet(EVENTS, begin, &payload.emit());
        wire.send(us, &packet);
        if beside && at < 5 {
            let packet = phone.speak(frames.next().unwrap());
            wire.send(us + 1, &packet);
        }
        us += if at < 5 { 20_000 } else { 0 };
    }
    phone.timestamp = begin;
    phone.pause(5 * len);
    us += 20_000;
    for samples in frames.take(10) {
        let packet = phone.speak(samples);
        wire.send(us, &packet);
        us += 20_000;
    }
    wire.run_until(us + 1_000_000);
}

#[test]
fn checklist_11_events_keep_their_meaning_in_the_other_clock() {
    let opus = Codec::Opus(Rate::Narrow);
    for (from, to) in [
        (opus, Codec::Pcma),
        (Codec::Pcma, opus),
        (Codec::Gsm, Codec::Pcmu),
        (Codec::G722, opus),
    ] {
        for beside in [false, true] {
            let plan = Plan::new(with_events(side(from)), with_events(side(to)));
            let mut wire = Wire::new(plan);
            press(&mut wire, &mut Phone::new(plan.from), beside);
            let name = format!("{from:?} to {to:?}, {beside}");
            let per_ms = to.rtp_clock_hz() / 1_000;
            let events = wire.of(EVENTS);
            assert_eq!(events.len(), 7, "{name}");
            let payloads: Vec<_> = events
                .iter()
                .map(|it| Payload::parse(&it.payload).unwrap())
                .collect();
            for (at, (it, payload)) in (0..).zip(events.iter().zip(&payloads)) {
                assert_eq!(it.timestamp, 200 * per_ms, "{name}: one timestamp");
                assert_eq!(it.marker, at == 0, "checklist 7, {name}");
                assert_eq!((payload.event, payload.volume), (KEY, 10), "{name}");
                let duration = (at + 1).min(5) * 20 * per_ms;
                assert_eq!(u32::from(payload.duration), duration, "{name}");
                assert_eq!(payload.is_end, at >= 4, "{name}");
            }
            let suppressed = wire.stream.counters().dropped(DropReason::Suppressed);
            assert_eq!(suppressed, if beside { 4 } else { 0 }, "{name}");
            // Nothing of the speech is at the time of the event.
            let speech = wire.speech();
            assert_eq!(speech.len(), 20, "{name}");
            assert_eq!(speech[10].timestamp, 300 * per_ms, "{name}");
            assert_eq!(wire.stream.counters().concealed_ms, 0, "{name}");
            let mut receiver = Receiver::new();
            let heard = events
                .iter()
                .filter_map(|it| receiver.handle_packet(it.timestamp, &it.payload));
            assert_eq!(heard.filter(|it| it.is_new).count(), 1, "{name}");
        }
    }
}

#[test]
fn checklist_11_events_of_8_khz_beside_opus_keep_their_length() {
    let mut plan = Plan::new(
        with_events(side(Codec::Opus(Rate::Narrow))),
        with_events(side(Codec::Pcma)),
    );
    plan.from.events = Some(Events {
        payload_type: pt(EVENTS),
        clock_hz: 8_000,
    });
    let mut wire = Wire::new(plan);
    let mut phone = Phone::new(plan.from);
    let packet = phone.speak(&[0; 160]);
    wire.send(0, &packet);
    for at in 1..=5_u16 {
        let payload = Payload {
            event: KEY,
            is_end: at == 5,
            volume: 10,
            duration: at * 160,
        };
        let packet = phone.packet(EVENTS, 77, &payload.emit());
        wire.send(u64::from(at) * 20_000, &packet);
    }
    wire.run_until(1_000_000);
    let last = wire
        .of(EVENTS)
        .last()
        .map(|it| (it.timestamp, Payload::parse(&it.payload).unwrap().duration));
    assert_eq!(last, Some((160, 800)));
}

#[test]
fn checklist_11_an_event_whose_end_is_lost_ends() {
    let plan = Plan::new(
        with_events(side(Codec::Pcma)),
        with_events(side(Codec::Gsm)),
    );
    let mut wire = Wire::new(plan);
    let mut phone = Phone::new(plan.from);
    for at in 1..=4_u16 {
        let payload = Payload {
            event: KEY,
            is_end: false,
            volume: 10,
            duration: at * 160,
        };
        let packet = phone.packet(EVENTS, 7, &payload.emit());
        wire.send(u64::from(at) * 20_000, &packet);
    }
    wire.run_until(2_000_000);
    let ends = wire
        .of(EVENTS)
        .iter()
        .filter(|it| Payload::parse(&it.payload).unwrap().is_end)
        .count();
    assert_eq!(ends, 3);
    assert_eq!(wire.stream.poll_timeout(), None);
}

#[test]
fn checklist_11_a_long_event_goes_on_in_segments() {
    let plan = Plan::new(
        with_events(side(Codec::Pcma)),
        with_events(side(Codec::Opus(Rate::Narrow))),
    );
    let mut wire = Wire::new(plan);
    let mut phone = Phone::new(plan.from);
    // 4 s are 32,000 ticks of the one clock and 192,000 of the other.
    for at in 1..=200_u16 {
        let payload = Payload {
            event: KEY,
            is_end: at == 200,
            volume: 10,
            duration: at * 160,
        };
        let packet = phone.packet(EVENTS, 7, &payload.emit());
        wire.send(u64::from(at) * 20_000, &packet);
    }
    wire.run_until(6_000_000);
    let mut receiver = Receiver::new();
    let events = wire.of(EVENTS);
    let heard: Vec<_> = events
        .iter()
        .filter_map(|it| receiver.handle_packet(it.timestamp, &it.payload))
        .collect();
    assert_eq!(heard.iter().filter(|it| it.is_new).count(), 1);
    assert_eq!(
        heard.last().map(|it| (it.duration, it.is_end)),
        Some((192_000, true))
    );
}

/// The keys that are heard in what has left.
pub(super) fn keys_heard(codec: Codec, wire: &Wire) -> Vec<u8> {
    let (mut decoder, mut samples) = (Decoder::new(codec).unwrap(), [0; SAMPLES_MAX]);
    let (mut detector, mut keys) = (Detector::new(codec.rate()), vec![]);
    for it in wire.speech() {
        let len = decoder.decode(&it.payload, &mut samples).unwrap();
        detector.listen(&samples[..len], |_, edge| {
            if let Edge::Began { event, .. } = edge {
                keys.push(event);
            }
        });
    }
    keys
}

#[test]
fn checklist_11_events_become_tones_where_there_are_no_events() {
    for to in [Codec::Pcma, Codec::G722, Codec::Pcmu] {
        for from in [Codec::Opus(Rate::Narrow), Codec::Gsm] {
            for beside in [false, true] {
                let plan = Plan::new(with_events(side(from)), side(to));
                let mut wire = Wire::new(plan);
                press(&mut wire, &mut Phone::new(plan.from), beside);
                let name = format!("{from:?} to {to:?}, {beside}");
                assert_eq!(keys_heard(to, &wire), [KEY], "{name}");
                let speech = wire.speech();
                assert_eq!(speech.len(), 25, "{name}: as long as it was");
                assert_eq!(
                    speech[24].timestamp,
                    24 * to.ticks(to.rate().samples(20)),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_key_is_heard_when_the_sender_has_begun_to_count_anew() {
    let plan = Plan::new(
        with_events(side(Codec::Pcmu)),
        with_events(side(Codec::Gsm)),
    );
    let (mut wire, mut phone) = (Wire::new(plan), Phone::new(plan.from));
    for at in 0..40_u16 {
        if at == 20 {
            phone.timestamp = phone.timestamp.wrapping_sub(8_000 * 30);
        }
        let packet = match at % 20 {
            // The end of a key, said thrice, and speech beside it that is from before its beginning.
            10 | 11 | 13 => {
                let begin = phone.timestamp - 160 * u32::from(at % 20 - 10);
                let payload = Payload {
                    event: KEY,
                    is_end: true,
                    volume: 10,
                    duration: 480,
                };
                let packet = phone.packet(EVENTS, begin, &payload.emit());
                phone.pause(160);
                packet
            }
            12 => {
                phone.timestamp -= 160 * 3;
                let packet = phone.speak(&[1_000; 160]);
                phone.pause(160 * 3);
                packet
            }
            _ => phone.speak(&[1_000; 160]),
        };
        wire.send(u64::from(at) * 20_000, &packet);
    }
    wire.run_until(2_000_000);
    let keys = wire.of(EVENTS).iter().filter(|it| it.marker).count();
    assert_eq!(keys, 2, "each once");
    assert_eq!(wire.stream.counters().timestamp_jumps, 3);
}

#[test]
fn checklist_11_tones_become_events_where_only_the_far_side_has_them() {
    for (from, to) in [
        (Codec::Pcma, Codec::Opus(Rate::Narrow)),
        (Codec::G722, Codec::Gsm),
        (Codec::Pcmu, Codec::Pcmu),
    ] {
        let plan = Plan::new(side(from), with_events(side(to)));
        let mut wire = Wire::new(plan);
        let mut phone = Phone::new(plan.from);
        let len = phone.packet_samples();
        let mut sound = speech(from.rate(), 10 * len);
        let mut generator = Generator::new(from.rate());
        let mut tone = vec![0; 10 * len];
        generator.begin(KEY, 10);
        generator.generate(&mut tone);
        sound.extend(&tone);
        sound.extend(speech(from.rate(), 20 * len));
        for (at, samples) in (0..).zip(sound.chunks_exact(len)) {
            let packet = phone.speak(samples);
            wire.send(at * 20_000, &packet);
        }
        wire.run_until(2_000_000);
        let events = wire.of(EVENTS);
        let name = format!("{from:?} to {to:?}");
        let mut receiver = Receiver::new();
        let heard: Vec<_> = events
            .iter()
            .filter_map(|it| receiver.handle_packet(it.timestamp, &it.payload))
            .collect();
        assert_eq!(heard.iter().filter(|it| it.is_new).count(), 1, "{name}");
        let last = heard.last().unwrap();
        let ms = last.duration / u64::from(to.rtp_clock_hz() / 1_000);
        assert!(
            last.is_end && last.event == KEY && (180..=220).contains(&ms),
            "{name}: {ms} ms"
        );
        assert_eq!(events.iter().filter(|it| it.marker).count(), 1, "{name}");
        let ticks = to.ticks(to.rate().samples(20));
        let begin = events[0].timestamp;
        assert_eq!(begin % ticks, 0, "{name}: whole packets");
        assert!(
            (10 * ticks..=12 * ticks).contains(&begin),
            "{name}: from {begin} on"
        );
        // Each packet time is said once, as speech or as a key.
        let key = u32::try_from(last.duration).unwrap();
        let expected: Vec<_> = (0..40)
            .map(|at| at * ticks)
            .filter(|it| !(begin..begin + key).contains(it))
            .collect();
        let said: Vec<_> = wire.speech().iter().map(|it| it.timestamp).collect();
        assert_eq!(said, expected, "{name}");
        let marked = wire.speech().iter().filter(|it| it.marker).count();
        assert_eq!(marked, 1, "{name}: a key is no pause");
    }
}

/// What leaves when a key of so many milliseconds is sung after 40 ms of silence, in packets of 20
/// ms, towards who has events and wants packets of so many.
fn sung(key_ms: usize, ptime_ms: u16) -> Wire {
    let mut plan = Plan::new(side(Codec::Pcmu), with_events(side(Codec::Pcmu)));
    plan.to.ptime_ms = ptime_ms;
    let (mut wire, mut phone) = (Wire::new(plan), Phone::new(plan.from));
    let mut sound = vec![0; 320];
    let mut generator = Generator::new(Rate::Narrow);
    generator.begin(KEY, 10);
    let mut tone = vec![0; 8 * key_ms];
    generator.generate(&mut tone);
    sound.extend(&tone);
    sound.resize(8 * 600, 0);
    for (at, samples) in (0..).zip(sound.chunks_exact(160)) {
        let packet = phone.speak(samples);
        wire.send(at * 20_000, &packet);
    }
    wire.run_until(2_000_000);
    wire
}

#[test]
fn checklist_11_a_key_that_is_heard_is_said_in_whole_packets() {
    let wire = sung(60, 20);
    let events: Vec<_> = wire
        .of(EVENTS)
        .iter()
        .map(|it| {
            let payload = Payload::parse(&it.payload).unwrap();
            assert_eq!((payload.event, payload.volume), (KEY, 10));
            (it.timestamp, payload.duration, payload.is_end, it.marker)
        })
        .collect();
    // It is heard in the fourth packet, and known to be over in the sixth.
    let end = (640, 480, true, false);
    assert_eq!(
        events,
        [
            (640, 160, false, true),
            (640, 320, false, false),
            end,
            end,
            end
        ]
    );
    let speech = wire.speech();
    let said: Vec<_> = speech.iter().map(|it| it.timestamp / 160).collect();
    assert_eq!(
        said,
        [&[0, 1, 2, 3][..], &(7..30).collect::<Vec<_>>()].concat()
    );
    assert!(!speech[4].marker, "a key is no pause");
}

#[test]
fn checklist_11_little_is_heard_of_a_key_that_is_an_event_too() {
    for (ptime_ms, leaked_ms_max) in [(10, 49), (20, 59), (40, 39), (60, 39), (120, 39)] {
        let wire = sung(200, ptime_ms);
        let speech = wire.speech().into_iter();
        let samples = speech.flat_map(|it| it.payload.iter().map(|it| g711::ULAW.decode(*it)));
        let loud = samples.filter(|it| it.unsigned_abs() > 100).count();
        assert!(
            (16 * 8..=leaked_ms_max * 8).contains(&loud),
            "{ptime_ms} ms: {loud} samples"
        );
        let events = wire.of(EVENTS);
        let last = Payload::parse(&events.last().unwrap().payload).unwrap();
        let of_packet = ptime_ms * 8;
        assert!(
            last.is_end && last.duration.is_multiple_of(of_packet),
            "{ptime_ms} ms"
        );
        assert!(last.duration.abs_diff(1_600) <= of_packet, "{ptime_ms} ms");
    }
}

#[test]
fn checklist_11_a_key_that_is_shorter_than_a_packet_is_said() {
    let wire = sung(50, 120);
    let events = wire.of(EVENTS);
    assert!(events[0].marker);
    let ends = events
        .iter()
        .filter(|it| Payload::parse(&it.payload).unwrap().is_end);
    assert_eq!((events.len(), ends.count()), (3, 3));
}

#[test]
fn checklist_11_a_tone_is_as_long_as_its_event() {
    let plan = Plan::new(with_events(side(Codec::Pcma)), side(Codec::Pcmu));
    let (mut wire, mut phone) = (Wire::new(plan), Phone::new(plan.from));
    let packet = phone.speak(&[0; 160]);
    wire.send(0, &packet);
    for at in 1..=3_u16 {
        let payload = Payload {
            event: KEY,
            is_end: at == 3,
            volume: 10,
            duration: at * 160,
        };
        let packet = phone.packet(EVENTS, phone.timestamp, &payload.emit());
        wire.send(u64::from(at) * 20_000, &packet);
    }
    phone.pause(480);
    let packet = phone.speak(&[0; 160]);
    wire.send(80_000, &packet);
    wire.run_until(200_000);
    let mut generator = Generator::new(Rate::Narrow);
    generator.begin(KEY, 10);
    let mut expected = [0; 480];
    generator.generate(&mut expected);
    let speech = wire.speech();
    assert_eq!(speech.len(), 5);
    let tone = speech[1..4].iter().flat_map(|it| &it.payload);
    for (octet, expected) in tone.zip(expected) {
        assert_eq!(g711::ULAW.decode(*octet), g711::ULAW.nearest(expected));
    }
    assert!(speech[1..].iter().all(|it| !it.marker));
}
