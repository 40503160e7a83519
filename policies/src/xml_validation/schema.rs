//! A schema: its declarations, compiled once. What is not supported is refused by its name.

use std::collections::HashMap;
use std::rc::Rc;

use ringway_contract::Refusal;

use super::model::{Leaf, Model, Namespaces, Particle, Process, Term, Wildcard};
use super::simple::Simple;
use crate::xml::tree::{Document, Id};

/// The namespace of schemas.
pub const XS: &str = "http://www.w3.org/2001/XMLSchema";
/// Occurrences that may be asked for; more are `unbounded`.
const OCCURS_MAX: usize = 4096;
/// Types that are derived from one another, and groups in one another.
const DERIVED_MAX: usize = 32;
/// Times that types and groups are gone into: groups that name others twice would double at every level.
const READS_MAX: usize = 10_000;

/// An element that is declared.
#[derive(Debug)]
pub struct Element {
    /// Namespace; empty for none.
    pub space: String,
    /// Name without prefix.
    pub local: String,
    /// Its type, in [`Schema::types`].
    pub of: usize,
    /// Whether `xsi:nil` may be said.
    pub nillable: bool,
    /// Whether it may not be there itself.
    pub is_abstract: bool,
    /// What it must be, or is when it is empty.
    pub value: Option<(String, bool)>,
}

/// An attribute that is declared.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Namespace; empty for none.
    pub space: String,
    /// Name without prefix.
    pub local: String,
    /// What its value may be.
    pub of: Rc<Simple>,
    /// Whether it must be there.
    pub required: bool,
    /// What it must be.
    pub fixed: Option<String>,
}

/// A type.
#[derive(Debug)]
pub struct Type {
    /// The type that it is derived from, in [`Schema::types`].
    pub base: Option<usize>,
    /// What it is.
    pub kind: Kind,
}

/// Kinds of types.
#[derive(Debug)]
pub enum Kind {
    /// Not read yet; never seen from outside.
    Unread,
    /// Anything.
    Any,
    /// A text.
    Simple(Rc<Simple>),
    /// Attributes and content.
    Complex(Box<Complex>),
}

/// A complex type.
#[derive(Debug)]
pub struct Complex {
    /// Whether another type must be said.
    pub is_abstract: bool,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// Attributes that are not declared.
    pub wildcard: Option<Wildcard>,
    /// Whether text may stand between the elements.
    pub mixed: bool,
    /// Its content.
    pub content: Content,
    /// What the model was made of.
    pub(super) particle: Option<Particle>,
}

/// Contents.
#[derive(Debug)]
pub enum Content {
    /// A text.
    Simple(Rc<Simple>),
    /// Elements in an order.
    Model(Model),
    /// Elements in any order, once at most each: number and whether it must be there. Whether none of them may be there.
    All(Vec<(usize, bool)>, bool),
}

/// A schema.
#[derive(Debug)]
pub struct Schema {
    /// Every element that is declared somewhere.
    pub elements: Vec<Element>,
    /// Every type.
    pub types: Vec<Type>,
    global_elements: Names,
    global_types: Names,
    global_attributes: Vec<Attribute>,
}

/// Numbers by name.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, Vec<(String, usize)>>);

impl Names {
    /// The number of a name.
    pub(super) fn find(&self, space: &str, local: &str) -> Option<usize> {
        let of_name = self.0.get(local)?;
        of_name.iter().find(|(known, _)| known == space).map(|(_, number)| *number)
    }

    /// Adds a name; false if it is there.
    pub(super) fn add(&mut self, space: &str, local: &str, number: usize) -> bool {
        let is_new = self.find(space, local).is_none();
        if is_new {
            self.0.entry(local.to_owned()).or_default().push((space.to_owned(), number));
        }
        is_new
    }
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// It is no schema, refers to what is not there, or has what is not supported.
    pub fn read(document: &Document) -> Result<Self, Refusal> {
        let root = document.root();
        if document.space(root) != XS || document.local(root) != "schema" {
            return Err(Refusal(format!("the root element must be `schema` of the namespace {XS}")));
        }
        super::support::check(document, root)?;
        let mut reader = Reader::new(document);
        reader.names()?;
        reader.everything()?;
        Ok(reader.schema)
    }

