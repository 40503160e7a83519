//! Conversations with every policy: `src/<policy>/cases.txt`, in which a case is
//!
//! ```text
//! # what it shows
//! configuration: {"name": "value"}            (`<rsa.pub>`: the text of that file of `tests/keys`, where the case has `filled:`;
//!                                             `<name.wat>`: that file of `tests/modules`, compiled, in Base64)
//! filled:                                     (in this case `<file>` is that file of `tests/keys`, `<path file>` the path of that file of
//!                                             `tests/data`, and `<now+60>` that second)
//! attribute: plan = gold                      (any number of times: is there already)
//! client: 192.0.2.1                           (the peer's address; without it, none)
//! resource: name type {"name": "value"}       (any number of times: a resource of the API)
//! endpoint: name http://next.test             (any number of times: an endpoint of the API, in a group of its own)
//! fetch: http://service.test/ask              (any number of times: what is answered there, indented; a body may follow the URL)
//! named: friends.example 192.0.2.1            (any number of times: a name and its addresses, one behind the other)
//! tls: true                                   (the client speaks TLS)
//! request:                                    (what the client sends; indented by four spaces; the context path is /api)
//!     GET /api/orders?id=1 HTTP/1.1
//!     Host: example.test
//!
//!     a body
//! response:                                   (what the backend sends, where the case is about the response, or about the call)
//!     HTTP/1.1 200 OK
//! response: BackendUnreachable                (or how it fails. Several requests and responses are taken in turn, the last response again
//!                                             and again, and the last exchange counts; `reached: 2`: so often the backend was called)
//! forwarded:                                  (what the backend is sent; `returned:` what the client is)
//!     GET /api/orders?id=1 HTTP/1.1
//!     Host: example.test
//! written:                                    (what is written down of the request: its fields, an empty line, its body)
//! phase: response                             (only this phase runs; without it, every one that the policy takes part in)
//! answered: 403 SOME_KEY                      (instead: the policy answers; fields and body may follow, indented)
//! message: a text                             (what that answer tells; `parameter: name = value` what it tells templates)
//! rejected: EncodedSlash                      (instead: the gateway refuses such a request before any policy runs)
//! delivery:                                   (a message on its way, where the case is about one: headers, an empty line, content; or
//!                                             content alone)
//! passed:                                     (the message afterwards; `dropped: yes` if it goes no further)
//! times: 3                                    (the request comes so often; the last one counts)
//! asked:                                      (the last call of a service, indented; `fetched: 2`: so many calls were made)
//! sets: name = value                          (an attribute that is there afterwards; `nothing`: it is not)
//! token: name key {} {}                       (the attribute is that token, with header and claims as they are written; as in `guards.rs`)
//! warned: a part of the message               (a warning about the configuration)
//! refused: a part of the message              (instead of all that: the configuration is not accepted)
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringway_contract::around::CALLS_MAX;
use ringway_contract::kind::{Resolving, Services, Source, decode};
use ringway_contract::{
    After, ApiInfo, Cause, Client, EndpointGroup, Exchange, Fault, Kind, Message, Node, Parcel, Policy, Reply, Request,
    RequestHead, ResponseHead, Step,
};
use ringway_policies::POLICIES;
use support::around::{self, filled, json_text, key_file, resource_problems};
use support::{
    Answers, CONTEXT_PATH, Case, cases_of, message, parse, problems, resources, same, shown_reply, shown_request,
    shown_response, shown_value, sign, wait,
};

fn settle(mut step: Step<'_>) -> Option<Box<Reply>> {
    loop {
        step = match step {
            Step::Next => return None,
            Step::Reply(reply) => return Some(reply),
            // Of messages; see `of_message`.
            Step::Drop => return None,
            Step::Wait(mut future) => wait(future.as_mut()),
        }
    }
}

/// An exchange that begins as the case says.
fn begun(case: &Case, request: Box<Request>) -> Exchange {
    let mut request = request;
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
    exchange
}

