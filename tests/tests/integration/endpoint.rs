//! The options of an endpoint, each against something real.

use ringway_tests::{Api, Authority, Backend, Client, Gateway, Nginx, Port, Scratch, tool, wait_until};
use serde_json::json;

#[test]
fn a_backend_may_be_a_unix_socket() {
    let nginx = Nginx::start("server { listen {listen}; listen unix:{root}/sock; return 200 $http_host; }");
    let socket = nginx.folder().join("sock").display().to_string();
    let gateway = Gateway::serving(&[Api::proxy("/", &format!("http://unix:{socket}:/"))]);
    let url = format!("http://{}/", gateway.http());
    let said = tool::run("h2load", ["--h1", "-n", "500", "-c", "8", "-t", "1", &url]).ok();
    assert_eq!(tool::h2load_counts(&said), Some((500, 0)), "{said}");
}

/// nginx behind TLS with a certificate of `authority` for `backend.test`, asking for client certificates if `verify` says so.
fn tls_nginx(authority: &Authority, verify: &str) -> Nginx {
    authority.sign("backend.test");
    Nginx::start(&format!(
        "server {{ listen {{listen}} ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client {verify};
         return 200 '$ssl_protocol $ssl_client_s_dn'; }}",
        authority.path("backend.test.pem"),
        authority.path("backend.test.key"),
        authority.path("ca.pem"),
    ))
}

fn https(nginx: &Nginx, ssl: serde_json::Value) -> Gateway {
    let target = format!("https://{}", nginx.address());
    Gateway::serving(&[Api::proxy("/", &target).with("endpointGroups/0/sharedConfiguration/ssl", ssl)])
}

#[test]
fn a_tls_backend_is_verified_against_the_trust_store() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let nginx = tls_nginx(&authority, "off");
    let trust = |by: &Authority| json!({ "trustStore": { "type": "PEM", "path": by.path("ca.pem") } });
    let (head, body) = https(&nginx, trust(&authority)).get("/");
    assert_eq!((head.status(), String::from_utf8_lossy(&body).trim()), (200, "TLSv1.3"));
    assert_eq!(https(&nginx, trust(&stranger)).get("/").0.status(), 502, "an authority that is not trusted");
    assert_eq!(https(&nginx, json!({})).get("/").0.status(), 502, "the public authorities do not know it");
    assert_eq!(https(&nginx, json!({ "trustAll": true })).get("/").0.status(), 200, "trustAll asks no questions");
}

#[test]
fn a_store_is_looked_for_beside_the_definition_that_names_it() {
    let authority = Authority::new();
    let nginx = tls_nginx(&authority, "off");
    let ca = std::fs::read_to_string(authority.path("ca.pem")).unwrap();
    let ssl = json!({ "trustStore": { "type": "PEM", "path": "stores/ca.pem" } });
    let api = Api::proxy("/", &format!("https://{}", nginx.address()));
    let api = api.with("endpointGroups/0/sharedConfiguration/ssl", ssl).json();
    let gateway = Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\napis: ['{dir}/apis']\nadmin: { listen: '{admin}' }\n",
        &[("0.json", &api), ("stores/ca.pem", &ca)],
    );
    assert_eq!(gateway.get("/").0.status(), 200);
}

#[test]
fn a_tls_backend_may_ask_for_the_gateways_certificate() {
    let authority = Authority::new();
    let nginx = tls_nginx(&authority, "on");
    authority.sign("gateway.test");
    let trust = json!({ "type": "PEM", "path": authority.path("ca.pem") });
    assert_eq!(https(&nginx, json!({ "trustStore": trust })).get("/").0.status(), 400, "nginx wants a certificate");
    let key = |name: &str| authority.path(name);
    let pem = json!({ "type": "PEM", "certPath": key("gateway.test.pem"), "keyPath": key("gateway.test.key") });
    authority
        .openssl("pkcs12 -export -in gateway.test.pem -inkey gateway.test.key -out gateway.p12 -passout pass:geheim");
    let p12 = json!({ "type": "PKCS12", "path": key("gateway.p12"), "password": "geheim" });
    authority
        .keytool("-importcert -noprompt -keystore trust.jks -storetype JKS -storepass changeit -alias ca -file ca.pem");
    authority.keytool(
        "-importkeystore -srckeystore gateway.p12 -srcstoretype PKCS12 -srcstorepass geheim -srcalias 1 -destkeystore keys.jks \
         -deststoretype JKS -deststorepass changeit -destkeypass keykey -destalias gateway",
    );
    let jks = json!({ "type": "JKS", "path": key("keys.jks"), "password": "changeit", "alias": "gateway", "keyPassword": "keykey" });
    let jks_trust = json!({ "type": "JKS", "path": key("trust.jks"), "password": "changeit" });
    for (kind, trust, store) in [("PEM", &trust, pem), ("PKCS12", &trust, p12), ("JKS", &jks_trust, jks)] {
        let (head, body) = https(&nginx, json!({ "trustStore": trust, "keyStore": store })).get("/");
        assert_eq!(
            (head.status(), String::from_utf8_lossy(&body).as_ref()),
            (200, "TLSv1.3 CN=gateway.test"),
            "{kind}"
        );
    }
}

