//! Bodies of the fuzz targets: any bytes may come, nothing may panic, and what comes out holds
//! together.

use crate::comfort_noise::{self, Description};
use crate::g722;
use crate::telephone_event::{self, Payload, Receiver};
use crate::{Codec, Decoder, SAMPLES_MAX};

/// G.722: the first octet chooses the mode.
pub fn g722(data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let mode = [g722::Mode::One, g722::Mode::Two, g722::Mode::Three][usize::from(first % 3)];
    let mut samples = vec![0; 2 * payload.len()];
    let len = g722::Decoder::with_mode(mode).decode(payload, &mut samples);
    assert_eq!(len, samples.len());
    let mut again = vec![0; payload.len()];
    let len = g722::Encoder::new().encode(&samples, &mut again);
    assert_eq!(len, payload.len());
}

/// Comfort noise: what is read is written the same, and can be listened to.
pub fn comfort_noise(data: &[u8]) {
    let Some(description) = Description::parse(data) else {
        assert!(data.is_empty());
        return;
    };
    let mut payload = [0; comfort_noise::PAYLOAD_LEN_MAX];
    let len = description.emit(&mut payload);
    assert_eq!(Description::parse(&payload[..len]), Some(description));
    let mut generator = comfort_noise::Generator::new();
    generator.describe(&description);
    let mut samples = [0; 400];
    generator.generate(&mut samples);
    let mut analyzer = comfort_noise::Analyzer::new();
    analyzer.listen(&samples);
    let heard = analyzer.describe(usize::from(data[0]) % 16);
    assert!(heard.reflections().all(|it| it.abs() < 1.0));
}

/// Telephone events: packets of a timestamp and a payload, in any order. An event begins before it
/// goes on, ends once and never becomes shorter.
pub fn telephone_event(data: &[u8]) {
    let mut receiver = Receiver::new();
    let mut event: Option<telephone_event::Heard> = None;
    for packet in data.as_chunks::<6>().0 {
        let timestamp = u32::from_be_bytes([packet[0], packet[1], 0, 0]);
        let payload = &packet[2..];
        let parsed = Payload::parse(payload).map(|it| it.event);
        let Some(heard) = receiver.handle_packet(timestamp, payload) else {
            continue;
        };
        assert_eq!(Some(heard.event), parsed);
        if !heard.is_new {
            let before = event.expect("an event goes on that has begun");
            assert!(!before.is_end && before.duration <= heard.duration);
            assert_eq!(before.timestamp, heard.timestamp);
        }
        assert_eq!(receiver.is_active(), !heard.is_end);
        event = Some(heard);
    }
}

/// Any codec: the first octet chooses it, the others are packets, of which each octet says the
/// length of the next one. Some are lost.
pub fn decoder(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else {
        return;
    };
    let codec = Codec::ALL[usize::from(*first) % Codec::ALL.len()];
    let mut decoder = Decoder::new(codec).expect("there is memory");
    let mut samples = [0; SAMPLES_MAX];
    while let Some((len, others)) = rest.split_first() {
        let (payload, later) = others.split_at(others.len().min(usize::from(*len)));
        if len % 8 == 7 {
            decoder.conceal(Some(payload), &mut samples[..usize::from(*len) * 3]);
        }
        let said = codec.samples_in(payload);
        let decoded = decoder.decode(payload, &mut samples);
        if let Ok(len) = decoded {
            assert_eq!(said.as_ref(), Ok(&len));
        }
        rest = later;
    }
}
