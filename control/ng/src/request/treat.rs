//! Requests about what some parties of a call send: whose, and what is to become of it.

use std::net::IpAddr;

use super::given::Given;
use super::{Keys, RequestError};
use crate::flags::{DtmfSecurity, Flag, Flags, Word};
use crate::{Dictionary, Value};

/// What each key on a telephone is (RFC 4733 §3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// What is to become of what some parties send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Treat<'a> {
    /// Which call.
    pub call_id: &'a [u8],
    /// Who sends it, and who gets it.
    pub whose: Whose<'a>,
    /// What is to become of it.
    pub change: Change,
}

/// Who sends something, and who gets it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Whose<'a> {
    /// The call as a whole, whoever takes part.
    Call,
    /// The call as a whole, and each party.
    Everybody,
    /// What one party sends, to whomever.
    Party(Party<'a>),
    /// What one party sends to some others.
    Flow(Party<'a>, Sink<'a>),
}

/// One party of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Party<'a> {
    /// Who named this address in SDP.
    Address(IpAddr),
    /// Who was given this label.
    Label(&'a [u8]),
    /// Who has this tag.
    Tag(&'a [u8]),
}

/// Who gets what a party sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sink<'a> {
    /// Whoever does.
    Anyone,
    /// Who was given this label.
    Label(&'a [u8]),
    /// Who gets it without an offer or answer.
    Other,
    /// Who gets it by offer and answer.
    Peer,
    /// Who has this tag.
    Tag(&'a [u8]),
}

/// What is to become of something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Media stops, or goes on.
    Block(bool),
    /// Copies go to a recorder, or do not.
    Forward(bool),
    /// Keys pass, or not.
    Keys(KeyPolicy),
    /// Media is made silent, or is heard.
    Silence(bool),
}

/// What becomes of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyPolicy {
    /// They go no further, or become something else.
    Block {
        /// Which of these.
        security: DtmfSecurity,
        /// The key that they become with [`DtmfSecurity::Dtmf`] (RFC 4733 §3.2).
        digit: Option<u8>,
        /// Not before some keys were pressed.
        has_trigger: bool,
    },
    /// They pass.
    Pass,
}

/// What only these requests say.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    address: Option<&'a [u8]>,
    all: Option<All>,
    to_label: Option<&'a [u8]>,
    pub(super) digit: Option<u8>,
    pub(super) security: Option<DtmfSecurity>,
    has_trigger: bool,
}

/// The key `all`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum All {
    Everybody,
    Sink(Sink<'static>),
}

impl<'a> Selection<'a> {
    /// Takes one key. `None` if it is none of these, `false` if it says nothing.
    pub(super) fn read_key(&mut self, key: &str, value: Given<'a>) -> Option<bool> {
        let bytes = value.as_bytes().filter(|bytes| !bytes.is_empty());
        Some(match key {
            "address" => super::set(&mut self.address, bytes),
            "all" => super::set(&mut self.all, bytes.and_then(All::read)),
            "code" | "digit" => super::set(&mut self.digit, read_digit(value)),
            "dtmf-security" => super::set(&mut self.security, super::word(value)),
            "to-label" => super::set(&mut self.to_label, bytes),
            "dtmf-security-trigger" | "trigger" => {
                self.has_trigger = bytes.is_some();
                false
            }
            _ => return None,
        })
    }
}

impl All {
    fn read(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"all" => Self::Everybody,
            b"flows" => Self::Sink(Sink::Anyone),
            b"offer-answer" => Self::Sink(Sink::Peer),
            b"except-offer-answer" | b"non-offer-answer" | b"not-offer-answer" => {
                Self::Sink(Sink::Other)
            }
            _ => return None,
        })
    }
}

/// A key by its name, or by its code.
fn read_digit(value: Given<'_>) -> Option<u8> {
    if let Some(&[name]) = value.as_bytes() {
        let code = KEYS
            .iter()
            .position(|key| *key == name.to_ascii_uppercase())?;
        return u8::try_from(code).ok();
    }
    let code = u8::try_from(value.as_integer()?).ok()?;
    (usize::from(code) < KEYS.len()).then_some(code)
}

