//! TLS handshakes and what they are configured with.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use ringway_net::{
    Address, ClientAuth, ClientTls, ClientTlsSpec, DriverChoice, HandshakeLimits, Identity, KeyStore, Listener,
    ListenerOptions, ServerIdentity, ServerTls, ServerTlsSpec, StoreAt, TlsVersion, Trust, spawn,
};
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use support::{drivers, on_shard, pattern, read_exact, rest};
use tls::{
    Authority, Certified, VERSIONS, client_builder, client_spec, client_to, connect, echo_all, serve, server, spec,
};

#[test]
fn a_name_picks_its_certificate() {
    let authority = Authority::new("ca");
    let tls = Arc::new(
        ServerTls::new(&ServerTlsSpec {
            identities: vec![
                authority.issue(&["one.example", "uno.example"]).identity().into(),
                authority.issue(&["*.wild.example"]).identity().into(),
                ServerIdentity { default: true, ..authority.issue(&["fallback.example"]).identity().into() },
                ServerIdentity {
                    names: vec!["Alias.Example".into()],
                    ..authority.issue(&["target.example"]).identity().into()
                },
            ],
            ..Default::default()
        })
        .unwrap(),
    );
    // What is asked for, and the name that the certificate is checked against.
    let cases = [
        ("one.example", "one.example"),
        ("uno.example", "one.example"),
        ("a.wild.example", "b.wild.example"),
        ("a.b.wild.example", "fallback.example"),
        ("wild.example", "fallback.example"),
        ("unknown.example", "fallback.example"),
        ("127.0.0.1", "fallback.example"),
        ("alias.example", "target.example"),
    ];
    let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), cases.len(), |stream| async {
        let stream = stream.unwrap();
        stream.tls().unwrap().sni.clone()
    });
    for (asked, shown) in cases {
        let client = ClientTls::new(&ClientTlsSpec { trust_all: true, ..Default::default() }).unwrap();
        let certificate = on_shard(DriverChoice::Auto, move |_| async move {
            let stream = connect(&Address::Tcp(address), &client, asked).await.unwrap();
            stream.tls().unwrap().peer_certificates[0].clone()
        });
        let parsed = rustls::server::ParsedCertificate::try_from(&certificate).unwrap();
        let name = rustls::pki_types::ServerName::try_from(shown).unwrap();
        rustls::client::verify_server_name(&parsed, &name).unwrap_or_else(|error| panic!("{asked}: {error}"));
    }
    let names: Vec<_> = shard.join().unwrap();
    assert_eq!(names[0].as_deref(), Some("one.example"));
    assert_eq!(names[6], None, "an address is no server name");
}

#[test]
fn protocols_are_agreed_on_or_refused() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    let tls = Arc::new(
        ServerTls::new(&ServerTlsSpec { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..spec(&certified) })
            .unwrap(),
    );
    let cases = [(&["http/1.1"][..], Some("http/1.1")), (&["http/1.1", "h2"], Some("h2")), (&[], None)];
    let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 4, |stream| async {
        stream.map(|stream| stream.tls().unwrap().alpn.clone()).map_err(|error| error.kind())
    });
    for (offered, agreed) in cases {
        let mut config = authority.client_config(&rustls::version::TLS13);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut client = client_to(address, &Arc::new(config), "localhost");
        client.conn.complete_io(&mut client.sock).unwrap();
        assert_eq!(client.conn.alpn_protocol(), agreed.map(str::as_bytes));
    }
    let mut config = authority.client_config(&rustls::version::TLS13);
    config.alpn_protocols = vec![b"spdy/1".to_vec()];
    let mut client = client_to(address, &Arc::new(config), "localhost");
    let refused = client.conn.complete_io(&mut client.sock).unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "the client is told: {refused}");
    let agreed = shard.join().unwrap();
    assert_eq!(agreed[1].as_ref().unwrap().as_deref(), Some(&b"h2"[..]));
    assert_eq!(agreed[3].as_ref().unwrap_err(), &ErrorKind::InvalidData);
}

