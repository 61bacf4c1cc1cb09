//! What can go wrong, in words that say what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::account::{NameError, PasswordError};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk is full.
    #[error("no space is left for the database {}: free some, nothing is lost that was written", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// Another process holds the write lock.
    #[error(
        "the database {} is locked by another process for longer than we wait: \
         end what keeps it open (a shell with an unfinished transaction, a backup) and try again",
        path.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// Not a legal user name.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A later release has changed the database.
    #[error(
        "the database {} was written by a newer release (schema {found}, this one knows {known}): \
         install that release again, or restore a backup made before it",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// The file is something else.
    #[error(
        "{} is not a database of ours: point tandem.data_dir to another folder, or move the file away",
        path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be opened or written by this user.
    #[error(
        "the database {} cannot be opened for writing ({reason}): \
         run as the user that owns it, or give this user the folder and the file",
        path.display()
    )]
    NotWritable {
        /// The database.
        path: PathBuf,
        /// The system's word for it.
        reason: String,
    },
    /// Not a legal password.
    #[error("{0}")]
    Password(#[from] PasswordError),
    /// Passwords were hashed for another realm, so nobody could log in.
    #[error(
        "{count} account(s), among them {user:?}, have passwords for the realm {stored:?}, but the realm is now \
         {configured:?}: put {stored:?} first in sip_proxy.domains again, or set each password anew \
         (`tandem user passwd NAME`)"
    )]
    RealmDiffers {
        /// How many accounts.
        count: usize,
        /// One of them.
        user: String,
        /// The realm of its password.
        stored: String,
        /// The realm asked for.
        configured: String,
    },
    /// Anything else.
    #[error("the database {}: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The account is there already.
    #[error(
        "the account {user:?} exists already: `tandem user passwd {user}` changes its password"
    )]
    UserExists {
        /// Its name.
        user: String,
    },
    /// There is no such account.
    #[error("there is no account {user:?}: `tandem user list` shows those there are")]
    UserUnknown {
        /// The name asked for.
        user: String,
    },
}

impl Error {
    /// Names what SQLite said.
    pub(crate) fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::NotADatabase) => Self::NotOurs { path },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                Self::NotWritable {
                    path,
                    reason: source.to_string(),
                }
            }
            _ => Self::Sqlite { path, source },
        }
    }

    /// Whether the same call may succeed later without anybody's help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Locked { .. })
    }
}
