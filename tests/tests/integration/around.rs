//! What policies put around the call of the endpoint: a cache, retries, a circuit, copies; and bodies that are counted on their way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use ringway_tests::{Api, Backend, Gateway, Port, wait_until};
use serde_json::{Value, json};

fn step(policy: &str, configuration: Value) -> Value {
    json!({ "policy": policy, "configuration": configuration })
}

/// An API with these steps of the request and of the response.
fn api(target: &str, request: Value, response: Value) -> Api {
    let flows = json!([{ "request": request, "response": response }]);
    let cache = json!([{ "name": "responses", "type": "cache", "configuration": { "maxEntriesLocalHeap": 100 } }]);
    Api::proxy("/", target).with("flows", flows).with("resources", cache)
}

fn cached(more: Value) -> Value {
    let mut configuration = json!({ "cacheName": "responses", "scope": "API" });
    if let (Some(all), Some(more)) = (configuration.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    step("cache", configuration)
}

#[test]
fn a_kept_response_is_answered_by_every_shard_and_passes_the_policies_of_the_response() {
    let backend = Backend::replies(|_, _| {
        "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".into()
    });
    let headers = step("transform-headers", json!({ "addHeaders": [{ "name": "X-Passed", "value": "yes" }] }));
    let api = api(&backend.target(), json!([cached(json!({}))]), json!([headers]));
    let gateway = Gateway::configured("shards: 2\n", &[api]);
    // Each on a connection of its own, so that both shards have some.
    for number in 0..20 {
        let mut client = gateway.connect();
        client.send("GET /orders HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, body) = client.response();
        assert_eq!((head.status(), &*body, head.field("x-passed")), (200, &b"abcde"[..], Some("yes")));
        assert_eq!(head.field("age").is_some(), number > 0);
    }
    let mut client = gateway.connect();
    client.send("HEAD /orders HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status(), head.field("content-length")), (200, Some("5")));
    client.send("GET /orders HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"1\"\r\n\r\n");
    assert_eq!(client.head().status(), 304);
    client.send("GET /orders HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().1, b"abcde", "the connection goes on");
    assert_eq!(backend.seen().len(), 1);
}

#[test]
fn a_miss_under_load_reaches_the_backend_once() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::replies(move |_, _| {
        let _ = held.lock().unwrap().recv();
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()
    });
    let api = api(&backend.target(), json!([cached(json!({}))]), json!([]));
    let gateway = Gateway::configured("shards: 2\n", &[api]);
    let mut clients: Vec<_> = (0..40).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    wait_until("all are under way", || gateway.metric("ringway_requests_total", &[]) >= 40.0);
    release.send(()).unwrap();
    for client in &mut clients {
        let (head, body) = client.response();
        assert_eq!((head.status(), &*body), (200, &b"ok"[..]));
    }
    assert_eq!(backend.seen().len(), 1);
    drop(release);
}

#[test]
fn a_response_that_breaks_off_is_not_kept() {
    let calls = Arc::new(AtomicUsize::new(0));
    let backend = Backend::scripted({
        let calls = Arc::clone(&calls);
        move |peer, _| {
            if peer.next_head().is_some() {
                let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
                peer.send(if first {
                    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
                } else {
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole"
                });
            }
        }
    });
    let gateway = Gateway::serving(&[api(&backend.target(), json!([cached(json!({}))]), json!([]))]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.until(b"half");
    drop(client);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").1, b"whole");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_packed_response_is_unpacked_for_a_policy_that_reads_it() {
    let backend = Backend::replies(|_, _| {
        "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nCache-Control: max-age=0\r\nContent-Length: 7\r\n\r\n{\"a\":1}".into()
    });
    let validation = step("json-validation", json!({ "schema": "{\"type\": \"object\", \"required\": [\"a\"]}" }));
    let steps = json!([cached(json!({ "useResponseCacheHeaders": true }))]);
    let gateway = Gateway::serving(&[api(&backend.target(), steps, json!([validation]))]);
    for _ in 0..3 {
        let (head, body) = gateway.get("/");
        assert_eq!((head.status(), &*body), (200, &b"{\"a\":1}"[..]));
    }
    let asked: Vec<_> = backend.seen().iter().map(|(head, _)| head.field("if-none-match").is_some()).collect();
    assert_eq!(asked, [false, true, true], "what is stale is asked about");
}

#[test]
fn a_call_is_made_again_with_its_body() {
    let backend = {
        let calls = AtomicUsize::new(0);
        Backend::replies(move |_, body| {
            let status = if calls.fetch_add(1, Ordering::SeqCst) < 2 { "503 Service Unavailable" } else { "200 OK" };
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{}", body.len(), String::from_utf8_lossy(body))
        })
    };
    let retry = step("retry", json!({ "condition": "{#response.status == 503}", "maxRetries": 2, "timeout": 5000 }));
    let gateway = Gateway::serving(&[api(&backend.target(), json!([retry]), json!([]))]);
    let mut client = gateway.connect();
    client.send("POST /orders?id=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let (head, body) = client.response();
    assert_eq!((head.status(), &*body), (200, &b"hello"[..]));
    let seen = backend.seen();
    assert!(seen.iter().all(|(head, body)| head.target() == "/orders?id=1" && body == b"hello"), "{seen:?}");
    assert_eq!(seen.len(), 3);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200, "the connection goes on");
}

#[test]
fn a_call_that_takes_too_long_is_made_again() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let calls = Arc::new(AtomicUsize::new(0));
    let backend = Backend::scripted({
        let calls = Arc::clone(&calls);
        move |peer, _| {
            if peer.next_head().is_some() {
                if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                    let _ = held.lock().unwrap().recv();
                }
                let _ = peer.try_send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    let retry = step("retry", json!({ "condition": "{#response.status == 503}", "maxRetries": 1, "timeout": 300 }));
    let gateway = Gateway::serving(&[api(&backend.target(), json!([retry]), json!([]))]);
    let (head, body) = gateway.get("/");
    assert_eq!((head.status(), &*body), (200, &b"ok"[..]));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(release);
}

#[test]
fn a_backend_that_comes_back_is_found() {
    let port = Port::new();
    let target = format!("http://{}", port.address());
    let retry =
        |max| step("retry", json!({ "condition": "{#response.status == 503}", "maxRetries": max, "delay": 50 }));
    let gateway = Gateway::serving(&[api(&target, json!([retry(2)]), json!([]))]);
    assert_eq!(gateway.get("/").0.status(), 502, "it stays away");
    let retries = gateway.metric("ringway_retries_total", &[]);
    assert!((retries - 2.0).abs() < 0.5, "{retries}");
}

#[test]
fn an_open_circuit_spares_the_backend() {
    let backend = Backend::replies(|_, _| "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".into());
    let breaker = step(
        "policy-circuit-breaker",
        json!({ "windowSize": 3, "minimumNumberOfCalls": 3, "waitDurationInOpenState": 60000 }),
    );
    let gateway = Gateway::configured("shards: 2\n", &[api(&backend.target(), json!([breaker]), json!([]))]);
    let statuses: Vec<_> = (0..10).map(|_| gateway.get("/").0.status()).collect();
    assert_eq!(statuses, [500, 500, 500, 503, 503, 503, 503, 503, 503, 503]);
    assert_eq!(backend.seen().len(), 3, "on every shard");
}

#[test]
fn a_request_is_copied_with_its_body_and_nobody_waits_for_the_copy() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let copies = Backend::replies(move |_, _| {
        let _ = held.lock().unwrap().recv();
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()
    });
    let backend = Backend::ok("original");
    let shadow = step(
        "traffic-shadowing",
        json!({ "target": "{#endpoints['next']}", "headers": [{ "name": "X-Shadow", "value": "1" }] }),
    );
    let group = json!({ "name": "shadow", "type": "http-proxy", "endpoints": [
        { "name": "next", "type": "http-proxy", "configuration": { "target": format!("{}/copy", copies.target()) } }] });
    let api = api(&backend.target(), json!([shadow]), json!([]));
    let mut definition: Value = serde_json::from_str(&api.json()).unwrap();
    definition["endpointGroups"].as_array_mut().unwrap().push(group);
    let api = api.with("endpointGroups", definition["endpointGroups"].take());
    let gateway = Gateway::serving(&[api]);
    let mut client = gateway.connect();
    client.send(
        "POST /a?b=c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().1, b"original", "while the copy is not answered");
    release.send(()).unwrap();
    wait_until("the copy has come", || copies.seen().len() == 1);
    let (head, body) = copies.only();
    assert_eq!((head.method(), head.target(), &*body), ("POST", "/copy/a?b=c", &b"hello world"[..]));
    assert_eq!(head.field("x-shadow"), Some("1"));
    assert_eq!(backend.only().1, b"hello world");
    drop(release);
}

#[test]
fn a_body_is_counted_on_its_way() {
    let backend = Backend::ok("ok");
    let limit = step("request-content-limit", json!({ "limit": 10 }));
    let gateway = Gateway::serving(&[api(&backend.target(), json!([limit]), json!([]))]);
    let answer = |request: &str| {
        let mut client = gateway.connect();
        client.send(request);
        client.response()
    };
    let fits = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n";
    assert_eq!(answer(fits).0.status(), 200);
    let longer =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n";
    let (head, body) = answer(longer);
    assert_eq!(head.status(), 413);
    assert!(String::from_utf8_lossy(&body).contains("REQUEST_CONTENT_LIMIT_TOO_LARGE"));
    assert_eq!(answer("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world").0.status(), 413);
    assert_eq!(answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0.status(), 411);
}

#[test]
fn a_response_template_tells_what_the_step_tells() {
    let interrupt = step(
        "policy-interrupt",
        json!({ "statusCode": 409, "errorKey": "TAKEN", "message": "Taken.",
                "variables": [{ "name": "who", "value": "{#request.headers['x-who'][0]}" }] }),
    );
    let template = json!({ "TAKEN": { "*/*": { "status": 418, "headers": { "X-Key": "{#error.key}" },
        "body": "{#error.message} {#error.statusCode} {#parameters['who']} {#request.path}" } } });
    let api = api("http://127.0.0.1:9", json!([interrupt]), json!([])).with("responseTemplates", template);
    let gateway = Gateway::serving(&[api]);
    let mut client = gateway.connect();
    client.send("GET /here HTTP/1.1\r\nHost: a\r\nX-Who: Ada\r\n\r\n");
    let (head, body) = client.response();
    assert_eq!((head.status(), head.field("x-key")), (418, Some("TAKEN")));
    assert_eq!(String::from_utf8_lossy(&body), "Taken. 409 Ada /here");
}

#[test]
fn nobody_waits_for_a_callout_that_is_to_be_forgotten() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let service = Backend::replies(move |_, _| {
        let _ = held.lock().unwrap().recv();
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()
    });
    let backend = Backend::ok("ok");
    let callout = step(
        "policy-http-callout",
        json!({ "method": "POST", "url": format!("{}/audit", service.target()), "body": "{#request.path}",
                "variables": [], "fireAndForget": true }),
    );
    let gateway = Gateway::serving(&[api(&backend.target(), json!([callout]), json!([]))]);
    assert_eq!(gateway.get("/orders").1, b"ok", "while the service is silent");
    release.send(()).unwrap();
    wait_until("the service was called", || service.seen().len() == 1);
    assert_eq!(service.only().1, b"/orders");
    drop(release);
}
