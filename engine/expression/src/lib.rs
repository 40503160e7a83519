//! The expression language of definitions, such as `{#request.headers['x-tier'][0] == 'gold'}`: a subset of the Spring Expression Language
//! with the roots of Gravitee.
//!
//! A [`Template`] is compiled once, when a definition is checked or deployed: names are resolved, constants folded, regular expressions and JSON
//! paths compiled. What cannot be carried is a [`Problem`] with its place and a hint. A template is then evaluated many times against a
//! [`Context`]: missing data is null and never an error, and each evaluation is bounded ([`limits`]).
//!
//! The way of a text: `lexer` makes tokens, `parser` reads them by precedence, `build` turns each construct into [`code`] while it
//! resolves names against the [`Vocabulary`], and `run` walks that code.

mod build;
mod code;
pub mod context;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod json;
mod lexer;
pub mod limits;
mod methods;
mod operators;
mod parser;
mod path;
mod problem;
mod run;
pub mod secrets;
mod statics;
mod template;
mod value;
pub mod vocabulary;

pub use context::{Body, Context, Field, Map};
pub use problem::{EvalError, Problem};
pub use template::{Needs, Template};
pub use value::Value;
pub use vocabulary::{Root, Vocabulary};
