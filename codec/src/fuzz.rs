//! Bodies of the fuzz targets: any bytes may come, nothing may panic, and what comes out holds
//! together.

use crate::comfort_noise::{self, Description};
use crate::g722;
use crate::gsm;
use crate::ilbc;
use crate::plc::Concealment;
use crate::telephone_event::{self, Payload, Receiver};
use crate::{Codec, Decoder, Rate, SAMPLES_MAX};

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

/// GSM: the packet that the input is, and the frames in it to as many streams as the first octet
/// says, some of them lost. Together they are decoded as each alone.
pub fn gsm(data: &[u8]) {
    if let Ok(frames) = gsm::split(data) {
        assert_eq!(frames.as_flattened(), data);
    }
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let stream_count = 1 + usize::from(first % 40);
    let mut together = vec![gsm::Decoder::new(); stream_count];
    let mut alone = together.clone();
    for frames in rest.as_chunks().0.chunks(stream_count) {
        let is_there = |frame: &&[u8; gsm::FRAME_LEN]| frame[0] & 7 != 0;
        let frames = frames.iter().map(|frame| Some(frame).filter(is_there));
        let frames: Vec<_> = frames.collect();
        let mut samples = vec![[0; gsm::SAMPLES_PER_FRAME]; frames.len()];
        let jobs = together.iter_mut().zip(&frames).zip(&mut samples);
        let jobs = jobs.map(|((decoder, frame), samples)| gsm::Decoding {
            decoder,
            frame: *frame,
            samples,
        });
        gsm::decode_batch(&mut jobs.collect::<Vec<_>>());
        for ((decoder, frame), samples) in alone.iter_mut().zip(frames).zip(samples) {
            let expected = match frame {
                Some(frame) => decoder.decode(frame),
                None => decoder.conceal(),
            };
            assert_eq!(samples, expected);
            assert!(samples.iter().all(|sample| sample & 7 == 0));
        }
    }
}

/// Concealment: each octet is a packet, lost or not, of so many samples.
pub fn concealment(data: &[u8]) {
    let rate = [Rate::Narrow, Rate::Wide][data.len() % 2];
    let mut concealment = Concealment::new(rate);
    let mut samples = [0; 8 * 64];
    for octet in data {
        let samples = &mut samples[..8 * usize::from(octet % 64)];
        if octet % 3 == 0 {
            concealment.conceal(samples);
        } else {
            for (at, sample) in (0..).zip(&mut *samples) {
                *sample = i16::from(*octet).wrapping_mul(at % 97).wrapping_sub(9_000);
            }
            concealment.receive(samples);
        }
    }
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
    let mut codecs = Codec::ALL.into_iter().chain(Codec::FULL).cycle();
    let Some(codec) = codecs.nth((*first).into()) else {
        return;
    };
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

/// iLBC: the first octet chooses the mode, the others are frames; those of which it has bits set
/// are lost. Whatever was heard before, a frame of silence is quiet soon after.
pub fn ilbc(data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let mode = ilbc::Mode::ALL[usize::from(first % 2)];
    let mut decoder = ilbc::Decoder::new(mode);
    let mut samples = vec![0; mode.samples()];
    if let Ok((sent, frames)) = mode.split(payload) {
        decoder = ilbc::Decoder::new(sent);
        samples.resize(sent.samples(), 0);
        for (number, frame) in frames.enumerate() {
            let is_lost = first >> (number % 7 + 1) & 1 == 1;
            let len = match is_lost {
                true => decoder.conceal(&mut samples),
                false => decoder.decode(frame, &mut samples),
            };
            assert_eq!(len, samples.len());
        }
    } else {
        assert_eq!(decoder.decode(payload, &mut samples), samples.len());
    }
    let mut frame = vec![0; decoder.mode().frame_len()];
    let mut again = ilbc::Encoder::new(decoder.mode());
    assert_eq!(again.encode(&samples, &mut frame), frame.len());
    for _ in 0..12 {
        decoder.conceal(&mut samples);
    }
    assert!(
        samples.iter().all(|sample| sample.abs() < 64),
        "{samples:?}"
    );
}
