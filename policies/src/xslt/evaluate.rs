//! Evaluates expressions, within a budget of steps that one transformation has.

use std::borrow::Cow;
use std::cell::Cell;

use super::expression::{Axis, Expression, Function, Operator, Start, Step, Test};
use crate::xml::tree::{Attribute, Document, Id, local};

/// A node: an element, a text or the document, or one of the attributes of an element. The order is that of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its place in the document.
    pub id: Id,
    /// 0: itself; more: its attributes from the first one on.
    pub attribute: usize,
}

impl Node {
    /// An element, a text or the document.
    pub fn of(id: Id) -> Self {
        Self { id, attribute: 0 }
    }
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nodes, in the order of the document.
    Nodes(Vec<Node>),
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// What a variable's own content made: as XML, and its texts.
    Fragment(String, String),
}

/// The budget is used up.
pub const EXHAUSTED: &str = "more steps than are allowed";

type Evaluated<T> = Result<T, &'static str>;

/// Where an expression is evaluated.
#[derive(Clone, Copy)]
pub struct Focus<'a> {
    /// The node that is looked at.
    pub node: Node,
    /// Its place among those that are gone through, from 1.
    pub position: usize,
    /// How many those are.
    pub size: usize,
    /// The node that the instruction is about.
    pub current: Node,
    /// Variables, the nearest last.
    pub variables: &'a [(String, Value)],
}

/// Evaluates expressions on one document.
pub struct Evaluator<'a> {
    /// The document.
    pub document: &'a Document<'a>,
    /// Steps that are left.
    pub budget: &'a Cell<u64>,
}

impl<'a> Evaluator<'a> {
    /// Uses up some of the budget.
    ///
    /// # Errors
    /// There is not so much left.
    pub fn charge(&self, steps: usize) -> Evaluated<()> {
        let left = self.budget.get().checked_sub(steps as u64).ok_or(EXHAUSTED)?;
        self.budget.set(left);
        Ok(())
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    /// The budget is used up, or nodes are needed where there are none.
    pub fn evaluate(&self, expression: &Expression, focus: Focus) -> Evaluated<Value> {
        self.charge(1)?;
        Ok(match expression {
            Expression::Text(text) => {
                self.charge(text.len() / 8)?;
                Value::Text(text.clone())
            }
            Expression::Number(number) => Value::Number(*number),
            Expression::Variable(name) => {
                let found = focus.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map_or(Value::Text(String::new()), |(_, value)| value.clone());
                self.charge(match &value {
                    Value::Nodes(nodes) => nodes.len(),
                    Value::Text(text) => text.len() / 8,
                    Value::Fragment(xml, text) => (xml.len() + text.len()) / 8,
                    _ => 0,
                })?;
                value
            }
            Expression::Negative(inner) => Value::Number(-self.number(&self.evaluate(inner, focus)?)?),
            Expression::Union(one, other) => {
                let mut nodes = self.nodes(one, focus)?;
                nodes.extend(self.nodes(other, focus)?);
                self.sorted(&mut nodes)?;
                Value::Nodes(nodes)
            }
            Expression::Path(start, steps) => Value::Nodes(self.path(start, steps, focus)?),
            Expression::Binary(operator, one, other) => self.binary(*operator, one, other, focus)?,
            Expression::Call(function, arguments) => self.call(*function, arguments, focus)?,
        })
    }

    /// Evaluates an expression to nodes.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`].
    pub fn nodes(&self, expression: &Expression, focus: Focus) -> Evaluated<Vec<Node>> {
        match self.evaluate(expression, focus)? {
            Value::Nodes(nodes) => Ok(nodes),
            _ => Err("an expression that is no set of nodes where one is needed"),
        }
    }

    /// In the order of the document, each once.
    fn sorted(&self, nodes: &mut Vec<Node>) -> Evaluated<()> {
        self.charge(nodes.len())?;
        nodes.sort_unstable();
        nodes.dedup();
        Ok(())
    }

    fn path(&self, start: &Start, steps: &[Step], focus: Focus) -> Evaluated<Vec<Node>> {
        let mut nodes = match start {
            Start::Root => vec![Node::of(0)],
            Start::Here => vec![focus.node],
            Start::Found(expression, conditions) => {
                if steps.is_empty() && conditions.is_empty() {
                    return self.nodes(expression, focus);
                }
                let mut nodes = self.nodes(expression, focus)?;
                for condition in conditions {
                    nodes = self.filtered(nodes, condition, focus)?;
                }
                nodes
            }
        };
        for step in steps {
            let mut next = Vec::new();
            for node in &nodes {
                let mut found = self.step(*node, step)?;
                for condition in &step.conditions {
                    found = self.filtered(found, condition, focus)?;
                }
                next.append(&mut found);
            }
            self.sorted(&mut next)?;
            nodes = next;
        }
        Ok(nodes)
    }

    /// The nodes for which a condition holds, in the order in which they are.
    pub fn filtered(&self, nodes: Vec<Node>, condition: &Expression, focus: Focus) -> Evaluated<Vec<Node>> {
        let size = nodes.len();
        let mut kept = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let value = self.evaluate(condition, Focus { node, position: index + 1, size, ..focus })?;
            let holds = match value {
                Value::Number(number) => number == (index + 1) as f64,
                other => self.boolean(&other),
            };
            if holds {
                kept.push(node);
            }
        }
        Ok(kept)
    }

