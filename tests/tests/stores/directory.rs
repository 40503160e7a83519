//! Users of a real directory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use ringway_tests::{Api, Backend, Gateway, Slapd, tool, wait_until};
use serde_json::{Value, json};

const PEOPLE: &str = "dn: uid=ada,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: Lovelace
mail: ada@example.org
userPassword: engine

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Builder
userPassword: bricks

dn: uid=a*b (c)\\,d,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: a*b (c),d
cn: Odd
sn: Odd
userPassword: odd: pass

";

fn api(backend: &Backend, url: &str, more: Value) -> Api {
    let mut directory = json!({
        "contextSourceUrl": url, "contextSourceBase": "dc=example,dc=org", "userSearchBase": "ou=people",
        "contextSourceUsername": "cn=reader,dc=example,dc=org", "contextSourcePassword": "reading",
        "userSearchFilter": "(&(objectClass=inetOrgPerson)(uid={0}))", "attributes": ["mail", "CN"],
    });
    directory.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let resource = json!([{ "name": "people", "type": "auth-provider-ldap-resource", "configuration": directory }]);
    let steps = json!([
        { "policy": "policy-basic-authentication", "configuration": { "authenticationProviders": ["people"] } },
        { "policy": "transform-headers", "configuration": { "scope": "REQUEST", "addHeaders": [
            { "name": "X-User", "value": "{#context.attributes['user']}" },
            { "name": "X-Mail", "value": "{#context.attributes['user.mail']}" },
            { "name": "X-CN", "value": "{#context.attributes['user.CN']}" },
        ] } },
    ]);
    Api::proxy("/", &backend.target()).with("flows", json!([{ "request": steps }])).with("resources", resource)
}

