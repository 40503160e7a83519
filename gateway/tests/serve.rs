//! The binary as a process: it starts, serves, reloads and drains.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest wait for anything that must come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running `ringway`; killed when it is dropped.
struct Running {
    child: Child,
    out: Lines,
    err: Lines,
}

/// The lines of a stream, as they come.
struct Lines {
    coming: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, coming) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { coming, seen: Vec::new() }
    }

    /// The first line that holds `text`, among those that came after the last one that was waited for.
    #[track_caller]
    fn wait(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.coming.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => {
                    self.seen.push(line.clone());
                    return line;
                }
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no line with {text:?} came after:\n{}", self.seen.join("\n")),
            }
        }
    }
}

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(arguments).current_dir(folder).env_remove("RINGWAY_CONFIG").env_remove("NOTIFY_SOCKET");
        command.envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err): (ChildStdout, ChildStderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, out: Lines::of(out), err: Lines::of(err) }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    #[track_caller]
    fn end(&mut self) -> Option<i32> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it did not end");
            thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks once on a connection of its own; status line, head and body as one text.
fn ask(address: &str, method: &str, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// What follows `key` in a line, up to the next space.
fn after<'a>(line: &'a str, key: &str) -> &'a str {
    let (_, rest) = line.split_once(key).unwrap_or_else(|| panic!("no {key:?} in {line:?}"));
    rest.split([' ', '"', '/']).next().unwrap_or_default()
}

