//! All associations of one endpoint: the one that holds, and those that might.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_wire::{Dtls, DtlsRole};

use crate::association::{Association, Common, Failure};
use crate::pace::Pace;
use crate::{Keys, TRIALS_MAX};

/// Others may begin eight times at once, and then twice in a second.
type Beginnings = Pace<8, 500_000>;

/// Who has not come to an end in that time never will.
const TRIAL_MAX: Duration = Duration::from_secs(45);

/// Who has not shown in that time that he hears us does not. If he does, he begins again.
const PROOF_MAX: Duration = Duration::from_secs(6);

/// Datagrams of one association. A handshake has ten, each of which may be lost some times.
const TAKEN_MAX: u32 = 512;

/// What the answer to who has shown nothing yet takes at most: that he is to show that he hears us.
const CHALLENGE_BYTES_MAX: usize = 256;

/// How often we begin, if the peer does not answer.
const ATTEMPTS_MAX: u32 = 5;

/// How long we wait before we begin again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What came of a datagram or of time.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// With where to: `None` is where media goes.
    pub(crate) datagrams: Vec<(Option<SocketAddr>, Vec<u8>)>,
    pub(crate) keys: Option<Keys>,
    /// And whether they were of somebody who hears us.
    pub(crate) failures: Vec<(Failure, bool)>,
    /// It was for nobody.
    pub(crate) is_stray: bool,
    /// Too many begin.
    pub(crate) is_refused: bool,
}

impl Outcome {
    fn is_nothing(&self) -> bool {
        self.datagrams.is_empty() && self.keys.is_none() && self.failures.is_empty()
    }
}

/// Handshakes that are not done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trials {
    pub(crate) all: usize,
    /// Of these, with who is not where media goes.
    pub(crate) strangers: usize,
}

impl Trials {
    /// As many as there are where before there were others.
    pub(crate) fn changed(self, before: Self, now: Self) -> Self {
        Self {
            all: self.all + now.all - before.all,
            strangers: self.strangers + now.strangers - before.strangers,
        }
    }
}

#[derive(Debug)]
struct Peer {
    /// `None`: whoever is where media goes.
    source: Option<SocketAddr>,
    association: Association,
    began: Instant,
    /// He is where media goes.
    is_peer: bool,
    /// Datagrams.
    taken: u32,
    /// It hears what we send. Nothing is sent again to who does not, since he may be somebody else
    /// than he says.
    is_proven: bool,
}

impl Peer {
    fn due(&self) -> Option<Instant> {
        self.association.due.filter(|_| self.is_proven)
    }

    /// When it is over, if nothing comes of it.
    fn end(&self) -> Instant {
        self.began + if self.is_proven { TRIAL_MAX } else { PROOF_MAX }
    }

    /// Says whether it was of this handshake at all.
    fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) -> Result<bool, Failure> {
        if self.taken == TAKEN_MAX {
            return Err(Failure::Protocol);
        }
        let is_taken = self.association.handle_datagram(now, bytes)?;
        self.taken += u32::from(is_taken);
        Ok(is_taken)
    }
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) dtls: Dtls,
    /// Whose keys hold.
    live: Option<Peer>,
    /// Those that are not done, the oldest first.
    trials: Vec<Peer>,
    /// Handshakes that we began.
    attempts: u32,
    retry_at: Option<Instant>,
    /// How often strangers begin.
    strangers: Beginnings,
    /// How often who is where media goes does.
    peer: Beginnings,
}

impl Endpoint {
    pub(crate) fn new(now: Instant, dtls: Dtls) -> Self {
        let is_active = dtls.role == DtlsRole::Active;
        Self {
            dtls,
            live: None,
            trials: Vec::new(),
            attempts: 0,
            retry_at: is_active.then_some(now),
            strangers: Beginnings::default(),
            peer: Beginnings::default(),
        }
    }

