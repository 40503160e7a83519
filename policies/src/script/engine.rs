//! QuickJS with the scripts of one policy, bounded.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use ringway_contract::{Exchange, Refusal, Reply};
use rquickjs::context::intrinsic;
use rquickjs::{Context, Ctx, Function, Object, Persistent, Runtime, Value};
use rustix::time::{ClockId, clock_gettime};

use super::host::{Seat, Side};
use super::{Bounds, Script};

/// Bytes of the machine's stack that a script may use: a shard has two MiB.
const STACK_BYTES_MAX: usize = 256 << 10;
/// What scripts ran off for later (promises) is run behind them; no more than this.
const JOBS_MAX: usize = 1_000;
/// Globals that one run may leave to be removed; with more of them the engine is made anew.
const LEFT_MAX: usize = 1_000;

const PRELUDE: &str = include_str!("prelude.js");

/// All of the language but what tells of the machine or outlives a run.
type Language = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// How a run ended.
pub struct Outcome {
    /// The answer, when the script wants one instead of going on.
    pub failure: Option<Box<Reply>>,
    /// The value of the last statement.
    pub content: Option<String>,
}

/// The time that a run has, and whether it was over.
struct Clock {
    ends: Cell<Duration>,
    over: Cell<bool>,
}

/// Time of the CPU that this thread has had: what others take of a busy machine does not count against a script.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The order is that in which they must be dropped.
pub struct Engine {
    runs: Box<[Persistent<Function<'static>>]>,
    context: Context,
    runtime: Runtime,
    seat: Rc<Seat>,
    clock: Rc<Clock>,
    time: Duration,
}

impl Engine {
    /// An engine that has compiled these.
    ///
    /// # Errors
    /// A script is none, or the memory does not suffice.
    pub fn new(style: &str, scripts: &[Script], bounds: Bounds) -> Result<Self, Refusal> {
        let unusable = |error: rquickjs::Error| Refusal(format!("the script engine does not start: {error}"));
        let runtime = Runtime::new().map_err(unusable)?;
        runtime.set_memory_limit(bounds.memory_bytes);
        runtime.set_max_stack_size(STACK_BYTES_MAX);
        // Cycles are looked for when an engine has grown by half of what it may have.
        runtime.set_gc_threshold(bounds.memory_bytes / 2);
        let clock = Rc::new(Clock { ends: Cell::new(Duration::MAX), over: Cell::new(false) });
        let watched = clock.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || {
            let over = cpu_time() >= watched.ends.get();
            watched.over.set(watched.over.get() || over);
            over
        })));
        let context = Context::custom::<Language>(&runtime).map_err(unusable)?;
        let seat = Rc::new(Seat::default());
        let runs = context.with(|ctx| {
            let host = seat.functions(&ctx);
            let made = host.and_then(|host| {
                let prelude: Function<'_> = ctx.eval(PRELUDE)?;
                prelude.call::<_, Function<'_>>((host, style))
            });
            let compile = made.map_err(|_| Refusal(format!("the script engine does not start: {}", thrown(&ctx))))?;
            let compiled = scripts.iter().map(|script| {
                let run = compile.call::<_, Function<'_>>((&script.source, script.by_value));
                let run = run.map_err(|_| Refusal(format!("{}: {}", script.field, thrown(&ctx))))?;
                Ok(Persistent::save(&ctx, run))
            });
            compiled.collect::<Result<Box<[_]>, Refusal>>()
        })?;
        Ok(Self { runs, context, runtime, seat, clock, time: bounds.time })
    }

    /// Runs a script on an exchange, and says whether the engine may be used again.
    pub fn run(
        &self,
        exchange: &mut Exchange,
        at: usize,
        script: &Script,
        side: Side,
    ) -> (Result<Outcome, String>, bool) {
        let Some(run) = self.runs.get(at).cloned() else { return (Err("it was not compiled".into()), false) };
        self.clock.over.set(false);
        self.clock.ends.set(cpu_time().saturating_add(self.time));
        self.seat.take(exchange, script, side);
        let outcome = self.context.with(|ctx| {
            let called = run.restore(&ctx).and_then(|run| run.call::<_, Value<'_>>(()));
            let outcome = match called.and_then(|told| outcome(&told)) {
                Ok(outcome) => Ok(outcome),
                Err(_) if self.clock.over.get() => Err(format!("it took longer than {} ms", self.time.as_millis())),
                Err(error) if error.is_exception() => Err(thrown(&ctx)),
                Err(error) => Err(error.to_string()),
            };
            let is_clean = forget(&ctx);
            (outcome, is_clean)
        });
        let (outcome, is_clean) = outcome;
        let mut jobs = 0;
        while jobs < JOBS_MAX && self.runtime.execute_pending_job().unwrap_or(true) {
            jobs += 1;
        }
        self.seat.give(exchange);
        self.clock.ends.set(Duration::MAX);
        // What ran out of time was unwound, and left nothing. What ran out of memory may hold half of what it was about to do.
        let is_sound = is_clean && jobs < JOBS_MAX && !outcome.as_ref().is_err_and(|reason| is_memory(reason));
        (outcome, is_sound)
    }
}

fn is_memory(reason: &str) -> bool {
    reason.contains("out of memory") || reason.is_empty() || reason == "null"
}

/// Removes the globals that a script made by assigning to an undeclared name. Whether all of them are gone.
fn forget(ctx: &Ctx<'_>) -> bool {
    let globals = ctx.globals();
    let left: Vec<String> = globals.keys::<String>().take(LEFT_MAX).filter_map(Result::ok).collect();
    left.len() < LEFT_MAX
        && left.iter().all(|name| globals.remove(name.as_str()).is_ok())
        && globals.keys::<String>().next().is_none()
}

/// What was thrown, in words for the operator.
fn thrown(ctx: &Ctx<'_>) -> String {
    let value = ctx.catch();
    let told = |object: &Object<'_>| {
        let message: String = object.get("message").ok()?;
        let name: String = object.get("name").unwrap_or_else(|_| "Error".into());
        let stack: String = object.get("stack").unwrap_or_default();
        let place = stack.lines().next().unwrap_or_default().trim();
        Some(format!("{name}: {message} {place}").trim_end().to_owned())
    };
    match value.as_object().and_then(told) {
        Some(text) => text,
        None => shown(&value),
    }
}

fn shown(value: &Value<'_>) -> String {
    match value.as_string().map(|text| text.to_string()) {
        Some(Ok(text)) => text,
        _ if value.is_null() => "null".into(),
        _ => format!("it threw {}", value.type_name()),
    }
}

/// Reads what the prelude's `run` answers with: the content, if there is one, or the parts of a failure.
fn outcome(told: &Value<'_>) -> rquickjs::Result<Outcome> {
    let Some(told) = told.as_array() else {
        let content = told.as_string().map(|text| text.to_string()).transpose()?;
        return Ok(Outcome { failure: None, content });
    };
    let code = told.get::<f64>(0)?;
    let status = StatusCode::from_u16(code as u16).ok().filter(|status| status.as_u16() >= 200);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = told.get::<Option<String>>(1)?;
    let key = told.get::<Option<String>>(2)?.unwrap_or_default();
    let message = error.clone().unwrap_or_else(|| status.canonical_reason().unwrap_or("Error").to_owned());
    let mut reply = Reply::refusal(status, key, message);
    if let (Some(media), Some(error)) = (told.get::<Option<String>>(3)?, error) {
        reply = reply.header("Content-Type", media);
        reply.body = Some(error.into());
    }
    Ok(Outcome { failure: Some(Box::new(reply)), content: None })
}
