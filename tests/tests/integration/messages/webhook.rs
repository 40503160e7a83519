//! `webhook`: messages are sent to subscribers.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use ringway_tests::{Authority, Backend, Gateway, Nginx, wait_for, wait_until};
use serde_json::{Value, json};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GONE: &str = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// A message API whose messages are sent to one subscriber.
struct Hooked {
    api: Value,
}

impl Hooked {
    /// At this level, with so many messages, to this URL.
    fn new(qos: &str, count: u64, url: &str) -> Self {
        Self {
            api: json!({
                "definitionVersion": "V4", "type": "MESSAGE", "name": "hooks", "id": "hooks", "apiVersion": "1.0",
                "listeners": [{ "type": "SUBSCRIPTION", "entrypoints": [
                    { "type": "webhook", "qos": qos, "configuration": { "allowPrivateAddresses": true } }] }],
                "endpointGroups": [{ "name": "brokers", "type": "mock", "endpoints": [{ "name": "broker", "type": "mock",
                    "configuration": { "messageInterval": 0, "messageContent": "n", "messageCount": count,
                        "messageHeaders": [{ "name": "X-Source", "value": "mock" }, { "name": "Authorization", "value": "leaked" }] } }] }],
                "plans": [{ "id": "push", "name": "Hooks", "mode": "PUSH", "status": "PUBLISHED" }],
                "subscriptions": [{ "id": "sub-1", "plan": "push", "application": "app", "consumerConfiguration": {
                    "entrypointId": "webhook", "channel": "/", "entrypointConfiguration": { "callbackUrl": url } } }],
            }),
        }
    }

    fn with(mut self, pointer: &str, field: &str, value: Value) -> Self {
        self.api.pointer_mut(pointer).expect("a place")[field] = value;
        self
    }

    /// What the entrypoint is told.
    fn entrypoint(self, field: &str, value: Value) -> Self {
        self.with("/listeners/0/entrypoints/0/configuration", field, value)
    }

    /// What the subscription tells the entrypoint.
    fn told(self, field: &str, value: Value) -> Self {
        self.with("/subscriptions/0/consumerConfiguration/entrypointConfiguration", field, value)
    }

    fn retries(self, attempts: u32) -> Self {
        self.told(
            "retry",
            json!({ "retryOption": "Retry On Fail", "retryStrategy": "EXPONENTIAL", "maxAttempts": attempts, "initialDelaySeconds": 0, "maxDelaySeconds": 0 }),
        )
    }

    fn dead_letters(self, endpoint: &str) -> Self {
        self.with("/listeners/0/entrypoints/0", "dlq", json!({ "endpoint": endpoint }))
    }

    fn text(&self) -> String {
        self.api.to_string()
    }

    fn try_start(&self) -> Result<Gateway, String> {
        let yaml = "shards: 2\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n";
        Gateway::try_start(yaml, &[("hooks.json", &self.text())])
    }

    #[track_caller]
    fn start(&self) -> Gateway {
        self.try_start().unwrap_or_else(|log| panic!("the gateway does not start:\n{log}"))
    }
}

/// Status and cause of the subscription.
fn standing(gateway: &Gateway) -> (String, String) {
    let (_, text) = gateway.ask_admin("GET", "/apis/hooks");
    let state: Value = serde_json::from_str(&text).expect("JSON");
    let text = |field: &str| state["subscriptions"][0][field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("cause"))
}

/// Waits until the subscription has this status; the cause.
#[track_caller]
fn stands(gateway: &Gateway, status: &str) -> String {
    wait_for(&format!("the subscription to be {status}"), || {
        let (present, cause) = standing(gateway);
        (present == status).then_some(cause)
    })
}

fn bodies(backend: &Backend) -> Vec<String> {
    backend.seen().into_iter().map(|(_, body)| String::from_utf8(body).expect("text")).collect()
}

fn count(gateway: &Gateway, what: &str) -> u64 {
    gateway.metric(&format!("ringway_api_messages_{what}_total"), &[]) as u64
}

