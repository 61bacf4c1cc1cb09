//! Keys that are told of or kept back, and media that is not to be heard.

use relay_wire::{
    EVENT_TYPES_MAX, Events, Filter, Key, OnEvents, OnMedia, REDUNDANT_TYPES_MAX, Silence,
};

use super::*;

const EVENTS: u8 = 101;

/// A filter of what Alice sends that knows her keys.
fn filter(change: impl FnOnce(&mut Filter)) -> Command {
    let mut filter = Filter {
        events: vec![Events {
            payload_type: EVENTS,
            clock_hz: 8_000,
        }],
        ..Filter::default()
    };
    change(&mut filter);
    set(Some(filter))
}

fn set(filter: Option<Filter>) -> Command {
    Command::SetFilter {
        call: CallKey(1),
        ingress: port(30_000),
        filter,
    }
}

fn silence(octet: u8, payload_type: u8) -> OnMedia {
    OnMedia::Silence(vec![Silence {
        payload_type,
        octet,
    }])
}

/// A report of a key, of 20 ms for each number of the row.
fn report(code: u8, timestamp: u8, number: u8, is_end: bool) -> Vec<u8> {
    let end = if is_end { 0x80 } else { 0 };
    let [high, low] = (u16::from(number) * 160).to_be_bytes();
    vec![
        0x80,
        EVENTS,
        timestamp,
        number,
        0,
        0,
        timestamp,
        0,
        0,
        0,
        0,
        7,
        code,
        end | 10,
        high,
        low,
    ]
}

/// A packet arrives from Alice: what becomes of it, and how it leaves.
fn arrive(bench: &mut Bench, mut packet: Vec<u8>) -> (Verdict, Vec<u8>) {
    let ingress = Ingress {
        socket: SocketId::new(0),
        source: address(ALICE),
    };
    let verdict = bench.relay.handle_packet(bench.now, ingress, &mut packet);
    (verdict, packet)
}

fn keys(bench: &mut Bench) -> Vec<Key> {
    let events = std::iter::from_fn(|| bench.relay.poll_event());
    let keys = events.map(|event| match event {
        Event::Key { call, ingress, key } => {
            assert_eq!((call, ingress), (CallKey(1), port(30_000)));
            key
        }
        other => panic!("{other:?}"),
    });
    keys.collect()
}

fn bench(command: Command) -> Bench {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(command);
    bench
}

#[test]
fn a_key_is_told_once_and_passes() {
    let mut bench = bench(filter(|it| it.tells_keys = true));
    for (number, is_end) in [(1, false), (2, false), (3, true), (3, true), (3, true)] {
        let packet = report(5, 1, number, is_end);
        assert_eq!(
            arrive(&mut bench, packet.clone()),
            (forward(1, BOB), packet)
        );
        bench.now += Duration::from_millis(20);
    }
    let source = address(ALICE).ip();
    let key = Key {
        code: 5,
        volume: 10,
        duration_ms: 60,
        source,
    };
    assert_eq!(keys(&mut bench), [key]);
    assert_eq!(bench.counter("keys_told"), 1);
    assert_eq!(
        bench.packet(1, BOB, &report(6, 1, 1, true)),
        forward(0, ALICE)
    );
    assert_eq!(keys(&mut bench), [], "nobody asked for Bob's");
}

#[test]
fn a_key_whose_end_is_lost_is_told_when_she_speaks_again() {
    let mut bench = bench(filter(|it| it.tells_keys = true));
    let _ = arrive(&mut bench, report(5, 1, 2, false));
    bench.now += Duration::from_millis(400);
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    assert_eq!(keys(&mut bench), []);
    bench.now += Duration::from_millis(200);
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    let told = keys(&mut bench);
    assert_eq!(told.iter().map(|it| it.code).collect::<Vec<_>>(), [5]);
}

