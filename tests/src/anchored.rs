//! Calls without SIP: control is told of them as a proxy tells it.

use std::net::SocketAddr;

use crate::{NgClient, Value, sdp_endpoint};

/// The tags of the two parties.
const TAGS: [&str; 2] = ["caller", "callee"];

/// What a proxy says of one party in an offer or an answer.
#[derive(Clone, Debug)]
pub struct Party {
    sdp: String,
    more: Vec<(&'static str, Value)>,
}

impl Party {
    /// One that wants audio at an address.
    #[must_use]
    pub fn at(signalled: SocketAddr) -> Self {
        Self::with_media(signalled, "audio", "RTP/AVP 0", &[])
    }

    /// One that wants something else: the kind of medium, protocol and formats, and attributes.
    #[must_use]
    pub fn with_media(
        signalled: SocketAddr,
        kind: &str,
        formats: &str,
        attributes: &[&str],
    ) -> Self {
        let (ip, port) = (signalled.ip(), signalled.port());
        let family = if ip.is_ipv4() { 4 } else { 6 };
        let attributes: String = attributes
            .iter()
            .map(|line| format!("a={line}\r\n"))
            .collect();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP{family} {ip}\r\ns=-\r\nc=IN IP{family} {ip}\r\nt=0 0\r\n\
             m={kind} {port} {formats}\r\n{attributes}"
        );
        let more = Vec::new();
        Self { sdp, more }
    }

    /// Adds the flags of the request.
    #[must_use]
    pub fn flags(self, flags: &[&str]) -> Self {
        self.with("flags", Value::list(flags))
    }

    /// Adds an entry of the request.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: Value) -> Self {
        self.more.push((key, value));
        self
    }
}

/// A call that control has anchored at the relay.
#[derive(Debug)]
pub struct Anchored<'a> {
    client: &'a NgClient,
    id: String,
    /// Where caller and callee were told to send to.
    pub relay: [SocketAddr; 2],
    /// The SDP that each of them was given.
    pub sdp: [String; 2],
}

impl<'a> Anchored<'a> {
    /// A call between two: the first offers, the second answers.
    ///
    /// # Panics
    ///
    /// When control refuses.
    #[must_use]
    #[track_caller]
    pub fn new(client: &'a NgClient, id: &str, parties: [&Party; 2]) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut call = Self {
            client,
            id: id.to_owned(),
            relay: [nowhere; 2],
            sdp: Default::default(),
        };
        call.renew(0, parties);
        call
    }

    /// A new offer by one of the two and the answer of the other: a re-INVITE.
    ///
    /// # Panics
    ///
    /// When control refuses.
    #[track_caller]
    pub fn renew(&mut self, offerer: usize, parties: [&Party; 2]) {
        let answerer = 1 - offerer;
        self.sdp[answerer] = self.offer(offerer, parties[offerer]);
        self.sdp[offerer] = self.tell("answer", [offerer, answerer], parties[answerer]);
        self.relay = self.sdp.each_ref().map(|sdp| sdp_endpoint(sdp));
    }

    /// Where the relay sends one party's media now, and whether it has learnt that from packets.
    ///
    /// # Panics
    ///
    /// When control knows no such party.
    #[must_use]
    #[track_caller]
    pub fn remote(&self, party: usize) -> (SocketAddr, bool) {
        let reply = self.client.request("query", &[("call-id", &self.id)]);
        let leg = reply.find("tags").and_then(|tags| tags.find(TAGS[party]));
        let stream = leg.and_then(|leg| {
            let media = leg.find("medias")?.entries().next()?;
            media.find("streams")?.entries().next()
        });
        let stream = stream.unwrap_or_else(|| panic!("no stream in {reply:?}"));
        let endpoint = stream.find("endpoint").expect("a stream has an endpoint");
        let ip = endpoint.text("address").parse();
        let port = endpoint.integer(&["port"]).map(u16::try_from);
        let (Ok(ip), Some(Ok(port))) = (ip, port) else {
            panic!("no address in {endpoint:?}");
        };
        let mut flags = stream.find("flags").into_iter().flat_map(Value::entries);
        let is_learnt = flags.any(|flag| *flag == "confirmed".into());
        (SocketAddr::new(ip, port), is_learnt)
    }

    /// Ends it.
    ///
    /// # Panics
    ///
    /// When control refuses.
    #[track_caller]
    pub fn end(self) {
        let entries = [("call-id", self.id.as_str()), ("delete-delay", "0")];
        let reply = self.client.request("delete", &entries);
        assert_eq!(reply.text("result"), "ok", "{reply:?}");
    }

    /// The SDP for the other party.
    #[track_caller]
    fn offer(&self, offerer: usize, party: &Party) -> String {
        let answerer = 1 - offerer;
        let is_first = self.sdp[offerer].is_empty();
        if is_first {
            return self.ask("offer", [("from-tag", TAGS[offerer])].into(), party);
        }
        self.tell("offer", [offerer, answerer], party)
    }

    #[track_caller]
    fn tell(&self, command: &str, [from, to]: [usize; 2], party: &Party) -> String {
        let tags = vec![("from-tag", TAGS[from]), ("to-tag", TAGS[to])];
        self.ask(command, tags, party)
    }

    #[track_caller]
    fn ask(&self, command: &str, tags: Vec<(&'static str, &str)>, party: &Party) -> String {
        let entries = [("call-id", self.id.as_str()), ("sdp", &party.sdp)];
        let texts = entries.into_iter().chain(tags);
        let entries = texts.map(|(key, value)| (key, value.into()));
        let entries = entries.chain(party.more.iter().cloned());
        let reply = self.client.ask(command, entries);
        assert_eq!(reply.text("result"), "ok", "{command}: {reply:?}");
        reply.text("sdp").to_owned()
    }
}
