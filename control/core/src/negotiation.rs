//! Offers and answers: what becomes of a call, and of the SDP.
//!
//! An offer is the offerer's word to the receiver, an answer the answerer's word to the offerer.
//! Either way the sender's leg learns where its party wants media, and the SDP goes on with the
//! ports that face the other party.

mod alias;
mod creation;
mod dtls;
mod guest;
mod ice;
mod keepsake;
mod keys;
mod media;
mod moves;
mod order;
mod parties;
mod wanted;
mod writing;

use std::borrow::Cow;
use std::hash::Hasher;

use control_ng::{Create, Dtls, DtmfSecurity, Flag, KeyPolicy, Negotiation, Support};
use rand::RngExt;
use rand::rngs::StdRng;
use relay_wire::{Fingerprint, Interface, Learning, Port, WorkerId};
use rustc_hash::FxHasher;

pub(crate) use self::guest::{Agreed, Pair, Taken};
use self::media::hide;
use self::order::{aligned, joined, told_by, told_to};
use self::parties::{answerer, associate};
use self::wanted::wants_other_profile;
use crate::call::{CallState, Client, LegId};
use crate::codecs::{CodecPolicy, Passage, Payload, Transcode, Wishes};
use crate::control::{Now, policy_of_keys};
use crate::ports::Ports;
use crate::sdp::{Sdp, SdpError};

/// Why there is no new SDP. Displayed, it is the `error-reason`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The tags name no parties that talk to one another.
    #[error("Invalid dialogue association")]
    Dialogue,
    /// Nobody has the tag.
    #[error("from-tag not found")]
    FromTag,
    /// No port is left.
    #[error("Ran out of ports")]
    OutOfPorts,
    /// The SDP is none.
    #[error("Failed to parse SDP")]
    Sdp(#[from] SdpError),
    /// The call has too many parties already.
    #[error("Too many branches")]
    TooManyLegs,
    /// There is no such call.
    #[error("Unknown call-id")]
    UnknownCall,
    /// What is asked for is not there.
    #[error("unsupported")]
    Unsupported,
}

/// One turn of a negotiation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn<'a> {
    /// The answerer's word to the offerer.
    Answer(&'a Negotiation<'a>),
    /// Our word to a party.
    Create(&'a Create<'a>),
    /// A party's word to us.
    CreateAnswer(&'a Negotiation<'a>),
    /// The offerer's word to whoever will answer.
    Offer(&'a Negotiation<'a>),
}

impl<'a> Turn<'a> {
    /// Who is concerned, and how media is to be carried.
    pub(crate) fn said(self) -> &'a Negotiation<'a> {
        match self {
            Self::Answer(said) | Self::CreateAnswer(said) | Self::Offer(said) => said,
            Self::Create(create) => &create.party,
        }
    }

    /// Whether a call that is not there begins.
    pub(crate) fn begins(self) -> bool {
        matches!(self, Self::Create(_) | Self::Offer(_))
    }
}

/// What holds for all negotiations.
#[derive(Debug)]
pub(crate) struct Policy {
    learning: Learning,
    /// Media goes on wherever it comes from ([`forwards_others`](relay_wire::SourceRules::forwards_others)).
    forwards_others: bool,
    /// Other names of interfaces, and the names that they stand for.
    aliases: Vec<(String, String)>,
    pub(crate) codecs: CodecPolicy,
    /// By which we know descriptions that have passed us before.
    loop_mark: String,
}

impl Policy {
    pub(crate) fn new(learning: Learning, mark: u64) -> Self {
        Self {
            learning,
            forwards_others: false,
            aliases: Vec::new(),
            codecs: CodecPolicy::default(),
            loop_mark: format!("{:012x}", mark & 0xffff_ffff_ffff),
        }
    }

    pub(crate) fn forward_others(&mut self) {
        self.forwards_others = true;
    }

    pub(crate) fn add_alias(&mut self, alias: &str, name: &str) {
        self.aliases.push((alias.to_owned(), name.to_owned()));
    }

