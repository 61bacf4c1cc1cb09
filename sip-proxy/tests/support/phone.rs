//! A phone: one socket, one account.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use md5::Digest as _;

use super::sip::{Sip, parameter};
use super::{PATIENCE, Proxy, REALM};

pub(crate) struct Phone {
    pub(crate) user: String,
    pub(crate) wire: Wire,
    cseq: u32,
    branch: u32,
}

pub(crate) enum Wire {
    Tcp {
        stream: TcpStream,
        read: Vec<u8>,
    },
    Udp {
        socket: UdpSocket,
        proxy: SocketAddr,
    },
}

impl Wire {
    pub(crate) fn send(&mut self, text: &str) {
        match self {
            Self::Tcp { stream, .. } => stream.write_all(text.as_bytes()).unwrap(),
            Self::Udp { socket, proxy } => {
                socket.send_to(text.as_bytes(), *proxy).unwrap();
            }
        }
    }

    #[track_caller]
    pub(crate) fn receive(&mut self) -> Sip {
        match self {
            Self::Tcp { stream, read } => receive_framed(stream, read),
            Self::Udp { socket, .. } => {
                let mut buffer = [0; 65_535];
                let len = socket.recv(&mut buffer).expect("a message in time");
                Sip::parse(std::str::from_utf8(&buffer[..len]).unwrap())
            }
        }
    }

    fn local(&self) -> SocketAddr {
        match self {
            Self::Tcp { stream, .. } => stream.local_addr().unwrap(),
            Self::Udp { socket, .. } => socket.local_addr().unwrap(),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "TCP",
            Self::Udp { .. } => "UDP",
        }
    }
}

#[track_caller]
fn receive_framed(stream: &mut TcpStream, read: &mut Vec<u8>) -> Sip {
    loop {
        let text = String::from_utf8(read.clone()).unwrap();
        if let Some(head_len) = text.find("\r\n\r\n").map(|at| at + 4) {
            let sip = Sip::parse(&text[..head_len]);
            let len = head_len + sip.header("Content-Length").parse::<usize>().unwrap();
            if text.len() >= len {
                read.drain(..len);
                return Sip::parse(&text[..len]);
            }
        }
        let mut buffer = [0; 4_096];
        let len = stream.read(&mut buffer).expect("a message in time");
        assert_ne!(len, 0, "the proxy closed the connection");
        read.extend_from_slice(&buffer[..len]);
    }
}

impl Phone {
    pub(crate) fn udp(proxy: &Proxy, user: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::new(
            user,
            Wire::Udp {
                socket,
                proxy: proxy.udp,
            },
        )
    }

    pub(crate) fn tcp(proxy: &Proxy, user: &str) -> Self {
        let stream = TcpStream::connect(proxy.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::new(
            user,
            Wire::Tcp {
                stream,
                read: Vec::new(),
            },
        )
    }

    fn new(user: &str, wire: Wire) -> Self {
        Self {
            user: user.to_owned(),
            wire,
            cseq: 0,
            branch: 0,
        }
    }

    pub(crate) fn contact(&self) -> String {
        let transport = self.wire.name().to_ascii_lowercase();
        format!(
            "<sip:{}@{};transport={transport}>",
            self.user,
            self.wire.local()
        )
    }

    pub(crate) fn sdp(&self, port: u16) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }

    /// A request with a new branch and CSeq.
    pub(crate) fn request(&mut self, method: &str, uri: &str, call_id: &str, to: &str) -> Sip {
        self.cseq += 1;
        let cseq = self.cseq;
        self.request_with_cseq(method, uri, call_id, to, cseq)
    }

    pub(crate) fn request_with_cseq(
        &mut self,
        method: &str,
        uri: &str,
        call_id: &str,
        to: &str,
        cseq: u32,
    ) -> Sip {
        self.branch += 1;
        let local = self.wire.local();
        let (name, branch) = (self.wire.name(), self.branch);
        Sip::new(&format!("{method} {uri} SIP/2.0"))
            .with(
                "Via",
                &format!(
                    "SIP/2.0/{name} {local};branch=z9hG4bK{}{branch};rport",
                    local.port()
                ),
            )
            .with("Max-Forwards", "70")
            .with(
                "From",
                &format!("<sip:{}@{REALM}>;tag=t{}", self.user, self.user),
            )
            .with("To", to)
            .with("Call-ID", call_id)
            .with("CSeq", &format!("{cseq} {method}"))
            .with("Contact", &self.contact())
    }

