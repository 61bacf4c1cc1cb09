//! What the proxy must remember from one start to the next.

use rusqlite::{Connection, OptionalExtension as _};

use crate::{Error, Store};

/// Name of the key of nonces and signed routes.
const SECRET: &str = "secret";

impl Store {
    /// The key of nonces and signed routes: random, made at the first call, the same ever after,
    /// so that what phones were given before a restart is good after it.
    ///
    /// # Errors
    /// As SQLite says.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn secret(&mut self) -> Result<[u8; 32], Error> {
        // Looked for without the write lock first: a restart must not wait for anybody.
        if let Some(secret) = self.read(stored_secret)? {
            return Ok(secret);
        }
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).expect("the system has random numbers");
        self.write(|transaction| {
            if let Some(secret) = stored_secret(transaction)? {
                return Ok(secret);
            }
            transaction.execute(
                "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)",
                (SECRET, fresh.as_slice()),
            )?;
            Ok(fresh)
        })
    }
}

fn stored_secret(connection: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    let stored: Option<Vec<u8>> = connection
        .query_row(
            "SELECT value FROM settings WHERE name = ?1",
            [SECRET],
            |row| row.get(0),
        )
        .optional()?;
    Ok(stored.and_then(|stored| stored.try_into().ok()))
}
