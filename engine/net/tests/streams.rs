//! Plain connections, on each driver.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_net::{
    Address, DialOptions, Listener, ListenerOptions, Peek, Stream, Vigil, dial, sleep, spawn, yield_now,
};
use support::{client, drivers, echo, on_each, on_shard, pattern, peer, read_exact, rest};

fn localhost() -> Address {
    Address::Tcp("127.0.0.1:0".parse().unwrap())
}

async fn connect(address: &Address) -> Stream {
    dial(address, &DialOptions::default()).await.unwrap()
}

#[test]
fn what_is_written_comes_back() {
    for driver in drivers() {
        let (address, peer) = peer(echo);
        on_shard(driver, move |_| async move {
            let stream = connect(&address).await;
            let sent = pattern(1 << 20);
            let (result, buffer) = stream.write(BytesMut::from(&sent[..1000])).await;
            result.unwrap();
            assert_eq!(buffer, sent[..1000], "the buffer comes back as it was");
            assert_eq!(read_exact(&stream, 1000).await, sent[..1000]);
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(BytesMut::with_capacity(10)).await.0.unwrap(), 0);
        });
        peer.join().unwrap();
    }
}

#[test]
fn a_read_appends_and_refuses_a_full_buffer() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| {
            stream.write_all(b" world").unwrap();
            rest(&mut stream)
        });
        on_shard(driver, move |shard| async move {
            let stream = connect(&address).await;
            let mut buffer = shard.buffers.take();
            buffer.extend_from_slice(b"hello");
            stream.readable().await.unwrap();
            let (result, buffer) = stream.read(buffer).await;
            assert_eq!((result.unwrap(), &buffer[..]), (6, &b"hello world"[..]));
            let mut full = BytesMut::with_capacity(4);
            full.extend_from_slice(&vec![0; full.capacity()]);
            assert_eq!(stream.read(full).await.0.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        });
        peer.join().unwrap();
    }
}

/// One task, two futures: a megabyte goes out while the echo of it comes in. Neither socket buffer holds it, so a
/// stream that read only after it had written would hang.
#[test]
fn reads_and_writes_go_on_at_the_same_time() {
    for driver in drivers() {
        let (address, peer) = peer(echo);
        on_shard(driver, move |_| async move {
            let stream = connect(&address).await;
            let sent = pattern(16 << 20);
            let mut write = pin!(stream.write(BytesMut::from(&sent[..])));
            let mut read = pin!(read_exact(&stream, sent.len()));
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
            assert!(received.unwrap() == sent);
        });
        peer.join().unwrap();
    }
}

/// The lane's pattern: a poll that is armed while the connection idles, kept while a request is written, and then the
/// wait for the response.
#[test]
fn one_readable_spans_a_write() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| {
            let mut request = [0; 7];
            for _ in 0..3 {
                stream.read_exact(&mut request).unwrap();
                stream.write_all(b"response").unwrap();
            }
        });
        on_shard(driver, move |_| async move {
            let stream = connect(&address).await;
            for _ in 0..3 {
                let mut readable = pin!(stream.readable());
                let quiet = poll_fn(|context| Poll::Ready(readable.as_mut().poll(context).is_pending())).await;
                assert!(quiet, "nothing was asked for yet");
                assert_eq!(stream.peek(), Peek::Quiet);
                stream.write(BytesMut::from("request")).await.0.unwrap();
                readable.await.unwrap();
                assert_eq!(stream.peek(), Peek::Bytes);
                assert_eq!(read_exact(&stream, 8).await, "response");
            }
            stream.readable().await.unwrap();
            assert_eq!(stream.peek(), Peek::Closed);
        });
        peer.join().unwrap();
    }
}

#[test]
fn a_vectored_write_keeps_its_parts_in_order() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| rest(&mut stream));
        let body = pattern(8 << 20);
        let mut expected = b"head\r\n".to_vec();
        expected.extend_from_slice(&body);
        expected.extend_from_slice(b"\r\n0\r\n\r\nonly two");
        on_shard(driver, move |_| async move {
            let stream = connect(&address).await;
            let (result, (head, body, tail)) =
                stream.write_three(BytesMut::from("head\r\n"), Bytes::from(body), &b"\r\n0\r\n\r\n"[..]).await;
            result.unwrap();
            assert_eq!((&head[..], body.len(), tail.len()), (&b"head\r\n"[..], 8 << 20, 7));
            stream.write_two(BytesMut::from("only "), Bytes::from_static(b"two")).await.0.unwrap();
            stream.write_two(BytesMut::new(), Bytes::new()).await.0.unwrap();
        });
        assert!(peer.join().unwrap() == expected);
    }
}

