//! Scripts in JavaScript, which the policies `javascript` and `js` run: an engine per shard and policy, within bounds of time and memory.

mod engine;
mod host;

use std::cell::RefCell;
use std::time::Duration;

use http::StatusCode;
use ringway_contract::{Exchange, Phases, Refusal, Reply, Step};

use engine::{Engine, Outcome};
pub use host::Side;

/// How scripts address things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `request.headers.get('a')`, `request.uri`: of `javascript`.
    Properties,
    /// `request.headers().get('a')`, `request.uri()`: of `js`.
    Methods,
}

impl Style {
    const fn name(self) -> &'static str {
        match self {
            Self::Properties => "javascript",
            Self::Methods => "js",
        }
    }

    /// Key of the answer when a script fails.
    const fn failed(self) -> &'static str {
        match self {
            Self::Properties => "JAVASCRIPT_EXECUTION_FAILURE",
            Self::Methods => "JS_EXECUTION_FAILURE",
        }
    }
}

/// A script of one phase.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where it stands in the configuration.
    pub field: &'static str,
    /// The phases in which it runs.
    pub on: &'static [Side],
    /// JavaScript.
    pub source: String,
    /// Whether the body is held for it.
    pub reads_content: bool,
    /// Whether it may replace the body.
    pub overrides_content: bool,
    /// Whether the value of its last statement does so.
    pub by_value: bool,
}

/// What a script may use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Time of the CPU per run.
    pub time: Duration,
    /// Bytes of the engine: all scripts of the policy and whatever they hold.
    pub memory_bytes: usize,
}

/// Milliseconds of the CPU that a run has, if nothing else is said.
pub const TIME_LIMIT_MS: u64 = 10;
/// More is not given: a script holds its shard.
pub const TIME_LIMIT_MS_MAX: u64 = 1_000;
/// Bytes of an engine, if nothing else is said.
pub const MEMORY_LIMIT_BYTES: usize = 8 << 20;
/// An engine without scripts takes about half of this.
pub const MEMORY_LIMIT_BYTES_MIN: usize = 1 << 20;
/// More is not given: there is an engine per shard and policy.
pub const MEMORY_LIMIT_BYTES_MAX: usize = 256 << 20;

impl Bounds {
    /// Bounds from a configuration.
    ///
    /// # Errors
    /// They are not within what is given at most.
    pub fn new(time_limit_ms: u64, memory_limit_bytes: usize) -> Result<Self, Refusal> {
        if !(1..=TIME_LIMIT_MS_MAX).contains(&time_limit_ms) {
            return Err(Refusal(format!("timeLimitMs: {time_limit_ms} is not between 1 and {TIME_LIMIT_MS_MAX}")));
        }
        if !(MEMORY_LIMIT_BYTES_MIN..=MEMORY_LIMIT_BYTES_MAX).contains(&memory_limit_bytes) {
            return Err(Refusal(format!(
                "memoryLimitBytes: {memory_limit_bytes} is not between {MEMORY_LIMIT_BYTES_MIN} and {MEMORY_LIMIT_BYTES_MAX}"
            )));
        }
        Ok(Self { time: Duration::from_millis(time_limit_ms), memory_bytes: memory_limit_bytes })
    }
}

/// The scripts of one policy, ready to run.
pub struct Scripts {
    style: Style,
    bounds: Bounds,
    scripts: Box<[Script]>,
    /// `None` after a script went beyond its memory: what it left is thrown away, and the next run begins anew.
    engine: RefCell<Option<Engine>>,
}

impl Scripts {
    /// Compiles them.
    ///
    /// # Errors
    /// One is not JavaScript, or the memory does not suffice to read it.
    pub fn new(style: Style, scripts: Vec<Script>, bounds: Bounds) -> Result<Self, Refusal> {
        let scripts: Box<[Script]> = scripts.into_iter().filter(|script| !script.source.trim().is_empty()).collect();
        let engine = Engine::new(style.name(), &scripts, bounds)?;
        Ok(Self { style, bounds, scripts, engine: RefCell::new(Some(engine)) })
    }

    /// Where they take part.
    pub fn phases(&self) -> Phases {
        let any = |side: Side, content: bool| {
            self.scripts.iter().any(|script| {
                script.on.contains(&side) && (!content || script.reads_content || script.overrides_content)
            })
        };
        Phases {
            request: any(Side::Request, false),
            response: any(Side::Response, false),
            request_content: any(Side::Request, true),
            response_content: any(Side::Response, true),
            ..Phases::default()
        }
    }

    /// Runs those of a phase, one after the other.
    pub fn run<'a>(&self, exchange: &mut Exchange, side: Side) -> Step<'a> {
        for (at, script) in self.scripts.iter().enumerate().filter(|(_, script)| script.on.contains(&side)) {
            let outcome = self.once(exchange, at, script, side);
            match outcome {
                Ok(Outcome { failure: None, content }) => {
                    if let Some(content) = content.filter(|_| script.by_value) {
                        side.set_content(exchange, content);
                    }
                }
                Ok(Outcome { failure: Some(reply), .. }) => return Step::Reply(reply),
                Err(reason) => {
                    tracing::warn!(api = exchange.api.id, script = script.field, reason, "a script failed");
                    let message = "A script of this API failed.";
                    return Step::Reply(Box::new(Reply::refusal(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        self.style.failed(),
                        message,
                    )));
                }
            }
        }
        Step::Next
    }

    fn once(&self, exchange: &mut Exchange, at: usize, script: &Script, side: Side) -> Result<Outcome, String> {
        // Scripts cannot reach a chain, so no run is within another.
        let mut slot = self.engine.try_borrow_mut().map_err(|_| "the engine is busy")?;
        let engine = match slot.take() {
            Some(engine) => engine,
            None => Engine::new(self.style.name(), &self.scripts, self.bounds).map_err(|Refusal(reason)| reason)?,
        };
        let (outcome, sound) = engine.run(exchange, at, script, side);
        if sound {
            *slot = Some(engine);
        }
        outcome
    }
}
