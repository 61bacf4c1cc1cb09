//! Who may do what outside a dialog.
//!
//! Only accounts may send requests anywhere, and only in their own name: there is no open relay,
//! and no way to reach a phone of ours without an account.

use std::cmp::Reverse;

use sip_proxy_message::{HeaderId, Message, Method, Uri};

use crate::Proxy;
use crate::digest::{Asker, Verdict};
use crate::fork::{Final, Hop, Target};
use crate::interface::{Binding, Destination, Now, Source, Transport};
use crate::proxy::reply::Reply;
use crate::route::Way;
use crate::transaction::key::ServerKey;

/// Methods that we answer ourselves, or pass on.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, \
                     SUBSCRIBE, NOTIFY, MESSAGE, PUBLISH";

impl Proxy {
    pub(crate) fn handle_out_of_dialog(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        way: Way,
        key: ServerKey,
    ) {
        let Ok(uri) = Uri::parse(&way.uri) else {
            self.reply(
                source,
                message,
                &Reply::because(400, "Malformed Request-URI"),
            );
            return;
        };
        let is_ours = self.home.is_ours(&uri) && way.routes.is_empty();
        match message.method() {
            Some(Method::Register) => {
                self.handle_register(now, source, message, is_ours, key);
                return;
            }
            Some(Method::Options) if self.is_for_us(message, &way) => {
                let reply = Reply::new(200)
                    .with(HeaderId::Allow, ALLOW.to_owned())
                    .with(HeaderId::Accept, "application/sdp".to_owned())
                    .with(HeaderId::Supported, "path".to_owned());
                self.reply(source, message, &reply);
                return;
            }
            // A new BYE, PRACK or UPDATE without a dialog is nonsense.
            Some(Method::Bye | Method::Prack | Method::Update) => {
                self.counters.dialog_unknown += 1;
                self.reply(source, message, &Reply::new(481));
                return;
            }
            _ => {}
        }
        if let Err(reply) = self.admit(now, source, message, is_ours) {
            self.reply(source, message, &reply);
            return;
        }
        let targets = self.find_targets(now, &uri, &way, is_ours);
        self.begin_first(now, source, message, way, key, targets);
    }

    /// Whether the sender is the account that it says it is.
    fn admit(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        is_to_us: bool,
    ) -> Result<(), Reply> {
        let from = message
            .from()
            .ok()
            .and_then(|from| from.parse_uri().ok())
            .ok_or(Reply::because(400, "Malformed From"))?;
        let is_from_us = from.host.is_some_and(|host| self.home.is_our_host(host));
        if !is_from_us && !is_to_us {
            self.counters.forbidden += 1;
            return Err(Reply::because(403, "Relaying Denied"));
        }
        let user = self.authenticate(now, source, message, HeaderId::ProxyAuthorization)?;
        self.check_name(&from, &user)
    }

    /// The account whose credentials came with the request.
    ///
    /// # Errors
    /// With the challenge, if there is none.
    pub(crate) fn authenticate(
        &mut self,
        now: Now,
        source: Source,
        message: &Message<'_>,
        id: HeaderId,
    ) -> Result<String, Reply> {
        let asker = Asker {
            unix_ms: now.unix_ms,
            source: source.address.ip(),
            method: message.method().unwrap_or(Method::Other(b"")),
        };
        let mut has_credentials = false;
        let credentials = message
            .credentials(id)
            .filter_map(Result::ok)
            .inspect(|_| has_credentials = true);
        let is_stale = match self.auth.verify(asker, credentials) {
            Verdict::Accepted(user) => return Ok(user),
            Verdict::Challenge { is_stale } => is_stale,
        };
        self.counters.challenged += 1;
        if has_credentials {
            self.counters.credentials_refused += 1;
        }
        let (status, header) = match id {
            HeaderId::Authorization => (401, HeaderId::WwwAuthenticate),
            _ => (407, HeaderId::ProxyAuthenticate),
        };
        let salt = self.random();
        let user_agent = message.header(HeaderId::UserAgent);
        let challenges = self.auth.challenges(asker, salt, is_stale, user_agent);
        let headers = challenges
            .into_iter()
            .map(|value| (header, value))
            .collect();
        Err(Reply {
            headers,
            ..Reply::new(status)
        })
    }

    /// Accounts act in their own name only.
    pub(crate) fn check_name(&mut self, uri: &Uri<'_>, user: &str) -> Result<(), Reply> {
        if uri.user_unescaped().as_deref() == Some(user.as_bytes()) {
            return Ok(());
        }
        self.counters.forbidden += 1;
        Err(Reply::because(403, "Not Your Address"))
    }

    /// Where a request of an account goes: groups of targets, best first.
    fn find_targets(
        &self,
        now: Now,
        uri: &Uri<'_>,
        way: &Way,
        is_ours: bool,
    ) -> Result<Vec<Vec<Target>>, Final> {
        if !is_ours {
            return self.foreign_target(way);
        }
        let user = uri.user_unescaped().unwrap_or_default();
        let user = str::from_utf8(&user).map_err(|_| Final::local(404))?;
        if !self.auth.is_account(user) {
            return Err(Final::local(404));
        }
        let bindings = self.location.bindings(now.unix_ms, user);
        if bindings.is_empty() {
            return Err(Final::local(480));
        }
        let mut bindings: Vec<&Binding> = bindings.iter().collect();
        bindings.sort_by_key(|binding| Reverse(binding.q));
        Ok(bindings
            .chunk_by(|one, other| one.q == other.q)
            .map(|group| group.iter().map(|binding| self.target(binding)).collect())
            .collect())
    }

    fn target(&self, binding: &Binding) -> Target {
        let ip = binding.received.ip();
        let listener = match self.home.listener(binding.listener) {
            Some(listener) if listener.transport == binding.transport => binding.listener,
            // The listeners changed since the contact was stored.
            _ => self
                .home
                .listener_for(binding.transport, ip)
                .unwrap_or(binding.listener),
        };
        Target {
            uri: Some(binding.uri.as_bytes().to_vec()),
            path: binding
                .path
                .iter()
                .map(|hop| hop.as_bytes().to_vec())
                .collect(),
            hop: Hop::At(Destination {
                listener,
                address: binding.received,
                connection: binding.connection,
            }),
        }
    }

    fn foreign_target(&self, way: &Way) -> Result<Vec<Vec<Target>>, Final> {
        let hop = self.hop(&way.next_hop()).ok_or(Final::local(416))?;
        Ok(vec![vec![Target {
            uri: None,
            path: Vec::new(),
            hop,
        }]])
    }

    /// Where a URI leads, as far as that can be said without asking. `None` if it needs what
    /// there is not: TLS, or a scheme without hosts.
    fn hop(&self, uri: &[u8]) -> Option<Hop> {
        let uri = Uri::parse(uri)
            .ok()
            .filter(|uri| uri.scheme == sip_proxy_message::Scheme::Sip)?;
        let transport = match uri.params.value(b"transport") {
            Some(name) if name.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
            Some(name) if !name.eq_ignore_ascii_case(b"udp") => return None,
            _ => Transport::Udp,
        };
        let host = uri.host?;
        let Some(address) = host.address() else {
            return Some(Hop::Named {
                host: host.to_string(),
                port: uri.port,
                transport,
            });
        };
        let port = uri.port.unwrap_or(5060);
        Some(Hop::At(Destination {
            listener: self.home.listener_for(transport, address)?,
            address: (address, port).into(),
            connection: None,
        }))
    }
}
