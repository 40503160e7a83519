//! A shard: one pinned thread, one runtime, and everything that its connections share.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::admission::{Admission, AdmissionOptions, Admit};
use crate::buffer::Buffers;
use crate::clock;
use crate::dns::{Dns, Resolver};
use crate::driver::{self, COMPLETIONS, Driver, DriverChoice, ENTRIES};
use crate::gather::Iovecs;
use crate::signal::Signal;
use crate::slots::Slots;
use crate::socket::Socket;
use crate::timer::Timers;
use crate::tls::Windows;
use crate::volley::Volley;

/// How long a shard that is done waits for the tasks that it has left.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Most work under way at which a stream does not wait for the ring. Measured in CPU per request: at 2,000 requests a second the direct
/// calls save a sixth; with 8 connections that ask without a pause they make no difference; with 64 it is the queue that saves.
const CALM_MAX: u32 = 16;

/// See [`Shard::busy`].
pub struct Busy(Rc<Shard>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.admission.end();
    }
}

/// How to run a shard.
#[derive(Clone)]
pub struct ShardOptions {
    /// The number of the shard, from 0.
    pub id: usize,
    /// The core to be pinned to.
    pub core: Option<usize>,
    /// Which drivers may be used.
    pub driver: DriverChoice,
    /// Entries of the submission queue (io_uring only, at least 256).
    pub entries: u32,
    /// Entries of the completion queue (io_uring only).
    pub completions: u32,
    /// Told of every panic that was caught at a task: the shard's number and the panic's message.
    pub on_panic: fn(usize, &str),
    /// Who resolves names, shared by all shards. Without it only IP addresses and localhost are known.
    pub dns: Option<Dns>,
    /// When exchanges have to wait for each other.
    pub admission: AdmissionOptions,
}

impl ShardOptions {
    /// Shard `id`: not pinned, the best driver, panics only counted.
    pub fn new(id: usize) -> Self {
        Self {
            id,
            core: None,
            driver: DriverChoice::Auto,
            entries: ENTRIES,
            completions: COMPLETIONS,
            on_panic: |_, _| {},
            dns: None,
            admission: AdmissionOptions::default(),
        }
    }
}

/// What the tasks of a shard share. Lives on one thread and never leaves it.
pub struct Shard {
    /// Buffers to lend.
    pub buffers: Buffers,
    /// Deadlines.
    pub timers: Timers,
    /// Names.
    pub resolver: Resolver,
    /// Sends to many sockets at once.
    pub volley: Volley,
    /// The number of the shard, from 0.
    pub id: usize,
    /// The driver that it got.
    pub driver: Driver,
    closing: Signal,
    /// See [`Shard::busy`] and [`Shard::admit`].
    pub(crate) admission: Admission,
    /// Buffers that wait for bytes, see [`Arrival`](crate::Arrival).
    pub(crate) waiting: Cell<usize>,
    /// Posted writes that are not settled.
    pub(crate) posted: Cell<usize>,
    panics: Cell<u64>,
    on_panic: fn(usize, &str),
    tasks: Cell<usize>,
    /// Connected sockets, so that the end of the shard can end them all.
    sockets: RefCell<Slots<RawFd>>,
    /// Always readable: see `yield_now`. Only with io_uring.
    pub(crate) ready: RefCell<Option<Rc<Socket>>>,
    pub(crate) iovecs: Iovecs,
    pub(crate) windows: Windows,
    started: Instant,
    started_unix_ms: u64,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
}

impl Shard {
    /// The shard of this thread.
    ///
    /// # Panics
    /// On a thread that is no shard.
    pub fn current() -> Rc<Self> {
        match Self::try_current() {
            Some(shard) => shard,
            None => panic!("this thread is no shard"),
        }
    }

    /// The shard of this thread, if it is one.
    pub fn try_current() -> Option<Rc<Self>> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Runs `f` with the shard of this thread, without counting a reference.
    pub(crate) fn with<R>(f: impl FnOnce(&Self) -> R) -> Option<R> {
        CURRENT.try_with(|current| current.borrow().as_deref().map(f)).ok().flatten()
    }

