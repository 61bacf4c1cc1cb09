//! Applies what control asks for.
//!
//! The core does the flow half of a command, the driver the socket half. Opening a port takes
//! both, so it is done in two steps: the core checks everything and reserves a slot, the driver
//! binds, and [`Relay::handle_bound`] makes it open or takes the reservation back. Closing is
//! one step here and later work for the driver: [`Relay::poll_close`].

mod playing;

use std::time::Instant;

use relay_wire::{
    Answer, CallKey, CallRecord, CallStats, Command, CommandError, ENDPOINTS_PER_CALL_MAX, Play,
    Port, RECORD_BYTES_MAX, Refusal, Transcoding, WorkerStats,
};

use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::flow_table::{Reservation, ReserveError, Reserved};
use crate::{DropReason, Relay, SocketId, Target};

/// What became of a command.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub enum Outcome {
    /// It is done.
    Done(Answer),
    /// The driver must bind this port, and then call [`Relay::handle_bound`] before anything
    /// else.
    Bind {
        /// The slot that the socket gets.
        socket: SocketId,
        /// What to bind.
        port: Port,
        /// As in [`Command::OpenEndpoint`].
        tos: Option<u8>,
        /// It is bound: the call before had the port. Whatever has come there since must be thrown
        /// away ([`Relay::handle_discarded`]); nothing that comes out of the socket before
        /// [`Relay::handle_bound`] may be handed in after it.
        is_bound: bool,
    },
    /// The driver must see to it that what arrives there is changed from now on, and then call
    /// [`Relay::handle_treated`].
    Treat {
        /// What arrives where.
        target: Target,
        /// What it is to become; `None`: nothing else.
        transcoding: Option<Transcoding>,
    },
    /// The driver must see to it that this is played from now on, or nothing any more.
    Play {
        /// Whose it is.
        call: CallKey,
        /// Where it leaves, as control says it.
        port: Port,
        /// The socket of that, for [`Relay::handle_played`].
        socket: SocketId,
        /// `None`: nothing any more.
        play: Option<Play>,
    },
    /// Something that it needs is still being closed. Hand it in again after the next
    /// [`Relay::handle_closed`].
    Later(Command),
}

impl Relay {
    /// Applies one command. `room` is how many bytes its answer may take in the reply, by
    /// [`Answer::encoded_len_max`].
    ///
    /// # Errors
    ///
    /// When it cannot be done; then nothing has changed.
    pub fn handle_command(
        &mut self,
        now: Instant,
        command: Command,
        room: usize,
    ) -> Result<Outcome, CommandError> {
        match touched(&command) {
            Touched::Changed(call) => self.take_call_out(now, call),
            Touched::Read(call) => self.absorb_call(now, call),
            Touched::Nothing => {}
        }
        match command {
            Command::OpenEndpoint { call, port, tos } => self.open_endpoint(call, port, tos),
            Command::SetTranscoding {
                call,
                ingress,
                transcoding,
            } => self.plan_transcoding(call, ingress, transcoding),
            Command::Play { call, port, play } => self.plan_playing(call, port, Some(play)),
            Command::StopPlaying { call, port } => self.plan_playing(call, port, None),
            other => self.answer(now, other, room).map(Outcome::Done),
        }
        .map_err(CommandError::Refused)
    }

    /// The driver has bound the port of [`Outcome::Bind`], or could not: the system's number of
    /// the error.
    ///
    /// # Errors
    ///
    /// When it could not; the reservation is taken back.
    pub fn handle_bound(
        &mut self,
        socket: SocketId,
        result: Result<(), i32>,
    ) -> Result<Answer, CommandError> {
        if let Err(errno) = result {
            self.flows.roll_back(socket);
            return Err(CommandError::System(errno));
        }
        let endpoint = self.flows.commit(socket);
        let call = endpoint.expect("a slot to bind is reserved").call;
        let call = self.calls.get_mut(call);
        let call = call.expect("no command comes between reserving and binding");
        call.endpoints.push(socket);
        Ok(Answer::Done)
    }

