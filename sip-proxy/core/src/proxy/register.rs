//! REGISTER: who may, and what it changes.

use sip_proxy_message::{HeaderId, Message};

use crate::Proxy;
use crate::interface::{Now, Source};
use crate::proxy::reply::Reply;
use crate::registrar::{Registration, Rules};
use crate::transaction::key::ServerKey;

impl Proxy {
    pub(crate) fn handle_register(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        is_ours: bool,
        key: ServerKey,
    ) {
        match self.authorize_register(now, source, message, is_ours) {
            Err(reply) => self.reply(source, message, &reply),
            Ok(user) => {
                let (status, bytes) = self.register(now, source, message, &user);
                self.reply_once(now, source, message, key, status, bytes);
            }
        }
    }

    /// Only an account registers, and only its own contacts.
    fn authorize_register(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        is_ours: bool,
    ) -> Result<String, Reply> {
        let malformed = Reply::because(400, "Malformed To");
        let to = message.to().map_err(|_| malformed.clone())?;
        let to = to.parse_uri().map_err(|_| malformed)?;
        let is_our_address = to.host.is_some_and(|host| self.home.is_our_host(host));
        if !is_ours || !is_our_address {
            self.counters.forbidden += 1;
            return Err(Reply::because(403, "Not Our Domain"));
        }
        let user = self.authenticate(now, source, message, HeaderId::Authorization)?;
        self.check_name(&to, &user)?;
        Ok(user)
    }

    fn register(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        user: &str,
    ) -> (u16, Vec<u8>) {
        let rules = Rules {
            expires_min_s: self.config.expires_min_s,
            expires_max_s: self.config.expires_max_s,
            contacts_max: self.config.contacts_max,
        };
        let registration = Registration {
            message,
            unix_ms: now.unix_ms,
            source,
            transport: self.home.transport(source.listener),
            rules,
        };
        let current = self.location.bindings(now.unix_ms, user);
        let applied = registration.apply(&current);
        let is_changed = applied.as_ref().is_ok_and(|after| **after != *current);
        drop(current);
        match applied {
            Ok(bindings) => {
                self.counters.registered += 1;
                let tag = self.local_tag(message);
                let bytes = registration.accepted(&bindings, tag.as_bytes());
                if is_changed {
                    self.location.replace(now, user, bindings, &mut self.out);
                }
                (200, bytes)
            }
            Err(refused) => {
                self.counters.register_refused += 1;
                let mut reply = Reply::because(refused.status, refused.reason);
                if refused.status == 423 {
                    reply = reply.with(HeaderId::MinExpires, rules.expires_min_s.to_string());
                }
                (refused.status, self.emit_reply(message, &reply))
            }
        }
    }

    /// Answers with a transaction, so that a retransmission is not taken for a replay.
    fn reply_once(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        key: ServerKey,
        status: u16,
        bytes: Vec<u8>,
    ) {
        let peer = self.reply_destination(source, message);
        let is_reliable = self.is_reliable(source.listener);
        if let Some(id) = self
            .transactions
            .insert_server(key, false, peer, is_reliable)
        {
            let out = &mut self.out;
            self.transactions
                .respond(now.instant, id, status, bytes, out);
        }
    }
}
