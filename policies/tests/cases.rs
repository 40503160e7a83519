//! Conversations with every policy: `src/<policy>/cases.txt`, in which a case is
//!
//! ```text
//! # what it shows
//! configuration: {"name": "value"}
//! attribute: plan = gold                      (any number of times: is there already)
//! client: 192.0.2.1                           (the peer's address; without it, none)
//! request:                                    (what the client sends; indented by four spaces; the context path is /api)
//!     GET /api/orders?id=1 HTTP/1.1
//!     Host: example.test
//!
//!     a body
//! response:                                   (what the backend sends, where the case is about the response)
//!     HTTP/1.1 200 OK
//! forwarded:                                  (what the backend is sent; `returned:` what the client is)
//!     GET /api/orders?id=1 HTTP/1.1
//!     Host: example.test
//! answered: 403 SOME_KEY                      (instead: the policy answers; fields and body may follow, indented)
//! sets: name = value                          (an attribute that is there afterwards)
//! refused: a part of the message              (instead of all that: the configuration is not accepted)
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use ringway_contract::kind::{Services, Source};
use ringway_contract::{
    ApiInfo, Client, Exchange, Kind, Node, Policy, Reply, Request, RequestHead, ResponseHead, Step,
};
use ringway_policies::POLICIES;

const CONTEXT_PATH: &str = "/api";

#[derive(Default)]
struct Case {
    title: String,
    line: usize,
    /// Name, rest of the line, indented block.
    parts: Vec<(String, String, String)>,
}

