//! `ringway list`: the tables of extensions.

use ringway_contract::Kind;
use serde_json::json;

use super::Outcome;
use crate::cli::{Catalogue, Format, ListOptions};
use crate::output::Output;
use crate::registry::registry;

/// Prints one table.
pub fn list(options: &ListOptions, output: &Output) -> Outcome {
    let registry = registry();
    let rows = match options.what {
        Catalogue::Entrypoints => [rows(registry.entrypoints), rows(registry.pushes)].concat(),
        Catalogue::Endpoints => [rows(registry.endpoints), rows(registry.brokers)].concat(),
        Catalogue::Policies => rows(registry.policies),
        Catalogue::Plans => rows(registry.guards),
    };
    match options.format {
        Format::Text => {
            let rows: Vec<_> = rows.iter().map(|(name, about)| [(*name).to_owned(), (*about).to_owned()]).collect();
            output.print(output.table(["NAME", "WHAT IT DOES"], &rows))?;
        }
        Format::Json => {
            let rows: Vec<_> = rows.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect();
            output.json(&rows)?;
        }
    }
    Ok(true)
}

fn rows<T: ?Sized>(table: &'static [&'static Kind<T>]) -> Vec<(&'static str, &'static str)> {
    table.iter().map(|kind| (kind.name, kind.about)).collect()
}
