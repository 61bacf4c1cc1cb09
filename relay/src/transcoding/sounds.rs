//! Sounds that control has sent, for codec threads to play.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use codec::Rate;
use relay_transcode::Sound;
use relay_wire::{SOUND_SAMPLES_MAX, SampleRate, SoundKey, SoundPiece};

/// Sounds at most, with those that are being played and were forgotten.
const SOUNDS_MAX: usize = 4_096;

/// Samples of all of them: a quarter of a gigabyte.
const SAMPLES_MAX: usize = 128 * 1024 * 1024;

/// Sounds that may be played. The link puts them here, workers take them from here: a few times for
/// a request, and never for a packet.
#[derive(Debug, Default)]
pub(crate) struct Sounds(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    whole: HashMap<SoundKey, Arc<Sound>>,
    /// These, and those that are played though they were forgotten.
    alive: Vec<Weak<Sound>>,
    /// What has come of the sound that is coming.
    coming: Option<(SoundKey, usize, Sound)>,
    refused: u64,
}

impl Sounds {
    /// Takes a piece in.
    pub(crate) fn add(&self, piece: &SoundPiece) {
        let mut shelf = self.lock();
        if shelf.take(piece).is_none() {
            shelf.coming = None;
            shelf.refused += 1;
        }
    }

    pub(crate) fn forget(&self, sound: SoundKey) {
        self.lock().whole.remove(&sound);
    }

    /// Another control takes over, which knows of none.
    pub(crate) fn forget_all(&self) {
        let mut shelf = self.lock();
        shelf.whole.clear();
        shelf.coming = None;
    }

    pub(super) fn get(&self, sound: SoundKey) -> Option<Arc<Sound>> {
        self.lock().whole.get(&sound).map(Arc::clone)
    }

    /// Gauges, and what was not taken in.
    pub(super) fn counters(&self) -> [(&'static str, u64); 3] {
        let mut shelf = self.lock();
        let samples = shelf.samples();
        [
            ("sounds", shelf.alive.len() as u64),
            ("sounds_bytes", 2 * samples as u64),
            ("sounds_refused", shelf.refused),
        ]
    }

    /// Nothing in here is left half done by a thread that ends.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// `None`: it is not of the sound that is coming, or that is too long.
    fn take(&mut self, piece: &SoundPiece) -> Option<()> {
        let (samples, odd) = piece.samples.as_chunks();
        if piece.start == 0 {
            self.begin(piece)?;
        }
        let (key, len, mut sound) = self.coming.take()?;
        let end = sound.samples.len() + samples.len();
        let fits = key == piece.sound
            && usize::try_from(piece.start) == Ok(sound.samples.len())
            && end <= len
            && odd.is_empty();
        if !fits {
            return None;
        }
        let samples = samples.iter().map(|it| i16::from_le_bytes(*it));
        sound.samples.extend(samples);
        if end < len {
            self.coming = Some((key, len, sound));
        } else {
            let sound = Arc::new(sound);
            self.alive.push(Arc::downgrade(&sound));
            self.whole.insert(key, sound);
        }
        Some(())
    }

    fn begin(&mut self, piece: &SoundPiece) -> Option<()> {
        let len = usize::try_from(piece.len).ok()?;
        let has_room = len <= SOUND_SAMPLES_MAX && self.samples() + len <= SAMPLES_MAX;
        if !has_room || self.alive.len() >= SOUNDS_MAX {
            return None;
        }
        let sound = Sound {
            rate: rate(piece.rate),
            samples: Vec::with_capacity(len),
        };
        self.coming = Some((piece.sound, len, sound));
        Some(())
    }

    /// Samples of all sounds that are still somewhere.
    fn samples(&mut self) -> usize {
        self.alive.retain(|it| it.strong_count() > 0);
        let alive = self.alive.iter().filter_map(Weak::upgrade);
        alive.map(|it| it.samples.len()).sum()
    }
}

pub(super) fn rate(rate: SampleRate) -> Rate {
    match rate {
        SampleRate::Narrow => Rate::Narrow,
        SampleRate::Wide => Rate::Wide,
        SampleRate::Full => Rate::Full,
        SampleRate::Stereo => Rate::Stereo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sound: u64, len: u32, start: u32, samples: &[i16]) -> SoundPiece {
        SoundPiece {
            sound: SoundKey(sound),
            rate: SampleRate::Narrow,
            len,
            start,
            samples: samples.iter().flat_map(|it| it.to_le_bytes()).collect(),
        }
    }

    fn counter(sounds: &Sounds, name: &str) -> u64 {
        let mut counters = sounds.counters().into_iter();
        counters.find(|it| it.0 == name).unwrap().1
    }

    #[test]
    fn a_sound_is_there_when_all_of_it_has_come() {
        let sounds = Sounds::default();
        sounds.add(&piece(1, 3, 0, &[5, -6]));
        assert!(sounds.get(SoundKey(1)).is_none());
        sounds.add(&piece(1, 3, 2, &[7]));
        assert_eq!(sounds.get(SoundKey(1)).unwrap().samples, [5, -6, 7]);
        assert_eq!(counter(&sounds, "sounds_bytes"), 6);
        assert_eq!(counter(&sounds, "sounds_refused"), 0);
    }

    #[test]
    fn what_does_not_follow_makes_no_sound() {
        let wrong = [
            piece(1, 3, 1, &[7]),
            piece(2, 3, 2, &[7]),
            piece(1, 3, 2, &[7, 8]),
            SoundPiece {
                samples: vec![7],
                ..piece(1, 3, 2, &[])
            },
        ];
        for piece_of_none in wrong {
            let sounds = Sounds::default();
            sounds.add(&piece(1, 3, 0, &[5, -6]));
            sounds.add(&piece_of_none);
            sounds.add(&piece(1, 3, 2, &[7]));
            assert!(sounds.get(SoundKey(1)).is_none(), "{piece_of_none:?}");
            assert_eq!(counter(&sounds, "sounds"), 0);
            assert!(counter(&sounds, "sounds_refused") > 0);
        }
    }

    #[test]
    fn what_is_played_is_kept_and_counted_though_it_is_forgotten() {
        let sounds = Sounds::default();
        sounds.add(&piece(1, 1, 0, &[5]));
        sounds.add(&piece(2, 1, 0, &[5]));
        let played = sounds.get(SoundKey(1)).unwrap();
        sounds.forget(SoundKey(1));
        assert!(sounds.get(SoundKey(1)).is_none());
        sounds.forget_all();
        assert_eq!(counter(&sounds, "sounds"), 1);
        drop(played);
        assert_eq!(counter(&sounds, "sounds"), 0);
    }

    #[test]
    fn there_is_an_end_to_memory() {
        let sounds = Sounds::default();
        let too_long = u32::try_from(SOUND_SAMPLES_MAX).unwrap() + 1;
        for len in [too_long, u32::MAX] {
            sounds.add(&piece(1, len, 0, &[]));
            assert_eq!(sounds.lock().coming, None);
        }
        for sound in 0..5_000 {
            sounds.add(&piece(sound, 1, 0, &[1]));
        }
        assert_eq!(counter(&sounds, "sounds"), 4_096);
        assert_eq!(counter(&sounds, "sounds_refused"), 2 + 5_000 - 4_096);
    }
}
