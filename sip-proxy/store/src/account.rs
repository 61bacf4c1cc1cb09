//! Accounts: who may register and call.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use md5::Digest as _;
use rusqlite::Connection;
use sip_proxy_core::Account;

use crate::{Error, Store, from_sql, to_sql};

/// Bytes of a user name at most. Long enough for an e-mail address's left half (RFC 5321
/// §4.5.3.1.1), short enough for a table.
pub const USER_LEN_MAX: usize = 64;

/// Bytes of a password at most.
const PASSWORD_LEN_MAX: usize = 256;

/// Accounts at most: what the proxy keeps in memory.
const ACCOUNTS_MAX: i64 = 1_000_000;

/// An account and what is known about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountRecord {
    /// For the proxy.
    pub account: Account,
    /// The realm that its password was hashed for.
    pub realm: String,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When its password was last set: milliseconds since 1970.
    pub changed_unix_ms: u64,
}

/// Why a user name is not legal.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// It has no characters.
    #[error("a user name needs at least one character")]
    Empty,
    /// Not a character of a SIP user name.
    #[error(
        "the user name {user:?} has {character:?} in it: it is dialled as a SIP address, so it may have \
         only the letters A to Z and a to z, digits, and - _ . ! ~ * ' ( ) & = + $"
    )]
    Illegal {
        /// The name.
        user: String,
        /// The first character that may not be in it.
        character: char,
    },
    /// Too many bytes.
    #[error("the user name has {len} characters, at most {USER_LEN_MAX} are allowed")]
    TooLong {
        /// Its length.
        len: usize,
    },
}

/// Why a password is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PasswordError {
    /// It has no characters.
    #[error("the password is empty")]
    Empty,
    /// A line end, a tab or the like: no phone could be given it.
    #[error("the password has a control character in it, which no phone lets one type")]
    Control,
    /// Too many bytes.
    #[error("the password is longer than {PASSWORD_LEN_MAX} bytes")]
    TooLong,
}

impl Store {
    /// Makes an account. The password itself is not stored.
    ///
    /// # Errors
    /// [`Error::UserExists`], [`Error::Name`], [`Error::Password`], or as SQLite says.
    pub fn add_account(&mut self, user: &str, realm: &str, password: &str) -> Result<(), Error> {
        let account = checked(user, realm, password)?;
        let now = to_sql(unix_ms());
        let added = self.write(|transaction| {
            transaction.execute(
                "INSERT INTO accounts (user, realm, ha1_md5, ha1_sha256, created_unix_ms, changed_unix_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (user) DO NOTHING",
                (&account.user, realm, &account.ha1_md5, &account.ha1_sha256, now),
            )
        })?;
        if added == 0 {
            return Err(Error::UserExists { user: account.user });
        }
        Ok(())
    }

    /// Sets the password of an account, and the realm that it is for.
    ///
    /// # Errors
    /// [`Error::UserUnknown`], [`Error::Password`], or as SQLite says.
    pub fn change_password(
        &mut self,
        user: &str,
        realm: &str,
        password: &str,
    ) -> Result<(), Error> {
        let account = checked(user, realm, password)?;
        let now = to_sql(unix_ms());
        let changed = self.write(|transaction| {
            transaction.execute(
                "UPDATE accounts SET realm = ?2, ha1_md5 = ?3, ha1_sha256 = ?4, changed_unix_ms = ?5 \
                 WHERE user = ?1",
                (&account.user, realm, &account.ha1_md5, &account.ha1_sha256, now),
            )
        })?;
        known(user, changed)
    }

    /// Deletes an account and its contacts.
    ///
    /// # Errors
    /// [`Error::UserUnknown`], or as SQLite says.
    pub fn delete_account(&mut self, user: &str) -> Result<(), Error> {
        let deleted = self.write(|transaction| {
            transaction.execute("DELETE FROM bindings WHERE user = ?1", [user])?;
            transaction.execute("DELETE FROM accounts WHERE user = ?1", [user])
        })?;
        known(user, deleted)
    }

