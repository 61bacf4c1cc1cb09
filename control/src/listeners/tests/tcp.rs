//! Messages that follow one another.

use std::collections::BTreeSet;

use super::*;

#[test]
fn requests_cut_anywhere_are_answered() {
    let server = Server::start(&config());
    let both = [PING, b"\r\nc2 {\"command\":\"ping\"}"].concat();
    let mut stream = connect(server.tcp);
    for cut in 1..both.len() {
        for piece in [&both[..cut], &both[cut..]] {
            stream.write_all(piece).unwrap();
        }
        let replies = read_messages(&mut stream, 2);
        assert_eq!(replies, [PONG, b"c2 {\"result\":\"pong\"}"], "{cut}");
    }
    for byte in &both {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(read_messages(&mut stream, 2).len(), 2);
}

#[test]
fn many_requests_at_once_are_all_answered_on_several_connections() {
    const COUNT: usize = 1_000;
    let server = Server::start(&config());
    let cookies: BTreeSet<_> = (0..COUNT).map(|n| format!("k{n}")).collect();
    let requests: String = cookies
        .iter()
        .map(|cookie| format!("{cookie} d7:command4:pinge"))
        .collect();
    let mut streams: Vec<_> = (0..4).map(|_| connect(server.tcp)).collect();
    for stream in &mut streams {
        let mut writer = stream.try_clone().unwrap();
        let requests = requests.clone();
        thread::spawn(move || writer.write_all(requests.as_bytes()).unwrap());
    }
    for stream in &mut streams {
        let replies = read_messages(stream, COUNT);
        let answered = replies.iter().map(|reply| {
            let reply = Message::split(reply).unwrap();
            assert_eq!(reply.body, b"d6:result4:ponge");
            String::from_utf8(reply.cookie.to_vec()).unwrap()
        });
        assert_eq!(answered.collect::<BTreeSet<_>>(), cookies);
    }
    assert_eq!(server.count(|it| &it.undelivered), 0);
}

#[test]
fn who_says_that_it_is_done_is_answered_before_the_end() {
    let server = Server::start(&config());
    let mut stream = connect(server.tcp);
    stream.write_all(&[PING, PING].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), [PONG, PONG].concat());
}

#[test]
fn what_cannot_be_read_is_refused_after_what_can_be() {
    let server = Server::start(&config());
    for (wrong, reply) in [
        (
            &b"c2 hello"[..],
            "c2 d12:error-reason22:Invalid NG data format6:result5:errore",
        ),
        (
            b"c2 d3:sdp70000:v=0",
            "c2 d12:error-reason16:Request too long6:result5:errore",
        ),
    ] {
        let mut stream = connect(server.tcp);
        stream.write_all(&[PING, wrong].concat()).unwrap();
        assert_eq!(read_all(&mut stream), [PONG, reply.as_bytes()].concat());
    }
    let mut stream = connect(server.tcp);
    stream.write_all(&[b'x'; 300]).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(server.count(|it| &it.malformed), 3);
}

#[test]
fn all_over_tcp_are_told_what_nobody_asked_for_and_requests_are_answered_all_the_same() {
    let server = Server::start(&config());
    let mut listener = connect(server.tcp);
    listener.write_all(PING).unwrap();
    assert_eq!(read_messages(&mut listener, 1), [PONG]);
    let mut http = connect(server.http);
    let pong = post(&mut http, "/ng", "", PING);
    let mut asker = connect(server.tcp);
    asker
        .write_all(b"c1 d7:command4:ping8:tell-all1:1e")
        .unwrap();
    // Whoever says that it is done gets its reply, whatever comes before.
    asker.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_messages(&mut asker, 2), [NEWS, PONG]);
    assert_eq!(read_all(&mut asker), b"");
    assert_eq!(read_messages(&mut listener, 1), [NEWS]);
    assert_eq!(post(&mut http, "/ng", "", PING), pong);
    // Who does not read is left out, and loses no reply by it.
    let mut deaf = connect(server.tcp);
    for _ in 0..500 {
        listener
            .write_all(b"c1 d7:command4:ping8:tell-all1:1e")
            .unwrap();
        assert_eq!(read_messages(&mut listener, 2), [NEWS, PONG]);
    }
    deaf.write_all(PING).unwrap();
    deaf.shutdown(Shutdown::Write).unwrap();
    let told = read_all(&mut deaf);
    assert!(told.ends_with(PONG), "{}", String::from_utf8_lossy(&told));
}