    /// The element of this name that may be a root.
    pub fn element(&self, space: &str, local: &str) -> Option<&Element> {
        self.global_elements.find(space, local).and_then(|number| self.elements.get(number))
    }

    /// The attribute that is declared globally by this name.
    pub fn attribute(&self, space: &str, local: &str) -> Option<&Attribute> {
        self.global_attributes.iter().find(|known| known.local == local && known.space == space)
    }

    /// The type of this name, in [`Schema::types`].
    pub fn type_of(&self, space: &str, local: &str) -> Option<usize> {
        self.global_types.find(space, local)
    }

    /// Whether a type is another, or derived from it.
    pub fn is_derived(&self, of: usize, from: usize) -> bool {
        if matches!(self.types.get(from), Some(Type { kind: Kind::Any, .. })) {
            return true;
        }
        let mut at = Some(of);
        // No chain is longer than there are types.
        for _ in 0..=self.types.len() {
            match at {
                Some(known) if known == from => return true,
                Some(known) => at = self.types.get(known).and_then(|known| known.base),
                None => return false,
            }
        }
        false
    }
}

/// A schema that is being read.
pub(super) struct Reader<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) schema: Schema,
    target: String,
    qualified_elements: bool,
    qualified_attributes: bool,
    /// Global attributes and groups: their places in the document.
    attributes: Names,
    pub(super) groups: Names,
    pub(super) attribute_groups: Names,
    /// Global elements and types: their places in the document, by number.
    places: HashMap<usize, Id>,
    element_places: Vec<(usize, Id)>,
    depth: usize,
    reads: usize,
}

impl<'d> Reader<'d> {
    fn new(document: &'d Document<'d>) -> Self {
        let root = document.root();
        let is = |name| document.attribute(root, name) == Some("qualified");
        Self {
            document,
            schema: Schema {
                elements: Vec::new(),
                types: Vec::new(),
                global_elements: Names::default(),
                global_types: Names::default(),
                global_attributes: Vec::new(),
            },
            target: document.attribute(root, "targetNamespace").unwrap_or_default().to_owned(),
            qualified_elements: is("elementFormDefault"),
            qualified_attributes: is("attributeFormDefault"),
            attributes: Names::default(),
            groups: Names::default(),
            attribute_groups: Names::default(),
            places: HashMap::new(),
            element_places: Vec::new(),
            depth: 0,
            reads: 0,
        }
    }

    /// What is declared globally.
    fn names(&mut self) -> Result<(), Refusal> {
        let document = self.document;
        for id in document.elements(document.root()) {
            let local = document.local(id);
            if matches!(local, "annotation") {
                continue;
            }
            let name = document.attribute(id, "name").filter(|name| crate::xml::is_name(name));
            let name = name.ok_or_else(|| Refusal(format!("xs:{local}: a global declaration needs a name")))?;
            if document.attribute(id, "ref").is_some() {
                return Err(Refusal(format!("xs:{local} `{name}`: a global declaration refers to nothing")));
            }
            let target = self.target.clone();
            let is_new = match local {
                "element" => {
                    let number = self.schema.elements.len();
                    self.schema.elements.push(self.element_of(id, name, &target));
                    self.element_places.push((number, id));
                    self.schema.global_elements.add(&target, name, number)
                }
                "complexType" | "simpleType" => {
                    let number = self.add_type();
                    self.places.insert(number, id);
                    self.schema.global_types.add(&target, name, number)
                }
                "attribute" => self.attributes.add(&target, name, id),
                "group" => self.groups.add(&target, name, id),
                _ => self.attribute_groups.add(&target, name, id),
            };
            if !is_new {
                return Err(Refusal(format!("xs:{local} `{name}` is declared twice")));
            }
        }
        if self.schema.elements.is_empty() {
            return Err(Refusal("no global element is declared: no document would fit".into()));
        }
        Ok(())
    }

