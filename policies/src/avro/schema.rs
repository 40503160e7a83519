//! Schemas of Avro 1.11.

use std::collections::HashMap;

use ringway_contract::Refusal;

use crate::json::{Object, Value};

/// Named types of a schema.
const NAMED_MAX: usize = 1000;
/// Types in one another, where they are written.
const LEVELS_MAX: usize = 32;

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// `null`
    Null,
    /// `boolean`
    Boolean,
    /// `int`
    Int,
    /// `long`
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `bytes`
    Bytes,
    /// `string`
    String,
    /// A record, an enumeration or a fixed: its number in [`Schema::named`].
    Named(usize),
    /// `array`
    Array(Box<Type>),
    /// `map`
    Map(Box<Type>),
    /// One of these.
    Union(Vec<Type>),
}

/// A type that has a name.
#[derive(Debug)]
pub struct Named {
    /// With its namespace.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// Kinds of types that have names.
#[derive(Debug)]
pub enum Kind {
    /// `record`
    Record(Vec<Field>),
    /// `enum`: its symbols.
    Enum(Vec<String>),
    /// `fixed`: bytes.
    Fixed(usize),
}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub of: Type,
    /// What it is where JSON does not say.
    pub default: Option<Value>,
}

/// A schema.
#[derive(Debug)]
pub struct Schema {
    /// The type of the whole.
    pub root: Type,
    /// Types that have names.
    pub named: Vec<Named>,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Self::parse_behind(&[], text)
    }

    /// Reads a schema that may name the types of those before it, in their order.
    ///
    /// # Errors
    /// One of them is none.
    pub fn parse_behind(before: &[String], text: &str) -> Result<Self, Refusal> {
        let mut reader = Reader { named: Vec::new(), numbers: HashMap::new() };
        for text in before {
            reader.a_type(&written(text)?, "", 0)?;
        }
        let root = reader.a_type(&written(text)?, "", 0)?;
        let schema = Self { root, named: reader.named };
        schema.check_recursion()?;
        Ok(schema)
    }

    /// A record that holds itself in every value would have no end.
    fn check_recursion(&self) -> Result<(), Refusal> {
        // 0: not looked at, 1: being looked at, 2: fine.
        let mut states = vec![0_u8; self.named.len()];
        (0..self.named.len()).try_for_each(|number| self.ends(number, &mut states))
    }

    /// As deep as there are records that hold one another; of those there are [`NAMED_MAX`] at most.
    fn ends(&self, number: usize, states: &mut [u8]) -> Result<(), Refusal> {
        match states.get(number) {
            Some(0) => {}
            Some(1) => {
                let name = self.named.get(number).map_or("", |named| named.name.as_str());
                return Err(Refusal(format!("`{name}` holds itself in every value")));
            }
            _ => return Ok(()),
        }
        let set = |states: &mut [u8], state| {
            if let Some(place) = states.get_mut(number) {
                *place = state;
            }
        };
        set(states, 1);
        if let Some(Named { kind: Kind::Record(fields), .. }) = self.named.get(number) {
            for field in fields {
                if let Type::Named(inner) = field.of {
                    self.ends(inner, states)?;
                }
            }
        }
        set(states, 2);
        Ok(())
    }

    /// The name of a type, as a union in JSON gives it.
    pub fn name<'a>(&'a self, of: &Type) -> &'a str {
        match of {
            Type::Null => "null",
            Type::Boolean => "boolean",
            Type::Int => "int",
            Type::Long => "long",
            Type::Float => "float",
            Type::Double => "double",
            Type::Bytes => "bytes",
            Type::String => "string",
            Type::Array(_) => "array",
            Type::Map(_) => "map",
            Type::Union(_) => "union",
            Type::Named(number) => self.named.get(*number).map_or("", |named| named.name.as_str()),
        }
    }
}

fn written(text: &str) -> Result<Value, Refusal> {
    let text = text.trim();
    // The short form of a schema that is one word.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(Value::String(text.to_owned()));
    }
    Value::parse(text.as_bytes()).map_err(|error| Refusal(format!("not JSON: {error}")))
}

struct Reader {
    named: Vec<Named>,
    numbers: HashMap<String, usize>,
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn text<'a>(object: &'a Object, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}

