//! Holds a document against a schema.

use std::collections::HashSet;

use super::model::{Leaf, Process, Progress, Wildcard};
use super::schema::{Complex, Content, Element, Kind, Schema};
use super::simple::{Identity, Simple};
use crate::xml::tree::{Document, Id};

/// The namespace of what a document says about its own types.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The first thing that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// The names of the elements around it.
    pub path: String,
    /// What is wrong.
    pub what: String,
}

type Checked = Result<(), Violation>;

fn wrong<T>(what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { path: String::new(), what: what.into() })
}

/// Finds the first thing that does not fit.
///
/// # Errors
/// It.
pub fn check(schema: &Schema, document: &Document) -> Checked {
    let root = document.root();
    let mut instance = Instance { schema, document, declared: HashSet::new(), referred: Vec::new() };
    let Some(element) = schema.element(document.space(root), document.local(root)) else {
        return wrong(format!("`{}` is not declared as a root element", document.name(root)));
    };
    instance.element(root, element)?;
    match instance.referred.iter().find(|name| !instance.declared.contains(*name)) {
        Some(name) => wrong(format!("nothing has the ID `{name}`")),
        None => Ok(()),
    }
}

struct Instance<'a> {
    schema: &'a Schema,
    document: &'a Document<'a>,
    declared: HashSet<String>,
    referred: Vec<String>,
}

impl<'a> Instance<'a> {
    /// Recursive, as deep as the document; its depth is bounded when it is read.
    fn element(&mut self, id: Id, declared: &'a Element) -> Checked {
        self.element_here(id, declared).map_err(|mut violation| {
            violation.path.insert_str(0, self.document.name(id));
            violation.path.insert(0, '/');
            violation
        })
    }

    fn element_here(&mut self, id: Id, declared: &'a Element) -> Checked {
        if declared.is_abstract {
            return wrong("an abstract element may not be there itself");
        }
        let of = self.type_here(id, declared)?;
        let schema = self.schema;
        let nil = self.xsi(id, "nil").is_some_and(|nil| matches!(nil.trim(), "true" | "1"));
        if nil && !declared.nillable {
            return wrong("xsi:nil, where the element may not be nil");
        }
        match schema.types.get(of).map(|known| &known.kind) {
            Some(Kind::Simple(simple)) => {
                if let Some(attribute) = self.own_attributes(id).next() {
                    return wrong(format!("the attribute `{attribute}` is not declared"));
                }
                if nil { self.nothing(id) } else { self.text(id, simple, declared) }
            }
            Some(Kind::Complex(complex)) => {
                if complex.is_abstract {
                    return wrong("its type is abstract: xsi:type must say which is meant");
                }
                self.attributes(id, complex)?;
                match &complex.content {
                    _ if nil => self.nothing(id),
                    Content::Simple(simple) => self.text(id, simple, declared),
                    _ => self.elements(id, complex),
                }
            }
            _ => self.anything(id),
        }
    }

    /// Children of an element of any type: what is declared must fit.
    fn anything(&mut self, id: Id) -> Checked {
        let (schema, document) = (self.schema, self.document);
        for child in document.elements(id) {
            match schema.element(document.space(child), document.local(child)) {
                Some(declared) => self.element(child, declared)?,
                None => self.anything(child)?,
            }
        }
        Ok(())
    }

