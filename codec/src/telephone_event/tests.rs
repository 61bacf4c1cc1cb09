use super::*;
use proptest::prelude::*;

fn payload(event: u8, is_end: bool, duration: u16) -> [u8; PAYLOAD_LEN] {
    let volume = 10;
    Payload {
        event,
        is_end,
        volume,
        duration,
    }
    .emit()
}

/// Sends an event that lasts `ticks`, a packet every 160 ticks.
fn packets_of(event: u8, start: u32, ticks: u32) -> Vec<Outgoing> {
    let mut sender = Sender::new();
    sender.begin(start, event, 10);
    let mut packets = Vec::new();
    for elapsed in (160..=ticks).step_by(160) {
        sender.extend(start.wrapping_add(elapsed));
        packets.extend(sender.poll_packet());
    }
    sender.extend(start.wrapping_add(ticks));
    sender.end();
    packets.extend(std::iter::from_fn(|| sender.poll_packet()));
    assert!(!sender.is_active());
    packets
}

proptest! {
    #[test]
    fn four_octets_come_back(octets: [u8; PAYLOAD_LEN]) {
        let mut expected = octets;
        expected[1] &= 0xbf;
        prop_assert_eq!(Payload::parse(&octets).unwrap().emit(), expected);
    }

    #[test]
    fn what_is_sent_is_heard(start: u32, event in 0_u8..16, ticks in 320_u32..300_000) {
        let mut receiver = Receiver::new();
        let packets = packets_of(event, start, ticks);
        let heard: Vec<_> = packets
            .iter()
            .filter_map(|it| receiver.handle_packet(it.timestamp, &it.payload))
            .collect();
        prop_assert!(heard[0].is_new && heard[1..].iter().all(|it| !it.is_new));
        let ends: Vec<_> = heard.iter().filter(|it| it.is_end).collect();
        prop_assert_eq!(ends.len(), 1);
        prop_assert_eq!((ends[0].event, ends[0].duration), (event, u64::from(ticks)));
        prop_assert!(heard.iter().all(|it| it.timestamp == start));
    }

    #[test]
    fn any_order_of_any_packets_ends_no_event_twice(
        packets in proptest::collection::vec((0_u32..4, any::<bool>(), 0_u16..5), 0..60),
    ) {
        let mut receiver = Receiver::new();
        let mut is_active = false;
        for (timestamp, is_end, duration) in packets {
            let payload = payload(1, is_end, duration);
            let Some(heard) = receiver.handle_packet(timestamp * 1_000, &payload) else {
                continue;
            };
            prop_assert!(heard.is_new || is_active);
            is_active = !heard.is_end;
            prop_assert_eq!(receiver.is_active(), is_active);
        }
    }
}

#[test]
fn too_short_is_nothing() {
    assert_eq!(Payload::parse(&[5, 0x8a, 3]), None);
    assert_eq!(Receiver::new().handle_packet(0, &[]), None);
}

#[test]
fn keys_are_events_0_to_15() {
    assert_eq!(event_of_key(b'#'), Some(11));
    assert_eq!(event_of_key(b'd'), Some(15));
    assert_eq!(event_of_key(b'x'), None);
    assert_eq!(key_of_event(10), Some(b'*'));
    assert_eq!(key_of_event(16), None);
}

#[test]
fn the_first_packet_is_marked_and_the_end_comes_three_times() {
    let packets = packets_of(5, 1_000, 800);
    let marks: Vec<_> = packets.iter().map(|it| it.marker).collect();
    assert_eq!(
        marks,
        [true, false, false, false, false, false, false, false]
    );
    assert!(packets.iter().all(|it| it.timestamp == 1_000));
    let ends: Vec<_> = packets
        .iter()
        .filter(|it| it.payload[1] & 0x80 != 0)
        .collect();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|it| it.payload == payload(5, true, 800)));
}

#[test]
fn a_long_event_goes_on_in_segments() {
    let packets = packets_of(5, 0, 2 * 65_535 + 700);
    let mut segments: Vec<_> = packets.iter().map(|it| it.timestamp).collect();
    segments.dedup();
    assert_eq!(segments, [0, 65_535, 131_070]);
    for segment in [0, 65_535] {
        let last = packets.iter().rfind(|it| it.timestamp == segment).unwrap();
        assert_eq!(last.payload, payload(5, false, 65_535));
    }
    assert_eq!(packets.last().unwrap().payload, payload(5, true, 700));
    assert_eq!(packets.iter().filter(|it| it.marker).count(), 1);
}

#[test]
fn an_event_whose_beginning_was_lost_is_heard() {
    let mut receiver = Receiver::new();
    let heard = receiver.handle_packet(100, &payload(3, true, 800)).unwrap();
    assert!(heard.is_new && heard.is_end);
    assert_eq!(receiver.handle_packet(100, &payload(3, true, 800)), None);
}

#[test]
fn packets_that_were_overtaken_say_nothing() {
    let mut receiver = Receiver::new();
    receiver
        .handle_packet(5_000, &payload(3, false, 320))
        .unwrap();
    assert_eq!(receiver.handle_packet(5_000, &payload(3, false, 160)), None);
    assert_eq!(receiver.handle_packet(1_000, &payload(2, true, 800)), None);
    assert!(receiver.is_active());
}

#[test]
fn a_sender_that_counts_from_elsewhere_is_heard() {
    let mut receiver = Receiver::new();
    receiver.handle_packet(5_000, &payload(3, false, 80));
    receiver.handle_step(1_000);
    assert!(receiver.is_active(), "one that goes on is known");
    receiver.handle_packet(5_000, &payload(3, true, 160));
    receiver.handle_step(5_000);
    assert_eq!(receiver.handle_packet(5_000, &payload(3, true, 160)), None);
    receiver.handle_step(1_000);
    let heard = receiver.handle_packet(1_160, &payload(3, false, 160));
    assert!(heard.unwrap().is_new);
}

#[test]
fn the_same_key_again_is_another_event() {
    let mut receiver = Receiver::new();
    receiver.handle_packet(0, &payload(7, true, 400)).unwrap();
    let again = receiver
        .handle_packet(1_600, &payload(7, false, 160))
        .unwrap();
    assert!(again.is_new);
    // Even if the end of the first was lost.
    let third = receiver
        .handle_packet(4_800, &payload(7, false, 160))
        .unwrap();
    assert!(third.is_new);
}

#[test]
fn an_event_whose_end_was_lost_is_ended_by_its_time() {
    let mut receiver = Receiver::new();
    assert_eq!(receiver.handle_timeout(), None);
    receiver.handle_packet(0, &payload(7, false, 400)).unwrap();
    let ended = receiver.handle_timeout().unwrap();
    assert!(ended.is_end && !ended.is_new && ended.duration == 400);
    assert_eq!(receiver.handle_timeout(), None);
    assert_eq!(receiver.handle_packet(0, &payload(7, true, 480)), None);
}

#[test]
fn durations_are_counted_in_the_other_clock() {
    assert_eq!(rescale(800, 8_000, 48_000), 4_800);
    assert_eq!(rescale(4_801, 48_000, 8_000), 800);
    assert_eq!(rescale(1, 0, 8_000), 8_000);
}
