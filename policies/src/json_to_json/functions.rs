//! The functions of `modify`.

use ringway_contract::Refusal;

use crate::json::{Value, number_length};

/// Characters that padding makes at most.
const PADDED_MAX: usize = 10_000;

macro_rules! functions {
    ($($name:literal $function:ident,)*) => {
        /// A function by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Function { $($function),* }

        const NAMES: &[(&str, Function)] = &[$(($name, Function::$function)),*];
    };
}

functions! {
    "toLower" ToLower, "toUpper" ToUpper, "trim" Trim, "concat" Concat, "join" Join, "split" Split, "substring" Substring,
    "leftPad" LeftPad, "rightPad" RightPad, "min" Min, "max" Max, "abs" Abs, "avg" Avg, "intSum" IntSum, "longSum" LongSum,
    "doubleSum" DoubleSum, "intSubtract" IntSubtract, "longSubtract" LongSubtract, "doubleSubtract" DoubleSubtract,
    "divide" Divide, "divideAndRound" DivideAndRound, "toInteger" ToInteger, "toLong" ToLong, "toDouble" ToDouble,
    "toBoolean" ToBoolean, "toString" ToString, "size" Size, "squashNulls" SquashNulls,
    "recursivelySquashNulls" RecursivelySquashNulls, "squashDuplicates" SquashDuplicates, "elementAt" ElementAt, "firstElement" FirstElement,
    "lastElement" LastElement, "toList" ToList, "sort" Sort, "isPresent" IsPresent, "notNull" NotNull, "isNull" IsNull, "noop" Noop,
}

/// # Errors
/// There is no such function.
pub fn named(name: &str) -> Result<Function, Refusal> {
    let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function);
    found.ok_or_else(|| Refusal(format!("`={name}` is no function of modify")))
}

fn number(value: &Value) -> Option<f64> {
    let text = match value {
        Value::Number(digits) => digits,
        Value::String(text) if number_length(text.trim().as_bytes()) == Some(text.trim().len()) => text.trim(),
        _ => return None,
    };
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Number(digits) = value
        && let Ok(number) = digits.parse()
    {
        return Some(number);
    }
    if let Value::String(text) = value
        && let Ok(number) = text.trim().parse()
    {
        return Some(number);
    }
    number(value).filter(|number| number.abs() < 9e18).map(|number| number.trunc() as i64)
}

fn of_integer(number: i64) -> Option<Value> {
    Some(Value::Number(number.to_string().into()))
}

