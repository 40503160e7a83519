//! `analytics.logging` of messages: those that `analytics.sampling` chooses, as they were at both sides of the policies, one JSON object for each. It
//! is written where the access log is.
//!
//! ```text
//!   publish     client ── entrypointMessage ──▶ policies ── endpointMessage ──▶ broker
//!   subscribe   client ◀─ entrypointMessage ── policies ◀─ endpointMessage ── broker
//! ```

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ringway_config::SamplingRule;
use ringway_config::api::{LoggingContent, Operation};
use ringway_contract::recording::{Mask, Noted, RECORDED_BYTES_MAX, Recording};
use ringway_contract::{Exchange, Parcel, Template};

use super::passage::Fate;
use crate::chain::{Chain, holds};
use crate::local::Local;
use crate::record::{self, Logging};
use crate::secrets::HIDDEN;

/// Which messages of an API are written down, and what of them.
pub struct Messages {
    content: LoggingContent,
    condition: Option<Template>,
    sampler: Sampler,
}

impl Messages {
    /// `sampled` is what all shards share of the API.
    pub fn new(
        content: LoggingContent,
        condition: Option<Template>,
        rule: SamplingRule,
        sampled: &Arc<AtomicU64>,
    ) -> Option<Self> {
        let asks = content.message_headers || content.message_payload || content.message_metadata;
        let sampler = Sampler { rule, seen: Cell::new(0), sampled: sampled.clone() };
        asks.then_some(Self { content, condition, sampler })
    }
}

struct Sampler {
    rule: SamplingRule,
    /// Messages of this shard.
    seen: Cell<u64>,
    /// When the last one was written down, in milliseconds since 1970; or which window it is, and how many of it were. Nothing hangs on its
    /// order with anything else.
    sampled: Arc<AtomicU64>,
}

impl Sampler {
    /// Whether the next message is written down. What is bound to time holds for all shards together, and costs them a look while nothing is
    /// due.
    fn chooses(&self, now_ms: u64, random: impl FnOnce() -> u64) -> bool {
        match self.rule {
            SamplingRule::Probability(share) => (random() >> 32) as f64 <= share * f64::from(u32::MAX),
            SamplingRule::Count(count) => {
                let seen = self.seen.get();
                self.seen.set(seen.wrapping_add(1));
                seen.is_multiple_of(count.max(1))
            }
            SamplingRule::Temporal(period_ms) => {
                let last = self.sampled.load(Ordering::Relaxed);
                // A clock that was set back does not keep it silent.
                now_ms.abs_diff(last) >= period_ms
                    && self.sampled.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            }
            SamplingRule::WindowedCount(most, period_ms) => {
                let window = now_ms / period_ms.max(1);
                let one_more = |state: u64| {
                    let count = if state >> 32 == window { state & u64::from(u32::MAX) } else { 0 };
                    (count < most).then_some((window << 32) | (count + 1))
                };
                self.sampled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
            }
        }
    }
}

/// Writes down the messages of one session, or one subscription, in one direction.
pub struct Scribe {
    local: Rc<Local>,
    logging: Rc<Logging>,
    masks: Vec<Rc<dyn Mask>>,
    entrypoint: &'static str,
    operation: Operation,
}

impl Scribe {
    /// One for a session whose flows are chosen; `None`: nothing of it is written down. The condition of requests is asked here, once.
    pub fn of(
        (local, logging): (&Rc<Local>, &Rc<Logging>),
        exchange: &Exchange,
        (chain, matched): (&Chain, &[u16]),
        entrypoint: &'static str,
        operation: Operation,
    ) -> Option<Rc<Self>> {
        let wanted = logging.messages.is_some()
            && match operation {
                Operation::Publish => logging.request,
                Operation::Subscribe => logging.response,
            };
        if !wanted || !logging.condition.as_ref().is_none_or(|condition| holds(condition, exchange).unwrap_or(false)) {
            return None;
        }
        let mut recording = Recording::default();
        chain.mask(matched, &mut recording);
        let masks = match operation {
            Operation::Publish => recording.request_masks,
            Operation::Subscribe => recording.response_masks,
        };
        Some(Rc::new(Self { local: local.clone(), logging: logging.clone(), masks, entrypoint, operation }))
    }

    /// The message of the exchange before the policies, if it is one that is written down.
    pub fn before(&self, exchange: &Exchange) -> Option<String> {
        let messages = self.logging.messages.as_ref()?;
        let random = || self.local.ids.random();
        if !messages.sampler.chooses(self.local.shard.unix_ms(), random) {
            return None;
        }
        let meant = messages.condition.as_ref().is_none_or(|condition| holds(condition, exchange).unwrap_or(false));
        meant.then(|| {
            let mut out = String::with_capacity(1024);
            let _ = write!(out, "{{\"time\":{},\"record\":\"message\"", self.local.shard.unix_ms());
            record::who(&mut out, exchange);
            record::member(&mut out, "entrypoint", self.entrypoint);
            let operation = match self.operation {
                Operation::Publish => "publish",
                Operation::Subscribe => "subscribe",
            };
            record::member(&mut out, "operation", operation);
            if let Some(parcel) = exchange.message.as_deref() {
                if !parcel.id.is_empty() {
                    record::member(&mut out, "id", &String::from_utf8_lossy(&parcel.id));
                }
                self.side(&mut out, parcel, true);
            }
            out
        })
    }

