//! Data over TLS on each driver, against rustls's buffered connections.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use ringway_net::{
    Address, ClientTls, DriverChoice, HandshakeLimits, Listener, ListenerOptions, Peek, Stream, spawn, yield_now,
};
use support::{drivers, echo, on_shard, pattern, peer, read_exact, rest};
use tls::{Authority, VERSIONS, client_spec, client_to, connect, echo_all, serve, server, server_over};

#[test]
fn a_server_echoes_a_megabyte() {
    let authority = Authority::new("ca");
    let tls = server(&authority.issue(&["localhost"]));
    for driver in drivers() {
        for (version, protocol) in VERSIONS {
            let (address, shard) = serve(driver, &tls, HandshakeLimits::default(), 1, move |stream| async move {
                let info = stream.as_ref().unwrap().tls().unwrap().clone();
                echo_all(stream).await;
                info
            });
            let config = Arc::new(authority.client_config(protocol));
            let mut client = client_to(address, &config, "localhost");
            let sent = pattern(1 << 20);
            // Lock step, so that neither side fills the other's buffers.
            for chunk in sent.chunks(50_000) {
                client.write_all(chunk).unwrap();
                let mut back = vec![0; chunk.len()];
                client.read_exact(&mut back).unwrap();
                assert!(back == chunk);
            }
            client.conn.send_close_notify();
            client.flush().unwrap();
            assert!(rest(&mut client).is_empty(), "the end is a close_notify, or this would be an error");
            let info = shard.join().unwrap().remove(0);
            assert_eq!((info.version, info.sni.as_deref(), info.alpn), (version, Some("localhost"), None));
            assert!(info.cipher.starts_with("TLS_"), "{}", info.cipher);
            assert!(info.peer_certificates.is_empty() && !info.resumed);
        }
    }
}

#[test]
fn a_client_echoes_a_megabyte() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for driver in drivers() {
        for (version, protocol) in VERSIONS {
            let config = certified.server_config(protocol);
            let (address, peer) = peer(move |stream| echo(server_over(stream, config)));
            let client = ClientTls::new(&client_spec(&authority)).unwrap();
            on_shard(driver, move |_| async move {
                let stream = connect(&address, &client, "localhost").await.unwrap();
                assert_eq!(stream.tls().unwrap().version, version);
                assert_eq!(stream.tls().unwrap().peer_certificates.len(), 1);
                let sent = pattern(1 << 20);
                for chunk in sent.chunks(70_000) {
                    stream.write(BytesMut::from(chunk)).await.0.unwrap();
                    assert!(read_exact(&stream, chunk.len()).await == chunk);
                }
                stream.shutdown().await.unwrap();
            });
            peer.join().unwrap();
        }
    }
}

/// Both ends on one shard, each reading and writing at once: 8 MiB each way, more than all buffers hold.
#[test]
fn both_ways_at_once() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for driver in drivers() {
        let (server, client) = (server(&certified), ClientTls::new(&client_spec(&authority)).unwrap());
        on_shard(driver, move |_| async move {
            let any = Address::Tcp("127.0.0.1:0".parse().unwrap());
            let listener = Listener::bind(&any, &ListenerOptions::default()).unwrap();
            let address = Address::Tcp(listener.local_addr().unwrap().unwrap());
            let done = Rc::new(ringway_net::Signal::new());
            let signal = Rc::clone(&done);
            spawn(async move {
                let stream = listener.accept().await.unwrap().open().unwrap();
                let stream = stream.accept_tls(&server, &[], HandshakeLimits::default()).await.unwrap();
                exchange(&stream, 1).await;
                signal.set();
            });
            let stream = connect(&address, &client, "localhost").await.unwrap();
            exchange(&stream, 2).await;
            done.wait().await;
        });
    }
}

