//! Open loop: requests are sent when they are due, however slowly earlier ones are answered, and latency counts from when a
//! request was due, not from when it could be sent. So a stall of the proxy is seen by every request that it delays
//! (a closed loop would ask less meanwhile and see it once: "coordinated omission").

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::case::SMALL;
use crate::contender::Contender;
use crate::report::Slice;

/// How long the answers to the last requests may take.
const GRACE: Duration = Duration::from_secs(2);

struct Connection {
    stream: TcpStream,
    /// When the request in flight was due.
    due: Instant,
    /// The response so far.
    received: Vec<u8>,
}

pub(crate) fn run(contender: &Contender, per_second: u32, connections: usize, slice: Duration) -> Result<Slice> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut pool = Vec::new();
    for index in 0..connections {
        pool.push(connect(contender, &poll, index)?);
    }
    let request = format!("GET {SMALL} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n");
    let mut idle: VecDeque<usize> = (0..connections).collect();
    let mut latencies = Vec::with_capacity((f64::from(per_second) * slice.as_secs_f64()) as usize + 1);
    let interval = Duration::from_secs(1) / per_second;
    let begin = Instant::now();
    let end = begin + slice;
    let (mut next, mut sent, mut failed) = (begin, 0u64, 0u64);
    let mut events = Vec::with_capacity(connections);
    loop {
        let now = Instant::now();
        while next <= now && next < end {
            let Some(index) = idle.pop_front() else { break };
            let connection = &mut pool[index];
            connection.due = next;
            next += interval;
            sent += 1;
            connection.stream.write_all(request.as_bytes()).context("a request could not be sent")?;
        }
        let in_flight = connections - idle.len();
        if next >= end && in_flight == 0 {
            break;
        }
        ensure!(now < end + GRACE, "{in_flight} requests were not answered within {GRACE:?}");
        // When every connection is busy, only an answer can help; the due time of the next request stands.
        let wait = if next < end && !idle.is_empty() { next.saturating_duration_since(now) } else { GRACE };
        events.clear();
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => bail!("epoll: {error}"),
        }
        let now = Instant::now();
        for event in events.drain(..) {
            let index = event.data.u64() as usize;
            match receive(&mut pool[index]) {
                Ok(false) => {}
                Ok(true) => {
                    latencies.push(now.saturating_duration_since(pool[index].due).as_micros() as u32);
                    idle.push_back(index);
                }
                Err(_) => {
                    let busy = !idle.contains(&index);
                    failed += u64::from(busy);
                    pool[index] = connect(contender, &poll, index)?;
                    if busy {
                        idle.push_back(index);
                    }
                }
            }
        }
    }
    ensure!(failed * 1000 <= sent, "{failed} of {sent} requests failed");
    latencies.sort_unstable();
    Ok(Slice { requests: latencies.len() as u64, failed, latencies_us: latencies, ..Slice::default() })
}

fn connect(contender: &Contender, poll: &OwnedFd, index: usize) -> Result<Connection> {
    let stream = TcpStream::connect(contender.address())?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    epoll::add(poll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
    Ok(Connection { stream, due: Instant::now(), received: Vec::new() })
}

/// Receives what is there; true when the response is whole.
fn receive(connection: &mut Connection) -> Result<bool> {
    let mut buffer = [0; 4096];
    match connection.stream.read(&mut buffer) {
        Ok(0) => bail!("closed"),
        Ok(count) => connection.received.extend_from_slice(&buffer[..count]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let Some(length) = response_length(&connection.received)? else { return Ok(false) };
    if connection.received.len() < length {
        return Ok(false);
    }
    ensure!(connection.received.len() == length, "more than one response");
    connection.received.clear();
    Ok(true)
}

/// The length of the response that begins here, when its head is whole. Only what the backend of this harness sends.
fn response_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head])?;
    ensure!(text.starts_with("HTTP/1.1 200"), "not a 200: {text}");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some(head + 4 + length.context("a response without a length")?))
}

#[cfg(test)]
mod tests {
    use super::response_length;

    #[test]
    fn a_response_is_measured_by_its_head() {
        let response = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 13\r\n\r\nHello";
        assert_eq!(response_length(response).unwrap(), Some(response.len() - 5 + 13));
        assert_eq!(response_length(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        assert!(response_length(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