#[test]
fn messages_are_posted_one_after_another_over_one_connection() {
    let consumer = Backend::ok("ok");
    let url = format!("{}/in?a=1", consumer.target());
    let hooks = Hooked::new("AT_LEAST_ONCE", 20, &url).told("headers", json!([{ "name": "X-Tok", "value": "v" }]));
    let gateway = hooks.told("auth", json!({ "type": "basic", "basic": { "username": "u", "password": "p" } })).start();
    assert_eq!(stands(&gateway, "STOPPED"), "there are no more messages");
    let wanted: Vec<String> = (0..20).map(|number| format!("n {number}")).collect();
    assert_eq!(bodies(&consumer), wanted);
    let (head, _) = consumer.seen().remove(7);
    assert_eq!((head.method(), head.target()), ("POST", "/in?a=1"));
    assert_eq!(head.field("webhook-id"), Some("7"));
    assert_eq!((head.field("x-source"), head.field("x-tok")), (Some("mock"), Some("v")));
    assert_eq!(head.all("authorization").collect::<Vec<_>>(), ["Basic dTpw"]);
    assert_eq!(consumer.connections(), 1);
    assert_eq!((count(&gateway, "delivered"), count(&gateway, "retried")), (20, 0));
    assert_eq!(gateway.metric("ringway_api_subscriptions", &["status=\"STOPPED\""]), 1.0);
}

#[test]
fn nginx_takes_messages() {
    let nginx = Nginx::start("server { listen {listen}; location / { return 204; } }");
    let gateway = Hooked::new("AUTO", 30, &nginx.target()).start();
    stands(&gateway, "STOPPED");
    assert_eq!(count(&gateway, "delivered"), 30);
    wait_until("nginx to have written its log", || nginx.requests().len() == 30);
    assert!(nginx.requests().iter().all(|line| line.starts_with("POST / HTTP/1.1 204 ")));
}

#[test]
fn a_refusal_stops_the_subscription_and_says_why() {
    let consumer = Backend::replies(|_, body| if body == b"n 1" { GONE.into() } else { OK.into() });
    let gateway = Hooked::new("AT_LEAST_ONCE", 9, &consumer.target()).retries(5).start();
    assert_eq!(stands(&gateway, "FAILURE"), "the consumer refuses a message: 410");
    assert_eq!(bodies(&consumer), ["n 0", "n 1"]);
    assert_eq!((count(&gateway, "delivered"), count(&gateway, "refused"), count(&gateway, "retried")), (1, 1, 0));
    assert_eq!(gateway.metric("ringway_api_subscriptions", &["status=\"FAILURE\""]), 1.0);
}

#[test]
fn refused_messages_become_dead_letters_and_others_follow() {
    for endpoint in ["brokers", "broker"] {
        let consumer = Backend::replies(|_, body| if body == b"n 1" { GONE.into() } else { OK.into() });
        let gateway = Hooked::new("AT_LEAST_ONCE", 3, &consumer.target()).dead_letters(endpoint).start();
        assert_eq!(stands(&gateway, "STOPPED"), "there are no more messages");
        assert_eq!(bodies(&consumer), ["n 0", "n 1", "n 2"]);
        let counts = ["delivered", "refused", "dead_lettered"].map(|what| count(&gateway, what));
        assert_eq!(counts, [2, 1, 1]);
    }
}

#[test]
fn a_failing_consumer_is_tried_again_in_place() {
    let asked = AtomicUsize::new(0);
    let consumer =
        Backend::replies(move |_, _| if asked.fetch_add(1, Ordering::SeqCst) < 2 { BUSY.into() } else { OK.into() });
    let gateway = Hooked::new("AT_LEAST_ONCE", 2, &consumer.target()).retries(2).start();
    stands(&gateway, "STOPPED");
    assert_eq!(bodies(&consumer), ["n 0", "n 0", "n 0", "n 1"]);
    assert_eq!((count(&gateway, "delivered"), count(&gateway, "retried"), count(&gateway, "failed")), (2, 2, 0));
}

#[test]
fn after_all_attempts_the_subscription_stops_or_goes_on_as_it_is_told() {
    let consumer = Backend::replies(|_, _| BUSY.into());
    let gateway = Hooked::new("AT_LEAST_ONCE", 2, &consumer.target()).retries(1).start();
    assert_eq!(stands(&gateway, "FAILURE"), "the consumer fails: 503");
    assert_eq!(bodies(&consumer), ["n 0", "n 0"]);

    let consumer = Backend::replies(|_, _| BUSY.into());
    let hooks = Hooked::new("AT_LEAST_ONCE", 2, &consumer.target()).retries(1);
    let gateway = hooks.entrypoint("interruptConsumptionOnServerError", json!(false)).start();
    stands(&gateway, "STOPPED");
    assert_eq!(bodies(&consumer), ["n 0", "n 0", "n 1", "n 1"]);
    assert_eq!((count(&gateway, "failed"), count(&gateway, "retried")), (2, 2));
}

