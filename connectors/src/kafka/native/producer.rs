//! The producing client.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka_sys::bindings as rd;
use ringway_contract::Message;
use ringway_ring::Ringer;

use super::{Client, Code, Failure, Topic, code, hub, lock, settle};
use crate::bridge::Claim;
use crate::kafka::settings::{Settings, Token};

/// Handles of topics that are kept; with more, all are made anew.
const TOPICS_MAX: usize = 1024;

/// librdkafka's name for a partition that is chosen by the key (`RD_KAFKA_PARTITION_UA`, a macro).
const PARTITION_ANY: i32 = -1;

/// How long a client waits at its end for what its brokers say of the last messages, in milliseconds.
const LAST_REPORTS_MS: i32 = 1_000;

/// What to do with a message.
pub struct Shipment {
    /// Where it goes.
    pub topic: Arc<str>,
    /// The partition; `None`: by the key.
    pub partition: Option<i32>,
    /// The message.
    pub message: Message,
    /// What it is answered by.
    pub claim: Claim,
}

/// What became of a message.
pub struct Report {
    /// Whose it is.
    pub claim: Claim,
    /// [`code::NONE`], or why it was not published.
    pub code: Code,
    /// Whether it is certain that no broker has it.
    pub unsent: bool,
}

/// What librdkafka keeps for us while it has a message.
struct Cargo {
    claim: Claim,
    /// Where the payload lies: it is not copied.
    _content: Bytes,
}

/// A producer of one thread. Its calls do not block.
pub struct Producer {
    topics: HashMap<Arc<str>, Topic>,
    client: Client,
    under_way: usize,
}

impl Producer {
    /// A producer. `bell` is rung when there is something to poll, if nothing was there before.
    ///
    /// # Errors
    /// What the settings lack.
    pub fn new(settings: &Settings, token: Option<Token>, bell: Ringer) -> Result<Self, String> {
        let client = Client::new(settings, token, bell, rd::rd_kafka_type_t::RD_KAFKA_PRODUCER)?;
        Ok(Self { topics: HashMap::new(), client, under_way: 0 })
    }

    /// Whether there is nothing to poll.
    pub fn is_idle(&self) -> bool {
        self.client.is_idle()
    }

    /// Messages that were taken on and not reported.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Failures that concern no single message.
    pub fn errors(&self) -> Vec<Failure> {
        self.client.errors()
    }

    /// Takes a message on.
    ///
    /// # Errors
    /// It comes back with the reason. [`code::QUEUE_FULL`]: again, when others were reported.
    pub fn send(&mut self, shipment: Shipment) -> Result<(), (Box<Shipment>, Code)> {
        if !self.topics.contains_key(&shipment.topic) {
            if self.topics.len() >= TOPICS_MAX {
                self.topics.clear();
            }
            match Topic::new(&self.client, &shipment.topic) {
                Ok(topic) => self.topics.insert(shipment.topic.clone(), topic),
                Err(Failure { code, .. }) => return Err((Box::new(shipment), code)),
            };
        }
        let Some(topic) = self.topics.get(&shipment.topic) else {
            return Err((Box::new(shipment), code::UNKNOWN_TOPIC));
        };
        match hand_over(&self.client, topic, shipment) {
            Ok(()) => {
                self.under_way += 1;
                Ok(())
            }
            Err(back) => Err(back),
        }
    }

    /// Lets librdkafka tell what has become of messages.
    pub fn poll(&mut self) -> Vec<Report> {
        // SAFETY: the client is alive.
        unsafe { rd::rd_kafka_poll(self.client.rk.as_ptr(), 0) };
        self.reports()
    }

    fn reports(&mut self) -> Vec<Report> {
        let reports = std::mem::take(&mut *lock(&self.client.hub.reports));
        self.under_way = self.under_way.saturating_sub(reports.len());
        reports
    }

    /// Gives everything up that is under way; it is reported.
    pub fn purge(&self) {
        // SAFETY: the client is alive.
        unsafe {
            rd::rd_kafka_purge(self.client.rk.as_ptr(), rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT)
        };
    }

    /// Ends the client; says what became of the messages that it still had.
    pub fn close(mut self) -> Vec<Report> {
        if self.under_way > 0 {
            self.purge();
            // SAFETY: the client is alive.
            unsafe { rd::rd_kafka_flush(self.client.rk.as_ptr(), LAST_REPORTS_MS) };
        }
        self.reports()
    }
}

