//! What the tests of this crate share: shards on every driver that works here, and peers on plain threads.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use ringway_net::{Address, Driver, DriverChoice, Shard, ShardOptions, Stream, run_shard};

/// Longer than anything here takes; only a hang meets it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// epoll, and io_uring where there is one.
pub fn drivers() -> Vec<DriverChoice> {
    let best = run_shard(ShardOptions::new(0), |_| async {}).unwrap();
    let uring = best.driver != Driver::Epoll;
    best.join().unwrap();
    if uring { vec![DriverChoice::Uring, DriverChoice::Epoll] } else { vec![DriverChoice::Epoll] }
}

/// Runs `main` on a shard and returns what it returns.
pub fn on_shard<F, Fut>(driver: DriverChoice, main: F) -> Fut::Output
where
    F: FnOnce(Rc<Shard>) -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let options = ShardOptions { driver, ..ShardOptions::new(0) };
    let shard = run_shard(options, move |shard| async move {
        let slot = shard.timers.slot();
        slot.arm(PATIENCE);
        slot.guard(main(Rc::clone(&shard))).await.expect("the test hangs")
    });
    match shard.unwrap().join() {
        Ok(output) => output,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Runs `main` on a shard of each driver.
pub fn on_each<F, Fut>(main: F)
where
    F: FnOnce(Rc<Shard>) -> Fut + Clone + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    for driver in drivers() {
        on_shard(driver, main.clone());
    }
}

/// A TCP peer on a thread of its own: its address, and its result.
pub fn peer<T: Send + 'static>(talk: impl FnOnce(TcpStream) -> T + Send + 'static) -> (Address, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        patient(&stream);
        talk(stream)
    });
    (Address::Tcp(address), thread)
}

/// A client on a thread of its own.
pub fn client<T: Send + 'static>(
    address: SocketAddr,
    talk: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        let stream = TcpStream::connect(address).unwrap();
        patient(&stream);
        talk(stream)
    })
}

fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
}

/// Whatever comes until the end.
pub fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// Writes all of it back until the end.
pub fn echo(mut stream: impl Read + Write) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => stream.write_all(&buffer[..count]).unwrap(),
        }
    }
}

/// Reads until `count` bytes are there.
pub async fn read_exact(stream: &Stream, count: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(count);
    while buffer.len() < count {
        let (result, back) = stream.read(buffer).await;
        buffer = back;
        assert_ne!(result.unwrap(), 0, "the end after {} of {count} bytes", buffer.len());
    }
    buffer
}

/// Bytes that are different everywhere.
pub fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| u8::try_from((index * 31 + index / 251) % 256).unwrap()).collect()
}