    /// The name of the interface that is called so.
    fn interface_name<'n>(&'n self, name: &'n [u8]) -> &'n [u8] {
        let mut aliases = self.aliases.iter();
        let found = aliases.find(|(alias, _)| alias.as_bytes() == name);
        found.map_or(name, |(_, name)| name.as_bytes())
    }
}

/// What a negotiation needs of its surroundings.
#[derive(Debug)]
pub(crate) struct Negotiator<'a> {
    pub(crate) now: Now,
    pub(crate) client: Client,
    pub(crate) worker: WorkerId,
    /// Of a party of another call that is a guest in this one.
    pub(crate) guest_worker: Option<WorkerId>,
    pub(crate) interfaces: &'a [Interface],
    pub(crate) policy: &'a Policy,
    pub(crate) ports: &'a mut Ports,
    pub(crate) rng: &'a mut StdRng,
    /// How the relay's certificate is known; none: it shakes no hands.
    pub(crate) fingerprints: &'a [Fingerprint],
    pub(crate) transcode: Transcode,
    /// The relay has too much to do: what can be done without codecs is to be.
    pub(crate) spares_codecs: bool,
}

impl Negotiator<'_> {
    /// Carries a turn out on a call, which is new if it has no legs, and returns the SDP for the
    /// party that it is for; of an answer to us there is none. After an error the state is not to be
    /// used, but ports in it are taken.
    pub(crate) fn carry_out(
        &mut self,
        state: &mut CallState,
        turn: Turn<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        match turn {
            Turn::Answer(answer) => self.answer(state, answer),
            Turn::Create(create) => self.create(state, create),
            Turn::CreateAnswer(answer) => self.create_answer(state, answer).map(|()| Vec::new()),
            Turn::Offer(offer) => self.offer(state, offer),
        }
    }

    fn offer(
        &mut self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let sdp = Sdp::parse(offer.sdp)?;
        let offerer = self.offerer(state, offer, &sdp)?;
        alias::note(state, offerer, alias::key(offer, &sdp));
        let receiver = self.receiver(state, offer, &sdp, offerer)?;
        let joined = joined(state, offerer, offer);
        let told = aligned(state, (offerer, receiver), &joined);
        let told = told.as_deref().unwrap_or(&joined);
        let read = sdp.or_parse(told)?;
        note_payloads(state, &read, offerer);
        block_keys(state, offer, offerer, self.rng.random());
        let wishes = Wishes::new(offer, &self.policy.codecs);
        let whole = completed(state, offerer, told);
        hide(state, receiver, offer, &whole)?;
        let text = self
            .passage(&wishes, offerer, receiver)
            .offer(state, &whole);
        let sdp = read.or_parse(&text)?;
        let sections = self.offer_sections(state, offer, &sdp, (offerer, receiver))?;
        state.last_signal_unix_ms = self.now.unix_ms;
        state.delete_at_unix_ms = None;
        note_key_log(state, offer);
        if offer.supports.has(Support::Events) {
            state.subscriber = Some(Box::new(self.client));
        }
        let sdp = self.write(state, offer, &sdp, receiver, &sections)?;
        Ok(told_to(state, receiver, sdp))
    }

    fn answer(
        &mut self,
        state: &mut CallState,
        answer: &Negotiation<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let offerer = state.leg_by_tag(answer.from_tag).ok_or(Refusal::Dialogue)?;
        let offerer = offerer.id;
        let answerer = answerer(state, answer, offerer).ok_or(Refusal::Dialogue)?;
        associate(state, offerer, answerer);
        if let (Some(label), Some(leg)) = (answer.label, state.leg_mut(answerer)) {
            leg.label = Some(label.into());
        }
        let joined = joined(state, answerer, answer);
        let told = told_by(state, answerer, &joined);
        let read = Sdp::parse(&told)?;
        note_payloads(state, &read, answerer);
        block_keys(state, answer, answerer, self.rng.random());
        let wishes = Wishes::new(answer, &self.policy.codecs);
        let whole = completed(state, answerer, &told);
        let text = self
            .passage(&wishes, answerer, offerer)
            .answer(state, &whole);
        let sdp = read.or_parse(&text)?;
        alias::note(state, answerer, alias::key(answer, &sdp));
        let sections = self.answer_sections(state, answer, &sdp, (offerer, answerer))?;
        self.note_answer(state, answer);
        let sdp = self.write(state, answer, &sdp, offerer, &sections)?;
        Ok(told_to(state, offerer, sdp))
    }

    /// Notes that a party has answered, and whether for good.
    fn note_answer(&self, state: &mut CallState, answer: &Negotiation<'_>) {
        state.last_signal_unix_ms = self.now.unix_ms;
        state.delete_at_unix_ms = None;
        note_key_log(state, answer);
        if !answer.flags.has(Flag::Provisional) {
            state.is_confirmed = true;
            state.offer_deadline_unix_ms = None;
        }
    }

    fn passage<'w>(&self, wishes: &'w Wishes, sender: LegId, receiver: LegId) -> Passage<'w> {
        Passage {
            transcode: self.transcode,
            wishes,
            sender,
            receiver,
            spares: self.spares_codecs,
        }
    }
}

