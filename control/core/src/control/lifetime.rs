//! How calls end: deleted, silent, unanswered, or lost; and what of them is due when.

use control_ng::Event;
use relay_wire::{CallKey, CallStats};

use crate::output::{EndReason, Notice};
use crate::plan::Plan;
use crate::trace::What;

use super::jobs::{Call, Ended, Silence, Then};
use super::{Control, Held, Now};

/// Requests that wait for one call.
const QUEUE_MAX: usize = 32;

/// How long the counts of a call that ended by itself can be asked for.
const ENDED_KEEP_MS: u64 = 60_000;

impl Control {
    /// A call is over in the relay.
    pub(super) fn end(
        &mut self,
        now: Now,
        key: CallKey,
        reason: Option<EndReason>,
        stats: Option<CallStats>,
    ) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if let Some(reason) = reason {
            let call_id = call.name();
            self.counters.calls_ended += 1;
            match reason {
                EndReason::Deleted if call.is_doomed => self.counters.terminated += 1,
                EndReason::Deleted => {}
                EndReason::FinalTimeout => self.counters.final_timeouts += 1,
                EndReason::FirstPacketTimeout => self.counters.first_packet_timeouts += 1,
                EndReason::MediaTimeout => self.counters.media_timeouts += 1,
                EndReason::SilentTimeout => self.counters.silent_timeouts += 1,
                EndReason::OfferTimeout => self.counters.offer_timeouts += 1,
            }
            self.notice(Notice::CallEnded { call_id, reason });
            self.trace(now, key, What::Ended { reason });
            self.record_call(now, key, reason, stats.as_ref());
            self.note_call_count(now);
        }
        match reason {
            Some(reason) if reason.is_news() => self.bury(now, key, reason, stats),
            _ => self.forget(now, key),
        }
    }

    /// Keeps what was counted: the proxy will ask when it ends the call on its side.
    fn bury(&mut self, now: Now, key: CallKey, reason: EndReason, stats: Option<CallStats>) {
        self.release_all(now, key);
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let quality = self.quality_of(now, call, stats.as_ref());
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        // As it is said now it is said later.
        call.quality = Some(Box::new(quality)).filter(|it| !it.is_empty());
        self.placement.remove(call.worker);
        self.ended_count += 1;
        call.installed = Some(Box::default());
        call.ended = Some(Box::new(Ended {
            stats,
            ended_unix_ms: now.unix_ms,
        }));
        let group = std::mem::take(&mut call.state.group);
        if let Some(client) = call.state.subscriber.as_deref().copied() {
            let call_id = &call.state.call_id[..];
            let event = Event::MediaTimeout { call_id };
            self.events.push(now.instant, client, &event, reason.name());
        }
        self.schedule(now, key);
        self.relink_all(now, group.into_inner());
    }

    /// Strikes a call out. Its queue is handled by the caller.
    pub(super) fn forget(&mut self, now: Now, key: CallKey) {
        let is_ended = self
            .calls
            .get(&key)
            .is_some_and(|call| call.ended.is_some());
        if !is_ended {
            self.release_all(now, key);
        }
        let Some(call) = self.calls.remove(&key) else {
            return;
        };
        if is_ended {
            self.ended_count -= 1;
        } else {
            self.placement.remove(call.worker);
        }
        self.keys.remove(&call.state.call_id);
        self.traces.close(&call.state.call_id, call.history);
        let Call { state, later, .. } = *call;
        self.relink_all(now, state.group.into_inner());
        for held in later.into_iter().flat_map(|later| later.queue) {
            self.resume(now, held);
        }
    }

    /// A call cannot go on, because the relay cannot do what it did before.
    pub(super) fn lose(&mut self, now: Now, key: CallKey, reason: &str) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let name = call.name();
        self.counters.calls_lost += 1;
        self.trace(now, key, What::lost(reason));
        self.notice(Notice::CallLost {
            call: name,
            reason: reason.to_owned(),
        });
        self.abandon(now, key);
    }

    fn release_all(&mut self, now: Now, key: CallKey) {
        if let Some(call) = self.calls.get(&key) {
            for port in call.state.ports() {
                self.ports.release(now.instant, call.worker, port);
            }
        }
    }

    /// Keeps a request until the call has time for it.
    pub(super) fn enqueue(&mut self, now: Now, key: CallKey, held: Held) {
        let call = self.calls.get_mut(&key);
        let queue = call.map(|call| &mut call.later.get_or_insert_default().queue);
        match queue {
            Some(queue) if queue.len() < QUEUE_MAX => queue.push_back(held),
            _ => self.drop_request(now, held),
        }
    }

    /// Carries out what has waited for the call, as long as it is not busy again.
    pub(super) fn handle_queue(&mut self, now: Now, key: CallKey) {
        while let Some(call) = self.calls.get_mut(&key)
            && !call.is_busy()
            && let Some(held) = call.next_queued()
        {
            self.resume(now, held);
        }
    }

    /// Sees to it that a call is looked at when something of it is due.
    pub(super) fn schedule(&mut self, now: Now, key: CallKey) {
        let final_ms = self.final_timeout_ms();
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let due = call.due_unix_ms(final_ms).map(|unix_ms| now.at(unix_ms));
        if let Some(due) = due
            && call.timer.is_none_or(|timer| due < timer)
        {
            call.timer = Some(due);
            self.timers.push(std::cmp::Reverse((due, key)));
        }
    }

    pub(super) fn handle_call_timeout(&mut self, now: Now, key: CallKey) {
        let final_ms = self.final_timeout_ms();
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.timer.is_some_and(|timer| timer > now.instant) {
            return;
        }
        call.timer = None;
        let is_due = |due: Option<u64>| due.is_some_and(|due| now.at(due) <= now.instant);
        if let Some(ended) = &call.ended {
            if is_due(Some(ended.until_unix_ms())) {
                return self.forget(now, key);
            }
        } else if call.is_busy() || !self.link.is_up() {
            // Looked at again when it is done.
            return;
        } else if call.is_doomed || is_due(call.state.delete_at_unix_ms) {
            return self.remove(key, None, (Some(EndReason::Deleted), true));
        } else if is_due(call.state.offer_deadline_unix_ms) {
            return self.remove(key, None, (Some(EndReason::OfferTimeout), true));
        } else if is_due(call.final_unix_ms(final_ms)) {
            return self.remove(key, None, (Some(EndReason::FinalTimeout), false));
        } else if is_due(call.state.forks_until_unix_ms()) {
            self.end_forking(key);
        }
        self.schedule(now, key);
    }

    /// Nobody else answers the newest offer of a call. If its record stays longer, nothing is lost.
    fn end_forking(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        call.state.end_forking();
        if !call.must_restore {
            let next = call.state.clone();
            let _ = self.change(key, None, (next, Then::Nothing), Vec::new());
        }
    }

    /// The relay heard nothing of a call for long, or nothing ever.
    pub(super) fn handle_silent(&mut self, key: CallKey, silence: Silence) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.is_busy() {
            call.silence = Some(silence);
        } else if call.ended.is_none() {
            let reason = match silence {
                Silence::FromTheFirst => EndReason::FirstPacketTimeout,
                Silence::ForLong if call.state.is_held() => EndReason::SilentTimeout,
                Silence::ForLong => EndReason::MediaTimeout,
            };
            self.remove(key, None, (Some(reason), false));
        }
    }

    /// Does what is to be done about silence that was reported while a job was under way.
    pub(super) fn handle_silence(&mut self, now: Now, key: CallKey, was_change: bool) {
        let timeouts = self.terms();
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.is_busy() {
            return;
        }
        let Some(silence) = call.silence.take() else {
            return;
        };
        if !was_change {
            return self.handle_silent(key, silence);
        }
        // Who negotiates is alive: the time counts from now.
        let mut plan = Plan::of(&call.state, timeouts);
        plan.media_timeout_ms = 0;
        plan.first_packet_timeout_ms = 0;
        call.installed = Some(Box::new(plan));
        self.restore(now, key);
    }

    pub(super) fn count_relayed(&mut self, stats: Option<&CallStats>) {
        if let Some(stats) = stats {
            self.tally.note_stats(stats);
        }
        for endpoint in stats.iter().flat_map(|stats| &stats.endpoints) {
            self.counters.relayed_packets += endpoint.packets_out;
            self.counters.relayed_bytes += endpoint.bytes_out;
        }
    }
}

impl Ended {
    fn until_unix_ms(&self) -> u64 {
        self.ended_unix_ms + ENDED_KEEP_MS
    }
}

impl Call {
    fn due_unix_ms(&self, final_ms: u64) -> Option<u64> {
        if let Some(ended) = &self.ended {
            return Some(ended.until_unix_ms());
        }
        if self.is_doomed {
            return Some(0);
        }
        let state = &self.state;
        let dues = [
            state.delete_at_unix_ms,
            state.offer_deadline_unix_ms,
            state.forks_until_unix_ms(),
            self.final_unix_ms(final_ms),
        ];
        dues.into_iter().flatten().min()
    }

    /// When it has been there for `final_ms`; 0 is never.
    fn final_unix_ms(&self, final_ms: u64) -> Option<u64> {
        (final_ms > 0).then(|| self.state.created_unix_ms.saturating_add(final_ms))
    }
}
