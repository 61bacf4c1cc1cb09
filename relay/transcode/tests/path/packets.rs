//! Packets out of order, twice, from other sources, of other lengths.

use codec::ilbc::Mode;
use codec::{Codec, Decoder, Encoder, PAYLOAD_LEN_MAX, Rate, SAMPLES_MAX, g711, opus};
use relay_transcode::{DropReason, Plan};

use crate::harness::{CODECS, OURS, Phone, Wire, segmental_snr_db, side, speech};

/// A hundred packets of speech.
fn packets(phone: &mut Phone) -> Vec<Vec<u8>> {
    let rate = phone.side.codec.rate();
    let len = phone.packet_samples();
    let speech = speech(rate, 100 * len);
    speech.chunks_exact(len).map(|it| phone.speak(it)).collect()
}

/// What leaves if these packets come, 20 ms apart.
fn run(plan: Plan, packets: &[Vec<u8>]) -> Wire {
    let mut wire = Wire::new(plan);
    for (at, packet) in (0..).zip(packets) {
        wire.send(at * 20_000, packet);
    }
    wire.run_until(packets.len() as u64 * 20_000 + 500_000);
    wire
}

fn payloads(wire: &Wire) -> Vec<&[u8]> {
    wire.speech()
        .into_iter()
        .map(|it| &it.payload[..])
        .collect()
}

/// What packets say, and of which time.
fn said(wire: &Wire) -> Vec<(u32, &[u8])> {
    let said = wire.speech().into_iter();
    said.map(|it| (it.timestamp, &it.payload[..])).collect()
}

/// Each codec to each other, in packets that come evenly.
fn pairs() -> impl Iterator<Item = (Plan, Vec<Vec<u8>>, u64)> {
    let pairs = CODECS.into_iter().flat_map(|from| {
        let others = CODECS.into_iter().filter(move |it| *it != from);
        others.map(move |to| (from, to))
    });
    pairs.map(|(from, to)| {
        let mut phone = Phone::new(side(from));
        let packets = packets(&mut phone);
        (Plan::new(side(from), side(to)), packets, phone.packet_us())
    })
}

/// Whether a packet of a time comes later than it should, and when.
fn late(at_us: u64, stall_us: u64) -> u64 {
    let stall = 1_000_000..1_000_000 + stall_us;
    match stall.contains(&at_us) {
        true => stall.end,
        false => at_us,
    }
}

#[test]
fn what_comes_late_all_at_once_is_said_as_if_it_had_come_in_time() {
    for (plan, packets, packet_us) in pairs() {
        let talk = |stall_us| {
            let mut wire = Wire::new(plan);
            for (at, packet) in (0..).zip(&packets) {
                wire.send(late(at * packet_us, stall_us), packet);
            }
            wire.run_until(5_000_000);
            wire
        };
        let in_time = talk(0);
        for stall_us in [150_000, 450_000] {
            let late = talk(stall_us);
            assert_eq!(late.stream.counters().concealed_ms, 0);
            assert!(said(&late) == said(&in_time), "{plan:?}, {stall_us} µs");
        }
    }
}

#[test]
fn who_stands_still_himself_takes_nothing_for_lost() {
    for (plan, packets, packet_us) in pairs() {
        let talk = |stall_us| {
            let mut wire = Wire::new(plan);
            let mut packets = (0..).zip(&packets).peekable();
            while let Some((_, packet)) = packets.next_if(|it| it.0 * packet_us < 1_000_000) {
                wire.send(
                    (packets.peek().map_or(0, |it| it.0) - 1) * packet_us,
                    packet,
                );
            }
            wire.oversleep(1_000_000 + stall_us);
            for (at, packet) in packets {
                wire.send(late(at * packet_us, stall_us), packet);
            }
            wire.run_until(6_000_000);
            wire
        };
        let (awake, asleep) = (talk(0), talk(700_000));
        assert!(said(&asleep) == said(&awake), "{plan:?}");
    }
}

