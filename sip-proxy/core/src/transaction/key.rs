//! What names a transaction (RFC 3261 §17.1.3, §17.2.3).

use std::hash::{BuildHasher as _, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;

use sip_proxy_message::{HeaderError, Host, Message, Method};

use super::TransactionId;
use crate::secret::{unhex_digit, write_hex};

/// Names a server transaction: a hash of the client's branch and sent-by, and the method. It is
/// kept for half a minute for each request, so it takes no memory of its own. Strangers choose
/// what is hashed, but do not know the secrets: two hashes of 64 bits under different ones are
/// equal by an accident that takes 2^64 transactions at the same time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ServerKey([u64; 2]);

/// The secrets, which differ from run to run.
static SECRETS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);

/// Both hashes of what is written.
struct Hashes<H>([H; 2]);

impl<H: Hasher> Hashes<H> {
    fn write(&mut self, bytes: &[u8]) {
        for hash in &mut self.0 {
            hash.write(bytes);
        }
    }

    fn write_lowercase(&mut self, text: &[u8]) {
        let mut lowercase = [0; 64];
        for part in text.chunks(lowercase.len()) {
            let lowercase = &mut lowercase[..part.len()];
            lowercase.copy_from_slice(part);
            lowercase.make_ascii_lowercase();
            self.write(lowercase);
        }
    }
}

impl ServerKey {
    /// The key of the transaction that `message` starts or belongs to, as if its method were
    /// `method`: INVITE finds the transaction of an ACK, and the one that a CANCEL is for.
    ///
    /// # Errors
    /// If Via, or what RFC 2543 needs in place of the branch, cannot be read.
    pub(crate) fn new(message: &Message<'_>, method: Method<'_>) -> Result<Self, HeaderError> {
        let via = message.via()?;
        let mut key = Hashes([SECRETS[0].build_hasher(), SECRETS[1].build_hasher()]);
        key.write(method.name());
        append_host(via.host, &mut key);
        key.write(&via.port.unwrap_or(5060).to_be_bytes());
        match via.unique_branch() {
            Some(branch) => key.write_lowercase(branch),
            None => append_rfc2543(message, &mut key)?,
        }
        Ok(Self(key.0.map(|hash| hash.finish())))
    }
}

/// The kind of host, which no method's name has in it, and the host.
fn append_host(host: Host<'_>, key: &mut Hashes<impl Hasher>) {
    match host {
        Host::Address(IpAddr::V4(address)) => {
            key.write(&[4]);
            key.write(&address.octets());
        }
        Host::Address(IpAddr::V6(address)) => {
            key.write(&[6]);
            key.write(&address.octets());
        }
        Host::Name(name) => {
            key.write(b" ");
            key.write_lowercase(name);
            key.write(b" ");
        }
    }
}

/// Without a unique branch, the request itself names the transaction. The To tag is left out,
/// since only the ACK has it.
fn append_rfc2543(message: &Message<'_>, key: &mut Hashes<impl Hasher>) -> Result<(), HeaderError> {
    key.write(message.request_uri().unwrap_or_default());
    key.write(b" ");
    key.write(message.from()?.tag.unwrap_or_default());
    key.write(b" ");
    key.write(message.call_id()?);
    key.write(b" ");
    key.write(&message.cseq()?.number.to_be_bytes());
    Ok(())
}

/// The branch that we put into Via. It carries the transaction's number, so that responses find
/// it without a table; a number that only we know, so that nobody else can make responses up;
/// and a hash of what routing depends on, to recognise loops (RFC 5393 §4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Branch {
    pub(crate) id: TransactionId,
    pub(crate) secret: u64,
    pub(crate) loop_hash: u32,
}

/// Ours begin so. The first seven bytes are RFC 3261's.
const PREFIX: &[u8] = b"z9hG4bKtan";

pub(crate) const BRANCH_LEN: usize = PREFIX.len() + 16 + 16 + 8;

impl Branch {
    pub(crate) fn emit(self) -> String {
        let branch = self.write().to_vec();
        String::from_utf8(branch).expect("prefix and digits are ASCII")
    }

    /// As [`Self::emit`], without memory of its own.
    pub(crate) fn write(self) -> [u8; BRANCH_LEN] {
        let mut branch = [0; BRANCH_LEN];
        let (prefix, digits) = branch.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        write_hex(&self.id.0.to_be_bytes(), &mut digits[..16]);
        write_hex(&self.secret.to_be_bytes(), &mut digits[16..32]);
        write_hex(&self.loop_hash.to_be_bytes(), &mut digits[32..]);
        branch
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BRANCH_LEN || !bytes.starts_with(PREFIX) {
            return None;
        }
        let digits = &bytes[PREFIX.len()..];
        Some(Self {
            id: TransactionId(number(&digits[..16])?),
            secret: number(&digits[16..32])?,
            loop_hash: u32::try_from(number(&digits[32..])?).ok()?,
        })
    }
}

/// At most sixteen digits, in either case: branches are compared without it.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = unhex_digit(digit.to_ascii_lowercase())?;
        Some(number << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, via: &str, to_tag: &str) -> Vec<u8> {
        format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>{to_tag}\r\n\
             Call-ID: c1\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn key(bytes: &[u8], method: Method<'_>) -> ServerKey {
        ServerKey::new(&Message::parse(bytes).unwrap(), method).unwrap()
    }

    #[test]
    fn ack_and_cancel_find_the_invite() {
        for via in [
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx",
            "SIP/2.0/UDP 10.0.0.1",
        ] {
            let invite = key(&request("INVITE", via, ""), Method::Invite);
            let ack = request("ACK", via, ";tag=b");
            assert_eq!(key(&ack, Method::Invite), invite);
            let cancel = request("CANCEL", via, "");
            assert_eq!(key(&cancel, Method::Invite), invite);
            assert_ne!(key(&cancel, Method::Cancel), invite);
        }
    }

    #[test]
    fn same_branch_of_another_sender_is_another_transaction() {
        let one = request("INVITE", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", "");
        let two = request("INVITE", "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx", "");
        assert_ne!(key(&one, Method::Invite), key(&two, Method::Invite));
    }

    #[test]
    fn branches_come_back() {
        let branch = Branch {
            id: TransactionId(0x1234),
            secret: u64::MAX,
            loop_hash: 7,
        };
        let written = branch.emit();
        assert_eq!(Branch::parse(written.as_bytes()), Some(branch));
        assert_eq!(Branch::parse(&written.as_bytes()[1..]), None);
        assert_eq!(Branch::parse(written.replace('f', "+").as_bytes()), None);
    }
}
