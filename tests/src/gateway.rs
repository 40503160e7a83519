//! The binary under test.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

use rustix::process::Signal;

use crate::api::Api;
use crate::client::Client;
use crate::deadline::{DEADLINE, wait_for, wait_until};
use crate::head::Head;
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;

/// How often a start is tried again when another program has taken a port between lease and listen.
const STARTS_MAX: usize = 3;

/// A running gateway, its configuration folder and its ports.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    scratch: Scratch,
    ports: [Port; 3],
}

impl Gateway {
    /// Starts the gateway and waits until it is ready.
    ///
    /// `yaml` is its `ringway.yaml`, `apis` are files in the folder `apis` beside it. In all of them `{http}` and `{tls}`
    /// become addresses to listen on, `{admin}` the address of the admin port, `{dir}` the folder.
    #[track_caller]
    pub fn start(yaml: &str, apis: &[(&str, &str)]) -> Gateway {
        Gateway::start_with(&[], yaml, apis)
    }

    #[track_caller]
    fn start_with(variables: &[(&str, &str)], yaml: &str, apis: &[(&str, &str)]) -> Gateway {
        for _ in 1..STARTS_MAX {
            match Gateway::try_start_with(variables, yaml, apis) {
                Err(log) if log.contains("ddress already in use") => {}
                started => return started.unwrap_or_else(|log| panic!("the gateway does not start:\n{log}")),
            }
        }
        let started = Gateway::try_start_with(variables, yaml, apis);
        started.unwrap_or_else(|log| panic!("the gateway does not start:\n{log}"))
    }

    /// Starts a gateway of one shard with plain HTTP, its admin port and `apis`.
    #[track_caller]
    pub fn serving(apis: &[Api]) -> Gateway {
        Gateway::configured("", apis)
    }

    /// The same with further lines of `ringway.yaml`.
    #[track_caller]
    pub fn configured(yaml: &str, apis: &[Api]) -> Gateway {
        Gateway::surrounded(&[], yaml, apis)
    }