#[test]
fn keys_that_are_kept_back_are_told_and_media_passes() {
    let mut bench = bench(filter(|it| {
        it.tells_keys = true;
        it.on_events = OnEvents::Drop;
    }));
    let (verdict, _) = arrive(&mut bench, report(5, 1, 1, true));
    assert_eq!(verdict, Verdict::Drop(DropReason::Filtered));
    for packet in [RTP, RTCP, T38, &[]] {
        assert_eq!(bench.packet(0, ALICE, packet), forward(1, BOB));
    }
    assert_eq!(keys(&mut bench).len(), 1);
    assert_eq!(bench.counter("dropped_filtered"), 1);
    // A packet too short to be a report is no key for the other party either.
    let (verdict, _) = arrive(&mut bench, report(5, 2, 1, true)[..14].to_vec());
    assert_eq!(verdict, Verdict::Drop(DropReason::Filtered));
}

#[test]
fn keys_become_others_of_the_same_length() {
    let mut bench = bench(filter(|it| it.on_events = OnEvents::Replace(0)));
    let (verdict, left) = arrive(&mut bench, report(5, 1, 3, true));
    assert_eq!((verdict, left), (forward(1, BOB), report(0, 1, 3, true)));
    assert_eq!(keys(&mut bench), [], "nobody asked");

    bench.done(filter(|it| it.on_events = OnEvents::Scramble { seed: 3 }));
    let mut codes = Vec::new();
    for timestamp in 2..30 {
        let row = [1, 2, 3].map(|number| {
            let (_, left) = arrive(&mut bench, report(5, timestamp, number, number == 3));
            assert_eq!(left[13..], report(5, timestamp, number, number == 3)[13..]);
            left[12]
        });
        assert_eq!(row, [row[0]; 3], "one key all along");
        assert!(row[0] < 10);
        codes.push(row[0]);
    }
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() > 4, "it may be any: {codes:?}");
}

#[test]
fn silence_goes_on_as_the_stream_does() {
    let mut bench = bench(filter(|it| it.on_media = silence(0xd5, 8)));
    let speech = [&RTP[..12], &[1, 2, 3]].concat();
    let (verdict, left) = arrive(&mut bench, speech.clone());
    assert_eq!(verdict, forward(1, BOB));
    assert_eq!(left, [&RTP[..12], &[0xd5; 3]].concat());
    for packet in [RTCP, T38, &[]] {
        assert_eq!(bench.packet(0, ALICE, packet), forward(1, BOB));
    }
    let key = report(5, 1, 1, true);
    assert_eq!(arrive(&mut bench, key.clone()), (forward(1, BOB), key));
    // What has no silence, or headers that lie, is not heard.
    let mut other = speech.clone();
    other[1] = 111;
    let mut lying = speech.clone();
    lying[0] |= 0x0f;
    for packet in [other, lying] {
        let (verdict, _) = arrive(&mut bench, packet);
        assert_eq!(verdict, Verdict::Drop(DropReason::Filtered));
    }
    bench.done(set(None));
    assert_eq!(
        arrive(&mut bench, speech.clone()),
        (forward(1, BOB), speech)
    );
}

#[test]
fn media_that_is_stopped_leaves_keys_and_reports() {
    let mut bench = bench(filter(|it| it.on_media = OnMedia::Drop));
    for packet in [RTP, T38] {
        let verdict = bench.packet(0, ALICE, packet);
        assert_eq!(verdict, Verdict::Drop(DropReason::Filtered));
    }
    let key = report(5, 1, 1, true);
    assert_eq!(arrive(&mut bench, key.clone()), (forward(1, BOB), key));
    assert_eq!(bench.packet(0, ALICE, RTCP), forward(1, BOB));
    let stats = bench.stats();
    assert_eq!(stats.endpoints[0].rtp_packets_in, 3, "it was heard");
}

#[test]
fn another_filter_tells_of_no_key_twice() {
    let mut bench = bench(filter(|it| it.tells_keys = true));
    let _ = arrive(&mut bench, report(5, 1, 3, true));
    bench.done(filter(|it| {
        it.tells_keys = true;
        it.on_events = OnEvents::Drop;
    }));
    let _ = arrive(&mut bench, report(5, 1, 3, true));
    assert_eq!(keys(&mut bench).len(), 1);
}

#[test]
fn what_is_changed_elsewhere_is_filtered_first() {
    let mut bench = bench(filter(|it| it.on_media = silence(0xd5, 8)));
    bench.done(Command::SetTranscoding {
        call: CallKey(1),
        ingress: port(30_000),
        transcoding: Some(relay_wire::Transcoding {
            routes: vec![],
            rtcp: None,
        }),
    });
    let (verdict, left) = arrive(&mut bench, [&RTP[..12], &[1, 2]].concat());
    assert!(matches!(verdict, Verdict::Take(_)));
    assert_eq!(left[12..], [0xd5; 2]);
}

