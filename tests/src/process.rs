//! A child process that never outlives its test.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::try_wait;

/// A running program; killed when dropped, and by the kernel when the test's thread ends in any other way.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `program`, its output going to the file `log`.
    pub fn start(program: &Path, arguments: &[&str], folder: &Path, log: &Path) -> Process {
        Process::start_with(program, arguments, folder, log, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(
        program: &Path,
        arguments: &[&str],
        folder: &Path,
        log: &Path,
        variables: &[(&str, &str)],
    ) -> Process {
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Process { child }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id() as i32).expect("a child has an id");
        // A child that ended but was not waited for still owns its id: the signal can hit nobody else.
        let _ = kill_process(id, signal);
    }

    /// Whether and how it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        try_wait(limit, || self.ended())
    }

    /// How many threads it has.
    pub fn threads(&self) -> u64 {
        self.memory_kib("Threads")
    }

    /// A figure of `/proc/PID/status` in KiB: `VmRSS`, `VmHWM`, ...
    pub fn memory_kib(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("the process runs")
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("the process runs").count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
