//! Mosquitto as a real broker, and its own clients as the other end.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::Signal;

use crate::deadline::{DEADLINE, wait_until};
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::tool;

/// A Mosquitto. What it has to keep it writes to its disk when it is [frozen](Mosquitto::freeze).
#[derive(Debug)]
pub struct Mosquitto {
    process: Option<Process>,
    ports: [Port; 2],
    scratch: Scratch,
}

/// Starts it with no signal blocked: it inherits what a shard's thread blocks, and would never save.
const UNBLOCKED: &str = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, [])
os.environ['PATH'] += ':/usr/sbin'
os.execvp('mosquitto', ['mosquitto', '-c', sys.argv[1]])";

impl Mosquitto {
    /// Starts one that lets everybody in.
    #[track_caller]
    pub fn start() -> Mosquitto {
        Mosquitto::with("allow_anonymous true\n", &[])
    }

    /// Starts one with these lines in its configuration and these files beside it. `{dir}` is their folder, `{tls}` a second port.
    #[track_caller]
    pub fn with(lines: &str, files: &[(&str, &str)]) -> Mosquitto {
        let mut mosquitto = Mosquitto::prepared(lines, files);
        mosquitto.restart();
        mosquitto
    }

    /// The same, but not started yet.
    pub fn prepared(lines: &str, files: &[(&str, &str)]) -> Mosquitto {
        let (ports, scratch) = ([Port::new(), Port::new()], Scratch::new("mosquitto"));
        let dir = scratch.path().display().to_string();
        for (name, text) in files {
            scratch.write(name, text);
        }
        let lines = lines.replace("{dir}", &dir).replace("{tls}", &ports[1].number().to_string());
        let port = ports[0].number();
        scratch.write(
            "mosquitto.conf",
            &format!(
                "user root\nlistener {port} 127.0.0.1\n\
                 persistence true\npersistence_location {dir}/\nautosave_interval 86400\n\
                 max_inflight_messages 0\nmax_queued_messages 0\nqueue_qos0_messages true\nsys_interval 0\n\
                 log_dest stderr\nlog_type all\nconnection_messages true\n{lines}"
            ),
        );
        Mosquitto { process: None, ports, scratch }
    }

    /// Starts it again, with what is on its disk.
    #[track_caller]
    pub fn restart(&mut self) {
        let conf = self.scratch.join("mosquitto.conf").display().to_string();
        let log = self.scratch.join("log");
        let mut process =
            Process::start(Path::new("/usr/bin/python3"), &["-c", UNBLOCKED, &conf], self.scratch.path(), &log);
        wait_until("mosquitto to listen", || {
            assert!(process.ended().is_none(), "mosquitto ended: {}", self.log());
            TcpStream::connect(self.address()).is_ok()
        });
        self.process = Some(process);
    }

    /// Kills it (`SIGKILL`): what is not on its disk is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::KILL);
        assert!(process.wait(DEADLINE).is_some(), "mosquitto cannot be killed");
    }

    /// Has it save what it has, and stops it (`SIGSTOP`): from here on it reads and answers nothing. Nothing may be under way at this moment,
    /// or some of that is not on the disk.
    #[track_caller]
    pub fn freeze(&self) {
        let process = self.process.as_ref().expect("it runs");
        // It writes another file, and renames that at the end.
        let file = || std::fs::metadata(self.scratch.join("mosquitto.db")).map(|file| file.ino()).ok();
        let before = file();
        process.signal(Signal::USR1);
        wait_until("mosquitto to save", || file().is_some() && file() != before);
        process.signal(Signal::STOP);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// The second port.
    pub fn tls(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.scratch.read("log")
    }

    /// `mosquitto_pub` with further arguments.
    #[track_caller]
    pub fn publish(&self, arguments: &[&str]) {
        let port = self.ports[0].number().to_string();
        let own = ["-h", "127.0.0.1", "-p", &port, "-V", "5"];
        tool::run("mosquitto_pub", own.iter().chain(arguments)).ok();
    }

    /// Publishes a message for each line, at a QoS.
    #[track_caller]
    pub fn publish_lines(&self, topic: &str, qos: u8, lines: impl IntoIterator<Item = String>) {
        let lines: String = lines.into_iter().map(|line| line + "\n").collect();
        let file = self.scratch.write("lines", &lines).display().to_string();
        let port = self.ports[0].number();
        let command = format!("mosquitto_pub -h 127.0.0.1 -p {port} -V 5 -i lines -q {qos} -t '{topic}' -l < '{file}'");
        tool::run("sh", ["-c", &command]).ok();
    }

    /// Begins a session of a subscriber: from here on the broker keeps what comes for it.
    #[track_caller]
    pub fn register(&self, client: &str, topic: &str) {
        tool::run("mosquitto_sub", self.subscriber(client, topic).iter().map(String::as_str).chain(["-E"])).ok();
    }

    /// All messages of such a subscriber, a line each.
    #[track_caller]
    pub fn drain(&self, client: &str, topic: &str) -> Vec<String> {
        let said =
            tool::run("mosquitto_sub", self.subscriber(client, topic).iter().map(String::as_str).chain(["-W", "4"]));
        said.out.lines().map(str::to_owned).collect()
    }

    /// The first `count` messages (at most 20: more are acknowledged than are told) of such a subscriber in the format of `mosquitto_sub -F`, a line each.
    #[track_caller]
    pub fn collect(&self, client: &str, topic: &str, count: usize, format: &str) -> Vec<String> {
        let count = count.to_string();
        let more = ["-C", &count, "-F", format, "-W", "20"];
        let said = tool::run("mosquitto_sub", self.subscriber(client, topic).iter().map(String::as_str).chain(more));
        said.out.lines().map(str::to_owned).collect()
    }

    fn subscriber(&self, client: &str, topic: &str) -> Vec<String> {
        let port = self.ports[0].number().to_string();
        let arguments =
            ["-h", "127.0.0.1", "-p", &port, "-V", "5", "-c", "-x", "3600", "-i", client, "-q", "1", "-t", topic];
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Mosquitto;

    #[test]
    fn mosquitto_keeps_messages_over_its_death() {
        let mut mosquitto = Mosquitto::start();
        mosquitto.register("a", "t");
        mosquitto.publish_lines("t", 1, ["one".to_owned(), "two".to_owned()]);
        mosquitto.freeze();
        mosquitto.kill();
        mosquitto.restart();
        assert_eq!(mosquitto.collect("a", "t", 2, "%p"), ["one", "two"]);
    }
}
