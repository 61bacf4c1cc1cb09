//! What happened, counted. Nothing here is logged: the driver shows it.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// How often each thing happened since the start. Events, unless the text says "now".
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Counters {
            /// All of them with their names, in the order of the struct.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

counters! {
    /// Requests that were parsed.
    requests,
    /// Responses that were parsed.
    responses,
    /// Datagrams that hold nothing but white space.
    keep_alives,
    /// Bytes that are no message.
    malformed,
    /// Messages that nothing can be done with, and that nobody can be told about.
    invalid,
    /// Requests that came too fast from one address.
    limited,
    /// Requests whose sender did not show who it is.
    challenged,
    /// Credentials that were wrong, replayed or too old.
    credentials_refused,
    /// Requests that are forbidden.
    forbidden,
    /// Requests of a dialog that nobody knows.
    dialog_unknown,
    /// Requests that went through here before.
    loops,
    /// Requests refused because a table was full.
    overloaded,
    /// Responses that answer nothing that was sent.
    responses_stray,
    /// ACKs that belong to nothing.
    acks_stray,
    /// Registrations that were granted.
    registered,
    /// Registrations that were refused after authentication.
    register_refused,
    /// Contacts that ended by themselves.
    bindings_expired,
    /// Calls that began.
    calls,
    /// Calls that were answered.
    calls_answered,
    /// Questions about media that failed.
    media_errors,
    /// Host names without an address.
    unresolved,
    /// Messages that could not be sent.
    transport_errors,
    /// Calls now.
    calls_now,
    /// Transactions now.
    transactions_now,
    /// Contacts now.
    bindings_now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_struct() {
        let counters = Counters {
            requests: 1,
            bindings_now: 2,
            ..Counters::default()
        };
        let named = counters.named();
        assert_eq!(named.first(), Some(&("requests", 1)));
        assert_eq!(named.last(), Some(&("bindings_now", 2)));
        let mut names: Vec<_> = named.iter().map(|(name, _)| name).collect();
        names.dedup();
        assert_eq!(names.len(), named.len());
    }
}
