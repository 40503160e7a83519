//! Operators on values. Null is equal to null alone, and neither less nor greater than anything; computing with it gives null.

use std::cmp::Ordering;

use crate::code::Op;
use crate::run::Run;
use crate::{EvalError, Value};

type Result<T, E = EvalError> = std::result::Result<T, E>;

pub(crate) fn binary<'a>(run: &Run<'a>, at: u32, op: Op, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
    let compared = |wanted: fn(Ordering) -> bool| Ok(Value::Bool(compare(at, op, left, right)?.is_some_and(wanted)));
    match op {
        Op::Eq => Ok(Value::Bool(equal(run, at, left, right)?)),
        Op::Ne => Ok(Value::Bool(!equal(run, at, left, right)?)),
        Op::Lt => compared(Ordering::is_lt),
        Op::Le => compared(Ordering::is_le),
        Op::Gt => compared(Ordering::is_gt),
        Op::Ge => compared(Ordering::is_ge),
        Op::Add if matches!(left.single(), Value::Text(_)) || matches!(right.single(), Value::Text(_)) => {
            let mut text = String::new();
            for operand in [left, right] {
                match operand {
                    Value::Null => text.push_str("null"),
                    operand => run.write(at, operand, &mut text)?,
                }
            }
            Ok(Value::Text(text.into()))
        }
        _ => compute(at, op, left.single(), right.single()),
    }
}

pub(crate) fn negate<'a>(at: u32, operand: &Value<'a>) -> Result<Value<'a>> {
    match operand.single() {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(|| overflow(at, "-")),
        Value::Float(number) => Ok(Value::Float(-number)),
        Value::Null => Ok(Value::Null),
        other => Err(EvalError::new(at, format!("`-` takes a number, not {}", other.kind()))),
    }
}

pub(crate) fn between<'a>(run: &Run<'a>, at: u32, value: &Value<'a>, range: &Value<'a>) -> Result<Value<'a>> {
    match range {
        Value::List(bounds) => match &**bounds {
            [least, most] => {
                let low = binary(run, at, Op::Ge, value, least)?;
                let high = binary(run, at, Op::Le, value, most)?;
                Ok(Value::Bool(low == Value::Bool(true) && high == Value::Bool(true)))
            }
            _ => Err(EvalError::new(at, "`between` takes a list of two on its right side")),
        },
        Value::Null => Ok(Value::Bool(false)),
        other => {
            Err(EvalError::new(at, format!("`between` takes a list of two on its right side, not {}", other.kind())))
        }
    }
}

/// Whether two values are the same. Numbers are compared by value; a list of one item is equal to that item.
pub(crate) fn equal(run: &Run<'_>, at: u32, left: &Value<'_>, right: &Value<'_>) -> Result<bool> {
    Ok(match (left, right) {
        (Value::Null, other) | (other, Value::Null) => other.is_null(),
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            numbers(left, right) == Some(Ordering::Equal)
        }
        (Value::List(left), Value::List(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                run.step(at, 1)?;
                if !equal(run, at, left, right)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(entries), Value::Map(others)) => {
            if entries.len() != others.len() {
                return Ok(false);
            }
            for (key, value) in entries.iter() {
                run.step(at, 1 + others.len() / 8)?;
                match right.entry(key) {
                    Some(other) if equal(run, at, value, other)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::List(items), other) | (other, Value::List(items)) if items.len() == 1 => {
            run.step(at, 1)?;
            equal(run, at, &items[0], other)?
        }
        _ => false,
    })
}

/// The order of two values; none when one of them is null or not a number.
pub(crate) fn compare(at: u32, op: Op, left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>> {
    match (left.single(), right.single()) {
        (Value::Null, _) | (_, Value::Null) => Ok(None),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(right))),
        (left @ (Value::Int(_) | Value::Float(_)), right @ (Value::Int(_) | Value::Float(_))) => {
            Ok(numbers(left, right))
        }
        (left, right) => Err(mismatch(at, op, left, right)),
    }
}

fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        _ => float(left)?.partial_cmp(&float(right)?),
    }
}

pub(crate) fn float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn compute<'a>(at: u32, op: Op, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        if *right == 0 && matches!(op, Op::Div | Op::Rem) {
            return Err(EvalError::new(at, format!("`{}` by zero", op.symbol())));
        }
        if op == Op::Pow && *right < 0 {
            return Ok(Value::Float((*left as f64).powf(*right as f64)));
        }
        let result = match op {
            Op::Add => left.checked_add(*right),
            Op::Sub => left.checked_sub(*right),
            Op::Mul => left.checked_mul(*right),
            Op::Div => left.checked_div(*right),
            Op::Rem => left.checked_rem(*right),
            _ => u32::try_from(*right).ok().and_then(|exponent| left.checked_pow(exponent)),
        };
        return result.map(Value::Int).ok_or_else(|| overflow(at, op.symbol()));
    }
    if let (Some(left), Some(right)) = (float(left), float(right)) {
        return Ok(Value::Float(match op {
            Op::Add => left + right,
            Op::Sub => left - right,
            Op::Mul => left * right,
            Op::Div => left / right,
            Op::Rem => left % right,
            _ => left.powf(right),
        }));
    }
    let takes = |value: &Value<'_>| matches!(value, Value::Null | Value::Int(_) | Value::Float(_));
    if takes(left) && takes(right) { Ok(Value::Null) } else { Err(mismatch(at, op, left, right)) }
}

fn mismatch(at: u32, op: Op, left: &Value<'_>, right: &Value<'_>) -> EvalError {
    let message =
        format!("`{}` does not take {} on its left side and {} on its right", op.symbol(), left.kind(), right.kind());
    EvalError::new(at, message)
}

fn overflow(at: u32, symbol: &str) -> EvalError {
    EvalError::new(at, format!("the result of `{symbol}` does not fit in 64 bits"))
}
