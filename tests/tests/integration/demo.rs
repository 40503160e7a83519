//! `ringway demo`, and what it says to try: live events of its simulated Kafka and of its MQTT broker.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use ringway_tests::{DEADLINE, Process, Scratch, binary, tool, wait_for, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// A demo, and what it printed.
struct Demo {
    process: Process,
    scratch: Scratch,
    said: String,
}

impl Demo {
    fn start() -> Self {
        let scratch = Scratch::new("demo");
        let arguments = ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut process = Process::start(binary(), &arguments, scratch.path(), &scratch.join("log"));
        let said = wait_for("the demo to say what to try", || {
            assert!(process.ended().is_none(), "the demo ended: {}", scratch.read("log"));
            Some(scratch.read("log")).filter(|said| said.contains("Ctrl-C"))
        });
        Self { process, scratch, said }
    }

    /// What follows these words.
    fn address(&self, words: &str) -> SocketAddr {
        let (_, rest) = self.said.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {}", self.said));
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
        rest[..end].trim_end_matches('.').parse().unwrap()
    }

    /// The first command that it says with all of these words in it, as its arguments without `curl`.
    fn command(&self, words: &[&str]) -> Vec<String> {
        let line = self
            .said
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("curl ") && words.iter().all(|word| line.contains(word)));
        let line = line.unwrap_or_else(|| panic!("no command with {words:?} in {}", self.said));
        let quoted = line.trim_start_matches("curl ").split('\'').enumerate();
        let pieces = quoted.flat_map(|(at, piece)| match at % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![piece.to_owned()],
        });
        pieces.collect()
    }

    /// A stream that the demo says to open, into a file.
    fn stream(&self, words: &[&str], file: &str) -> Process {
        let command = self.command(words);
        let arguments = ["--silent", "--noproxy", "*"].into_iter().chain(command.iter().map(String::as_str));
        Process::start(Path::new("curl"), &arguments.collect::<Vec<_>>(), self.scratch.path(), &self.scratch.join(file))
    }

    /// Waits for an event with this text in the file of a stream.
    #[track_caller]
    fn event(&self, file: &str, text: &str) -> String {
        wait_for(&format!("{text} in {file}"), || {
            let events = self.scratch.read(file);
            let line = events.lines().find(|line| line.starts_with("data: ") && line.contains(text));
            line.map(|line| line.trim_start_matches("data: ").to_owned())
        })
    }

    fn curl(&self, words: &[&str]) -> String {
        let command = self.command(words);
        tool::run("curl", ["--silent", "--noproxy", "*"].into_iter().chain(command.iter().map(String::as_str))).ok()
    }
}

#[test]
fn live_events_of_both_brokers_come_with_nothing_else_installed() {
    let mut demo = Demo::start();
    let (mut prices, mut plant) = (demo.stream(&["-N", "/prices"], "prices"), demo.stream(&["-N", "/plant"], "plant"));
    let price: Value = serde_json::from_str(&demo.event("prices", "\"item\"")).unwrap();
    assert!(price["price"].as_f64().is_some_and(|price| price > 0.0), "{price}");
    let reading: Value = serde_json::from_str(&demo.event("plant", "\"machine\"")).unwrap();
    assert!(reading["value"].is_number(), "{reading}");

    for (path, file, text) in [("/prices", "prices", "\"fir\""), ("/plant", "plant", "all is well")] {
        let answer = demo.curl(&["-d", path]);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        demo.event(file, text);
    }
    let page: Value = serde_json::from_str(&demo.curl(&["application/json", "/prices"])).unwrap();
    assert!(page["items"].as_array().is_some_and(|items| !items.is_empty()), "{page}");
    let gateway = demo.address("sample APIs on ");
    let listen = "import sys, asyncio, websockets\n\
        async def main():\n  async with websockets.connect(sys.argv[1]) as socket: print(await socket.recv())\n\
        asyncio.run(main())";
    for path in ["prices", "plant"] {
        let heard = tool::python(listen, &[&format!("ws://{gateway}/{path}")]).ok();
        assert!(serde_json::from_str::<Value>(&heard).is_ok_and(|heard| heard["at"].is_number()), "{heard}");
    }

    // Both are labelled as what they are, and everything ends with the demo.
    assert!(
        demo.said.contains("librdkafka's simulator") && demo.said.contains("the demo's own broker"),
        "{}",
        demo.said
    );
    let places = ["simulator on ", "own broker on "].map(|words| demo.address(words));
    for place in places {
        assert!(TcpStream::connect(place).is_ok(), "nobody listens on {place}");
    }
    demo.process.signal(Signal::INT);
    let status = demo.process.wait(DEADLINE);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", demo.scratch.read("log"));
    for stream in [&mut prices, &mut plant] {
        wait_until("the streams to end", || stream.ended().is_some());
    }
    for place in places.into_iter().chain([gateway]) {
        assert!(TcpStream::connect(place).is_err(), "somebody still listens on {place}");
    }
}

#[test]
fn the_demos_mqtt_broker_serves_clients_of_others() {
    let demo = Demo::start();
    let port = demo.address("own broker on ").port().to_string();
    let subscriber = |filter: &str, count: &str| {
        let own = ["-h", "127.0.0.1", "-p", &port, "-V", "5", "-q", "1", "-W", "20", "-F", "%t %q %r %p"];
        let arguments: Vec<String> = own.into_iter().chain(["-t", filter, "-C", count]).map(str::to_owned).collect();
        arguments
    };
    let publish = |topic: &str, content: &str, more: &[&str]| {
        let own = ["-h", "127.0.0.1", "-p", &port, "-V", "5", "-q", "1", "-t", topic, "-m", content];
        tool::run("mosquitto_pub", own.iter().chain(more)).ok();
    };
    let readings = tool::run("mosquitto_sub", subscriber("plant/+/temperature", "2")).ok();
    assert!(readings.lines().count() == 2 && readings.contains("\"machine\":"), "{readings}");

    publish("notes/kept", "one", &["-r"]);
    assert_eq!(tool::run("mosquitto_sub", subscriber("notes/#", "1")).ok(), "notes/kept 1 1 one\n");

    // What they publish is heard by streams of the gateway, and what was kept is the first that those hear.
    publish("plant/kept", "remembered", &["-r"]);
    let _stream = demo.stream(&["-N", "/plant"], "plant");
    demo.event("plant", "remembered");
    publish("plant/by/hand", "from outside", &[]);
    demo.event("plant", "from outside");
}
