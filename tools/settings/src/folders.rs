//! Where the daemons keep their files, and how the folders come to be.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::SettingsError;
use crate::load::Loaded;

/// Only the daemons' user may look inside: passwords' digests and control sockets live there.
const FOLDER_MODE: u32 = 0o700;

/// The realm of digest authentication when no domain is set.
const REALM_DEFAULT: &str = "tandem";

impl Loaded {
    /// Folder of the database. A relative one is relative to the file's folder, or to the
    /// current folder if there is no file.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.beside_file(&self.file.tandem.data_dir)
    }

    /// Folder of the sockets between the daemons.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        match &self.file.tandem.runtime_dir {
            Some(runtime_dir) => self.beside_file(runtime_dir),
            None => self.data_dir().join("run"),
        }
    }

    /// The database: accounts, registrations, call records.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.data_dir().join("tandem.sqlite3")
    }

    /// Limits that were set at run time.
    #[must_use]
    pub fn limits_path(&self) -> PathBuf {
        self.data_dir().join("limits.json")
    }

    /// The certificate of ng over TLS, if one is set. A relative path is relative to the file's
    /// folder.
    #[must_use]
    pub fn tls_certificate(&self) -> Option<PathBuf> {
        self.named_file(&self.file.control.tls_certificate)
    }

    /// The private key of that certificate, if it is in a file of its own.
    #[must_use]
    pub fn tls_key(&self) -> Option<PathBuf> {
        self.named_file(&self.file.control.tls_key)
    }

    /// The folder of files that may be played, if there is one.
    #[must_use]
    pub fn media_folder(&self) -> Option<PathBuf> {
        self.named_file(&self.file.control.media_folder)
    }

    fn named_file(&self, path: &Path) -> Option<PathBuf> {
        (!path.as_os_str().is_empty()).then(|| self.beside_file(path))
    }

    /// The socket that the relay listens on and control connects to.
    #[must_use]
    pub fn relay_socket(&self) -> PathBuf {
        self.runtime_dir().join("relay.sock")
    }

    /// Control's admin socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.runtime_dir().join("control.sock")
    }

    /// The SIP proxy's admin socket.
    #[must_use]
    pub fn sip_proxy_socket(&self) -> PathBuf {
        self.runtime_dir().join("sip-proxy.sock")
    }

    /// The realm of digest authentication: the first domain, else `tandem`.
    #[must_use]
    pub fn realm(&self) -> &str {
        self.file
            .sip_proxy
            .domains
            .first()
            .map_or(REALM_DEFAULT, String::as_str)
    }

    /// Makes the data folder with mode 0700 if it is not there, and returns it.
    pub fn create_data_dir(&self) -> Result<PathBuf, SettingsError> {
        create(self.data_dir(), "tandem.data_dir")
    }

    /// Makes the folder of the sockets with mode 0700 if it is not there, and returns it.
    pub fn create_runtime_dir(&self) -> Result<PathBuf, SettingsError> {
        if self.file.tandem.runtime_dir.is_none() {
            self.create_data_dir()?;
        }
        create(self.runtime_dir(), "tandem.runtime_dir")
    }

    fn beside_file(&self, path: &Path) -> PathBuf {
        match self.path().and_then(Path::parent) {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }
}

fn create(path: PathBuf, key: &str) -> Result<PathBuf, SettingsError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(&path)
        .map_err(|source| folder_error(&path, "make", key, source));
    made?;
    let metadata =
        fs::metadata(&path).map_err(|source| folder_error(&path, "enter", key, source))?;
    // An existing folder keeps its owner's choice, except that strangers must not write there:
    // they could replace a socket or the database.
    let mode = metadata.permissions().mode();
    if mode & 0o022 != 0 {
        let closed = fs::Permissions::from_mode(mode & 0o7755 & !0o022);
        fs::set_permissions(&path, closed)
            .map_err(|source| folder_error(&path, "close to others", key, source))?;
    }
    Ok(path)
}

fn folder_error(path: &Path, doing: &'static str, key: &str, source: io::Error) -> SettingsError {
    SettingsError::Folder {
        path: path.to_owned(),
        doing,
        cure: format!("Name a folder that this user may write to with {key} in tandem.toml"),
        source,
    }
}