#[test]
fn a_consumer_that_asks_for_patience_is_tried_again_and_then_has_refused() {
    let later = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    let consumer = Backend::replies(move |_, _| later.into());
    let gateway = Hooked::new("AT_MOST_ONCE", 1, &consumer.target()).retries(2).dead_letters("broker").start();
    stands(&gateway, "STOPPED");
    assert_eq!(bodies(&consumer), ["n 0", "n 0", "n 0"]);
    assert_eq!(count(&gateway, "dead_lettered"), 1);
}

#[test]
fn what_may_come_once_only_is_not_sent_twice() {
    let consumer = Backend::replies(|_, _| BUSY.into());
    let hooks = Hooked::new("AT_MOST_ONCE", 3, &consumer.target()).retries(5);
    let gateway = hooks.entrypoint("interruptConsumptionOnServerError", json!(false)).start();
    stands(&gateway, "STOPPED");
    assert_eq!(bodies(&consumer), ["n 0", "n 1", "n 2"]);
}

#[test]
fn a_consumer_that_is_not_there_stops_the_subscription() {
    let port = Backend::ok("").stop();
    let gateway = Hooked::new("AUTO", 3, &format!("http://{}", port.address())).start();
    let cause = stands(&gateway, "FAILURE");
    assert!(cause.starts_with("the consumer does not answer: GATEWAY_CLIENT_CONNECTION_ERROR"), "{cause}");
}

#[test]
fn private_addresses_are_not_dialled_by_whatever_name() {
    let consumer = Backend::ok("ok");
    let port = consumer.address().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let hooks = Hooked::new("AUTO", 3, &format!("http://{host}:{port}/"));
        let gateway = hooks.entrypoint("allowPrivateAddresses", json!(false)).start();
        let cause = stands(&gateway, "FAILURE");
        assert!(cause.starts_with("the consumer does not answer"), "{host}: {cause}");
    }
    assert_eq!(consumer.connections(), 0);
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Backend::ok("ok");
    let to = elsewhere.target();
    let consumer = Backend::replies(move |_, _| {
        format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}/\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = Hooked::new("AUTO", 1, &consumer.target()).start();
    assert_eq!(stands(&gateway, "FAILURE"), "the consumer refuses a message: 307");
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_consumer_can_verify_the_signature() {
    let consumer = Backend::ok("ok");
    let auth = json!({ "type": "signature", "signature": { "secret": "top secret" } });
    let gateway = Hooked::new("AT_LEAST_ONCE", 1, &consumer.target()).told("auth", auth).start();
    stands(&gateway, "STOPPED");
    let (head, body) = consumer.only();
    let field = |name| head.field(name).expect("a field");
    let signed =
        format!("{}.{}.{}", field("webhook-id"), field("webhook-timestamp"), String::from_utf8(body).expect("text"));
    let script = "printf %s \"$0\" | openssl dgst -sha256 -hmac 'top secret' -binary | openssl base64 -A";
    let output = Command::new("sh").args(["-c", script, &signed]).output().expect("openssl runs");
    assert_eq!(field("webhook-signature"), format!("v1,{}", String::from_utf8_lossy(&output.stdout)));
}

#[test]
fn a_token_is_fetched_once_and_anew_when_it_is_not_taken() {
    let issued = AtomicUsize::new(0);
    let server = Backend::replies(move |head, body| {
        assert_eq!(head.field("authorization"), Some("Basic aWQ6c2VjcmV0"));
        assert_eq!(body, b"grant_type=client_credentials&scope=a+b");
        let number = issued.fetch_add(1, Ordering::SeqCst);
        let token =
            json!({ "access_token": format!("t{number}"), "token_type": "Bearer", "expires_in": 3600 }).to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{token}", token.len())
    });
    // The first token is revoked behind the first message.
    let consumer = Backend::replies(|head, body| match (head.field("authorization"), body) {
        (Some("Bearer t0"), b"n 0") | (Some("Bearer t1"), _) => OK.into(),
        _ => "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let auth = json!({ "type": "oauth2", "oauth2": {
        "endpoint": format!("{}/token", server.target()), "clientId": "id", "clientSecret": "secret", "scopes": ["a", "b"] } });
    let gateway = Hooked::new("AT_LEAST_ONCE", 4, &consumer.target()).told("auth", auth).start();
    stands(&gateway, "STOPPED");
    assert_eq!((count(&gateway, "delivered"), server.seen().len()), (4, 2));
    assert_eq!(bodies(&consumer), ["n 0", "n 1", "n 1", "n 2", "n 3"]);
}