/// `SO_REUSEPORT` lands a client anywhere: a ticket of one shard has to be good on another, and after a reload.
#[test]
fn sessions_resume_across_shards_and_reloads() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for (_, protocol) in VERSIONS {
        let tls = server(&certified);
        let config = Arc::new(authority.client_config(protocol));
        let mut kinds = Vec::new();
        for driver in [DriverChoice::Auto, DriverChoice::Epoll, DriverChoice::Auto] {
            let (address, shard) = serve(driver, &tls, HandshakeLimits::default(), 1, |stream| async {
                let resumed = stream.as_ref().unwrap().tls().unwrap().resumed;
                let sni = stream.as_ref().unwrap().tls().unwrap().sni.clone();
                echo_all(stream).await;
                (resumed, sni)
            });
            let mut client = client_to(address, &config, "localhost");
            client.write_all(b"hello").unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            rest(&mut client);
            let (resumed, sni) = shard.join().unwrap().remove(0);
            assert_eq!(resumed, client.conn.handshake_kind() == Some(HandshakeKind::Resumed));
            assert_eq!(sni.as_deref(), Some("localhost"), "known of resumed sessions too");
            kinds.push(resumed);
            tls.reload(&spec(&certified)).unwrap();
        }
        assert_eq!(kinds, [false, true, true]);
        // Other rules for clients: what was decided by the old ones is void.
        tls.reload(&ServerTlsSpec { client_auth: ClientAuth::Request(authority.trust()), ..spec(&certified) }).unwrap();
        let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 1, |stream| async {
            let resumed = stream.as_ref().unwrap().tls().unwrap().resumed;
            echo_all(stream).await;
            resumed
        });
        let mut client = client_to(address, &config, "localhost");
        client.conn.complete_io(&mut client.sock).unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert_eq!(shard.join().unwrap(), [false]);
    }
}

/// Serves one client, which says hello and goes; whether its session was resumed.
fn resumes(tls: &Arc<ServerTls>, config: &Arc<rustls::ClientConfig>) -> bool {
    let (address, shard) = serve(DriverChoice::Auto, tls, HandshakeLimits::default(), 1, |stream| async {
        let resumed = stream.as_ref().unwrap().tls().unwrap().resumed;
        echo_all(stream).await;
        resumed
    });
    let mut client = client_to(address, config, "localhost");
    client.write_all(b"hello").unwrap();
    // With 1.3, the tickets come with the first data.
    client.read_exact(&mut [0; 5]).unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    rest(&mut client);
    shard.join().unwrap().remove(0)
}

#[test]
fn a_ticket_from_two_rotations_ago_does_not_resume() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for (_, protocol) in VERSIONS {
        let tls = server(&certified);
        let config = Arc::new(authority.client_config(protocol));
        // How often the keys change before each connection, and whether it resumes the session of the one before.
        for (rotations, resumed) in [(0, false), (0, true), (1, true), (1, true), (2, false), (0, true), (3, false)] {
            for _ in 0..rotations {
                tls.rotate_tickets();
            }
            assert_eq!(resumes(&tls, &config), resumed, "{protocol:?} after {rotations} rotations");
            tls.reload(&spec(&certified)).unwrap();
        }
    }
}

