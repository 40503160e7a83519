//! What a backend says and does, against the frames that come out of the lane.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::backend::{Does, backend, hears, says};
use support::{Engine, Sends, endpoint, on_each};

/// One exchange.
struct Case {
    /// The rule that it shows.
    name: &'static str,
    /// `http` of the shared configuration, JSON.
    http: &'static str,
    /// Head of the client's request; `|` parts lines.
    head: &'static str,
    body: &'static [Sends],
    /// What the backend does. `$H` is its `host:port`.
    backend: &'static [Step],
    /// The frames.
    frames: &'static [&'static str],
    /// Whether the lane serves another exchange afterwards, over the same connection.
    kept: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Hears(&'static str),
    Says(&'static str),
    Ends,
    Waits,
}

use Step::{Ends, Hears, Says, Waits};

const GET: &str = "GET /a HTTP/1.1|Host: x";
const POST: &str = "POST /a HTTP/1.1|Host: x|Content-Length: 5";
const CHUNKED: &str = "POST /a HTTP/1.1|Host: x|Transfer-Encoding: chunked";
const EXPECT: &str = "POST /a HTTP/1.1|Host: x|Content-Length: 5|Expect: 100-continue";
const UPGRADE: &str = "GET /a HTTP/1.1|Host: x|Connection: upgrade|Upgrade: websocket";
const UPGRADE_WITH_BODY: &str = "POST /a HTTP/1.1|Host: x|Connection: upgrade|Upgrade: websocket|Content-Length: 5";

const GOT: Step = Hears("GET /a HTTP/1.1|Host: $H||");
const GOT_HEAD: Step = Hears("HEAD /a HTTP/1.1|Host: $H||");
const POSTED: Step = Hears("POST /a HTTP/1.1|Host: $H|Content-Length: 5||");
const UPGRADED: Step = Hears("GET /a HTTP/1.1|Host: $H|Connection: upgrade|Upgrade: websocket||");
const HELLO: &[Sends] = &[Sends::Data("hello"), Sends::End];
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols|Connection: upgrade|Upgrade: WebSocket||";

const PLAIN: Case = Case { name: "", http: "{}", head: GET, body: &[], backend: &[], frames: &[], kept: false };

#[rustfmt::skip]
const CASES: &[Case] = &[
    // How a response ends.
    Case { name: "a length", backend: &[GOT, Says("HTTP/1.1 200 OK|Content-Length: 5||hello")],
        frames: &["reply 200 Length(5)", "data hello", "end"], kept: true, ..PLAIN },
    Case { name: "a length of nothing", backend: &[GOT, Says("HTTP/1.1 200 OK|Content-Length: 0||")],
        frames: &["reply 200 Length(0)", "end"], kept: true, ..PLAIN },
    Case { name: "chunks and trailers",
        backend: &[GOT, Says("HTTP/1.1 200 OK|Transfer-Encoding: chunked||5;x=y|hello|6| world|0|Sum: 7||")],
        frames: &["reply 200 Chunked", "data hello world", "trailers Sum: 7", "end"], kept: true, ..PLAIN },
    Case { name: "the connection's end", backend: &[GOT, Says("HTTP/1.1 200 OK||hello"), Ends, Waits],
        frames: &["reply 200 UntilClose", "data hello", "end"], ..PLAIN },
    Case { name: "HTTP/1.0 closes, even with a length", backend: &[GOT, Says("HTTP/1.0 200 OK|Content-Length: 5||hello"), Waits],
        frames: &["reply 200 Length(5)", "data hello", "end"], ..PLAIN },
    Case { name: "HTTP/1.0 keeps nothing alive",
        backend: &[GOT, Says("HTTP/1.0 200 OK|Connection: keep-alive|Content-Length: 5||hello"), Waits],
        frames: &["reply 200 Length(5)", "data hello", "end"], ..PLAIN },
    Case { name: "204 has none", backend: &[GOT, Says("HTTP/1.1 204 No Content||")],
        frames: &["reply 204 None", "end"], kept: true, ..PLAIN },
    Case { name: "304 has none, whatever its length", backend: &[GOT, Says("HTTP/1.1 304 Not Modified|Content-Length: 5||")],
        frames: &["reply 304 None", "end"], kept: true, ..PLAIN },
    Case { name: "HEAD has none, whatever its length", head: "HEAD /a HTTP/1.1|Host: x",
        backend: &[GOT_HEAD, Says("HTTP/1.1 200 OK|Content-Length: 5||")],
        frames: &["reply 200 None", "end"], kept: true, ..PLAIN },
    Case { name: "HEAD has none, even in chunks", head: "HEAD /a HTTP/1.1|Host: x",
        backend: &[GOT_HEAD, Says("HTTP/1.1 200 OK|Transfer-Encoding: chunked||")],
        frames: &["reply 200 None", "end"], kept: true, ..PLAIN },
    Case { name: "Connection: close is believed",
        backend: &[GOT, Says("HTTP/1.1 200 OK|Connection: close|Content-Length: 5||hello"), Waits],
        frames: &["reply 200 Length(5)", "data hello", "end"], ..PLAIN },
    Case { name: "keepAlive false closes and says so", http: r#"{"keepAlive": false}"#,
        backend: &[Hears("GET /a HTTP/1.1|Host: $H|Connection: close||"), Says("HTTP/1.1 200 OK|Content-Length: 5||hello"), Waits],
        frames: &["reply 200 Length(5)", "data hello", "end"], ..PLAIN },

    // Where it ends too early or too late.
    Case { name: "more than the length is nobody's", backend: &[GOT, Says("HTTP/1.1 200 OK|Content-Length: 5||hello!"), Waits],
        frames: &["reply 200 Length(5)", "data hello", "end"], ..PLAIN },
    Case { name: "more than the last chunk is nobody's",
        backend: &[GOT, Says("HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|0||HTTP/1.1 200 OK"), Waits],
        frames: &["reply 200 Chunked", "data hello", "end"], ..PLAIN },
    Case { name: "a body behind 204 is nobody's", backend: &[GOT, Says("HTTP/1.1 204 No Content||hello"), Waits],
        frames: &["reply 204 None", "end"], ..PLAIN },
    Case { name: "a body behind HEAD is nobody's", head: "HEAD /a HTTP/1.1|Host: x",
        backend: &[GOT_HEAD, Says("HTTP/1.1 200 OK|Content-Length: 5||hello"), Waits],
        frames: &["reply 200 None", "end"], ..PLAIN },
    Case { name: "less than the length", backend: &[GOT, Says("HTTP/1.1 200 OK|Content-Length: 5||hell")],
        frames: &["reply 200 Length(5)", "data hell", "abort GATEWAY_BACKEND_CLOSED"], ..PLAIN },
    Case { name: "no last chunk", backend: &[GOT, Says("HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|")],
        frames: &["reply 200 Chunked", "data hello", "abort GATEWAY_BACKEND_CLOSED"], ..PLAIN },
    Case { name: "a broken chunk", backend: &[GOT, Says("HTTP/1.1 200 OK|Transfer-Encoding: chunked||-5|hello|"), Waits],
        frames: &["reply 200 Chunked", "abort GATEWAY_INVALID_RESPONSE"], ..PLAIN },
    Case { name: "nothing at all on a fresh connection is no reason to try again", backend: &[GOT],
        frames: &["fail GATEWAY_BACKEND_CLOSED Never"], ..PLAIN },
    Case { name: "half a head", backend: &[GOT, Says("HTTP/1.1 200 OK|Content")],
        frames: &["fail GATEWAY_BACKEND_CLOSED Never"], ..PLAIN },
    Case { name: "no HTTP", backend: &[GOT, Says("220 smtp.example ESMTP||"), Waits],
        frames: &["fail GATEWAY_INVALID_RESPONSE Never"], ..PLAIN },
    Case { name: "two framings", backend: &[GOT, Says("HTTP/1.1 200 OK|Content-Length: 5|Transfer-Encoding: chunked||"), Waits],
        frames: &["fail GATEWAY_INVALID_RESPONSE Never"], ..PLAIN },

    // Interim responses.
    Case { name: "interim responses come through",
        backend: &[GOT, Says("HTTP/1.1 103 Early Hints|Link: </s>||HTTP/1.1 102 Processing||HTTP/1.1 200 OK|Content-Length: 5||hello")],
        frames: &["interim 103", "interim 102", "reply 200 Length(5)", "data hello", "end"], kept: true, ..PLAIN },
    Case { name: "an interim response alone is no response", backend: &[GOT, Says("HTTP/1.1 103 Early Hints||")],
        frames: &["interim 103", "fail GATEWAY_BACKEND_CLOSED Never"], ..PLAIN },
    Case { name: "101 unasked", backend: &[GOT, Says(SWITCHED), Waits],
        frames: &["fail GATEWAY_INVALID_RESPONSE Never"], ..PLAIN },

    // Bodies of requests.
    Case { name: "a body with a length", head: POST, body: HELLO,
        backend: &[POSTED, Hears("hello"), Says("HTTP/1.1 200 OK|Content-Length: 0||")],
        frames: &["ready", "reply 200 Length(0)", "end"], kept: true, ..PLAIN },
    Case { name: "a body of nothing", head: "POST /a HTTP/1.1|Host: x|Content-Length: 0", body: &[Sends::End],
        backend: &[Hears("POST /a HTTP/1.1|Host: $H|Content-Length: 0||"), Says("HTTP/1.1 200 OK|Content-Length: 0||")],
        frames: &["ready", "reply 200 Length(0)", "end"], kept: true, ..PLAIN },
    Case { name: "a body in chunks, with trailers", head: CHUNKED,
        body: &[Sends::Data("hello"), Sends::Data(""), Sends::Data(" world"), Sends::Trailers("Sum", "7"), Sends::End],
        backend: &[
            Hears("POST /a HTTP/1.1|Host: $H|Transfer-Encoding: chunked||5|hello|6| world|0|Sum: 7||"),
            Says("HTTP/1.1 200 OK|Content-Length: 0||"),
        ],
        frames: &["ready", "reply 200 Length(0)", "end"], kept: true, ..PLAIN },
    Case { name: "trailers of a body with a length have no place", head: POST,
        body: &[Sends::Data("hello"), Sends::Trailers("Sum", "7"), Sends::End],
        backend: &[POSTED, Hears("hello"), Says("HTTP/1.1 200 OK|Content-Length: 0||")],
        frames: &["ready", "reply 200 Length(0)", "end"], kept: true, ..PLAIN },
    Case { name: "more body than was announced never leaves", head: POST, body: &[Sends::Data("hello!"), Sends::End],
        backend: &[Waits], frames: &["ready", "fail GATEWAY_INTERNAL_ERROR Never"], ..PLAIN },
    Case { name: "less body than was announced ends the connection", head: POST, body: &[Sends::Data("hell"), Sends::End],
        backend: &[Waits], frames: &["ready", "fail GATEWAY_INTERNAL_ERROR Never"], ..PLAIN },
    Case { name: "a response before the body ends is one, and the connection's last", head: POST,
        body: &[Sends::Data("he"), Sends::After("nothing")],
        backend: &[POSTED, Hears("he"), Says("HTTP/1.1 413 Content Too Large|Content-Length: 2||no"), Waits],
        frames: &["ready", "reply 413 Length(2)", "data no", "end"], ..PLAIN },
    Case { name: "a backend that answers unread bodies and closes is heard", head: CHUNKED,
        body: &[Sends::Bulk(100_000), Sends::Bulk(200_000), Sends::Bulk(200_000), Sends::Bulk(4_000_000), Sends::Bulk(9_000_000), Sends::End],
        backend: &[
            Hears("POST /a HTTP/1.1|Host: $H|Transfer-Encoding: chunked||"),
            Says("HTTP/1.1 413 Content Too Large|Content-Length: 2||no"),
        ],
        frames: &["ready", "reply 413 Length(2)", "data no", "end"], ..PLAIN },

    // Expect: 100-continue.
    Case { name: "a body waits for 100", head: EXPECT, body: &[Sends::After("interim 100"), Sends::Data("hello"), Sends::End],
        backend: &[
            Hears("POST /a HTTP/1.1|Host: $H|Expect: 100-continue|Content-Length: 5||"), Says("HTTP/1.1 100 Continue||"), Hears("hello"),
            Says("HTTP/1.1 200 OK|Content-Length: 0||"),
        ],
        frames: &["ready", "interim 100", "reply 200 Length(0)", "end"], kept: true, ..PLAIN },
    Case { name: "a body that is not wanted is not sent", head: EXPECT, body: &[Sends::After("interim 100")],
        backend: &[
            Hears("POST /a HTTP/1.1|Host: $H|Expect: 100-continue|Content-Length: 5||"),
            Says("HTTP/1.1 417 Expectation Failed|Content-Length: 0||"), Waits,
        ],
        frames: &["ready", "reply 417 Length(0)", "end"], ..PLAIN },
    Case { name: "a backend that never asks is given up", head: EXPECT, http: r#"{"readTimeout": 1}"#,
        body: &[Sends::After("interim 100")], backend: &[Waits],
        frames: &["ready", "fail GATEWAY_BACKEND_TIMEOUT Never"], ..PLAIN },

    // Tunnels.
    Case { name: "after a 101 the connection leaves its lane", head: UPGRADE, backend: &[UPGRADED, Says(SWITCHED), Waits],
        frames: &["reply 101 None", "upgraded "], ..PLAIN },
    Case { name: "bytes right behind 101 are the other protocol's", head: UPGRADE,
        backend: &[UPGRADED, Says("HTTP/1.1 101 S|Connection: upgrade|Upgrade: websocket||pong"), Waits],
        frames: &["reply 101 None", "upgraded pong"], ..PLAIN },
    Case { name: "the other protocol begins behind the whole request", head: UPGRADE_WITH_BODY,
        body: &[Sends::After("reply 101"), Sends::Data("hello"), Sends::End],
        backend: &[
            Hears("POST /a HTTP/1.1|Host: $H|Content-Length: 5|Connection: upgrade|Upgrade: websocket||"),
            Says(SWITCHED), Hears("hello"), Waits,
        ],
        frames: &["ready", "reply 101 None", "upgraded "], ..PLAIN },
    Case { name: "101 to something else", head: UPGRADE,
        backend: &[UPGRADED, Says("HTTP/1.1 101 S|Connection: upgrade|Upgrade: smtp||"), Waits],
        frames: &["fail GATEWAY_INVALID_RESPONSE Never"], ..PLAIN },
    Case { name: "101 without the option", head: UPGRADE,
        backend: &[UPGRADED, Says("HTTP/1.1 101 S|Upgrade: websocket||"), Waits],
        frames: &["fail GATEWAY_INVALID_RESPONSE Never"], ..PLAIN },
    Case { name: "an upgrade may be declined", head: UPGRADE,
        backend: &[UPGRADED, Says("HTTP/1.1 200 OK|Content-Length: 5||hello")],
        frames: &["reply 200 Length(5)", "data hello", "end"], kept: true, ..PLAIN },

    // Silence.
    Case { name: "no response in time", http: r#"{"readTimeout": 1}"#, backend: &[GOT, Waits],
        frames: &["fail GATEWAY_BACKEND_TIMEOUT Never"], ..PLAIN },
    Case { name: "no end in time", http: r#"{"readTimeout": 1}"#, backend: &[GOT, Says("HTTP/1.1 200 OK|Content-Length: 5||he"), Waits],
        frames: &["reply 200 Length(5)", "data he", "abort GATEWAY_BACKEND_TIMEOUT"], ..PLAIN },
    Case { name: "events are as far apart as an idle connection may be", http: r#"{"readTimeout": 0, "idleTimeout": 1}"#,
        backend: &[GOT, Says("HTTP/1.1 200 OK|Content-Type: Text/event-stream; a=b|Transfer-Encoding: chunked||3|a||"), Waits],
        frames: &["reply 200 Chunked", "data a\r\n", "abort GATEWAY_BACKEND_TIMEOUT"], ..PLAIN },
];

#[test]
fn conversations() {
    on_each(|_| async {
        for case in CASES {
            let run = backend(|host| script(case, host));
            let shared = format!(r#"{{"http": {}}}"#, case.http);
            let mut engine = Engine::new(&endpoint(&run.url(), &shared).unwrap());
            let frames = engine.exchange(case.head, case.body).await;
            assert_eq!(frames, case.frames, "{}", case.name);
            assert!(engine.request.take().is_some(), "{}: the request comes back", case.name);
            if case.kept {
                let again = engine.exchange("GET /again HTTP/1.1|Host: x", &[]).await;
                assert_eq!(again, ["reply 204 None", "end"], "{}: again", case.name);
                drop(engine);
            } else {
                engine.ended().await;
                drop(engine);
            }
            run.done().await;
        }
    });
}

fn script(case: &Case, host: &str) -> Vec<Does> {
    let mut steps: Vec<_> = case
        .backend
        .iter()
        .map(|step| match step {
            Hears(text) => hears(&text.replace("$H", host)),
            Says(text) => says(text),
            Ends => Does::Ends,
            Waits => Does::Waits,
        })
        .collect();
    if case.kept {
        steps.push(hears(&format!("GET /again HTTP/1.1|Host: {host}||")));
        steps.push(says("HTTP/1.1 204 No Content||"));
    }
    steps
}
