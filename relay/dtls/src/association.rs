//! One association: the state of one handshake, and what comes after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dimpl::{
    Config, Dtls, Error, KeyingMaterial, Output, SrtpProfile, UnexpectedMessageError as Unexpected,
};
use relay_wire::{Crypto, CryptoSuite, DtlsRole, Fingerprint, Secret};

use crate::guard::caught;
use crate::identity::{self, Identity};
use crate::pace::Strangers;
use crate::{DATAGRAM_BYTES_MAX, DATAGRAMS_MAX, Keys};

/// Bytes of the longest thing that comes out: a certificate, which has come in so many datagrams.
pub(crate) const OUTPUT_BYTES_MAX: usize = DATAGRAMS_MAX * DATAGRAM_BYTES_MAX;

/// What comes out at once at most. More would be one that never ends.
const OUTPUTS_MAX: usize = 256;

/// Why a handshake has failed, or an association is over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The certificate is not the one that signalling has announced.
    #[error("the certificate has another fingerprint than was announced")]
    WrongFingerprint,
    /// Nothing came any more.
    #[error("nothing came for too long")]
    Timeout,
    /// The peer sends what it must not, or has nothing in common with us.
    #[error("the peer does not do what is expected, or can do nothing that we can")]
    Protocol,
    /// The peer wants no keys of SRTP that we have.
    #[error("no protection profile of SRTP was agreed on")]
    NoProfile,
    /// The peer has ended it.
    #[error("the peer has ended the association")]
    Closed,
    /// The library has panicked.
    #[error("the library of DTLS has failed")]
    Broken,
}

/// What all associations have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) config: Arc<Config>,
    pub(crate) identity: Identity,
    /// What comes out is written here.
    pub(crate) scratch: Vec<u8>,
    /// How often the library has panicked.
    pub(crate) panics: Arc<AtomicU64>,
    /// How often strangers begin, at all endpoints together.
    pub(crate) strangers: Strangers,
    /// There is no room for more of them.
    pub(crate) is_full: bool,
}

pub(crate) struct Association {
    /// `None`: it has panicked.
    dtls: Option<Box<Dtls>>,
    panics: Arc<AtomicU64>,
    role: DtlsRole,
    /// The certificate has come, and is the one that was announced.
    is_known: bool,
    /// The handshake is done.
    is_connected: bool,
    keys: Option<Keys>,
    /// When it wants the time to be told.
    pub(crate) due: Option<Instant>,
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Association({:?})", self.role)
    }
}

impl Association {
    pub(crate) fn new(now: Instant, common: &Common, role: DtlsRole) -> Self {
        let dtls = caught(|| {
            let certificate = common.identity.certificate.clone();
            let mut dtls = Dtls::new_auto(Arc::clone(&common.config), certificate, now);
            dtls.set_active(role == DtlsRole::Active);
            Box::new(dtls)
        });
        if dtls.is_none() {
            common.panics.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            dtls,
            panics: Arc::clone(&common.panics),
            role,
            is_known: false,
            is_connected: false,
            keys: None,
            due: Some(now),
        }
    }

    /// Says whether it was of this handshake at all.
    pub(crate) fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) -> Result<bool, Failure> {
        let mut is_taken = true;
        self.enter(|dtls| {
            dtls.handle_timeout(now)?;
            match dtls.handle_packet(bytes) {
                // Nothing has answered our hello yet, and this does not: it has come too early, or
                // is left of another handshake (RFC 6347 §4.1.2.7).
                Err(Error::UnexpectedMessage(Unexpected::UnrecognizedAutoServerResponse)) => {
                    is_taken = false;
                    Ok(())
                }
                other => other,
            }
        })?;
        Ok(is_taken)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        self.enter(|dtls| dtls.handle_timeout(now))
    }

    fn enter(&mut self, work: impl FnOnce(&mut Dtls) -> Result<(), Error>) -> Result<(), Failure> {
        let dtls = self.dtls.as_deref_mut().ok_or(Failure::Broken)?;
        match caught(|| work(dtls)) {
            Some(result) => result.map_err(failure),
            None => Err(self.give_up()),
        }
    }

    fn give_up(&mut self) -> Failure {
        self.panics.fetch_add(1, Ordering::Relaxed);
        self.scrap();
        Failure::Broken
    }

    /// To drop it is its own affair, too.
    fn scrap(&mut self) {
        let dtls = self.dtls.take();
        if dtls.is_some() && caught(|| drop(dtls)).is_none() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has `send` send what there is to be sent. Gives keys once, when the handshake is done.
    pub(crate) fn poll(
        &mut self,
        fingerprint: &Fingerprint,
        scratch: &mut [u8],
        mut send: impl FnMut(&[u8]),
    ) -> Result<Option<Keys>, Failure> {
        for _ in 0..OUTPUTS_MAX {
            let dtls = self.dtls.as_deref_mut().ok_or(Failure::Broken)?;
            let room = &mut *scratch;
            let Some(output) = caught(move || dtls.poll_output(room)) else {
                return Err(self.give_up());
            };
            match output {
                Output::Packet(bytes) => send(bytes),
                Output::Timeout(at) => {
                    self.due = Some(at);
                    return self.take_keys();
                }
                Output::Connected => self.is_connected = true,
                Output::PeerCert(certificate) => {
                    if !identity::is_of(fingerprint, certificate) {
                        return Err(Failure::WrongFingerprint);
                    }
                    self.is_known = true;
                }
                Output::KeyingMaterial(material, profile) => {
                    self.keys = keys(self.role, &material, profile);
                }
                Output::CloseNotify => return Err(Failure::Closed),
                // Nothing is said over it but how to be silent.
                Output::ApplicationData(_) => {}
                _ => return Err(Failure::Protocol),
            }
        }
        Err(Failure::Protocol)
    }

    /// Keys of a peer that is the one which was announced.
    fn take_keys(&mut self) -> Result<Option<Keys>, Failure> {
        if !std::mem::take(&mut self.is_connected) {
            return Ok(None);
        }
        if !self.is_known {
            return Err(Failure::WrongFingerprint);
        }
        self.keys.take().ok_or(Failure::NoProfile).map(Some)
    }
}

impl Drop for Association {
    fn drop(&mut self) {
        self.scrap();
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Timeout(_) => Failure::Timeout,
        Error::ConnectionClosed => Failure::Closed,
        _ => Failure::Protocol,
    }
}

/// Keys lie one behind the other: of the client, of the server, the salt of the client, of the
/// server (RFC 5764 §4.2).
fn keys(role: DtlsRole, material: &KeyingMaterial, profile: SrtpProfile) -> Option<Keys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => CryptoSuite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => CryptoSuite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => CryptoSuite::AeadAes256Gcm,
        _ => return None,
    };
    let (keys, salts) = material.split_at_checked(2 * suite.key_len())?;
    let of = |part: usize| {
        let key = keys.get(part * suite.key_len()..)?.get(..suite.key_len())?;
        let salt = salts.get(part * suite.salt_len()..)?;
        let key_and_salt = [key, salt.get(..suite.salt_len())?].concat();
        Some(Crypto::new(suite, Secret::new(key_and_salt)))
    };
    let (client, server) = (of(0)?, of(1)?);
    let (receive, send) = match role {
        DtlsRole::Active => (server, client),
        DtlsRole::Passive => (client, server),
    };
    Some(Keys { receive, send })
}
