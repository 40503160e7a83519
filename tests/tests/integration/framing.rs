//! HTTP/1.1 framing and persistence (RFC 9112 sections 6 to 9), byte by byte.

use std::sync::mpsc;

use ringway_tests::{Backend, Client, Gateway};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::replies(|head, body| {
        let text = format!("{}{}", head.target(), body.len());
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
         POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for wanted in ["/10", "/23", "/34", "/40"] {
        let (head, body) = client.response();
        assert_eq!((head.status(), String::from_utf8_lossy(&body).as_ref()), (200, wanted));
    }
}

#[test]
fn a_head_may_arrive_a_byte_at_a_time() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.response().1, b"ok");
    assert_eq!(backend.only().1, b"abc");
}

#[test]
fn http_1_0_gets_no_chunks_and_a_closed_connection() {
    let backend =
        Backend::replies(|_, _| "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned());
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status(), head.field("transfer-encoding")), (200, None));
    assert_eq!(client.rest(), b"ok");
}

#[test]
fn http_1_0_keeps_the_connection_when_it_asks_to() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let (head, body) = client.response();
        assert!(head.has("connection", "keep-alive"), "{head:?}");
        assert_eq!(body, b"ok");
    }
}

#[test]
fn connection_close_is_obeyed_and_said() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (head, body) = client.response();
    assert!(head.has("connection", "close"), "{head:?}");
    assert_eq!(body, b"ok");
    client.expect_end();
}

#[test]
fn a_client_that_expects_100_gets_it_from_the_backend_or_the_gateway() {
    let backend = Backend::scripted(|peer, _| {
        let head = peer.head();
        if head.has("expect", "100-continue") {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        assert_eq!(peer.body(&head), b"hello");
        peer.send(OK);
    });
    let gateway = Gateway::before(&backend.target());
    gateway.connect().talk(
        r"> PUT / HTTP/1.1
          > Host: a
          > Expect: 100-continue
          > Content-Length: 5
          >
          < HTTP/1.1 100 Continue
          <
          > hello\
          < HTTP/1.1 200 OK
          < ...
          <
          < ok\",
    );
}

#[test]
fn a_refusal_before_the_body_was_sent_reaches_a_client_that_waits_for_100() {
    let backend = Backend::conversation(
        r"> PUT / HTTP/1.1
          > ...
          >
          < HTTP/1.1 413 Too Much
          < Content-Length: 0
          < Connection: close
          <",
    );
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut head = client.head();
    if head.status() == 100 {
        // The gateway may say 100 for itself; then the body is under way, and must do no harm.
        client.send("hello");
        head = client.head();
    }
    assert_eq!(head.status(), 413);
}

#[test]
fn interim_responses_pass() {
    let backend = Backend::conversation(
        r"> GET / HTTP/1.1
          > ...
          >
          < HTTP/1.1 103 Early Hints
          < Link: </a.css>; rel=preload
          <
          < HTTP/1.1 200 OK
          < Content-Length: 2
          <
          < ok\",
    );
    let gateway = Gateway::before(&backend.target());
    gateway.connect().talk(
        r"> GET / HTTP/1.1
          > Host: a
          >
          < HTTP/1.1 103 Early Hints
          < ...
          < Link: </a.css>; rel=preload
          < ...
          <
          < HTTP/1.1 200 OK
          < ...
          <
          < ok\",
    );
}

#[test]
fn responses_without_a_body_leave_the_connection_in_step() {
    let backend = Backend::replies(|head, _| {
        match head.target() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: \"a\"\r\n\r\n",
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
            "/head-chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            _ => OK,
        }
        .to_owned()
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    for (method, target, status) in
        [("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/head", 200), ("HEAD", "/head-chunked", 200)]
    {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        assert_eq!(head.status(), status, "{method} {target}");
        if target == "/head" {
            assert_eq!(head.field("content-length"), Some("100"));
        }
        if status == 204 {
            assert_eq!((head.field("content-length"), head.field("transfer-encoding")), (None, None));
        }
        // Were there a body, it would be taken for the head of this one.
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().1, b"ok", "after {method} {target}");
    }
    assert_eq!(backend.connections(), 1, "the backend's connection stays in step too");
}

#[test]
fn a_response_that_ends_with_its_connection_is_chunked_for_the_client() {
    let backend = Backend::conversation(
        r"> GET / HTTP/1.1
          > ...
          >
          < HTTP/1.1 200 OK
          <
          < all that there is\",
    );
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert!(head.has("transfer-encoding", "chunked"), "{head:?}");
    assert_eq!(client.chunks().0, b"all that there is");
}

#[test]
fn a_truncated_response_is_never_made_whole() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this",
    ] {
        let backend = Backend::scripted(move |peer, _| {
            peer.head();
            peer.send(response);
        });
        let gateway = Gateway::before(&backend.target());
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head();
        let rest = client.rest();
        assert_eq!(head.status(), 200);
        if let Some(length) = head.field("content-length") {
            assert!(rest.len() < length.parse().unwrap(), "{response}");
        } else {
            assert!(!rest.ends_with(b"0\r\n\r\n"), "the end of a chunked body was made up: {response}");
        }
    }
}

#[test]
fn trailers_do_not_break_the_framing() {
    let backend = Backend::replies(|_, body| {
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{:x};ext=1\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
            body.len(),
            String::from_utf8_lossy(body)
        )
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n\
             5;a=b\r\nhello\r\n0\r\nX-Up: 1\r\n\r\n",
        );
        let head = client.head();
        assert!(head.has("transfer-encoding", "chunked"), "{head:?}");
        assert_eq!(client.chunks().0, b"hello");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_early_response_ends_the_exchange() {
    let (go, gone) = mpsc::channel();
    let backend = Backend::scripted(move |peer, _| {
        peer.head();
        peer.send("HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        let _ = go.send(());
        peer.rest();
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome");
    gone.recv().unwrap();
    let (head, body) = client.response();
    assert_eq!((head.status(), body.as_slice()), (413, &b"big"[..]));
    // The rest of the body must not be taken for a request: the gateway drains it or closes.
    client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    client.shut_write();
    assert_eq!(client.rest(), b"", "nothing may answer what is part of a body");
}

#[test]
fn absolute_form_overrides_the_host() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let (head, _) = Client::ask(gateway.http(), "GET http://real.test/x?y HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(head.status(), 200);
    let (request, _) = backend.only();
    assert_eq!(request.target(), "/x?y");
    assert_eq!(request.field("x-forwarded-host"), Some("real.test"));
}

#[test]
fn options_asterisk_is_answered_and_connect_is_refused() {
    let backend = Backend::ok("ok");
    // Not even an API at `/` is asked.
    let gateway = Gateway::before(&backend.target());
    let (head, _) = Client::ask(gateway.http(), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!((200..300).contains(&head.status()), "{head:?}");
    let mut client = gateway.connect();
    client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    let head = client.head();
    assert!((400..600).contains(&head.status()), "{head:?}");
    assert_eq!(backend.seen(), [], "neither is the backend's business");
}

#[test]
fn empty_lines_before_a_request_are_tolerated_within_reason() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let (head, _) = Client::ask(gateway.http(), "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.status(), 200, "RFC 9112 section 2.2: at least one empty line should be ignored");
    let mut client = gateway.connect();
    client.send("\r\n".repeat(100_000));
    // Either refused or cut: not read forever.
    client.rest();
}
