//! `sse`: messages as server-sent events.

use ringway_tests::{Gateway, Head, Peer, wait_until};
use serde_json::json;

use super::{gateway, made_up};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n";

fn stream(gateway: &Gateway, more: &str) -> (Peer, Head) {
    let mut client = gateway.connect();
    client.send(format!("{ASK}{more}\r\n"));
    let head = client.head();
    assert_eq!(head.status(), 200);
    (client, head)
}

/// Reads until a mark has come; as text.
fn until(client: &mut Peer, mark: &str) -> String {
    String::from_utf8_lossy(&client.until(mark.as_bytes())).into_owned()
}

#[test]
fn messages_come_as_events_one_after_the_other() {
    let gateway = gateway("sse", "AUTO", json!({}));
    let (mut client, head) = stream(&gateway, "");
    assert_eq!(head.field("content-type"), Some("text/event-stream;charset=UTF-8"));
    assert_eq!(head.field("cache-control"), Some("no-cache"));
    let retry = until(&mut client, "\n\n");
    let (_, retry) = retry.split_once("retry: ").unwrap();
    assert!((1_000..30_000).contains(&retry.trim_end().parse::<u32>().unwrap()), "{retry}");
    until(&mut client, "id: 3\nevent: message\ndata: tick 3\n\n");
    until(&mut client, "id: 4\nevent: message\ndata: tick 4\n\n");
}

#[test]
fn who_comes_later_hears_what_the_others_hear_from_then_on() {
    let gateway = gateway("sse", "NONE", json!({}));
    let (mut first, _) = stream(&gateway, "");
    until(&mut first, "data: tick 5\n");
    let (mut second, _) = stream(&gateway, "");
    until(&mut second, "retry: ");
    let event = until(&mut second, "\ndata: tick ");
    let id: u32 = event.rsplit("id: ").next().unwrap().split('\n').next().unwrap().parse().unwrap();
    assert!(id >= 5, "{event}");
    until(&mut first, &format!("data: tick {}\n", id + 5));
    until(&mut second, &format!("data: tick {}\n", id + 5));
    assert_eq!(gateway.metric("ringway_streams", &[]), 2.0);
    drop((first, second));
    wait_until("the streams are gone", || gateway.metric("ringway_streams", &[]) == 0.0);
}

/// Streams at rest are looked through once a second. Those whose time is up are parked again, under numbers that others have just left.
#[test]
fn streams_that_are_looked_through_together_all_go_on() {
    let entrypoint = json!([{ "type": "sse", "qos": "NONE", "configuration": { "heartbeatIntervalInMs": 2_000 } }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 50, "messageContent": "tick" }))]);
    let mut clients: Vec<Peer> = (0..5).map(|_| stream(&gateway, "").0).collect();
    for client in &mut clients {
        until(client, "data: tick 100\n");
    }
}

/// More than a socket takes of which nobody reads (4.3 MB), and less than the topic keeps besides for those who are behind.
#[test]
fn who_reads_nothing_for_a_while_holds_up_none_of_the_others_and_misses_nothing() {
    const LAST: usize = 160;
    let content = "x".repeat(32 * 1024);
    let entrypoint = json!([{ "type": "sse", "qos": "NONE" }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 20, "messageContent": content }))]);
    let mut clients: Vec<Peer> = (0..8).map(|_| stream(&gateway, "").0).collect();
    let hears = |client: &mut Peer| until(client, &format!("x {LAST}\n\n"));
    let (quick, slow) = clients.split_at_mut(6);
    let mut heard: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = quick.iter_mut().map(|client| scope.spawn(|| hears(client))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    heard.extend(slow.iter_mut().map(hears));
    for heard in heard {
        let ids = heard.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse::<usize>().unwrap());
        let ids: Vec<usize> = ids.collect();
        // Who comes late hears what the others hear from then on.
        let first = *ids.first().unwrap();
        assert_eq!(ids, (first..=LAST).collect::<Vec<_>>());
        let whole = heard.lines().filter_map(|line| line.strip_prefix("data: ")?.strip_prefix(&content)).count();
        let bytes = heard.matches('x').count();
        assert_eq!((whole, bytes), (ids.len(), ids.len() * content.len()), "each is whole, and nothing else comes");
    }
}

#[test]
fn a_client_that_comes_back_goes_on_behind_its_last_event() {
    let gateway = gateway("sse", "AT_LEAST_ONCE", json!({}));
    let (mut client, _) = stream(&gateway, "Last-Event-ID: 41\r\n");
    let before = until(&mut client, "data: tick 42\n");
    assert_eq!(before.matches("event:").count(), 1, "{before}");
    let mut client = gateway.connect();
    client.send(format!("{ASK}Last-Event-ID: no number\r\n\r\n"));
    assert_eq!(client.head().status(), 400);
}

#[test]
fn headers_and_metadata_come_as_comments() {
    let entrypoint =
        json!([{ "type": "sse", "configuration": { "headersAsComment": true, "metadataAsComment": true } }]);
    let mock = json!({
        "messageInterval": 10,
        "messageHeaders": [{ "name": "X-Source", "value": "a" }],
        "metadata": [{ "name": "topic", "value": "b" }],
    });
    let gateway = Gateway::serving(&[made_up(entrypoint, mock)]);
    let (mut client, _) = stream(&gateway, "");
    until(&mut client, "data: mock message 0\n:X-Source=a\n:topic=b\n\n");
}

