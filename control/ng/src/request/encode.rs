//! Requests to bytes, for clients.

use super::*;

impl<'a> Negotiation<'a> {
    /// An offer or answer that asks for nothing special.
    #[must_use]
    pub fn new(call_id: &'a [u8], from_tag: &'a [u8], sdp: &'a [u8]) -> Self {
        Self {
            call_id,
            from_tag,
            sdp,
            ..Self::default()
        }
    }

    /// Names the other party.
    #[must_use]
    pub fn to_tag(self, to_tag: &'a [u8]) -> Self {
        Self {
            to_tag: Some(to_tag),
            ..self
        }
    }

    /// Names the fork.
    #[must_use]
    pub fn via_branch(self, via_branch: &'a [u8]) -> Self {
        Self {
            via_branch: Some(via_branch),
            ..self
        }
    }

    /// Says where the SIP message came from.
    #[must_use]
    pub fn received_from(self, address: IpAddr) -> Self {
        Self {
            received_from: Some(address),
            ..self
        }
    }

    /// Asks for the address of `o=` to be replaced too.
    #[must_use]
    pub fn replace_origin(self) -> Self {
        Self {
            replace: self.replace.with(Replace::Origin),
            ..self
        }
    }

    /// Sets a flag.
    #[must_use]
    pub fn flag(self, flag: Flag) -> Self {
        Self {
            flags: self.flags.with(flag),
            ..self
        }
    }

    /// Says what this client understands.
    #[must_use]
    pub fn supports(self, support: Support) -> Self {
        Self {
            supports: self.supports.with(support),
            ..self
        }
    }

    pub(super) fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"call-id"[..], self.call_id);
        to.push(&b"from-tag"[..], self.from_tag);
        optional(to, "to-tag", self.to_tag);
        optional(to, "via-branch", self.via_branch);
        optional(
            to,
            "received from",
            self.received_from.map(family_and_address),
        );
        optional(
            to,
            "direction",
            self.direction
                .map(|[from, to]| vec![Value::from(from), Value::from(to)]),
        );
        optional(to, "address family", self.address_family.map(Word::name));
        optional(
            to,
            "media address",
            self.media_address.map(|a| a.to_string()),
        );
        optional(to, "transport protocol", self.transport_protocol);
        optional(to, "ICE", self.ice.map(Word::name));
        optional(to, "ICE-lite", self.ice_lite.map(Word::name));
        optional(
            to,
            "endpoint-learning",
            self.endpoint_learning.map(Word::name),
        );
        words(to, "rtcp-mux", self.rtcp_mux);
        words(to, "replace", self.replace);
        words(to, "sdp-media-remove", self.media_removed);
        words(to, "flags", self.flags);
        words(to, "supports", self.supports);
        optional(to, "TOS", self.tos.map(u32::from));
        optional(to, "delete delay", self.delete_delay_s);
        optional(to, "label", self.label);
        if !self.codecs.is_empty() {
            self.codecs.write(to);
        }
        optional(to, "alias-key", self.alias_key.map(Word::name));
        optional(to, "media echo", self.media_echo.map(Word::name));
        optional(to, "ptime", self.ptime_ms.map(u32::from));
        optional(to, "ptime-reverse", self.ptime_reverse_ms.map(u32::from));
        optional(to, "DTMF-security", self.dtmf_security.map(Word::name));
        optional(to, "generate RTCP", self.generate_rtcp.map(Word::name));
        optional(
            to,
            "DTMF-log-dest",
            self.key_log.map(|place| place.to_string()),
        );
        optional(to, "digit", self.digit.map(treat::name_of));
        self.write_srtp(to);
        to.push(&b"sdp"[..], self.sdp);
    }
}

impl Command<'_> {
    /// The datagram that asks this.
    #[must_use]
    pub fn encode(&self, cookie: &[u8]) -> Vec<u8> {
        let Some(name) = self.name() else {
            return reply::ok().encode(cookie);
        };
        let mut dictionary = Dictionary::new().with("command", name);
        self.write(&mut dictionary);
        dictionary.encode_message(cookie)
    }

    /// The name of the command; `None` for what is not asked but answered.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Acknowledge => return None,
            Self::Answer(_) => "answer",
            Self::Cli(_) => "cli",
            Self::Connect(_) => "connect",
            Self::Create(_) => "create",
            Self::CreateAnswer(_) => "create answer",
            Self::Delete(_) => "delete",
            Self::List { .. } => "list",
            Self::Mesh(_) => "mesh",
            Self::Offer(_) => "offer",
            Self::Ping => "ping",
            Self::Play(_) => "play media",
            Self::Query(_) => "query",
            Self::Statistics => "statistics",
            Self::Stop(_) => "stop media",
            Self::Treat(treat) => treat.name(),
            Self::Unsubscribe(_) => "unsubscribe",
        })
    }
}

impl<'a> Command<'a> {
    fn write(&self, to: &mut Dictionary<'a>) {
        match self {
            Self::Answer(negotiation)
            | Self::CreateAnswer(negotiation)
            | Self::Offer(negotiation) => negotiation.write(to),
            Self::Create(create) => create.write(to),
            Self::Cli(line) => to.push(&b"body"[..], *line),
            Self::Connect(connect) | Self::Unsubscribe(connect) => connect.write(to),
            Self::Delete(delete) => delete.write(to),
            Self::List { limit } => to.push(&b"limit"[..], *limit),
            Self::Mesh(mesh) => mesh.write(to),
            Self::Play(play) => play.write(to),
            Self::Query(query) => query.write(to),
            Self::Stop(stop) => stop.write(to),
            Self::Treat(treat) => treat.write(to),
            Self::Acknowledge | Self::Ping | Self::Statistics => {}
        }
    }
}

impl<'a> Delete<'a> {
    fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"call-id"[..], self.call_id);
        optional(to, "from-tag", self.from_tag);
        optional(to, "to-tag", self.to_tag);
        optional(to, "via-branch", self.via_branch);
        optional(to, "delete delay", self.delay_s);
        words(to, "flags", self.flags);
    }
}

impl<'a> Query<'a> {
    fn write(&self, to: &mut Dictionary<'a>) {
        to.push(&b"call-id"[..], self.call_id);
        optional(to, "from-tag", self.from_tag);
        optional(to, "to-tag", self.to_tag);
    }
}

pub(super) fn optional<'a, T: Into<Value<'a>>>(
    to: &mut Dictionary<'a>,
    key: &'static str,
    value: Option<T>,
) {
    if let Some(value) = value {
        to.push(key.as_bytes(), value);
    }
}

pub(super) fn words<T: Word>(to: &mut Dictionary<'_>, key: &'static str, words: Words<T>) {
    if !words.is_empty() {
        let names = words.iter().map(|word| Value::from(word.name()));
        to.push(key.as_bytes(), names.collect::<Vec<_>>());
    }
}

fn family_and_address<'a>(address: IpAddr) -> Vec<Value<'a>> {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    vec![family.into(), address.to_string().into()]
}