impl<'a> Keys<'a> {
    pub(super) fn treat(&self, change: Change) -> Result<Treat<'a>, RequestError> {
        Ok(Treat {
            call_id: self.call_id()?,
            whose: self.whose(change)?,
            change,
        })
    }

    /// What is to become of keys if they are to be blocked.
    pub(super) fn block_keys(&self) -> KeyPolicy {
        let Selection {
            digit,
            security,
            has_trigger,
            ..
        } = self.selection;
        KeyPolicy::Block {
            security: security.unwrap_or(DtmfSecurity::Drop),
            digit,
            has_trigger,
        }
    }

    fn whose(&self, change: Change) -> Result<Whose<'a>, RequestError> {
        let all = self.selection.all;
        if self.is_everybody() {
            return Ok(Whose::Everybody);
        }
        // Proxies always send a tag, so that it counts only if they say so.
        let is_directional = self.negotiation.flags.has(Flag::Directional);
        let counts_tag = is_directional || matches!(change, Change::Silence(_));
        let Some(party) = self.party(counts_tag)? else {
            return Ok(Whose::Call);
        };
        let sink = match (self.negotiation.to_tag, self.selection.to_label, all) {
            _ if !matches!(change, Change::Block(_) | Change::Silence(_)) => None,
            (_, Some(label), _) => Some(Sink::Label(label)),
            (Some(tag), None, _) => Some(Sink::Tag(tag)),
            (None, None, Some(All::Sink(sink))) => Some(sink),
            _ => None,
        };
        Ok(match sink {
            Some(sink) => Whose::Flow(party, sink),
            None => Whose::Party(party),
        })
    }

    /// All parties are meant.
    pub(super) fn is_everybody(&self) -> bool {
        let is_all = self.selection.all == Some(All::Everybody);
        is_all || self.negotiation.flags.has(Flag::All)
    }

    pub(super) fn party(&self, counts_tag: bool) -> Result<Option<Party<'a>>, RequestError> {
        if let Some(label) = self.negotiation.label {
            return Ok(Some(Party::Label(label)));
        }
        if let Some(address) = self.selection.address {
            let text = std::str::from_utf8(address).ok();
            let address = text.and_then(|text| text.trim().parse().ok());
            let address = address.ok_or(RequestError::Address)?;
            return Ok(Some(Party::Address(address)));
        }
        let tag = self.negotiation.from_tag;
        Ok((counts_tag && !tag.is_empty()).then_some(Party::Tag(tag)))
    }
}

impl<'a> Party<'a> {
    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        match self {
            Self::Address(address) => to.push(&b"address"[..], address.to_string()),
            Self::Label(label) => to.push(&b"label"[..], *label),
            Self::Tag(tag) => to.push(&b"from-tag"[..], *tag),
        }
    }
}

impl<'a> Treat<'a> {
    pub(super) fn name(&self) -> &'static str {
        match self.change {
            Change::Block(true) => "block media",
            Change::Block(false) => "unblock media",
            Change::Forward(true) => "start forwarding",
            Change::Forward(false) => "stop forwarding",
            Change::Keys(KeyPolicy::Block { .. }) => "block DTMF",
            Change::Keys(KeyPolicy::Pass) => "unblock DTMF",
            Change::Silence(true) => "silence media",
            Change::Silence(false) => "unsilence media",
        }
    }

    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"call-id"[..], self.call_id);
        let party = match &self.whose {
            Whose::Call => None,
            Whose::Everybody => {
                to.push(&b"all"[..], "all");
                None
            }
            Whose::Party(party) => Some(party),
            Whose::Flow(party, sink) => {
                sink.write(to);
                Some(party)
            }
        };
        if let Some(party) = party {
            party.write(to);
            super::encode::words(to, "flags", Flags::default().with(Flag::Directional));
        }
        if let Change::Keys(KeyPolicy::Block {
            security,
            digit,
            has_trigger,
        }) = self.change
        {
            to.push(&b"DTMF-security"[..], security.name());
            super::encode::optional(to, "digit", digit.map(name_of));
            super::encode::optional(to, "trigger", has_trigger.then_some("#"));
        }
    }
}

pub(super) fn name_of(code: u8) -> Value<'static> {
    let key = KEYS.get(usize::from(code));
    key.map_or(&b"0"[..], std::slice::from_ref).into()
}

