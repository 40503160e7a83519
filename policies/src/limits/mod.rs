//! What `rate-limit`, `quota` and `spike-arrest` have in common: they count uses of a key per window and refuse those beyond a limit.

use std::cell::RefCell;
use std::hash::Hash;
use std::net::IpAddr;
use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Services, refused};
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Exchange, Node, Phases, Policy, Problem, Refusal, Reply, Step, Template, Value, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

mod calendar;
mod cluster;
mod store;

use crate::hashed::Key;
pub use calendar::DAY_MS;
use cluster::Cluster;
use store::{Full, Local, Store, Use, Verdict};

/// What happens to a request that cannot be counted, because a million other keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorStrategy {
    /// It is refused with 429.
    BlockOnInternalError,
    /// It passes.
    #[default]
    #[serde(rename = "FALLBACK_PASS_TROUGH")]
    FallbackPassThrough,
}

/// Periods this long or longer are refused: a thousand years in milliseconds.
const PERIOD_MS_MAX: u64 = 365_250 * DAY_MS;

/// How a kind of limit names things.
pub struct Names {
    /// The policy, as the `RateLimit` field names it.
    pub policy: &'static str,
    /// Field with the limit.
    pub limit: &'static str,
    /// Field with what is left.
    pub remaining: &'static str,
    /// Field with the end of the window.
    pub reset: &'static str,
    /// Key of the refusal.
    pub refused: &'static str,
    /// Key of the refusal of what cannot be counted.
    pub blocked: &'static str,
    /// Key of the answer when an expression cannot be evaluated.
    pub failed: &'static str,
}

/// A period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// Milliseconds.
    Fixed(u64),
    /// Months of the calendar.
    Months(u64),
    /// Milliseconds that are cut into slices, each with its part of the limit.
    Sliced(u64),
}

impl Period {
    fn ends_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::Fixed(ms) | Self::Sliced(ms) => now_ms.saturating_add(ms),
            Self::Months(months) => calendar::months_later(now_ms, months),
        }
    }
}

/// A slice lasts for this long at least.
const SLICE_MS_MIN: u64 = 100;

/// Limit and milliseconds of a slice: as long as one request has, or as the number of requests that takes about [`SLICE_MS_MIN`].
fn slice(limit: u64, period_ms: u64) -> (u64, u64) {
    let wide = |number: u64| u128::from(number);
    let narrow = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    if limit == 0 {
        return (0, period_ms);
    }
    let period = wide(period_ms.max(1));
    // Rounded to the nearest whole number of requests.
    let requests = ((wide(limit) * wide(SLICE_MS_MIN) * 2 + period) / (period * 2)).max(1);
    (narrow(requests), narrow(requests * period / wide(limit)).max(1))
}

/// What the three policies are configured with, in their own words.
pub struct Settings {
    /// How things are called.
    pub names: &'static Names,
    /// Whether the response tells the client of the limit.
    pub add_headers: bool,
    /// What happens to what cannot be counted.
    pub error_strategy: ErrorStrategy,
    /// Distinguishes callers.
    pub key: String,
    /// Whether plan and caller do not.
    pub use_key_only: bool,
    /// Uses per period; 0: `dynamic_limit`.
    pub limit: u64,
    /// The same as an expression.
    pub dynamic_limit: String,
    /// The period.
    pub period: Period,
    /// Seconds instead of the period, as an expression.
    pub dynamic_period: String,
    /// The period, for people.
    pub period_text: String,
    /// Whether the attributes of a quota are set.
    pub attributes: bool,
}

/// The policy.
pub struct Limiter {
    settings: Settings,
    place: Key,
    /// The same in every gateway.
    origin: Key,
    key: Template,
    dynamic_limit: Option<Template>,
    dynamic_period: Option<Template>,
    local: RefCell<Local>,
    /// Where gateways count together, if they do.
    cluster: Option<Rc<Cluster>>,
}

/// A use that is to be counted, and what of it the client is told.
struct Asked {
    of: Use,
    period: Period,
    slice_ms: Option<u64>,
    period_limit: u64,
}

/// Who is to know a key by its name.
#[derive(Clone, Copy)]
enum Reach {
    Process,
    Gateways,
}

