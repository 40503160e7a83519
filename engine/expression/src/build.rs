//! Makes code of constructs: resolves names, folds constants, compiles patterns, and says what cannot be carried.

use regex::{Regex, RegexBuilder};

use crate::code::{Code, Each, EntryIs, Escape, Key, MAP_METHODS, MapMethod, Matching, Op};
use crate::context::{Map, Nothing};
use crate::limits::{DEPTH_MAX, NODES_MAX, PATTERN_BYTES_MAX};
use crate::methods::{self, Method};
use crate::path::Path;
use crate::run::Run;
use crate::vocabulary::{Member, Object, ROOTS};
use crate::{Body, Needs, Problem, Value, Vocabulary, statics};

/// Code, how deep it is, and where it begins.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) code: Code,
    depth: u16,
    at: u32,
}

/// Makes the code of one template.
pub(crate) struct Builder {
    vocabulary: Vocabulary,
    nodes: usize,
    pub(crate) needs: Needs,
}

/// The functions that begin with `#`.
const FUNCTIONS: [&str; 4] = ["jsonPath", "xpath", "xmlEscape", "jsonEscape"];

pub(crate) fn too_deep(at: u32) -> Problem {
    Problem::new(at, format!("the expression is nested more than {DEPTH_MAX} deep"))
}

type Built = Result<Expr, Problem>;

impl Builder {
    pub(crate) fn new(vocabulary: Vocabulary) -> Self {
        Self { vocabulary, nodes: 0, needs: Needs::default() }
    }

    pub(crate) fn vocabulary(&self) -> Vocabulary {
        self.vocabulary
    }

