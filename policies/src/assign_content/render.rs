//! Renders a template for an exchange, within bounds.

use std::borrow::Cow;

use ringway_contract::{Attributes, Exchange, Fields};

use super::expression::{BuiltIn, Expression, Operator, Root};
use super::template::{List, Node};
use crate::json::{self, Object, Value};
use crate::xml;

/// Steps of one rendering at most.
const STEPS_MAX: usize = 1_000_000;

/// Bytes that a rendering, and everything that it makes on its way, may have at most.
const BYTES_MAX: usize = 16 << 20;

/// Why nothing was rendered.
#[derive(Debug)]
pub struct Failure(pub String);

fn failure<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(what.into()))
}

type Found<'e> = Result<Option<Cow<'e, Value>>, Failure>;

pub struct Render<'x> {
    pub exchange: &'x Exchange,
    pub out: String,
    variables: Vec<(String, Value)>,
    steps: std::cell::Cell<usize>,
    bytes: std::cell::Cell<usize>,
}

fn text(value: String) -> Value {
    Value::String(value)
}

fn whole(number: usize) -> Value {
    Value::Number(number.to_string().into())
}

/// A number as text, without a fraction where there is none.
fn of_number(number: f64) -> Option<Value> {
    number.is_finite().then(|| Value::Number(format!("{number}").into()))
}

fn number(value: &Value) -> Option<f64> {
    if let Value::Number(digits) = value { digits.parse().ok() } else { None }
}

/// What is printed of a value.
fn printed(value: &Value) -> Result<Cow<'_, str>, Failure> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(digits) => Ok(Cow::Borrowed(digits)),
        Value::Bool(value) => Ok(Cow::Borrowed(if *value { "true" } else { "false" })),
        Value::Null => failure("null cannot be printed"),
        Value::Array(_) => failure("a list cannot be printed"),
        Value::Object(_) => failure("an object cannot be printed"),
    }
}

fn owned(value: Value) -> Option<Cow<'static, Value>> {
    Some(Cow::Owned(value))
}

/// The member or item of a key, of a borrowed value without a copy.
fn member<'e>(base: Cow<'e, Value>, key: &Value) -> Option<Cow<'e, Value>> {
    let at = number(key).filter(|at| *at >= 0.0).map(|at| at as usize);
    let found = match base {
        Cow::Borrowed(Value::Object(object)) => Cow::Borrowed(object.get(key.as_str()?)?),
        Cow::Borrowed(Value::Array(items)) => Cow::Borrowed(items.get(at?)?),
        Cow::Owned(Value::Object(mut object)) => Cow::Owned(object.swap_remove(key.as_str()?)?),
        Cow::Owned(Value::Array(mut items)) => {
            let at = at.filter(|at| *at < items.len())?;
            Cow::Owned(items.swap_remove(at))
        }
        _ => return None,
    };
    Some(found).filter(|found| **found != Value::Null)
}

impl<'x> Render<'x> {
    pub fn new(exchange: &'x Exchange) -> Self {
        Self { exchange, out: String::new(), variables: Vec::new(), steps: 0.into(), bytes: 0.into() }
    }