#[test]
fn a_token_is_given_or_made() {
    let auths = [
        json!({ "type": "token", "token": { "value": "given" } }),
        json!({ "type": "jwt", "jwt": { "algorithm": "HS256", "key": "secret", "claims": { "iss": "ringway" } } }),
    ];
    let [given, made] = auths.map(|auth| {
        let consumer = Backend::ok("ok");
        let gateway = Hooked::new("AT_LEAST_ONCE", 1, &consumer.target()).told("auth", auth).start();
        stands(&gateway, "STOPPED");
        consumer.only().0.field("authorization").expect("a token").to_owned()
    });
    assert_eq!(given, "Bearer given");
    let (signed, tag) = made.strip_prefix("Bearer ").and_then(|token| token.rsplit_once('.')).expect("a JWT");
    let script =
        "printf %s \"$0\" | openssl dgst -sha256 -hmac secret -binary | openssl base64 -A | tr '+/' '-_' | tr -d '='";
    let output = Command::new("sh").args(["-c", script, signed]).output().expect("openssl runs");
    assert_eq!(tag, String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_consumer_is_known_by_its_certificate() {
    let authority = Authority::new();
    authority.sign("consumer.test");
    let (certificate, key) = (authority.path("consumer.test.pem"), authority.path("consumer.test.key"));
    let nginx = Nginx::start(&format!(
        "server {{ listen {{listen}} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; return 200; }}"
    ));
    let hooked = |trust: Value| {
        let hooks = Hooked::new("AT_LEAST_ONCE", 3, &format!("https://{}", nginx.address()));
        hooks.told("ssl", json!({ "trustStore": trust })).start()
    };
    let gateway = hooked(json!({ "type": "PEM", "path": authority.path("ca.pem") }));
    assert_eq!(stands(&gateway, "STOPPED"), "there are no more messages");
    assert_eq!(count(&gateway, "delivered"), 3);
    let stranger = Authority::new();
    let gateway = hooked(json!({ "type": "PEM", "path": stranger.path("ca.pem") }));
    let cause = stands(&gateway, "FAILURE");
    assert!(cause.starts_with("the consumer does not answer: GATEWAY_CLIENT_TLS_ERROR"), "{cause}");
    assert_eq!(count(&gateway, "delivered"), 0);
}

#[test]
fn a_token_is_signed_with_a_private_key() {
    let authority = Authority::new();
    // Any key of RSA will do; the public half is what the consumer has.
    let (private, public) = (authority.path("rsa.pem"), authority.path("rsa.pub"));
    let openssl = |arguments: &[&str]| drop(ringway_tests::tool::run("openssl", arguments).ok());
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &private]);
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
    let consumer = Backend::ok("ok");
    let jwt = json!({ "algorithm": "RS256", "key": authority.read("rsa.pem"), "keyId": "k1", "claims": { "iss": "ringway", "aud": "sink" } });
    let hooks = Hooked::new("AT_LEAST_ONCE", 2, &consumer.target());
    let gateway = hooks.told("auth", json!({ "type": "jwt", "jwt": jwt })).start();
    stands(&gateway, "STOPPED");
    let tokens: Vec<String> =
        consumer.seen().iter().map(|(head, _)| head.field("authorization").expect("a token").to_owned()).collect();
    assert_eq!((tokens.len(), &tokens[0]), (2, &tokens[1]), "it is used until it is old");
    let (signed, tag) = tokens[0].strip_prefix("Bearer ").and_then(|token| token.rsplit_once('.')).expect("a JWT");
    let script = "import base64, json, sys
coded = lambda text: base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
open(sys.argv[3], 'wb').write(coded(sys.argv[2]))
print(json.dumps([json.loads(coded(part)) for part in sys.argv[1].split('.')]))";
    let tag_file = authority.path("tag");
    let parts = ringway_tests::tool::python(script, &[signed, tag, &tag_file]).ok();
    let parts: Value = serde_json::from_str(&parts).expect("JSON");
    assert_eq!(parts[0], json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    assert_eq!((&parts[1]["iss"], &parts[1]["aud"]), (&json!("ringway"), &json!("sink")));
    assert!(parts[1]["exp"].as_u64() > parts[1]["iat"].as_u64(), "{parts}");
    let verify = "printf %s \"$0\" | openssl dgst -sha256 -verify \"$1\" -signature \"$2\"";
    let said = ringway_tests::tool::run("sh", ["-c", verify, signed, &public, &tag_file]).ok();
    assert_eq!(said.trim(), "Verified OK");
}

#[test]
fn the_gateway_shows_its_own_certificate_and_a_new_one_when_the_file_changes() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("consumer.test");
    authority.sign("gateway");
    stranger.sign("gateway");
    let path = |name: &str| authority.path(name);
    let nginx = Nginx::start(&format!(
        "server {{ listen {{listen}} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
         ssl_client_certificate {}; ssl_verify_client on; return 200; }}",
        path("consumer.test.pem"),
        path("consumer.test.key"),
        path("ca.pem"),
    ));
    let hooks = Hooked::new("AT_LEAST_ONCE", 3, &format!("https://{}", nginx.address()));
    let trust = json!({ "type": "PEM", "path": path("ca.pem") });
    let (certificate, key) = (path("shown.pem"), path("shown.key"));
    let show = |of: &Authority| {
        std::fs::copy(of.path("gateway.pem"), &certificate).expect("a copy");
        std::fs::copy(of.path("gateway.key"), &key).expect("a copy");
    };
    // One that the consumer does not know is refused.
    show(&stranger);
    let own = json!({ "type": "PEM", "certPath": certificate, "keyPath": key });
    let gateway = hooks.told("ssl", json!({ "trustStore": trust, "keyStore": own })).start();
    let cause = stands(&gateway, "FAILURE");
    assert!(cause.contains("400") || cause.contains("TLS"), "{cause}");
    assert_eq!(count(&gateway, "delivered"), 0);
    // The definition stays as it is: what changes is the file that it names.
    show(&authority);
    wait_until("the gateway to see the new certificate", || count(&gateway, "delivered") == 3);
    assert_eq!(stands(&gateway, "STOPPED"), "there are no more messages");
}

