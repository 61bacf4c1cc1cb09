//! `tandem ng` against a server that is not ours.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::{Place, assert_snapshot};

/// Answers so many datagrams, each by a function of its cookie and body, and returns them.
fn serve(
    count: usize,
    answer: impl Fn(&str, &str) -> Option<String> + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let address = socket.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut heard = Vec::new();
        let mut buffer = vec![0; 65_535];
        while heard.len() < count {
            let (len, client) = socket.recv_from(&mut buffer).unwrap();
            let datagram = String::from_utf8(buffer[..len].to_vec()).unwrap();
            let (cookie, body) = datagram.split_once(' ').unwrap();
            if let Some(reply) = answer(cookie, body) {
                socket.send_to(reply.as_bytes(), client).unwrap();
            }
            heard.push(datagram);
        }
        heard
    });
    (address, server)
}

fn ng(place: &Place, server: SocketAddr, arguments: &[&str]) -> harness::Ran {
    let server = server.to_string();
    let all = [&["ng"], arguments, &["--server", &server]].concat();
    place.run(&all)
}

#[test]
fn pings() {
    let place = Place::new("");
    let (server, heard) = serve(1, |cookie, _| Some(format!("{cookie} d6:result4:ponge")));
    assert_eq!(ng(&place, server, &["ping"]).ok(), "pong\n");
    let heard = heard.join().unwrap();
    assert!(heard[0].ends_with(" d7:command4:pinge"), "{heard:?}");
}

#[test]
fn an_offer_carries_flags_and_settings_and_its_sdp_comes_back_alone() {
    let place = Place::new("");
    std::fs::write(place.path("offer.sdp"), "v=0\ns=-\n").unwrap();
    let (server, heard) = serve(1, |cookie, _| {
        Some(format!(
            "{cookie} d3:sdp10:v=0\r\ns=x\r\n7:warning4:odd!6:result2:oke"
        ))
    });
    let ran = ng(
        &place,
        server,
        &[
            "offer",
            "--call-id",
            "c1",
            "--from-tag",
            "a",
            "--sdp",
            "offer.sdp",
            "--flag",
            "trust-address",
            "--flag",
            "loop-protect",
            "--set",
            "ICE=remove",
            "--set",
            "replace=[origin]",
        ],
    );
    assert!(ran.err.contains("warning of the server: odd!"), "{ran:?}");
    assert_eq!(ran.ok(), "v=0\r\ns=x\r\n");
    let heard = heard.join().unwrap().remove(0);
    let (_, body) = heard.split_once(' ').unwrap();
    assert_eq!(
        body,
        "d7:command5:offer7:call-id2:c18:from-tag1:a5:flagsl13:trust-address12:loop-protecte\
         3:ICE6:remove7:replacel6:origine3:sdp10:v=0\r\ns=-\r\ne"
    );
}

#[test]
fn an_answer_takes_its_sdp_from_standard_input() {
    let place = Place::new("");
    let (server, heard) = serve(1, |cookie, _| {
        Some(format!("{cookie} d3:sdp5:v=0\r\n6:result2:oke"))
    });
    let server = server.to_string();
    let arguments = [
        "ng",
        "answer",
        "--call-id",
        "c1",
        "--from-tag",
        "a",
        "--to-tag",
        "b",
        "--server",
        &server,
    ];
    assert_eq!(place.run_with_input(&arguments, "v=0\r\n").ok(), "v=0\r\n");
    let heard = heard.join().unwrap();
    assert!(
        heard[0].contains("8:from-tag1:a6:to-tag1:b3:sdp5:v=0\r\n"),
        "{heard:?}"
    );
    let empty = place.run_with_input(&arguments, "");
    empty.failed(2, "the SDP in - is empty");
}

#[test]
fn a_request_is_repeated_byte_for_byte_until_the_right_reply_comes() {
    let place = Place::new("");
    let count = std::sync::atomic::AtomicUsize::new(0);
    let (server, heard) = serve(3, move |cookie, _| {
        match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => None,
            1 => Some("another d6:result4:ponge".to_owned()),
            _ => Some(format!("{cookie} d6:result4:ponge")),
        }
    });
    assert_eq!(ng(&place, server, &["ping"]).ok(), "pong\n");
    let heard = heard.join().unwrap();
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
}