/// A group of one endpoint, from its name and its URL.
fn group(line: &str) -> EndpointGroup {
    let (name, target) = line.split_once(' ').expect("name URL");
    let text = format!(
        r#"{{"name": "{name}-group", "type": "any", "endpoints":
            [{{"name": "{name}", "type": "any", "configuration": {{"target": "{target}"}}}}]}}"#
    );
    decode(Some(&Node::parse_json("group", &text).expect("JSON"))).expect("a group")
}

/// Looks names up as the case says.
fn names(case: &Case) -> Rc<dyn Fn(String) -> Resolving> {
    let known: Vec<String> = case.blocks("named").map(|(line, _)| line.to_owned()).collect();
    Rc::new(move |name| {
        let found = known.iter().filter_map(|line| line.split_once(' ')).find(|(own, _)| *own == name);
        let found = found.map(|(_, rest)| rest.split(' ').map(|text| text.parse().expect("an address")).collect());
        Box::pin(std::future::ready(found))
    })
}

/// The backend of a case: its answers in turn, the last one again and again. One without a block is the name of a fault.
struct Backend<'a> {
    answers: Vec<(&'a str, &'a str)>,
    reached: usize,
}

impl Backend<'_> {
    /// Calls it, with what the policy put around the call, as the engine does.
    fn call(&mut self, exchange: &mut Exchange, sent: Option<&Bytes>) -> Result<Option<Box<Reply>>, String> {
        let arounds = exchange.arounds.clone();
        for around in arounds.iter().rev() {
            if let Some(reply) = settle(around.before(exchange)) {
                return Ok(Some(reply));
            }
            if exchange.response.is_some() {
                return Ok(None);
            }
        }
        exchange.request_tapped.data(sent.map(|body| &**body).unwrap_or_default());
        exchange.request_tapped.end();
        for _ in 0..CALLS_MAX {
            let (fault, block) = self.answers[self.reached.min(self.answers.len() - 1)];
            self.reached += 1;
            let mut response = Box::<ResponseHead>::default();
            let (mut bytes, body) = message(block);
            let fault = Cause::ALL.iter().find(|cause| format!("{cause:?}") == fault).map(|cause| Fault::new(*cause));
            if fault.is_none() {
                let method = exchange.request.as_ref().map(|request| request.head.method.clone()).unwrap_or_default();
                let parsed = response.parse(&mut bytes, &Services::default().response_limits, &method);
                parsed.map_err(|error| format!("response: {error:?}"))?;
                exchange.response = Some(response);
            }
            let mut again = false;
            for around in arounds.iter() {
                match around.after(exchange, fault) {
                    After::Next => {}
                    After::Again(_) => again = true,
                    After::Reply(reply) => return Ok(Some(reply)),
                }
            }
            if again {
                exchange.response = None;
                exchange.tapped.take();
                continue;
            }
            if let Some(fault) = fault {
                let reply = Reply::refusal(fault.cause.status(), fault.cause.key(), fault.cause.message());
                return Ok(Some(Box::new(reply)));
            }
            let body = body.unwrap_or_default();
            exchange.tapped.data(&body);
            exchange.tapped.end();
            exchange.contents.response.get_or_insert(body);
            return Ok(None);
        }
        Err("it is called again and again".into())
    }
}

