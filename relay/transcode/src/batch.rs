//! Frames of GSM of many streams, coded at once.
//!
//! Sixteen cost little more than one. What comes out is the same, to the bit, as if each stream had
//! coded its own: a stream puts off its frame, and does nothing else before that is done.

use codec::gsm::{
    Decoder, Decoding, Encoder, Encoding, FRAME_LEN, SAMPLES_PER_FRAME, decode_batch, encode_batch,
};

use crate::stream::Stream;

/// Frames that are coded at once.
const LANES: usize = 16;

/// Room for the frames of one batch. Allocates when it is made, and never else.
#[derive(Debug)]
pub struct Batch {
    decode: Box<[Decode; LANES]>,
    encode: Box<[Encode; LANES]>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            decode: Box::new(std::array::from_fn(|_| Decode::default())),
            encode: Box::new(std::array::from_fn(|_| Encode::default())),
        }
    }
}

impl Batch {
    /// Room for a batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes what [`Stream::begin_packet`] left. `find` finds the stream of a key in `streams`;
    /// no key may come twice. Says how many frames it has decoded.
    pub fn decode<S: ?Sized, K: Copy>(
        &mut self,
        streams: &mut S,
        keys: impl IntoIterator<Item = K>,
        find: impl Fn(&mut S, K) -> Option<&mut Stream>,
    ) -> usize {
        code(&mut self.decode, streams, keys, find)
    }

    /// Encodes what waits to leave and would else be encoded alone when it does. As
    /// [`Self::decode`].
    pub fn encode<S: ?Sized, K: Copy>(
        &mut self,
        streams: &mut S,
        keys: impl IntoIterator<Item = K>,
        find: impl Fn(&mut S, K) -> Option<&mut Stream>,
    ) -> usize {
        code(&mut self.encode, streams, keys, find)
    }
}

/// Work on one frame.
trait Lane: Sized {
    /// Takes the frame of a stream, and what it is coded with. Says whether there is one.
    fn take(&mut self, stream: &mut Stream) -> bool;
    /// Codes the first of the frames.
    fn run(lanes: &mut [Self; LANES], count: usize);
    /// Gives back what was taken, and what has become of it.
    fn give_back(&mut self, stream: &mut Stream);
}

fn code<L: Lane, S: ?Sized, K: Copy>(
    lanes: &mut [L; LANES],
    streams: &mut S,
    keys: impl IntoIterator<Item = K>,
    find: impl Fn(&mut S, K) -> Option<&mut Stream>,
) -> usize {
    let (mut owners, mut count, mut coded) = ([None; LANES], 0, 0);
    let finish = |lanes: &mut [L; LANES], streams: &mut S, owners: &[Option<K>]| {
        if owners.is_empty() {
            return;
        }
        L::run(lanes, owners.len());
        for (lane, key) in lanes.iter_mut().zip(owners) {
            if let Some(stream) = key.and_then(|key| find(streams, key)) {
                lane.give_back(stream);
            }
        }
    };
    for key in keys {
        let Some(stream) = find(streams, key) else {
            continue;
        };
        if lanes[count].take(stream) {
            owners[count] = Some(key);
            count += 1;
            coded += 1;
        }
        if count == LANES {
            finish(lanes, streams, &owners);
            count = 0;
        }
    }
    finish(lanes, streams, &owners[..count]);
    coded
}

#[derive(Debug)]
struct Decode {
    decoder: Decoder,
    frame: [u8; FRAME_LEN],
    samples: [i16; SAMPLES_PER_FRAME],
}

impl Default for Decode {
    fn default() -> Self {
        Self {
            decoder: Decoder::new(),
            frame: [0; FRAME_LEN],
            samples: [0; SAMPLES_PER_FRAME],
        }
    }
}

impl Lane for Decode {
    fn take(&mut self, stream: &mut Stream) -> bool {
        let Some((decoder, frame)) = stream.undecoded() else {
            return false;
        };
        self.frame = *frame;
        std::mem::swap(decoder, &mut self.decoder);
        true
    }

    fn run(lanes: &mut [Self; LANES], count: usize) {
        let mut jobs = lanes.each_mut().map(|it| Decoding {
            decoder: &mut it.decoder,
            frame: Some(&it.frame),
            samples: &mut it.samples,
        });
        decode_batch(&mut jobs[..count]);
    }

    fn give_back(&mut self, stream: &mut Stream) {
        if let Some((decoder, _)) = stream.undecoded() {
            std::mem::swap(decoder, &mut self.decoder);
            stream.set_decoded(&self.samples);
        }
    }
}

#[derive(Debug)]
struct Encode {
    encoder: Encoder,
    samples: [i16; SAMPLES_PER_FRAME],
    frame: [u8; FRAME_LEN],
}

impl Default for Encode {
    fn default() -> Self {
        Self {
            encoder: Encoder::new(),
            samples: [0; SAMPLES_PER_FRAME],
            frame: [0; FRAME_LEN],
        }
    }
}

impl Lane for Encode {
    fn take(&mut self, stream: &mut Stream) -> bool {
        let Some(Encoding {
            encoder, samples, ..
        }) = stream.unencoded()
        else {
            return false;
        };
        self.samples = *samples;
        std::mem::swap(encoder, &mut self.encoder);
        true
    }

    fn run(lanes: &mut [Self; LANES], count: usize) {
        let mut jobs = lanes.each_mut().map(|it| Encoding {
            encoder: &mut it.encoder,
            samples: &it.samples,
            frame: &mut it.frame,
        });
        encode_batch(&mut jobs[..count]);
    }

    fn give_back(&mut self, stream: &mut Stream) {
        if let Some(Encoding { encoder, frame, .. }) = stream.unencoded() {
            std::mem::swap(encoder, &mut self.encoder);
            *frame = self.frame;
            stream.set_encoded();
        }
    }
}
