//! Counters of a shard: written by one thread, read by any.
//!
//! A counter is bumped with a plain load and store (relaxed), never with a locked instruction: only its shard writes it. The admin
//! thread reads and adds up; it may see a sum that is a moment old, never a torn one.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

use crate::call::Served;
use crate::shared::Status;

/// A number that one shard writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning shard may call this.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn bump(&self) {
        self.add(1);
    }

    /// Takes one away: for gauges.
    #[inline]
    pub fn drop_one(&self) {
        self.0.store(self.0.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value, from any thread.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the latency buckets, in microseconds. Chosen so that the bucket is found by a few compares: most requests of a
/// gateway end in the first six.
const BUCKETS_US: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// A latency histogram.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS_US.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let us = duration.as_micros() as u64;
        let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        if let Some(counter) = self.buckets.get(bucket) {
            counter.bump();
        }
        self.sum_us.add(us);
    }

    fn add_to(&self, sums: &mut [u64; BUCKETS_US.len() + 2]) {
        for (sum, counter) in sums.iter_mut().zip(&self.buckets) {
            *sum += counter.read();
        }
        sums[BUCKETS_US.len() + 1] += self.sum_us.read();
    }
}

/// What is counted of one API on one shard.
#[derive(Debug, Default)]
pub struct ApiCounters {
    /// Exchanges by the class of their final status: 1xx (tunnels) to 5xx.
    pub responses: [Counter; 5],
    /// Exchanges that ended without a complete response.
    pub aborted: Counter,
    /// Time from the request's head to the end of the response.
    pub duration: Histogram,
    /// Payload bytes from clients.
    pub request_bytes: Counter,
    /// Payload bytes to clients.
    pub response_bytes: Counter,
    /// Messages that brokers took.
    pub published: Counter,
    /// Messages that were sent over subscriptions of one client.
    pub delivered: Counter,
    /// Messages that subscribers refused.
    pub push_refused: Counter,
    /// Messages that could not be delivered because a subscriber failed or did not answer.
    pub push_failed: Counter,
    /// Attempts to deliver a message after the first.
    pub push_retried: Counter,
    /// Messages that were published as dead letters.
    pub dead_lettered: Counter,
}

impl ApiCounters {
    /// Counts a finished exchange.
    #[inline]
    pub fn finished(&self, status: StatusCode, duration: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(4);
        if let Some(counter) = self.responses.get(class) {
            counter.bump();
        }
        self.duration.observe(duration);
    }

    /// Counts an exchange that is over, with its payload.
    pub(crate) fn ended(&self, served: &Served, took: Duration) {
        self.request_bytes.add(served.request_bytes);
        self.response_bytes.add(served.response_bytes);
        match served.fault {
            Some(_) if served.aborted => self.aborted.bump(),
            _ => self.finished(served.status, took),
        }
    }
}

/// What is counted of one endpoint on one shard.
#[derive(Debug, Default)]
pub struct EndpointCounters {
    /// Exchanges that were sent to it, attempts included.
    pub exchanges: Counter,
    /// Faults that were its own.
    pub faults: Counter,
    /// Lanes (connections) that were made.
    pub lanes_made: Counter,
    /// Lanes in use now.
    pub lanes_busy: Counter,
    /// Lanes idle now.
    pub lanes_idle: Counter,
    /// Exchanges that wait for a lane now.
    pub pending: Counter,
    /// Time of attempts, from the choice of the endpoint to the end of its response.
    pub duration: Histogram,
    /// 1 while checks and breaker let it take requests.
    pub healthy: Counter,
}