    /// Sends a request and answers the challenge to it, if any. Returns what came in the end.
    #[track_caller]
    pub(crate) fn ask(&mut self, make: impl Fn(&mut Self) -> Sip) -> Sip {
        let request = make(self);
        self.wire.send(&request.emit());
        let response = self.final_response();
        if !matches!(response.status(), 401 | 407) {
            return response;
        }
        let again = self.answer_challenge(&request, &response, make);
        self.wire.send(&again.emit());
        self.final_response()
    }

    /// The request once more, with credentials.
    pub(crate) fn answer_challenge(
        &mut self,
        request: &Sip,
        response: &Sip,
        make: impl Fn(&mut Self) -> Sip,
    ) -> Sip {
        let (challenge, answer) = match response.status() {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        if request.is_request("INVITE") {
            self.acknowledge(request, response);
        }
        let credentials = self.credentials(request, response, challenge);
        make(self).with(answer, &credentials)
    }

    /// ACK of a response that is no success: same branch (RFC 3261 §17.1.1.3).
    fn acknowledge(&mut self, invite: &Sip, response: &Sip) {
        let uri = invite.start.split(' ').nth(1).unwrap();
        let cseq = invite.header("CSeq").split(' ').next().unwrap();
        let ack = Sip::new(&format!("ACK {uri} SIP/2.0"))
            .with("Via", invite.header("Via"))
            .with("Max-Forwards", "70")
            .with("From", invite.header("From"))
            .with("To", response.header("To"))
            .with("Call-ID", invite.header("Call-ID"))
            .with("CSeq", &format!("{cseq} ACK"));
        self.wire.send(&ack.emit());
    }

    /// RFC 7616 §3.4.1 with MD5 and qop=auth.
    fn credentials(&self, request: &Sip, response: &Sip, challenge: &str) -> String {
        let challenges = response.all(challenge);
        let md5 = |value: &&&str| parameter(value, "algorithm") == "MD5";
        let challenge = challenges.iter().find(md5).expect("a challenge with MD5");
        let mut words = request.start.split(' ');
        let (method, uri) = (words.next().unwrap(), words.next().unwrap());
        let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
        let user = &self.user;
        let ha1 = md5_hex(&format!("{user}:{realm}:{user}"));
        let ha2 = md5_hex(&format!("{method}:{uri}"));
        let response = md5_hex(&format!("{ha1}:{nonce}:00000001:cn:auth:{ha2}"));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, cnonce=\"cn\", qop=auth, nc=00000001"
        )
    }

    #[track_caller]
    pub(crate) fn register(&mut self) {
        let response = self.ask(|phone| {
            let to = format!("<sip:{}@{REALM}>", phone.user);
            let call_id = format!("reg-{}", phone.user);
            phone
                .request("REGISTER", &format!("sip:{REALM}"), &call_id, &to)
                .with("Expires", "600")
        });
        assert_eq!(response.status(), 200, "{}", response.emit());
    }

    #[track_caller]
    pub(crate) fn final_response(&mut self) -> Sip {
        loop {
            let message = self.wire.receive();
            if message.status() >= 200 {
                return message;
            }
            assert!(
                message.status() >= 100,
                "a request came instead:\n{}",
                message.emit()
            );
        }
    }

    #[track_caller]
    pub(crate) fn expect_request(&mut self, method: &str) -> Sip {
        let message = self.wire.receive();
        assert!(
            message.is_request(method),
            "not {method}:\n{}",
            message.emit()
        );
        message
    }

    #[track_caller]
    pub(crate) fn expect_status(&mut self, status: u16) -> Sip {
        loop {
            let message = self.wire.receive();
            if message.status() == status {
                return message;
            }
            assert_eq!(message.status(), 100, "not {status}:\n{}", message.emit());
        }
    }
}

fn md5_hex(text: &str) -> String {
    md5::Md5::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
