//! Who may call: plans, their guards, and the applications that are subscribed to them.

use std::thread;

use ringway_tests::{Api, Backend, Client, Gateway, Head, Scratch, tool, wait_until};
use serde_json::json;

/// An API with a plan for keys, and an open one where `open`.
fn api(backend: &Backend, open: bool) -> Api {
    let gold = json!({ "name": "Gold", "status": "PUBLISHED", "security": { "type": "API_KEY" } });
    let free = json!({ "name": "Free", "status": "PUBLISHED", "security": { "type": "KEY_LESS" } });
    let plans = if open { json!([free, gold]) } else { json!([gold]) };
    Api::proxy("/", &backend.target()).with("id", json!("orders")).with("plans", plans)
}

fn applications(keys: &str) -> String {
    format!(
        "applications:\n  - id: shop\n    subscriptions:\n      - api: orders\n        plan: Gold\n        apiKeys:\n{keys}"
    )
}

/// The answer to a GET with these fields.
fn ask(gateway: &Gateway, target: &str, fields: &str) -> (Head, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    let (head, body) = Client::ask(gateway.http(), &request);
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn a_key_opens_its_plan_until_it_is_taken_back() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::configured("", &[api(&backend, false)]);
    let status = |fields: &str| ask(&gateway, "/", fields).0.status();
    assert_eq!(status("X-Gravitee-Api-Key: first-key\r\n"), 401, "nobody is subscribed");

    gateway.write("apis/people.yaml", &applications("          - key: first-key\n          - key: second-key\n"));
    let (code, text) = gateway.reload();
    assert_eq!(code, 200, "{text}");
    assert_eq!(status("X-Gravitee-Api-Key: first-key\r\n"), 200);
    assert_eq!(status("X-Gravitee-Api-Key: second-key\r\n"), 200);
    for (fields, key) in [
        ("", "GATEWAY_PLAN_UNRESOLVABLE"),
        ("X-Gravitee-Api-Key:\r\n", "API_KEY_MISSING"),
        ("X-Gravitee-Api-Key: first-kez\r\n", "API_KEY_INVALID"),
        ("X-Gravitee-Api-Key: first-key2\r\n", "API_KEY_INVALID"),
    ] {
        let (head, body) = ask(&gateway, "/", fields);
        assert_eq!(head.status(), 401, "{fields}");
        assert!(body.contains(key), "{fields}: {body}");
    }

    let revoked = "          - { key: first-key, revoked: true }\n          - { key: second-key, expireAt: '2020-01-01T00:00:00Z' }\n";
    gateway.write("apis/people.yaml", &applications(revoked));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(status("X-Gravitee-Api-Key: first-key\r\n"), 401, "it was revoked");
    assert_eq!(status("X-Gravitee-Api-Key: second-key\r\n"), 401, "it is over");
    assert!(!gateway.log().contains("first-key"), "keys are not logged");
}

#[test]
fn the_backend_does_not_see_the_key() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::configured("", &[api(&backend, false)]);
    gateway.write("apis/people.yaml", &applications("          - key: first-key\n"));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(ask(&gateway, "/x", "X-Gravitee-Api-Key: first-key\r\n").0.status(), 200);
    assert_eq!(ask(&gateway, "/x?a=1&api-key=first-key&b=2", "").0.status(), 200);
    assert_eq!(ask(&gateway, "/x?api%2Dkey=first-key", "").0.status(), 200);
    for ((head, _), target) in backend.seen().iter().zip(["/x", "/x?a=1&b=2", "/x"]) {
        assert_eq!((head.target(), head.field("x-gravitee-api-key")), (target, None));
    }
}

