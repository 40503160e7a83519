//! Redirects that the gateway follows itself, and those that it leaves to the client.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::backend::{Bound, Does, hears, says};
use support::{Engine, Sends, endpoint, on_each, pattern};

/// One exchange with two backends: `$A`, the endpoint's target with the base `/v1`, and `$B`.
struct Case {
    name: &'static str,
    /// Head of the client's request; `|` parts lines.
    head: &'static str,
    body: &'static [Sends],
    /// What each connection to the target hears and says, by turns.
    a: &'static [&'static [&'static str]],
    /// The same of the other backend.
    b: &'static [&'static [&'static str]],
    frames: &'static [&'static str],
}

const FOLLOWED: &[&str] = &["reply 200 Length(2)", "data ok", "end"];
const RELAYED: &[&str] = &["reply 302 Length(0)", "end"];
const OK: &str = "HTTP/1.1 200 OK|Content-Length: 2||ok";
const GOT: &str = "GET /v1/a HTTP/1.1|Host: $A|Key: own||";
const PLAIN: Case = Case { name: "", head: "GET /a HTTP/1.1|Host: x", body: &[], a: &[], b: &[], frames: FOLLOWED };

/// A redirect to `$location`, and what is heard of it at home.
macro_rules! home {
    ($name:literal, $location:literal, $target:literal) => {
        Case {
            name: $name,
            a: &[&[
                GOT,
                concat!("HTTP/1.1 302 Found|Location: ", $location, "|Content-Length: 0||"),
                concat!("GET ", $target, " HTTP/1.1|Host: $A|Key: own||"),
                OK,
            ]],
            ..PLAIN
        }
    };
}

/// A redirect that the client gets.
macro_rules! relayed {
    ($name:literal, $location:literal) => {
        Case {
            name: $name,
            a: &[&[GOT, concat!("HTTP/1.1 302 Found|", $location, "Content-Length: 0||")]],
            frames: RELAYED,
            ..PLAIN
        }
    };
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    home!("an absolute path", "/b/c?d=e#f", "/b/c?d=e"),
    home!("a path beside", "b", "/v1/b"),
    home!("a path above", "../b", "/b"),
    home!("another query", "?d=e", "/v1/a?d=e"),
    home!("a path in another form", "/b/./%7ec//d", "/b/~c/d"),
    home!("the same host in full", "http://$A/b", "/b"),
    home!("the same host without a path", "HTTP://$A?d", "/?d"),
    home!("the same host without a scheme", "//$A/b", "/b"),

    relayed!("no location", ""),
    relayed!("an empty location", "Location: |"),
    relayed!("two locations", "Location: /b|Location: /c|"),
    relayed!("another scheme", "Location: ftp://$A/b|"),
    relayed!("a script", "Location: javascript:alert(1)|"),
    relayed!("a scheme without a host", "Location: http:/b|"),
    relayed!("a user", "Location: http://u:p@$A/b|"),
    relayed!("port 0", "Location: http://127.0.0.1:0/b|"),
    relayed!("a path above the root", "Location: /../../b|"),
    relayed!("a hidden slash", "Location: /b%2f..%2fc|"),
    relayed!("a byte that no URL has", "Location: /b\u{e9}|"),

    Case { name: "each status that moves",
        a: &[&[
            GOT, "HTTP/1.1 301 M|Location: /1|Content-Length: 0||",
            "GET /1 HTTP/1.1|Host: $A|Key: own||", "HTTP/1.1 303 M|Location: /2|Content-Length: 0||",
            "GET /2 HTTP/1.1|Host: $A|Key: own||", "HTTP/1.1 307 M|Location: /3|Content-Length: 0||",
            "GET /3 HTTP/1.1|Host: $A|Key: own||", "HTTP/1.1 308 M|Location: /4|Content-Length: 0||",
            "GET /4 HTTP/1.1|Host: $A|Key: own||", OK,
        ]], ..PLAIN },
    Case { name: "a status that moves nobody",
        a: &[&[GOT, "HTTP/1.1 304 Not Modified|Location: /b||"]], frames: &["reply 304 None", "end"], ..PLAIN },
    Case { name: "HEAD stays HEAD", head: "HEAD /a HTTP/1.1|Host: x",
        a: &[&[
            "HEAD /v1/a HTTP/1.1|Host: $A|Key: own||", "HTTP/1.1 302 Found|Location: /b|Content-Length: 9||",
            "HEAD /b HTTP/1.1|Host: $A|Key: own||", "HTTP/1.1 200 OK|Content-Length: 2||",
        ]], frames: &["reply 200 None", "end"], ..PLAIN },
    Case { name: "POST is not followed", head: "POST /a HTTP/1.1|Host: x|Content-Length: 2", body: &[Sends::Data("hi"), Sends::End],
        a: &[&["POST /v1/a HTTP/1.1|Host: $A|Content-Length: 2|Key: own||hi", "HTTP/1.1 302 Found|Location: /b|Content-Length: 0||"]],
        frames: &["ready", "reply 302 Length(0)", "end"], ..PLAIN },
    Case { name: "DELETE is not followed", head: "DELETE /a HTTP/1.1|Host: x",
        a: &[&["DELETE /v1/a HTTP/1.1|Host: $A|Key: own||", "HTTP/1.1 302 Found|Location: /b|Content-Length: 0||"]],
        frames: RELAYED, ..PLAIN },
    Case { name: "GET with a body is not followed", head: "GET /a HTTP/1.1|Host: x|Content-Length: 2",
        body: &[Sends::Data("hi"), Sends::End],
        a: &[&["GET /v1/a HTTP/1.1|Host: $A|Content-Length: 2|Key: own||hi", "HTTP/1.1 302 Found|Location: /b|Content-Length: 0||"]],
        frames: &["ready", "reply 302 Length(0)", "end"], ..PLAIN },

    Case { name: "small bodies are read away, with a length and in chunks",
        a: &[&[
            GOT, "HTTP/1.1 302 Found|Location: /b|Content-Length: 5||moved",
            "GET /b HTTP/1.1|Host: $A|Key: own||", "HTTP/1.1 302 Found|Location: /c|Transfer-Encoding: chunked||5|moved|0|T: r||",
            "GET /c HTTP/1.1|Host: $A|Key: own||", OK,
        ]], ..PLAIN },
    Case { name: "a body without an end costs the connection",
        a: &[&[GOT, "HTTP/1.1 302 Found|Location: /b||moved"], &["GET /b HTTP/1.1|Host: $A|Key: own||", OK]], ..PLAIN },
    Case { name: "a large body costs the connection",
        a: &[
            &[GOT, "HTTP/1.1 302 Found|Location: /b|Content-Length: 1000000||much"],
            &["GET /b HTTP/1.1|Host: $A|Key: own||", OK],
        ], ..PLAIN },
    Case { name: "a connection that closes costs itself",
        a: &[
            &[GOT, "HTTP/1.1 302 Found|Location: /b|Connection: close|Content-Length: 0||"],
            &["GET /b HTTP/1.1|Host: $A|Key: own||", OK],
        ], ..PLAIN },

    Case { name: "another origin gets no credentials, and nothing of the endpoint's own",
        head: "GET /a?q HTTP/1.1|Host: x|Accept: text/plain|Authorization: Basic eA==|Cookie: a=b|Proxy-Authorization: Basic eA==|X-Api-Key: k|Key: client",
        a: &[&[
            "GET /v1/a?q HTTP/1.1|Host: $A|Accept: text/plain|Authorization: Basic eA==|Cookie: a=b|Proxy-Authorization: Basic eA==|X-Api-Key: k|Key: own||",
            "HTTP/1.1 302 Found|Location: /b|Content-Length: 0||",
            "GET /b HTTP/1.1|Host: $A|Accept: text/plain|Authorization: Basic eA==|Cookie: a=b|Proxy-Authorization: Basic eA==|X-Api-Key: k|Key: own||",
            "HTTP/1.1 302 Found|Location: http://$B/c|Content-Length: 0||",
        ]],
        b: &[&["GET /c HTTP/1.1|Host: $B|Accept: text/plain||", OK]], ..PLAIN },
    Case { name: "the other origin is another base, and keeps its connection",
        a: &[&[GOT, "HTTP/1.1 302 Found|Location: //$B|Content-Length: 0||"]],
        b: &[&[
            "GET / HTTP/1.1|Host: $B||", "HTTP/1.1 302 Found|Location: c/d|Content-Length: 0||",
            "GET /c/d HTTP/1.1|Host: $B||", OK,
        ]], ..PLAIN },
    Case { name: "who comes back is a stranger",
        head: "GET /a HTTP/1.1|Host: x|Cookie: a=b",
        a: &[
            &["GET /v1/a HTTP/1.1|Host: $A|Cookie: a=b|Key: own||", "HTTP/1.1 302 Found|Location: http://$B/|Connection: close|Content-Length: 0||"],
            &["GET /secret HTTP/1.1|Host: $A||", OK],
        ],
        b: &[&["GET / HTTP/1.1|Host: $B||", "HTTP/1.1 302 Found|Location: http://$A/secret|Content-Length: 0||"]], ..PLAIN },
    Case { name: "a hop that breaks off fails the exchange",
        a: &[&[GOT, "HTTP/1.1 302 Found|Location: http://$B/|Content-Length: 0||"]],
        b: &[&["GET / HTTP/1.1|Host: $B||"]],
        frames: &["fail GATEWAY_BACKEND_CLOSED Never"], ..PLAIN },
];

const SHARED: &str = r#"{"http": {"followRedirects": true}, "headers": [{"name": "key", "value": "x"}, {"name": "Key", "value": "own"}]}"#;

#[test]
fn redirects() {
    on_each(|_| async {
        for case in CASES {
            let (a, b) = (Bound::new(), Bound::new());
            let (at, bt) = (a.host(), b.host());
            let scripts = |connections: &[&[&str]]| -> Vec<Vec<Does>> {
                connections.iter().map(|texts| script(texts, &at, &bt)).collect()
            };
            let (a, b) = (a.play(scripts(case.a)), b.play(scripts(case.b)));
            let mut engine = Engine::new(&endpoint(&format!("{}/v1/", a.url()), SHARED).unwrap());
            assert_eq!(engine.exchange(case.head, case.body).await, case.frames, "{}", case.name);
            let request = engine.request.take().expect("the request comes back");
            assert_eq!(request.head.path(), "/a", "{}: what the client asked is not changed", case.name);
            assert_eq!(request.head.fields.get("key"), None, "{}: the endpoint's own fields stay its own", case.name);
            a.done().await;
            b.done().await;
        }
    });
}

fn script(texts: &[&str], a: &str, b: &str) -> Vec<Does> {
    let filled = texts.iter().map(|text| text.replace("$A", a).replace("$B", b));
    filled.enumerate().map(|(turn, text)| if turn % 2 == 0 { hears(&text) } else { says(&text) }).collect()
}

#[test]
fn the_eleventh_redirect_is_the_clients_and_the_lane_lives_on() {
    on_each(|_| async {
        let bound = Bound::new();
        let host = bound.host();
        let mut steps = Vec::new();
        for hop in 0..=10 {
            steps.push(hears(&format!("GET /{hop} HTTP/1.1|Host: {host}||")));
            steps.push(says(&format!("HTTP/1.1 302 Found|Location: /{}|Content-Length: 0||", hop + 1)));
        }
        steps.push(hears(&format!("GET /again HTTP/1.1|Host: {host}||")));
        steps.push(says("HTTP/1.1 204 No Content||"));
        let backend = bound.play(vec![steps]);
        let mut engine = Engine::new(&endpoint(&backend.url(), r#"{"http": {"followRedirects": true}}"#).unwrap());
        assert_eq!(engine.exchange("GET /0 HTTP/1.1|Host: x", &[]).await, RELAYED);
        assert_eq!(engine.exchange("GET /again HTTP/1.1|Host: x", &[]).await, ["reply 204 None", "end"]);
        backend.done().await;
    });
}

#[test]
fn the_lane_keeps_its_own_connection_while_a_redirect_leads_elsewhere() {
    on_each(|_| async {
        let (a, b) = (Bound::new(), Bound::new());
        let (at, bt) = (a.host(), b.host());
        let a = a.play(vec![vec![
            hears(&format!("GET /a HTTP/1.1|Host: {at}||")),
            says(&format!("HTTP/1.1 302 Found|Location: http://{bt}/b|Content-Length: 0||")),
            hears(&format!("GET /again HTTP/1.1|Host: {at}||")),
            says("HTTP/1.1 204 No Content||"),
        ]]);
        let b = b.play(vec![vec![
            hears(&format!("GET /b HTTP/1.1|Host: {bt}||")),
            says("HTTP/1.1 200 OK|Content-Length: 300000||"),
            Does::SaysBulk(300_000),
            Does::Waits,
        ]]);
        let mut engine = Engine::new(&endpoint(&a.url(), r#"{"http": {"followRedirects": true}}"#).unwrap());
        let frames = engine.exchange("GET /a HTTP/1.1|Host: x", &[]).await;
        assert_eq!(frames.iter().find_map(|frame| frame.strip_prefix("data ")), Some(pattern(300_000)));
        b.done().await;
        assert_eq!(engine.exchange("GET /again HTTP/1.1|Host: x", &[]).await, ["reply 204 None", "end"]);
        a.done().await;
    });
}

#[test]
fn by_the_name_that_the_client_used_the_backend_is_itself() {
    on_each(|_| async {
        let bound = Bound::new();
        let backend = bound.play(vec![vec![
            hears("GET /a HTTP/1.1|Host: api.example||"),
            says("HTTP/1.1 302 Found|Location: http://API.example:80/b|Content-Length: 0||"),
            hears("GET /b HTTP/1.1|Host: api.example||"),
            says(OK),
        ]]);
        let shared = r#"{"http": {"followRedirects": true, "propagateClientHost": true}}"#;
        let mut engine = Engine::new(&endpoint(&backend.url(), shared).unwrap());
        assert_eq!(engine.exchange("GET /a HTTP/1.1|Host: api.example", &[]).await, FOLLOWED);
        backend.done().await;
    });
}

#[test]
fn redirects_are_the_clients_unless_they_are_asked_to_be_followed() {
    on_each(|_| async {
        let bound = Bound::new();
        let host = bound.host();
        let backend = bound.play(vec![vec![
            hears(&format!("GET /a HTTP/1.1|Host: {host}||")),
            says("HTTP/1.1 302 Found|Location: /b|Content-Length: 0||"),
        ]]);
        let mut engine = Engine::new(&endpoint(&backend.url(), "{}").unwrap());
        assert_eq!(engine.exchange("GET /a HTTP/1.1|Host: x", &[]).await, RELAYED);
        backend.done().await;
    });
}