    fn answer(&mut self, now: Instant, command: Command, room: usize) -> Result<Answer, Refusal> {
        match command {
            Command::CloseEndpoint { call, port } => self.close_endpoint(call, port),
            Command::Connect {
                call,
                ingress,
                rtp,
                rtcp,
            } => self.connect(call, ingress, [rtp, rtcp]),
            Command::CreateCall {
                call,
                media_timeout_ms,
                record,
            } => self.create_call(now, call, media_timeout_ms, record),
            Command::ListCalls { after } => self.list_calls(now, after, room),
            Command::OpenEndpoint { .. }
            | Command::Play { .. }
            | Command::SetTranscoding { .. }
            | Command::StopPlaying { .. } => unreachable!("they take two steps"),
            Command::QueryCall { call } => self.query_call(now, call, room).map(Answer::Call),
            Command::QueryWorker => {
                let answer = Answer::Worker(self.stats());
                check_room(answer.encoded_len_max(), room).map(|()| answer)
            }
            Command::RemoveCall { call } => self.remove_call(now, call, room).map(Answer::Call),
            Command::SetMediaTimeout {
                call,
                media_timeout_ms,
            } => {
                self.calls.get(call).ok_or(Refusal::UnknownCall)?;
                self.calls.set_timeout(now, call, media_timeout_ms);
                Ok(Answer::Done)
            }
            Command::SetFirstPacketTimeout {
                call,
                first_packet_timeout_ms,
            } => {
                self.calls.get(call).ok_or(Refusal::UnknownCall)?;
                self.calls
                    .set_first_packet_timeout(now, call, first_packet_timeout_ms);
                Ok(Answer::Done)
            }
            Command::SetFilter {
                call,
                ingress,
                filter,
            } => self.set_filter(call, ingress, filter),
            Command::SetCrypto { call, endpoints } => self.set_crypto(now, call, endpoints),
            Command::SetRecord { call, record } => self.set_record(call, record),
            Command::SetSinks {
                call,
                ingress,
                sinks,
            } => self.set_sinks(call, ingress, sinks),
            Command::TellReports { enabled } => {
                self.telling.is_on = enabled;
                Ok(Answer::Done)
            }
            Command::SetRemote {
                call,
                port,
                remote,
                learning,
            } => {
                let endpoint = self.endpoint_of(call, port)?;
                endpoint.latch.signal(remote, learning);
                let socket = self.socket_of(call, port)?;
                self.elect_again(now, socket);
                self.begin_handshake(socket);
                self.pierce(now, call, port)
            }
            Command::SetDtls { call, port, dtls } => self.set_dtls((call, port), dtls),
            Command::SetIce { call, port, ice } => self.set_ice(now, (call, port), ice.as_ref()),
            Command::SetRtcp { call, port, rtcp } => self.set_rtcp(now, (call, port), rtcp),
            Command::SetSourceRules { call, port, rules } => {
                let endpoint = self.endpoint_of(call, port)?;
                endpoint.set_rules(rules);
                self.pierce(now, call, port)
            }
        }
    }

    fn create_call(
        &mut self,
        now: Instant,
        call: CallKey,
        media_timeout_ms: u32,
        record: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        if self.calls.get(call).is_some() {
            return Err(Refusal::CallExists);
        }
        if self.calls.len() >= self.limits.calls_max {
            return Err(Refusal::TableFull);
        }
        self.check_record(0, record.len())?;
        self.calls.insert(now, call, record, media_timeout_ms);
        Ok(Answer::Done)
    }

    fn set_record(&mut self, call: CallKey, record: Vec<u8>) -> Result<Answer, Refusal> {
        let old_len = self.call(call)?.record.len();
        self.check_record(old_len, record.len())?;
        self.calls.set_record(call, record);
        Ok(Answer::Done)
    }

    fn check_record(&self, old_len: usize, new_len: usize) -> Result<(), Refusal> {
        if new_len > RECORD_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let total = self.calls.record_bytes() - old_len + new_len;
        if new_len > old_len && total > self.limits.record_bytes_max() {
            return Err(Refusal::TableFull);
        }
        Ok(())
    }

    fn remove_call(
        &mut self,
        now: Instant,
        key: CallKey,
        room: usize,
    ) -> Result<CallStats, Refusal> {
        let stats = self.query_call(now, key, room)?;
        self.forget_ice_of(key);
        if let Some(call) = self.calls.remove(key) {
            for socket in call.endpoints {
                self.forget_dtls(socket);
                self.flows.close(socket);
                self.piercings.forget(socket);
                self.reports.forget(socket);
            }
        }
        Ok(stats)
    }

