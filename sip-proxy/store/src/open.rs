//! Opens the database, making folder, file and tables as needed.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::{BUSY_TIMEOUT, Error, Store, schema};

/// Only the owner reads password hashes.
const FILE_MODE: u32 = 0o600;
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
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)?;
    narrow(&file)
}

fn narrow(file: &File) -> std::io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(FILE_MODE))
}

/// Settings of the connection. `synchronous = NORMAL`: a crash of the process loses nothing; a
/// power cut may lose the last moments, but never breaks the file.
fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}
