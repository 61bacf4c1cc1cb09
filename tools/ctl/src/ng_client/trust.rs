//! Whose certificates are believed when ng is spoken over TLS.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::failure::Failure;

/// The authorities that Debian and others trust.
const SYSTEM_PATH: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Bytes of a file of certificates at most.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Certificates that are believed, and what they have signed.
#[derive(Debug)]
pub(crate) struct Trust(Vec<CertificateDer<'static>>);

impl Trust {
    /// What is in this file, or else what the system has.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let path = path.unwrap_or_else(|| Path::new(SYSTEM_PATH));
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text))
            .map_err(|error| {
                Failure::usage(format!(
                    "cannot read whom to trust from {}: {error}; name a file of certificates with \
                     --ca",
                    path.display()
                ))
            })?;
        let certificates = CertificateDer::pem_slice_iter(&text);
        let certificates: Vec<_> = certificates.map_while(Result::ok).collect();
        if certificates.is_empty() {
            return Err(Failure::usage(format!(
                "there is no certificate in PEM in {}",
                path.display()
            )));
        }
        Ok(Self(certificates))
    }

    /// For WebSockets.
    pub(super) fn client_config(&self) -> io::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        // Some systems have odd ones among many.
        roots.add_parsable_certificates(self.0.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// For HTTP.
    pub(super) fn tls_config(&self) -> TlsConfig {
        let certificates = self.0.iter();
        let certificates = certificates.map(|it| Certificate::from_der(it).to_owned());
        let certificates: Vec<_> = certificates.collect();
        TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&certificates))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build()
    }
}

/// What to do about a server that is not believed.
pub(super) fn cure(error: &io::Error) -> Option<String> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let cure = match tls {
        rustls::Error::InvalidCertificate(problem) => match problem {
            // Of another key with the same name: as after it was made anew.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "nobody that is trusted here signed its certificate: name its authority, or the \
                 certificate if it signed itself, with --ca FILE"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for other names: ask by one of them, or have one made with \
                 subjectAltName for this one"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate is too old, or this host's clock is wrong"
            }
            CertificateError::Other(other)
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                "its certificate is one that signs others: have one made with \
                 basicConstraints=CA:FALSE (openssl req -addext)"
            }
            _ => "its certificate cannot be used",
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS there: try without the s",
        _ => return None,
    };
    Some(format!("{tls}; {cure}"))
}
