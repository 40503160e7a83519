//! `rabbitmq`: every entrypoint in front of a real node, its death, and what it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ringway_tests::{Api, Gateway, Head, MESSAGE_BYTES_MAX, Peer, RabbitMq, wait_for, wait_for_return, wait_until};
use serde_json::{Value, json};

/// An API at `path`: its entrypoints, and a broker at a port with this shared configuration.
fn api(path: &str, port: u16, entrypoints: Value, shared: Value) -> Api {
    Api::messages(path, entrypoints, "rabbitmq", json!({ "serverHost": "127.0.0.1", "serverPort": port }))
        .with("endpointGroups/0/sharedConfiguration", shared)
        .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true))
}

/// Reads from and writes to an exchange of type `topic`.
fn topic(exchange: &str) -> Value {
    let exchange = json!({ "name": exchange, "type": "topic" });
    json!({
        "consumer": { "exchange": exchange, "routingKey": "a.#" },
        "producer": { "exchange": exchange, "routingKey": "a.b" },
    })
}

fn entrypoint(kind: &str, qos: &str) -> Value {
    let configuration = match kind {
        "http-get" => json!({ "messagesLimitDurationMs": 1_000 }),
        "http-post" => json!({ "requestHeadersToMessage": true }),
        _ => json!({}),
    };
    json!({ "type": kind, "qos": qos, "configuration": configuration })
}

fn port(node: &RabbitMq) -> u16 {
    node.address().port()
}

fn post(gateway: &Gateway, target: &str, fields: &str, body: &str) -> (u16, Value) {
    let mut client = gateway.connect();
    client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()));
    let (head, body) = client.response();
    (head.status(), serde_json::from_slice(&body).unwrap_or_default())
}

fn get(gateway: &Gateway, target: &str) -> (u16, Value) {
    let mut client = gateway.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"));
    let (head, body) = client.response();
    (head.status(), serde_json::from_slice(&body).unwrap_or_default())
}

fn contents(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap_or_else(|| panic!("no items: {answer}"));
    items.iter().map(|item| item["content"].as_str().unwrap().to_owned()).collect()
}

fn ask_stream(gateway: &Gateway, target: &str) -> (Peer, Head) {
    let mut client = gateway.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"));
    let head = client.head();
    (client, head)
}

fn stream(gateway: &Gateway, target: &str) -> Peer {
    let (client, head) = ask_stream(gateway, target);
    assert_eq!(head.status(), 200);
    client
}

fn until(client: &mut Peer, mark: &str) -> String {
    String::from_utf8_lossy(&client.until(mark.as_bytes())).into_owned()
}

/// How often each event's data came, in a stream's bytes.
fn counted(text: &str) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        *counts.entry(data).or_default() += 1;
    }
    counts
}

/// Declares a durable queue and binds it to a durable exchange of type `topic`.
const BOUND: &str = "channel.exchange_declare(arguments[0], 'topic', durable=True)
channel.queue_declare(arguments[1], durable=True)
channel.queue_bind(arguments[1], arguments[0], 'a.#')";

/// Takes as many messages from a queue as asked for, or all that are there.
const DRAINED: &str = "out, wanted = [], int(arguments[1])
while wanted == 0 or len(out) < wanted:
    method, properties, body = channel.basic_get(arguments[0], auto_ack=True)
    if method is None:
        if wanted == 0: break
        connection.process_data_events(0.05)
        continue
    out.append({'body': body.decode(), 'key': method.routing_key, 'type': properties.content_type, 'mode': properties.delivery_mode,
                'correlation': properties.correlation_id, 'headers': {k: str(v) for k, v in (properties.headers or {}).items()}})
print(json.dumps(out))";

fn drained(node: &RabbitMq, queue: &str, wanted: usize) -> Vec<Value> {
    serde_json::from_str(&node.pika(DRAINED, &[queue, &wanted.to_string()])).unwrap()
}

/// Publishes `m0`, `m1`, ... with confirms.
fn publish(node: &RabbitMq, exchange: &str, count: usize) {
    let script = "channel.confirm_delivery()
channel.exchange_declare(arguments[0], 'topic', durable=True)
for n in range(int(arguments[1])):
    channel.basic_publish(arguments[0], 'a.b', f'm{n}'.encode(), pika.BasicProperties(
        delivery_mode=2, content_type='text/x-test', correlation_id=f'c{n}', headers={'x-number': n}))";
    node.pika(script, &[exchange, &count.to_string()]);
}

