//! Spares an endpoint that fails or is slow.

mod circuit;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{
    After, Around, Exchange, Fault, Fetch, FetchRequest, FetchResponse, Kind, Phases, Policy, Pool, Refusal, Reply,
    ResponseHead, Side, Step,
};
use schemars::JsonSchema;
use serde::Deserialize;

use self::circuit::{Circuit, Leave, Outcome, Rates, Settings};
use crate::clock::now_ms;
use crate::common::Common;
use crate::copy::{self, copied};
use crate::hashed::Key;
use crate::text::Text;

/// `policy-circuit-breaker`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-circuit-breaker",
    about: "Stops calling an endpoint that fails or is slow, for a while.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        refused(configuration, decode(configuration).and_then(|config| Rules::new(config, &Services::default())).err())
    }),
    shared: None,
    messaging: None,
    build: |source, services| {
        let rules = Rules::new(decode(source.configuration)?, services)?;
        static CIRCUITS: Common<Mutex<Circuit>> = Common::new();
        let settings = rules.settings;
        let circuit = CIRCUITS.of(Key::of(&(source.place, settings)), || Mutex::new(Circuit::new(settings)));
        Ok(Rc::new(CircuitBreaker { rules: Rc::new(rules), circuit }))
    },
};

/// Calls that a window may have.
const WINDOW_MAX: u32 = 100_000;
/// How long the URL may take that answers in the endpoint's place.
const REDIRECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Configuration of `policy-circuit-breaker`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Percent of failed calls from which on the circuit opens, 1 to 100. A call fails when it has no answer, or one of 5xx.
    pub failure_rate_threshold: u32,
    /// Percent of slow calls from which on it opens, 1 to 100.
    pub slow_call_rate_threshold: u32,
    /// Milliseconds from which on a call is slow.
    pub slow_call_duration_threshold: u64,
    /// Calls that are looked at, the last ones; 1 to 100,000.
    pub window_size: u32,
    /// From how many calls on the rates count; at most `windowSize` are waited for.
    pub minimum_number_of_calls: u32,
    /// Milliseconds that the circuit stays open.
    pub wait_duration_in_open_state: u64,
    /// Calls that are let through then, and decide.
    pub permitted_number_of_calls_in_half_open_state: u32,
    /// Milliseconds that they may take before the circuit opens again; 0: as long as they take.
    pub max_wait_duration_in_half_open_state: u64,
    /// Whether a call that is broken off, after being slow, has failed. Otherwise it does not count.
    pub record_interrupted_calls_as_failures: bool,
    /// A URL that answers while the circuit is open, instead of 503; may have expressions.
    #[serde(rename = "redirectToURL")]
    pub redirect_to_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failure_rate_threshold: 50,
            slow_call_rate_threshold: 100,
            slow_call_duration_threshold: 1000,
            window_size: 100,
            minimum_number_of_calls: 1,
            wait_duration_in_open_state: 1000,
            permitted_number_of_calls_in_half_open_state: 1,
            max_wait_duration_in_half_open_state: 0,
            record_interrupted_calls_as_failures: false,
            redirect_to_url: None,
        }
    }
}

struct Rules {
    settings: Settings,
    slow: Duration,
    interrupted_fail: bool,
    redirect: Option<Text>,
    fetch: Option<Rc<dyn Fetch>>,
    responses: Pool<ResponseHead>,
}

impl Rules {
    fn new(config: Config, services: &Services) -> Result<Self, Refusal> {
        let percent = |field: &str, percent: u32| match percent {
            1..=100 => Ok(percent),
            _ => Err(Refusal(format!("{field}: {percent} is not between 1 and 100"))),
        };
        let count = |field: &str, count: u32| match count {
            1..=WINDOW_MAX => Ok(count as usize),
            _ => Err(Refusal(format!("{field}: {count} is not between 1 and {WINDOW_MAX}"))),
        };
        let redirect = config.redirect_to_url.filter(|url| !url.trim().is_empty());
        let redirect = redirect.map(|url| Text::on_request("redirectToURL", url.trim())).transpose()?;
        if let Some(fixed) = redirect.as_ref().and_then(Text::constant)
            && !(fixed.starts_with("http://") || fixed.starts_with("https://"))
        {
            return Err(Refusal("redirectToURL: it begins with `http://` or `https://`, or is an expression".into()));
        }
        if config.slow_call_duration_threshold == 0 || config.wait_duration_in_open_state == 0 {
            return Err(Refusal("slowCallDurationThreshold, waitDurationInOpenState: at least 1 ms each".into()));
        }
        Ok(Self {
            settings: Settings {
                failures_percent: percent("failureRateThreshold", config.failure_rate_threshold)?,
                slow_percent: percent("slowCallRateThreshold", config.slow_call_rate_threshold)?,
                window: count("windowSize", config.window_size)?,
                // As in the reference product: more than the window are as many as the window.
                calls_min: count("minimumNumberOfCalls", config.minimum_number_of_calls)?,
                open_ms: config.wait_duration_in_open_state,
                trials: count(
                    "permittedNumberOfCallsInHalfOpenState",
                    config.permitted_number_of_calls_in_half_open_state,
                )?,
                half_open_ms_max: config.max_wait_duration_in_half_open_state,
            },
            slow: Duration::from_millis(config.slow_call_duration_threshold),
            interrupted_fail: config.record_interrupted_calls_as_failures,
            redirect,
            fetch: services.fetch.clone(),
            responses: services.responses.clone(),
        })
    }
}

