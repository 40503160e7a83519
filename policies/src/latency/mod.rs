//! Waits.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::Text;

/// Most that an exchange is held up. It holds a connection and its place among the exchanges of the gateway all the while.
const LATENCY_MAX: Duration = Duration::from_secs(300);

/// `latency`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "latency",
    about: "Holds requests, responses or messages up for a while.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            let built = decode(configuration).and_then(|config| Latency::new(config, &Services::default()));
            refused(configuration, built.err())
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Latency::new(decode(source.configuration)?, services)?)),
};

/// Configuration of `latency`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// How long to wait, in `timeUnit`; at most five minutes. A number, or a text with expressions. Default 100.
    pub time: Option<Time>,
    /// Unit of `time`.
    pub time_unit: Unit,
}

/// A time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Time {
    /// The same for every request.
    Number(u64),
    /// A number, or an expression that gives one.
    Text(String),
}

/// A unit of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Unit {
    /// Milliseconds.
    #[default]
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Unit {
    fn of(self, count: u64) -> Duration {
        match self {
            Self::Milliseconds => Duration::from_millis(count),
            Self::Seconds => Duration::from_secs(count),
        }
    }
}

enum Wait {
    Always(Duration),
    Evaluated(Text, Unit),
}

struct Latency {
    wait: Wait,
    sleep: fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>,
}

impl Latency {
    fn new(config: Config, services: &Services) -> Result<Self, Refusal> {
        let unit = config.time_unit;
        let fixed = |count: u64| match unit.of(count) {
            time if time > LATENCY_MAX => {
                Err(Refusal(format!("time: {time:?} is more than the {LATENCY_MAX:?} that a request may be held up")))
            }
            time => Ok(Wait::Always(time)),
        };
        let wait = match config.time {
            None => fixed(100)?,
            Some(Time::Number(count)) => fixed(count)?,
            Some(Time::Text(text)) => {
                let text = Text::on_both("time", &text)?;
                match text.constant().map(|constant| constant.trim().parse()) {
                    Some(Ok(count)) => fixed(count)?,
                    Some(Err(_)) => return Err(Refusal("time: neither a whole number nor an expression".into())),
                    None => Wait::Evaluated(text, unit),
                }
            }
        };
        Ok(Self { wait, sleep: services.sleep })
    }

    /// How long this exchange waits. An expression may ask for more than is given.
    fn time(&self, exchange: &Exchange) -> Result<Duration, Box<Reply>> {
        match &self.wait {
            Wait::Always(time) => Ok(*time),
            Wait::Evaluated(text, unit) => {
                let said = text.render(exchange)?;
                let count = said.trim().parse().map_err(|_| {
                    tracing::warn!(api = exchange.api.id, "`time` of a latency step is no whole number");
                    let message = "The time that this API waits is no number.";
                    Box::new(Reply::refusal(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "GATEWAY_POLICY_INTERNAL_ERROR",
                        message,
                    ))
                })?;
                Ok(unit.of(count).min(LATENCY_MAX))
            }
        }
    }

    fn wait<'a>(&'a self, exchange: &Exchange) -> Step<'a> {
        match self.time(exchange) {
            Ok(Duration::ZERO) => Step::Next,
            Ok(time) => {
                let slept = (self.sleep)(time);
                Step::Wait(Box::pin(async move {
                    slept.await;
                    Step::Next
                }))
            }
            Err(reply) => Step::Reply(reply),
        }
    }
}

impl Policy for Latency {
    fn phases(&self) -> Phases {
        let needs = match &self.wait {
            Wait::Always(_) => Default::default(),
            Wait::Evaluated(text, _) => text.needs(),
        };
        Phases {
            request: true,
            response: true,
            request_content: needs.request_content,
            response_content: needs.response_content,
            ..Phases::default()
        }
        .with_messages()
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.wait(exchange)
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.wait(exchange)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.wait(exchange)
    }
}