impl Reader {
    fn a_type(&mut self, value: &Value, space: &str, level: usize) -> Result<Type, Refusal> {
        if level > LEVELS_MAX {
            return Err(Refusal(format!("more than {LEVELS_MAX} types in one another")));
        }
        match value {
            Value::String(name) => self.by_name(name, space),
            Value::Array(branches) => {
                let mut union = Vec::new();
                for branch in branches {
                    let of = self.a_type(branch, space, level + 1)?;
                    let same = |known: &Type| match (known, &of) {
                        (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_)) => true,
                        (known, of) => known == of,
                    };
                    if matches!(of, Type::Union(_)) || union.iter().any(same) {
                        return Err(Refusal("a union holds a union, or a type twice".into()));
                    }
                    union.push(of);
                }
                if union.is_empty() { Err(Refusal("a union of nothing".into())) } else { Ok(Type::Union(union)) }
            }
            Value::Object(object) => self.complex(object, space, level),
            _ => Err(Refusal("a type is a name, an object or an array".into())),
        }
    }

    fn complex(&mut self, object: &Object, space: &str, level: usize) -> Result<Type, Refusal> {
        let inner = |member: &str| object.get(member).ok_or_else(|| Refusal(format!("`{member}` is missing")));
        match object.get("type") {
            Some(Value::String(kind)) => match kind.as_str() {
                "array" => Ok(Type::Array(Box::new(self.a_type(inner("items")?, space, level + 1)?))),
                "map" => Ok(Type::Map(Box::new(self.a_type(inner("values")?, space, level + 1)?))),
                "record" | "error" => {
                    let (number, space) = self.add(object, space, Kind::Record(Vec::new()))?;
                    let Value::Array(listed) = inner("fields")? else {
                        return Err(Refusal("`fields` is no array".into()));
                    };
                    let mut fields: Vec<Field> = Vec::new();
                    for field in listed {
                        let field = field.as_object().ok_or_else(|| Refusal("a field is no object".into()))?;
                        let name = text(field, "name").filter(|name| is_name(name));
                        let name = name.ok_or_else(|| Refusal("a field without a name".into()))?;
                        if fields.iter().any(|known| known.name == name) {
                            return Err(Refusal(format!("the field `{name}` is there twice")));
                        }
                        let of = field.get("type").ok_or_else(|| Refusal(format!("the field `{name}` has no type")))?;
                        let of = self.a_type(of, &space, level + 1)?;
                        fields.push(Field { name: name.to_owned(), of, default: field.get("default").cloned() });
                    }
                    if let Some(named) = self.named.get_mut(number) {
                        named.kind = Kind::Record(fields);
                    }
                    Ok(Type::Named(number))
                }
                "enum" => {
                    let Value::Array(listed) = inner("symbols")? else {
                        return Err(Refusal("`symbols` is no array".into()));
                    };
                    let symbols = listed.iter().map(|symbol| symbol.as_str().filter(|symbol| is_name(symbol)));
                    let symbols: Option<Vec<String>> = symbols.map(|symbol| symbol.map(str::to_owned)).collect();
                    let symbols = symbols.ok_or_else(|| Refusal("a symbol that is no name".into()))?;
                    Ok(Type::Named(self.add(object, space, Kind::Enum(symbols))?.0))
                }
                "fixed" => {
                    let Value::Number(size) = inner("size")? else { return Err(Refusal("`size` is no number".into())) };
                    let size = size.parse().map_err(|_| Refusal("`size` is no number".into()))?;
                    Ok(Type::Named(self.add(object, space, Kind::Fixed(size))?.0))
                }
                name => self.by_name(name, space),
            },
            Some(inner) => self.a_type(inner, space, level + 1),
            None => Err(Refusal("a type without `type`".into())),
        }
    }

    fn by_name(&self, name: &str, space: &str) -> Result<Type, Refusal> {
        Ok(match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            _ => {
                let own =
                    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") };
                let number = self.numbers.get(&own).or_else(|| self.numbers.get(name));
                Type::Named(*number.ok_or_else(|| Refusal(format!("there is no type `{name}`")))?)
            }
        })
    }

    /// Adds a type that has a name; its number and the namespace of what is in it.
    fn add(&mut self, object: &Object, around: &str, kind: Kind) -> Result<(usize, String), Refusal> {
        let name = text(object, "name").filter(|name| name.split('.').all(is_name));
        let name = name.ok_or_else(|| Refusal("a type without a name".into()))?;
        let (space, name) = match name.rsplit_once('.') {
            Some((space, name)) => (space, name),
            None => (text(object, "namespace").unwrap_or(around), name),
        };
        let full = if space.is_empty() { name.to_owned() } else { format!("{space}.{name}") };
        let number = self.named.len();
        if number >= NAMED_MAX {
            return Err(Refusal(format!("more than {NAMED_MAX} types with names")));
        }
        if self.numbers.insert(full.clone(), number).is_some() {
            return Err(Refusal(format!("`{full}` is there twice")));
        }
        self.named.push(Named { name: full, kind });
        Ok((number, space.to_owned()))
    }
}
