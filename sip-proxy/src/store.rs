//! The thread that writes to the database, so that signalling never waits for a disk.
//!
//! ```text
//! driver ─► bounded queue ─► batch ─► one transaction
//!    ◄── accounts, when somebody changed them (looked at once a second)
//! ```
//!
//! What comes within a fifth of a second is written together: a wake-up of the thread and a
//! transaction for each change would cost more than a registration otherwise takes.
//!
//! If the database is locked or the disk is full, the batch is kept and tried again, the queue
//! fills up, and what does not fit is dropped, counted and said. Calls go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use sip_proxy_core::{Account, Listener};
use sip_proxy_store::{Change, Error, Store};
use tokio::sync::mpsc;

/// Changes that wait for the thread at most: what some minutes of a locked database bring in a
/// busy hour.
const QUEUE_LEN_MAX: usize = 16_384;

/// Changes of one transaction at most.
const BATCH_LEN_MAX: usize = 1_024;

/// From one writing to the next: what comes alone is written at once, what comes in between is
/// gathered. If the process is killed, that is lost; if it is stopped, it is not.
const GATHER_TIME: Duration = Duration::from_millis(200);

/// How long one attempt waits for another process's transaction. Short, since the attempt is
/// repeated.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// How often accounts are looked at, and the pause between attempts to write.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// How long the last write may take when the daemon stops.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// The driver's end.
#[derive(Debug)]
pub(crate) struct StoreWriter {
    queue: SyncSender<Change>,
    done: Receiver<()>,
    thread: Thread,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    depth: AtomicUsize,
    is_stopping: AtomicBool,
    written: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

/// What became of changes.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct StoreCounters {
    pub written: u64,
    pub dropped: u64,
    pub failures: u64,
}

impl StoreWriter {
    /// Starts the thread. It sends all accounts whenever they changed after `accounts_version`.
    pub(crate) fn start(
        mut store: Store,
        listeners: Vec<Listener>,
        realm: String,
        accounts_version: u64,
    ) -> Result<(Self, mpsc::Receiver<Vec<Account>>), Error> {
        store.set_busy_timeout(BUSY_TIMEOUT)?;
        let (queue, changes) = sync_channel(QUEUE_LEN_MAX);
        let (finished, done) = channel();
        let (accounts, receiver) = mpsc::channel(1);
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            store,
            listeners,
            realm,
            accounts_version,
            accounts,
            changes,
            batch: Batch::default(),
            next_write: Instant::now(),
            shared: Arc::clone(&shared),
        };
        let handle = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                writer.run();
                let _ = finished.send(());
            })
            .expect("the system has a thread for the database");
        let writer = Self {
            queue,
            done,
            thread: handle.thread().clone(),
            shared,
        };
        Ok((writer, receiver))
    }

    /// Has a change written some time soon; drops it if too many wait.
    pub(crate) fn write(&self, change: Change) {
        self.shared.depth.fetch_add(1, Ordering::Relaxed);
        let sent = self.queue.try_send(change);
        if let Err(TrySendError::Disconnected(_) | TrySendError::Full(_)) = sent {
            self.shared.depth.fetch_sub(1, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("a record is lost: the database takes nothing and the queue is full");
        }
    }

    /// Changes that wait.
    pub(crate) fn depth(&self) -> usize {
        self.shared.depth.load(Ordering::Relaxed)
    }

    pub(crate) fn counters(&self) -> StoreCounters {
        StoreCounters {
            written: self.shared.written.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            failures: self.shared.failures.load(Ordering::Relaxed),
        }
    }

    /// Waits until everything is written, within bounds.
    pub(crate) fn finish(self) {
        let Self {
            queue,
            done,
            thread,
            shared,
        } = self;
        shared.is_stopping.store(true, Ordering::Relaxed);
        drop(queue);
        thread.unpark();
        let _ = done.recv_timeout(FLUSH_DEADLINE + BUSY_TIMEOUT);
        let left = shared.depth.load(Ordering::Relaxed);
        if left > 0 {
            tracing::error!(
                records = left,
                "the database took nothing before the stop: records are lost"
            );
        }
    }
}

