//! Stylesheets of XSLT 1.0: the part that is supported, compiled once. What is not supported is refused by its name.

use std::cell::RefCell;

use ringway_contract::Refusal;

use super::expression::{Axis, Expression, Scope, Start, Step, Test};
use crate::xml::tree::{Document, Id};

/// The namespace of stylesheets.
pub const XSL: &str = "http://www.w3.org/1999/XSL/Transform";

/// A stylesheet.
#[derive(Debug, Default)]
pub struct Stylesheet {
    /// Templates that match, the most important first.
    pub rules: Vec<Rule>,
    /// The contents of all templates.
    pub templates: Vec<Template>,
    /// Templates by name.
    pub named: Vec<(String, usize)>,
    /// Variables and parameters of the whole, in order; whether it is a parameter.
    pub globals: Vec<(Binding, bool)>,
    /// Whether text is made, and not XML.
    pub is_text: bool,
    /// Whether the XML declaration is left out.
    pub omit_declaration: bool,
    /// Whether texts of nothing but space are left out of what is read.
    pub strip_space: bool,
    /// Its `version`, if it is not 1.0.
    pub other_version: Option<String>,
}

/// A template that matches.
#[derive(Debug)]
pub struct Rule {
    /// Steps from the node up: those of the pattern, the last first, and whether more than one level may be before it.
    pub steps: Vec<(Step, bool)>,
    /// Whether the first of them must stand at the document.
    pub from_root: bool,
    /// The mode that it is for.
    pub mode: String,
    priority: f64,
    /// Its template.
    pub template: usize,
}

/// A template.
#[derive(Debug)]
pub struct Template {
    /// Its parameters.
    pub parameters: Vec<Binding>,
    /// Its content.
    pub body: Vec<Instruction>,
}

/// A name and what it means.
#[derive(Debug)]
pub struct Binding {
    /// The name.
    pub name: String,
    /// An expression, or content.
    pub value: Bound,
}

/// What a name means.
#[derive(Debug)]
pub enum Bound {
    /// An expression.
    Expression(Expression),
    /// Content.
    Body(Vec<Instruction>),
}

/// A text with expressions in braces.
pub type Parts = Vec<Part>;

/// A part of it.
#[derive(Debug)]
pub enum Part {
    /// Text.
    Text(String),
    /// An expression.
    Expression(Expression),
}

/// An instruction.
#[derive(Debug)]
pub enum Instruction {
    /// Text as it stands.
    Text(String),
    /// An element as it stands.
    Element {
        /// Name as it is written.
        name: String,
        /// Namespace.
        space: String,
        /// Prefixes that it declares.
        declared: Vec<(String, String)>,
        /// Name, namespace and value.
        attributes: Vec<(String, String, Parts)>,
        /// Content.
        body: Vec<Instruction>,
    },
    /// `xsl:value-of`
    ValueOf(Expression),
    /// `xsl:copy-of`
    CopyOf(Expression),
    /// `xsl:copy`
    Copy(Vec<Instruction>),
    /// `xsl:for-each`
    ForEach(Expression, Vec<Instruction>),
    /// `xsl:if` and `xsl:choose`: conditions, the last of which may be none.
    Choose(Vec<(Option<Expression>, Vec<Instruction>)>),
    /// `xsl:element`: name, prefixes that are known, namespace.
    NewElement(Parts, Vec<(String, String)>, Option<Parts>, Vec<Instruction>),
    /// `xsl:attribute`: the same.
    NewAttribute(Parts, Vec<(String, String)>, Option<Parts>, Vec<Instruction>),
    /// `xsl:variable`
    Variable(Binding),
    /// `xsl:apply-templates`: nodes, mode, parameters.
    Apply(Option<Expression>, String, Vec<Binding>),
    /// `xsl:call-template`: its name, parameters.
    Call(String, Vec<Binding>),
}

/// Elements of XSLT in a template, and the attributes that they may have.
const KNOWN: &[(&str, &[&str])] = &[
    ("value-of", &["select"]),
    ("copy-of", &["select"]),
    ("copy", &[]),
    ("for-each", &["select"]),
    ("if", &["test"]),
    ("choose", &[]),
    ("element", &["name", "namespace"]),
    ("attribute", &["name", "namespace"]),
    ("variable", &["name", "select"]),
    ("text", &[]),
    ("apply-templates", &["select", "mode"]),
    ("call-template", &["name"]),
];

