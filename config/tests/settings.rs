//! `ringway.yaml`: the annotated default, and what is wrong with others.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::collections::BTreeSet;
use std::path::Path;

use ringway_config::settings::{AccessFormat, ClientAuth, Driver, Listen, Shards, TlsVersion};
use ringway_config::{Loaded, Settings, load, schema_of_ringway};

const ANNOTATED: &str = include_str!("../ringway.yaml");

/// Loads a text as `ringway.yaml` of a folder of its own.
fn load_text(text: &str) -> (Loaded, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringway.yaml");
    std::fs::write(&path, text).unwrap();
    (load(Some(&path)), folder)
}

#[track_caller]
fn settings(text: &str) -> Settings {
    let (loaded, _folder) = load_text(text);
    loaded.snapshot.unwrap_or_else(|| panic!("{:?}", loaded.problems)).settings
}

/// The problems without the name of the file.
fn lines(text: &str) -> Vec<String> {
    let (loaded, folder) = load_text(text);
    let file = format!("{}/ringway.yaml:", folder.path().display());
    loaded.problems.iter().map(|problem| problem.to_string().replace(&file, "")).collect()
}

#[test]
fn the_annotated_default_is_the_built_in_default() {
    assert_eq!(settings(ANNOTATED), Settings::default());
    assert_eq!(settings(""), Settings::default());
    assert_eq!(load(None).snapshot.unwrap().settings, Settings::default());
}

#[test]
fn every_key_is_in_the_annotated_default_with_a_comment() {
    let schema = schema_of_ringway().to_value();
    let mut wanted = BTreeSet::new();
    keys(&schema, &mut wanted);
    assert!(wanted.len() > 50, "{wanted:?}");
    let lines: Vec<&str> = ANNOTATED.lines().collect();
    for key in &wanted {
        let at = lines.iter().position(|line| {
            let line = line.trim_start().trim_start_matches("# ").trim_start().trim_start_matches("- ");
            line.split_once(':').is_some_and(|(name, _)| name == *key)
        });
        let at = at.unwrap_or_else(|| panic!("`{key}` is not in the annotated default"));
        let commented = lines[..=at].iter().rev().take(2).any(|line| line.trim_start().starts_with('#'));
        assert!(commented, "`{key}` has no comment");
    }
}

fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        serde_json::Value::Object(object) => {
            if let Some(properties) = object.get("properties").and_then(serde_json::Value::as_object) {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| keys(value, found));
        }
        _ => {}
    }
}

#[test]
fn settings_are_read() {
    let read = settings(
        "shards: 4\ndriver: EPOLL\nservers:\n  - { id: a, listen: '[::]:80', proxyProtocol: true }\n  - id: b\n    listen: unix:/run/b.sock\n    tls:\n      certificates: [{ cert: a.pem, key: /etc/a.key }, { pkcs12: b.p12, password: pw }]\n      minVersion: TLSv1.3\n      clientAuth: required\n      clientCa: ca.pem\nlimits: { bodyBytes: 1e6 }\ntimeouts: { drain: 5 }\nlogging: { access: { format: common, path: access.log } }\nhttp: { trustedProxies: [10.0.0.0/8, '::1'], requestId: { header: '' } }\n",
    );
    assert_eq!((read.shards, read.driver), (Shards::Count(4), Driver::Epoll));
    assert_eq!(read.servers[0].listen, Listen::Tcp("[::]:80".parse().unwrap()));
    assert_eq!(read.servers[1].listen, Listen::Unix("/run/b.sock".into()));
    let tls = read.servers[1].tls.as_ref().unwrap();
    assert!(tls.certificates[0].cert.as_ref().unwrap().is_absolute(), "relative to the file");
    assert_eq!(tls.certificates[0].key.as_deref(), Some(Path::new("/etc/a.key")));
    assert_eq!(tls.certificates[1].password.as_ref().unwrap().expose(), "pw");
    assert_eq!((tls.min_version, tls.client_auth), (TlsVersion::V13, ClientAuth::Required));
    assert_eq!((read.limits.body_bytes_max, read.timeouts.drain_ms), (1_000_000, 5));
    assert_eq!(read.logging.access.format, AccessFormat::Common);
    assert!(read.logging.access.file().unwrap().ends_with("access.log"));
    assert_eq!(read.http.trusted_proxies[0].to_string(), "10.0.0.0/8");
    assert_eq!(read.http.request_id.header, "");
}

