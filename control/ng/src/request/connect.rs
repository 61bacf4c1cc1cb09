//! Requests about who hears whom, beyond offers and answers: `connect`, `mesh`, `unsubscribe`.

use super::given::Given;
use super::treat::Party;
use super::{Keys, RequestError};
use crate::flags::{Flag, Flags};
use crate::word;
use crate::{Dictionary, Value};

/// Calls that can be named at once: those that can belong together.
const CALLS_MAX: usize = 16;

/// Parties that can be named as those who send.
const SENDERS_MAX: usize = 256;

/// Parties that can be named as those who hear them: 16 of each.
const HEARERS_MAX: usize = 16 * SENDERS_MAX;

/// From whom, and to whom, media goes from now on, or goes no more (`connect`, `unsubscribe`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connect<'a> {
    /// The call of who sends.
    pub call_id: &'a [u8],
    /// Who sends.
    pub from: Senders<'a>,
    /// The other party.
    pub to_tag: &'a [u8],
    /// Its call, if that is another.
    pub to_call_id: Option<&'a [u8]>,
    /// This is about copies for the other party, and all else stays.
    pub is_directional: bool,
    /// And the other way round.
    pub is_bidirectional: bool,
}

/// Who sends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Senders<'a> {
    /// All parties of the call.
    All,
    /// Only these.
    Parties(Vec<Party<'a>>),
}

/// Calls that become one, and who hears whom in it (`mesh`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mesh<'a> {
    /// Which calls. One at least.
    pub call_ids: Vec<&'a [u8]>,
    /// Who is heard by whom.
    pub flows: Vec<MeshFlow<'a>>,
    /// And the other way round.
    pub is_bidirectional: bool,
    /// Those who send are heard by nobody else from now on.
    pub unsubscribes: bool,
}

/// Who hears one party of a mesh.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MeshFlow<'a> {
    /// Its tag.
    pub from: &'a [u8],
    /// Their tags.
    pub to: Vec<&'a [u8]>,
}

/// What only these requests say.
#[derive(Debug, Default)]
pub(super) struct Joining<'a> {
    to_call_id: Option<&'a [u8]>,
    from_tags: Vec<&'a [u8]>,
    call_ids: Vec<&'a [u8]>,
    flows: Vec<MeshFlow<'a>>,
}

impl<'a> Joining<'a> {
    /// Refuses what would be work without end.
    fn check(&self) -> Result<(), RequestError> {
        let hearers: usize = self.flows.iter().map(|flow| flow.to.len()).sum();
        let senders = self.from_tags.len().max(self.flows.len());
        if self.call_ids.len() > CALLS_MAX {
            Err(RequestError::TooManyCalls)
        } else if senders > SENDERS_MAX || hearers > HEARERS_MAX {
            Err(RequestError::TooManyParties)
        } else {
            Ok(())
        }
    }

    /// Takes one key. `None` if it is none of these, `false` if it says nothing.
    pub(super) fn read_key(&mut self, key: &str, value: Given<'a>) -> Option<bool> {
        let bytes = value.as_bytes().filter(|bytes| !bytes.is_empty());
        Some(match key {
            "to-call-id" => super::set(&mut self.to_call_id, bytes),
            "calls" => add(&mut self.call_ids, value.words()),
            "from-tags" => add(&mut self.from_tags, value.words()),
            "tags" => add(&mut self.flows, value.items().filter_map(MeshFlow::read)),
            _ => return None,
        })
    }

    /// Takes a flag such as `from-tags-x`. `false` if it is none.
    pub(super) fn read_flag(&mut self, flag: &'a [u8]) -> bool {
        const PREFIX: &[u8] = b"from-tags-";
        let parts = flag.split_at_checked(PREFIX.len());
        let tag = parts.filter(|(head, _)| word::same(head, PREFIX));
        add(
            &mut self.from_tags,
            tag.map(|(_, tag)| tag)
                .into_iter()
                .filter(|it| !it.is_empty()),
        )
    }
}