    fn open_endpoint(
        &mut self,
        call: CallKey,
        port: Port,
        tos: Option<u8>,
    ) -> Result<Outcome, Refusal> {
        let address = self.limits.address_of(port).ok_or(Refusal::WrongWorker)?;
        if self.call(call)?.endpoints.len() >= ENDPOINTS_PER_CALL_MAX {
            return Err(Refusal::TableFull);
        }
        let wanted = Reservation {
            call,
            port,
            is_ipv4: address.is_ipv4(),
        };
        match self.flows.reserve(wanted) {
            Ok(Reserved { socket, is_bound }) => Ok(Outcome::Bind {
                socket,
                port,
                tos,
                is_bound,
            }),
            Err(ReserveError::Closing) => {
                Ok(Outcome::Later(Command::OpenEndpoint { call, port, tos }))
            }
            Err(ReserveError::Full) => Err(Refusal::TableFull),
            Err(ReserveError::PortOpen) => Err(Refusal::PortOpen),
        }
    }

    fn close_endpoint(&mut self, key: CallKey, port: Port) -> Result<Answer, Refusal> {
        let closed = self.socket_of(key, port)?;
        self.forget_ice(closed);
        self.leave_keys(key, closed);
        self.forget_dtls(closed);
        let endpoint = self.flows.close(closed);
        self.piercings.forget(closed);
        self.reports.forget(closed);
        let Some(call) = self.calls.get_mut(key) else {
            return Err(Refusal::UnknownCall);
        };
        call.endpoints.retain(|it| *it != closed);
        call.note_heard(endpoint.and_then(|it| it.heard_at));
        for socket in &call.endpoints {
            if let Some(endpoint) = self.flows.open(*socket) {
                endpoint.disconnect(closed);
            }
        }
        Ok(Answer::Done)
    }

    fn connect(
        &mut self,
        call: CallKey,
        ingress: Port,
        egress: [Option<Port>; 2],
    ) -> Result<Answer, Refusal> {
        let socket_of = |port: Option<Port>| port.map(|it| self.socket_of(call, it)).transpose();
        let [rtp, rtcp] = egress;
        let elected = |it: Option<SocketId>| it.map(|it| self.agents.elected(it));
        let (rtp, rtcp) = (elected(socket_of(rtp)?), elected(socket_of(rtcp)?));
        let endpoint = self.endpoint_of(call, ingress)?;
        (endpoint.rtp, endpoint.rtcp) = (rtp, rtcp);
        for socket in [rtp, rtcp].into_iter().flatten() {
            self.follow_keys(call, socket);
        }
        Ok(Answer::Done)
    }

    /// Begins to open the peer's NAT, if that is wanted.
    fn pierce(&mut self, now: Instant, call: CallKey, port: Port) -> Result<Answer, Refusal> {
        let socket = self.socket_of(call, port)?;
        if let Some(endpoint) = self.flows.open(socket)
            && endpoint.begin_piercing()
        {
            self.piercings.begin(now, socket, call);
        }
        Ok(Answer::Done)
    }

    fn query_call(&self, now: Instant, key: CallKey, room: usize) -> Result<CallStats, Refusal> {
        let call = self.call(key)?;
        let endpoints = call.endpoints.iter();
        let endpoints = endpoints.filter_map(|it| self.flows.endpoint(*it));
        let stats = CallStats {
            call: key,
            endpoints: endpoints.map(|it| it.stats(now)).collect(),
        };
        check_room(stats.encoded_len_max(), room)?;
        Ok(stats)
    }

    /// As many calls as there is room for, one at least.
    fn list_calls(
        &mut self,
        now: Instant,
        after: Option<CallKey>,
        room: usize,
    ) -> Result<Answer, Refusal> {
        let mut room = room
            .checked_sub(Answer::CALLS_LEN_MAX)
            .ok_or(Refusal::TooLong)?;
        let mut calls = Vec::new();
        let mut more = false;
        for (call, Call { record, .. }) in self.calls.page(after) {
            let len = CallRecord::encoded_len_max(record.len());
            let Some(rest) = room.checked_sub(len) else {
                more = true;
                break;
            };
            room = rest;
            let record = record.to_vec();
            calls.push(CallRecord { call, record });
        }
        if more && calls.is_empty() {
            return Err(Refusal::TooLong);
        }
        // Who asks for the calls may have missed what was said about them.
        for it in &calls {
            self.calls.report_again(now, it.call);
        }
        Ok(Answer::Calls { calls, more })
    }

