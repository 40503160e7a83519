//! Redis as a real server, in memory only, and its command line as the other end.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use rustix::process::Signal;

use crate::deadline::{DEADLINE, wait_until};
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::tool;

/// A Redis that forgets everything when it ends.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    port: Port,
    scratch: Scratch,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one that lets everybody in.
    #[track_caller]
    pub fn start() -> RedisServer {
        RedisServer::with(&[])
    }

    /// Starts one with further arguments; `{port}` is its port, which is `--port` unless the arguments say that it speaks TLS there.
    #[track_caller]
    pub fn with(arguments: &[&str]) -> RedisServer {
        let (port, scratch) = (Port::new(), Scratch::new("redis"));
        let number = port.number().to_string();
        let tls = arguments.contains(&"--tls-port");
        let own = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"];
        let plain = ["--port", if tls { "0" } else { &number }];
        let all = own.iter().chain(&plain).chain(arguments).map(|argument| argument.replace("{port}", &number));
        let mut server = RedisServer { process: None, arguments: all.collect(), port, scratch };
        server.restart();
        server
    }

    /// A sentinel that watches this master; `name` is what it calls it.
    #[track_caller]
    pub fn sentinel(name: &str, master: &RedisServer) -> RedisServer {
        let (port, scratch) = (Port::new(), Scratch::new("sentinel"));
        let (number, watched) = (port.number(), master.address().port());
        let conf = format!(
            "port {number}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {watched} 1\nsentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 10000\n"
        );
        let conf = scratch.write("sentinel.conf", &conf).display().to_string();
        let mut server = RedisServer { process: None, arguments: vec![conf, "--sentinel".into()], port, scratch };
        server.restart();
        server
    }

    /// Starts it again, empty.
    #[track_caller]
    pub fn restart(&mut self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let log = self.scratch.join("log");
        let mut process = Process::start(Path::new("redis-server"), &arguments, self.scratch.path(), &log);
        wait_until("Redis to listen", || {
            assert!(process.ended().is_none(), "Redis ended: {}", self.scratch.read("log"));
            TcpStream::connect(self.address()).is_ok()
        });
        self.process = Some(process);
    }

    /// Kills it (`SIGKILL`).
    #[track_caller]
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::KILL);
        assert!(process.wait(DEADLINE).is_some(), "Redis cannot be killed");
    }

    /// Has it answer nothing until it is [thawed](Self::thaw).
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::STOP);
    }

    /// Has it go on.
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::CONT);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `redis-cli` with these arguments; what it says, without its last line end.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.number().to_string();
        let own = ["-h", "127.0.0.1", "-p", &port];
        tool::run("redis-cli", own.iter().chain(arguments)).ok().trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::RedisServer;

    #[test]
    fn redis_forgets_what_it_has_when_it_dies() {
        let mut redis = RedisServer::start();
        assert_eq!(redis.cli(&["SET", "a", "1"]), "OK");
        assert_eq!(redis.cli(&["GET", "a"]), "1");
        redis.kill();
        redis.restart();
        assert_eq!(redis.cli(&["GET", "a"]), "");
    }
}
