//! Responses that gateways keep together.

use ringway_tests::{Api, Backend, Gateway, Head, RedisServer, wait_until};
use serde_json::{Value, json};

fn api(backend: &Backend, redis: &RedisServer, cache: Value) -> Api {
    let mut configuration = json!({ "cacheName": "responses", "scope": "API" });
    configuration.as_object_mut().unwrap().extend(cache.as_object().unwrap().clone());
    let flows = json!([{ "request": [{ "policy": "cache", "configuration": configuration }] }]);
    let standalone = json!({ "host": "127.0.0.1", "port": redis.address().port() });
    let resource = json!({ "name": "responses", "useSsl": false, "timeout": 5000, "standalone": standalone });
    let resources = json!([{ "name": "responses", "type": "cache-redis", "configuration": resource }]);
    Api::proxy("/", &backend.target()).with("id", json!("orders")).with("flows", flows).with("resources", resources)
}

fn ask(gateway: &Gateway, request: &str) -> (Head, String) {
    let mut client = gateway.connect();
    client.send(format!("{request}\r\nHost: a\r\n\r\n"));
    let (head, body) = client.response();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn a_response_that_one_gateway_fetched_is_answered_by_the_other() {
    let redis = RedisServer::start();
    let backend = Backend::replies(|head, _| {
        let body = format!("{} in {}", head.target(), head.field("accept-language").unwrap_or("none"));
        format!(
            "HTTP/1.1 200 OK\r\nVary: Accept-Language\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    let gateways = [(); 2].map(|()| {
        let yaml =
            "shards: 2\nhttp: { xForwarded: off, via: '', requestId: { header: '' }, transactionId: { header: '' } }\n";
        Gateway::configured(yaml, &[api(&backend, &redis, json!({}))])
    });
    let [first, second] = &gateways;
    assert_eq!(ask(first, "GET /a HTTP/1.1\r\nAccept-Language: de").1, "/a in de");
    wait_until("the response to be kept", || redis.cli(&["DBSIZE"]) == "2");
    for _ in 0..10 {
        let (head, body) = ask(second, "GET /a HTTP/1.1\r\nAccept-Language: de");
        assert_eq!((head.status(), body.as_str(), head.field("etag")), (200, "/a in de", Some("\"1\"")));
        assert!(head.field("age").is_some());
    }
    assert_eq!(ask(second, "GET /a HTTP/1.1\r\nAccept-Language: de\r\nIf-None-Match: \"1\"").0.status(), 304);
    assert_eq!(backend.seen().len(), 1);
    assert_eq!(ask(second, "GET /a HTTP/1.1\r\nAccept-Language: fr").1, "/a in fr", "another response of the target");
    wait_until("it to be kept", || redis.cli(&["DBSIZE"]) == "3");
    assert_eq!(ask(first, "GET /a HTTP/1.1\r\nAccept-Language: fr").1, "/a in fr");
    assert_eq!(backend.seen().len(), 2);
    let key = redis.cli(&["KEYS", "ringway:cache:responses:*"]).lines().next().unwrap().to_owned();
    let ms: i64 = redis.cli(&["PTTL", &key]).parse().unwrap();
    assert!((1..=600_000 + 3_600_000).contains(&ms), "every key goes by itself: {ms}");
}

#[test]
fn what_a_write_makes_doubtful_is_forgotten_by_all() {
    let redis = RedisServer::start();
    let backend = Backend::ok("ok");
    let rules = json!({ "useResponseCacheHeaders": true, "timeToLiveSeconds": 60 });
    let gateways = [(); 2].map(|()| Gateway::serving(&[api(&backend, &redis, rules.clone())]));
    let [first, second] = &gateways;
    ask(first, "GET /a HTTP/1.1");
    wait_until("the response to be kept", || redis.cli(&["DBSIZE"]) == "1");
    ask(second, "GET /a HTTP/1.1");
    assert_eq!(backend.seen().len(), 1);
    ask(second, "DELETE /a HTTP/1.1");
    wait_until("it to be forgotten", || redis.cli(&["DBSIZE"]) == "0");
    ask(first, "GET /a HTTP/1.1");
    assert_eq!(backend.seen().len(), 3);
}

#[test]
fn a_cache_that_is_away_or_holds_rubbish_is_a_miss() {
    let mut redis = RedisServer::start();
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[api(&backend, &redis, json!({}))]);
    ask(&gateway, "GET /a HTTP/1.1");
    wait_until("the response to be kept", || redis.cli(&["DBSIZE"]) == "1");
    let key = redis.cli(&["KEYS", "*"]);
    for rubbish in ["", "RW1", "RW1R", "RW1V", "hello"] {
        let seen = backend.seen().len();
        redis.cli(&["SET", &key, rubbish]);
        let (head, body) = ask(&gateway, "GET /a HTTP/1.1");
        assert_eq!((head.status(), body.as_str()), (200, "ok"), "{rubbish}");
        assert_eq!(backend.seen().len(), seen + 1, "{rubbish}");
        wait_until("it to be kept anew", || redis.cli(&["STRLEN", &key]).parse::<usize>().unwrap() > 20);
    }
    redis.kill();
    wait_until("the gateway to notice", || gateway.metric("ringway_redis_away", &[]) == 1.0);
    assert!(gateway.log().contains("Redis is away"));
    let seen = backend.seen().len();
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "GET /a HTTP/1.1").0.status(), 200);
    }
    assert_eq!(backend.seen().len(), seen + 5);
    redis.restart();
    wait_until("the gateway to find it again", || gateway.metric("ringway_redis_away", &[]) == 0.0);
    ask(&gateway, "GET /a HTTP/1.1");
    wait_until("the response to be kept", || redis.cli(&["DBSIZE"]) == "1");
    ask(&gateway, "GET /a HTTP/1.1");
    assert_eq!(backend.seen().len(), seen + 6);
}

#[test]
fn large_responses_are_kept_to_the_byte_and_larger_ones_are_not() {
    let redis = RedisServer::start();
    let backend = Backend::replies(|head, _| {
        let bytes: usize = head.target().trim_start_matches('/').parse().unwrap();
        let body: String = (0..bytes).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{body}")
    });
    let gateway = Gateway::serving(&[api(&backend, &redis, json!({}))]);
    let target = "GET /4000000 HTTP/1.1";
    let body = ask(&gateway, target).1;
    wait_until("the response to be kept", || redis.cli(&["DBSIZE"]) == "1");
    assert!(ask(&gateway, target).1 == body && body.len() == 4_000_000);
    assert_eq!(backend.seen().len(), 1);
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "GET /4200000 HTTP/1.1").1.len(), 4_200_000);
    }
    assert_eq!((backend.seen().len(), redis.cli(&["DBSIZE"]).as_str()), (3, "1"), "more than four MiB");
}
