//! The consuming client.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka_sys::bindings as rd;
use ringway_ring::Ringer;

use super::list::List;
use super::{Client, Code, Failure, Place, Rebalance, Record, Topic, check, code, failure, lock, settle};
use crate::kafka::settings::{Settings, Token};

/// Messages that are polled at once.
pub const BATCH_MAX: usize = 256;

/// A consumer of one thread. Its calls block for as long as they say.
pub struct Consumer {
    client: Client,
    batch: Vec<*mut rd::rd_kafka_message_t>,
}

impl Consumer {
    /// One that reads nothing yet. `bell` is rung when there is something to poll, if nothing was there before.
    ///
    /// # Errors
    /// What the settings lack.
    pub fn new(settings: &Settings, token: Option<Token>, bell: Ringer) -> Result<Self, String> {
        let client = Client::new(settings, token, bell, rd::rd_kafka_type_t::RD_KAFKA_CONSUMER)?;
        Ok(Self { client, batch: Vec::with_capacity(BATCH_MAX) })
    }

    /// Whether there is nothing to poll.
    pub fn is_idle(&self) -> bool {
        self.client.is_idle()
    }

    /// Takes what has arrived, up to `max` messages, without waiting.
    pub fn poll(&mut self, max: usize, mut each: impl FnMut(Record<'_>)) {
        let max = max.min(BATCH_MAX);
        self.batch.clear();
        // SAFETY: room for `max` pointers; the first `count` of them are messages that are ours from then on.
        unsafe {
            let count = rd::rd_kafka_consume_batch_queue(self.client.queue.as_ptr(), 0, self.batch.as_mut_ptr(), max);
            self.batch.set_len(usize::try_from(count).unwrap_or(0).min(max));
        }
        for message in self.batch.drain(..) {
            if let Some(message) = NonNull::new(message) {
                // SAFETY: just polled from this client.
                each(unsafe { Record::new(message, &self.client.lease) });
            }
        }
    }

    /// Changes of the assignment that were polled.
    pub fn rebalances(&self) -> Vec<Rebalance> {
        std::mem::take(&mut *lock(&self.client.hub.rebalances))
    }

    /// Failures that concern no single message.
    pub fn errors(&self) -> Vec<Failure> {
        self.client.errors()
    }

    /// Joins the group as a reader of these topics.
    ///
    /// # Errors
    /// Of the client; what the broker says of it is polled.
    pub fn subscribe(&self, topics: &[Arc<str>]) -> Result<(), Failure> {
        let places: Vec<_> = topics.iter().map(|topic| Place::new(topic.clone(), -1, Place::UNKNOWN)).collect();
        let list = list(&places)?;
        // SAFETY: the list is copied.
        check(unsafe { rd::rd_kafka_subscribe(self.rk(), list.as_ptr()) })
    }

    /// Reads these, besides what is read already in a group of the cooperative kind.
    ///
    /// # Errors
    /// Of the client.
    pub fn assign(&self, places: &[Place]) -> Result<(), Failure> {
        let list = list(places)?;
        // SAFETY: the list is copied.
        unsafe {
            if self.is_cooperative() {
                return settle(rd::rd_kafka_incremental_assign(self.rk(), list.as_ptr()));
            }
            check(rd::rd_kafka_assign(self.rk(), list.as_ptr()))
        }
    }

    /// Reads these, besides what is read already, outside of any group.
    ///
    /// # Errors
    /// Of the client.
    pub fn assign_more(&self, places: &[Place]) -> Result<(), Failure> {
        let list = list(places)?;
        // SAFETY: the list is copied.
        settle(unsafe { rd::rd_kafka_incremental_assign(self.rk(), list.as_ptr()) })
    }

    /// Gives these up.
    ///
    /// # Errors
    /// Of the client.
    pub fn unassign(&self, places: &[Place]) -> Result<(), Failure> {
        let list = list(places)?;
        // SAFETY: the list is copied.
        unsafe {
            if self.is_cooperative() {
                return settle(rd::rd_kafka_incremental_unassign(self.rk(), list.as_ptr()));
            }
            check(rd::rd_kafka_assign(self.rk(), ptr::null()))
        }
    }

    /// Whether the group has given this consumer's partitions to others already: it has nothing to commit any more.
    pub fn is_lost(&self) -> bool {
        // SAFETY: the client is alive.
        unsafe { rd::rd_kafka_assignment_lost(self.rk()) != 0 }
    }

    fn is_cooperative(&self) -> bool {
        // SAFETY: the name is static, or null.
        unsafe {
            let protocol = rd::rd_kafka_rebalance_protocol(self.rk());
            !protocol.is_null() && CStr::from_ptr(protocol) == c"COOPERATIVE"
        }
    }

    /// Stops fetching these.
    pub fn pause(&self, places: &[Place]) {
        if let Some(list) = List::of(places) {
            // SAFETY: the list is only read, but for codes.
            unsafe { rd::rd_kafka_pause_partitions(self.rk(), list.as_ptr()) };
        }
    }

    /// Fetches these again.
    pub fn resume(&self, places: &[Place]) {
        if let Some(list) = List::of(places) {
            // SAFETY: as above.
            unsafe { rd::rd_kafka_resume_partitions(self.rk(), list.as_ptr()) };
        }
    }

    /// Commits these offsets of the group: the next messages to be read. `wait`: until the broker has answered.
    ///
    /// # Errors
    /// They were not committed, as far as it is known.
    pub fn commit(&self, places: &[Place], wait: bool) -> Result<(), Failure> {
        let list = list(places)?;
        // SAFETY: the list is copied, and written to by nobody but this call.
        check(unsafe { rd::rd_kafka_commit(self.rk(), list.as_ptr(), c_int::from(!wait)) })?;
        match list.places().iter().find(|place| wait && place.error != code::NONE) {
            Some(place) => Err(failure(place.error)),
            None => Ok(()),
        }
    }

    /// What the group has committed, or [`Place::UNKNOWN`].
    ///
    /// # Errors
    /// The broker did not tell in time.
    pub fn committed(&self, places: &[Place], timeout_ms: i32) -> Result<Vec<Place>, Failure> {
        let list = list(places)?;
        // SAFETY: the call writes offsets and codes into the list.
        check(unsafe { rd::rd_kafka_committed(self.rk(), list.as_ptr(), timeout_ms) })?;
        Ok(list.places())
    }

    /// Where these end: the offsets of the next messages that will be published.
    ///
    /// # Errors
    /// The brokers did not tell in time.
    pub fn ends(&self, places: &[Place], timeout_ms: i32) -> Result<Vec<Place>, Failure> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<_> = places.iter().map(|place| Place { offset: Place::END, ..place.clone() }).collect();
        let list = list(&asked)?;
        // SAFETY: the call writes offsets and codes into the list.
        check(unsafe { rd::rd_kafka_offsets_for_times(self.rk(), list.as_ptr(), timeout_ms) })?;
        let ends = list.places();
        match ends.iter().find(|place| place.error != code::NONE) {
            Some(place) => Err(failure(place.error)),
            None => Ok(ends),
        }
    }

