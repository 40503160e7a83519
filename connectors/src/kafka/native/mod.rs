//! librdkafka's C interface: everything that is unsafe about it.
//!
//! The Rust wrapper of the same name hands messages out one at a time, copies what it produces and makes a C string of the topic for each; this
//! takes and gives them in batches. A [`Client`] is used by one thread; only its messages travel. Callbacks write into the client's
//! [`Hub`] and are looked at afterwards, so no code of ours runs inside of librdkafka.

mod consumer;
mod list;
mod producer;
mod record;
mod simulator;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka_sys::bindings as rd;
use ringway_ring::Ringer;

pub use super::place::Place;
pub use consumer::{BATCH_MAX, Consumer};
pub use producer::{Producer, Report, Shipment};
pub use record::Record;
pub use simulator::Simulator;

use super::settings::{Settings, Token};
use record::Lease;

/// An error code of the protocol, or, if negative, of librdkafka.
pub type Code = i32;

/// The codes that are told apart.
pub mod code {
    use super::{Code, rd::rd_kafka_resp_err_t as E};

    pub const NONE: Code = 0;
    pub const FATAL: Code = E::RD_KAFKA_RESP_ERR__FATAL as Code;
    pub const ALL_BROKERS_DOWN: Code = E::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN as Code;
    pub const SSL: Code = E::RD_KAFKA_RESP_ERR__SSL as Code;
    pub const AUTHENTICATION: Code = E::RD_KAFKA_RESP_ERR__AUTHENTICATION as Code;
    pub const MESSAGE_TIMED_OUT: Code = E::RD_KAFKA_RESP_ERR__MSG_TIMED_OUT as Code;
    pub const TIMED_OUT: Code = E::RD_KAFKA_RESP_ERR__TIMED_OUT as Code;
    pub const TIMED_OUT_QUEUE: Code = E::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE as Code;
    pub const QUEUE_FULL: Code = E::RD_KAFKA_RESP_ERR__QUEUE_FULL as Code;
    pub const UNKNOWN_TOPIC: Code = E::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC as Code;
    pub const UNKNOWN_PARTITION: Code = E::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION as Code;
    pub const PURGED: Code = E::RD_KAFKA_RESP_ERR__PURGE_QUEUE as Code;
    pub const PURGED_INFLIGHT: Code = E::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT as Code;
    pub const AUTO_OFFSET_RESET: Code = E::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET as Code;
    pub const NO_OFFSET: Code = E::RD_KAFKA_RESP_ERR__NO_OFFSET as Code;
    pub const UNKNOWN_TOPIC_OR_PARTITION: Code = E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as Code;
    pub const INVALID_TOPIC: Code = E::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION as Code;
    pub const MESSAGE_TOO_LARGE: Code = E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as Code;
    pub const BATCH_TOO_LARGE: Code = E::RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE as Code;
    pub const TOPIC_UNAUTHORIZED: Code = E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as Code;
    pub const GROUP_UNAUTHORIZED: Code = E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED as Code;
    pub const CLUSTER_UNAUTHORIZED: Code = E::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED as Code;
    pub const SASL_UNAUTHENTICATED: Code = E::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED as Code;
    pub const SASL_UNSUPPORTED: Code = E::RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM as Code;

    pub(super) const ASSIGN: Code = E::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS as Code;
    pub(super) const REVOKE: Code = E::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS as Code;
}

/// A call that failed, or news of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it was.
    pub code: Code,
    /// In words.
    pub words: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.words, self.code)
    }
}

impl Failure {
    fn of(code: Code, words: &str) -> Self {
        Self { code, words: words.to_owned() }
    }
}

/// A change of what a consumer may read.
#[derive(Debug)]
pub enum Rebalance {
    /// These are to be read; answered by [`Consumer::assign`].
    Assign(Vec<Place>),
    /// These are to be given up; answered by [`Consumer::unassign`].
    Revoke(Vec<Place>),
}

