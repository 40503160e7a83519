//! JSON paths (RFC 9535, without functions; `.length()` at the end and results as Jayway gives them).
//!
//! `$`, `.name`, `['name']`, `[0]`, `[-1]`, `[*]`, `.*`, `..`, `[a:b:c]`, `['a', 'b']`, `[0, 2]`, and filters such as `[?(@.price < 10 && @.isbn)]`. A path
//! that can name one value only gives that value or null; any other gives a list.

use crate::code::Op;
use crate::lexer::{Lexer, Token};
use crate::limits::PATH_STEPS_MAX;
use crate::operators;
use crate::run::Run;
use crate::{EvalError, Problem, Value};

/// A compiled path.
#[derive(Debug)]
pub(crate) struct Path {
    steps: Box<[Step]>,
    /// Whether it asks for the length of what it finds.
    length: bool,
}

#[derive(Debug)]
enum Step {
    One(Selector),
    Many(Box<[Selector]>),
    /// What follows is looked for at every depth.
    Deep,
}

#[derive(Debug)]
enum Selector {
    Name(Box<str>),
    Index(i64),
    All,
    Slice(Option<i64>, Option<i64>, i64),
    Filter(Test),
}

#[derive(Debug)]
enum Test {
    Or(Box<Test>, Box<Test>),
    And(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Exists(Operand),
    Compare(Op, Operand, Operand),
}

#[derive(Debug)]
enum Operand {
    Const(Value<'static>),
    /// Of the item (`@`) or of the document (`$`).
    Path {
        of_item: bool,
        steps: Box<[Step]>,
    },
}

/// How deep filters may be nested.
const DEPTH_MAX: u8 = 16;

impl Path {
    pub(crate) fn compile(text: &str) -> Result<Self, Problem> {
        let mut reader = Reader { lexer: Lexer::new(text, 0), token: Token::End, at: 0, steps: 0, depth: 0 };
        reader.advance()?;
        // `$` is a letter to the lexer of expressions.
        match reader.token {
            Token::Word("$") => reader.advance()?,
            _ => return Err(Problem::new(reader.at, "a path begins with `$`")),
        }
        let (steps, length) = reader.steps()?;
        match reader.token {
            Token::End => Ok(Self { steps: steps.into(), length }),
            _ => Err(reader.unexpected()),
        }
    }