/// The thread's end.
#[derive(Debug)]
struct Writer {
    store: Store,
    listeners: Vec<Listener>,
    realm: String,
    accounts_version: u64,
    accounts: mpsc::Sender<Vec<Account>>,
    changes: Receiver<Change>,
    batch: Batch,
    /// Nothing is written before.
    next_write: Instant,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self) {
        let mut poll_due = Instant::now() + POLL_INTERVAL;
        loop {
            let is_open = self.collect(poll_due);
            if !is_open {
                return self.flush();
            }
            self.write_batch();
            if poll_due <= Instant::now() {
                self.poll_accounts();
                poll_due = Instant::now() + POLL_INTERVAL;
            }
        }
    }

    /// Waits for changes until `due`, or only shortly if some could not be written. `false` if
    /// there will be no more.
    fn collect(&mut self, due: Instant) -> bool {
        let wait = due.saturating_duration_since(Instant::now());
        let wait = if self.batch.is_empty() {
            wait
        } else {
            wait.min(RETRY_INTERVAL)
        };
        if self.batch.is_full() {
            thread::sleep(wait);
            return true;
        }
        match self.changes.recv_timeout(wait) {
            Ok(change) => self.batch.push(change),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        self.gather();
        self.fill_batch();
        true
    }

    /// Lets more changes come, without being woken for each. Not if there is a batch of them
    /// already, so that the time bounds no rate.
    fn gather(&self) {
        loop {
            let left = self.next_write.saturating_duration_since(Instant::now());
            let is_batch = self.shared.depth.load(Ordering::Relaxed) >= BATCH_LEN_MAX;
            if left.is_zero() || is_batch || self.shared.is_stopping.load(Ordering::Relaxed) {
                return;
            }
            thread::park_timeout(left);
        }
    }

    fn fill_batch(&mut self) {
        while !self.batch.is_full() {
            let Ok(change) = self.changes.try_recv() else {
                return;
            };
            self.batch.push(change);
        }
    }

    /// Writes the batch if it can be written now.
    fn write_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.next_write = Instant::now() + GATHER_TIME;
        match self.store.apply(&self.batch.changes, &self.listeners) {
            Ok(()) => self.settle(self.batch.received, 0),
            Err(error) => {
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, records = self.batch.received, "records wait for the database");
                if !error.is_transient() {
                    self.write_one_by_one();
                }
            }
        }
    }

    /// Finds out which change the database does not take, so that the others are not lost.
    fn write_one_by_one(&mut self) {
        let received = self.batch.received;
        let mut dropped = 0;
        for change in &self.batch.changes {
            if let Err(error) = self
                .store
                .apply(std::slice::from_ref(change), &self.listeners)
            {
                dropped += 1;
                tracing::error!(%error, "a record is lost: the database does not take it");
            }
        }
        self.settle(received, dropped);
    }

    fn settle(&mut self, received: usize, dropped: usize) {
        let written = self.batch.changes.len() - dropped;
        self.batch = Batch::default();
        self.shared.depth.fetch_sub(received, Ordering::Relaxed);
        self.shared
            .written
            .fetch_add(count(written), Ordering::Relaxed);
        self.shared
            .dropped
            .fetch_add(count(dropped), Ordering::Relaxed);
    }

    /// Writes what is left, for as long as a stopping daemon may take.
    fn flush(mut self) {
        let deadline = Instant::now() + FLUSH_DEADLINE;
        loop {
            self.fill_batch();
            if self.batch.is_empty() || Instant::now() >= deadline {
                return;
            }
            self.write_batch();
            if !self.batch.is_empty() {
                thread::sleep(RETRY_INTERVAL);
            }
        }
    }

    fn poll_accounts(&mut self) {
        match self.changed_accounts() {
            Ok(None) => {}
            Ok(Some((version, accounts))) => {
                // If the driver has not taken the last ones yet, the next second will do.
                if self.accounts.try_send(accounts).is_ok() {
                    self.accounts_version = version;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot see whether accounts changed"),
        }
    }

    fn changed_accounts(&self) -> Result<Option<(u64, Vec<Account>)>, Error> {
        let version = self.store.accounts_version()?;
        if version == self.accounts_version {
            return Ok(None);
        }
        if let Err(error) = self.store.check_realm(&self.realm) {
            tracing::warn!(%error);
        }
        Ok(Some((version, load_accounts(&self.store, &self.realm)?)))
    }
}

/// The accounts that can log in: those whose password is for this realm.
pub(crate) fn load_accounts(store: &Store, realm: &str) -> Result<Vec<Account>, Error> {
    let records = store.accounts()?.into_iter();
    let own = records.filter(|record| record.realm == realm);
    Ok(own.map(|record| record.account).collect())
}

/// Changes for one transaction. Of the contacts of one account only the last state counts, so
/// that phones that refresh while the database is locked cost nothing.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Change>,
    by_user: HashMap<String, usize>,
    /// Changes that went in, those included that a later one made obsolete.
    received: usize,
}