/// What callbacks leave behind.
#[derive(Default)]
struct Hub {
    /// Rung when there is something to be polled.
    bell: Option<Ringer>,
    token: Option<Token>,
    /// From here on rebalances are answered at once: the client closes.
    closing: AtomicBool,
    rebalances: Mutex<Vec<Rebalance>>,
    errors: Mutex<Vec<Failure>>,
    reports: Mutex<Vec<Report>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client, and the queue in which everything arrives that it is to look at.
struct Client {
    rk: NonNull<rd::rd_kafka_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    lease: Arc<Lease>,
    /// What callbacks point to: freed after the client.
    hub: Box<Hub>,
}

// SAFETY: a client of librdkafka may be used from any thread; ours is owned by one at a time.
unsafe impl Send for Client {}

/// Says what librdkafka has against settings, without connecting to anything.
///
/// # Errors
/// The first setting that it refuses, or what it cannot make a client of (certificates, keys).
pub fn examine(settings: &Settings) -> Result<(), String> {
    let unconnected: Settings = settings.iter().filter(|(name, _)| name != "bootstrap.servers").cloned().collect();
    let hub = Box::new(Hub::default());
    let rk = create(&unconnected, &hub, rd::rd_kafka_type_t::RD_KAFKA_PRODUCER)?;
    // SAFETY: made just now, used by nobody.
    unsafe { rd::rd_kafka_destroy(rk.as_ptr()) };
    Ok(())
}

fn create(settings: &Settings, hub: &Hub, kind: rd::rd_kafka_type_t) -> Result<NonNull<rd::rd_kafka_t>, String> {
    const ERROR_BYTES: usize = 512;
    let mut error = [0 as c_char; ERROR_BYTES];
    // SAFETY: librdkafka ends what it writes with a NUL, within the length that it is given.
    let words = |error: &[c_char; ERROR_BYTES]| unsafe { text(error.as_ptr()) };
    // SAFETY: the configuration is ours until `rd_kafka_new` takes it or it is destroyed here; strings are copied by the call, and
    // the hub that callbacks are given lives longer than the client (see `Client`).
    unsafe {
        let conf = rd::rd_kafka_conf_new();
        for (name, value) in settings {
            let set = match (CString::new(name.as_str()), CString::new(value.as_str())) {
                (Ok(name), Ok(value)) => {
                    rd::rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), error.as_mut_ptr(), ERROR_BYTES)
                        == rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK
                }
                _ => false,
            };
            if !set {
                rd::rd_kafka_conf_destroy(conf);
                return Err(format!("{name}: {}", words(&error)));
            }
        }
        rd::rd_kafka_conf_set_opaque(conf, ptr::from_ref(hub).cast_mut().cast());
        rd::rd_kafka_conf_set_log_cb(conf, Some(on_log));
        rd::rd_kafka_conf_set_error_cb(conf, Some(on_error));
        if kind == rd::rd_kafka_type_t::RD_KAFKA_CONSUMER {
            rd::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
        } else {
            rd::rd_kafka_conf_set_dr_msg_cb(conf, Some(producer::on_report));
        }
        if hub.token.is_some() {
            rd::rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, Some(on_token));
        }
        let rk = rd::rd_kafka_new(kind, conf, error.as_mut_ptr(), ERROR_BYTES);
        let Some(rk) = NonNull::new(rk) else {
            rd::rd_kafka_conf_destroy(conf);
            return Err(words(&error));
        };
        Ok(rk)
    }
}