    fn everything(&mut self) -> Result<(), Refusal> {
        let mut places: Vec<usize> = self.places.keys().copied().collect();
        places.sort_unstable();
        places.into_iter().try_for_each(|number| self.fill(number))?;
        for (number, id) in std::mem::take(&mut self.element_places) {
            self.element_type(number, id)?;
        }
        // What only stands in groups that nothing uses is looked at, too.
        let document = self.document;
        for id in document.elements(document.root()) {
            match document.local(id) {
                "group" => {
                    self.particle_in(id)?;
                }
                "attributeGroup" => {
                    self.attributes_in(id)?;
                }
                "attribute" => {
                    let (declared, _) = self.attribute(id)?;
                    let space = self.target.clone();
                    self.schema.global_attributes.push(Attribute { space, ..declared });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_type(&mut self) -> usize {
        self.schema.types.push(Type { base: None, kind: Kind::Unread });
        self.schema.types.len() - 1
    }

    fn element_of(&self, id: Id, name: &str, space: &str) -> Element {
        let document = self.document;
        let fixed = document.attribute(id, "fixed").map(|value| (value.to_owned(), true));
        Element {
            space: space.to_owned(),
            local: name.to_owned(),
            of: 0,
            nillable: flag(document, id, "nillable"),
            is_abstract: flag(document, id, "abstract"),
            value: fixed.or_else(|| document.attribute(id, "default").map(|value| (value.to_owned(), false))),
        }
    }

    /// Reads a type that is declared globally, unless it is read already.
    pub(super) fn fill(&mut self, number: usize) -> Result<(), Refusal> {
        // What is taken out is being read.
        let Some(id) = self.places.remove(&number) else {
            return match self.schema.types.get(number) {
                Some(Type { kind: Kind::Unread, .. }) => Err(Refusal("a type that is derived from itself".into())),
                _ => Ok(()),
            };
        };
        let read = self.deeper(|reader| reader.a_type(id))?;
        if let Some(place) = self.schema.types.get_mut(number) {
            *place = read;
        }
        Ok(())
    }

    /// One level deeper into what refers to one another.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.depth += 1;
        self.reads += 1;
        if self.reads > READS_MAX {
            return Err(Refusal(format!("types and groups that name one another more than {READS_MAX} times")));
        }
        if self.depth > DERIVED_MAX {
            return Err(Refusal(format!(
                "types and groups in one another more than {DERIVED_MAX} deep, or in a circle"
            )));
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// A qualified name in a value, as namespace and local name.
    pub(super) fn qualified<'n>(&self, id: Id, name: &'n str) -> Result<(String, &'n str), Refusal> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let space = self.document.resolve(id, prefix);
        let space = space.ok_or_else(|| Refusal(format!("`{name}`: its prefix is not declared")))?;
        Ok((space.to_owned(), local))
    }

    /// The number of a type that is named.
    pub(super) fn type_number(&mut self, id: Id, name: &str) -> Result<usize, Refusal> {
        let (space, local) = self.qualified(id, name)?;
        if let Some(number) = self.schema.global_types.find(&space, local) {
            return Ok(number);
        }
        let builtin = if space == XS { Simple::builtin(local) } else { None };
        let simple = builtin.ok_or_else(|| {
            Refusal(if space == XS {
                format!("the type `{name}` is not supported")
            } else {
                format!("there is no type `{name}`")
            })
        })?;
        let kind = if local == "anyType" { Kind::Any } else { Kind::Simple(Rc::new(simple)) };
        let number = self.add_type();
        if let Some(place) = self.schema.types.get_mut(number) {
            *place = Type { base: None, kind };
        }
        self.schema.global_types.add(&space, local, number);
        Ok(number)
    }

    /// The simple type of this number.
    pub(super) fn simple_of(&mut self, number: usize) -> Result<Rc<Simple>, Refusal> {
        self.fill(number)?;
        match self.schema.types.get(number).map(|known| &known.kind) {
            Some(Kind::Simple(simple)) => Ok(simple.clone()),
            Some(Kind::Any) => Ok(Rc::new(Simple::any())),
            Some(Kind::Complex(complex)) => match &complex.content {
                Content::Simple(simple) => Ok(simple.clone()),
                _ => Err(Refusal("a simple type is needed where a complex one is named".into())),
            },
            _ => Err(Refusal("a type that is derived from itself".into())),
        }
    }

    fn element_type(&mut self, number: usize, id: Id) -> Result<(), Refusal> {
        let document = self.document;
        let inner = document.elements(id).find(|inner| matches!(document.local(*inner), "simpleType" | "complexType"));
        let of = match (document.attribute(id, "type"), inner) {
            (Some(_), Some(_)) => return Err(Refusal("xs:element: `type` and a type in it".into())),
            (Some(name), None) => self.type_number(id, name)?,
            (None, Some(inner)) => {
                let read = self.a_type(inner)?;
                let of = self.add_type();
                if let Some(place) = self.schema.types.get_mut(of) {
                    *place = read;
                }
                of
            }
            (None, None) => {
                let of = self.add_type();
                if let Some(place) = self.schema.types.get_mut(of) {
                    place.kind = Kind::Any;
                }
                of
            }
        };
        if let Some(element) = self.schema.elements.get_mut(number) {
            element.of = of;
        }
        Ok(())
    }

    fn occurs(&self, id: Id) -> Result<(usize, Option<usize>), Refusal> {
        let number = |name: &str| match self.document.attribute(id, name) {
            None => Ok(1),
            Some(text) => text.trim().parse().ok().filter(|number| *number <= OCCURS_MAX).ok_or_else(|| {
                Refusal(format!("{name}: `{text}` is no number up to {OCCURS_MAX}; `unbounded` takes any number"))
            }),
        };
        let max = match self.document.attribute(id, "maxOccurs") {
            Some("unbounded") => None,
            _ => Some(number("maxOccurs")?),
        };
        let min = number("minOccurs")?;
        if max.is_some_and(|max| max < min) {
            return Err(Refusal("maxOccurs is less than minOccurs".into()));
        }
        Ok((min, max))
    }

    /// The model group in a type, a group or a derivation.
    pub(super) fn particle_in(&mut self, id: Id) -> Result<Option<Particle>, Refusal> {
        let document = self.document;
        let mut groups =
            document.elements(id).filter(|id| matches!(document.local(*id), "sequence" | "choice" | "all" | "group"));
        let (group, more) = (groups.next(), groups.next());
        if more.is_some() {
            return Err(Refusal(format!("xs:{}: two content models", document.local(id))));
        }
        group.map(|group| self.particle(group)).transpose()
    }

    fn particle(&mut self, id: Id) -> Result<Particle, Refusal> {
        let document = self.document;
        let (min, max) = self.occurs(id)?;
        let reference = document.attribute(id, "ref");
        let term = match (document.local(id), reference) {
            ("element", Some(name)) => {
                let (space, local) = self.qualified(id, name)?;
                let number = self.schema.global_elements.find(&space, local);
                Term::Leaf(Leaf::Element(number.ok_or_else(|| Refusal(format!("there is no element `{name}`")))?))
            }
            ("element", None) => {
                let name = document.attribute(id, "name").filter(|name| crate::xml::is_name(name));
                let name = name.ok_or_else(|| Refusal("xs:element: `name` or `ref` is needed".into()))?;
                let form = document.attribute(id, "form");
                let qualified = form.map_or(self.qualified_elements, |form| form == "qualified");
                let space = if qualified { self.target.clone() } else { String::new() };
                let number = self.schema.elements.len();
                self.schema.elements.push(self.element_of(id, name, &space));
                self.element_type(number, id)?;
                Term::Leaf(Leaf::Element(number))
            }
            ("any", _) => Term::Leaf(Leaf::Wildcard(self.wildcard(id)?)),
            ("group", Some(name)) => {
                let (space, local) = self.qualified(id, name)?;
                let group = self.groups.find(&space, local);
                let group = group.ok_or_else(|| Refusal(format!("there is no group `{name}`")))?;
                let inner = self.deeper(|reader| reader.particle_in(group))?;
                match inner {
                    Some(Particle { min: 1, max: Some(1), term }) => term,
                    Some(inner) => Term::Sequence(vec![inner]),
                    None => Term::Sequence(Vec::new()),
                }
            }
            (kind @ ("sequence" | "choice" | "all"), _) => {
                let inner = document.elements(id).filter(|id| document.local(*id) != "annotation");
                let parts = inner.map(|id| self.particle(id)).collect::<Result<Vec<_>, _>>()?;
                match kind {
                    "sequence" => Term::Sequence(parts),
                    "choice" => Term::Choice(parts),
                    _ => Term::All(parts),
                }
            }
            (other, _) => return Err(Refusal(format!("xs:{other} may not stand in a content model"))),
        };
        Ok(Particle { min, max, term })
    }

    pub(super) fn wildcard(&self, id: Id) -> Result<Wildcard, Refusal> {
        let target = self.target.clone();
        let spaces = match self.document.attribute(id, "namespace").unwrap_or("##any").trim() {
            "##any" => Namespaces::Any,
            "##other" => Namespaces::Other(target),
            list => Namespaces::Of(
                list.split_ascii_whitespace()
                    .map(|space| match space {
                        "##targetNamespace" => target.clone(),
                        "##local" => String::new(),
                        other => other.to_owned(),
                    })
                    .collect(),
            ),
        };
        let process = match self.document.attribute(id, "processContents").unwrap_or("strict") {
            "strict" => Process::Strict,
            "lax" => Process::Lax,
            "skip" => Process::Skip,
            other => return Err(Refusal(format!("processContents: `{other}` is neither `strict`, `lax` nor `skip`"))),
        };
        Ok(Wildcard { spaces, process })
    }

    /// An attribute that is declared; `None` if it is prohibited.
    pub(super) fn attribute(&mut self, id: Id) -> Result<(Attribute, bool), Refusal> {
        let document = self.document;
        let prohibited = document.attribute(id, "use") == Some("prohibited");
        let required = document.attribute(id, "use") == Some("required");
        let fixed = document.attribute(id, "fixed").map(str::to_owned);
        if let Some(name) = document.attribute(id, "ref") {
            let (space, local) = self.qualified(id, name)?;
            if space == crate::xml::tree::XML {
                let of = Rc::new(Simple::any());
                return Ok((Attribute { space, local: local.to_owned(), of, required, fixed }, prohibited));
            }
            let place = self.attributes.find(&space, local);
            let place = place.ok_or_else(|| Refusal(format!("there is no attribute `{name}`")))?;
            let (declared, _) = self.attribute(place)?;
            let fixed = fixed.or(declared.fixed.clone());
            return Ok((Attribute { space, required, fixed, ..declared }, prohibited));
        }
        let name = document.attribute(id, "name").filter(|name| crate::xml::is_name(name));
        let name = name.ok_or_else(|| Refusal("xs:attribute: `name` or `ref` is needed".into()))?;
        let form = document.attribute(id, "form");
        let qualified = form.map_or(self.qualified_attributes, |form| form == "qualified");
        let space = if qualified { self.target.clone() } else { String::new() };
        let inner = document.elements(id).find(|inner| document.local(*inner) == "simpleType");
        let of = match (document.attribute(id, "type"), inner) {
            (Some(name), _) => {
                let number = self.type_number(id, name)?;
                self.simple_of(number)?
            }
            (None, Some(inner)) => self.simple(inner)?.1,
            (None, None) => Rc::new(Simple::any()),
        };
        Ok((Attribute { space, local: name.to_owned(), of, required, fixed }, prohibited))
    }
}

/// Whether an attribute says so.
pub(super) fn flag(document: &Document, id: Id, name: &str) -> bool {
    matches!(document.attribute(id, name).map(str::trim), Some("true" | "1"))
}