/// What is counted of one shard.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Connections admitted, wherever they were accepted.
    pub accepted: Counter,
    /// Connections accepted here and handed to another shard.
    pub handed_over: Counter,
    /// Connections that another shard accepted and handed to this one.
    pub received: Counter,
    /// Connections refused for a limit.
    pub refused: Counter,
    /// Connections open now.
    pub connections: Counter,
    /// Streams and upgraded connections of message APIs.
    pub streams: Counter,
    /// Connections and tunnels that have been silent for long.
    pub parked: Counter,
    /// Requests whose head was read.
    pub requests: Counter,
    /// Requests refused before they reached an API (bad head, no route).
    pub rejected: Counter,
    /// Requests of APIs that ended in a 5xx or without a complete response.
    pub failed: Counter,
    /// Time from the head of an API's request to the end of the response.
    pub duration: Histogram,
    /// Frames that crossed between the halves of exchanges.
    pub ring_frames: Counter,
    /// How often a half had to wait for the other one to take frames.
    pub ring_waits: Counter,
    /// Requests refused because the shard had too much to do.
    pub shed: Counter,
    /// Requests that had to wait until others had ended.
    pub held_back: Counter,
    /// Exchanges under way.
    pub exchanges: Counter,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: Counter,
    /// Those that resumed an earlier session.
    pub tls_resumed: Counter,
    /// TLS handshakes that failed.
    pub tls_failures: Counter,
    /// Exchanges sent again after a failed attempt.
    pub retries: Counter,
    /// Panics caught at a connection's task.
    pub panics: Counter,
    /// Snapshots swapped in.
    pub reloads: Counter,
    /// Revision of the snapshot in force.
    pub revision: Counter,
    /// Log lines dropped because their ring was full.
    pub log_dropped: Counter,
    /// Bytes of pooled buffers that are kept.
    pub buffer_bytes: Counter,
}

impl ShardCounters {
    /// Counts an exchange of an API that is over.
    pub(crate) fn ended(&self, served: &Served, took: Duration) {
        if served.status.is_server_error() || (served.fault.is_some() && served.aborted) {
            self.failed.bump();
        }
        self.duration.observe(took);
    }
}

/// The counters of one shard, as the admin thread knows them.
pub struct ShardView {
    /// Number of the shard.
    pub id: usize,
    /// The I/O driver in force.
    pub driver: String,
    /// The counters.
    pub counters: Arc<ShardCounters>,
}

/// The counters of one API, over all shards.
pub struct ApiView {
    /// Id of the API.
    pub id: String,
    /// Name of the API.
    pub name: String,
    /// One per shard.
    pub shards: Vec<Arc<ApiCounters>>,
    /// Per endpoint its name and one per shard.
    pub endpoints: Vec<(String, Vec<Arc<EndpointCounters>>)>,
    /// How each subscription to messages stands.
    pub subscriptions: Vec<Status>,
}

