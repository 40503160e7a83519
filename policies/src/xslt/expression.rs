//! Expressions of XPath 1.0: the part that is supported, read when a stylesheet is.

/// An expression.
#[derive(Debug)]
pub enum Expression {
    /// `or`, `and`, comparisons and arithmetic.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `-`
    Negative(Box<Expression>),
    /// `|`
    Union(Box<Expression>, Box<Expression>),
    /// A path.
    Path(Start, Vec<Step>),
    /// A function.
    Call(Function, Vec<Expression>),
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// A variable.
    Variable(String),
}

/// Operators, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `=`
    Equal,
    /// `!=`
    Different,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `div`
    Divided,
    /// `mod`
    Modulo,
}

/// Operators of one strength, the weakest first.
const LEVELS: &[&[(&str, Operator)]] = &[
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[("!=", Operator::Different), ("=", Operator::Equal)],
    &[("<=", Operator::LessOrEqual), (">=", Operator::GreaterOrEqual), ("<", Operator::Less), (">", Operator::Greater)],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("div", Operator::Divided), ("mod", Operator::Modulo)],
];

/// Where a path begins.
#[derive(Debug)]
pub enum Start {
    /// At the document.
    Root,
    /// At the node that is looked at.
    Here,
    /// At what an expression finds, with conditions on it.
    Found(Box<Expression>, Vec<Expression>),
}

/// A step of a path.
#[derive(Debug)]
pub struct Step {
    /// Which way.
    pub axis: Axis,
    /// Which nodes.
    pub test: Test,
    /// Conditions.
    pub conditions: Vec<Expression>,
}

/// Ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// `child`
    Child,
    /// `attribute`
    Attribute,
    /// `self`
    Itself,
    /// `parent`
    Parent,
    /// `descendant`
    Descendant,
    /// `descendant-or-self`
    DescendantOrSelf,
    /// `ancestor`
    Ancestor,
    /// `ancestor-or-self`
    AncestorOrSelf,
    /// `following-sibling`
    FollowingSibling,
    /// `preceding-sibling`
    PrecedingSibling,
}

const AXES: &[(&str, Axis)] = &[
    ("child", Axis::Child),
    ("attribute", Axis::Attribute),
    ("self", Axis::Itself),
    ("parent", Axis::Parent),
    ("descendant", Axis::Descendant),
    ("descendant-or-self", Axis::DescendantOrSelf),
    ("ancestor", Axis::Ancestor),
    ("ancestor-or-self", Axis::AncestorOrSelf),
    ("following-sibling", Axis::FollowingSibling),
    ("preceding-sibling", Axis::PrecedingSibling),
];

/// Which nodes a step takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// An element or attribute of this namespace and name.
    Name(String, String),
    /// One of this namespace.
    Space(String),
    /// `*`
    Any,
    /// `text()`
    Text,
    /// `node()`
    Node,
    /// `comment()` and `processing-instruction()`: there are none in what is read.
    Nothing,
}

/// Functions, with the least and the greatest number of their arguments.
macro_rules! functions {
    ($($variant:ident $name:literal $min:literal $max:literal;)*) => {
        /// A function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Function { $(#[doc = $name] $variant,)* }
        const FUNCTIONS: &[(&str, Function, usize, usize)] = &[$(($name, Function::$variant, $min, $max),)*];
    };
}

functions! {
    Last "last" 0 0;
    Position "position" 0 0;
    Count "count" 1 1;
    Name "name" 0 1;
    LocalName "local-name" 0 1;
    NamespaceUri "namespace-uri" 0 1;
    Text "string" 0 1;
    Concat "concat" 2 100;
    StartsWith "starts-with" 2 2;
    Contains "contains" 2 2;
    SubstringBefore "substring-before" 2 2;
    SubstringAfter "substring-after" 2 2;
    Substring "substring" 2 3;
    StringLength "string-length" 0 1;
    NormalizeSpace "normalize-space" 0 1;
    Translate "translate" 3 3;
    Boolean "boolean" 1 1;
    Not "not" 1 1;
    True "true" 0 0;
    False "false" 0 0;
    Number "number" 0 1;
    Sum "sum" 1 1;
    Floor "floor" 1 1;
    Ceiling "ceiling" 1 1;
    Round "round" 1 1;
    Current "current" 0 0;
}

/// Expressions in one another.
const LEVELS_MAX: usize = 24;

/// What an expression may name.
pub struct Scope<'a> {
    /// The namespace of a prefix.
    pub resolve: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a variable is there.
    pub variable: &'a dyn Fn(&str) -> bool,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    scope: &'a Scope<'a>,
    levels: usize,
}

