//! Programs that others wrote, as clients; each with a limit on its time.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// Seconds after which a program is killed.
const LIMIT_S: u32 = 60;

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    /// Its exit status; 137 when its time was up.
    pub code: i32,
}

impl Said {
    /// Fails unless the program ended well; gives its output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "ended with {}\n{}\n{}", self.code, self.out, self.err);
        self.out
    }
}

/// Runs a program.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Said {
    let output = command(program).args(arguments).output();
    said(output.unwrap_or_else(|error| panic!("cannot run {program}: {error}")))
}

/// Starts a program, for a test that does something else meanwhile; [`wait`] ends it.
#[track_caller]
pub fn spawn<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> std::process::Child {
    let mut command = command(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

/// Waits for a program that [`spawn`] has started.
pub fn wait(child: std::process::Child) -> Said {
    said(child.wait_with_output().expect("a child can be waited for"))
}

/// `curl --silent --show-error`, with its arguments split at spaces.
#[track_caller]
pub fn curl(arguments: &str) -> Said {
    run("curl", ["--silent", "--show-error", "--noproxy", "*"].into_iter().chain(arguments.split_whitespace()))
}

/// A Python script with the `websockets` package at hand.
#[track_caller]
pub fn python(script: &str, arguments: &[&str]) -> Said {
    run("/usr/bin/python3", ["-c", script].iter().chain(arguments))
}

/// The `PASS` line of h2load: how many requests succeeded, and how many did not.
pub fn h2load_counts(output: &str) -> Option<(u64, u64)> {
    // requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout
    let line = output.lines().find(|line| line.starts_with("requests:"))?;
    let figure = |name: &str| -> Option<u64> {
        line.trim_start_matches("requests:")
            .split(',')
            .find_map(|part| part.trim().strip_suffix(name)?.trim().parse().ok())
    };
    let done = figure("succeeded")?;
    Some((done, figure("total")?.checked_sub(done)?))
}

fn command(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &LIMIT_S.to_string(), program]).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

fn said(output: Output) -> Said {
    Said {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(137),
    }
}

#[cfg(test)]
mod tests {
    use super::{h2load_counts, run};

    #[test]
    fn h2load_is_understood() {
        let line = "requests: 1000 total, 999 started, 999 done, 990 succeeded, 9 failed, 0 errored, 1 timeout";
        assert_eq!(h2load_counts(&format!("finished\n{line}\nstatus")), Some((990, 10)));
        assert_eq!(h2load_counts("nothing"), None);
    }

    #[test]
    fn a_program_tells_how_it_ended() {
        let said = run("sh", ["-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("out\n", "err\n", 3));
    }
}
