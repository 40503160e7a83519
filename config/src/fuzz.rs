//! What fuzzers call: any bytes give a definition or problems, in bounded time and memory, and never a panic.

use std::io;
use std::path::Path;

use crate::load::Loader;
use crate::settings::Settings;
use crate::substitute::Environment;

/// An environment without anything: a fuzzer must not read files.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, _path: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Reads bytes as definitions; whatever is wrong has a place, and can be shown.
pub fn definition(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (apis, problems) = Loader::default().environment(&Nothing).definition("fuzz", text, &Settings::default());
    for problem in &problems {
        assert!(problem.line > 0 && problem.column > 0, "no place: {problem}");
        assert!(!format!("{problem:#}").is_empty() && !problem.coloured().to_string().is_empty());
    }
    for api in &apis {
        assert!(!api.id.is_empty() && !format!("{api:?}").is_empty());
        let open = api.offered_plans().all(|plan| plan.guard() == Some("key-less"));
        assert!(open, "a plan that nobody can check is offered");
    }
}
