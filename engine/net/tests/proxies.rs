//! Conversations with proxies. Each is a list of what the client says and what the proxy answers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use bytes::BytesMut;
use ringway_net::{DialOptions, DriverChoice, Proxy, ProxyKind, Target, dial, tunnel};
use support::{PATIENCE, drivers, on_shard, peer, read_exact};

type Script = Vec<(Vec<u8>, Vec<u8>)>;

/// Plays the proxy: expects each line and answers it; after the last it is the backend and says hello.
fn run(driver: DriverChoice, proxy: Proxy, target: Target<'static>, script: Script) -> Result<(), ErrorKind> {
    let (address, peer) = peer(move |mut stream| {
        for (expected, answer) in script {
            let mut said = vec![0; expected.len()];
            stream.read_exact(&mut said).unwrap();
            assert_eq!(String::from_utf8_lossy(&said), String::from_utf8_lossy(&expected));
            // In two pieces, so that answers come in parts.
            let (first, second) = answer.split_at(answer.len() / 2);
            stream.write_all(first).unwrap();
            stream.flush().unwrap();
            stream.write_all(second).unwrap();
        }
        let mut hello = [0; 5];
        if stream.read_exact(&mut hello).is_ok() {
            stream.write_all(&hello).unwrap();
        }
    });
    let result = on_shard(driver, move |_| async move {
        let stream = dial(&address, &DialOptions::default()).await.unwrap();
        let stream = tunnel(stream, &proxy, target, PATIENCE).await.map_err(|error| error.kind())?;
        stream.write(BytesMut::from("hello")).await.0.unwrap();
        assert_eq!(read_exact(&stream, 5).await, "hello");
        Ok(())
    });
    peer.join().unwrap();
    result
}

fn proxy(kind: ProxyKind, user: Option<(&str, &str)>) -> Proxy {
    Proxy { kind, username: user.map(|user| user.0.to_owned()), password: user.map(|user| user.1.to_owned()) }
}

fn script(lines: &[(&[u8], &[u8])]) -> Script {
    lines.iter().map(|(said, answer)| (said.to_vec(), answer.to_vec())).collect()
}

const NAME: Target<'static> = Target::Name("backend.test", 8443);

fn v4() -> Target<'static> {
    Target::Address("192.0.2.1:80".parse().unwrap())
}

fn v6() -> Target<'static> {
    Target::Address("[2001:db8::1]:80".parse().unwrap())
}

