//! SIP messages that are hard to get right: one of our own for each case that RFC 4475 describes.
//!
//! The archive of the RFC belongs to others and is not copied here; names, hosts and wording are
//! ours, what makes each message hard is the RFC's. Unit tests check what the message layer makes
//! of them, fuzz targets start from them, and scenarios send them to a running proxy.

mod invalid;
mod meaning;
mod valid;

/// One message and what is to become of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name that RFC 4475 gives its message of this kind.
    pub name: &'static str,
    /// Where the RFC describes it.
    pub section: &'static str,
    /// What is hard about it.
    pub what: &'static str,
    /// The datagram.
    pub bytes: Vec<u8>,
    /// What is to become of it.
    pub expectation: Expectation,
}

/// What the message layer of a proxy does with a message that it is to forward.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expectation {
    /// Takes it. Who it is addressed to may still refuse it, by what it means.
    Accept,
    /// Answers it with this status.
    Answer(u16),
    /// Drops it without an answer.
    Discard,
}

/// All messages, in the order of the RFC.
#[must_use]
pub fn messages() -> Vec<Case> {
    let mut cases = valid::cases();
    cases.extend(invalid::cases());
    cases.extend(meaning::cases());
    cases
}

/// A session description like those that phones send.
const SDP: &str = "v=0\n\
    o=desk 20518 20518 IN IP4 198.51.100.7\n\
    s=-\n\
    c=IN IP4 198.51.100.7\n\
    t=0 0\n\
    m=audio 40124 RTP/AVP 8 0 101\n\
    a=rtpmap:101 telephone-event/8000\n";

/// Makes a datagram: each line ends with CRLF, and `{len}` becomes the length of the body.
fn datagram(head: &str, body: &str) -> Vec<u8> {
    let body = body.replace('\n', "\r\n");
    let head = head.replace("{len}", &body.len().to_string());
    let head = head.replace('\n', "\r\n");
    format!("{head}\r\n{body}").into_bytes()
}

fn case(
    (name, section): (&'static str, &'static str),
    what: &'static str,
    expectation: Expectation,
    bytes: Vec<u8>,
) -> Case {
    Case {
        name,
        section,
        what,
        bytes,
        expectation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_of_the_rfc_is_there_once() {
        let cases = messages();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
        let sections: BTreeSet<_> = cases.iter().map(|case| case.section).collect();
        assert_eq!(cases.len(), 49);
        assert_eq!(names.len(), 49);
        assert_eq!(sections.len(), 49);
    }

    #[test]
    fn lines_end_with_crlf_and_lengths_are_filled_in() {
        for case in messages() {
            assert!(
                !case.bytes.windows(5).any(|part| part == b"{len}"),
                "{}",
                case.name
            );
            let ends = case.bytes.iter().filter(|byte| **byte == b'\n').count();
            let pairs = case
                .bytes
                .windows(2)
                .filter(|pair| *pair == b"\r\n")
                .count();
            // The multipart body holds anything.
            assert!(ends == pairs || case.name == "mpart01", "{}", case.name);
        }
    }
}
