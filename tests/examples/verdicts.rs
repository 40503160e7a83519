//! Judges the corpus of `tests/tests/conformance` on Ringway, nginx and HAProxy, and writes the table of verdicts.
//!
//! ```sh
//! cargo run -p ringway-tests --example verdicts            # docs/conformance.md
//! cargo run -p ringway-tests --example verdicts -- FILE
//! ```
//!
//! Every vector is what a client sends before it has heard anything. The backend reads leniently and answers everything, so that
//! what a proxy lets pass is seen. It fails when another proxy is stricter than Ringway and the corpus gives no reason.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool of the tests fails by panicking")]

use std::fmt::{self, Write as _};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ringway_tests::script::{Case, Script};
use ringway_tests::{Gateway, Nginx, Observer, Port, Process, Scratch, Stage, wait_until};

/// The files whose vectors are judged, with what they are about. Of those marked, the content is what is looked at, not the head.
const THEMES: [(&str, &str, bool, &str); 7] = [
    ("smuggling", "Smuggling: heads", false, include_str!("../tests/conformance/smuggling.txt")),
    ("smuggled_chunks", "Smuggling: chunks", true, include_str!("../tests/conformance/smuggled_chunks.txt")),
    ("paths", "Paths", false, include_str!("../tests/conformance/paths.txt")),
    ("request_line", "Request line and target", false, include_str!("../tests/conformance/request_line.txt")),
    ("host", "Host", false, include_str!("../tests/conformance/host.txt")),
    ("fields", "Field lines", false, include_str!("../tests/conformance/fields.txt")),
    ("framing", "Framing", false, include_str!("../tests/conformance/framing.txt")),
];

/// Silence after which nothing more is expected.
const QUIET: Duration = Duration::from_millis(100);
/// The same when the client has heard nothing: a proxy may just be slow.
const QUIET_UNHEARD: Duration = Duration::from_millis(600);
/// The longest that one vector may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What a proxy did with a vector; the later, the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// It reached the backend as the client wrote it.
    Raw,
    /// It reached the backend, but not as it was.
    Changed,
    /// The backend got nothing, or never a whole request.
    Refused,
}

#[derive(Clone, Debug)]
struct Verdict {
    class: Class,
    /// The first status that the client got; 0 for none.
    status: u16,
    /// Whether the backend got something.
    begun: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.class, self.status, self.begun) {
            (Class::Raw, ..) => f.write_str("raw"),
            (Class::Changed, ..) => f.write_str("changed"),
            (Class::Refused, 0, false) => f.write_str("cut"),
            (Class::Refused, 0, true) => f.write_str("broken off"),
            (Class::Refused, status, false) => write!(f, "{status}"),
            (Class::Refused, status, true) => write!(f, "broken off, {status}"),
        }
    }
}

struct Proxy {
    name: &'static str,
    address: SocketAddr,
    backend: Observer,
    version: String,
    _process: Running,
}

#[expect(dead_code, reason = "kept so that it runs")]
enum Running {
    Ringway(Box<Gateway>),
    Nginx(Nginx),
    Haproxy(Process, Port, Scratch),
}

fn main() -> ExitCode {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let page = std::env::args_os().nth(1).map_or(page, Into::into);
    let mut proxies = [ringway(), nginx(), haproxy()];
    let mut table = String::new();
    let mut sums = [[0usize; 3]; 3];
    let mut laxer = Vec::new();
    for (file, title, by_content, text) in THEMES {
        let script = Script::parse(text);
        let _ = writeln!(table, "\n## {title}\n\n`tests/tests/conformance/{file}.txt`\n");
        let _ = writeln!(table, "| section | vector | Ringway | nginx | HAProxy |\n|---|---|---|---|---|");
        for case in script.cases.iter().filter(|case| !case.opening().is_empty()) {
            let verdicts = std::thread::scope(|scope| {
                let judges =
                    proxies.each_mut().map(|proxy| scope.spawn(move || judge(proxy, case.opening(), by_content)));
                judges.map(|judge| judge.join().expect("a verdict"))
            });
            for (sum, verdict) in sums.iter_mut().zip(&verdicts) {
                sum[verdict.class as usize] += 1;
            }
            let [ours, others @ ..] = &verdicts;
            let is_laxer = others.iter().any(|other| other.class == Class::Refused && ours.class != Class::Refused);
            if is_laxer && case.remark.is_empty() {
                laxer.push(format!("{file}, line {}: {} ({})", case.line, case.name, shown(&verdicts)));
            }
            let _ = writeln!(table, "{}", row(case, &verdicts, is_laxer));
        }
        eprintln!("{file}: {} cases", script.cases.len());
    }
    std::fs::write(&page, format!("{}{table}", preface(&proxies, &sums))).expect("the page can be written");
    println!("written to {}", page.display());
    if laxer.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("another proxy is stricter, and no reason is given:\n{}", laxer.join("\n"));
    ExitCode::FAILURE
}