#[test]
fn a_quiet_stream_beats() {
    let entrypoint = json!([{ "type": "sse", "configuration": { "heartbeatIntervalInMs": 2_000 } }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 3_600_000 }))]);
    let (mut client, _) = stream(&gateway, "");
    until(&mut client, "\n:\n\n");
    until(&mut client, "\n:\n\n");
}

#[test]
fn a_client_of_http_1_0_gets_a_stream_that_ends_with_its_connection() {
    let entrypoint = json!([{ "type": "sse" }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 1, "messageCount": 3 }))]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    let head = client.head();
    assert_eq!((head.field("transfer-encoding"), head.field("connection")), (None, Some("close")));
    let body = String::from_utf8(client.rest()).unwrap();
    assert!(body.ends_with("id: 2\nevent: message\ndata: mock message 2\n\n"), "{body}");
}

#[test]
fn a_subscription_that_ends_ends_the_stream_and_its_chunks() {
    let entrypoint = json!([{ "type": "sse" }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 1, "messageCount": 3 }))]);
    let (mut client, _) = stream(&gateway, "");
    let (body, _) = client.chunks();
    assert!(body.ends_with(b"data: mock message 2\n\n"));
    client.expect_end();
}

#[test]
fn a_redeployed_api_tells_its_clients_to_come_again() {
    let gateway = gateway("sse", "AUTO", json!({}));
    let (mut client, _) = stream(&gateway, "");
    until(&mut client, "data: tick 1\n");
    let entrypoint = json!([{ "type": "sse" }]);
    gateway.write("apis/0.json", &made_up(entrypoint, json!({ "messageContent": "tock" })).json());
    assert_eq!(gateway.reload().0, 200);
    until(&mut client, "event: goaway\ndata: Stopping, please reconnect\n\n");
    until(&mut client, "0\r\n\r\n");
    client.expect_end();
}

#[test]
fn a_reload_that_leaves_an_api_as_it_is_leaves_its_streams() {
    let gateway = gateway("sse", "AUTO", json!({}));
    let (mut client, _) = stream(&gateway, "");
    until(&mut client, "data: tick 1\n");
    assert_eq!(gateway.reload().0, 200);
    until(&mut client, "data: tick 20\n");
}

#[test]
fn a_gateway_that_stops_tells_its_clients_to_come_again() {
    let mut gateway = gateway("sse", "AUTO", json!({}));
    let (mut client, _) = stream(&gateway, "");
    until(&mut client, "data: tick 1\n");
    gateway.terminate();
    until(&mut client, "event: goaway\n");
    until(&mut client, "0\r\n\r\n");
    client.expect_end();
    assert!(gateway.wait().success());
}

fn at_rest(gateway: &Gateway, count: usize) {
    wait_until("streams to rest", || gateway.metric("ringway_connections_parked", &[]) == count as f64);
}

#[test]
fn a_stream_at_rest_hears_beats_and_is_missed_when_its_client_goes() {
    let entrypoint = json!([{ "type": "sse", "configuration": { "heartbeatIntervalInMs": 3_000 } }]);
    let gateway = Gateway::serving(&[made_up(entrypoint.clone(), json!({ "messageInterval": 3_600_000 }))]);
    let (mut first, _) = stream(&gateway, "");
    let (second, _) = stream(&gateway, "");
    at_rest(&gateway, 2);
    until(&mut first, "\n:\n\n");
    drop(second);
    wait_until("one of them is gone", || gateway.metric("ringway_streams", &[]) == 1.0);
    at_rest(&gateway, 1);
    gateway.write("apis/0.json", &made_up(entrypoint, json!({ "messageInterval": 20 })).json());
    assert_eq!(gateway.reload().0, 200);
    until(&mut first, "event: goaway\n");
    until(&mut first, "0\r\n\r\n");
    first.expect_end();
    // Where there is something to hear, nothing else is sent.
    let (mut third, _) = stream(&gateway, "");
    let heard = until(&mut third, "data: mock message 250\n");
    assert!(!heard.contains("\n:\n\n"), "{heard}");
}

#[test]
fn what_comes_behind_the_request_of_a_stream_changes_nothing() {
    let gateway = gateway("sse", "AUTO", json!({}));
    let (mut client, _) = stream(&gateway, "");
    until(&mut client, "data: tick 1\n");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until(&mut client, "data: tick 50\n");
}

#[test]
fn who_takes_nothing_is_cut_and_the_others_hear_everything() {
    // More than two sockets and a log hold; and slow enough for a client that reads on a machine that does much else.
    const MESSAGES: usize = 80;
    let content = "x".repeat(400_000);
    let gateway = Gateway::serving(&[made_up(
        json!([{ "type": "sse" }]),
        json!({ "messageInterval": 40, "messageContent": content }),
    )]);
    let (mut slow, _) = stream(&gateway, "");
    let (mut quick, _) = stream(&gateway, "");
    until(&mut quick, "\nid: ");
    let first = until(&mut quick, "\n");
    let first: usize = first.trim_end().parse().unwrap();
    until(&mut quick, "\n\n");
    for number in first + 1..first + MESSAGES {
        let heard = until(&mut quick, "\n\n");
        assert!(heard.contains(&format!("\nid: {number}\n")), "{number}");
    }
    let heard = until(&mut slow, "event: error\ndata: Too slow");
    // Whole messages, one after the other, as far as it heard them.
    let numbers: Vec<usize> =
        heard.split("\nid: ").skip(1).map(|event| event.split('\n').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert!(numbers.len() < MESSAGES);
    slow.rest();
    until(&mut quick, "\n\n");
}