#[test]
fn keys_and_tokens_of_queries_and_fields_are_written_down_nowhere() {
    let backend = Backend::ok("ok");
    let security = json!({
        "type": "API_KEY", "configuration": { "header": "X-Pass", "param": "pass", "propagateApiKey": true },
    });
    let logging = json!({
        "mode": { "entrypoint": true, "endpoint": true }, "phase": { "request": true, "response": true },
        "content": { "headers": true, "payload": true },
    });
    let orders =
        api(&backend, false).with("plans/0/security", security).with("analytics", json!({ "logging": logging }));
    for format in ["json", "common"] {
        let yaml = format!("logging: {{ access: {{ format: {format}, path: '{{dir}}/access.log' }} }}\n");
        let other = Api::proxy("/open", &backend.target());
        let gateway = Gateway::configured(&yaml, &[orders.clone(), other]);
        gateway.write("apis/people.yaml", &applications("          - key: first-key\n"));
        assert_eq!(gateway.reload().0, 200);
        for (target, fields, status) in [
            ("/x?a=1&pass=first-key&b=2", "", 200),
            ("/x?p%61ss=first-key", "", 200),
            ("/x", "X-Pass: first-key\r\n", 200),
            ("/x?pass=first-key-of-another", "", 401),
            ("/open?access_token=first-key", "Authorization: Bearer first-key\r\n", 200),
        ] {
            assert_eq!(ask(&gateway, target, fields).0.status(), status, "{target}");
        }
        let log = || std::fs::read_to_string(gateway.folder().join("access.log")).unwrap_or_default();
        // Of the first API a line and a record for each.
        wait_until("the lines", || log().lines().count() == 9);
        let log = log();
        assert!(!log.contains("first-key"), "{log}");
        assert_eq!(log.matches("/x?a=1&pass=*****&b=2").count(), 3, "{log}");
        assert!(log.contains("/x?p%61ss=*****") && log.contains("/open?access_token=*****"), "{log}");
        assert!(log.contains("[\"x-pass\",\"*****\"]"), "{log}");
        assert!(!gateway.log().contains("first-key"));
    }
    assert_eq!(backend.seen()[0].0.target(), "/x?a=1&pass=first-key&b=2", "the backend gets it as it was");
}

#[test]
fn who_shows_a_bad_key_is_not_let_in_by_an_open_plan() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::configured("", &[api(&backend, true)]);
    assert_eq!(ask(&gateway, "/", "").0.status(), 200);
    let (head, body) = ask(&gateway, "/", "X-Gravitee-Api-Key: made-up-key\r\n");
    assert_eq!(head.status(), 401);
    assert!(body.contains("API_KEY_INVALID"), "{body}");
}

#[test]
fn a_plan_whose_rule_does_not_hold_leaves_the_request_to_the_next() {
    let backend = Backend::ok("ok");
    let plan = |name: &str, region: &str| {
        json!({
            "name": name, "status": "PUBLISHED", "security": { "type": "API_KEY" },
            "selectionRule": format!("{{#request.headers['x-region'][0] == '{region}'}}"),
        })
    };
    let name = json!({ "addHeaders": [{ "name": "X-Plan", "value": "{#context.attributes['plan']}" }] });
    let flows = json!([{ "request": [{ "policy": "transform-headers", "configuration": name }] }]);
    let plans = json!([plan("North", "north"), plan("South", "south")]);
    let api = Api::proxy("/", &backend.target()).with("id", json!("orders")).with("plans", plans);
    let gateway = Gateway::configured("", &[api.with("flows", flows)]);
    let of = |plan: &str| format!("{{ api: orders, plan: {plan}, apiKeys: [{{ key: shared-key }}] }}");
    let people = format!("applications: [{{ id: shop, subscriptions: [{}, {}] }}]", of("North"), of("South"));
    gateway.write("apis/people.yaml", &people);
    let (code, text) = gateway.reload();
    assert_eq!(code, 200, "{text}");
    for (region, plan) in [("north", "north"), ("south", "south")] {
        let fields = format!("X-Region: {region}\r\nX-Gravitee-Api-Key: shared-key\r\n");
        assert_eq!(ask(&gateway, "/", &fields).0.status(), 200, "{region}");
        let (head, _) = backend.seen().pop().expect("a request");
        assert_eq!((head.field("x-plan"), head.field("x-gravitee-api-key")), (Some(plan), None));
    }
    let fields = "X-Region: west\r\nX-Gravitee-Api-Key: shared-key\r\n";
    assert_eq!(ask(&gateway, "/", fields).0.status(), 401);
}