#[test]
fn checklist_1_payloads_of_the_wrong_length_are_dropped_and_made_up_for() {
    for (codec, wrong) in [
        (Codec::Gsm, vec![0xd0; 34]),
        (Codec::Gsm, vec![0x00; 33]),
        (Codec::Ilbc(Mode::Ms20), vec![0; 39]),
        (Codec::Opus(Rate::Narrow), vec![0xff; 3]),
        (Codec::Pcmu, vec![]),
    ] {
        let mut phone = Phone::new(side(codec));
        let mut packets = packets(&mut phone);
        packets[50].truncate(12);
        packets[50].extend(&wrong);
        let wire = run(Plan::new(side(codec), side(Codec::Pcma)), &packets);
        let counters = wire.stream.counters();
        assert_eq!(counters.dropped(DropReason::Malformed), 1, "{codec:?}");
        assert_eq!(counters.concealed_ms, 20, "{codec:?}");
        assert_eq!(wire.speech().len(), 100, "{codec:?}");
    }
}

#[test]
fn checklist_1_an_ambiguous_length_of_ilbc_is_of_the_negotiated_mode() {
    for (mode, ms) in [(Mode::Ms20, 200), (Mode::Ms30, 200)] {
        let codec = Codec::Ilbc(mode);
        // 950 octets are 25 frames or 19: both more than a packet may hold.
        let mut phone = Phone::new(side(codec));
        let packet = phone.packet(96, 0, &[0; 950]);
        let wire = run(Plan::new(side(codec), side(Codec::Pcma)), &[packet]);
        assert_eq!(
            wire.stream.counters().dropped(DropReason::TooLong),
            1,
            "{ms}"
        );
        assert_eq!(
            codec.samples_in(&[0; 950]),
            Ok(if mode == Mode::Ms20 { 4_000 } else { 4_560 })
        );
    }
}

#[test]
fn checklist_2_reordered_and_doubled_packets_make_no_difference() {
    for to in [Codec::Gsm, Codec::Opus(Rate::Narrow)] {
        let plan = Plan::new(side(Codec::Pcma), side(to));
        let packets = packets(&mut Phone::new(side(Codec::Pcma)));
        let straight = run(plan, &packets);
        // Some come a millisecond after their successor, some shortly before the one after that.
        let late_us = |at: u64| [0, 21_000, 0, 0, 39_000, 0, 0][usize::try_from(at % 7).unwrap()];
        let timed = (0..)
            .zip(&packets)
            .map(|(at, it)| (at * 20_000 + late_us(at), it));
        let mut timed: Vec<_> = timed.collect();
        timed.extend([(800_500, &packets[40]), (1_200_500, &packets[59])]);
        timed.sort_by_key(|(us, _)| *us);
        let mut shuffled = Wire::new(plan);
        for (us, packet) in timed {
            shuffled.send(us, packet);
        }
        shuffled.run_until(3_000_000);
        assert_eq!(payloads(&straight), payloads(&shuffled));
        assert_eq!(shuffled.stream.counters().dropped(DropReason::Duplicate), 2);
        assert_eq!(shuffled.stream.counters().lost, 0);
    }
}

#[test]
fn checklist_2_what_comes_too_late_is_dropped() {
    let mut packets = packets(&mut Phone::new(side(Codec::Pcma)));
    let late = packets.remove(20);
    packets.insert(30, late);
    let wire = run(Plan::new(side(Codec::Pcma), side(Codec::Gsm)), &packets);
    assert_eq!(wire.stream.counters().dropped(DropReason::Late), 1);
    assert_eq!(
        (
            wire.stream.counters().lost,
            wire.stream.counters().concealed_ms
        ),
        (1, 20)
    );
    assert_eq!(wire.speech().len(), 100, "its place was filled");
}

#[test]
fn checklist_3_the_far_stream_goes_on_over_another_source_and_a_hold() {
    let plan = Plan::new(side(Codec::Gsm), side(Codec::Pcma));
    let (mut first, mut second) = (Phone::new(side(Codec::Gsm)), Phone::new(side(Codec::Gsm)));
    (second.ssrc, second.sequence, second.timestamp) = (2, 7, 99);
    let mut wire = Wire::new(plan);
    for (at, packet) in (0..).zip(packets(&mut first)) {
        wire.send(at * 20_000, &packet);
    }
    // Three seconds of music on hold that nobody plays.
    for (at, packet) in (0..).zip(packets(&mut second)) {
        wire.send(5_000_000 + at * 20_000, &packet);
    }
    wire.run_until(8_000_000);
    let out = wire.speech();
    assert_eq!(out.len(), 200);
    assert_eq!(wire.stream.counters().source_changes, 1);
    let marked: Vec<usize> = (0..200).filter(|at| out[*at].marker).collect();
    assert_eq!(marked, [0, 100], "checklist 7");
    assert_eq!(out[99].timestamp, 99 * 160);
    assert_eq!(out[100].timestamp, 250 * 160, "as much time as passed");
    assert_eq!(out[199].timestamp, 349 * 160);
}

