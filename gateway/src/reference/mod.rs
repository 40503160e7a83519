//! The reference pages: written from the schemas, the kinds, the faults and the command line, so that they cannot say anything
//! else than the program does.

mod options;

use std::fmt::Write as _;

use clap::CommandFactory;
use ringway_contract::{Cause, Kind, Qos, Side};
use serde_json::Value;

use crate::cli::Cli;
use crate::registry::registry;

const GENERATED: &str = "<!-- Written by `ringway docs docs/reference`. Change the sources, not this page. -->\n";

/// One page.
#[derive(Debug)]
pub struct Page {
    /// Name of the file.
    pub name: String,
    /// Its text, Markdown.
    pub text: String,
    title: String,
}

/// All pages, the index first.
pub fn pages() -> Vec<Page> {
    let registry = registry();
    let mut pages = vec![settings(), definition(), common(), faults(), qos(), command_line()];
    pages.extend(kinds("entrypoint", registry.entrypoints));
    pages.extend(kinds("entrypoint", registry.pushes));
    pages.extend(kinds("endpoint", registry.endpoints));
    pages.extend(kinds("endpoint", registry.brokers));
    pages.extend(kinds("policy", registry.policies));
    pages.extend(kinds("plan", registry.guards));
    let mut index = String::from("# Reference\n\n");
    for page in &pages {
        let _ = writeln!(index, "* [{}]({})", page.title, page.name);
    }
    pages.insert(0, page("README.md", "Reference", index));
    pages
}

fn page(name: &str, title: &str, text: String) -> Page {
    Page { name: name.into(), text: format!("{GENERATED}{text}"), title: title.into() }
}

fn settings() -> Page {
    let schema = schema(ringway_config::schema_of_ringway());
    let text = format!(
        "# Settings: `ringway.yaml`\n\n{}\n\nValues may come from the environment and from files: see [configuration](../guide/configuration.md#values-from-elsewhere). \
         The annotated default is [config/ringway.yaml](../../config/ringway.yaml); the JSON Schema is `ringway schema ringway`.\n\n{}",
        options::about(&schema),
        table(&schema)
    );
    page("settings.md", "Settings: `ringway.yaml`", text)
}

fn definition() -> Page {
    let schema = schema(ringway_config::schema_of_api());
    let text = format!(
        "# API definitions\n\n{}\n\nYAML or JSON; enumerations may be written `UPPER_SNAKE` or `lower-kebab`. What stands in a `configuration` is \
         described on the page of its connector, policy or plan security. The JSON Schema is `ringway schema api`.\n\n{}",
        options::about(&schema),
        table(&schema)
    );
    page("api-definition.md", "API definitions", text)
}

fn common() -> Page {
    let schema = schema(ringway_config::schema_of_common());
    let text = format!(
        "# What APIs have in common\n\n{}\n\nThese are the fields of a document in a file that `apis` names, and of `ringway.yaml`. A document may also be one \
         group or one dictionary, as an export has it. What they do: [platform flows](../guide/policies.md#around-every-api), [shared policy \
         groups](../guide/policies.md#the-same-steps-in-many-apis), [dictionaries](../guide/expressions.md#dictionaries). The JSON Schema is `ringway schema \
         common`.\n\n{}",
        options::about(&schema),
        table(&schema)
    );
    page("common.md", "What APIs have in common", text)
}

