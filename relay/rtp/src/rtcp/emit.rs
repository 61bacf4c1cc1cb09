//! Writing a report of our own (RFC 3550 §6.4, §6.5).

use super::{HEADER_LEN, ReportBlock, packet_type};
use crate::Ssrc;

/// Octets of a name that are written.
pub const CNAME_LEN_MAX: usize = 64;

/// Octets of the longest [`OwnReport`]: sender report, one block, and a name.
pub const REPORT_LEN_MAX: usize = 52 + 8 + 2 + CNAME_LEN_MAX + 2;

/// Canonical name (RFC 3550 §6.5.1).
const ITEM_CNAME: u8 = 1;

/// A compound of a report and the name that every report carries.
#[derive(Clone, Copy, Debug)]
pub struct OwnReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    /// What it has sent; `None`: nothing, and it reports as a receiver.
    pub sender: Option<SenderInfo>,
    /// How reception goes.
    pub block: Option<ReportBlock>,
    /// Its canonical name, of which [`CNAME_LEN_MAX`] octets are written.
    pub cname: &'a [u8],
}

/// What somebody has sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SenderInfo {
    /// Now, in NTP's format: seconds since 1900 and their fraction.
    pub ntp_time: u64,
    /// The same moment in units of the media's clock.
    pub rtp_timestamp: u32,
    /// RTP packets since the beginning.
    pub packets: u32,
    /// Their octets.
    pub octets: u32,
}

impl OwnReport<'_> {
    /// Writes it. Its length.
    pub fn emit(&self, out: &mut [u8; REPORT_LEN_MAX]) -> usize {
        let mut writer = Writer { bytes: out, len: 0 };
        let blocks = u8::from(self.block.is_some());
        let kind = match self.sender {
            Some(_) => packet_type::SENDER_REPORT,
            None => packet_type::RECEIVER_REPORT,
        };
        let start = writer.open(blocks, kind);
        writer.word(self.ssrc.value());
        if let Some(sender) = self.sender {
            writer.put(&sender.ntp_time.to_be_bytes());
            for word in [sender.rtp_timestamp, sender.packets, sender.octets] {
                writer.word(word);
            }
        }
        if let Some(block) = self.block {
            writer.block(&block);
        }
        writer.close(start);
        let start = writer.open(1, packet_type::SOURCE_DESCRIPTION);
        writer.word(self.ssrc.value());
        let cname = &self.cname[..self.cname.len().min(CNAME_LEN_MAX)];
        writer.put(&[ITEM_CNAME, u8::try_from(cname.len()).unwrap_or(0)]);
        writer.put(cname);
        // One zero ends the list, and further ones the word.
        writer.put(&[0]);
        while !writer.len.is_multiple_of(4) {
            writer.put(&[0]);
        }
        writer.close(start);
        writer.len
    }
}

struct Writer<'a> {
    bytes: &'a mut [u8; REPORT_LEN_MAX],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_be_bytes());
    }

    fn block(&mut self, block: &ReportBlock) {
        let [_, a, b, c] = block.lost.to_be_bytes();
        self.word(block.ssrc.value());
        self.put(&[block.fraction_lost, a, b, c]);
        for word in [
            block.highest_sequence,
            block.jitter,
            block.last_report,
            block.delay_since_last_report,
        ] {
            self.word(word);
        }
    }

    /// Begins a packet; says where.
    fn open(&mut self, count: u8, kind: u8) -> usize {
        let start = self.len;
        self.put(&[0x80 | count, kind, 0, 0]);
        start
    }

    /// Says in the header of the packet that begins at `start` how long it is.
    fn close(&mut self, start: usize) {
        let words = (self.len - start) / HEADER_LEN - 1;
        let words = u16::try_from(words).unwrap_or(0);
        self.bytes[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Body, Compound};

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: Ssrc::new(9),
        fraction_lost: 64,
        lost: -3,
        highest_sequence: 65_539,
        jitter: 7,
        last_report: 0xaabb_ccdd,
        delay_since_last_report: 65_536,
    };

    const SENDER: SenderInfo = SenderInfo {
        ntp_time: 105 << 32 | 7,
        rtp_timestamp: 4_711,
        packets: 50,
        octets: 8_000,
    };

    #[test]
    fn reads_back_what_it_wrote_with_a_name_of_any_length() {
        for len in [0, 1, 2, 3, 12, 63, 64, 300] {
            for (sender, block) in [
                (Some(SENDER), Some(BLOCK)),
                (Some(SENDER), None),
                (None, Some(BLOCK)),
                (None, None),
            ] {
                let name = vec![b'x'; len];
                let report = OwnReport {
                    ssrc: Ssrc::new(7),
                    sender,
                    block,
                    cname: &name,
                };
                let mut bytes = [0; REPORT_LEN_MAX];
                let written = report.emit(&mut bytes);
                let compound = Compound::parse(&bytes[..written]).unwrap();
                let bodies: Vec<_> = compound.packets().map(|it| it.body()).collect();
                let (ssrc, blocks): (_, Vec<_>) = match bodies[0] {
                    Body::SenderReport(it) => {
                        let read = SenderInfo {
                            ntp_time: it.ntp_time(),
                            rtp_timestamp: it.rtp_timestamp(),
                            packets: it.packet_count(),
                            octets: it.octet_count(),
                        };
                        assert_eq!(Some(read), sender);
                        (it.ssrc(), it.blocks().collect())
                    }
                    Body::ReceiverReport(it) if sender.is_none() => {
                        (it.ssrc(), it.blocks().collect())
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!((ssrc, blocks), (Ssrc::new(7), Vec::from_iter(block)));
                let Body::SourceDescription(it) = bodies[1] else {
                    panic!("a name follows");
                };
                let chunk = it.chunks().next().unwrap();
                let item = chunk.items().next().unwrap();
                assert_eq!((chunk.ssrc, item.kind), (Ssrc::new(7), 1));
                assert_eq!(item.text, &name[..len.min(CNAME_LEN_MAX)]);
            }
        }
    }
}
