//! What the texts of parameters and forms are as JSON, by the type that a schema asks for.

use ringway_contract::Refusal;
use serde_json::{Map, Value};

use crate::json::number_length;

/// The part of a schema that says how a text is to be read.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    kinds: Vec<String>,
    /// Of the items of a list.
    items: Option<Box<Shape>>,
    /// Of an object.
    members: Vec<(String, Shape)>,
    separator: Option<char>,
}

type Resolve<'d, 'f> = &'f dyn Fn(&'d Value) -> Result<&'d Value, Refusal>;

impl Shape {
    pub fn of<'d>(schema: &'d Value, resolve: Resolve<'d, '_>) -> Self {
        Self::below(schema, resolve, 0)
    }

    fn below<'d>(schema: &'d Value, resolve: Resolve<'d, '_>, depth: usize) -> Self {
        let kinds = match schema.get("type") {
            Some(Value::String(kind)) => vec![kind.clone()],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        // An object's members, and the items of its lists: a form has no more levels.
        let inner = |schema: &'d Value| match resolve(schema) {
            Ok(schema) if depth < 2 => Some(Self::below(schema, resolve, depth + 1)),
            _ => None,
        };
        let items = schema.get("items").and_then(inner).map(Box::new);
        let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let members = members.filter_map(|(name, schema)| Some((name.clone(), inner(schema)?))).collect();
        Self { kinds, items, members, separator: None }
    }

    pub fn separated_by(self, separator: Option<char>) -> Self {
        Self { separator, ..self }
    }

    pub fn is_object(&self) -> bool {
        self.is("object") || !self.members.is_empty()
    }

    fn is(&self, kind: &str) -> bool {
        self.kinds.iter().any(|known| known == kind)
    }

    /// The value of a parameter that was given once or several times.
    pub fn read(&self, given: &[String]) -> Value {
        if !self.is("array") {
            return match given {
                [single] => self.scalar(single),
                several => several.iter().map(|text| self.scalar(text)).collect(),
            };
        }
        let item = |text: &str| {
            self.items.as_deref().map_or_else(|| Value::String(text.to_owned()), |shape| shape.scalar(text))
        };
        match self.separator {
            Some(separator) => given.iter().flat_map(|text| text.split(separator)).map(item).collect(),
            None => given.iter().map(|text| item(text)).collect(),
        }
    }

    /// The object that a form is.
    pub fn read_form(&self, pairs: &[(String, String)]) -> Value {
        let mut grouped: std::collections::BTreeMap<&str, Vec<String>> = std::collections::BTreeMap::new();
        for (name, value) in pairs {
            grouped.entry(name).or_default().push(value.clone());
        }
        let any = Self::default();
        let read = |(name, given): (&str, Vec<String>)| {
            let shape = self.members.iter().find(|(known, _)| known == name).map_or(&any, |(_, shape)| shape);
            (name.to_owned(), shape.read(&given))
        };
        Value::Object(grouped.into_iter().map(read).collect::<Map<_, _>>())
    }

    /// A text as the first of the types that it can be; a text that is none of them stays one, and the schema refuses it.
    fn scalar(&self, text: &str) -> Value {
        let is_number = number_length(text.as_bytes()) == Some(text.len());
        if (self.is("integer") || self.is("number"))
            && is_number
            && let Ok(number) = serde_json::from_str(text)
        {
            return number;
        }
        match text {
            "true" | "false" if self.is("boolean") => Value::Bool(text == "true"),
            "" if self.is("null") && !self.is("string") => Value::Null,
            _ => Value::String(text.to_owned()),
        }
    }
}