/// Elements of XSLT at the top, and the attributes that they may have.
const GLOBAL: &[(&str, &[&str])] = &[
    ("output", &["method", "version", "encoding", "indent", "omit-xml-declaration", "media-type", "standalone"]),
    ("strip-space", &["elements"]),
    ("template", &["match", "name", "mode", "priority"]),
    ("variable", &["name", "select"]),
    ("param", &["name", "select"]),
];

impl Stylesheet {
    /// Compiles a stylesheet.
    ///
    /// # Errors
    /// It is none, or has what is not supported.
    pub fn compile(document: &Document) -> Result<Self, Refusal> {
        let root = document.root();
        if document.space(root) != XSL || !matches!(document.local(root), "stylesheet" | "transform") {
            return Err(Refusal(format!("the root element must be `stylesheet` of the namespace {XSL}")));
        }
        let compiler = Compiler { document, variables: RefCell::default(), excluded: excluded(document, root)? };
        let mut sheet = Self {
            other_version: document.attribute(root, "version").filter(|version| *version != "1.0").map(str::to_owned),
            ..Self::default()
        };
        compiler.sheet(root, &mut sheet)?;
        // The highest priority first, and of those the one that comes last.
        sheet.rules.reverse();
        sheet.rules.sort_by(|one, other| other.priority.total_cmp(&one.priority));
        Ok(sheet)
    }
}

/// Namespaces that are not written only because they are declared.
fn excluded(document: &Document, root: Id) -> Result<Vec<String>, Refusal> {
    let mut spaces = vec![XSL.to_owned()];
    for prefix in document.attribute(root, "exclude-result-prefixes").unwrap_or_default().split_ascii_whitespace() {
        let prefix = if prefix == "#default" { "" } else { prefix };
        let space = document.resolve(root, prefix);
        spaces
            .push(space.ok_or_else(|| Refusal(format!("exclude-result-prefixes: `{prefix}` is not declared")))?.into());
    }
    Ok(spaces)
}

struct Compiler<'d> {
    document: &'d Document<'d>,
    /// Names of variables that are there, the nearest last.
    variables: RefCell<Vec<String>>,
    excluded: Vec<String>,
}

type Compiled<T> = Result<T, Refusal>;

