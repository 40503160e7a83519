//! Drafts to a schema: files that are imported are found, and names of types become places.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway_contract::Refusal;

use super::known::{self, Known};
use super::lexer::whole;
use super::parse::{Constant, Draft, Drafts, FieldDraft, Label, Named, Written, file};
use super::schema::{Enum, Field, Message, Schema, Shape, Type};
use crate::json::write_string;

/// Files of a schema.
const FILES_MAX: usize = 64;
/// Bytes of a schema, with all that it imports.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Compiles a file. `import` gives what it imports; those of the language's own are known.
///
/// # Errors
/// It is not well formed, it names what there is not, or it is more than is read.
pub fn compile(text: &str, import: impl Fn(&str) -> Option<String>) -> Result<Schema, Refusal> {
    let mut drafts = Drafts::default();
    let mut bytes = text.len();
    let main = file(text, &mut drafts)?;
    if main.roots.is_empty() {
        return Err(Refusal("there is no message in it".into()));
    }
    let mut seen: HashSet<String> = HashSet::new();
    let mut wanted = main.imports;
    while let Some(path) = wanted.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let found = import(&path).or_else(|| known::file(&path).map(str::to_owned));
        let found = found.ok_or_else(|| Refusal(format!("`{path}`, which it imports, is not there")))?;
        bytes += found.len();
        if seen.len() > FILES_MAX || bytes > BYTES_MAX {
            return Err(Refusal(format!("it imports more than {FILES_MAX} files, or {BYTES_MAX} bytes")));
        }
        let read = file(&found, &mut drafts).map_err(|Refusal(reason)| Refusal(format!("`{path}`: {reason}")))?;
        wanted.extend(read.imports);
    }
    link(drafts, main.roots)
}

fn link(mut drafts: Drafts, roots: Vec<usize>) -> Result<Schema, Refusal> {
    let taken = std::mem::take(&mut drafts.messages);
    let names: Vec<String> = taken.iter().map(|draft| draft.name.clone()).collect();
    let messages = taken.into_iter().map(|draft| message(draft, &drafts));
    let messages = messages.collect::<Result<Vec<_>, Refusal>>()?;
    let by_name = names.into_iter().enumerate().map(|(place, name)| (name, place)).collect();
    Ok(Schema { messages, enums: drafts.enums, roots, by_name })
}

fn message(draft: Draft, drafts: &Drafts) -> Result<Message, Refusal> {
    let Draft { name, fields, nested, oneofs, proto3 } = draft;
    let linked = fields.into_iter().map(|field| {
        let own = field.name.clone();
        let linked = a_field(field, &name, proto3, drafts);
        linked.map_err(|Refusal(reason)| Refusal(format!("`{name}.{own}`: {reason}")))
    });
    let mut fields = linked.collect::<Result<Vec<_>, Refusal>>()?;
    fields.sort_by_key(|field| field.number);
    let mut by_name = HashMap::new();
    let mut last = None;
    for (place, field) in fields.iter().enumerate() {
        if last.replace(field.number) == Some(field.number) {
            return Err(Refusal(format!("`{name}` has the number {} twice", field.number)));
        }
        if by_name.insert(field.name.clone(), place).is_some_and(|known| known != place) {
            return Err(Refusal(format!("`{name}` has the field `{}` twice", field.name)));
        }
    }
    // A name as it is written goes before another field's name in JSON.
    for (place, field) in fields.iter().enumerate() {
        by_name.entry(field.json_name.clone()).or_insert(place);
    }
    let required = fields.iter().filter(|field| field.shape == Shape::Required).count();
    let known = Known::of(&name);
    Ok(Message { name, fields, by_name, oneofs, required, nested, known })
}

