//! Looks at each call from time to time, so that it is known not only how it sounded as a whole but
//! when it was worst.
//!
//! ```text
//! a worker's calls  ◄─ the next one to be looked at … the one that was looked at last ◄─┐
//!                    └► QueryCall, a few at a time ─► a sample of each stream ──────────┘
//! ```
//!
//! A worker is asked for a few calls in one message, and for the next ones when it has answered and
//! had a pause. So it never has more than that to do at once, and where there are more calls than it
//! can tell of in time, they are looked at less often. Nothing is asked of calls that nobody has
//! answered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use relay_wire::{Answer, CallKey, CallStats, Command, CommandError, Failure, Refusal, WorkerId};

use crate::quality::{History, Look};

use super::jobs::Call;
use super::link::Purpose;
use super::{Control, Now};

/// Calls that a worker is asked for in one message: some microseconds of its time.
const CALLS_PER_TURN: usize = 16;

/// Calls that are passed over in one turn because nobody has answered.
const PASSED_PER_TURN: usize = 256;

/// Pause of a worker between two such messages. With [`CALLS_PER_TURN`]: 800 calls in a second.
const PAUSE: Duration = Duration::from_millis(20);

/// For how long a call that is due waits for others, to be asked for in one message with them.
const SLACK: Duration = Duration::from_millis(100);

/// What is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Sampling {
    workers: Vec<Sampled>,
}

/// The calls of one worker.
#[derive(Debug, Default)]
struct Sampled {
    /// All of them, by when they are due.
    queue: VecDeque<Due>,
    /// But for those that it is being asked for.
    sent: Vec<Due>,
    /// When it is asked next. `None`: it is being asked, or has no calls.
    next: Option<Instant>,
    asked: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    call: CallKey,
}

impl Sampling {
    /// The relay is another one, or the same after a while: its calls come again.
    pub(super) fn reset(&mut self, workers: u8) {
        self.workers.clear();
        self.workers
            .resize_with(usize::from(workers), Sampled::default);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.workers.iter().filter_map(|worker| worker.next).min()
    }

    /// From now on a call is looked at.
    fn add(&mut self, worker: WorkerId, due: Due) {
        if let Some(worker) = self.workers.get_mut(usize::from(worker.0)) {
            worker.queue.push_back(due);
            if worker.next.is_none() && worker.sent.is_empty() {
                worker.plan();
            }
        }
    }
}

impl Sampled {
    /// Says when it is to be asked next.
    fn plan(&mut self) {
        let due = self.queue.front().map(|first| first.at + SLACK);
        let rested = self.asked.map(|asked| asked + PAUSE);
        self.next = due.map(|due| rested.map_or(due, |rested| rested.max(due)));
    }

    /// Takes the next call, if it is due.
    fn pop(&mut self, now: Instant) -> Option<Due> {
        let is_due = self.queue.front().is_some_and(|first| first.at <= now);
        is_due.then(|| self.queue.pop_front())?
    }

    /// A call has had its turn.
    fn put_back(&mut self, now: Instant, due: Due, interval: Duration) {
        let at = (due.at + interval).max(now + interval / 2);
        self.queue.push_back(Due { at, ..due });
    }
}

