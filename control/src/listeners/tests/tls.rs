//! HTTPS, and WebSocket over it.

use super::*;

/// A server with TLS, the folder of its certificate, and who trusts that.
fn secure_server(change: impl FnOnce(&mut NgConfig)) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = crate::tls::tests::write(folder.path());
    let mut config = NgConfig {
        listen_https: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        tls: Some(files),
        ..config()
    };
    change(&mut config);
    (Server::start(&config), folder)
}

type TlsStream = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// Connects as who trusts the certificate in this folder alone.
fn connect_securely(server: &Server, folder: &std::path::Path) -> io::Result<TlsStream> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = connect(server.https.unwrap());
    let mut stream = rustls::StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

#[test]
fn https_and_secure_web_sockets_answer_as_plain_ones() {
    let (server, folder) = secure_server(|_| ());
    let mut stream = connect_securely(&server, folder.path()).unwrap();
    let head = "POST /ng HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 20\r\n\r\n";
    assert_eq!(PING.len(), 20);
    stream.write_all(&[head.as_bytes(), PING].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(answer.ends_with(PONG), "{}", answer.escape_ascii());
    let stream = connect_securely(&server, folder.path()).unwrap();
    let request = "wss://127.0.0.1/".into_client_request().unwrap();
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    socket.send(tungstenite::Message::binary(PING)).unwrap();
    assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(PONG));
}

#[test]
fn a_certificate_that_is_read_again_holds_for_the_next_connection() {
    let (server, folder) = secure_server(|_| ());
    let mut before = connect_securely(&server, folder.path()).unwrap();
    let tls = server.link.tls.as_ref().unwrap();
    std::fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    assert!(tls.reload().is_err());
    connect_securely(&server, folder.path()).expect("the old one goes on");
    crate::tls::tests::write(folder.path());
    assert!(
        connect_securely(&server, folder.path()).is_err(),
        "it is not in use yet"
    );
    tls.reload().unwrap();
    connect_securely(&server, folder.path()).unwrap();
    before.write_all(b"GET /ping HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    before.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"pong\n"), "who was there stays");
}

#[test]
fn who_does_not_speak_tls_or_says_nothing_is_closed_and_counted() {
    let (server, _folder) = secure_server(|config| {
        config.idle_timeout = Some(Duration::from_millis(50));
    });
    let https = server.https.unwrap();
    let mut stream = connect(https);
    stream
        .write_all(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let answer = read_all(&mut stream);
    assert!(
        !answer.windows(4).any(|it| it == b"pong"),
        "{}",
        answer.escape_ascii()
    );
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = connect(https);
        stream.write_all(begun).unwrap();
        assert_eq!(read_all(&mut stream), b"");
    }
    // They are counted when they are gone already.
    server.wait_for(|it| &it.tls_failed, 1);
    server.wait_for(|it| &it.idle, 2);
}

#[test]
fn a_stranger_sees_no_certificate() {
    let (server, folder) = secure_server(|config| {
        config.allow = vec!["192.0.2.0/24".parse().unwrap()];
    });
    assert!(connect_securely(&server, folder.path()).is_err());
    assert_eq!(server.count(|it| &it.strangers), 1);
    assert_eq!(server.count(|it| &it.tls_failed), 0);
}
