//! Where policies send requests, besides the endpoints of the API.

use ringway_tests::{Api, Backend, Gateway};
use serde_json::json;

fn elsewhere() -> Backend {
    Backend::ok("else.")
}

/// An API whose paths lead to these URLs.
fn api(own: &Backend, rules: &[(&str, &str)]) -> Api {
    let rules: Vec<_> = rules.iter().map(|(pattern, url)| json!({ "pattern": pattern, "url": url })).collect();
    let step = json!({ "policy": "dynamic-routing", "configuration": { "rules": rules } });
    let shared = json!({
        "http": { "propagateClientHost": true },
        "headers": [{ "name": "X-Secret", "value": "of the endpoint" }]
    });
    Api::proxy("/", &own.target())
        .with("endpointGroups/0/sharedConfiguration", shared)
        .with("flows", json!([{ "request": [step] }]))
}

#[test]
fn a_url_of_a_rule_is_called_in_place_of_the_endpoint() {
    let (own, other) = (elsewhere(), elsewhere());
    let to_other = format!("{}/shop/{{#group[0]}}?from=gateway", other.target());
    let gateway = Gateway::serving(&[api(&own, &[("/stores/(.*)", &to_other), ("/root", &other.target())])]);
    let mut client = gateway.connect();
    client.send("GET /stores/12?id=1 HTTP/1.1\r\nHost: client.test\r\nX-Secret: mine\r\n\r\n");
    assert_eq!(client.response().1, b"else.");
    client.send("POST /root HTTP/1.1\r\nHost: client.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().1, b"else.");
    let seen = other.seen();
    let [(first, _), (second, body)] = &*seen else { panic!("{seen:?}") };
    assert_eq!((first.target(), second.target(), &**body), ("/shop/12?from=gateway&id=1", "/", &b"body"[..]));
    let authority = other.target().replace("http://", "");
    assert_eq!(first.field("host"), Some(&*authority), "the client's is the endpoint's affair");
    assert_eq!(first.field("x-secret"), Some("mine"), "the endpoint's own fields stay with it");
    assert!(own.seen().is_empty());
}

#[test]
fn an_address_that_is_not_public_is_dialled_only_where_the_rule_spells_it_out() {
    let (own, other) = (elsewhere(), elsewhere());
    let spelled = format!("{}/a", other.target());
    let rules = [("/named", &*spelled), ("/.*", "{#request.headers['x-to'][0]}")];
    let gateway = Gateway::serving(&[api(&own, &rules)]);
    assert_eq!(gateway.get("/named").0.status(), 200);
    let port = spelled.rsplit(':').next().unwrap();
    for to in [&*spelled, &format!("http://localhost:{port}"), &format!("http://[::ffff:127.0.0.1]:{port}")] {
        let mut client = gateway.connect();
        client.send(format!("GET /any HTTP/1.1\r\nHost: a\r\nX-To: {to}\r\n\r\n"));
        assert_eq!(client.response().0.status(), 502, "{to}");
    }
    assert_eq!((own.seen().len(), other.seen().len()), (0, 1));
}

#[test]
fn what_is_no_url_leads_nowhere() {
    let own = elsewhere();
    let gateway = Gateway::serving(&[api(&own, &[("/.*", "{#request.headers['x-to'][0]}")])]);
    for to in [
        "http://",
        "http:///a",
        "http://u@a.test/",
        "http://a.test:0/",
        "http://a.test\\@b.test/",
        "http://a.test /b",
        "http://a.test/ HTTP/1.1",
        "http://a.test/%0d%0aX:%201/../../%2f",
        "http://a.test/?a b",
        "http://unix:/run/a.sock:/",
        "ftp://a.test/",
        "https",
    ] {
        let mut client = gateway.connect();
        client.send(format!("GET /any HTTP/1.1\r\nHost: a\r\nX-To: {to}\r\n\r\n"));
        assert_eq!(client.response().0.status(), 503, "{to}");
    }
    assert!(own.seen().is_empty());
}

#[test]
fn connections_to_other_places_are_kept_and_bounded() {
    let own = elsewhere();
    let other = elsewhere();
    let target = other.target();
    let gateway = Gateway::serving(&[api(&own, &[("/(.*)", &format!("{target}/{{#group[0]}}"))])]);
    let mut client = gateway.connect();
    for number in 0..20 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().0.status(), 200);
    }
    assert_eq!(other.connections(), 1);
}
