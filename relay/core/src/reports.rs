//! Reports of peers, told to control if it wants to know.

use std::time::{Duration, Instant};

use relay_rtp::rtcp::{self, Body, ReportBlock};
use relay_wire::{Event, Reception, Report, Sent};

use crate::allowance::Allowance;
use crate::{Ingress, Relay};

/// Reports told within [`WINDOW`] at most: some ten thousand calls have them at the usual interval
/// of five seconds (RFC 3550 §6.2), and who sends more of them than that is not worth more.
const TOLD_PER_WINDOW_MAX: u32 = 5_000;

/// Reports of one endpoint that are told: a phone reports every five seconds, one with feedback more
/// often, and who sends more would take from others what is told in all.
pub(crate) type TellingPace = Allowance<16, 250>;

/// How long reports are counted together.
const WINDOW: Duration = Duration::from_secs(1);

/// What is told.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    pub(crate) is_on: bool,
    window: Option<Instant>,
    in_window: u32,
    pub(crate) told: u64,
    pub(crate) untold: u64,
}

impl Telling {
    fn may_tell(&mut self, now: Instant) -> bool {
        let is_new = |begun: Instant| now.saturating_duration_since(begun) >= WINDOW;
        if self.window.is_none_or(is_new) {
            self.window = Some(now);
            self.in_window = 0;
        }
        let may = self.in_window < TOLD_PER_WINDOW_MAX;
        self.in_window += u32::from(may);
        may
    }

    fn count(&mut self, is_told: bool) {
        let count = if is_told {
            &mut self.told
        } else {
            &mut self.untold
        };
        *count += 1;
    }
}

impl Relay {
    /// Tells of the reports in a datagram of RTCP that was accepted.
    #[cold]
    pub(crate) fn tell_reports(&mut self, now: Instant, ingress: Ingress, packet: &[u8]) {
        let Some(endpoint) = self.flows.endpoint(ingress.socket) else {
            return;
        };
        let (call, port) = (endpoint.call, endpoint.port);
        let Ok(compound) = rtcp::Compound::parse(packet) else {
            return;
        };
        for packet in compound.packets() {
            let Some(report) = read(&packet.body(), ingress) else {
                continue;
            };
            let endpoint = self.flows.open(ingress.socket);
            let is_told = endpoint.is_some_and(|it| it.rare_mut().telling.take(now))
                && self.telling.may_tell(now)
                && self.tell(Event::Report {
                    call,
                    ingress: port,
                    report,
                });
            self.telling.count(is_told);
        }
    }
}

fn read(body: &Body<'_>, ingress: Ingress) -> Option<Report> {
    let (ssrc, sender, block) = match body {
        Body::SenderReport(report) => {
            let sent = Sent {
                ntp_time: report.ntp_time(),
                rtp_timestamp: report.rtp_timestamp(),
                packets: report.packet_count(),
                octets: report.octet_count(),
            };
            (report.ssrc(), Some(sent), report.blocks().next())
        }
        Body::ReceiverReport(report) => (report.ssrc(), None, report.blocks().next()),
        _ => return None,
    };
    Some(Report {
        source: ingress.source,
        ssrc: ssrc.value(),
        sender,
        reception: block.as_ref().map(reception),
    })
}

fn reception(block: &ReportBlock) -> Reception {
    Reception {
        ssrc: block.ssrc.value(),
        fraction_lost: block.fraction_lost,
        packets_lost: block.lost,
        highest_sequence: block.highest_sequence,
        jitter: block.jitter,
        last_report: block.last_report,
        delay: block.delay_since_last_report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_reports_is_told_of_in_part() {
        let mut telling = Telling::default();
        let now = crate::tests::start();
        let told = (0..20_000).filter(|_| telling.may_tell(now)).count();
        assert_eq!(told, 5_000);
        assert!(telling.may_tell(now + WINDOW), "and is, later");
    }
}
