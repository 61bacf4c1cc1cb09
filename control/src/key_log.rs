//! Keys that parties press, told to the proxy: one datagram of JSON each, in the peer's form.
//!
//! What cannot be sent at once is lost and counted: nobody waits for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use control_core::KeyReport;

/// Tells one proxy.
#[derive(Debug)]
pub(crate) struct KeyLog {
    socket: UdpSocket,
    pub(crate) lost: u64,
}

impl KeyLog {
    /// Prepares to tell `proxy`.
    pub(crate) fn new(proxy: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = match proxy {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(proxy)?;
        Ok(Self { socket, lost: 0 })
    }

    pub(crate) fn tell(&mut self, report: &KeyReport) {
        if self.socket.send(&report.json()).is_err() {
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> KeyReport {
        KeyReport {
            call_id: b"a\"b".to_vec(),
            source_tag: b"t1".to_vec(),
            source_label: Some(b"agent".to_vec()),
            tags: vec![b"t1".to_vec(), b"t2".to_vec()],
            unix_s: 1_700_000_000,
            source: "192.0.2.1".parse().unwrap(),
            code: 5,
            duration_ms: 100,
            volume: 10,
        }
    }

    #[test]
    fn a_key_is_one_document_whatever_the_names_are() {
        let proxy = UdpSocket::bind("127.0.0.1:0").unwrap();
        proxy
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut log = KeyLog::new(proxy.local_addr().unwrap()).unwrap();
        log.tell(&report());
        let mut buffer = [0; 2_048];
        let len = proxy.recv(&mut buffer).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&buffer[..len]).unwrap();
        let expected = serde_json::json!({
            "callid": "a\"b",
            "source_tag": "t1",
            "source_label": "agent",
            "tags": ["t1", "t2"],
            "type": "DTMF",
            "timestamp": 1_700_000_000,
            "source_ip": "192.0.2.1",
            "event": 5,
            "duration": 100,
            "volume": 10,
        });
        assert_eq!(json, expected);
        assert_eq!(log.lost, 0);
    }

    #[test]
    fn nobody_is_waited_for_who_does_not_listen() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let mut log = KeyLog::new(address).unwrap();
        for _ in 0..3 {
            log.tell(&report());
        }
        assert!(log.lost > 0, "it is counted");
    }
}