    /// The time, from the system (about 20 ns).
    pub fn now(&self) -> Instant {
        clock::now()
    }

    /// Milliseconds since 1970, monotonic within the process: a clock that is set back does not turn figures around.
    pub fn unix_ms(&self) -> u64 {
        self.started_unix_ms.saturating_add(
            u64::try_from(clock::now().saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX),
        )
    }

    /// Set when the shard's main future is done. Accept loops and other tasks without an end of their own wait for it.
    pub fn closing(&self) -> &Signal {
        &self.closing
    }

    /// Counts as work under way until it is dropped.
    ///
    /// With much under way, operations are queued and go to the kernel together, many at one system call. With little, each
    /// would be a system call alone and a turn of the loop besides: then a stream reads and writes at once, if the socket
    /// lets it.
    pub fn busy(self: &Rc<Self>) -> Busy {
        self.admission.begin();
        Busy(Rc::clone(self))
    }

    /// Leave to begin an exchange, which has to be [`busy`](Self::busy) in the same turn of the task: at once, or, where the core is short of
    /// time, when others have ended. Whether it was waited for.
    pub fn admit(self: &Rc<Self>) -> Admit<'_> {
        Admit::new(self)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.admission.under_way() == 0
    }

    /// Whether so little is under way that nothing is gained by queueing.
    pub(crate) fn is_calm(&self) -> bool {
        self.admission.under_way() <= CALM_MAX
    }

    /// Panics that were caught at a task.
    pub fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// Tasks that are alive.
    pub fn tasks(&self) -> usize {
        self.tasks.get()
    }

    /// Connected sockets that are open.
    pub fn sockets(&self) -> usize {
        self.sockets.borrow().len()
    }

    /// Whether an operation that was begun goes on without being polled.
    pub(crate) fn goes_on_alone(&self) -> bool {
        #[cfg(feature = "sim")]
        if crate::sim::current().is_some() {
            return true;
        }
        !self.is_epoll()
    }

    pub(crate) fn is_epoll(&self) -> bool {
        self.driver == Driver::Epoll
    }

    pub(crate) fn count_panic(&self, message: &str) {
        self.panics.set(self.panics.get() + 1);
        (self.on_panic)(self.id, message);
    }

    pub(crate) fn task_born(&self) {
        self.tasks.set(self.tasks.get() + 1);
    }

    pub(crate) fn task_gone(&self) {
        self.tasks.set(self.tasks.get().saturating_sub(1));
    }

    pub(crate) fn register(&self, fd: RawFd) -> u32 {
        self.sockets.borrow_mut().insert(fd)
    }

    pub(crate) fn deregister(&self, slot: u32) {
        self.sockets.borrow_mut().remove(slot);
    }

    fn new(options: &ShardOptions, driver: Driver, resolver: Resolver) -> Self {
        Self {
            buffers: Buffers::new(),
            timers: Timers::new(),
            resolver,
            volley: Volley::new(driver != Driver::Epoll),
            id: options.id,
            driver,
            closing: Signal::new(),
            admission: Admission::new(options.admission),
            waiting: Cell::new(0),
            posted: Cell::new(0),
            panics: Cell::new(0),
            on_panic: options.on_panic,
            tasks: Cell::new(0),
            sockets: RefCell::new(Slots::new()),
            ready: RefCell::new(None),
            iovecs: Iovecs::new(),
            windows: Windows::new(),
            started: clock::now(),
            started_unix_ms: clock::unix_ms(),
        }
    }

    /// A shard of this thread's world.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(options: &ShardOptions) -> Rc<Self> {
        let shard = Rc::new(Self::new(options, crate::sim::DRIVER, Resolver::off()));
        CURRENT.with(|current| current.replace(Some(Rc::clone(&shard))));
        shard.timers.start();
        shard
    }

    /// This thread is no shard any more.
    #[cfg(feature = "sim")]
    pub(crate) fn leave() {
        CURRENT.with(|current| current.take());
    }

    /// Ends what the main future left behind. After the runtime's last turn nothing is submitted any more, and a task
    /// that still waits for the ring would keep its sockets open for ever; so every socket is shut down, which ends
    /// every wait on it.
    pub(crate) async fn close(&self) {
        self.closing.set();
        for &fd in self.sockets.borrow().iter() {
            crate::socket::shutdown_raw(fd);
        }
        let deadline = clock::now() + CLOSE_GRACE;
        while self.tasks() > 0 && clock::now() < deadline {
            sleep_ms(1).await;
        }
        self.timers.stop();
        self.ready.take();
        // One turn more, in which the queued closes are submitted.
        sleep_ms(1).await;
    }
}

