//! Calls the endpoint once more when it failed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{
    After, Around, Exchange, Fault, Kind, Phases, Policy, Refusal, Reply, Root, Step, Template, Vocabulary,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// `retry`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "retry",
    about: "Calls the endpoint again when it fails, or when its response meets a condition.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Rules::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Retry { rules: Rc::new(Rules::new(decode(source.configuration)?)?) })),
};

/// Retries of one request, at most.
const RETRIES_MAX: u32 = ringway_contract::around::CALLS_MAX - 1;
/// Pause between two calls, at most, in milliseconds.
const DELAY_MS_MAX: u64 = 60_000;

/// Configuration of `retry`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// When a response is a failure: a condition on `#response`.
    pub condition: String,
    /// How often the endpoint is called again, 1 to 31.
    #[serde(default = "once")]
    pub max_retries: u32,
    /// Milliseconds that one call may take until its response begins; 0: as long as the request has.
    #[serde(default = "a_second")]
    pub timeout: u64,
    /// Milliseconds between two calls, at most a minute.
    #[serde(default)]
    pub delay: u64,
    /// Whether the last response is passed on, even if it is a failure; otherwise the client is answered 502.
    #[serde(default)]
    pub last_response: bool,
}

fn once() -> u32 {
    1
}

fn a_second() -> u64 {
    1000
}

struct Rules {
    condition: Template,
    retries_max: u32,
    timeout: Option<Duration>,
    delay: Duration,
    last_response: bool,
}

impl Rules {
    fn new(config: Config) -> Result<Self, Refusal> {
        let vocabulary = Vocabulary::response().with(Root::UpstreamResponse);
        let condition = Template::condition(&config.condition, &vocabulary);
        let condition = condition.map_err(|problem| Refusal(format!("condition: {problem}")))?;
        if condition.needs().response_content {
            return Err(Refusal("condition: the body is not there yet; status and headers are".into()));
        }
        if !(1..=RETRIES_MAX).contains(&config.max_retries) {
            return Err(Refusal(format!("maxRetries: it is not between 1 and {RETRIES_MAX}")));
        }
        if config.delay > DELAY_MS_MAX {
            return Err(Refusal(format!("delay: it is more than {DELAY_MS_MAX} ms")));
        }
        Ok(Self {
            condition,
            retries_max: config.max_retries,
            timeout: (config.timeout > 0).then(|| Duration::from_millis(config.timeout)),
            delay: Duration::from_millis(config.delay),
            last_response: config.last_response,
        })
    }
}

struct Retry {
    rules: Rc<Rules>,
}

impl Policy for Retry {
    fn phases(&self) -> Phases {
        // What is sent again must be here.
        Phases::REQUEST.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.arounds.push(Rc::new(Tries { rules: self.rules.clone(), made: Cell::new(0) }));
        Step::Next
    }
}

/// The retries of one exchange.
struct Tries {
    rules: Rc<Rules>,
    made: Cell<u32>,
}

impl Around for Tries {
    fn patience(&self) -> Option<Duration> {
        self.rules.timeout
    }

    fn after(&self, exchange: &mut Exchange, fault: Option<Fault>) -> After {
        let failed = fault.is_some()
            || self.rules.condition.as_bool(exchange).unwrap_or_else(|error| {
                tracing::warn!(api = exchange.api.id, %error, "`condition` of a retry cannot be evaluated");
                false
            });
        if !failed {
            return After::Next;
        }
        let made = self.made.get();
        if made < self.rules.retries_max {
            self.made.set(made + 1);
            return After::Again(self.rules.delay);
        }
        // A failure has a name of its own already.
        if fault.is_some() || self.rules.last_response {
            return After::Next;
        }
        let message = "The backend did not answer as it should, however often it was asked.";
        After::Reply(Box::new(Reply::refusal(StatusCode::BAD_GATEWAY, "RETRY_EXHAUSTED", message)))
    }
}