impl Control {
    fn interval(&self) -> Option<Duration> {
        let seconds = self.config.quality_interval_s;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// From now on a new call is looked at.
    pub(super) fn sample(&mut self, now: Now, call: CallKey, worker: WorkerId) {
        if let Some(interval) = self.interval() {
            let at = now.instant + interval;
            self.sampling.add(worker, Due { at, call });
        }
    }

    /// From now on all calls are looked at, not all at the same time.
    pub(super) fn sample_all(&mut self, now: Now) {
        let Some(interval) = self.interval() else {
            return;
        };
        let calls = self.calls.iter().filter(|(_, call)| call.ended.is_none());
        let calls: Vec<_> = calls.map(|(key, call)| (*key, call.worker)).collect();
        let count = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        for (number, (call, worker)) in (1_u32..).zip(calls) {
            let at = now.instant + (interval / count).saturating_mul(number);
            self.sampling.add(worker, Due { at, call });
        }
    }

    /// Looks at the next calls of the workers that are due.
    pub(super) fn sample_more(&mut self, now: Now) {
        for number in 0..self.sampling.workers.len() {
            let is_due = self.sampling.workers[number].next;
            if is_due.is_some_and(|due| due <= now.instant)
                && let Ok(id) = u8::try_from(number)
            {
                self.sample_turn(now, WorkerId(id));
            }
        }
    }

    fn sample_turn(&mut self, now: Now, id: WorkerId) {
        let interval = self.interval().unwrap_or(SLACK);
        let worker = &mut self.sampling.workers[usize::from(id.0)];
        let mut sent = Vec::with_capacity(CALLS_PER_TURN.min(worker.queue.len()));
        let mut passed = 0;
        while sent.len() < CALLS_PER_TURN
            && passed < PASSED_PER_TURN
            && let Some(due) = worker.pop(now.instant)
        {
            match self.calls.get(&due.call) {
                Some(call) if call.worker == id && call.ended.is_none() => {
                    if call.can_be_sampled() {
                        sent.push(due);
                    } else {
                        worker.put_back(now.instant, due, interval);
                        passed += 1;
                    }
                }
                // It is over.
                _ => passed += 1,
            }
        }
        worker.next = None;
        worker.asked = Some(now.instant);
        if sent.is_empty() {
            return worker.plan();
        }
        let commands = sent.iter().map(|due| Command::QueryCall { call: due.call });
        let commands = commands.collect();
        worker.sent = sent;
        self.ask(id, commands, Purpose::Quality(id));
    }

    /// A worker told of some calls.
    pub(super) fn handle_sampled(
        &mut self,
        now: Now,
        id: WorkerId,
        answers: Vec<Answer>,
        failure: Option<Failure>,
    ) {
        for answer in answers {
            if let Answer::Call(stats) = answer {
                self.note_quality(now, &stats);
            }
        }
        let interval = self.interval().unwrap_or(SLACK);
        let Some(worker) = self.sampling.workers.get_mut(usize::from(id.0)) else {
            return;
        };
        let mut done = std::mem::take(&mut worker.sent);
        if let Some(failure) = failure {
            let failed = usize::from(failure.index).min(done.len());
            let is_full = failure.error == CommandError::Refused(Refusal::TooLong);
            // One that only found no room comes next; any other has had its turn.
            let tried = failed + usize::from(!is_full || failed == 0);
            let untried = done.split_off(tried.min(done.len()));
            let untried = untried.into_iter().rev();
            untried.for_each(|due| worker.queue.push_front(due));
        }
        for due in done {
            worker.put_back(now.instant, due, interval);
        }
        worker.plan();
    }

    fn note_quality(&mut self, now: Now, stats: &CallStats) {
        let Some(call) = self.calls.get_mut(&stats.call) else {
            return;
        };
        let look = Look {
            state: &call.state,
            stats,
            unix_ms: now.unix_ms,
            interval_s: self.config.quality_interval_s,
        };
        let mut history = call.quality.take().unwrap_or_default();
        let tally = &mut self.tally;
        history.note(&look, |interface, sample| {
            tally.note_sample(interface, sample)
        });
        call.quality = Some(history).filter(|it| !it.is_empty());
    }

    /// How a call sounded so far, what came since the last look included. Of one that is over that
    /// is known: its counts are of another time than now.
    pub(super) fn quality_of(&self, now: Now, call: &Call, stats: Option<&CallStats>) -> History {
        let mut history = call.quality.as_deref().cloned().unwrap_or_default();
        if let Some(stats) = stats.filter(|_| call.ended.is_none()) {
            history.note_rest(&Look {
                state: &call.state,
                stats,
                unix_ms: now.unix_ms,
                interval_s: self.config.quality_interval_s,
            });
        }
        history
    }
}

impl Call {
    /// There may be media, and the relay knows it.
    fn can_be_sampled(&self) -> bool {
        !self.is_new() && !self.must_restore && self.state.is_answered()
    }
}
