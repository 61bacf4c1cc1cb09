//! Call records. Written by the proxy, read by whoever bills or looks into a complaint.

use std::net::SocketAddr;

use rusqlite::{Connection, Row, Transaction};
use sip_proxy_core::{Cdr, CdrCause, MediaCounts};

use crate::{Error, Store, from_sql, to_sql};

/// Every cause, to find one by its name.
pub(crate) const CAUSES: [CdrCause; 7] = [
    CdrCause::CalleeBye,
    CdrCause::CallerBye,
    CdrCause::Cancelled,
    CdrCause::DurationLimit,
    CdrCause::Failed,
    CdrCause::MediaTimeout,
    CdrCause::NoAnswer,
];

/// A call record as stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredCdr {
    /// Grows with each record.
    pub id: i64,
    /// The record.
    pub cdr: Cdr,
}

impl Store {
    /// Adds a record. See [`Store::apply`] for many at once.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn insert_cdr(&mut self, cdr: &Cdr) -> Result<(), Error> {
        self.write(|transaction| insert(transaction, cdr))
    }

    /// The newest records of calls that started at `since_unix_ms` or later, newest first, at
    /// most `limit`.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn cdrs(&self, since_unix_ms: u64, limit: u32) -> Result<Vec<StoredCdr>, Error> {
        self.read(|connection| list(connection, since_unix_ms, limit))
    }

    /// How many records there are.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn cdr_count(&self) -> Result<u64, Error> {
        self.read(|connection| {
            connection.query_row("SELECT count(*) FROM cdr", [], |row| {
                row.get(0).map(from_sql)
            })
        })
    }
}

pub(crate) fn insert(transaction: &Transaction<'_>, cdr: &Cdr) -> rusqlite::Result<()> {
    let media =
        |count: fn(&MediaCounts) -> u64| cdr.media.as_ref().map(|media| to_sql(count(media)));
    transaction
        .prepare_cached(
            "INSERT INTO cdr (call_id, caller, callee, caller_address, callee_address, \
             start_unix_ms, ring_unix_ms, answer_unix_ms, end_unix_ms, status, cause, \
             caller_packets, caller_bytes, callee_packets, callee_bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute((
            &cdr.call_id,
            &cdr.caller,
            &cdr.callee,
            cdr.caller_address.to_string(),
            cdr.callee_address.map(|address| address.to_string()),
            to_sql(cdr.start_unix_ms),
            cdr.ring_unix_ms.map(to_sql),
            cdr.answer_unix_ms.map(to_sql),
            to_sql(cdr.end_unix_ms),
            cdr.status,
            cdr.cause.name(),
            media(|media| media.caller_packets),
            media(|media| media.caller_bytes),
            media(|media| media.callee_packets),
            media(|media| media.callee_bytes),
        ))?;
    Ok(())
}

fn list(
    connection: &Connection,
    since_unix_ms: u64,
    limit: u32,
) -> rusqlite::Result<Vec<StoredCdr>> {
    connection
        .prepare_cached(
            "SELECT id, call_id, caller, callee, caller_address, callee_address, start_unix_ms, \
             ring_unix_ms, answer_unix_ms, end_unix_ms, status, cause, caller_packets, \
             caller_bytes, callee_packets, callee_bytes FROM cdr WHERE start_unix_ms >= ?1 \
             ORDER BY start_unix_ms DESC, id DESC LIMIT ?2",
        )?
        .query_map((to_sql(since_unix_ms), limit), read_row)?
        .collect()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<StoredCdr> {
    let time = |column: usize| row.get(column).map(|time: Option<i64>| time.map(from_sql));
    Ok(StoredCdr {
        id: row.get(0)?,
        cdr: Cdr {
            call_id: row.get(1)?,
            caller: row.get(2)?,
            callee: row.get(3)?,
            caller_address: address(row, 4)?.unwrap_or(UNKNOWN_ADDRESS),
            callee_address: address(row, 5)?,
            start_unix_ms: row.get(6).map(from_sql)?,
            ring_unix_ms: time(7)?,
            answer_unix_ms: time(8)?,
            end_unix_ms: row.get(9).map(from_sql)?,
            status: row.get(10)?,
            cause: cause_of(&row.get::<_, String>(11)?),
            media: media(row)?,
        },
    })
}

/// Stands for a text that is no address: somebody else's row.
const UNKNOWN_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<SocketAddr>> {
    let text: Option<String> = row.get(column)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

fn media(row: &Row<'_>) -> rusqlite::Result<Option<MediaCounts>> {
    let count = |column: usize| {
        row.get(column)
            .map(|count: Option<i64>| count.map_or(0, from_sql))
    };
    if row.get::<_, Option<i64>>(12)?.is_none() {
        return Ok(None);
    }
    Ok(Some(MediaCounts {
        caller_packets: count(12)?,
        caller_bytes: count(13)?,
        callee_packets: count(14)?,
        callee_bytes: count(15)?,
    }))
}

fn cause_of(name: &str) -> CdrCause {
    CAUSES
        .into_iter()
        .find(|cause| cause.name() == name)
        .unwrap_or(CdrCause::Failed)
}