/// The file's name stays, what is in it changes: a ticket must not outlive the authority that let its client in.
#[test]
fn tickets_are_void_when_the_authorities_in_a_file_change() {
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let (certified, own) = (authority.issue(&["localhost"]), authority.issue(&["me"]));
    let folder = std::env::temp_dir().join(format!("ringway-authorities-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("clients-ca.pem");
    let client_auth = ClientAuth::Require(Trust::PemFiles(vec![file.clone()]));
    let spec = ServerTlsSpec { client_auth, ..spec(&certified) };
    for (_, protocol) in VERSIONS {
        std::fs::write(&file, authority.pem()).unwrap();
        let tls = Arc::new(ServerTls::new(&spec).unwrap());
        let builder = client_builder(protocol).with_root_certificates(authority.roots());
        let config = Arc::new(builder.with_client_auth_cert(own.chain(), own.key()).unwrap());
        assert!(!resumes(&tls, &config));
        std::fs::write(&file, authority.pem() + "\n").unwrap();
        tls.reload(&spec).unwrap();
        assert!(resumes(&tls, &config), "the same authorities");
        std::fs::write(&file, authority.pem() + &stranger.pem()).unwrap();
        tls.reload(&spec).unwrap();
        assert!(!resumes(&tls, &config), "other authorities");
        assert!(resumes(&tls, &config));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_client_resumes_its_sessions_from_any_shard() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for (version, _) in VERSIONS {
        let tls = server(&certified);
        let client = ClientTls::new(&ClientTlsSpec { versions: vec![version], ..client_spec(&authority) }).unwrap();
        let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 2, echo_all);
        let mut resumed = Vec::new();
        for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
            let client = client.clone();
            resumed.push(on_shard(driver, move |_| async move {
                let stream = connect(&Address::Tcp(address), &client, "localhost").await.unwrap();
                // With 1.3, the tickets come with the first data.
                stream.write(BytesMut::from("hello")).await.0.unwrap();
                assert_eq!(read_exact(&stream, 5).await, "hello");
                stream.shutdown().await.unwrap();
                assert_eq!(stream.read(BytesMut::with_capacity(1)).await.0.unwrap(), 0);
                stream.tls().unwrap().resumed
            }));
        }
        shard.join().unwrap();
        assert_eq!(resumed, [false, true]);
    }
}

#[test]
fn client_certificates_are_asked_for_and_checked() {
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let certified = authority.issue(&["localhost"]);
    let good = authority.issue(&["client"]);
    let bad = stranger.issue(&["client"]);
    let none = ClientAuth::None;
    let request = ClientAuth::Request(authority.trust());
    let require = ClientAuth::Require(authority.trust());
    // The rule, what the client shows, and how many certificates the server sees, if it serves the client.
    let cases = [
        (&none, Some(&good), Some(0)),
        (&request, None, Some(0)),
        (&request, Some(&good), Some(1)),
        (&request, Some(&bad), None),
        (&require, None, None),
        (&require, Some(&good), Some(1)),
        (&require, Some(&bad), None),
    ];
    for (version, protocol) in VERSIONS {
        for (number, (rule, shown, seen)) in cases.iter().enumerate() {
            let spec = ServerTlsSpec { client_auth: (*rule).clone(), ..spec(&certified) };
            let tls = Arc::new(ServerTls::new(&spec).unwrap());
            let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 1, |stream| async {
                let stream = stream.ok()?;
                stream.write(BytesMut::from("welcome")).await.0.ok()?;
                Some(stream.tls().unwrap().peer_certificates.len())
            });
            let builder = client_builder(protocol).with_root_certificates(authority.roots());
            let config = match shown {
                Some(shown) => builder.with_client_auth_cert(shown.chain(), shown.key()).unwrap(),
                None => builder.with_no_client_auth(),
            };
            let mut client = client_to(address, &Arc::new(config), "localhost");
            let welcomed = client.read_exact(&mut [0; 7]);
            assert_eq!(shard.join().unwrap(), [*seen], "{version:?} case {number}");
            assert_eq!(welcomed.is_ok(), seen.is_some(), "{version:?} case {number}: {welcomed:?}");
        }
    }
}

#[test]
fn a_client_shows_its_certificate() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    let spec = ServerTlsSpec { client_auth: ClientAuth::Require(authority.trust()), ..spec(&certified) };
    let tls = Arc::new(ServerTls::new(&spec).unwrap());
    let own = authority.issue(&["me"]);
    let client = ClientTls::new(&ClientTlsSpec { identity: Some(own.identity()), ..client_spec(&authority) }).unwrap();
    let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 1, |stream| async {
        stream.unwrap().tls().unwrap().peer_certificates[0].clone()
    });
    on_shard(DriverChoice::Auto, move |_| async move {
        let stream = connect(&Address::Tcp(address), &client, "localhost").await.unwrap();
        stream.readable().await.unwrap();
    });
    assert_eq!(shard.join().unwrap(), own.chain());
}

