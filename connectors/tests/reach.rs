//! How a backend is reached: sockets, proxies, TLS; and what the endpoint says on the way.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::rc::Rc;
use std::sync::{Arc, mpsc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringway_connectors::http_proxy::ENDPOINT;
use ringway_contract::{Node, Problem};
use ringway_net::{Shard, yield_now};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use support::backend::{Backend, Bound, Does, backend, hears, says, unix_backend};
use support::{Engine, endpoint, on_each};

const GET: &str = "GET /a HTTP/1.1|Host: x";
const OK: &str = "HTTP/1.1 200 OK|Content-Length: 2||ok";
const FRAMES: &[&str] = &["reply 200 Length(2)", "data ok", "end"];

fn got(host: &str) -> Does {
    hears(&format!("GET /a HTTP/1.1|Host: {host}||"))
}

#[test]
fn a_unix_socket() {
    on_each(|_| async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.sock");
        let backend = unix_backend(&path, vec![hears("GET /base/a HTTP/1.1|Host: localhost||"), says(OK)]);
        let target = format!("http://unix:{}:/base", path.display());
        let mut engine = Engine::new(&endpoint(&target, "{}").unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        backend.join().unwrap();
    });
}

#[test]
fn the_endpoints_own_fields_replace_the_clients() {
    // Shared configuration, the client's head, what is heard.
    const CASES: &[(&str, &str, &str)] = &[
        (
            r#"{"headers": [{"name": "X-Env", "value": "prod"}, {"name": "Key", "value": "own"}]}"#,
            "GET /a HTTP/1.1|Host: x|key: client|A: b|Key: client",
            "GET /a HTTP/1.1|Host: $H|A: b|X-Env: prod|Key: own||",
        ),
        (
            r#"{"headers": [{"name": "host", "value": "inner.example:81"}]}"#,
            "GET /a HTTP/1.1|Host: x",
            "GET /a HTTP/1.1|Host: inner.example:81||",
        ),
        (
            r#"{"headers": [{"name": "Connection", "value": "close"}, {"name": "Content-Length", "value": "3"}]}"#,
            "GET /a HTTP/1.1|Host: x",
            "GET /a HTTP/1.1|Host: $H||",
        ),
        (
            r#"{"http": {"propagateClientHost": true}}"#,
            "GET /a HTTP/1.1|Host: Api.example:8082",
            "GET /a HTTP/1.1|Host: api.example:8082||",
        ),
        (r#"{"http": {"propagateClientHost": true}}"#, "GET /a HTTP/1.0", "GET /a HTTP/1.1|Host: $H||"),
    ];
    on_each(|_| async {
        for (shared, head, heard) in CASES {
            let backend = backend(|host| vec![hears(&heard.replace("$H", host)), says(OK)]);
            let mut engine = Engine::new(&endpoint(&backend.url(), shared).unwrap());
            assert_eq!(engine.exchange(head, &[]).await, FRAMES, "{shared}");
            backend.done().await;
        }
    });
}

#[test]
fn what_cannot_be_done_is_refused() {
    const CASES: &[(&str, &str, &str)] = &[
        ("ftp://b", "{}", "scheme `ftp`"),
        ("http://b", r#"{"headers": [{"name": "a b", "value": "c"}]}"#, "header `a b`"),
        ("http://b", r#"{"headers": [{"name": "a", "value": "b\r\nc: d"}]}"#, "header `a`"),
        ("http://b", r#"{"headers": [{"name": "Host", "value": "a/b"}]}"#, "no host"),
        ("http://b", r#"{"proxy": {"enabled": true, "host": "p"}}"#, "proxy"),
        ("https://b", r#"{"ssl": {"trustStore": {"type": "JKS", "path": "a.jks"}}}"#, "cannot read a.jks"),
        ("https://b", r#"{"ssl": {"trustStore": {"type": "PEM"}}}"#, "trustStore"),
        ("https://b", r#"{"ssl": {"keyStore": {"type": "PEM", "certPath": "a.pem"}}}"#, "keyStore"),
    ];
    on_each(|_| async {
        for (target, shared, word) in CASES {
            let refusal = endpoint(target, shared).err().expect(word).to_string();
            assert!(refusal.contains(word), "{target} {shared}: {refusal}");
            let found = examined(target, shared);
            let error = found.iter().find(|problem| problem.is_error() && problem.message.contains(word));
            assert!(error.is_some(), "{target} {shared} is found before it is built: {found:?}");
        }
    });
}

/// What the endpoint says of its configuration before it is built.
fn examined(target: &str, shared: &str) -> Vec<Problem> {
    let parse = |text: &str| Node::parse_json("a.json", text).unwrap();
    let examine = ENDPOINT.configuration.examine.unwrap();
    examine(Some(&parse(&json!({ "target": target }).to_string())), Some(&parse(shared)))
}

#[test]
fn what_has_no_effect_or_a_dangerous_one_is_warned_about() {
    const CASES: &[(&str, &[&str])] = &[
        (r#"{"http": {"version": "HTTP_2"}}"#, &["http.version"]),
        (r#"{"http": {"version": "HTTP_2", "clearTextUpgrade": false}}"#, &["http.version", "http.clearTextUpgrade"]),
        (r#"{"http": {"clearTextUpgrade": true, "useCompression": true}}"#, &[]),
        (r#"{"http": {"pipelining": true}}"#, &["http.pipelining"]),
        (
            r#"{"http": {"useCompression": true, "propagateClientAcceptEncoding": true}}"#,
            &["http.propagateClientAcceptEncoding"],
        ),
        (r#"{"http": {"useCompression": false, "propagateClientAcceptEncoding": true}}"#, &[]),
        (r#"{"ssl": {"trustAll": true}}"#, &["ssl.trustAll"]),
        (
            r#"{"http": {"version": "HTTP_1_1", "useCompression": false, "pipelining": false}, "ssl": {"trustAll": false}}"#,
            &[],
        ),
        // A store that nothing asks for may be left over: the target is in clear.
        (r#"{"ssl": {"trustStore": {"type": "JKS", "path": "a.jks"}}}"#, &[]),
        ("{}", &[]),
    ];
    for (shared, wanted) in CASES {
        let found = examined("http://b", shared);
        assert!(found.iter().all(|problem| !problem.is_error()), "{shared}: {found:?}");
        let pointers: Vec<&str> =
            found.iter().filter_map(|problem| problem.pointer.strip_prefix("sharedConfiguration.")).collect();
        assert_eq!(pointers, *wanted, "{shared}");
    }
}

/// An endpoint called `backend.example:8080`, which only the proxy can resolve.
fn behind(proxy: &Backend, kind: &str, user: Option<&str>) -> Rc<dyn ringway_contract::Endpoint> {
    let mut config = json!({ "enabled": true, "type": kind, "host": "127.0.0.1", "port": proxy.address.port() });
    if let Some(user) = user {
        config["username"] = json!(user);
        config["password"] = json!("secret");
    }
    endpoint("http://backend.example:8080", &json!({ "proxy": config }).to_string()).unwrap()
}

#[test]
fn through_an_http_proxy() {
    on_each(|_| async {
        let proxy = backend(|_| {
            let connect = "CONNECT backend.example:8080 HTTP/1.1|Host: backend.example:8080|";
            vec![
                hears(&format!("{connect}Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=||")),
                says("HTTP/1.1 200 Established||"),
                got("backend.example:8080"),
                says(OK),
            ]
        });
        let mut engine = Engine::new(&behind(&proxy, "HTTP", Some("user")));
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        proxy.done().await;
    });
}

#[test]
fn through_a_socks_proxy() {
    on_each(|_| async {
        let proxy = backend(|_| {
            vec![
                Does::Hears("\x05\x01\x00".into()),
                Does::Says("\x05\x00".into()),
                Does::Hears("\x05\x01\x00\x03\x0fbackend.example\x1f".into()),
                Does::HearsByte(0x90),
                Does::Says("\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50".into()),
                got("backend.example:8080"),
                says(OK),
            ]
        });
        let mut engine = Engine::new(&behind(&proxy, "SOCKS5", None));
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        proxy.done().await;
    });
}

#[test]
fn a_proxy_that_refuses_leaves_the_request_free_to_go_elsewhere() {
    on_each(|_| async {
        let proxy = backend(|_| {
            let connect = "CONNECT backend.example:8080 HTTP/1.1|Host: backend.example:8080||";
            vec![hears(connect), says("HTTP/1.1 403 Forbidden||"), Does::Waits]
        });
        let mut engine = Engine::new(&behind(&proxy, "HTTP", None));
        assert_eq!(engine.exchange(GET, &[]).await, ["fail GATEWAY_CLIENT_CONNECTION_ERROR Safe"]);
        proxy.done().await;
    });
}

/// A certificate authority, and a server that it vouches for.
struct Authority {
    pem: String,
    server: ServerConfig,
}

impl Authority {
    fn new(names: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let chain = CertificateDer::pem_slice_iter(certificate.pem().as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self { pem: issuer.pem(), server }
    }
}

fn trusting(pem: &str, more: serde_json::Value) -> serde_json::Value {
    let mut ssl = json!({ "trustStore": { "type": "PEM", "content": pem } });
    ssl.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "ssl": ssl })
}

fn https(backend: &Backend) -> String {
    format!("https://{}", backend.address)
}

#[test]
fn tls_believes_whom_it_is_told_to() {
    on_each(|_| async {
        let other = Authority::new(&["127.0.0.1"]).pem;
        // Names in the certificate, whether the right authority is trusted, what else is said, whether it works.
        for (names, right, more, works) in [
            (["127.0.0.1"], true, json!({}), true),
            (["127.0.0.1"], false, json!({}), false),
            (["backend.example"], true, json!({}), false),
            (["backend.example"], true, json!({ "hostnameVerifier": false }), true),
            (["backend.example"], false, json!({ "hostnameVerifier": false }), false),
            (["backend.example"], false, json!({ "trustAll": true }), true),
        ] {
            let authority = Authority::new(&names);
            let shared = trusting(if right { &authority.pem } else { &other }, more);
            let bound = Bound::new();
            let steps = if works { vec![got(&bound.host()), says(OK)] } else { vec![Does::Waits] };
            let backend = bound.play_tls(authority.server, vec![steps]);
            let mut engine = Engine::new(&endpoint(&https(&backend), &shared.to_string()).unwrap());
            let frames = engine.exchange(GET, &[]).await;
            if works {
                assert_eq!(frames, FRAMES, "{shared}");
            } else {
                assert_eq!(frames, ["fail GATEWAY_CLIENT_TLS_ERROR Safe"], "{shared}");
            }
            backend.done().await;
        }
    });
}

#[test]
fn records_without_data_do_not_end_an_idle_lane() {
    on_each(|_| async {
        let authority = Authority::new(&["127.0.0.1"]);
        let bound = Bound::new();
        let host = bound.host();
        let (go, until) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let script =
            vec![got(&host), says(OK), Does::Until(until), Does::Rekeys, Does::Tells(tell), got(&host), says(OK)];
        let backend = bound.play_tls(authority.server, vec![script]);
        let shared = trusting(&authority.pem, json!({})).to_string();
        let mut engine = Engine::new(&endpoint(&https(&backend), &shared).unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        // Not before: with the response, it would be read away.
        go.send(()).unwrap();
        while told.try_recv().is_err() {
            yield_now().await;
        }
        // The record is there; the driver tells of it within a few turns.
        for _ in 0..100 {
            yield_now().await;
            assert!(engine.is_fit(), "the lane took a record without data for babble");
        }
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        backend.done().await;
    });
}

#[test]
fn a_tls_body_without_an_end_was_cut() {
    on_each(|_| async {
        // Whether the backend says goodbye (close_notify), and how the exchange ends.
        for (ends, last) in [(true, "end"), (false, "abort GATEWAY_BACKEND_CLOSED")] {
            let authority = Authority::new(&["127.0.0.1"]);
            let bound = Bound::new();
            let mut script = vec![got(&bound.host()), says("HTTP/1.1 200 OK||ok")];
            script.extend(ends.then_some(Does::Ends));
            let backend = bound.play_tls(authority.server, vec![script]);
            let shared = trusting(&authority.pem, json!({})).to_string();
            let mut engine = Engine::new(&endpoint(&https(&backend), &shared).unwrap());
            let frames = engine.exchange(GET, &[]).await;
            assert_eq!(frames, ["reply 200 UntilClose", "data ok", last]);
            backend.done().await;
        }
    });
}

#[test]
fn a_redirect_may_lead_from_clear_to_tls() {
    on_each(|_| async {
        let authority = Authority::new(&["127.0.0.1"]);
        let secure = Bound::new();
        let there = secure.host();
        let secure =
            secure.play_tls(authority.server, vec![vec![hears(&format!("GET /b HTTP/1.1|Host: {there}||")), says(OK)]]);
        let plain = backend(|host| {
            vec![got(host), says(&format!("HTTP/1.1 302 Found|Location: https://{there}/b|Content-Length: 0||"))]
        });
        let mut shared = trusting(&authority.pem, json!({}));
        shared["http"] = json!({ "followRedirects": true });
        let mut engine = Engine::new(&endpoint(&plain.url(), &shared.to_string()).unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        plain.done().await;
        secure.done().await;
    });
}

#[test]
fn a_handshake_that_never_ends_is_a_connect_timeout() {
    on_each(|_| async {
        // In clear: it never says what a server of TLS says.
        let backend = backend(|_| vec![Does::Waits]);
        let shared = r#"{"http": {"connectTimeout": 100}, "ssl": {"trustAll": true}}"#;
        let mut engine = Engine::new(&endpoint(&https(&backend), shared).unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, ["fail GATEWAY_CLIENT_CONNECTION_TIMEOUT Safe"]);
        while Shard::current().sockets() > 0 {
            yield_now().await;
        }
        backend.done().await;
    });
}