/// As Java writes a double: with a fraction.
fn of_double(number: f64) -> Option<Value> {
    number.is_finite().then(|| Value::Number(format!("{number:?}").into()))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn string(text: impl Into<String>) -> Option<Value> {
    Some(Value::String(text.into()))
}

/// Arguments, those of a single list in their place.
fn spread(mut arguments: Vec<Value>) -> Vec<Value> {
    match arguments.pop() {
        Some(Value::Array(items)) if arguments.is_empty() => items,
        Some(last) => {
            arguments.push(last);
            arguments
        }
        None => arguments,
    }
}

/// What it gives for these arguments (`None`: what is referred to is not there); `None`: nothing is written.
pub fn call(function: Function, given: Vec<Option<Value>>) -> Option<Value> {
    use Function as F;
    match function {
        F::IsPresent => return given.into_iter().next()?,
        F::NotNull => return given.into_iter().next()?.filter(|value| *value != Value::Null),
        F::IsNull => return given.into_iter().next()?.filter(|value| *value == Value::Null),
        F::Noop => return None,
        _ => {}
    }
    let arguments: Vec<Value> = given.into_iter().flatten().collect();
    let first = arguments.first();
    match function {
        F::ToLower => string(text_of(first)?.to_lowercase()),
        F::ToUpper => string(text_of(first)?.to_uppercase()),
        F::Trim => string(text_of(first)?.trim()),
        F::Concat => string(spread(arguments).iter().filter_map(text).collect::<String>()),
        F::Join => {
            let separator = text(first?)?;
            let rest = spread(arguments.into_iter().skip(1).collect());
            string(rest.iter().filter_map(text).collect::<Vec<_>>().join(&separator))
        }
        F::Split => {
            let separator = text(first?)?;
            let whole = text_of(arguments.get(1))?;
            let pieces = whole.split(&*separator).filter(|piece| !separator.is_empty() || !piece.is_empty());
            Some(Value::Array(pieces.map(|piece| Value::String(piece.to_owned())).collect()))
        }
        F::Substring => {
            let whole: Vec<char> = text_of(first)?.chars().collect();
            let from = usize::try_from(integer(arguments.get(1)?)?).ok()?;
            let to = usize::try_from(integer(arguments.get(2)?)?).ok()?.min(whole.len());
            string(whole.get(from..to)?.iter().collect::<String>())
        }
        F::LeftPad | F::RightPad => {
            let whole = text_of(first)?;
            let width = usize::try_from(integer(arguments.get(1)?)?).ok()?.min(PADDED_MAX);
            let filler = text(arguments.get(2)?)?.chars().next()?;
            let missing = width.saturating_sub(whole.chars().count());
            let padding: String = std::iter::repeat_n(filler, missing).collect();
            string(if function == F::LeftPad { padding + whole } else { whole.to_owned() + &padding })
        }
        F::Min | F::Max => {
            let numbers = spread(arguments).into_iter().filter_map(|value| Some((number(&value)?, value)));
            let best = numbers.reduce(|one, other| {
                let other_wins = if function == F::Min { other.0 < one.0 } else { other.0 > one.0 };
                if other_wins { other } else { one }
            });
            best.map(|(_, value)| value)
        }
        F::Abs => match first? {
            Value::Array(items) => Some(Value::Array(items.iter().filter_map(abs).collect())),
            single => abs(single),
        },
        F::Avg => {
            let numbers: Vec<f64> = spread(arguments).iter().filter_map(number).collect();
            if numbers.is_empty() { None } else { of_double(numbers.iter().sum::<f64>() / numbers.len() as f64) }
        }
        F::IntSum | F::LongSum => {
            of_integer(spread(arguments).iter().filter_map(integer).try_fold(0_i64, i64::checked_add)?)
        }
        F::DoubleSum => of_double(spread(arguments).iter().filter_map(number).sum()),
        F::IntSubtract | F::LongSubtract => {
            let values = spread(arguments);
            of_integer(integer(values.first()?)?.checked_sub(integer(values.get(1)?)?)?)
        }
        F::DoubleSubtract => {
            let values = spread(arguments);
            of_double(number(values.first()?)? - number(values.get(1)?)?)
        }
        F::Divide => {
            let values = spread(arguments);
            of_double(number(values.first()?)? / number(values.get(1)?)?)
        }
        F::DivideAndRound => {
            let digits = u32::try_from(integer(first?)?).ok().filter(|digits| *digits <= 15)?;
            let values = spread(arguments.iter().skip(1).cloned().collect());
            let scale = 10_f64.powi(i32::try_from(digits).ok()?);
            of_double((number(values.first()?)? / number(values.get(1)?)? * scale).round() / scale)
        }
        F::ToInteger => {
            each(first?, &|value| integer(value).filter(|number| i32::try_from(*number).is_ok()).and_then(of_integer))
        }
        F::ToLong => each(first?, &|value| integer(value).and_then(of_integer)),
        F::ToDouble => each(first?, &|value| number(value).and_then(of_double)),
        F::ToBoolean => each(first?, &|value| match value {
            Value::Bool(_) => Some(value.clone()),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
            _ => None,
        }),
        F::ToString => each(first?, &|value| string(text(value)?)),
        F::Size => match first? {
            Value::Array(items) => of_integer(i64::try_from(items.len()).ok()?),
            Value::Object(object) => of_integer(i64::try_from(object.len()).ok()?),
            Value::String(text) => of_integer(i64::try_from(text.encode_utf16().count()).ok()?),
            _ => None,
        },
        F::SquashNulls | F::RecursivelySquashNulls => {
            let mut value = first?.clone();
            squash(&mut value, function == F::RecursivelySquashNulls);
            Some(value)
        }
        F::SquashDuplicates => {
            let Value::Array(items) = first? else { return Some(first?.clone()) };
            let mut seen = std::collections::HashSet::new();
            Some(Value::Array(items.iter().filter(|item| seen.insert(item.to_string())).cloned().collect()))
        }
        F::ElementAt => {
            let (list, at) = match (first?, arguments.get(1)) {
                (Value::Array(items), Some(at)) => (&**items, at),
                (at, _) => (arguments.get(1..)?, at),
            };
            let list = if let [Value::Array(items)] = list { items } else { list };
            list.get(usize::try_from(integer(at)?).ok()?).cloned()
        }
        F::FirstElement => spread(arguments).into_iter().next(),
        F::LastElement => spread(arguments).pop(),
        F::ToList => match first? {
            Value::Array(_) if arguments.len() == 1 => first.cloned(),
            _ => Some(Value::Array(arguments)),
        },
        F::Sort => {
            let mut values = spread(arguments);
            values.sort_by(|one, other| match (number(one), number(other)) {
                (Some(one), Some(other)) => one.total_cmp(&other),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => text(one).cmp(&text(other)),
            });
            Some(Value::Array(values))
        }
        F::IsPresent | F::NotNull | F::IsNull | F::Noop => None,
    }
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    value?.as_str()
}

fn abs(value: &Value) -> Option<Value> {
    integer_text(value).map_or_else(
        || number(value).and_then(|number| of_double(number.abs())),
        |number| of_integer(number.checked_abs()?),
    )
}

/// An integer that is written as one.
fn integer_text(value: &Value) -> Option<i64> {
    match value {
        Value::Number(digits) => digits.parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Of a list each item; what cannot be converted stays as it is.
fn each(value: &Value, convert: &dyn Fn(&Value) -> Option<Value>) -> Option<Value> {
    match value {
        Value::Array(items) => {
            Some(Value::Array(items.iter().map(|item| convert(item).unwrap_or_else(|| item.clone())).collect()))
        }
        single => convert(single),
    }
}

fn squash(value: &mut Value, deep: bool) {
    match value {
        Value::Array(items) => {
            items.retain(|item| *item != Value::Null);
            items.iter_mut().filter(|_| deep).for_each(|item| squash(item, true));
        }
        Value::Object(object) => {
            object.retain(|_, item| *item != Value::Null);
            object.values_mut().filter(|_| deep).for_each(|item| squash(item, true));
        }
        _ => {}
    }
}