#[test]
fn a_dropped_read_and_a_dropped_readable_harm_nobody() {
    for driver in drivers() {
        let (go, gone) = mpsc::channel();
        let (address, peer) = peer(move |mut stream| {
            gone.recv().unwrap();
            stream.write_all(b"late").unwrap();
            rest(&mut stream)
        });
        on_shard(driver, move |shard| async move {
            let stream = connect(&address).await;
            for _ in 0..100 {
                let mut readable = pin!(stream.readable());
                let pending = poll_fn(|context| Poll::Ready(readable.as_mut().poll(context).is_pending())).await;
                assert!(pending);
            }
            {
                let mut read = pin!(stream.read(shard.buffers.take()));
                let pending = poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_pending())).await;
                assert!(pending);
            }
            // The cancellations are submitted, so the bytes that come now are for the next read.
            yield_now().await;
            go.send(()).unwrap();
            stream.readable().await.unwrap();
            assert_eq!(read_exact(&stream, 4).await, "late");
        });
        peer.join().unwrap();
    }
}

#[test]
fn abort_ends_a_read_under_way() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| rest(&mut stream));
        on_shard(driver, move |shard| async move {
            let stream = Rc::new(connect(&address).await);
            let other = Rc::clone(&stream);
            spawn(async move { other.abort() });
            assert_eq!(stream.read(shard.buffers.take()).await.0.unwrap(), 0);
            assert_eq!(stream.peek(), Peek::Closed);
        });
        assert!(peer.join().unwrap().is_empty());
    }
}

#[test]
fn writing_to_a_peer_that_is_gone_is_an_error() {
    for driver in drivers() {
        let (address, peer) = peer(drop);
        on_shard(driver, move |_| async move {
            let stream = connect(&address).await;
            stream.readable().await.unwrap();
            let mut last = Ok(());
            // The first may still go out, and is answered with a reset.
            for _ in 0..100 {
                last = stream.write(BytesMut::from(&pattern(1000)[..])).await.0;
                if last.is_err() {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
            }
            last.unwrap_err();
        });
        peer.join().unwrap();
    }
}

/// The server answers and closes while the client is still sending. A reset would take the answer with it.
#[test]
fn a_lingering_close_saves_the_last_response() {
    for driver in drivers() {
        let (bound, address) = mpsc::channel();
        let shard = std::thread::spawn(move || {
            on_shard(driver, move |_| async move {
                let listener = Listener::bind(&localhost(), &ListenerOptions::default()).unwrap();
                bound.send(listener.local_addr().unwrap().unwrap()).unwrap();
                let stream = listener.accept().await.unwrap().open().unwrap();
                stream.readable().await.unwrap();
                stream.write(BytesMut::from("too large")).await.0.unwrap();
                stream.linger(1 << 30).await.unwrap();
                // And one that goes on for longer than is waited for.
                let stream = listener.accept().await.unwrap().open().unwrap();
                stream.linger(100_000).await.unwrap();
            });
        });
        let address = address.recv().unwrap();
        let answer = client(address, |mut stream| {
            stream.write_all(&pattern(8 << 20)).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            rest(&mut stream)
        });
        assert_eq!(answer.join().unwrap(), b"too large");
        let endless = client(address, |mut stream| while stream.write_all(&[0; 10_000]).is_ok() {});
        shard.join().unwrap();
        endless.join().unwrap();
    }
}

#[test]
fn tcp_and_unix_listeners_accept() {
    on_each(|shard| async move {
        let folder = std::env::temp_dir().join(format!("ringway-net-{}-{}", std::process::id(), shard.driver.name()));
        for address in [localhost(), Address::Unix(folder.clone())] {
            let listener = Listener::bind(&address, &ListenerOptions::default()).unwrap();
            let address = listener.local_addr().unwrap().map_or(address, Address::Tcp);
            let dialled = address.clone();
            spawn(async move {
                let stream = connect(&dialled).await;
                stream.set_nodelay(true).unwrap();
                stream.set_vigil(&Vigil::default()).unwrap();
                stream.write(BytesMut::from("hello")).await.0.unwrap();
                stream.readable().await.unwrap();
            });
            let accepted = listener.accept().await.unwrap();
            let peer = accepted.peer;
            let stream = accepted.open().unwrap();
            assert_eq!(peer, stream.peer_addr().unwrap());
            assert_eq!(peer.socket_addr().is_some(), matches!(address, Address::Tcp(_)));
            assert_eq!(
                stream.local_addr().unwrap().socket_addr().map(Address::Tcp),
                match &address {
                    Address::Tcp(_) => Some(address.clone()),
                    Address::Unix(_) => None,
                }
            );
            assert_eq!(read_exact(&stream, 5).await, "hello");
            assert!(listener.try_accept().unwrap().is_none());
        }
        // The file is still there; nobody listens on it any more, now that the close was submitted.
        yield_now().await;
        let again = Listener::bind(&Address::Unix(folder.clone()), &ListenerOptions::default()).unwrap();
        let taken = Listener::bind(&Address::Unix(folder.clone()), &ListenerOptions::default());
        assert_eq!(taken.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse), "somebody listens on it");
        drop(again);
        std::fs::remove_file(folder).unwrap();
    });
}