/// Which pair of entrypoint and endpoint of a message API has which level.
fn qos() -> Page {
    let registry = registry();
    let levels = [Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce];
    let mut text = String::from(
        "# Levels of service\n\nWhat `qos` of an entrypoint may say, by the type of the endpoint. \
         [What the levels mean](../guide/message-apis.md#what-is-promised).\n\n| |",
    );
    for broker in registry.brokers {
        let _ = write!(text, " [`{0}`](endpoint-{0}.md) |", broker.name);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(registry.brokers.len()));
    text.push('\n');
    let called = registry.entrypoints.iter().map(|kind| (kind.name, kind.messaging));
    let pushing = registry.pushes.iter().map(|kind| (kind.name, kind.messaging));
    for (name, wants) in called.chain(pushing) {
        let Some(wants) = wants else { continue };
        let _ = write!(text, "| [`{name}`](entrypoint-{name}.md) |");
        for can in registry.brokers.iter().filter_map(|broker| broker.messaging) {
            let allowed = levels.into_iter().filter(|qos| wants.with(&can, *qos).is_ok());
            let allowed: Vec<_> = allowed.map(|qos| format!("`{}`", ringway_config::level(qos))).collect();
            let _ = write!(text, " {} |", if allowed.is_empty() { "–".to_owned() } else { allowed.join(", ") });
        }
        text.push('\n');
    }
    page("qos.md", "Levels of service", text)
}

fn kinds<T: ?Sized>(family: &str, table_of: &'static [&'static Kind<T>]) -> Vec<Page> {
    let one = |kind: &&Kind<T>| {
        let title = format!("{}: `{}`", capital(family), kind.name);
        let mut text = format!("# {title}\n\n{}\n\n{}\n", kind.about, without_title(kind.docs));
        section(&mut text, "configuration", (kind.configuration.schema)());
        if let Some(shared) = kind.shared {
            // What has both is either inherited from a group, or told by a subscription.
            let field = if family == "entrypoint" { "entrypointConfiguration" } else { "sharedConfiguration" };
            section(&mut text, field, (shared.schema)());
        }
        page(&format!("{family}-{}.md", kind.name), &title, text)
    };
    table_of.iter().map(one).collect()
}

fn section(text: &mut String, field: &str, own: schemars::Schema) {
    let _ = write!(text, "\n## `{field}`\n\n{}", table(&schema(own)));
}

fn faults() -> Page {
    let mut text = String::from(
        "# Faults\n\nWhat the gateway answers when an exchange fails. The key names the fault in access log, metrics and `responseTemplates`.\n\n\
         | key | status | side | message |\n|---|---|---|---|\n",
    );
    for cause in Cause::ALL {
        let side = match cause.side() {
            Side::Client => "client",
            Side::Gateway => "gateway",
            Side::Backend => "backend",
        };
        let _ = writeln!(text, "| `{}` | {} | {side} | {} |", cause.key(), cause.status().as_u16(), cause.message());
    }
    page("faults.md", "Faults", text)
}

fn command_line() -> Page {
    let mut text = String::from("# Command line\n");
    let mut command = Cli::command().term_width(100).color(clap::ColorChoice::Never);
    command.build();
    let _ = write!(text, "\n## ringway\n\n```text\n{}\n```\n", trimmed(&command.render_long_help().to_string()));
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
        let help = sub.clone().term_width(100).render_long_help().to_string();
        let _ = write!(text, "\n## ringway {}\n\n```text\n{}\n```\n", sub.get_name(), trimmed(&help));
    }
    page("command-line.md", "Command line", text)
}

/// A table of the schema's fields, and a line of its own when there are none.
fn table(schema: &Value) -> String {
    let fields = options::fields(schema);
    if fields.is_empty() {
        return "There is nothing to configure.\n".into();
    }
    let mut text = String::from("| field | type | default | |\n|---|---|---|---|\n");
    for field in fields {
        let default = match (&field.default, field.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "required".into(),
            (None, false) => String::new(),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            field.path,
            cell(&field.kind),
            cell(&default),
            cell(&field.about)
        );
    }
    text
}

fn schema(schema: schemars::Schema) -> Value {
    schema.into()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The text of a kind without a heading of its own: the page has one.
fn without_title(text: &str) -> &str {
    let text = text.trim();
    match text.strip_prefix("# ") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest.trim()),
        None => text,
    }
}

/// Help without the spaces that clap leaves at the ends of lines.
fn trimmed(help: &str) -> String {
    help.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
