//! `shift`: a tree of patterns says where in the output what matches goes.

use ringway_contract::Refusal;

use super::path::{DataRef, KeyRef, Part, Pattern, Reader, Walked, child, index, joined};
use crate::json::{Object, Value};

/// What an output may take, in bytes of strings and about 32 bytes for every value: references can copy the same data many times.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// The highest index of an array that is written to: a key of the input may choose it.
const INDEX_MAX: usize = 10_000;

pub struct Shift {
    root: Level,
}

#[derive(Default)]
struct Level {
    /// `@`, `$` and `#`: once for each time that the level matches.
    special: Vec<(Source, Vec<Target>)>,
    /// Sorted by rank.
    children: Vec<(Pattern, Node)>,
    only_literals: bool,
}

enum Source {
    Key(KeyRef),
    Data(DataRef),
    Text(String),
}

enum Node {
    Level(Level),
    Targets(Vec<Target>),
}

type Target = Vec<Piece>;

enum Piece {
    Key(Vec<Part>),
    Index(Vec<Part>),
    Append,
}

fn target(text: &str) -> Result<Target, Refusal> {
    let mut reader = Reader::new(text);
    let mut pieces = Vec::new();
    while let Some(character) = reader.peek() {
        match character {
            '[' => {
                reader.take('[');
                let piece = match reader.peek() {
                    Some(']') => Piece::Append,
                    Some('#') => {
                        reader.take('#');
                        Piece::Index(vec![reader.matches_ref()])
                    }
                    _ => Piece::Index(reader.key(false)?),
                };
                if !reader.take(']') {
                    return Err(reader.wrong("a bracket is missing"));
                }
                pieces.push(piece);
            }
            ']' => return Err(reader.wrong("a bracket too much")),
            '.' if pieces.is_empty() => return Err(reader.wrong("a path does not begin with a dot")),
            '.' => {
                reader.take('.');
                pieces.push(Piece::Key(reader.key(false)?));
            }
            _ => pieces.push(Piece::Key(reader.key(false)?)),
        }
    }
    if pieces.is_empty() {
        pieces.push(Piece::Key(vec![Part::Text(String::new())]));
    }
    Ok(pieces)
}

fn targets(spec: &Value) -> Result<Vec<Target>, Refusal> {
    match spec {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![target(text)?]),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(target).unwrap_or_else(|| Err(no_path(item)))).collect()
        }
        other => Err(no_path(other)),
    }
}

fn no_path(spec: &Value) -> Refusal {
    Refusal(format!("`{spec}` is no path: a string, a list of strings or null is needed"))
}

impl Level {
    fn parse(spec: &Value) -> Result<Self, Refusal> {
        let object = spec.as_object().ok_or_else(|| Refusal("the `spec` of shift is an object".into()))?;
        let mut level = Level::default();
        let mut children = Vec::new();
        for (key, spec) in object {
            let source = match key.chars().next() {
                Some('$') => Some(Source::Key(behind(key, Reader::key_ref)?)),
                Some('@') => Some(Source::Data(behind(key, Reader::data_ref)?)),
                Some('#') => Some(Source::Text(key.chars().skip(1).collect())),
                _ => None,
            };
            if let Some(source) = source {
                level.special.push((source, targets(spec)?));
                continue;
            }
            // A bar between keys that need not be escaped: the same for each of them.
            for key in key.split('|') {
                let node = match spec {
                    Value::Object(_) => Node::Level(Level::parse(spec)?),
                    _ => Node::Targets(targets(spec)?),
                };
                let pattern = Pattern::parse(key)?;
                children.push((pattern.rank(key), pattern, node));
            }
        }
        level.only_literals = children.iter().all(|(_, pattern, _)| matches!(pattern, Pattern::Literal(_)));
        if !level.only_literals {
            children.sort_by_key(|(rank, ..)| *rank);
        }
        level.children = children.into_iter().map(|(_, pattern, node)| (pattern, node)).collect();
        Ok(level)
    }
}

fn behind<'t, T>(key: &'t str, read: impl Fn(&mut Reader<'t>) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let mut reader = Reader::new(key);
    if let Some(sign) = reader.peek() {
        reader.take(sign);
    }
    let found = read(&mut reader)?;
    if reader.peek().is_some() { Err(reader.wrong("something is behind the reference")) } else { Ok(found) }
}

/// The output became too large.
pub struct TooLarge;

struct Run<'v> {
    walked: Vec<Walked<'v>>,
    out: Value,
    bytes: usize,
}

impl Shift {
    pub fn new(spec: &Value) -> Result<Self, Refusal> {
        Ok(Self { root: Level::parse(spec)? })
    }

    pub fn apply(&self, input: &Value) -> Result<Value, TooLarge> {
        let mut run = Run { walked: Vec::new(), out: Value::Null, bytes: 0 };
        run.level(&self.root, vec!["root".to_owned()], Some(input))?;
        Ok(run.out)
    }
}