impl Compiler<'_> {
    fn sheet(&self, root: Id, sheet: &mut Stylesheet) -> Compiled<()> {
        let document = self.document;
        for attribute in document.attributes(root) {
            let is_own = document.attribute_space(attribute).is_empty();
            if is_own && !matches!(attribute.name, "version" | "exclude-result-prefixes" | "id") {
                return Err(Refusal(format!("`{}` of the stylesheet is not supported", attribute.name)));
            }
        }
        let top: Vec<Id> = document.elements(root).collect();
        // Names are known before what uses them.
        for id in &top {
            self.known(*id, GLOBAL, "at the top of a stylesheet")?;
            if matches!(document.local(*id), "variable" | "param") {
                let binding = self.binding(*id)?;
                self.variables.borrow_mut().push(binding.name.clone());
                sheet.globals.push((binding, document.local(*id) == "param"));
            }
            if let ("template", Some(name)) = (document.local(*id), document.attribute(*id, "name")) {
                if sheet.named.iter().any(|(known, _)| known == name) {
                    return Err(Refusal(format!("xsl:template `{name}` is there twice")));
                }
                sheet.named.push((name.to_owned(), usize::MAX));
            }
        }
        for id in top {
            match document.local(id) {
                "output" => self.output(id, sheet)?,
                "strip-space" => {
                    if document.attribute(id, "elements").map(str::trim) != Some("*") {
                        return Err(Refusal("xsl:strip-space: `*` is supported only".into()));
                    }
                    sheet.strip_space = true;
                }
                "template" => self.template(id, sheet)?,
                _ => {}
            }
        }
        self.check_calls(sheet)
    }

    /// Templates that are called are there.
    fn check_calls(&self, sheet: &Stylesheet) -> Compiled<()> {
        let mut missing = None;
        let bodies = sheet.templates.iter().map(|template| &template.body);
        bodies.for_each(|body| {
            calls(body, &mut |name| {
                if !sheet.named.iter().any(|(known, _)| known == name) {
                    missing = Some(name.to_owned());
                }
            })
        });
        missing.map_or(Ok(()), |name| Err(Refusal(format!("xsl:call-template: there is no template `{name}`"))))
    }

    /// Refuses elements and attributes that are not in a table.
    fn known(&self, id: Id, table: &[(&str, &[&str])], place: &str) -> Compiled<()> {
        let document = self.document;
        let name = document.local(id);
        let found = table.iter().find(|(known, _)| document.space(id) == XSL && *known == name);
        let Some((_, attributes)) = found else {
            return Err(Refusal(format!("`{}` is not supported {place}", document.name(id))));
        };
        for attribute in document.attributes(id) {
            let is_own = document.attribute_space(attribute).is_empty();
            if is_own && !attributes.contains(&attribute.name) {
                return Err(Refusal(format!("`{}` of xsl:{name} is not supported", attribute.name)));
            }
        }
        Ok(())
    }

    fn output(&self, id: Id, sheet: &mut Stylesheet) -> Compiled<()> {
        let document = self.document;
        sheet.is_text = match document.attribute(id, "method") {
            None | Some("xml") => false,
            Some("text") => true,
            Some(other) => return Err(Refusal(format!("xsl:output: the method `{other}` is not supported"))),
        };
        let encoding = document.attribute(id, "encoding").unwrap_or("UTF-8");
        if !encoding.eq_ignore_ascii_case("utf-8") {
            return Err(Refusal(format!("xsl:output: the encoding `{encoding}` is not supported")));
        }
        sheet.omit_declaration = document.attribute(id, "omit-xml-declaration") == Some("yes");
        Ok(())
    }

    fn expression(&self, id: Id, text: &str) -> Compiled<Expression> {
        let resolve = |prefix: &str| self.document.resolve(id, prefix).map(str::to_owned);
        let variable = |name: &str| self.variables.borrow().iter().any(|known| known == name);
        Expression::parse(text, &Scope { resolve: &resolve, variable: &variable }).map_err(Refusal)
    }

    fn required(&self, id: Id, name: &str) -> Compiled<&str> {
        let value = self.document.attribute(id, name);
        value.ok_or_else(|| Refusal(format!("xsl:{}: `{name}` is needed", self.document.local(id))))
    }

    fn select(&self, id: Id, name: &str) -> Compiled<Expression> {
        self.expression(id, self.required(id, name)?)
    }

    fn template(&self, id: Id, sheet: &mut Stylesheet) -> Compiled<()> {
        let document = self.document;
        let globals = self.variables.borrow().len();
        let mut parameters = Vec::new();
        let elements: Vec<Id> = document.elements(id).collect();
        let is_parameter = |id: &&Id| document.space(**id) == XSL && document.local(**id) == "param";
        let first: Vec<Id> = elements.iter().take_while(is_parameter).copied().collect();
        for parameter in &first {
            self.known(*parameter, &[("param", &["name", "select"])], "here")?;
            let binding = self.binding(*parameter)?;
            self.variables.borrow_mut().push(binding.name.clone());
            parameters.push(binding);
        }
        let body = self.body(id, &first)?;
        self.variables.borrow_mut().truncate(globals);
        let number = sheet.templates.len();
        sheet.templates.push(Template { parameters, body });
        if let Some(name) = document.attribute(id, "name") {
            sheet.named.iter_mut().filter(|(known, _)| known == name).for_each(|(_, place)| *place = number);
        }
        let Some(pattern) = document.attribute(id, "match") else {
            let named = document.attribute(id, "name").is_some();
            return if named { Ok(()) } else { Err(Refusal("xsl:template: `match` or `name` is needed".into())) };
        };
        let priority = document.attribute(id, "priority").map(str::parse::<f64>).transpose();
        let priority = priority.map_err(|_| Refusal("xsl:template: `priority` is no number".into()))?;
        let mode = document.attribute(id, "mode").unwrap_or_default();
        self.rules(self.expression(id, pattern)?, pattern, &mut |steps, from_root| {
            let own = default_priority(&steps, from_root);
            sheet.rules.push(Rule {
                steps,
                from_root,
                mode: mode.to_owned(),
                priority: priority.unwrap_or(own),
                template: number,
            });
        })
    }

    /// The patterns of a `match`.
    fn rules(&self, of: Expression, shown: &str, add: &mut dyn FnMut(Vec<(Step, bool)>, bool)) -> Compiled<()> {
        let no_pattern = || Err(Refusal(format!("match: `{shown}` is no pattern that is supported")));
        let (start, steps) = match of {
            Expression::Union(one, other) => {
                self.rules(*one, shown, add)?;
                return self.rules(*other, shown, add);
            }
            Expression::Path(start, steps) => (start, steps),
            _ => return no_pattern(),
        };
        let from_root = match start {
            Start::Root => true,
            Start::Here => false,
            Start::Found(..) => return no_pattern(),
        };
        // `a//b` is `a`, any number of levels, `b`.
        let mut reversed: Vec<(Step, bool)> = Vec::new();
        let mut levels = false;
        let mut any_root = false;
        for (index, step) in steps.into_iter().enumerate() {
            match step.axis {
                Axis::DescendantOrSelf if step.test == Test::Node && step.conditions.is_empty() => {
                    levels = true;
                    any_root |= index == 0;
                }
                Axis::Child | Axis::Attribute => reversed.push((step, std::mem::take(&mut levels))),
                _ => return no_pattern(),
            }
        }
        reversed.reverse();
        // What begins with `//` is anywhere.
        add(reversed, from_root && !any_root);
        Ok(())
    }

    /// A variable or a parameter.
    fn binding(&self, id: Id) -> Compiled<Binding> {
        let name = self.required(id, "name")?;
        if !crate::xml::is_name(name) || name.contains(':') {
            return Err(Refusal(format!("`{name}` is no name of a variable")));
        }
        let value = match self.document.attribute(id, "select") {
            Some(_) => Bound::Expression(self.select(id, "select")?),
            None => Bound::Body(self.body(id, &[])?),
        };
        Ok(Binding { name: name.to_owned(), value })
    }

    /// The content of an element, without some of the elements in it.
    fn body(&self, id: Id, without: &[Id]) -> Compiled<Vec<Instruction>> {
        let document = self.document;
        let outer = self.variables.borrow().len();
        let mut body = Vec::new();
        for child in document.children(id).filter(|child| !without.contains(child)) {
            if let Some(text) = document.text(child) {
                if !text.trim_ascii().is_empty() {
                    body.push(Instruction::Text(text.to_owned()));
                }
            } else if document.space(child) == XSL {
                let instruction = self.instruction(child)?;
                if let Instruction::Variable(Binding { name, .. }) = &instruction {
                    self.variables.borrow_mut().push(name.clone());
                }
                body.push(instruction);
            } else {
                body.push(self.element(child)?);
            }
        }
        self.variables.borrow_mut().truncate(outer);
        Ok(body)
    }

    fn element(&self, id: Id) -> Compiled<Instruction> {
        let document = self.document;
        let mut attributes = Vec::new();
        for attribute in document.attributes(id) {
            let space = document.attribute_space(attribute);
            if space == XSL {
                return Err(Refusal(format!("`{}` is not supported on an element", attribute.name)));
            }
            attributes.push((attribute.name.to_owned(), space.to_owned(), self.parts(id, &attribute.value)?));
        }
        Ok(Instruction::Element {
            name: document.name(id).to_owned(),
            space: document.space(id).to_owned(),
            declared: in_scope(document, id).into_iter().filter(|(_, space)| !self.excluded.contains(space)).collect(),
            attributes,
            body: self.body(id, &[])?,
        })
    }

    fn instruction(&self, id: Id) -> Compiled<Instruction> {
        let document = self.document;
        self.known(id, KNOWN, "in a template")?;
        Ok(match document.local(id) {
            "value-of" => Instruction::ValueOf(self.select(id, "select")?),
            "copy-of" => Instruction::CopyOf(self.select(id, "select")?),
            "copy" => Instruction::Copy(self.body(id, &[])?),
            "for-each" => Instruction::ForEach(self.select(id, "select")?, self.body(id, &[])?),
            "if" => Instruction::Choose(vec![(Some(self.select(id, "test")?), self.body(id, &[])?)]),
            "choose" => Instruction::Choose(self.branches(id)?),
            "text" => {
                if document.elements(id).next().is_some() {
                    return Err(Refusal("xsl:text: takes text only".into()));
                }
                let mut text = String::new();
                document.texts(id, &mut text);
                Instruction::Text(text)
            }
            kind @ ("element" | "attribute") => {
                let name = self.parts(id, self.required(id, "name")?)?;
                let space = document.attribute(id, "namespace").map(|space| self.parts(id, space)).transpose()?;
                let prefixes = in_scope(document, id);
                let body = self.body(id, &[])?;
                if kind == "element" {
                    Instruction::NewElement(name, prefixes, space, body)
                } else {
                    Instruction::NewAttribute(name, prefixes, space, body)
                }
            }
            "variable" => Instruction::Variable(self.binding(id)?),
            "apply-templates" => {
                let select = document.attribute(id, "select").map(|select| self.expression(id, select)).transpose()?;
                let mode = document.attribute(id, "mode").unwrap_or_default();
                Instruction::Apply(select, mode.to_owned(), self.arguments(id)?)
            }
            _ => Instruction::Call(self.required(id, "name")?.to_owned(), self.arguments(id)?),
        })
    }

    fn branches(&self, id: Id) -> Compiled<Vec<(Option<Expression>, Vec<Instruction>)>> {
        let document = self.document;
        let mut branches: Vec<(Option<Expression>, Vec<Instruction>)> = Vec::new();
        for branch in document.elements(id) {
            self.known(branch, &[("when", &["test"]), ("otherwise", &[])], "in xsl:choose")?;
            if branches.last().is_some_and(|(condition, _)| condition.is_none()) {
                return Err(Refusal("xsl:choose: xsl:otherwise comes last".into()));
            }
            let is_when = document.local(branch) == "when";
            let condition = is_when.then(|| self.select(branch, "test")).transpose()?;
            branches.push((condition, self.body(branch, &[])?));
        }
        Ok(branches)
    }

    fn arguments(&self, id: Id) -> Compiled<Vec<Binding>> {
        let mut arguments = Vec::new();
        for argument in self.document.elements(id) {
            self.known(argument, &[("with-param", &["name", "select"])], "here")?;
            arguments.push(self.binding(argument)?);
        }
        Ok(arguments)
    }

    /// A text with expressions in braces; `{{` and `}}` are braces.
    fn parts(&self, id: Id, text: &str) -> Compiled<Parts> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(from.get(..1).unwrap_or_default());
                rest = behind;
                continue;
            }
            let inner = from.strip_prefix('{').and_then(|inner| Some((inner, inner.find('}')?)));
            let (inner, end) = inner.ok_or_else(|| Refusal(format!("`{text}`: a brace without its other one")))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Expression(self.expression(id, inner.get(..end).unwrap_or_default())?));
            rest = inner.get(end + 1..).unwrap_or_default();
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(parts)
    }
}

