//! `ringway check`: everything that is wrong, at once.

use ringway_config::{Loader, Problem};
use ringway_management::kinds::catalogue;
use serde_json::json;

use super::Outcome;
use crate::cli::{CheckOptions, Format};
use crate::output::{Output, Paint};
use crate::registry::{PREMISES, registry};

/// Checks files and folders. All is well without an error; with `--strict`, without a warning.
pub fn check(options: &CheckOptions, output: &Output) -> Outcome {
    let catalogue = catalogue(&registry());
    let problems = Loader::default().catalogue(&catalogue).premises(PREMISES).check(&options.paths);
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    match options.format {
        Format::Text => {
            show(&problems, output);
            let verdict = match (errors, warnings) {
                (0, 0) => "ok".to_owned(),
                (0, _) => format!("ok, {}", count(warnings, "warning")),
                (_, 0) => count(errors, "error"),
                _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
            };
            output.print(format_args!("{verdict}\n"))?;
        }
        Format::Json => output.json(&json!({ "errors": errors, "warnings": warnings, "problems": problems }))?,
    }
    Ok(errors == 0 && !(options.strict && warnings > 0))
}

/// Prints problems with the lines that they are in.
pub fn show(problems: &[Problem], output: &Output) {
    for problem in problems {
        if output.colours_diagnostics() {
            output.diagnose(format_args!("{}\n\n", problem.coloured()));
        } else {
            output.diagnose(format_args!("{problem:#}\n\n"));
        }
    }
}

/// Prints problems and says that they forbid to go on.
pub fn refuse(problems: &[Problem], output: &Output) -> Outcome {
    show(problems, output);
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let what = output.paint_diagnostic(Paint::Error, count(errors, "error"));
    output.diagnose(format_args!("{what}: nothing was started\n"));
    Ok(false)
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