/// Why there is no verdict.
enum Failure {
    Expression,
    Full,
}

/// What a client is told.
struct Told {
    limit: u64,
    remaining: u64,
    ends_ms: u64,
    slice_ms: Option<u64>,
    period_limit: u64,
    period_s: u64,
}

impl Limiter {
    /// The policy at this place of a definition.
    ///
    /// # Errors
    /// An expression is none, or the period is none.
    pub fn new(settings: Settings, place: &str) -> Result<Self, Refusal> {
        match settings.period {
            Period::Fixed(0) | Period::Months(0) | Period::Sliced(0) => {
                return Err(Refusal("periodTime: must be 1 at least".into()));
            }
            Period::Fixed(PERIOD_MS_MAX..) | Period::Sliced(PERIOD_MS_MAX..) | Period::Months(12_000..) => {
                return Err(Refusal("periodTime: must be less than a thousand years".into()));
            }
            _ => {}
        }
        let compile = |field: &str, text: &str| {
            Template::compile(text, &Vocabulary::request()).map_err(|problem| Refusal(format!("{field}: {problem}")))
        };
        let optional =
            |field: &str, text: &str| (!text.trim().is_empty()).then(|| compile(field, text.trim())).transpose();
        if settings.use_key_only && settings.key.trim().is_empty() {
            return Err(Refusal("useKeyOnly: there is no `key`".into()));
        }
        Ok(Self {
            place: Key::of(&(settings.names.policy, place)),
            origin: Key::everywhere(&(settings.names.policy, place)),
            key: compile("key", &settings.key)?,
            dynamic_limit: optional("dynamicLimit", &settings.dynamic_limit)?,
            dynamic_period: optional("dynamicPeriodTime", &settings.dynamic_period)?,
            local: RefCell::new(Local::new()),
            cluster: None,
            settings,
        })
    }

    /// The same, counting with other gateways if the settings say so.
    ///
    /// # Errors
    /// What they count in can never be reached.
    pub fn among(self, services: &Services) -> Result<Self, Refusal> {
        Ok(Self { cluster: Cluster::shared(services)?, ..self })
    }

    /// Who is counted.
    fn key(&self, exchange: &Exchange, period: Period, reach: Reach) -> Result<Key, Failure> {
        let mut rendered = String::new();
        let key = match self.key.as_text() {
            Some(text) => text,
            None => {
                self.key.render(exchange, &mut rendered).map_err(|_| Failure::Expression)?;
                &rendered
            }
        };
        if self.settings.use_key_only {
            return Ok(self.named(reach, &(period, key)));
        }
        let plan = exchange.plan.id.as_str();
        Ok(match &exchange.subscriber {
            Some(subscriber) => self.named(reach, &(period, key, plan, subscriber.id.as_str())),
            None => {
                let address: Option<IpAddr> = exchange.client.address.map(|address| address.ip().to_canonical());
                self.named(reach, &(period, key, plan, address))
            }
        })
    }

    fn named(&self, reach: Reach, parts: &impl Hash) -> Key {
        match reach {
            Reach::Process => Key::of(&(self.place, parts)),
            Reach::Gateways => Key::everywhere(&(self.origin, parts)),
        }
    }

    /// What there is to count.
    fn asked(&self, exchange: &Exchange, now_ms: u64, weight: u64) -> Result<Asked, Failure> {
        let settings = &self.settings;
        let period_limit = match &self.dynamic_limit {
            Some(limit) if settings.limit == 0 => number(limit, exchange)?,
            _ => settings.limit,
        };
        let period = match &self.dynamic_period {
            Some(seconds) => Period::Fixed(number(seconds, exchange)?.max(1).saturating_mul(1000).min(PERIOD_MS_MAX)),
            None => settings.period,
        };
        let key = self.key(exchange, period, Reach::Process)?;
        let (limit, slice_ms) = match period {
            Period::Sliced(ms) => {
                let (limit, ms) = slice(period_limit, ms);
                (limit, Some(ms))
            }
            _ => (period_limit, None),
        };
        let ends_ms = slice_ms.map_or(period, Period::Fixed).ends_ms(now_ms);
        let of = Use { key, limit, now_ms, ends_ms, weight: weight.max(1) };
        Ok(Asked { of, period, slice_ms, period_limit })
    }

