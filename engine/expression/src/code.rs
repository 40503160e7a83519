//! What an expression is compiled to: a tree whose names are resolved. `at` is where an error is reported.

use regex::Regex;

use crate::Value;
use crate::context::{Body, Context, Field, Map};
use crate::methods::Method;
use crate::path::Path;
use crate::statics::Static;
use crate::vocabulary::Object;

/// An expression. Its depth is at most [`crate::limits::DEPTH_MAX`], so that walking it by recursion is safe.
#[derive(Debug)]
pub(crate) enum Code {
    Const(Value<'static>),
    /// The item that a selection or projection looks at.
    This,
    /// Only while it is built: what needs a property to become a value.
    Object(Object),
    Dictionaries,
    Secrets,
    OneDictionary(Key),
    /// All values of the attributes of a certificate's subject.
    Attributes(Map),

    Field(Field),
    Parts(Field),
    Part(Field, usize),
    Content(Body),
    Json(Body),
    Map(Map),
    Names(Map),
    /// One value, or all values of a name where `index` is none and the map has many.
    Entry {
        map: Map,
        name: Key,
        index: Option<usize>,
    },
    Dictionary(Key, Key),
    /// The comparison that most conditions are.
    EntryIs(Box<EntryIs>),

    List(Box<[Code]>),
    MapOf(Box<[(Code, Code)]>),
    Not(u32, Box<Code>),
    Negate(u32, Box<Code>),
    And(u32, Box<Code>, Box<Code>),
    Or(u32, Box<Code>, Box<Code>),
    Binary(u32, Op, Box<Code>, Box<Code>),
    Between(u32, Box<Code>, Box<Code>),
    Choice(u32, Box<Code>, Box<Code>, Box<Code>),
    Elvis(Box<Code>, Box<Code>),

    Property(u32, Box<Code>, Box<str>),
    Index(u32, Box<Code>, Box<Code>),
    Call(u32, Method, Box<Code>, Box<[Code]>),
    CallMap(u32, MapMethod, Map, Option<Box<Code>>, Option<Box<Code>>),
    Pattern(u32, Matching, Box<Code>, Box<Regex>),
    Static(u32, Static, Box<[Code]>),
    Each(u32, Each, Box<Code>, Box<Code>),
    JsonPath(u32, Box<Code>, Box<Path>),
    JsonPathOf(u32, Box<Code>, Box<Code>),
    Escape(u32, Escape, Box<Code>),
}

/// Whether a value of a map whose names may have many, or the only value of its name where `index` is none, is this text, or is not.
#[derive(Debug)]
pub(crate) struct EntryIs {
    pub(crate) map: Map,
    pub(crate) name: Box<str>,
    pub(crate) index: Option<usize>,
    pub(crate) text: Box<str>,
    pub(crate) is: bool,
}

impl EntryIs {
    pub(crate) fn holds(&self, context: &dyn Context) -> bool {
        context.entry_is(self.map, &self.name, self.index, &self.text) == self.is
    }
}

/// A name of a map.
#[derive(Debug)]
pub(crate) enum Key {
    Const(Box<str>),
    Code(u32, Box<Code>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Pow,
}

impl Op {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
            Self::Pow => "^",
        }
    }
}

/// What a regular expression is used for.
#[derive(Debug)]
pub(crate) enum Matching {
    /// Whether the whole text matches.
    Whole,
    Split,
    ReplaceAll(Box<str>),
}

/// What is done with each item of a list or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    Select,
    First,
    Last,
    Project,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    Xml,
    Json,
}

/// What can be asked of a map of the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapMethod {
    First,
    ContainsKey,
    GetOrDefault,
    Size,
    IsEmpty,
    KeySet,
    Values,
}

/// Name, method, arguments. `get` is an access like `[...]`.
pub(crate) const MAP_METHODS: [(&str, MapMethod, usize); 9] = [
    ("getFirst", MapMethod::First, 1),
    ("containsKey", MapMethod::ContainsKey, 1),
    ("contains", MapMethod::ContainsKey, 1),
    ("getOrDefault", MapMethod::GetOrDefault, 2),
    ("size", MapMethod::Size, 0),
    ("isEmpty", MapMethod::IsEmpty, 0),
    ("keySet", MapMethod::KeySet, 0),
    ("names", MapMethod::KeySet, 0),
    ("values", MapMethod::Values, 0),
];
