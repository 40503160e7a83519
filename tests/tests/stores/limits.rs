//! Limits that gateways count together.

use ringway_tests::{Api, Authority, Backend, Client, Gateway, Head, RedisServer, wait_until};
use serde_json::{Value, json};

/// An API, the same for every gateway, with a quota of so many per hour.
fn api(backend: &Backend, limit: u64) -> Api {
    let quota = json!({ "quota": { "limit": limit, "periodTime": 1, "periodTimeUnit": "HOURS" } });
    let flows = json!([{ "request": [{ "policy": "quota", "configuration": quota }] }]);
    Api::proxy("/", &backend.target()).with("id", json!("orders")).with("flows", flows)
}

fn sharing(redis: &RedisServer) -> String {
    format!("ratelimit: {{ redis: {{ host: 127.0.0.1, port: {}, timeout: 5000 }} }}\n", redis.address().port())
}

fn ask(gateway: &Gateway) -> Head {
    Client::ask(gateway.http(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").0
}

fn passes(gateway: &Gateway) -> bool {
    match ask(gateway).status() {
        200 => true,
        429 => false,
        other => panic!("answered with {other}"),
    }
}

/// Uses that Redis has counted of the one window that it has.
fn counted(redis: &RedisServer) -> u64 {
    let keys = redis.cli(&["KEYS", "ringway:limit:*"]);
    let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
    assert!(keys.len() <= 1, "{keys:?}");
    keys.first().map_or(0, |key| redis.cli(&["HGET", key, "used"]).parse().unwrap())
}

#[test]
fn two_gateways_let_exactly_one_limit_through() {
    let (backend, redis) = (Backend::ok("ok"), RedisServer::start());
    let yaml = format!("shards: 2\n{}", sharing(&redis));
    let gateways = [Gateway::configured(&yaml, &[api(&backend, 30)]), Gateway::configured(&yaml, &[api(&backend, 30)])];
    let mut remaining = Vec::new();
    for number in 0..30 {
        let head = ask(&gateways[number % 2]);
        assert_eq!((head.status(), head.field("x-quota-limit")), (200, Some("30")), "{number}");
        remaining.push(head.field("x-quota-remaining").unwrap().parse::<usize>().unwrap());
    }
    assert_eq!(remaining, (0..30).rev().collect::<Vec<_>>(), "each sees what the other has used");
    let refused: Vec<Head> = gateways.iter().map(ask).collect();
    assert!(refused.iter().all(|head| head.status() == 429));
    let ends: Vec<u64> = refused.iter().map(|head| head.field("x-quota-reset").unwrap().parse().unwrap()).collect();
    // By one clock, seen by two: what lies between is the time that an answer takes.
    assert!(ends[0].abs_diff(ends[1]) < 60_000, "{ends:?}");
    let commands = gateways.each_ref().map(|gateway| gateway.metric("ringway_redis_commands_total", &[]));
    assert!(gateways.iter().all(|gateway| (0..50).all(|_| !passes(gateway))));
    let after = gateways.each_ref().map(|gateway| gateway.metric("ringway_redis_commands_total", &[]));
    // Each shard asks once to learn that nothing is left.
    assert!(commands.iter().zip(after).all(|(before, after)| after - before <= 2.0), "{commands:?} {after:?}");
    assert_eq!(counted(&redis), 30);
}

#[test]
fn gateways_of_a_large_limit_count_on_leases_and_never_pass_it() {
    const LIMIT: u64 = 2000;
    let (backend, redis) = (Backend::ok("ok"), RedisServer::start());
    let gateways = [(); 2].map(|()| Gateway::configured(&sharing(&redis), &[api(&backend, LIMIT)]));
    let through: Vec<u64> = std::thread::scope(|scope| {
        let all: Vec<_> = gateways
            .iter()
            .map(|gateway| {
                scope.spawn(move || {
                    let mut client = gateway.connect();
                    let uses = (0..LIMIT + 1).take_while(|_| {
                        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                        client.response().0.status() == 200
                    });
                    uses.count() as u64
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let sum: u64 = through.iter().sum();
    let commands: f64 = gateways.iter().map(|gateway| gateway.metric("ringway_redis_commands_total", &[])).sum();
    println!("limit {LIMIT}, two gateways: {through:?} through, {} unused, {commands} commands", LIMIT - sum);
    // A lease of one shard is a hundredth of the limit.
    assert!((LIMIT - LIMIT / 100..=LIMIT).contains(&sum), "{through:?}");
    assert!(commands < LIMIT as f64 / 5.0, "leases spare commands: {commands}");
    assert_eq!(counted(&redis), LIMIT);
}

#[test]
fn while_redis_is_away_a_gateway_counts_for_itself_and_then_with_the_others_again() {
    let (backend, mut redis) = (Backend::ok("ok"), RedisServer::start());
    let gateway = Gateway::configured(&sharing(&redis), &[api(&backend, 5)]);
    assert!((0..3).all(|_| passes(&gateway)));
    assert_eq!(counted(&redis), 3);
    assert_eq!(gateway.metric("ringway_redis_connections", &[]), 1.0);
    redis.kill();
    wait_until("the gateway to notice", || gateway.metric("ringway_redis_away", &[]) == 1.0);
    assert_eq!((0..20).filter(|_| passes(&gateway)).count(), 5, "its own count begins anew");
    assert_eq!(gateway.metric("ringway_limits_alone_total", &[]), 20.0);
    wait_until("the warning", || gateway.log().contains("Redis is away"));
    redis.restart();
    wait_until("the gateway to find it again", || gateway.metric("ringway_redis_away", &[]) == 0.0);
    assert!(gateway.log().contains("Redis is back"));
    // It is empty: a new window of all gateways.
    assert!(passes(&gateway));
    assert_eq!(counted(&redis), 1);
    assert_eq!((0..20).filter(|_| passes(&gateway)).count(), 4);
    // What the one before it has said of the limit does not hold for a new one.
    redis.kill();
    wait_until("the gateway to notice", || gateway.metric("ringway_redis_away", &[]) == 1.0);
    redis.restart();
    wait_until("the gateway to find it again", || gateway.metric("ringway_redis_away", &[]) == 0.0);
    assert_eq!((0..20).filter(|_| passes(&gateway)).count(), 5);
}

#[test]
fn a_redis_that_does_not_answer_holds_nobody_up_for_long() {
    let (backend, redis) = (Backend::ok("ok"), RedisServer::start());
    let gateway = Gateway::configured(&sharing(&redis).replace("5000", "100"), &[api(&backend, 50)]);
    assert!(passes(&gateway));
    redis.freeze();
    assert!((0..10).all(|_| passes(&gateway)));
    assert_eq!(gateway.metric("ringway_redis_failures_total", &[]), 1.0, "one has waited, and nobody after it");
    assert_eq!(gateway.metric("ringway_limits_alone_total", &[]), 10.0);
    redis.thaw();
    wait_until("the gateway to find it again", || gateway.metric("ringway_redis_away", &[]) == 0.0);
    // What it did when it went on: the use that was not waited for is counted there, too.
    wait_until("Redis to count", || passes(&gateway) && counted(&redis) > 1);
}

#[test]
fn a_gateway_starts_and_ends_without_its_redis() {
    let backend = Backend::ok("ok");
    let mut redis = RedisServer::start();
    redis.kill();
    let mut gateway = Gateway::configured(&sharing(&redis), &[api(&backend, 5)]);
    assert_eq!((0..10).filter(|_| passes(&gateway)).count(), 5);
    gateway.terminate();
    assert!(gateway.wait().success());
}

#[test]
fn what_is_no_redis_is_away() {
    let backend = Backend::ok("ok");
    for said in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "+PONG\r\n$999999999999\r\n",
        "+PONG\r\n$40\r\n0123456789012345678901234567890123456789\r\n:1\r\n",
        "",
    ] {
        let other = Backend::scripted(move |peer, _| {
            let _ = peer.try_exactly(1).map(|_| peer.try_send(said.as_bytes()));
            peer.rest();
        });
        let port = other.address().port();
        let times = "connectTimeout: 200, timeout: 100";
        let yaml = format!("ratelimit: {{ redis: {{ host: 127.0.0.1, port: {port}, {times} }} }}\n");
        let gateway = Gateway::configured(&yaml, &[api(&backend, 5)]);
        assert_eq!((0..10).filter(|_| passes(&gateway)).count(), 5, "{said}");
        wait_until("the warning", || gateway.log().contains("Redis is away"));
    }
}

#[test]
fn a_reload_keeps_what_is_leased() {
    let (backend, redis) = (Backend::ok("ok"), RedisServer::start());
    let gateway = Gateway::configured(&sharing(&redis), &[api(&backend, 5000)]);
    assert!(passes(&gateway));
    assert_eq!(counted(&redis), 50);
    for text in ["one", "two", "three"] {
        gateway.write("apis/0.json", &api(&backend, 5000).with("description", json!(text)).json());
        assert_eq!(gateway.reload().0, 200);
        assert!(passes(&gateway));
    }
    assert_eq!(counted(&redis), 50, "from the lease");
}

#[test]
fn a_redis_with_a_password_a_database_and_tls_is_used() {
    let (backend, authority) = (Backend::ok("ok"), Authority::new());
    authority.sign("localhost");
    let paths = ["ca.pem", "localhost.pem", "localhost.key"].map(|name| authority.path(name));
    let [ca, cert, key] = &paths;
    #[rustfmt::skip]
    let arguments = [
        "--tls-port", "{port}", "--tls-ca-cert-file", ca, "--tls-cert-file", cert, "--tls-key-file", key,
        "--tls-auth-clients", "no", "--requirepass", "open sesame",
    ];
    let redis = RedisServer::with(&arguments);
    let yaml = |password: &str, ca: Option<&str>| {
        let tls = ca.map_or(json!({}), |ca| json!({ "ca": ca }));
        let port = redis.address().port();
        let all: Value = json!({ "host": "localhost", "port": port, "password": password, "database": 3, "tls": tls, "timeout": 5000 });
        format!("ratelimit: {{ redis: {all} }}\n")
    };
    let gateway = Gateway::configured(&yaml("open sesame", Some(ca)), &[api(&backend, 5)]);
    assert_eq!((0..10).filter(|_| passes(&gateway)).count(), 5);
    assert_eq!(gateway.metric("ringway_limits_alone_total", &[]), 0.0);
    let tls = ["--tls", "--cacert", ca, "-a", "open sesame", "--no-auth-warning", "-n", "3"];
    assert_eq!(redis.cli(&[&tls[..], &["DBSIZE"]].concat()), "1");

    for (yaml, why) in [(yaml("wrong", Some(ca)), "WRONGPASS"), (yaml("open sesame", None), "certificate")] {
        let gateway = Gateway::configured(&yaml, &[api(&backend, 5)]);
        assert_eq!((0..10).filter(|_| passes(&gateway)).count(), 5);
        wait_until("the warning", || gateway.log().contains(why));
        assert!(!gateway.log().contains("open sesame"), "no password is logged");
        let admin = gateway.ask_admin("GET", "/config").1;
        assert!(!admin.contains("open sesame") && !admin.contains("wrong"), "{admin}");
    }
}

#[test]
fn sentinels_lead_to_the_master_whichever_it_is() {
    let backend = Backend::ok("ok");
    let mut master = RedisServer::start();
    let port = master.address().port().to_string();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    wait_until("the replica", || master.cli(&["INFO", "replication"]).contains("connected_slaves:1"));
    let sentinel = RedisServer::sentinel("main", &master);
    let known = || sentinel.cli(&["SENTINEL", "REPLICAS", "main"]);
    wait_until("the sentinel to know the replica", || known().contains(&replica.address().port().to_string()));
    let port = sentinel.address().port();
    let yaml = format!(
        "ratelimit: {{ redis: {{ timeout: 5000, sentinel: {{ master: main, nodes: [{{ host: 127.0.0.1, port: 1 }}, {{ host: 127.0.0.1, port: {port} }}] }} }} }}\n"
    );
    let gateway = Gateway::configured(&yaml, &[api(&backend, 1000)]);
    assert!(passes(&gateway));
    assert_eq!(counted(&master), 1);
    master.kill();
    // Whoever is connected to a replica is cut off when it is promoted, `redis-cli` too: it is asked afterwards.
    let leads = || sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
    wait_until("the replica to be promoted", || {
        assert!(passes(&gateway), "it counts for itself meanwhile");
        leads().contains(&replica.address().port().to_string())
    });
    wait_until("the gateway to count there", || passes(&gateway) && counted(&replica) > 1);
}