#[test]
fn checklist_15_a_source_without_a_gap_is_heard_from_its_first_packet() {
    for codec in CODECS {
        let plan = Plan::new(side(codec), side(Codec::Pcma));
        let (mut first, mut second) = (Phone::new(side(codec)), Phone::new(side(codec)));
        (second.ssrc, second.sequence) = (2, 7);
        let (old, new) = (packets(&mut first), packets(&mut second));
        let mut wire = Wire::new(plan);
        let us = first.packet_us();
        for (at, packet) in (0..).zip(old.iter().chain(&new)) {
            wire.send(at * us, packet);
        }
        wire.run_until(200 * us + 500_000);
        let mut alone = Wire::new(plan);
        for (at, packet) in (0..).zip(&new) {
            alone.send(at * us, packet);
        }
        alone.run_until(100 * us + 500_000);
        let (both, alone) = (payloads(&wire), payloads(&alone));
        assert_eq!(both.len(), 2 * alone.len(), "{codec:?}");
        // Resampling remembers 4 ms of the first.
        let rest = alone.len() + usize::from(codec.rate() == Rate::Wide);
        assert_eq!(
            both[rest..],
            alone[rest - alone.len()..],
            "{codec:?}: the decoder began anew"
        );
    }
}

#[test]
fn checklist_3_the_far_stream_goes_on_over_a_jump_of_one_packet() {
    let (from, mut to) = (side(Codec::Pcmu), side(Codec::Pcmu));
    to.ptime_ms = 30;
    let (mut wire, mut phone) = (Wire::new(Plan::new(from, to)), Phone::new(from));
    for at in 0..5 {
        let packet = phone.speak(&[1_000; 160]);
        wire.send(at * 20_000, &packet);
    }
    (phone.sequence, phone.timestamp) = (8_000, 500_000);
    let packet = phone.speak(&[2_000; 480]);
    wire.send(100_000, &packet);
    assert_eq!(wire.speech().len(), 3, "it may be a stray");
    wire.run_until(300_000);
    let out = wire.speech();
    let heads: Vec<_> = out.iter().map(|it| (it.timestamp, it.marker)).collect();
    let at = |at: u32| (at * 240, at == 0);
    assert_eq!(heads, [at(0), at(1), at(2), at(3), at(4)]);
    let first = (g711::ULAW.encode(1_000), g711::ULAW.encode(2_000));
    assert_eq!(
        (out[3].payload[79], out[3].payload[80]),
        first,
        "nothing is lost"
    );
    assert_eq!(wire.stream.counters().dropped(DropReason::Jump), 0);
}

#[test]
fn a_stray_packet_is_not_heard() {
    let plan = Plan::new(side(Codec::Pcmu), side(Codec::Gsm));
    let (mut wire, mut phone) = (Wire::new(plan), Phone::new(side(Codec::Pcmu)));
    for at in 0..20 {
        let packet = phone.speak(&[1_000; 160]);
        wire.send(at * 20_000, &packet);
        if at == 10 {
            let (sequence, timestamp) = (phone.sequence, phone.timestamp);
            (phone.sequence, phone.timestamp) = (8_000, 500_000);
            let stray = phone.speak(&[-9_000; 160]);
            wire.send(at * 20_000 + 1_000, &stray);
            (phone.sequence, phone.timestamp) = (sequence, timestamp);
        }
    }
    wire.run_until(1_000_000);
    assert_eq!(wire.speech().len(), 20);
    assert_eq!(wire.stream.counters().dropped(DropReason::Jump), 1);
    assert_eq!(wire.stream.counters().source_changes, 0);
}

