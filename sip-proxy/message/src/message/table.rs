//! Where each header field stands.

use crate::header::HeaderId;
use crate::limits::{HEADER_COUNT_INLINE, HEADER_COUNT_MAX};

/// One header field, by offsets into the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) id: HeaderId,
    /// First byte of the name.
    pub(crate) start: u16,
    pub(crate) name_end: u16,
    pub(crate) value_start: u16,
    pub(crate) value_end: u16,
    /// First byte after the line's CRLF.
    pub(crate) end: u16,
}

impl Entry {
    /// All zeros, which is quick to fill a table with.
    const EMPTY: Self = Self {
        id: HeaderId::Accept,
        start: 0,
        name_end: 0,
        value_start: 0,
        value_end: 0,
        end: 0,
    };
}

/// By how much what stands behind a field moves when its value changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    /// The number of the field.
    pub(crate) after: usize,
    pub(crate) added: usize,
    pub(crate) removed: usize,
}

impl Shift {
    /// Where a position is now. The whole message fits, so that each position does.
    fn of(&self, position: u16) -> u16 {
        let moved = usize::from(position) + self.added - self.removed;
        u16::try_from(moved).unwrap_or(u16::MAX)
    }
}

/// All header fields in order. Allocates only beyond [`HEADER_COUNT_INLINE`].
#[derive(Clone, Debug)]
pub(crate) struct Table {
    count: u8,
    /// By [`HeaderId`]: number of the first such field plus one; 0 if there is none.
    first: [u8; HeaderId::COUNT],
    inline: [Entry; HEADER_COUNT_INLINE],
    spill: Vec<Entry>,
}

const _: () = assert!(HEADER_COUNT_MAX < 256 && HEADER_COUNT_INLINE <= HEADER_COUNT_MAX);

impl Table {
    pub(crate) const fn new() -> Self {
        Self {
            count: 0,
            first: [0; HeaderId::COUNT],
            inline: [Entry::EMPTY; HEADER_COUNT_INLINE],
            spill: Vec::new(),
        }
    }

    /// Adds a field; `false` if there is no room.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        let number = usize::from(self.count);
        if number >= HEADER_COUNT_MAX {
            return false;
        }
        match self.inline.get_mut(number) {
            Some(place) => *place = entry,
            None => self.spill.push(entry),
        }
        self.count += 1;
        let first = &mut self.first[entry.id as usize];
        if *first == 0 {
            *first = self.count;
        }
        true
    }

    pub(crate) const fn contains(&self, id: HeaderId) -> bool {
        self.first[id as usize] != 0
    }

    pub(crate) fn first(&self, id: HeaderId) -> Option<&Entry> {
        let number = usize::from(self.first[id as usize]).checked_sub(1)?;
        self.at(number)
    }

    /// The same fields of a message in which the value of one has another length.
    pub(crate) fn shifted(&self, shift: &Shift) -> Self {
        let mut table = self.clone();
        let inline = table.inline.iter_mut().take(usize::from(self.count));
        let entries = inline.chain(&mut table.spill).enumerate();
        for (number, entry) in entries.skip(shift.after) {
            if number > shift.after {
                entry.start = shift.of(entry.start);
                entry.name_end = shift.of(entry.name_end);
                entry.value_start = shift.of(entry.value_start);
            }
            entry.value_end = shift.of(entry.value_end);
            entry.end = shift.of(entry.end);
        }
        table
    }

    /// Number of the first such field, or the number of fields if there is none.
    pub(crate) fn first_number(&self, id: HeaderId) -> usize {
        match self.first[id as usize] {
            0 => usize::from(self.count),
            number => usize::from(number) - 1,
        }
    }

    pub(crate) fn at(&self, number: usize) -> Option<&Entry> {
        if number >= usize::from(self.count) {
            return None;
        }
        self.inline
            .get(number)
            .or_else(|| self.spill.get(number - HEADER_COUNT_INLINE))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        let inline = usize::from(self.count).min(HEADER_COUNT_INLINE);
        self.inline[..inline].iter().chain(&self.spill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spills_beyond_the_inline_fields_and_stops_at_the_limit() {
        let mut table = Table::new();
        for number in 0..HEADER_COUNT_MAX {
            let mut entry = Entry::EMPTY;
            entry.start = u16::try_from(number).unwrap();
            entry.id = if number == 100 {
                HeaderId::Via
            } else {
                HeaderId::Other
            };
            assert!(table.push(entry));
        }
        assert!(!table.push(Entry::EMPTY));
        assert_eq!(table.iter().count(), HEADER_COUNT_MAX);
        assert_eq!(table.first(HeaderId::Via).unwrap().start, 100);
        assert_eq!(table.first_number(HeaderId::Via), 100);
        assert!(table.first(HeaderId::To).is_none());
        for (number, entry) in table.iter().enumerate() {
            assert_eq!(usize::from(entry.start), number);
            assert_eq!(usize::from(table.at(number).unwrap().start), number);
        }
    }
}