fn shown(verdicts: &[Verdict]) -> String {
    verdicts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" / ")
}

fn row(case: &Case, verdicts: &[Verdict], is_laxer: bool) -> String {
    let why = if is_laxer { format!(" ({})", case.remark) } else { String::new() };
    let cells: Vec<String> = verdicts.iter().map(ToString::to_string).collect();
    let name = case.name.replace('|', "\\|").replace('<', "&lt;");
    format!("| {} | {name}{why} | {} |", case.sections, cells.join(" | "))
}

fn preface(proxies: &[Proxy; 3], sums: &[[usize; 3]; 3]) -> String {
    let mut text = String::from(
        "# Conformance\n\n\
         Written by `cargo run -p ringway-tests --example verdicts`; do not edit.\n\n\
         `tests/tests/conformance/` holds the rules of RFC 9110, 9112 and 3986 that a proxy must keep, as conversations between a client and a\n\
         backend, byte for byte; `cargo test -p ringway-tests --test conformance` plays them all. This page judges those that are told by\n\
         what a client sends first on two other proxies, too: what each lets pass to a backend that reads leniently.\n\n\
         * a number: refused with this status, nothing reached the backend; *cut*: refused without an answer;\n\
         * *broken off*: the request began to reach the backend, and never became whole;\n\
         * *changed*: it reached the backend, but not as the client wrote it (repaired, or written in normal form);\n\
         * *raw*: it reached the backend as the client wrote it.\n\n\
         A vector that is plain passes, and should: *raw* is only bad where readers differ. Where another proxy refuses what Ringway lets pass,\n\
         the reason stands beside it. Both others run with their defaults and kept connections on both sides.\n\n\
         | | version | refused | changed | raw |\n|---|---|---|---|---|\n",
    );
    for (proxy, [raw, changed, refused]) in proxies.iter().zip(sums) {
        let _ = writeln!(text, "| {} | {} | {refused} | {changed} | {raw} |", proxy.name, proxy.version);
    }
    text
}