    /// One node more, around others whose greatest depth is given.
    fn node(&mut self, at: u32, depth: u16, code: Code) -> Built {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Problem::new(at, format!("the expressions have more than {NODES_MAX} parts")));
        }
        if depth >= DEPTH_MAX {
            return Err(too_deep(at));
        }
        Ok(Expr { code, depth: depth + 1, at })
    }

    /// The same, evaluated at once when it depends on nothing.
    fn folded(&mut self, at: u32, depth: u16, code: Code, is_constant: bool) -> Built {
        let mut expr = self.node(at, depth, code)?;
        if is_constant {
            let value = Run::new(&Nothing).value(&expr.code, None).map(Value::into_static);
            let value = value.map_err(|error| Problem::new(error.at, error.message))?;
            expr = Expr { code: Code::Const(value), depth: 1, at };
        }
        Ok(expr)
    }

    pub(crate) fn constant(&mut self, at: u32, value: Value<'static>) -> Built {
        self.node(at, 0, Code::Const(value))
    }

    pub(crate) fn this(&mut self, at: u32) -> Built {
        self.node(at, 0, Code::This)
    }

    pub(crate) fn list(&mut self, at: u32, items: Vec<Expr>) -> Built {
        let (depth, is_constant) = measure(&items);
        self.folded(at, depth, Code::List(codes(items)), is_constant)
    }

    pub(crate) fn map(&mut self, at: u32, entries: Vec<(Expr, Expr)>) -> Built {
        let depth = entries.iter().map(|(key, value)| key.depth.max(value.depth)).max().unwrap_or(0);
        let is_constant = entries.iter().all(|(key, value)| key.is_constant() && value.is_constant());
        let entries = entries.into_iter().map(|(key, value)| (key.code, value.code)).collect();
        self.folded(at, depth, Code::MapOf(entries), is_constant)
    }

    pub(crate) fn not(&mut self, at: u32, operand: Expr) -> Built {
        let is_constant = operand.is_constant();
        self.folded(at, operand.depth, Code::Not(at, operand.code.into()), is_constant)
    }

    pub(crate) fn negate(&mut self, at: u32, operand: Expr) -> Built {
        let is_constant = operand.is_constant();
        self.folded(at, operand.depth, Code::Negate(at, operand.code.into()), is_constant)
    }

    pub(crate) fn and(&mut self, at: u32, left: Expr, right: Expr) -> Built {
        self.node(at, left.depth.max(right.depth), Code::And(at, left.code.into(), right.code.into()))
    }

    pub(crate) fn or(&mut self, at: u32, left: Expr, right: Expr) -> Built {
        self.node(at, left.depth.max(right.depth), Code::Or(at, left.code.into(), right.code.into()))
    }

    pub(crate) fn binary(&mut self, at: u32, op: Op, left: Expr, right: Expr) -> Built {
        let is_constant = left.is_constant() && right.is_constant();
        let depth = left.depth.max(right.depth);
        if let Some(code) = entry_is(op, &left.code, &right.code) {
            return self.node(at, depth, code);
        }
        self.folded(at, depth, Code::Binary(at, op, left.code.into(), right.code.into()), is_constant)
    }

    pub(crate) fn between(&mut self, at: u32, value: Expr, range: Expr) -> Built {
        self.node(at, value.depth.max(range.depth), Code::Between(at, value.code.into(), range.code.into()))
    }

    pub(crate) fn elvis(&mut self, value: Expr, otherwise: Expr) -> Built {
        let depth = value.depth.max(otherwise.depth);
        self.node(value.at, depth, Code::Elvis(value.code.into(), otherwise.code.into()))
    }

    pub(crate) fn choice(&mut self, at: u32, condition: Expr, yes: Expr, no: Expr) -> Built {
        let depth = condition.depth.max(yes.depth).max(no.depth);
        self.node(at, depth, Code::Choice(at, condition.code.into(), yes.code.into(), no.code.into()))
    }

    pub(crate) fn each(&mut self, at: u32, each: Each, subject: Expr, body: Expr) -> Built {
        let depth = subject.depth.max(body.depth);
        self.node(at, depth, Code::Each(at, each, subject.code.into(), body.code.into()))
    }

    pub(crate) fn matches(&mut self, at: u32, subject: Expr, pattern: Expr) -> Built {
        let pattern = pattern_of(&pattern, true)?;
        self.node(at, subject.depth, Code::Pattern(at, Matching::Whole, subject.code.into(), pattern.into()))
    }

    /// `#name`.
    pub(crate) fn root(&mut self, at: u32, name: &str) -> Built {
        let known = |(root, ..): &&(&str, _, _)| root.strip_prefix('#') == Some(name);
        let Some((name, root, member)) = ROOTS.iter().find(known) else {
            let name = format!("#{name}");
            return Err(Problem::new(at, format!("`{name}` is not known")).nearest(&name, self.vocabulary.names()));
        };
        if !self.vocabulary.has(*root) {
            let names: Vec<&str> = self.vocabulary.names().collect();
            let problem = Problem::new(at, format!("`{name}` does not exist here"));
            return Err(problem.hint(format!("what exists is {}", crate::problem::list(&names))));
        }
        self.member(at, *member)
    }

    fn member(&mut self, at: u32, member: Member) -> Built {
        let code = match member {
            Member::Object(object) => Code::Object(object),
            Member::Field(field) => Code::Field(field),
            Member::Parts(field) => Code::Parts(field),
            Member::Map(map) => Code::Map(map),
            Member::Names(map) => Code::Names(map),
            Member::Dictionaries => Code::Dictionaries,
            Member::Secrets => Code::Secrets,
            Member::Text(body) => {
                self.need(body);
                Code::Content(body)
            }
            Member::Json(body) => {
                self.need(body);
                Code::Json(body)
            }
            Member::Xml => {
                let problem = Problem::new(at, "`xmlContent` is not carried");
                return Err(problem.hint("`content` is the text of the document"));
            }
        };
        self.node(at, 0, code)
    }

    fn need(&mut self, body: Body) {
        match body {
            Body::Request => self.needs.request_content = true,
            Body::Response => self.needs.response_content = true,
            Body::Message => self.needs.message_content = true,
            Body::Callout => {}
        }
    }

    /// `subject.name`.
    pub(crate) fn property(&mut self, at: u32, subject: Expr, name: &str) -> Built {
        let depth = subject.depth;
        match subject.code {
            Code::Object(object) => match object.member(name) {
                Some(member) => self.member(at, member),
                None => {
                    let message = format!("`{}` has no `{name}`", object.name());
                    Err(Problem::new(at, message).nearest(name, object.names()))
                }
            },
            Code::Map(map) if map.is_principal() && name == "attributes" => self.node(at, 0, Code::Attributes(map)),
            Code::Map(map) if map.is_principal() && name == "defined" => {
                let empty = self.node(at, 0, Code::CallMap(at, MapMethod::IsEmpty, map, None, None))?;
                self.not(at, empty)
            }
            Code::Map(_) | Code::Attributes(_) | Code::Dictionaries | Code::OneDictionary(_) => {
                let name = Expr { code: Code::Const(Value::Text(name.to_owned().into())), depth: 1, at };
                self.index(at, subject, name)
            }
            Code::Secrets => Err(no_secrets(at)),
            code => self.node(at, depth, Code::Property(at, code.into(), name.into())),
        }
    }

    /// `subject[index]`.
    pub(crate) fn index(&mut self, at: u32, subject: Expr, index: Expr) -> Built {
        let depth = subject.depth.max(index.depth);
        match (subject.code, index.code) {
            (Code::Object(object), Code::Const(Value::Text(name))) => {
                self.property(index.at, Expr { code: Code::Object(object), ..subject }, &name)
            }
            (Code::Object(object), _) => Err(no_value(index.at, object)),
            (Code::Map(map), code) => {
                let index_max = (!map.is_multi() || map.is_principal()).then_some(0);
                let name = key(Expr { code, ..index }, map.ignores_case())?;
                self.node(at, depth, Code::Entry { map, name, index: index_max })
            }
            (Code::Attributes(map), code) => {
                let name = key(Expr { code, ..index }, map.ignores_case())?;
                self.node(at, depth, Code::Entry { map, name, index: None })
            }
            (Code::Dictionaries, code) => {
                let id = key(Expr { code, ..index }, false)?;
                self.node(at, depth, Code::OneDictionary(id))
            }
            (Code::OneDictionary(id), code) => {
                let name = key(Expr { code, ..index }, false)?;
                self.node(at, depth, Code::Dictionary(id, name))
            }
            (Code::Secrets, _) => Err(no_secrets(at)),
            (Code::Entry { map, name, index: None }, Code::Const(Value::Int(index))) => {
                let index = usize::try_from(index).map_err(|_| negative(at))?;
                self.node(at, depth, Code::Entry { map, name, index: Some(index) })
            }
            (Code::Parts(field), Code::Const(Value::Int(index))) => {
                let index = usize::try_from(index).map_err(|_| negative(at))?;
                self.node(at, depth, Code::Part(field, index))
            }
            (subject, index) => self.node(at, depth, Code::Index(at, subject.into(), index.into())),
        }
    }

    /// `subject.name(arguments)`.
    pub(crate) fn method(&mut self, at: u32, subject: Expr, name: &str, mut arguments: Vec<Expr>) -> Built {
        let is_map = matches!(
            subject.code,
            Code::Map(_) | Code::Attributes(_) | Code::Dictionaries | Code::OneDictionary(_) | Code::Secrets
        );
        if is_map && name == "get" {
            if matches!(subject.code, Code::Secrets) {
                return Err(no_secrets(at));
            }
            count(at, name, &arguments, 1, 1)?;
            return match arguments.pop() {
                Some(key) => self.index(at, subject, key),
                None => Ok(subject),
            };
        }
        match subject.code {
            Code::Object(object) => {
                let message = format!("`{}` has no method `{name}`", object.name());
                return Err(Problem::new(at, message).nearest(name, object.names()));
            }
            Code::Map(map) | Code::Attributes(map) => return self.method_of_map(at, map, name, arguments),
            Code::Dictionaries | Code::OneDictionary(_) | Code::Secrets => {
                return Err(Problem::new(at, format!("`{name}` is not carried for this")).hint("`get` is"));
            }
            _ => {}
        }
        let known = methods::METHODS.iter().find(|(known, ..)| *known == name);
        let Some((_, method, least, most)) = known else {
            let names = methods::METHODS.iter().map(|(name, ..)| *name);
            return Err(Problem::new(at, format!("the method `{name}` is not carried")).nearest(name, names));
        };
        count(at, name, &arguments, *least, *most)?;
        if let Some(matching) = matching(*method, &arguments)? {
            let whole = matches!(matching, Matching::Whole);
            let Some(pattern) = arguments.first() else { return Ok(subject) };
            let pattern = pattern_of(pattern, whole)?;
            return self.node(at, subject.depth, Code::Pattern(at, matching, subject.code.into(), pattern.into()));
        }
        let (depth, constant) = measure(&arguments);
        let is_constant = constant && subject.is_constant();
        let code = Code::Call(at, *method, subject.code.into(), codes(arguments));
        self.folded(at, depth.max(subject.depth), code, is_constant)
    }

    fn method_of_map(&mut self, at: u32, map: Map, name: &str, arguments: Vec<Expr>) -> Built {
        let Some((_, method, wanted)) = MAP_METHODS.iter().find(|(known, ..)| *known == name) else {
            let names = MAP_METHODS.iter().map(|(name, ..)| *name).chain(["get"]);
            return Err(Problem::new(at, format!("the method `{name}` is not carried")).nearest(name, names));
        };
        count(at, name, &arguments, *wanted, *wanted)?;
        let (depth, _) = measure(&arguments);
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().map(|argument| Box::new(argument.code));
        let code = Code::CallMap(at, *method, map, next(), next());
        self.node(at, depth, code)
    }

    /// `#name(arguments)`.
    pub(crate) fn function(&mut self, at: u32, name: &str, arguments: Vec<Expr>) -> Built {
        let (depth, is_constant) = measure(&arguments);
        let wanted = if matches!(name, "jsonPath" | "xpath") { 2 } else { 1 };
        if FUNCTIONS.contains(&name) {
            count(at, name, &arguments, wanted, wanted)?;
        }
        let mut arguments = arguments.into_iter();
        match (name, arguments.next(), arguments.next()) {
            ("xpath", ..) => {
                Err(Problem::new(at, "`#xpath` is not carried").hint("`#jsonPath` reads JSON; a text can be matched"))
            }
            ("jsonPath", Some(subject), Some(path)) => match path.code {
                Code::Const(Value::Text(text)) => {
                    let path = Path::compile(&text).map_err(|problem| {
                        Problem::new(path.at, format!("the JSON path `{text}`: {}", problem.message))
                            .hint(format!("see byte {} of the path", problem.at))
                    })?;
                    self.node(at, depth, Code::JsonPath(at, subject.code.into(), path.into()))
                }
                code => self.node(at, depth, Code::JsonPathOf(at, subject.code.into(), code.into())),
            },
            ("xmlEscape", Some(text), _) => {
                self.folded(at, depth, Code::Escape(at, Escape::Xml, text.code.into()), is_constant)
            }
            ("jsonEscape", Some(text), _) => {
                self.folded(at, depth, Code::Escape(at, Escape::Json, text.code.into()), is_constant)
            }
            _ => {
                Err(Problem::new(at, format!("there is no function `#{name}`"))
                    .nearest(name, FUNCTIONS.iter().copied()))
            }
        }
    }

    /// `T(kind).name(arguments)`.
    pub(crate) fn function_of_a_type(&mut self, at: u32, kind: &str, name: &str, arguments: Vec<Expr>) -> Built {
        let Some((.., function, least, most)) = statics::find(kind, name) else {
            let problem = Problem::new(at, format!("`{name}` of the type `{kind}` is not carried"));
            return Err(problem.nearest(name, statics::names(kind)));
        };
        count(at, name, &arguments, *least, *most)?;
        let (depth, is_constant) = measure(&arguments);
        let code = Code::Static(at, *function, codes(arguments));
        self.folded(at, depth, code, is_constant && function.is_pure())
    }

    /// Makes sure that what begins at `at` is a value: an object such as `#request` is none.
    pub(crate) fn value(&mut self, at: u32, expr: Expr) -> Built {
        let expr = Expr { at, ..expr };
        match expr.code {
            Code::Object(object) => Err(no_value(expr.at, object)),
            Code::Secrets => Err(no_secrets(expr.at)),
            Code::Dictionaries | Code::OneDictionary(_) => {
                let problem = Problem::new(expr.at, "a dictionary is no value by itself");
                Err(problem.hint("an entry is: `#dictionaries['id']['key']`"))
            }
            Code::Attributes(map) => Ok(Expr { code: Code::Map(map), ..expr }),
            _ => Ok(expr),
        }
    }
}

