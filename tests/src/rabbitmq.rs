//! RabbitMQ as a real broker: a node of its own, with ports, folders and a port mapper (epmd) of its own.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::Signal;

use crate::authority::Authority;
use crate::deadline::try_wait;
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::tool;

/// How long a node may take to start: an Erlang machine, on a core that others use, too.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Bytes that a message may have at most.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A running node. The user is `guest`, the password `guest`.
#[derive(Debug)]
pub struct RabbitMq {
    server: Option<Process>,
    _epmd: Process,
    ports: [Port; 4],
    authority: Authority,
    scratch: Scratch,
}

impl RabbitMq {
    /// A node that all tests of this process share. It ends with the process.
    pub fn shared() -> &'static RabbitMq {
        static SHARED: OnceLock<&RabbitMq> = OnceLock::new();
        SHARED.get_or_init(|| {
            let (sender, receiver) = channel();
            // What a thread has started ends with it: this one lives as long as the process.
            std::thread::spawn(move || {
                let node: &'static RabbitMq = Box::leak(Box::new(RabbitMq::start()));
                // Its input ends when this process does, however that ends.
                let sweep = "cat >/dev/null; for i in 1 2 3 4 5; do rm -rf \"$0\" && rm -rf \"$1\" && exit; done";
                let folders = [node.scratch.path().display().to_string(), node.authority.path("")];
                let sweeper = Command::new("sh").arg("-c").arg(sweep).args(folders).stdin(Stdio::piped()).spawn();
                let mut sweeper = sweeper.expect("a shell");
                let _until_the_end = sweeper.stdin.take();
                sender.send(node).expect("the test that asked for it waits");
                let _ = sweeper.wait();
            });
            receiver.recv().expect("the node starts")
        })
    }

    /// Starts a node, and waits until it takes connections.
    pub fn start() -> RabbitMq {
        let mut node = RabbitMq::prepared();
        node.run();
        node
    }

    /// A node that does not run yet: see [`RabbitMq::run`].
    pub fn prepared() -> RabbitMq {
        let (scratch, authority) = (Scratch::new("rabbitmq"), Authority::new());
        authority.sign("localhost");
        let ports = [Port::new(), Port::new(), Port::new(), Port::new()];
        let [amqp, tls, _, mapper] = &ports;
        scratch.write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.default = {}\nlisteners.ssl.default = {}\nssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\nssl_options.keyfile = {}\nmax_message_size = {MESSAGE_BYTES_MAX}\n\
                 disk_free_limit.absolute = 1MB\nloopback_users = none\nheartbeat = 10\nlog.console.level = warning\n",
                amqp.address(),
                tls.address(),
                authority.path("ca.pem"),
                authority.path("localhost.pem"),
                authority.path("localhost.key"),
            ),
        );
        scratch.write("plugins", "[rabbitmq_amqp1_0].\n");
        let arguments = ["-port", &mapper.number().to_string(), "-address", "127.0.0.1"];
        let epmd = Process::start(Path::new("epmd"), &arguments, scratch.path(), &scratch.join("epmd.log"));
        RabbitMq { server: None, _epmd: epmd, ports, authority, scratch }
    }

    /// Starts it again with what it has on its disk, and waits until it takes connections.
    pub fn run(&mut self) {
        let [_, _, distribution, mapper] = &self.ports;
        let folder = |name: &str| self.scratch.join(name).display().to_string();
        let variables = [
            ("RABBITMQ_NODENAME", format!("ringway{}@localhost", mapper.number())),
            ("RABBITMQ_CONFIG_FILE", folder("rabbitmq.conf")),
            ("RABBITMQ_CONF_ENV_FILE", folder("none")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", folder("plugins")),
            ("RABBITMQ_MNESIA_BASE", folder("data")),
            ("RABBITMQ_LOG_BASE", folder("log")),
            ("RABBITMQ_PID_FILE", folder("pid")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_DIST_PORT", distribution.number().to_string()),
            ("ERL_EPMD_PORT", mapper.number().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            // Small: many tests share two cores.
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +SDio 2 +sbwt none".to_owned()),
            // Without a shell between us and the node.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
            ("HOME", folder("")),
        ];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let program = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        let log = self.scratch.join("server.log");
        let mut server = Process::start_with(program, &[], self.scratch.path(), &log, &variables);
        let address = self.address();
        let up = try_wait(START_WITHIN, || {
            assert!(server.ended().is_none(), "RabbitMQ ended:\n{}", self.scratch.read("server.log"));
            TcpStream::connect(address).is_ok().then_some(())
        });
        assert!(up.is_some(), "RabbitMQ does not start:\n{}", self.scratch.read("server.log"));
        self.server = Some(server);
    }

    /// `SIGKILL`: nothing is written that is not on the disk.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal(Signal::KILL);
            server.wait(START_WITHIN).expect("what was killed ends");
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Where it listens with TLS, as `localhost`.
    pub fn tls_address(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// Who signed its certificate, as PEM.
    pub fn authority(&self) -> String {
        std::fs::read_to_string(self.authority.path("ca.pem")).expect("the authority's certificate")
    }

    /// Runs a Python script with a `channel` of pika on a connection of its own, `json`, `sys` and `arguments`; gives its output.
    #[track_caller]
    pub fn pika(&self, script: &str, arguments: &[&str]) -> String {
        let port = self.ports[0].number().to_string();
        let prelude = "import json, sys, pika\narguments = sys.argv[2:]\n\
                       connection = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', int(sys.argv[1])))\n\
                       channel = connection.channel()\n";
        let arguments: Vec<&str> = std::iter::once(port.as_str()).chain(arguments.iter().copied()).collect();
        tool::python(&format!("{prelude}{script}\nconnection.close()\n"), &arguments).ok()
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        self.scratch.read("server.log")
    }
}

#[cfg(test)]
mod tests {
    use super::RabbitMq;

    #[test]
    fn a_node_that_is_killed_comes_back_with_what_it_had_on_its_disk() {
        let mut node = RabbitMq::start();
        node.pika(
            "channel.confirm_delivery()\nchannel.queue_declare('q', durable=True)\n\
             channel.basic_publish('', 'q', b'x', pika.BasicProperties(delivery_mode=2))",
            &[],
        );
        node.kill();
        node.run();
        let body = node.pika("print(channel.basic_get('q', auto_ack=True)[2].decode())", &[]);
        assert_eq!(body.trim(), "x");
    }
}