#[test]
fn what_is_posted_is_published_at_each_level_with_headers_and_properties() {
    let node = RabbitMq::shared();
    node.pika(BOUND, &["posted", "posted"]);
    let apis = ["NONE", "AUTO"]
        .map(|qos| api(&format!("/{qos}"), port(node), json!([entrypoint("http-post", qos)]), topic("posted")));
    let gateway = Gateway::serving(&apis);
    for qos in ["NONE", "AUTO"] {
        let fields = "Content-Type: text/x-test\r\nCorrelation-Id: c7\r\nX-Number: 7\r\n";
        assert_eq!(post(&gateway, &format!("/{qos}"), fields, qos).0, 202);
        let message = drained(node, "posted", 1).remove(0);
        assert_eq!(message["body"], qos);
        assert_eq!((&message["key"], &message["mode"]), (&json!("a.b"), &json!(2)));
        assert_eq!((&message["type"], &message["correlation"]), (&json!("text/x-test"), &json!("c7")));
        assert!(message["headers"].to_string().contains("\"7\""), "{message}");
    }
}

#[test]
fn a_queue_goes_on_where_the_last_answer_ended() {
    let node = RabbitMq::shared();
    let gateway =
        Gateway::serving(&[api("/", port(node), json!([entrypoint("http-get", "AUTO")]), topic("collected"))]);
    // The queue of this client is there from its first request on.
    assert_eq!(contents(&get(&gateway, "/").1).len(), 0);
    publish(node, "collected", 5);
    let (_, first) = get(&gateway, "/?limit=3");
    assert_eq!(contents(&first), ["m0", "m1", "m2"]);
    // A cursor says nothing that the queue does not know.
    let cursor = first["pagination"]["nextCursor"].as_str().unwrap();
    assert_eq!(contents(&get(&gateway, &format!("/?limit=2&cursor={cursor}")).1), ["m3", "m4"]);
    assert_eq!(contents(&get(&gateway, "/").1).len(), 0);
}

#[test]
fn headers_that_lie_too_deep_in_each_other_end_nothing() {
    let node = RabbitMq::shared();
    let gateway = Gateway::serving(&[api("/", port(node), json!([entrypoint("http-get", "AUTO")]), topic("deep"))]);
    assert_eq!(contents(&get(&gateway, "/").1).len(), 0);
    // Who reads them by calling itself has no stack left for so many.
    let script = "sys.setrecursionlimit(100000)
nested = []
for n in range(20000): nested = [nested]
properties = pika.BasicProperties(headers={'x-deep': nested, 'x-number': 7})
channel.basic_publish(arguments[0], 'a.b', b'm0', properties)
channel.basic_publish(arguments[0], 'a.b', b'm1')";
    node.pika(script, &["deep"]);
    assert_eq!(contents(&get(&gateway, "/?limit=2").1), ["m0", "m1"]);
    assert!(gateway.metric("ringway_panics_total", &[]) == 0.0);
}

#[test]
fn at_most_once_takes_messages_off_the_queue_before_they_are_delivered() {
    let node = RabbitMq::shared();
    let entrypoints = json!([entrypoint("http-get", "AT_MOST_ONCE"), entrypoint("sse", "AT_MOST_ONCE")]);
    let gateway = Gateway::serving(&[api("/", port(node), entrypoints, topic("once"))]);
    assert_eq!(contents(&get(&gateway, "/").1).len(), 0);
    publish(node, "once", 4);
    assert_eq!(contents(&get(&gateway, "/").1), ["m0", "m1", "m2", "m3"]);
    assert_eq!(contents(&get(&gateway, "/").1).len(), 0);
    let mut client = stream(&gateway, "/");
    publish(node, "once", 50);
    let text = until(&mut client, "data: m49\n\n");
    let counts = counted(&text);
    assert_eq!((counts.len(), counts.values().max()), (50, Some(&1)));
}

#[test]
fn streams_share_a_subscription_and_tell_where_messages_came_from() {
    let node = RabbitMq::shared();
    let configuration = json!({ "metadataAsComment": true, "headersAsComment": true });
    let apis = ["NONE", "AUTO"].map(|qos| {
        let entrypoints = json!([{ "type": "sse", "qos": qos, "configuration": configuration }]);
        api(&format!("/{qos}"), port(node), entrypoints, topic("streamed"))
    });
    let gateway = Gateway::serving(&apis);
    let mut clients = ["/NONE", "/AUTO", "/NONE", "/AUTO"].map(|target| stream(&gateway, target));
    publish(node, "streamed", 20);
    for client in &mut clients {
        let text = until(client, "data: m19\n");
        assert_eq!(counted(&text).len(), 20);
        let event = text.split("data: m7\n").nth(1).unwrap().split("\n\n").next().unwrap();
        for comment in [
            ":exchange=streamed",
            ":routingKey=a.b",
            ":redelivered=false",
            ":contentType=text/x-test",
            ":correlationId=c7",
            ":x-number=7",
        ] {
            assert!(event.lines().any(|line| line == comment), "{comment}: {event}");
        }
    }
}

