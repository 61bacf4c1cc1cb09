//! Tells of keys: where the configuration says, or where a request says of one call.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use control_core::KeyReport;

use crate::outlet::Outlet;

/// Who is told of keys by datagram. What cannot be sent at once is lost and counted.
#[derive(Debug, Default)]
pub(crate) struct KeyLog {
    /// Who is told unless a request says otherwise.
    usual: Option<Outlet>,
    /// For those whom requests name: of IPv4, and of IPv6.
    others: [Option<UdpSocket>; 2],
    lost: u64,
}

impl KeyLog {
    /// Prepares to tell whoever the configuration names.
    pub(crate) fn new(usual: Option<SocketAddr>) -> io::Result<Self> {
        let usual = usual.map(Outlet::to).transpose()?;
        Ok(Self {
            usual,
            ..Self::default()
        })
    }

    /// Tells of a key.
    pub(crate) fn tell(&mut self, report: &KeyReport) {
        match (report.destination, &mut self.usual) {
            (Some(destination), _) => self.send_to(destination, &report.json()),
            (None, Some(usual)) => usual.send(&report.json()),
            (None, None) => {}
        }
    }

    /// Datagrams that could not be sent.
    pub(crate) fn lost(&self) -> u64 {
        self.lost + self.usual.as_ref().map_or(0, |it| it.lost)
    }

    fn send_to(&mut self, destination: SocketAddr, datagram: &[u8]) {
        let socket = &mut self.others[usize::from(destination.is_ipv6())];
        if socket.is_none() {
            *socket = bind(destination).ok();
        }
        let sent = socket.as_ref().map(|it| it.send_to(datagram, destination));
        self.lost += u64::from(!matches!(sent, Some(Ok(_))));
    }
}

fn bind(destination: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match destination {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(destination: Option<SocketAddr>) -> KeyReport {
        KeyReport {
            call_id: b"c1".to_vec(),
            source_tag: b"t1".to_vec(),
            source_label: None,
            tags: vec![b"t1".to_vec()],
            unix_s: 1_700_000_000,
            source: "192.0.2.1".parse().unwrap(),
            code: 5,
            duration_ms: 100,
            volume: 10,
            destination,
        }
    }

    fn listener() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = Duration::from_secs(60);
        socket.set_read_timeout(Some(patience)).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn heard(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2_048];
        let len = socket.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    #[test]
    fn a_call_that_names_somebody_is_told_there_and_nowhere_else() {
        let [(usual, address), (other, there)] = [listener(), listener()];
        let mut log = KeyLog::new(Some(address)).unwrap();
        let (here, elsewhere) = (report(None), report(Some(there)));
        log.tell(&elsewhere);
        log.tell(&here);
        assert_eq!(heard(&usual), here.json());
        assert_eq!(heard(&other), elsewhere.json());
        let mut silent = KeyLog::new(None).unwrap();
        silent.tell(&here);
        silent.tell(&elsewhere);
        assert_eq!(heard(&other), elsewhere.json());
        assert_eq!((log.lost(), silent.lost()), (0, 0));
    }
}