#[test]
fn a_plan_restricts_all_callers_but_the_applications_that_it_names() {
    let rate = |unit: &str| json!({ "limit": 1, "periodTime": 1, "periodTimeUnit": unit });
    let keys = |name: &str| {
        format!("{{ id: {name}, subscriptions: [{{ api: orders, plan: Gold, apiKeys: [{{ key: key-of-{name} }}] }}] }}")
    };
    for (policy, configuration, refused) in [
        ("rate-limit", json!({ "rate": rate("MINUTES") }), 429),
        ("quota", json!({ "quota": rate("DAYS") }), 429),
        ("resource-filtering", json!({ "blacklist": [{ "pattern": "/admin/**", "methods": ["GET"] }] }), 405),
        ("ip-filtering", json!({ "blacklistIps": ["127.0.0.0/8"] }), 403),
    ] {
        let backend = Backend::ok("ok");
        let condition = "{#context.attributes['application'] != 'partner'}";
        let step = json!({ "policy": policy, "condition": condition, "configuration": configuration });
        let gold = api(&backend, false).with("plans/0/flows", json!([{ "request": [step] }]));
        let gateway = Gateway::configured("", &[gold]);
        gateway.write("apis/people.yaml", &format!("applications: [{}, {}]", keys("shop"), keys("partner")));
        let (code, text) = gateway.reload();
        assert_eq!(code, 200, "{text}");
        for (name, status) in [("shop", refused), ("partner", 200)] {
            let fields = format!("X-Gravitee-Api-Key: key-of-{name}\r\n");
            // Limits let the first one pass.
            ask(&gateway, "/admin/x", &fields);
            assert_eq!(ask(&gateway, "/admin/x", &fields).0.status(), status, "{policy}: {name}");
        }
    }
}

