//! Requests that two servers have been found to read differently. None may reach the backend; all end the connection.

use ringway_tests::{Backend, Gateway};

/// Name and bytes. `GET /smuggled` stands where a lax server would see a second request.
const REFUSED: &[(&str, &str)] = &[
    (
        "length and chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    ),
    (
        "chunked and length",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello"),
    ("signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
    ("negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello"),
    ("hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello"),
    ("length with a space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello"),
    ("length beyond 64 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello"),
    (
        "two codings",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    ("chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked first", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("trailing comma", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    ("unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("quoted coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("coding with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
    ("vertical tab before the coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    ("coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("folded line", "POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("folded coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("space before the first field", "GET / HTTP/1.1\r\n Host: a\r\nX: y\r\n\r\n"),
    ("line feeds only", "GET / HTTP/1.1\nHost: a\n\n"),
    ("one line feed only", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    ("bare carriage return", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n"),
    ("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n"),
    ("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0Y: z\r\n\r\n"),
    ("empty name", "GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n"),
    ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    ("host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("host with a bad port", "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"),
    ("nominated host", "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n"),
    ("nominated length", "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello"),
    ("fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("control in the target", "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no path", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("escaped NUL", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bad method", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/0.9", "GET /\r\n\r\n"),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("lower-case protocol", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("asterisk of a GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
];

/// Chunked bodies that are wrong. The head may have reached the backend by then, so the rule is: the backend never sees a whole
/// request, let alone two.
const BROKEN_CHUNKS: &[(&str, &str)] = &[
    ("line feed after the size", "5\nhello\r\n0\r\n\r\n"),
    ("line feed in the extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("carriage return in the extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("space after the size", "5 \r\nhello\r\n0\r\n\r\n"),
    ("space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
    ("prefix of the size", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("sign of the size", "+5\r\nhello\r\n0\r\n\r\n"),
    ("no size", "\r\nhello\r\n0\r\n\r\n"),
    ("extension without a size", ";a=b\r\nhello\r\n0\r\n\r\n"),
    ("size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("chunk longer than its size", "5\r\nhelloXX\r\n0\r\n\r\n"),
    ("chunk without an end", "5\r\nhello0\r\n\r\n"),
    ("line feeds at the end", "5\r\nhello\n0\n\n"),
    ("trailer without a colon", "5\r\nhello\r\n0\r\nX\r\n\r\n"),
    ("trailer with a bare line feed", "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n"),
];

/// How many responses there are: lines that begin as a status line does (a body may well speak of HTTP/1.1).
fn responses(answer: &str) -> usize {
    answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count()
}

/// What follows each: a lax reader would answer it.
const SECOND: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_that_could_be_read_in_two_ways_never_reaches_the_backend() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let mut wrong = Vec::new();
    for (name, request) in REFUSED {
        let mut client = gateway.connect();
        client.send(format!("{request}{SECOND}"));
        client.shut_write();
        let answer = client.rest();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or("nothing");
        let answers = responses(&answer);
        // An answer to HTTP/0.9 or to a preface may also be none.
        if answers > 1 || !(status.starts_with('4') || status.starts_with('5') || answers == 0) {
            wrong.push(format!("{name}: answered {answers} times, first with {status}"));
        }
    }
    for (head, _) in backend.seen() {
        wrong.push(format!("the backend was asked {} with {:?}", head.start, head.fields));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broken_chunk_never_completes_a_request() {
    let backend = Backend::scripted(|peer, _| {
        if peer.next_head().is_some() {
            let rest = peer.rest();
            let text = String::from_utf8_lossy(&rest);
            assert!(!text.contains("\r\n0\r\n\r\n") && !text.contains("smuggled"), "the backend saw {text:?}");
        }
    });
    let gateway = Gateway::before(&backend.target());
    let mut wrong = Vec::new();
    for (name, chunks) in BROKEN_CHUNKS {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{SECOND}"));
        let answer = client.rest();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if responses(&answer) > 1 || answer.starts_with("HTTP/1.1 2") {
            wrong.push(format!("{name}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Responses of a backend that a client might read differently than the gateway does.
const BAD_RESPONSES: &[(&str, &str)] = &[
    ("length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ("unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"),
    ("status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("no status", "HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
    ("other protocol", "ICY 200 OK\r\n\r\n"),
    ("HTTP/2", "HTTP/2 200 OK\r\n\r\n"),
    ("no HTTP at all", "220 mail.test ESMTP\r\n"),
    ("NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
    ("line feeds only", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    ("bare carriage return", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"),
    (
        "101 that nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    ("nothing", ""),
];

#[test]
fn a_response_that_could_be_read_in_two_ways_becomes_a_502() {
    let mut wrong = Vec::new();
    for (name, response) in BAD_RESPONSES {
        let backend = Backend::scripted(move |peer, _| {
            peer.head();
            peer.send(response);
        });
        let gateway = Gateway::before(&backend.target());
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = client.rest();
        if !answer.starts_with(b"HTTP/1.1 502 ") {
            wrong.push(format!("{name}: {}", String::from_utf8_lossy(&answer)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bytes_after_a_response_are_never_the_answer_to_the_next_request() {
    let backend = Backend::scripted(|peer, connection| {
        while let Some(head) = peer.next_head() {
            let extra = if connection == 0 { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" } else { "" };
            let text = head.target().to_owned();
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}{extra}", text.len()));
        }
    });
    let gateway = Gateway::before(&backend.target());
    for target in ["/one", "/two", "/three"] {
        let (head, body) = gateway.get(target);
        assert_eq!((head.status(), String::from_utf8_lossy(&body).as_ref()), (200, target));
    }
}

#[test]
fn heads_are_limited() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let many: String = (0..5_000).map(|at| format!("X-{at}: y\r\n")).collect();
    for (name, request) in [
        ("1 MB of one field", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(1_000_000))),
        ("5,000 fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
        ("a target of 100 KB", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(100_000))),
        ("a method of 100 KB", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "Y".repeat(100_000))),
    ] {
        let mut client = gateway.connect();
        client.send(request);
        let head = client.head();
        assert!((400..500).contains(&head.status()) || head.status() == 501, "{name}: {}", head.start);
    }
    assert_eq!(backend.seen().len(), 0);
}
