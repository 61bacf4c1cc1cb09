//! Frames of many streams at once.
//!
//! Streams go in groups of sixteen. What needs the sample before is done across a group, the rest
//! within each stream; a group of few takes hardly less time than a full one.

use super::SAMPLES_PER_FRAME;
use super::decoder::{Course, Decoder};
use super::encoder::Encoder;
use super::frame::FRAME_LEN;
use super::homing;
use super::lanes::{self, Frames};
use super::prediction;
use super::ratios::{self, Stages};
use super::simd::{LANES, Level, Row, Simd, Work};

/// A frame to be made.
#[derive(Debug)]
pub struct Encoding<'a> {
    /// The stream.
    pub encoder: &'a mut Encoder,
    /// Its samples.
    pub samples: &'a [i16; SAMPLES_PER_FRAME],
    /// Where the frame goes.
    pub frame: &'a mut [u8; FRAME_LEN],
}

/// A frame to be decoded, or replaced.
#[derive(Debug)]
pub struct Decoding<'a> {
    /// The stream.
    pub decoder: &'a mut Decoder,
    /// The frame; `None` if it was lost.
    pub frame: Option<&'a [u8; FRAME_LEN]>,
    /// Where the samples go.
    pub samples: &'a mut [i16; SAMPLES_PER_FRAME],
}

/// Codes a frame of each of many streams, exactly as [`Encoder::encode`] would.
pub fn encode_batch(batch: &mut [Encoding<'_>]) {
    encode_at(Level::best(), batch);
}

/// Decodes a frame of each of many streams, exactly as [`Decoder::decode`] and
/// [`Decoder::conceal`] would.
pub fn decode_batch(batch: &mut [Decoding<'_>]) {
    decode_at(Level::best(), batch);
}

fn encode_at(level: Level, batch: &mut [Encoding<'_>]) {
    for group in batch.chunks_mut(LANES) {
        if level.pays_for(group.len()) {
            level.run(Encode(group));
            continue;
        }
        for job in group {
            *job.frame = job.encoder.encode_alone(job.samples);
        }
    }
}

fn decode_at(level: Level, batch: &mut [Decoding<'_>]) {
    for group in batch.chunks_mut(LANES) {
        if level.pays_for(group.len()) {
            level.run(Decode(group));
            continue;
        }
        for job in group {
            *job.samples = job.decoder.decode_alone(job.frame);
        }
    }
}

/// At most [`LANES`] frames.
struct Encode<'a, 'b>(&'a mut [Encoding<'b>]);

impl Work for Encode<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(jobs) = self;
        let mut filtered = filter(simd, jobs);
        let mut ratios = [[0; 8]; LANES];
        let mut reflections = [[[0; 8]; LANES]; 4];
        let mut states = [[0; 8]; LANES];
        for (lane, job) in jobs.iter_mut().enumerate() {
            ratios[lane] = ratios::encode(&prediction::analyse(&mut filtered[lane]));
            let parts = job.encoder.previous.reflections(&ratios[lane]);
            for (all, part) in reflections.iter_mut().zip(parts) {
                all[lane] = part;
            }
            states[lane] = job.encoder.lattice;
        }
        let mut rows = lanes::to_rows(simd, &filtered);
        lanes::analyse(simd, &mut states, &reflections, &mut rows);
        let residuals = lanes::to_frames(simd, &rows);
        for (lane, job) in jobs.iter_mut().enumerate() {
            job.encoder.lattice = states[lane];
            let correlate = |scaled: &_, history: &_| simd.correlate(scaled, history);
            let parameters = job
                .encoder
                .encode_residual(ratios[lane], &residuals[lane], correlate);
            *job.frame = parameters.pack();
            if homing::sends_encoder_home(job.samples) {
                job.encoder.reset();
            }
        }
    }
}

/// The samples of each job, ready to be predicted.
#[inline(always)]
fn filter<S: Simd>(simd: S, jobs: &mut [Encoding<'_>]) -> Frames {
    let mut frames = [[0; SAMPLES_PER_FRAME]; LANES];
    let mut states = [[0; 8]; LANES];
    for (lane, job) in jobs.iter().enumerate() {
        frames[lane] = *job.samples;
        states[lane] = job.encoder.preprocess.to_lane();
    }
    let mut rows = lanes::to_rows(simd, &frames);
    lanes::preprocess(simd, &mut states, &mut rows);
    for (job, state) in jobs.iter_mut().zip(&states) {
        job.encoder.preprocess.set_from_lane(state);
    }
    lanes::to_frames(simd, &rows)
}

/// At most [`LANES`] frames.
struct Decode<'a, 'b>(&'a mut [Decoding<'b>]);

impl Work for Decode<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(jobs) = self;
        let mut courses = [Course::StayHome; LANES];
        let mut residuals = [[0; SAMPLES_PER_FRAME]; LANES];
        let mut reflections = [[[0; 8]; LANES]; 4];
        let mut states: [Stages; LANES] = [[0; 8]; LANES];
        let mut last_outputs: Row = [0; LANES];
        for (lane, job) in jobs.iter_mut().enumerate() {
            let decoder = &mut *job.decoder;
            let (parameters, course) = decoder.begin(job.frame);
            courses[lane] = course;
            if course == Course::StayHome {
                continue;
            }
            residuals[lane] = decoder.residual(&parameters.subframes);
            let parts = decoder.previous.reflections(&parameters.ratios);
            for (all, part) in reflections.iter_mut().zip(parts) {
                all[lane] = part;
            }
            states[lane] = decoder.lattice;
            last_outputs[lane] = decoder.last_output;
        }
        let mut rows = lanes::to_rows(simd, &residuals);
        lanes::synthesise(
            simd,
            &mut states,
            &mut last_outputs,
            &reflections,
            &mut rows,
        );
        let samples = lanes::to_frames(simd, &rows);
        for (lane, job) in jobs.iter_mut().enumerate() {
            if courses[lane] == Course::StayHome {
                *job.samples = homing::SAMPLES;
                continue;
            }
            *job.samples = samples[lane];
            job.decoder.lattice = states[lane];
            job.decoder.last_output = last_outputs[lane];
            job.decoder.end(courses[lane]);
        }
    }
}

#[cfg(test)]
mod tests;
