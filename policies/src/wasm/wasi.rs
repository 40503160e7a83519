//! The few functions of WASI that compiled languages link: no files, no environment, no network.

use ring::rand::{SecureRandom, SystemRandom};
use wasmi::{Caller, Error, Linker};

use super::guest::{Failure, Outcome, Status, read, size, write, write_u32};
use super::host::State;

/// Both names of the interface that toolchains import.
const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];
// Numbers of errors, of WASI.
const BAD_FILE: i32 = 8;
const FAULT: i32 = 21;
/// What is not there answers with this.
pub const NOT_THERE: i32 = 52;
/// Random bytes of one call at most.
const RANDOM_BYTES_MAX: usize = 65_536;
/// Parts that one write has at most.
const PARTS_MAX: usize = 64;

type Guest<'a> = Caller<'a, State>;

fn number(outcome: Outcome) -> Result<i32, Error> {
    match outcome {
        Ok(()) => Ok(0),
        Err(Failure::Status(_)) => Ok(FAULT),
        Err(Failure::Trap(error)) => Err(error),
    }
}

/// Defines them.
///
/// # Errors
/// One is defined twice.
pub fn define(linker: &mut Linker<State>) -> Result<(), Error> {
    for module in MODULES {
        let none = |mut guest: Guest<'_>, count: i32, bytes: i32| {
            number(write_u32(&mut guest, count, 0).and_then(|()| write_u32(&mut guest, bytes, 0)))
        };
        linker.func_wrap(module, "args_sizes_get", none)?;
        linker.func_wrap(module, "environ_sizes_get", none)?;
        linker.func_wrap(module, "args_get", |_: Guest<'_>, _: i32, _: i32| 0)?;
        linker.func_wrap(module, "environ_get", |_: Guest<'_>, _: i32, _: i32| 0)?;
        linker.func_wrap(module, "sched_yield", |_: Guest<'_>| 0)?;
        let clock = |mut guest: Guest<'_>, _clock: i32, _precision: i64, at: i32| {
            let now = ringway_contract::subscriber::now_ms().saturating_mul(1_000_000);
            number(write(&mut guest, at, &now.to_le_bytes()))
        };
        linker.func_wrap(module, "clock_time_get", clock)?;
        let random = |mut guest: Guest<'_>, at: i32, length: i32| {
            number((|| {
                let length = size(length);
                if length > RANDOM_BYTES_MAX {
                    return Err(Status::BadArgument.into());
                }
                let mut bytes = vec![0; length];
                SystemRandom::new().fill(&mut bytes).map_err(|_| Status::InternalFailure)?;
                write(&mut guest, at, &bytes)
            })())
        };
        linker.func_wrap(module, "random_get", random)?;
        linker.func_wrap(module, "fd_write", fd_write)?;
        let exit = |_: Guest<'_>, status: i32| -> Result<(), Error> { Err(Error::i32_exit(status)) };
        linker.func_wrap(module, "proc_exit", exit)?;
    }
    Ok(())
}

/// What a module prints goes to the log.
fn fd_write(mut guest: Guest<'_>, file: i32, parts: i32, count: i32, written: i32) -> Result<i32, Error> {
    if !(1..=2).contains(&file) {
        return Ok(BAD_FILE);
    }
    number((|| {
        let mut total = 0;
        for part in 0..size(count).min(PARTS_MAX) {
            let at = parts.wrapping_add(i32::try_from(part * 8).unwrap_or(i32::MAX));
            let pair = read(&mut guest, at, 8)?;
            let word = |from: usize| {
                let bytes = pair.get(from..from + 4).and_then(|bytes| bytes.try_into().ok());
                i32::from_le_bytes(bytes.unwrap_or_default())
            };
            let line = read(&mut guest, word(0), word(4))?;
            total += line.len();
            let line = line.get(..line.len().min(super::host::LOG_BYTES_MAX)).unwrap_or_default();
            tracing::info!(target: "ringway::wasm", "{}", String::from_utf8_lossy(line).trim_end());
        }
        write_u32(&mut guest, written, total)
    })())
}