#[test]
fn a_subscription_that_failed_is_stopped_and_started_by_its_definition() {
    let asked = AtomicUsize::new(0);
    let consumer =
        Backend::replies(move |_, _| if asked.fetch_add(1, Ordering::SeqCst) == 0 { GONE.into() } else { OK.into() });
    let hooks = Hooked::new("AT_LEAST_ONCE", 2, &consumer.target());
    let gateway = hooks.start();
    stands(&gateway, "FAILURE");
    let hooks = hooks.with("/subscriptions/0", "consumerStatus", json!("STOPPED"));
    gateway.write("apis/hooks.json", &hooks.text());
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(stands(&gateway, "STOPPED"), "its consumer has stopped it");
    assert_eq!(bodies(&consumer), ["n 0"]);
    let hooks = hooks.with("/subscriptions/0", "consumerStatus", json!("STARTED"));
    gateway.write("apis/hooks.json", &hooks.text());
    assert_eq!(gateway.reload().0, 200);
    wait_until("the messages to come", || bodies(&consumer) == ["n 0", "n 0", "n 1"]);
}

/// A door that a test opens, and how many wait at it.
#[derive(Default)]
struct Door {
    state: Mutex<(bool, usize, usize)>,
    moved: Condvar,
}

impl Door {
    /// Waits until it is open.
    fn pass(&self) {
        let mut state = self.state.lock().expect("no panic under the lock");
        state.1 += 1;
        state.2 = state.2.max(state.1);
        while !state.0 {
            state = self.moved.wait(state).expect("no panic under the lock");
        }
        state.1 -= 1;
    }

    fn open(&self) {
        self.state.lock().expect("no panic under the lock").0 = true;
        self.moved.notify_all();
    }

    fn waiting(&self) -> usize {
        self.state.lock().expect("no panic under the lock").1
    }

