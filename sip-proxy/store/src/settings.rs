//! What the proxy must remember from one start to the next.

use rusqlite::OptionalExtension as _;

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
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).expect("the system has random numbers");
        self.write(|transaction| {
            let stored: Option<Vec<u8>> = transaction
                .query_row(
                    "SELECT value FROM settings WHERE name = ?1",
                    [SECRET],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(Ok(stored)) = stored.map(<[u8; 32]>::try_from) {
                return Ok(stored);
            }
            transaction.execute(
                "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)",
                (SECRET, fresh.as_slice()),
            )?;
            Ok(fresh)
        })
    }
}
