//! The database: accounts, registered contacts and call records.
//!
//! One SQLite file, shared by the proxy (which reads accounts and writes the rest) and the
//! operator's command line (which writes accounts and reads the rest). Both may have it open at
//! once: it is in WAL mode, so that readers never wait, and a writer waits a bounded time.
//!
//! ```text
//! settings   what the proxy must remember, such as the key of its nonces
//! accounts   user, realm, HA1 (MD5 and SHA-256); never a password
//! bindings   registered contacts, so that a restart forgets no phone
//! cdr        one row a call, times in milliseconds since 1970
//! calls      view: cdr with ISO 8601 times and durations, for people
//! ```

#![forbid(unsafe_code)]

mod account;
mod binding;
mod cdr;
mod error;
mod open;
mod schema;
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use sip_proxy_core::{Binding, Cdr, Listener};

pub use account::{
    AccountRecord, NameError, PasswordError, USER_LEN_MAX, check_user, hash_password,
};
pub use cdr::StoredCdr;
pub use error::Error;
pub use schema::SCHEMA_VERSION;

/// How long a statement waits for another process's transaction, unless told otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection to the database. May be sent to another thread, not shared.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

/// One thing to write; see [`Store::apply`].
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Replaces the contacts of an account.
    Bindings {
        /// The account's name.
        user: String,
        /// All of them; empty if none is left.
        bindings: Vec<Binding>,
    },
    /// Adds a call record.
    Cdr(Box<Cdr>),
}

impl Store {
    /// Changes how long a statement waits for another process's transaction before it fails with
    /// [`Error::Locked`].
    ///
    /// # Errors
    /// As SQLite says.
    pub fn set_busy_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        self.connection
            .busy_timeout(timeout)
            .map_err(|error| Error::of(&self.path, error))
    }

    /// Writes all changes in one transaction: all of them, or none.
    ///
    /// `listeners` say which address each [`ListenerId`](sip_proxy_core::ListenerId) stands for.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process keeps the database for longer than the busy timeout;
    /// the changes may be given again.
    pub fn apply(&mut self, changes: &[Change], listeners: &[Listener]) -> Result<(), Error> {
        self.write(|transaction| {
            for change in changes {
                match change {
                    Change::Bindings { user, bindings } => {
                        binding::replace(transaction, user, bindings, listeners)?;
                    }
                    Change::Cdr(cdr) => cdr::insert(transaction, cdr)?,
                }
            }
            Ok(())
        })
    }

    /// Runs `body` in a transaction that takes the write lock at once, so that the busy timeout
    /// applies (a lock that is upgraded later fails without waiting).
    fn write<T>(
        &mut self,
        body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let path = &self.path;
        let run = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = body(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run(&mut self.connection).map_err(|error| Error::of(path, error))
    }

    /// Runs a query.
    fn read<T>(&self, body: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        body(&self.connection).map_err(|error| Error::of(&self.path, error))
    }
}

/// A count or a time as SQLite stores it. What does not fit could not have happened.
fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back from [`to_sql`]; what is negative was not written by us.
fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
