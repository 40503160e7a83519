//! Files to drafts of messages: types are names still.

use std::collections::HashMap;

use ringway_contract::Refusal;

use super::lexer::{Lexer, Token};
use super::schema::{Enum, Type};

/// Messages and enumerations of a schema, with all its imports.
const NAMED_MAX: usize = 5_000;
/// Fields, and values of enumerations, of a schema.
const FIELDS_MAX: usize = 50_000;
/// Messages in one another, where they are written.
const LEVELS_MAX: usize = 32;
/// Numbers that fields may have.
const NUMBERS: std::ops::RangeInclusive<i64> = 1..=(1 << 29) - 1;

/// What was found in files.
#[derive(Default)]
pub struct Drafts {
    /// Messages, in no order.
    pub messages: Vec<Draft>,
    /// Enumerations.
    pub enums: Vec<Enum>,
    /// Both by their full names.
    pub named: HashMap<String, Named>,
    fields: usize,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Named {
    /// A message, by its place.
    Message(usize),
    /// An enumeration, by its place.
    Enum(usize),
}

/// A message.
pub struct Draft {
    /// With its package.
    pub name: String,
    /// Its fields, as they are written.
    pub fields: Vec<FieldDraft>,
    /// Messages within it.
    pub nested: Vec<usize>,
    /// How many `oneof`s there are.
    pub oneofs: usize,
    /// Whether its file is of proto3.
    pub proto3: bool,
}

/// A field.
pub struct FieldDraft {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// Its type.
    pub of: Written,
    /// The key of a map.
    pub key: Option<Type>,
    /// What stands before it.
    pub label: Label,
    /// The `oneof` that it is in.
    pub oneof: Option<usize>,
    /// Options that matter.
    pub options: Options,
}

/// What stands before a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Nothing.
    None,
    /// `optional`
    Optional,
    /// `required`
    Required,
    /// `repeated`
    Repeated,
}

/// A type as it is written.
pub enum Written {
    /// One of the language.
    Scalar(Type),
    /// One of a file, by its name.
    Name(String),
    /// What is written here.
    Group(usize),
}

/// Options of a field that matter.
#[derive(Default)]
pub struct Options {
    /// `packed`
    pub packed: Option<bool>,
    /// `json_name`
    pub json_name: Option<String>,
    /// `default`
    pub default: Option<Constant>,
}

/// A value of an option.
pub enum Constant {
    /// `true`, `inf`, a value of an enumeration.
    Name(String),
    /// With its sign.
    Number(String),
    /// A string.
    Text(Vec<u8>),
}

/// A file.
pub struct File {
    /// What it imports.
    pub imports: Vec<String>,
    /// Its messages that are in no other.
    pub roots: Vec<usize>,
}

/// Reads a file into the drafts.
///
/// # Errors
/// It is none; the line is named.
pub fn file(text: &str, drafts: &mut Drafts) -> Result<File, Refusal> {
    let mut parser = Parser { lexer: Lexer::new(text)?, drafts, proto3: false };
    let mut file = File { imports: Vec::new(), roots: Vec::new() };
    let mut package = String::new();
    loop {
        let word = match parser.lexer.next()? {
            Token::End => return Ok(file),
            Token::Mark(';') => continue,
            Token::Name(word) => word,
            _ => return Err(parser.lexer.wrong("a statement is expected")),
        };
        match word {
            "syntax" => {
                parser.lexer.expect('=')?;
                parser.proto3 = match &*parser.lexer.text()? {
                    b"proto2" => false,
                    b"proto3" => true,
                    _ => return Err(parser.lexer.wrong("`syntax` is `proto2` or `proto3`")),
                };
                parser.lexer.expect(';')?;
            }
            "edition" => return Err(parser.lexer.wrong("editions are not read: proto2 and proto3 are")),
            "import" => {
                if matches!(parser.lexer.peek(), Token::Name("public" | "weak" | "option")) {
                    parser.lexer.next()?;
                }
                let path = parser.lexer.text()?;
                file.imports.push(String::from_utf8(path).map_err(|_| parser.lexer.wrong("a path of no text"))?);
                parser.lexer.expect(';')?;
            }
            "package" => {
                package = parser.lexer.path()?;
                parser.lexer.expect(';')?;
            }
            "message" => file.roots.push(parser.message(&package, 0)?),
            "enum" => parser.an_enum(&package)?,
            "option" | "service" | "extend" => parser.lexer.skip_statement()?,
            _ => return Err(parser.lexer.wrong(&format!("`{word}` begins no statement"))),
        }
    }
}

struct Parser<'a, 'd> {
    lexer: Lexer<'a>,
    drafts: &'d mut Drafts,
    proto3: bool,
}

fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

impl Parser<'_, '_> {
    fn add(&mut self, name: &str, named: Named) -> Result<(), Refusal> {
        if self.drafts.named.len() >= NAMED_MAX {
            return Err(self.lexer.wrong(&format!("more than {NAMED_MAX} messages and enumerations")));
        }
        match self.drafts.named.insert(name.to_owned(), named) {
            None => Ok(()),
            Some(_) => Err(self.lexer.wrong(&format!("`{name}` is there twice"))),
        }
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.drafts.fields += 1;
        if self.drafts.fields > FIELDS_MAX {
            return Err(self.lexer.wrong(&format!("more than {FIELDS_MAX} fields")));
        }
        Ok(())
    }

    /// A message behind its key word.
    fn message(&mut self, scope: &str, level: usize) -> Result<usize, Refusal> {
        let name = within(scope, self.lexer.name()?);
        self.body(name, level)
    }

    /// A message behind its name.
    fn body(&mut self, name: String, level: usize) -> Result<usize, Refusal> {
        if level > LEVELS_MAX {
            return Err(self.lexer.wrong(&format!("more than {LEVELS_MAX} messages in one another")));
        }
        let place = self.drafts.messages.len();
        self.add(&name, Named::Message(place))?;
        let (fields, nested) = (Vec::new(), Vec::new());
        self.drafts.messages.push(Draft { name: name.clone(), fields, nested, oneofs: 0, proto3: self.proto3 });
        self.lexer.expect('{')?;
        loop {
            let word = match self.lexer.peek() {
                Token::Mark('}') => {
                    self.lexer.next()?;
                    return Ok(place);
                }
                Token::Mark(';') => {
                    self.lexer.next()?;
                    continue;
                }
                Token::Mark('.') => "",
                Token::Name(word) => word,
                _ => return Err(self.lexer.wrong("a field, or the end of the message, is expected")),
            };
            match word {
                "message" => {
                    self.lexer.next()?;
                    let inner = self.message(&name, level + 1)?;
                    if let Some(draft) = self.drafts.messages.get_mut(place) {
                        draft.nested.push(inner);
                    }
                }
                "enum" => {
                    self.lexer.next()?;
                    self.an_enum(&name)?;
                }
                "option" | "extend" | "extensions" | "reserved" => self.lexer.skip_statement()?,
                "oneof" => {
                    self.lexer.next()?;
                    self.oneof(place, &name, level)?;
                }
                "optional" | "required" | "repeated" => {
                    let label = match word {
                        "optional" => Label::Optional,
                        "required" => Label::Required,
                        _ => Label::Repeated,
                    };
                    self.lexer.next()?;
                    if label == Label::Required && self.proto3 {
                        return Err(self.lexer.wrong("proto3 has no `required`"));
                    }
                    self.field(place, &name, label, None, level)?;
                }
                _ => self.field(place, &name, Label::None, None, level)?,
            }
        }
    }

    fn oneof(&mut self, place: usize, message: &str, level: usize) -> Result<(), Refusal> {
        self.lexer.name()?;
        let oneof = self.drafts.messages.get_mut(place).map_or(0, |draft| {
            draft.oneofs += 1;
            draft.oneofs - 1
        });
        self.lexer.expect('{')?;
        loop {
            match self.lexer.peek() {
                Token::Mark('}') => {
                    self.lexer.next()?;
                    return Ok(());
                }
                Token::Mark(';') => {
                    self.lexer.next()?;
                }
                Token::Name("option") => self.lexer.skip_statement()?,
                _ => self.field(place, message, Label::Optional, Some(oneof), level)?,
            }
        }
    }

    /// A field behind its label.
    fn field(
        &mut self,
        place: usize,
        message: &str,
        label: Label,
        oneof: Option<usize>,
        level: usize,
    ) -> Result<(), Refusal> {
        self.count()?;
        let written = self.lexer.path()?;
        let mut key = None;
        let of = if written == "map" && *self.lexer.peek() == Token::Mark('<') {
            if label != Label::None {
                return Err(self.lexer.wrong("a map has no label and is in no `oneof`"));
            }
            self.lexer.expect('<')?;
            let name = self.lexer.name()?;
            key = Type::scalar(name).filter(|key| key.is_key());
            if key.is_none() {
                return Err(self.lexer.wrong(&format!("`{name}` is no key of a map")));
            }
            self.lexer.expect(',')?;
            let value = self.lexer.path()?;
            self.lexer.expect('>')?;
            named(value)
        } else {
            named(written)
        };
        let name = self.lexer.name()?;
        self.lexer.expect('=')?;
        let number = self.lexer.whole()?;
        let number = u32::try_from(number).ok().filter(|_| NUMBERS.contains(&number));
        let number = number.ok_or_else(|| self.lexer.wrong(&format!("`{name}` has a number that there is not")))?;
        let options = self.options()?;
        // A group is a field and its message in one.
        let (name, of) = match of {
            Written::Name(word) if word == "group" => {
                let inner = self.body(within(message, name), level + 1)?;
                if let Some(draft) = self.drafts.messages.get_mut(place) {
                    draft.nested.push(inner);
                }
                (name.to_ascii_lowercase(), Written::Group(inner))
            }
            of => {
                self.lexer.expect(';')?;
                (name.to_owned(), of)
            }
        };
        let draft = FieldDraft { name, number, of, key, label, oneof, options };
        if let Some(message) = self.drafts.messages.get_mut(place) {
            message.fields.push(draft);
        }
        Ok(())
    }