/// Notes what who wrote a description says of its payload types.
fn note_payloads(state: &mut CallState, sdp: &Sdp<'_>, sender: LegId) {
    let Some(leg) = state.leg_mut(sender) else {
        return;
    };
    for (index, media) in sdp.media().iter().enumerate() {
        if media.port != 0 {
            leg.stream_mut(index).payloads = Payload::read(sdp, media);
        }
    }
    keepsake::note_said(leg, sdp);
}

/// Notes where the request wants keys to be told.
fn note_key_log(state: &mut CallState, negotiation: &Negotiation<'_>) {
    if let Some(key_log) = negotiation.key_log {
        state.key_log = Some(Box::new(key_log));
    }
}

/// Keeps the sender's keys back, if the request says so.
fn block_keys(state: &mut CallState, negotiation: &Negotiation<'_>, sender: LegId, seed: u64) {
    let policy = policy_of(negotiation);
    let keys = policy.and_then(|policy| policy_of_keys(policy, seed));
    if let (Some(keys), Some(leg)) = (keys, state.leg_mut(sender)) {
        leg.treatment.change(|it| it.keys = keys);
    }
}

fn policy_of(negotiation: &Negotiation<'_>) -> Option<KeyPolicy> {
    let is_wanted = negotiation.flags.has(Flag::BlockDtmf);
    is_wanted.then(|| KeyPolicy::Block {
        security: negotiation.dtmf_security.unwrap_or(DtmfSecurity::Drop),
        digit: negotiation.digit,
        has_trigger: false,
    })
}

/// What a party says, with the sections of which it was not told.
fn completed<'a>(state: &CallState, leg: LegId, sdp: &'a [u8]) -> Cow<'a, [u8]> {
    let leg = state.leg(leg);
    leg.map_or(Cow::Borrowed(sdp), |leg| leg.completed(sdp))
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

/// Whether a description has passed us before, and is to be left alone then.
pub(crate) fn is_loop(policy: &Policy, negotiation: &Negotiation<'_>) -> bool {
    if !negotiation.flags.has(Flag::LoopProtect) {
        return false;
    }
    let sdp = Sdp::parse(negotiation.sdp);
    sdp.is_ok_and(|sdp| sdp.has_loop_mark(policy.loop_mark.as_bytes()))
}

/// What a request asks for that is not done (yet). The request is carried out without it.
pub(crate) fn not_done(negotiation: &Negotiation<'_>, shakes: bool) -> Vec<&'static str> {
    let may_shake = shakes && !negotiation.dtls.has(Dtls::Off);
    let wishes = [
        (
            wants_other_profile(negotiation, may_shake),
            "transport protocol",
        ),
        (
            policy_of(negotiation).is_some_and(|it| policy_of_keys(it, 0).is_none()),
            "block DTMF",
        ),
    ];
    let wishes = wishes.into_iter().filter(|(is_wished, _)| *is_wished);
    wishes.map(|(_, name)| name).collect()
}

/// The pairs of ports that one state has and another has not.
pub(crate) fn ports_added(before: &CallState, after: &CallState) -> Vec<Port> {
    let added = after.ports();
    added
        .filter(|port| !before.ports().any(|other| other == *port))
        .collect()
}
