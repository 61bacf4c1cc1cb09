//! What drivers can do with XDP, as the kernel says it: generic netlink, family `netdev` (Linux 6.3,
//! `Documentation/netlink/specs/netdev.yaml`).

use std::io;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// What a driver can do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Features(u64);

impl Features {
    /// Sends frames of its own on to other interfaces, if a program says so.
    pub(crate) const fn sends_on(self) -> bool {
        self.0 & 2 != 0
    }

    /// Takes frames that came in elsewhere.
    pub(crate) const fn takes(self) -> bool {
        self.0 & 4 != 0
    }
}

/// Asks what the driver of an interface can do now: that may depend on whether it runs a program.
pub(crate) fn features_of(interface: u32) -> io::Result<Features> {
    let netdev = ask(
        ID_OF_CONTROL,
        GET_FAMILY,
        (FAMILY_NAME, b"netdev\0"),
        FAMILY_ID,
    )?;
    let family = netdev.first_chunk().copied().ok_or_else(no_answer)?;
    let interface = interface.to_ne_bytes();
    let features = ask(
        u16::from_ne_bytes(family),
        GET_DEVICE,
        (DEVICE_INDEX, &interface),
        DEVICE_FEATURES,
    )?;
    let features = features.first_chunk().copied().ok_or_else(no_answer)?;
    Ok(Features(u64::from_ne_bytes(features)))
}

// linux/netlink.h, linux/genetlink.h, linux/netdev.h.
const ID_OF_CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const GET_DEVICE: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_FEATURES: u16 = 3;
const IS_ERROR: u16 = 2;
const IS_REQUEST: u16 = 1;

/// Bytes of the header of netlink, and with that of generic netlink.
const HEADER_LEN: usize = 16;
const HEADERS_LEN: usize = HEADER_LEN + 4;
/// Bytes of the header of an attribute.
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// Where the kind of a message is, and what an error says.
const KIND_AT: usize = 4;
const ERROR_AT: usize = HEADER_LEN;

/// Bytes that an answer may have.
const ANSWER_LEN_MAX: usize = 8_192;

fn no_answer() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Asks with one attribute for another.
fn ask(family: u16, command: u8, with: (u16, &[u8]), wanted: u16) -> io::Result<Vec<u8>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::GENERIC),
    )?;
    send(&socket, &request(family, command, with), SendFlags::empty())?;
    let mut answer = vec![0; ANSWER_LEN_MAX];
    // The kernel answers before it returns from the question.
    let (len, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::DONTWAIT)?;
    answer.truncate(len);
    read_answer(&answer, wanted)
}

fn request(family: u16, command: u8, (kind, value): (u16, &[u8])) -> Vec<u8> {
    let attribute_len = u16::try_from(ATTRIBUTE_HEADER_LEN + value.len()).unwrap_or(0);
    let mut rest = family.to_ne_bytes().to_vec();
    rest.extend(IS_REQUEST.to_ne_bytes());
    // Number and sender of the message: one is all that we send.
    rest.extend([0; 8]);
    rest.extend([command, 1, 0, 0]);
    rest.extend(attribute_len.to_ne_bytes());
    rest.extend(kind.to_ne_bytes());
    rest.extend(value);
    while !rest.len().is_multiple_of(4) {
        rest.push(0);
    }
    let len = u32::try_from(size_of::<u32>() + rest.len()).unwrap_or(0);
    [len.to_ne_bytes().to_vec(), rest].concat()
}

/// Finds an attribute in the first message.
fn read_answer(answer: &[u8], wanted: u16) -> io::Result<Vec<u8>> {
    let len = answer.first_chunk().copied().map(u32::from_ne_bytes);
    let len = len.and_then(|it| usize::try_from(it).ok());
    let message = len
        .and_then(|len| answer.get(..len))
        .ok_or_else(no_answer)?;
    if number_at(message, KIND_AT) == Some(IS_ERROR) {
        let code = message.get(ERROR_AT..).and_then(|it| it.first_chunk());
        let code = code.copied().map_or(0, i32::from_ne_bytes);
        return Err(io::Error::from_raw_os_error(code.saturating_neg()));
    }
    let mut attributes = message.get(HEADERS_LEN..).unwrap_or_default();
    while let (Some(len), Some(kind)) = (number_at(attributes, 0), number_at(attributes, 2)) {
        let len = usize::from(len);
        let value = attributes.get(ATTRIBUTE_HEADER_LEN..len);
        let value = value.ok_or_else(no_answer)?;
        if kind & KIND_MASK == wanted {
            return Ok(value.to_vec());
        }
        let next = len.next_multiple_of(4);
        attributes = attributes.get(next..).unwrap_or_default();
    }
    Err(no_answer())
}

/// The upper bits say something of the value.
const KIND_MASK: u16 = 0x3fff;

fn number_at(bytes: &[u8], place: usize) -> Option<u16> {
    let bytes = bytes.get(place..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loopback_interface_takes_nothing() {
        // Before 6.3 the kernel does not know of it.
        match features_of(1) {
            Ok(features) => assert!(!features.takes() && !features.sends_on()),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT)),
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(features_of(u32::MAX / 2).is_err());
    }

    #[test]
    fn a_question_reads_as_an_answer() {
        let message = request(7, GET_DEVICE, (DEVICE_INDEX, &[1, 2, 3]));
        assert_eq!(message.len(), 28, "padded");
        assert_eq!(read_answer(&message, DEVICE_INDEX).unwrap(), [1, 2, 3]);
        assert!(read_answer(&message, DEVICE_FEATURES).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..100), len in 0..120_u32) {
            let answer = [len.to_ne_bytes().to_vec(), bytes].concat();
            let _ = read_answer(&answer, DEVICE_FEATURES);
        }
    }
}
