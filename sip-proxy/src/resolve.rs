//! Looks host names up, never making signalling wait.
//!
//! The system's resolver blocks a thread for as long as it likes and cannot be interrupted. So a
//! permit is held until it really returns, the answer is given at the deadline whether or not it
//! did, and what cannot even be begun in time is answered with nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sip_proxy_core::Token;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// SIP's port (RFC 3261 §19.1.2).
const PORT_DEFAULT: u16 = 5060;

/// Lookups at once: threads that a dead name server may hold.
pub(crate) const CONCURRENT_MAX: usize = 16;

/// Lookups that wait or run at most.
const PENDING_MAX: usize = 1_024;

/// How long a caller waits: less than the time after which phones send an INVITE a fourth time.
const DEADLINE: Duration = Duration::from_secs(3);

/// Addresses of one name that are tried at most.
const ADDRESSES_MAX: usize = 8;

/// Bytes of a name at most (RFC 1035 §2.3.4).
const HOST_LEN_MAX: usize = 255;

/// An answer, best first; empty if there is none.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub token: Token,
    pub addresses: Vec<SocketAddr>,
}

/// Starts lookups. Answers go to the channel that it was made with.
#[derive(Debug)]
pub(crate) struct Resolver {
    permits: Arc<Semaphore>,
    pending: Arc<AtomicUsize>,
    answers: mpsc::Sender<Resolved>,
}

impl Resolver {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Resolved>) {
        let (answers, receiver) = mpsc::channel(PENDING_MAX);
        let resolver = Self {
            permits: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            pending: Arc::new(AtomicUsize::new(0)),
            answers,
        };
        (resolver, receiver)
    }

    /// Begins a lookup. `false` if too many are pending: the answer is nothing.
    #[must_use]
    pub(crate) fn start(&self, token: Token, host: String, port: Option<u16>) -> bool {
        if self.pending.load(Ordering::Relaxed) >= PENDING_MAX || host.len() > HOST_LEN_MAX {
            return false;
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        let permits = Arc::clone(&self.permits);
        let pending = Arc::clone(&self.pending);
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let looking = look_up(permits, host, port.unwrap_or(PORT_DEFAULT));
            let addresses = timeout(DEADLINE, looking).await.unwrap_or_default();
            // The receiver is gone only when the proxy stops.
            let _ = answers.send(Resolved { token, addresses }).await;
            pending.fetch_sub(1, Ordering::Relaxed);
        });
        true
    }

    pub(crate) fn pending_len(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }
}

async fn look_up(permits: Arc<Semaphore>, host: String, port: u16) -> Vec<SocketAddr> {
    let Ok(permit) = permits.acquire_owned().await else {
        return Vec::new();
    };
    // A task of its own: when the caller gives up, the thread is still busy, and so is its permit.
    let looking = tokio::spawn(async move {
        let found = tokio::net::lookup_host((host, port)).await;
        drop(permit);
        found.map(|addresses| distinct(addresses.collect()))
    });
    match looking.await {
        Ok(Ok(addresses)) => addresses,
        _ => Vec::new(),
    }
}

/// The resolver's order (RFC 6724) without repetitions.
fn distinct(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finds_what_the_system_knows() {
        let (resolver, mut answers) = Resolver::new();
        assert!(resolver.start(Token(1), "localhost".to_owned(), Some(5070)));
        let answer = answers.recv().await.unwrap();
        assert_eq!(answer.token, Token(1));
        assert!(!answer.addresses.is_empty());
        let is_expected =
            |address: &SocketAddr| address.ip().is_loopback() && address.port() == 5070;
        assert!(answer.addresses.iter().all(is_expected));
    }

    #[tokio::test]
    async fn nothing_is_an_answer_too() {
        let (resolver, mut answers) = Resolver::new();
        // A label that no name server needs to be asked about (RFC 1035 §2.3.4: 63 at most).
        assert!(resolver.start(Token(2), "x".repeat(64), None));
        assert!(answers.recv().await.unwrap().addresses.is_empty());
    }

    #[tokio::test]
    async fn does_not_take_more_than_it_can_answer() {
        let (resolver, _answers) = Resolver::new();
        assert!(!resolver.start(Token(0), "x".repeat(256), None));
        let begun = (0..2_000)
            .filter(|&token| resolver.start(Token(token), "localhost".to_owned(), None))
            .count();
        assert_eq!(begun, PENDING_MAX);
    }

    #[test]
    fn an_address_is_tried_once() {
        let address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        assert_eq!(distinct(vec![address, address]), [address]);
        let many = (1..100)
            .map(|port| SocketAddr::from(([192, 0, 2, 1], port)))
            .collect();
        assert_eq!(distinct(many).len(), ADDRESSES_MAX);
    }
}
