//! Two phones and a call between them: what most scenarios begin with.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use crate::{
    Dialog, Exchange, Media, MediaReport, Message, Phone, RtpEndpoint, Site, converse, offer_sdp,
    sdp_endpoint,
};

/// Host numbers of the two phones.
const HOSTS: [u8; 2] = [2, 3];

/// Two phones that are registered: the first calls, the second is called.
#[derive(Debug)]
pub struct TwoPhones {
    /// Whose call it is.
    pub caller: Phone,
    /// Who is called.
    pub callee: Phone,
}

/// A call that stands.
#[derive(Debug)]
pub struct Call {
    /// What caller and callee know of it.
    pub dialogs: [Dialog; 2],
    /// Their media.
    pub ends: [RtpEndpoint; 2],
    /// Where each of them was told to send to.
    pub relay: [SocketAddr; 2],
}

impl TwoPhones {
    /// Makes two accounts, alice and bob, and registers a phone for each.
    ///
    /// # Panics
    ///
    /// When one is refused.
    #[must_use]
    #[track_caller]
    pub fn new(site: &Site, exchange: &impl Exchange) -> Self {
        Self::of(
            [("alice", HOSTS[0]), ("bob", HOSTS[1])]
                .map(|(user, host)| exchange.phone(user, site.address(host, 5_060))),
        )
    }

    /// Registers two phones.
    ///
    /// # Panics
    ///
    /// When one is refused.
    #[must_use]
    #[track_caller]
    pub fn of([mut caller, mut callee]: [Phone; 2]) -> Self {
        for phone in [&mut caller, &mut callee] {
            let response = phone.register(300);
            assert_eq!(response.status(), Some(200), "{response:?}");
        }
        Self { caller, callee }
    }

    /// Calls, rings and answers.
    ///
    /// # Panics
    ///
    /// When anything comes out of order.
    #[track_caller]
    pub fn connect(&mut self) -> Call {
        let ips = [&self.caller, &self.callee].map(|phone| phone.address().ip());
        let ends = ips.map(RtpEndpoint::new);
        let sdp = ends.each_ref().map(|end| offer_sdp(end, 1, "sendrecv"));
        self.connect_with(ends, [&sdp[0], &sdp[1]]).0
    }

    /// As [`Self::connect`], between two ends with an offer and an answer. Gives the answer as the
    /// caller saw it, and the offer as the callee did.
    ///
    /// # Panics
    ///
    /// When anything comes out of order.
    #[track_caller]
    pub fn connect_with(
        &mut self,
        ends: [RtpEndpoint; 2],
        [offer, answer]: [&str; 2],
    ) -> (Call, [Message; 2]) {
        let callee = self.callee.account().user.clone();
        let invitation = self.caller.invite(&callee, offer);
        let request = self.callee.expect_request("INVITE");
        self.callee.reply(&request, 180, "Ringing", None);
        self.caller.expect_response(&invitation, 180);
        let response = self.callee.reply(&request, 200, "OK", Some(answer));
        let answered = self.caller.expect_response(&invitation, 200);
        let caller_side = self.caller.acknowledge(&invitation, &answered);
        self.callee.expect_request("ACK");
        let call = Call {
            dialogs: [caller_side, Dialog::of_callee(&request, &response)],
            ends,
            relay: [sdp_endpoint(&answered.body), sdp_endpoint(&request.body)],
        };
        (call, [answered, request])
    }

    /// Changes the media of a call: the caller offers, the callee answers. Gives the offer as the
    /// callee saw it and the answer as the caller saw it.
    ///
    /// # Panics
    ///
    /// When the change is refused.
    #[track_caller]
    pub fn reinvite(&mut self, call: &mut Call, offer: &str, answer: &str) -> [Message; 2] {
        let Self { caller, callee, .. } = self;
        exchange_offer(caller, &mut call.dialogs[0], callee, offer, answer)
    }

    /// As [`Self::reinvite`], but the callee offers.
    ///
    /// # Panics
    ///
    /// When the change is refused.
    #[track_caller]
    pub fn reinvite_by_callee(
        &mut self,
        call: &mut Call,
        offer: &str,
        answer: &str,
    ) -> [Message; 2] {
        let Self { caller, callee, .. } = self;
        exchange_offer(callee, &mut call.dialogs[1], caller, offer, answer)
    }

    /// The caller hangs up.
    ///
    /// # Panics
    ///
    /// When the BYE does not come through.
    #[track_caller]
    pub fn hang_up(&mut self, call: &mut Call) {
        self.caller.hang_up(&mut call.dialogs[0], &mut self.callee);
    }

    /// The callee hangs up.
    ///
    /// # Panics
    ///
    /// When the BYE does not come through.
    #[track_caller]
    pub fn hang_up_by_callee(&mut self, call: &mut Call) {
        self.callee.hang_up(&mut call.dialogs[1], &mut self.caller);
    }

    /// One call from beginning to end with half a second of media, in which nothing is lost: shows
    /// that everything works.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn call_once(&mut self) {
        let call = self.connect();
        let (mut call, reports) = call.converse(|| sleep(Duration::from_millis(500)));
        call.assert_nothing_lost(&reports);
        self.hang_up(&mut call);
    }
}

impl Call {
    /// Both ends talk to one another for as long as `during` runs.
    #[must_use]
    pub fn converse(self, during: impl FnOnce()) -> (Self, [MediaReport; 2]) {
        let relay = self.relay;
        let (ends, reports) = converse(self.ends, relay, during);
        let call = Self {
            dialogs: self.dialogs,
            ends,
            relay,
        };
        (call, reports)
    }

    /// The caller talks and the callee listens for as long as `during` runs.
    #[must_use]
    pub fn monologue(self, during: impl FnOnce()) -> (Self, [MediaReport; 2]) {
        let relay = self.relay;
        let [caller, callee] = self.ends;
        let media = [caller.talk(relay[0]), callee.listen()];
        during();
        let (ends, reports) = finish(media);
        let call = Self {
            dialogs: self.dialogs,
            ends,
            relay,
        };
        (call, reports)
    }

    /// Checks that each end heard all of the other.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    pub fn assert_nothing_lost(&self, reports: &[MediaReport; 2]) {
        let [caller, callee] = reports;
        assert!(caller.sent > 0, "the caller talked");
        caller.assert_heard_all_of(callee, self.relay[0]);
        callee.assert_heard_all_of(caller, self.relay[1]);
    }
}

fn finish([caller, callee]: [Media; 2]) -> ([RtpEndpoint; 2], [MediaReport; 2]) {
    let [(caller, heard_by_caller), (callee, heard_by_callee)] = caller.finish_both(callee);
    ([caller, callee], [heard_by_caller, heard_by_callee])
}

#[track_caller]
fn exchange_offer(
    asking: &mut Phone,
    dialog: &mut Dialog,
    asked: &mut Phone,
    offer: &str,
    answer: &str,
) -> [Message; 2] {
    let mut seen = None;
    let response = asking.reinvite(dialog, offer, |_| {
        let request = asked.expect_request("INVITE");
        asked.reply(&request, 200, "OK", Some(answer));
        seen = Some(request);
    });
    asked.expect_request("ACK");
    [seen.expect("the offer arrived"), response]
}