/// An API that answers with `text` itself.
fn answering(text: &str) -> String {
    format!(
        "definitionVersion: V4
type: PROXY
name: Hello
apiVersion: \"1\"
listeners:
  - type: HTTP
    paths: [{{ path: /hello }}]
    entrypoints: [{{ type: http-proxy }}]
endpointGroups:
  - name: default
    type: http-proxy
    endpoints: [{{ name: a, type: http-proxy, configuration: {{ target: \"http://127.0.0.1:9/\" }} }}]
flows:
  - name: answer
    request: [{{ policy: mock, configuration: {{ status: \"200\", content: \"{text}\" }} }}]
plans:
  - name: Open
    security: {{ type: KEY_LESS }}
"
    )
}

struct Served {
    folder: TempDir,
    ringway: Running,
    gateway: String,
    admin: String,
}

fn serve() -> Served {
    let folder = TempDir::new().unwrap();
    let settings = "shards: 1
servers: [{ id: http, listen: '127.0.0.1:0' }]
admin: { listen: '127.0.0.1:0' }
apis: [apis]
timeouts: { drain: 5000 }
";
    fs::write(folder.path().join("ringway.yaml"), settings).unwrap();
    fs::create_dir(folder.path().join("apis")).unwrap();
    fs::write(folder.path().join("apis/hello.yaml"), answering("first")).unwrap();
    let mut ringway = Running::start(folder.path(), &["--color", "never", "run"]);
    let gateway = after(&ringway.err.wait("listening"), "address=").to_owned();
    let admin = after(&ringway.err.wait("admin port"), "address=").to_owned();
    ringway.err.wait("ready");
    Served { folder, ringway, gateway, admin }
}

#[test]
fn the_demo_serves_what_it_says() {
    let folder = TempDir::new().unwrap();
    let mut demo = Running::start(folder.path(), &["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let gateway = after(&demo.out.wait("curl -i 'http://"), "http://").to_owned();
    let admin = after(&demo.out.wait("/metrics"), "http://").to_owned();
    demo.out.wait("Ctrl-C");

    let echoes: Vec<String> = (0..4).map(|_| ask(&gateway, "GET", "/echo/hello?name=world", "")).collect();
    for echo in &echoes {
        assert!(echo.starts_with("HTTP/1.1 200") && echo.contains("\"target\": \"/hello?name=world\""), "{echo}");
        assert!(echo.to_ascii_lowercase().contains("x-served-by: ringway"), "{echo}");
    }
    for backend in ["\"backend\": \"a\"", "\"backend\": \"b\""] {
        assert!(echoes.iter().any(|echo| echo.contains(backend)), "{backend} was never asked");
    }
    let teapot = ask(&gateway, "GET", "/teapot", "");
    assert!(teapot.starts_with("HTTP/1.1 418") && teapot.contains("I'm a teapot."), "{teapot}");
    assert!(ask(&gateway, "GET", "/orders/7", "").starts_with("HTTP/1.1 401"), "nobody is let in without a key");
    let key = "X-Gravitee-Api-Key: demo-key-of-shop\r\n";
    let orders: Vec<String> = (0..11).map(|_| ask(&gateway, "GET", "/orders/7", key)).collect();
    assert!(orders[0].starts_with("HTTP/1.1 200") && orders[0].contains("shop (gold)"), "{}", orders[0]);
    assert!(!orders[0].contains("demo-key"), "the backend does not see the key: {}", orders[0]);
    assert!(orders[10].starts_with("HTTP/1.1 429"), "{}", orders[10]);
    let socket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut stream = TcpStream::connect(&gateway).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET /socket HTTP/1.1\r\nHost: localhost\r\n{socket}\r\n").unwrap();
    // RFC 6455 section 5.7: a masked "Hello", and its echo.
    stream.write_all(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut frame = [0; 7];
    reader.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x05Hello");
    drop(reader);

    assert!(ask(&admin, "GET", "/health/ready", "").starts_with("HTTP/1.1 200"));
    assert!(ask(&admin, "GET", "/apis", "").contains("\"id\":\"echo\""));
    demo.signal(Signal::INT);
    assert_eq!(demo.end(), Some(0));
}

#[test]
fn a_saved_file_is_served_and_a_bad_one_is_not() {
    let mut served = serve();
    let hello = || ask(&served.gateway, "GET", "/hello", "");
    assert!(hello().ends_with("first"), "{}", hello());

    let file = served.folder.path().join("apis/hello.yaml");
    fs::write(&file, answering("second")).unwrap();
    served.ringway.err.wait("reloaded");
    assert!(hello().ends_with("second"), "{}", hello());

    fs::write(&file, answering("third").replace("mock", "mok")).unwrap();
    served.ringway.err.wait("hello.yaml:15:");
    served.ringway.err.wait("refused");
    assert!(hello().ends_with("second"), "{}", hello());
    let answer = ask(&served.admin, "POST", "/reload", "X-Ringway-Admin: 1\r\nContent-Length: 0\r\n");
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("hello.yaml"), "{answer}");

    fs::write(&file, answering("fourth")).unwrap();
    served.ringway.err.wait("reloaded");
    assert!(hello().ends_with("fourth"), "{}", hello());
    served.ringway.signal(Signal::HUP);
    served.ringway.err.wait("reloaded");
}

#[test]
fn settings_and_level_are_told_and_the_level_changes() {
    let served = serve();
    let settings = ask(&served.admin, "GET", "/config", "");
    assert!(settings.contains("\"drain\":5000"), "{settings}");
    let change = |level: &str| {
        let body = format!("{{\"level\": \"{level}\"}}");
        let headers = format!("X-Ringway-Admin: 1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        ask(&served.admin, "PUT", "/log-level", &headers)
    };
    assert!(change("debug").starts_with("HTTP/1.1 200"), "{}", change("debug"));
    assert!(ask(&served.admin, "GET", "/log-level", "").contains("\"debug\""));
    assert!(change("loud").starts_with("HTTP/1.1 422"), "{}", change("loud"));
    let metrics = ask(&served.admin, "GET", "/metrics", "");
    for name in ["ringway_requests_total{", "process_cpu_seconds_total ", "ringway_reloads_total{"] {
        assert!(metrics.contains(name), "{name} is missing in {metrics}");
    }
}

#[test]
fn a_signal_drains_and_ends_well() {
    let mut served = serve();
    for address in [&served.gateway, &served.admin] {
        drop(TcpStream::connect(address).unwrap());
    }
    served.ringway.signal(Signal::TERM);
    served.ringway.err.wait("drained");
    assert_eq!(served.ringway.end(), Some(0));
    assert!(TcpStream::connect(&served.gateway).is_err());
    assert!(TcpStream::connect(&served.admin).is_err());
}

#[test]
fn a_second_signal_does_not_wait_for_what_runs() {
    // A backend that takes the request and never answers.
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut served = serve();
    let stuck = answering("").replace("127.0.0.1:9/", &format!("{}/", backend.local_addr().unwrap()));
    let (before, after) = stuck.split_once("flows:").unwrap();
    let plans = after.split_once("plans:").unwrap().1;
    fs::write(served.folder.path().join("apis/hello.yaml"), format!("{before}plans:{plans}")).unwrap();
    served.ringway.err.wait("reloaded");
    let mut client = TcpStream::connect(&served.gateway).unwrap();
    client.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (_kept, _) = backend.accept().unwrap();

    served.ringway.signal(Signal::TERM);
    served.ringway.err.wait("draining");
    served.ringway.signal(Signal::INT);
    served.ringway.err.wait("second signal");
    assert_eq!(served.ringway.end(), Some(1));
}

#[test]
fn a_service_manager_is_told_how_it_stands() {
    let folder = TempDir::new().unwrap();
    let name = folder.path().join("notify");
    let notices = UnixDatagram::bind(&name).unwrap();
    notices.set_read_timeout(Some(DEADLINE)).unwrap();
    let notice = || {
        let mut buffer = [0; 256];
        let count = notices.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let mut ringway = Running::start_with(
        folder.path(),
        &["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        &[("NOTIFY_SOCKET", name.to_str().unwrap())],
    );
    assert_eq!(notice(), "READY=1");
    ringway.signal(Signal::HUP);
    assert!(notice().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(notice(), "READY=1");
    ringway.signal(Signal::TERM);
    assert_eq!(notice(), "STOPPING=1");
    assert_eq!(ringway.end(), Some(0));
}
