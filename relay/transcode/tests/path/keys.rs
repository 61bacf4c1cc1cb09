//! Keys, as events and as tones.

use codec::telephone_event::{Payload, Receiver};
use codec::tone::{Detector, Edge, Generator};
use codec::{Codec, Decoder, Rate, SAMPLES_MAX};
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
fn keys_heard(codec: Codec, wire: &Wire) -> Vec<u8> {
    let (mut decoder, mut samples) = (Decoder::new(codec).unwrap(), [0; SAMPLES_MAX]);
    let (mut detector, mut keys) = (Detector::new(codec.rate()), vec![]);
    for it in wire.speech() {
        let len = decoder.decode(&it.payload, &mut samples).unwrap();
        detector.listen(&samples[..len], |edge| {
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
            last.is_end && last.event == KEY && (180..=260).contains(&ms),
            "{name}: {ms} ms"
        );
        assert_eq!(events.iter().filter(|it| it.marker).count(), 1, "{name}");
        assert_eq!(keys_heard(to, &wire), [], "{name}: not said twice");
        let end = wire.speech().last().unwrap().timestamp;
        assert_eq!(end, 39 * to.ticks(to.rate().samples(20)), "{name}");
    }
}
