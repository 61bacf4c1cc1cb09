//! The decoders of the codecs.

use tandem_fuzz::{Input, seeds, target};

target!(g722, payloads(160), 4_000, codec::fuzz::g722);
target!(gsm, gsm_packets(), 3_000, codec::fuzz::gsm);
target!(
    concealment,
    seeds::scripts(),
    3_000,
    codec::fuzz::concealment
);
target!(ilbc, frames(), 5_000, codec::fuzz::ilbc);
target!(
    comfort_noise,
    payloads(11),
    20_000,
    codec::fuzz::comfort_noise
);
target!(
    telephone_event,
    seeds::scripts(),
    40_000,
    codec::fuzz::telephone_event
);

target!(any_decoder, packets(), 4_000, codec::fuzz::decoder);

/// Payloads of this length: silence of several codecs, all octets, and nothing.
fn payloads(len: usize) -> Vec<Input> {
    let counting = (0..=u8::MAX).cycle().take(len).collect();
    let alternating = [0x00, 0xff].into_iter().cycle().take(len).collect();
    let mut seeds = vec![Input::new(), counting, alternating];
    seeds.extend([0x00, 0xff, 0xd5, 0xfa].map(|octet| vec![octet; len]));
    seeds
}

/// Packets of one frame and of several: a frame that sends a decoder home, and others.
fn gsm_packets() -> Vec<Input> {
    let encode = |sample| codec::gsm::Encoder::new().encode(&[sample; 160]);
    let frames = [8, 0, -1, 9_000].map(encode);
    let mut seeds = vec![Input::new(), frames[0].to_vec(), frames.concat()];
    for streams in [1, 2, 16, 33] {
        let mut seed = vec![streams - 1];
        seed.extend(frames.as_flattened().repeat(16));
        seeds.push(seed);
    }
    seeds
}

/// For each codec some packets of lengths that it may have.
fn packets() -> Vec<Input> {
    let packet = |len: u8| {
        [len]
            .into_iter()
            .chain((0..len).map(move |at| at.wrapping_mul(37) ^ len))
    };
    let packets = |codec: u8| {
        let lens = [33, 38, 50, 100, 66, 160, 7, 23, 1];
        let packets = lens.into_iter().flat_map(packet);
        [codec].into_iter().chain(packets).collect()
    };
    (0..10).map(packets).collect()
}

/// A mode and losses, then frames of either mode.
fn frames() -> Vec<Input> {
    let seeds = payloads(1 + 4 * 38).into_iter().chain(payloads(1 + 3 * 50));
    seeds.chain(payloads(1 + 38)).collect()
}