impl Case {
    fn part(&self, name: &str) -> Option<(&str, &str)> {
        self.parts.iter().find(|(known, ..)| known == name).map(|(_, value, block)| (&**value, &**block))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = self.parts.iter().filter(move |(known, ..)| known == name).map(|(_, value, _)| value);
        values
            .map(|value| value.split_once('=').map(|(name, value)| (name.trim(), value.trim())).expect("name = value"))
    }
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("# ") {
            cases.push(Case { title: title.to_owned(), line: number + 1, ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(indented) = line.strip_prefix("    ") {
            case.parts.last_mut().expect("a part before its block").2 += &format!("{indented}\n");
        } else if line.trim().is_empty() {
            // Inside a block an empty line ends the head; behind a block it means nothing, which the comparison trims.
            if let Some((.., block)) = case.parts.last_mut().filter(|(.., block)| !block.is_empty()) {
                block.push('\n');
            }
        } else {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("line {}: `name: value`", number + 1));
            case.parts.push((name.to_owned(), value.trim().to_owned(), String::new()));
        }
    }
    cases
}

/// Head and body of a block.
fn message(block: &str) -> (BytesMut, Option<Bytes>) {
    let (head, body) = block.split_once("\n\n").unwrap_or((block.trim_end(), ""));
    let body = body.trim_end_matches('\n').to_owned();
    let head = head.trim_end().replace('\n', "\r\n");
    let length = if body.is_empty() { String::new() } else { format!("\r\nContent-Length: {}", body.len()) };
    let is_request = !head.starts_with("HTTP/");
    let zero = if body.is_empty() && !is_request { "\r\nContent-Length: 0" } else { "" };
    (BytesMut::from(&*format!("{head}{length}{zero}\r\n\r\n")), Some(Bytes::from(body)))
}

fn shown_request(head: &RequestHead, body: Option<&Bytes>) -> String {
    let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
    let line = format!("{} {}{query} HTTP/1.1", head.method, head.path());
    shown(&line, head.fields.iter(), body)
}

fn shown_response(head: &ResponseHead, body: Option<&Bytes>) -> String {
    let reason = head.status.canonical_reason().unwrap_or_default();
    shown(&format!("HTTP/1.1 {} {reason}", head.status.as_str()), head.fields.iter(), body)
}

fn shown<'a>(line: &str, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, body: Option<&Bytes>) -> String {
    let mut text = format!("{}\n", line.trim_end());
    for (name, value) in fields.filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length")) {
        let _ = writeln!(text, "{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    }
    if let Some(body) = body.filter(|body| !body.is_empty()) {
        let _ = write!(text, "\n{}", String::from_utf8_lossy(body));
    }
    text.trim_end().to_owned()
}

fn shown_reply(reply: &Reply) -> String {
    let mut text = format!("{} {}", reply.status.as_str(), reply.key).trim_end().to_owned();
    for (name, value) in &reply.headers {
        let _ = write!(text, "\n{name}: {}", String::from_utf8_lossy(value));
    }
    if let Some(body) = reply.body.as_ref().filter(|body| !body.is_empty()) {
        let _ = write!(text, "\n\n{}", String::from_utf8_lossy(body));
    }
    text
}

fn settle(mut step: Step<'_>) -> Option<Box<Reply>> {
    loop {
        step = match step {
            Step::Next => return None,
            Step::Reply(reply) => return Some(reply),
            Step::Wait(mut future) => wait(future.as_mut()),
        }
    }
}

/// Polls until it is done: what a case waits for is a moment, such as that of `latency`.
fn wait<T>(mut future: Pin<&mut dyn Future<Output = T>>) -> T {
    let started = std::time::Instant::now();
    while started.elapsed().as_secs() < 10 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    panic!("the policy waits for ever")
}

fn run(kind: &Kind<dyn Policy>, case: &Case) -> Result<(), String> {
    let (configuration, block) = case.part("configuration").unwrap_or(("{}", ""));
    let node =
        Node::parse_json("configuration", &format!("{configuration}{block}")).map_err(|error| error.to_string())?;
    let problems = (kind.configuration.check)(&node);
    let examined = kind.configuration.examine.filter(|_| problems.is_empty());
    let problems: Vec<_> =
        problems.into_iter().chain(examined.into_iter().flat_map(|examine| examine(Some(&node), None))).collect();
    let errors =
        problems.iter().filter(|problem| problem.is_error()).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if let Some((part, _)) = case.part("refused") {
        return if errors.contains(part) && !errors.is_empty() {
            Ok(())
        } else {
            Err(format!("refused with: `{errors}`"))
        };
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let place = format!("{}/{}", kind.name, case.title);
    let source = Source { configuration: Some(&node), shared: None, place: &place, resources: &[] };
    let policy = (kind.build)(source, &Services::default()).map_err(|refusal| refusal.to_string())?;
    let phases = policy.phases();

    let mut request = Box::<Request>::default();
    let (mut bytes, body) =
        message(case.part("request").map_or("GET /api HTTP/1.1\nHost: example.test", |(_, block)| block));
    request
        .head
        .parse(&mut bytes, &Services::default().response_limits)
        .map_err(|error| format!("request: {error:?}"))?;
    request.context_path_len = CONTEXT_PATH.len();
    let address =
        case.part("client").map(|(address, _)| std::net::SocketAddr::new(address.parse().expect("an address"), 40_000));
    let mut exchange = Exchange::new(
        request,
        Rc::new(ApiInfo { id: "api".into(), name: "API".into(), version: "1".into(), ..ApiInfo::default() }),
        Rc::default(),
        Client { address, tls: false, certificate: None },
    );
    for (name, value) in case.all("attribute") {
        exchange.attributes.set(name.to_owned(), value.to_owned());
    }

    let mut reply = None;
    if phases.request {
        exchange.contents.request = body.clone().filter(|_| phases.request_content);
        reply = settle(policy.request(&mut exchange));
    }
    let forwarded_body = exchange.contents.request.clone().or(body);
    let mut returned_body = None;
    if let Some((_, block)) = case.part("response") {
        let mut response = Box::<ResponseHead>::default();
        let (mut bytes, body) = message(block);
        let method = exchange.request.as_ref().map(|request| request.head.method.clone()).unwrap_or_default();
        response
            .parse(&mut bytes, &Services::default().response_limits, &method)
            .map_err(|error| format!("response: {error:?}"))?;
        exchange.response = Some(response);
        if phases.response && reply.is_none() {
            exchange.contents.response = body.clone().filter(|_| phases.response_content);
            reply = settle(policy.response(&mut exchange));
        }
        returned_body = exchange.contents.response.clone().or(body);
    }

    let same = |what: &str, wanted: &str, got: &str| {
        let wanted = wanted.trim_end();
        if wanted == got { Ok(()) } else { Err(format!("{what}:\n--- wanted\n{wanted}\n--- got\n{got}\n---")) }
    };
    match (case.part("answered"), &reply) {
        (Some((line, block)), Some(reply)) => {
            let got = shown_reply(reply);
            // Without a block only status and key are looked at.
            let got = if block.is_empty() { got.lines().next().unwrap_or_default().to_owned() } else { got };
            same("answered", format!("{line}\n{block}").trim_end(), &got)?;
        }
        (Some(_), None) => return Err("it did not answer".into()),
        (None, Some(reply)) => return Err(format!("it answered:\n{}", shown_reply(reply))),
        (None, None) => {}
    }
    if let Some((_, block)) = case.part("forwarded") {
        let head = &exchange.request.as_ref().expect("a request").head;
        same("forwarded", block, &shown_request(head, forwarded_body.as_ref()))?;
    }
    if let Some((_, block)) = case.part("returned") {
        let head = exchange.response.as_deref().expect("a `response:` in the case");
        same("returned", block, &shown_response(head, returned_body.as_ref()))?;
    }
    for (name, value) in case.all("sets") {
        same(name, value, exchange.attributes.get(name).unwrap_or("nothing"))?;
    }
    Ok(())
}

#[test]
fn policies_do_what_their_cases_say() {
    let folder = |kind: &Kind<dyn Policy>| -> PathBuf {
        // A folder is named as its policy, without the `policy-` that some ids begin with.
        let name = kind.name.strip_prefix("policy-").unwrap_or(kind.name).replace('-', "_");
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)
    };
    let mut failures = Vec::new();
    let mut count = 0;
    for kind in POLICIES {
        let path = folder(kind).join("cases.txt");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let cases = parse(&text);
        if cases.len() < 2 {
            failures.push(format!("{}: needs a happy and a hostile case at least", path.display()));
        }
        for case in cases {
            count += 1;
            if let Err(reason) = run(kind, &case) {
                failures.push(format!("{}:{}: {}: {reason}", path.display(), case.line, case.title));
            }
        }
    }
    println!("{count} cases of {} policies", POLICIES.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
