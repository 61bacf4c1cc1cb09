//! Requests about what parties are played: `play media`, `stop media`.

use super::given::Given;
use super::treat::Party;
use super::{Keys, RequestError};
use crate::flags::{Flag, Flags};
use crate::{Dictionary, Value};

/// Something that is to be played (`play media`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Play<'a> {
    /// Which call.
    pub call_id: &'a [u8],
    /// Who hears it.
    pub to: Listener<'a>,
    /// What is played; `None`: nothing was named.
    pub medium: Option<Clip<'a>>,
    /// How often; `None`: once, or for as long as the next says.
    pub times: Option<u32>,
    /// Milliseconds after which it does not begin again.
    pub duration_ms: Option<u32>,
    /// The sample of the file that comes first.
    pub start: u32,
    /// Who hears it hears nothing else meanwhile.
    pub is_alone: bool,
}

/// Something that is not to be played any more (`stop media`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stop<'a> {
    /// Which call.
    pub call_id: &'a [u8],
    /// Who hears it.
    pub to: Listener<'a>,
}

/// Who is played something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listener<'a> {
    /// All parties.
    Everybody,
    /// This one.
    Party(Party<'a>),
    /// Nobody was named.
    Unnamed,
}

/// Where a sound is from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Clip<'a> {
    /// What a file holds, as it is.
    Blob(&'a [u8]),
    /// The same in Base64.
    Blob64(&'a [u8]),
    /// A number in a database.
    Database(u64),
    /// A path.
    File(&'a [u8]),
}

/// What only these requests say.
#[derive(Debug, Default)]
pub(super) struct Playing<'a> {
    blob: Option<&'a [u8]>,
    blob64: Option<&'a [u8]>,
    database: Option<u64>,
    file: Option<&'a [u8]>,
    times: Option<u32>,
    duration_ms: Option<u32>,
    start: Option<u32>,
}

impl<'a> Playing<'a> {
    /// Takes one key. `None` if it is none of these, `false` if it says nothing.
    pub(super) fn read_key(&mut self, key: &str, value: Given<'a>) -> Option<bool> {
        let bytes = value.as_bytes().filter(|bytes| !bytes.is_empty());
        let number = || value.as_integer().and_then(|it| u64::try_from(it).ok());
        Some(match key {
            "blob" => super::set(&mut self.blob, bytes),
            "blob64" => super::set(&mut self.blob64, bytes),
            "db-id" => super::set(&mut self.database, number()),
            "file" => super::set(&mut self.file, bytes),
            "repeat-times" => super::set(&mut self.times, super::unsigned(value)),
            "repeat-duration" => super::set(&mut self.duration_ms, super::unsigned(value)),
            "start-pos" => super::set(&mut self.start, super::unsigned(value)),
            _ => return None,
        })
    }

    fn medium(&self) -> Option<Clip<'a>> {
        let file = self.file.map(Clip::File);
        let blob = self.blob.map(Clip::Blob);
        file.or(blob)
            .or_else(|| self.blob64.map(Clip::Blob64))
            .or_else(|| self.database.map(Clip::Database))
    }
}

impl<'a> Keys<'a> {
    pub(super) fn play(&self) -> Result<Play<'a>, RequestError> {
        Ok(Play {
            call_id: self.call_id()?,
            to: self.listener()?,
            medium: self.playing.medium(),
            times: self.playing.times,
            duration_ms: self.playing.duration_ms,
            start: self.playing.start.unwrap_or(0),
            is_alone: self.negotiation.flags.has(Flag::BlockEgress),
        })
    }

    pub(super) fn stop(&self) -> Result<Stop<'a>, RequestError> {
        Ok(Stop {
            call_id: self.call_id()?,
            to: self.listener()?,
        })
    }

    fn listener(&self) -> Result<Listener<'a>, RequestError> {
        if self.is_everybody() {
            return Ok(Listener::Everybody);
        }
        let party = self.party(true)?;
        Ok(party.map_or(Listener::Unnamed, Listener::Party))
    }
}

impl<'a> Listener<'a> {
    fn write(&self, to: &mut Dictionary<'a>) {
        match self {
            Self::Everybody => to.push(&b"all"[..], "all"),
            Self::Party(party) => party.write(to),
            Self::Unnamed => {}
        }
    }
}

impl<'a> Play<'a> {
    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"call-id"[..], self.call_id);
        self.to.write(to);
        if let Some(medium) = self.medium {
            let (key, value): (_, Value<'a>) = match medium {
                Clip::Blob(bytes) => ("blob", bytes.into()),
                Clip::Blob64(text) => ("blob64", text.into()),
                Clip::Database(id) => ("db-id", i64::try_from(id).unwrap_or(i64::MAX).into()),
                Clip::File(path) => ("file", path.into()),
            };
            to.push(key.as_bytes(), value);
        }
        super::encode::optional(to, "repeat-times", self.times);
        super::encode::optional(to, "repeat-duration", self.duration_ms);
        let start = (self.start > 0).then_some(self.start);
        super::encode::optional(to, "start-pos", start);
        if self.is_alone {
            super::encode::words(to, "flags", Flags::default().with(Flag::BlockEgress));
        }
    }
}

impl<'a> Stop<'a> {
    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"call-id"[..], self.call_id);
        self.to.write(to);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Command, Message, Request};

    fn any_listener() -> impl Strategy<Value = Listener<'static>> {
        prop_oneof![
            Just(Listener::Everybody),
            Just(Listener::Unnamed),
            Just(Listener::Party(Party::Tag(b"a"))),
            Just(Listener::Party(Party::Label(b"x"))),
        ]
    }

    fn any_clip() -> impl Strategy<Value = Clip<'static>> {
        prop_oneof![
            Just(Clip::Blob(b"RIFF\0\xff")),
            Just(Clip::Blob64(b"UklGRg==")),
            (0..u64::MAX / 2).prop_map(Clip::Database),
            Just(Clip::File(b"a/b.wav")),
        ]
    }

    proptest! {
        #[test]
        fn the_server_understands_what_the_client_wrote(
            to in any_listener(),
            medium in proptest::option::of(any_clip()),
            times: Option<u32>,
            duration_ms: Option<u32>,
            start: u32,
            is_alone: bool,
        ) {
            let play = Play { call_id: b"c", to: to.clone(), medium, times, duration_ms, start, is_alone };
            let stop = Stop { call_id: b"c", to };
            for command in [Command::Play(play), Command::Stop(stop)] {
                let datagram = command.encode(b"c1");
                let message = Message::split(&datagram).unwrap();
                let document = Value::parse(message.body).unwrap();
                let request = Request::parse(&document).unwrap();
                prop_assert_eq!(request.command, command);
                prop_assert_eq!(request.unheeded.count, 0);
            }
        }
    }

    #[test]
    fn a_file_comes_before_a_blob_and_that_before_a_number() {
        let keys = [
            ("db-id", "7"),
            ("blob64", "c"),
            ("blob", "b"),
            ("file", "a"),
        ];
        let media = [
            Clip::Database(7),
            Clip::Blob64(b"c"),
            Clip::Blob(b"b"),
            Clip::File(b"a"),
        ];
        let mut dictionary = Dictionary::new()
            .with("command", "play media")
            .with("call-id", "c");
        for ((key, value), medium) in keys.into_iter().zip(media) {
            dictionary.push(key.as_bytes(), value);
            let document = Value::from(dictionary.clone());
            match Request::parse(&document).unwrap().command {
                Command::Play(play) => assert_eq!(play.medium, Some(medium)),
                other => panic!("{other:?}"),
            }
        }
    }
}
