//! All associations of one endpoint: the one that holds, and those that might.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_wire::{Dtls, DtlsRole};

use crate::association::{Association, Common, Failure};
use crate::hello::Hello;
use crate::pace::Pace;
use crate::trial::{Sender, Trial};
use crate::{Keys, TRIALS_MAX};

/// So many may begin eight times at once, and then twice in a second.
type Beginnings = Pace<8, 500_000>;

/// Shares of strangers at one endpoint.
const SHARES: usize = 16;

/// A stranger who hears us has so long before he makes room for another one.
const STRANGER_STAYS: Duration = Duration::from_secs(5);

/// How often we begin at first, if the peer does not answer, and how long we wait each time.
const ATTEMPTS_MAX: u32 = 5;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long we wait from then on: the peer may be there later, or again.
const RETRY_LATER: Duration = Duration::from_secs(30);

/// What came of a datagram or of time.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// With where to: `None` is where media goes.
    pub(crate) datagrams: Vec<(Option<SocketAddr>, Vec<u8>)>,
    pub(crate) keys: Option<Keys>,
    pub(crate) failures: Vec<Failed>,
    /// It was for nobody.
    pub(crate) is_stray: bool,
    /// Too many begin.
    pub(crate) is_refused: bool,
}

/// A handshake that has failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// It was with somebody who hears us.
    pub(crate) is_proven: bool,
    /// It was with who is where media goes.
    pub(crate) is_peer: bool,
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
pub(crate) struct Endpoint {
    pub(crate) dtls: Dtls,
    /// Whose keys hold.
    live: Option<Trial>,
    /// Those that are not done, the oldest first.
    trials: Vec<Trial>,
    /// Handshakes that we began.
    attempts: u32,
    retry_at: Option<Instant>,
    /// How often strangers begin, by their shares.
    strangers: [Beginnings; SHARES],
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
            strangers: [Beginnings::default(); SHARES],
            peer: Beginnings::default(),
        }
    }

    /// When it wants to be told the time.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = |it: &Trial| it.due().map_or_else(|| it.end(), |due| due.min(it.end()));
        let trials = self.trials.iter().map(due);
        let live = self.live.iter().filter_map(Trial::due);
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

    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        common: &mut Common,
        sender: Sender,
        bytes: &[u8],
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let hello = Hello::of(bytes);
        let is_it = |it: &Trial| it.is_of(sender, hello);
        if let Some(index) = self.trials.iter().rposition(is_it) {
            self.feed(now, common, index, (sender, hello), bytes, &mut outcome);
        } else if let Some(live) = self.live.as_mut().filter(|it| is_it(it)) {
            let result = live.handle_datagram(now, (sender, hello), bytes);
            self.settle_live(now, common, result.map(drop), &mut outcome);
        } else if let Some(Hello {
            is_first: true,
            random: Some(random),
        }) = hello
            && self.dtls.role == DtlsRole::Passive
        {
            outcome.is_refused = !self.may_begin(now, common, sender);
            if !outcome.is_refused {
                let association = Association::new(now, common, self.dtls.role);
                let trial = Trial::of(now, association, sender, random);
                self.trials.push(trial);
                let index = self.trials.len() - 1;
                self.feed(now, common, index, (sender, hello), bytes, &mut outcome);
            }
        } else {
            outcome.is_stray = true;
        }
        outcome
    }

    /// A datagram is of one that is not done yet.
    fn feed(
        &mut self,
        now: Instant,
        common: &mut Common,
        index: usize,
        from: (Sender, Option<Hello>),
        bytes: &[u8],
        outcome: &mut Outcome,
    ) {
        let trial = &mut self.trials[index];
        let again = trial.answer_again(now, from.1);
        let source = trial.source();
        let result = trial.handle_datagram(now, from, bytes);
        outcome.is_stray = result == Ok(false);
        outcome
            .datagrams
            .extend(again.into_iter().map(|it| (source, it)));
        self.settle(now, common, index, result.map(drop), outcome);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, common: &mut Common) -> Outcome {
        let mut outcome = Outcome::default();
        if self.retry_at.is_some_and(|it| it <= now) {
            self.retry_at = None;
            self.attempts = self.attempts.saturating_add(1);
            let association = Association::new(now, common, self.dtls.role);
            self.trials.push(Trial::ours(now, association));
        }
        for index in (0..self.trials.len()).rev() {
            let trial = &mut self.trials[index];
            if now < trial.end() && trial.due().is_none_or(|it| it > now) {
                continue;
            }
            let result = trial.handle_timeout(now);
            self.settle(now, common, index, result, &mut outcome);
            if outcome.keys.is_some() {
                break;
            }
        }
        if let Some(live) = &mut self.live
            && live.due().is_some_and(|it| it <= now)
        {
            let result = live.go_on(now);
            self.settle_live(now, common, result, &mut outcome);
        }
        if !outcome.failures.is_empty() {
            self.plan_retry(now);
        }
        outcome
    }

    /// Says what is to be sent, and what has become of one that is not done yet.
    fn settle(
        &mut self,
        now: Instant,
        common: &mut Common,
        index: usize,
        result: Result<(), Failure>,
        outcome: &mut Outcome,
    ) {
        let trial = &mut self.trials[index];
        let was_proven = trial.is_proven;
        let fingerprint = &self.dtls.fingerprint;
        // What goes out before it fails says why.
        let polled = trial.poll(now, fingerprint, common, &mut outcome.datagrams);
        let (is_proven, is_peer) = (trial.is_proven, trial.is_peer);
        match result.and(polled) {
            Ok(None) => {
                if is_proven && !was_proven {
                    self.put_in_place_of_others(index);
                }
            }
            Ok(Some(keys)) => {
                self.live = Some(self.trials.remove(index));
                self.trials.clear();
                self.retry_at = None;
                outcome.keys = Some(keys);
            }
            Err(failure) => {
                self.trials.remove(index);
                outcome.failures.push(Failed {
                    failure,
                    is_proven,
                    is_peer,
                });
            }
        }
    }

    /// Who has shown that he hears us has begun anew: what he began before is over.
    fn put_in_place_of_others(&mut self, index: usize) {
        let newest = self.trials.remove(index);
        if let Some(sender) = newest.sender() {
            self.trials.retain(|it| !it.is_like(sender));
        }
        self.trials.push(newest);
    }

    /// The same of the one that holds. Its keys do so even if it ends.
    fn settle_live(
        &mut self,
        now: Instant,
        common: &mut Common,
        result: Result<(), Failure>,
        outcome: &mut Outcome,
    ) {
        let Some(live) = &mut self.live else {
            return;
        };
        let fingerprint = &self.dtls.fingerprint;
        let polled = live.poll(now, fingerprint, common, &mut outcome.datagrams);
        if result.and(polled).is_err() {
            self.live = None;
        }
    }

    /// Where it is us who begin, we do so again.
    pub(crate) fn plan_retry(&mut self, now: Instant) {
        let is_wanted =
            self.dtls.role == DtlsRole::Active && self.live.is_none() && self.trials.is_empty();
        if is_wanted && self.retry_at.is_none() {
            let is_early = self.attempts < ATTEMPTS_MAX;
            self.retry_at = Some(now + if is_early { RETRY_AFTER } else { RETRY_LATER });
        }
    }

    /// Whether one may begin, for whom there is room then.
    fn may_begin(&mut self, now: Instant, common: &mut Common, sender: Sender) -> bool {
        let is_allowed = if sender.is_peer {
            self.peer.take(now)
        } else {
            let share = common.strangers.share_of(sender.source.ip());
            !common.is_full
                && self.strangers[share % SHARES].take(now)
                && common.strangers.take(now, share)
        };
        is_allowed && self.make_room(now, sender)
    }

    /// A stranger has one place until he has shown that he hears us, and one then. Of others the
    /// oldest makes room who has not shown it, or has come no further for long; any stranger does for who is
    /// where media goes.
    fn make_room(&mut self, now: Instant, sender: Sender) -> bool {
        let at = |goes: &dyn Fn(&Trial) -> bool| self.trials.iter().position(goes);
        let is_full = self.trials.len() >= TRIALS_MAX;
        let mut goes = at(&|it| !it.is_peer && !it.is_proven && it.is_like(sender));
        if goes.is_none() && is_full {
            let is_old = |it: &Trial| now >= it.began + STRANGER_STAYS;
            goes = at(&|it| !it.is_peer && !it.is_proven)
                .or_else(|| at(&|it| !it.is_peer && (sender.is_peer || is_old(it))))
                .or_else(|| at(&|it| !it.is_proven && sender.is_peer));
        }
        if let Some(index) = goes {
            self.trials.remove(index);
        }
        goes.is_some() || !is_full
    }
}
