//! At most so many lines a second from one place in the code; the rest are counted.
//!
//! Whoever can make a daemon log can otherwise fill its disk. Each callsite has a window of one
//! second; what exceeds it is summed up in one line when the window ends:
//! `… 1234 more like this`.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::Value;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of this target are all written: they are asked for, one by one.
pub(super) const UNLIMITED_TARGET: &str = "tandem::call_record";

/// Length of the window that lines are counted in.
const WINDOW: Duration = Duration::from_secs(1);

/// The layer; 0 lines a second stands for no limit.
pub(super) fn layer(lines_per_second_max: u32) -> Option<LimitLayer> {
    if lines_per_second_max == 0 {
        return None;
    }
    let shared = Arc::new(Shared {
        limiter: Mutex::new(Limiter::new(lines_per_second_max)),
        has_suppressed: Condvar::new(),
    });
    let for_thread = Arc::clone(&shared);
    // Without the thread a summary waits for the next line of its kind: bearable, so a refusal
    // of the system is not an error.
    let _ = thread::Builder::new()
        .name("log-summary".to_owned())
        .spawn(move || for_thread.sum_up_for_ever());
    Some(LimitLayer { shared })
}

/// Drops what exceeds the limit, before it is formatted.
pub(super) struct LimitLayer {
    shared: Arc<Shared>,
}

struct Shared {
    limiter: Mutex<Limiter>,
    has_suppressed: Condvar,
}

impl<S: Subscriber> Layer<S> for LimitLayer {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        if IS_SUMMARY.get() || event.metadata().target() == UNLIMITED_TARGET {
            return true;
        }
        let (verdict, summary) = {
            let mut limiter = self.shared.lock();
            let verdict = limiter.handle_line(Instant::now(), event.metadata());
            (verdict, limiter.poll_summary())
        };
        if let Some(summary) = summary {
            summary.emit();
        }
        if verdict == Verdict::SuppressFirst {
            self.shared.has_suppressed.notify_one();
        }
        verdict == Verdict::Write
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum_up_for_ever(&self) {
        loop {
            let idle = self.lock();
            let waiting = self
                .has_suppressed
                .wait_while(idle, |limiter| !limiter.has_suppressed())
                .unwrap_or_else(PoisonError::into_inner);
            drop(waiting);
            thread::sleep(WINDOW);
            self.lock().handle_timeout(Instant::now());
            while let Some(summary) = self.next_summary() {
                summary.emit();
            }
        }
    }

    /// A function of its own so that the lock is not held while the summary is written.
    fn next_summary(&self) -> Option<Summary> {
        self.lock().poll_summary()
    }
}

/// Counts lines. Reads no clock.
struct Limiter {
    lines_per_window_max: u32,
    /// One for each place in the code that logs, so bounded by the program's size.
    windows: HashMap<Identifier, Window>,
    summaries: Vec<Summary>,
}

struct Window {
    metadata: &'static Metadata<'static>,
    start: Instant,
    written: u32,
    suppressed: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Suppress,
    /// The first of its window: somebody must sum up later.
    SuppressFirst,
    Write,
}

/// So many lines of one callsite were not written.
struct Summary {
    metadata: &'static Metadata<'static>,
    suppressed: u64,
}

impl Limiter {
    fn new(lines_per_window_max: u32) -> Self {
        Self {
            lines_per_window_max,
            windows: HashMap::new(),
            summaries: Vec::new(),
        }
    }

    /// Decides about one line.
    fn handle_line(&mut self, now: Instant, metadata: &'static Metadata<'static>) -> Verdict {
        let window = self
            .windows
            .entry(metadata.callsite())
            .or_insert_with(|| Window {
                metadata,
                start: now,
                written: 0,
                suppressed: 0,
            });
        if window.is_over(now) {
            self.summaries.extend(window.restart(now));
        }
        if window.written < self.lines_per_window_max {
            window.written += 1;
            return Verdict::Write;
        }
        window.suppressed += 1;
        match window.suppressed {
            1 => Verdict::SuppressFirst,
            _ => Verdict::Suppress,
        }
    }

