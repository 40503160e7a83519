//! The options of a JSON Schema as rows of a table: one row per field, nested fields by their path.

use serde_json::{Map, Value};

/// How deep below the root fields are listed.
const DEPTH_MAX: usize = 12;

/// One field.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path, such as `http.connectTimeout` or `endpoints[].name`.
    pub path: String,
    /// Type and allowed values.
    pub kind: String,
    /// Whether a value must be given.
    pub required: bool,
    /// What holds without one, as JSON.
    pub default: Option<String>,
    /// What it does, in one paragraph of Markdown.
    pub about: String,
}

/// All fields of `schema` by path, so parents stand before their children.
pub fn fields(schema: &Value) -> Vec<Field> {
    let mut walk = Walk { root: schema, fields: Vec::new() };
    walk.object(schema, "", None, &mut Vec::new());
    // Whether a map of serde_json keeps its order depends on who else builds it: the pages must not.
    walk.fields.sort_by(|a, b| a.path.cmp(&b.path));
    walk.fields
}

/// What a schema says about itself, in one paragraph.
pub fn about(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Walk<'a> {
    root: &'a Value,
    fields: Vec<Field>,
}

impl<'a> Walk<'a> {
    /// Lists the fields of an object. `given` is what the object is when nobody says anything of it. `above` holds the definitions that are
    /// being listed: a type that holds itself is listed once.
    fn object(&mut self, schema: &'a Value, path: &str, given: Option<&'a Value>, above: &mut Vec<&'a str>) {
        if above.len() > DEPTH_MAX {
            return;
        }
        if let Some(name) = reference(schema) {
            if !above.contains(&name) {
                above.push(name);
                self.object(self.resolve(schema), path, given, above);
                above.pop();
            }
            return;
        }
        for part in parts(schema) {
            self.object(part, path, given, above);
        }
        if let Some(items) = schema.get("items") {
            self.object(items, &format!("{path}[]"), None, above);
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            self.object(values, &format!("{path}.*"), None, above);
        }
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
        for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let given = given.and_then(|given| given.get(name)).or_else(|| field.get("default"));
            let field_of = Field {
                kind: self.kind(field),
                required: is_required(name) && given.is_none(),
                default: given.and_then(default),
                about: self.about(field),
                path: path.clone(),
            };
            match self.fields.iter_mut().find(|known| known.path == path) {
                // The same field of another variant, such as the `type` that tells variants apart.
                Some(known) => merge(known, field_of),
                None => self.fields.push(field_of),
            }
            self.object(field, &path, given, above);
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let target = reference(schema).and_then(|name| self.root.get("$defs")?.get(name));
        target.unwrap_or(schema)
    }

    /// The words of the field itself, else those of its type.
    fn about(&self, schema: &'a Value) -> String {
        let own = about(schema);
        if own.is_empty() { about(self.resolve(schema)) } else { own }
    }

    /// The type in words.
    fn kind(&self, schema: &'a Value) -> String {
        let mut target = self.resolve(schema);
        // `Option<T>` of a definition: anyOf [ref, null].
        let options: Vec<&Value> =
            parts(target).filter(|part| part.get("type") != Some(&Value::from("null"))).collect();
        if let [only] = options.as_slice() {
            target = self.resolve(only);
        }
        let values = values(target);
        if !values.is_empty() {
            return values.join(", ");
        }
        let own = match target.get("type") {
            Some(Value::String(name)) => self.plain(name, target),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
                names.map(|name| self.plain(name, target)).collect::<Vec<_>>().join(" or ")
            }
            _ => String::new(),
        };
        if !own.is_empty() {
            return own;
        }
        let mut kinds: Vec<String> = parts(target).map(|part| self.kind(part)).collect();
        kinds.dedup();
        if kinds.is_empty() { "any".into() } else { kinds.join(" or ") }
    }

    fn plain(&self, name: &str, schema: &'a Value) -> String {
        match name {
            "array" => {
                let items = schema.get("items").map_or("any".into(), |items| self.kind(items));
                format!("list of {items}")
            }
            "object" if schema.get("additionalProperties").is_some_and(Value::is_object) => "map".into(),
            "integer" | "number" => format!("{name}{}", range(schema)),
            _ => name.into(),
        }
    }
}