impl<'v> Run<'v> {
    fn level(&mut self, level: &Level, caught: Vec<String>, data: Option<&'v Value>) -> Result<(), TooLarge> {
        self.walked.push(Walked { caught, data, matches: 0 });
        for (source, targets) in &level.special {
            let text;
            let found = match source {
                Source::Key(reference) => {
                    text = reference.of(&self.walked).map(|key| Value::String(key.to_owned()));
                    text.as_ref()
                }
                Source::Text(literal) => {
                    text = Some(Value::String(literal.clone()));
                    text.as_ref()
                }
                Source::Data(reference) => reference.of(&self.walked),
            };
            // Its own step, so that `&1` on the right side is the level's key.
            if let Some(found) = found.cloned() {
                self.walked.push(Walked { caught: Vec::new(), data: None, matches: 0 });
                self.write(targets, &found)?;
                self.walked.pop();
            }
        }
        match data {
            Some(data) if level.only_literals && matches!(data, Value::Object(_) | Value::Array(_)) => {
                for (pattern, node) in &level.children {
                    let Pattern::Literal(key) = pattern else { continue };
                    if let Some(found) = child(data, key) {
                        self.node(node, vec![key.clone()], Some(found))?;
                    }
                }
            }
            Some(Value::Object(object)) => {
                for (key, data) in object {
                    self.matching(level, key, Some(data))?;
                }
            }
            Some(Value::Array(items)) => {
                for (index, data) in items.iter().enumerate() {
                    self.matching(level, &index.to_string(), Some(data))?;
                }
            }
            Some(Value::String(text)) => self.matching(level, text, None)?,
            Some(Value::Null) | None => {}
            Some(scalar) => self.matching(level, &scalar.to_string(), None)?,
        }
        self.walked.pop();
        Ok(())
    }

    fn matching(&mut self, level: &Level, key: &str, data: Option<&'v Value>) -> Result<(), TooLarge> {
        let found = level.children.iter().find_map(|(pattern, node)| Some((pattern.catch(key, &self.walked)?, node)));
        found.map_or(Ok(()), |(caught, node)| self.node(node, caught, data))
    }

    fn node(&mut self, node: &Node, caught: Vec<String>, data: Option<&'v Value>) -> Result<(), TooLarge> {
        match node {
            Node::Level(level) => self.level(level, caught, data)?,
            Node::Targets(targets) => {
                self.walked.push(Walked { caught, data, matches: 0 });
                self.write(targets, data.unwrap_or(&Value::Null))?;
                self.walked.pop();
            }
        }
        if let Some(parent) = self.walked.last_mut() {
            parent.matches += 1;
        }
        Ok(())
    }

    fn write(&mut self, targets: &[Target], data: &Value) -> Result<(), TooLarge> {
        for target in targets {
            self.spend(weight(data))?;
            // A path with a reference to what is not there is not written to.
            let path = target.iter().map(|piece| {
                Some(match piece {
                    Piece::Append => Place::Append,
                    Piece::Key(parts) => Place::Key(joined(parts, &self.walked)?),
                    Piece::Index(parts) => Place::Index(index(&joined(parts, &self.walked)?)?),
                })
            });
            let Some(path) = path.collect::<Option<Vec<Place>>>() else { continue };
            self.put(&path, data)?;
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.bytes += bytes;
        if self.bytes > OUTPUT_BYTES_MAX { Err(TooLarge) } else { Ok(()) }
    }

    fn put(&mut self, path: &[Place], data: &Value) -> Result<(), TooLarge> {
        let mut padding = 0;
        let mut place = &mut self.out;
        for step in path {
            match step {
                Place::Key(key) => {
                    if *place == Value::Null {
                        *place = Value::Object(Object::new());
                    }
                    // What is there already is of another kind: JOLT leaves it alone, too.
                    let Value::Object(object) = place else { return Ok(()) };
                    padding += key.len() + 32;
                    place = object.entry(key.clone()).or_insert(Value::Null);
                }
                Place::Index(_) | Place::Append => {
                    if *place == Value::Null {
                        *place = Value::Array(Vec::new());
                    }
                    let Value::Array(items) = place else { return Ok(()) };
                    let index = if let Place::Index(index) = step { *index } else { items.len() };
                    if index > INDEX_MAX && index > items.len() {
                        return Err(TooLarge);
                    }
                    if index >= items.len() {
                        padding += 32 * (index + 1 - items.len());
                        items.resize(index + 1, Value::Null);
                    }
                    let Some(item) = items.get_mut(index) else { return Ok(()) };
                    place = item;
                }
            }
        }
        match place {
            Value::Null => *place = data.clone(),
            Value::Array(items) => items.push(data.clone()),
            first => {
                let values = vec![std::mem::replace(first, Value::Null), data.clone()];
                *first = Value::Array(values);
            }
        }
        self.spend(padding)
    }
}

enum Place {
    Key(String),
    Index(usize),
    Append,
}

/// About what a value takes in memory.
fn weight(value: &Value) -> usize {
    32 + match value {
        Value::String(text) => text.len(),
        Value::Number(digits) => digits.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(object) => object.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        Value::Null | Value::Bool(_) => 0,
    }
}
