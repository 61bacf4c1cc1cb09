//! Bodies of the fuzz targets: any bytes may come, nothing may panic, and what parses must hold
//! together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{
    Agent, Base, Candidate, Class, Credentials, Message, PAIRS_MAX, Received, Role, Settings,
    Writer, is_stun,
};

/// A message: what parses is one, and lies within the datagram.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::parse(data) else {
        return;
    };
    assert!(is_stun(data));
    assert!(message.user().is_none_or(|it| it.len() < data.len()));
    assert!(message.unknown().len() < data.len());
    assert!(!message.is_by("nobody has this password"));
}

/// An agent that hears anything at any time. Data is read as a script: how long nothing happens,
/// from where a datagram comes, what it is, and its bytes.
pub fn agent(data: &[u8]) {
    let mut now = start();
    let mut agent = agent_of(now, data);
    let mut rest = data;
    while let [wait, from, kind, len, more @ ..] = rest {
        let (bytes, more) = more.split_at(more.len().min(usize::from(*len)));
        rest = more;
        now += Duration::from_millis(u64::from(*wait) * 20);
        let source = SocketAddr::from(([192, 0, 2, from % 8], 4_000 + u16::from(from / 64)));
        let datagram = datagram(*kind, bytes);
        let received = agent.handle_packet(now, usize::from(from % 2), source, &datagram);
        if kind % 4 == 0 {
            assert!(received == Received::Refused || Message::parse(bytes).is_ok());
        }
        agent.handle_timeout(now);
        assert!(agent.poll_timeout().is_none_or(|at| at > now));
        let mut sent = 0;
        while let Some(transmit) = agent.poll_transmit() {
            assert!(Message::parse(&transmit.bytes).is_ok());
            sent += 1;
        }
        assert!(sent <= 4, "{sent} datagrams for one");
        if let Some(selected) = agent.selected() {
            assert!(agent.knows(selected.base, selected.remote) || selected.is_nominated);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to have an instant"
)]
fn start() -> Instant {
    Instant::now()
}

fn agent_of(now: Instant, data: &[u8]) -> Agent {
    let flags = data.first().copied().unwrap_or_default();
    let base = |last| Base {
        address: SocketAddr::from(([198, 51, 100, last], 30_000)),
        priority: u32::from(last),
    };
    let mut agent = Agent::new(Settings {
        local: Credentials::new("us", "our password"),
        bases: vec![base(1), base(2)],
        component: 1,
        tie_breaker: 1 << 40,
        is_lite: flags & 1 == 1,
    });
    let role = match flags & 2 {
        0 => Role::Controlled,
        _ => Role::Controlling,
    };
    let remote = (flags & 4 == 0).then(|| Credentials::new("them", "their password"));
    let candidates: Vec<_> = (0..u16::try_from(PAIRS_MAX).unwrap_or(u16::MAX))
        .map(|n| Candidate {
            address: SocketAddr::from(([192, 0, 2, 1], 4_000 + n)),
            priority: u32::from(n),
        })
        .collect();
    agent.update(now, role, remote, flags & 8 == 8, &candidates);
    agent
}

/// Bytes as they are, or a check or an answer whose authentication holds.
fn datagram(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut id = [0; 12];
    for (to, from) in id.iter_mut().zip(bytes) {
        *to = *from;
    }
    let id = crate::TransactionId(id);
    match kind % 4 {
        0 => bytes.to_vec(),
        1 => Writer::new(Class::Request, id)
            .user("us:them")
            .priority(u32::from(kind))
            .sign("our password"),
        2 => Writer::new(Class::Request, id)
            .user("us:them")
            .nomination()
            .control(crate::Control::Controlling(u64::from(kind) << 34))
            .sign("our password"),
        _ => Writer::new(Class::Error, id)
            .error(487, "Role Conflict")
            .sign("their password"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_agent_stands_anything(data in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            super::agent(&data);
            super::message(&data);
        }
    }
}