    /// Counts within the process.
    fn count(&self, asked: &Asked) -> Result<Verdict, Failure> {
        Store::shared().count(&mut self.local.borrow_mut(), asked.of).map_err(|Full| Failure::Full)
    }

    /// Counts, and goes on with `then`.
    fn counted<'a>(&'a self, exchange: &'a mut Exchange, weight: u64, then: Then) -> Step<'a> {
        let asked = match self.asked(exchange, now_ms(), weight) {
            Ok(asked) => asked,
            Err(failure) => return step(self.uncounted(&failure)),
        };
        let verdict = match &self.cluster {
            Some(cluster) if !cluster.leaves_alone() => match cluster.take(&asked.of) {
                Some(verdict) => Ok(verdict),
                None => {
                    let name = match self.key(exchange, asked.period, Reach::Gateways) {
                        Ok(name) => name,
                        Err(failure) => return step(self.uncounted(&failure)),
                    };
                    return Step::Wait(Box::pin(async move {
                        match cluster.ask(name, &asked.of).await.map_or_else(|| self.count(&asked), Ok) {
                            Ok(verdict) => step(then(self, exchange, &asked, verdict)),
                            Err(failure) => step(self.uncounted(&failure)),
                        }
                    }));
                }
            },
            _ => self.count(&asked),
        };
        match verdict {
            Ok(verdict) => step(then(self, exchange, &asked, verdict)),
            Err(failure) => step(self.uncounted(&failure)),
        }
    }

    /// The fields that tell a client of its limit. The last two are those of draft-ietf-httpapi-ratelimit-headers-10.
    fn fields(&self, told: &Told, now_ms: u64, mut each: impl FnMut(&'static str, String)) {
        let Names { policy, limit, remaining, reset, .. } = self.settings.names;
        each(limit, told.limit.to_string());
        each(remaining, told.remaining.to_string());
        each(reset, told.ends_ms.to_string());
        if let Some(ms) = told.slice_ms {
            each("X-Spike-Arrest-Slice-Period", format!("{ms}ms"));
        }
        each("RateLimit-Policy", format!("\"{policy}\";q={};w={}", told.period_limit, told.period_s));
        let seconds = told.ends_ms.saturating_sub(now_ms).div_ceil(1000);
        each("RateLimit", format!("\"{policy}\";r={};t={seconds}", told.remaining));
    }

    #[cold]
    fn refuse(&self, told: &Told, now_ms: u64) -> Reply {
        let seconds = told.ends_ms.saturating_sub(now_ms).div_ceil(1000).max(1);
        let message = match told.slice_ms {
            Some(ms) => format!("The limit of {} requests per {ms} ms is reached.", told.limit),
            None => format!("The limit of {} requests per {} is reached.", told.limit, self.settings.period_text),
        };
        let mut reply = Reply::refusal(StatusCode::TOO_MANY_REQUESTS, self.settings.names.refused, message)
            .header("Retry-After", seconds.to_string());
        if self.settings.add_headers {
            self.fields(told, now_ms, |name, value| reply.headers.push((name.into(), value.into())));
        }
        reply
    }

    fn uncounted(&self, failure: &Failure) -> Option<Box<Reply>> {
        let names = self.settings.names;
        let reply = match (failure, self.settings.error_strategy) {
            (Failure::Expression, _) => {
                let message = "The limit of this API cannot be evaluated.";
                Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, names.failed, message)
            }
            (Failure::Full, ErrorStrategy::BlockOnInternalError) => {
                let message = "The request cannot be counted.";
                Reply::refusal(StatusCode::TOO_MANY_REQUESTS, names.blocked, message)
            }
            (Failure::Full, ErrorStrategy::FallbackPassThrough) => return None,
        };
        Some(Box::new(reply))
    }
}

/// Whether a limit, and the expression that may say it, let nothing through.
pub fn is_closed((limit, dynamic): (u64, &str)) -> bool {
    limit == 0 && dynamic.is_empty()
}

