//! What control tells a client without being asked.
//!
//! A client that lists `events` under `supports` gets these as datagrams at the address that its
//! offer came from. It answers each with `result: ok` under the same cookie; until then control
//! repeats it.

use crate::{Dictionary, Value, reply};

/// Something that happened to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// No party sent anything for the time set; the call is deleted.
    MediaTimeout {
        /// Which call.
        call_id: &'a [u8],
    },
}

const MEDIA_TIMEOUT: &str = "media timeout";

impl<'a> Event<'a> {
    /// The datagram.
    #[must_use]
    pub fn encode(&self, cookie: &[u8]) -> Vec<u8> {
        self.encode_because(cookie, None)
    }

    /// The datagram of an event with a reason of its own, under the key `reason`. A client that
    /// does not know the reason does what the event asks for.
    #[must_use]
    pub fn encode_because(&self, cookie: &[u8], reason: Option<&str>) -> Vec<u8> {
        let Self::MediaTimeout { call_id } = *self;
        let mut dictionary = Dictionary::new()
            .with("call-id", call_id)
            .with("event", MEDIA_TIMEOUT);
        if let Some(reason) = reason {
            dictionary = dictionary.with("reason", reason);
        }
        dictionary.encode_message(cookie)
    }

    /// Reads one. `None` if the document is something else, such as a reply.
    #[must_use]
    pub fn parse(document: &'a Value<'_>) -> Option<Self> {
        let dictionary = document.as_dictionary()?;
        let call_id = dictionary.get("call-id")?.as_bytes()?;
        (dictionary.get("event")?.as_bytes()? == MEDIA_TIMEOUT.as_bytes())
            .then_some(Self::MediaTimeout { call_id })
    }

    /// The datagram by which a client says that it has heard.
    #[must_use]
    pub fn acknowledge(cookie: &[u8]) -> Vec<u8> {
        reply::ok().encode(cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn a_client_reads_what_control_tells() {
        let event = Event::MediaTimeout { call_id: b"abc@h" };
        let datagram = event.encode(b"ev1");
        assert_eq!(
            datagram,
            b"ev1 d7:call-id5:abc@h5:event13:media timeoute".to_vec()
        );
        let message = Message::split(&datagram).unwrap();
        let document = Value::parse(message.body).unwrap();
        assert_eq!(Event::parse(&document), Some(event));
        assert_eq!(Event::acknowledge(message.cookie), b"ev1 d6:result2:oke");
        let datagram = event.encode_because(b"ev2", Some("silent timeout"));
        let message = Message::split(&datagram).unwrap();
        let document = Value::parse(message.body).unwrap();
        assert_eq!(Event::parse(&document), Some(event));
        let reason = document.as_dictionary().unwrap().get("reason").unwrap();
        assert_eq!(reason.as_bytes(), Some(&b"silent timeout"[..]));
    }

    #[test]
    fn a_reply_is_no_event() {
        let document = Value::parse(b"d6:result2:oke").unwrap();
        assert_eq!(Event::parse(&document), None);
    }
}