async fn exchange(stream: &Stream, seed: u8) {
    let sent: Vec<u8> = pattern(8 << 20).iter().map(|byte| byte ^ seed).collect();
    let mut write = pin!(stream.write(BytesMut::from(&sent[..])));
    let mut read = pin!(read_exact(stream, sent.len()));
    let (mut written, mut received) = (false, None);
    poll_fn(|context| {
        if !written && let Poll::Ready((result, _)) = write.as_mut().poll(context) {
            result.unwrap();
            written = true;
        }
        if received.is_none()
            && let Poll::Ready(bytes) = read.as_mut().poll(context)
        {
            received = Some(bytes);
        }
        if written && received.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert!(received.unwrap().iter().zip(&sent).all(|(got, own)| got ^ own == 3));
}

#[test]
fn an_end_without_close_notify_is_a_cut() {
    let authority = Authority::new("ca");
    let tls = server(&authority.issue(&["localhost"]));
    for driver in drivers() {
        for (_, protocol) in VERSIONS {
            let (address, shard) = serve(driver, &tls, HandshakeLimits::default(), 2, |stream| async {
                let stream = stream.unwrap();
                assert_eq!(read_exact(&stream, 5).await, "hello");
                let end = stream.read(BytesMut::with_capacity(10)).await.0.map_err(|error| error.kind());
                (end, stream.peek())
            });
            let config = Arc::new(authority.client_config(protocol));
            for polite in [true, false] {
                let mut client = client_to(address, &config, "localhost");
                client.write_all(b"hello").unwrap();
                if polite {
                    client.conn.send_close_notify();
                    client.flush().unwrap();
                }
                client.sock.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = client.sock.read_to_end(&mut Vec::new());
            }
            let ends = shard.join().unwrap();
            assert_eq!(ends, [(Ok(0), Peek::Closed), (Err(ErrorKind::UnexpectedEof), Peek::Closed)]);
        }
    }
}

/// The lane's pattern over TLS. A server's tickets come after the handshake, unasked: they are no reason to give up the
/// connection.
#[test]
fn one_readable_spans_a_write_and_tickets_are_quiet() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for driver in drivers() {
        for (_, protocol) in VERSIONS {
            let config = certified.server_config(protocol);
            let (address, peer) = peer(move |stream| {
                let mut stream = server_over(stream, config);
                for _ in 0..3 {
                    stream.read_exact(&mut [0; 7]).unwrap();
                    stream.write_all(b"response").unwrap();
                }
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            });
            let client = ClientTls::new(&client_spec(&authority)).unwrap();
            on_shard(driver, move |_| async move {
                let stream = connect(&address, &client, "localhost").await.unwrap();
                for _ in 0..3 {
                    // The tickets may or may not be there yet.
                    assert_eq!(stream.peek(), Peek::Quiet);
                    let mut readable = pin!(stream.readable());
                    let _ = poll_fn(|context| Poll::Ready(readable.as_mut().poll(context).is_pending())).await;
                    stream.write(BytesMut::from("request")).await.0.unwrap();
                    readable.await.unwrap();
                    while stream.peek() == Peek::Quiet {
                        stream.readable().await.unwrap();
                    }
                    assert_eq!(stream.peek(), Peek::Bytes);
                    stream.readable().await.unwrap();
                    assert_eq!(read_exact(&stream, 8).await, "response");
                }
                stream.readable().await.unwrap();
                while stream.peek() == Peek::Quiet {
                    stream.readable().await.unwrap();
                }
                assert_eq!(stream.peek(), Peek::Closed);
            });
            peer.join().unwrap();
        }
    }
}

#[test]
fn parts_become_full_records() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for (_, protocol) in VERSIONS {
        for (head, body, tail) in [
            (0, 0, 0),
            (1, 0, 0),
            (200, 13, 2),
            (200, 16_384, 2),
            (16_384, 16_384, 0),
            (7, 300_000, 2),
            (20_000, 40_001, 50_000),
        ] {
            let config = certified.server_config(protocol);
            let (address, peer) = peer(move |stream| {
                let mut stream = server_over(stream, config);
                let mut all = Vec::new();
                let mut buffer = vec![0; 1 << 20];
                loop {
                    // rustls gives out one record at a time, so this counts them.
                    match stream.read(&mut buffer) {
                        Ok(0) => return all,
                        Ok(count) => all.extend_from_slice(&buffer[..count]),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let client = ClientTls::new(&client_spec(&authority)).unwrap();
            let all = pattern(head + body + tail);
            let sent = all.clone();
            on_shard(DriverChoice::Auto, move |_| async move {
                let stream = connect(&address, &client, "localhost").await.unwrap();
                let tail_bytes = Bytes::from(sent[head + body..].to_vec());
                let (result, back) = stream
                    .write_three(
                        BytesMut::from(&sent[..head]),
                        Bytes::from(sent[head..head + body].to_vec()),
                        tail_bytes,
                    )
                    .await;
                result.unwrap();
                assert_eq!((back.0.len(), back.1.len(), back.2.len()), (head, body, tail));
                // The server's tickets are unread: a plain close would be a reset.
                stream.linger(1 << 20).await.unwrap();
            });
            assert!(peer.join().unwrap() == all);
        }
    }
}

#[test]
fn keys_are_updated_on_the_way() {
    let authority = Authority::new("ca");
    let tls = server(&authority.issue(&["localhost"]));
    for driver in drivers() {
        let (address, shard) = serve(driver, &tls, HandshakeLimits::default(), 1, echo_all);
        let mut client = client_to(address, &Arc::new(authority.client_config(&rustls::version::TLS13)), "localhost");
        for _ in 0..5 {
            client.write_all(b"hello").unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
            client.conn.refresh_traffic_keys().unwrap();
        }
        client.conn.send_close_notify();
        client.flush().unwrap();
        rest(&mut client);
        shard.join().unwrap();
    }
}

/// A record that was tampered with ends the connection, and the client is told why.
#[test]
fn a_broken_record_is_an_error() {
    let authority = Authority::new("ca");
    let tls = server(&authority.issue(&["localhost"]));
    for driver in drivers() {
        let (address, shard) = serve(driver, &tls, HandshakeLimits::default(), 1, |stream| async {
            let stream = stream.unwrap();
            assert_eq!(read_exact(&stream, 5).await, "hello");
            let error = stream.read(BytesMut::with_capacity(100)).await.0.unwrap_err();
            let again = stream.read(BytesMut::with_capacity(100)).await.0.unwrap_err();
            (error.kind(), again.kind())
        });
        let mut client = client_to(address, &Arc::new(authority.client_config(&rustls::version::TLS13)), "localhost");
        client.write_all(b"hello").unwrap();
        client.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
        client.sock.write_all(&[7; 20]).unwrap();
        assert_eq!(shard.join().unwrap(), [(ErrorKind::InvalidData, ErrorKind::InvalidData)]);
        let told = client.read(&mut [0; 1]).unwrap_err();
        assert!(told.to_string().contains("BadRecordMac"), "{told}");
    }
}

#[test]
fn a_write_that_was_dropped_is_the_last() {
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for driver in drivers() {
        let config = certified.server_config(&rustls::version::TLS13);
        let (done, wait) = mpsc::channel::<()>();
        let (address, peer) = peer(move |stream| {
            let mut stream = server_over(stream, config);
            stream.write_all(b"hello").unwrap();
            let _ = wait.recv();
        });
        let client = ClientTls::new(&client_spec(&authority)).unwrap();
        on_shard(driver, move |_| async move {
            let stream = connect(&address, &client, "localhost").await.unwrap();
            assert_eq!(read_exact(&stream, 5).await, "hello");
            {
                let mut write = pin!(stream.write(BytesMut::from(&pattern(64 << 20)[..])));
                let pending = poll_fn(|context| Poll::Ready(write.as_mut().poll(context).is_pending())).await;
                assert!(pending, "nobody reads");
                yield_now().await;
            }
            let error = stream.write(BytesMut::from("more")).await.0.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
        drop(done);
        peer.join().unwrap();
    }
}
