//! Opens the database, making folder, file and tables as needed.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

use crate::{BUSY_TIMEOUT, Error, Store, schema};

/// Only the owner reads password hashes.
const FILE_MODE: u32 = 0o600;
/// How often a journal is asked for while another process makes the same database.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
const FOLDER_MODE: u32 = 0o700;

impl Store {
    /// Opens the database, made with its folder if it is not there, and brings its tables up to
    /// date. Only the file's owner may read it afterwards.
    ///
    /// # Errors
    /// Each says its cure: see [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        own_file(path).map_err(|error| Error::NotWritable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .and_then(prepare)
            .map_err(|error| Error::of(path, error))?;
        let mut store = Self {
            connection,
            path: path.to_owned(),
        };
        store.migrate()?;
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), Error> {
        let found =
            schema::migrate(&mut self.connection).map_err(|error| Error::of(&self.path, error))?;
        match found {
            schema::Found::Current => Ok(()),
            schema::Found::Foreign => Err(Error::NotOurs {
                path: self.path.clone(),
            }),
            schema::Found::Newer(found) => Err(Error::NewerSchema {
                path: self.path.clone(),
                found,
                known: schema::SCHEMA_VERSION,
            }),
        }
    }
}

/// Makes the file before SQLite does, since SQLite would let the umask decide who may read it.
/// The WAL gets the mode of the database.
///
/// The file is never opened here: when a process closes any descriptor of a file, it loses all
/// its POSIX locks on it, those that SQLite holds through another connection too.
fn own_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)?;
    }
    match mknodat(
        CWD,
        path,
        FileType::RegularFile,
        Mode::from_raw_mode(FILE_MODE),
        0,
    ) {
        Ok(()) | Err(Errno::EXIST) => narrow(path),
        Err(error) => Err(error.into()),
    }
}

fn narrow(path: &Path) -> std::io::Result<()> {
    if std::fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(FILE_MODE))
}

/// Settings of the connection. `synchronous = NORMAL`: a crash of the process loses nothing; a
/// power cut may lose the last moments, but never breaks the file.
fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    use_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// A new database gets its journal. Of two processes that do this at once, one is refused without
/// the busy timeout, since each waits for the other; it asks again.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let result = connection.pragma_update(None, "journal_mode", "WAL");
        let is_busy = matches!(&result, Err(error)
            if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !is_busy || Instant::now() >= deadline {
            return result;
        }
        std::thread::sleep(BUSY_PAUSE);
    }
}
