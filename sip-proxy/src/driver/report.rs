//! What the driver tells the operator.

use serde_json::{Map, Value, json};
use sip_proxy_core::{Binding, CallInfo};

use super::{Driver, Socket};
use crate::admin::{Command, Request};
use crate::listen::name;

impl Driver {
    /// Answers a question.
    pub(super) fn report(&self, request: &Request) -> Value {
        match request.command {
            Command::Calls => self.calls(request.limit),
            Command::Registrations => self.registrations(request.limit),
            Command::Status => self.status(),
        }
    }

    fn status(&self) -> Value {
        let media = self.media.as_ref();
        let core = self.proxy.counters();
        let counted: Map<String, Value> = core
            .named()
            .into_iter()
            .filter(|(name, _)| !name.ends_with("_now"))
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_s": self.started.elapsed().as_secs(),
            "listeners": self.listener_reports(),
            "now": {
                "accounts": self.accounts,
                "registrations": core.bindings_now,
                "calls": core.calls_now,
                "transactions": core.transactions_now,
                "connections": self.connections.len(),
            },
            "queues": {
                "media_requests": media.map_or(0, |link| link.client.pending_len()),
                "lookups": self.resolver.pending_len(),
                "store": self.store.depth(),
                "tcp_bytes": self.connections.queued_bytes(),
            },
            "sip": counted,
            "tcp": self.connections.counters,
            "media": media.map(|link| link.client.counters()),
            "store": self.store.counters(),
        })
    }

    fn listener_reports(&self) -> Vec<Value> {
        let pairs = self.listeners.iter().zip(&self.sockets);
        pairs
            .map(|(listener, socket)| {
                let udp = match socket {
                    Socket::Tcp(_) => None,
                    Socket::Udp(udp) => Some((udp.counters, udp.waiting_len())),
                };
                json!({
                    "address": format!("{}:{}", name(listener.transport), listener.address),
                    "advertised": listener.advertised,
                    "counters": udp.map(|(counters, _)| counters),
                    "waiting": udp.map(|(_, waiting)| waiting),
                })
            })
            .collect()
    }

    fn registrations(&self, limit: usize) -> Value {
        let accounts = self.proxy.registrations(limit);
        let contacts = accounts
            .iter()
            .map(|(_, bindings)| count(bindings.len()))
            .sum::<u64>();
        let reports: Vec<Value> = accounts
            .iter()
            .flat_map(|(user, bindings)| bindings.iter().map(|binding| (*user, binding)))
            .take(limit)
            .map(|(user, binding)| registration(user, binding))
            .collect();
        let is_complete =
            contacts == self.proxy.counters().bindings_now && contacts == count(reports.len());
        json!({ "registrations": reports, "is_complete": is_complete })
    }

    fn calls(&self, limit: usize) -> Value {
        let calls: Vec<Value> = self.proxy.calls(limit).iter().map(call).collect();
        let is_complete = count(calls.len()) == self.proxy.counters().calls_now;
        json!({ "calls": calls, "is_complete": is_complete })
    }
}

fn registration(user: &str, binding: &Binding) -> Value {
    json!({
        "user": user,
        "contact": binding.uri,
        "q": f64::from(binding.q) / 1000.0,
        "expires_unix_ms": binding.expires_unix_ms,
        "transport": name(binding.transport),
        "received": binding.received,
        "path": binding.path,
        "user_agent": binding.user_agent,
    })
}

fn call(call: &CallInfo) -> Value {
    json!({
        "call_id": call.call_id,
        "caller": call.caller,
        "callee": call.callee,
        "caller_address": call.caller_address,
        "callee_address": call.callee_address,
        "start_unix_ms": call.start_unix_ms,
        "ring_unix_ms": call.ring_unix_ms,
        "answer_unix_ms": call.answer_unix_ms,
        "is_ending": call.is_ending,
    })
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