impl<'a> Sink<'a> {
    fn write(self, to: &mut Dictionary<'a>) {
        match self {
            Self::Tag(tag) => to.push(&b"to-tag"[..], tag),
            Self::Label(label) => to.push(&b"to-label"[..], label),
            Self::Anyone => to.push(&b"all"[..], "flows"),
            Self::Peer => to.push(&b"all"[..], "offer-answer"),
            Self::Other => to.push(&b"all"[..], "except-offer-answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::tests::reread;
    use crate::{Command, Request};

    fn parse(keys: &[(&'static str, &'static str)]) -> Result<Treat<'static>, RequestError> {
        let mut dictionary = Dictionary::new().with("call-id", "c");
        for (key, value) in keys {
            dictionary.push(key.as_bytes(), *value);
        }
        // Never freed, so that what is read of it need not be copied.
        let document = Box::leak(Box::new(Value::from(dictionary)));
        match Request::parse(document)?.command {
            Command::Treat(treat) => Ok(treat),
            other => panic!("{other:?}"),
        }
    }

    const BLOCK: (&str, &str) = ("command", "block media");
    const SILENCE: (&str, &str) = ("command", "silence media");
    const FROM: (&str, &str) = ("from-tag", "a");
    const TO: (&str, &str) = ("to-tag", "b");
    const DIRECTIONAL: (&str, &str) = ("flags", "directional");

    #[test]
    fn a_tag_counts_only_where_it_is_said_to() {
        let whose = |keys: &[_]| parse(keys).unwrap().whose;
        let party = || Party::Tag(b"a");
        assert_eq!(whose(&[BLOCK, FROM, TO]), Whose::Call);
        assert_eq!(whose(&[SILENCE, FROM]), Whose::Party(party()));
        assert_eq!(whose(&[BLOCK, FROM, DIRECTIONAL]), Whose::Party(party()));
        let flow = Whose::Flow(party(), Sink::Tag(b"b"));
        assert_eq!(whose(&[BLOCK, FROM, TO, DIRECTIONAL]), flow);
        let keys = ("command", "block DTMF");
        let expected = Whose::Party(party());
        assert_eq!(whose(&[keys, FROM, TO, DIRECTIONAL]), expected);
    }

    #[test]
    fn a_label_comes_before_an_address_and_that_before_a_tag() {
        let address = ("address", "192.0.2.1");
        let label = ("label", "x");
        let whose = |keys: &[_]| parse(keys).unwrap().whose;
        let by_label = Whose::Party(Party::Label(b"x"));
        assert_eq!(whose(&[SILENCE, FROM, address, label]), by_label);
        let by_address = Whose::Party(Party::Address("192.0.2.1".parse().unwrap()));
        assert_eq!(whose(&[SILENCE, FROM, address]), by_address);
        let wrong = parse(&[SILENCE, ("address", "nowhere")]);
        assert_eq!(wrong, Err(RequestError::Address));
    }

    #[test]
    fn all_is_everybody_or_all_that_hear_one() {
        let whose = |keys: &[_]| parse(keys).unwrap().whose;
        for all in [("all", "all"), ("flags", "all")] {
            assert_eq!(whose(&[SILENCE, FROM, all]), Whose::Everybody);
        }
        for (all, sink) in [
            ("flows", Sink::Anyone),
            ("offer-answer", Sink::Peer),
            ("except-offer-answer", Sink::Other),
        ] {
            let expected = Whose::Flow(Party::Tag(b"a"), sink);
            assert_eq!(whose(&[SILENCE, FROM, ("all", all)]), expected);
            assert_eq!(whose(&[SILENCE, ("all", all)]), Whose::Call);
        }
    }

    #[test]
    fn keys_are_named_or_numbered() {
        let digit = |value| {
            let keys = [("command", "block DTMF"), ("digit", value)];
            match parse(&keys).unwrap().change {
                Change::Keys(KeyPolicy::Block { digit, .. }) => digit,
                other => panic!("{other:?}"),
            }
        };
        let cases = [
            ("0", Some(0)),
            ("*", Some(10)),
            ("#", Some(11)),
            ("d", Some(15)),
            ("11", Some(11)),
            ("16", None),
            ("x", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(digit(value), expected, "{value}");
        }
    }

    fn any_party() -> impl Strategy<Value = Party<'static>> {
        prop_oneof![
            any::<IpAddr>().prop_map(Party::Address),
            Just(Party::Label(b"x")),
            Just(Party::Tag(b"a")),
        ]
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let security = prop::sample::select(DtmfSecurity::ALL);
        let block = (security, prop::option::of(0..16_u8), any::<bool>());
        prop_oneof![
            any::<bool>().prop_map(Change::Block),
            any::<bool>().prop_map(Change::Forward),
            any::<bool>().prop_map(Change::Silence),
            Just(Change::Keys(KeyPolicy::Pass)),
            block.prop_map(|(security, digit, has_trigger)| {
                Change::Keys(KeyPolicy::Block {
                    security,
                    digit,
                    has_trigger,
                })
            }),
        ]
    }

    fn any_command() -> impl Strategy<Value = Command<'static>> {
        let sinks = [
            Sink::Anyone,
            Sink::Label(b"y"),
            Sink::Other,
            Sink::Peer,
            Sink::Tag(b"b"),
        ];
        let flow = (any_party(), prop::sample::select(sinks.to_vec()));
        let whose = prop_oneof![
            Just(Whose::Call),
            Just(Whose::Everybody),
            any_party().prop_map(Whose::Party),
            flow.prop_map(|(party, sink)| Whose::Flow(party, sink)),
        ];
        let treat = (whose, any_change()).prop_map(|(whose, change)| {
            let has_flows = matches!(change, Change::Block(_) | Change::Silence(_));
            let whose = match whose {
                Whose::Flow(party, _) if !has_flows => Whose::Party(party),
                whose => whose,
            };
            Command::Treat(Treat {
                call_id: b"c",
                whose,
                change,
            })
        });
        prop_oneof![treat, Just(Command::Cli(b"list numsessions"))]
    }

    proptest! {
        #[test]
        fn the_server_understands_what_the_client_wrote(command in any_command()) {
            reread(&command, |request| {
                prop_assert_eq!(&request.unwrap().command, &command);
                Ok(())
            })?;
        }
    }
}
