//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringway_management::logging::Colour;

/// What is not there yet, so that nobody has to find out by trying.
const NOT_YET: &str = "\
Not there yet:
  HTTP/2 and HTTP/3, and with HTTP/2 the entrypoint `grpc` of message APIs and gRPC backends
  native Kafka and TCP APIs
  policies other than those of `ringway list policies`; Redis Cluster
  Management API, Console, Developer Portal; administration of applications and subscriptions

`ringway check` warns about every field of a definition that is read but not acted on.

Exit codes: 0 all is well, 1 something failed or is wrong, 64 the command line is wrong.";

/// An API and event gateway.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, after_help = NOT_YET, max_term_width = 120, disable_help_subcommand = true)]
pub struct Cli {
    /// When to use colour; `auto` is on a terminal, unless NO_COLOR is set.
    #[arg(long = "color", alias = "colour", value_name = "WHEN", default_value = "auto", global = true)]
    pub colour: When,
    /// What to do; without it: where to begin.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// When to colour.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<When> for Colour {
    fn from(when: When) -> Self {
        match when {
            When::Auto => Self::Auto,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve APIs until SIGTERM or SIGINT.
    ///
    /// Reloads on SIGHUP, when a file changes, and on `POST /reload` at the admin port. SIGTERM and SIGINT drain; a second signal
    /// ends at once.
    Run(RunOptions),
    /// Check definitions and settings without serving them.
    ///
    /// Prints every problem with file, line and column. Ends with 1 when there is an error; with --strict, when there is a
    /// warning.
    Check(CheckOptions),
    /// List what a definition may name.
    List(ListOptions),
    /// Print a JSON Schema, for editors and other tools.
    Schema(SchemaOptions),
    /// Serve sample APIs in front of embedded backends and brokers, and say what to `curl`.
    Demo(DemoOptions),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version {
        /// How to print it.
        #[arg(short = 'o', long = "output", default_value = "text")]
        format: Format,
    },
    /// Write the reference pages (docs/reference).
    #[command(hide = true)]
    Docs {
        /// Where to.
        folder: PathBuf,
    },
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The settings. Without it: ringway.yaml of the working directory if there is one, else built-in defaults.
    #[arg(short, long, value_name = "FILE", env = "RINGWAY_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Definitions (YAML, JSON), folders of them, or a ringway.yaml with all that it names.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Let warnings fail too.
    #[arg(long)]
    pub strict: bool,
    /// How to print.
    #[arg(short = 'o', long = "output", default_value = "text")]
    pub format: Format,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// What to list.
    pub what: Catalogue,
    /// How to print.
    #[arg(short = 'o', long = "output", default_value = "text")]
    pub format: Format,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Catalogue {
    /// How consumers reach an API.
    Entrypoints,
    /// What an API reaches.
    Endpoints,
    /// Steps of flows.
    Policies,
    /// Securities of plans.
    Plans,
}

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct SchemaOptions {
    /// `api` (a definition), `common` (what APIs have in common), `ringway` (ringway.yaml), or the name of an entrypoint, endpoint, policy or plan security.
    #[arg(default_value = "api", value_name = "NAME")]
    pub name: String,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Where to serve. Port 0: a free one.
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    pub listen: SocketAddr,
    /// Where to serve the admin port. Port 0: a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:18082")]
    pub admin: SocketAddr,
}