#[test]
fn shown_settings_hide_secrets() {
    let read =
        settings("servers: [{ listen: '127.0.0.1:1', tls: { certificates: [{ pkcs12: a, password: hunter2 }] } }]");
    let shown = format!("{read:?} {}", serde_json::to_string(&read).unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    assert_eq!(serde_json::to_value(&read).unwrap()["servers"][0]["listen"], "127.0.0.1:1");
}

#[test]
fn wrong_settings_are_named_where_they_stand() {
    let table = [
        ("shard: 1", "1:1: error: shard: unknown field (did you mean `shards`?)"),
        ("shards: 0", "1:9: error: shards: `0` is out of range: at least 1 is allowed"),
        ("shards: many", "1:9: error: shards: `many` is not a valid value (allowed: `auto`)"),
        ("servers: []", "1:10: error: servers: must not be empty"),
        (
            "servers: [{ listen: '8082' }]",
            "1:21: error: servers[0].listen: `8082` is not an address and port such as `0.0.0.0:8082` or `[::]:8082`, nor `unix:/path/of.sock`",
        ),
        ("servers: [{ id: a }]", "1:11: error: servers[0]: `listen` is missing"),
        (
            "servers: [{ id: a, listen: ':::1' }, { id: a, listen: '1.2.3.4:5' }]",
            "1:28: error: servers[0].listen: `:::1` is not an address and port such as `0.0.0.0:8082` or `[::]:8082`, nor `unix:/path/of.sock`",
        ),
        (
            "servers: [{ id: a, listen: '1.2.3.4:1' }, { id: a, listen: '1.2.3.4:5' }]",
            "1:49: error: servers[1].id: the id `a` is taken in line 1",
        ),
        ("servers: [{ listen: '127.0.0.1:18082' }]", "1:1: error: admin.listen: `127.0.0.1:18082` is taken in line 1"),
        (
            "servers: [{ listen: '1.2.3.4:1', tls: { certificates: [{ cert: a }] } }]",
            "1:56: error: servers[0].tls.certificates[0]: `key` is missing (give `cert` and `key`, or `pkcs12`)",
        ),
        (
            "servers: [{ listen: '1.2.3.4:1', tls: { clientAuth: request, certificates: [{ pkcs12: a }] } }]",
            "1:53: error: servers[0].tls.clientAuth: certificates of clients are asked for, but `clientCa` does not say who signs them",
        ),
        (
            "limits: { headBytes: 100000 }",
            "1:22: error: limits.headBytes: `100000` is out of range: at most 65535 is allowed",
        ),
        (
            "http: { xForwarded: on }",
            "1:21: error: http.xForwarded: `on` is not a valid value (allowed: `replace`, `append` or `off`)",
        ),
        (
            "http: { trustedProxies: [10.0.0.0/64] }",
            "1:26: error: http.trustedProxies[0]: `10.0.0.0/64` is not a range: a prefix of this address has at most 32 bits",
        ),
        (
            "http: { via: 'a b' }",
            "1:14: error: http.via: `a b` is not a token: letters, digits and !#$%&'*+-.^_`|~ are allowed (RFC 9110 section 5.6.2)",
        ),
        (
            "timeouts:\n  drain: ${RINGWAY_TEST_UNSET:-soon}",
            "2:10: error: timeouts.drain: expected an integer, found a string",
        ),
        (
            "timeouts: { drain: ${NONE:-1} }",
            "1:21: error: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}' (put `${...}` in quotes within `{ }` and `[ ]`)",
        ),
        ("a: 1\n---\nb: 2", "3:1: error: settings are one document: here begins another"),
    ];
    for (text, wanted) in table {
        let found = lines(text);
        assert!(
            found.iter().any(|line| line == wanted),
            "{text}\n  wanted {wanted}\n  found  {}",
            found.join("\n         ")
        );
    }
}

#[test]
fn substituted_text_may_be_a_number() {
    let read = settings(
        "timeouts: { drain: '${RINGWAY_TEST_UNSET:-250}' }\nwatch: ${RINGWAY_TEST_UNSET:-false}\nshards: ${RINGWAY_TEST_UNSET:-3}",
    );
    assert_eq!((read.timeouts.drain_ms, read.watch, read.shards), (250, false, Shards::Count(3)));
}

#[test]
fn shards_follow_the_machine() {
    assert_eq!((Shards::Auto.count(8), Shards::Auto.count(0), Shards::Count(3).count(8)), (8, 1, 3));
    let settings = Settings::default();
    assert_eq!((settings.pins(1, 2, 2), settings.pins(0, 1, 1), settings.pins(1, 2, 4)), (Some(1), None, None));
}
