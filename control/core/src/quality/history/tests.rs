use proptest::prelude::*;

use super::*;
use crate::tests::on;

const INTERVAL_S: u32 = 10;

/// A call whose streams are counted by hand.
struct Bench {
    state: CallState,
    stats: CallStats,
    history: History,
    told: Vec<Sample>,
}

impl Bench {
    fn new(streams: u16) -> Self {
        let endpoints = (0..streams).map(|number| endpoint(4_000 + 2 * number));
        Self {
            state: CallState::new(&b"c"[..], 1_000_000),
            stats: CallStats {
                call: relay_wire::CallKey(1),
                endpoints: endpoints.collect(),
            },
            history: History::default(),
            told: Vec::new(),
        }
    }

    fn arrive(&mut self, packets: u64, lost: u64) {
        let source = &mut self.stats.endpoints[0].sources[0];
        source.packets += packets;
        source.lost += lost;
    }

    fn look(&self, at_s: u32) -> Look<'_> {
        Look {
            state: &self.state,
            stats: &self.stats,
            unix_ms: 1_000_000 + u64::from(at_s) * 1_000,
            interval_s: INTERVAL_S,
        }
    }

    fn note(&mut self, at_s: u32) {
        let mut history = std::mem::take(&mut self.history);
        let mut told = Vec::new();
        history.note(&self.look(at_s), |_, sample| told.push(sample));
        self.told.extend(told);
        self.history = history;
    }

    fn note_rest(&mut self, at_s: u32) {
        let mut history = std::mem::take(&mut self.history);
        history.note_rest(&self.look(at_s));
        self.history = history;
    }

    fn stream(&self) -> &Stream {
        self.history.stream(on(0, 4_000), 7).expect("it is known")
    }

    /// In percent, of each entry.
    fn losses(&self) -> Vec<u64> {
        let entries = self.stream().entries();
        entries.map(|it| it.loss_percent()).collect()
    }

    fn times(&self) -> Vec<u32> {
        self.stream().entries().map(|it| it.at_s).collect()
    }
}

fn endpoint(number: u16) -> EndpointStats {
    EndpointStats {
        port: on(0, number),
        remote: None,
        learnt: true,
        ssrc: Some(7),
        payload_type: Some(8),
        idle_ms: None,
        rtp_packets_in: 0,
        rtp_bytes_in: 0,
        rtcp_packets_in: 0,
        rtcp_bytes_in: 0,
        packets_out: 0,
        bytes_out: 0,
        dropped: 0,
        sources: vec![source(7)],
        round_trip_us: None,
        transcoding: None,
    }
}

fn source(ssrc: u32) -> SourceStats {
    SourceStats {
        ssrc,
        payload_type: 8,
        packets: 0,
        bytes: 0,
        lost: 0,
        reordered: 0,
        duplicates: 0,
        jitter_us: Some(1_500),
        last_sequence: 0,
        last_timestamp: 0,
    }
}

#[test]
fn loss_that_begins_and_ends_is_the_lowest_and_its_time_is_told() {
    let mut bench = Bench::new(1);
    for (at_s, lost) in [(10, 0), (20, 0), (30, 100), (40, 0)] {
        bench.arrive(500 - lost, lost);
        bench.note(at_s);
    }
    let stream = bench.stream();
    assert_eq!((stream.samples(), stream.interval_s()), (4, 10));
    assert_eq!(bench.times(), [10, 20, 30, 40]);
    let (lowest, average, highest) = (stream.lowest(), stream.average(), stream.highest());
    assert_eq!((lowest.at_s, lowest.loss_percent()), (30, 20));
    assert_eq!((highest.at_s, highest.loss_percent()), (10, 0));
    assert_eq!(average.loss_percent(), 5);
    assert_eq!(highest.mos_tenths(), 44);
    assert!(lowest.mos_tenths() < 30, "{lowest:?}");
    assert!((lowest.mos_tenths()..44).contains(&average.mos_tenths()));
    assert_eq!(average.jitter_us(), Some(1_500));
    assert_eq!(average.round_trip_us(), None);
    assert_eq!(bench.told.len(), 4);
}

#[test]
fn a_progression_that_is_full_has_intervals_twice_as_long() {
    let mut bench = Bench::new(1);
    for at_s in (10..=120).step_by(10) {
        bench.arrive(500, 0);
        bench.note(at_s);
    }
    assert_eq!(bench.times().len(), ENTRIES_MAX);
    for at_s in (130..=250).step_by(10) {
        bench.arrive(400, 100);
        bench.note(at_s);
    }
    assert_eq!(bench.stream().interval_s(), 40);
    assert_eq!(bench.times(), [30, 70, 110, 150, 190, 230, 250]);
    assert_eq!(bench.losses(), [0, 0, 0, 15, 20, 20, 20]);
    assert_eq!(bench.stream().samples(), 25, "no sample is forgotten");
}

