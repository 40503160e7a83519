//! Every example serves as its README says.

use std::fs;
use std::path::PathBuf;

use ringway_tests::{Backend, Client, Gateway, wait_until};

fn example(file: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    fs::read_to_string(root.join(file)).expect("the example is there")
}

/// A gateway with one example, whose backends are `backend`.
fn serving(file: &str, backend: &Backend) -> Gateway {
    let mut text = example(file);
    for place in [
        "${BACKEND:-http://127.0.0.1:9000}",
        "${BACKEND_SMALL:-http://127.0.0.1:9001}",
        "${BACKEND_SPARE:-http://127.0.0.1:9002}",
        "${SINK:-http://127.0.0.1:9000}",
    ] {
        text = text.replace(place, &backend.target());
    }
    let name = file.rsplit('/').next().expect("a file name");
    Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[(name, &text)],
    )
}

#[test]
fn http_proxy() {
    let backend = Backend::ok("echoed");
    let gateway = serving("http-proxy/api.yaml", &backend);
    let (head, body) = gateway.get("/echo/hello?a=b");
    assert_eq!((head.status(), body.as_slice()), (200, &b"echoed"[..]));
    assert_eq!(backend.only().0.target(), "/hello?a=b");
    assert_eq!(gateway.get("/elsewhere").0.status(), 404);
}

#[test]
fn webhooks() {
    let sink = Backend::ok("taken");
    let gateway = serving("webhooks/api.yaml", &sink);
    wait_until("messages to be sent", || sink.seen().len() >= 3);
    let (head, body) = sink.seen().remove(1);
    assert_eq!((head.method(), head.target(), body.as_slice()), ("POST", "/in", &b"reading 1"[..]));
    assert!(head.field("webhook-signature").expect("a signature").starts_with("v1,"));
    let (status, text) = gateway.ask_admin("GET", "/apis/telemetry");
    assert!(status == 200 && text.contains("STARTED"), "{text}");
}

#[test]
fn messages() {
    let gateway = Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[("api.yaml", &example("messages/api.yaml"))],
    );
    let (head, body) =
        Client::ask(gateway.http(), "GET /telemetry?limit=2 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    assert_eq!(head.status(), 200);
    assert!(
        body.starts_with(b"{\"items\":[{\"id\":\"0\",\"content\":\"reading 0\"},"),
        "{}",
        String::from_utf8_lossy(&body)
    );
    let mut client = gateway.connect();
    client.send("GET /telemetry HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    client.until(b"event: message\ndata: reading ");
    let (head, _) = Client::ask(gateway.http(), "POST /telemetry HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n21");
    assert_eq!(head.status(), 202);
}

#[test]
fn load_balancing() {
    let backend = Backend::ok("item");
    let gateway = serving("load-balancing/api.yaml", &backend);
    for _ in 0..4 {
        assert_eq!(gateway.get("/catalogue/").0.status(), 200);
    }
    let sent = |endpoint: &str| gateway.metric("ringway_endpoint_exchanges_total", &[&format!("catalogue/{endpoint}")]);
    assert_eq!((sent("large"), sent("small"), sent("spare")), (3.0, 1.0, 0.0));
}

#[test]
fn orders() {
    let backend = Backend::ok("order");
    let gateway = serving("orders/orders.json", &backend);
    let (head, body) = Client::get(gateway.http(), "api.example.test", "/orders/17");
    assert_eq!((head.status(), body.as_slice()), (200, &b"order"[..]));
    assert_eq!(Client::get(gateway.http(), "other.example.test", "/orders/17").0.status(), 404);
    let (preflight, _) = Client::ask(
        gateway.http(),
        "OPTIONS /orders/17 HTTP/1.1\r\nHost: api.example.test\r\nOrigin: https://app.example.test\r\n\
         Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(preflight.field("access-control-allow-origin"), Some("https://app.example.test"));
}

#[test]
fn common() {
    let backend = Backend::ok("ok");
    let apis = example("common/api.yaml").replace("${BACKEND:-http://127.0.0.1:9000}", &backend.target());
    let gateway = Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[("api.yaml", &apis), ("common.yaml", &example("common/common.yaml"))],
    );
    let ask = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Internal: secret\r\n\r\n");
        let (head, _) = Client::ask(gateway.http(), &request);
        assert_eq!(head.status(), 200);
        head
    };
    for (target, greeting) in
        [("/orders/?lang=fr", "Bienvenue"), ("/orders/?lang=de", "Welcome"), ("/orders/", "Welcome")]
    {
        let head = ask(target);
        assert_eq!((head.field("x-served-by"), head.field("x-greeting")), (Some("Orders"), Some(greeting)), "{target}");
    }
    assert_eq!(ask("/items/").field("x-served-by"), Some("Items"));
    assert!(backend.seen().iter().all(|(head, _)| head.field("x-internal").is_none()));
}
