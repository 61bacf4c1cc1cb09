//! The calls of a run: set up over ng, and ended again whatever happened in between.

use std::net::{IpAddr, SocketAddr};

use control_ng::{Command, Delete, Negotiation, Reply};

use super::options::Options;
use crate::ng::accepted;
use crate::{LoadError, NgClient, describe, media_address};

/// Ports of the sink that calls are spread over.
const SINK_PORT_FIRST: u32 = 20_000;
const SINK_PORTS: u32 = 20_000;

/// Where the two parties of a call send to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Call {
    pub(super) caller_sends_to: SocketAddr,
    pub(super) callee_sends_to: SocketAddr,
}

/// Calls at an ng server. They are deleted when this goes.
#[derive(Debug)]
pub(super) struct Calls {
    client: NgClient,
    server: SocketAddr,
    run: u32,
    /// Calls that the server may know of.
    begun: usize,
    pub(super) calls: Vec<Call>,
}

/// The sockets of the two parties of a call.
pub(super) type Parties = [SocketAddr; 2];

impl Calls {
    /// Sets up a call for each pair of parties.
    pub(super) fn set_up(
        options: &Options,
        server: SocketAddr,
        run: u32,
        parties: &[Parties],
    ) -> Result<Self, LoadError> {
        let client = NgClient::new(server, options.timeout, &options.permission)?;
        let mut this = Self {
            client,
            server,
            run,
            begun: 0,
            calls: Vec::with_capacity(parties.len()),
        };
        // From here on the calls are ended if anything fails: see drop.
        let callees = this.negotiate(options, parties, Half::Offer)?;
        let callers = this.negotiate(options, parties, Half::Answer)?;
        let pairs = callers.into_iter().zip(callees);
        this.calls = pairs
            .map(|(caller_sends_to, callee_sends_to)| Call {
                caller_sends_to,
                callee_sends_to,
            })
            .collect();
        Ok(this)
    }

    /// Asks one half of all negotiations; returns what the replies say where to send.
    fn negotiate(
        &mut self,
        options: &Options,
        parties: &[Parties],
        half: Half,
    ) -> Result<Vec<SocketAddr>, LoadError> {
        let nowhere = SocketAddr::new(IpAddr::from([0; 4]), 0);
        let mut found = vec![nowhere; parties.len()];
        let ptime_ms = u64::try_from(options.ptime.as_millis()).unwrap_or(20);
        let payload_type = options.payload_type.unwrap_or(options.codec.payload_type);
        let (run, server) = (self.run, self.server);
        let begun = &mut self.begun;
        self.client.ask_all(
            parties.len(),
            |index, cookie| {
                *begun = (*begun).max(index + 1);
                let address = half.address(options, &parties[index], index);
                let sdp = describe(address, payload_type, options.codec.encoding, ptime_ms);
                let names = Names::new(run, index);
                half.command(&names, sdp.as_bytes()).encode(cookie)
            },
            |index, reply| {
                accepted(server, half.name(), reply)?;
                found[index] = read_address(server, options, reply)?;
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Ends all calls that may be there.
    fn delete(&mut self) -> Result<(), LoadError> {
        let (begun, run) = (std::mem::take(&mut self.begun), self.run);
        self.client.ask_all(
            begun,
            |index, cookie| {
                let names = Names::new(run, index);
                Command::Delete(Delete {
                    call_id: names.call_id.as_bytes(),
                    from_tag: Some(names.from_tag.as_bytes()),
                    delay_s: Some(0),
                    ..Delete::default()
                })
                .encode(cookie)
            },
            // One that was never made is refused, which is as well.
            |_, _| Ok(()),
        )
    }

    /// Ends the calls, and says if that failed.
    pub(super) fn end(mut self) -> Result<(), LoadError> {
        self.delete()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        if self.begun > 0 {
            // The error that led here is worth more than another one.
            let _ = self.delete();
        }
    }
}

/// The two halves of a negotiation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Half {
    Answer,
    Offer,
}

impl Half {
    fn name(self) -> &'static str {
        match self {
            Self::Answer => "an answer",
            Self::Offer => "an offer",
        }
    }

    /// Where the party of this half says that it receives.
    fn address(self, options: &Options, parties: &Parties, index: usize) -> SocketAddr {
        match (self, options.sink) {
            (Self::Offer, _) => parties[0],
            (Self::Answer, None) => parties[1],
            (Self::Answer, Some(sink)) => {
                let offset = u32::try_from(index).unwrap_or(0) * 2 % SINK_PORTS;
                let port = u16::try_from(SINK_PORT_FIRST + offset);
                SocketAddr::new(sink, port.unwrap_or(9))
            }
        }
    }

    fn command<'a>(self, names: &'a Names, sdp: &'a [u8]) -> Command<'a> {
        let (call_id, from_tag) = (names.call_id.as_bytes(), names.from_tag.as_bytes());
        let negotiation = Negotiation::new(call_id, from_tag, sdp).replace_origin();
        match self {
            Self::Offer => Command::Offer(negotiation),
            Self::Answer => Command::Answer(negotiation.to_tag(names.to_tag.as_bytes())),
        }
    }
}

/// What a call is called.
struct Names {
    call_id: String,
    from_tag: String,
    to_tag: String,
}

impl Names {
    fn new(run: u32, index: usize) -> Self {
        Self {
            call_id: format!("load-{run:08x}-{index}"),
            from_tag: format!("caller-{index}"),
            to_tag: format!("callee-{index}"),
        }
    }
}

/// Where the reply wants media. A server cannot make us send to where we may not.
fn read_address(
    server: SocketAddr,
    options: &Options,
    reply: &Reply<'_>,
) -> Result<SocketAddr, LoadError> {
    let address = reply.sdp().and_then(media_address);
    let address = address.ok_or_else(|| LoadError::Refused {
        server,
        what: "media".to_owned(),
        reason: "its SDP has no address and port".to_owned(),
    })?;
    options.permission.check(address.ip())?;
    Ok(address)
}
