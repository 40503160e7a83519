//! Backends whose certificates are not what they should be, and stores that change while the gateway runs.

use std::fs;

use ringway_tests::{Api, Authority, Gateway, Nginx, wait_until};
use serde_json::{Value, json};

fn backend(authority: &Authority, name: &str) -> Nginx {
    let (certificate, key) = (authority.path(&format!("{name}.pem")), authority.path(&format!("{name}.key")));
    Nginx::start(&format!(
        "server {{ listen {{listen}} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; return 200 reached; }}"
    ))
}

fn gateway(nginx: &Nginx, ssl: Value) -> Gateway {
    let api = Api::proxy("/", &format!("https://{}", nginx.address()));
    let log = "logging: { access: { format: json, path: '{dir}/access.log' } }\n";
    Gateway::configured(log, &[api.with("endpointGroups/0/sharedConfiguration/ssl", ssl)])
}

#[test]
fn a_backend_whose_certificate_is_not_good_is_a_502_with_a_stable_key() {
    let authority = Authority::new();
    let stranger = Authority::new();
    authority.sign("good.test");
    stranger.sign("stranger.test");
    authority.sign_between("expired.test", "20200101000000Z", "20210101000000Z");
    authority.sign_between("early.test", "20980101000000Z", "20990101000000Z");
    authority.sign_for("wrong.test", "subjectAltName=DNS:wrong.test");
    authority.sign_for("client.test", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=clientAuth");
    authority.self_sign("self.test");
    let trust = json!({ "trustStore": { "type": "PEM", "path": authority.path("ca.pem") } });
    let without_name = |trust: &Value| {
        let mut ssl = trust.clone();
        ssl["hostnameVerifier"] = json!(false);
        ssl
    };
    // Who signed, the certificate, and whether it is good enough as configured, without a look at its name, and for `trustAll`.
    let cases = [
        (&authority, "good.test", [true, true, true]),
        (&authority, "expired.test", [false, false, true]),
        (&authority, "early.test", [false, false, true]),
        (&authority, "wrong.test", [false, true, true]),
        (&authority, "client.test", [false, false, true]),
        (&authority, "self.test", [false, false, true]),
        (&stranger, "stranger.test", [false, false, true]),
    ];
    for (by, name, good) in cases {
        let nginx = backend(by, name);
        for (ssl, good) in [trust.clone(), without_name(&trust), json!({ "trustAll": true })].into_iter().zip(good) {
            let gateway = gateway(&nginx, ssl.clone());
            let (head, body) = gateway.get("/");
            let text = String::from_utf8_lossy(&body).into_owned();
            if good {
                assert_eq!((head.status(), text.as_str()), (200, "reached"), "{name} with {ssl}");
                continue;
            }
            assert_eq!(head.status(), 502, "{name} with {ssl}: {text}");
            assert!(text.contains("\"key\":\"GATEWAY_CLIENT_TLS_ERROR\""), "{name} with {ssl}: {text}");
            assert!(!text.contains(name) && !text.contains("127.0.0.1"), "the client learns nothing else: {text}");
            let log = || std::fs::read_to_string(gateway.folder().join("access.log")).unwrap_or_default();
            wait_until("the access log's line", || log().contains("GATEWAY_CLIENT_TLS_ERROR"));
        }
        let reached = good.iter().filter(|good| **good).count();
        assert_eq!(nginx.requests().len(), reached, "{name}: no request reaches a backend that was refused");
    }
}

#[test]
fn a_store_is_read_anew_when_its_file_changes() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("good.test");
    let nginx = backend(&authority, "good.test");
    let store = stranger.folder().join("store.pem");
    fs::copy(stranger.folder().join("ca.pem"), &store).expect("a store");
    let gateway = gateway(&nginx, json!({ "trustStore": { "type": "PEM", "path": store } }));
    assert_eq!(gateway.get("/").0.status(), 502, "it trusts another one");
    // Nothing but the store changes, and nobody asks for a reload.
    stranger.replace("store.pem", &authority.read("ca.pem"));
    wait_until("the new authority to be trusted", || gateway.get("/").0.status() == 200);
    // A store that holds none is refused, and what ran before goes on; the next one is watched for all the same.
    stranger.replace("store.pem", "");
    let (status, text) = gateway.reload();
    assert!(status == 422 && text.contains("there is none"), "{status} {text}");
    assert_eq!(gateway.get("/").0.status(), 200);
    stranger.replace("store.pem", &stranger.read("ca.pem"));
    wait_until("the old authority to be trusted again", || gateway.get("/").0.status() == 502);
}
