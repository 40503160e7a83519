//! Publishers that keep to a window.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use ringway_benches::mqtt::Publisher;
use rumqttc::v5::mqttbytes::QoS;

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
    publisher: Publisher,
    content: Bytes,
}

impl MqttFlow {
    pub fn new(broker: SocketAddr, topic: &str, qos: u8, content: Vec<u8>) -> Result<Self> {
        let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        Ok(Self { publisher: Publisher::connect(broker, topic, qos)?, content: content.into() })
    }

    pub fn send(&mut self, count: u64, progress: &Progress, window: u64) -> Result<()> {
        let Self { publisher, content } = self;
        paced(count, progress, window, |size| publisher.send((0..size).map(|_| content.clone())))
    }
}