#[test]
fn more_payload_types_than_are_looked_at_are_refused() {
    let events = Events {
        payload_type: EVENTS,
        clock_hz: 8_000,
    };
    let mut bench = bench(filter(|it| it.events = vec![events; EVENT_TYPES_MAX]));
    let too_many = filter(|it| it.events = vec![events; EVENT_TYPES_MAX + 1]);
    bench.refused(too_many, Refusal::TooLong);
    let mut call = filter(|_| {});
    if let Command::SetFilter { call, .. } = &mut call {
        *call = CallKey(2);
    }
    bench.refused(call, Refusal::UnknownCall);
}

#[test]
fn a_third_payload_type_of_keys_is_seen_too() {
    let mut bench = bench(filter(|it| {
        it.tells_keys = true;
        let events = |payload_type| Events {
            payload_type,
            clock_hz: 48_000,
        };
        it.events.splice(..0, [events(110), events(120)]);
    }));
    let _ = arrive(&mut bench, report(5, 1, 3, true));
    assert_eq!(keys(&mut bench).len(), 1);
}

/// Redundant data (RFC 2198) of the type 121: older payloads by 160 units each, then the newest.
fn redundant(sequence: u8, payloads: &[(u8, &[u8])]) -> Vec<u8> {
    let mut packet = vec![0x80, 121, 0, sequence];
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([0, 0, 0, 7]);
    let ((newest, last), older) = payloads.split_last().unwrap();
    for (index, (payload_type, payload)) in older.iter().enumerate() {
        let older_by = u32::try_from(older.len() - index).unwrap() * 160;
        let word = older_by << 10 | u32::try_from(payload.len()).unwrap();
        packet.push(0x80 | payload_type);
        packet.extend(&word.to_be_bytes()[1..]);
    }
    packet.push(*newest);
    for (_, payload) in older {
        packet.extend(*payload);
    }
    packet.extend(*last);
    packet
}

const KEY: &[u8] = &[5, 10, 0, 160];
const KEY_OVER: &[u8] = &[5, 0x8a, 1, 64];
const SPEECH: &[u8] = &[0x2a; 20];

fn redundant_filter(change: impl FnOnce(&mut Filter)) -> Bench {
    bench(filter(|it| {
        it.redundant = vec![121];
        change(it);
    }))
}

#[test]
fn keys_within_redundant_data_go_no_further_and_speech_does() {
    let mut bench = redundant_filter(|it| {
        it.on_events = OnEvents::Drop;
        it.tells_keys = true;
    });
    let speech = redundant(1, &[(8, SPEECH), (8, SPEECH)]);
    assert_eq!(
        arrive(&mut bench, speech.clone()),
        (forward(1, BOB), speech)
    );
    let key = redundant(2, &[(8, SPEECH), (EVENTS, KEY)]);
    let dropped = Verdict::Drop(DropReason::Filtered);
    assert_eq!(arrive(&mut bench, key).0, dropped);
    let over = redundant(3, &[(8, SPEECH), (EVENTS, KEY_OVER), (8, SPEECH)]);
    let (verdict, packet) = arrive(&mut bench, over);
    let Verdict::ForwardPart { egress, len } = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(Verdict::Forward(egress), forward(1, BOB));
    let mut left = redundant(3, &[(8, SPEECH), (8, SPEECH)]);
    left[13..15].copy_from_slice(&[5, 0]);
    assert_eq!(
        packet[..usize::from(len)],
        left,
        "the older speech is as old as it was"
    );
    let told: Vec<_> = keys(&mut bench).iter().map(|it| it.code).collect();
    assert_eq!(told, [5], "told all the same");
    assert_eq!(
        bench.counter("bytes_out"),
        (speech_len() + usize::from(len)) as u64
    );
}

fn speech_len() -> usize {
    redundant(1, &[(8, SPEECH), (8, SPEECH)]).len()
}

