//! A module that runs: its instance, and the conversation with it.

use bytes::Bytes;
use ringway_contract::{Exchange, Refusal, Reply};
use wasmi::{
    Config, Engine, Error, ExternType, Instance, Linker, Module, Store, StoreLimitsBuilder, TrapCode, TypedFunc, Val,
    ValType,
};

use super::guest::Status;
use super::host::{self, Side, State};
use super::wasi;
use crate::lend;

/// What a module may use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Fuel of one phase of an exchange.
    pub fuel: u64,
    /// Bytes of its memory.
    pub memory_bytes: usize,
}

/// To start and to be configured, a module has so many times the fuel of a phase.
const START_FACTOR: u64 = 10;
/// Entries of its tables of functions.
const TABLE_ENTRIES_MAX: usize = 100_000;
/// Calls inside of one another.
const RECURSION_MAX: usize = 1_000;
/// The context that every module has; those of exchanges have greater numbers.
const ROOT: i32 = 1;
/// The message waits for something.
const PAUSE: i32 = 1;

/// A module, read and linked; instances are made of it.
pub struct Code {
    engine: Engine,
    module: Module,
    linker: Linker<State>,
    configuration: Bytes,
    bounds: Bounds,
}

impl Code {
    /// Reads a module.
    ///
    /// # Errors
    /// It is none, or not for this ABI.
    pub fn new(wasm: &[u8], configuration: Bytes, bounds: Bounds) -> Result<Self, Refusal> {
        let mut config = Config::default();
        config.consume_fuel(true).set_max_recursion_depth(RECURSION_MAX);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, wasm).map_err(|error| Refusal(format!("module: {error}")))?;
        if !["proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0"].iter().any(|name| module.get_export(name).is_some())
        {
            let refusal = "module: it exports neither `proxy_abi_version_0_2_1` nor `proxy_abi_version_0_2_0`";
            return Err(Refusal(refusal.into()));
        }
        let mut linker = Linker::new(&engine);
        let linked = host::define(&mut linker).and_then(|()| wasi::define(&mut linker));
        linked.and_then(|()| absent(&mut linker, &module)).map_err(|error| Refusal(format!("module: {error}")))?;
        Ok(Self { engine, module, linker, configuration, bounds })
    }
}

/// Whatever else a module imports answers that it is not there.
fn absent(linker: &mut Linker<State>, module: &Module) -> Result<(), Error> {
    linker.allow_shadowing(false);
    for import in module.imports() {
        let ExternType::Func(kind) = import.ty() else { continue };
        let answer = match import.module() {
            "env" if import.name().starts_with("proxy_") => Status::Unimplemented as i32,
            name if name.starts_with("wasi_") => wasi::NOT_THERE,
            _ => continue,
        };
        if !matches!(kind.results(), [ValType::I32] | []) {
            continue;
        }
        let stub = move |_: wasmi::Caller<'_, State>, _: &[Val], results: &mut [Val]| {
            results.iter_mut().for_each(|result| *result = Val::I32(answer));
            Ok(())
        };
        // What is defined already stays.
        let _ = linker.func_new(import.module(), import.name(), kind.clone(), stub);
    }
    Ok(())
}

type Call<P, R> = Option<TypedFunc<P, R>>;

/// A running module. It is thrown away when it fails: nobody knows what state it is in.
pub struct Plugin {
    store: Store<State>,
    fuel: u64,
    next: i32,
    on_context_create: Call<(i32, i32), ()>,
    on_request_headers: Call<(i32, i32, i32), i32>,
    on_request_body: Call<(i32, i32, i32), i32>,
    on_response_headers: Call<(i32, i32, i32), i32>,
    on_response_body: Call<(i32, i32, i32), i32>,
    on_done: Call<i32, i32>,
    on_log: Call<i32, ()>,
    on_delete: Call<i32, ()>,
}

