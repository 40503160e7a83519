//! Conversations with every policy: `src/<policy>/cases.txt`, in which a case is
//!
//! ```text
//! # what it shows
//! configuration: {"name": "value"}            (`<name.wat>`: that file of `tests/modules`, compiled, in Base64)
//! attribute: plan = gold                      (any number of times: is there already)
//! client: 192.0.2.1                           (the peer's address; without it, none)
//! tls: true                                   (the client speaks TLS)
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
//! phase: response                             (only this phase runs; without it, every one that the policy takes part in)
//! answered: 403 SOME_KEY                      (instead: the policy answers; fields and body may follow, indented)
//! rejected: EncodedSlash                      (instead: the gateway refuses such a request before any policy runs)
//! times: 3                                    (the request comes so often; the last one counts)
//! sets: name = value                          (an attribute that is there afterwards)
//! warned: a part of the message               (a warning about the configuration)
//! refused: a part of the message              (instead of all that: the configuration is not accepted)
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringway_contract::kind::{Services, Source};
use ringway_contract::{ApiInfo, Client, Exchange, Kind, Node, Policy, Reply, Request, ResponseHead, Step};
use ringway_policies::POLICIES;
use support::{
    CONTEXT_PATH, Case, cases_of, message, parse, problems, same, shown_reply, shown_request, shown_response, wait,
};

fn settle(mut step: Step<'_>) -> Option<Box<Reply>> {
    loop {
        step = match step {
            Step::Next => return None,
            Step::Reply(reply) => return Some(reply),
            Step::Wait(mut future) => wait(future.as_mut()),
        }
    }
}

/// The text with each `<name.wat>` replaced by the module that is written there.
fn with_modules(text: &str) -> String {
    let Some((before, rest)) = text.split_once(".wat>") else { return text.to_owned() };
    let (before, name) = before.rsplit_once('<').expect("`<name.wat>`");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules").join(name).with_extension("wat");
    let module = wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    format!("{before}{}{}", STANDARD.encode(module), with_modules(rest))
}

fn run(kind: &Kind<dyn Policy>, case: &Case) -> Result<(), String> {
    let (configuration, block) = case.part("configuration").unwrap_or(("{}", ""));
    let text = with_modules(&format!("{configuration}{block}"));
    let node = Node::parse_json("configuration", &text).map_err(|error| error.to_string())?;
    let (errors, warnings) = problems(&kind.configuration, &node);
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
    if let Some((part, _)) = case.part("warned").filter(|(part, _)| !warnings.contains(part)) {
        return Err(format!("no warning of `{part}`: `{warnings}`"));
    }
    let place = format!("{}/{}", kind.name, case.title);
    let source = Source { configuration: Some(&node), shared: None, place: &place, resources: &[] };
    let policy = (kind.build)(source, &Services::default()).map_err(|refusal| refusal.to_string())?;
    let phases = policy.phases();

    let mut request = Box::<Request>::default();
    let (mut bytes, body) =
        message(case.part("request").map_or("GET /api HTTP/1.1\nHost: example.test", |(_, block)| block));
    let parsed = request.head.parse(&mut bytes, &Services::default().response_limits);
    match (case.part("rejected"), parsed) {
        (None, Ok(_)) => {}
        (None, Err(rejection)) => return Err(format!("request: {rejection:?}")),
        (Some(_), Ok(_)) => return Err("the request is not rejected".into()),
        (Some((wanted, _)), Err(rejection)) => return same("rejected", wanted, &format!("{rejection:?}")),
    }
    request.context_path_len = CONTEXT_PATH.len();
    let address =
        case.part("client").map(|(address, _)| std::net::SocketAddr::new(address.parse().expect("an address"), 40_000));
    let mut exchange = Exchange::new(
        request,
        Rc::new(ApiInfo { id: "api".into(), name: "API".into(), version: "1".into(), ..ApiInfo::default() }),
        Rc::default(),
        Client { address, tls: case.part("tls").is_some(), certificate: None },
    );
    for (name, value) in case.all("attribute") {
        exchange.attributes.set(name.to_owned(), value.to_owned());
    }

    let mut reply = None;
    let runs = |phase: &str| case.part("phase").is_none_or(|(only, _)| only == phase);
    if phases.request && runs("request") {
        exchange.contents.request = body.clone().filter(|_| phases.request_content);
        let times = case.part("times").map_or(1, |(times, _)| times.parse().expect("a number"));
        for _ in 0..times {
            reply = settle(policy.request(&mut exchange));
        }
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
        if phases.response && runs("response") && reply.is_none() {
            exchange.contents.response = body.clone().filter(|_| phases.response_content);
            reply = settle(policy.response(&mut exchange));
        }
        returned_body = exchange.contents.response.clone().or(body);
    }

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
    let mut failures = Vec::new();
    let mut count = 0;
    for kind in POLICIES {
        let path = cases_of(kind.name);
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
