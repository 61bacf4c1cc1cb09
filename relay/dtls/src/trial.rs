//! One handshake of an endpoint with one peer, or with who would like to be it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_wire::Fingerprint;

use crate::Keys;
use crate::association::{Association, Common, Failure};
use crate::hello::{Hello, Random};
use crate::pace::network;

/// Who has not come to an end in that time never will.
const TRIAL_MAX: Duration = Duration::from_secs(45);

/// The same of who is not where media goes.
const STRANGER_MAX: Duration = Duration::from_secs(20);

/// Who has not shown in that time that he hears us does not. If he does, he begins again.
const PROOF_MAX: Duration = Duration::from_secs(6);

/// Datagrams of one association. A handshake has ten, each of which may be lost some times.
const TAKEN_MAX: u32 = 512;

/// What the answer to who has shown nothing yet takes at most: that he is to show that he hears us.
const CHALLENGE_BYTES_MAX: usize = 256;

/// Who says his first hello again is answered again, but not more often than that.
const ANSWER_AGAIN: Duration = Duration::from_millis(50);

/// Who has sent a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) source: SocketAddr,
    /// He is where media goes.
    pub(crate) is_peer: bool,
}

#[derive(Debug)]
pub(crate) struct Trial {
    /// `None`: whoever is where media goes, since it is us who began.
    source: Option<SocketAddr>,
    association: Association,
    pub(crate) began: Instant,
    /// He is where media goes.
    pub(crate) is_peer: bool,
    /// It hears what we send. Nothing is sent of our own accord to who has not shown it, since he may
    /// be somebody else than he says.
    pub(crate) is_proven: bool,
    /// That of the hello that it began with.
    random: Option<Random>,
    /// Datagrams.
    taken: u32,
    /// Bytes that came from who has not shown yet that he hears us, and that he was sent: these are
    /// no more.
    came: usize,
    went: usize,
    /// What his first hello was answered with, and when last.
    answer: Vec<Vec<u8>>,
    answered_at: Instant,
}

impl Trial {
    /// One that we begin.
    pub(crate) fn ours(now: Instant, association: Association) -> Self {
        Self {
            source: None,
            association,
            began: now,
            is_peer: true,
            is_proven: true,
            random: None,
            taken: 0,
            came: 0,
            went: 0,
            answer: Vec::new(),
            answered_at: now,
        }
    }

    /// One that somebody else begins.
    pub(crate) fn of(
        now: Instant,
        association: Association,
        sender: Sender,
        random: Random,
    ) -> Self {
        Self {
            source: Some(sender.source),
            is_peer: sender.is_peer,
            is_proven: false,
            random: Some(random),
            ..Self::ours(now, association)
        }
    }

    /// When it wants to be told the time.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.association.due.filter(|_| self.is_proven)
    }

    /// When it is over, if nothing comes of it.
    pub(crate) fn end(&self) -> Instant {
        self.began
            + match (self.is_proven, self.is_peer) {
                (false, _) => PROOF_MAX,
                (true, false) => STRANGER_MAX,
                (true, true) => TRIAL_MAX,
            }
    }

    /// Whether a datagram is of it. A hello is if it is of the same handshake; anything else is of
    /// nobody who has not shown that he hears us. With ICE a peer may go elsewhere in the middle.
    pub(crate) fn is_of(&self, sender: Sender, hello: Option<Hello>) -> bool {
        let Some(source) = self.source else {
            return sender.is_peer && hello.is_none();
        };
        let is_from = source == sender.source || sender.is_peer && self.is_peer;
        is_from
            && match hello {
                None => self.is_proven,
                Some(hello) => hello.random.is_none_or(|it| self.random == Some(it)),
            }
    }

    /// Whether both are of the same peer, as far as one can tell: strangers have one place each.
    pub(crate) fn is_like(&self, sender: Sender) -> bool {
        self.source.is_some_and(|source| {
            self.is_peer == sender.is_peer
                && (self.is_peer || network(source.ip()) == network(sender.source.ip()))
        })
    }

    /// Who it is.
    pub(crate) fn sender(&self) -> Option<Sender> {
        let is_peer = self.is_peer;
        self.source.map(|source| Sender { source, is_peer })
    }

    /// Says whether it was of this handshake at all.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        (sender, hello): (Sender, Option<Hello>),
        bytes: &[u8],
    ) -> Result<bool, Failure> {
        if self.taken == TAKEN_MAX {
            return Err(Failure::Protocol);
        }
        self.came = self.came.saturating_add(bytes.len());
        if hello.is_some_and(|it| it.is_first) {
            if self.is_answered() {
                self.taken += 1;
                return Ok(true);
            }
        } else if self.source.is_some() {
            self.source = Some(sender.source);
            self.is_peer |= sender.is_peer;
        }
        let is_taken = self.association.handle_datagram(now, bytes)?;
        self.taken += u32::from(is_taken);
        Ok(is_taken)
    }

    fn is_answered(&self) -> bool {
        !self.is_proven && !self.answer.is_empty()
    }

    /// The answer once more, to who says his first hello again: had we another one, what is on its
    /// way would be worth nothing any more.
    pub(crate) fn answer_again(&mut self, now: Instant, hello: Option<Hello>) -> Vec<Vec<u8>> {
        let is_repeated = hello.is_some_and(|it| it.is_first && it.random.is_some());
        if !is_repeated || !self.is_answered() || now < self.answered_at + ANSWER_AGAIN {
            return Vec::new();
        }
        self.answered_at = now;
        let answer = self.answer.clone();
        self.afforded(answer)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if now >= self.end() {
            return Err(Failure::Timeout);
        }
        self.association.handle_timeout(now)
    }

    /// Has the association go on.
    pub(crate) fn go_on(&mut self, now: Instant) -> Result<(), Failure> {
        self.association.handle_timeout(now)
    }

    /// What is to be sent and where to, and keys, if there are any now.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        fingerprint: &Fingerprint,
        common: &mut Common,
        datagrams: &mut Vec<(Option<SocketAddr>, Vec<u8>)>,
    ) -> Result<Option<Keys>, Failure> {
        let mut sent = Vec::new();
        let send = |bytes: &[u8]| sent.push(bytes.to_vec());
        let result = self
            .association
            .poll(fingerprint, &mut common.scratch, send);
        self.is_proven |= sent.iter().map(Vec::len).sum::<usize>() > CHALLENGE_BYTES_MAX;
        if self.is_proven {
            self.answer = Vec::new();
        } else {
            sent = self.afforded(sent);
            if self.answer.is_empty() {
                (self.answer, self.answered_at) = (sent.clone(), now);
            }
        }
        datagrams.extend(sent.into_iter().map(|it| (self.source, it)));
        result
    }

    /// What may be sent to who has not shown yet that he hears us.
    fn afforded(&mut self, mut datagrams: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        datagrams.retain(|it| {
            let is_afforded = self.went + it.len() <= self.came;
            self.went += if is_afforded { it.len() } else { 0 };
            is_afforded
        });
        datagrams
    }

    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.source
    }
}
