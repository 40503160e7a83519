//! Reads an expression by precedence, and has [`crate::build`] make code of each construct.
//!
//! ```text
//! expression  choice
//! choice      binary [ '?' choice ':' choice | '?:' choice ]
//! binary      or < and < comparison, matches, between < + - < * / % < ^
//! unary       { '!' | not | '-' | '+' } operand
//! operand     literal | '(' expression ')' | '{' list or map '}' | '#name' | '#function(...)' | 'T(type).function(...)'
//!             { '.name' | '.method(...)' | '?.name' | '[expression]' | '.?[...]' | '.![...]' | '.^[...]' | '.$[...]' }
//! ```

use crate::build::{self, Builder, Expr};
use crate::code::{Code, Each, Op};
use crate::lexer::{Lexer, Token};
use crate::limits::DEPTH_MAX;
use crate::problem::list;
use crate::value::Value;
use crate::{Problem, statics};

/// Reads one expression of a text.
pub(crate) struct Parser<'t, 'b> {
    text: &'t str,
    lexer: Lexer<'t>,
    token: Token<'t>,
    at: u32,
    depth: u16,
    /// Selections and projections around here: in them `#this` is an item, and a bare name one of its properties.
    around: u16,
    builder: &'b mut Builder,
}

/// Reads the expression that begins at `at` and ends with a brace; also gives the offset behind that brace.
pub(crate) fn piece(text: &str, at: usize, builder: &mut Builder) -> Result<(Code, usize), Problem> {
    let mut lexer = Lexer::new(text, at);
    let (at, token) = lexer.next()?;
    let mut parser = Parser { text, lexer, token, at, depth: 0, around: 0, builder };
    let expr = parser.choice()?;
    // The brace was read as a token, and nothing behind it.
    match parser.token {
        Token::Symbol("}") => Ok((expr.code, parser.lexer.at())),
        _ => Err(parser.unexpected("an operator or `}`")),
    }
}

