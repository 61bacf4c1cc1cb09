//! Attributes that a request takes out, puts in or changes (`sdp-attr`).

use control_ng::{AttributeChange, AttributeEdit};

/// What a request wants of attributes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manipulation<'a> {
    changes: &'a [AttributeChange<'a>],
}

impl<'a> Manipulation<'a> {
    pub(crate) fn new(changes: &'a [AttributeChange<'a>]) -> Self {
        Self { changes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What becomes of a line in a section of a kind (`None`: the session part). `None`: it is
    /// taken out.
    pub(super) fn apply(&self, kind: Option<&[u8]>, line: &'a [u8]) -> Option<&'a [u8]> {
        let Some(attribute) = line.strip_prefix(b"a=") else {
            return Some(line);
        };
        for edit in self.edits(kind) {
            match edit {
                AttributeEdit::Remove(name) if is_named(attribute, name) => return None,
                AttributeEdit::Substitute(name, by) if is_named(attribute, name) => {
                    return Some(by);
                }
                _ => {}
            }
        }
        Some(line)
    }

    /// The attributes that are put into a section.
    pub(super) fn additions(&self, kind: Option<&[u8]>) -> impl Iterator<Item = &'a [u8]> {
        self.edits(kind).filter_map(|edit| match edit {
            AttributeEdit::Add(attribute) => Some(&**attribute),
            _ => None,
        })
    }

    fn edits(&self, kind: Option<&[u8]>) -> impl Iterator<Item = &'a AttributeEdit<'a>> {
        let changes = self.changes.iter();
        changes.filter_map(move |it| (it.section == kind).then_some(&it.edit))
    }
}

/// Whether an attribute is named by its beginning, up to the end of a word.
fn is_named(attribute: &[u8], name: &[u8]) -> bool {
    let Some(beginning) = attribute.get(..name.len()) else {
        return false;
    };
    let after = attribute.get(name.len());
    beginning.eq_ignore_ascii_case(name) && matches!(after, None | Some(b':' | b' '))
}
