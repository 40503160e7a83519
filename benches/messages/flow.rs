//! Publishers that keep to a window.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Connect, Packet, Publish};

use super::listen::Progress;

/// Messages between two looks at the window.
const BURST: u64 = 512;

/// Sends `count` messages in bursts, never more than `window` ahead, and waits until all have come.
fn paced(count: u64, progress: &Progress, window: u64, mut burst: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let begin = progress.count();
    let mut sent = 0;
    while sent < count {
        let size = BURST.min(count - sent);
        burst(size)?;
        sent += size;
        progress.reach(begin + sent.saturating_sub(window))?;
    }
    progress.reach(begin + count)
}

/// Publishes to a topic of Kafka.
pub struct KafkaFlow {
    producer: BaseProducer,
    topic: String,
    content: Vec<u8>,
}

impl KafkaFlow {
    pub fn new(servers: &str, topic: &str, content: Vec<u8>) -> Result<Self> {
        let producer = ClientConfig::new().set("bootstrap.servers", servers).set("linger.ms", "2").create()?;
        Ok(Self { producer, topic: topic.to_owned(), content })
    }

    pub fn send(&mut self, count: u64, progress: &Progress, window: u64) -> Result<()> {
        paced(count, progress, window, |size| {
            for _ in 0..size {
                enqueue(&self.producer, &self.topic, &self.content)?;
            }
            self.producer.poll(Duration::ZERO);
            Ok(())
        })
    }
}

/// Takes a message on, when there is room.
pub fn enqueue(producer: &BaseProducer, topic: &str, content: &[u8]) -> Result<()> {
    let mut record = BaseRecord::<(), _>::to(topic).payload(content);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => bail!("a message is not taken: {error}"),
        }
    }
}

/// Waits until all is stored.
pub fn flush(producer: &BaseProducer) -> Result<()> {
    producer.flush(Duration::from_secs(60)).context("not everything was stored")
}

/// Publishes to a topic of an MQTT broker.
pub struct MqttFlow {
    stream: TcpStream,
    message: Publish,
    output: BytesMut,
}

impl MqttFlow {
    pub fn new(broker: SocketAddr, topic: &str, qos: u8, content: Vec<u8>) -> Result<Self> {
        let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        let hello = Connect { keep_alive: 0, client_id: "bench-publisher".into(), clean_start: true, properties: None };
        let mut output = BytesMut::new();
        Packet::Connect(hello, None, None).write(&mut output, None)?;
        stream.write_all(&output)?;
        let mut first = [0; 2];
        stream.read_exact(&mut first)?;
        ensure!(first[0] == 0x20, "the broker does not let us in");
        // CONNACK's rest and acknowledgements: what has come is counted by who reads.
        let mut answers = stream.try_clone()?;
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(1..) = answers.read(&mut buffer) {}
        });
        let message = Publish::new(topic, qos, content, None);
        output.clear();
        Ok(Self { stream, message, output })
    }

    pub fn send(&mut self, count: u64, progress: &Progress, window: u64) -> Result<()> {
        paced(count, progress, window, |size| {
            for _ in 0..size {
                // Free again: no more are under way than the window has.
                self.message.pkid = self.message.pkid.checked_add(1).unwrap_or(1);
                Packet::Publish(self.message.clone()).write(&mut self.output, None)?;
            }
            self.stream.write_all(&self.output)?;
            self.output.clear();
            Ok(())
        })
    }
}
