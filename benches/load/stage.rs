//! What stands while all cases run: the backend on core 0, certificates, scripts of the tools.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringway_tests::{Port, Process, Scratch, wait_until};

use crate::case::ROUTES;

/// The backend, and where things lie.
#[derive(Debug)]
pub(crate) struct Stage {
    pub folder: Scratch,
    pub backend: Port,
    pub web_socket: SocketAddr,
    /// The gateway's binary, when it takes part.
    pub ringway: Option<PathBuf>,
    _nginx: Process,
}

impl Stage {
    pub(crate) fn set(ringway: Option<PathBuf>) -> Result<Stage> {
        let (folder, backend) = (Scratch::new("load"), Port::new());
        certificates(&folder)?;
        folder.write("routes.lua", &format!(
            "math.randomseed(os.time())\nrequest = function() return wrk.format('GET', '/r' .. math.random(0, {}) .. '/x') end\n",
            ROUTES - 1
        ));
        fs::write(folder.join("large"), vec![b'x'; 100 * 1024])?;
        let root = folder.path().display().to_string();
        folder.write("backend.conf", &format!(
            "daemon off; master_process off; worker_rlimit_nofile 20000; pid {root}/backend.pid; error_log {root}/backend.log warn;
             events {{ worker_connections 18000; }}
             http {{
               access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;
               {temporary}
               open_file_cache max=10; default_type text/plain;
               server {{
                 listen {address} backlog=4096; listen unix:{root}/backend.sock backlog=4096;
                 location / {{ return 200 'Hello, world\\n'; }}
                 location = /large {{ root {root}; }}
               }}
             }}\n",
            address = backend.address(),
            temporary = temporary(&root, "backend"),
        ));
        let nginx = start(
            &folder,
            "backend",
            0,
            Path::new("nginx"),
            &["-p", &root, "-c", &format!("{root}/backend.conf"), "-e", "stderr"],
        )?;
        wait_until("the backend to listen", || TcpStream::connect(backend.address()).is_ok());
        Ok(Stage { folder, backend, web_socket: web_socket_backend()?, ringway, _nginx: nginx })
    }

    /// The path of a file of the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// Starts a program on one core, its output in `NAME.log`.
pub(crate) fn start(folder: &Scratch, name: &str, core: usize, program: &Path, arguments: &[&str]) -> Result<Process> {
    let core = core.to_string();
    let program = program.to_str().context("a path in UTF-8")?;
    let arguments: Vec<&str> = ["-c", &core, program].into_iter().chain(arguments.iter().copied()).collect();
    Ok(Process::start(Path::new("taskset"), &arguments, folder.path(), &folder.join(&format!("{name}.log"))))
}

/// nginx's folders for temporary files, below `root`.
pub(crate) fn temporary(root: &str, name: &str) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    kinds.map(|kind| format!("{kind}_temp_path {root}/{name}-{kind};")).join(" ")
}

/// An authority and a certificate of it for `localhost`, both ECDSA P-256.
fn certificates(folder: &Scratch) -> Result<()> {
    folder.write("leaf.ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout ca.key -out ca.pem -subj /CN=load";
    let ask =
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj /CN=localhost";
    let sign =
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile leaf.ext -out leaf.pem";
    for arguments in [new, ask, sign] {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output()?;
        ensure!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // HAProxy wants both in one file.
    let both = folder.read("leaf.pem") + &folder.read("leaf.key");
    folder.write("both.pem", &both);
    Ok(())
}

/// Accepts WebSockets, keeps them open and echoes what comes: one thread asks each in turn, so that they may be thousands. Without any it
/// sleeps: the other cases are to have their core for themselves.
fn web_socket_backend() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut tunnels: Vec<TcpStream> = Vec::new();
        let mut buffer = [0; 2048];
        loop {
            let _ = listener.set_nonblocking(!tunnels.is_empty());
            if let Ok((stream, _)) = listener.accept()
                && let Ok(stream) = open_tunnel(stream)
            {
                tunnels.push(stream);
            }
            let mut is_quiet = true;
            tunnels.retain_mut(|tunnel| match tunnel.read(&mut buffer) {
                Ok(0) => false,
                Ok(count) => {
                    is_quiet = false;
                    tunnel.write_all(&buffer[..count]).is_ok()
                }
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            });
            if is_quiet {
                std::thread::park_timeout(Duration::from_micros(200));
            }
        }
    });
    Ok(address)
}

fn open_tunnel(mut stream: TcpStream) -> Result<TcpStream> {
    stream.set_nonblocking(false)?;
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0 && head.len() < 16 * 1024, "no head");
        head.extend_from_slice(&buffer[..count]);
    }
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