/// Name, type, help and where the value is.
type Metric<C> = (&'static str, &'static str, &'static str, fn(&C) -> &Counter);

/// Writes everything in the Prometheus text format 0.0.4.
pub fn expose(shards: &[ShardView], apis: &[ApiView], out: &mut String) {
    let shard_metrics: [Metric<ShardCounters>; 23] = [
        (
            "ringway_connections_accepted_total",
            "counter",
            "Client connections accepted, by the shard that serves them.",
            |c| &c.accepted,
        ),
        ("ringway_connections_handed_over_total", "counter", "Client connections given to a less loaded shard.", |c| {
            &c.handed_over
        }),
        (
            "ringway_connections_received_total",
            "counter",
            "Client connections received from a more loaded shard.",
            |c| &c.received,
        ),
        ("ringway_connections_refused_total", "counter", "Client connections refused for a limit.", |c| &c.refused),
        ("ringway_connections", "gauge", "Client connections open.", |c| &c.connections),
        ("ringway_streams", "gauge", "Streams and upgraded connections of message APIs.", |c| &c.streams),
        (
            "ringway_connections_parked",
            "gauge",
            "Connections, tunnels and streams that have no task: nothing goes on over them.",
            |c| &c.parked,
        ),
        ("ringway_requests_total", "counter", "Requests whose head was read.", |c| &c.requests),
        ("ringway_requests_rejected_total", "counter", "Requests refused before they reached an API.", |c| &c.rejected),
        (
            "ringway_requests_failed_total",
            "counter",
            "Requests that ended in a 5xx or without a complete response.",
            |c| &c.failed,
        ),
        ("ringway_ring_frames_total", "counter", "Frames that crossed between the halves of exchanges.", |c| {
            &c.ring_frames
        }),
        ("ringway_ring_waits_total", "counter", "Times that a half of an exchange found the ring full.", |c| {
            &c.ring_waits
        }),
        ("ringway_tls_resumed_total", "counter", "TLS handshakes with clients that resumed a session.", |c| {
            &c.tls_resumed
        }),
        ("ringway_requests_shed_total", "counter", "Requests refused because the shard had too much to do.", |c| {
            &c.shed
        }),
        ("ringway_requests_held_back_total", "counter", "Requests that had to wait until others had ended.", |c| {
            &c.held_back
        }),
        ("ringway_exchanges", "gauge", "Requests under way.", |c| &c.exchanges),
        ("ringway_tls_handshakes_total", "counter", "TLS handshakes with clients that succeeded.", |c| {
            &c.tls_handshakes
        }),
        ("ringway_tls_failures_total", "counter", "TLS handshakes with clients that failed.", |c| &c.tls_failures),
        ("ringway_retries_total", "counter", "Exchanges sent again after a failed attempt.", |c| &c.retries),
        ("ringway_panics_total", "counter", "Panics caught at a connection's task.", |c| &c.panics),
        ("ringway_snapshots_applied_total", "counter", "Snapshots swapped in.", |c| &c.reloads),
        ("ringway_log_lines_dropped_total", "counter", "Access log lines dropped because the writer lagged.", |c| {
            &c.log_dropped
        }),
        ("ringway_buffer_bytes", "gauge", "Bytes of pooled buffers kept by the shard.", |c| &c.buffer_bytes),
    ];
    for (name, kind, help, pick) in shard_metrics {
        header(out, name, kind, help);
        for shard in shards {
            let _ = writeln!(out, "{name}{{shard=\"{}\"}} {}", shard.id, pick(&shard.counters).read());
        }
    }
    let name = "ringway_request_duration_seconds";
    header(out, name, "histogram", "Time from a request's head to the end of its response.");
    for shard in shards {
        histogram(out, name, &format!("shard=\"{}\"", shard.id), [&shard.counters.duration].into_iter());
    }
    header(out, "ringway_shard_info", "gauge", "The I/O driver of each shard.");
    for shard in shards {
        let _ = writeln!(out, "ringway_shard_info{{shard=\"{}\",driver=\"{}\"}} 1", shard.id, shard.driver);
    }
    expose_apis(apis, out);
    expose_endpoints(apis, out);
}

fn expose_apis(apis: &[ApiView], out: &mut String) {
    header(out, "ringway_api_responses_total", "counter", "Finished exchanges by class of status.");
    for api in apis {
        for class in 0..5 {
            let sum: u64 = api.shards.iter().filter_map(|c| c.responses.get(class)).map(Counter::read).sum();
            let _ = writeln!(out, "ringway_api_responses_total{{{},class=\"{}xx\"}} {sum}", labels(api), class + 1);
        }
    }
    let sums: [Metric<ApiCounters>; 9] = [
        ("ringway_api_aborted_total", "counter", "Exchanges that ended without a complete response.", |c| &c.aborted),
        ("ringway_api_request_bytes_total", "counter", "Payload bytes from clients.", |c| &c.request_bytes),
        ("ringway_api_response_bytes_total", "counter", "Payload bytes to clients.", |c| &c.response_bytes),
        ("ringway_api_messages_published_total", "counter", "Messages that brokers took.", |c| &c.published),
        ("ringway_api_messages_delivered_total", "counter", "Messages sent over subscriptions of one client.", |c| {
            &c.delivered
        }),
        ("ringway_api_messages_refused_total", "counter", "Messages that subscribers refused.", |c| &c.push_refused),
        (
            "ringway_api_messages_failed_total",
            "counter",
            "Messages not delivered because a subscriber failed or did not answer.",
            |c| &c.push_failed,
        ),
        ("ringway_api_messages_retried_total", "counter", "Attempts to deliver a message after the first.", |c| {
            &c.push_retried
        }),
        ("ringway_api_messages_dead_lettered_total", "counter", "Messages published as dead letters.", |c| {
            &c.dead_lettered
        }),
    ];
    for (name, kind, help, pick) in sums {
        header(out, name, kind, help);
        for api in apis {
            let sum: u64 = api.shards.iter().map(|c| pick(c).read()).sum();
            let _ = writeln!(out, "{name}{{{}}} {sum}", labels(api));
        }
    }
    header(out, "ringway_api_subscriptions", "gauge", "Subscriptions whose messages are sent, by status.");
    for api in apis.iter().filter(|api| !api.subscriptions.is_empty()) {
        for status in Status::ALL {
            let count = api.subscriptions.iter().filter(|known| **known == status).count();
            let _ = writeln!(out, "ringway_api_subscriptions{{{},status=\"{}\"}} {count}", labels(api), status.name());
        }
    }
    let name = "ringway_api_duration_seconds";
    header(out, name, "histogram", "Time from a request's head to the end of its response.");
    for api in apis {
        histogram(out, name, &labels(api), api.shards.iter().map(|c| &c.duration));
    }
}

/// The samples of one series of a histogram, added up over shards.
fn histogram<'h>(out: &mut String, name: &str, labels: &str, shards: impl Iterator<Item = &'h Histogram>) {
    let mut sums = [0; BUCKETS_US.len() + 2];
    shards.for_each(|shard| shard.add_to(&mut sums));
    let mut seen = 0;
    for (bound, count) in BUCKETS_US.iter().zip(&sums) {
        seen += count;
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {seen}", *bound as f64 / 1e6);
    }
    seen += sums[BUCKETS_US.len()];
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {seen}");
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", sums[BUCKETS_US.len() + 1] as f64 / 1e6);
    let _ = writeln!(out, "{name}_count{{{labels}}} {seen}");
}