#[test]
fn a_connection_moves_to_another_shard() {
    for driver in drivers() {
        let (bound, listening) = mpsc::channel();
        let (hand_over, handed) = mpsc::channel();
        let first = std::thread::spawn(move || {
            on_shard(driver, move |_| async move {
                let listener = Listener::bind(&localhost(), &ListenerOptions::default()).unwrap();
                bound.send(listener.local_addr().unwrap().unwrap()).unwrap();
                hand_over.send(listener.accept().await.unwrap().fd).unwrap();
            });
        });
        let client = client(listening.recv().unwrap(), |mut stream| {
            stream.write_all(b"over there").unwrap();
            rest(&mut stream)
        });
        let fd = handed.recv().unwrap();
        first.join().unwrap();
        on_shard(driver, move |_| async move {
            let stream = Stream::from_fd(fd).unwrap();
            let request = read_exact(&stream, 10).await;
            stream.write(request).await.0.unwrap();
        });
        assert_eq!(client.join().unwrap(), b"over there");
    }
}

#[test]
fn dialling_tells_why_not() {
    on_each(|_| async {
        let free = Listener::bind(&localhost(), &ListenerOptions { reuseport: false, ..Default::default() }).unwrap();
        let address = Address::Tcp(free.local_addr().unwrap().unwrap());
        drop(free);
        yield_now().await;
        let refused = dial(&address, &DialOptions::default()).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let missing = dial(&Address::Unix("/nonexistent/socket".into()), &DialOptions::default()).await.err().unwrap();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    });
}

/// A Unix listener whose queue is full makes the dialler wait, and the deadline ends the wait.
#[test]
fn a_dial_that_nobody_answers_times_out() {
    on_each(|shard| async move {
        let path = std::env::temp_dir().join(format!("ringway-full-{}-{}", std::process::id(), shard.driver.name()));
        let address = Address::Unix(path.clone());
        let listener = Listener::bind(&address, &ListenerOptions { backlog: 0, ..Default::default() }).unwrap();
        let options = DialOptions { timeout: Duration::from_millis(100), ..Default::default() };
        let mut connected = Vec::new();
        let error = loop {
            match dial(&address, &options).await {
                Ok(stream) => connected.push(stream),
                Err(error) => break error,
            }
            assert!(connected.len() < 100, "the queue has no end");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(listener);
        std::fs::remove_file(path).unwrap();
    });
}

/// Nothing that ends a connection which is to end by a reset may look like an end.
#[test]
fn a_stream_that_ends_by_reset_is_reset_however_it_ends() {
    for driver in drivers() {
        for ending in ["drop", "abort", "shard", "none"] {
            let (address, peer) = peer(|mut stream| {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).map(|_| all).map_err(|error| error.kind())
            });
            on_shard(driver, move |_| async move {
                let stream = connect(&address).await;
                stream.end_by_reset(true);
                let (result, _) = stream.write(BytesMut::from("half")).await;
                result.unwrap();
                match ending {
                    "drop" => drop(stream),
                    "abort" => stream.abort(),
                    "none" => {
                        stream.end_by_reset(false);
                        stream.abort();
                    }
                    _ => spawn(async move { drop(stream.readable().await) }),
                }
                yield_now().await;
            });
            let got = peer.join().unwrap();
            match ending {
                "none" => assert_eq!(got, Ok(b"half".to_vec())),
                _ => assert_eq!(got, Err(std::io::ErrorKind::ConnectionReset), "{ending}"),
            }
        }
    }
}

/// What has begun to connect is in the queue; who comes later is not let in, and not reset either.
#[test]
fn a_listener_that_refuses_can_be_closed_without_a_reset() {
    on_each(|_| async move {
        let listener = Listener::bind(&localhost(), &ListenerOptions::default()).unwrap();
        let address = listener.local_addr().unwrap().unwrap();
        let _early = std::net::TcpStream::connect(address).unwrap();
        listener.refuse().unwrap();
        let (address, options) = (Address::Tcp(address), DialOptions::default());
        let late = DialOptions { timeout: Duration::from_millis(1), ..DialOptions::default() };
        let late = dial(&address, &late);
        assert_eq!(late.await.err().unwrap().kind(), std::io::ErrorKind::TimedOut, "nobody answers");
        assert!(listener.try_accept().unwrap().is_some(), "who came before is served");
        assert!(listener.try_accept().unwrap().is_none(), "who came after is not there");
        drop(listener);
        let refused = dial(&address, &options).await.err().unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}