#[test]
fn a_client_checks_the_server_as_far_as_it_was_told_to() {
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let certified = authority.issue(&["localhost"]);
    let tls = server(&certified);
    let strict = client_spec(&authority);
    let nameless = ClientTlsSpec { verify_hostname: false, ..client_spec(&authority) };
    let nameless_stranger = ClientTlsSpec { verify_hostname: false, ..client_spec(&stranger) };
    let credulous = ClientTlsSpec { trust_all: true, ..client_spec(&stranger) };
    let cases = [
        (strict.clone(), "localhost", true),
        (strict, "other.example", false),
        (client_spec(&stranger), "localhost", false),
        (nameless, "other.example", true),
        (nameless_stranger, "localhost", false),
        (credulous, "other.example", true),
    ];
    let (address, shard) = serve(
        DriverChoice::Auto,
        &tls,
        HandshakeLimits::default(),
        cases.len(),
        |stream| async move { stream.is_ok() },
    );
    for (number, (spec, name, good)) in cases.into_iter().enumerate() {
        // With 1.3 the server is done before the client has judged it.
        let client = ClientTls::new(&ClientTlsSpec { versions: vec![TlsVersion::V12], ..spec }).unwrap();
        let result = on_shard(DriverChoice::Auto, move |_| async move {
            connect(&Address::Tcp(address), &client, name).await.map(drop)
        });
        assert_eq!(result.is_ok(), good, "case {number}: {result:?}");
    }
    assert_eq!(shard.join().unwrap(), [true, false, false, true, false, true], "the server is told");
}

#[test]
fn what_is_no_handshake_is_refused() {
    let authority = Authority::new("ca");
    let tls = server(&authority.issue(&["localhost"]));
    // A handshake message that is announced with 16 MB and comes in records of 16 KiB.
    let mut endless = Vec::new();
    for record in 0..8 {
        endless.extend_from_slice(&[22, 3, 1, 0x40, 0]);
        endless.extend_from_slice(&[1; 0x4000]);
        if record == 0 {
            endless[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
        }
    }
    let cases: [(&str, Vec<u8>, ErrorKind); 5] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), ErrorKind::InvalidData),
        ("noise", pattern(100_000), ErrorKind::InvalidData),
        ("endless", endless, ErrorKind::InvalidData),
        ("nothing", Vec::new(), ErrorKind::UnexpectedEof),
        ("half a hello", vec![22, 3, 1, 2, 0, 1, 0, 1], ErrorKind::UnexpectedEof),
    ];
    for driver in drivers() {
        let (address, shard) = serve(driver, &tls, HandshakeLimits::default(), cases.len(), |stream| async {
            stream.map(drop).map_err(|error| error.kind())
        });
        for (_, bytes, _) in &cases {
            let mut client = TcpStream::connect(address).unwrap();
            // The server may have refused before all is sent.
            let _ = client.write_all(bytes);
            let _ = client.shutdown(std::net::Shutdown::Write);
            let _ = client.read_to_end(&mut Vec::new());
        }
        for ((name, _, expected), result) in cases.iter().zip(shard.join().unwrap()) {
            assert_eq!(result, Err(*expected), "{name}");
        }
    }
}

#[test]
fn a_handshake_that_drags_on_times_out() {
    let authority = Authority::new("ca");
    let tls = server(&authority.issue(&["localhost"]));
    for driver in drivers() {
        let limits = HandshakeLimits { timeout: Duration::from_millis(100), ..Default::default() };
        let (address, shard) =
            serve(driver, &tls, limits, 1, |stream| async { stream.map(drop).map_err(|error| error.kind()) });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&[22, 3, 1]).unwrap();
        assert_eq!(shard.join().unwrap(), [Err(ErrorKind::TimedOut)]);
    }
}

