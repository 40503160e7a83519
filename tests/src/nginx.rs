//! nginx as a real backend.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use crate::deadline::wait_until;
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;

/// A running nginx with one `http` block of the test's choice.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    port: Port,
    scratch: Scratch,
}

impl Nginx {
    /// Starts nginx with `http` inside its `http { }`; `{listen}` in it becomes the address, `{root}` a folder of its own.
    /// Each request leaves a line `METHOD TARGET PROTOCOL STATUS BODY_BYTES_RECEIVED CONNECTION` ([`Nginx::requests`]).
    pub fn start(http: &str) -> Nginx {
        let (port, scratch) = (Port::new(), Scratch::new("nginx"));
        let root = scratch.path().display().to_string();
        let http = http.replace("{listen}", &port.address().to_string()).replace("{root}", &root);
        scratch.write(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log notice;
                 events {{ worker_connections 4096; }}
                 http {{
                   log_format line '$request $status $content_length $connection';
                   access_log {root}/access.log line;
                   client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
                   uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
                   client_max_body_size 0;
                   {http}
                 }}\n"
            ),
        );
        let conf = format!("{root}/nginx.conf");
        let arguments = ["-p", root.as_str(), "-c", &conf, "-e", &format!("{root}/error.log")];
        let process = Process::start(Path::new("nginx"), &arguments, scratch.path(), &scratch.join("log"));
        let mut nginx = Nginx { process, port, scratch };
        wait_until("nginx to listen", || {
            let ended = nginx.process.ended();
            assert!(ended.is_none(), "nginx ended: {}{}", nginx.scratch.read("log"), nginx.scratch.read("error.log"));
            TcpStream::connect(nginx.port.address()).is_ok()
        });
        nginx
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its address as the target of an endpoint.
    pub fn target(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its root: a folder of its own.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Puts a file under its root.
    pub fn file(&self, name: &str, content: &[u8]) {
        std::fs::write(self.scratch.join(name), content).expect("a file in the scratch folder");
    }

    /// A line for each request that it has answered.
    pub fn requests(&self) -> Vec<String> {
        self.scratch.read("access.log").lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Nginx;
    use crate::client::Client;

    #[test]
    fn nginx_answers_and_tells_what_it_was_asked() {
        let nginx = Nginx::start("server { listen {listen}; location / { return 200 hello; } }");
        let (head, body) = Client::get(nginx.address(), "a", "/x");
        assert_eq!((head.status(), body.as_slice()), (200, &b"hello"[..]));
        crate::wait_until("the access log", || {
            nginx.requests().iter().any(|line| line.starts_with("GET /x HTTP/1.1 200"))
        });
    }
}