impl Client {
    fn new(settings: &Settings, token: Option<Token>, bell: Ringer, kind: rd::rd_kafka_type_t) -> Result<Self, String> {
        let hub = Box::new(Hub { bell: Some(bell), token, ..Hub::default() });
        let rk = create(settings, &hub, kind)?;
        // SAFETY: the client was made just now; the queue is a reference of its own.
        let queue = unsafe {
            match kind {
                rd::rd_kafka_type_t::RD_KAFKA_CONSUMER => {
                    rd::rd_kafka_poll_set_consumer(rk.as_ptr());
                    rd::rd_kafka_queue_get_consumer(rk.as_ptr())
                }
                rd::rd_kafka_type_t::RD_KAFKA_PRODUCER => rd::rd_kafka_queue_get_main(rk.as_ptr()),
            }
        };
        let Some(queue) = NonNull::new(queue) else {
            // SAFETY: nobody else has the client.
            unsafe { rd::rd_kafka_destroy(rk.as_ptr()) };
            return Err("a consumer without a group".to_owned());
        };
        let client = Self { rk, queue, lease: Lease::new(), hub };
        // SAFETY: the hub lives longer than the queue's events, which end in `drop`.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(client.queue.as_ptr(), Some(on_event), client.opaque());
        }
        if client.hub.token.is_some() {
            // SAFETY: the client is alive, and the hub is its own.
            unsafe { on_token(client.rk.as_ptr(), ptr::null(), client.opaque()) };
        }
        Ok(client)
    }

    fn opaque(&self) -> *mut c_void {
        ptr::from_ref::<Hub>(&self.hub).cast_mut().cast()
    }

    /// Whether there is nothing to be polled.
    fn is_idle(&self) -> bool {
        // SAFETY: the queue is alive as long as `self`.
        unsafe { rd::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }

    fn errors(&self) -> Vec<Failure> {
        std::mem::take(&mut *lock(&self.hub.errors))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Messages that are still on their way to a client of the gateway lie in librdkafka's memory.
        Lease::wait(&mut self.lease);
        // SAFETY: no message is left, the queue's events end before the hub does, and nobody else has either of them.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
            rd::rd_kafka_destroy_flags(self.rk.as_ptr(), rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

/// A handle of a topic.
struct Topic(NonNull<rd::rd_kafka_topic_t>);

// SAFETY: as with the client.
unsafe impl Send for Topic {}

impl Topic {
    fn new(client: &Client, name: &str) -> Result<Self, Failure> {
        let name = CString::new(name).map_err(|_| Failure::of(code::INVALID_TOPIC, "a name with a NUL"))?;
        // SAFETY: the name is copied; without a configuration of its own it has the client's.
        let topic = unsafe { rd::rd_kafka_topic_new(client.rk.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        // SAFETY: no arguments.
        NonNull::new(topic).map(Self).ok_or_else(|| failure(unsafe { rd::rd_kafka_last_error() } as Code))
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: a handle is a reference of its own; the topic lives on where messages need it.
        unsafe { rd::rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}

fn check(code: rd::rd_kafka_resp_err_t) -> Result<(), Failure> {
    match code as Code {
        code::NONE => Ok(()),
        code => Err(failure(code)),
    }
}

/// Takes an error object.
fn settle(error: *mut rd::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so it is an error that is ours to destroy, once.
    unsafe {
        let failure =
            Failure { code: rd::rd_kafka_error_code(error) as Code, words: text(rd::rd_kafka_error_string(error)) };
        rd::rd_kafka_error_destroy(error);
        Err(failure)
    }
}

fn failure(code: Code) -> Failure {
    Failure { code, words: describe(code) }
}

/// A code in words.
fn describe(code: Code) -> String {
    let mut known: *const rd::rd_kafka_err_desc = ptr::null();
    let mut count = 0;
    // SAFETY: the table is static. Asked for by number: a code of a newer broker is no value of the enum.
    unsafe {
        rd::rd_kafka_get_err_descs(&raw mut known, &raw mut count);
        for at in 0..count {
            let entry = known.add(at);
            if (&raw const (*entry).code).cast::<Code>().read() == code && !(*entry).desc.is_null() {
                return text((*entry).desc);
            }
        }
    }
    format!("error {code}")
}

/// # Safety
/// A string that ends with a NUL, or null.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// # Safety
/// What `Client::opaque` gave out.
unsafe fn hub<'a>(opaque: *mut c_void) -> &'a Hub {
    // SAFETY: the hub outlives the client whose callbacks come here.
    unsafe { &*opaque.cast::<Hub>() }
}

unsafe extern "C" fn on_event(_rk: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: given to `rd_kafka_queue_cb_event_enable`.
    if let Some(bell) = unsafe { hub(opaque) }.bell.as_ref() {
        bell.ring();
    }
}

unsafe extern "C" fn on_log(_rk: *const rd::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    // SAFETY: strings of librdkafka.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    // Levels of syslog. What becomes an error of ours is told by ours.
    match level {
        0..=2 => tracing::error!(facility, "{line}"),
        3 | 4 => tracing::info!(facility, "{line}"),
        _ => tracing::debug!(facility, "{line}"),
    }
}

unsafe extern "C" fn on_error(rk: *mut rd::rd_kafka_t, error: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: a string of librdkafka, and the opaque of its configuration.
    let (mut words, hub) = unsafe { (text(reason), hub(opaque)) };
    let code = error as Code;
    if code == code::FATAL {
        let mut reason = [0 as c_char; 256];
        // SAFETY: the client is alive while its callback runs.
        let cause = unsafe { rd::rd_kafka_fatal_error(rk, reason.as_mut_ptr(), reason.len()) } as Code;
        // SAFETY: ended with a NUL by the call.
        words = format!("{} ({cause})", unsafe { text(reason.as_ptr()) });
    }
    lock(&hub.errors).push(Failure { code, words });
}

unsafe extern "C" fn on_rebalance(
    rk: *mut rd::rd_kafka_t,
    error: rd::rd_kafka_resp_err_t,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque of its configuration; the list is librdkafka's and is read only here.
    let (hub, places) = unsafe { (hub(opaque), list::read(partitions)) };
    let rebalance = match error as Code {
        code::ASSIGN => Some(Rebalance::Assign(places)),
        code::REVOKE => Some(Rebalance::Revoke(places)),
        _ => None,
    };
    match rebalance {
        // librdkafka waits for the answer, not for it to come from in here.
        Some(rebalance) if !hub.closing.load(Ordering::Relaxed) => lock(&hub.rebalances).push(rebalance),
        _ => {
            // SAFETY: the client is alive while its callback runs.
            unsafe { rd::rd_kafka_assign(rk, ptr::null()) };
        }
    }
}

unsafe extern "C" fn on_token(rk: *mut rd::rd_kafka_t, _config: *const c_char, opaque: *mut c_void) {
    // SAFETY: the opaque of its configuration.
    let Some(token) = unsafe { hub(opaque) }.token.as_ref() else { return };
    let mut error = [0 as c_char; 256];
    // SAFETY: strings live longer than the call, which copies them.
    unsafe {
        let set = rd::rd_kafka_oauthbearer_set_token(
            rk,
            token.value.as_ptr(),
            token.expires_ms(),
            token.principal.as_ptr(),
            ptr::null_mut(),
            0,
            error.as_mut_ptr(),
            error.len(),
        );
        if set as Code != code::NONE {
            rd::rd_kafka_oauthbearer_set_token_failure(rk, error.as_ptr());
        }
    }
}
