//! Expressions of templates: read once, with every name known.

use ringway_contract::Refusal;

use crate::json::{Value, number_length};

/// Expressions inside of one another at most.
const DEPTH_MAX: usize = 64;

#[derive(Debug)]
pub enum Expression {
    Value(Value),
    /// Something of the exchange.
    Root(Root),
    Variable(String),
    /// `base.name` and `base[name]`
    Member(Box<Expression>, Box<Expression>),
    /// `base!default`
    Or(Box<Expression>, Option<Box<Expression>>),
    /// `base??`
    Exists(Box<Expression>),
    BuiltIn(Box<Expression>, BuiltIn, Vec<Expression>),
    Not(Box<Expression>),
    Binary(Box<Expression>, Operator, Box<Expression>),
    List(Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    RequestContent,
    RequestHeaders,
    RequestParams,
    RequestMethod,
    RequestPath,
    RequestPathInfo,
    RequestContextPath,
    RequestUri,
    RequestHost,
    ResponseContent,
    ResponseHeaders,
    ResponseStatus,
    MessageId,
    MessageContent,
    MessageHeaders,
    MessageMetadata,
    MessageAttributes,
    Attributes,
    Properties,
}

const ROOTS: &[(&str, &str, Root)] = &[
    ("request", "content", Root::RequestContent),
    ("request", "headers", Root::RequestHeaders),
    ("request", "params", Root::RequestParams),
    ("request", "method", Root::RequestMethod),
    ("request", "path", Root::RequestPath),
    ("request", "pathInfo", Root::RequestPathInfo),
    ("request", "contextPath", Root::RequestContextPath),
    ("request", "uri", Root::RequestUri),
    ("request", "host", Root::RequestHost),
    ("response", "content", Root::ResponseContent),
    ("response", "headers", Root::ResponseHeaders),
    ("response", "status", Root::ResponseStatus),
    ("message", "id", Root::MessageId),
    ("message", "content", Root::MessageContent),
    ("message", "headers", Root::MessageHeaders),
    ("message", "metadata", Root::MessageMetadata),
    ("message", "attributes", Root::MessageAttributes),
    ("context", "attributes", Root::Attributes),
    ("context", "properties", Root::Properties),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    And,
    Or,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

macro_rules! built_ins {
    ($($name:literal $variant:ident $arguments:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum BuiltIn { $($variant),* }

        /// Name and arguments at most.
        const BUILT_INS: &[(&str, BuiltIn, usize)] = &[$(($name, BuiltIn::$variant, $arguments)),*];
    };
}

built_ins! {
    "eval" Eval 0, "string" Text 2, "c" Computer 0, "number" Number 0, "int" Int 0, "boolean" Boolean 0,
    "size" Size 0, "length" Length 0, "has_content" HasContent 0, "keys" Keys 0, "values" Values 0, "first" First 0, "last" Last 0,
    "join" Join 1, "split" Split 1, "replace" Replace 2, "contains" Contains 1, "seq_contains" SeqContains 1,
    "starts_with" StartsWith 1, "ends_with" EndsWith 1, "upper_case" UpperCase 0, "lower_case" LowerCase 0, "cap_first" CapFirst 0,
    "trim" Trim 0, "substring" Substring 2, "json_string" JsonString 0, "xml" Xml 0,
    "is_string" IsString 0, "is_number" IsNumber 0, "is_boolean" IsBoolean 0, "is_sequence" IsSequence 0, "is_hash" IsHash 0,
    "then" Then 2, "reverse" Reverse 0,
}

/// Other names of the same.
const ALIASES: [(&str, &str); 3] = [("eval_json", "eval"), ("js_string", "json_string"), ("html", "xml")];

/// Of loop variables only.
const OF_LOOPS: [&str; 4] = ["index", "counter", "has_next", "is_last"];

pub struct Parser<'t> {
    rest: &'t str,
    names: &'t [String],
    depth: usize,
}

impl<'t> Parser<'t> {
    pub fn new(text: &'t str, names: &'t [String]) -> Self {
        Self { rest: text, names, depth: 0 }
    }

    pub fn whole(mut self) -> Result<Expression, Refusal> {
        let expression = self.any()?;
        self.space();
        if self.rest.is_empty() { Ok(expression) } else { Err(Refusal(format!("`{}` is not understood", self.rest))) }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A word that is an operator: no letter follows.
    fn word(&mut self, word: &str) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(word);
        let rest = rest.filter(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), Refusal> {
        if self.take(token) { Ok(()) } else { Err(Refusal(format!("`{token}` is missing"))) }
    }

    fn name(&mut self) -> Option<&'t str> {
        self.space();
        let length = self.rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(length)?;
        let is_name = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
        self.rest = if is_name { rest } else { self.rest };
        is_name.then_some(name)
    }

    fn any(&mut self) -> Result<Expression, Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Refusal(format!("more than {DEPTH_MAX} expressions inside of one another")));
        }
        let expression = self.either();
        self.depth -= 1;
        expression
    }

    fn chain(
        &mut self,
        operand: fn(&mut Self) -> Result<Expression, Refusal>,
        operator: fn(&mut Self) -> Option<Operator>,
    ) -> Result<Expression, Refusal> {
        let mut left = operand(self)?;
        let mut length = 0;
        while let Some(operator) = operator(self) {
            length += 1;
            if length > DEPTH_MAX {
                return Err(Refusal(format!("more than {DEPTH_MAX} operators in a row")));
            }
            left = Expression::Binary(Box::new(left), operator, Box::new(operand(self)?));
        }
        Ok(left)
    }

    fn either(&mut self) -> Result<Expression, Refusal> {
        self.chain(Self::both, |parser| parser.take("||").then_some(Operator::Or))
    }

    fn both(&mut self) -> Result<Expression, Refusal> {
        self.chain(Self::equality, |parser| (parser.take("&&") || parser.take("&amp;&amp;")).then_some(Operator::And))
    }

    fn equality(&mut self) -> Result<Expression, Refusal> {
        self.chain(Self::relation, |parser| match () {
            () if parser.take("==") || parser.take("=") => Some(Operator::Equal),
            () if parser.take("!=") => Some(Operator::Unequal),
            () => None,
        })
    }

    fn relation(&mut self) -> Result<Expression, Refusal> {
        self.chain(Self::sum, |parser| match () {
            () if parser.word("lte") || parser.take("<=") => Some(Operator::LessOrEqual),
            () if parser.word("lt") || parser.take("<") => Some(Operator::Less),
            () if parser.word("gte") || parser.take(">=") => Some(Operator::GreaterOrEqual),
            () if parser.word("gt") || parser.take(">") => Some(Operator::Greater),
            () => None,
        })
    }

    fn sum(&mut self) -> Result<Expression, Refusal> {
        self.chain(Self::product, |parser| match () {
            () if parser.take("+") => Some(Operator::Add),
            () if parser.take("-") => Some(Operator::Subtract),
            () => None,
        })
    }

    fn product(&mut self) -> Result<Expression, Refusal> {
        self.chain(Self::unary, |parser| match () {
            () if parser.take("*") => Some(Operator::Multiply),
            () if parser.take("/") => Some(Operator::Divide),
            () if parser.take("%") => Some(Operator::Remainder),
            () => None,
        })
    }

    fn unary(&mut self) -> Result<Expression, Refusal> {
        self.space();
        if self.rest.starts_with('!') && !self.rest.starts_with("!=") {
            self.take("!");
            self.depth += 1;
            let operand = if self.depth > DEPTH_MAX { Err(Refusal("too many `!`".into())) } else { self.unary() };
            self.depth -= 1;
            return Ok(Expression::Not(Box::new(operand?)));
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn primary(&mut self) -> Result<Expression, Refusal> {
        if self.take("(") {
            let inside = self.any()?;
            self.expect(")")?;
            return Ok(inside);
        }
        if self.take("[") {
            return Ok(Expression::List(self.arguments("]")?));
        }
        if let Some(quote) = self.rest.chars().next().filter(|first| "\"'".contains(*first)) {
            return self.string(quote).map(|text| Expression::Value(Value::String(text)));
        }
        if let Some(length) = number_length(self.rest.as_bytes()) {
            let (digits, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
            self.rest = rest;
            return Ok(Expression::Value(Value::Number(digits.into())));
        }
        let name = self.name().ok_or_else(|| Refusal(format!("`{}` is not understood", self.rest)))?;
        match name {
            "true" | "false" => return Ok(Expression::Value(Value::Bool(name == "true"))),
            _ if self.names.iter().any(|known| known == name) => return Ok(Expression::Variable(name.to_owned())),
            "request" | "response" | "message" | "context" => {}
            _ => return Err(Refusal(format!("nothing is called `{name}`"))),
        }
        let known: Vec<&str> = ROOTS.iter().filter(|(root, ..)| *root == name).map(|(_, member, _)| *member).collect();
        let unknown = || Refusal(format!("of `{name}` there are {}", known.join(", ")));
        let member = if self.take(".") { self.name() } else { None }.ok_or_else(unknown)?;
        let root = ROOTS.iter().find(|(root, known, _)| *root == name && *known == member).ok_or_else(unknown)?;
        Ok(Expression::Root(root.2))
    }

    fn string(&mut self, quote: char) -> Result<String, Refusal> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => text.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, 'r')) => '\r',
                    Some((_, escaped)) => escaped,
                    None => break,
                }),
                _ if character == quote => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return if text.contains("${") {
                        Err(Refusal("`${...}` in a string is not carried".into()))
                    } else {
                        Ok(text)
                    };
                }
                _ => text.push(character),
            }
        }
        Err(Refusal("a string does not end".into()))
    }

    fn arguments(&mut self, end: &str) -> Result<Vec<Expression>, Refusal> {
        let mut arguments = Vec::new();
        while !self.take(end) {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.any()?);
        }
        Ok(arguments)
    }

    fn postfix(&mut self, mut base: Expression) -> Result<Expression, Refusal> {
        for _ in 0..DEPTH_MAX {
            base = if self.take("??") {
                Expression::Exists(Box::new(base))
            } else if self.take("?") {
                self.built_in(base)?
            } else if self.take("[") {
                let key = self.any()?;
                self.expect("]")?;
                Expression::Member(Box::new(base), Box::new(key))
            } else if self.take(".") {
                let name = self.name().ok_or_else(|| Refusal("a name is missing behind the dot".into()))?;
                Expression::Member(Box::new(base), Box::new(Expression::Value(Value::String(name.to_owned()))))
            } else if !self.rest.starts_with("!=") && self.take("!") {
                self.space();
                let has_default = self.rest.starts_with(|next: char| next.is_alphanumeric() || "\"'([_".contains(next));
                let default = if has_default { Some(Box::new(self.unary()?)) } else { None };
                Expression::Or(Box::new(base), default)
            } else {
                return Ok(base);
            };
        }
        Err(Refusal(format!("more than {DEPTH_MAX} steps behind one another")))
    }

    fn built_in(&mut self, base: Expression) -> Result<Expression, Refusal> {
        let name = self.name().ok_or_else(|| Refusal("a name is missing behind `?`".into()))?;
        if let (Expression::Variable(variable), true) = (&base, OF_LOOPS.contains(&name)) {
            let is_loop = self.names.iter().any(|known| *known == format!("{variable}_index"));
            if is_loop {
                let index = || Box::new(Expression::Variable(format!("{variable}_index")));
                let has_next = Expression::Variable(format!("{variable}_has_next"));
                let one = Box::new(Expression::Value(Value::Number("1".into())));
                return Ok(match name {
                    "index" => *index(),
                    "counter" => Expression::Binary(index(), Operator::Add, one),
                    "has_next" => has_next,
                    _ => Expression::Not(Box::new(has_next)),
                });
            }
        }
        let same = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, same)| *same);
        let found = BUILT_INS.iter().find(|(known, ..)| *known == same);
        let (_, built_in, most) = found.ok_or_else(|| {
            let known: Vec<&str> = BUILT_INS.iter().map(|(name, ..)| *name).collect();
            Refusal(format!("`?{name}` is not carried; there are {}", known.join(", ")))
        })?;
        let arguments = if self.rest.starts_with('(') && self.take("(") { self.arguments(")")? } else { Vec::new() };
        let optional = matches!(built_in, BuiltIn::Text | BuiltIn::Substring);
        if arguments.len() > *most || (arguments.len() < *most && !optional) {
            return Err(Refusal(format!("`?{name}` has {most} arguments")));
        }
        Ok(Expression::BuiltIn(Box::new(base), *built_in, arguments))
    }
}
