//! The tables, and how older ones become the present ones.
//!
//! `user_version` counts the migrations that a file has seen. A migration is never changed once
//! released: what must change is added as the next one.

use rusqlite::{Connection, TransactionBehavior};

/// The version that this release writes.
#[expect(clippy::cast_possible_wrap, reason = "a handful")]
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// "TAND": tells our files from other people's.
const APPLICATION_ID: i64 = 0x5441_4e44;

/// The migration at index n leads from version n to n + 1.
const MIGRATIONS: &[&str] = &["
CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    user TEXT PRIMARY KEY NOT NULL,
    realm TEXT NOT NULL,
    ha1_md5 TEXT NOT NULL,
    ha1_sha256 TEXT NOT NULL,
    created_unix_ms INTEGER NOT NULL,
    changed_unix_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Counts changes of accounts, whoever makes them, so that the proxy notices.
CREATE TABLE counters (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('accounts', 0);
CREATE TRIGGER accounts_inserted AFTER INSERT ON accounts BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'accounts';
END;
CREATE TRIGGER accounts_updated AFTER UPDATE ON accounts BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'accounts';
END;
CREATE TRIGGER accounts_deleted AFTER DELETE ON accounts BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'accounts';
END;

CREATE TABLE bindings (
    user TEXT NOT NULL,
    position INTEGER NOT NULL,
    uri TEXT NOT NULL,
    q INTEGER NOT NULL,
    expires_unix_ms INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    cseq INTEGER NOT NULL,
    transport TEXT NOT NULL,
    received TEXT NOT NULL,
    local TEXT NOT NULL,
    path TEXT NOT NULL,
    user_agent TEXT,
    PRIMARY KEY (user, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE cdr (
    id INTEGER PRIMARY KEY,
    call_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    caller_address TEXT NOT NULL,
    callee_address TEXT,
    start_unix_ms INTEGER NOT NULL,
    ring_unix_ms INTEGER,
    answer_unix_ms INTEGER,
    end_unix_ms INTEGER NOT NULL,
    status INTEGER NOT NULL,
    cause TEXT NOT NULL,
    caller_packets INTEGER,
    caller_bytes INTEGER,
    callee_packets INTEGER,
    callee_bytes INTEGER
) STRICT;
CREATE INDEX cdr_start ON cdr (start_unix_ms);
CREATE INDEX cdr_call_id ON cdr (call_id);

CREATE VIEW calls AS SELECT
    id, call_id, caller, callee, caller_address, callee_address,
    strftime('%Y-%m-%dT%H:%M:%fZ', start_unix_ms / 1000.0, 'unixepoch') AS start,
    strftime('%Y-%m-%dT%H:%M:%fZ', ring_unix_ms / 1000.0, 'unixepoch') AS ring,
    strftime('%Y-%m-%dT%H:%M:%fZ', answer_unix_ms / 1000.0, 'unixepoch') AS answer,
    strftime('%Y-%m-%dT%H:%M:%fZ', end_unix_ms / 1000.0, 'unixepoch') AS end,
    round((end_unix_ms - answer_unix_ms) / 1000.0, 3) AS duration_s,
    status, cause, caller_packets, caller_bytes, callee_packets, callee_bytes
FROM cdr;
"];

/// What the file turned out to be.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// Ours, and now up to date.
    Current,
    /// Somebody else's database.
    Foreign,
    /// Of a later release.
    Newer(i64),
}

/// Applies what is missing, in one transaction: two processes that start at once do it once.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<Found> {
    if version(connection)? == SCHEMA_VERSION && !is_foreign(connection)? {
        return Ok(Found::Current);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_foreign(&transaction)? {
        return Ok(Found::Foreign);
    }
    let found = version(&transaction)?;
    let Some(missing) = usize::try_from(found)
        .ok()
        .and_then(|found| MIGRATIONS.get(found..))
    else {
        return Ok(Found::Newer(found));
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(Found::Current)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// A file that has tables, but not our mark.
fn is_foreign(connection: &Connection) -> rusqlite::Result<bool> {
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(false);
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(id != 0 || tables > 0)
}
