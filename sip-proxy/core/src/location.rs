//! Where the phones are: the contacts of each account (RFC 3261 §10).
//!
//! Memory is the truth; every change is handed to the driver to be stored behind it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use sip_proxy_message::{Host, Uri};

use crate::deadlines::{Armed, Deadlines};
use crate::interface::{Binding, ConnectionId, Now, Output};
use crate::outbox::Outbox;

/// When a contact is looked at even if it has not ended, whatever a stored time says.
const LOOK_AGAIN: Duration = Duration::from_secs(86_400);

/// All contacts. Only accounts have any, so their number is bounded by that of the accounts.
#[derive(Debug)]
pub(crate) struct Location {
    /// By name. The operator chose the names, so they cannot be made to collide.
    users: FxHashMap<String, UserId>,
    records: FxHashMap<UserId, Record>,
    /// Whose contacts a connection carries.
    connections: FxHashMap<ConnectionId, Vec<UserId>>,
    /// How many contacts registered from an address.
    sources: HashMap<IpAddr, usize>,
    deadlines: Deadlines<UserId>,
    next: u64,
    binding_count: usize,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct UserId(u64);

#[derive(Debug)]
struct Record {
    user: String,
    bindings: Vec<Binding>,
    armed: Armed,
}

impl Location {
    pub(crate) fn new() -> Self {
        Self {
            users: FxHashMap::default(),
            records: FxHashMap::default(),
            connections: FxHashMap::default(),
            sources: HashMap::new(),
            deadlines: Deadlines::new(),
            next: 0,
            binding_count: 0,
        }
    }

    /// The contacts of an account that have not ended.
    pub(crate) fn bindings(&self, unix_ms: u64, user: &str) -> Cow<'_, [Binding]> {
        let record = self.users.get(user).and_then(|id| self.records.get(id));
        let bindings = record.map_or(&[][..], |record| &record.bindings);
        let is_live = |binding: &&Binding| binding.expires_unix_ms > unix_ms;
        if bindings.iter().all(|binding| is_live(&binding)) {
            return Cow::Borrowed(bindings);
        }
        Cow::Owned(bindings.iter().filter(is_live).cloned().collect())
    }

    /// Accounts with contacts, by name.
    pub(crate) fn registrations(&self, limit: usize) -> Vec<(&str, &[Binding])> {
        let mut all: Vec<_> = self
            .records
            .values()
            .map(|record| (record.user.as_str(), record.bindings.as_slice()))
            .collect();
        all.sort_unstable_by_key(|(user, _)| *user);
        all.truncate(limit);
        all
    }

    pub(crate) const fn binding_count(&self) -> usize {
        self.binding_count
    }

    /// Whether a phone registered from this address.
    pub(crate) fn is_registered_source(&self, address: IpAddr) -> bool {
        self.sources.contains_key(&address)
    }

    /// Puts contacts back that were stored.
    pub(crate) fn restore(&mut self, now: Now, user: &str, bindings: Vec<Binding>) {
        let bindings = bindings
            .into_iter()
            .map(|binding| Binding {
                connection: None,
                ..binding
            })
            .filter(|binding| binding.expires_unix_ms > now.unix_ms)
            .collect();
        self.set(now, user, bindings);
    }

    /// Replaces the contacts of an account and has them stored.
    pub(crate) fn replace(
        &mut self,
        now: Now,
        user: &str,
        bindings: Vec<Binding>,
        out: &mut Outbox,
    ) {
        self.set(now, user, bindings.clone());
        out.push(Output::StoreBindings {
            user: user.to_owned(),
            bindings,
        });
    }

    /// Forgets accounts that are no more.
    pub(crate) fn retain_users(&mut self, is_account: impl Fn(&str) -> bool, out: &mut Outbox) {
        let mut gone: Vec<String> = self
            .users
            .keys()
            .filter(|user| !is_account(user))
            .cloned()
            .collect();
        gone.sort();
        for user in gone {
            self.remove(&user);
            out.push(Output::StoreBindings {
                user,
                bindings: Vec::new(),
            });
        }
    }

