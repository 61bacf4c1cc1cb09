//! What names a transaction (RFC 3261 §17.1.3, §17.2.3).

use std::sync::Arc;

use sip_proxy_message::{HeaderError, Message, Method};

use super::TransactionId;

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
        key.push(b' ');
        key.extend_from_slice(via.host.to_string().to_ascii_lowercase().as_bytes());
        key.extend_from_slice(format!(":{} ", via.port.unwrap_or(5060)).as_bytes());
        match via.unique_branch() {
            Some(branch) => key.extend_from_slice(&branch.to_ascii_lowercase()),
            None => append_rfc2543(message, &mut key)?,
        }
        Ok(Self(key.into()))
    }
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
        let prefix = str::from_utf8(PREFIX).unwrap_or_default();
        format!(
            "{prefix}{:016x}{:016x}{:08x}",
            self.id.0, self.secret, self.loop_hash
        )
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BRANCH_LEN || !bytes.starts_with(PREFIX) {
            return None;
        }
        let digits = str::from_utf8(&bytes[PREFIX.len()..]).ok()?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self {
            id: TransactionId(u64::from_str_radix(&digits[..16], 16).ok()?),
            secret: u64::from_str_radix(&digits[16..32], 16).ok()?,
            loop_hash: u32::from_str_radix(&digits[32..], 16).ok()?,
        })
    }
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