#[test]
fn a_level_that_needs_a_cursor_is_refused_before_it_runs() {
    let api = api("/", 5672, json!([entrypoint("sse", "AT_LEAST_ONCE")]), topic("refused"));
    let log = refusal(&api);
    assert!(log.contains("`sse` with `rabbitmq` has no AT_LEAST_ONCE"), "{log}");
    assert!(log.contains("allowed: NONE, AUTO, AT_MOST_ONCE"), "{log}");
}

fn refusal(api: &Api) -> String {
    Gateway::try_start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: [apis]\n",
        &[("a.json", &api.json())],
    )
    .unwrap_err()
}

#[test]
fn what_a_configuration_says_wrongly_is_found_before_it_runs() {
    let entrypoints = || json!([entrypoint("sse", "AUTO")]);
    for (shared, place, reason) in [
        (json!({}), "sharedConfiguration", "neither a consumer nor a producer"),
        (json!({ "consumer": {} }), "consumer", "needs `exchange`, `queue`, or both"),
        (
            json!({ "consumer": { "exchange": { "name": "a", "type": "topik" } } }),
            "consumer.exchange.type",
            "no type of exchange is called `topik`",
        ),
        (json!({ "consumer": { "queue": "amq.a" } }), "consumer.queue", "the broker's own"),
        (json!({ "producer": {} }), "producer", "takes the routing key for the name of a queue"),
        (json!({ "producer": { "routingKey": "k".repeat(256) } }), "producer.routingKey", "longer than 255"),
        (
            json!({ "producer": { "routingKey": "q" }, "security": { "ssl": { "truststore": { "type": "JKS" } } } }),
            "security.ssl.truststore",
            "trustStore needs `path` or `content`",
        ),
    ] {
        let log = refusal(&api("/", 5672, entrypoints(), shared));
        assert!(log.contains(reason) && log.contains(place), "{place}: {log}");
    }
}

#[test]
fn what_a_broker_refuses_is_a_fault_with_a_key() {
    let node = RabbitMq::shared();
    node.pika("channel.exchange_declare('as-direct', 'direct', durable=True)", &[]);
    let entrypoints =
        || json!([entrypoint("http-get", "AUTO"), entrypoint("http-post", "AUTO"), entrypoint("sse", "AUTO")]);
    let mut credentials = topic("refusals");
    credentials["security"] = json!({ "auth": { "username": "guest", "password": "wrong" } });
    let no_queue = json!({ "consumer": { "queue": "no-such-queue" }, "producer": { "routingKey": "no-such-queue", "mandatory": true } });
    let gateway = Gateway::serving(&[
        api("/credentials", port(node), entrypoints(), credentials),
        api("/host", port(node), entrypoints(), topic("refusals"))
            .with("endpointGroups/0/endpoints/0/configuration/virtualHost", json!("nowhere")),
        api("/type", port(node), entrypoints(), topic("as-direct")),
        api("/queue", port(node), entrypoints(), no_queue),
    ]);
    for target in ["/credentials", "/host", "/type", "/queue"] {
        let (status, problem) = get(&gateway, target);
        assert_eq!((status, &problem["key"]), (502, &json!("FAILURE_ENDPOINT_CONFIGURATION_INVALID")), "{target}");
        assert_eq!(ask_stream(&gateway, target).1.status(), 502, "{target}");
        let (status, problem) = post(&gateway, target, "", "x");
        let expected = match target {
            "/queue" => (500, "FAILURE_ENDPOINT_PUBLISH_FAILED"),
            _ => (502, "FAILURE_ENDPOINT_CONFIGURATION_INVALID"),
        };
        assert_eq!((status, problem["key"].as_str().unwrap()), expected, "{target}");
    }
}

#[test]
fn a_message_that_is_too_large_for_the_broker_is_refused_and_the_next_is_taken() {
    let node = RabbitMq::shared();
    node.pika(BOUND, &["sizes", "sizes"]);
    let gateway = Gateway::serving(&[api("/", port(node), json!([entrypoint("http-post", "AUTO")]), topic("sizes"))]);
    let large = "x".repeat(MESSAGE_BYTES_MAX + 1);
    // The first closes the channel; after that the limit is known.
    for _ in 0..2 {
        let (status, problem) = post(&gateway, "/", "", &large);
        assert_eq!((status, &problem["key"]), (413, &json!("MESSAGE_TOO_LARGE")));
        wait_until("the channel is there again", || post(&gateway, "/", "", "small").0 == 202);
    }
    assert_eq!(post(&gateway, "/", "", &large[1..]).0, 202);
}

