//! Notes what happens to calls, and sums them up at their end.

use std::time::Duration;

use control_ng::{Command, Message, Value};
use relay_wire::{CallKey, CallStats};

use crate::call::Client;
use crate::output::{EndReason, Notice};
use crate::summary::CallSummary;
use crate::trace::{Trace, What};

use super::jobs::Silence;
use super::{Control, Held, Now, metrics};

impl Control {
    /// What happened to the calls of a Call-ID, as far as it is remembered.
    #[must_use]
    pub fn trace_of(&self, call_id: &[u8]) -> Trace {
        let call = self.keys.get(call_id).and_then(|key| self.calls.get(key));
        self.traces.find(call_id, call.map(|call| &call.history))
    }

    /// Something happened to a call.
    pub(super) fn trace(&mut self, now: Now, key: CallKey, what: What) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.history.note(now.unix_ms, what);
        }
    }

    /// A request came that changes a call.
    pub(super) fn trace_asked(&mut self, now: Now, client: Client, command: &Command<'_>) {
        if let Some(key) = changed_by(command).and_then(|id| self.keys.get(id).copied()) {
            let client = client.remote;
            let command = metrics::name(command);
            self.trace(now, key, What::Asked { command, client });
        }
    }

    /// A request came again.
    pub(super) fn trace_repeated(&mut self, now: Now, command: &Command<'_>) {
        if let Some(key) = changed_by(command).and_then(|id| self.keys.get(id).copied()) {
            let command = metrics::name(command);
            self.trace(now, key, What::Repeated { command });
        }
    }

    /// An offer begins a call.
    pub(super) fn trace_begun(&mut self, now: Now, key: CallKey, held: &Held) {
        let (command, client) = (held.command, held.client.remote);
        self.trace(now, key, What::Asked { command, client });
    }

    /// The relay has made the call what it is to be.
    pub(super) fn trace_agreed(&mut self, now: Now, key: CallKey) {
        if let Some(call) = self.calls.get(&key) {
            let (legs, ports) = (call.state.legs.len(), call.state.ports().count());
            self.trace(now, key, What::Agreed { legs, ports });
        }
    }

    /// A request is answered with an error.
    pub(super) fn trace_refused(&mut self, now: Now, held: &Held, reason: &str) {
        let Some(message) = Message::split(&held.datagram) else {
            return;
        };
        let document = Value::parse(message.body);
        let dictionary = document.as_ref().ok().and_then(Value::as_dictionary);
        let call_id = dictionary.and_then(|it| it.get("call-id")?.as_bytes());
        let Some(call_id) = call_id else {
            return;
        };
        match self.keys.get(call_id) {
            Some(key) => self.trace(now, *key, What::refused(reason)),
            None => {
                let what = What::refused(reason);
                self.traces.note_stray(call_id, now.unix_ms, what);
            }
        }
    }

    /// The relay hears nothing.
    pub(super) fn trace_silence(&mut self, now: Now, key: CallKey, silence: Silence) {
        let from_the_first = silence == Silence::FromTheFirst;
        self.trace(now, key, What::Silent { from_the_first });
    }

    /// A call is over: its record.
    pub(super) fn record_call(
        &mut self,
        now: Now,
        key: CallKey,
        reason: EndReason,
        stats: Option<&CallStats>,
    ) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let duration_ms = now.unix_ms.saturating_sub(call.state.created_unix_ms);
        let duration = Duration::from_millis(duration_ms);
        self.tally.note_end(duration);
        self.proxies.note_end(duration);
        if let Some(stats) = stats {
            self.ways.add(&call.state, stats);
        }
        if self.wants_records {
            let about = (&call.state, call.worker.0);
            let summary = CallSummary::of(about, stats, &self.link.interfaces, now.unix_ms);
            let summary = Box::new(summary);
            self.notice(Notice::CallRecord { reason, summary });
        }
    }
}

/// The call that a command changes, if it does.
fn changed_by<'a>(command: &Command<'a>) -> Option<&'a [u8]> {
    match command {
        Command::Answer(negotiation)
        | Command::CreateAnswer(negotiation)
        | Command::Offer(negotiation) => Some(negotiation.call_id),
        Command::Create(create) => Some(create.party.call_id),
        Command::Delete(delete) => Some(delete.call_id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use control_ng::{Command, Negotiation};

    use crate::tests::{CONFIG, Sim, SimRelay, delete, sdp};

    fn texts(sim: &Sim, call_id: &str) -> Vec<String> {
        let trace = sim.control.trace_of(call_id.as_bytes());
        trace.events.iter().map(|it| it.what.to_string()).collect()
    }

    #[test]
    fn the_life_of_a_call_is_told_from_offer_to_end() {
        let mut sim = Sim::new();
        sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        sim.answer("c1", "a", "b", &sdp("192.0.2.2", 5000));
        let again = sim.request(&delete(b"c1"));
        sim.send(&again);
        let expected = [
            "offer from 127.0.0.1:20001",
            "done: 2 parties, 2 pairs of ports",
            "answer from 127.0.0.1:20001",
            "done: 2 parties, 2 pairs of ports",
            "delete from 127.0.0.1:20001",
            "over: deleted",
        ];
        assert_eq!(texts(&sim, "c1"), expected);
        assert!(!sim.control.trace_of(b"c1").is_here);
    }

    #[test]
    fn what_was_refused_says_why() {
        let mut sim = Sim::new();
        sim.control.drain(true);
        let sdp = sdp("192.0.2.1", 4000);
        let offer = Negotiation::new(b"c1", b"a", sdp.as_bytes());
        sim.refusal(&Command::Offer(offer));
        assert_eq!(
            texts(&sim, "c1"),
            ["refused: Parallel session limit reached"]
        );
        assert_eq!(texts(&sim, "c2"), [""; 0]);
    }

    #[test]
    fn a_call_that_was_taken_over_and_one_installed_again_say_so() {
        let mut sim = Sim::new();
        sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        sim.restart_control();
        assert_eq!(texts(&sim, "c1"), ["taken over from an earlier control"]);
        sim.restart_relay();
        assert_eq!(texts(&sim, "c1")[1], "installed again in the relay");
    }

    #[test]
    fn a_call_that_drains_keeps_being_served_and_new_ones_are_turned_away() {
        let mut sim = Sim::with_relay(CONFIG, SimRelay::new(1));
        sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        sim.control.drain(true);
        sim.answer("c1", "a", "b", &sdp("192.0.2.2", 5000));
        sim.reoffer("c1", "a", "b", &sdp("192.0.2.1", 4004));
        let text = sdp("192.0.2.1", 4000);
        let offer = || Negotiation::new(b"c2", b"a", text.as_bytes());
        let refusal = sim.refusal(&Command::Offer(offer()));
        assert_eq!(refusal, "Parallel session limit reached");
        sim.control.drain(false);
        sim.offer("c2", "a", &text);
        assert_eq!(sim.control.call_count(), 2);
    }
}
