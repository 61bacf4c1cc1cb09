//! Codecs as the proxy directs, to the word of rtpengine's documentation.
//!
//! Where the relay chooses by itself, it offers what it has and transcodes if the parties share
//! nothing. Here it does what the proxy says and no more: each party has a [`List`] of codecs, the
//! directives take from it and add to it, and packets go from each codec of one list to one of
//! the other ([`ways`]).
//!
//! ```text
//!  offer ──► list of the offerer ──► strip, mask, offer, transcode ──► list of the answerer ──► onward
//!
//!  back ◄── list of the offerer ◄── where the ways lead ◄── list of the answerer ◄── answer
//! ```

mod answer;
mod list;
mod offer;
mod parameters;
mod ways;

use serde::{Deserialize, Serialize};

use self::list::{Entry, List};
use super::answer::{Onward, Routes};
use super::format::Format;
use super::listing::{self, Listed, Listing, Ptime, Section};
use super::wishes::Wishes;

/// What is known of the codecs of two parties, as far as one stream is concerned.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Ledger {
    pub(super) elder: Party,
    pub(super) younger: Party,
}

/// One of the two.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Party {
    /// What it can be sent, and sends.
    codecs: List,
    /// The same as it was after the last offer, whoever made that.
    offered: List,
    /// Milliseconds of a packet, if they were said.
    ptime_ms: Option<u16>,
    /// It is the proxy that said so, for this party or the other.
    has_ptime_forced: bool,
}

/// The two parties as one message has them.
#[derive(Debug)]
pub(super) struct Dialogue<'a> {
    pub(super) sender: &'a mut Party,
    pub(super) receiver: &'a mut Party,
}

impl Dialogue<'_> {
    /// An offer of the sender.
    pub(super) fn offer(&mut self, wishes: &Wishes, section: &Section) -> Option<Listing> {
        if section.is_refused {
            return None;
        }
        self.note_ptime(wishes, section);
        offer::carry_out(self, wishes, section);
        self.listing(section, &[])
    }

    /// An answer of the sender. `spares`: what can be done without codecs is to be, unless the proxy
    /// wants it otherwise.
    pub(super) fn answer(&mut self, wishes: &Wishes, section: &Section, spares: bool) -> Onward {
        if section.is_refused {
            return (None, Routes::default());
        }
        self.note_ptime(wishes, section);
        let routes = answer::carry_out(self, wishes, section, spares);
        let offered = self.receiver.offered.entries.iter();
        let numbers: Vec<_> = offered.map(Entry::number).collect();
        (self.listing(section, &numbers), routes)
    }

    /// What is said of the length of packets speaks for both parties, until one says something else
    /// or the proxy does.
    fn note_ptime(&mut self, wishes: &Wishes, section: &Section) {
        let can_be_changed = section.is_audible && section.formats.iter().any(list::is_heard);
        let wanted = |ms: Option<u16>| ms.filter(|_| can_be_changed);
        let (onward, back) = (wanted(wishes.ptime_ms), wanted(wishes.ptime_reverse_ms));
        self.sender.note_ptime(section.ptime_ms, back, onward);
        self.receiver.note_ptime(section.ptime_ms, onward, back);
    }

    /// What the receiver is told; `None`: what the sender said. Of payload types that were offered,
    /// nothing is said unless they are listed.
    fn listing(&self, section: &Section, offered: &[u8]) -> Option<Listing> {
        let is_none_left = self.receiver.codecs.entries.is_empty();
        if is_none_left && !offered.is_empty() {
            // Nothing that was answered leads anywhere: better wrong than nothing.
            return None;
        }
        let formats = self.receiver.codecs.entries.iter();
        let formats: Vec<_> = formats.map(|entry| listed(entry, section)).collect();
        let ptime = self.receiver.ptime_ms;
        let ptime = match ptime.filter(|_| ptime != section.ptime_ms) {
            Some(ptime) => Ptime::Set(ptime),
            None => Ptime::Keep,
        };
        let own = section.formats.iter();
        let own = own.map(|it| Listed::Kept(it.payload_type));
        let is_same = ptime == Ptime::Keep && formats.iter().cloned().eq(own);
        let is_listed = |number: u8| formats.iter().any(|it| it.payload_type() == number);
        let gone = offered.iter().filter(|it| !is_listed(**it));
        let gone = gone.fold(0, |gone, number| gone | listing::bit(*number));
        (!is_same || gone != 0).then_some(Listing {
            formats,
            ptime,
            gone,
        })
    }
}

impl Party {
    /// What a payload type stands for that the party sends.
    pub(super) fn format(&self, number: u8) -> Option<&Format> {
        let by = |pick: fn(&Entry) -> u8| {
            let mut entries = self.codecs.entries.iter();
            entries.find(|it| pick(it) == number)
        };
        let entry = by(|it| it.own_number).or_else(|| by(Entry::number))?;
        Some(&entry.format)
    }

    pub(super) fn is_ptime_forced(&self) -> bool {
        self.has_ptime_forced
    }

    fn note_ptime(&mut self, said: Option<u16>, forced: Option<u16>, forced_on_other: Option<u16>) {
        if !self.has_ptime_forced {
            self.ptime_ms = said.or(self.ptime_ms);
        }
        self.ptime_ms = forced.or(self.ptime_ms);
        self.has_ptime_forced |= forced.or(forced_on_other).is_some();
    }
}

/// A codec in the words that it came in, if they are those of the section.
fn listed(entry: &Entry, section: &Section) -> Listed {
    let words = parameters::written(&entry.format);
    let mut own = section.formats.iter();
    let own = own.find(|it| it.payload_type == entry.format.payload_type);
    match own {
        Some(own) if *own == entry.format && words == entry.format.parameters => {
            Listed::Kept(own.payload_type)
        }
        own => {
            let format = Format {
                parameters: words,
                ..entry.format.clone()
            };
            match own {
                Some(own) if own.is_same_codec(&format) => Listed::Reworded(format),
                _ => Listed::New(format),
            }
        }
    }
}

/// The same for the body of the fuzz target of codecs: any offer and any answer.
pub(super) fn fuzz(offer: &[u8], answer: &[u8]) {
    let wishes = Wishes::default();
    let mut ledgers = Vec::new();
    let mut listings = Vec::new();
    let sections = listing::sections(offer);
    for section in &sections {
        let mut ledger = Ledger::default();
        let mut dialogue = Dialogue {
            sender: &mut ledger.elder,
            receiver: &mut ledger.younger,
        };
        listings.push(section.as_ref().and_then(|it| dialogue.offer(&wishes, it)));
        ledgers.push(ledger);
    }
    let onward = listing::relist(offer, &listings);
    assert_eq!(
        listing::sections(&onward).len(),
        sections.len(),
        "none comes or goes"
    );
    for (section, mut ledger) in listing::sections(answer).iter().zip(ledgers) {
        let mut dialogue = Dialogue {
            sender: &mut ledger.younger,
            receiver: &mut ledger.elder,
        };
        if let Some(section) = section {
            let (_, routes) = dialogue.answer(&wishes, section, false);
            let (one, other) = (&routes.from_offerer, &routes.from_answerer);
            assert!(one.len().max(other.len()) <= relay_wire::ROUTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests;
