//! JSON to bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::schema::{Kind, Named, Schema, Type};
use super::{Form, LEVELS_MAX, OUT_BYTES_MAX, VALUES_MAX};
use crate::json::Value;
use crate::varint::{self, zigzag};

/// A value in the JSON Encoding as bytes.
///
/// # Errors
/// It is no value of the schema; what does not fit.
pub fn encode(schema: &Schema, value: &Value, form: Form) -> Result<Vec<u8>, String> {
    let mut encoder = Encoder { schema, form, values: 0, out: Vec::new() };
    encoder.value(&schema.root, value, 0)?;
    Ok(encoder.out)
}

struct Encoder<'a> {
    schema: &'a Schema,
    form: Form,
    /// Counted again for each branch that is tried.
    values: usize,
    out: Vec<u8>,
}

type Encoded = Result<(), String>;

fn long(number: i64, out: &mut Vec<u8>) {
    varint::put(zigzag(number), out);
}

/// A number that is whole, however it is written.
fn whole(digits: &str) -> Option<i64> {
    if let Ok(number) = digits.parse() {
        return Some(number);
    }
    let number: f64 = digits.parse().ok()?;
    // Up to 2^53 every whole number is exact.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(digits) => digits.parse().ok(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

impl Encoder<'_> {
    fn wrong(&self, of: &Type) -> Encoded {
        Err(format!("a value that is no {}", self.schema.name(of)))
    }

    fn prefixed(&mut self, bytes: &[u8]) {
        long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    /// Characters up to U+00FF as bytes; or Base64.
    fn bytes(&self, value: &Value) -> Option<Vec<u8>> {
        if self.form.base64 {
            return STANDARD.decode(value.as_str()?).ok();
        }
        value.as_str()?.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
    }

    /// A number that is whole, and perhaps a text.
    fn whole(&self, value: &Value) -> Option<i64> {
        match value {
            Value::Number(digits) => whole(digits),
            Value::String(digits) if self.form.base64 => digits.parse().ok(),
            _ => None,
        }
    }

    fn value(&mut self, of: &Type, value: &Value, level: usize) -> Encoded {
        self.values += 1;
        if level > LEVELS_MAX || self.values > VALUES_MAX || self.out.len() > OUT_BYTES_MAX {
            return Err("more values, or levels of them, than are allowed".into());
        }
        match (of, value) {
            (Type::Null, Value::Null) => {}
            (Type::Boolean, Value::Bool(flag)) => self.out.push(u8::from(*flag)),
            (Type::Int, _) => match self.whole(value).and_then(|number| i32::try_from(number).ok()) {
                Some(number) => long(number.into(), &mut self.out),
                None => return self.wrong(of),
            },
            (Type::Long, _) => match self.whole(value) {
                Some(number) => long(number, &mut self.out),
                None => return self.wrong(of),
            },
            (Type::Float, _) => match float(value) {
                Some(number) => self.out.extend((number as f32).to_le_bytes()),
                None => return self.wrong(of),
            },
            (Type::Double, _) => match float(value) {
                Some(number) => self.out.extend(number.to_le_bytes()),
                None => return self.wrong(of),
            },
            (Type::Bytes, _) => match self.bytes(value) {
                Some(bytes) => self.prefixed(&bytes),
                None => return self.wrong(of),
            },
            (Type::String, Value::String(text)) => self.prefixed(text.as_bytes()),
            (Type::Named(number), _) => return self.named(*number, of, value, level),
            (Type::Array(of), Value::Array(items)) => {
                if !items.is_empty() {
                    long(i64::try_from(items.len()).unwrap_or(i64::MAX), &mut self.out);
                }
                items.iter().try_for_each(|item| self.value(of, item, level + 1))?;
                self.out.push(0);
            }
            (Type::Map(of), Value::Object(members)) => {
                if !members.is_empty() {
                    long(i64::try_from(members.len()).unwrap_or(i64::MAX), &mut self.out);
                }
                for (name, value) in members {
                    self.prefixed(name.as_bytes());
                    self.value(of, value, level + 1)?;
                }
                self.out.push(0);
            }
            (Type::Union(branches), _) => return self.union(branches, value, level),
            _ => return self.wrong(of),
        }
        Ok(())
    }

    fn named(&mut self, number: usize, of: &Type, value: &Value, level: usize) -> Encoded {
        let schema = self.schema;
        match (schema.named.get(number).map(|named: &Named| &named.kind), value) {
            (Some(Kind::Record(fields)), Value::Object(members)) => {
                let strange = |name: &&String| !self.form.lenient && !fields.iter().any(|field| field.name == **name);
                if let Some(name) = members.keys().find(strange) {
                    return Err(format!("`{name}` is no field of {}", schema.name(of)));
                }
                for field in fields {
                    match (members.get(&field.name), &field.default) {
                        (Some(value), _) => self.value(&field.of, value, level + 1)?,
                        (None, _) if self.form.omit_nulls && takes_null(&field.of) => {
                            self.value(&field.of, &Value::Null, level + 1)?;
                        }
                        (None, Some(default)) => self.default(&field.of, default, level + 1)?,
                        (None, None) => return Err(format!("`{}` of {} is missing", field.name, schema.name(of))),
                    }
                }
                Ok(())
            }
            (Some(Kind::Enum(symbols)), Value::String(text)) => match symbols.iter().position(|known| known == text) {
                Some(place) => {
                    long(i64::try_from(place).unwrap_or(i64::MAX), &mut self.out);
                    Ok(())
                }
                None => self.wrong(of),
            },
            (Some(Kind::Fixed(size)), _) => match self.bytes(value).filter(|bytes| bytes.len() == *size) {
                Some(bytes) => {
                    self.out.extend(bytes);
                    Ok(())
                }
                None => self.wrong(of),
            },
            _ => self.wrong(of),
        }
    }

    /// The default of a union is one of its first branch, and does not name it.
    fn default(&mut self, of: &Type, default: &Value, level: usize) -> Encoded {
        match of {
            Type::Union(branches) => {
                self.out.push(0);
                branches.first().map_or(Ok(()), |first| self.value(first, default, level))
            }
            _ => self.value(of, default, level),
        }
    }

    fn union(&mut self, branches: &[Type], value: &Value, level: usize) -> Encoded {
        let place = |wanted: &dyn Fn(&Type) -> bool| branches.iter().position(wanted);
        if let (Some(place), Value::Null) = (place(&|of| *of == Type::Null), value) {
            long(i64::try_from(place).unwrap_or(i64::MAX), &mut self.out);
            return Ok(());
        }
        if self.form.unwrapped {
            return self.first_that_fits(branches, value, level);
        }
        let only = value.as_object().filter(|members| members.len() == 1).and_then(|members| members.first());
        let (name, inner) = only.ok_or("a value of a union must name its branch")?;
        let branch =
            place(&|of| self.schema.name(of) == name.as_str()).and_then(|at| branches.get(at).map(|of| (at, of)));
        let (place, of) = branch.ok_or_else(|| format!("`{name}` is no branch of the union"))?;
        long(i64::try_from(place).unwrap_or(i64::MAX), &mut self.out);
        self.value(of, inner, level + 1)
    }

    fn first_that_fits(&mut self, branches: &[Type], value: &Value, level: usize) -> Encoded {
        let start = self.out.len();
        for (place, of) in branches.iter().enumerate() {
            long(i64::try_from(place).unwrap_or(i64::MAX), &mut self.out);
            if self.value(of, value, level + 1).is_ok() {
                return Ok(());
            }
            self.out.truncate(start);
            if self.values > VALUES_MAX {
                break;
            }
        }
        Err("a value of no branch of its union".into())
    }
}

fn takes_null(of: &Type) -> bool {
    match of {
        Type::Null => true,
        Type::Union(branches) => branches.contains(&Type::Null),
        _ => false,
    }
}
