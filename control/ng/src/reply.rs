//! Replies: written by control, read by its clients.

use std::borrow::Cow;

use crate::{Dictionary, DictionaryWriter, ParseError, Value};

/// Bytes of most messages; longer ones grow.
const DATAGRAM_BYTES_USUAL: usize = 2_048;

/// A reply being written. `result` comes last, as clients are used to.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    dictionary: Dictionary<'a>,
    result: &'static str,
}

/// Begins a reply of success.
#[must_use]
pub fn ok<'a>() -> Writer<'a> {
    Writer::new("ok")
}

/// The reply to a ping.
#[must_use]
pub fn pong<'a>() -> Writer<'a> {
    Writer::new("pong")
}

/// A reply of failure.
#[must_use]
pub fn error(reason: &str) -> Writer<'_> {
    Writer::new("error").with("error-reason", reason)
}

/// The reply that makes a client try another server; only for those that know it.
#[must_use]
pub fn load_limit(message: &str) -> Writer<'_> {
    Writer::new("load limit").with("message", message)
}

/// The datagram of a reply of success, whose document is written by `write`.
#[must_use]
pub fn write_ok(cookie: &[u8], write: impl FnOnce(&mut DictionaryWriter<'_>)) -> Vec<u8> {
    let mut out = begin(cookie);
    DictionaryWriter::write(&mut out, |document| {
        write(document);
        document.put("result", "ok");
    });
    out
}

/// A datagram with nothing but the cookie yet.
fn begin(cookie: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(DATAGRAM_BYTES_USUAL);
    out.extend_from_slice(cookie);
    out.push(b' ');
    out
}

impl<'a> Writer<'a> {
    fn new(result: &'static str) -> Self {
        Self {
            dictionary: Dictionary::new(),
            result,
        }
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        self.dictionary.push(key.as_bytes(), value);
        self
    }

    /// The datagram.
    #[must_use]
    pub fn encode(mut self, cookie: &[u8]) -> Vec<u8> {
        self.dictionary.push(&b"result"[..], self.result);
        self.dictionary.encode_message(cookie)
    }

    /// The same in JSON.
    #[must_use]
    pub fn encode_json(mut self, cookie: &[u8]) -> Vec<u8> {
        self.dictionary.push(&b"result"[..], self.result);
        let mut out = begin(cookie);
        Value::from(self.dictionary).encode_json(&mut out);
        out
    }
}

impl Dictionary<'_> {
    /// The datagram with this document.
    #[must_use]
    pub fn encode_message(&self, cookie: &[u8]) -> Vec<u8> {
        let mut out = begin(cookie);
        self.encode(&mut out);
        out
    }
}

/// A reply, as a client reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply<'a> {
    dictionary: Dictionary<'a>,
}

/// What became of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// Refused, for this reason.
    Error(Cow<'a, str>),
    /// The server takes no more calls now; try another.
    LoadLimit(Cow<'a, str>),
    /// Done.
    Ok,
    /// The answer to a ping.
    Pong,
    /// The reply says nothing that is known.
    Unknown,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Packets relayed.
    pub packets: u64,
    /// Their bytes of UDP payload.
    pub bytes: u64,
    /// Packets that could not be relayed.
    pub errors: u64,
}

/// Counts of a whole call (`totals`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Of RTP, and of media that is not RTP.
    pub rtp: Counts,
    /// Of RTCP.
    pub rtcp: Counts,
}

impl<'a> Reply<'a> {
    /// Reads the body of a message.
    ///
    /// # Errors
    ///
    /// When it is no dictionary.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        match Value::parse(body)? {
            Value::Dictionary(dictionary) => Ok(Self { dictionary }),
            _ => Err(ParseError::Unexpected),
        }
    }

    /// All of it.
    #[must_use]
    pub fn dictionary(&self) -> &Dictionary<'a> {
        &self.dictionary
    }

    /// Whether the request was done (`ok` or `pong`).
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome(), Outcome::Ok | Outcome::Pong)
    }

    /// What became of the request.
    #[must_use]
    pub fn outcome(&self) -> Outcome<'_> {
        match self.dictionary.get("result").and_then(Value::as_bytes) {
            Some(b"ok") => Outcome::Ok,
            Some(b"pong") => Outcome::Pong,
            Some(b"error") => Outcome::Error(self.text("error-reason")),
            Some(b"load limit") => Outcome::LoadLimit(self.text("message")),
            _ => Outcome::Unknown,
        }
    }

    /// Why the request was refused.
    #[must_use]
    pub fn error_reason(&self) -> Option<Cow<'_, str>> {
        match self.outcome() {
            Outcome::Error(reason) | Outcome::LoadLimit(reason) => Some(reason),
            _ => None,
        }
    }

    /// What was odd about a request that was done all the same.
    #[must_use]
    pub fn warning(&self) -> Option<Cow<'_, str>> {
        self.dictionary.get("warning").map(|_| self.text("warning"))
    }

    /// The SDP to pass on.
    #[must_use]
    pub fn sdp(&self) -> Option<&[u8]> {
        self.dictionary.get("sdp")?.as_bytes()
    }

    /// The counts of the call, in replies to delete and query.
    #[must_use]
    pub fn totals(&self) -> Option<Totals> {
        let totals = self.dictionary.get("totals")?.as_dictionary()?;
        Some(Totals {
            rtp: Counts::read(totals.get("RTP")?),
            rtcp: Counts::read(totals.get("RTCP")?),
        })
    }

    /// What arrived from one party, named by any of its tags: the sum over its streams, RTP and
    /// RTCP apart.
    #[must_use]
    pub fn received_from(&self, tag: &[u8]) -> Option<Totals> {
        let tags = self.dictionary.get("tags")?.as_dictionary()?;
        let mut parties = tags.iter().filter_map(|(_, it)| it.as_dictionary());
        let by_alias = || parties.find(|party| has_alias(party, tag));
        let party = tags.get(tag).and_then(Value::as_dictionary);
        let medias = party.or_else(by_alias)?.get("medias")?.as_list()?;
        let mut sum = Totals::default();
        for media in medias {
            let streams = media.as_dictionary()?.get("streams")?.as_list()?;
            for stream in streams {
                let stream = stream.as_dictionary()?;
                let counts = Counts::read(stream.get("stats")?);
                let is_rtp = stream.get("flags")?.words().any(|flag| flag == b"RTP");
                let sum = if is_rtp { &mut sum.rtp } else { &mut sum.rtcp };
                sum.add(counts);
            }
        }
        Some(sum)
    }

    fn text(&self, key: &str) -> Cow<'_, str> {
        let bytes = self.dictionary.get(key).and_then(Value::as_bytes);
        String::from_utf8_lossy(bytes.unwrap_or_default())
    }
}