/// Runs a policy on a message.
fn of_message(policy: &dyn Policy, exchange: &mut Exchange, case: &Case, block: &str) -> Result<(), String> {
    let has_headers = block.lines().next().is_some_and(|line| {
        line.split_once(": ")
            .is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
    });
    let (headers, content) = match block.split_once("\n\n") {
        Some((headers, content)) if has_headers => (headers, content),
        _ if has_headers => (block, ""),
        _ => ("", block),
    };
    let mut message = Message::new(content.trim_end_matches('\n').to_owned());
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").ok_or("a header is `name: value`")?;
        message.append_header(name, value.to_owned());
    }
    let phases = policy.phases();
    if !phases.publish && !phases.subscribe {
        return Err("the policy does not act on messages".into());
    }
    exchange.message = Some(Box::new(Parcel::from(message)));
    let mut dropped = false;
    let reply = match policy.message(exchange) {
        Step::Drop => {
            dropped = true;
            None
        }
        step => settle(step),
    };
    for (name, value) in case.all("sets") {
        let attributes = exchange.message.as_deref().and_then(|parcel| parcel.message.attributes.as_deref());
        let found = attributes.and_then(|attributes| attributes.get(name));
        same("attribute", value, found.unwrap_or("(not there)"))?;
    }
    if let Some((wanted, _)) = case.part("answered") {
        return match reply {
            Some(reply) => same("answered", wanted.trim(), format!("{} {}", reply.status.as_u16(), reply.key).trim()),
            None => Err("the message is not refused".into()),
        };
    }
    if let Some(reply) = reply {
        return Err(format!("the message is refused: {}", reply.key));
    }
    if dropped != case.part("dropped").is_some() {
        return Err(format!("dropped: {dropped}"));
    }
    let Some((_, wanted)) = case.part("passed") else { return Ok(()) };
    let parcel = exchange.message.as_deref().ok_or("the message is gone")?;
    let mut shown = String::new();
    for (name, value) in &parcel.message.headers {
        shown.push_str(&format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    }
    if !shown.is_empty() {
        shown.push('\n');
    }
    shown.push_str(&String::from_utf8_lossy(&parcel.message.content));
    same("passed", wanted.trim_end(), shown.trim_end())
}