#[test]
fn bytes_that_were_read_before_belong_to_the_handshake() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for driver in drivers() {
        let (tls, client) = (server(&certified), Arc::new(authority.client_config(&rustls::version::TLS13)));
        let (bound, address) = mpsc::channel();
        let shard = thread::spawn(move || {
            on_shard(driver, move |_| async move {
                let any = Address::Tcp("127.0.0.1:0".parse().unwrap());
                let listener = Listener::bind(&any, &ListenerOptions::default()).unwrap();
                bound.send(listener.local_addr().unwrap().unwrap()).unwrap();
                let stream = listener.accept().await.unwrap().open().unwrap();
                let early = read_exact(&stream, 100).await;
                let stream = stream.accept_tls(&tls, &early, HandshakeLimits::default()).await;
                echo_all(stream).await;
            });
        });
        let mut client = client_to(address.recv().unwrap(), &client, "localhost");
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
        shard.join().unwrap();
    }
}

#[test]
fn new_connections_use_what_was_reloaded() {
    let authority = Authority::new("ca");
    let (old, new) = (authority.issue(&["localhost"]), authority.issue(&["localhost"]));
    let tls = server(&old);
    let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 3, |stream| async move {
        if stream.is_ok() {
            spawn(echo_all(stream));
        }
    });
    let config = Arc::new(authority.client_config(&rustls::version::TLS13));
    let hello = |client: &mut tls::Client| -> CertificateDer<'static> {
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        client.conn.peer_certificates().unwrap()[0].clone()
    };
    let connect = || client_to(address, &Arc::new((*config).clone()), "localhost");
    let mut first = connect();
    assert_eq!(hello(&mut first), old.chain()[0]);
    tls.reload(&ServerTlsSpec::default()).unwrap_err();
    tls.reload(&ServerTlsSpec { client_auth: ClientAuth::Request(authority.trust()), ..spec(&new) }).unwrap();
    let mut second = connect();
    assert_eq!(hello(&mut second), new.chain()[0]);
    assert_eq!(hello(&mut first), old.chain()[0], "what is open goes on");
    drop((first, second));
    drop(TcpStream::connect(address).unwrap());
    shard.join().unwrap();
}

#[test]
fn stores_in_pkcs12_are_read() {
    use p12_keystore::{Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    let mut keys = KeyStore::new();
    let chain =
        [Certificate::from_der(&certified.chain()[0]).unwrap(), Certificate::from_der(&authority.der()).unwrap()];
    let key = PrivateKey::from_der(certified.key().secret_der()).unwrap();
    keys.add_entry("server", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("1", key, chain)));
    let mut trusted = KeyStore::new();
    trusted.add_entry("ca", KeyStoreEntry::Certificate(Certificate::from_der(&authority.der()).unwrap()));
    for algorithm in
        [EncryptionAlgorithm::PbeWithHmacSha256AndAes256, EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc]
    {
        let store = |store: &KeyStore| store.writer("secret").encryption_algorithm(algorithm).write().unwrap();
        let identity = |password: &str| Identity::Pkcs12 { content: store(&keys), password: password.into() };
        let tls = ServerTlsSpec { identities: vec![identity("secret").into()], ..Default::default() };
        let tls = Arc::new(ServerTls::new(&tls).unwrap());
        let trust = Trust::Pkcs12 { content: store(&trusted), password: "secret".into() };
        let client = ClientTls::new(&ClientTlsSpec { trust, ..Default::default() }).unwrap();
        let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 1, |stream| async move {
            stream.map(drop).map_err(|error| error.to_string())
        });
        on_shard(DriverChoice::Auto, move |_| async move {
            connect(&Address::Tcp(address), &client, "localhost").await.unwrap();
        });
        assert_eq!(shard.join().unwrap(), [Ok(())]);
        let wrong = ServerTlsSpec { identities: vec![identity("wrong").into()], ..Default::default() };
        assert!(ServerTls::new(&wrong).err().unwrap().to_string().contains("PKCS#12"));
    }
}

