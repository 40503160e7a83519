//! The one binary.
//!
//! It joins the tables of extensions, and hands them to whoever a subcommand needs: the checks, the data plane, the control plane.

mod cli;
mod commands;
mod demo;
mod output;
mod reference;
mod registry;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something is wrong with what the command was given, or it could not do its work.
const FAILURE: u8 = 1;
/// The command line is wrong: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors. Printing may fail only on a closed pipe.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let output = Output::new(cli.colour.into());
    let outcome = match cli.command {
        None => commands::hello(&output),
        Some(Command::Run(options)) => commands::run::run(&options, &output),
        Some(Command::Check(options)) => commands::check::check(&options, &output),
        Some(Command::List(options)) => commands::list::list(&options, &output),
        Some(Command::Schema(options)) => commands::schema::schema(&options, &output),
        Some(Command::Demo(options)) => commands::demo::demo(&options, &output),
        Some(Command::Completions { shell }) => commands::completions(shell, &output),
        Some(Command::Version { format }) => commands::version(format, &output),
        Some(Command::Docs { folder }) => commands::docs::docs(&folder),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILURE),
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::from(FAILURE)
        }
    }
}
