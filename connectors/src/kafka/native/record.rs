//! Messages in librdkafka's memory.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use rdkafka_sys::bindings as rd;

use super::{Code, text};

/// Held by every message that outlives its batch: the client ends after the last of them.
pub(super) struct Lease(Thread);

impl Lease {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(thread::current()))
    }

    /// Waits until nobody else holds it. On the thread that made it.
    pub(super) fn wait(lease: &mut Arc<Self>) {
        // A loan says when it ends; the time is for a client that was handed to another thread.
        const LOOK_AGAIN: Duration = Duration::from_millis(100);
        while Arc::get_mut(lease).is_none() {
            thread::park_timeout(LOOK_AGAIN);
        }
    }
}

/// A message, or news of a failure in its place.
pub struct Record<'a> {
    message: NonNull<rd::rd_kafka_message_t>,
    lease: &'a Arc<Lease>,
    client: PhantomData<&'a ()>,
}

impl<'a> Record<'a> {
    /// # Safety
    /// A message that is owned by nobody else, of the client whose lease it is.
    pub(super) unsafe fn new(message: NonNull<rd::rd_kafka_message_t>, lease: &'a Arc<Lease>) -> Self {
        Self { message, lease, client: PhantomData }
    }

    fn raw(&self) -> *const rd::rd_kafka_message_t {
        self.message.as_ptr()
    }

    /// The failure that stands here instead of a message; 0: it is a message.
    pub fn error(&self) -> Code {
        // SAFETY: alive as long as `self`; read as a number, since codes of a newer broker are no values of the enum.
        unsafe { (&raw const (*self.raw()).err).cast::<Code>().read() }
    }

    /// The failure in words.
    pub fn words(&self) -> String {
        // SAFETY: alive as long as `self`.
        unsafe { text(rd::rd_kafka_message_errstr(self.raw())) }
    }

    /// Its offset.
    pub fn offset(&self) -> i64 {
        // SAFETY: as above.
        unsafe { (*self.raw()).offset }
    }

    /// Its partition.
    pub fn partition(&self) -> i32 {
        // SAFETY: as above.
        unsafe { (*self.raw()).partition }
    }

    /// Something that is the same for messages of one topic within a batch.
    pub fn topic_mark(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.raw()).rkt as usize }
    }

    /// The name of its topic; empty: of none.
    pub fn topic(&self) -> &str {
        // SAFETY: the topic lives as long as the message, and its name is a C string.
        unsafe {
            let topic = (*self.raw()).rkt;
            if topic.is_null() {
                return "";
            }
            CStr::from_ptr(rd::rd_kafka_topic_name(topic)).to_str().unwrap_or_default()
        }
    }

    /// The payload; a tombstone has an empty one.
    pub fn payload(&self) -> &[u8] {
        // SAFETY: `len` bytes that live as long as the message.
        unsafe { bytes(self.raw().read().payload, (*self.raw()).len).unwrap_or_default() }
    }

    /// The key.
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: as with the payload.
        unsafe { bytes((*self.raw()).key, (*self.raw()).key_len) }
    }

    /// Milliseconds since 1970; 0: not known.
    pub fn timestamp_ms(&self) -> u64 {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: alive as long as `self`.
        let timestamp = unsafe { rd::rd_kafka_message_timestamp(self.raw(), &raw mut kind) };
        u64::try_from(timestamp).unwrap_or(0)
    }

    /// Headers in their order.
    pub fn headers(&self, mut each: impl FnMut(&[u8], &[u8])) {
        let mut headers = ptr::null_mut();
        // SAFETY: headers stay the message's; the calls give pointers into them.
        unsafe {
            if rd::rd_kafka_message_headers(self.raw(), &raw mut headers) as Code != 0 {
                return;
            }
            for at in 0.. {
                let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) =
                    (ptr::null(), ptr::null(), 0);
                let found = rd::rd_kafka_header_get_all(headers, at, &raw mut name, &raw mut value, &raw mut size);
                if found as Code != 0 || name.is_null() {
                    return;
                }
                each(CStr::from_ptr(name).to_bytes(), bytes(value, size).unwrap_or_default());
            }
        }
    }

    /// The payload from `skip` on, where it lies. It holds the whole batch that it came in.
    pub fn into_payload(self, skip: usize) -> Bytes {
        let loan = Loan { message: self.message, lease: Some(self.lease.clone()) };
        std::mem::forget(self);
        let payload = Bytes::from_owner(loan);
        payload.slice(skip.min(payload.len())..)
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        // SAFETY: owned, and not lent (see `into_payload`).
        unsafe { rd::rd_kafka_message_destroy(self.message.as_ptr()) };
    }
}

/// # Safety
/// `size` bytes that live as long as the caller's borrow, or null.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), size) })
}

/// A message whose payload somebody reads, on any thread.
struct Loan {
    message: NonNull<rd::rd_kafka_message_t>,
    /// Taken when it is dropped.
    lease: Option<Arc<Lease>>,
}

// SAFETY: a message is nobody else's, is not written to, and may be destroyed on any thread.
unsafe impl Send for Loan {}
// SAFETY: it is only read.
unsafe impl Sync for Loan {}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the payload lives as long as the message.
        unsafe { bytes((*self.message.as_ptr()).payload, (*self.message.as_ptr()).len).unwrap_or_default() }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // SAFETY: owned; the client is alive, since the lease is still held.
        unsafe { rd::rd_kafka_message_destroy(self.message.as_ptr()) };
        if let Some(lease) = self.lease.take() {
            let owner = lease.0.clone();
            drop(lease);
            owner.unpark();
        }
    }
}
