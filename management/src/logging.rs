//! The process's log: one subscriber, text or JSON, whose level can be changed while it runs.

use std::io::{IsTerminal, stderr};
use std::str::FromStr;
use std::sync::Arc;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{fmt, reload};

/// Longest filter that is taken over the admin port, in bytes.
const FILTER_BYTES_MAX: usize = 1024;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One line of words for people.
    #[default]
    Text,
    /// One JSON object a line for machines.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// The verdict for what is written to standard error.
    pub fn on_stderr(self) -> bool {
        self.decide(stderr().is_terminal())
    }

    /// The verdict for a stream that is a terminal or not.
    pub fn decide(self, terminal: bool) -> bool {
        match self {
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Why a level was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// It is no filter.
    #[error("not a log level or filter: {0}")]
    Invalid(#[from] ParseError),
    /// A bare word that is no level.
    #[error("`{0}` is no log level; the levels are off, error, warn, info, debug and trace")]
    Unknown(String),
    /// It is too long.
    #[error("a log filter is at most {FILTER_BYTES_MAX} bytes long")]
    TooLong,
    /// The subscriber is gone.
    #[error("the log is closed: {0}")]
    Closed(#[from] reload::Error),
}

/// The knob that changes the level of the running log. Clones turn the same knob.
#[derive(Clone)]
pub struct LogLevel {
    handle: Arc<reload::Handle<EnvFilter, Registry>>,
}

impl LogLevel {
    /// The filter now, such as `info` or `info,ringway_engine=debug`.
    pub fn current(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Changes the filter: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or directives `target=level` joined by commas.
    ///
    /// # Errors
    /// The text is no filter. Then nothing has changed.
    pub fn change(&self, filter: &str) -> Result<(), LevelError> {
        self.handle.reload(parse(filter)?)?;
        Ok(())
    }
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogLevel").field(&self.current()).finish()
    }
}

/// Installs the log for the whole process; lines go to standard error.
///
/// # Errors
/// A log is installed already.
pub fn install(filter: &str, format: Format, colour: Colour) -> Result<LogLevel, InstallError> {
    let (lines, level) = subscriber(filter, format, colour.on_stderr(), stderr)?;
    lines.try_init()?;
    Ok(level)
}

/// Why the log could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The filter is no filter.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// There is one already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

fn subscriber<W>(
    filter: &str,
    format: Format,
    colour: bool,
    writer: W,
) -> Result<(impl SubscriberInitExt + tracing::Subscriber + Send + Sync, LogLevel), LevelError>
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = fmt::layer().with_writer(writer).with_ansi(colour);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    Ok((subscriber, LogLevel { handle: Arc::new(handle) }))
}

/// Whether a filter would be taken.
///
/// # Errors
/// Why not.
pub fn check(filter: &str) -> Result<(), LevelError> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, LevelError> {
    if filter.len() > FILTER_BYTES_MAX {
        return Err(LevelError::TooLong);
    }
    // `EnvFilter` reads a word that it does not know as the name of a target and enables everything under it: a misspelt
    // level would silence the log. A bare word must be a level.
    for directive in filter.split(',').map(str::trim) {
        let level = !directive.is_empty() && LevelFilter::from_str(directive).is_ok();
        if !level && !directive.contains(['=', '[']) {
            return Err(LevelError::Unknown(directive.to_owned()));
        }
    }
    Ok(EnvFilter::from_str(filter)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Lines that a subscriber wrote.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, write: impl FnOnce(&LogLevel)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, level) = subscriber("info", format, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || write(&level));
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_level_changes_while_it_runs() {
        let text = logged(Format::Text, |level| {
            tracing::debug!("first");
            level.change("debug").unwrap();
            assert_eq!(level.current(), "debug");
            tracing::debug!("second");
        });
        assert!(!text.contains("first") && text.contains("second"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colour was asked for: {text}");
    }

    #[test]
    fn json_lines_are_objects() {
        let text = logged(Format::Json, |_| tracing::info!(api = "orders", "deployed"));
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((&line["message"], &line["api"]), (&"deployed".into(), &"orders".into()));
    }

    #[test]
    fn a_misspelt_level_is_refused_and_changes_nothing() {
        logged(Format::Text, |level| {
            for wrong in ["inof", "", "debug,lodu", "ringway_engine=loud", &"x=info,".repeat(200)] {
                assert!(level.change(wrong).is_err(), "{wrong}");
            }
            level.change("warn,ringway_engine=debug").unwrap();
            assert!(level.current().contains("ringway_engine=debug"));
        });
    }

    #[test]
    fn colour_needs_a_terminal_unless_it_is_forced() {
        assert!(!Colour::Auto.decide(false));
        assert!(Colour::Always.decide(false));
        assert!(!Colour::Never.decide(true));
    }
}
