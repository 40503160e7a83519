//! Runs scripts in JavaScript, with the objects of the reference product's older policy.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::scope::Scope;
use crate::script::{Bounds, MEMORY_LIMIT_BYTES, Script, Scripts, Side, Style, TIME_LIMIT_MS};

/// `javascript`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "javascript",
    about: "Runs a script on a request or a response, within bounds of time and memory.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(JavaScript::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(JavaScript::new(decode(source.configuration)?)?)),
};

/// Configuration of `javascript`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Read, and of no effect: the phase in which the step stands decides.
    pub scope: Scope,
    /// The script; it runs in the phase in which the step stands.
    pub script: Option<String>,
    /// Whether `script` reads the body: it is held for it.
    pub read_content: bool,
    /// Whether the value of the last statement of `script` replaces the body.
    pub override_content: bool,
    /// A script for requests.
    pub on_request_script: Option<String>,
    /// A script for responses.
    pub on_response_script: Option<String>,
    /// A script for requests that reads the body, and replaces it by the value of its last statement.
    pub on_request_content_script: Option<String>,
    /// The same for responses.
    pub on_response_content_script: Option<String>,
    /// Milliseconds of the CPU for each run of a script, 1 to 1000. The shard does nothing else meanwhile.
    pub time_limit_ms: u64,
    /// Bytes of the script engine, of which each shard has one for this step; 1 MiB to 256 MiB.
    pub memory_limit_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            script: None,
            read_content: false,
            override_content: false,
            on_request_script: None,
            on_response_script: None,
            on_request_content_script: None,
            on_response_content_script: None,
            time_limit_ms: TIME_LIMIT_MS,
            memory_limit_bytes: MEMORY_LIMIT_BYTES,
        }
    }
}

struct JavaScript {
    scripts: Scripts,
}

impl JavaScript {
    fn new(config: Config) -> Result<Self, Refusal> {
        let plain = |field, on, source: Option<String>| Script {
            field,
            on,
            source: source.unwrap_or_default(),
            reads_content: false,
            overrides_content: false,
            by_value: false,
        };
        let content = |field, on, source| Script {
            reads_content: true,
            overrides_content: true,
            by_value: true,
            ..plain(field, on, source)
        };
        let scripts = vec![
            plain("onRequestScript", &[Side::Request], config.on_request_script),
            content("onRequestContentScript", &[Side::Request], config.on_request_content_script),
            plain("onResponseScript", &[Side::Response], config.on_response_script),
            content("onResponseContentScript", &[Side::Response], config.on_response_content_script),
            Script {
                reads_content: config.read_content,
                overrides_content: config.override_content,
                by_value: config.override_content,
                ..plain("script", &[Side::Request, Side::Response], config.script)
            },
        ];
        let bounds = Bounds::new(config.time_limit_ms, config.memory_limit_bytes)?;
        Ok(Self { scripts: Scripts::new(Style::Properties, scripts, bounds)? })
    }
}

impl Policy for JavaScript {
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