struct CircuitBreaker {
    rules: Rc<Rules>,
    circuit: Arc<Mutex<Circuit>>,
}

impl Policy for CircuitBreaker {
    fn phases(&self) -> Phases {
        // Nobody knows when the circuit opens, and what goes elsewhere then must be here.
        let content = self.rules.redirect.is_some();
        Phases { request_content: content, ..Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let passage = Passage { rules: self.rules.clone(), circuit: self.circuit.clone(), leave: Cell::default() };
        exchange.arounds.push(Rc::new(passage));
        Step::Next
    }
}

/// One exchange's way through the circuit.
struct Passage {
    rules: Rc<Rules>,
    circuit: Arc<Mutex<Circuit>>,
    /// Since when it calls, until it is told how that went.
    leave: Cell<Option<(Leave, Instant)>>,
}

impl Passage {
    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, rates: Rates) -> Box<Reply> {
        let message = "The backend fails or is slow, and is not called for a while.";
        let reply = Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "CIRCUIT_BREAKER_OPEN_STATE", message);
        let reply = reply.parameter("failure_rate", rates.failures.to_string());
        Box::new(reply.parameter("slow_call_rate", rates.slow.to_string()))
    }

    /// The request to the URL that answers meanwhile.
    fn redirected(&self, exchange: &Exchange) -> Result<Option<FetchRequest>, Box<Reply>> {
        let (Some(url), Some(request)) = (&self.rules.redirect, exchange.request.as_deref()) else { return Ok(None) };
        let url = url.render(exchange)?.into_owned();
        let body = exchange.contents.request.clone().unwrap_or_default();
        Ok(Some(copied(&request.head, url, body, REDIRECT_TIMEOUT)))
    }

    fn answer(&self, exchange: &mut Exchange, answer: FetchResponse) {
        let mut response = self.rules.responses.take();
        response.set_status(answer.status);
        for (name, value) in answer.headers.iter().filter(|(name, _)| copy::is_kept(name.as_bytes())) {
            // They were fields of a response, which is no longer than one may be.
            let _ = response.fields.append(name, value);
        }
        exchange.response = Some(response);
        exchange.contents.response = Some(answer.body);
    }
}

impl Around for Passage {
    fn before<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let admitted = self.circuit().admit(now_ms());
        let rates = match admitted {
            Ok(leave) => {
                self.leave.set(Some((leave, Instant::now())));
                return Step::Next;
            }
            Err(rates) => rates,
        };
        match (self.redirected(exchange), &self.rules.fetch) {
            (Err(reply), _) => Step::Reply(reply),
            (Ok(Some(asked)), Some(fetch)) => Step::Wait(Box::pin(async move {
                match fetch.fetch(asked).await {
                    Ok(answer) => {
                        self.answer(exchange, answer);
                        Step::Next
                    }
                    Err(fault) => {
                        tracing::debug!(api = exchange.api.id, %fault, "the URL for an open circuit does not answer");
                        Step::Reply(self.refuse(rates))
                    }
                }
            })),
            (Ok(_), _) => Step::Reply(self.refuse(rates)),
        }
    }

    fn after(&self, exchange: &mut Exchange, fault: Option<Fault>) -> After {
        // A call that is made again is another one.
        let leave = self.leave.take().or_else(|| Some((self.circuit().admit(now_ms()).ok()?, Instant::now())));
        let Some((leave, since)) = leave else { return After::Next };
        let status = exchange.response.as_deref().map(|response| response.status);
        match fault {
            // The gateway's own bounds say nothing of the backend.
            Some(fault) if fault.cause.side() != Side::Backend => self.leave.set(Some((leave, since))),
            _ => {
                let failed = fault.is_some() || status.is_some_and(|status| status.is_server_error());
                let outcome = Outcome { failed, slow: since.elapsed() > self.rules.slow };
                self.circuit().record(leave, outcome, now_ms());
            }
        }
        After::Next
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let Some((leave, since)) = self.leave.take() else { return };
        let slow = since.elapsed() > self.rules.slow;
        if self.rules.interrupted_fail && slow {
            self.circuit().record(leave, Outcome { failed: true, slow }, now_ms());
        } else {
            self.circuit().give_back(leave);
        }
    }
}
