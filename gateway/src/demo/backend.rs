//! A backend in the process: a thread per connection, of which there are few.
//!
//! | path | answer |
//! |---|---|
//! | `/events` | ten server-sent events, two a second |
//! | `/socket` | a WebSocket that echoes |
//! | any other | the request, as JSON |

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, json};

use super::http::{Request, respond};
use super::websocket;

/// Connections at once; more are closed at the door.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may idle.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
/// Events of `/events`.
const EVENTS: u32 = 10;
/// Between two events.
const EVENT_PACE: Duration = Duration::from_millis(500);

/// Starts a backend on a free port of loopback; it serves until the process ends.
///
/// # Errors
/// No port or thread is to be had.
pub fn start(name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let open = Arc::new(());
    let accept = move || {
        for stream in listener.incoming().flatten() {
            // The listener's own reference is the first.
            if Arc::strong_count(&open) <= CONNECTIONS_MAX {
                let slot = Arc::clone(&open);
                let serve = move || {
                    // The gateway closes when it likes; what is cut short there is no news here.
                    let _ = serve(&stream, name);
                    drop(slot);
                };
                // Without a thread the connection is closed, and the gateway sees a failing backend.
                let _ = thread::Builder::new().name(format!("backend-{name}")).spawn(serve);
            }
        }
    };
    thread::Builder::new().name(format!("backend-{name}")).spawn(accept)?;
    Ok(address)
}

fn serve(stream: &TcpStream, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_LIMIT))?;
    stream.set_write_timeout(Some(IDLE_LIMIT))?;
    let mut reader = BufReader::new(stream);
    let mut writer = BufWriter::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        match (request.path(), request.header("sec-websocket-key")) {
            ("/socket", Some(key)) => return websocket::serve(&mut Duplex { reader, writer }, key),
            ("/events", _) => events(&mut writer, EVENT_PACE)?,
            _ => {
                let body = format!("{:#}\n", echo(&request, name));
                respond(&mut writer, "200 OK", "application/json", body.as_bytes(), request.method == "HEAD")?;
            }
        }
        if request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    Ok(())
}

/// What arrived, for the eyes of whoever tries the gateway.
fn echo(request: &Request, name: &str) -> serde_json::Value {
    let mut headers = Map::new();
    for (name, value) in &request.headers {
        headers.insert(name.to_ascii_lowercase(), value.as_str().into());
    }
    json!({
        "backend": name,
        "method": request.method,
        "target": request.target,
        "headers": headers,
        "body": String::from_utf8_lossy(&request.body),
        "bodyBytes": request.body_bytes,
    })
}

/// Server-sent events (WHATWG HTML section 9.2), each in a chunk of its own (RFC 9112 section 7.1).
fn events(writer: &mut impl Write, pace: Duration) -> io::Result<()> {
    write!(
        writer,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    for number in 1..=EVENTS {
        let event = format!("id: {number}\nevent: tick\ndata: {{\"number\": {number}, \"of\": {EVENTS}}}\n\n");
        write!(writer, "{:x}\r\n{event}\r\n", event.len())?;
        writer.flush()?;
        if number < EVENTS {
            pause(pace);
        }
    }
    write!(writer, "0\r\n\r\n")?;
    writer.flush()
}

/// The pace is part of the answer; a thread may also wake early, and then parks again.
fn pause(duration: Duration) {
    let until = Instant::now() + duration;
    while let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
        thread::park_timeout(rest);
    }
}

/// The two buffered halves of a connection as one stream.
struct Duplex<R, W> {
    reader: R,
    writer: W,
}

impl<R: Read, W> Read for Duplex<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl<R, W: Write> Write for Duplex<R, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_echoes_requests_on_one_connection() {
        let mut stream = TcpStream::connect(start("t").unwrap()).unwrap();
        stream.write_all(b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhiGET /y HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let bodies: Vec<serde_json::Value> = text
            .split("HTTP/1.1 200 OK")
            .skip(1)
            .map(|response| serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap())
            .collect();
        assert_eq!((&bodies[0]["target"], &bodies[0]["body"]), (&"/x".into(), &"hi".into()));
        assert_eq!((&bodies[1]["target"], &bodies[1]["backend"]), (&"/y".into(), &"t".into()));
    }

    #[test]
    fn it_streams_events_to_an_end() {
        let mut written = Vec::new();
        events(&mut written, Duration::ZERO).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert_eq!(text.matches("event: tick").count(), EVENTS as usize);
        assert!(text.ends_with("\r\n0\r\n\r\n"), "{text}");
    }
}
