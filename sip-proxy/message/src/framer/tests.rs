use super::*;

const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody";

/// Reads `pieces` one after the other; a frame as text, an error as its text.
fn read(pieces: &[&[u8]]) -> Vec<String> {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    for piece in pieces {
        if let Err(error) = framer.push(piece) {
            found.push(error.to_string());
            return found;
        }
        loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(bytes))) => {
                    found.push(String::from_utf8_lossy(bytes).into_owned())
                }
                Ok(Some(Frame::Ping)) => found.push("ping".to_owned()),
                Ok(Some(Frame::Pong)) => found.push("pong".to_owned()),
                Ok(None) => break,
                Err(error) => {
                    found.push(error.to_string());
                    return found;
                }
            }
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn cuts_messages_wherever_the_reads_end() {
    let stream = [OPTIONS, OPTIONS, b"\r\n", OPTIONS].concat();
    let whole = read(&[&stream]);
    assert_eq!(
        whole,
        [
            text(OPTIONS),
            text(OPTIONS),
            "pong".to_owned(),
            text(OPTIONS)
        ]
    );
    for len in 1..stream.len() {
        let pieces: Vec<_> = stream.chunks(len).collect();
        assert_eq!(read(&pieces), whole, "pieces of {len}");
    }
}

#[test]
fn keep_alives_are_told_apart_even_if_torn() {
    assert_eq!(read(&[b"\r\n\r\n"]), ["ping"]);
    assert_eq!(read(&[b"\r\n"]), ["pong"]);
    assert_eq!(read(&[b"\r", b"\n"]), ["pong"]);
    assert_eq!(read(&[b"\r\n\r", b"\n"]), ["pong", "ping"]);
    assert_eq!(read(&[b"\r\n\r\n\r\n\r\n"]), ["ping", "ping"]);
    assert_eq!(
        read(&[b"\r\n", OPTIONS, b"\r\n"]),
        ["pong", &text(OPTIONS), "pong"]
    );
}

#[test]
fn length_in_any_form_counts() {
    for field in [
        "l:4",
        "CONTENT-LENGTH : 4",
        "Content-Length:\r\n 4",
        "l: 0004\r\nX: y",
    ] {
        let message = format!("OPTIONS sip:a SIP/2.0\r\n{field}\r\n\r\nbody");
        assert_eq!(
            read(&[message.as_bytes(), OPTIONS]),
            [message.clone(), text(OPTIONS)]
        );
    }
}

#[test]
fn closes_when_nobody_can_know_the_end() {
    for fields in [
        "",
        "X: y\r\n",
        "l: 4\r\nl: 4\r\n",
        "l: 4\r\nContent-Length: 5\r\n",
        "l: -4\r\n",
        "l: four\r\n",
        "l:\r\n",
        "l: 4, 4\r\n",
        "l: +4\r\n",
        "l: 4\r\nX\n: y\r\n",
        "l: 4\r\nX: \ry\r\n",
        "l: 4\r\nX: \0y\r\n",
        " l: 4\r\n",
        "l: 4\r\nno colon\r\n",
    ] {
        let message = format!("OPTIONS sip:a SIP/2.0\r\n{fields}\r\nbody");
        assert_eq!(
            read(&[message.as_bytes()]),
            ["no usable Content-Length"],
            "{fields:?}"
        );
    }
}

#[test]
fn sees_other_protocols_off() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET / HTTP/1.1\r\n",
        b"\n",
        b"\0",
        b" OPTIONS sip:a SIP/2.0\r\n",
        b"OPTIONS sip:a\r\n",
    ] {
        assert_eq!(read(&[bytes]), ["not SIP"], "{}", text(bytes));
    }
}

#[test]
fn nothing_grows_without_end() {
    let line = [b'a'; 4_096];
    let many = vec![&line[..]; 20];
    assert_eq!(read(&many), ["message too long"]);
    let huge = b"OPTIONS sip:a SIP/2.0\r\nl: 65535\r\n\r\n";
    assert_eq!(read(&[huge]), ["message too long"]);
    let overflow = b"OPTIONS sip:a SIP/2.0\r\nl: 4294967295\r\n\r\n";
    assert_eq!(read(&[overflow]), ["message too long"]);
    let mut framer = Framer::new();
    framer.push(&[b'a'; MESSAGE_LEN_MAX + 1]).unwrap();
    assert_eq!(framer.push(b"a"), Err(FrameError::TooLong), "nobody polled");
}

#[test]
fn a_failed_stream_stays_failed() {
    let mut framer = Framer::new();
    framer.push(b"\0").unwrap();
    assert_eq!(framer.poll_frame(), Err(FrameError::NotSip));
    assert_eq!(framer.poll_frame(), Err(FrameError::NotSip));
    assert_eq!(framer.push(OPTIONS), Err(FrameError::NotSip));
}

#[test]
fn longest_message_fits() {
    let head = format!("INFO sip:a SIP/2.0\r\nl: {}\r\n\r\n", MESSAGE_LEN_MAX - 32);
    assert_eq!(head.len(), 32);
    let message = [head.as_bytes(), &vec![b'x'; MESSAGE_LEN_MAX - 32]].concat();
    let mut framer = Framer::new();
    for piece in message.chunks(9_000) {
        assert_eq!(framer.poll_frame(), Ok(None));
        framer.push(piece).unwrap();
    }
    assert_eq!(framer.poll_frame(), Ok(Some(Frame::Message(&message))));
    assert_eq!(framer.pending_len(), 0);
    assert!(crate::Message::parse(&message).is_ok());
}