impl Expr {
    fn is_constant(&self) -> bool {
        matches!(self.code, Code::Const(_))
    }
}

/// The greatest depth, and whether all are constants.
/// The comparison of a header, or of a parameter of the query, with a text: such a value is a text or nothing, so that it need not become a
/// [`Value`] first.
fn entry_is(op: Op, left: &Code, right: &Code) -> Option<Code> {
    let is = match op {
        Op::Eq => true,
        Op::Ne => false,
        _ => return None,
    };
    match (left, right) {
        (Code::Entry { map, name: Key::Const(name), index }, Code::Const(Value::Text(text)))
        | (Code::Const(Value::Text(text)), Code::Entry { map, name: Key::Const(name), index })
            if map.is_multi() && !map.is_principal() =>
        {
            let (map, index) = (*map, *index);
            Some(Code::EntryIs(Box::new(EntryIs { map, name: name.clone(), index, text: (&**text).into(), is })))
        }
        _ => None,
    }
}

fn measure(exprs: &[Expr]) -> (u16, bool) {
    (exprs.iter().map(|expr| expr.depth).max().unwrap_or(0), exprs.iter().all(Expr::is_constant))
}

fn codes(exprs: Vec<Expr>) -> Box<[Code]> {
    exprs.into_iter().map(|expr| expr.code).collect()
}

