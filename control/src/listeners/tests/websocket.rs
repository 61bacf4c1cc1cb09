//! What is spoken over WebSocket.

use super::*;

#[test]
fn a_web_socket_speaks_what_was_agreed() {
    use tungstenite::Message;

    let server = Server::start(&config());
    for protocol in [
        None,
        Some("ng.rtpengine.com"),
        Some("janus-protocol, ng.rtpengine.com"),
    ] {
        let mut socket = web_socket(&server, protocol).unwrap();
        assert_eq!(
            say(&mut socket, Message::binary(PING)),
            Message::binary(PONG)
        );
        let text = Message::text(String::from_utf8(PING.to_vec()).unwrap());
        assert_eq!(say(&mut socket, text), Message::binary(PONG));
        let json = Message::text("c2 {\"command\":\"ping\"}");
        assert_eq!(
            say(&mut socket, json),
            Message::text("c2 {\"result\":\"pong\"}")
        );
        // Several at once.
        for _ in 0..200 {
            socket.write(Message::binary(PING)).unwrap();
        }
        socket.flush().unwrap();
        for _ in 0..200 {
            assert_eq!(socket.read().unwrap(), Message::binary(PONG));
        }
    }
    let mut plain = web_socket(&server, Some("ng-plain.rtpengine.com")).unwrap();
    let reply = say(&mut plain, Message::binary(&b"d7:command4:pinge"[..]));
    assert_eq!(reply, Message::binary(&b"d6:result4:ponge"[..]));
    let mut echo = web_socket(&server, Some("echo.rtpengine.com")).unwrap();
    for message in [Message::text("h\u{e9}"), Message::binary(vec![0, 255])] {
        assert_eq!(say(&mut echo, message.clone()), message);
    }
    let mut cli = web_socket(&server, Some("cli.rtpengine.com")).unwrap();
    let answer = say(&mut cli, Message::text("list numsessions"));
    assert!(!answer.is_empty());
    assert!(web_socket(&server, Some("janus-protocol")).is_err());
}

#[test]
fn a_web_socket_that_says_too_much_is_closed() {
    let server = Server::start(&config());
    let mut socket = web_socket(&server, None).unwrap();
    let _ = socket.send(tungstenite::Message::binary(vec![
        b'x';
        2 * REQUEST_BYTES_MAX
    ]));
    assert!(!matches!(
        socket.read(),
        Ok(tungstenite::Message::Binary(_))
    ));
    let mut socket = web_socket(&server, None).unwrap();
    assert_eq!(
        say(&mut socket, tungstenite::Message::binary(PING)),
        tungstenite::Message::binary(PONG),
        "others go on"
    );
}

#[test]
fn a_web_socket_is_asked_whether_it_is_there() {
    let server = Server::start(&NgConfig {
        idle_timeout: Some(Duration::from_millis(100)),
        ..config()
    });
    // Nothing is read, so no ping is answered.
    let socket = web_socket(&server, None).unwrap();
    let mut stream = socket.get_ref().try_clone().unwrap();
    let all = read_all(&mut stream);
    assert!(all.starts_with(&[0x89, 0]), "a ping comes first: {all:?}");
}
