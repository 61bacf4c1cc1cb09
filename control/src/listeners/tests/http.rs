//! Requests over HTTP, and who may make them.

use super::*;

#[test]
fn http_answers_on_one_connection() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    assert!(get(stream, "/ping").starts_with("http/1.1 200"));
    let metrics = get(stream, "/metrics");
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(metrics.ends_with("\r\n\r\ntandem_calls 0\n"), "{metrics}");
    let ng = post(stream, "/ng", "", PING);
    assert!(
        ng.contains("content-type: application/x-rtpengine-ng"),
        "{ng}"
    );
    assert!(ng.ends_with("\r\n\r\nc1 d6:result4:ponge"), "{ng}");
    let json = b"c2 {\"command\":\"list\"}";
    assert!(post(stream, "/ng", "", json).ends_with("c2 {\"calls\":[],\"result\":\"ok\"}"));
    let plain = post(stream, "/ng-plain", "", b"{\"command\":\"ping\"}");
    assert!(plain.contains("content-type: application/json"), "{plain}");
    assert!(plain.ends_with("\r\n\r\n{\"result\":\"pong\"}"), "{plain}");
    let plain = post(stream, "/ng-plain", "", b"d7:command4:pinge");
    assert!(plain.ends_with("\r\n\r\nd6:result4:ponge"), "{plain}");
    let chunked = b"POST /ng-plain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        8\r\nd7:comma\r\n9\r\nnd4:pinge\r\n0\r\n\r\n";
    assert!(exchange(stream, chunked).ends_with("\r\n\r\nd6:result4:ponge"));
}

#[test]
fn http_says_what_is_wrong() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    for (path, status) in [("/", "404"), ("/ng", "405"), ("/admin", "404")] {
        assert!(
            get(stream, path).starts_with(&format!("http/1.1 {status}")),
            "{path}"
        );
    }
    assert!(post(stream, "/ng", "", b"nonsense").starts_with("http/1.1 400"));
    assert!(post(stream, "/ng", "", b"c x").contains("Invalid NG data format"));
    assert!(post(stream, "/metrics", "", b"").starts_with("http/1.1 405"));
    // The command line is the core's, like any other command.
    let cli = get(stream, "/cli/list/numsessions");
    assert!(
        cli.starts_with("http/1.1 501") || cli.starts_with("http/1.1 200"),
        "{cli}"
    );
    let long = vec![b'x'; REQUEST_BYTES_MAX + 1];
    let head = format!(
        "POST /ng HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        long.len()
    );
    assert!(exchange(stream, head.as_bytes()).starts_with("http/1.1 413"));
    let stream = &mut connect(server.http);
    stream.write_all(b"\x16\x03\x01 no HTTP\r\n\r\n").unwrap();
    assert!(read_all(stream).starts_with(b"HTTP/1.1 400"));
}

#[test]
fn a_body_in_pieces_is_put_together_and_counts_as_one() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    let head = b"POST /ng HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |byte: &u8| [b"1\r\n", &[*byte][..], b"\r\n"].concat();
    let chunks = |body: &[u8]| body.iter().map(chunk).collect::<Vec<_>>().concat();
    let end = b"0\r\n\r\n";
    let request = [&head[..], &chunks(PING), end].concat();
    assert!(exchange(stream, &request).ends_with("\r\n\r\nc1 d6:result4:ponge"));
    // Up to the byte that is too much, so that nothing is left unread.
    let long = chunks(&vec![b'x'; REQUEST_BYTES_MAX + 1]);
    let long = long.strip_suffix(b"\r\n").unwrap();
    assert!(exchange(stream, &[&head[..], long].concat()).starts_with("http/1.1 413"));
}

#[test]
fn who_leaves_in_the_middle_has_said_nothing_wrong() {
    let server = Server::start(&config());
    for begun in ["", "POST /ng HT", "GET /ping HTTP/1.1\r\n"] {
        let mut stream = connect(server.http);
        stream.write_all(begun.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&mut stream);
    }
    let mut stream = connect(server.http);
    stream.write_all(b"\x16\x03\x01 no HTTP\r\n\r\n").unwrap();
    read_all(&mut stream);
    server.wait_for(|it| &it.malformed, 1);
}

#[test]
fn a_line_in_a_path_is_read_as_it_is_written() {
    let read = crate::listeners::http::command_line;
    for (path, line) in [
        ("list/sessions/all", "list sessions all"),
        ("list+sessions%20all", "list sessions all"),
        ("a%2Fb%2fc", "a/b/c"),
        ("a%", "a%"),
        ("a%4", "a%4"),
        ("a%+5", "a% 5"),
        ("a%zz", "a%zz"),
    ] {
        assert_eq!(read(path), line.as_bytes(), "{path}");
    }
}

#[test]
fn a_page_of_another_site_is_refused() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    for (origin, status) in [
        ("http://relay", "403"),
        ("https://example.com", "403"),
        ("null", "403"),
    ] {
        let origin = format!("Origin: {origin}\r\n");
        let answer = post(stream, "/ng", &origin, PING);
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")),
            "{origin}{answer}"
        );
    }
}

#[test]
fn what_changes_something_is_not_done_for_a_picture_of_a_page() {
    let server = Server::start(&config());
    let stream = &mut connect(server.http);
    let mut ask = |path: &str, more: &str| {
        let host = server.http;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        exchange(stream, request.as_bytes())
    };
    let browser = "User-Agent: Mozilla/5.0\r\n";
    for path in [
        "/cli/terminate/all",
        "/cli/+set+maxsessions+0",
        "/cli/call/x/%74erminate",
        "/cli/%0bterminate/all",
        "/cli/%C2%A0set/maxsessions/0",
        "/cli/call/x/terminate%0B",
    ] {
        assert!(ask(path, browser).starts_with("http/1.1 405"), "{path}");
        assert!(ask(path, "").starts_with("http/1.1 200"), "{path}");
    }
    assert!(ask("/cli/list/numsessions", browser).starts_with("http/1.1 200"));
    let elsewhere = "Sec-Fetch-Site: cross-site\r\n";
    assert!(ask("/cli/list/numsessions", elsewhere).starts_with("http/1.1 403"));
}

#[test]
fn who_may_read_metrics_may_do_nothing_else() {
    let server = Server::start(&NgConfig {
        allow: Vec::new(),
        metrics_allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..config()
    });
    let stream = &mut connect(server.http);
    assert!(get(stream, "/metrics").starts_with("http/1.1 200"));
    assert!(get(stream, "/ping").starts_with("http/1.1 200"));
    assert!(get(stream, "/cli/list").starts_with("http/1.1 403"));
    assert!(post(stream, "/ng", "", PING).starts_with("http/1.1 403"));
    assert!(post(stream, "/ng-plain", "", b"d7:command4:pinge").starts_with("http/1.1 403"));
    assert!(web_socket(&server, Some("ng.rtpengine.com")).is_err());
    assert_eq!(read_all(&mut connect(server.tcp)), b"");
}