fn merge(known: &mut Field, other: Field) {
    known.required &= other.required;
    for kind in other.kind.split(", ") {
        if !known.kind.split(", ").any(|listed| listed == kind) {
            known.kind = format!("{}, {kind}", known.kind);
        }
    }
    if known.about.is_empty() {
        known.about = other.about;
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// What a schema is composed of.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

/// The values of an enumeration; none when it is something else, or also something else.
fn values(schema: &Value) -> Vec<String> {
    let listed = |schema: &Value| -> Option<Vec<Value>> {
        let only = schema.get("const").map(|value| vec![value.clone()]);
        only.or_else(|| schema.get("enum").and_then(Value::as_array).cloned())
    };
    let all = listed(schema).or_else(|| {
        let variants: Option<Vec<Vec<Value>>> = parts(schema).map(listed).collect();
        variants.map(|variants| variants.concat())
    });
    let shown = |value: &Value| format!("`{}`", plain_json(value));
    all.into_iter().flatten().filter(|value| !value.is_null()).map(|value| shown(&value)).collect()
}

fn range(schema: &Value) -> String {
    // schemars writes the whole range of a small Rust type: only what is narrower says something.
    let of_type = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => Some(255.0),
        Some("uint16") => Some(65_535.0),
        _ => None,
    };
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64).filter(|bound| Some(*bound) != of_type);
    match (bound("minimum"), bound("maximum")) {
        (Some(minimum), Some(maximum)) => format!(" {minimum} to {maximum}"),
        (Some(minimum), None) if minimum > 0.0 => format!(" from {minimum}"),
        (None, Some(maximum)) => format!(" up to {maximum}"),
        _ => String::new(),
    }
}

fn default(value: &Value) -> Option<String> {
    let empty = value.is_null()
        || value.as_object().is_some_and(Map::is_empty)
        || value.as_str() == Some("")
        || value.as_array().is_some_and(|items| items.iter().all(Value::is_object));
    // A nested object's defaults stand at its own fields.
    (!empty && !value.is_object()).then(|| plain_json(value))
}

fn plain_json(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(schema: &Value) -> Vec<(String, String)> {
        fields(schema).into_iter().map(|field| (field.path, field.kind)).collect()
    }

    #[test]
    fn nested_fields_are_listed_by_path() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "description": "Its\n name." },
                "http": { "$ref": "#/$defs/Http", "default": { "timeout": 5 } },
                "targets": { "type": "array", "items": { "$ref": "#/$defs/Target" } },
                "headers": { "type": "object", "additionalProperties": { "type": "string" } },
            },
            "required": ["name"],
            "$defs": {
                "Http": { "type": "object", "properties": { "timeout": { "type": ["integer", "null"], "minimum": 1, "default": 3 } } },
                "Target": { "type": "object", "properties": { "url": { "type": "string" } } },
            },
        });
        let wanted = [
            ("headers", "map"),
            ("http", "object"),
            ("http.timeout", "integer from 1"),
            ("name", "string"),
            ("targets", "list of object"),
            ("targets[].url", "string"),
        ];
        assert_eq!(rows(&schema), wanted.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
        let all = fields(&schema);
        assert_eq!((all[3].required, all[3].about.as_str()), (true, "Its name."));
        assert_eq!(all[2].default.as_deref(), Some("5"), "what the parent says wins");
    }

    #[test]
    fn enumerations_show_their_values_and_variants_share_their_tag() {
        let schema = json!({
            "type": "object",
            "properties": {
                "mode": { "oneOf": [{ "const": "A", "description": "a" }, { "const": "B" }] },
                "some": { "anyOf": [{ "$ref": "#/$defs/E" }, { "type": "null" }] },
                "both": { "anyOf": [{ "enum": ["auto"], "type": "string" }, { "type": "integer", "minimum": 1 }] },
                "it": { "oneOf": [
                    { "type": "object", "properties": { "type": { "const": "X" }, "x": { "type": "boolean" } } },
                    { "type": "object", "properties": { "type": { "const": "Y" } } },
                ] },
            },
            "$defs": { "E": { "enum": ["c", "d"], "type": "string" } },
        });
        let wanted = [
            ("both", "`auto` or integer from 1"),
            ("it", "object"),
            ("it.type", "`X`, `Y`"),
            ("it.x", "boolean"),
            ("mode", "`A`, `B`"),
            ("some", "`c`, `d`"),
        ];
        assert_eq!(rows(&schema), wanted.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
    }

    #[test]
    fn a_type_that_holds_itself_is_listed_once() {
        let schema = json!({
            "$ref": "#/$defs/T",
            "$defs": { "T": { "type": "object", "properties": { "inner": { "$ref": "#/$defs/T" } } } },
        });
        assert_eq!(rows(&schema), [("inner".to_owned(), "object".to_owned())]);
    }
}