impl Batch {
    fn push(&mut self, change: Change) {
        self.received += 1;
        if let Change::Bindings { user, .. } = &change {
            if let Some(&index) = self.by_user.get(user) {
                self.changes[index] = change;
                return;
            }
            self.by_user.insert(user.clone(), self.changes.len());
        }
        self.changes.push(change);
    }

    fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= BATCH_LEN_MAX
    }
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sip_proxy_core::{Cdr, CdrCause};

    use super::*;

    const REALM: &str = "example.org";

    fn cdr(call_id: &str) -> Change {
        Change::Cdr(Box::new(Cdr {
            call_id: call_id.to_owned(),
            caller: "a@example.org".to_owned(),
            callee: "b@example.org".to_owned(),
            caller_address: "192.0.2.1:5060".parse().unwrap(),
            callee_address: None,
            start_unix_ms: 1,
            ring_unix_ms: None,
            answer_unix_ms: None,
            end_unix_ms: 2,
            status: 404,
            cause: CdrCause::Failed,
            media: None,
        }))
    }

    fn bindings(user: &str) -> Change {
        Change::Bindings {
            user: user.to_owned(),
            bindings: Vec::new(),
        }
    }

    fn start(path: &Path) -> (StoreWriter, mpsc::Receiver<Vec<Account>>) {
        let store = Store::open(path).unwrap();
        let version = store.accounts_version().unwrap();
        StoreWriter::start(store, Vec::new(), REALM.to_owned(), version).unwrap()
    }

    #[test]
    fn everything_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (writer, _accounts) = start(&path);
        for index in 0..3_000 {
            writer.write(cdr(&index.to_string()));
        }
        writer.finish();
        assert_eq!(Store::open(&path).unwrap().cdr_count().unwrap(), 3_000);
    }

    #[test]
    fn a_locked_database_delays_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (writer, _accounts) = start(&path);
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        writer.write(cdr("1"));
        while writer.counters().failures == 0 {
            thread::yield_now();
        }
        writer.write(cdr("2"));
        assert_eq!(writer.counters().written, 0);
        other.execute_batch("ROLLBACK").unwrap();
        writer.finish();
        assert_eq!(Store::open(&path).unwrap().cdr_count().unwrap(), 2);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (writer, _accounts) = start(&path);
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let total = QUEUE_LEN_MAX + 2 * BATCH_LEN_MAX;
        for index in 0..total {
            writer.write(cdr(&index.to_string()));
        }
        let dropped = usize::try_from(writer.counters().dropped).unwrap();
        assert!(dropped >= BATCH_LEN_MAX, "{dropped} were dropped");
        other.execute_batch("ROLLBACK").unwrap();
        writer.finish();
        let written = Store::open(&path).unwrap().cdr_count().unwrap();
        assert_eq!(usize::try_from(written).unwrap(), total - dropped);
    }

    #[test]
    fn one_bad_record_does_not_take_others_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (writer, _accounts) = start(&path);
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(
                "CREATE TRIGGER refuse BEFORE INSERT ON cdr WHEN NEW.call_id = 'bad' \
                 BEGIN SELECT RAISE(ABORT, 'no'); END",
            )
            .unwrap();
        for id in ["good 1", "bad", "good 2"] {
            writer.write(cdr(id));
        }
        writer.finish();
        assert_eq!(Store::open(&path).unwrap().cdr_count().unwrap(), 2);
    }

    #[test]
    fn accounts_of_another_process_arrive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (_writer, mut accounts) = start(&path);
        let mut operator = Store::open(&path).unwrap();
        operator.add_account("alice", REALM, "one").unwrap();
        operator.add_account("bob", "other.example", "one").unwrap();
        let users = |accounts: Vec<Account>| -> Vec<String> {
            accounts.into_iter().map(|account| account.user).collect()
        };
        // The thread may have looked between the two.
        assert_eq!(users(accounts.blocking_recv().unwrap()), ["alice"]);
        operator.delete_account("alice").unwrap();
        while !users(accounts.blocking_recv().unwrap()).is_empty() {}
    }

    #[test]
    fn only_the_last_state_of_an_account_is_written() {
        let mut batch = Batch::default();
        for change in [bindings("a"), cdr("1"), bindings("b"), bindings("a")] {
            batch.push(change);
        }
        assert_eq!(batch.changes, [bindings("a"), cdr("1"), bindings("b")]);
        assert_eq!(batch.received, 4);
    }
}
