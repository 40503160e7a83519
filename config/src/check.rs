//! Checks a spanned tree against a JSON Schema, and names every problem at once.
//!
//! Generic validators know no positions and answer "does not match any of the schemas" where a person wants the nearest name. This one knows
//! the part of JSON Schema 2020-12 that `schemars` writes: types, enums, ranges, lengths, patterns, formats, lists, maps, references, and unions
//! that are enums or that a tag tells apart. What it does not know it lets pass; serde has the last word.
//!
//! It is lenient where the reference product is: names of enums are folded, and null is the same as absent.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::Value as Schema;

use crate::format;
use crate::names;
use crate::node::{Node, Number, Value};
use crate::problem::{self, Problem};

/// The most problems that one check names.
pub const PROBLEMS_MAX: usize = 500;

/// The longest chain of references and unions at one node.
const HOPS_MAX: usize = 32;

/// The most names that a hint lists.
const HINT_NAMES_MAX: usize = 16;

/// Every problem that `node` has as a `T`, in the order of the file.
pub fn check<T: JsonSchema>(node: &Node) -> Vec<Problem> {
    check_against(node, &schema::<T>())
}

fn schema<T: JsonSchema>() -> Arc<Schema> {
    crate::schema::of::<T>()
}

/// Every problem that `node` has by a JSON Schema, in the order of the file.
pub fn check_against(node: &Node, schema: &Schema) -> Vec<Problem> {
    let mut checker = Checker { root: schema, problems: Vec::new(), pointer: String::new() };
    checker.node(node, schema, 0);
    let mut problems = checker.problems;
    problem::sort(&mut problems);
    problems
}

struct Checker<'s> {
    root: &'s Schema,
    problems: Vec<Problem>,
    pointer: String,
}

impl<'s> Checker<'s> {
    fn report(&mut self, mut problem: Problem) {
        if self.is_full() {
            return;
        }
        if self.problems.len() + 1 == PROBLEMS_MAX {
            problem.message = format!("here the check stopped: there are {PROBLEMS_MAX} problems or more");
            problem.hint = None;
        }
        self.problems.push(problem);
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    fn error(&mut self, node: &Node, message: impl Into<String>, hint: Option<String>) {
        let problem = Problem::error(&node.span, self.pointer.clone(), message).maybe_hint(hint);
        self.report(problem);
    }

    /// Checks what is below the current pointer.
    fn below(&mut self, step: &str, check: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        if !step.starts_with('[') && length > 0 {
            self.pointer.push('.');
        }
        self.pointer.push_str(step);
        check(self);
        self.pointer.truncate(length);
    }

    fn node(&mut self, node: &Node, schema: &'s Schema, hops: usize) {
        let Some(object) = schema.as_object() else {
            if schema == &Schema::Bool(false) {
                self.error(node, "nothing may stand here", None);
            }
            return;
        };
        if hops > HOPS_MAX {
            return;
        }
        if let Some(target) = object.get("$ref").and_then(Schema::as_str).and_then(|reference| self.resolve(reference))
        {
            self.node(node, target, hops + 1);
        }
        for part in object.get("allOf").and_then(Schema::as_array).into_iter().flatten() {
            self.node(node, part, hops + 1);
        }
        for union in ["oneOf", "anyOf"].iter().filter_map(|key| object.get(*key)?.as_array()) {
            self.union(node, union, hops + 1);
        }
        if let Some(types) = object.get("type")
            && !self.fits(node, types)
        {
            return;
        }
        if let Some(allowed) = allowed_values(schema) {
            self.value(node, &allowed);
        }
        match &node.value {
            Value::Seq(items) => self.seq(node, items, schema),
            Value::Map(_) => self.map(node, schema),
            Value::Null => {}
            _ => self.scalar(node, schema),
        }
    }

    fn resolve(&self, reference: &str) -> Option<&'s Schema> {
        self.root.pointer(reference.strip_prefix('#')?)
    }