    fn step(&self) -> Result<(), Failure> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > STEPS_MAX { failure("too many steps") } else { Ok(()) }
    }

    fn spend(&self, bytes: usize) -> Result<(), Failure> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() > BYTES_MAX { failure("too much text") } else { Ok(()) }
    }

    pub fn nodes(&mut self, nodes: &[Node]) -> Result<(), Failure> {
        for node in nodes {
            self.step()?;
            match node {
                Node::Text(text) => self.print(text)?,
                Node::Print(expression) => {
                    let value = self.value(expression)?;
                    let text = printed(&value)?.into_owned();
                    self.print(&text)?;
                }
                Node::Assign(name, expression) => {
                    let value = self.value(expression)?.into_owned();
                    // The weight of what is kept counts as text.
                    self.spend(value.to_string().len())?;
                    match self.variables.iter_mut().find(|(known, _)| known == name) {
                        Some((_, place)) => *place = value,
                        None => self.variables.push((name.clone(), value)),
                    }
                }
                Node::If(branches) => {
                    for (condition, body) in branches {
                        let is_true = match condition {
                            Some(condition) => self.truth(condition)?,
                            None => true,
                        };
                        if is_true {
                            self.nodes(body)?;
                            break;
                        }
                    }
                }
                Node::List(list) => self.list(list)?,
            }
        }
        Ok(())
    }

    fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.spend(text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, list: &List) -> Result<(), Failure> {
        let items: Vec<(Value, Option<Value>)> = match (self.value(&list.of)?.into_owned(), &list.value) {
            (Value::Array(items), None) => items.into_iter().map(|item| (item, None)).collect(),
            (Value::Object(object), Some(_)) => {
                object.into_iter().map(|(key, value)| (text(key), Some(value))).collect()
            }
            (_, None) => return failure("only a list can be listed; of an object `as key, value`"),
            (_, Some(_)) => return failure("`as key, value` is for objects"),
        };
        let count = items.len();
        if count == 0 {
            return self.nodes(&list.otherwise);
        }
        let known = self.variables.len();
        for (index, (item, value)) in items.into_iter().enumerate() {
            self.variables.truncate(known);
            let is_last = index + 1 == count;
            self.variables.push((format!("{}_index", list.name), whole(index)));
            self.variables.push((format!("{}_has_next", list.name), Value::Bool(!is_last)));
            self.variables.extend(list.value.clone().zip(value));
            self.variables.push((list.name.clone(), item));
            self.nodes(&list.body)?;
            if !is_last {
                self.nodes(&list.between)?;
            }
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn truth(&self, expression: &Expression) -> Result<bool, Failure> {
        match self.value(expression)?.as_ref() {
            Value::Bool(value) => Ok(*value),
            other => failure(format!("a condition is true or false, not {}", kind(other))),
        }
    }

    /// The value of what has to be there.
    fn value<'e>(&'e self, expression: &'e Expression) -> Result<Cow<'e, Value>, Failure> {
        match self.find(expression)?.filter(|value| **value != Value::Null) {
            Some(value) => Ok(value),
            None => failure("something that the template needs is missing; `!` gives a default"),
        }
    }

    fn find<'e>(&'e self, expression: &'e Expression) -> Found<'e> {
        self.step()?;
        Ok(match expression {
            Expression::Value(value) => Some(Cow::Borrowed(value)),
            Expression::Root(root) => self.root(*root)?.map(Cow::Owned),
            Expression::Variable(name) => {
                self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| Cow::Borrowed(value))
            }
            Expression::Member(base, key) => {
                let Some(found) = self.find(base)? else {
                    return failure("something that the template needs is missing; `!` gives a default");
                };
                let key = self.value(key)?;
                let is_headers = matches!(
                    **base,
                    Expression::Root(Root::RequestHeaders | Root::ResponseHeaders | Root::MessageHeaders)
                );
                match key.as_str().filter(|_| is_headers) {
                    Some(name) => member(found, &text(name.to_ascii_lowercase())),
                    None => member(found, &key),
                }
            }
            Expression::Exists(base) => owned(Value::Bool(self.attempt(base)?.is_some())),
            Expression::Or(base, default) => match (self.attempt(base)?, default) {
                (Some(value), _) => Some(value),
                (None, Some(default)) => self.find(default)?,
                (None, None) => owned(text(String::new())),
            },
            Expression::Not(base) => owned(Value::Bool(!self.truth(base)?)),
            Expression::List(items) => {
                let items = items.iter().map(|item| self.value(item).map(Cow::into_owned));
                owned(Value::Array(items.collect::<Result<_, _>>()?))
            }
            Expression::Binary(left, operator, right) => owned(self.binary(left, *operator, right)?),
            Expression::BuiltIn(base, BuiltIn::HasContent, _) => {
                let found = self.attempt(base)?;
                let has_content = found.is_some_and(|value| match value.as_ref() {
                    Value::String(text) => !text.is_empty(),
                    Value::Array(items) => !items.is_empty(),
                    Value::Object(object) => !object.is_empty(),
                    _ => true,
                });
                owned(Value::Bool(has_content))
            }
            Expression::BuiltIn(base, built_in, arguments) => self.built_in(self.value(base)?, *built_in, arguments)?,
        })
    }

    /// What is there, or nothing where something on the way is missing.
    fn attempt<'e>(&'e self, expression: &'e Expression) -> Found<'e> {
        if let Expression::Member(base, key) = expression {
            let Some(_) = self.attempt(base)? else { return Ok(None) };
            if self.attempt(key)?.is_none() {
                return Ok(None);
            }
        }
        Ok(self.find(expression)?.filter(|value| **value != Value::Null))
    }

    fn binary(&self, left: &Expression, operator: Operator, right: &Expression) -> Result<Value, Failure> {
        if matches!(operator, Operator::And | Operator::Or) {
            let left = self.truth(left)?;
            let is_decided = left == (operator == Operator::Or);
            return Ok(Value::Bool(if is_decided { left } else { self.truth(right)? }));
        }
        let (left, right) = (self.value(left)?, self.value(right)?);
        let numbers = number(&left).zip(number(&right));
        let equal = match (numbers, left.as_ref(), right.as_ref()) {
            (Some((one, other)), ..) => Some(one == other),
            (None, Value::String(one), Value::String(other)) => Some(one == other),
            (None, Value::Bool(one), Value::Bool(other)) => Some(one == other),
            _ => None,
        };
        let unfit = || Failure(format!("{} and {} do not go together here", kind(&left), kind(&right)));
        let (one, other) = match (operator, equal) {
            (Operator::Equal, Some(equal)) => return Ok(Value::Bool(equal)),
            (Operator::Unequal, Some(equal)) => return Ok(Value::Bool(!equal)),
            (Operator::Add, _) if numbers.is_none() => {
                return match (left.as_ref(), right.as_ref()) {
                    (Value::Array(one), Value::Array(other)) => {
                        self.spend(32 * (one.len() + other.len()))?;
                        Ok(Value::Array(one.iter().chain(other).cloned().collect()))
                    }
                    _ => {
                        let joined = format!("{}{}", printed(&left)?, printed(&right)?);
                        self.spend(joined.len())?;
                        Ok(text(joined))
                    }
                };
            }
            _ => numbers.ok_or_else(unfit)?,
        };
        let result = match operator {
            Operator::Less => return Ok(Value::Bool(one < other)),
            Operator::LessOrEqual => return Ok(Value::Bool(one <= other)),
            Operator::Greater => return Ok(Value::Bool(one > other)),
            Operator::GreaterOrEqual => return Ok(Value::Bool(one >= other)),
            Operator::Add => one + other,
            Operator::Subtract => one - other,
            Operator::Multiply => one * other,
            Operator::Divide => one / other,
            Operator::Remainder => one % other,
            Operator::And | Operator::Or | Operator::Equal | Operator::Unequal => return Err(unfit()),
        };
        of_number(result).ok_or_else(|| Failure("a number is out of range".into()))
    }

    fn built_in<'e>(&'e self, base: Cow<'e, Value>, built_in: BuiltIn, arguments: &'e [Expression]) -> Found<'e> {
        use BuiltIn as B;
        let argument = |at: usize| -> Result<Option<Cow<'e, Value>>, Failure> {
            arguments.get(at).map(|argument| self.value(argument)).transpose()
        };
        let argument_text = |at: usize| -> Result<String, Failure> {
            argument(at)?.map_or_else(|| Ok(String::new()), |value| printed(&value).map(Cow::into_owned))
        };
        let found = match (built_in, base.as_ref()) {
            (B::Then, Value::Bool(value)) => {
                return self.find(
                    arguments.get(usize::from(!value)).ok_or_else(|| Failure("`?then` has two arguments".into()))?,
                );
            }
            (B::IsString, value) => Value::Bool(matches!(value, Value::String(_))),
            (B::IsNumber, value) => Value::Bool(matches!(value, Value::Number(_))),
            (B::IsBoolean, value) => Value::Bool(matches!(value, Value::Bool(_))),
            (B::IsSequence, value) => Value::Bool(matches!(value, Value::Array(_))),
            (B::IsHash, value) => Value::Bool(matches!(value, Value::Object(_))),
            (B::Text, Value::Bool(value)) if arguments.len() == 2 => text(argument_text(usize::from(!value))?),
            (B::Text | B::Computer, value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => {
                text(printed(value)?.into_owned())
            }
            (B::Number, Value::Number(_)) | (B::Boolean, Value::Bool(_)) => return Ok(Some(base)),
            (B::Int, value) => match number(value) {
                Some(number) => of_number(number.trunc()).unwrap_or(Value::Null),
                None => return failure("`?int` is for numbers"),
            },
            (B::Size, Value::Array(items)) => whole(items.len()),
            (B::Size, Value::Object(object)) => whole(object.len()),
            (B::Keys, Value::Object(object)) => Value::Array(object.keys().cloned().map(text).collect()),
            (B::Values, Value::Object(object)) => Value::Array(object.values().cloned().collect()),
            (B::First, Value::Array(items)) => return Ok(items.first().cloned().map(Cow::Owned)),
            (B::Last, Value::Array(items)) => return Ok(items.last().cloned().map(Cow::Owned)),
            (B::Reverse, Value::Array(items)) => Value::Array(items.iter().rev().cloned().collect()),
            (B::Join, Value::Array(items)) => {
                let items: Vec<Cow<'_, str>> = items.iter().map(printed).collect::<Result<_, _>>()?;
                let separator = argument_text(0)?;
                self.spend(items.iter().map(|item| item.len() + separator.len()).sum())?;
                text(items.join(&separator))
            }
            (B::SeqContains, Value::Array(items)) => {
                let wanted = argument(0)?;
                Value::Bool(items.iter().any(|item| Some(item) == wanted.as_deref()))
            }
            (_, Value::String(string)) => {
                self.spend(string.len())?;
                self.of_string(string, built_in, argument_text, arguments.len())?
            }
            (_, other) => return failure(format!("a built-in does not fit {}", kind(other))),
        };
        Ok(Some(Cow::Owned(found)))
    }

    fn of_string(
        &self,
        string: &str,
        built_in: BuiltIn,
        argument: impl Fn(usize) -> Result<String, Failure>,
        count: usize,
    ) -> Result<Value, Failure> {
        use BuiltIn as B;
        Ok(match built_in {
            B::Eval => Value::parse(string.as_bytes()).map_err(|error| Failure(format!("not JSON: {error}")))?,
            B::Number => match json::number_length(string.trim().as_bytes()) == Some(string.trim().len()) {
                true => Value::Number(string.trim().into()),
                false => return failure("not a number"),
            },
            B::Boolean => match string {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return failure("neither true nor false"),
            },
            B::Length => whole(string.encode_utf16().count()),
            B::Split => {
                let separator = argument(0)?;
                Value::Array(string.split(&*separator).map(|piece| text(piece.to_owned())).collect())
            }
            B::Replace => {
                let (from, to) = (argument(0)?, argument(1)?);
                self.spend(string.matches(&*from).count().saturating_mul(to.len()))?;
                text(string.replace(&*from, &to))
            }
            B::Contains => Value::Bool(string.contains(&*argument(0)?)),
            B::StartsWith => Value::Bool(string.starts_with(&*argument(0)?)),
            B::EndsWith => Value::Bool(string.ends_with(&*argument(0)?)),
            B::UpperCase => text(string.to_uppercase()),
            B::LowerCase => text(string.to_lowercase()),
            B::CapFirst => {
                let mut characters = string.chars();
                let first = characters.next().map(char::to_uppercase).into_iter().flatten();
                text(first.chain(characters).collect())
            }
            B::Trim => text(string.trim().to_owned()),
            B::Substring => {
                let at = |index: usize| argument(index)?.parse::<usize>().map_err(|_| Failure("not an index".into()));
                let characters: Vec<char> = string.chars().collect();
                let to = if count > 1 { at(1)? } else { characters.len() };
                match characters.get(at(0)?..to) {
                    Some(part) => text(part.iter().collect()),
                    None => return failure("there is no such part of the text"),
                }
            }
            B::JsonString => {
                let mut out = String::new();
                json::escape(string, &mut out);
                text(out)
            }
            B::Xml => {
                let mut out = String::new();
                xml::escape(string, &mut out);
                text(out)
            }
            _ => return failure("a built-in does not fit a text"),
        })
    }

    fn root(&self, root: Root) -> Result<Option<Value>, Failure> {
        let exchange = self.exchange;
        let request = exchange.request.as_deref();
        let of_request = |read: fn(&ringway_contract::Request) -> String| request.map(|request| text(read(request)));
        let content = |content: &Option<bytes::Bytes>| {
            let body = content.as_deref().unwrap_or_default();
            self.spend(body.len())?;
            Ok(Some(text(String::from_utf8_lossy(body).into_owned())))
        };
        Ok(match root {
            Root::RequestContent => return content(&exchange.contents.request),
            Root::ResponseContent => return content(&exchange.contents.response),
            Root::RequestHeaders => request.map(|request| headers(&request.head.fields)),
            Root::ResponseHeaders => exchange.response.as_deref().map(|response| headers(&response.fields)),
            Root::RequestParams => request.map(|request| params(request.head.query().unwrap_or_default())),
            Root::RequestMethod => of_request(|request| request.head.method.to_string()),
            Root::RequestPath => of_request(|request| request.head.path().to_owned()),
            Root::RequestPathInfo => of_request(|request| request.rest().to_owned()),
            Root::RequestContextPath => {
                of_request(|request| request.head.path().get(..request.context_path_len).unwrap_or_default().to_owned())
            }
            Root::RequestUri => of_request(|request| {
                let query = request.head.query().map(|query| format!("?{query}")).unwrap_or_default();
                format!("{}{query}", request.head.path())
            }),
            Root::RequestHost => of_request(|request| request.head.host().to_owned()),
            Root::ResponseStatus => exchange.response.as_deref().map(|response| whole(response.status.as_u16().into())),
            Root::MessageContent => {
                return exchange
                    .message
                    .as_deref()
                    .map_or(Ok(None), |parcel| content(&Some(parcel.message.content.clone())));
            }
            Root::MessageId => exchange.message.as_deref().map(|parcel| text(lossy(&parcel.id))),
            Root::MessageHeaders => exchange.message.as_deref().map(|parcel| {
                let mut headers = Object::default();
                for (name, value) in &parcel.message.headers {
                    headers.entry(lossy(name).to_ascii_lowercase()).or_insert_with(|| text(lossy(value)));
                }
                Value::Object(headers)
            }),
            Root::MessageMetadata => exchange.message.as_deref().map(|parcel| {
                Value::Object(parcel.metadata().map(|(name, value)| (name.to_owned(), text(lossy(value)))).collect())
            }),
            Root::MessageAttributes => exchange.message.as_deref().map(|parcel| {
                parcel.message.attributes.as_deref().map_or(Value::Object(Object::default()), attributes)
            }),
            Root::Attributes => Some(attributes(&exchange.attributes)),
            Root::Properties => Some(Value::Object(
                exchange.api.properties.iter().map(|(name, value)| (name.clone(), text(value.clone()))).collect(),
            )),
        })
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn attributes(known: &Attributes) -> Value {
    let entry = |name: &str| (name.to_owned(), text(known.get(name).unwrap_or_default().to_owned()));
    Value::Object(known.names().map(entry).collect())
}

/// The first value of every field, by its name in lower case.
fn headers(fields: &Fields) -> Value {
    let mut object = Object::new();
    for (name, value) in fields.iter() {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        object.entry(name).or_insert_with(|| text(String::from_utf8_lossy(value).into_owned()));
    }
    Value::Object(object)
}

/// All values of every parameter of the query.
fn params(query: &str) -> Value {
    let mut object = Object::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let values =
            object.entry(crate::query::decoded(name, true).into_owned()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(text(crate::query::decoded(value, true).into_owned()));
        }
    }
    Value::Object(object)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