    /// Options of a field, in brackets.
    fn options(&mut self) -> Result<Options, Refusal> {
        let mut options = Options::default();
        if !self.lexer.takes('[')? {
            return Ok(options);
        }
        loop {
            let name = if self.lexer.takes('(')? {
                self.lexer.path()?;
                self.lexer.expect(')')?;
                None
            } else {
                Some(self.lexer.path()?)
            };
            // The rest of the name of an option of somebody else.
            let mut own = true;
            while self.lexer.takes('.')? {
                own = false;
                if self.lexer.takes('(')? {
                    self.lexer.path()?;
                    self.lexer.expect(')')?;
                } else {
                    self.lexer.name()?;
                }
            }
            self.lexer.expect('=')?;
            let constant = self.constant()?;
            match (name.as_deref().filter(|_| own), constant) {
                (Some("packed"), Some(Constant::Name(word))) => options.packed = Some(word == "true"),
                (Some("json_name"), Some(Constant::Text(text))) => {
                    let text = String::from_utf8(text).map_err(|_| self.lexer.wrong("a `json_name` of no text"))?;
                    options.json_name = Some(text);
                }
                (Some("default"), constant) => options.default = constant,
                _ => {}
            }
            if !self.lexer.takes(',')? {
                self.lexer.expect(']')?;
                return Ok(options);
            }
        }
    }

    /// A value of an option; `None`: one in braces.
    fn constant(&mut self) -> Result<Option<Constant>, Refusal> {
        if *self.lexer.peek() == Token::Mark('{') {
            let mut open = 0_usize;
            loop {
                match self.lexer.next()? {
                    Token::Mark('{') => open += 1,
                    Token::Mark('}') if open <= 1 => return Ok(None),
                    Token::Mark('}') => open -= 1,
                    Token::End => return Err(self.lexer.wrong("the end within an option")),
                    _ => {}
                }
            }
        }
        if matches!(self.lexer.peek(), Token::Text(_)) {
            return Ok(Some(Constant::Text(self.lexer.text()?)));
        }
        let sign = if self.lexer.takes('-')? {
            "-"
        } else {
            self.lexer.takes('+')?;
            ""
        };
        Ok(Some(match self.lexer.next()? {
            Token::Number(digits) => Constant::Number(format!("{sign}{digits}")),
            Token::Name(word) => Constant::Name(format!("{sign}{word}")),
            _ => return Err(self.lexer.wrong("the value of an option is expected")),
        }))
    }

    /// An enumeration behind its key word.
    fn an_enum(&mut self, scope: &str) -> Result<(), Refusal> {
        let name = within(scope, self.lexer.name()?);
        self.add(&name, Named::Enum(self.drafts.enums.len()))?;
        self.lexer.expect('{')?;
        let mut values = Vec::new();
        loop {
            match self.lexer.peek() {
                Token::Mark('}') => {
                    self.lexer.next()?;
                    break;
                }
                Token::Mark(';') => {
                    self.lexer.next()?;
                }
                Token::Name("option" | "reserved") => self.lexer.skip_statement()?,
                _ => {
                    self.count()?;
                    let value = self.lexer.name()?;
                    self.lexer.expect('=')?;
                    let number = i32::try_from(self.lexer.whole()?);
                    let number =
                        number.map_err(|_| self.lexer.wrong(&format!("`{value}` has no number of 32 bits")))?;
                    self.options()?;
                    self.lexer.expect(';')?;
                    values.push((value.to_owned(), number));
                }
            }
        }
        if values.is_empty() {
            return Err(self.lexer.wrong(&format!("`{name}` has no value")));
        }
        self.drafts.enums.push(Enum { name, values });
        Ok(())
    }
}

fn named(name: String) -> Written {
    Type::scalar(&name).map_or(Written::Name(name), Written::Scalar)
}