#[test]
fn checklist_5_twenty_and_thirty_milliseconds_become_one_another_evenly() {
    for codec in [Codec::Pcma, Codec::Opus(Rate::Narrow), Codec::G722] {
        for (from_ms, to_ms) in [(20, 30), (30, 20), (20, 60), (60, 20), (10, 20), (40, 30)] {
            let (mut from, mut to) = (side(Codec::Pcmu), side(codec));
            (from.ptime_ms, to.ptime_ms) = (from_ms, to_ms);
            let to_ms = codec.packet_samples(to_ms.into()) / codec.rate().samples(1);
            let mut phone = Phone::new(from);
            let packets = packets(&mut phone);
            let mut wire = Wire::new(Plan::new(from, to));
            for (at, packet) in (0..).zip(&packets) {
                wire.send(at * phone.packet_us(), packet);
            }
            wire.run_until(100 * phone.packet_us() + 50_000);
            let out = wire.speech();
            assert_eq!(out.len(), 100 * usize::from(from_ms) / to_ms);
            for pair in out.windows(2) {
                let step_us = pair[1].at_us - pair[0].at_us;
                assert_eq!(
                    step_us,
                    to_ms as u64 * 1_000,
                    "{codec:?}: {from_ms} to {to_ms} ms"
                );
                let ticks = codec.ticks(codec.rate().samples(to_ms));
                assert_eq!(pair[1].timestamp - pair[0].timestamp, ticks);
            }
        }
    }
}

#[test]
fn checklist_5_packets_may_change_their_length_in_mid_call() {
    let mut phone = Phone::new(side(Codec::Pcma));
    let mut wire = Wire::new(Plan::new(side(Codec::Pcma), side(Codec::Gsm)));
    let speech = speech(Rate::Narrow, 8_000 * 9);
    let (mut at, mut us) = (0, 0);
    for ms in [20, 30, 60, 10, 20, 150, 5] {
        for _ in 0..1_200 / ms {
            wire.send(us, &phone.speak(&speech[at..at + ms * 8]));
            at += ms * 8;
            us += ms as u64 * 1_000;
        }
    }
    wire.run_until(us + 500_000);
    let out = wire.speech();
    assert_eq!(out.len(), 7 * 60);
    assert_eq!(out.last().unwrap().timestamp, (7 * 60 - 1) * 160);
    assert!(out.iter().all(|it| it.at_us < us + 200_000));
}

#[test]
fn checklist_14_frames_are_put_into_other_packets_as_they_are() {
    for (codec, from_ms, to_ms) in [
        (Codec::Pcma, 20, 30),
        (Codec::G722, 30, 20),
        (Codec::Gsm, 20, 40),
        (Codec::Gsm, 60, 20),
        (Codec::Ilbc(Mode::Ms30), 30, 60),
    ] {
        let (mut from, mut to) = (side(codec), side(codec));
        (from.ptime_ms, to.ptime_ms) = (from_ms, to_ms);
        let mut phone = Phone::new(from);
        let packets = packets(&mut phone);
        let mut wire = Wire::new(Plan::new(from, to));
        for (at, packet) in (0..).zip(&packets) {
            wire.send(at * phone.packet_us(), packet);
        }
        wire.run_until(100 * phone.packet_us() + 50_000);
        let came: Vec<u8> = packets.iter().flat_map(|it| it[12..].to_vec()).collect();
        let left = payloads(&wire).concat();
        assert!(
            came.len() - left.len() < usize::from(to_ms) * 8 && came.starts_with(&left),
            "{codec:?}"
        );
        let samples = codec.rate().samples(to_ms.into());
        for (at, it) in (0..).zip(wire.speech()) {
            assert_eq!(it.timestamp, at * codec.ticks(samples), "{codec:?}");
            assert_eq!(Ok(samples), codec.samples_in(&it.payload), "{codec:?}");
        }
    }
}

#[test]
fn checklist_8_opus_says_again_what_was_lost() {
    let plan = Plan::new(side(Codec::Opus(Rate::Narrow)), side(Codec::Pcmu));
    let heard = |loss_percent| {
        let mut phone = Phone::new(plan.from);
        phone.encoder = Encoder::with_opus(opus::Settings {
            loss_percent,
            bitrate: Some(26_000),
            ..opus::Settings::new(Rate::Narrow)
        })
        .unwrap();
        let packets = packets(&mut phone);
        let lossy: Vec<_> = packets
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 10 != 7)
            .collect();
        let mut wires = [Wire::new(plan), Wire::new(plan)];
        for (at, packet) in (0..).zip(&packets) {
            wires[0].send(at * 20_000, packet);
        }
        for (at, packet) in lossy {
            wires[1].send(at as u64 * 20_000, packet);
        }
        let [whole, lossy] = wires.map(|mut wire| {
            wire.run_until(3_000_000);
            let mut samples = [0; SAMPLES_MAX];
            let mut decoder = Decoder::new(Codec::Pcmu).unwrap();
            let decoded = payloads(&wire).into_iter().flat_map(|it| {
                let len = decoder.decode(it, &mut samples).unwrap();
                samples[..len].to_vec()
            });
            decoded.collect::<Vec<i16>>()
        });
        segmental_snr_db(&whole, &lossy, 160)
    };
    let (without, with) = (heard(0), heard(20));
    assert!(with > without + 3.0, "{with:.1} dB against {without:.1} dB");
}