/// Sends the vector, lets the backend answer what it takes for requests, and looks at both ends until nothing moves any more.
fn judge(proxy: &mut Proxy, vector: &[u8], by_content: bool) -> Verdict {
    let mut client = TcpStream::connect(proxy.address).expect("the proxy listens");
    client.set_nonblocking(false).expect("a socket option");
    client.set_read_timeout(Some(Duration::from_millis(2))).expect("a socket option");
    let _ = client.write_all(vector);
    let (mut heard, mut ended, mut requests) = (Vec::new(), false, 0);
    let (begun_at, mut moved_at) = (Instant::now(), Instant::now());
    let mut answered = std::collections::BTreeMap::new();
    let quiet = |ended, heard: &[u8]| match (ended, heard.is_empty()) {
        (true, _) => QUIET / 2,
        (false, true) => QUIET_UNHEARD,
        (false, false) => QUIET,
    };
    while begun_at.elapsed() < LIMIT && moved_at.elapsed() < quiet(ended, &heard) {
        let mut buffer = [0; 16 * 1024];
        match client.read(&mut buffer) {
            _ if ended => {}
            Ok(0) => ended = true,
            Ok(count) => {
                heard.extend_from_slice(&buffer[..count]);
                moved_at = Instant::now();
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => ended = true,
        }
        while proxy.backend.wait(Duration::from_millis(2)) {
            moved_at = Instant::now();
        }
        let numbers: Vec<usize> = proxy.backend.connections.keys().copied().collect();
        for number in numbers {
            let from: &mut usize = answered.entry(number).or_default();
            while let Some(length) = request(&proxy.backend.connections[&number].pending[*from..]) {
                *from += length;
                requests += 1;
                proxy.backend.send(number, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    }
    let arrived: Vec<u8> = proxy.backend.connections.values().flat_map(|arrived| arrived.pending.clone()).collect();
    drop(client);
    proxy.backend.forget();
    let status = std::str::from_utf8(&heard[..heard.len().min(12)]).unwrap_or_default().split(' ').nth(1);
    let class = match requests {
        0 => Class::Refused,
        _ if is_raw(vector, &arrived, by_content) => Class::Raw,
        _ => Class::Changed,
    };
    Verdict { class, status: status.and_then(|status| status.parse().ok()).unwrap_or(0), begun: !arrived.is_empty() }
}

/// Whether the vector's head, but for what every proxy writes anew, or its content is among what arrived.
fn is_raw(vector: &[u8], arrived: &[u8], by_content: bool) -> bool {
    let end = find(vector, b"\r\n\r\n").unwrap_or(vector.len());
    let has = |part: &[u8]| find(arrived, part).is_some();
    if by_content {
        let content = &vector[(end + 4).min(vector.len())..];
        return has(&content[..find(content, b"GET /smuggled").unwrap_or(content.len())]);
    }
    let lines =
        vector[..end].split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line));
    let mut own =
        lines.filter(|line| !line.is_empty() && !line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")));
    own.all(has)
}

/// Bytes of the request at the front, as a lenient server reads it; nothing while it is not whole.
fn request(bytes: &[u8]) -> Option<usize> {
    let crlf = find(bytes, b"\r\n\r\n").map(|at| at + 4);
    let lf = find(bytes, b"\n\n").map(|at| at + 2);
    let end = crlf.into_iter().chain(lf).min()?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let value = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == name).then(|| value.trim().to_owned())
        })
    };
    if value("transfer-encoding").is_some_and(|codings| codings.contains("chunked")) {
        return find(&bytes[end..], b"0\r\n\r\n").map(|at| end + at + 5);
    }
    let length: usize = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    (bytes.len() >= end + length).then_some(end + length)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() { Some(0) } else { bytes.windows(part.len()).position(|window| window == part) }
}

fn ringway() -> Proxy {
    let backend = Observer::new();
    let gateway = Stage::gateway("", &backend);
    let (address, version) = (gateway.http(), env!("CARGO_PKG_VERSION").to_owned());
    Proxy { name: "Ringway", address, backend, version, _process: Running::Ringway(Box::new(gateway)) }
}

fn nginx() -> Proxy {
    let backend = Observer::new();
    let nginx = Nginx::start(&format!(
        "upstream backend {{ server {}; keepalive 16; }}
         server {{ listen {{listen}}; location / {{
           proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host;
         }} }}",
        backend.address()
    ));
    let version = version("nginx", &["-v"], |line| line.rsplit('/').next().unwrap_or_default().to_owned());
    Proxy { name: "nginx", address: nginx.address(), backend, version, _process: Running::Nginx(nginx) }
}

fn haproxy() -> Proxy {
    let (backend, port, scratch) = (Observer::new(), Port::new(), Scratch::new("haproxy"));
    scratch.write(
        "haproxy.conf",
        &format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend front\n bind {}\n default_backend backend\nbackend backend\n server one {}\n",
            port.address(),
            backend.address()
        ),
    );
    let conf = scratch.join("haproxy.conf").display().to_string();
    let process = Process::start(Path::new("haproxy"), &["-db", "-f", &conf], scratch.path(), &scratch.join("log"));
    wait_until("HAProxy to listen", || TcpStream::connect(port.address()).is_ok());
    let version = version("haproxy", &["-v"], |line| line.split(' ').nth(2).unwrap_or_default().to_owned());
    Proxy {
        name: "HAProxy",
        address: port.address(),
        backend,
        version,
        _process: Running::Haproxy(process, port, scratch),
    }
}

fn version(program: &str, arguments: &[&str], read: impl Fn(&str) -> String) -> String {
    let said = ringway_tests::tool::run(program, arguments);
    let text = format!("{}{}", said.out, said.err);
    text.lines().next().map(read).unwrap_or_default()
}