    /// A connection was closed. A contact that can be reached without it stays; one behind a NAT
    /// cannot, and is dropped until the phone registers again.
    pub(crate) fn handle_connection_closed(
        &mut self,
        now: Now,
        connection: ConnectionId,
        out: &mut Outbox,
    ) {
        for id in self.connections.remove(&connection).unwrap_or_default() {
            let Some(record) = self.records.get(&id) else {
                continue;
            };
            let (user, bindings) = (record.user.clone(), record.bindings.clone());
            let left = bindings
                .into_iter()
                .filter_map(|binding| without_connection(binding, connection))
                .collect();
            self.replace(now, &user, left, out);
        }
    }

    /// Lets contacts expire. Returns how many did.
    pub(crate) fn handle_timeout(&mut self, now: Now, out: &mut Outbox) -> usize {
        let mut expired = 0;
        while let Some((at, id)) = self.deadlines.pop(now.instant) {
            let Some(record) = self.records.get_mut(&id) else {
                continue;
            };
            record.armed.fired(at);
            let (live, dead): (Vec<_>, Vec<_>) = record
                .bindings
                .iter()
                .cloned()
                .partition(|binding| binding.expires_unix_ms > now.unix_ms);
            if dead.is_empty() {
                self.arm(now, id);
                continue;
            }
            expired += dead.len();
            let user = record.user.clone();
            self.replace(now, &user, live, out);
        }
        expired
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    fn set(&mut self, now: Now, user: &str, bindings: Vec<Binding>) {
        if bindings.is_empty() {
            self.remove(user);
            return;
        }
        let id = self.user_id(user);
        self.unlink(id);
        for binding in &bindings {
            *self.sources.entry(binding.received.ip()).or_default() += 1;
            if let Some(connection) = binding.connection {
                let users = self.connections.entry(connection).or_default();
                if !users.contains(&id) {
                    users.push(id);
                }
            }
        }
        self.binding_count += bindings.len();
        if let Some(record) = self.records.get_mut(&id) {
            record.bindings = bindings;
        }
        self.arm(now, id);
    }

    fn remove(&mut self, user: &str) {
        if let Some(id) = self.users.remove(user) {
            self.unlink(id);
            self.records.remove(&id);
        }
    }

    fn user_id(&mut self, user: &str) -> UserId {
        if let Some(id) = self.users.get(user) {
            return *id;
        }
        let id = UserId(self.next);
        self.next += 1;
        self.users.insert(user.to_owned(), id);
        self.records.insert(
            id,
            Record {
                user: user.to_owned(),
                bindings: Vec::new(),
                armed: Armed::default(),
            },
        );
        id
    }

    /// Takes the contacts of a record out of the indices.
    fn unlink(&mut self, id: UserId) {
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        let bindings = std::mem::take(&mut record.bindings);
        self.binding_count -= bindings.len();
        for binding in bindings {
            let source = binding.received.ip();
            if let Some(count) = self.sources.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.sources.remove(&source);
                }
            }
            let Some(connection) = binding.connection else {
                continue;
            };
            if let Some(users) = self.connections.get_mut(&connection) {
                users.retain(|user| *user != id);
                if users.is_empty() {
                    self.connections.remove(&connection);
                }
            }
        }
    }

    fn arm(&mut self, now: Now, id: UserId) {
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        let first = record
            .bindings
            .iter()
            .map(|binding| binding.expires_unix_ms)
            .min();
        let deadline = first.map(|unix_ms| {
            let left = Duration::from_millis(unix_ms.saturating_sub(now.unix_ms));
            now.instant + left.min(LOOK_AGAIN)
        });
        self.deadlines.arm(&mut record.armed, id, deadline);
    }
}

/// What is left of a contact when a connection is gone.
fn without_connection(mut binding: Binding, connection: ConnectionId) -> Option<Binding> {
    if binding.connection != Some(connection) {
        return Some(binding);
    }
    binding.connection = None;
    let uri = Uri::parse(binding.uri.as_bytes()).ok()?;
    let Some(Host::Address(address)) = uri.host else {
        return None;
    };
    if address != binding.received.ip() {
        return None;
    }
    let port = uri.port.unwrap_or(5060);
    binding.received.set_port(port);
    Some(binding)
}

#[cfg(test)]
mod tests;