fn no_value(at: u32, object: Object) -> Problem {
    let names: Vec<&str> = object.names().collect();
    Problem::new(at, format!("`{}` is no value by itself", object.name()))
        .hint(format!("it has {}", crate::problem::list(&names)))
}

fn no_secrets(at: u32) -> Problem {
    Problem::new(at, "a secret is read when the API is deployed, by a constant name")
        .hint("write `#secrets.get('/provider/path:key')`")
}

fn negative(at: u32) -> Problem {
    Problem::new(at, "an index is 0 or greater")
}

fn count(at: u32, name: &str, arguments: &[Expr], least: usize, most: usize) -> Result<(), Problem> {
    if (least..=most).contains(&arguments.len()) {
        return Ok(());
    }
    let wanted = match (least, most) {
        (0, 0) => "no arguments".into(),
        (1, 1) => "1 argument".into(),
        _ if least == most => format!("{most} arguments"),
        _ => format!("{least} to {most} arguments"),
    };
    Err(Problem::new(at, format!("`{name}` takes {wanted}, not {}", arguments.len())))
}

/// A name of a map.
fn key(expr: Expr, ignores_case: bool) -> Result<Key, Problem> {
    match expr.code {
        Code::Const(Value::Text(name)) if ignores_case => Ok(Key::Const(name.to_ascii_lowercase().into())),
        Code::Const(Value::Text(name)) => Ok(Key::Const(name.into())),
        Code::Const(other) => Err(Problem::new(expr.at, format!("a name is a text, not {}", other.kind()))),
        code => Ok(Key::Code(expr.at, code.into())),
    }
}