fn a_field(draft: FieldDraft, scope: &str, proto3: bool, drafts: &Drafts) -> Result<Field, Refusal> {
    let FieldDraft { name, number, of, key, label, oneof, options } = draft;
    let of = match of {
        Written::Scalar(of) => of,
        Written::Group(place) => Type::Group(place),
        Written::Name(written) => match resolve(&written, scope, drafts) {
            Some(Named::Message(place)) => Type::Message(place),
            Some(Named::Enum(place)) => Type::Enum(place),
            None => return Err(Refusal(format!("there is no type `{written}`"))),
        },
    };
    let is_message = matches!(of, Type::Message(_) | Type::Group(_));
    let shape = match (key, label) {
        (Some(key), _) => Shape::Map(key),
        (None, Label::Repeated) => Shape::Repeated { packed: options.packed.unwrap_or(proto3) && of.is_packable() },
        (None, Label::Required) => Shape::Required,
        (None, Label::Optional) => Shape::Optional,
        (None, Label::None) if !proto3 => return Err(Refusal("in proto2 a field has a label".into())),
        (None, Label::None) if is_message => Shape::Optional,
        (None, Label::None) => Shape::Implicit,
    };
    // What a printer of all defaults shows of a field that is not there.
    let shown = match shape {
        Shape::Repeated { .. } | Shape::Map(_) => false,
        Shape::Optional => !proto3 && oneof.is_none() && !is_message,
        Shape::Implicit | Shape::Required => !is_message,
    };
    let default = match options.default {
        Some(constant) => {
            let value = of_constant(&constant, of, &drafts.enums);
            Some(value.ok_or_else(|| Refusal("its default is no value of its type".into()))?)
        }
        None => zero(of, &drafts.enums),
    };
    let json_name = options.json_name.unwrap_or_else(|| camel(&name));
    Ok(Field { name, json_name, number, of, shape, oneof, default: default.filter(|_| shown) })
}

/// From the innermost scope outwards.
fn resolve(written: &str, scope: &str, drafts: &Drafts) -> Option<Named> {
    if let Some(full) = written.strip_prefix('.') {
        return drafts.named.get(full).copied();
    }
    let mut scope = scope;
    loop {
        let full = if scope.is_empty() { written.to_owned() } else { format!("{scope}.{written}") };
        if let Some(found) = drafts.named.get(&full) {
            return Some(*found);
        }
        if scope.is_empty() {
            return None;
        }
        scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
}

/// `a_name` as `aName`.
pub fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        match character {
            '_' => upper = true,
            character if upper => {
                out.push(character.to_ascii_uppercase());
                upper = false;
            }
            character => out.push(character),
        }
    }
    out
}

fn zero(of: Type, enums: &[Enum]) -> Option<String> {
    Some(match of {
        Type::Double | Type::Float => "0.0".into(),
        Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64 => "\"0\"".into(),
        Type::Bool => "false".into(),
        Type::String | Type::Bytes => "\"\"".into(),
        Type::Enum(place) => {
            let of = enums.get(place)?;
            if of.name == known::NULL { "null".into() } else { quoted(of.name_of(of.first())?) }
        }
        Type::Message(_) | Type::Group(_) => return None,
        _ => "0".into(),
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(text, &mut out);
    out
}

fn of_constant(constant: &Constant, of: Type, enums: &[Enum]) -> Option<String> {
    match (constant, of) {
        (Constant::Name(word), Type::Bool) => matches!(word.as_str(), "true" | "false").then(|| word.clone()),
        (Constant::Name(word), Type::Enum(place)) => {
            enums.get(place)?.number_of(word)?;
            Some(quoted(word))
        }
        (Constant::Name(word), Type::Double | Type::Float) => match word.as_str() {
            "inf" => Some("\"Infinity\"".into()),
            "-inf" => Some("\"-Infinity\"".into()),
            "nan" | "-nan" => Some("\"NaN\"".into()),
            _ => None,
        },
        (Constant::Number(digits), Type::Double | Type::Float) => {
            let number: f64 = digits.trim_end_matches(['f', 'F']).parse().ok()?;
            serde_json::to_string(&number).ok()
        }
        (Constant::Number(digits), of) if of.is_packable() && !matches!(of, Type::Bool | Type::Enum(_)) => {
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
            let number = whole(digits)?;
            let is_long = zero(of, enums)?.starts_with('"');
            Some(if is_long { format!("\"{sign}{number}\"") } else { format!("{sign}{number}") })
        }
        (Constant::Text(text), Type::String) => std::str::from_utf8(text).ok().map(quoted),
        (Constant::Text(bytes), Type::Bytes) => Some(format!("\"{}\"", STANDARD.encode(bytes))),
        _ => None,
    }
}