/// The status that curl is answered with.
fn status(gateway: &Gateway, user: &str) -> u16 {
    let url = format!("http://{}/", gateway.http());
    let arguments = ["-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "-u", user, &url];
    tool::run("curl", arguments).ok().parse().unwrap()
}

#[test]
fn a_directory_tells_who_someone_is() {
    let (backend, slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let gateway =
        Gateway::configured("shards: 2\n", &[api(&backend, &format!("ldap://{}", slapd.address()), json!({}))]);
    for _ in 0..5 {
        assert_eq!(status(&gateway, "ada:engine"), 200);
        assert_eq!(status(&gateway, "ada:bricks"), 401);
        assert_eq!(status(&gateway, "bob:bricks"), 200);
    }
    let (head, _) = &backend.seen()[0];
    let told = ["x-user", "x-mail", "x-cn"].map(|name| head.field(name));
    assert_eq!(told, [Some("uid=ada,ou=people,dc=example,dc=org"), Some("ada@example.org"), Some("Ada")]);
    for wrong in ["nobody:engine", "ada:", ":engine", "uid=ada,ou=people,dc=example,dc=org:engine", "reader:reading"] {
        assert_eq!(status(&gateway, wrong), 401, "{wrong}");
    }
    assert!(!gateway.log().contains("bricks") && !gateway.log().contains("reading"), "no password is logged");
}

#[test]
fn a_name_is_no_filter() {
    let (backend, slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let gateway = Gateway::serving(&[api(&backend, &format!("ldap://{}", slapd.address()), json!({}))]);
    for name in [
        "*",
        "a*",
        "ad*",
        "ada)(uid=*",
        "*)(uid=*))(|(uid=*",
        "ada)(|(objectClass=*",
        "nobody)(|(uid=ada",
        "\\61da",
        "ada)",
        "(ada",
        "{0}",
        "ada\\00",
    ] {
        assert_eq!(status(&gateway, &format!("{name}:engine")), 401, "{name}");
    }
    assert_eq!(status(&gateway, "a*b (c),d:odd: pass"), 200, "what is in a name is the name");
    assert_eq!(backend.seen().len(), 1);
}

#[test]
fn a_name_that_leads_to_two_is_nobodys() {
    let (backend, slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let filter = json!({ "userSearchFilter": "(|(uid={0})(uid=bob))" });
    let gateway = Gateway::serving(&[api(&backend, &format!("ldap://{}", slapd.address()), filter)]);
    assert_eq!(status(&gateway, "ada:engine"), 401);
    assert_eq!(status(&gateway, "bob:bricks"), 200);
    assert_eq!(status(&gateway, "nobody:bricks"), 200, "it leads to bob, as the filter says");
}

#[test]
fn a_dictionary_says_which_directory_is_asked() {
    let (backend, slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let url = json!({ "contextSourcePassword": "{#dictionaries['directory']['password']}" });
    let api = api(&backend, &format!("ldap://{}", slapd.address()), url);
    let common = |password: &str| {
        json!({ "dictionaries": [{ "id": "directory", "properties": { "password": password } }] }).to_string()
    };
    let gateway = Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[("api.json", &api.json()), ("common.json", &common("guessed"))],
    );
    assert_eq!(status(&gateway, "ada:engine"), 503, "the gateway itself is not let in");
    gateway.write("apis/common.json", &common("reading"));
    assert_eq!(gateway.reload().0, 200);
    wait_until("the new password", || status(&gateway, "ada:engine") == 200);
    assert_eq!(status(&gateway, "ada:bricks"), 401);
}

#[test]
fn what_was_right_is_remembered_and_a_directory_that_is_away_is_not_a_no() {
    let (backend, mut slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let url = format!("ldap://{}", slapd.address());
    let gateway =
        Gateway::serving(&[api(&backend, &url, json!({ "cacheTimeToLive": 600_000, "connectTimeout": 2000 }))]);
    assert_eq!(status(&gateway, "ada:engine"), 200);
    slapd.kill();
    assert_eq!(status(&gateway, "ada:engine"), 200, "it is remembered");
    assert_eq!(status(&gateway, "ada:wrong"), 503);
    assert_eq!(status(&gateway, "bob:bricks"), 503);
    wait_until("the warning", || gateway.log().contains("the directory cannot be asked"));
    slapd.restart();
    assert_eq!(status(&gateway, "bob:bricks"), 200);
    assert_eq!(status(&gateway, "ada:wrong"), 401);
}

#[test]
fn a_directory_is_asked_by_tls_and_the_next_server_when_one_is_gone() {
    let (backend, slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let urls = format!("ldaps://localhost:1, ldaps://localhost:{}", slapd.tls().port());
    let gateway = Gateway::serving(&[api(&backend, &urls, json!({ "ca": slapd.authority(), "cacheMaxElements": 0 }))]);
    for _ in 0..3 {
        assert_eq!(status(&gateway, "ada:engine"), 200);
    }
    assert_eq!(status(&gateway, "ada:wrong"), 401);
    let gateway = Gateway::serving(&[api(&backend, &urls, json!({}))]);
    assert_eq!(status(&gateway, "ada:engine"), 503, "an authority that nobody trusts");
    let wrong = json!({ "ca": slapd.authority(), "contextSourcePassword": "guessed" });
    let gateway = Gateway::serving(&[api(&backend, &urls, wrong)]);
    assert_eq!(status(&gateway, "ada:engine"), 503, "the gateway itself is not let in");
}

#[test]
fn a_directory_begins_tls_when_it_is_asked_and_no_password_goes_before() {
    let (backend, slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let url = format!("ldap://localhost:{}", slapd.address().port());
    let started = |more: Value| {
        let mut fields = json!({ "useStartTLS": true, "cacheMaxElements": 0 });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Gateway::serving(&[api(&backend, &url, fields)])
    };
    let gateway = started(json!({ "ca": slapd.authority() }));
    for _ in 0..3 {
        assert_eq!(status(&gateway, "ada:engine"), 200);
    }
    assert_eq!(status(&gateway, "ada:wrong"), 401);
    assert_eq!(status(&started(json!({})), "ada:engine"), 503, "an authority that nobody trusts");

    // Who says no to TLS, or says more than yes, is told nothing.
    for answer in [
        &b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"[..],
        b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let heard = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = vec![0; 31];
            stream.read_exact(&mut heard).unwrap();
            stream.write_all(answer).unwrap();
            stream.read_to_end(&mut heard).unwrap();
            heard
        });
        let gateway = Gateway::serving(&[api(&backend, &url, json!({ "useStartTLS": true }))]);
        assert_eq!(status(&gateway, "ada:engine"), 503);
        let heard = heard.join().unwrap();
        let said = |text: &[u8]| heard.windows(text.len()).any(|window| window == text);
        assert!(said(b"1.3.6.1.4.1.1466.20037") && !said(b"reading"), "{}", heard.escape_ascii());
    }
}

#[test]
fn many_at_once_share_few_connections() {
    let (backend, slapd) = (Backend::ok("ok"), Slapd::start(PEOPLE));
    let few = json!({ "maxPoolSize": 2, "cacheMaxElements": 0 });
    let gateway = Gateway::serving(&[api(&backend, &format!("ldap://{}", slapd.address()), few)]);
    let before = gateway.process().descriptors();
    thread::scope(|scope| {
        for number in 0..40 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.connect();
                // ada:engine, and ada:wrong.
                let shown = if number % 2 == 0 { "YWRhOmVuZ2luZQ==" } else { "YWRhOndyb25n" };
                client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {shown}\r\n\r\n"));
                assert_eq!(client.response().0.status(), if number % 2 == 0 { 200 } else { 401 });
            });
        }
    });
    wait_until("clients to be gone", || gateway.metric("ringway_connections", &[]) == 0.0);
    // Two that search and two that try passwords; and connections to the backend.
    let backend_connections = gateway.metric("ringway_endpoint_connections_idle", &[]) as usize;
    let after = gateway.process().descriptors();
    assert!(
        after <= before + backend_connections + 4 + 2,
        "{before} before, {after} after, {backend_connections} to the backend"
    );
}