fn add<T>(list: &mut Vec<T>, items: impl Iterator<Item = T>) -> bool {
    let before = list.len();
    list.extend(items);
    list.len() > before
}

impl<'a> MeshFlow<'a> {
    fn read(row: Given<'a>) -> Option<Self> {
        let mut flow = Self::default();
        for (key, value) in row.entries() {
            match key {
                b"from" => flow.from = value.as_bytes().unwrap_or_default(),
                b"to" => flow.to = value.words().collect(),
                _ => {}
            }
        }
        (!flow.from.is_empty()).then_some(flow)
    }

    fn write(&self) -> Value<'a> {
        let mut row = Dictionary::new();
        row.push(&b"from"[..], self.from);
        row.push(&b"to"[..], list(&self.to));
        row.into()
    }
}

fn list<'a>(names: &[&'a [u8]]) -> Vec<Value<'a>> {
    names.iter().map(|it| Value::from(*it)).collect()
}

impl<'a> Keys<'a> {
    pub(super) fn connect(&self) -> Result<Connect<'a>, RequestError> {
        let flags = self.negotiation.flags;
        self.joining.check()?;
        Ok(Connect {
            call_id: self.call_id()?,
            from: self.senders()?,
            to_tag: self.negotiation.to_tag.ok_or(RequestError::NoToTag)?,
            to_call_id: self.joining.to_call_id,
            is_directional: flags.has(Flag::Directional),
            is_bidirectional: flags.has(Flag::Bidirectional),
        })
    }

    fn senders(&self) -> Result<Senders<'a>, RequestError> {
        if self.is_everybody() {
            return Ok(Senders::All);
        }
        let tags = self.joining.from_tags.iter().map(|tag| Party::Tag(tag));
        Ok(Senders::Parties(
            tags.chain(self.party(self.joining.from_tags.is_empty())?)
                .collect(),
        ))
    }

    pub(super) fn mesh(&mut self) -> Result<Mesh<'a>, RequestError> {
        let joining = std::mem::take(&mut self.joining);
        joining.check()?;
        let mut call_ids = joining.call_ids;
        if call_ids.is_empty() {
            call_ids.push(self.call_id()?);
        }
        Ok(Mesh {
            call_ids,
            flows: joining.flows,
            is_bidirectional: self.negotiation.flags.has(Flag::Bidirectional),
            unsubscribes: self.negotiation.flags.has(Flag::Unsubscribe),
        })
    }
}

impl<'a> Connect<'a> {
    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"call-id"[..], self.call_id);
        match &self.from {
            Senders::All => to.push(&b"all"[..], "all"),
            Senders::Parties(parties) if parties.len() == 1 => parties[0].write(to),
            Senders::Parties(parties) => {
                let tags = parties.iter().filter_map(|it| match it {
                    Party::Tag(tag) => Some(*tag),
                    Party::Address(_) | Party::Label(_) => None,
                });
                to.push(&b"from-tags"[..], list(&tags.collect::<Vec<_>>()));
            }
        }
        to.push(&b"to-tag"[..], self.to_tag);
        super::encode::optional(to, "to-call-id", self.to_call_id);
        let flags = [
            (self.is_directional, Flag::Directional),
            (self.is_bidirectional, Flag::Bidirectional),
        ];
        write_flags(to, flags);
    }
}

impl<'a> Mesh<'a> {
    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"calls"[..], list(&self.call_ids));
        let rows: Vec<_> = self.flows.iter().map(MeshFlow::write).collect();
        to.push(&b"tags"[..], rows);
        let flags = [
            (self.is_bidirectional, Flag::Bidirectional),
            (self.unsubscribes, Flag::Unsubscribe),
        ];
        write_flags(to, flags);
    }
}

