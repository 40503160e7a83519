//! Runs a WebAssembly module that speaks the proxy-wasm ABI, version 0.2.1
//! (<https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>).

mod guest;
mod host;
mod plugin;
mod property;
mod wasi;

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Node, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use host::Side;
use plugin::{Bounds, Code, Plugin};

/// `wasm`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "wasm",
    about: "Runs a WebAssembly module of the proxy-wasm ABI, within bounds of fuel and memory.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, read(configuration).and_then(Wasm::new).err()))
        .reading(|configuration, _| {
            read(configuration).ok().and_then(|config| config.file).map(PathBuf::from).into_iter().collect()
        }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Wasm::new(read(source.configuration)?)?)),
};

/// Configuration of `wasm`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The file of the module, beside the definition unless it is an absolute path.
    pub file: Option<String>,
    /// Instead, the module itself, in Base64.
    pub module: Option<String>,
    /// What the module is configured with.
    pub configuration: String,
    /// Whether bodies are held and shown to a module that looks at them.
    pub read_content: bool,
    /// Fuel of each phase of an exchange, about one for each instruction; 1,000 to 1,000,000,000. To start, a module has ten times as much. The
    /// shard does nothing else meanwhile.
    pub fuel: u64,
    /// Bytes of the module's memory, of which each shard has one for this step; also of a body that it makes. 64 KiB to 1 GiB.
    pub memory_limit_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            module: None,
            configuration: String::new(),
            read_content: true,
            fuel: 5_000_000,
            memory_limit_bytes: 16 << 20,
        }
    }
}

/// More is not given for one phase: seconds of a shard.
const FUEL_MAX: u64 = 1_000_000_000;
/// Less does not suffice to be called.
const FUEL_MIN: u64 = 1_000;
/// A page, the least that a memory has.
const MEMORY_BYTES_MIN: usize = 64 << 10;
/// There is a memory per shard and step.
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// A module that is larger is not read.
const MODULE_BYTES_MAX: u64 = 32 << 20;

/// The configuration, with its file where the definition lies.
fn read(configuration: Option<&Node>) -> Result<Config, Refusal> {
    let mut config: Config = decode(configuration)?;
    let folder = configuration.and_then(|node| Path::new(&node.span.source.name).parent());
    if let (Some(file), Some(folder)) = (&mut config.file, folder) {
        *file = folder.join(&*file).to_string_lossy().into_owned();
    }
    Ok(config)
}

/// The bytes of the module.
fn load(config: &Config) -> Result<Vec<u8>, Refusal> {
    match (&config.file, &config.module) {
        (Some(_), Some(_)) => Err(Refusal("file, module: one of them".into())),
        (None, None) => Err(Refusal("file: a module is needed, here or in `module`".into())),
        (None, Some(text)) => {
            let text: String = text.split_ascii_whitespace().collect();
            STANDARD.decode(text).map_err(|error| Refusal(format!("module: not Base64: {error}")))
        }
        (Some(file), None) => {
            let unreadable = |error: std::io::Error| Refusal(format!("file: `{file}`: {error}"));
            let mut bytes = Vec::new();
            let opened = std::fs::File::open(file).map_err(unreadable)?;
            opened.take(MODULE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
            if bytes.len() as u64 > MODULE_BYTES_MAX {
                return Err(Refusal(format!("file: `{file}` has more than {MODULE_BYTES_MAX} bytes")));
            }
            Ok(bytes)
        }
    }
}

struct Wasm {
    code: Code,
    phases: Phases,
    /// `None` after a failure: the next exchange finds a new one.
    plugin: RefCell<Option<Plugin>>,
}

impl Wasm {
    fn new(config: Config) -> Result<Self, Refusal> {
        if !(FUEL_MIN..=FUEL_MAX).contains(&config.fuel) {
            return Err(Refusal(format!("fuel: {} is not between {FUEL_MIN} and {FUEL_MAX}", config.fuel)));
        }
        let memory_bytes = config.memory_limit_bytes;
        if !(MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX).contains(&memory_bytes) {
            let range = format!("between {MEMORY_BYTES_MIN} and {MEMORY_BYTES_MAX}");
            return Err(Refusal(format!("memoryLimitBytes: {memory_bytes} is not {range}")));
        }
        let bounds = Bounds { fuel: config.fuel, memory_bytes };
        let code = Code::new(&load(&config)?, config.configuration.into(), bounds)?;
        let plugin = Plugin::start(&code)?;
        let (request, request_body) = plugin.looks_at(Side::Request);
        let (response, response_body) = plugin.looks_at(Side::Response);
        let phases = Phases {
            request,
            response,
            request_content: request_body && config.read_content,
            response_content: response_body && config.read_content,
            ..Phases::default()
        };
        Ok(Self { code, phases, plugin: RefCell::new(Some(plugin)) })
    }

    fn show(&self, exchange: &mut Exchange, side: Side) -> Result<Option<Box<Reply>>, String> {
        let content = match side {
            Side::Request => self.phases.request_content,
            Side::Response => self.phases.response_content,
        };
        let mut slot = self.plugin.try_borrow_mut().map_err(|_| "it is busy")?;
        let mut plugin = match slot.take() {
            Some(plugin) => plugin,
            None => Plugin::start(&self.code).map_err(|Refusal(reason)| reason)?,
        };
        let reply = plugin.show(exchange, side, content)?;
        *slot = Some(plugin);
        Ok(reply)
    }

    fn run<'a>(&self, exchange: &mut Exchange, side: Side) -> Step<'a> {
        match self.show(exchange, side) {
            Ok(None) => Step::Next,
            Ok(Some(reply)) => Step::Reply(reply),
            Err(reason) => {
                tracing::warn!(api = exchange.api.id, reason, "a module failed");
                let message = "A module of this API failed.";
                Step::Reply(Box::new(Reply::refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "WASM_EXECUTION_FAILURE",
                    message,
                )))
            }
        }
    }
}

impl Policy for Wasm {
    fn phases(&self) -> Phases {
        self.phases
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.run(exchange, Side::Request)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.run(exchange, Side::Response)
    }
}
