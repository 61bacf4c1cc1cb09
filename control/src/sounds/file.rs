//! Files below one folder.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use control_core::sound::SoundError;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Bytes of a file that are read at most: ten minutes in two channels with 48 kHz are less.
const BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Why something cannot be played. Texts are as clients sent them.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{path:?}: {source}")]
    Decode { path: String, source: SoundError },
    #[error("{path:?}: {source}")]
    File { path: String, source: io::Error },
    #[error("a blob: {0}")]
    Blob(SoundError),
    #[error("{0:?} is asked for, but control.media_folder names no folder")]
    NoFolder(String),
    #[error("{0:?} is no file, or too long")]
    NoFile(String),
}

impl ReadError {
    /// What a client can be told.
    pub(super) fn kind(&self) -> SoundError {
        match self {
            Self::Blob(error) | Self::Decode { source: error, .. } => *error,
            Self::File { .. } | Self::NoFolder(_) | Self::NoFile(_) => SoundError::Malformed,
        }
    }
}

/// A file, opened, and what tells it from another or from itself with other contents.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    len: u64,
    pub(super) identity: Identity,
}

/// Tells files apart, and what they held at different times.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity([i128; 5]);

impl Opened {
    /// Opens a file that lies below the folder: its path from there, or its whole path.
    pub(super) fn new(folder: &Path, path: &[u8]) -> Result<Self, ReadError> {
        let name = || String::from_utf8_lossy(path).into_owned();
        let failed = |source: io::Error| ReadError::File {
            path: name(),
            source,
        };
        let below = Path::new(std::ffi::OsStr::from_bytes(path));
        let below = below.strip_prefix(folder).unwrap_or(below);
        let root = File::open(folder).map_err(failed)?;
        // Neither `..`, nor links, nor a whole path lead out of it; and a pipe is not waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(&root, below, flags, Mode::empty(), resolve);
        let file = File::from(opened.map_err(|error| failed(error.into()))?);
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() || about.len() > BYTES_MAX {
            return Err(ReadError::NoFile(name()));
        }
        let identity = [
            i128::from(about.dev()),
            i128::from(about.ino()),
            i128::from(about.len()),
            i128::from(about.mtime()),
            i128::from(about.mtime_nsec()),
        ];
        Ok(Self {
            file,
            len: about.len(),
            identity: Identity(identity),
        })
    }

    pub(super) fn read(self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // It may have grown since.
        self.file.take(self.len).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
