//! What of a request and a response reaches the other side, and what the gateway adds.

use ringway_tests::{Api, Backend, Client, Gateway};

#[test]
fn end_to_end_fields_pass_untouched_and_hop_by_hop_fields_do_not() {
    let backend = Backend::replies(|_, _| {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Answer:  kept \r\nConnection: keep-alive, x-private\r\n\
         X-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
            .to_owned()
    });
    let gateway = Gateway::before(&backend.target());
    let (head, _) = Client::ask(
        gateway.http(),
        "GET /a%20b?q=%2f HTTP/1.1\r\nHost: gateway.test\r\nUser-Agent: test\r\nAccept: */*\r\nX-Twice: 1\r\nX-Twice: 2\r\n\
         Connection: x-secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: 3\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n\
         Authorization: Bearer x\r\nCookie: c=d\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
    );
    assert_eq!(head.status(), 200);
    assert_eq!(head.field("x-answer"), Some("kept"));
    assert_eq!(head.all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    for gone in ["x-private", "keep-alive", "proxy-connection"] {
        assert_eq!(head.field(gone), None, "{gone} of the response is for one hop only");
    }
    let (request, _) = backend.only();
    assert_eq!(request.target(), "/a%20b?q=%2f");
    assert_eq!(request.field("user-agent"), Some("test"));
    assert_eq!(request.field("authorization"), Some("Bearer x"));
    assert_eq!(request.field("cookie"), Some("c=d"));
    assert_eq!(request.all("x-twice").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(request.field("traceparent"), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    for gone in ["x-secret", "keep-alive", "proxy-connection"] {
        assert_eq!(request.field(gone), None, "{gone} of the request is for one hop only");
    }
    assert!(!request.has("connection", "x-secret") && !request.has("te", "gzip"), "{request:?}");
}

#[test]
fn the_backend_learns_who_asked_and_by_way_of_whom() {
    let backend = Backend::ok("x");
    let gateway = Gateway::before(&backend.target());
    let (head, _) = Client::ask(
        gateway.http(),
        "GET / HTTP/1.1\r\nHost: gateway.test:81\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n",
    );
    let (request, _) = backend.only();
    // A client is not believed: what it claims is replaced.
    assert_eq!(request.all("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(request.all("x-forwarded-proto").collect::<Vec<_>>(), ["http"]);
    assert_eq!(request.field("x-forwarded-host"), Some("gateway.test:81"));
    assert_eq!(request.field("x-forwarded-port"), Some("81"));
    assert!(request.field("via").is_some_and(|via| via.starts_with("1.1 ")), "{request:?}");
    assert!(head.field("via").is_some_and(|via| via.starts_with("1.1 ")), "{head:?}");
    let ids: Vec<&(String, String)> = request.fields.iter().filter(|(name, _)| name.ends_with("request-id")).collect();
    assert_eq!(ids.len(), 1, "one request id: {request:?}");
    assert_eq!(head.field(&ids[0].0), Some(ids[0].1.as_str()), "the client is told the same id");
}

#[test]
fn the_path_below_the_context_is_appended_to_the_target() {
    let backend = Backend::ok("x");
    let gateway = Gateway::serving(&[
        Api::proxy("/orders/", &format!("{}/v1", backend.target())),
        Api::proxy("/plain/", &backend.target()),
    ]);
    for target in ["/orders/1/items?x=y", "/orders", "/plain/a/b", "/plain/?q"] {
        assert_eq!(gateway.get(target).0.status(), 200, "{target}");
    }
    let targets: Vec<String> = backend.seen().iter().map(|(head, _)| head.target().to_owned()).collect();
    assert_eq!(targets[0], "/v1/1/items?x=y");
    assert!(targets[1] == "/v1" || targets[1] == "/v1/", "{targets:?}");
    assert_eq!(&targets[2..], ["/a/b", "/?q"]);
}

#[test]
fn what_is_routed_is_what_is_forwarded() {
    let (open, secret) = (Backend::ok("open"), Backend::ok("secret"));
    let gateway = Gateway::serving(&[Api::proxy("/open/", &open.target()), Api::proxy("/secret/", &secret.target())]);
    // Whatever reaches the open backend must not name a path that leads elsewhere when it is normalised once more.
    for target in [
        "/open/../secret/x",
        "/open/./../secret/x",
        "/open/%2e%2e/secret/x",
        "/open/..%2fsecret/x",
        "/open//../secret/x",
    ] {
        gateway.get(target);
    }
    for (head, _) in open.seen() {
        let target = head.target().to_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
        assert!(!target.split('/').any(|segment| segment == ".."), "the backend was asked for {}", head.target());
    }
}

#[test]
fn the_longest_match_wins_and_hosts_count() {
    let [short, long, exact, wild] = ["short", "long", "exact", "wild"].map(Backend::ok);
    let host = |api: Api, host: &str| {
        api.with("listeners/0/paths/0/host", serde_json::json!(host)).with("name", serde_json::json!(host))
    };
    let gateway = Gateway::serving(&[
        Api::proxy("/a/", &short.target()),
        Api::proxy("/a/b/", &long.target()),
        host(Api::proxy("/a/", &exact.target()), "one.test"),
        host(Api::proxy("/a/", &wild.target()), "*.wild.test"),
    ]);
    for (host, target, wanted) in [
        ("other.test", "/a/x", "short"),
        ("other.test", "/a/b/x", "long"),
        ("other.test", "/a/bc", "short"),
        ("one.test", "/a/x", "exact"),
        ("ONE.test:8080", "/a/x", "exact"),
        ("deep.wild.test", "/a/x", "wild"),
    ] {
        let (head, body) = Client::get(gateway.http(), host, target);
        assert_eq!((head.status(), String::from_utf8_lossy(&body).as_ref()), (200, wanted), "{host}{target}");
    }
    assert_eq!(Client::get(gateway.http(), "other.test", "/elsewhere").0.status(), 404);
    assert_eq!(Client::get(gateway.http(), "other.test", "/ab").0.status(), 404);
}

#[test]
fn what_a_client_claims_of_its_way_counts_as_far_as_it_is_trusted() {
    let backend = Backend::ok("x");
    let ask = |settings: &str| {
        let gateway = Gateway::configured(settings, &[Api::proxy("/", &backend.target())]);
        Client::ask(
            gateway.http(),
            "GET / HTTP/1.1\r\nHost: gateway.test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\n\r\n",
        );
        backend.seen().pop().expect("a request").0
    };
    let own = "for=127.0.0.1;proto=http;host=\"gateway.test\"";
    let added = format!("for=6.6.6.6, {own}");
    for (settings, addresses, proto, forwarded) in [
        ("forwarded: replace", "127.0.0.1", "http", own),
        ("forwarded: replace, trustedProxies: [10.0.0.0/8]", "127.0.0.1", "http", own),
        ("forwarded: replace, trustedProxies: [127.0.0.0/8]", "6.6.6.6, 127.0.0.1", "https", &added),
        ("forwarded: append, xForwarded: append", "6.6.6.6, 127.0.0.1", "https", &added),
        ("forwarded: off, xForwarded: off", "6.6.6.6", "https", "for=6.6.6.6"),
    ] {
        let request = ask(&format!("http: {{ {settings} }}\n"));
        assert_eq!(request.all("x-forwarded-for").collect::<Vec<_>>(), [addresses], "{settings}");
        assert_eq!(request.all("x-forwarded-proto").collect::<Vec<_>>(), [proto], "{settings}");
        assert_eq!(request.all("forwarded").collect::<Vec<_>>(), [forwarded], "{settings}");
    }
}

#[test]
fn ids_of_requests_and_transactions_are_kept_merged_or_made() {
    let backend = Backend::ok("x");
    let ask = |mode: &str, sent: &str| {
        let settings = format!("http: {{ requestId: {{ header: X-Id, overrideMode: {mode} }} }}\n");
        let gateway = Gateway::configured(&settings, &[Api::proxy("/", &backend.target())]);
        let (head, _) = Client::ask(gateway.http(), &format!("GET / HTTP/1.1\r\nHost: a\r\n{sent}\r\n"));
        let (request, _) = backend.seen().pop().expect("a request");
        for name in ["x-id", "x-gravitee-transaction-id"] {
            assert_eq!(head.field(name), request.field(name), "the client is told {name}");
        }
        let own = |name: &str| request.field(name).expect("an id").to_owned();
        (own("x-id"), own("x-gravitee-transaction-id"))
    };
    let sent = "X-Id: mine\r\nX-Gravitee-Transaction-Id: of-all\r\n";
    let is_made = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (id, transaction) = ask("override", sent);
    assert!(is_made(&id) && transaction == "of-all", "{id} {transaction}");
    assert_eq!(ask("keep", sent).0, "mine");
    let (id, _) = ask("merge", sent);
    assert!(id.strip_prefix("mine-").is_some_and(is_made), "{id}");
    let (id, transaction) = ask("merge", "");
    assert!(is_made(&id) && is_made(&transaction), "{id} {transaction}");
}

#[test]
fn a_server_names_itself_and_the_gateway_those_that_do_not() {
    let backend = Backend::scripted(|peer, _| {
        while let Some(head) = peer.next_head() {
            let server = if head.target() == "/named" { "Server: own\r\n" } else { "" };
            peer.send(format!("HTTP/1.1 204 No Content\r\n{server}\r\n"));
        }
    });
    let gateway = Gateway::configured("http: { serverHeader: gate }\n", &[Api::proxy("/", &backend.target())]);
    for (path, server) in [("/named", "own"), ("/", "gate")] {
        assert_eq!(gateway.get(path).0.all("server").collect::<Vec<_>>(), [server], "{path}");
    }
}
