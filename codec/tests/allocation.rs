//! Nothing allocates once it is set up: counted by the allocator itself.

use std::hint::black_box;

use codec::comfort_noise::{self, Analyzer, Description};
use codec::resample::{Down, Up};
use codec::{Codec, Decoder, Encoder, PAYLOAD_LEN_MAX, Rate, SAMPLES_MAX, telephone_event, tone};
use tandem_allocations::{Counting, of_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often something allocates.
fn allocations_of(action: impl FnOnce()) -> u64 {
    let before = of_thread();
    action();
    of_thread() - before
}

#[test]
fn the_counter_counts() {
    let count = allocations_of(|| drop(black_box(Box::new(1))));
    assert_eq!(count, 1);
}

#[test]
fn no_codec_allocates_while_it_works() {
    let mut payload = [0; PAYLOAD_LEN_MAX];
    let mut samples = [0; SAMPLES_MAX];
    for codec in Codec::ALL.into_iter().chain(Codec::FULL) {
        let mut encoder = Encoder::new(codec).unwrap();
        let mut decoder = Decoder::new(codec).unwrap();
        let packet = codec.packet_samples(20);
        let sound: Vec<i16> = (0..4_001).step_by(7).cycle().take(packet).collect();
        let count = allocations_of(|| {
            for turn in 0..20 {
                let len = encoder.encode(&sound, &mut payload).unwrap();
                if turn % 5 == 4 {
                    decoder.conceal(Some(&payload[..len]), &mut samples[..packet]);
                }
                decoder.decode(&payload[..len], &mut samples).unwrap();
                assert!(decoder.decode(&[1, 2, 3], &mut []).is_err());
            }
        });
        assert_eq!(count, 0, "{codec:?}");
    }
}

#[test]
fn nor_does_what_goes_with_speech() {
    let mut noise = comfort_noise::Generator::new();
    let mut analyzer = Analyzer::new();
    let (mut up, mut down) = (Up::new(), Down::new());
    let mut keys = tone::Generator::new(Rate::Narrow);
    let mut detector = tone::Detector::new(Rate::Narrow);
    let mut events = telephone_event::Sender::new();
    let mut receiver = telephone_event::Receiver::new();
    let (mut narrow, mut wide) = ([0; 160], [0; 320]);
    let count = allocations_of(|| {
        for _ in 0..20 {
            noise.describe(&Description::parse(&[40, 100, 140]).unwrap());
            noise.generate(&mut narrow);
            analyzer.listen(&narrow);
            black_box(analyzer.describe(10));
            up.resample(&narrow, &mut wide);
            down.resample(&wide, &mut narrow);
            keys.begin(5, 10);
            keys.generate(&mut narrow);
            detector.listen(&narrow, |_, edge| {
                black_box(edge);
            });
            events.begin(0, 5, 10);
            let packet = events.poll_packet().unwrap();
            receiver.handle_packet(packet.timestamp, &packet.payload);
        }
    });
    assert_eq!(count, 0);
}
