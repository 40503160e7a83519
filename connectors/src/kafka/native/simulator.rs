//! A cluster in the process, for demonstrations.

use std::ffi::{CString, c_int};
use std::io;
use std::ptr::NonNull;

use rdkafka_sys::bindings as rd;

use super::producer::{memory, vu};
use super::{Hub, check, create, lock, settle, text};
use crate::kafka::place::is_topic;

/// librdkafka's simulated cluster of one broker, on a free port of loopback: it speaks Kafka's protocol, keeps up to 5 MB of a partition in
/// memory and nothing on a disk. It has neither transactions, TLS nor an administration, and everybody is let in. It ends when this is dropped,
/// which takes no longer than its threads need to end.
pub struct Simulator {
    rk: NonNull<rd::rd_kafka_t>,
    servers: String,
    /// What callbacks point to: freed after the client.
    hub: Box<Hub>,
}

// SAFETY: a client of librdkafka may be used from any thread.
unsafe impl Send for Simulator {}

impl Simulator {
    /// Starts a cluster with these topics and their partitions.
    ///
    /// # Errors
    /// It cannot listen, or a topic has no valid name or number of partitions.
    pub fn start(topics: &[(&str, u16)]) -> io::Result<Self> {
        let hub = Box::new(Hub::default());
        // The client is the cluster's host and its first producer. What it publishes is to be seen at once.
        let settings = [("test.mock.num.brokers", "1"), ("linger.ms", "0")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let rk = create(&settings, &hub, rd::rd_kafka_type_t::RD_KAFKA_PRODUCER).map_err(io::Error::other)?;
        let mut simulator = Self { rk, servers: String::new(), hub };
        // SAFETY: the cluster is the client's and lives as long; its bootstrap servers are a C string of its own.
        unsafe {
            let cluster = rd::rd_kafka_handle_mock_cluster(rk.as_ptr());
            if cluster.is_null() {
                return Err(io::Error::other("the simulated cluster does not start"));
            }
            // Brokers wait for other members of a group; here nobody is to wait.
            rd::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
            simulator.servers = text(rd::rd_kafka_mock_cluster_bootstraps(cluster));
            for (topic, partitions) in topics {
                let name = name(topic)?;
                let made = rd::rd_kafka_mock_topic_create(cluster, name.as_ptr(), c_int::from(*partitions), 1);
                check(made).map_err(|failure| io::Error::other(format!("{topic}: {failure}")))?;
            }
        }
        Ok(simulator)
    }

    /// Where it listens: `host:port`.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Publishes a message. It does not wait for it to be stored.
    ///
    /// # Errors
    /// It is not taken: the queue is full, or the topic has no valid name.
    pub fn publish(&self, topic: &str, key: &[u8], content: &[u8]) -> io::Result<()> {
        use rd::rd_kafka_vtype_t as Kind;
        use rd::rd_kafka_vu_s__bindgen_ty_1 as Value;

        let name = name(topic)?;
        let values = [
            vu(Kind::RD_KAFKA_VTYPE_TOPIC, Value { cstr: name.as_ptr() }),
            vu(Kind::RD_KAFKA_VTYPE_KEY, memory(key)),
            vu(Kind::RD_KAFKA_VTYPE_VALUE, memory(content)),
            vu(Kind::RD_KAFKA_VTYPE_MSGFLAGS, Value { i: rd::RD_KAFKA_MSG_F_COPY }),
        ];
        // SAFETY: every value is of its kind, and is copied by the call. Nobody waits for the report, which has no opaque.
        let sent = settle(unsafe { rd::rd_kafka_produceva(self.rk.as_ptr(), values.as_ptr(), values.len()) });
        // SAFETY: the client is alive. Reports of earlier messages are taken away.
        unsafe { rd::rd_kafka_poll(self.rk.as_ptr(), 0) };
        // Nobody asks for them, and they would pile up.
        lock(&self.hub.errors).clear();
        sent.map_err(|failure| io::Error::other(failure.to_string()))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // SAFETY: nobody else has the client; the cluster ends with it, and the hub after it.
        unsafe { rd::rd_kafka_destroy(self.rk.as_ptr()) };
    }
}

fn name(topic: &str) -> io::Result<CString> {
    let valid = is_topic(topic).then(|| CString::new(topic).ok()).flatten();
    valid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no name of a topic"))
}
