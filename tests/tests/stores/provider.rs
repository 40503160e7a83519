//! Tokens of a real provider: got by curl with a client's credentials, shown to the gateway, good and refused.

use ringway_tests::{Api, Backend, Client, Gateway, OidcProvider, wait_until};
use serde_json::{Value, json};

const APPLICATIONS: &str =
    "applications:\n  - id: shop\n    clientId: shop\n    subscriptions: [{ api: orders, plan: Tokens }]\n";

/// A gateway with an API whose one plan is of this security.
fn gateway(backend: &Backend, security: &str, configuration: &Value, resources: &Value) -> Gateway {
    let security = json!({ "type": security, "configuration": configuration });
    let plan = json!([{ "name": "Tokens", "status": "PUBLISHED", "security": security }]);
    let api = Api::proxy("/", &backend.target()).with("id", json!("orders")).with("plans", plan);
    let gateway = Gateway::configured("", &[api.with("resources", resources.clone())]);
    gateway.write("apis/people.yaml", APPLICATIONS);
    let (code, text) = gateway.reload();
    assert_eq!(code, 200, "{text}");
    gateway
}

fn by_key_set(backend: &Backend, provider: &OidcProvider) -> Gateway {
    let configuration = json!({
        "signature": "RSA_RS256", "publicKeyResolver": "JWKS_URL", "resolverParameter": provider.url("/jwks"),
        "issuer": provider.url(""), "audiences": ["urn:orders"], "clientIdClaim": "client_id", "clockSkew": 0,
        "checkRequiredScopes": true, "requiredScopes": ["read"], "requestTimeout": 10_000,
    });
    gateway(backend, "JWT", &configuration, &json!([]))
}

fn by_introspection(backend: &Backend, provider: &OidcProvider, more: Value) -> Gateway {
    let mut configuration =
        json!({ "oauthResource": "server", "checkRequiredScopes": true, "requiredScopes": ["read"] });
    configuration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let server = json!({
        "authorizationServerUrl": provider.url(""), "introspectionEndpoint": "/token/introspection",
        "introspectionEndpointMethod": "POST", "clientId": "shop", "clientSecret": "shop-secret",
        "tokenIsSuppliedByQueryParam": false, "tokenIsSuppliedByFormUrlEncoded": true, "userClaim": "client_id",
    });
    let resources = json!([{ "name": "server", "type": "oauth2", "configuration": server }]);
    gateway(backend, "OAUTH2", &configuration, &resources)
}

/// Status and body of what a token is answered with.
fn shown(gateway: &Gateway, token: &str) -> (u16, String) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    let (head, body) = Client::ask(gateway.http(), &request);
    (head.status(), String::from_utf8(body).unwrap())
}

#[track_caller]
fn refused(gateway: &Gateway, token: &str, key: &str) {
    let (status, body) = shown(gateway, token);
    assert!((400..404).contains(&status) && body.contains(key), "{status} {body}");
}

#[test]
fn a_signed_token_is_good_by_the_keys_that_the_provider_publishes() {
    let (backend, provider) = (Backend::ok("ok"), OidcProvider::start());
    let gateway = by_key_set(&backend, &provider);
    let token = provider.token("urn:orders:jwt:600", "read");
    for _ in 0..3 {
        assert_eq!(shown(&gateway, &token), (200, "ok".into()));
    }
    refused(&gateway, &provider.token("urn:others:jwt:600", "read"), "JWT_INVALID_TOKEN");
    refused(&gateway, &provider.token("urn:orders:jwt:600", "write"), "JWT_");
    refused(&gateway, &provider.token("urn:orders:opaque:600", "read"), "JWT_INVALID_TOKEN");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = provider.token("urn:orders:jwt:600", "write");
    let (_, other) = other.rsplit_once('.').unwrap();
    refused(&gateway, &format!("{signed}.{other}"), "JWT_INVALID_TOKEN");
    let (head, _) = signed.rsplit_once('.').unwrap();
    refused(&gateway, &format!("{head}.e30.{signature}"), "JWT_INVALID_TOKEN");
    let brief = provider.token("urn:orders:jwt:2", "read");
    wait_until("the token to expire", || shown(&gateway, &brief).0 == 401);
    assert_eq!(shown(&gateway, &token).0, 200);
}

#[test]
fn a_key_that_the_provider_has_not_any_more_is_forgotten() {
    let (backend, mut provider) = (Backend::ok("ok"), OidcProvider::start());
    let gateway = by_key_set(&backend, &provider);
    let old = provider.token("urn:orders:jwt:600", "read");
    assert_eq!(shown(&gateway, &old).0, 200);
    provider.rotate();
    assert_eq!(shown(&gateway, &old).0, 200, "nobody has asked for other keys yet");
    let new = provider.token("urn:orders:jwt:600", "read");
    // The gateway looks for a key that it does not know, not more often than every few seconds.
    wait_until("the new key to be known", || shown(&gateway, &new).0 == 200);
    refused(&gateway, &old, "JWT_INVALID_TOKEN");
    // A provider that is gone takes nobody's keys away.
    drop(provider);
    assert_eq!(shown(&gateway, &new).0, 200);
}

#[test]
fn an_opaque_token_is_good_as_long_as_the_provider_says_so() {
    let (backend, provider) = (Backend::ok("ok"), OidcProvider::start());
    let gateway = by_introspection(&backend, &provider, json!({}));
    let token = provider.token("urn:orders:opaque:600", "read");
    assert_eq!(shown(&gateway, &token), (200, "ok".into()));
    for unknown in ["made-up", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &token[1..]] {
        refused(&gateway, unknown, "OAUTH2_");
    }
    refused(&gateway, &provider.token("urn:orders:opaque:600", "write"), "OAUTH2_INSUFFICIENT_SCOPE");
    let brief = provider.token("urn:orders:opaque:2", "read");
    wait_until("the token to expire", || shown(&gateway, &brief).0 == 401);
    provider.revoke(&token);
    refused(&gateway, &token, "OAUTH2_");
    drop(provider);
    assert!(shown(&gateway, &token).0 >= 400, "a provider that is gone lets nobody in");
}

#[test]
fn what_the_provider_said_is_kept_where_the_plan_says_so() {
    let (backend, provider) = (Backend::ok("ok"), OidcProvider::start());
    let gateway = by_introspection(&backend, &provider, json!({ "oauthCacheResource": "any" }));
    let token = provider.token("urn:orders:opaque:600", "read");
    assert_eq!(shown(&gateway, &token).0, 200);
    provider.revoke(&token);
    drop(provider);
    assert_eq!(shown(&gateway, &token).0, 200, "until its time is over: that is what it costs");
}
