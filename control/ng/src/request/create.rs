//! Requests for a description of the relay's own: `create`.

use super::given::Given;
use super::{CODEC_DIRECTIVES_MAX, Keys, Negotiation};
use crate::{Dictionary, Value};

/// Media that one request may name.
const MEDIA_MAX: usize = 16;

/// What a party is to be offered, without anybody else having offered it anything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Create<'a> {
    /// Which party, and how its media are to be carried. Names that are empty are to be made up;
    /// there is no description, and [`Negotiation::codecs`] are those of audio.
    pub party: Negotiation<'a>,
    /// What a party gets that is not there yet. None: audio.
    pub media: Vec<Medium<'a>>,
    /// The interface towards such a party.
    pub interface: Option<&'a [u8]>,
}

/// One medium that a party is to get.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Medium<'a> {
    /// Such as `audio`.
    pub kind: &'a [u8],
    /// Named as in `a=rtpmap`, in full or in part.
    pub codecs: Vec<&'a [u8]>,
}

/// What only this request says.
#[derive(Debug, Default)]
pub(super) struct Creating<'a> {
    media: Vec<Medium<'a>>,
    interface: Option<&'a [u8]>,
}

impl<'a> Creating<'a> {
    /// Takes one key. `None` if it is none of these, `false` if it says nothing.
    pub(super) fn read_key(&mut self, key: &str, value: Given<'a>) -> Option<bool> {
        Some(match key {
            "interface" => super::set(&mut self.interface, super::non_empty(value)),
            "media" | "medias" => {
                let before = self.media.len();
                let media = value.items().filter_map(Medium::read);
                self.media.extend(media.take(MEDIA_MAX - before));
                self.media.len() > before
            }
            _ => return None,
        })
    }
}

impl<'a> Medium<'a> {
    fn read(row: Given<'a>) -> Option<Self> {
        let mut medium = Self::default();
        for (key, value) in row.entries() {
            match key {
                b"type" => medium.kind = value.as_bytes().unwrap_or_default(),
                b"codec" | b"codecs" => {
                    medium.codecs = value.words().take(CODEC_DIRECTIVES_MAX).collect();
                }
                _ => {}
            }
        }
        (!medium.kind.is_empty()).then_some(medium)
    }

    fn write(&self) -> Value<'a> {
        let mut row = Dictionary::new();
        row.push(&b"type"[..], self.kind);
        let codecs = self.codecs.iter().map(|it| Value::from(*it));
        row.push(&b"codecs"[..], codecs.collect::<Vec<_>>());
        row.into()
    }
}

impl<'a> Keys<'a> {
    pub(super) fn create(&mut self) -> Create<'a> {
        let creating = std::mem::take(&mut self.creating);
        Create {
            // A description of somebody else's is no part of it.
            party: Negotiation {
                sdp: &[],
                ..self.said()
            },
            media: creating.media,
            interface: creating.interface,
        }
    }
}

impl<'a> Create<'a> {
    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        self.party.write(to);
        super::encode::optional(to, "interface", self.interface);
        if !self.media.is_empty() {
            let media: Vec<_> = self.media.iter().map(Medium::write).collect();
            to.push(&b"media"[..], media);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CodecDirective, Command, Message, Request};

    fn create<T>(document: &Value<'_>, check: impl FnOnce(&Create<'_>) -> T) -> T {
        let request = Request::parse(document).unwrap();
        assert_eq!(request.unheeded.count, 0, "{:?}", request.unheeded);
        match &request.command {
            Command::Create(create) => check(create),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_need_be_said() {
        let document = Value::from(Dictionary::new().with("command", "create"));
        create(&document, |it| assert_eq!(*it, Create::default()));
    }

    #[test]
    fn what_somebody_else_offers_is_nothing_to_it() {
        let dictionary = Dictionary::new().with("command", "create");
        let document = Value::from(dictionary.with("sdp", "v=0").with("from-tag", "a"));
        create(&document, |it| {
            assert_eq!((it.party.sdp, it.party.from_tag), (&b""[..], &b"a"[..]));
        });
    }

    #[test]
    fn a_script_says_the_same_as_lists() {
        let script = "medias=[[type=audio codecs=[G722 PCMA]] [type=video codecs=[VP8 VP9]]] \
            interface=b codec-offer=opus";
        let dictionary = Dictionary::new()
            .with("command", "create")
            .with("rtpp-flags", script);
        let medium = |kind: &'static str, codecs: [&'static str; 2]| -> Value<'static> {
            let codecs = codecs.map(Value::from).to_vec();
            Dictionary::new()
                .with("type", kind)
                .with("codecs", codecs)
                .into()
        };
        let media = vec![
            medium("audio", ["G722", "PCMA"]),
            medium("video", ["VP8", "VP9"]),
        ];
        let offer = Dictionary::new().with("offer", vec![Value::from("opus")]);
        let listed = Dictionary::new()
            .with("command", "create")
            .with("media", media)
            .with("interface", "b")
            .with("codec", offer);
        let (script, listed) = (Value::from(dictionary), Value::from(listed));
        create(&script, |script| {
            create(&listed, |listed| assert_eq!(script, listed));
            assert_eq!(script.media[1].codecs, [b"VP8", b"VP9"]);
            let mut offered = script.party.codecs.named(CodecDirective::Offer);
            assert_eq!(offered.next(), Some(&b"opus"[..]));
        });
    }

    #[test]
    fn more_media_than_a_description_may_have_are_left_out() {
        let media = vec![Value::from(Dictionary::new().with("type", "audio")); MEDIA_MAX + 1];
        let dictionary = Dictionary::new().with("command", "create");
        let document = Value::from(
            dictionary
                .with("media", media.clone())
                .with("medias", media),
        );
        let request = Request::parse(&document).unwrap();
        assert_eq!(request.unheeded.count, 1, "the second list has no room");
        let Command::Create(create) = request.command else {
            panic!("{:?}", request.command);
        };
        assert_eq!(create.media.len(), MEDIA_MAX);
    }

    const WORDS: [&[u8]; 4] = [b"audio", b"VP8/90000", b"x", b"\xff\x00"];

    fn any_medium() -> impl Strategy<Value = Medium<'static>> {
        let codecs = prop::sample::subsequence(WORDS.to_vec(), 0..=4);
        let medium = (prop::sample::select(&WORDS[..]), codecs);
        medium.prop_map(|(kind, codecs)| Medium { kind, codecs })
    }

    proptest! {
        #[test]
        fn the_server_understands_what_the_client_wrote(
            media in prop::collection::vec(any_medium(), 0..=MEDIA_MAX),
            [call_id, from_tag] in any::<[bool; 2]>(),
            interface in prop::option::of(prop::sample::select(&WORDS[..])),
        ) {
            let name = |is_known: bool| if is_known { &b"n"[..] } else { &[] };
            let command = Command::Create(Create {
                party: Negotiation::new(name(call_id), name(from_tag), b""),
                media,
                interface,
            });
            let datagram = command.encode(b"c1");
            let message = Message::split(&datagram).unwrap();
            let document = Value::parse(message.body).unwrap();
            let request = Request::parse(&document).unwrap();
            prop_assert_eq!(request.unheeded.count, 0);
            prop_assert_eq!(request.command, command);
        }
    }
}
