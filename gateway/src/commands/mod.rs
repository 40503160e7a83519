//! The subcommands: a file each, and the three that are a few lines here. Each answers whether all is well.

pub mod check;
pub mod demo;
pub mod docs;
pub mod list;
pub mod run;
pub mod schema;

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::cli::{Cli, Format};
use crate::output::{Output, Paint};

/// What a subcommand answers: whether all is well; an error when it could not do its work.
pub type Outcome = anyhow::Result<bool>;

/// Where to begin.
pub fn hello(output: &Output) -> Outcome {
    let command = |text: &str| output.paint(Paint::Name, format_args!("{text:<24}"));
    output.print(format_args!(
        "{} {}: an API and event gateway.\n\n  {} sample APIs in one process; says what to curl\n  {} definitions: every problem with its position\n  \
         {} serve the APIs of ./ringway.yaml\n\n`ringway --help` lists everything, and what is not there yet.\n",
        output.paint(Paint::Strong, "ringway"),
        env!("CARGO_PKG_VERSION"),
        command("ringway demo"),
        command("ringway check PATH..."),
        command("ringway run"),
    ))?;
    Ok(true)
}

/// Completions for a shell.
pub fn completions(shell: Shell, output: &Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ringway", &mut script);
    output.print(String::from_utf8_lossy(&script))?;
    Ok(true)
}

/// The version.
pub fn version(format: Format, output: &Output) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Format::Text => output.print(format_args!("ringway {version}\n"))?,
        Format::Json => output.json(&json!({ "name": "ringway", "version": version }))?,
    }
    Ok(true)
}