    /// What the path finds in a document.
    pub(crate) fn find<'a>(&self, run: &Run<'a>, at: u32, document: &Value<'a>) -> Result<Value<'a>, EvalError> {
        let found = walk(run, at, &self.steps, document, document)?;
        let is_definite =
            self.steps.iter().all(|step| matches!(step, Step::One(Selector::Name(_) | Selector::Index(_))));
        let value = match (found.first(), is_definite) {
            (Some(value), true) => (*value).clone(),
            (None, true) => return Ok(Value::Null),
            (_, false) => run.list(at, found.into_iter().cloned().collect())?,
        };
        Ok(match (&value, self.length) {
            (_, false) => value,
            (Value::List(items), true) => count(items.len()),
            (Value::Map(entries), true) => count(entries.len()),
            (Value::Text(text), true) => count(text.chars().count()),
            _ => Value::Null,
        })
    }
}

fn count<'a>(count: usize) -> Value<'a> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

type Found<'v, 'a> = Result<Vec<&'v Value<'a>>, EvalError>;

fn walk<'v, 'a>(
    run: &Run<'a>,
    at: u32,
    steps: &[Step],
    document: &'v Value<'a>,
    start: &'v Value<'a>,
) -> Found<'v, 'a> {
    let mut here = vec![start];
    for step in steps {
        let mut next = Vec::new();
        for value in &here {
            run.step(at, 1)?;
            match step {
                Step::One(selector) => select(run, at, selector, document, value, &mut next)?,
                Step::Many(selectors) => {
                    for selector in selectors {
                        select(run, at, selector, document, value, &mut next)?;
                    }
                }
                Step::Deep => descend(run, at, value, &mut next)?,
            }
        }
        here = next;
    }
    Ok(here)
}

/// A value and all below it, in the order of the document.
fn descend<'v, 'a>(
    run: &Run<'a>,
    at: u32,
    value: &'v Value<'a>,
    found: &mut Vec<&'v Value<'a>>,
) -> Result<(), EvalError> {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        run.step(at, 1)?;
        found.push(value);
        match value {
            Value::List(items) => waiting.extend(items.iter().rev()),
            Value::Map(entries) => waiting.extend(entries.iter().rev().map(|(_, value)| value)),
            _ => {}
        }
    }
    Ok(())
}

fn select<'v, 'a>(
    run: &Run<'a>,
    at: u32,
    selector: &Selector,
    document: &'v Value<'a>,
    value: &'v Value<'a>,
    found: &mut Vec<&'v Value<'a>>,
) -> Result<(), EvalError> {
    let children: Box<dyn Iterator<Item = &'v Value<'a>>> = match value {
        Value::List(items) => Box::new(items.iter()),
        Value::Map(entries) => Box::new(entries.iter().map(|(_, value)| value)),
        _ => return Ok(()),
    };
    match (selector, value) {
        (Selector::Name(name), Value::Map(entries)) => {
            run.step(at, entries.len() / 8)?;
            found.extend(value.entry(name));
        }
        (Selector::Index(index), Value::List(items)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let index = if *index < 0 { index.saturating_add(length) } else { *index };
            found.extend(usize::try_from(index).ok().and_then(|index| items.get(index)));
        }
        (Selector::Slice(from, to, by), Value::List(items)) => {
            for index in slice(items.len(), *from, *to, *by) {
                run.step(at, 1)?;
                found.extend(items.get(index));
            }
        }
        (Selector::All, _) => {
            for child in children {
                run.step(at, 1)?;
                found.push(child);
            }
        }
        (Selector::Filter(test), _) => {
            for child in children {
                run.step(at, 1)?;
                if holds(run, at, test, document, child)? {
                    found.push(child);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The indices of a slice (RFC 9535, section 2.3.4.2.2).
fn slice(length: usize, from: Option<i64>, to: Option<i64>, by: i64) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let bound = |index: i64, least: i64, most: i64| {
        (if index < 0 { index.saturating_add(length) } else { index }).clamp(least, most)
    };
    let (mut at, end) = if by >= 0 {
        (bound(from.unwrap_or(0), 0, length), bound(to.unwrap_or(length), 0, length))
    } else {
        let end = to.map_or(-1, |to| bound(to, -1, length - 1));
        (bound(from.unwrap_or(length - 1), -1, length - 1), end)
    };
    std::iter::from_fn(move || {
        let inside = if by > 0 { at < end } else { by < 0 && at > end };
        let index = usize::try_from(at).ok().filter(|_| inside)?;
        at = at.saturating_add(by);
        Some(index)
    })
}

fn holds<'v, 'a>(
    run: &Run<'a>,
    at: u32,
    test: &Test,
    document: &'v Value<'a>,
    item: &'v Value<'a>,
) -> Result<bool, EvalError> {
    run.step(at, 1)?;
    Ok(match test {
        Test::Or(left, right) => holds(run, at, left, document, item)? || holds(run, at, right, document, item)?,
        Test::And(left, right) => holds(run, at, left, document, item)? && holds(run, at, right, document, item)?,
        Test::Not(test) => !holds(run, at, test, document, item)?,
        Test::Exists(Operand::Const(value)) => *value == Value::Bool(true),
        Test::Exists(Operand::Path { of_item, steps }) => {
            !walk(run, at, steps, document, if *of_item { item } else { document })?.is_empty()
        }
        Test::Compare(op, left, right) => {
            let (left, right) = (operand(run, at, left, document, item)?, operand(run, at, right, document, item)?);
            let same_kind = left.kind() == right.kind();
            match op {
                Op::Eq => operators::equal(run, at, &left, &right)?,
                Op::Ne => !operators::equal(run, at, &left, &right)?,
                // What cannot be compared is not in order: documents are not ours.
                _ if !same_kind || !matches!(left, Value::Int(_) | Value::Float(_) | Value::Text(_)) => false,
                op => operators::binary(run, at, *op, &left, &right)? == Value::Bool(true),
            }
        }
    })
}

fn operand<'v, 'a>(
    run: &Run<'a>,
    at: u32,
    operand: &Operand,
    document: &'v Value<'a>,
    item: &'v Value<'a>,
) -> Result<Value<'a>, EvalError> {
    match operand {
        Operand::Const(value) => Ok(value.clone()),
        Operand::Path { of_item, steps } => {
            let found = walk(run, at, steps, document, if *of_item { item } else { document })?;
            Ok(found.first().map_or(Value::Null, |value| (*value).clone()))
        }
    }
}

struct Reader<'t> {
    lexer: Lexer<'t>,
    token: Token<'t>,
    at: u32,
    steps: usize,
    depth: u8,
}

impl Reader<'_> {
    fn advance(&mut self) -> Result<(), Problem> {
        (self.at, self.token) = self.lexer.next()?;
        // To expressions this is one sign.
        if self.token == Token::Symbol("$[") {
            self.lexer.give_back();
            self.token = Token::Word("$");
        }
        Ok(())
    }

    fn unexpected(&self) -> Problem {
        Problem::new(self.at, format!("{} is not expected here", self.token.shown()))
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(known) if known == symbol)
    }

    fn takes(&mut self, symbol: &str) -> Result<bool, Problem> {
        let is = self.is(symbol);
        if is {
            self.advance()?;
        }
        Ok(is)
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Problem> {
        if self.takes(symbol)? { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Steps, and whether they end with `.length()`.
    fn steps(&mut self) -> Result<(Vec<Step>, bool), Problem> {
        let mut steps = Vec::new();
        loop {
            self.steps += 1;
            if self.steps > PATH_STEPS_MAX {
                return Err(Problem::new(self.at, format!("a path has {PATH_STEPS_MAX} steps at most")));
            }
            if self.takes("[")? {
                steps.push(self.brackets()?);
            } else if self.takes("?[")? {
                // `$?[` is not a path, and `[?` is read in brackets.
                return Err(self.unexpected());
            } else if self.takes(".")? {
                if self.takes(".")? {
                    steps.push(Step::Deep);
                    if self.is("[") {
                        continue;
                    }
                }
                let name = match &self.token {
                    Token::Word(name) => (*name).to_owned(),
                    Token::Symbol("*") => {
                        self.advance()?;
                        steps.push(Step::One(Selector::All));
                        continue;
                    }
                    _ => return Err(self.unexpected()),
                };
                self.advance()?;
                if self.takes("(")? {
                    self.expect(")")?;
                    if name != "length" && name != "size" {
                        return Err(Problem::new(self.at, format!("the function `{name}` is not carried")));
                    }
                    return Ok((steps, true));
                }
                steps.push(Step::One(Selector::Name(self.dashed(name)?.into())));
            } else {
                return Ok((steps, false));
            }
        }
    }

    /// A name may have dashes in a path.
    fn dashed(&mut self, mut name: String) -> Result<String, Problem> {
        while self.takes("-")? {
            let Token::Word(more) = self.token else { return Err(self.unexpected()) };
            name.push('-');
            name.push_str(more);
            self.advance()?;
        }
        Ok(name)
    }

    /// What stands in brackets; the first was read.
    fn brackets(&mut self) -> Result<Step, Problem> {
        let mut selectors = vec![self.selector()?];
        while self.takes(",")? {
            selectors.push(self.selector()?);
            if selectors.len() > PATH_STEPS_MAX {
                return Err(Problem::new(self.at, format!("brackets have {PATH_STEPS_MAX} names at most")));
            }
        }
        self.expect("]")?;
        Ok(match selectors.pop() {
            Some(selector) if selectors.is_empty() => Step::One(selector),
            Some(selector) => {
                selectors.push(selector);
                Step::Many(selectors.into())
            }
            None => Step::Many(Box::default()),
        })
    }

    fn selector(&mut self) -> Result<Selector, Problem> {
        if self.takes("*")? {
            return Ok(Selector::All);
        }
        if self.takes("?")? {
            return self.test().map(Selector::Filter);
        }
        if let Token::Text(name) = &self.token {
            let name = name.clone().into_owned().into();
            self.advance()?;
            return Ok(Selector::Name(name));
        }
        let from = self.number()?;
        if !self.takes(":")? {
            return from.map(Selector::Index).ok_or_else(|| self.unexpected());
        }
        let to = self.number()?;
        let by = if self.takes(":")? { self.number()? } else { None };
        Ok(Selector::Slice(from, to, by.unwrap_or(1)))
    }

    fn number(&mut self) -> Result<Option<i64>, Problem> {
        let is_negative = self.takes("-")?;
        match self.token {
            Token::Int(number) => {
                self.advance()?;
                Ok(Some(if is_negative { -number } else { number }))
            }
            _ if is_negative => Err(self.unexpected()),
            _ => Ok(None),
        }
    }

    fn test(&mut self) -> Result<Test, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Problem::new(self.at, format!("filters are nested more than {DEPTH_MAX} deep")));
        }
        let mut left = self.all_of()?;
        while self.takes("||")? {
            self.count_test()?;
            left = Test::Or(left.into(), self.all_of()?.into());
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all_of(&mut self) -> Result<Test, Problem> {
        let mut left = self.one_of()?;
        while self.takes("&&")? {
            self.count_test()?;
            left = Test::And(left.into(), self.one_of()?.into());
        }
        Ok(left)
    }

    /// Tests count as steps, so that a chain of them is no deeper than that.
    fn count_test(&mut self) -> Result<(), Problem> {
        self.steps += 1;
        if self.steps > PATH_STEPS_MAX {
            return Err(Problem::new(self.at, format!("a path has {PATH_STEPS_MAX} steps at most")));
        }
        Ok(())
    }

    fn one_of(&mut self) -> Result<Test, Problem> {
        self.count_test()?;
        if self.takes("!")? {
            return Ok(Test::Not(self.one_of()?.into()));
        }
        if self.takes("(")? {
            let test = self.test()?;
            self.expect(")")?;
            return Ok(test);
        }
        let left = self.operand()?;
        let Token::Symbol(symbol) = self.token else { return Ok(Test::Exists(left)) };
        let op = match symbol {
            "==" => Op::Eq,
            "!=" => Op::Ne,
            "<" => Op::Lt,
            "<=" => Op::Le,
            ">" => Op::Gt,
            ">=" => Op::Ge,
            _ => return Ok(Test::Exists(left)),
        };
        self.advance()?;
        Ok(Test::Compare(op, left, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, Problem> {
        let value = match &self.token {
            Token::Symbol("@") | Token::Word("$") => {
                let of_item = self.is("@");
                self.advance()?;
                let (steps, length) = self.steps()?;
                if length {
                    return Err(Problem::new(self.at, "a length can only be asked for at the end of a path"));
                }
                return Ok(Operand::Path { of_item, steps: steps.into() });
            }
            Token::Text(text) => Value::Text(text.clone().into_owned().into()),
            Token::Word("true") => Value::Bool(true),
            Token::Word("false") => Value::Bool(false),
            Token::Word("null") => Value::Null,
            Token::Float(number) => Value::Float(*number),
            Token::Int(number) => Value::Int(*number),
            Token::Symbol("-") => {
                self.advance()?;
                match self.token {
                    Token::Int(number) => Value::Int(-number),
                    Token::Float(number) => Value::Float(-number),
                    _ => return Err(self.unexpected()),
                }
            }
            _ => return Err(self.unexpected()),
        };
        self.advance()?;
        Ok(Operand::Const(value))
    }
}
