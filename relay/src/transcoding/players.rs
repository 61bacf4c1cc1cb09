//! What one codec thread plays.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codec::Codec;
use relay_rtp::Kind;
use relay_transcode::{Identity, Plan, Player, Playing};

use super::direction::send;
use super::shared::{FlowKey, Outlet};

/// When it is tried again to tell a worker that there is nothing more to come.
const TELL_AGAIN: Duration = Duration::from_millis(10);

/// What is to be played.
#[derive(Debug)]
pub(super) struct Begin {
    /// The socket that it leaves from, and which of those that were played there this is.
    pub(super) key: FlowKey,
    /// What is heard, from what would be the sound's own codec.
    pub(super) plan: Plan,
    pub(super) playing: Playing,
    /// What the first packet says.
    pub(super) identity: Identity,
}

/// All that is played.
#[derive(Debug, Default)]
pub(super) struct Players(HashMap<FlowKey, Entry>);

#[derive(Debug)]
struct Entry {
    player: Player,
    /// The complexity of Opus, if it is that.
    opus: Option<u8>,
    /// The worker knows that it is over.
    is_told: bool,
}

impl Players {
    /// Says whether it begins.
    pub(super) fn begin(&mut self, now: Instant, begin: Begin) -> bool {
        let Begin {
            key,
            plan,
            playing,
            identity,
        } = begin;
        let Ok(player) = Player::new(now, &plan, playing, identity) else {
            return false;
        };
        let is_opus = matches!(plan.to.codec, Codec::Opus(_));
        let entry = Entry {
            player,
            opus: is_opus.then(|| plan.opus.map_or(0, |it| it.complexity)),
            is_told: false,
        };
        self.0.insert(key, entry);
        true
    }

    pub(super) fn end(&mut self, key: FlowKey) {
        self.0.remove(&key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends what is to leave by now. Says how many packets that were, and when to look again.
    pub(super) fn send(
        &mut self,
        now: Instant,
        key: FlowKey,
        outlet: &Arc<Outlet>,
    ) -> (u32, Option<Instant>) {
        let Some(entry) = self.0.get_mut(&key) else {
            return (0, None);
        };
        let mut sent = 0;
        let from = Some(key.flow);
        while let Some(packet) = entry.player.poll_packet(now) {
            sent += u32::from(send(outlet, key, (Kind::Rtp, from), now, packet));
        }
        if entry.player.is_over() && !entry.is_told {
            // An empty one: there is nothing more to come.
            entry.is_told = send(outlet, key, (Kind::Other, from), now, &[]);
            sent += u32::from(entry.is_told);
        }
        let again = match (entry.player.poll_timeout(), entry.is_told) {
            (None, false) => Some(now + TELL_AGAIN),
            (due, _) => due,
        };
        (sent, again)
    }

    /// Makes less work of Opus, or as much as was asked for.
    pub(super) fn press(&mut self, is_pressed: bool) {
        for entry in self.0.values_mut() {
            if let Some(asked) = entry.opus {
                // What it cannot do it leaves as it was.
                let _ = entry
                    .player
                    .set_complexity(if is_pressed { 0 } else { asked });
            }
        }
    }
}