/// What is to be said of a configuration whose limit is `field`: the refusal, if it is refused, and that it lets nothing through.
pub fn examine(configuration: Option<&Node>, field: &str, closed: bool, refusal: Option<Refusal>) -> Vec<Problem> {
    let mut problems = refused(configuration, refusal);
    if let Some(node) = configuration.filter(|_| closed) {
        let message = "neither `limit` nor `dynamicLimit` is given: every request is refused";
        problems.push(Problem::warning(&node.span, format!("configuration.{field}.limit"), message));
    }
    problems
}

/// A number that is an expression: nothing and what is negative is 0.
fn number(template: &Template, exchange: &Exchange) -> Result<u64, Failure> {
    match template.evaluate(exchange).map_err(|_| Failure::Expression)? {
        Value::Null => Ok(0),
        Value::Int(number) => Ok(u64::try_from(number).unwrap_or(0)),
        Value::Float(number) => Ok(number as u64),
        Value::Text(text) if text.trim().is_empty() => Ok(0),
        Value::Text(text) => {
            text.trim().parse::<i64>().map(|number| u64::try_from(number).unwrap_or(0)).map_err(|_| Failure::Expression)
        }
        _ => Err(Failure::Expression),
    }
}

impl Policy for Limiter {
    fn phases(&self) -> Phases {
        let templates = [Some(&self.key), self.dynamic_limit.as_ref(), self.dynamic_period.as_ref()];
        Phases {
            request_content: templates.into_iter().flatten().any(|template| template.needs().request_content),
            ..Phases::REQUEST
        }
        .with_messages()
    }

    /// Each message counts. One on its way to a client that is beyond the limit is not delivered.
    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.counted(exchange, 1, |limiter, _, asked, verdict| {
            (!verdict.within).then(|| Box::new(limiter.refuse(&asked.told(verdict), asked.of.now_ms)))
        })
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.charge(exchange, 1)
    }
}

impl Asked {
    fn told(&self, verdict: Verdict) -> Told {
        let Verdict { remaining, ends_ms, .. } = verdict;
        let now_ms = self.of.now_ms;
        let period_s = self.period.ends_ms(now_ms).saturating_sub(now_ms) / 1000;
        let (limit, slice_ms, period_limit) = (self.of.limit, self.slice_ms, self.period_limit);
        Told { limit, remaining, ends_ms, slice_ms, period_limit, period_s }
    }
}

/// What comes behind the counting.
type Then = fn(&Limiter, &mut Exchange, &Asked, Verdict) -> Option<Box<Reply>>;

fn step<'a>(refusal: Option<Box<Reply>>) -> Step<'a> {
    refusal.map_or(Step::Next, Step::Reply)
}

impl Limiter {
    /// Counts a request as so many uses.
    pub fn charge<'a>(&'a self, exchange: &'a mut Exchange, weight: u64) -> Step<'a> {
        self.counted(exchange, weight, Self::charged)
    }

    fn charged(&self, exchange: &mut Exchange, asked: &Asked, verdict: Verdict) -> Option<Box<Reply>> {
        let (told, now_ms) = (asked.told(verdict), asked.of.now_ms);
        if self.settings.attributes {
            let attributes = &mut exchange.attributes;
            attributes.set("quota.count", (told.limit - told.remaining.min(told.limit)).to_string());
            attributes.set("quota.remaining", told.remaining.to_string());
            attributes.set("quota.limit", told.limit.to_string());
            attributes.set("quota.reset.time", told.ends_ms.to_string());
        }
        if !verdict.within {
            return Some(Box::new(self.refuse(&told, now_ms)));
        }
        if self.settings.add_headers {
            // They are names and numbers: no head refuses them.
            self.fields(&told, now_ms, |name, value| {
                let _ = exchange.tell(name, &value);
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_the_reference_product() {
        for ((limit, period_ms), wanted) in [
            ((2000, 1000), (200, 100)),
            ((10, 1000), (1, 100)),
            ((1, 1000), (1, 1000)),
            ((5, 1000), (1, 200)),
            ((3, 1000), (1, 333)),
            ((13, 1000), (1, 76)),
            ((100, 60_000), (1, 600)),
            ((0, 1000), (0, 1000)),
            ((u64::MAX, 1000), (u64::MAX / 10 + 1, 100)),
        ] {
            assert_eq!(slice(limit, period_ms), wanted, "{limit} per {period_ms} ms");
        }
    }
}
