//! Lists of partitions.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use rdkafka_sys::bindings as rd;

use super::{Code, Place};

impl Place {
    /// The oldest message that is kept.
    pub const BEGINNING: i64 = rd::RD_KAFKA_OFFSET_BEGINNING as i64;
    /// None.
    pub const UNKNOWN: i64 = rd::RD_KAFKA_OFFSET_INVALID as i64;
    /// What the group has committed.
    pub const STORED: i64 = rd::RD_KAFKA_OFFSET_STORED as i64;
    /// To ask for it with [`super::Consumer::ends`]: the end.
    pub const END: i64 = rd::RD_KAFKA_OFFSET_END as i64;
}

/// A list of our own.
pub(super) struct List(NonNull<rd::rd_kafka_topic_partition_list_t>);

impl List {
    /// A copy; a topic that is no C string is none and left out.
    pub(super) fn of(places: &[Place]) -> Option<Self> {
        // SAFETY: names are copied by the call, and what it returns is a place in the list that is written before the next is added.
        unsafe {
            let list = Self(NonNull::new(rd::rd_kafka_topic_partition_list_new(places.len() as i32))?);
            for place in places {
                let Ok(topic) = CString::new(&*place.topic) else { continue };
                let added = rd::rd_kafka_topic_partition_list_add(list.as_ptr(), topic.as_ptr(), place.partition);
                (*added).offset = place.offset;
            }
            Some(list)
        }
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(super) fn places(&self) -> Vec<Place> {
        // SAFETY: alive as long as `self`.
        unsafe { read(self.as_ptr()) }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.as_ptr()) };
    }
}

/// # Safety
/// A list, or null.
pub(super) unsafe fn read(list: *const rd::rd_kafka_topic_partition_list_t) -> Vec<Place> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise: `elems` has `cnt` elements whose topics are C strings. Codes are read as numbers: those of a newer
    // broker are no values of the enum.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        if count == 0 {
            return Vec::new();
        }
        let mut known: Option<Arc<str>> = None;
        let elements = slice::from_raw_parts((*list).elems, count).as_ptr();
        let places = (0..count).map(|at| {
            let element = elements.add(at);
            let name = CStr::from_ptr((*element).topic).to_string_lossy();
            let topic = known.take().filter(|known| **known == *name).unwrap_or_else(|| Arc::from(&*name));
            known = Some(topic.clone());
            Place {
                topic,
                partition: (*element).partition,
                offset: (*element).offset,
                error: (&raw const (*element).err).cast::<Code>().read(),
            }
        });
        places.collect()
    }
}