#[test]
fn refusals_silence_and_nonsense_have_their_own_exit_codes() {
    let place = Place::new("");
    let refusal = "d6:result5:error12:error-reason15:Unknown call-ide";
    let (server, _heard) = serve(1, move |cookie, _| Some(format!("{cookie} {refusal}")));
    let query = ["query", "--call-id", "c9"];
    ng(&place, server, &query).failed(1, "the server refused: Unknown call-id");
    let (server, _heard) = serve(1, |cookie, _| Some(format!("{cookie} nonsense")));
    ng(&place, server, &["ping"]).failed(1, "makes no sense");
    let (server, _heard) = serve(9, |_, _| None);
    let ran = ng(&place, server, &["ping", "--timeout", "600"]);
    ran.failed(3, "no answer from the ng server");
}

#[test]
fn counts_are_outlined_for_people_and_json_for_programs() {
    let place = Place::new("");
    let reply = "d7:createdi1795219200e4:tagsd1:ad6:mediasld5:indexi1e7:streamsl\
        d10:local porti30000e5:flagsl3:RTPe5:statsd7:packetsi50eeeeeeee6:result2:oke";
    let (server, _heard) = serve(2, move |cookie, _| Some(format!("{cookie} {reply}")));
    let query = ["query", "--call-id", "c1"];
    assert_snapshot("ng-query", &ng(&place, server, &query).ok());
    let json = ng(&place, server, &["query", "--call-id", "c1", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["tags"]["a"]["medias"][0]["streams"][0]["stats"]["packets"],
        50
    );
}

#[test]
fn calls_are_named() {
    let place = Place::new("");
    let (server, heard) = serve(1, |cookie, _| {
        Some(format!("{cookie} d5:callsl2:c12:c2e6:result2:oke"))
    });
    assert_eq!(
        ng(&place, server, &["list", "--limit", "5"]).ok(),
        "c1\nc2\n"
    );
    assert!(heard.join().unwrap()[0].ends_with(" d7:command4:list5:limiti5ee"));
}

/// Accepts one connection, which `talk` has with the client.
fn serve_stream(talk: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        talk(stream);
    });
    (address, server)
}

/// Reads until what has come ends so.
fn read_to(stream: &mut impl Read, end: &str) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        heard.extend(byte);
    }
    String::from_utf8(heard).unwrap()
}

#[test]
fn asks_over_tcp_and_joins_the_pieces_of_the_reply() {
    let place = Place::new("");
    let (server, talk) = serve_stream(|mut stream| {
        let heard = read_to(&mut stream, " d7:command4:pinge");
        let cookie = heard.split_once(' ').unwrap().0;
        let replies = format!("other d6:result2:oke{cookie} d6:result4:ponge");
        for piece in replies.as_bytes().chunks(3) {
            stream.write_all(piece).unwrap();
        }
    });
    let server = format!("tcp://{server}");
    let ran = place.run(&["ng", "ping", "--server", &server]);
    assert_eq!(ran.ok(), "pong\n");
    talk.join().unwrap();
}

#[test]
fn asks_over_http() {
    let place = Place::new("");
    let (server, talk) = serve_stream(|mut stream| answer_http(&mut stream));
    let server = format!("http://{server}");
    let ran = place.run(&["ng", "ping", "--server", &server]);
    assert_eq!(ran.ok(), "pong\n");
    talk.join().unwrap();
}

#[test]
fn a_server_that_hangs_up_or_is_not_there_is_told_with_its_name() {
    let place = Place::new("");
    let (server, talk) = serve_stream(drop);
    let named = format!("tcp://{server}");
    let ran = place.run(&["ng", "ping", "--server", &named]);
    ran.failed(3, &format!("cannot ask the ng server at {named}"));
    talk.join().unwrap();
    for scheme in ["tcp", "http", "ws"] {
        let named = format!("{scheme}://{server}");
        let ran = place.run(&["ng", "ping", "--server", &named]);
        ran.failed(3, &format!("nothing listens for ng at {named}"));
    }
    let ran = place.run(&["ng", "ping", "--server", "pbx"]);
    ran.failed(2, "tcp://ADDRESS:PORT");
}