/// Whether a party is known by another tag, too.
fn has_alias(party: &Dictionary<'_>, tag: &[u8]) -> bool {
    let aliases = party.get("tag-aliases").and_then(Value::as_list);
    let mut aliases = aliases.unwrap_or_default().iter();
    aliases.any(|alias| alias.as_bytes() == Some(tag))
}

impl Counts {
    /// Reads `{packets, bytes, errors}`; what is not there is 0.
    #[must_use]
    pub fn read(value: &Value<'_>) -> Self {
        let count = |key: &str| {
            let number = value.as_dictionary()?.get(key)?.as_integer()?;
            u64::try_from(number).ok()
        };
        Self {
            packets: count("packets").unwrap_or_default(),
            bytes: count("bytes").unwrap_or_default(),
            errors: count("errors").unwrap_or_default(),
        }
    }

    /// Adds other counts to these.
    pub fn add(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.errors = self.errors.saturating_add(other.errors);
    }
}

impl Counts {
    /// Writes `{packets, bytes, errors}`.
    pub fn write(self, out: &mut DictionaryWriter<'_>) {
        out.put("packets", self.packets);
        out.put("bytes", self.bytes);
        out.put("errors", self.errors);
    }
}

impl Totals {
    /// Writes `{RTP, RTCP}`.
    pub fn write(self, out: &mut DictionaryWriter<'_>) {
        out.dictionary("RTP", |out| self.rtp.write(out));
        out.dictionary("RTCP", |out| self.rtcp.write(out));
    }
}

impl<'a> From<Counts> for Value<'a> {
    fn from(counts: Counts) -> Self {
        Dictionary::new()
            .with("packets", counts.packets)
            .with("bytes", counts.bytes)
            .with("errors", counts.errors)
            .into()
    }
}

impl<'a> From<Totals> for Value<'a> {
    fn from(totals: Totals) -> Self {
        Dictionary::new()
            .with("RTP", totals.rtp)
            .with("RTCP", totals.rtcp)
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn read<T>(writer: Writer<'_>, check: impl FnOnce(&Reply<'_>) -> T) -> T {
        let datagram = writer.encode(b"c");
        let message = Message::split(&datagram).unwrap();
        check(&Reply::parse(message.body).unwrap())
    }

    #[test]
    fn a_ping_is_answered_as_proxies_compare_it() {
        assert_eq!(pong().encode(b"C"), b"C d6:result4:ponge");
        assert!(read(pong(), |reply| reply.is_ok()));
    }

    #[test]
    fn a_refusal_says_why() {
        read(error("Ran out of ports"), |reply| {
            assert!(!reply.is_ok());
            assert_eq!(reply.error_reason().unwrap(), "Ran out of ports");
        });
        read(load_limit("Parallel session limit reached"), |reply| {
            assert!(matches!(reply.outcome(), Outcome::LoadLimit(_)));
        });
    }

    #[test]
    fn totals_read_back() {
        let totals = Totals {
            rtp: Counts {
                packets: 3,
                bytes: 516,
                errors: 1,
            },
            rtcp: Counts::default(),
        };
        read(ok().with("totals", totals), |reply| {
            assert_eq!(reply.totals(), Some(totals));
        });
    }

    #[test]
    fn counts_of_a_party_are_summed_over_its_streams() {
        let stream = |kind: &'static str, packets: u64| -> Value<'static> {
            let counts = Counts {
                packets,
                bytes: packets * 172,
                errors: 0,
            };
            Dictionary::new()
                .with("flags", vec![Value::from(kind)])
                .with("stats", counts)
                .into()
        };
        let media = |streams: Vec<Value<'static>>| -> Value<'static> {
            Dictionary::new().with("streams", streams).into()
        };
        let medias = vec![
            media(vec![stream("RTP", 5), stream("RTCP", 1)]),
            media(vec![stream("RTP", 7)]),
        ];
        let tag = Dictionary::new().with("medias", medias);
        let tags = Dictionary::new().with("a", tag);
        read(ok().with("tags", tags), |reply| {
            let sum = reply.received_from(b"a").unwrap();
            assert_eq!((sum.rtp.packets, sum.rtcp.packets), (12, 1));
            assert_eq!(reply.received_from(b"b"), None);
        });
    }
}
