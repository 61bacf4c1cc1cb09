//! Registered contacts, kept so that a restart of the proxy forgets no phone.
//!
//! A contact belongs to the listener that it came by. Listeners have numbers in the proxy and
//! addresses here, since a change of the settings gives them other numbers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rusqlite::{Connection, Row, Transaction};
use sip_proxy_core::{Binding, Listener, ListenerId, Transport};

use crate::{Error, Store, from_sql, to_sql};

/// Splits the values of Path: no header value has a line end in it.
const PATH_SEPARATOR: char = '\n';

impl Store {
    /// The contacts that have not expired, by account. Those that came by an address that is not
    /// listened on any more are given to a listener of the same transport and family; without
    /// one they are left out.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn bindings(
        &self,
        now_unix_ms: u64,
        listeners: &[Listener],
    ) -> Result<BTreeMap<String, Vec<Binding>>, Error> {
        self.read(|connection| load(connection, now_unix_ms, listeners))
    }

    /// Replaces the contacts of an account. See [`Store::apply`] for many at once.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn replace_bindings(
        &mut self,
        user: &str,
        bindings: &[Binding],
        listeners: &[Listener],
    ) -> Result<(), Error> {
        self.write(|transaction| replace(transaction, user, bindings, listeners))
    }
}

pub(crate) fn replace(
    transaction: &Transaction<'_>,
    user: &str,
    bindings: &[Binding],
    listeners: &[Listener],
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM bindings WHERE user = ?1")?
        .execute([user])?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO bindings (user, position, uri, q, expires_unix_ms, call_id, cseq, transport, \
         received, local, path, user_agent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for (position, binding) in (0_u32..).zip(bindings) {
        let local = listeners
            .get(usize::from(binding.listener.0))
            .map(|listener| listener.address.to_string());
        insert.execute((
            user,
            position,
            &binding.uri,
            binding.q,
            to_sql(binding.expires_unix_ms),
            &binding.call_id,
            binding.cseq,
            transport_name(binding.transport),
            binding.received.to_string(),
            local.unwrap_or_default(),
            binding.path.join("\n"),
            &binding.user_agent,
        ))?;
    }
    Ok(())
}

fn load(
    connection: &Connection,
    now_unix_ms: u64,
    listeners: &[Listener],
) -> rusqlite::Result<BTreeMap<String, Vec<Binding>>> {
    let mut statement = connection.prepare(
        "SELECT user, uri, q, expires_unix_ms, call_id, cseq, transport, received, local, path, \
         user_agent FROM bindings WHERE expires_unix_ms > ?1 ORDER BY user, position",
    )?;
    let mut rows = statement.query([to_sql(now_unix_ms)])?;
    let mut users: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if let Some(binding) = read_row(row, listeners)? {
            users.entry(row.get(0)?).or_default().push(binding);
        }
    }
    Ok(users)
}

/// `None` if the row makes no sense here any more.
fn read_row(row: &Row<'_>, listeners: &[Listener]) -> rusqlite::Result<Option<Binding>> {
    let transport: String = row.get(6)?;
    let received: String = row.get(7)?;
    let local: String = row.get(8)?;
    let path: String = row.get(9)?;
    let (Some(transport), Ok(received)) = (transport_of(&transport), received.parse()) else {
        return Ok(None);
    };
    let Some(listener) = find_listener(listeners, transport, local.parse().ok(), received) else {
        return Ok(None);
    };
    Ok(Some(Binding {
        uri: row.get(1)?,
        q: row.get(2)?,
        expires_unix_ms: row.get(3).map(from_sql)?,
        call_id: row.get(4)?,
        cseq: row.get(5)?,
        received,
        transport,
        listener,
        connection: None,
        path: path
            .split(PATH_SEPARATOR)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect(),
        user_agent: row.get(10)?,
    }))
}

fn find_listener(
    listeners: &[Listener],
    transport: Transport,
    local: Option<SocketAddr>,
    received: SocketAddr,
) -> Option<ListenerId> {
    let serves = |listener: &Listener| {
        listener.transport == transport && listener.address.is_ipv4() == received.is_ipv4()
    };
    listeners
        .iter()
        .position(|listener| serves(listener) && Some(listener.address) == local)
        .or_else(|| listeners.iter().position(serves))
        .and_then(|index| u16::try_from(index).ok())
        .map(ListenerId)
}

const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn transport_of(name: &str) -> Option<Transport> {
    match name {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        _ => None,
    }
}
