//! Media that is stopped for a while, as when a caller is put away without SIP.

use control_ng::{Block, Party, reply};

use crate::call::Leg;

use super::jobs::Then;
use super::{Control, Held, Now};

impl Control {
    /// Stops the media of a call or of a party, or lets it go on.
    pub(super) fn block(&mut self, now: Now, held: Held, cookie: &[u8], block: &Block<'_>) {
        let key = self.keys.get(block.call_id).copied();
        let call = key.and_then(|key| Some((key, self.calls.get(&key)?)));
        let Some((key, call)) = call.filter(|(_, call)| call.ended.is_none()) else {
            return self.finish_refused(now, &held, cookie, "Unknown call-ID");
        };
        if call.is_busy() {
            return self.enqueue(key, held);
        }
        if call.must_restore {
            self.enqueue(key, held);
            return self.restore(now, key);
        }
        let mut next = call.state.clone();
        let mut any = false;
        for leg in next.legs.iter_mut().filter(|leg| is_meant(leg, block)) {
            leg.is_blocked = block.is_blocked;
            any = true;
        }
        if !any {
            let reason = "From-tag given, but no such tag exists";
            return self.finish_refused(now, &held, cookie, reason);
        }
        let then = Then::Reply(reply::ok().encode(cookie));
        if let Err(error) = self.change(key, held.clone(), (next, then), Vec::new()) {
            self.finish_refused(now, &held, cookie, &error.to_string());
        }
    }
}

fn is_meant(leg: &Leg, block: &Block<'_>) -> bool {
    match &block.party {
        Some(Party::Address(address)) => {
            let mut remotes = leg.streams.iter().filter_map(|stream| stream.remote);
            remotes.any(|remote| remote.ip() == *address)
        }
        Some(Party::Label(label)) => leg.label.as_deref() == Some(label),
        Some(Party::Tag(tag)) => leg.has_tag(tag),
        _ => true,
    }
}