async fn sleep_ms(ms: u64) {
    clock::sleep(Duration::from_millis(ms)).await;
}

/// A running shard.
pub struct ShardThread<T> {
    /// The driver that it got.
    pub driver: Driver,
    thread: thread::JoinHandle<Option<T>>,
}

impl<T> ShardThread<T> {
    /// Waits for the shard's end.
    ///
    /// # Errors
    /// The payload of the main future's panic. (A task's panic is caught at the task.)
    pub fn join(self) -> thread::Result<T> {
        // `None` is only ever returned by a shard that reported why it did not start, and then there is no
        // `ShardThread`.
        self.thread.join()?.ok_or_else(|| -> Box<dyn std::any::Any + Send> { Box::new("the shard did not start") })
    }

    /// Whether the shard has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a shard on a thread of its own and waits until it runs. `main` makes the shard's main future on the shard;
/// when that future is done, the shard closes its sockets, gives its tasks two seconds to end, and ends.
///
/// # Errors
/// When the thread cannot be made or pinned, or no allowed driver works.
pub fn run_shard<F, Fut>(options: ShardOptions, main: F) -> io::Result<ShardThread<Fut::Output>>
where
    F: FnOnce(Rc<Shard>) -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let (report, started) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(format!("shard-{}", options.id)).spawn(move || {
        block_signals();
        let built =
            pin(options.core).and_then(|()| driver::build(options.driver, options.entries, options.completions));
        let (mut runtime, driver) = match built {
            Ok(built) => built,
            Err(error) => {
                let _ = report.send(Err(error));
                return None;
            }
        };
        let output = runtime.block_on(async {
            let shard = match start(&options, driver) {
                Ok(shard) => shard,
                Err(error) => {
                    let _ = report.send(Err(error));
                    return None;
                }
            };
            let _ = report.send(Ok(driver));
            let output = main(Rc::clone(&shard)).await;
            shard.close().await;
            Some(output)
        });
        CURRENT.with(|current| current.take());
        output
    })?;
    match started.recv() {
        Ok(Ok(driver)) => Ok(ShardThread { driver, thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the shard died at its start")),
    }
}

/// Makes the shard, within its runtime.
fn start(options: &ShardOptions, driver: Driver) -> io::Result<Rc<Shard>> {
    let attached = options.dns.as_ref().map(Resolver::attach).transpose()?;
    let (resolver, answers) = match attached {
        Some((resolver, answers)) => (resolver, Some(answers)),
        None => (Resolver::off(), None),
    };
    let shard = Rc::new(Shard::new(options, driver, resolver));
    CURRENT.with(|current| current.replace(Some(Rc::clone(&shard))));
    shard.timers.start();
    if !shard.is_epoll() {
        *shard.ready.borrow_mut() = Some(Rc::new(crate::spawn::always_ready()?));
    }
    if let Some(answers) = answers {
        // The shard's own, so it does not count among the tasks.
        drop(monoio::spawn(answers));
    }
    Ok(shard)
}

fn pin(core: Option<usize>) -> io::Result<()> {
    match core {
        Some(core) => monoio::utils::bind_to_cpu_set([core]).map_err(io::Error::from),
        None => Ok(()),
    }
}

/// Asynchronous signals are for the control plane: here they would only interrupt waits.
fn block_signals() {
    const OURS: [libc::c_int; 8] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGSYS,
        libc::SIGPROF,
    ];
    // SAFETY: `set` is initialised by `sigfillset` before it is read, and all pointers are valid for the calls.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(set.as_mut_ptr());
        for signal in OURS {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}
