//! Contact (RFC 3261 §20.10).

use super::NameAddr;
use crate::message::Message;

/// All Contact header fields of a message.
#[derive(Clone, Debug)]
pub enum Contacts<'m, 'a> {
    /// No or some contacts.
    List(ContactIter<'m, 'a>),
    /// `*`: all contacts that there are, to be removed by REGISTER.
    Star,
}

/// One contact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contact<'a> {
    /// Name, URI and all parameters.
    pub name_addr: NameAddr<'a>,
    /// Preference, 0 to 1000 (q × 1000).
    pub q: Option<u16>,
    /// Seconds.
    pub expires: Option<u32>,
}

/// Contacts that were checked before.
#[derive(Clone, Debug)]
pub struct ContactIter<'m, 'a> {
    _message: &'m Message<'a>,
}

impl<'a> Iterator for ContactIter<'_, 'a> {
    type Item = Contact<'a>;

    fn next(&mut self) -> Option<Contact<'a>> {
        todo!()
    }
}