type Parsed<T> = Result<T, String>;

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is none, or has what is not supported.
    pub fn parse(text: &str, scope: &Scope) -> Parsed<Self> {
        let mut parser = Parser { text, at: 0, scope, levels: 0 };
        let expression = parser.binary(0)?;
        parser.skip_space();
        if parser.rest().is_empty() { Ok(expression) } else { parser.wrong("something behind the expression") }
    }

    /// Whether it depends on the place among other nodes, as a condition.
    pub fn is_positional(&self) -> bool {
        let is_number = matches!(
            self,
            Self::Number(_)
                | Self::Negative(_)
                | Self::Variable(_)
                | Self::Call(
                    Function::Last
                        | Function::Position
                        | Function::Count
                        | Function::StringLength
                        | Function::Number
                        | Function::Sum
                        | Function::Floor
                        | Function::Ceiling
                        | Function::Round,
                    _
                )
                | Self::Binary(
                    Operator::Plus | Operator::Minus | Operator::Times | Operator::Divided | Operator::Modulo,
                    ..
                )
        );
        is_number || self.asks_position()
    }

    fn asks_position(&self) -> bool {
        match self {
            Self::Call(Function::Last | Function::Position, _) => true,
            Self::Call(_, arguments) => arguments.iter().any(Self::asks_position),
            Self::Binary(_, one, other) | Self::Union(one, other) => one.asks_position() || other.asks_position(),
            Self::Negative(inner) => inner.asks_position(),
            // Conditions of a path ask for places of their own.
            Self::Path(Start::Found(inner, _), _) => inner.asks_position(),
            _ => false,
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

impl<'a> Parser<'a> {
    fn wrong<T>(&self, what: &str) -> Parsed<T> {
        Err(format!("`{}`: {what} at byte {}", self.text, self.at))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let is_there = self.rest().starts_with(token);
        self.at += if is_there { token.len() } else { 0 };
        is_there
    }

    fn sees(&mut self, token: &str) -> bool {
        self.skip_space();
        self.rest().starts_with(token)
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { self.wrong(&format!("`{token}` is missing")) }
    }

    /// A name without a colon.
    fn name(&mut self) -> Option<&'a str> {
        self.skip_space();
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| is_name_byte(*byte)).count();
        let name = rest.get(..length).filter(|name| crate::xml::is_name(name))?;
        self.at += length;
        Some(name)
    }

    fn operator(&mut self, level: usize) -> Option<Operator> {
        self.skip_space();
        let rest = self.rest();
        let of_level = LEVELS.get(level)?;
        let (token, operator) = of_level.iter().find(|(token, _)| {
            let is_word = token.bytes().all(|byte| byte.is_ascii_alphabetic());
            let behind = rest.as_bytes().get(token.len());
            rest.starts_with(token) && !(is_word && behind.is_some_and(|byte| is_name_byte(*byte)))
        })?;
        self.at += token.len();
        Some(*operator)
    }

    fn binary(&mut self, level: usize) -> Parsed<Expression> {
        if level >= LEVELS.len() {
            return self.unary();
        }
        if level == 0 {
            self.levels += 1;
            if self.levels > LEVELS_MAX {
                return self.wrong("too many expressions in one another");
            }
        }
        let mut left = self.binary(level + 1)?;
        // Operators of one strength make a tree that leans to the left, as deep as there are of them.
        let mut operators = 0;
        while let Some(operator) = self.operator(level) {
            operators += 1;
            if operators > LEVELS_MAX {
                return self.wrong("too many operators beside one another");
            }
            let right = self.binary(level + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        if level == 0 {
            self.levels -= 1;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Expression> {
        if self.take("-") {
            let inner = self.union()?;
            return Ok(Expression::Negative(Box::new(inner)));
        }
        self.union()
    }

    fn union(&mut self) -> Parsed<Expression> {
        let mut left = self.path()?;
        let mut count = 0;
        while self.take("|") {
            count += 1;
            if count > LEVELS_MAX {
                return self.wrong("too many `|` beside one another");
            }
            left = Expression::Union(Box::new(left), Box::new(self.path()?));
        }
        Ok(left)
    }

    fn path(&mut self) -> Parsed<Expression> {
        if self.sees("//") {
            let mut steps = Vec::new();
            self.steps(&mut steps)?;
            return Ok(Expression::Path(Start::Root, steps));
        }
        if self.take("/") {
            let mut steps = Vec::new();
            self.skip_space();
            if self.rest().starts_with(['.', '@', '*']) || self.rest().bytes().next().is_some_and(is_name_byte) {
                steps.push(self.step()?);
                self.steps(&mut steps)?;
            }
            return Ok(Expression::Path(Start::Root, steps));
        }
        if let Some(primary) = self.primary()? {
            let conditions = self.conditions()?;
            let mut steps = Vec::new();
            if self.sees("/") {
                self.steps(&mut steps)?;
            }
            if conditions.is_empty() && steps.is_empty() {
                return Ok(primary);
            }
            return Ok(Expression::Path(Start::Found(Box::new(primary), conditions), steps));
        }
        let mut steps = vec![self.step()?];
        self.steps(&mut steps)?;
        Ok(Expression::Path(Start::Here, steps))
    }

    /// What follows a step or a start: `/step` and `//step`.
    fn steps(&mut self, steps: &mut Vec<Step>) -> Parsed<()> {
        loop {
            if self.take("//") {
                steps.push(Step { axis: Axis::DescendantOrSelf, test: Test::Node, conditions: Vec::new() });
            } else if !self.take("/") {
                return Ok(());
            }
            steps.push(self.step()?);
        }
    }

    /// A text, a number, a variable, a function or parentheses; `None` where a step begins.
    fn primary(&mut self) -> Parsed<Option<Expression>> {
        self.skip_space();
        let rest = self.rest();
        let first = rest.bytes().next().unwrap_or_default();
        let second = rest.as_bytes().get(1).copied().unwrap_or_default();
        if first == b'"' || first == b'\'' {
            let inner = rest.get(1..).unwrap_or_default();
            let Some(length) = inner.find(char::from(first)) else { return self.wrong("a text without an end") };
            self.at += length + 2;
            return Ok(Some(Expression::Text(inner.get(..length).unwrap_or_default().to_owned())));
        }
        if first.is_ascii_digit() || (first == b'.' && second.is_ascii_digit()) {
            let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
            let Ok(number) = rest.get(..length).unwrap_or_default().parse() else { return self.wrong("no number") };
            self.at += length;
            return Ok(Some(Expression::Number(number)));
        }
        if self.take("$") {
            let Some(name) = self.name() else { return self.wrong("no name of a variable") };
            if !(self.scope.variable)(name) {
                return self.wrong(&format!("there is no variable `{name}` here"));
            }
            return Ok(Some(Expression::Variable(name.to_owned())));
        }
        if self.take("(") {
            let inner = self.binary(0)?;
            self.expect(")")?;
            return Ok(Some(inner));
        }
        // A function, unless it is a test of nodes or a step.
        let before = self.at;
        if let Some(name) = self.name()
            && self.take("(")
            && !matches!(name, "node" | "text" | "comment" | "processing-instruction")
        {
            return self.call(name).map(Some);
        }
        self.at = before;
        Ok(None)
    }

    fn call(&mut self, name: &str) -> Parsed<Expression> {
        let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        let Some((_, function, min, max)) = known else {
            return self.wrong(&format!("the function `{name}` is not supported"));
        };
        let mut arguments = Vec::new();
        while !self.take(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.binary(0)?);
        }
        if !(*min..=*max).contains(&arguments.len()) {
            return self.wrong(&format!("`{name}` has {} arguments", arguments.len()));
        }
        Ok(Expression::Call(*function, arguments))
    }

    fn conditions(&mut self) -> Parsed<Vec<Expression>> {
        let mut conditions = Vec::new();
        while self.take("[") {
            conditions.push(self.binary(0)?);
            self.expect("]")?;
        }
        Ok(conditions)
    }

    fn step(&mut self) -> Parsed<Step> {
        if self.take("..") {
            return Ok(Step { axis: Axis::Parent, test: Test::Node, conditions: Vec::new() });
        }
        if self.take(".") {
            return Ok(Step { axis: Axis::Itself, test: Test::Node, conditions: Vec::new() });
        }
        let mut axis = Axis::Child;
        if self.take("@") {
            axis = Axis::Attribute;
        } else {
            let before = self.at;
            match self.name() {
                Some(name) if self.take("::") => {
                    let known = AXES.iter().find(|(known, _)| *known == name);
                    let Some((_, known)) = known else {
                        return self.wrong(&format!("the axis `{name}` is not supported"));
                    };
                    axis = *known;
                }
                _ => self.at = before,
            }
        }
        let test = self.test()?;
        Ok(Step { axis, test, conditions: self.conditions()? })
    }

    fn test(&mut self) -> Parsed<Test> {
        if self.take("*") {
            return Ok(Test::Any);
        }
        let Some(name) = self.name() else { return self.wrong("no step of a path") };
        if self.rest().starts_with(':') && !self.rest().starts_with("::") {
            self.at += 1;
            let Some(space) = (self.scope.resolve)(name) else {
                return self.wrong(&format!("the prefix `{name}` is not declared"));
            };
            if self.rest().starts_with('*') {
                self.at += 1;
                return Ok(Test::Space(space));
            }
            let Some(local) = self.name() else { return self.wrong("no name behind a prefix") };
            return Ok(Test::Name(space, local.to_owned()));
        }
        if self.take("(") {
            let test = match name {
                "text" => Test::Text,
                "node" => Test::Node,
                "comment" | "processing-instruction" => Test::Nothing,
                _ => return self.wrong(&format!("`{name}()` may not stand here")),
            };
            self.expect(")")?;
            return Ok(test);
        }
        // Without a prefix: in no namespace.
        Ok(Test::Name(String::new(), name.to_owned()))
    }
}
