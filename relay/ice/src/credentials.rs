//! Who an agent is.

use std::fmt;

/// A user name fragment and a password (RFC 8839 §5.4). The password is not shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    /// `ice-ufrag`.
    pub user: String,
    /// `ice-pwd`.
    pub password: String,
}

impl Credentials {
    /// Those of a user.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", Credentials::new("user", "secret"));
        assert!(shown.contains("user") && !shown.contains("secret"));
    }
}
