//! What the relay has, and the reading of what it has not.

use std::path::PathBuf;

use control_core::sound::{Decoded, Sound, Told, decode};
use control_core::{Load, Loaded, Source};
use relay_wire::{SampleRate, SoundKey};

use super::file::{Identity, Opened, ReadError};

/// Sounds that the relay keeps.
const SOUNDS_MAX: usize = 512;

/// Samples of all of them: 64 MiB.
const SAMPLES_MAX: usize = 32 * 1024 * 1024;

/// What the relay has been given, the least lately used first.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: Option<PathBuf>,
    all: Vec<Kept>,
    last: u64,
    connection: u64,
}

/// A sound that the relay has.
#[derive(Clone, Copy, Debug)]
struct Kept {
    key: SoundKey,
    /// Of what; `None` for what came with a request and will not be asked for again.
    file: Option<Identity>,
    rate: SampleRate,
    told: Told,
    samples: usize,
}

impl Shelf {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            all: Vec::new(),
            last: 0,
            connection: 0,
        }
    }

    /// Forgets what a relay had before.
    pub(super) fn begin(&mut self, connection: u64) {
        if self.connection != connection {
            self.connection = connection;
            self.all.clear();
        }
    }

    /// Names of what is asked for; what of it the relay has not yet; and what it is to forget.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(super) fn load(
        &mut self,
        load: &Load,
        new: &mut Vec<(SoundKey, Sound)>,
        over: &mut Vec<SoundKey>,
    ) -> Result<Loaded, ReadError> {
        let (file, decoded) = match &load.source {
            Source::Blob(bytes) => {
                let decoded = decode(bytes, &load.rates).map_err(ReadError::Blob)?;
                (None, decoded)
            }
            Source::File(path) => {
                let name = || String::from_utf8_lossy(path).into_owned();
                let Some(folder) = &self.folder else {
                    return Err(ReadError::NoFolder(name()));
                };
                let opened = Opened::new(folder, path)?;
                let identity = opened.identity;
                if let Some(loaded) = self.find(identity, &load.rates) {
                    return Ok(loaded);
                }
                let bytes = opened.read().map_err(|source| ReadError::File {
                    path: name(),
                    source,
                })?;
                let decoded = decode(&bytes, &load.rates);
                let decoded = decoded.map_err(|source| ReadError::Decode {
                    path: name(),
                    source,
                })?;
                (Some(identity), decoded)
            }
        };
        Ok(self.keep(file, decoded, new, over))
    }

    /// What the relay has of a file, if it has it for all rates.
    fn find(&mut self, file: Identity, rates: &[SampleRate]) -> Option<Loaded> {
        let find = |rate: &SampleRate| {
            let mut all = self.all.iter();
            all.position(|it| it.file == Some(file) && it.rate == *rate)
        };
        let places: Option<Vec<_>> = rates.iter().map(find).collect();
        let mut places = places?;
        let kept: Vec<_> = places.iter().map(|at| self.all[*at]).collect();
        places.sort_unstable();
        for at in places.iter().rev() {
            self.all.remove(*at);
        }
        self.all.extend(&kept);
        Some(Loaded {
            told: kept.first()?.told,
            sounds: kept.iter().map(|it| (it.rate, it.key)).collect(),
        })
    }

    fn keep(
        &mut self,
        file: Option<Identity>,
        decoded: Decoded,
        new: &mut Vec<(SoundKey, Sound)>,
        over: &mut Vec<SoundKey>,
    ) -> Loaded {
        let Decoded { told, sounds } = decoded;
        let mut names = Vec::new();
        let needed: usize = sounds.iter().map(|it| it.samples.len()).sum();
        self.make_room(sounds.len(), needed, over);
        for sound in sounds {
            self.last += 1;
            let key = SoundKey(self.last);
            names.push((sound.rate, key));
            self.all.push(Kept {
                key,
                file,
                rate: sound.rate,
                told,
                samples: sound.samples.len(),
            });
            new.push((key, sound));
        }
        Loaded {
            told,
            sounds: names,
        }
    }

    /// Lets go of what was not asked for for the longest time.
    fn make_room(&mut self, sounds: usize, samples: usize, over: &mut Vec<SoundKey>) {
        let mut kept: usize = self.all.iter().map(|it| it.samples).sum();
        let mut gone = 0;
        for it in &self.all {
            let left = self.all.len() - gone;
            if left + sounds <= SOUNDS_MAX && kept + samples <= SAMPLES_MAX {
                break;
            }
            over.push(it.key);
            kept -= it.samples;
            gone += 1;
        }
        self.all.drain(..gone);
    }
}