#[test]
fn each_sample_of_an_entry_has_the_same_weight() {
    let mut bench = Bench::new(1);
    for at_s in (10..=240).step_by(10) {
        bench.arrive(500, 0);
        bench.note(at_s);
    }
    // Joined one by one.
    for (at_s, lost) in [(250, 100), (260, 100), (270, 100), (280, 0)] {
        bench.arrive(500 - lost, lost);
        let jitter_us = (lost > 0).then_some(4_000);
        bench.stats.endpoints[0].sources[0].jitter_us = jitter_us;
        bench.note(at_s);
    }
    assert_eq!(bench.stream().interval_s(), 40);
    let last = bench.stream().entries().last().unwrap();
    assert_eq!((last.at_s, last.loss_percent()), (280, 0));
    assert_eq!(bench.losses()[6], 15, "of 240 to 270");
    let before = bench.stream().entries().nth(6).unwrap();
    assert_eq!(
        before.jitter_us(),
        Some((1_500 + 3 * 4_000) / 4 / 100 * 100)
    );
    assert_eq!(last.jitter_us(), None, "nobody knows");
    assert_eq!(bench.stream().average().loss_percent(), 3 * 20 / 28);
}

#[test]
fn entries_of_unlike_counts_are_joined_by_these() {
    let mut bench = Bench::new(1);
    // An entry of three samples, then one by interval, until two of each become one.
    for at_s in [1, 2, 3].into_iter().chain((10..=120).step_by(10)) {
        let lost = if at_s == 10 { 100 } else { 0 };
        bench.arrive(500 - lost, lost);
        bench.note(at_s);
    }
    assert_eq!(bench.stream().interval_s(), 20);
    assert_eq!(bench.losses()[0], 5, "one of four");
}

#[test]
fn more_samples_than_are_counted_keep_their_proportion() {
    let sample = |at_s, loss| Sample {
        at_s,
        mos: 4_500,
        loss,
        jitter: Time::of_tenths(u16::MAX),
        round_trip: Time::UNKNOWN,
        round_trip_leg: Time::of_tenths(1),
    };
    let mut entry = Entry::of(sample(0, 10_000));
    for at_s in 1..200_000 {
        entry = entry.with(Entry::of(sample(at_s, 10_000)));
    }
    let full = entry.with(entry);
    let mean = full.mean();
    assert_eq!((mean.at_s, mean.mos, mean.loss), (199_999, 4_500, 10_000));
    assert_eq!(mean.jitter, Time::of_tenths(u16::MAX));
    assert_eq!(mean.round_trip, Time::UNKNOWN);
    let mut half = entry;
    for at_s in 0..u32::from(entry.count) {
        half = half.with(Entry::of(sample(at_s, 0)));
    }
    assert!((2_400..=5_000).contains(&half.mean().loss), "{half:?}");
}

#[test]
fn a_pause_is_no_sample_and_few_packets_wait_for_more() {
    let mut bench = Bench::new(1);
    bench.arrive(500, 0);
    bench.note(10);
    bench.note(20);
    bench.arrive(4, 4);
    bench.note(30);
    assert_eq!(bench.times(), [10], "one of two is no measure");
    bench.arrive(92, 0);
    bench.note(40);
    assert_eq!(bench.times(), [10, 40]);
    assert_eq!(bench.stream().lowest().loss_percent(), 4, "it was counted");
}

#[test]
fn what_was_lost_may_come_yet_and_a_relay_may_count_anew() {
    let mut bench = Bench::new(1);
    bench.arrive(450, 50);
    bench.note(10);
    bench.arrive(510, 0);
    bench.stats.endpoints[0].sources[0].lost = 40;
    bench.note(20);
    assert_eq!(bench.losses()[1], 0);
    bench.stats.endpoints[0].sources[0] = source(7);
    bench.arrive(300, 100);
    bench.note(30);
    assert_eq!(bench.losses()[2], 25);
}

#[test]
fn the_rest_is_a_sample_if_it_is_long_enough() {
    let mut bench = Bench::new(1);
    bench.arrive(1, 0);
    bench.note(1);
    assert!(bench.history.is_empty(), "too few");
    bench.note_rest(1);
    assert_eq!(bench.times(), [1], "but all there is");
    bench.arrive(200, 0);
    bench.note_rest(5);
    assert_eq!(bench.times(), [1], "not half an interval");
    bench.arrive(200, 0);
    bench.note_rest(6);
    assert_eq!(bench.stream().samples(), 2);
    bench.note_rest(600);
    assert_eq!(bench.stream().samples(), 2, "nothing came");
}

#[test]
fn a_sample_ends_when_its_newest_packet_came() {
    let mut bench = Bench::new(1);
    bench.arrive(500, 0);
    bench.stats.endpoints[0].idle_ms = Some(3_500);
    bench.note(10);
    assert_eq!(bench.times(), [6]);
    // A clock that was set back.
    bench.arrive(500, 0);
    bench.note(2);
    assert_eq!(bench.stream().samples(), 2);
    assert_eq!(bench.times(), [6], "within one interval");
}