    fn most(&self) -> usize {
        self.state.lock().expect("no panic under the lock").2
    }
}

#[test]
fn a_slow_consumer_has_no_more_under_way_than_it_is_told() {
    let door = Arc::new(Door::default());
    let consumer = Backend::replies({
        let door = door.clone();
        move |_, _| {
            door.pass();
            OK.into()
        }
    });
    let hooks = Hooked::new("AUTO", 3000, &consumer.target());
    let gateway = hooks.entrypoint("http", json!({ "maxConcurrentConnections": 3 })).start();
    wait_until("three messages to be under way", || door.waiting() == 3);
    assert_eq!((consumer.connections(), count(&gateway, "delivered")), (3, 0));
    door.open();
    stands(&gateway, "STOPPED");
    assert_eq!((count(&gateway, "delivered"), consumer.connections()), (3000, 3));
    assert!(door.most() <= 3);
}

#[test]
fn a_new_definition_waits_for_what_is_under_way_and_loses_nothing() {
    let door = Arc::new(Door::default());
    let consumer = Backend::replies({
        let door = door.clone();
        move |_, body| {
            if body == b"n 5" {
                door.pass();
            }
            OK.into()
        }
    });
    let hooks = Hooked::new("AT_LEAST_ONCE", 50, &consumer.target());
    let gateway = hooks.start();
    wait_until("a message to be under way", || door.waiting() == 1);
    gateway.write("apis/hooks.json", &hooks.with("", "description", json!("another")).text());
    let (status, text) = gateway.reload();
    assert_eq!(status, 200, "{text}");
    // The one before it has not ended: nothing of the new one is sent beside it.
    assert_eq!((consumer.seen().len(), consumer.connections()), (5, 1));
    door.open();
    assert_eq!(stands(&gateway, "STOPPED"), "there are no more messages");
    // The broker that makes messages up forgets what was acknowledged, and begins anew.
    let wanted: Vec<String> = (0..=5).chain(0..50).map(|number| format!("n {number}")).collect();
    assert_eq!(bodies(&consumer), wanted);
}

#[test]
fn a_gateway_that_drains_waits_for_what_is_under_way() {
    let door = Arc::new(Door::default());
    let consumer = Backend::replies({
        let door = door.clone();
        move |_, _| {
            door.pass();
            OK.into()
        }
    });
    let mut gateway = Hooked::new("AT_LEAST_ONCE", 50, &consumer.target()).start();
    wait_until("a message to be under way", || door.waiting() == 1);
    gateway.terminate();
    let shards = |what| gateway.log().matches(what).count();
    wait_until("every shard to drain", || shards("shard draining") == shards("shard started"));
    door.open();
    assert!(gateway.wait().success());
    assert_eq!(bodies(&consumer), ["n 0"]);
}

#[test]
fn what_cannot_be_served_is_refused_before_it_runs() {
    let hooks = || Hooked::new("AUTO", 1, "http://a.test/");
    let standard =
        json!([{ "id": "push", "name": "Hooks", "security": { "type": "KEY_LESS" }, "status": "PUBLISHED" }]);
    for (hooks, words) in [
        (hooks().with("/subscriptions/0", "plan", json!("pusch")), "the API has no plan `pusch`"),
        (hooks().with("", "plans", standard), "messages are sent to subscribers of push plans"),
        (hooks().dead_letters("brokerz"), "the API has no endpoint or group `brokerz`"),
        (hooks().told("callbackUrl", json!("ftp://a.test")), "scheme `ftp` is not one of http, https"),
        (hooks().told("auth", json!({ "type": "jwt" })), "auth: `jwt` is missing"),
        (hooks().told("callbakUrl", json!("")), "unknown field"),
        (hooks().told("headers", json!([{ "name": "a b", "value": "" }])), "header `a b`"),
    ] {
        let log = hooks.try_start().expect_err(words);
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn a_paused_subscription_is_not_served_and_says_so() {
    let consumer = Backend::ok("ok");
    let gateway =
        Hooked::new("AUTO", 1, &consumer.target()).with("/subscriptions/0", "status", json!("PAUSED")).start();
    assert_eq!(standing(&gateway), ("STOPPED".into(), "it is PAUSED".into()));
    assert_eq!(consumer.connections(), 0);
}