/// What a method does with a regular expression, if it takes one.
fn matching(method: Method, arguments: &[Expr]) -> Result<Option<Matching>, Problem> {
    Ok(match method {
        Method::Matches => Some(Matching::Whole),
        Method::Split => Some(Matching::Split),
        Method::ReplaceAll => match arguments.get(1) {
            Some(Expr { code: Code::Const(Value::Text(text)), .. }) => Some(Matching::ReplaceAll(groups(text).into())),
            Some(other) => return Err(Problem::new(other.at, "the replacement must be a constant text")),
            None => None,
        },
        _ => None,
    })
}

/// A replacement as `regex` reads it. In Java `$1a` is the first group and an `a`, and a backslash takes a sign as it is.
fn groups(replacement: &str) -> String {
    let mut out = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(c) => out.push(c),
                None => out.push('\\'),
            },
            '$' if chars.peek().is_some_and(char::is_ascii_digit) => {
                let digit = chars.next().unwrap_or('0');
                out.push_str(&format!("${{{digit}}}"));
            }
            '$' if chars.peek() == Some(&'{') => out.push('$'),
            '$' => out.push_str("$$"),
            c => out.push(c),
        }
    }
    out
}

fn pattern_of(pattern: &Expr, whole: bool) -> Result<Regex, Problem> {
    let Code::Const(Value::Text(text)) = &pattern.code else {
        let problem = Problem::new(pattern.at, "the regular expression must be a constant text");
        return Err(problem.hint("it is compiled when the API is deployed"));
    };
    let compile = |source: &str| {
        RegexBuilder::new(source).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build()
    };
    // The text alone comes first: `a)(b` would become valid in a group.
    let alone = compile(text);
    if whole { alone.and_then(|_| compile(&format!("^(?:{text})$"))) } else { alone }.map_err(|error| {
        let message = match error {
            regex::Error::CompiledTooBig(_) => "it takes too much memory".to_owned(),
            // The last line says what is wrong; those before it show where, in the pattern as it was wrapped.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
        };
        Problem::new(pattern.at, format!("the regular expression `{text}`: {message}"))
            .hint("patterns run in linear time: they have no look-around and no back-references")
    })
}