#[test]
fn stores_of_java_are_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores");
    let identity = |alias: Option<&str>, key_password: Option<&str>| {
        Identity::Store(KeyStore {
            at: StoreAt::File(folder.join("keys.jks")),
            password: "changeit".into(),
            alias: alias.map(str::to_owned),
            key_password: key_password.map(str::to_owned),
        })
    };
    let server =
        |identity: Identity| ServerTls::new(&ServerTlsSpec { identities: vec![identity.into()], ..Default::default() });
    // `second` is signed by the authority of both trust stores, one of which is PKCS#12 under the name of the other.
    for trusted in ["trust.jks", "dual.jks"] {
        let tls = Arc::new(server(identity(Some("Second"), Some("second-key"))).unwrap());
        let trust = Trust::Pkcs12File { path: folder.join(trusted), password: "changeit".into() };
        let client = ClientTls::new(&ClientTlsSpec { trust, ..Default::default() }).unwrap();
        let (address, shard) = serve(DriverChoice::Auto, &tls, HandshakeLimits::default(), 1, |stream| async move {
            stream.map(drop).map_err(|error| error.to_string())
        });
        on_shard(DriverChoice::Auto, move |_| async move {
            connect(&Address::Tcp(address), &client, "second.test").await.unwrap();
        });
        assert_eq!(shard.join().unwrap(), [Ok(())]);
    }
    server(identity(Some("first"), Some("first-key"))).unwrap();
    for (alias, key_password, wanted) in [
        (Some("second"), Some("first-key"), "wrong password of the key"),
        (Some("second"), None, "wrong password of the key"),
        (Some("third"), None, "no private key called `third`"),
    ] {
        let error = server(identity(alias, key_password)).err().unwrap().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let keyless = KeyStore {
        at: StoreAt::Bytes(std::fs::read(folder.join("trust.jks")).unwrap()),
        password: "changeit".into(),
        alias: None,
        key_password: None,
    };
    assert_eq!(keyless.identity().err().unwrap().to_string(), "the store holds no private key");
}

#[test]
fn bad_configurations_say_what_is_wrong() {
    let authority = Authority::new("ca");
    let (one, two) = (authority.issue(&["one"]), authority.issue(&["two"]));
    let error = |spec: &ServerTlsSpec| ServerTls::new(spec).err().unwrap().to_string();
    assert!(error(&ServerTlsSpec::default()).contains("needs a certificate"));
    let mixed = Certified { key: two.key.clone(), ..one.clone() };
    assert!(error(&spec(&mixed)).contains("keys may not be consistent"), "{}", error(&spec(&mixed)));
    let none = Certified { certificate: String::new(), ..one.clone() };
    assert_eq!(error(&spec(&none)), "certificate: there is none");
    let files = Identity::PemFiles { certificate: "/nonexistent/chain.pem".into(), key: "/nonexistent/key.pem".into() };
    let files = ServerTlsSpec { identities: vec![files.into()], ..Default::default() };
    assert!(error(&files).contains("cannot read /nonexistent/chain.pem"));
    let suites = ServerTlsSpec { cipher_suites: vec!["TLS_NULL".into()], ..spec(&one) };
    assert!(
        error(&suites).contains("unknown cipher suite TLS_NULL; known are TLS_AES_256_GCM_SHA384"),
        "{}",
        error(&suites)
    );
    let chosen = ServerTlsSpec {
        cipher_suites: vec!["TLS_AES_128_GCM_SHA256".into()],
        versions: vec![TlsVersion::V13],
        ..spec(&one)
    };
    ServerTls::new(&chosen).unwrap();
    let empty = ClientTlsSpec { trust: Trust::PemFiles(Vec::new()), ..Default::default() };
    assert!(ClientTls::new(&empty).err().unwrap().to_string().contains("no certificate authority"));
    ClientTls::new(&ClientTlsSpec::default()).unwrap();
}