#[test]
fn flows_and_steps_run_under_their_conditions() {
    let backend = Backend::ok("ok");
    let set = |name: &str| json!({ "addHeaders": [{ "name": name, "value": "1" }] });
    let api = Api::proxy("/", &backend.target()).with(
        "flows",
        json!([
            {
                "selectors": [
                    { "type": "HTTP", "path": "/orders/:id", "pathOperator": "STARTS_WITH" },
                    { "type": "CONDITION", "condition": "{#request.pathParams['id'] != '0'}" },
                ],
                "request": [
                    { "policy": "transform-headers", "configuration": set("X-Always") },
                    {
                        "policy": "transform-headers",
                        "condition": "{#request.headers['x-tier'][0] == 'gold' && #request.params['page'][0] == '2'}",
                        "configuration": set("X-Gold"),
                    },
                    {
                        "policy": "transform-headers",
                        "condition": "{#jsonPath(#request.content, '$.items').size() > 1}",
                        "configuration": set("X-Many"),
                    },
                ],
            },
        ]),
    );
    let gateway = Gateway::configured("", &[api]);
    let post = |target: &str, tier: &str, body: &str| {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Tier: {tier}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let (head, _) = Client::ask(gateway.http(), &request);
        assert_eq!(head.status(), 200, "{head:?}");
        let (head, kept) = backend.seen().pop().expect("it came to the backend");
        assert_eq!(kept, body.as_bytes(), "the body that was looked at goes on whole");
        ["x-always", "x-gold", "x-many"].into_iter().filter(|name| head.field(name).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(post("/orders/7?page=2", "gold", r#"{"items":[1,2]}"#), ["x-always", "x-gold", "x-many"]);
    assert_eq!(post("/orders/7?page=1", "gold", r#"{"items":[1]}"#), ["x-always"]);
    assert_eq!(post("/orders/7?page=2", "silver", "no JSON"), ["x-always"]);
    assert_eq!(post("/orders/0?page=2", "gold", r#"{"items":[1,2]}"#), [""; 0]);
    assert_eq!(post("/others/7?page=2", "gold", r#"{"items":[1,2]}"#), [""; 0]);
}

#[test]
fn a_body_that_is_held_has_a_bound_and_its_coding_is_taken_off() {
    let backend = Backend::ok("ok");
    let step = json!({
        "policy": "transform-headers",
        "condition": "{#request.content.contains('hello')}",
        "configuration": { "addHeaders": [{ "name": "X-Hello", "value": "1" }] },
    });
    let api = Api::proxy("/", &backend.target()).with("flows", json!([{ "request": [step] }]));
    let gateway = Gateway::configured("limits: { contentBytes: 1024 }", &[api]);
    let post = |fields: &str, body: &[u8]| {
        let mut peer = Client::connect(gateway.http());
        peer.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{fields}\r\n", body.len()));
        peer.send(body);
        peer.response()
    };
    // `printf hello | gzip -n`
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
    let (head, _) = post("Content-Encoding: gzip\r\n", gzip);
    assert_eq!(head.status(), 200);
    let (seen, kept) = backend.only();
    assert_eq!((kept.as_slice(), seen.field("x-hello")), (&b"hello"[..], Some("1")));
    assert_eq!((seen.field("content-encoding"), seen.field("content-length")), (None, Some("5")));

    let (head, body) = post("", &[b'x'; 1025]);
    assert_eq!(head.status(), 413);
    assert!(String::from_utf8_lossy(&body).contains("REQUEST_CONTENT_LIMIT_TOO_LARGE"));
    let (head, body) = post("Content-Encoding: br\r\n", b"?");
    assert_eq!((head.status(), head.field("accept-encoding")), (415, Some("gzip, deflate, identity")));
    assert!(String::from_utf8_lossy(&body).contains("UNSUPPORTED_CONTENT_ENCODING"));
    assert_eq!(post("Content-Encoding: gzip\r\n", b"no gzip").0.status(), 400);
    // Who asks before the body is sent is told to send it.
    let mut peer = Client::connect(gateway.http());
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(peer.head().status(), 100);
    peer.send("hello");
    assert_eq!(peer.response().0.status(), 200);
    assert_eq!(backend.seen().pop().map(|(head, _)| head.field("expect").map(str::to_owned)), Some(None));
}

/// Prints a set of keys with the public half of an RSA key, and a token of these claims signed by it.
const SIGN: &str = r#"
import base64, json, subprocess, sys
key, claims = sys.argv[1:3]
encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
modulus = subprocess.check_output(["openssl", "rsa", "-in", key, "-noout", "-modulus"]).decode().strip().split("=")[1]
public = {"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": encode(bytes.fromhex(modulus)), "e": "AQAB"}
signed = encode(json.dumps({"alg": "RS256", "kid": "one"}).encode()) + "." + encode(claims.encode())
sign = ["openssl", "dgst", "-sha256", "-sign", key]
signature = subprocess.run(sign, input=signed.encode(), capture_output=True, check=True).stdout
print(json.dumps({"keys": [public]}))
print(signed + "." + encode(signature))
"#;

#[test]
fn a_token_is_checked_with_keys_that_the_gateway_fetches() {
    let folder = Scratch::new("tokens");
    let keys: Vec<String> = ["own.key", "other.key"].map(|name| folder.join(name).display().to_string()).into();
    for key in &keys {
        tool::run("openssl", ["genrsa", "-out", key, "2048"]).ok();
    }
    let sign = |key: &str, claims: &str| {
        let text = tool::python(SIGN, &[key, claims]).ok();
        let (set, token) = text.trim().split_once('\n').expect("two lines");
        (set.to_owned(), token.to_owned())
    };
    let claims = r#"{"client_id": "shop-client", "sub": "ann", "exp": 4102444800}"#;
    let (set, good) = sign(&keys[0], claims);
    let (_, forged) = sign(&keys[1], claims);
    let (_, over) = sign(&keys[0], r#"{"client_id": "shop-client", "exp": 1000000000}"#);
    let (_, strange) = sign(&keys[0], r#"{"client_id": "nobody", "exp": 4102444800}"#);

    let issuer = Backend::replies(move |_, _| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{set}", set.len())
    });
    let backend = Backend::ok("ok");
    let configuration = json!({
        "signature": "RSA_RS256", "publicKeyResolver": "JWKS_URL", "resolverParameter": format!("{}/keys", issuer.target()), "propagateAuthHeader": false,
    });
    let plan =
        json!({ "name": "Gold", "status": "PUBLISHED", "security": { "type": "JWT", "configuration": configuration } });
    let show = json!({ "addHeaders": [{ "name": "X-User", "value": "{#context.attributes['user']} of {#context.attributes['application']}" }] });
    let flow = json!({ "request": [{ "policy": "transform-headers", "configuration": show }] });
    let api = Api::proxy("/", &backend.target()).with("id", json!("orders")).with("plans", json!([plan]));
    let gateway = Gateway::configured("", &[api.with("flows", json!([flow]))]);
    let people =
        "applications:\n  - id: shop\n    clientId: shop-client\n    subscriptions: [{ api: orders, plan: Gold }]\n";
    gateway.write("apis/people.yaml", people);
    let (code, text) = gateway.reload();
    assert_eq!(code, 200, "{text}");

    let status = |token: &str| ask(&gateway, "/", &format!("Authorization: Bearer {token}\r\n")).0.status();
    assert_eq!(status(&good), 200);
    let (seen, _) = backend.only();
    assert_eq!((seen.field("x-user"), seen.field("authorization")), (Some("ann of shop"), None));
    for (token, why) in [(&forged, "signed by another key"), (&over, "expired"), (&strange, "of nobody")] {
        assert_eq!(status(token), 401, "{why}");
    }
    for _ in 0..20 {
        assert_eq!(status(&good), 200);
    }
    assert_eq!(ask(&gateway, "/", "").0.status(), 401);
    assert!(
        issuer.seen().len() <= 4,
        "the keys are fetched now and then, not for every token: {}",
        issuer.seen().len()
    );
}

#[test]
fn a_limit_is_one_whatever_the_shard() {
    const LIMIT: usize = 25;
    let backend = Backend::ok("ok");
    let rate = json!({ "addHeaders": true, "rate": { "limit": LIMIT, "periodTime": 10, "periodTimeUnit": "MINUTES" } });
    let flow = json!({ "request": [{ "policy": "rate-limit", "configuration": rate }] });
    let api = Api::proxy("/", &backend.target()).with("flows", json!([flow]));
    let gateway = Gateway::configured("shards: 4", &[api]);
    let address = gateway.http();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                let answers = (0..10).map(|_| {
                    // A connection each time: they come to all shards.
                    let (head, body) = Client::ask(address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                    if head.status() == 429 {
                        assert!(String::from_utf8_lossy(&body).contains("RATE_LIMIT_TOO_MANY_REQUESTS"));
                        assert!(head.field("retry-after").is_some(), "{head:?}");
                    }
                    assert_eq!(head.field("x-rate-limit-limit"), Some("25"), "{head:?}");
                    head.status()
                });
                answers.filter(|status| *status == 200).count()
            })
        })
        .collect();
    let passed: usize = clients.into_iter().map(|client| client.join().expect("a client")).sum();
    assert_eq!((passed, backend.seen().len()), (LIMIT, LIMIT));
    // A reload of something else forgets nothing.
    gateway.write("apis/other.json", &Api::proxy("/other", &backend.target()).json());
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(ask(&gateway, "/", "").0.status(), 429);
}

#[test]
fn bodies_are_turned_into_others_on_both_ways() {
    let backend = Backend::replies(|_, body| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ) + &String::from_utf8_lossy(body)
    });
    let flow = json!([{
        "request": [{ "policy": "xml-json" }],
        "response": [{ "policy": "json-xml", "configuration": { "rootElement": "answer" } }],
    }]);
    let gateway = Gateway::configured("", &[Api::proxy("/", &backend.target()).with("flows", flow)]);
    let body = "<order><id>7</id></order>";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: br\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (head, answer) = Client::ask(gateway.http(), &request);
    assert_eq!(head.status(), 200, "{}", String::from_utf8_lossy(&answer));
    let (seen, sent) = backend.only();
    assert_eq!(String::from_utf8_lossy(&sent), r#"{"order":{"id":7}}"#);
    assert_eq!(seen.field("accept-encoding"), Some("identity"), "a response that is held comes plain");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("<answer><order><id>7</id></order></answer>"), "{answer}");
    assert_eq!(head.field("etag"), None, "the tag was that of another body");
}