    /// The nodes that a step leads to, the nearest first.
    fn step(&self, node: Node, step: &Step) -> Evaluated<Vec<Node>> {
        let document = self.document;
        let mut found = Vec::new();
        let mut take = |candidate: Node| {
            self.charge(1)?;
            if self.fits(candidate, &step.test, step.axis == Axis::Attribute) {
                found.push(candidate);
            }
            Ok::<(), &'static str>(())
        };
        let is_attribute = node.attribute > 0;
        let parent = if is_attribute { Some(node.id) } else { document.parent(node.id) };
        match step.axis {
            Axis::Itself => take(node)?,
            Axis::Parent => parent.map_or(Ok(()), |id| take(Node::of(id)))?,
            Axis::Attribute if !is_attribute => {
                let count = document.attributes(node.id).len();
                (1..=count).try_for_each(|attribute| take(Node { id: node.id, attribute }))?;
            }
            Axis::Child if !is_attribute => document.children(node.id).try_for_each(|id| take(Node::of(id)))?,
            Axis::Descendant if !is_attribute => {
                (node.id + 1..document.end(node.id)).try_for_each(|id| take(Node::of(id)))?;
            }
            Axis::DescendantOrSelf if !is_attribute => {
                (node.id..document.end(node.id)).try_for_each(|id| take(Node::of(id)))?;
            }
            Axis::DescendantOrSelf => take(node)?,
            Axis::Ancestor | Axis::AncestorOrSelf => {
                if step.axis == Axis::AncestorOrSelf {
                    take(node)?;
                }
                std::iter::successors(parent, |id| document.parent(*id)).try_for_each(|id| take(Node::of(id)))?;
            }
            Axis::FollowingSibling if !is_attribute => {
                std::iter::successors(document.next(node.id), |id| document.next(*id))
                    .try_for_each(|id| take(Node::of(id)))?;
            }
            Axis::PrecedingSibling if !is_attribute => {
                let siblings = document.parent(node.id).into_iter().flat_map(|parent| document.children(parent));
                siblings.take_while(|id| *id != node.id).try_for_each(|id| take(Node::of(id)))?;
                found.reverse();
            }
            _ => {}
        }
        Ok(found)
    }

    fn attribute(&self, node: Node) -> Option<&'a Attribute<'a>> {
        let document = self.document;
        document.attributes(node.id).get(node.attribute.checked_sub(1)?)
    }

    /// Whether a test takes a node; `attributes`: whether the step is about attributes.
    pub fn fits(&self, node: Node, test: &Test, attributes: bool) -> bool {
        let document = self.document;
        let is_attribute = node.attribute > 0;
        let is_principal = if attributes { is_attribute } else { !is_attribute && document.is_element(node.id) };
        match test {
            Test::Node => true,
            Test::Nothing => false,
            Test::Text => !is_attribute && document.text(node.id).is_some(),
            Test::Any => is_principal,
            Test::Space(space) => is_principal && self.space(node) == space,
            Test::Name(space, name) => is_principal && self.local(node) == name && self.space(node) == space,
        }
    }