    /// The partitions of a topic.
    ///
    /// # Errors
    /// There is none, one must not read it, or no broker answered in time.
    pub fn partitions(&self, topic: &Arc<str>, timeout_ms: i32) -> Result<Vec<i32>, Failure> {
        let handle = Topic::new(&self.client, topic)?;
        let mut partitions = Err(failure(code::UNKNOWN_TOPIC_OR_PARTITION));
        self.metadata(Some(&handle), timeout_ms, |name, error, known| {
            if *name == **topic {
                partitions = if error == code::NONE { Ok(known.to_vec()) } else { Err(failure(error)) };
            }
        })?;
        partitions
    }

    /// The names of all topics.
    ///
    /// # Errors
    /// No broker answered in time.
    pub fn topics(&self, timeout_ms: i32) -> Result<Vec<Arc<str>>, Failure> {
        let mut topics = Vec::new();
        self.metadata(None, timeout_ms, |name, error, _| {
            if error == code::NONE {
                topics.push(Arc::from(name));
            }
        })?;
        topics.sort();
        Ok(topics)
    }

    fn metadata(
        &self,
        only: Option<&Topic>,
        timeout_ms: i32,
        mut each: impl FnMut(&str, Code, &[i32]),
    ) -> Result<(), Failure> {
        let mut metadata: *const rd::rd_kafka_metadata = ptr::null();
        let handle = only.map_or(ptr::null_mut(), |topic| topic.0.as_ptr());
        // SAFETY: the answer has as many topics and partitions as it says and is destroyed once; codes are read as numbers.
        unsafe {
            let all = c_int::from(only.is_none());
            check(rd::rd_kafka_metadata(self.rk(), all, handle, &raw mut metadata, timeout_ms))?;
            for at in 0..usize::try_from((*metadata).topic_cnt).unwrap_or(0) {
                let topic = (*metadata).topics.add(at);
                let name = CStr::from_ptr((*topic).topic).to_string_lossy();
                let error = (&raw const (*topic).err).cast::<Code>().read();
                let count = usize::try_from((*topic).partition_cnt).unwrap_or(0);
                let ids: Vec<i32> = (0..count).map(|at| (*(*topic).partitions.add(at)).id).collect();
                each(&name, error, &ids);
            }
            rd::rd_kafka_metadata_destroy(metadata);
        }
        Ok(())
    }

    /// Leaves the group, so that others need not wait until it has been silent for too long.
    pub fn close(self) {
        self.client.hub.closing.store(true, Ordering::Relaxed);
        let unanswered = !lock(&self.client.hub.rebalances).is_empty();
        // SAFETY: the client is alive; what its callback is asked from here on it answers by itself.
        unsafe {
            if unanswered {
                rd::rd_kafka_assign(self.rk(), ptr::null());
            }
            rd::rd_kafka_consumer_close(self.rk());
        }
    }

    fn rk(&self) -> *mut rd::rd_kafka_t {
        self.client.rk.as_ptr()
    }
}

fn list(places: &[Place]) -> Result<List, Failure> {
    List::of(places).ok_or_else(|| Failure::of(code::FATAL, "out of memory"))
}