    /// The same with variables in its environment.
    #[track_caller]
    pub fn surrounded(variables: &[(&str, &str)], yaml: &str, apis: &[Api]) -> Gateway {
        let files: Vec<(String, String)> =
            apis.iter().enumerate().map(|(at, api)| (format!("{at}.json"), api.json())).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, api)| (name.as_str(), api.as_str())).collect();
        let servers = if yaml.contains("servers:") { "" } else { "servers: [{ id: http, listen: '{http}' }]\n" };
        let shards = if yaml.contains("shards:") { "" } else { "shards: 1\n" };
        // The whole suite once more over another driver: `RINGWAY_DRIVER=epoll cargo test ...`.
        let driver = match std::env::var("RINGWAY_DRIVER") {
            Ok(driver) if !yaml.contains("driver:") => format!("driver: {driver}\n"),
            _ => String::new(),
        };
        Gateway::start_with(variables, &format!("{shards}{driver}{servers}{REST}{yaml}"), &files)
    }

    /// Starts a gateway in front of one backend, at `/`.
    #[track_caller]
    pub fn before(target: &str) -> Gateway {
        Gateway::serving(&[Api::proxy("/", target)])
    }

    /// As [`start`](Gateway::start); what the gateway said when it ended instead.
    pub fn try_start(yaml: &str, apis: &[(&str, &str)]) -> Result<Gateway, String> {
        Gateway::try_start_with(&[], yaml, apis)
    }

    fn try_start_with(variables: &[(&str, &str)], yaml: &str, apis: &[(&str, &str)]) -> Result<Gateway, String> {
        let (scratch, ports) = (Scratch::new("gateway"), [Port::new(), Port::new(), Port::new()]);
        scratch.write("ringway.yaml", &fill(yaml, &scratch, &ports));
        std::fs::create_dir_all(scratch.join("apis")).expect("a folder");
        for (name, api) in apis {
            scratch.write(&format!("apis/{name}"), &fill(api, &scratch, &ports));
        }
        let process = launch(&scratch, "log", variables);
        let mut gateway = Gateway { process, scratch, ports };
        gateway.await_ready()?;
        Ok(gateway)
    }

    /// Where it serves plain HTTP.
    pub fn http(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Where it serves TLS.
    pub fn tls(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// Where its admin endpoints are.
    pub fn admin(&self) -> SocketAddr {
        self.ports[2].address()
    }

    /// A connection to its plain listener.
    #[track_caller]
    pub fn connect(&self) -> crate::Peer {
        Client::connect(self.http())
    }

    /// `GET`s a target from its plain listener.
    #[track_caller]
    pub fn get(&self, target: &str) -> (Head, Vec<u8>) {
        Client::get(self.http(), "gateway.test", target)
    }

    /// Asks its admin port, as an operator's tool does; status and text.
    #[track_caller]
    pub fn ask_admin(&self, method: &str, target: &str) -> (u16, String) {
        self.tell_admin(method, target, "")
    }

    /// The same with a body.
    #[track_caller]
    pub fn tell_admin(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let (address, length) = (self.admin(), body.len());
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nX-Ringway-Admin: 1\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let (head, body) = Client::ask(address, &request);
        (head.status(), String::from_utf8_lossy(&body).into_owned())
    }

    /// Sum of all samples of a metric whose labels hold every one of `labels`.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.ask_admin("GET", "/metrics");
        let samples = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        });
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Writes a file of its folder (`apis/NAME`, `ringway.yaml`, ...) as an editor would.
    pub fn write(&self, name: &str, text: &str) {
        self.scratch.write(name, &fill(text, &self.scratch, &self.ports));
    }

    /// Removes a file of its folder.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.scratch.join(name)).expect("a file of the gateway's folder");
    }

    /// Asks for a reload by the admin port; status and text.
    #[track_caller]
    pub fn reload(&self) -> (u16, String) {
        self.ask_admin("POST", "/reload")
    }

    /// Starts another process of the same configuration beside the running one, waits until it serves too, and gives the old one.
    ///
    /// The admin port can't tell that the new one is ready while both have it, so the new one tells it as it does a service
    /// manager: by a datagram `READY=1` (sd_notify(3)).
    #[track_caller]
    pub fn replace(&mut self) -> Process {
        let name = self.scratch.join("notify").display().to_string();
        let _ = std::fs::remove_file(&name);
        let notices = UnixDatagram::bind(&name).expect("a socket in the scratch folder");
        notices.set_nonblocking(true).expect("a socket option");
        let new = launch(&self.scratch, "second.log", &[("NOTIFY_SOCKET", &name)]);
        let old = std::mem::replace(&mut self.process, new);
        wait_until("the second process to be ready", || {
            assert!(self.process.ended().is_none(), "the second process ended:\n{}", self.scratch.read("second.log"));
            let mut notice = [0; 256];
            notices.recv(&mut notice).is_ok_and(|count| notice[..count].starts_with(b"READY=1"))
        });
        old
    }

    /// Kills it, and starts it again with the same configuration.
    #[track_caller]
    pub fn crash(&mut self) {
        self.process.signal(Signal::KILL);
        self.wait();
        self.process = launch(&self.scratch, "log", &[]);
        self.await_ready().unwrap_or_else(|log| panic!("the gateway does not start again:\n{log}"));
    }

    /// Stops it in order, and starts it again with the same configuration.
    #[track_caller]
    pub fn restart(&mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "the gateway ended with {status}");
        self.process = launch(&self.scratch, "log", &[]);
        self.await_ready().unwrap_or_else(|log| panic!("the gateway does not start again:\n{log}"));
    }

    /// Sends `SIGTERM`.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Sends `SIGHUP`.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let ended = self.process.wait(DEADLINE);
        ended.unwrap_or_else(|| panic!("the gateway did not end within {DEADLINE:?}:\n{}", self.log()))
    }

    /// Everything it has written to its standard output and error.
    pub fn log(&self) -> String {
        self.scratch.read("log")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    fn await_ready(&mut self) -> Result<(), String> {
        wait_for("the gateway to be ready", || {
            if self.process.ended().is_some() {
                return Some(Err(self.log()));
            }
            TcpStream::connect(self.admin()).ok()?;
            (self.ask_admin("GET", "/health/ready").0 == 200).then_some(Ok(()))
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the gateway's last lines:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// What every gateway of the tests has.
const REST: &str = "apis: ['{dir}/apis']\nadmin: { listen: '{admin}' }\n";

fn fill(text: &str, scratch: &Scratch, ports: &[Port; 3]) -> String {
    let mut text = text.replace("{dir}", &scratch.path().display().to_string());
    for (name, port) in ["{http}", "{tls}", "{admin}"].iter().zip(ports) {
        text = text.replace(name, &port.address().to_string());
    }
    text
}

fn launch(scratch: &Scratch, log: &str, variables: &[(&str, &str)]) -> Process {
    let config = scratch.join("ringway.yaml").display().to_string();
    Process::start_with(binary(), &["run", "--config", &config], scratch.path(), &scratch.join(log), variables)
}

/// The binary: `RINGWAY_BIN` when set, else built beside the test, once per test process.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(build) {
        Ok(path) => path,
        Err(errors) => panic!("the gateway does not build: {errors}"),
    }
}

fn build() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("RINGWAY_BIN") {
        return Ok(PathBuf::from(path));
    }
    // target/PROFILE/deps/TEST: the binary of the same profile is two folders up.
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "-p", "ringway"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    build.env("CARGO_TARGET_DIR", folder.parent().expect("a target folder"));
    // What cargo tells a test of its package: build scripts that look at it would run again, and all that depends on them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            build.env_remove(name);
        }
    }
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let output = build.output().expect("cargo runs");
    let built = output.status.success().then(|| folder.join("ringway"));
    built.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