fn expose_endpoints(apis: &[ApiView], out: &mut String) {
    let metrics: [Metric<EndpointCounters>; 6] = [
        ("ringway_endpoint_exchanges_total", "counter", "Exchanges sent to an endpoint.", |c| &c.exchanges),
        ("ringway_endpoint_faults_total", "counter", "Faults of an endpoint.", |c| &c.faults),
        ("ringway_endpoint_connections_made_total", "counter", "Connections made to an endpoint.", |c| &c.lanes_made),
        ("ringway_endpoint_connections_busy", "gauge", "Connections in use.", |c| &c.lanes_busy),
        ("ringway_endpoint_connections_idle", "gauge", "Connections kept idle.", |c| &c.lanes_idle),
        ("ringway_endpoint_pending", "gauge", "Exchanges that wait for a connection.", |c| &c.pending),
    ];
    for (name, kind, help, pick) in metrics {
        header(out, name, kind, help);
        each_endpoint(apis, |labels, shards| {
            let sum: u64 = shards.iter().map(|c| pick(c).read()).sum();
            let _ = writeln!(out, "{name}{{{labels}}} {sum}");
        });
    }
    let name = "ringway_endpoint_duration_seconds";
    header(out, name, "histogram", "Time of attempts, from the choice of the endpoint to the end of its response.");
    each_endpoint(apis, |labels, shards| histogram(out, name, labels, shards.iter().map(|c| &c.duration)));
    let name = "ringway_endpoint_healthy";
    header(out, name, "gauge", "1 while every shard lets the endpoint take requests.");
    each_endpoint(apis, |labels, shards| {
        let healthy = u8::from(shards.iter().all(|c| c.healthy.read() == 1));
        let _ = writeln!(out, "{name}{{{labels}}} {healthy}");
    });
}

fn each_endpoint(apis: &[ApiView], mut visit: impl FnMut(&str, &[Arc<EndpointCounters>])) {
    for api in apis {
        for (endpoint, shards) in &api.endpoints {
            visit(&format!("{},endpoint=\"{}\"", labels(api), escaped(endpoint)), shards);
        }
    }
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn labels(api: &ApiView) -> String {
    format!("api=\"{}\",name=\"{}\"", escaped(&api.id), escaped(&api.name))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_adds_up_over_shards_and_ends_in_inf() {
        let shards = [Arc::new(ApiCounters::default()), Arc::new(ApiCounters::default())];
        shards[0].finished(StatusCode::OK, Duration::from_micros(90));
        shards[1].finished(StatusCode::BAD_GATEWAY, Duration::from_secs(60));
        let api = ApiView {
            id: "a\"b".into(),
            name: "n".into(),
            shards: shards.to_vec(),
            endpoints: Vec::new(),
            subscriptions: Vec::new(),
        };
        let mut out = String::new();
        expose(&[], &[api], &mut out);
        for line in [
            r#"ringway_api_responses_total{api="a\"b",name="n",class="2xx"} 1"#,
            r#"ringway_api_responses_total{api="a\"b",name="n",class="5xx"} 1"#,
            r#"ringway_api_duration_seconds_bucket{api="a\"b",name="n",le="0.0001"} 1"#,
            r#"ringway_api_duration_seconds_bucket{api="a\"b",name="n",le="30"} 1"#,
            r#"ringway_api_duration_seconds_bucket{api="a\"b",name="n",le="+Inf"} 2"#,
            r#"ringway_api_duration_seconds_sum{api="a\"b",name="n"} 60.00009"#,
        ] {
            assert!(out.lines().any(|present| present == line), "missing {line} in\n{out}");
        }
    }
}
