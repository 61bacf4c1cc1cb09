//! Datagrams to somebody who only listens: Homer, or a proxy that is told of keys.
//!
//! What cannot be sent at once is lost and counted: nobody waits for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Sends to one listener.
#[derive(Debug)]
pub(crate) struct Outlet {
    socket: UdpSocket,
    pub(crate) lost: u64,
}

impl Outlet {
    /// Prepares to send to `listener`.
    pub(crate) fn to(listener: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = match listener {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(listener)?;
        Ok(Self { socket, lost: 0 })
    }

    /// Sends one datagram.
    pub(crate) fn send(&mut self, datagram: &[u8]) {
        // Refused, full or gone: nobody there is what calls wait for.
        if self.socket.send(datagram).is_err() {
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use control_core::KeyReport;

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
            destination: None,
        }
    }

    #[test]
    fn a_key_is_one_document_whatever_the_names_are() {
        let proxy = UdpSocket::bind("127.0.0.1:0").unwrap();
        proxy
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut log = Outlet::to(proxy.local_addr().unwrap()).unwrap();
        log.send(&report().json());
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
        let mut log = Outlet::to(address).unwrap();
        for _ in 0..3 {
            log.send(&report().json());
        }
        assert!(log.lost > 0, "it is counted");
    }
}