    fn xsi(&self, id: Id, name: &str) -> Option<&'a str> {
        let mut attributes = self.document.attributes(id).iter();
        let found = attributes
            .find(|known| crate::xml::tree::local(known.name) == name && self.document.attribute_space(known) == XSI);
        found.map(|known| known.value.as_ref())
    }

    /// The type: the one that is declared, or the one of `xsi:type`, if it is derived from that.
    fn type_here(&self, id: Id, declared: &Element) -> Result<usize, Violation> {
        let Some(name) = self.xsi(id, "type") else { return Ok(declared.of) };
        let name = name.trim();
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let space = self.document.resolve(id, prefix);
        match space.and_then(|space| self.schema.type_of(space, local)) {
            Some(of) if self.schema.is_derived(of, declared.of) => Ok(of),
            _ => wrong(format!("xsi:type `{name}` is no type that may stand here")),
        }
    }

    /// Names of attributes that are not about the document itself.
    fn own_attributes(&self, id: Id) -> impl Iterator<Item = &'a str> {
        let document = self.document;
        let own = document.attributes(id).iter().filter(|known| document.attribute_space(known) != XSI);
        own.map(|known| known.name)
    }

    fn attributes(&mut self, id: Id, complex: &'a Complex) -> Checked {
        let document = self.document;
        for given in document.attributes(id) {
            let (space, local) = (document.attribute_space(given), crate::xml::tree::local(given.name));
            let declared = complex.attributes.iter().find(|known| known.local == local && known.space == space);
            let any = complex.wildcard.as_ref().filter(|any| declared.is_none() && any.takes(space));
            let looked_up = any.filter(|any| any.process != Process::Skip);
            let declared = declared.or_else(|| looked_up.and_then(|_| self.schema.attribute(space, local)));
            if let Some(declared) = declared {
                let named = |mut violation: Violation| {
                    violation.what = format!("the attribute `{}`: {}", given.name, violation.what);
                    violation
                };
                self.value(&given.value, &declared.of, declared.fixed.as_deref()).map_err(named)?;
            } else if space != XSI && any.is_none_or(|any| any.process == Process::Strict) {
                return wrong(format!("the attribute `{}` is not declared", given.name));
            }
        }
        let is_there = |space: &str, local: &str| {
            document
                .attributes(id)
                .iter()
                .any(|given| crate::xml::tree::local(given.name) == local && document.attribute_space(given) == space)
        };
        let missing = complex.attributes.iter().find(|known| known.required && !is_there(&known.space, &known.local));
        missing.map_or(Ok(()), |known| wrong(format!("the attribute `{}` is required", known.local)))
    }

    fn value(&mut self, text: &str, of: &Simple, fixed: Option<&str>) -> Checked {
        let (declared, referred) = (&mut self.declared, &mut self.referred);
        let mut twice = None;
        let checked = of.check(text, &mut |identity, name| match identity {
            Identity::Declares if !declared.insert(name.to_owned()) => twice = Some(name.to_owned()),
            Identity::Declares => {}
            Identity::Refers => referred.push(name.to_owned()),
        });
        if let Err(what) = checked {
            return wrong(what);
        }
        if let Some(name) = twice {
            return wrong(format!("the ID `{name}` is there twice"));
        }
        match fixed {
            Some(fixed) if !of.same(&of.normalized(fixed), &of.normalized(text)) => wrong("it is not the fixed value"),
            _ => Ok(()),
        }
    }

    fn nothing(&self, id: Id) -> Checked {
        if self.document.children(id).next().is_some() { wrong("it is nil, and has content") } else { Ok(()) }
    }

    fn text(&mut self, id: Id, of: &Simple, declared: &Element) -> Checked {
        let document = self.document;
        if let Some(child) = document.elements(id).next() {
            return wrong(format!("`{}`, where only text may stand", document.name(child)));
        }
        let mut text = String::new();
        document.texts(id, &mut text);
        let fixed = declared.value.as_ref().filter(|(_, fixed)| *fixed).map(|(value, _)| value.as_str());
        if let (true, Some((value, _))) = (text.is_empty(), &declared.value) {
            text.push_str(value);
        }
        self.value(&text, of, fixed)
    }

    fn elements(&mut self, id: Id, complex: &'a Complex) -> Checked {
        let document = self.document;
        if !complex.mixed {
            let mut texts = document.children(id).filter_map(|child| document.text(child));
            if texts.any(|text| !text.trim_ascii().is_empty()) {
                return wrong("text, where only elements may stand");
            }
        }
        match &complex.content {
            Content::Simple(_) => Ok(()),
            Content::Model(model) => {
                let mut progress = Progress::default();
                for child in document.elements(id) {
                    let (space, local) = (document.space(child), document.local(child));
                    let fits = |leaf: &Leaf| self.fits(leaf, space, local);
                    match model.step(&mut progress, fits) {
                        Some(leaf) => self.leaf(child, leaf)?,
                        None => {
                            let expected = self.named(&model.expected(&progress));
                            return wrong(format!("`{}` may not stand here{expected}", document.name(child)));
                        }
                    }
                }
                if model.may_end(&progress) {
                    return Ok(());
                }
                wrong(format!("something is missing at the end{}", self.named(&model.expected(&progress))))
            }
            Content::All(members, optional) => {
                let mut seen = HashSet::new();
                for child in document.elements(id) {
                    let (space, local) = (document.space(child), document.local(child));
                    let member = members.iter().find(|(number, _)| self.fits(&Leaf::Element(*number), space, local));
                    match member {
                        Some((number, _)) if seen.insert(*number) => self.leaf(child, &Leaf::Element(*number))?,
                        _ => return wrong(format!("`{}` may not stand here", document.name(child))),
                    }
                }
                let missing = members.iter().find(|(number, required)| *required && !seen.contains(number));
                match missing {
                    Some((number, _)) if !(*optional && seen.is_empty()) => {
                        wrong(format!("something is missing{}", self.named(&[&Leaf::Element(*number)])))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn fits(&self, leaf: &Leaf, space: &str, local: &str) -> bool {
        match leaf {
            Leaf::Element(number) => {
                let declared = self.schema.elements.get(*number);
                declared.is_some_and(|declared| declared.local == local && declared.space == space)
            }
            Leaf::Wildcard(wildcard) => wildcard.takes(space),
        }
    }

    fn leaf(&mut self, id: Id, leaf: &Leaf) -> Checked {
        let (schema, document) = (self.schema, self.document);
        match leaf {
            Leaf::Element(number) => schema.elements.get(*number).map_or(Ok(()), |declared| self.element(id, declared)),
            Leaf::Wildcard(Wildcard { process: Process::Skip, .. }) => Ok(()),
            Leaf::Wildcard(Wildcard { process, .. }) => match schema.element(document.space(id), document.local(id)) {
                Some(declared) => self.element(id, declared),
                None if *process == Process::Lax => self.anything(id),
                None => wrong(format!("`{}` is not declared", document.name(id))),
            },
        }
    }

    fn named(&self, leaves: &[&Leaf]) -> String {
        let names = leaves.iter().map(|leaf| match leaf {
            Leaf::Element(number) => self.schema.elements.get(*number).map_or("", |known| known.local.as_str()),
            Leaf::Wildcard(_) => "any element",
        });
        let names = names.collect::<Vec<_>>().join("`, `");
        if names.is_empty() { String::new() } else { format!("; expected: `{names}`") }
    }
}
