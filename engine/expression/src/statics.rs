//! The functions of types that are carried: `T(java.lang.Math).max(1, 2)`.

use crate::code::Op;
use crate::operators::{self, float};
use crate::run::Run;
use crate::{EvalError, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Static {
    Abs,
    Max,
    Min,
    Floor,
    Ceil,
    Round,
    ParseInt,
    ParseDouble,
    ParseBoolean,
    Text,
    Uuid,
    Now,
}

impl Static {
    /// Whether equal arguments always give an equal result.
    pub(crate) fn is_pure(self) -> bool {
        !matches!(self, Self::Uuid | Self::Now)
    }
}

type Row = (&'static str, &'static str, Static, usize, usize);

/// Type (`java.lang.` left out), function, least and most arguments.
const STATICS: [Row; 17] = [
    ("Math", "abs", Static::Abs, 1, 1),
    ("Math", "max", Static::Max, 2, 2),
    ("Math", "min", Static::Min, 2, 2),
    ("Math", "floor", Static::Floor, 1, 1),
    ("Math", "ceil", Static::Ceil, 1, 1),
    ("Math", "round", Static::Round, 1, 1),
    ("Integer", "parseInt", Static::ParseInt, 1, 1),
    ("Integer", "valueOf", Static::ParseInt, 1, 1),
    ("Long", "parseLong", Static::ParseInt, 1, 1),
    ("Long", "valueOf", Static::ParseInt, 1, 1),
    ("Double", "parseDouble", Static::ParseDouble, 1, 1),
    ("Double", "valueOf", Static::ParseDouble, 1, 1),
    ("Boolean", "parseBoolean", Static::ParseBoolean, 1, 1),
    ("Boolean", "valueOf", Static::ParseBoolean, 1, 1),
    ("String", "valueOf", Static::Text, 1, 1),
    ("java.util.UUID", "randomUUID", Static::Uuid, 0, 0),
    ("System", "currentTimeMillis", Static::Now, 0, 0),
];

pub(crate) fn find(kind: &str, name: &str) -> Option<&'static Row> {
    STATICS.iter().find(|(known, function, ..)| *known == kind && *function == name)
}

/// The types, each once.
pub(crate) fn types() -> impl Iterator<Item = &'static str> + Clone {
    let before = |at: usize| at.checked_sub(1).and_then(|at| STATICS.get(at)).map(|row| row.0);
    STATICS.iter().enumerate().filter(move |(at, row)| before(*at) != Some(row.0)).map(|(_, row)| row.0)
}

/// The functions of a type.
pub(crate) fn names(kind: &str) -> impl Iterator<Item = &'static str> + Clone {
    STATICS.iter().filter(move |(known, ..)| *known == kind).map(|(_, name, ..)| *name)
}

/// Calls a function. What cannot be read as a number is null.
pub(crate) fn call<'a>(
    run: &Run<'a>,
    at: u32,
    function: Static,
    [first, second]: [Value<'a>; 2],
) -> Result<Value<'a>, EvalError> {
    match function {
        Static::Now => return Ok(run.context.now_ms().map_or(Value::Null, whole)),
        Static::Uuid => return run.context.random().map_or(Ok(Value::Null), |bits| run.made(at, uuid(bits))),
        Static::ParseBoolean => {
            let is = matches!(first.single(), Value::Text(text) if text.trim().eq_ignore_ascii_case("true"));
            return Ok(Value::Bool(is || *first.single() == Value::Bool(true)));
        }
        Static::Text if matches!(first, Value::Text(_)) => return Ok(first),
        Static::Text => {
            let mut text = String::new();
            run.write(at, &first, &mut text)?;
            return Ok(Value::Text(if first.is_null() { "null".into() } else { text.into() }));
        }
        _ => {}
    }
    Ok(match (function, first.single(), second.single()) {
        (_, Value::Null, _) => Value::Null,
        (Static::ParseInt, Value::Text(text), _) => text.trim().parse().map_or(Value::Null, Value::Int),
        (Static::ParseInt, Value::Int(number), _) => Value::Int(*number),
        (Static::ParseInt, Value::Float(number), _) => Value::Int(*number as i64),
        (Static::ParseDouble, Value::Text(text), _) => text.trim().parse().map_or(Value::Null, Value::Float),
        (Static::ParseDouble, Value::Int(_) | Value::Float(_), _) => float(&first).map_or(Value::Null, Value::Float),
        (Static::Max | Static::Min, _, Value::Null) => Value::Null,
        (Static::Max | Static::Min, left @ (Value::Int(_) | Value::Float(_)), right) => {
            let order = operators::compare(at, Op::Lt, left, right)?;
            let takes_left =
                order.is_some_and(|order| if function == Static::Max { order.is_ge() } else { order.is_le() });
            (if takes_left { left } else { right }).clone()
        }
        (Static::Abs, Value::Int(number), _) => Value::Int(number.saturating_abs()),
        (Static::Round, Value::Int(number), _) => Value::Int(*number),
        (Static::Abs, Value::Float(number), _) => Value::Float(number.abs()),
        // As in Java: halves go up.
        (Static::Round, Value::Float(number), _) => Value::Int((number + 0.5).floor() as i64),
        (Static::Floor, number @ (Value::Int(_) | Value::Float(_)), _) => {
            float(number).map_or(Value::Null, |number| Value::Float(number.floor()))
        }
        (Static::Ceil, number @ (Value::Int(_) | Value::Float(_)), _) => {
            float(number).map_or(Value::Null, |number| Value::Float(number.ceil()))
        }
        (_, other, _) => {
            let name = STATICS.iter().find(|(.., known, _, _)| *known == function).map_or("", |row| row.1);
            return Err(EvalError::new(at, format!("`{name}` does not take {}", other.kind())));
        }
    })
}

fn whole<'a>(number: u64) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A UUID of version 4 (RFC 9562, section 5.4).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let text = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| text.get(range).unwrap_or(""));
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::uuid;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
