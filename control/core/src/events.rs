//! Tells clients of what happened, until they say that they heard.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use control_ng::Event;

use crate::call::Client;

/// How long to wait for an acknowledgement.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often an event is sent at most.
const SENDS_MAX: u8 = 5;

/// Events under way; beyond that the oldest is given up.
const PENDING_MAX: usize = 4_096;

/// Events that were not acknowledged yet.
#[derive(Debug)]
pub(crate) struct Events {
    /// Makes cookies differ from those of an earlier run.
    nonce: u64,
    count: u64,
    /// In the order in which they are due.
    pending: VecDeque<Pending>,
    /// Events that nobody acknowledged.
    pub(crate) given_up: u64,
}

#[derive(Debug)]
struct Pending {
    client: Client,
    cookie: Vec<u8>,
    datagram: Vec<u8>,
    due: Instant,
    sends_left: u8,
}

impl Events {
    /// None yet.
    pub(crate) fn new(nonce: u64) -> Self {
        Self {
            nonce,
            count: 0,
            pending: VecDeque::new(),
            given_up: 0,
        }
    }

    /// Begins to tell a client, with the reason where there is more to say. The first datagram is due at once.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        client: Client,
        event: &Event<'_>,
        reason: Option<&str>,
    ) {
        if self.pending.len() == PENDING_MAX {
            self.pending.pop_front();
            self.given_up += 1;
        }
        self.count += 1;
        let cookie = format!("event-{:x}-{}", self.nonce, self.count).into_bytes();
        self.pending.push_front(Pending {
            client,
            datagram: event.encode_because(&cookie, reason),
            cookie,
            due: now,
            sends_left: SENDS_MAX,
        });
    }

    /// A client has heard.
    pub(crate) fn acknowledge(&mut self, client: Client, cookie: &[u8]) {
        self.pending
            .retain(|pending| pending.client.remote != client.remote || pending.cookie != cookie);
    }

    /// When [`Self::poll`] next has something.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.front().map(|pending| pending.due)
    }

    /// Takes a datagram that is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(Client, Vec<u8>)> {
        while self.due().is_some_and(|due| due <= now) {
            let mut pending = self.pending.pop_front()?;
            if pending.sends_left == 0 {
                self.given_up += 1;
                continue;
            }
            let datagram = (pending.client, pending.datagram.clone());
            pending.sends_left -= 1;
            pending.due = now + INTERVAL;
            self.pending.push_back(pending);
            return Some(datagram);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{client, start};

    const EVENT: Event<'_> = Event::MediaTimeout { call_id: b"c" };

    #[test]
    fn an_event_is_repeated_until_it_is_acknowledged() {
        let mut events = Events::new(7);
        events.push(start(), client(1), &EVENT, None);
        let (to, first) = events.poll(start()).unwrap();
        assert_eq!(to, client(1));
        assert_eq!(events.poll(start()), None, "not before a second has passed");
        let later = start() + INTERVAL;
        assert_eq!(events.due(), Some(later));
        assert_eq!(events.poll(later), Some((client(1), first)));
        events.acknowledge(client(2), b"event-7-1");
        assert!(
            events.due().is_some(),
            "another client's word does not count"
        );
        events.acknowledge(client(1), b"event-7-1");
        assert_eq!(events.due(), None);
    }

    #[test]
    fn a_client_that_is_gone_is_told_five_times() {
        let mut events = Events::new(7);
        events.push(start(), client(1), &EVENT, None);
        let mut count = 0;
        for second in 0..10 {
            let now = start() + Duration::from_secs(second);
            count += usize::from(events.poll(now).is_some());
        }
        assert_eq!(count, 5);
        assert_eq!((events.due(), events.given_up), (None, 1));
    }
}
