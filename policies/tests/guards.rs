//! Conversations with the guards of plans: `src/<guard>/cases.txt`. A case is as in `cases.rs`, with these parts instead:
//!
//! ```text
//! # what it shows
//! configuration: {"name": "value"}            (`<rsa.pub>`: the text of that file of `tests/keys`, within a JSON text)
//! resource: name type {"name": "value"}       (any number of times: a resource of the API)
//! subscriber: key = secret                    (any number of times: who is subscribed; by `key`, `client` or `certificate`, a file)
//! client: 192.0.2.1                           (the peer's address; without it, none)
//! certificate: rsa.crt                        (what the client showed in its TLS handshake)
//! token: rsa.key {"alg": "RS256"} {"sub": "ada"}   (in the request `<token>` is this one, signed; `<now+60>` is that second)
//! fetch: http://keys.test/set                 (any number of times: what is answered there, indented)
//! request:
//!     GET /api/orders HTTP/1.1
//!     Authorization: Bearer <token>
//! times: 3                                    (so often the request is made; all must end alike)
//! fetched: 1                                  (so many calls were made)
//!                                             (`<encoded rsa.crt>`: that file, percent-encoded; `<der rsa.crt>`: its DER in base64)
//! admitted: secret                            (the credential of the subscriber; `nobody`)
//! passed:                                     (instead: another plan is asked)
//! answered: 401 SOME_KEY                      (instead: it is refused)
//! forwarded:                                  (the request as it is afterwards)
//! sets: name = value                          (an attribute that is there afterwards; `nothing`: it is not)
//! refused: a part of the message              (instead of all that: the configuration is not accepted)
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod support;

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway_contract::kind::{Services, Source};
use ringway_contract::subscriber::fingerprint;
use ringway_contract::{
    Admission, ApiInfo, Certificate, Client, Exchange, Guard, Kind, Node, Reply, Request, Subscriber, Subscribers,
};
use ringway_policies::GUARDS;
use support::around::{der, filled, json_text, key_file, resource_problems};
use support::{
    Answers, CONTEXT_PATH, Case, cases_of, message, parse, problems, resources, same, shown_reply, shown_request, sign,
    wait,
};

/// How an exchange ended with a guard.
enum Ended {
    Passed,
    Admitted(Option<Rc<Subscriber>>),
    Refused(Box<Reply>),
}

fn settle(mut admission: Admission<'_>) -> Ended {
    loop {
        admission = match admission {
            Admission::Pass => return Ended::Passed,
            Admission::Admit(subscriber) => return Ended::Admitted(subscriber),
            Admission::Refuse(reply) => return Ended::Refused(reply),
            Admission::Wait(mut future) => wait(future.as_mut()),
        }
    }
}

fn subscribers(case: &Case) -> Subscribers {
    let mut all = Subscribers::default();
    for (by, credential) in case.all("subscriber") {
        let application = "application".to_owned();
        let subscriber = Subscriber { id: credential.into(), application, ends_ms: u64::MAX, ..Subscriber::default() };
        let subscriber = Rc::new(subscriber);
        match by {
            "key" => all.add_key(fingerprint(credential.as_bytes()), &subscriber, u64::MAX),
            "client" => all.add_client(credential, &subscriber),
            "certificate" => all.add_certificate(fingerprint(&der(credential)), &subscriber, u64::MAX),
            other => panic!("subscriber: {other}"),
        }
    }
    all
}