impl<'t> Parser<'t, '_> {
    fn advance(&mut self) -> Result<Token<'t>, Problem> {
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
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

    fn expect(&mut self, symbol: &'static str) -> Result<(), Problem> {
        if self.takes(symbol)? { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> Problem {
        let problem = Problem::new(self.at, format!("{} stands where {wanted} is expected", self.token.shown()));
        match &self.token {
            Token::Symbol("=") => problem.hint("expressions change nothing; `==` compares"),
            Token::Symbol("++" | "--") => problem.hint("expressions change nothing"),
            Token::Symbol("!") => problem.hint("`!=` says that two values differ, `!(...)` negates"),
            Token::Word(word) if word.eq_ignore_ascii_case("instanceof") => {
                problem.hint("there are no types to compare with")
            }
            Token::End => problem.hint("an expression ends with `}`"),
            _ => problem,
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        if self.depth >= DEPTH_MAX {
            return Err(build::too_deep(self.at));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn choice(&mut self) -> Result<Expr, Problem> {
        self.deeper(|parser| {
            let condition = parser.binary(1)?;
            let at = parser.at;
            if parser.takes("?:")? {
                let otherwise = parser.choice()?;
                return parser.builder.elvis(condition, otherwise);
            }
            if !parser.takes("?")? {
                return Ok(condition);
            }
            let yes = parser.choice()?;
            parser.expect(":")?;
            let no = parser.choice()?;
            parser.builder.choice(at, condition, yes, no)
        })
    }

    fn binary(&mut self, least: u8) -> Result<Expr, Problem> {
        let mut left = self.unary()?;
        while let Some((strength, operator)) = self.operator() {
            if strength < least {
                break;
            }
            let at = self.at;
            self.advance()?;
            let right = self.deeper(|parser| parser.binary(strength + 1))?;
            left = match operator {
                Operator::Or => self.builder.or(at, left, right)?,
                Operator::And => self.builder.and(at, left, right)?,
                Operator::Matches => self.builder.matches(at, left, right)?,
                Operator::Between => self.builder.between(at, left, right)?,
                Operator::Op(op) => self.builder.binary(at, op, left, right)?,
            };
        }
        Ok(left)
    }

    /// The operator that stands here, and how strongly it binds.
    fn operator(&self) -> Option<(u8, Operator)> {
        let op = |strength, op| Some((strength, Operator::Op(op)));
        match &self.token {
            Token::Symbol(symbol) => match *symbol {
                "||" => Some((1, Operator::Or)),
                "&&" => Some((2, Operator::And)),
                "==" => op(3, Op::Eq),
                "!=" => op(3, Op::Ne),
                "<" => op(3, Op::Lt),
                "<=" => op(3, Op::Le),
                ">" => op(3, Op::Gt),
                ">=" => op(3, Op::Ge),
                "+" => op(4, Op::Add),
                "-" => op(4, Op::Sub),
                "*" => op(5, Op::Mul),
                "/" => op(5, Op::Div),
                "%" => op(5, Op::Rem),
                "^" => op(6, Op::Pow),
                _ => None,
            },
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "or" => Some((1, Operator::Or)),
                "and" => Some((2, Operator::And)),
                "eq" => op(3, Op::Eq),
                "ne" => op(3, Op::Ne),
                "lt" => op(3, Op::Lt),
                "le" => op(3, Op::Le),
                "gt" => op(3, Op::Gt),
                "ge" => op(3, Op::Ge),
                "matches" => Some((3, Operator::Matches)),
                "between" => Some((3, Operator::Between)),
                "div" => op(5, Op::Div),
                "mod" => op(5, Op::Rem),
                _ => None,
            },
            _ => None,
        }
    }

    fn unary(&mut self) -> Result<Expr, Problem> {
        let at = self.at;
        let is_not = self.is("!") || matches!(self.token, Token::Word(word) if word.eq_ignore_ascii_case("not"));
        if is_not {
            self.advance()?;
            let operand = self.deeper(Self::unary)?;
            return self.builder.not(at, operand);
        }
        if self.takes("-")? {
            let operand = self.deeper(Self::unary)?;
            return self.builder.negate(at, operand);
        }
        if self.takes("+")? {
            return self.deeper(Self::unary);
        }
        let start = self.at;
        let mut expr = self.operand()?;
        loop {
            let at = self.at;
            if self.takes("[")? {
                let index = self.choice()?;
                self.expect("]")?;
                expr = self.builder.index(at, expr, index)?;
            } else if self.is(".") || self.is("?.") {
                self.advance()?;
                expr = self.member(expr)?;
            } else {
                return self.builder.value(start, expr);
            }
        }
    }

    /// What follows a dot.
    fn member(&mut self, subject: Expr) -> Result<Expr, Problem> {
        let at = self.at;
        let each = match self.token {
            Token::Symbol("?[") => Each::Select,
            Token::Symbol("![") => Each::Project,
            Token::Symbol("^[") => Each::First,
            Token::Symbol("$[") => Each::Last,
            Token::Word(name) => {
                self.advance()?;
                if !self.takes("(")? {
                    return self.builder.property(at, subject, name);
                }
                let arguments = self.arguments()?;
                return self.builder.method(at, subject, name, arguments);
            }
            _ => return Err(self.unexpected("a name")),
        };
        self.advance()?;
        let subject = self.builder.value(at, subject)?;
        self.around += 1;
        let body = self.choice()?;
        self.around -= 1;
        self.expect("]")?;
        self.builder.each(at, each, subject, body)
    }

    /// The arguments of a call whose parenthesis was read.
    fn arguments(&mut self) -> Result<Vec<Expr>, Problem> {
        let mut arguments = Vec::new();
        if self.takes(")")? {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.choice()?);
            if self.takes(")")? {
                return Ok(arguments);
            }
            self.expect(",")?;
        }
    }

    fn operand(&mut self) -> Result<Expr, Problem> {
        let at = self.at;
        if !matches!(self.token, Token::Int(_) | Token::Float(_) | Token::Text(_) | Token::Word(_)) {
            return match self.token {
                Token::Symbol("(") => {
                    self.advance()?;
                    let inner = self.choice()?;
                    self.expect(")")?;
                    Ok(inner)
                }
                Token::Symbol("{") => self.collection(),
                Token::Symbol("#") => self.root(),
                Token::Symbol("@") => {
                    Err(Problem::new(at, "there are no beans").hint("only roots such as `#request` have values"))
                }
                _ => Err(self.unexpected("a value")),
            };
        }
        let value = match self.advance()? {
            Token::Int(number) => Value::Int(number),
            Token::Float(number) => Value::Float(number),
            Token::Text(text) => Value::Text(text.into_owned().into()),
            Token::Word(word) => return self.word(at, word),
            Token::End | Token::Symbol(_) => Value::Null,
        };
        self.builder.constant(at, value)
    }

    /// What a bare word means; it was read.
    fn word(&mut self, at: u32, word: &str) -> Result<Expr, Problem> {
        let value = match word.to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            "new" => {
                let problem = Problem::new(at, "objects cannot be made with `new`");
                return Err(problem.hint("lists are written `{1, 2}`, maps `{key: 1}`"));
            }
            "t" if self.is("(") => return self.function_of_a_type(),
            _ if self.around > 0 => {
                let this = self.builder.this(at)?;
                if !self.takes("(")? {
                    return self.builder.property(at, this, word);
                }
                let arguments = self.arguments()?;
                return self.builder.method(at, this, word, arguments);
            }
            _ => {
                let root = format!("#{word}");
                let problem = Problem::new(at, format!("`{word}` is not known"));
                return Err(if self.builder.vocabulary().names().any(|known| known == root) {
                    problem.hint(format!("did you mean `{root}`?"))
                } else {
                    problem.hint(
                        "roots begin with `#`, texts stand in quotes, and a name with other signs in brackets: ['a-b']",
                    )
                });
            }
        };
        self.builder.constant(at, value)
    }

    /// `T(type).function(arguments)`; the `T` was read.
    fn function_of_a_type(&mut self) -> Result<Expr, Problem> {
        self.expect("(")?;
        let at = self.at;
        let mut name = String::new();
        while !self.is(")") {
            match self.advance()? {
                Token::Word(word) => name.push_str(word),
                Token::Symbol(".") => name.push('.'),
                _ => return Err(Problem::new(at, "the name of a type is expected, such as `java.lang.Math`")),
            }
        }
        self.expect(")")?;
        let kind = name.strip_prefix("java.lang.").unwrap_or(&name);
        if !statics::types().any(|known| known == kind) {
            let problem = Problem::new(at, format!("the type `{name}` is not carried"));
            let types: Vec<&str> = statics::types().collect();
            return Err(problem.hint(format!("functions of these are: {}", list(&types))));
        }
        self.expect(".")?;
        let at = self.at;
        let Token::Word(function) = self.token else { return Err(self.unexpected("a function")) };
        self.advance()?;
        self.expect("(")?;
        let arguments = self.arguments()?;
        self.builder.function_of_a_type(at, kind, function, arguments)
    }

    /// `#name` or `#function(arguments)`.
    fn root(&mut self) -> Result<Expr, Problem> {
        let at = self.at;
        self.advance()?;
        let Token::Word(name) = self.token else { return Err(self.unexpected("a name")) };
        self.advance()?;
        if self.takes("(")? {
            let arguments = self.arguments()?;
            return self.builder.function(at, name, arguments);
        }
        match name {
            "this" if self.around > 0 => self.builder.this(at),
            "this" | "root" => {
                let problem = Problem::new(at, format!("`#{name}` is not known here"));
                Err(problem.hint("`#this` is the item inside of `.?[...]` and `.![...]`"))
            }
            _ => self.builder.root(at, name),
        }
    }

    /// `{1, 2}`, `{}`, `{key: 1}` or `{:}`.
    fn collection(&mut self) -> Result<Expr, Problem> {
        let at = self.at;
        self.advance()?;
        if self.takes(":")? {
            self.expect("}")?;
            return self.builder.map(at, Vec::new());
        }
        let mut items = Vec::new();
        let mut entries = Vec::new();
        while !self.takes("}")? {
            if !items.is_empty() || !entries.is_empty() {
                self.expect(",")?;
            }
            let key = self.key_or_item()?;
            if items.is_empty() && self.takes(":")? {
                entries.push((key, self.choice()?));
            } else if entries.is_empty() {
                items.push(key);
            } else {
                return Err(self.unexpected("`:`"));
            }
        }
        if entries.is_empty() { self.builder.list(at, items) } else { self.builder.map(at, entries) }
    }

    /// A bare word in front of a colon is a text.
    fn key_or_item(&mut self) -> Result<Expr, Problem> {
        if let Token::Word(word) = self.token
            && self.text.get(self.lexer.at()..).is_some_and(|rest| rest.trim_start().starts_with(':'))
        {
            let at = self.at;
            self.advance()?;
            return self.builder.constant(at, Value::Text(word.to_owned().into()));
        }
        self.choice()
    }
}

enum Operator {
    Or,
    And,
    Matches,
    Between,
    Op(Op),
}