#[test]
fn a_broker_that_is_away_at_the_start_is_found_when_it_comes() {
    let mut node = RabbitMq::prepared();
    let entrypoints = json!([entrypoint("http-get", "AUTO"), entrypoint("http-post", "AUTO")]);
    let gateway = Gateway::serving(&[api("/", port(&node), entrypoints, topic("late"))]);
    let (status, problem) = post(&gateway, "/", "", "x");
    assert_eq!((status, &problem["key"]), (503, &json!("FAILURE_ENDPOINT_CONNECTION_FAILED")));
    let (status, problem) = get(&gateway, "/");
    assert_eq!((status, &problem["key"]), (504, &json!("FAILURE_ENDPOINT_TIMEOUT")));
    node.run();
    wait_until("the broker is found", || get(&gateway, "/").0 == 200);
    wait_until("the broker is found", || post(&gateway, "/", "", "m").0 == 202);
    wait_until("what was published", || contents(&get(&gateway, "/").1).contains(&"m".to_owned()));
}

#[test]
fn messages_come_and_go_over_tls() {
    let node = RabbitMq::shared();
    let mut shared = topic("encrypted");
    shared["security"] = json!({ "ssl": { "truststore": { "type": "PEM", "content": node.authority() } } });
    let entrypoints = || json!([entrypoint("http-post", "AUTO"), entrypoint("sse", "AUTO")]);
    let encrypted = |path, shared| {
        api(path, node.tls_address().port(), entrypoints(), shared)
            .with("endpointGroups/0/endpoints/0/configuration/serverHost", json!("localhost"))
    };
    let mut strangers = topic("encrypted");
    strangers["security"] = json!({ "ssl": {} });
    let gateway = Gateway::serving(&[encrypted("/", shared), encrypted("/strangers", strangers)]);
    let mut client = stream(&gateway, "/");
    assert_eq!(post(&gateway, "/", "", "secret").0, 202);
    until(&mut client, "data: secret\n");
    let (status, problem) = post(&gateway, "/strangers", "", "x");
    assert_eq!((status, &problem["key"]), (502, &json!("FAILURE_ENDPOINT_CONFIGURATION_INVALID")));
}

#[test]
fn a_reader_that_stalls_leaves_messages_with_the_broker() {
    const COUNT: usize = 400;
    let node = RabbitMq::shared();
    let reader = |name: &str| {
        let mut shared = topic("stalled");
        shared["consumer"]["queue"] = json!(name);
        shared["consumer"]["prefetch"] = json!(10);
        api(&format!("/{name}"), port(node), json!([entrypoint("sse", "AT_MOST_ONCE")]), shared)
    };
    let gateway = Gateway::serving(&[reader("stalled"), reader("quick")]);
    let (mut stalled, mut quick) = (stream(&gateway, "/stalled"), stream(&gateway, "/quick"));
    let script = "channel.confirm_delivery()
for n in range(int(arguments[1])):
    channel.basic_publish(arguments[0], 'a.b', (f'm{n} ' + 'x' * 100000).encode())";
    node.pika(script, &["stalled", &COUNT.to_string()]);
    let last = format!("data: m{} ", COUNT - 1);
    // One has read everything, over the same connection: the other has had its time, too.
    until(&mut quick, &last);
    let depth = node.pika("print(channel.queue_declare('stalled', passive=True).method.message_count)", &[]);
    let depth: usize = depth.trim().parse().unwrap();
    println!("{COUNT} messages of 100 KB, {depth} still in the queue of the reader that stalls");
    assert!(depth > COUNT / 2, "{depth}");
    let text = until(&mut stalled, &last);
    let seen: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")?.split(' ').next()).collect();
    let all: Vec<String> = (0..COUNT).map(|number| format!("m{number}")).collect();
    assert_eq!(seen, all);
}