fn run(kind: &Kind<dyn Guard>, case: &Case) -> Result<(), String> {
    let (configuration, block) = case.part("configuration").unwrap_or(("{}", ""));
    let text = filled(&format!("{configuration}{block}"), json_text);
    let node = Node::parse_json("configuration", &text).map_err(|error| error.to_string())?;
    let resources = resources(case);
    let place = format!("{}/{}", kind.name, case.title);
    let answers = Answers::of(case, |block| filled(block, |name| format!("<{name}>")));
    let services = Services { fetch: Some(answers.clone()), ..Services::default() };
    let (mut errors, _) = problems(&kind.configuration, &node);
    errors += &resource_problems(&kind.configuration, &node, &resources).0;
    let source = Source { configuration: Some(&node), shared: None, place: &place, resources: &resources, groups: &[] };
    let guard = match (kind.build)(source, &services) {
        Ok(guard) if errors.is_empty() => Some(guard),
        Ok(_) => None,
        Err(refusal) => {
            errors += &refusal.to_string();
            None
        }
    };
    if let Some((part, _)) = case.part("refused") {
        let found = errors.contains(part) && !errors.is_empty();
        return if found { Ok(()) } else { Err(format!("refused with: `{errors}`")) };
    }
    let guard = guard.ok_or(errors)?;

    let token = case.part("token").map(|(line, block)| {
        let line = filled(&format!("{line}{block}"), |name| format!("<{name}>"));
        let (key, rest) = line.split_once(' ').expect("key {} {}");
        sign(key, key_file, rest.trim())
    });
    let subscribers = subscribers(case);
    let times = case.part("times").map_or(1, |(times, _)| times.parse().expect("a number"));
    for _ in 0..times {
        once(&*guard, case, token.as_deref(), &subscribers)?;
    }
    if let Some((count, _)) = case.part("fetched") {
        same("fetched", count, &answers.calls.get().to_string())?;
    }
    Ok(())
}

fn once(guard: &dyn Guard, case: &Case, token: Option<&str>, subscribers: &Subscribers) -> Result<(), String> {
    let mut request = Box::<Request>::default();
    let fill = |name: &str| match (name, name.split_once(' ')) {
        ("token", _) => token.unwrap_or_default().to_owned(),
        (_, Some(("encoded", name))) => key_file(name).replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B"),
        (_, Some(("der", name))) => STANDARD.encode(der(name)),
        _ => key_file(name),
    };
    let given = case.part("request").map_or("GET /api HTTP/1.1\nHost: example.test", |(_, block)| block);
    let (mut bytes, body) = message(&filled(given, fill));
    let limits = Services::default().response_limits;
    request.head.parse(&mut bytes, &limits).map_err(|error| format!("request: {error:?}"))?;
    request.context_path_len = CONTEXT_PATH.len();
    let certificate = case.part("certificate").map(|(name, _)| Rc::new(Certificate { der: der(name).into() }));
    let api = ApiInfo { id: "api".into(), name: "API".into(), version: "1".into(), ..ApiInfo::default() };
    let address =
        case.part("client").map(|(address, _)| std::net::SocketAddr::new(address.parse().expect("an address"), 40_000));
    let client = Client { address, tls: certificate.is_some(), certificate };
    let mut exchange = Exchange::new(request, Rc::new(api), Rc::default(), client);

    let ended = settle(guard.admit(&mut exchange, subscribers));
    if matches!(ended, Ended::Admitted(_)) {
        guard.conceal(&mut exchange);
    }
    let shown = match &ended {
        Ended::Passed => "passed: ".to_owned(),
        Ended::Admitted(who) => format!("admitted: {}", who.as_deref().map_or("nobody", |known| &known.id)),
        Ended::Refused(reply) => format!("answered: {}", shown_reply(reply)),
    };
    let wanted =
        ["passed", "admitted", "answered"].into_iter().find_map(|name| case.part(name).map(|part| (name, part)));
    let (name, (line, block)) = wanted.expect("`admitted:`, `passed:` or `answered:`");
    // Without a block only status and key are looked at.
    let shown = if block.is_empty() { shown.lines().next().unwrap_or_default() } else { &shown };
    same(name, format!("{name}: {line}\n{block}").trim(), shown.trim())?;
    if let Some((_, block)) = case.part("forwarded") {
        let head = &exchange.request.as_ref().expect("a request").head;
        same("forwarded", &filled(block, fill), &shown_request(head, body.as_ref()))?;
    }
    for (name, value) in case.all("sets") {
        let got = exchange.attributes.value(name).map_or("nothing".into(), |value| support::shown_value(&value));
        same(name, &filled(value, fill), &got)?;
    }
    Ok(())
}

#[test]
fn guards_do_what_their_cases_say() {
    let mut failures = Vec::new();
    let mut count = 0;
    for kind in GUARDS {
        let path = cases_of(kind.name);
        let cases = parse(&std::fs::read_to_string(&path).unwrap_or_default());
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
    println!("{count} cases of {} guards", GUARDS.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
