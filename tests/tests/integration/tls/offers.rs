//! What the gateway agrees to as a server, and what it refuses.

use ringway_tests::{Authority, Client, tool, wait_until};

use super::hello::{Answer, Hello, TLS12, TLS13, answer};
use super::{s_client, start};

/// Suites of TLS 1.3: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
const NEW: [u16; 3] = [0x1301, 0x1302, 0x1303];
/// Those of TLS 1.2 that a server with an ECDSA key agrees to: the same three behind ECDHE.
const OLD: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];
/// ... and with an RSA key.
const OLD_RSA: [u16; 3] = [0xc02f, 0xc030, 0xcca8];

const HANDSHAKE_FAILURE: u8 = 40;
const ILLEGAL_PARAMETER: u8 = 47;
const PROTOCOL_VERSION: u8 = 70;
const NO_APPLICATION_PROTOCOL: u8 = 120;

#[test]
fn each_suite_of_the_set_works_and_nothing_else_does() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    for suite in NEW {
        let agreed = Hello::new(&[TLS13], &[suite]).ask(gateway.tls());
        assert_eq!(agreed, Answer::Agreed { version: TLS13, suite, compression: 0, downgraded: false });
    }
    for suite in OLD {
        let agreed = Hello::old(TLS12, &[suite]).ask(gateway.tls());
        assert_eq!(agreed, Answer::Agreed { version: TLS12, suite, compression: 0, downgraded: true });
    }
    // Whatever else was ever registered: RSA key exchange, static and anonymous Diffie-Hellman, RC4, DES, 3DES, CBC, NULL,
    // export, PSK, SRP, CCM, ARIA, Camellia, GOST.
    let all =
        || (0..=0x00ff).chain(0x1300..=0x13ff).chain(0x5600..=0x56ff).chain(0xc000..=0xc1ff).chain(0xcc00..=0xd0ff);
    let weak: Vec<u16> = all().filter(|suite| !NEW.contains(suite) && !OLD.contains(suite)).collect();
    for hello in [Hello::old(TLS12, &weak), Hello::new(&[TLS13, TLS12], &weak), Hello::new(&[TLS13], &weak)] {
        assert_eq!(hello.ask(gateway.tls()), Answer::Alert(HANDSHAKE_FAILURE), "{} suites", weak.len());
    }
    // One of each kind alone: a server must not fall back to what is the only offer.
    for suite in [
        0x0000, 0x0004, 0x0005, 0x000a, 0x0018, 0x0034, 0x002f, 0x0035, 0x003c, 0x009c, 0x0033, 0x009e, 0xc009, 0xc023,
        0xc007, 0xc008, 0xc018, 0x1304,
    ] {
        let refused = Hello::old(TLS12, &[suite]).ask(gateway.tls());
        assert_eq!(refused, Answer::Alert(HANDSHAKE_FAILURE), "suite {suite:#06x}");
    }
}

#[test]
fn an_rsa_certificate_brings_its_own_three_suites() {
    let authority = Authority::new();
    authority.openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -keyout rsa.key -out rsa.pem -subj /CN=one.test");
    let yaml = format!(
        "servers:\n  - {{ id: https, listen: '{{tls}}', tls: {{ certificates: [{{ cert: '{}', key: '{}' }}] }} }}\n",
        authority.path("rsa.pem"),
        authority.path("rsa.key")
    );
    let gateway = ringway_tests::Gateway::configured(&yaml, &[ringway_tests::Api::proxy("/", "http://127.0.0.1:1")]);
    for suite in OLD_RSA {
        assert!(
            matches!(Hello::old(TLS12, &[suite]).ask(gateway.tls()), Answer::Agreed { suite: agreed, .. } if agreed == suite)
        );
    }
    // RSA key exchange, which has no forward secrecy, and CBC behind ECDHE and DHE.
    for suite in [0x002f, 0x0035, 0x009c, 0x009d, 0xc013, 0xc014, 0xc027, 0xc028, 0x0033, 0x009e] {
        assert_eq!(Hello::old(TLS12, &[suite]).ask(gateway.tls()), Answer::Alert(HANDSHAKE_FAILURE), "{suite:#06x}");
    }
}

#[test]
fn old_versions_are_refused_whatever_they_offer() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    let suites: Vec<u16> = OLD.into_iter().chain([0xc009, 0xc00a, 0x002f, 0x000a]).collect();
    for version in [0x0300, 0x0301, 0x0302] {
        assert_eq!(Hello::old(version, &suites).ask(gateway.tls()), Answer::Alert(PROTOCOL_VERSION), "{version:#06x}");
        let listed = Hello::new(&[version], &suites).ask(gateway.tls());
        assert_eq!(listed, Answer::Alert(PROTOCOL_VERSION), "{version:#06x} in the extension");
    }
    // A hello of SSL 2.0 that asks for TLS 1.2, as some scanners send it.
    let mut client = Client::connect(gateway.tls());
    client.send(b"\x80\x2e\x01\x03\x03\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80\x05\x00\x80\x06\x00\x40\x07\x00\xc00123456789abcdef");
    let refused = answer(&mut client);
    assert!(matches!(refused, Answer::Alert(_) | Answer::Closed), "{refused:?}");
}

#[test]
fn a_server_of_the_newest_version_only_refuses_the_one_before() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "      minVersion: TLSv1.3\n");
    assert_eq!(Hello::old(TLS12, &OLD).ask(gateway.tls()), Answer::Alert(PROTOCOL_VERSION));
    assert!(matches!(Hello::new(&[TLS13], &NEW).ask(gateway.tls()), Answer::Agreed { version: TLS13, .. }));
}

