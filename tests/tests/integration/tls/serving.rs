//! TLS with curl and openssl as clients.

use std::collections::BTreeSet;

use ringway_tests::{Api, Authority, Backend, Gateway, tool, wait_until};

use super::{curl, s_client, servers, start};

#[test]
fn both_versions_serve_and_the_certificate_follows_the_name() {
    let authority = Authority::new();
    let (backend, gateway) = start(&authority, "");
    for name in ["one.test", "two.test"] {
        for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
            assert_eq!(curl(&authority, &gateway, name, version).ok(), "confidential", "{name} {version}");
        }
    }
    let (request, _) = backend.seen().remove(0);
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    // No name: the first certificate.
    let said = s_client(&gateway, "-noservername");
    assert!(said.contains("subject=CN = one.test") && said.contains("confidential"), "{said}");
}

#[test]
fn alpn_picks_http_1_1_and_nothing_else_than_tls_gets_in() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    let said = s_client(&gateway, "-alpn h2,http/1.1");
    assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
    let said = s_client(&gateway, "-tls1_1 -cipher ALL:@SECLEVEL=0");
    assert!(!said.contains("confidential"), "TLS 1.1 was let in: {said}");
    let mut plain = ringway_tests::Client::connect(gateway.tls());
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = plain.rest();
    assert!(!answer.windows(12).any(|window| window == b"confidential"), "plain HTTP was let in");
}

#[test]
fn a_session_resumes_on_any_shard() {
    let authority = Authority::new();
    let backend = Backend::ok("confidential");
    let yaml = servers(&authority, "shards: 2\n");
    let gateway = Gateway::configured(&yaml, &[Api::proxy("/", &backend.target())]);
    for version in ["-tls1_3", "-tls1_2"] {
        let session = gateway.folder().join(format!("session{version}")).display().to_string();
        let said = s_client(&gateway, &format!("{version} -servername one.test -sess_out {session}"));
        assert!(said.contains("New, "), "{said}");
        let resumed: BTreeSet<bool> = (0..12)
            .map(|_| {
                s_client(&gateway, &format!("{version} -servername one.test -sess_in {session}")).contains("Reused, ")
            })
            .collect();
        assert_eq!(resumed, BTreeSet::from([true]), "{version}: every connection resumes, whatever shard it meets");
    }
    assert_eq!(gateway.metric("ringway_tls_resumed_total", &[]), 24.0);
    assert_eq!(gateway.metric("ringway_tls_handshakes_total", &[]), 26.0);
}

#[test]
fn certificates_are_read_anew_when_their_files_change() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    let serial = || {
        let said = tool::run(
            "bash",
            [
                "-c",
                &format!(
                    "openssl s_client -connect {} -servername one.test </dev/null 2>/dev/null | openssl x509 -noout -serial",
                    gateway.tls()
                ),
            ],
        );
        said.out
    };
    let before = serial();
    assert!(before.starts_with("serial="), "{before}");
    authority.sign("one.test");
    wait_until("the new certificate", || {
        gateway.reload();
        let now = serial();
        now.starts_with("serial=") && now != before
    });
    assert_eq!(curl(&authority, &gateway, "one.test", "").ok(), "confidential");
}

#[test]
fn large_bodies_pass_through_tls() {
    let authority = Authority::new();
    let backend = Backend::replies(|_, body| {
        let text = String::from_utf8_lossy(body);
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    });
    let gateway = Gateway::configured(&servers(&authority, ""), &[Api::proxy("/", &backend.target())]);
    let (sent, back) = (gateway.folder().join("sent"), gateway.folder().join("back"));
    let content: String = (0..700_000).map(|number| format!("{number:07}")).collect();
    std::fs::write(&sent, &content).unwrap();
    curl(&authority, &gateway, "one.test", &format!("--data-binary @{} -o {}", sent.display(), back.display())).ok();
    assert!(std::fs::read_to_string(back).unwrap() == content, "what came back differs");
}

#[test]
fn h2load_over_tls_counts_no_failure() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    let url = format!("https://{}/", gateway.tls());
    let said = tool::run("h2load", ["--h1", "-n", "5000", "-c", "50", "-t", "1", &url]).ok();
    assert_eq!(tool::h2load_counts(&said), Some((5000, 0)), "{said}");
}

/// RFC 9110 section 7.4: a request belongs on a connection that was secured for its host.
#[test]
fn a_host_with_another_certificate_than_the_connections_is_misdirected() {
    let authority = Authority::new();
    let ask = |gateway: &Gateway, name: &str, host: &str| {
        let ask = format!("printf 'GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n'");
        let command = format!("{ask} | openssl s_client -connect {} -quiet {name} 2>/dev/null", gateway.tls());
        tool::run("bash", ["-c", &command]).out
    };
    let cases = [
        ("-servername one.test", "one.test", true),
        ("-servername one.test", "ONE.test:8443", true),
        ("-servername one.test", "two.test", false),
        ("-servername one.test", "TWO.TEST.:443", false),
        ("-servername ONE.TEST", "two.test", false),
        // No certificate is for it, so it is nobody else's.
        ("-servername one.test", "other.test", true),
        ("-servername one.test", "127.0.0.1", true),
        // The first certificate was shown, which is not the second host's.
        ("-servername other.test", "two.test", false),
        ("-servername other.test", "one.test", true),
        // Who asked for no name was not misled by one.
        ("-noservername", "two.test", true),
    ];
    let (backend, gateway) = start(&authority, "");
    for (name, host, served) in cases {
        let before = backend.seen().len();
        let said = ask(&gateway, name, host);
        assert_eq!(said.starts_with("HTTP/1.1 200 "), served, "{name}, Host {host}: {said}");
        let refused = said.starts_with("HTTP/1.1 421 ") && said.contains("\"key\":\"MISDIRECTED_REQUEST\"");
        assert_eq!(refused, !served, "{name}, Host {host}: {said}");
        assert_eq!(backend.seen().len() > before, served, "{name}, Host {host}: whether the backend was asked");
    }
    let (_backend, gateway) = start(&authority, "http: { trustedProxies: [127.0.0.1] }\n");
    let said = ask(&gateway, "-servername one.test", "two.test");
    assert!(said.starts_with("HTTP/1.1 200 "), "a trusted proxy carries many hosts: {said}");
}