pub(super) fn vu(vtype: rd::rd_kafka_vtype_t, u: rd::rd_kafka_vu_s__bindgen_ty_1) -> rd::rd_kafka_vu_t {
    rd::rd_kafka_vu_s { vtype, u }
}

pub(super) fn memory(bytes: &[u8]) -> rd::rd_kafka_vu_s__bindgen_ty_1 {
    let mem =
        rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: bytes.as_ptr().cast_mut().cast(), size: bytes.len() };
    rd::rd_kafka_vu_s__bindgen_ty_1 { mem }
}

fn hand_over(client: &Client, topic: &Topic, shipment: Shipment) -> Result<(), (Box<Shipment>, Code)> {
    use rd::rd_kafka_vtype_t as Kind;
    use rd::rd_kafka_vu_s__bindgen_ty_1 as Value;

    let Shipment { topic: name, partition, message, claim } = shipment;
    let cargo = Box::into_raw(Box::new(Cargo { claim, _content: message.content.clone() }));
    let headers = headers(&message.headers);
    let partition_or_any = partition.unwrap_or(PARTITION_ANY);
    let mut values = Vec::with_capacity(7);
    values.push(vu(Kind::RD_KAFKA_VTYPE_RKT, Value { rkt: topic.0.as_ptr() }));
    values.push(vu(Kind::RD_KAFKA_VTYPE_PARTITION, Value { i32_: partition_or_any }));
    values.push(vu(Kind::RD_KAFKA_VTYPE_VALUE, memory(&message.content)));
    values.push(vu(Kind::RD_KAFKA_VTYPE_OPAQUE, Value { ptr: cargo.cast() }));
    if let Some(key) = &message.key {
        values.push(vu(Kind::RD_KAFKA_VTYPE_KEY, memory(key)));
    }
    if let Ok(timestamp) = i64::try_from(message.timestamp_ms)
        && timestamp > 0
    {
        values.push(vu(Kind::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: timestamp }));
    }
    if !headers.is_null() {
        values.push(vu(Kind::RD_KAFKA_VTYPE_HEADERS, Value { headers }));
    }
    // SAFETY: every value is of its kind; key and topic are copied by the call. The payload is not: it lives as long as the cargo, which
    // comes back with the report. Headers are librdkafka's from a success on.
    let sent = settle(unsafe { rd::rd_kafka_produceva(client.rk.as_ptr(), values.as_ptr(), values.len()) });
    let Err(Failure { code, .. }) = sent else { return Ok(()) };
    // SAFETY: nothing was taken: cargo and headers are still ours, and known to nobody else.
    let cargo = unsafe {
        if !headers.is_null() {
            rd::rd_kafka_headers_destroy(headers);
        }
        Box::from_raw(cargo)
    };
    Err((Box::new(Shipment { topic: name, partition, message, claim: cargo.claim }), code))
}

/// Headers of librdkafka's; null without any.
fn headers(all: &[(Bytes, Bytes)]) -> *mut rd::rd_kafka_headers_t {
    if all.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: names and values are copied, by their lengths.
    unsafe {
        let headers = rd::rd_kafka_headers_new(all.len());
        for (name, value) in all {
            let (name, name_size) = (name.as_ptr().cast::<c_char>(), name.len() as isize);
            rd::rd_kafka_header_add(headers, name, name_size, value.as_ptr().cast::<c_void>(), value.len() as isize);
        }
        headers
    }
}

/// A message was published, or will not be.
pub(super) unsafe extern "C" fn on_report(
    _rk: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque of the configuration, and that of the message, which comes back once. The code is read as a number: one of a
    // newer broker is no value of the enum.
    let (hub, cargo, code) = unsafe {
        let cargo = (*message)._private.cast::<Cargo>();
        let code = (&raw const (*message).err).cast::<Code>().read();
        (hub(opaque), (!cargo.is_null()).then(|| Box::from_raw(cargo)), code)
    };
    if let Some(cargo) = cargo {
        // SAFETY: the message is librdkafka's for as long as this call.
        let status = unsafe { rd::rd_kafka_message_status(message) };
        let unsent = status == rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
        lock(&hub.reports).push(Report { claim: cargo.claim, code, unsent });
    }
}
