//! What names a transaction (RFC 3261 §17.1.3, §17.2.3).

use std::sync::Arc;

use std::net::IpAddr;

use sip_proxy_message::{HeaderError, Host, Message, Method};

use super::TransactionId;
use crate::secret::{unhex_digit, write_hex};

/// Names a server transaction: the client's branch and sent-by, and the method. Chosen by
/// strangers, so it is hashed with a secret and never used unhashed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ServerKey(Arc<[u8]>);

impl ServerKey {
    /// The key of the transaction that `message` starts or belongs to, as if its method were
    /// `method`: INVITE finds the transaction of an ACK, and the one that a CANCEL is for.
    ///
    /// # Errors
    /// If Via, or what RFC 2543 needs in place of the branch, cannot be read.
    pub(crate) fn new(message: &Message<'_>, method: Method<'_>) -> Result<Self, HeaderError> {
        let via = message.via()?;
        let mut key = Vec::with_capacity(96);
        key.extend_from_slice(method.name());
        append_host(via.host, &mut key);
        key.extend_from_slice(&via.port.unwrap_or(5060).to_be_bytes());
        match via.unique_branch() {
            Some(branch) => append_lowercase(branch, &mut key),
            None => append_rfc2543(message, &mut key)?,
        }
        Ok(Self(key.into()))
    }
}

/// The kind of host, which no method's name has in it, and the host.
fn append_host(host: Host<'_>, key: &mut Vec<u8>) {
    match host {
        Host::Address(IpAddr::V4(address)) => {
            key.push(4);
            key.extend_from_slice(&address.octets());
        }
        Host::Address(IpAddr::V6(address)) => {
            key.push(6);
            key.extend_from_slice(&address.octets());
        }
        Host::Name(name) => {
            key.push(b' ');
            append_lowercase(name, key);
            key.push(b' ');
        }
    }
}

fn append_lowercase(text: &[u8], key: &mut Vec<u8>) {
    let start = key.len();
    key.extend_from_slice(text);
    key[start..].make_ascii_lowercase();
}

/// Without a unique branch, the request itself names the transaction. The To tag is left out,
/// since only the ACK has it.
fn append_rfc2543(message: &Message<'_>, key: &mut Vec<u8>) -> Result<(), HeaderError> {
    key.extend_from_slice(message.request_uri().unwrap_or_default());
    key.push(b' ');
    key.extend_from_slice(message.from()?.tag.unwrap_or_default());
    key.push(b' ');
    key.extend_from_slice(message.call_id()?);
    key.extend_from_slice(format!(" {}", message.cseq()?.number).as_bytes());
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

const BRANCH_LEN: usize = PREFIX.len() + 16 + 16 + 8;

impl Branch {
    pub(crate) fn emit(self) -> String {
        let mut branch = vec![0; BRANCH_LEN];
        let (prefix, digits) = branch.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        write_hex(&self.id.0.to_be_bytes(), &mut digits[..16]);
        write_hex(&self.secret.to_be_bytes(), &mut digits[16..32]);
        write_hex(&self.loop_hash.to_be_bytes(), &mut digits[32..]);
        String::from_utf8(branch).expect("prefix and digits are ASCII")
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