#[test]
fn http_connect() {
    let plain: &[u8] = b"CONNECT backend.test:8443 HTTP/1.1\r\nHost: backend.test:8443\r\n\r\n";
    let cases: [(&[u8], Result<(), ErrorKind>); 7] = [
        (b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", Ok(())),
        (b"HTTP/1.0 200\r\n\r\n", Ok(())),
        (b"HTTP/1.1 407 Who are you\r\n\r\n", Err(ErrorKind::PermissionDenied)),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", Err(ErrorKind::ConnectionRefused)),
        (b"HTTP/1.1 200 OK\r\n\r\nsurplus", Err(ErrorKind::InvalidData)),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", Err(ErrorKind::InvalidData)),
        (&[b'x'; 20_000], Err(ErrorKind::InvalidData)),
    ];
    for driver in drivers() {
        for (answer, expected) in &cases {
            let result = run(driver, proxy(ProxyKind::Http, None), NAME, script(&[(plain, answer)]));
            assert_eq!(result, *expected, "{}", String::from_utf8_lossy(&answer[..20.min(answer.len())]));
        }
    }
    let user = b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\
                 Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n\r\n";
    let ann = proxy(ProxyKind::Http, Some(("ann", "secret")));
    assert_eq!(run(DriverChoice::Auto, ann, v6(), script(&[(user, b"HTTP/1.1 200 OK\r\n\r\n")])), Ok(()));
}

#[test]
fn socks4() {
    let granted: &[u8] = &[0, 90, 0, 0, 0, 0, 0, 0];
    let by_address: &[u8] = b"\x04\x01\x00\x50\xc0\x00\x02\x01ann\x00";
    let by_name: &[u8] = b"\x04\x01\x20\xfb\x00\x00\x00\x01\x00backend.test\x00";
    let ann = || proxy(ProxyKind::Socks4, Some(("ann", "")));
    let nobody = || proxy(ProxyKind::Socks4, None);
    assert_eq!(run(DriverChoice::Auto, ann(), v4(), script(&[(by_address, granted)])), Ok(()));
    assert_eq!(run(DriverChoice::Auto, nobody(), NAME, script(&[(by_name, granted)])), Ok(()));
    for (code, kind) in
        [(91, ErrorKind::ConnectionRefused), (93, ErrorKind::PermissionDenied), (7, ErrorKind::InvalidData)]
    {
        let answer = [0, code, 0, 0, 0, 0, 0, 0];
        assert_eq!(run(DriverChoice::Auto, nobody(), NAME, script(&[(by_name, &answer)])), Err(kind));
    }
    assert_eq!(run(DriverChoice::Auto, nobody(), v6(), Script::new()), Err(ErrorKind::InvalidInput));
}

#[test]
fn socks5() {
    let by_name: &[u8] = b"\x05\x01\x00\x03\x0cbackend.test\x20\xfb";
    let by_v6: &[u8] = b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50";
    let granted: &[u8] = b"\x05\x00\x00\x01\0\0\0\0\0\0";
    let granted_by_name: &[u8] = b"\x05\x00\x00\x03\x05proxy\0\0";
    let nobody = || proxy(ProxyKind::Socks5, None);
    let ann = || proxy(ProxyKind::Socks5, Some(("ann", "secret")));
    let open: (&[u8], &[u8]) = (b"\x05\x01\x00", b"\x05\x00");
    let login: [(&[u8], &[u8]); 2] = [(b"\x05\x02\x00\x02", b"\x05\x02"), (b"\x01\x03ann\x06secret", b"\x01\x00")];
    for driver in drivers() {
        assert_eq!(run(driver, nobody(), NAME, script(&[open, (by_name, granted)])), Ok(()));
        assert_eq!(run(driver, ann(), v6(), script(&[login[0], login[1], (by_v6, granted_by_name)])), Ok(()));
    }
    let refusals: [(&[u8], ErrorKind); 4] = [
        (b"\x05\x05\x00\x01\0\0\0\0\0\0", ErrorKind::ConnectionRefused),
        (b"\x05\x02\x00\x01\0\0\0\0\0\0", ErrorKind::PermissionDenied),
        (b"\x04\x00", ErrorKind::InvalidData),
        (b"\x05\x00\x00\x01\0\0\0\0\0\0!", ErrorKind::InvalidData),
    ];
    for (answer, kind) in refusals {
        assert_eq!(
            run(DriverChoice::Auto, nobody(), NAME, script(&[open, (by_name, answer)])),
            Err(kind),
            "{answer:?}"
        );
    }
    let refused = run(DriverChoice::Auto, ann(), NAME, script(&[login[0], (login[1].0, b"\x01\x01")]));
    assert_eq!(refused, Err(ErrorKind::PermissionDenied));
    let none = run(DriverChoice::Auto, nobody(), NAME, script(&[(b"\x05\x01\x00", b"\x05\xff")]));
    assert_eq!(none, Err(ErrorKind::PermissionDenied));
    let unasked = run(DriverChoice::Auto, nobody(), NAME, script(&[(b"\x05\x01\x00", b"\x05\x02")]));
    assert_eq!(unasked, Err(ErrorKind::InvalidData), "a login that was not offered");
}

/// What goes into a request must not be able to end it.
#[test]
fn names_that_are_none_are_not_sent() {
    for name in ["", "a b", "a\r\nX: y", "a\0", "ä.test"] {
        for kind in [ProxyKind::Http, ProxyKind::Socks4, ProxyKind::Socks5] {
            let target = Target::Name(name, 80);
            assert_eq!(run(DriverChoice::Auto, proxy(kind, None), target, Script::new()), Err(ErrorKind::InvalidInput));
        }
    }
}

#[test]
fn a_silent_proxy_times_out_and_a_closing_one_is_an_end() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| support::rest(&mut stream));
        let result = on_shard(driver, move |_| async move {
            let stream = dial(&address, &DialOptions::default()).await.unwrap();
            tunnel(stream, &proxy(ProxyKind::Http, None), NAME, Duration::from_millis(100)).await.map(drop)
        });
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
        peer.join().unwrap();
    }
    let (address, peer) = support::peer(|mut stream| stream.read_exact(&mut [0; 3]).unwrap());
    let result = on_shard(DriverChoice::Auto, move |_| async move {
        let stream = dial(&address, &DialOptions::default()).await.unwrap();
        tunnel(stream, &proxy(ProxyKind::Socks5, None), NAME, PATIENCE).await.map(drop)
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    peer.join().unwrap();
}