#[test]
fn checklist_8_a_long_loss_fades_and_time_goes_on() {
    for codec in CODECS {
        let mut phone = Phone::new(side(codec));
        let packets = packets(&mut phone);
        let us = phone.packet_us();
        let to = if codec == Codec::Pcmu {
            Codec::Pcma
        } else {
            Codec::Pcmu
        };
        let mut wire = Wire::new(Plan::new(side(codec), side(to)));
        for (at, packet) in (0..).zip(&packets).filter(|(at, _)| !(40..60).contains(at)) {
            wire.send(at * us, packet);
        }
        wire.run_until(100 * us + 500_000);
        let concealed_ms = wire.stream.counters().concealed_ms;
        assert!(
            (90..=100).contains(&concealed_ms),
            "{codec:?}: {concealed_ms}"
        );
        let out = wire.speech();
        let jumps: Vec<_> = out
            .windows(2)
            .filter(|it| it[1].timestamp - it[0].timestamp > 160)
            .collect();
        assert_eq!(jumps.len(), 1, "{codec:?}");
        assert!(jumps[0][1].marker);
        let end = u64::from(out.last().unwrap().timestamp) + 160;
        assert!(
            end.abs_diff(100 * us / 125) < 160,
            "{codec:?}: the timeline is whole"
        );
        let counters = wire.stream.counters();
        assert_eq!(counters.lost, 20);
        // 20 ms a number, of packets of `us`; all but what was made up.
        let unsaid_ms = 20 * us / 1_000 - concealed_ms;
        assert_eq!(counters.numbers_skipped, unsaid_ms / 20, "{codec:?}");
    }
}

#[test]
fn what_is_lost_of_frames_that_pass_as_they_are_shows_in_the_numbers() {
    let (from, mut to) = (side(Codec::Gsm), side(Codec::Gsm));
    for (ptime_ms, skipped) in [(20, 3), (60, 1), (10, 3)] {
        to.ptime_ms = ptime_ms;
        let mut packets = packets(&mut Phone::new(from));
        packets.drain(40..43);
        let wire = run(Plan::new(from, to), &packets);
        let counters = wire.stream.counters();
        assert_eq!((counters.lost, counters.concealed_ms), (3, 0));
        assert_eq!(counters.numbers_skipped, skipped, "{ptime_ms} ms");
    }
}

#[test]
fn timestamps_that_run_ahead_of_time_are_no_pause() {
    let plan = Plan::new(side(Codec::Pcmu), side(Codec::Gsm));
    let (mut wire, mut phone) = (Wire::new(plan), Phone::new(side(Codec::Pcmu)));
    for at in 0..20 {
        match at {
            // Elsewhere at once.
            5 => phone.pause(8_000 * 60),
            // One packet is lost, and the clock counts from elsewhere.
            10 => {
                phone.sequence += 1;
                phone.pause(8_000);
            }
            // Elsewhere after a pause.
            15 => phone.pause(8_000 * 3_600),
            _ => {}
        }
        let us = if at < 15 {
            at * 20_000
        } else {
            at * 20_000 + 1_000_000
        };
        let packet = phone.speak(&[1_000; 160]);
        wire.send(us, &packet);
    }
    wire.run_until(3_000_000);
    let out = wire.speech();
    let passed: Vec<_> = out
        .windows(2)
        .map(|it| it[1].timestamp - it[0].timestamp)
        .collect();
    let (steady, pause) = (passed.iter().filter(|it| **it == 160).count(), passed[14]);
    assert_eq!((passed.len(), steady), (19, 18), "{passed:?}");
    assert!(
        pause.abs_diff(160 + 8_000) <= 160,
        "as long as by the clock: {pause}"
    );
    let counters = wire.stream.counters();
    assert_eq!((counters.timestamp_jumps, counters.pauses), (3, 0));
    assert_eq!((counters.lost, counters.numbers_skipped), (1, 1));
}

