//! One thread with a Tokio runtime for all client libraries that need one.

use std::future::Future;
use std::sync::OnceLock;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};

static RUNTIME: OnceLock<Result<Handle, String>> = OnceLock::new();

/// Runs a future on the brokers' thread, which is started by the first. Nothing there may block: it serves every shard.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub fn spawn<F>(future: F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let handle = RUNTIME.get_or_init(|| start().map_err(|error| error.to_string()));
    match handle {
        Ok(handle) => {
            handle.spawn(future);
            Ok(())
        }
        Err(error) => Err(io::Error::other(error.clone())),
    }
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // It ends with the process: what it holds are connections, and they end with their feeds and publishers.
    thread::Builder::new().name("brokers".to_owned()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