    /// Writes down what became of it.
    pub fn after(&self, mut out: String, fate: &Fate) {
        match fate {
            Fate::On(parcel) => self.side(&mut out, parcel, false),
            Fate::Dropped => record::member(&mut out, "outcome", "dropped"),
            Fate::Refused(reply, _) => {
                record::member(&mut out, "outcome", "refused");
                record::member(&mut out, "errorKey", &reply.key);
            }
        }
        out.push_str("}\n");
        self.logging.hidden.hide_in_json(&mut out);
        self.local.access_log.record(&out);
    }

    /// The message as it is before or behind the policies, if that side is wanted.
    fn side(&self, out: &mut String, parcel: &Parcel, before: bool) {
        let Some(messages) = &self.logging.messages else { return };
        let (name, wanted) = match (self.operation == Operation::Publish) == before {
            true => ("entrypointMessage", self.logging.entrypoint),
            false => ("endpointMessage", self.logging.endpoint),
        };
        if !wanted {
            return;
        }
        let _ = write!(out, ",\"{name}\":{{");
        let mut comma = "";
        if messages.content.message_headers {
            let headers = parcel.message.headers.iter().map(|(name, value)| (&**name, value));
            let fields = self.texts(headers, |name| self.logging.secrets.hides(name));
            record::pairs(out, comma, "headers", &fields, &self.masks);
            comma = ",";
        }
        if messages.content.message_metadata {
            let metadata = self.texts(parcel.metadata().map(|(name, value)| (name.as_bytes(), value)), |_| false);
            record::pairs(out, comma, "metadata", &metadata, &[]);
            comma = ",";
        }
        if messages.content.message_payload {
            record::body(out, comma, &Noted::of(&parcel.message.content), &self.masks);
        }
        out.push('}');
    }

    /// Names and values as texts, to as many bytes as are written down of a body.
    fn texts<'m>(
        &self,
        pairs: impl Iterator<Item = (&'m [u8], &'m Bytes)>,
        hides: impl Fn(&[u8]) -> bool,
    ) -> Vec<(String, String)> {
        let mut room = RECORDED_BYTES_MAX;
        let fits = pairs.take_while(|(name, value)| {
            let fits = name.len() + value.len() <= room;
            room = room.saturating_sub(name.len() + value.len());
            fits
        });
        let shown = fits.map(|(name, value)| {
            let value = if hides(name) { HIDDEN.into() } else { String::from_utf8_lossy(value) };
            (String::from_utf8_lossy(name).to_ascii_lowercase(), value.into_owned())
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(rule: SamplingRule, sampled: &Arc<AtomicU64>) -> Sampler {
        Sampler { rule, seen: Cell::new(0), sampled: sampled.clone() }
    }

    #[test]
    fn a_sample_is_what_its_rule_says_and_times_hold_for_all_shards() {
        let chosen = |sampler: &Sampler, times: &[u64]| -> Vec<bool> {
            times.iter().map(|now| sampler.chooses(*now, || unreachable!())).collect()
        };
        let shared = Arc::default();
        let count = sampler(SamplingRule::Count(3), &shared);
        assert_eq!(chosen(&count, &[0; 7]), [true, false, false, true, false, false, true]);

        let shared = Arc::default();
        let (one, other) =
            (sampler(SamplingRule::Temporal(1000), &shared), sampler(SamplingRule::Temporal(1000), &shared));
        assert_eq!(chosen(&one, &[5000, 5999]), [true, false]);
        assert_eq!(chosen(&other, &[5999, 6000, 6001]), [false, true, false]);
        assert_eq!(chosen(&one, &[6999, 7000, 100, 1099]), [false, true, true, false], "the clock was set back");

        let shared = Arc::default();
        let rule = SamplingRule::WindowedCount(2, 10_000);
        let (one, other) = (sampler(rule, &shared), sampler(rule, &shared));
        assert_eq!(chosen(&one, &[20_000, 20_001]), [true, true]);
        assert_eq!(chosen(&other, &[29_999, 30_000]), [false, true]);
        assert_eq!(chosen(&one, &[30_001, 39_000]), [true, false]);

        let chance = sampler(SamplingRule::Probability(0.25), &Arc::default());
        let random = |numbers: u64| numbers << 56;
        assert_eq!((0..=255).filter(|number| chance.chooses(0, || random(*number))).count(), 64);
    }
}