    /// Whether there is such an account.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn account_exists(&self, user: &str) -> Result<bool, Error> {
        self.read(|connection| {
            connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM accounts WHERE user = ?1)",
                [user],
                |row| row.get(0),
            )
        })
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn accounts(&self) -> Result<Vec<AccountRecord>, Error> {
        self.read(list)
    }

    /// Checks that all passwords are for this realm: with another one nobody could log in.
    ///
    /// # Errors
    /// [`Error::RealmDiffers`], or as SQLite says.
    pub fn check_realm(&self, realm: &str) -> Result<(), Error> {
        let others: Vec<AccountRecord> = self
            .accounts()?
            .into_iter()
            .filter(|record| record.realm != realm)
            .collect();
        match others.first() {
            None => Ok(()),
            Some(first) => Err(Error::RealmDiffers {
                count: others.len(),
                user: first.account.user.clone(),
                stored: first.realm.clone(),
                configured: realm.to_owned(),
            }),
        }
    }

    /// A number that is another one after any change of accounts, by whatever process.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn accounts_version(&self) -> Result<u64, Error> {
        self.read(|connection| {
            connection.query_row(
                "SELECT value FROM counters WHERE name = 'accounts'",
                [],
                |row| row.get(0).map(from_sql),
            )
        })
    }
}

/// Checks a user name: 1 to [`USER_LEN_MAX`] characters that need no escape in a SIP URI
/// (RFC 3261 §25.1, `user`), without those that end or split one in careless parsers (`,;?/`).
///
/// # Errors
/// What is wrong with it.
pub fn check_user(user: &str) -> Result<(), NameError> {
    if user.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(character) = user
        .chars()
        .find(|&character| !is_user_character(character))
    {
        return Err(NameError::Illegal {
            user: user.chars().take(USER_LEN_MAX).collect(),
            character,
        });
    }
    if user.len() > USER_LEN_MAX {
        return Err(NameError::TooLong { len: user.len() });
    }
    Ok(())
}

/// Hashes a password for digest authentication (RFC 7616 §3.4.2), unchecked.
#[must_use]
pub fn hash_password(user: &str, realm: &str, password: &str) -> Account {
    let text = format!("{user}:{realm}:{password}");
    Account {
        user: user.to_owned(),
        ha1_md5: hex(&md5::Md5::digest(&text)),
        ha1_sha256: hex(&sha2::Sha256::digest(&text)),
    }
}

fn is_user_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.!~*'()&=+$".contains(character)
}

fn checked(user: &str, realm: &str, password: &str) -> Result<Account, Error> {
    check_user(user)?;
    check_password(password)?;
    Ok(hash_password(user, realm, password))
}

fn check_password(password: &str) -> Result<(), PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if password.len() > PASSWORD_LEN_MAX {
        return Err(PasswordError::TooLong);
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
    Ok(())
}

fn list(connection: &Connection) -> rusqlite::Result<Vec<AccountRecord>> {
    connection
        .prepare_cached(
            "SELECT user, ha1_md5, ha1_sha256, realm, created_unix_ms, changed_unix_ms \
             FROM accounts ORDER BY user LIMIT ?1",
        )?
        .query_map([ACCOUNTS_MAX], |row| {
            Ok(AccountRecord {
                account: Account {
                    user: row.get(0)?,
                    ha1_md5: row.get(1)?,
                    ha1_sha256: row.get(2)?,
                },
                realm: row.get(3)?,
                created_unix_ms: row.get(4).map(from_sql)?,
                changed_unix_ms: row.get(5).map(from_sql)?,
            })
        })?
        .collect()
}

fn known(user: &str, rows: usize) -> Result<(), Error> {
    if rows == 0 {
        return Err(Error::UserUnknown {
            user: user.to_owned(),
        });
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
