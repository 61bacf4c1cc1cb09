//! The certificate and the key of `control.listen_https`, read when control starts and again when
//! it is told to.
//!
//! Nothing of a key is in any error or line of the log: they name files, and what is wrong.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::warn;

/// Bytes of a file at most: a chain of many certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Certificates of a chain at most.
const CHAIN_MAX: usize = 16;

/// What everybody may do with a file.
const OTHERS: u32 = 0o007;

/// Where certificate and key are. Both may be in one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// The certificate, and those that join it to one that clients know.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error(
        "{}: {source}; it must be readable for the user that control runs as", path.display()
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No certificates in the file, or too many.
    #[error(
        "{}: {found} certificates in PEM; write the server's, then those that lead to its \
         authority, {CHAIN_MAX} at most", path.display()
    )]
    Chain {
        /// Which file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// No key in the file that can be used.
    #[error(
        "{}: no private key in PEM that can be read; one with a passphrase has to be written \
         without it (openssl pkey -in FILE -out FILE)", path.display()
    )]
    Key {
        /// Which file.
        path: PathBuf,
    },
    /// They do not belong together, or are of a kind that is not known.
    #[error(
        "{} and {} cannot be used: {source}; the key must be the one that the certificate was \
         made for", certificate.display(), key.display()
    )]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

impl TlsFiles {
    /// Reads both files, which must belong together.
    ///
    /// # Errors
    ///
    /// What is wrong with which file, and the cure.
    pub(crate) fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = read_chain(&self.certificate)?;
        let key = read_key(&self.key)?;
        let wrong = |source| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let config = config.with_no_client_auth();
        let mut config = config.with_single_cert(chain, key).map_err(wrong)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Says so, if anybody on this host may read the key.
    pub(crate) fn warn_of_readers(&self) {
        let mode = fs::metadata(&self.key).map(|it| it.permissions().mode());
        if mode.is_ok_and(|mode| mode & OTHERS != 0) {
            let path = self.key.display();
            warn!(%path, "everybody on this host may read or change this key: chmod 0640, or 0600");
        }
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .map_while(Result::ok)
        .take(CHAIN_MAX + 1)
        .collect();
    let found = chain.len();
    let path = || path.to_owned();
    (1..=CHAIN_MAX)
        .contains(&found)
        .then_some(chain)
        .ok_or_else(|| TlsError::Chain {
            path: path(),
            found,
        })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::Key {
        path: path.to_owned(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| {
        let len = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
        match u64::try_from(len) {
            Ok(0..=FILE_BYTES_MAX) => Ok(()),
            _ => Err(io::Error::other("larger than 1 MiB: no certificate")),
        }
    });
    read.map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a certificate for 127.0.0.1 that signs itself; the same as clients trust it.
    pub(crate) fn write(folder: &Path) -> (TlsFiles, CertificateDer<'static>) {
        let names = vec!["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let files = TlsFiles {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        (files, made.cert.der().clone())
    }

    #[test]
    fn certificate_and_key_may_be_in_one_file_or_in_two() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = write(folder.path());
        files.read().unwrap();
        let both = folder.path().join("both.pem");
        let parts = [&files.key, &files.certificate].map(|it| fs::read_to_string(it).unwrap());
        fs::write(&both, parts.concat()).unwrap();
        let files = TlsFiles {
            certificate: both.clone(),
            key: both,
        };
        files.read().unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_with_its_file_and_its_cure_and_without_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = write(folder.path());
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let (others, _) = write(&other);
        let secret = fs::read_to_string(&files.key).unwrap();
        let secret = secret.lines().nth(1).unwrap();
        let locked = folder.path().join("locked.pem");
        let body =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        fs::write(&locked, body).unwrap();
        for (certificate, key, problem) in [
            (
                &files.certificate,
                &folder.path().join("none"),
                "No such file",
            ),
            (&files.key, &files.key, "0 certificates"),
            (&files.certificate, &files.certificate, "no private key"),
            (&files.certificate, &locked, "passphrase"),
            (
                &files.certificate,
                &others.key,
                "the one that the certificate was made for",
            ),
        ] {
            let files = TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            };
            let error = files.read().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
        let told = format!("{:?}", files.read().unwrap());
        assert!(!told.contains(secret));
    }
}