    /// Closes the windows that are over.
    fn handle_timeout(&mut self, now: Instant) {
        let over = self.windows.values_mut().filter(|it| it.is_over(now));
        self.summaries
            .extend(over.filter_map(|window| window.restart(now)));
    }

    fn poll_summary(&mut self) -> Option<Summary> {
        self.summaries.pop()
    }

    fn has_suppressed(&self) -> bool {
        self.windows.values().any(|window| window.suppressed > 0)
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.start) >= WINDOW
    }

    fn restart(&mut self, now: Instant) -> Option<Summary> {
        let suppressed = std::mem::take(&mut self.suppressed);
        self.start = now;
        self.written = 0;
        (suppressed > 0).then_some(Summary {
            metadata: self.metadata,
            suppressed,
        })
    }
}

thread_local! {
    /// Lets a summary pass the limit that it reports.
    static IS_SUMMARY: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Summary {
    /// Logs in the name of the callsite, so that level, target and filter are those of the lines
    /// that are missing.
    fn emit(&self) {
        let Some(field) = self.metadata.fields().field("message") else {
            return;
        };
        let text = format!("… {} more like this", self.suppressed);
        IS_SUMMARY.set(true);
        let values = [(&field, Some(&text as &dyn Value))];
        Event::dispatch(self.metadata, &self.metadata.fields().value_set(&values));
        IS_SUMMARY.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use tracing::Level;
    use tracing::callsite::Callsite;
    use tracing::metadata::Kind;
    use tracing::subscriber::Interest;

    struct TestCallsite(OnceLock<Metadata<'static>>);

    impl Callsite for TestCallsite {
        fn set_interest(&self, _interest: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            self.0.get().expect("made by `metadata`")
        }
    }

    /// A callsite of its own for each test, as the compiler would make it.
    fn metadata(callsite: &'static TestCallsite) -> &'static Metadata<'static> {
        callsite.0.get_or_init(|| {
            Metadata::new(
                "event",
                "test",
                Level::WARN,
                Some(file!()),
                Some(line!()),
                Some(module_path!()),
                tracing::field::FieldSet::new(&["message"], Identifier(callsite)),
                Kind::EVENT,
            )
        })
    }

    static ONE: TestCallsite = TestCallsite(OnceLock::new());
    static OTHER: TestCallsite = TestCallsite(OnceLock::new());

    fn verdicts(
        limiter: &mut Limiter,
        now: Instant,
        callsite: &'static TestCallsite,
    ) -> [Verdict; 4] {
        [(); 4].map(|()| limiter.handle_line(now, metadata(callsite)))
    }

    #[test]
    fn writes_so_many_lines_and_counts_the_rest() {
        use Verdict::{Suppress, SuppressFirst, Write};
        let start = Instant::now();
        let mut limiter = Limiter::new(2);
        let expected = [Write, Write, SuppressFirst, Suppress];
        assert_eq!(verdicts(&mut limiter, start, &ONE), expected);
        assert!(limiter.has_suppressed());
        assert!(
            limiter.poll_summary().is_none(),
            "not before the window is over"
        );

        limiter.handle_timeout(start + WINDOW);
        let summary = limiter.poll_summary().unwrap();
        assert_eq!(summary.suppressed, 2);
        assert!(limiter.poll_summary().is_none());
        assert!(!limiter.has_suppressed());
        assert_eq!(verdicts(&mut limiter, start + WINDOW, &ONE), expected);
    }

    #[test]
    fn a_flood_from_one_place_silences_no_other() {
        let start = Instant::now();
        let mut limiter = Limiter::new(1);
        for _ in 0..1_000 {
            let _ = limiter.handle_line(start, metadata(&ONE));
        }
        assert_eq!(limiter.handle_line(start, metadata(&OTHER)), Verdict::Write);
    }

    #[test]
    fn the_next_line_of_a_new_window_closes_the_old_one() {
        let start = Instant::now();
        let mut limiter = Limiter::new(1);
        let _ = verdicts(&mut limiter, start, &ONE);
        assert_eq!(
            limiter.handle_line(start + WINDOW, metadata(&ONE)),
            Verdict::Write
        );
        assert_eq!(limiter.poll_summary().unwrap().suppressed, 3);
    }
}