#[test]
fn checklist_13_no_gain_changes_and_nothing_wraps() {
    // The loudest square wave there is, through every codec: it stays one.
    for from in CODECS {
        let mut phone = Phone::new(side(from));
        let len = phone.packet_samples();
        let period = from.rate().samples(4);
        let square: Vec<i16> = (0..100 * len)
            .map(|at| {
                if at % period * 2 < period {
                    32_767
                } else {
                    -32_768
                }
            })
            .collect();
        let packets: Vec<_> = square.chunks_exact(len).map(|it| phone.speak(it)).collect();
        let mut wire = Wire::new(Plan::new(side(from), side(Codec::G722)));
        let mut last = 0;
        for (at, packet) in (0..).zip(&packets) {
            last = at * phone.packet_us();
            wire.send(last, packet);
        }
        wire.run_until(last + 500_000);
        let mut samples = [0; SAMPLES_MAX];
        let mut decoder = Decoder::new(Codec::G722).unwrap();
        let mut heard = vec![];
        for payload in payloads(&wire) {
            let len = decoder.decode(payload, &mut samples).unwrap();
            heard.extend_from_slice(&samples[..len]);
        }
        let settled = &heard[8_000..];
        let crossings = settled
            .windows(2)
            .filter(|it| (it[0] < 0) != (it[1] < 0))
            .count();
        let expected = settled.len() / 32;
        assert!(
            crossings.abs_diff(expected) < expected / 4,
            "{from:?}: {crossings}, {expected}"
        );
    }
}

#[test]
fn checklist_16_what_one_packet_causes_is_bounded() {
    let mut wire = Wire::new(Plan::new(side(Codec::Gsm), side(Codec::Pcma)));
    let mut phone = Phone::new(side(Codec::Gsm));
    let frame = phone.speak(&[0; 160])[12..].to_vec();
    let long = phone.packet(96, 0, &frame.repeat(11));
    wire.send(0, &long);
    assert_eq!(wire.stream.counters().dropped(DropReason::TooLong), 1);
    let longest = phone.packet(96, 0, &frame.repeat(10));
    wire.send(1_000, &longest);
    let huge = phone.packet(96, 0, &[0xd0; PAYLOAD_LEN_MAX]);
    wire.send(2_000, &huge);
    assert_eq!(wire.stream.counters().dropped(DropReason::TooLong), 2);
    // More than may wait, all at once.
    for _ in 0..200 {
        let packet = phone.packet(96, phone.timestamp, &frame.repeat(10));
        phone.pause(1_600);
        wire.send(3_000, &packet);
    }
    wire.run_until(60_000_000);
    assert!(wire.stream.counters().dropped(DropReason::QueueFull) > 1_000);
    assert!(wire.out.len() < 100);
}

#[test]
fn checklist_12_reports_of_the_far_side_count_what_was_sent() {
    let plan = Plan::new(side(Codec::Pcma), side(Codec::Opus(Rate::Narrow)));
    let mut wire = Wire::new(plan);
    assert_eq!(wire.stream.sent(wire.start), None);
    let mut phone = Phone::new(plan.from);
    for (at, packet) in (0..).zip(packets(&mut phone)).filter(|(at, _)| *at != 50) {
        wire.send(at * 20_000, &packet);
    }
    wire.run_until(2_500_000);
    let sent = wire.stream.sent(wire.at(2_500_000)).unwrap();
    assert_eq!((sent.ssrc, sent.packets), (OURS.ssrc, 100));
    let octets: usize = payloads(&wire).iter().map(|it| it.len()).sum();
    assert_eq!(sent.octets as usize, octets);
    // The clock of the far side, and on from the last packet: this is 2.5 s after the first.
    let ticks = sent.timestamp.wrapping_sub(OURS.timestamp);
    assert!(ticks.abs_diff(2_500 * 48) <= 30 * 48, "{ticks}");
    let block = wire.stream.reception().report().unwrap();
    assert_eq!((block.lost, block.jitter), (1, 0));
}