/// Accepts one connection over TLS, as `name`, and answers a ping as HTTP or WebSocket has it. The
/// certificate is in `ca.pem` of the place.
fn serve_securely(place: &Place, name: &str, is_http: bool) -> (SocketAddr, JoinHandle<()>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(place.path("ca.pem"), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    serve_stream(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        // One who does not trust us is gone by then.
        if stream.flush().is_err() || stream.conn.is_handshaking() {
            return;
        }
        match is_http {
            true => answer_http(&mut stream),
            false => answer_web_socket(stream),
        }
    })
}

/// Answers a ping that came as HTTP has it.
fn answer_http(stream: &mut (impl Read + Write)) {
    let head = read_to(stream, "\r\n\r\n");
    assert!(head.starts_with("POST /ng HTTP/1.1\r\n"), "{head}");
    let heard = read_to(stream, " d7:command4:pinge");
    let cookie = heard.split_once(' ').unwrap().0;
    let body = format!("{cookie} d6:result4:ponge");
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{body}"
    )
    .unwrap();
    stream.flush().unwrap();
}

fn answer_web_socket(stream: impl Read + Write) {
    let mut socket = tungstenite::accept_hdr(stream, agree)
        .map_err(|_| ())
        .unwrap();
    let heard = socket.read().unwrap().into_data();
    let cookie = heard.split(|byte| *byte == b' ').next().unwrap();
    let reply = [cookie, b" d6:result4:ponge"].concat();
    socket.send(tungstenite::Message::binary(reply)).unwrap();
    // Until the client has gone.
    let _ = socket.read();
}

#[expect(
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    reason = "the library's type of callback"
)]
fn agree(
    request: &tungstenite::handshake::server::Request,
    mut response: tungstenite::handshake::server::Response,
) -> Result<tungstenite::handshake::server::Response, tungstenite::handshake::server::ErrorResponse>
{
    let name = tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
    let asked = request.headers()[&name].clone();
    response.headers_mut().insert(name, asked);
    Ok(response)
}

#[test]
fn asks_over_tls() {
    let place = Place::new("");
    for (scheme, is_http) in [("https", true), ("wss", false)] {
        let (server, talk) = serve_securely(&place, "127.0.0.1", is_http);
        let server = format!("{scheme}://{server}");
        let ran = place.run(&["ng", "ping", "--server", &server, "--ca", "ca.pem"]);
        assert_eq!(ran.ok(), "pong\n");
        talk.join().unwrap();
    }
}

#[test]
fn a_server_that_cannot_be_trusted_is_told_with_the_cure() {
    let place = Place::new("");
    for (scheme, is_http) in [("https", true), ("wss", false)] {
        let ask = |server: SocketAddr| {
            let server = format!("{scheme}://{server}");
            place.run(&["ng", "ping", "--server", &server, "--ca", "trusted.pem"])
        };
        let (server, talk) = serve_securely(&place, "pbx.example", is_http);
        std::fs::copy(place.path("ca.pem"), place.path("trusted.pem")).unwrap();
        ask(server).failed(3, "its certificate is for other names");
        talk.join().unwrap();
        let (server, talk) = serve_securely(&place, "127.0.0.1", is_http);
        ask(server).failed(3, "nobody that is trusted here signed its certificate");
        talk.join().unwrap();
        let (server, talk) = serve_stream(|mut stream| {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
            // Until the client has had enough: to close with something unread would reset it.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        ask(server).failed(3, "it does not speak TLS there");
        talk.join().unwrap();
    }
    let server = "https://127.0.0.1:9";
    let ran = place.run(&["ng", "ping", "--server", server, "--ca", "none.pem"]);
    ran.failed(2, "name a file of certificates with --ca");
    let ran = place.run(&["ng", "ping", "--server", server, "--ca", "tandem.toml"]);
    ran.failed(2, "there is no certificate in PEM");
}

#[test]
fn any_command_can_be_sent() {
    let place = Place::new("");
    let (server, heard) = serve(1, |cookie, _| Some(format!("{cookie} d6:result2:oke")));
    let arguments = [
        "request",
        "block media",
        "--call-id",
        "c1",
        "--from-tag",
        "a",
        "--set",
        "label=x",
    ];
    assert_eq!(ng(&place, server, &arguments).ok(), "result: ok\n");
    let heard = heard.join().unwrap();
    let expected = " d7:command11:block media7:call-id2:c18:from-tag1:a5:label1:xe";
    assert!(heard[0].ends_with(expected), "{heard:?}");
}