#[test]
fn keys_within_redundant_data_become_others_where_they_lie() {
    let mut bench = redundant_filter(|it| it.on_events = OnEvents::Replace(0));
    let packet = redundant(1, &[(EVENTS, KEY), (8, SPEECH), (EVENTS, KEY_OVER)]);
    let zero = |key: &[u8]| [&[0], &key[1..]].concat();
    let (key, over) = (zero(KEY), zero(KEY_OVER));
    let expected = redundant(1, &[(EVENTS, &key), (8, SPEECH), (EVENTS, &over)]);
    assert_eq!(arrive(&mut bench, packet), (forward(1, BOB), expected));
}

#[test]
fn of_media_that_is_stopped_none_is_left_beside_keys() {
    for on_media in [OnMedia::Drop, silence(0xd5, 8)] {
        let mut bench = redundant_filter(|it| it.on_media = on_media);
        let dropped = Verdict::Drop(DropReason::Filtered);
        let speech = redundant(1, &[(EVENTS, KEY), (8, SPEECH)]);
        assert_eq!(arrive(&mut bench, speech).0, dropped);
        let key = redundant(2, &[(8, SPEECH), (EVENTS, KEY)]);
        let (verdict, packet) = arrive(&mut bench, key);
        assert!(
            matches!(verdict, Verdict::ForwardPart { len: 17, .. }),
            "{verdict:?}"
        );
        assert_eq!(packet[..17], redundant(2, &[(EVENTS, KEY)]));
    }
}

#[test]
fn redundant_data_that_cannot_be_divided_may_have_keys() {
    let mut cut = redundant(1, &[(EVENTS, KEY), (8, &[])]);
    cut.truncate(19);
    let mut lying = redundant(1, &[(8, SPEECH)]);
    lying[0] |= 0x0f;
    for on_events in [
        OnEvents::Drop,
        OnEvents::Replace(0),
        OnEvents::Scramble { seed: 3 },
    ] {
        let mut bench = redundant_filter(|it| it.on_events = on_events);
        for packet in [&cut, &lying] {
            let (verdict, _) = arrive(&mut bench, packet.clone());
            assert_eq!(verdict, Verdict::Drop(DropReason::Filtered));
        }
    }
    let mut bench = redundant_filter(|it| it.tells_keys = true);
    assert_eq!(arrive(&mut bench, cut.clone()), (forward(1, BOB), cut));
    let too_many = filter(|it| it.redundant = vec![121; REDUNDANT_TYPES_MAX + 1]);
    bench.refused(too_many, Refusal::TooLong);
}

#[test]
fn redundant_data_within_redundant_data_hides_no_keys() {
    let hidden = &redundant(1, &[(EVENTS, KEY), (8, SPEECH)])[12..];
    let older = redundant(1, &[(121, hidden), (8, SPEECH)]);
    let newest = redundant(2, &[(8, SPEECH), (121, hidden)]);
    for on_events in [OnEvents::Drop, OnEvents::Replace(0)] {
        let mut bench = redundant_filter(|it| it.on_events = on_events);
        let (verdict, packet) = arrive(&mut bench, older.clone());
        assert!(
            matches!(verdict, Verdict::ForwardPart { len: 33, .. }),
            "{verdict:?}"
        );
        assert_eq!(packet[..33], redundant(1, &[(8, SPEECH)]));
        let (verdict, _) = arrive(&mut bench, newest.clone());
        assert_eq!(verdict, Verdict::Drop(DropReason::Filtered));
    }
    let mut bench = redundant_filter(|_| ());
    for packet in [older, newest] {
        assert_eq!(
            arrive(&mut bench, packet.clone()),
            (forward(1, BOB), packet)
        );
    }
}

#[test]
fn keys_within_redundant_data_that_cannot_become_others_go_no_further() {
    let mut bench = redundant_filter(|it| it.on_events = OnEvents::Replace(0));
    for (number, short) in [
        (1, [(EVENTS, &KEY[..3]), (8, SPEECH)]),
        (2, [(8, SPEECH), (EVENTS, &KEY[..3])]),
    ] {
        let (verdict, _) = arrive(&mut bench, redundant(number, &short));
        assert_eq!(verdict, Verdict::Drop(DropReason::Filtered));
    }
}
