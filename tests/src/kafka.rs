//! Apache Kafka, as it is published: one process that is broker and controller (KRaft).

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::authority::Authority;
use crate::deadline::{DEADLINE, wait_until};
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;

/// As in `tests/brokers/kafka/pom.xml` and `tests/run`.
const VERSION: &str = "4.4.0";

/// A running Kafka.
#[derive(Debug)]
pub struct Kafka {
    process: Option<Process>,
    scratch: Scratch,
    /// Plain, controller, SASL, TLS.
    ports: [Port; 4],
    authority: Authority,
}

/// A message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<String>,
    /// What it says.
    pub content: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
}

impl Kafka {
    /// One for all tests of the process, which must not be stopped. It ends with the process.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| {
            clean_up();
            let (tell, told) = mpsc::channel();
            // The kernel ends it with the thread that started it, and a test's thread is too short-lived.
            thread::spawn(move || {
                let _ = tell.send(Kafka::start());
                loop {
                    thread::park();
                }
            });
            told.recv().expect("Kafka starts")
        })
    }

    /// One of the test's own.
    pub fn start() -> Kafka {
        let authority = Authority::new();
        authority.sign("kafka");
        let ports = [Port::new(), Port::new(), Port::new(), Port::new()];
        let mut kafka = Kafka { process: None, scratch: Scratch::new("kafka"), ports, authority };
        kafka.configure();
        kafka.format();
        kafka.launch();
        kafka
    }

    fn configure(&self) {
        let [plain, controller, sasl, tls] = self.ports.each_ref().map(Port::address);
        let folder = self.scratch.path().display();
        // A key store of type PEM has both in one file.
        let store = [self.authority.read("kafka.key"), self.authority.read("kafka.pem")].concat();
        let store = self.scratch.write("store.pem", &store);
        let listeners = format!("PLAINTEXT://{plain},SASL://{sasl},TLS://{tls}");
        let module = "org.apache.kafka.common.security";
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
             listeners={listeners},CONTROLLER://{controller}\nadvertised.listeners={listeners}\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL\n\
             listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
             listener.name.sasl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_alice=\"secret\";\n\
             listener.name.sasl.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             listener.name.sasl.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             listener.name.sasl.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required;\n\
             listener.name.tls.ssl.keystore.type=PEM\nlistener.name.tls.ssl.keystore.location={store}\n\
             log.dirs={folder}/data\nauto.create.topics.enable=false\nnum.partitions=1\n\
             offsets.topic.num.partitions=1\noffsets.topic.replication.factor=1\n\
             transaction.state.log.num.partitions=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.num.partitions=1\nshare.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n",
            store = store.display(),
        );
        self.scratch.write("server.properties", &properties);
    }

    fn format(&self) {
        let mut java = Command::new("java");
        java.args(["-cp", &classes(), "kafka.tools.StorageTool", "format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ"]);
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            java.args(["--add-scram", &format!("{mechanism}=[name=alice,password=secret]")]);
        }
        let output = java.arg("--config").arg(self.scratch.join("server.properties")).output();
        let output = output.unwrap_or_else(|error| panic!("no Java runtime ({error}): `tests/run tools` installs one"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn launch(&mut self) {
        let properties = self.scratch.join("server.properties").display().to_string();
        let classes = classes();
        let arguments = [
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &classes,
            "kafka.Kafka",
            &properties,
        ];
        let log = self.scratch.join("log");
        self.process = Some(Process::start(Path::new("java"), &arguments, self.scratch.path(), &log));
        wait_until("Kafka to listen", || {
            let ended = self.process.as_mut().is_some_and(|process| process.ended().is_some());
            assert!(!ended, "Kafka ended: {}", self.scratch.read("log"));
            TcpStream::connect(self.ports[0].address()).is_ok()
        });
    }

    /// Kills it. What it has not written to its disk the operating system will.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(rustix::process::Signal::KILL);
            process.wait(DEADLINE);
        }
    }

    /// Starts it again, with what it had stored.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Where it listens without security.
    pub fn servers(&self) -> String {
        self.ports[0].address().to_string()
    }

    /// Where it wants SASL: user `alice`, password `secret`.
    pub fn sasl_servers(&self) -> String {
        self.ports[2].address().to_string()
    }

    /// Where it speaks TLS.
    pub fn tls_servers(&self) -> String {
        self.ports[3].address().to_string()
    }

    /// The authority that its certificate is signed by.
    pub fn authority(&self) -> String {
        self.authority.read("ca.pem")
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers());
        config
    }

    /// Makes a topic of a new name that begins with `purpose`.
    pub fn topic(&self, purpose: &str, partitions: i32) -> String {
        self.topic_with(purpose, partitions, &[])
    }

    /// The same with settings of the topic.
    pub fn topic_with(&self, purpose: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("{purpose}-{count}");
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (setting, value) in settings {
            topic = topic.set(setting, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        let made = block_on(admin.create_topics([&topic], &options)).expect("an answer");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let consumer: BaseConsumer = self.client().create().expect("a client");
        wait_until("the topic to have its leaders", || {
            let metadata = consumer.fetch_metadata(Some(&name), DEADLINE);
            metadata.is_ok_and(|metadata| {
                let topic = metadata.topics().first();
                topic.is_some_and(|topic| {
                    topic.partitions().len() == partitions as usize
                        && topic.partitions().iter().all(|partition| partition.leader() > 0)
                })
            })
        });
        name
    }

    /// Publishes, and waits until all is stored.
    pub fn publish(&self, topic: &str, contents: impl IntoIterator<Item = String>) {
        let producer: BaseProducer = self.client().set("linger.ms", "1").create().expect("a client");
        for content in contents {
            producer.send(BaseRecord::<(), _>::to(topic).payload(&content)).expect("room in the queue");
        }
        producer.flush(DEADLINE).expect("everything is stored");
    }

    /// Everything that a topic holds.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let consumer: BaseConsumer =
            self.client().set("group.id", "nobody").set("enable.auto.commit", "false").create().expect("a client");
        let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).expect("metadata");
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
        let mut places = TopicPartitionList::new();
        let mut left = 0;
        for partition in 0..partitions {
            let (low, high) = consumer.fetch_watermarks(topic, partition, DEADLINE).expect("watermarks");
            left += high - low;
            places.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&places).expect("an assignment");
        let mut records = Vec::new();
        while left > 0 {
            let message = consumer.poll(DEADLINE).expect("a message in time").expect("a message");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = message.headers().map_or(Vec::new(), |headers| {
                headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect()
            });
            left -= 1;
            records.push(Record {
                partition: message.partition(),
                key: message.key().map(text),
                content: text(message.payload().unwrap_or_default()),
                headers,
            });
        }
        records
    }
}

/// Every artefact in the cache folder of the user.
fn classes() -> String {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).expect("a home");
    let folder = cache.join(format!("ringway/kafka-{VERSION}"));
    assert!(folder.is_dir(), "no Kafka in {}: `tests/run tools` fetches it", folder.display());
    format!("{}/*", folder.display())
}

/// Removes what shared ones of earlier processes left behind: nothing is dropped when a process ends.
fn clean_up() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = ["ringway-kafka-", "ringway-authority-"].iter().find_map(|prefix| name.strip_prefix(prefix));
        let owner = owner.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Waits for a future that something else drives.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(Duration::from_secs(1));
    }
}