    /// Counts and gauges of this worker, as far as the core knows.
    fn stats(&self) -> WorkerStats {
        let drops = DropReason::ALL.into_iter().zip(self.drops);
        let mut counters: Vec<_> = drops
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect();
        counters.push(("events_lost".to_owned(), self.events_lost));
        counters.push(("keys_told".to_owned(), self.keys_told));
        counters.push(("reports_made".to_owned(), self.reports.made));
        counters.push(("reports_told".to_owned(), self.telling.told));
        counters.push(("reports_untold".to_owned(), self.telling.untold));
        counters.push(("piercings_sent".to_owned(), self.piercings.sent()));
        counters.push(("sprayed".to_owned(), self.sprayed));
        counters.push(("endpoints_closing".to_owned(), self.flows.closing() as u64));
        counters.push(("ports_idle".to_owned(), self.flows.idle() as u64));
        counters.push(("ports_reused".to_owned(), self.flows.reused()));
        counters.push(("bytes_out".to_owned(), self.bytes_out));
        counters.push(("packets_taken".to_owned(), self.packets_taken));
        counters.push(("packets_made".to_owned(), self.packets_made));
        counters.push(("packets_opened".to_owned(), self.opened));
        counters.push(("packets_sealed".to_owned(), self.sealed));
        let handshaking = self.handshaking.counters().into_iter();
        counters.extend(handshaking.map(|(name, count)| (name.to_owned(), count)));
        let ice = self.agents.counters().into_iter();
        counters.extend(ice.map(|(name, count)| (name.to_owned(), count)));
        let copied = self.copied.counters().into_iter();
        counters.extend(copied.map(|(name, count)| (name.to_owned(), count)));
        if self.kernel.is_on() {
            let kernel = self.kernel.counters().into_iter();
            counters.extend(kernel.map(|(name, count)| (name.to_owned(), count)));
        }
        WorkerStats {
            calls: self.calls.len() as u64,
            endpoints: self.flows.len() as u64,
            packets_in: self.packets_in,
            packets_out: self.packets_out,
            counters,
        }
    }

    fn call(&self, key: CallKey) -> Result<&Call, Refusal> {
        self.calls.get(key).ok_or(Refusal::UnknownCall)
    }

    /// The socket of an open port of this call.
    pub(crate) fn socket_of(&self, call: CallKey, port: Port) -> Result<SocketId, Refusal> {
        self.call(call)?;
        let socket = self.flows.socket_of(port).ok_or(Refusal::UnknownPort)?;
        let endpoint = self.flows.endpoint(socket);
        if endpoint.is_some_and(|it| it.call == call) {
            Ok(socket)
        } else {
            Err(Refusal::UnknownPort)
        }
    }

    pub(crate) fn endpoint_of(
        &mut self,
        call: CallKey,
        port: Port,
    ) -> Result<&mut Endpoint, Refusal> {
        let socket = self.socket_of(call, port)?;
        self.flows.open(socket).ok_or(Refusal::UnknownPort)
    }
}

/// What a command does to flows that may be in the kernel's table.
enum Touched {
    /// Packets of this call may take another way from now on.
    Changed(CallKey),
    /// What was counted is told.
    Read(CallKey),
    Nothing,
}

fn touched(command: &Command) -> Touched {
    match command {
        Command::CloseEndpoint { call, .. }
        | Command::Connect { call, .. }
        | Command::Play { call, .. }
        | Command::RemoveCall { call }
        | Command::SetCrypto { call, .. }
        | Command::SetDtls { call, .. }
        | Command::SetFilter { call, .. }
        | Command::SetIce { call, .. }
        | Command::SetRemote { call, .. }
        | Command::SetSinks { call, .. }
        | Command::SetSourceRules { call, .. }
        | Command::SetTranscoding { call, .. } => Touched::Changed(*call),
        Command::QueryCall { call } => Touched::Read(*call),
        // When something was last heard is asked for when it is due.
        Command::SetMediaTimeout { .. }
        | Command::SetFirstPacketTimeout { .. }
        | Command::CreateCall { .. }
        | Command::ListCalls { .. }
        | Command::OpenEndpoint { .. }
        | Command::QueryWorker
        | Command::SetRecord { .. }
        | Command::SetRtcp { .. }
        | Command::StopPlaying { .. }
        | Command::TellReports { .. } => Touched::Nothing,
    }
}

fn check_room(len: usize, room: usize) -> Result<(), Refusal> {
    if len > room {
        return Err(Refusal::TooLong);
    }
    Ok(())
}