/// Publishes numbers until it is told to stop; those that were accepted.
fn keep_posting(
    gateway: &Gateway,
    stop: &AtomicBool,
    accepted: &AtomicUsize,
    failed: &AtomicUsize,
) -> BTreeSet<String> {
    let mut sent = BTreeSet::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let body = format!("n{number}");
        if post(gateway, "/", "", &body).0 == 202 {
            sent.insert(body);
            accepted.fetch_add(1, Ordering::Relaxed);
        } else {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
    sent
}

/// Sets a flag when it goes, whether all went well or not: a thread that asks for it would be waited for for ever.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills the node under way and starts it again; returns when as many more were accepted.
fn kill_under_way(node: &mut RabbitMq, accepted: &AtomicUsize, failed: &AtomicUsize) {
    wait_until("messages are accepted", || accepted.load(Ordering::Relaxed) >= 200);
    node.kill();
    wait_until("the node is missed", || failed.load(Ordering::Relaxed) > 0);
    node.run();
    let before = accepted.load(Ordering::Relaxed);
    wait_for_return("messages are accepted again", || accepted.load(Ordering::Relaxed) >= before + 200);
}

#[test]
fn what_was_accepted_outlives_a_broker_that_is_killed() {
    let mut node = RabbitMq::start();
    node.pika(BOUND, &["kept", "kept"]);
    let gateway = Gateway::serving(&[api("/", port(&node), json!([entrypoint("http-post", "AUTO")]), topic("kept"))]);
    let (stop, accepted, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let sent = thread::scope(|scope| {
        let posting = scope.spawn(|| keep_posting(&gateway, &stop, &accepted, &failed));
        let stops = Stops(&stop);
        kill_under_way(&mut node, &accepted, &failed);
        drop(stops);
        posting.join().unwrap()
    });
    let kept: BTreeSet<String> =
        drained(&node, "kept", 0).iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect();
    let lost = sent.difference(&kept).count();
    println!(
        "{} accepted, {} refused, {} in the queue, {lost} lost",
        sent.len(),
        failed.load(Ordering::Relaxed),
        kept.len()
    );
    assert_eq!(lost, 0);
}

#[test]
fn a_consumer_that_acknowledges_loses_nothing_to_a_broker_that_is_killed() {
    let mut node = RabbitMq::start();
    let entrypoints = json!([entrypoint("http-get", "AUTO"), entrypoint("http-post", "AUTO")]);
    let gateway = Gateway::serving(&[api("/", port(&node), entrypoints, topic("survived"))]);
    assert_eq!(get(&gateway, "/").0, 200);
    let (stop, accepted, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (done, seen) = (AtomicBool::new(false), Mutex::new(BTreeMap::<String, usize>::new()));
    let sent = thread::scope(|scope| {
        let posting = scope.spawn(|| keep_posting(&gateway, &stop, &accepted, &failed));
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (status, answer) = get(&gateway, "/?limit=25");
                if status == 200 {
                    let mut seen = seen.lock().unwrap();
                    contents(&answer).into_iter().for_each(|content| *seen.entry(content).or_default() += 1);
                }
            }
        });
        let stops = Stops(&stop);
        kill_under_way(&mut node, &accepted, &failed);
        drop(stops);
        let sent = posting.join().unwrap();
        wait_for("everything that was accepted", || {
            let seen = seen.lock().unwrap();
            sent.iter().all(|content| seen.contains_key(content)).then_some(())
        });
        done.store(true, Ordering::Relaxed);
        sent
    });
    let seen = seen.into_inner().unwrap();
    let again = seen.values().filter(|count| **count > 1).count();
    println!("{} accepted, {} seen, {again} more than once, 0 lost", sent.len(), seen.len());
}

#[test]
fn at_most_once_repeats_nothing_when_the_broker_is_killed() {
    let mut node = RabbitMq::start();
    let entrypoints = json!([entrypoint("sse", "AT_MOST_ONCE"), entrypoint("http-post", "AUTO")]);
    let gateway = Gateway::serving(&[api("/", port(&node), entrypoints, topic("never-twice"))]);
    let mut client = stream(&gateway, "/");
    let (stop, accepted, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (sent, text) = thread::scope(|scope| {
        let posting = scope.spawn(|| keep_posting(&gateway, &stop, &accepted, &failed));
        let reading = scope.spawn(|| until(&mut client, "data: end\n"));
        let stops = Stops(&stop);
        kill_under_way(&mut node, &accepted, &failed);
        drop(stops);
        let sent = posting.join().unwrap();
        // The reader's queue may still be missing; what comes before it does is lost.
        wait_for_return("the end is read", || {
            post(&gateway, "/", "", "end");
            reading.is_finished()
        });
        (sent, reading.join().unwrap())
    });
    let counts = counted(&text);
    let again = counts.values().filter(|count| **count > 1).count();
    let lost = sent.iter().filter(|content| !counts.contains_key(content.as_str())).count();
    println!("{} accepted, {} seen, {again} more than once, {lost} lost", sent.len(), counts.len() - 1);
    assert_eq!(again, 0);
}