    /// The namespace of an element or attribute.
    pub fn space(&self, node: Node) -> &'a str {
        match self.attribute(node) {
            Some(attribute) => self.document.attribute_space(attribute),
            None => self.document.space(node.id),
        }
    }

    /// The name of an element or attribute, as it is written.
    pub fn name(&self, node: Node) -> &'a str {
        match self.attribute(node) {
            Some(attribute) => attribute.name,
            None => self.document.name(node.id),
        }
    }

    fn local(&self, node: Node) -> &'a str {
        local(self.name(node))
    }

    /// The text of a node.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn text_of(&self, node: Node) -> Evaluated<String> {
        if let Some(attribute) = self.attribute(node) {
            self.charge(attribute.value.len() / 8)?;
            return Ok(attribute.value.clone().into_owned());
        }
        if let Some(text) = self.document.text(node.id) {
            self.charge(text.len() / 8)?;
            return Ok(text.to_owned());
        }
        self.charge(self.document.end(node.id) - node.id)?;
        let mut out = String::new();
        self.document.texts(node.id, &mut out);
        self.charge(out.len() / 8)?;
        Ok(out)
    }

    /// A value as text.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn text<'v>(&self, value: &'v Value) -> Evaluated<Cow<'v, str>> {
        Ok(match value {
            Value::Nodes(nodes) => Cow::Owned(nodes.first().map_or(Ok(String::new()), |node| self.text_of(*node))?),
            Value::Text(text) | Value::Fragment(_, text) => Cow::Borrowed(text),
            Value::Number(number) => Cow::Owned(shown(*number)),
            Value::Bool(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        })
    }

    fn number(&self, value: &Value) -> Evaluated<f64> {
        Ok(match value {
            Value::Number(number) => *number,
            Value::Bool(flag) => f64::from(u8::from(*flag)),
            other => parsed(&self.text(other)?),
        })
    }

    /// A value as true or false.
    pub fn boolean(&self, value: &Value) -> bool {
        match value {
            Value::Nodes(nodes) => !nodes.is_empty(),
            Value::Text(text) => !text.is_empty(),
            Value::Number(number) => *number != 0.0 && !number.is_nan(),
            Value::Bool(flag) => *flag,
            Value::Fragment(..) => true,
        }
    }

    fn binary(&self, operator: Operator, one: &Expression, other: &Expression, focus: Focus) -> Evaluated<Value> {
        let left = self.evaluate(one, focus)?;
        match operator {
            Operator::Or | Operator::And => {
                let first = self.boolean(&left);
                if first == (operator == Operator::Or) {
                    return Ok(Value::Bool(first));
                }
                let right = self.evaluate(other, focus)?;
                Ok(Value::Bool(self.boolean(&right)))
            }
            Operator::Plus | Operator::Minus | Operator::Times | Operator::Divided | Operator::Modulo => {
                let (left, right) = (self.number(&left)?, self.number(&self.evaluate(other, focus)?)?);
                Ok(Value::Number(match operator {
                    Operator::Plus => left + right,
                    Operator::Minus => left - right,
                    Operator::Times => left * right,
                    Operator::Divided => left / right,
                    _ => left % right,
                }))
            }
            _ => {
                let right = self.evaluate(other, focus)?;
                self.compared(operator, &left, &right).map(Value::Bool)
            }
        }
    }

    /// Compares (XPath 1.0, section 3.4): of nodes it is enough that one of them does.
    fn compared(&self, operator: Operator, left: &Value, right: &Value) -> Evaluated<bool> {
        match (left, right) {
            (Value::Nodes(_), Value::Bool(_)) | (Value::Bool(_), Value::Nodes(_)) => {
                let flag = |value: &Value| Value::Bool(self.boolean(value));
                self.compared(operator, &flag(left), &flag(right))
            }
            (Value::Nodes(nodes), _) => {
                for node in nodes {
                    if self.compared(operator, &Value::Text(self.text_of(*node)?), right)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (_, Value::Nodes(nodes)) => {
                for node in nodes {
                    if self.compared(operator, left, &Value::Text(self.text_of(*node)?))? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ if matches!(operator, Operator::Equal | Operator::Different) => {
                self.charge(1)?;
                let equal = match (left, right) {
                    (Value::Bool(_), _) | (_, Value::Bool(_)) => self.boolean(left) == self.boolean(right),
                    (Value::Number(_), _) | (_, Value::Number(_)) => self.number(left)? == self.number(right)?,
                    _ => self.text(left)? == self.text(right)?,
                };
                Ok(equal == (operator == Operator::Equal))
            }
            _ => {
                self.charge(1)?;
                let (left, right) = (self.number(left)?, self.number(right)?);
                Ok(match operator {
                    Operator::Less => left < right,
                    Operator::LessOrEqual => left <= right,
                    Operator::Greater => left > right,
                    _ => left >= right,
                })
            }
        }
    }

    fn call(&self, function: Function, arguments: &[Expression], focus: Focus) -> Evaluated<Value> {
        let value = |index: usize| arguments.get(index).map(|argument| self.evaluate(argument, focus)).transpose();
        // The text of an argument, or of the node that is looked at.
        let text = |index: usize| match value(index)? {
            Some(value) => {
                let text = self.text(&value)?.into_owned();
                self.charge(text.len() / 8)?;
                Ok::<String, &'static str>(text)
            }
            None => self.text_of(focus.node),
        };
        let node = || match arguments.first() {
            Some(argument) => self.nodes(argument, focus).map(|nodes| nodes.first().copied()),
            None => Ok(Some(focus.node)),
        };
        let number = |index: usize| match value(index)? {
            Some(value) => self.number(&value),
            None => Ok(parsed(&self.text_of(focus.node)?)),
        };
        let flag = |flag| Ok(Value::Bool(flag));
        match function {
            Function::Last => Ok(Value::Number(focus.size as f64)),
            Function::Position => Ok(Value::Number(focus.position as f64)),
            Function::Current => Ok(Value::Nodes(vec![focus.current])),
            Function::Count => {
                let argument = arguments.first().ok_or("no argument")?;
                Ok(Value::Number(self.nodes(argument, focus)?.len() as f64))
            }
            Function::Sum => {
                let mut sum = 0.0;
                for node in self.nodes(arguments.first().ok_or("no argument")?, focus)? {
                    sum += parsed(&self.text_of(node)?);
                }
                Ok(Value::Number(sum))
            }
            Function::Name => Ok(Value::Text(node()?.map_or("", |node| self.name(node)).to_owned())),
            Function::LocalName => Ok(Value::Text(node()?.map_or("", |node| self.local(node)).to_owned())),
            Function::NamespaceUri => Ok(Value::Text(node()?.map_or("", |node| self.space(node)).to_owned())),
            Function::Text => text(0).map(Value::Text),
            Function::Concat => (0..arguments.len()).map(text).collect::<Result<String, _>>().map(Value::Text),
            Function::StartsWith => flag(text(0)?.starts_with(&text(1)?)),
            Function::Contains => flag(text(0)?.contains(&text(1)?)),
            Function::SubstringBefore => {
                let (whole, part) = (text(0)?, text(1)?);
                Ok(Value::Text(whole.split_once(&part).map_or("", |(before, _)| before).to_owned()))
            }
            Function::SubstringAfter => {
                let (whole, part) = (text(0)?, text(1)?);
                Ok(Value::Text(whole.split_once(&part).map_or("", |(_, after)| after).to_owned()))
            }
            Function::Substring => {
                let (whole, from) = (text(0)?, round(number(1)?));
                let to = if arguments.len() > 2 { from + round(number(2)?) } else { f64::INFINITY };
                let kept = whole.chars().enumerate().filter(|(index, _)| {
                    let place = (*index + 1) as f64;
                    place >= from && place < to
                });
                Ok(Value::Text(kept.map(|(_, character)| character).collect()))
            }
            Function::StringLength => Ok(Value::Number(text(0)?.chars().count() as f64)),
            Function::NormalizeSpace => {
                let text = text(0)?;
                let words = text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
                Ok(Value::Text(words.collect::<Vec<_>>().join(" ")))
            }
            Function::Translate => {
                let (whole, from, to) = (text(0)?, text(1)?, text(2)?);
                let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
                // Every character is looked for in `from`.
                self.charge(whole.len() * from.len() / 8)?;
                let translated =
                    whole.chars().filter_map(|character| match from.iter().position(|known| *known == character) {
                        Some(place) => to.get(place).copied(),
                        None => Some(character),
                    });
                Ok(Value::Text(translated.collect()))
            }
            Function::Boolean => flag(value(0)?.is_some_and(|value| self.boolean(&value))),
            Function::Not => flag(!value(0)?.is_some_and(|value| self.boolean(&value))),
            Function::True => flag(true),
            Function::False => flag(false),
            Function::Number => number(0).map(Value::Number),
            Function::Floor => Ok(Value::Number(number(0)?.floor())),
            Function::Ceiling => Ok(Value::Number(number(0)?.ceil())),
            Function::Round => Ok(Value::Number(round(number(0)?))),
        }
    }
}

/// Halves go up.
fn round(number: f64) -> f64 {
    (number + 0.5).floor()
}

/// A text as a number (XPath 1.0, section 4.4): digits, a point, a minus.
fn parsed(text: &str) -> f64 {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// A number as text (section 4.2): without an exponent.
fn shown(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 { "0".to_owned() } else { number.to_string() }
}
