use super::*;

const MAX: usize = 1_000;

/// All messages of a stream that arrives in pieces of this length.
fn divide(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Result<usize, FrameError>) {
    let mut framer = Framer::new(MAX);
    let mut messages = Vec::new();
    for piece in stream.chunks(piece) {
        framer.push(piece);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(framer.pending_bytes()))
}

#[test]
fn messages_are_found_however_the_stream_is_cut() {
    let messages: [&[u8]; 6] = [
        b"c1 d7:command4:pinge",
        b"c2 {\"command\":\"ping\",\"x\":[{\"y\":\"}\\\"]\\\\\"}]}",
        b"c3 de",
        b"c4 d3:sdp12:e e d}\" 55:x1:ld0:i-3eee",
        b"c5 {}",
        b"c6 d1:a0:1:b10:0123456789e",
    ];
    let joined = messages.concat();
    let apart = [b"\r\n ", messages.join(&b"\r\n"[..]).as_slice(), b"\n"].concat();
    for stream in [&joined, &apart] {
        for piece in 1..=stream.len() {
            let (found, end) = divide(stream, piece);
            assert_eq!(found, messages, "pieces of {piece}");
            assert_eq!(end, Ok(0));
        }
    }
}

#[test]
fn a_message_that_is_cut_anywhere_is_waited_for() {
    let stream = b"c d3:sdp4:v=0\n1:xli1ei-2eee";
    for len in 0..stream.len() {
        let (found, end) = divide(&stream[..len], 3);
        assert!(found.is_empty());
        assert_eq!(end, Ok(len), "{len}");
    }
}

#[test]
fn what_cannot_be_divided_is_an_error_as_soon_as_it_is_known() {
    let long = [b"c d3:sdp", "9".repeat(400).as_bytes(), b":"].concat();
    for (stream, error) in [
        (&b"c x"[..], FrameError::Document),
        (b"c ", FrameError::Document),
        (b"c i1e", FrameError::Document),
        (b"c dx", FrameError::Document),
        (b"c di1x", FrameError::Document),
        (b"c d1x", FrameError::Document),
        (b"c d3:sdp9999:", FrameError::TooLong),
        (&long, FrameError::TooLong),
        (&[b'x'; 300], FrameError::LongCookie),
    ] {
        let complete = [stream, b"!"].concat();
        assert_eq!(divide(&complete, 1).1, Err(error), "{complete:?}");
    }
    let endless = [&b"c {\"a\":\""[..], &[b'x'; MAX]].concat();
    assert_eq!(divide(&endless, 7).1, Err(FrameError::TooLong));
    let nested = [&b"c d1:a"[..], &[b'l'; MAX]].concat();
    assert_eq!(divide(&nested, 7).1, Err(FrameError::TooLong));
}

#[test]
fn nothing_is_found_behind_an_error() {
    let mut framer = Framer::new(MAX);
    framer.push(b"c d7:command4:pinge x ? ");
    assert!(matches!(framer.next_message(), Ok(Some(_))));
    assert_eq!(framer.next_message(), Err(FrameError::Document));
    framer.push(b"c d7:command4:pinge");
    assert_eq!(framer.next_message(), Err(FrameError::Document));
    assert_eq!(framer.pending_bytes(), b" x ? ".len() - 1);
}

#[test]
fn the_cookie_of_what_is_wrong_is_known() {
    let mut framer = Framer::new(MAX);
    framer.push(b"c1 dec2");
    assert!(matches!(framer.next_message(), Ok(Some(_))));
    assert_eq!(framer.next_message(), Ok(None));
    assert_eq!(framer.cookie(), None);
    framer.push(b"2 hello");
    assert_eq!(framer.next_message(), Err(FrameError::Document));
    assert_eq!(framer.cookie(), Some(&b"c22"[..]));
}

#[test]
fn a_message_may_be_as_long_as_is_allowed_and_no_longer() {
    let message = |len: usize| format!("c d3:sdp{}:{}e", len, "x".repeat(len)).into_bytes();
    let room = MAX - (message(100).len() - 100);
    let longest = message(room);
    assert_eq!(longest.len(), MAX);
    assert_eq!(divide(&longest, 64).0.len(), 1);
    assert_eq!(divide(&message(room + 1), 64).1, Err(FrameError::TooLong));
}

#[test]
fn white_space_without_end_takes_no_memory() {
    let mut framer = Framer::new(MAX);
    for _ in 0..100 {
        framer.push(&[b'\n'; MAX]);
        assert_eq!(framer.next_message(), Ok(None));
        assert_eq!(framer.pending_bytes(), 0);
    }
    assert!(framer.buffer.capacity() <= 4 * MAX);
}
