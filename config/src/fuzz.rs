//! What fuzzers call: any bytes give a definition or problems, in bounded time and memory, and never a panic.

use std::path::Path;

use crate::definition::Format;
use crate::load::{Loaded, Loader};
use crate::node::Source;
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::settings_file;
use crate::substitute::NoEnvironment;

/// Reads bytes as definitions and as settings; whatever is wrong has a place, and can be shown.
pub fn definition(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut loaded = Loaded::default();
    let source = Source::new("fuzz", text);
    let mut secrets = Secrets::new(&NoEnvironment, None);
    let format = Format::sniff(text);
    let settings = settings_file::parse(&source, format, Path::new(""), &NoEnvironment, &mut secrets, &mut loaded);
    assert!(settings.is_sound() || !loaded.problems.is_empty(), "settings are refused without a reason");

    let (apis, mut problems) =
        Loader::default().environment(&NoEnvironment).definition("fuzz", text, &Settings::default());
    problems.append(&mut loaded.problems);
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