    /// When it wants to be told the time.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = |it: &Peer| it.due().map_or_else(|| it.end(), |due| due.min(it.end()));
        let trials = self.trials.iter().map(due);
        let live = self.live.iter().filter_map(Peer::due);
        trials.chain(live).chain(self.retry_at).min()
    }

    /// Handshakes that are not done.
    pub(crate) fn trials(&self) -> Trials {
        let strangers = self.trials.iter().filter(|it| !it.is_peer).count();
        Trials {
            all: self.trials.len(),
            strangers,
        }
    }

    /// `is_peer`: it comes from where media goes.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        common: &mut Common,
        (source, is_peer): (SocketAddr, bool),
        bytes: &[u8],
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let is_it = |peer: &Peer| peer.source.map_or(is_peer, |it| it == source);
        if let Some(index) = self.trials.iter().position(is_it) {
            let result = self.trials[index].handle_datagram(now, bytes);
            outcome.is_stray = result == Ok(false);
            self.settle(common, index, result.map(drop), &mut outcome);
            let trial = self.trials.get(index).filter(|it| !it.is_proven);
            // What it was answered with is lost, and nothing is sent again to who has not shown that
            // he hears us: he begins again.
            if trial.is_some() && outcome.is_nothing() && begins(bytes) {
                if !self.may_begin(now, common, is_peer) {
                    outcome.is_refused = true;
                    return outcome;
                }
                self.trials.remove(index);
                let index = self.begin(now, common, (Some(source), is_peer));
                let result = self.trials[index].handle_datagram(now, bytes);
                self.settle(common, index, result.map(drop), &mut outcome);
            }
        } else if self.dtls.role == DtlsRole::Passive && begins(bytes) {
            if !self.may_begin(now, common, is_peer) || !self.has_room(is_peer) {
                outcome.is_refused = true;
                return outcome;
            }
            let index = self.begin(now, common, (Some(source), is_peer));
            let result = self.trials[index].handle_datagram(now, bytes);
            self.settle(common, index, result.map(drop), &mut outcome);
        } else if self.live.as_ref().is_some_and(is_it) {
            let live = self.live.as_mut();
            let result = live.map_or(Ok(false), |it| it.handle_datagram(now, bytes));
            self.settle_live(common, result.map(drop), &mut outcome);
        } else {
            outcome.is_stray = true;
        }
        outcome
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, common: &mut Common) -> Outcome {
        let mut outcome = Outcome::default();
        if self.retry_at.is_some_and(|it| it <= now) {
            self.retry_at = None;
            self.attempts += 1;
            self.begin(now, common, (None, true));
        }
        for index in (0..self.trials.len()).rev() {
            let trial = &mut self.trials[index];
            let result = if now >= trial.end() {
                Err(Failure::Timeout)
            } else if trial.due().is_some_and(|it| it <= now) {
                trial.association.handle_timeout(now)
            } else {
                continue;
            };
            self.settle(common, index, result, &mut outcome);
            if outcome.keys.is_some() {
                break;
            }
        }
        if let Some(live) = &mut self.live
            && live.due().is_some_and(|it| it <= now)
        {
            let result = live.association.handle_timeout(now);
            self.settle_live(common, result, &mut outcome);
        }
        if !outcome.failures.is_empty() {
            self.plan_retry(now);
        }
        outcome
    }

    /// Says what is to be sent, and what has become of one that is not done yet.
    fn settle(
        &mut self,
        common: &mut Common,
        index: usize,
        result: Result<(), Failure>,
        outcome: &mut Outcome,
    ) {
        let trial = &mut self.trials[index];
        // What goes out before it fails says why.
        let polled = poll(trial, &self.dtls, common, outcome);
        let is_proven = trial.is_proven;
        match result.and(polled) {
            Ok(None) => {}
            Ok(Some(keys)) => {
                self.live = Some(self.trials.remove(index));
                self.trials.clear();
                self.retry_at = None;
                outcome.keys = Some(keys);
            }
            Err(failure) => {
                self.trials.remove(index);
                outcome.failures.push((failure, is_proven));
            }
        }
    }

    /// The same of the one that holds. Its keys do so even if it ends.
    fn settle_live(
        &mut self,
        common: &mut Common,
        result: Result<(), Failure>,
        outcome: &mut Outcome,
    ) {
        let Some(live) = &mut self.live else {
            return;
        };
        let polled = poll(live, &self.dtls, common, outcome);
        if result.and(polled).is_err() {
            self.live = None;
        }
    }

    /// Where it is us who begin, we do so again.
    pub(crate) fn plan_retry(&mut self, now: Instant) {
        let is_wanted = self.dtls.role == DtlsRole::Active
            && self.live.is_none()
            && self.trials.is_empty()
            && self.attempts < ATTEMPTS_MAX;
        if is_wanted && self.retry_at.is_none() {
            self.retry_at = Some(now + RETRY_AFTER);
        }
    }

    fn begin(
        &mut self,
        now: Instant,
        common: &Common,
        (source, is_peer): (Option<SocketAddr>, bool),
    ) -> usize {
        self.trials.push(Peer {
            source,
            association: Association::new(now, common, self.dtls.role),
            began: now,
            is_peer,
            taken: 0,
            is_proven: source.is_none(),
        });
        self.trials.len() - 1
    }

    fn may_begin(&mut self, now: Instant, common: &mut Common, is_peer: bool) -> bool {
        if is_peer {
            return self.peer.take(now);
        }
        !common.is_full && self.strangers.take(now) && common.strangers.take(now)
    }

    /// Who has shown that he hears us stays, and so does who is where media goes. Of the others the
    /// oldest makes room.
    fn has_room(&mut self, is_peer: bool) -> bool {
        if self.trials.len() < TRIALS_MAX {
            return true;
        }
        let mut trials = self.trials.iter();
        let goes = trials.position(|it| !it.is_proven && !it.is_peer);
        let goes = goes.or_else(|| {
            let mut trials = self.trials.iter();
            trials.position(|it| !it.is_peer).filter(|_| is_peer)
        });
        goes.map(|index| self.trials.remove(index)).is_some()
    }
}

fn poll(
    peer: &mut Peer,
    dtls: &Dtls,
    common: &mut Common,
    outcome: &mut Outcome,
) -> Result<Option<Keys>, Failure> {
    let source = peer.source;
    let mut len = 0;
    let send = |bytes: &[u8]| {
        len += bytes.len();
        outcome.datagrams.push((source, bytes.to_vec()));
    };
    let association = &mut peer.association;
    let result = association.poll(&dtls.fingerprint, &mut common.scratch, send);
    peer.is_proven |= len > CHALLENGE_BYTES_MAX;
    result
}

/// Whether it is the first of a handshake that a client begins: a handshake record of the first
/// epoch, and in it the hello of a client, as message 0 (RFC 6347 §4.1, §4.2.2). Message 1 is the hello
/// that answers a cookie, and nothing begins with it.
fn begins(bytes: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    const RECORD_HEADER_LEN: usize = 13;
    bytes.first() == Some(&HANDSHAKE)
        && bytes.get(3..5) == Some(&[0, 0])
        && bytes.get(RECORD_HEADER_LEN) == Some(&CLIENT_HELLO)
        && bytes.get(RECORD_HEADER_LEN + 4..RECORD_HEADER_LEN + 6) == Some(&[0, 0])
}