#[test]
fn configured_headers_are_added_and_the_clients_host_can_be_passed_on() {
    let backend = Backend::ok("ok");
    let api = Api::proxy("/", &backend.target())
        .with("endpointGroups/0/sharedConfiguration/headers", json!([{ "name": "X-From", "value": "gateway" }]));
    let gateway = Gateway::serving(std::slice::from_ref(&api));
    Client::get(gateway.http(), "client.test", "/");
    let gateway = Gateway::serving(&[api.http("propagateClientHost", json!(true))]);
    Client::get(gateway.http(), "client.test", "/");
    let seen = backend.seen();
    for (head, _) in &seen {
        assert_eq!(head.all("x-from").collect::<Vec<_>>(), ["gateway"]);
    }
    assert_eq!(seen[0].0.field("host"), Some(backend.address().to_string().as_str()));
    assert_eq!(seen[1].0.field("host"), Some("client.test"));
}

#[test]
fn no_more_connections_are_opened_than_allowed_and_the_others_wait_their_turn() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target()).http("maxConcurrentConnections", json!(3))]);
    let url = format!("http://{}/", gateway.http());
    let said = tool::run("h2load", ["--h1", "-n", "3000", "-c", "30", "-t", "1", &url]).ok();
    assert_eq!(tool::h2load_counts(&said), Some((3000, 0)), "{said}");
    assert!(backend.connections() <= 3, "{} connections for at most 3", backend.connections());
}

#[test]
fn without_keep_alive_every_request_has_a_connection_of_its_own() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target()).http("keepAlive", json!(false))]);
    let mut client = gateway.connect();
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().1, b"ok");
    }
    assert_eq!(backend.connections(), 5);
    assert!(backend.seen().iter().all(|(head, _)| head.has("connection", "close")));
}