    /// The schema itself behind references.
    fn resolved(&self, mut schema: &'s Schema) -> &'s Schema {
        for _ in 0..HOPS_MAX {
            match schema.get("$ref").and_then(Schema::as_str).and_then(|reference| self.resolve(reference)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn fits(&mut self, node: &Node, types: &Schema) -> bool {
        let one = [types.clone()];
        let types: Vec<&str> =
            types.as_array().map_or(&one[..], Vec::as_slice).iter().filter_map(Schema::as_str).collect();
        if types.iter().any(|kind| is_of_type(node, kind)) {
            return true;
        }
        let wanted: Vec<&str> = types.iter().filter(|kind| **kind != "null").map(|kind| article(kind)).collect();
        let found = match &node.value {
            Value::Number(number) if wanted.contains(&"an integer") => format!("`{}`", number.text()),
            _ => node.kind().to_owned(),
        };
        let hint = match (&node.value, wanted.as_slice()) {
            (Value::String(text), ["a boolean" | "an integer" | "a number"]) if !node.substituted && is_bare(text) => {
                Some(format!("write {text} without quotes"))
            }
            (Value::String(text), ["a boolean"]) if ["yes", "no", "on", "off"].contains(&text.as_str()) => {
                Some("write `true` or `false`".to_owned())
            }
            (Value::Bool(_) | Value::Number(_), ["a string"]) => Some("put it in quotes".to_owned()),
            (Value::String(_), ["a list"]) => Some("write `- ` in front of it, or put it in `[ ]`".to_owned()),
            _ => None,
        };
        self.error(node, format!("expected {}, found {found}", wanted.join(" or ")), hint);
        false
    }

    fn value(&mut self, node: &Node, allowed: &[Cow<'s, str>]) {
        let found = node.as_text();
        if found.is_some_and(|found| allowed.iter().any(|name| names::same(name, found))) {
            return;
        }
        let names = || allowed.iter().map(AsRef::as_ref);
        let hint = match found.and_then(|found| names::nearest(found, names())) {
            Some(near) if allowed.len() > 3 => format!("did you mean `{near}`?"),
            _ => format!("allowed: {}", names::list(names().filter(|name| !name.is_empty()).take(HINT_NAMES_MAX))),
        };
        self.error(node, format!("{} is not a valid value", node.shown()), Some(hint));
    }

    fn union(&mut self, node: &Node, branches: &'s [Schema], hops: usize) {
        let real: Vec<&'s Schema> = branches.iter().filter(|branch| !is_null_schema(branch)).collect();
        if node.is_null() && real.len() < branches.len() {
            return;
        }
        if let [only] = real.as_slice() {
            return self.node(node, only, hops);
        }
        let constants: Option<Vec<Vec<Cow<'s, str>>>> = real.iter().map(|branch| allowed_values(branch)).collect();
        if let Some(constants) = constants {
            return self.value(node, &constants.concat());
        }
        if let Some(tag) = self.tag_of(&real) {
            return self.tagged(node, tag, &real, hops);
        }
        // Any branch without a problem will do. Else the one that is of the node's type tells most.
        let mut attempts = Vec::new();
        for branch in &real {
            let mut attempt = Checker { root: self.root, problems: Vec::new(), pointer: self.pointer.clone() };
            attempt.node(node, branch, hops);
            if attempt.problems.is_empty() {
                return;
            }
            attempts.push((self.type_of(branch), attempt.problems));
        }
        let mut alike = attempts.iter().filter(|(kind, _)| kind.is_some_and(|kind| is_written_as(node, kind)));
        match (alike.next(), alike.next()) {
            (Some((_, problems)), None) => {
                for problem in problems.clone() {
                    self.report(problem);
                }
            }
            _ => {
                let mut wanted: Vec<&str> = attempts.iter().filter_map(|(kind, _)| *kind).map(article).collect();
                wanted.dedup();
                let found = if alike_any(&attempts, node) { node.shown() } else { node.kind().to_owned() };
                self.error(node, format!("expected {}, found {found}", wanted.join(" or ")), None);
            }
        }
    }

    /// The field whose constant tells the branches apart.
    fn tag_of(&self, branches: &[&'s Schema]) -> Option<&'s str> {
        let first = self.resolved(branches.first()?).get("properties")?.as_object()?;
        let constant = |branch: &&'s Schema, tag: &str| {
            self.resolved(branch).get("properties").and_then(|properties| properties.get(tag)?.get("const")?.as_str())
        };
        first.keys().find(|tag| branches.iter().all(|branch| constant(branch, tag).is_some())).map(String::as_str)
    }

    fn tagged(&mut self, node: &Node, tag: &str, branches: &[&'s Schema], hops: usize) {
        if !matches!(node.value, Value::Map(_)) {
            return self.error(node, format!("expected a map, found {}", node.kind()), None);
        }
        let named: Vec<(&'s str, &'s Schema)> = branches
            .iter()
            .map(|branch| self.resolved(branch))
            .filter_map(|branch| Some((branch.get("properties")?.get(tag)?.get("const")?.as_str()?, branch)))
            .collect();
        let allowed: Vec<Cow<'s, str>> = named.iter().map(|(name, _)| Cow::Borrowed(*name)).collect();
        let Some(found) = node.field(tag) else {
            let hint = format!("allowed: {}", names::list(allowed.iter().map(AsRef::as_ref)));
            return self.error(node, format!("`{tag}` is missing"), Some(hint));
        };
        let branch = found.as_text().and_then(|found| named.iter().find(|(name, _)| names::same(name, found)));
        match branch {
            Some((_, branch)) => self.node(node, branch, hops),
            None => self.below(tag, |below| below.value(found, &allowed)),
        }
    }

    fn type_of(&self, branch: &'s Schema) -> Option<&'s str> {
        match self.resolved(branch).get("type") {
            Some(Schema::Array(types)) => types.iter().filter_map(Schema::as_str).find(|kind| *kind != "null"),
            Some(Schema::String(kind)) => Some(kind),
            _ => None,
        }
    }

    fn scalar(&mut self, node: &Node, schema: &'s Schema) {
        let wants_number = matches!(schema.get("type").and_then(Schema::as_str), Some("integer" | "number"))
            || matches!(node.value, Value::Number(_));
        if let Some(number) = node.as_number().filter(|_| wants_number) {
            self.range(node, &number, schema);
        }
        let Some(text) = node.as_text() else { return };
        let length = text.chars().count() as u64;
        let bound = |key: &str| schema.get(key).and_then(Schema::as_u64);
        if let Some(least) = bound("minLength").filter(|least| length < *least) {
            let message =
                if least == 1 { "must not be empty".into() } else { format!("has fewer than {least} characters") };
            self.error(node, message, None);
        }
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            self.error(node, format!("has {length} characters, at most {most} are allowed"), None);
        }
        if let Some(pattern) = schema.get("pattern").and_then(Schema::as_str)
            && format::matches(pattern, text) == Some(false)
        {
            self.error(node, format!("{} does not match `{pattern}`", node.shown()), None);
        }
        if let Some(name) = schema.get("format").and_then(Schema::as_str)
            && let Err(message) = format::check(name, text)
        {
            self.error(node, format!("{} is {message}", node.shown()), None);
        }
    }

    fn range(&mut self, node: &Node, number: &Number, schema: &'s Schema) {
        let value = number.as_f64();
        let bound = |key: &str| schema.get(key).and_then(Schema::as_f64);
        let format = schema.get("format").and_then(Schema::as_str).and_then(format::integer_max);
        let most = [bound("maximum"), format].into_iter().flatten().reduce(f64::min);
        let too_small = bound("minimum").filter(|least| value < *least).map(|least| format!("at least {least}"));
        let too_big = most.filter(|most| value > *most).map(|most| format!("at most {most}"));
        let outside =
            bound("exclusiveMinimum").filter(|least| value <= *least).map(|least| format!("more than {least}"));
        let beyond = bound("exclusiveMaximum").filter(|most| value >= *most).map(|most| format!("less than {most}"));
        for allowed in [too_small, outside, too_big, beyond].into_iter().flatten() {
            self.error(node, format!("{} is out of range: {allowed} is allowed", node.shown()), None);
        }
    }

    fn seq(&mut self, node: &Node, items: &[Node], schema: &'s Schema) {
        let bound = |key: &str| schema.get(key).and_then(Schema::as_u64);
        let length = items.len() as u64;
        if let Some(least) = bound("minItems").filter(|least| length < *least) {
            let message = if least == 1 { "must not be empty".into() } else { format!("has fewer than {least} items") };
            self.error(node, message, None);
        }
        if let Some(most) = bound("maxItems").filter(|most| length > *most) {
            self.error(node, format!("has {length} items, at most {most} are allowed"), None);
        }
        let Some(wanted) = schema.get("items") else { return };
        for (at, item) in items.iter().enumerate() {
            self.below(&format!("[{at}]"), |below| below.node(item, wanted, 0));
        }
    }

    fn map(&mut self, node: &Node, schema: &'s Schema) {
        let properties = schema.get("properties").and_then(Schema::as_object);
        for name in schema.get("required").and_then(Schema::as_array).into_iter().flatten().filter_map(Schema::as_str) {
            if node.field(name).is_none() {
                self.missing(node, name, properties.and_then(|properties| properties.get(name)));
            }
        }
        let names = schema.get("propertyNames");
        for entry in node.entries() {
            if self.is_full() {
                break;
            }
            if let Some(wanted) = names {
                let key = Node::new(Value::String(entry.key.clone()), entry.span.clone());
                self.below(&entry.key, |below| below.node(&key, wanted, 0));
            }
            let known = properties.and_then(|properties| properties.get(&entry.key));
            match (known, schema.get("additionalProperties")) {
                (Some(wanted), _) if entry.value.is_null() => {
                    let _ = wanted; // Null is the same as absent, and `required` was looked at above.
                }
                (Some(wanted), _) => self.below(&entry.key, |below| below.node(&entry.value, wanted, 0)),
                (None, Some(Schema::Bool(false))) => {
                    let names: Vec<&str> =
                        properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str)).collect();
                    self.unknown(entry, &names);
                }
                (None, Some(wanted)) if !entry.value.is_null() => {
                    self.below(&entry.key, |below| below.node(&entry.value, wanted, 0));
                }
                (None, _) => {}
            }
        }
    }

    fn missing(&mut self, node: &Node, name: &str, wanted: Option<&'s Schema>) {
        let allowed = wanted.map(|wanted| self.resolved(wanted)).and_then(|wanted| self.all_values(wanted));
        let hint = allowed.map(|allowed| format!("allowed: {}", names::list(allowed.iter().map(AsRef::as_ref))));
        self.error(node, format!("`{name}` is missing"), hint);
    }

    /// The values of an enum, however it is written.
    fn all_values(&self, schema: &'s Schema) -> Option<Vec<Cow<'s, str>>> {
        let branches = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Schema::as_array);
        match branches {
            None => allowed_values(schema),
            Some(branches) => {
                let values: Option<Vec<_>> = branches.iter().map(allowed_values).collect();
                values.map(|values| values.concat())
            }
        }
    }

    fn unknown(&mut self, entry: &crate::node::Entry, known: &[&str]) {
        // Finding the nearest name is the only costly part of the check.
        if self.is_full() {
            return;
        }
        let hint = match names::nearest(&entry.key, known.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => Some("no fields are allowed here".to_owned()),
            None if known.len() <= HINT_NAMES_MAX => Some(format!("known: {}", names::list(known.iter().copied()))),
            None => None,
        };
        self.below(&entry.key, |below| {
            let problem = Problem::error(&entry.span, below.pointer.clone(), "unknown field").maybe_hint(hint);
            below.report(problem);
        });
    }
}

fn alike_any(attempts: &[(Option<&str>, Vec<Problem>)], node: &Node) -> bool {
    attempts.iter().any(|(kind, _)| kind.is_some_and(|kind| is_written_as(node, kind)))
}

/// The constants that a schema allows, if it allows only strings that it names.
fn allowed_values(schema: &Schema) -> Option<Vec<Cow<'_, str>>> {
    if let Some(constant) = schema.get("const") {
        return constant.as_str().map(|name| vec![Cow::Borrowed(name)]);
    }
    let values = schema.get("enum")?.as_array()?;
    values.iter().filter(|value| !value.is_null()).map(|value| value.as_str().map(Cow::Borrowed)).collect()
}

fn is_null_schema(schema: &Schema) -> bool {
    schema.get("type").and_then(Schema::as_str) == Some("null")
}

fn is_of_type(node: &Node, kind: &str) -> bool {
    match kind {
        "null" => node.is_null(),
        "boolean" => node.as_bool().is_some(),
        "integer" => node.as_number().is_some_and(|number| number.as_u64().is_some() || number.as_i64().is_some()),
        "number" => node.as_number().is_some(),
        "string" => node.as_text().is_some(),
        "array" => matches!(node.value, Value::Seq(_)),
        "object" => matches!(node.value, Value::Map(_)),
        _ => true,
    }
}

/// As [`is_of_type`], but a number is no text although it may be taken as such.
fn is_written_as(node: &Node, kind: &str) -> bool {
    is_of_type(node, kind) && !(kind == "string" && matches!(node.value, Value::Number(_)))
}

fn article(kind: &str) -> &'static str {
    match kind {
        "boolean" => "a boolean",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        "object" => "a map",
        _ => "nothing",
    }
}

/// Whether quoted text would be a number or a boolean without its quotes.
fn is_bare(text: &str) -> bool {
    matches!(text, "true" | "false") || crate::json::is_number(text)
}
