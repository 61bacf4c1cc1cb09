//! The sources of one direction, and how far the numbers of each have come.

use crate::window::Window;

/// Sources of one direction that are known at once. A phone has one, and a few more in a long call;
/// a peer that has the keys might have as many as it likes.
pub const SOURCES_MAX: usize = 128;

/// Sources that one key may be used for, which come from several places: each may have as many as
/// there is room for after them, so that none of them takes all the room. One alone may have
/// [`SOURCES_MAX`].
const SENT_SOURCES_MAX: usize = 2 * SOURCES_MAX;

/// One source.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    window: Window,
    /// The place that it comes from.
    origin: u32,
    /// The turn in which it was last heard.
    heard: u64,
}

/// The sources of one direction. Few: who looks for one goes through them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    all: Vec<Source>,
    /// Where the newest packet's is, which the next one's is as well.
    newest: usize,
    turn: u64,
}

impl Sources {
    pub(crate) fn get(&self, ssrc: u32) -> Option<&Window> {
        let newest = self.all.get(self.newest).filter(|it| it.ssrc == ssrc);
        let found = newest.or_else(|| self.all.iter().find(|it| it.ssrc == ssrc));
        found.map(|it| &it.window)
    }

    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.all.len() < SOURCES_MAX
    }

    /// Whether there is room for one more that comes from a place.
    pub(crate) fn has_room_for(&self, origin: u32) -> bool {
        let room = SENT_SOURCES_MAX.saturating_sub(self.all.len());
        let own = self.all.iter().filter(|it| it.origin == origin).count();
        own < room
    }

    /// A source that comes from a place has this number. There is room for it.
    pub(crate) fn note_from(&mut self, origin: u32, ssrc: u32, number: u64) {
        if self.get(ssrc).is_some() {
            return self.note(ssrc, number);
        }
        self.turn += 1;
        self.newest = self.all.len();
        self.all.push(Source {
            ssrc,
            window: Window::new(number),
            origin,
            heard: self.turn,
        });
    }

    /// A packet of a source has this number. The one that has been silent for longest makes room
    /// for a new one.
    pub(crate) fn note(&mut self, ssrc: u32, number: u64) {
        self.change(ssrc, number, Window::note);
    }

    /// The same, whatever its numbers were before.
    pub(crate) fn restart(&mut self, ssrc: u32, number: u64) {
        self.change(ssrc, number, Window::restart);
    }

    /// What was there for others is there for these as well. Their sources are added; if
    /// `is_bounded`, those that have been silent for longest make room.
    pub(crate) fn join(&mut self, others: &Self, is_bounded: bool) {
        for other in &others.all {
            self.turn += 1;
            let known = self.all.iter_mut().find(|it| it.ssrc == other.ssrc);
            match known {
                Some(source) => source.window.join(other.window),
                None if is_bounded => self.insert(other.ssrc, other.window),
                None => self.all.push(Source {
                    heard: self.turn,
                    ..*other
                }),
            }
        }
    }

    fn change(&mut self, ssrc: u32, number: u64, change: fn(&mut Window, u64)) {
        self.turn += 1;
        let is_same = self.all.get(self.newest).is_some_and(|it| it.ssrc == ssrc);
        if !is_same {
            let known = self.all.iter().position(|it| it.ssrc == ssrc);
            let Some(at) = known else {
                return self.insert(ssrc, Window::new(number));
            };
            self.newest = at;
        }
        if let Some(source) = self.all.get_mut(self.newest) {
            change(&mut source.window, number);
            source.heard = self.turn;
        }
    }

    fn insert(&mut self, ssrc: u32, window: Window) {
        let source = Source {
            ssrc,
            window,
            origin: 0,
            heard: self.turn,
        };
        if self.has_room() {
            self.newest = self.all.len();
            self.all.push(source);
            return;
        }
        let oldest = (0..self.all.len()).min_by_key(|it| self.all[*it].heard);
        self.newest = oldest.unwrap_or(0);
        self.all[self.newest] = source;
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_makes_room() {
        let mut sources = Sources::default();
        for ssrc in 0..u32::try_from(SOURCES_MAX).unwrap() {
            assert!(sources.has_room());
            sources.note(ssrc, 7);
        }
        sources.note(0, 8);
        assert!(!sources.has_room());
        sources.note(1_000, 9);
        assert_eq!(sources.len(), SOURCES_MAX);
        assert!(sources.get(1).is_none(), "it was silent for longest");
        assert_eq!(sources.get(0).unwrap().highest(), 8);
        assert_eq!(sources.get(1_000).unwrap().highest(), 9);
    }

    #[test]
    fn no_place_takes_all_the_room() {
        let mut sources = Sources::default();
        let mut ssrc = 0;
        let mut taken = Vec::new();
        for origin in 1..6 {
            let before = sources.len();
            while sources.has_room_for(origin) {
                sources.note_from(origin, ssrc, 7);
                ssrc += 1;
            }
            taken.push(sources.len() - before);
        }
        assert_eq!(taken, [SOURCES_MAX, 64, 32, 16, 8]);
        sources.note_from(1, 0, 8);
        assert_eq!(sources.get(0).unwrap().highest(), 8);
        assert_eq!(sources.len(), taken.iter().sum::<usize>());
    }

    #[test]
    fn sources_of_others_are_forgotten_only_where_that_may_be() {
        let max = u32::try_from(SOURCES_MAX).unwrap();
        let (mut one, mut other) = (Sources::default(), Sources::default());
        for ssrc in 0..max {
            one.note(ssrc, 7);
            other.note(ssrc + max / 2, 9);
        }
        let mut bounded = one.clone();
        bounded.join(&other, true);
        assert_eq!(bounded.len(), SOURCES_MAX);
        one.join(&other, false);
        assert_eq!(one.len(), SOURCES_MAX + SOURCES_MAX / 2);
        assert!(!one.has_room());
        for (ssrc, highest) in [(0, 7), (max / 2, 9), (max + 1, 9)] {
            assert_eq!(one.get(ssrc).unwrap().highest(), highest);
        }
    }
}
