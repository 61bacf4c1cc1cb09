//! Call records, read from the database as an operator's script would.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};

/// One row of `cdr`.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Call-ID.
    pub call_id: String,
    /// `user@host`.
    pub caller: String,
    /// `user@host`.
    pub callee: String,
    /// The INVITE came: milliseconds since 1970.
    pub start_unix_ms: i64,
    /// It rang.
    pub ring_unix_ms: Option<i64>,
    /// It was answered.
    pub answer_unix_ms: Option<i64>,
    /// It was over.
    pub end_unix_ms: i64,
    /// Final status of the INVITE.
    pub status: i64,
    /// How it ended.
    pub cause: String,
    /// RTP packets and bytes from the caller.
    pub caller_media: Option<(i64, i64)>,
    /// RTP packets and bytes from the callee.
    pub callee_media: Option<(i64, i64)>,
}

/// All records, oldest first. Empty while there is no database.
///
/// # Panics
///
/// When the database has another form.
#[must_use]
#[track_caller]
pub fn call_records(data_dir: &Path) -> Vec<CallRecord> {
    let path = data_dir.join("tandem.sqlite3");
    if !path.is_file() {
        return Vec::new();
    }
    // Read-write, since SQLite's WAL needs it; nothing is written.
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .expect("the database opens");
    let mut statement = connection
        .prepare(
            "SELECT call_id, caller, callee, start_unix_ms, ring_unix_ms, answer_unix_ms, \
             end_unix_ms, status, cause, caller_packets, caller_bytes, callee_packets, \
             callee_bytes FROM cdr ORDER BY id",
        )
        .expect("call records have these columns");
    let rows = statement.query_map([], read).expect("records can be read");
    rows.map(|row| row.expect("a record has its types"))
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<CallRecord> {
    let pair = |first: usize| {
        let packets: Option<i64> = row.get(first)?;
        let bytes: Option<i64> = row.get(first + 1)?;
        Ok::<_, rusqlite::Error>(packets.zip(bytes))
    };
    Ok(CallRecord {
        call_id: row.get(0)?,
        caller: row.get(1)?,
        callee: row.get(2)?,
        start_unix_ms: row.get(3)?,
        ring_unix_ms: row.get(4)?,
        answer_unix_ms: row.get(5)?,
        end_unix_ms: row.get(6)?,
        status: row.get(7)?,
        cause: row.get(8)?,
        caller_media: pair(9)?,
        callee_media: pair(11)?,
    })
}
