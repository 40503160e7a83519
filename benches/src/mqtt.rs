//! A publisher of MQTT 5 that costs little: it writes, and reads nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Connect, Packet, Publish};

/// First byte of a CONNACK.
const CONNACK: u8 = 0x20;

/// A publisher of one topic.
#[derive(Debug)]
pub struct Publisher {
    stream: TcpStream,
    message: Publish,
    output: BytesMut,
}

impl Publisher {
    /// One at a broker that lets everybody in.
    ///
    /// # Errors
    /// The broker is not there, or does not let it in.
    pub fn connect(broker: SocketAddr, topic: &str, qos: QoS) -> Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        let hello = Connect { keep_alive: 0, client_id: "bench-publisher".into(), clean_start: true, properties: None };
        let mut output = BytesMut::new();
        Packet::Connect(hello, None, None).write(&mut output, None)?;
        stream.write_all(&output)?;
        let mut first = [0; 2];
        stream.read_exact(&mut first)?;
        ensure!(first[0] == CONNACK, "the broker does not let us in");
        // CONNACK's rest and acknowledgements: what has come is counted by who reads.
        let mut answers = stream.try_clone()?;
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(1..) = answers.read(&mut buffer) {}
        });
        output.clear();
        Ok(Self { stream, message: Publish::new(topic, qos, Bytes::new(), None), output })
    }

    /// Publishes messages of these contents with one write.
    ///
    /// # Errors
    /// The broker has gone.
    pub fn send(&mut self, contents: impl IntoIterator<Item = Bytes>) -> Result<()> {
        for content in contents {
            // Free again: no more are under way than somebody's window has.
            self.message.pkid = self.message.pkid.checked_add(1).unwrap_or(1);
            self.message.payload = content;
            Packet::Publish(self.message.clone()).write(&mut self.output, None)?;
        }
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }
}
