//! What an offer does to the lists of both parties.

use super::list::{Entry, List, is_heard, is_known};
use super::{Dialogue, parameters};
use crate::codecs::capability;
use crate::codecs::format::{Format, kept};
use crate::codecs::listing::Section;
use crate::codecs::wishes::{Spec, Wishes};

pub(super) fn carry_out(dialogue: &mut Dialogue<'_>, wishes: &Wishes, section: &Section) {
    let mut said = List::of(&section.formats);
    take_from_sender(&mut dialogue.sender.codecs, &mut said, wishes);
    let receiver = &mut dialogue.receiver.codecs;
    let is_left_alone = wishes.keeps_answerer && !receiver.entries.is_empty();
    if !is_left_alone {
        let before = std::mem::take(receiver);
        *receiver = take(&before, &mut said, wishes.reuses);
        remember(&mut said, before, receiver, wishes.reuses);
    }
    // What is added must come from somewhere.
    let sent = &dialogue.sender.codecs.entries;
    let can_add = section.is_audible && sent.iter().any(|it| is_heard(&it.format));
    direct(receiver, &said, wishes, can_add);
    dialogue.sender.offered = dialogue.sender.codecs.clone();
    dialogue.receiver.offered = dialogue.receiver.codecs.clone();
}

/// The sender's list: what it says, without what is to be ignored.
fn take_from_sender(list: &mut List, said: &mut List, wishes: &Wishes) {
    for entry in &mut said.entries {
        entry.options = wishes.options_set(&entry.format).unwrap_or(entry.options);
    }
    *list = take(list, said, wishes.reuses);
    list.strip(&wishes.ignore, &wishes.except);
    restore_if_empty(list, said, wishes);
    accept(list, &wishes.accept, None);
    accept(list, &wishes.consume, Some(said));
    for spec in &wishes.mask {
        if spec.is_every() {
            list.touched.every();
        }
        for format in formats_named(list, spec) {
            list.touched.note(&format);
        }
    }
}

/// A list of what is said. What was settled about a codec before holds on.
fn take(before: &List, said: &mut List, reuses: bool) -> List {
    let mut list = List::default();
    if reuses {
        list.touched = before.touched.clone();
    }
    for entry in said.entries.iter_mut().filter(|it| !it.is_gone) {
        entry.own_number = entry.number();
        let known = before.by_number(entry.number());
        let known = known.filter(|it| reuses || it.is_like(entry));
        if let Some(known) = known {
            entry.inherit(known);
            if known.is_added && !reuses {
                list.touched.note(&entry.format);
            }
        }
        list.push(entry.clone());
    }
    if reuses {
        // What was there keeps its place, and what is new stands behind it.
        list.sort_as(before);
    }
    list
}

/// What was known to the party before is known still: numbers must not stand for anything else
/// (RFC 3264 §8.3.2), and a codec that is asked for may be one of these.
fn remember(said: &mut List, before: List, taken: &List, reuses: bool) {
    let is_wanted = |it: &Entry| !reuses || !taken.has_number(it.number());
    let mut known: Vec<_> = before.entries.into_iter().filter(is_wanted).collect();
    for entry in &mut known {
        entry.is_gone = true;
    }
    let is_new = |it: &Entry| known.iter().all(|known| known.number() != it.number());
    let rest = said.entries.iter().filter(|it| is_new(it)).cloned();
    let rest: Vec<_> = rest.collect();
    said.entries = known.into_iter().chain(rest).collect();
}

/// The receiver's list: what is directed.
fn direct(list: &mut List, said: &List, wishes: &Wishes, can_add: bool) {
    for specs in [&wishes.strip, &wishes.consume, &wishes.mask] {
        list.strip(specs, &wishes.except);
    }
    offer(list, said, wishes);
    if can_add {
        for spec in &wishes.transcode {
            add(list, said, spec, wishes.strips_full());
        }
    }
    restore_if_empty(list, said, wishes);
    list.align_companions(said, true);
    // What went beside codecs may have been all that there was.
    restore_if_empty(list, said, wishes);
}

/// Puts what is to be offered where it is not offered anyhow.
pub(super) fn offer(list: &mut List, said: &List, wishes: &Wishes) {
    for spec in wishes.offer.iter().filter(|it| !it.is_every()) {
        if list.named(spec).next().is_none() {
            put_back(list, said.named(spec).cloned());
        }
    }
}

fn put_back(list: &mut List, entries: impl Iterator<Item = Entry>) {
    for mut entry in entries {
        if !list.has_number(entry.number()) {
            list.touched.note(&entry.format);
            entry.is_gone = false;
            list.insert(entry);
        }
    }
}

/// To say nothing is a mistake of who wrote the rules, unless they say that it is none: then the
/// rules do not hold.
pub(super) fn restore_if_empty(list: &mut List, said: &List, wishes: &Wishes) {
    if list.entries.is_empty() && !wishes.allows_none {
        let said = said.entries.iter().filter(|it| !it.is_gone);
        *list = List::of_entries(said.cloned().collect());
    }
}

/// Marks what is to be taken from the party in any case. What was taken out is put back for it.
fn accept(list: &mut List, specs: &[Spec], said: Option<&List>) {
    for spec in specs {
        let is_meant = |it: &Entry| spec.is_every() || spec.names(&it.format);
        if let (Some(said), false) = (said, list.entries.iter().any(is_meant)) {
            put_back(list, said.named(spec).cloned());
        }
        for entry in list.entries.iter_mut().filter(|it| is_meant(it)) {
            (entry.is_added, entry.is_accepted) = (true, true);
            list.touched.note(&entry.format);
        }
    }
}

fn formats_named(list: &List, spec: &Spec) -> Vec<Format> {
    list.named(spec).map(|it| it.format.clone()).collect()
}

/// Adds a codec that the proxy names.
fn add(list: &mut List, said: &List, spec: &Spec, is_full: bool) {
    let Some(made) = made(spec) else {
        return;
    };
    let is_it = |it: &&Entry| parameters::compare(&made, &it.format) == parameters::Likeness::Same;
    if list.entries.iter().any(|it| is_it(&it)) {
        return;
    }
    let named: Vec<_> = said.named(spec).cloned().collect();
    if !named.is_empty() && !is_full {
        let marked = named.into_iter().map(|mut entry| {
            entry.is_added |= entry.is_gone;
            entry
        });
        return put_back(list, marked);
    }
    if let Some(known) = said.entries.iter().find(is_it) {
        return put_back(list, std::iter::once(known.clone()));
    }
    if let Some(number) = list.free_number(&made, said) {
        let mut entry = Entry::new(Format {
            payload_type: number,
            ..made
        });
        entry.is_added = true;
        entry.options = spec.options();
        entry.ptime_ms = spec.ptime_ms;
        list.touched.note(&entry.format);
        list.insert(entry);
    }
}

/// The codec that a name means, if the relay has it.
fn made(spec: &Spec) -> Option<Format> {
    let companions = capability::companions();
    let mut known = capability::all().chain(companions).filter(is_known);
    let mut format = known.find(|it| spec.means(it))?;
    spec.spell(&mut format);
    if let Some(parameters) = &spec.parameters {
        format.parameters = kept(parameters);
    }
    Some(format)
}
