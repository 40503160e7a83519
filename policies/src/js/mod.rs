//! Runs a script in JavaScript, with the objects of the reference product's newer policy.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::script::{Bounds, MEMORY_LIMIT_BYTES, Script, Scripts, Side, Style, TIME_LIMIT_MS};

/// `js`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "js",
    about: "Runs a script on a request or a response, within bounds of time and memory; things are called, not read.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Js::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Js::new(decode(source.configuration)?)?)),
};

/// Configuration of `js`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The script; it runs in the phase in which the step stands.
    pub script: String,
    /// Whether it reads the body: it is held for it.
    pub read_content: bool,
    /// Whether it may replace the body, by `content(text)`.
    pub override_content: bool,
    /// Milliseconds of the CPU for each run of the script, 1 to 1000. The shard does nothing else meanwhile.
    pub time_limit_ms: u64,
    /// Bytes of the script engine, of which each shard has one for this step; 1 MiB to 256 MiB.
    pub memory_limit_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            script: String::new(),
            read_content: false,
            override_content: false,
            time_limit_ms: TIME_LIMIT_MS,
            memory_limit_bytes: MEMORY_LIMIT_BYTES,
        }
    }
}

struct Js {
    scripts: Scripts,
}

impl Js {
    fn new(config: Config) -> Result<Self, Refusal> {
        if config.script.trim().is_empty() {
            return Err(Refusal("script: a script is needed".into()));
        }
        let script = Script {
            field: "script",
            on: &[Side::Request, Side::Response],
            source: config.script,
            reads_content: config.read_content,
            overrides_content: config.override_content,
            by_value: false,
        };
        let bounds = Bounds::new(config.time_limit_ms, config.memory_limit_bytes)?;
        Ok(Self { scripts: Scripts::new(Style::Methods, vec![script], bounds)? })
    }
}

impl Policy for Js {
    fn phases(&self) -> Phases {
        self.scripts.phases()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.scripts.run(exchange, Side::Request)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.scripts.run(exchange, Side::Response)
    }
}