fn write_flags(to: &mut Dictionary<'_>, flags: [(bool, Flag); 2]) {
    let set = flags.into_iter().filter(|(is_set, _)| *is_set);
    let flags = set.fold(Flags::default(), |all, (_, flag)| all.with(flag));
    super::encode::words(to, "flags", flags);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::tests::reread;
    use crate::{Command, Request};

    const TAGS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

    fn some_tags() -> impl Strategy<Value = Vec<&'static [u8]>> {
        prop::sample::subsequence(TAGS.to_vec(), 0..=4)
    }

    fn any_connect() -> impl Strategy<Value = Connect<'static>> {
        let one = prop_oneof![
            Just(Party::Label(b"x")),
            any::<std::net::IpAddr>().prop_map(Party::Address),
        ];
        let several = some_tags().prop_map(|tags| tags.into_iter().map(Party::Tag).collect());
        let from = prop_oneof![
            Just(Senders::All),
            one.prop_map(|it| Senders::Parties(vec![it])),
            several.prop_map(Senders::Parties),
        ];
        (from, any::<[bool; 3]>()).prop_map(|(from, [is_far, one, two])| Connect {
            call_id: b"c",
            from,
            to_tag: b"b",
            to_call_id: is_far.then_some(&b"d"[..]),
            is_directional: one,
            is_bidirectional: two,
        })
    }

    fn any_command() -> impl Strategy<Value = Command<'static>> {
        let flow = (prop::sample::select(TAGS.to_vec()), some_tags());
        let flow = flow.prop_map(|(from, to)| MeshFlow { from, to });
        let mesh = (prop::collection::vec(flow, 0..5), any::<[bool; 2]>());
        let mesh = mesh.prop_map(|(flows, [is_bidirectional, unsubscribes])| {
            Command::Mesh(Mesh {
                call_ids: vec![b"c", b"d"],
                flows,
                is_bidirectional,
                unsubscribes,
            })
        });
        prop_oneof![
            any_connect().prop_map(Command::Connect),
            any_connect().prop_map(Command::Unsubscribe),
            mesh,
        ]
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

    #[test]
    fn more_calls_and_parties_than_can_be_joined_are_refused() {
        let parsed = |command: &Command<'_>| reread(command, |request| request.map(|_| ()));
        let mesh = |calls: usize, flows: usize, hearers: usize| {
            let flow = MeshFlow {
                from: b"a",
                to: vec![&b"b"[..]; hearers],
            };
            parsed(&Command::Mesh(Mesh {
                call_ids: vec![&b"c"[..]; calls],
                flows: vec![flow; flows],
                ..Mesh::default()
            }))
        };
        assert_eq!(mesh(16, 256, 16), Ok(()));
        assert_eq!(mesh(17, 1, 1), Err(RequestError::TooManyCalls));
        assert_eq!(mesh(1, 257, 1), Err(RequestError::TooManyParties));
        assert_eq!(mesh(1, 256, 17), Err(RequestError::TooManyParties));
        let connect = |senders: usize| {
            parsed(&Command::Connect(Connect {
                call_id: b"c",
                from: Senders::Parties(vec![Party::Tag(b"a"); senders]),
                to_tag: b"b",
                to_call_id: None,
                is_directional: false,
                is_bidirectional: false,
            }))
        };
        assert_eq!(connect(256), Ok(()));
        assert_eq!(connect(257), Err(RequestError::TooManyParties));
    }

    #[test]
    fn a_script_says_who_hears_whom_too() {
        let text = &b"calls=[c d] tags=[[from=a to=[b c]] [from=b to=c]] bidirectional"[..];
        let dictionary = Dictionary::new()
            .with("command", "mesh")
            .with("rtpp-flags", text);
        let document = Value::from(dictionary);
        let flow = |from: &'static [u8], to: &[&'static [u8]]| MeshFlow {
            from,
            to: to.to_vec(),
        };
        let expected = Mesh {
            call_ids: vec![b"c", b"d"],
            flows: vec![flow(b"a", &[b"b", b"c"]), flow(b"b", &[b"c"])],
            is_bidirectional: true,
            unsubscribes: false,
        };
        let request = Request::parse(&document).unwrap();
        assert_eq!(request.command, Command::Mesh(expected));
    }
}
