//! What a REGISTER does to the contacts of an account (RFC 3261 §10.3, RFC 3327).

use std::borrow::Cow;
use std::net::SocketAddr;

use sip_proxy_message::{
    CSeq, Contact, Contacts, HeaderError, HeaderId, Message, Response, Scheme, Uri,
};

use crate::interface::{Binding, ConnectionId, ListenerId, Source, Transport};

/// The settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) expires_min_s: u32,
    pub(crate) expires_max_s: u32,
    pub(crate) contacts_max: usize,
}

/// One REGISTER of an authenticated account.
#[derive(Debug)]
pub(crate) struct Registration<'m, 'a> {
    pub(crate) message: &'m Message<'a>,
    pub(crate) unix_ms: u64,
    pub(crate) source: Source,
    pub(crate) transport: Transport,
    pub(crate) rules: Rules,
}

/// Why a REGISTER changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

impl Refused {
    const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

impl From<HeaderError> for Refused {
    fn from(_: HeaderError) -> Self {
        Self::new(400, "Malformed Registration")
    }
}

/// Bytes of what is kept of a contact. A registration is stored for an hour by one message.
const URI_LEN_MAX: usize = 512;
const CALL_ID_LEN_MAX: usize = 256;
const USER_AGENT_LEN_MAX: usize = 128;
const PATH_COUNT_MAX: usize = 8;

impl Registration<'_, '_> {
    /// The contacts of the account after this request: all of it is done, or nothing.
    ///
    /// # Errors
    /// If nothing may be done, with the status to say so.
    pub(crate) fn apply(&self, current: &[Binding]) -> Result<Vec<Binding>, Refused> {
        let cseq = self.message.cseq()?;
        let call_id = text(self.message.call_id()?, CALL_ID_LEN_MAX)?;
        match self.message.contacts()? {
            Contacts::Star => self.remove_all(current, &call_id, cseq),
            Contacts::List(contacts) => {
                let mut bindings: Vec<_> = current.iter().map(Cow::Borrowed).collect();
                for contact in contacts {
                    self.apply_contact(&mut bindings, &contact, &call_id, cseq)?;
                }
                if bindings.len() > self.rules.contacts_max.max(1) {
                    return Err(Refused::new(403, "Too Many Contacts"));
                }
                Ok(bindings.into_iter().map(Cow::into_owned).collect())
            }
        }
    }

    /// 200 with all contacts and the time that each has left.
    pub(crate) fn accepted(&self, bindings: &[Binding], to_tag: &[u8]) -> Vec<u8> {
        let mut response = Response::new(self.message, 200);
        response.to_tag(to_tag);
        for binding in bindings {
            let left_ms = binding.expires_unix_ms.saturating_sub(self.unix_ms);
            let left_s = left_ms.div_ceil(1_000).to_string();
            let mut value = ["<", &binding.uri, ">;expires=", &left_s].concat();
            if binding.q < 1_000 {
                value += &format!(";q=0.{:03}", binding.q);
            }
            response.header(HeaderId::Contact, value.as_bytes());
        }
        for path in self.message.headers(HeaderId::Path) {
            response.header(HeaderId::Path, path);
        }
        response.to_vec()
    }

    fn remove_all(
        &self,
        current: &[Binding],
        call_id: &str,
        cseq: CSeq<'_>,
    ) -> Result<Vec<Binding>, Refused> {
        if self.message.expires()? != Some(0) {
            return Err(Refused::new(400, "Expires Must Be 0"));
        }
        for binding in current {
            check_order(binding, call_id, cseq)?;
        }
        Ok(Vec::new())
    }

    fn apply_contact(
        &self,
        bindings: &mut Vec<Cow<'_, Binding>>,
        contact: &Contact<'_>,
        call_id: &str,
        cseq: CSeq<'_>,
    ) -> Result<(), Refused> {
        let uri = contact
            .name_addr
            .parse_uri()
            .ok()
            .filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))
            .ok_or(Refused::new(400, "Unsupported Contact"))?;
        let known = bindings.iter().position(|binding| {
            Uri::parse(binding.uri.as_bytes()).is_ok_and(|known| known.is_equivalent(&uri))
        });
        if let Some(known) = known {
            check_order(&bindings[known], call_id, cseq)?;
        }
        let expires_s = self.expires_s(contact)?;
        match (known, expires_s) {
            (Some(known), 0) => drop(bindings.remove(known)),
            (None, 0) => {}
            (Some(known), _) => {
                let binding = self.binding(contact, &uri, expires_s, call_id, cseq)?;
                bindings[known] = Cow::Owned(binding);
            }
            (None, _) => {
                let binding = self.binding(contact, &uri, expires_s, call_id, cseq)?;
                bindings.push(Cow::Owned(binding));
            }
        }
        Ok(())
    }

    fn expires_s(&self, contact: &Contact<'_>) -> Result<u32, Refused> {
        let asked = match contact.expires {
            Some(expires) => Some(expires),
            None => self.message.expires()?,
        };
        let expires = asked
            .unwrap_or(self.rules.expires_max_s)
            .min(self.rules.expires_max_s);
        if expires != 0 && expires < self.rules.expires_min_s {
            return Err(Refused::new(423, "Interval Too Brief"));
        }
        Ok(expires)
    }

    fn binding(
        &self,
        contact: &Contact<'_>,
        uri: &Uri<'_>,
        expires_s: u32,
        call_id: &str,
        cseq: CSeq<'_>,
    ) -> Result<Binding, Refused> {
        let (received, connection, listener) = self.flow();
        Ok(Binding {
            uri: text(uri.bytes(), URI_LEN_MAX)?,
            q: contact.q.unwrap_or(1_000),
            expires_unix_ms: self.unix_ms + u64::from(expires_s) * 1_000,
            call_id: call_id.to_owned(),
            cseq: cseq.number,
            received,
            transport: self.transport,
            listener,
            connection,
            path: self.path()?,
            user_agent: self.message.header(HeaderId::UserAgent).map(|name| {
                String::from_utf8_lossy(name)
                    .chars()
                    .take(USER_AGENT_LEN_MAX)
                    .collect()
            }),
        })
    }

    const fn flow(&self) -> (SocketAddr, Option<ConnectionId>, ListenerId) {
        let source = self.source;
        (source.address, source.connection, source.listener)
    }

    fn path(&self) -> Result<Vec<String>, Refused> {
        let mut path = Vec::new();
        for value in self.message.name_addrs(HeaderId::Path) {
            let value = value?;
            if path.len() == PATH_COUNT_MAX {
                return Err(Refused::new(400, "Path Too Long"));
            }
            value
                .parse_uri()
                .map_err(|_| Refused::new(400, "Malformed Path"))?;
            let mut written = format!("<{}>", text(value.uri, URI_LEN_MAX)?);
            written += &text(value.params.bytes(), URI_LEN_MAX)?;
            path.push(written);
        }
        Ok(path)
    }
}

/// "The registrar checks whether the Call-ID agrees […] if the CSeq value is not higher than the
/// stored one, the update is aborted" (RFC 3261 §10.3 step 7).
fn check_order(binding: &Binding, call_id: &str, cseq: CSeq<'_>) -> Result<(), Refused> {
    if binding.call_id == call_id && cseq.number <= binding.cseq {
        return Err(Refused::new(500, "Registration Out Of Order"));
    }
    Ok(())
}

fn text(bytes: &[u8], len_max: usize) -> Result<String, Refused> {
    str::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() <= len_max)
        .map(str::to_owned)
        .ok_or(Refused::new(400, "Malformed Registration"))
}

#[cfg(test)]
mod tests;