#[test]
fn a_server_with_fewer_suites_agrees_to_those_only() {
    let authority = Authority::new();
    let more = "      cipherSuites: [TLS_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n";
    let (_backend, gateway) = start(&authority, more);
    for (versions, suite, agreed) in [
        (&[TLS13][..], 0x1301, false),
        (&[TLS13], 0x1302, true),
        (&[TLS13], 0x1303, false),
        (&[], 0xc02b, false),
        (&[], 0xcca9, true),
    ] {
        let said = Hello::new(versions, &[suite]).ask(gateway.tls());
        assert_eq!(matches!(said, Answer::Agreed { .. }), agreed, "{suite:#06x}: {said:?}");
    }
}

#[test]
fn the_order_of_suites_is_the_servers() {
    let authority = Authority::new();
    let agreed = |gateway: &ringway_tests::Gateway, versions: &[u16], suites: &[u16]| match Hello::new(versions, suites)
        .ask(gateway.tls())
    {
        Answer::Agreed { suite, .. } => suite,
        refused => panic!("{refused:?}"),
    };
    let (_backend, gateway) = start(&authority, "");
    for (versions, suites) in [(&[TLS13][..], NEW), (&[], OLD)] {
        let mut turned = suites;
        turned.reverse();
        assert_eq!(agreed(&gateway, versions, &suites), agreed(&gateway, versions, &turned), "{versions:x?}");
    }
    let more =
        "      cipherSuites: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_GCM_SHA256]\n      minVersion: TLSv1.3\n";
    let (_backend, gateway) = start(&authority, more);
    assert_eq!(agreed(&gateway, &[TLS13], &NEW), 0x1303, "the first that is configured");
}

#[test]
fn compression_and_unknown_protocols_are_refused() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    let deflate = Hello { compressions: vec![1, 0], ..Hello::old(TLS12, &OLD) };
    assert!(matches!(deflate.ask(gateway.tls()), Answer::Agreed { compression: 0, .. }), "CRIME");
    let only = Hello { compressions: vec![1], ..Hello::old(TLS12, &OLD) };
    let refused = only.ask(gateway.tls());
    assert!(matches!(refused, Answer::Alert(HANDSHAKE_FAILURE | ILLEGAL_PARAMETER)), "{refused:?}");
    // TLS 1.3 refuses under its keys, so that a hello alone does not show it.
    for version in ["-tls1_2", "-tls1_3"] {
        let said = s_client(&gateway, &format!("{version} -alpn spdy/3,smtp"));
        let alert = format!("SSL alert number {NO_APPLICATION_PROTOCOL}");
        assert!(said.contains(&alert) && !said.contains("confidential"), "{said}");
        let said = s_client(&gateway, version);
        assert!(said.contains("No ALPN negotiated") && said.contains("confidential"), "none is no fault: {said}");
    }
}

#[test]
fn a_hello_may_come_in_pieces_and_be_larger_than_a_record() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    let large = Hello { padding: 40_000, ..Hello::new(&[TLS13, TLS12], &NEW) };
    for (hello, fragment, segment) in [
        (Hello::new(&[TLS13], &NEW), usize::MAX, 1),
        (Hello::old(TLS12, &OLD), usize::MAX, 1),
        (Hello::new(&[TLS13], &NEW), 50, 7),
        (large.clone(), usize::MAX, usize::MAX),
        (large.clone(), usize::MAX, 1_000),
        (large, 4_000, 1_501),
    ] {
        let mut client = Client::connect(gateway.tls());
        let records = hello.records(fragment);
        for piece in records.chunks(segment.min(records.len())) {
            client.send(piece);
        }
        let said = answer(&mut client);
        assert!(matches!(said, Answer::Agreed { .. }), "{} bytes, {segment} at a time: {said:?}", records.len());
    }
}

#[test]
fn a_handshake_that_takes_too_long_is_cut() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "timeouts: { tlsHandshake: 300 }\n");
    let hello = Hello::new(&[TLS13], &NEW).records(usize::MAX);
    let mut silent = Client::connect(gateway.tls());
    let mut halfway = Client::connect(gateway.tls());
    halfway.send(&hello[..hello.len() / 2]);
    // It has the server's half and never sends its own.
    let mut unfinished = Client::connect(gateway.tls());
    unfinished.send(&hello);
    assert!(matches!(answer(&mut unfinished), Answer::Agreed { .. }));
    silent.expect_end();
    halfway.expect_end();
    unfinished.rest();
    wait_until("the failures to be counted", || gateway.metric("ringway_tls_failures_total", &[]) == 3.0);
}

#[test]
fn a_renegotiation_is_refused() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    // An R on a line of its own asks s_client to renegotiate; its standard input stays open until it has given up.
    let command = format!(
        "openssl s_client -connect {} -tls1_2 -servername one.test 2>&1 < <(echo R; exec sleep 20 2>/dev/null)",
        gateway.tls()
    );
    let said = tool::run("bash", ["-c", &command]);
    assert!(said.out.contains("RENEGOTIATING"), "{}", said.out);
    assert!(said.out.contains("no renegotiation"), "{}", said.out);
    assert_ne!(said.code, 0);
    // What an attack by renegotiation would need (RFC 5746): the server says that it knows of it.
    assert!(s_client(&gateway, "-tls1_2").contains("Secure Renegotiation IS supported"));
}

#[test]
fn early_data_is_not_offered() {
    let authority = Authority::new();
    let (_backend, gateway) = start(&authority, "");
    let said = s_client(&gateway, "-tls1_3 -servername one.test");
    assert!(said.contains("Post-Handshake New Session Ticket arrived"), "{said}");
    let offers: Vec<&str> = said.lines().filter(|line| line.contains("Max Early Data:")).collect();
    assert!(!offers.is_empty() && offers.iter().all(|line| line.trim() == "Max Early Data: 0"), "{offers:?}");
}