impl Plugin {
    /// Makes an instance, and configures it.
    ///
    /// # Errors
    /// It imports what is not there, fails, or refuses its configuration.
    pub fn start(code: &Code) -> Result<Self, Refusal> {
        let failed = |error: Error| Refusal(format!("module: it does not start: {}", reason(&error)));
        let limits = StoreLimitsBuilder::new().memory_size(code.bounds.memory_bytes).table_elements(TABLE_ENTRIES_MAX);
        let state = State {
            limits: limits.memories(1).instances(1).build(),
            content_bytes_max: code.bounds.memory_bytes,
            configuration: code.configuration.clone(),
            exchange: None,
            side: Side::default(),
            shows_content: false,
            reply: None,
            resumed: false,
            allocating: false,
        };
        let mut store = Store::new(&code.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_fuel(code.bounds.fuel.saturating_mul(START_FACTOR)).map_err(failed)?;
        let instance = code.linker.instantiate_and_start(&mut store, &code.module).map_err(failed)?;
        for name in ["_initialize", "_start"] {
            if let Ok(run) = instance.get_typed_func::<(), ()>(&store, name) {
                run.call(&mut store, ()).map_err(failed)?;
                break;
            }
        }
        let mut plugin = Self {
            fuel: code.bounds.fuel,
            next: ROOT,
            on_context_create: found(&instance, &store, "proxy_on_context_create"),
            on_request_headers: found(&instance, &store, "proxy_on_request_headers"),
            on_request_body: found(&instance, &store, "proxy_on_request_body"),
            on_response_headers: found(&instance, &store, "proxy_on_response_headers"),
            on_response_body: found(&instance, &store, "proxy_on_response_body"),
            on_done: found(&instance, &store, "proxy_on_done"),
            on_log: found(&instance, &store, "proxy_on_log"),
            on_delete: found(&instance, &store, "proxy_on_delete"),
            store,
        };
        let length = i32::try_from(code.configuration.len()).unwrap_or(i32::MAX);
        if let Some(create) = plugin.on_context_create {
            create.call(&mut plugin.store, (ROOT, 0)).map_err(failed)?;
        }
        for (name, length) in [("proxy_on_vm_start", 0), ("proxy_on_configure", length)] {
            let start: Call<(i32, i32), i32> = found(&instance, &plugin.store, name);
            if let Some(start) = start
                && start.call(&mut plugin.store, (ROOT, length)).map_err(failed)? == 0
            {
                return Err(Refusal(format!("configuration: the module refuses it (`{name}`)")));
            }
        }
        Ok(plugin)
    }

    /// Whether it looks at messages and at bodies of this side.
    pub fn looks_at(&self, side: Side) -> (bool, bool) {
        let (headers, body) = match side {
            Side::Request => (self.on_request_headers.is_some(), self.on_request_body.is_some()),
            Side::Response => (self.on_response_headers.is_some(), self.on_response_body.is_some()),
        };
        (headers || body, body)
    }

    /// Shows it a message, and says what it answers with instead of letting it go on.
    ///
    /// # Errors
    /// It failed; it must not be used again.
    pub fn show(&mut self, exchange: &mut Exchange, side: Side, content: bool) -> Result<Option<Box<Reply>>, String> {
        let state = self.store.data_mut();
        state.exchange = Some(lend::take(exchange));
        (state.side, state.shows_content, state.resumed, state.reply) = (side, content, false, None);
        let outcome = self.store.set_fuel(self.fuel).and_then(|()| self.converse(side));
        let state = self.store.data_mut();
        if let Some(lent) = state.exchange.take() {
            *exchange = lent;
        }
        let reply = state.reply.take();
        match outcome {
            Err(error) => Err(reason(&error)),
            Ok(true) if reply.is_none() => Err("it paused, and nothing will wake it".into()),
            Ok(_) => Ok(reply),
        }
    }

    /// The life of a context: whether it ended paused.
    fn converse(&mut self, side: Side) -> Result<bool, Error> {
        self.next = self.next.checked_add(1).unwrap_or(ROOT + 1);
        let id = self.next;
        if let Some(create) = self.on_context_create {
            create.call(&mut self.store, (id, ROOT))?;
        }
        let (on_headers, on_body) = match side {
            Side::Request => (self.on_request_headers, self.on_request_body),
            Side::Response => (self.on_response_headers, self.on_response_body),
        };
        let (count, bytes) = self.store.data().sizes();
        let mut action = 0;
        if let Some(on_headers) = on_headers {
            action = on_headers.call(&mut self.store, (id, count, i32::from(bytes == 0)))?;
        }
        if let Some(on_body) = on_body.filter(|_| bytes > 0 && self.store.data().reply.is_none()) {
            action = on_body.call(&mut self.store, (id, bytes, 1))?;
        }
        let is_paused = action == PAUSE && !self.store.data().resumed;
        if let Some(done) = self.on_done {
            done.call(&mut self.store, id)?;
        }
        for end in [self.on_log, self.on_delete].into_iter().flatten() {
            end.call(&mut self.store, id)?;
        }
        Ok(is_paused)
    }
}

fn found<P: wasmi::WasmParams, R: wasmi::WasmResults>(
    instance: &Instance,
    store: &Store<State>,
    name: &str,
) -> Call<P, R> {
    instance.get_typed_func(store, name).ok()
}

/// Why it failed, for the log.
fn reason(error: &Error) -> String {
    match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => "it used up its fuel".into(),
        _ => error.to_string(),
    }
}
