//! Feedback (RFC 4585 §6), for parties that know none.

use super::{Compound, Packet, packet_type};

/// Takes feedback out of a datagram. What is left comes first; its length: 0 if nothing is. What is
/// no RTCP stays as it is.
pub fn remove_feedback(datagram: &mut [u8]) -> usize {
    if Compound::parse(datagram).is_err() {
        return datagram.len();
    }
    let (mut from, mut to) = (0, 0);
    // Ends at the end, since `parse` has walked the same way; what is moved lies before.
    while let Ok((packet, _)) = Packet::split(&datagram[from..]) {
        let (len, is_feedback) = (packet.len(), is_feedback(packet.packet_type()));
        if !is_feedback {
            datagram.copy_within(from..from + len, to);
            to += len;
        }
        from += len;
    }
    to
}

fn is_feedback(kind: u8) -> bool {
    matches!(
        kind,
        packet_type::TRANSPORT_FEEDBACK | packet_type::PAYLOAD_FEEDBACK
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];
    const NACK: [u8; 16] = [0x81, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0, 1, 0, 0];
    const REMB: [u8; 12] = [0x8f, 206, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9];
    const BYE: [u8; 8] = [0x81, 203, 0, 1, 0, 0, 0, 7];

    fn without(parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = parts.concat();
        let len = remove_feedback(&mut bytes);
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn feedback_goes_wherever_it_stands_and_the_rest_stays() {
        let rest = [&REPORT[..], &BYE].concat();
        assert_eq!(without(&[&REPORT, &NACK, &BYE, &REMB]), rest);
        assert_eq!(without(&[&NACK, &REPORT, &REMB, &BYE]), rest);
        assert_eq!(without(&[&REPORT, &BYE]), rest);
        assert_eq!(without(&[&NACK, &REMB]), [0; 0]);
        let cut = [&REPORT[..], &NACK[..12]].concat();
        assert_eq!(without(&[&cut]), cut, "no RTCP");
    }

    proptest! {
        #[test]
        fn what_is_left_is_rtcp_without_feedback(mut bytes in prop::collection::vec(any::<u8>(), 0..80), kinds in prop::collection::vec(0..4_usize, 0..6)) {
            crate::fuzz::feedback(&bytes);
            let parts = [&REPORT[..], &NACK, &REMB, &BYE];
            bytes = kinds.iter().flat_map(|it| parts[*it]).copied().collect();
            crate::fuzz::feedback(&bytes);
        }
    }
}