/// What is written down of a request, with what the policy hides of it.
fn written(policy: &dyn Policy, head: &RequestHead, body: Option<&Bytes>) -> String {
    let mask = policy.mask().expect("a policy that hides something");
    let mut text = String::new();
    for (name, value) in head.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length")) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let mut value = String::from_utf8_lossy(value).into_owned();
        mask.field(&name, &mut value);
        text += &format!("{name}: {value}\n");
    }
    let mut body = String::from_utf8_lossy(body.map(|body| &**body).unwrap_or_default()).into_owned();
    mask.body(&mut body, true);
    format!("{text}\n{body}").trim_end().to_owned()
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
    let fill = |text: &str, file: fn(&str) -> String| {
        if case.part("filled").is_some() { filled(text, file) } else { text.to_owned() }
    };
    let (configuration, block) = case.part("configuration").unwrap_or(("{}", ""));
    let configuration = fill(&with_modules(&format!("{configuration}{block}")), json_text);
    let node = Node::parse_json("configuration", &configuration).map_err(|error| error.to_string())?;
    let resources = resources(case);
    let (mut errors, mut warnings) = problems(&kind.configuration, &node);
    let of_resources = resource_problems(&kind.configuration, &node, &resources);
    errors += &of_resources.0;
    warnings += &of_resources.1;
    if !errors.is_empty() && case.part("refused").is_none() {
        return Err(errors);
    }
    if let Some((part, _)) = case.part("warned").filter(|(part, _)| !warnings.contains(part)) {
        return Err(format!("no warning of `{part}`: `{warnings}`"));
    }
    let place = format!("{}/{}", kind.name, case.title);
    let answers = Answers::of(case, str::to_owned);
    let groups: Vec<EndpointGroup> = case.blocks("endpoint").map(|(line, _)| group(line)).collect();
    let source =
        Source { configuration: Some(&node), shared: None, place: &place, resources: &resources, groups: &groups };
    let spawn = |mut future: Pin<Box<dyn Future<Output = ()>>>| wait(future.as_mut());
    let services = Services { fetch: Some(answers.clone()), resolve: names(case), spawn, ..Services::default() };
    let built = (kind.build)(source, &services).map_err(|refusal| refusal.to_string());
    if let Some((part, _)) = case.part("refused") {
        let told = format!("{errors}{}", built.err().unwrap_or_default());
        return if told.contains(part) && !told.is_empty() { Ok(()) } else { Err(format!("refused with: `{told}`")) };
    }
    let policy = built?;
    let phases = policy.phases();

    if let Some((_, block)) = case.part("delivery") {
        return of_message(policy.as_ref(), &mut begun(case, Box::default()), case, block);
    }
    let given: Vec<&str> = case.blocks("request").map(|(_, block)| block).collect();
    let given = if given.is_empty() { vec!["GET /api HTTP/1.1\nHost: example.test"] } else { given };
    let mut backend = Backend { answers: case.blocks("response").collect(), reached: 0 };
    let (mut exchange, mut reply, mut forwarded_body, mut returned_body) = Default::default();
    for block in given {
        let mut request = Box::<Request>::default();
        let (mut bytes, body) = message(&fill(block, key_file));
        let parsed = request.head.parse(&mut bytes, &Services::default().response_limits);
        match (case.part("rejected"), parsed) {
            (None, Ok(_)) => {}
            (None, Err(rejection)) => return Err(format!("request: {rejection:?}")),
            (Some(_), Ok(_)) => return Err("the request is not rejected".into()),
            (Some((wanted, _)), Err(rejection)) => return same("rejected", wanted, &format!("{rejection:?}")),
        }
        let mut own = begun(case, request);
        reply = None;
        let runs = |phase: &str| case.part("phase").is_none_or(|(only, _)| only == phase);
        if phases.request && runs("request") {
            own.contents.request = body.clone().filter(|_| phases.request_content);
            let times = case.part("times").map_or(1, |(times, _)| times.parse().expect("a number"));
            for _ in 0..times {
                reply = settle(policy.request(&mut own));
            }
        }
        forwarded_body = own.contents.request.clone().or(body);
        returned_body = None;
        if reply.is_none() && !backend.answers.is_empty() {
            reply = backend.call(&mut own, forwarded_body.as_ref())?;
            returned_body = own.contents.response.clone();
            if phases.response && runs("response") && reply.is_none() {
                own.contents.response = returned_body.clone().filter(|_| phases.response_content);
                reply = settle(policy.response(&mut own));
                returned_body = own.contents.response.clone().or(returned_body);
            }
        }
        exchange = Some(own);
    }
    let exchange = exchange.expect("a request");

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
    if let (Some((message, _)), Some(reply)) = (case.part("message"), &reply) {
        same("message", message, &reply.message)?;
    }
    for (name, value) in case.all("parameter") {
        let told = reply.iter().flat_map(|reply| &reply.parameters).find(|(known, _)| known == name);
        same(name, value, told.map_or("nothing", |(_, value)| value))?;
    }
    if let Some((_, block)) = case.part("written") {
        let head = &exchange.request.as_ref().expect("a request").head;
        same("written", block, &written(policy.as_ref(), head, forwarded_body.as_ref()))?;
    }
    if let Some((_, block)) = case.part("forwarded") {
        let head = &exchange.request.as_ref().expect("a request").head;
        same("forwarded", block, &shown_request(head, forwarded_body.as_ref()))?;
    }
    if let Some((_, block)) = case.part("returned") {
        let head = exchange.response.as_deref().expect("a `response:` in the case");
        same("returned", block, &shown_response(head, returned_body.as_ref()))?;
    }
    if let Some((times, _)) = case.part("reached") {
        same("reached", times, &backend.reached.to_string())?;
    }
    if let Some((_, block)) = case.part("asked") {
        same("asked", block, &answers.last.borrow())?;
    }
    if let Some((line, _)) = case.part("token") {
        let (name, line) = line.split_once(' ').expect("name key {} {}");
        let signed = |skew: i64| {
            let line = around::filled_at(line, skew, |name| format!("<{name}>"));
            let (key, parts) = line.split_once(' ').expect("key {} {}");
            sign(key, key_file, parts)
        };
        let got = exchange.attributes.get(name).unwrap_or("nothing");
        // It was made in this second or in the one before.
        if got != signed(-1) {
            same(name, &signed(0), got)?;
        }
    }
    if let Some((count, _)) = case.part("fetched") {
        same("fetched", count, &answers.calls.get().to_string())?;
    }
    for (name, value) in case.all("sets") {
        let got = exchange.attributes.value(name).map_or("nothing".into(), |value| shown_value(&value));
        same(name, value, &got)?;
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