/// Prefixes that are declared at an element, and their namespaces.
pub fn in_scope(document: &Document, id: Id) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for around in std::iter::successors(Some(id), |id| document.parent(*id)) {
        for (prefix, space) in document.declarations(around) {
            if !found.iter().any(|(known, _)| known == prefix) {
                found.push((prefix.to_owned(), space.to_owned()));
            }
        }
    }
    found.retain(|(prefix, space)| !prefix.is_empty() || !space.is_empty());
    found
}

fn calls(body: &[Instruction], each: &mut dyn FnMut(&str)) {
    let bound = |value: &Bound, each: &mut dyn FnMut(&str)| {
        if let Bound::Body(body) = value {
            calls(body, each);
        }
    };
    for instruction in body {
        match instruction {
            Instruction::Call(name, arguments) => {
                each(name);
                arguments.iter().for_each(|argument| bound(&argument.value, each));
            }
            Instruction::Apply(_, _, arguments) => arguments.iter().for_each(|argument| bound(&argument.value, each)),
            Instruction::Variable(binding) => bound(&binding.value, each),
            Instruction::Element { body, .. }
            | Instruction::Copy(body)
            | Instruction::ForEach(_, body)
            | Instruction::NewElement(_, _, _, body)
            | Instruction::NewAttribute(_, _, _, body) => calls(body, each),
            Instruction::Choose(branches) => branches.iter().for_each(|(_, body)| calls(body, each)),
            _ => {}
        }
    }
}

/// XSLT 1.0, section 5.5.
fn default_priority(steps: &[(Step, bool)], from_root: bool) -> f64 {
    match steps {
        [(Step { test, conditions, .. }, false)] if conditions.is_empty() && !from_root => match test {
            Test::Name(..) => 0.0,
            Test::Space(_) => -0.25,
            _ => -0.5,
        },
        _ => 0.5,
    }
}