#[test]
fn many_streams_are_told_of_and_few_are_remembered() {
    let mut bench = Bench::new(40);
    for endpoint in &mut bench.stats.endpoints {
        endpoint.sources[0].packets = 500;
    }
    bench.note(10);
    assert_eq!(bench.history.streams.len(), STREAMS_MAX);
    let mut told = bench.history.clone();
    told.note_rest(&bench.look(11));
    assert_eq!(told.streams.len(), 40);
    // The relay has forgotten the first.
    bench.stats.endpoints[0].sources[0] = source(8);
    bench.note(20);
    assert!(bench.history.stream(on(0, 4_000), 7).is_none());
    assert_eq!(
        bench.history.streams.len(),
        STREAMS_MAX,
        "another has its place"
    );
}

#[test]
fn what_long_calls_have_is_small() {
    assert_eq!(size_of::<Sample>(), 16);
    assert_eq!(size_of::<Entry>(), 32);
    assert!(size_of::<Stream>() <= 88, "{}", size_of::<Stream>());
}

/// Seconds since the one before, packets, those lost, jitter and round trip.
type Heard = (u32, u16, u16, Option<u32>, Option<u32>);

fn looks() -> impl Strategy<Value = Vec<Heard>> {
    let round_trip = prop::option::of(0..5_000_000_u32);
    let jitter = prop::option::of(0..10_000_000_u32);
    let look = (0..100_000_u32, 0..600_u16, 0..600_u16, jitter, round_trip);
    prop::collection::vec(look, 1..200)
}

proptest! {
    #[test]
    fn whatever_comes_the_lowest_is_below_and_the_progression_is_bounded(looks in looks()) {
        let mut bench = Bench::new(1);
        let mut at_s = 0;
        for (gap_s, packets, lost, jitter_us, round_trip_us) in looks {
            at_s += gap_s;
            bench.arrive(packets.into(), lost.into());
            bench.stats.endpoints[0].sources[0].jitter_us = jitter_us;
            bench.stats.endpoints[0].round_trip_us = round_trip_us;
            bench.note(at_s);
        }
        bench.note_rest(at_s);
        let Some(stream) = bench.history.stream(on(0, 4_000), 7) else {
            return Ok(());
        };
        let (lowest, highest) = (stream.lowest().mos, stream.highest().mos);
        let all = stream.entries().chain([stream.average()]);
        for sample in all {
            prop_assert!((lowest..=highest).contains(&sample.mos), "{sample:?}");
            prop_assert!(sample.loss <= 10_000);
        }
        prop_assert!((1..=ENTRIES_MAX).contains(&stream.entries.len()));
        prop_assert!(stream.entries.capacity() <= ENTRIES_MAX);
        let interval_s = stream.interval_s();
        let doublings = interval_s / u64::from(INTERVAL_S);
        prop_assert!(interval_s % u64::from(INTERVAL_S) == 0 && doublings.is_power_of_two());
        let places = stream.entries().map(|it| u64::from(it.at_s) / interval_s);
        let places: Vec<_> = places.collect();
        prop_assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
        // No sample is forgotten, and each has the same weight: entries are what was told, in order.
        let told = &bench.told[..];
        prop_assert!(usize::try_from(stream.samples()).unwrap() - told.len() <= 1);
        let mut rest = told;
        for entry in &stream.entries {
            let (samples, others) = rest.split_at(usize::from(entry.count).min(rest.len()));
            rest = others;
            if samples.len() == usize::from(entry.count) {
                let loss: u32 = samples.iter().map(|it| u32::from(it.loss)).sum();
                prop_assert_eq!(u32::from(entry.mean().loss), loss / u32::from(entry.count));
            }
        }
        prop_assert!(rest.is_empty(), "{}", rest.len());
        let weighed = stream.entries.iter().map(|it| u32::from(it.mean().mos) * u32::from(it.count));
        let weighed = weighed.sum::<u32>() / stream.samples();
        prop_assert!(u32::from(stream.average().mos).abs_diff(weighed) <= 1);
    }

    #[test]
    fn looks_that_are_even_make_a_progression_that_is(phase in 0..INTERVAL_S, count in 1..1_000_u32) {
        let mut bench = Bench::new(1);
        for number in 0..count {
            bench.arrive(500, 0);
            bench.note(phase + number * INTERVAL_S);
        }
        let stream = bench.stream();
        prop_assert_eq!(stream.samples(), count);
        let mut times = bench.times();
        // The newest interval goes on.
        times.pop();
        let steps = times.windows(2).map(|it| u64::from(it[1] - it[0]));
        for step in steps {
            prop_assert_eq!(step, stream.interval_s());
        }
    }
}
