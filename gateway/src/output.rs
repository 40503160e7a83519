//! What goes to standard output and error, and how it looks there.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use ringway_management::logging::Colour;

/// Answers on standard output, diagnostics on standard error; each coloured only where it may be.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// What the user asked for.
    pub colour: Colour,
    stdout: bool,
    stderr: bool,
}

/// What a word is, and so how it is painted.
#[derive(Clone, Copy, Debug)]
pub enum Paint {
    /// An error.
    Error,
    /// Something to type or a name.
    Name,
    /// What is less important than the rest.
    Aside,
    /// A heading.
    Strong,
}

impl Paint {
    fn style(self) -> Style {
        match self {
            Self::Error => AnsiColor::Red.on_default().bold(),
            Self::Name => AnsiColor::Cyan.on_default(),
            Self::Aside => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }
}

impl Output {
    /// Looks at what the two streams are.
    pub fn new(colour: Colour) -> Self {
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self { colour, stdout: colour.decide(stdout), stderr: colour.decide(stderr) }
    }

    /// A word for standard output.
    pub fn paint(&self, paint: Paint, text: impl Display) -> String {
        painted(self.stdout, paint, text)
    }

    /// A word for standard error.
    pub fn paint_diagnostic(&self, paint: Paint, text: impl Display) -> String {
        painted(self.stderr, paint, text)
    }

    /// Whether standard error is coloured.
    pub fn colours_diagnostics(&self) -> bool {
        self.stderr
    }

    /// Prints to standard output.
    ///
    /// # Errors
    /// It is closed.
    pub fn print(&self, text: impl Display) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        write!(stdout, "{text}")?;
        stdout.flush()?;
        Ok(())
    }

    /// Prints JSON to standard output.
    ///
    /// # Errors
    /// It is closed.
    pub fn json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.print(format_args!("{}\n", serde_json::to_string_pretty(value)?))
    }

    /// Prints to standard error. Nobody can be told when that is closed.
    pub fn diagnose(&self, text: impl Display) {
        let _ = write!(io::stderr().lock(), "{text}");
    }

    /// Says why the command failed.
    pub fn failure(&self, error: &anyhow::Error) {
        self.diagnose(format_args!("{}: {error:#}\n", self.paint_diagnostic(Paint::Error, "error")));
    }

    /// Rows under a heading, in columns as wide as their widest cell; the last column is not padded.
    pub fn table<const N: usize>(&self, heading: [&str; N], rows: &[[String; N]]) -> String {
        let mut widths = heading.map(|cell| cell.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &[String]| {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
            line.truncate(line.trim_end().len());
            line
        };
        let mut text = self.paint(Paint::Strong, line(&heading.map(str::to_owned)));
        for row in rows {
            text.push('\n');
            text.push_str(&line(row));
        }
        text.push('\n');
        text
    }
}

/// Whether the reader of standard output went away (`ringway schema | head`): no failure of ours.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn painted(colour: bool, paint: Paint, text: impl Display) -> String {
    let style = paint.style();
    if colour { format!("{style}{text}{style:#}") } else { text.to_string() }
}