#[test]
fn a_backend_behind_an_http_proxy_is_reached_through_it() {
    let authority = Authority::new();
    let nginx = tls_nginx(&authority, "off");
    let inside = nginx.address();
    // A proxy that opens the one tunnel it is asked for.
    let proxy = Backend::scripted(move |peer, _| {
        let Some(head) = peer.next_head() else { return };
        assert_eq!(head.start, format!("CONNECT {inside} HTTP/1.1"));
        let outside = std::net::TcpStream::connect(inside).unwrap();
        peer.send("HTTP/1.1 200 Connection established\r\n\r\n");
        let up = (peer.stream().try_clone().unwrap(), outside.try_clone().unwrap());
        let down = (outside, peer.stream().try_clone().unwrap());
        let copy = |(mut from, mut to): (std::net::TcpStream, std::net::TcpStream)| {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            })
        };
        let threads = [copy(up), copy(down)];
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    let api = Api::proxy("/", &format!("https://{inside}"))
        .with("endpointGroups/0/sharedConfiguration/ssl", json!({ "trustAll": true }))
        .with(
            "endpointGroups/0/sharedConfiguration/proxy",
            json!({
                "enabled": true, "type": "HTTP", "host": "127.0.0.1", "port": proxy.address().port()
            }),
        );
    let gateway = Gateway::serving(&[api]);
    assert_eq!(gateway.get("/").1, b"TLSv1.3 ");
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn no_proxy_names_what_is_reached_without_the_systems_proxy() {
    let backend = Backend::ok("directly");
    let proxy = Backend::scripted(|peer, _| {
        if peer.next_head().is_some_and(|head| head.start.starts_with("CONNECT ")) {
            peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let api = Api::proxy("/", &backend.target())
        .with("endpointGroups/0/sharedConfiguration/proxy", json!({ "enabled": true, "useSystemProxy": true }));
    let (url, port) = (proxy.target(), backend.address().port());
    let other = format!("127.0.0.1:{}", port.wrapping_add(1).max(1));
    for (no_proxy, status) in [
        ("", 502),
        ("backend.example,10.0.0.0/8", 502),
        (&*other, 502),
        ("backend.example, 127.0.0.0/8", 200),
        (&format!("127.0.0.1:{port}"), 200),
        ("*", 200),
    ] {
        let variables = [("HTTP_PROXY", &*url), ("NO_PROXY", no_proxy), ("no_proxy", no_proxy)];
        let gateway = Gateway::surrounded(&variables, "", std::slice::from_ref(&api));
        assert_eq!(gateway.get("/").0.status(), status, "{no_proxy}");
    }
    assert!(proxy.connections() >= 3, "the others went by the proxy");
}

#[test]
fn the_circuit_opens_after_failures_and_closes_again() {
    let port = Port::new();
    let api = |target: &str| {
        Api::proxy("/", target).with(
            "failover",
            json!({ "enabled": true, "maxRetries": 0, "slowCallDuration": 2000, "openStateDuration": 500, "maxFailures": 3 }),
        )
    };
    let gateway = Gateway::serving(&[api(&format!("http://{}", port.address()))]);
    let statuses: Vec<u16> = (0..10).map(|_| gateway.get("/").0.status()).collect();
    assert_eq!(statuses[0], 502, "{statuses:?}");
    assert!(statuses.iter().all(|status| [502, 503].contains(status)), "{statuses:?}");
    let _backend = Backend::ok_on(port, "well");
    wait_until("the circuit to close", || gateway.get("/").1 == b"well");
}

#[test]
fn an_answer_of_the_gateway_can_be_written_by_the_api() {
    let nobody = Port::new();
    let target = format!("http://{}", nobody.address());
    let plain = Gateway::serving(&[Api::proxy("/", &target)]);
    let (head, body) = plain.get("/");
    let problem: serde_json::Value = serde_json::from_slice(&body).expect("an answer of the gateway is JSON");
    assert!(head.field("content-type").is_some_and(|kind| kind.contains("json")), "{head:?}");
    let key = problem.as_object().and_then(|fields| {
        fields
            .values()
            .find_map(|value| value.as_str()?.starts_with("GATEWAY_").then(|| value.as_str().unwrap().to_owned()))
    });
    let key = key.unwrap_or_else(|| panic!("no key in {problem}"));
    let template = json!({ "*/*": { "status": 599, "headers": { "X-Sorry": "yes" }, "body": "out of order" } });
    let gateway = Gateway::serving(&[Api::proxy("/", &target).with(&format!("responseTemplates/{key}"), template)]);
    let (head, body) = gateway.get("/");
    assert_eq!((head.status(), head.field("x-sorry"), body.as_slice()), (599, Some("yes"), &b"out of order"[..]));
}

#[test]
fn what_an_endpoint_is_told_may_have_expressions() {
    let backend = Backend::ok("ok");
    let api = Api::balanced("/", &["{#api.properties['backend']}/base"])
        .with("properties", json!([{ "key": "backend", "value": backend.target() }, { "key": "zone", "value": "a" }]))
        .with(
            "endpointGroups/0/sharedConfiguration/headers",
            json!([
                { "name": "X-Zone", "value": "zone {#properties['zone']}" },
                { "name": "X-Path", "value": "{#request.method} {#request.pathInfo}" },
                { "name": "Host", "value": "{#request.headers['x-tenant'][0]}.backend.test" },
            ]),
        );
    let gateway = Gateway::serving(&[api]);
    let ask = |fields: &str| Client::ask(gateway.http(), &format!("GET /a/b HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).0;
    assert_eq!(ask("X-Tenant: t1\r\nX-Path: mine\r\nx-zone: mine\r\n").status(), 200);
    let (head, _) = backend.only();
    assert_eq!(head.target(), "/base/a/b");
    assert_eq!(head.all("x-zone").collect::<Vec<_>>(), ["zone a"]);
    assert_eq!(head.all("x-path").collect::<Vec<_>>(), ["GET /a/b"]);
    assert_eq!(head.all("host").collect::<Vec<_>>(), ["t1.backend.test"]);
    let head = ask("X-Tenant: a b\r\n");
    assert_eq!(head.status(), 500, "a host that is none is not sent: {head:?}");
}

#[test]
fn a_value_of_a_definition_may_be_another_file() {
    let backend = Backend::ok("ok");
    let secrets = Scratch::new("secrets");
    secrets.write("token", "s3cret\n");
    let api = Api::proxy("/", &backend.target()).with(
        "endpointGroups/0/sharedConfiguration/headers",
        json!([{ "name": "X-Token", "value": format!("file:{}", secrets.join("token").display()) }]),
    );
    let gateway = Gateway::serving(&[api]);
    assert_eq!(gateway.get("/").0.status(), 200);
    assert_eq!(backend.only().0.field("x-token"), Some("s3cret"));
    secrets.write("token", "another\n");
    wait_until("the new value", || {
        gateway.get("/");
        backend.seen().last().is_some_and(|(head, _)| head.field("x-token") == Some("another"))
    });
    assert!(!gateway.log().contains("s3cret"), "a secret is never logged");
}

#[test]
fn preflights_pass_the_flows_of_an_api_that_asks_for_it() {
    let backend = Backend::ok("ok");
    let api = Api::proxy("/", &backend.target())
        .with(
            "listeners/0/cors",
            json!({ "enabled": true, "allowOrigin": ["*"], "allowMethods": ["POST"], "runPolicies": true }),
        )
        .with("plans/0/security", json!({ "type": "API_KEY" }))
        .with(
            "flows",
            json!([{ "name": "closed", "enabled": true,
                     "selectors": [{ "type": "HTTP", "path": "/closed", "pathOperator": "STARTS_WITH" }],
                     "request": [{ "policy": "mock", "enabled": true, "configuration": { "status": "410" } }] }]),
        );
    let gateway = Gateway::serving(&[api]);
    let preflight = |target: &str| {
        let fields = "Host: a\r\nOrigin: https://app.test\r\nAccess-Control-Request-Method: POST\r\n";
        Client::ask(gateway.http(), &format!("OPTIONS {target} HTTP/1.1\r\n{fields}\r\n")).0
    };
    let head = preflight("/open");
    assert_eq!((head.status(), head.field("access-control-allow-methods")), (200, Some("POST")));
    assert_eq!(preflight("/closed").status(), 410, "what a policy answers is the answer");
    assert_eq!(gateway.get("/open").0.status(), 401, "a call itself has a plan");
    assert_eq!(backend.seen(), [], "a preflight is the gateway's business");
}

#[test]
fn cors_is_answered_for_the_backend() {
    let backend = Backend::ok("ok");
    let api = Api::proxy("/", &backend.target()).with(
        "listeners/0/cors",
        json!({ "enabled": true, "allowOrigin": ["https://app.test"], "allowMethods": ["GET", "POST"],
                "allowHeaders": ["content-type"], "allowCredentials": true, "maxAge": 600 }),
    );
    let gateway = Gateway::serving(&[api]);
    let preflight = |origin: &str, method: &str| {
        Client::ask(gateway.http(), &format!(
            "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
        )).0
    };
    let head = preflight("https://app.test", "POST");
    assert_eq!(head.field("access-control-allow-origin"), Some("https://app.test"), "{head:?}");
    assert_eq!(head.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(head.field("access-control-max-age"), Some("600"));
    assert!(head.has("access-control-allow-methods", "POST"), "{head:?}");
    let head = preflight("https://evil.test", "POST");
    assert_eq!(head.field("access-control-allow-origin"), None, "{head:?}");
    assert_eq!(backend.seen(), [], "a preflight is the gateway's business");
    let (head, _) = Client::ask(gateway.http(), "GET /x HTTP/1.1\r\nHost: a\r\nOrigin: https://app.test\r\n\r\n");
    assert_eq!(head.field("access-control-allow-origin"), Some("https://app.test"), "{head:?}");
    assert!(head.has("vary", "origin"), "a cache must not mix origins: {head:?}");
}
