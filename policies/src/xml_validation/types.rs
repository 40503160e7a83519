//! Types of a schema.

use std::rc::Rc;

use ringway_contract::Refusal;

use super::lexical::Value;
use super::model::{Model, Namespaces, Particle, Term, Wildcard};
use super::pattern;
use super::schema::{Attribute, Complex, Content, Kind, Reader, Type, flag};
use super::simple::{AT_LEAST, AT_MOST, Facet, Simple, Spaces, Variety};
use crate::xml::tree::Id;

/// Members of a union, and in those again.
const MEMBERS_MAX: usize = 64;

impl Reader<'_> {
    /// A `simpleType` or `complexType`.
    pub(super) fn a_type(&mut self, id: Id) -> Result<Type, Refusal> {
        if self.document.local(id) == "simpleType" {
            let (base, simple) = self.simple(id)?;
            return Ok(Type { base, kind: Kind::Simple(simple) });
        }
        self.complex(id)
    }

    /// A `simpleType`, and the number of the type that it restricts.
    pub(super) fn simple(&mut self, id: Id) -> Result<(Option<usize>, Rc<Simple>), Refusal> {
        let document = self.document;
        let derivation = document.elements(id).find(|inner| document.local(*inner) != "annotation");
        let derivation = derivation.ok_or_else(|| Refusal("xs:simpleType: empty".into()))?;
        let inner = |id| document.elements(id).filter(|inner| document.local(*inner) == "simpleType");
        match document.local(derivation) {
            "restriction" => {
                let (number, base) = match document.attribute(derivation, "base") {
                    Some(name) => {
                        let number = self.type_number(derivation, name)?;
                        (Some(number), self.simple_of(number)?)
                    }
                    None => {
                        let inner = inner(derivation).next();
                        let inner = inner.ok_or_else(|| Refusal("xs:restriction: `base` is needed".into()))?;
                        (None, self.simple(inner)?.1)
                    }
                };
                Ok((number, Rc::new(self.restricted(derivation, &base)?)))
            }
            "list" => {
                let item = match document.attribute(derivation, "itemType") {
                    Some(name) => {
                        let number = self.type_number(derivation, name)?;
                        self.simple_of(number)?
                    }
                    None => {
                        let inner = inner(derivation).next();
                        let inner = inner.ok_or_else(|| Refusal("xs:list: `itemType` is needed".into()))?;
                        self.simple(inner)?.1
                    }
                };
                Ok((None, Rc::new(Simple { variety: Variety::List(item), spaces: Spaces::Collapse, ..Simple::any() })))
            }
            "union" => {
                let mut members = Vec::new();
                for name in document.attribute(derivation, "memberTypes").unwrap_or_default().split_ascii_whitespace() {
                    let number = self.type_number(derivation, name)?;
                    members.push(self.simple_of(number)?);
                }
                for inner in inner(derivation).collect::<Vec<_>>() {
                    members.push(self.simple(inner)?.1);
                }
                let count: usize = members.iter().map(|member| width(member)).sum();
                if members.is_empty() || count > MEMBERS_MAX {
                    return Err(Refusal(format!("xs:union: needs 1 to {MEMBERS_MAX} types")));
                }
                // What a member does with spaces, it does itself.
                Ok((None, Rc::new(Simple { variety: Variety::Union(members), ..Simple::any() })))
            }
            other => Err(Refusal(format!("xs:simpleType: xs:{other} may not stand here"))),
        }
    }

    /// A type with the facets of a restriction.
    fn restricted(&mut self, id: Id, base: &Simple) -> Result<Simple, Refusal> {
        let document = self.document;
        let mut simple = base.clone();
        let (mut patterns, mut values) = (Vec::new(), Vec::new());
        for facet in document.elements(id).collect::<Vec<_>>() {
            let name = document.local(facet);
            if matches!(name, "annotation" | "simpleType" | "attribute" | "attributeGroup" | "anyAttribute") {
                continue;
            }
            let value = document.attribute(facet, "value");
            let value = value.ok_or_else(|| Refusal(format!("xs:{name}: `value` is needed")))?;
            let number = || {
                let number = value.trim().parse::<usize>();
                number.map_err(|_| Refusal(format!("xs:{name}: `{value}` is no number")))
            };
            let compared = |allowed, shown| {
                let bound = base.primitive().and_then(|primitive| Value::of(primitive, value.trim()));
                let bound = bound.ok_or_else(|| {
                    Refusal(format!("xs:{name}: `{value}` cannot be compared: numbers, dateTime, date and time can"))
                })?;
                Ok::<_, Refusal>(Facet::Compared(bound, allowed, shown))
            };
            match name {
                "length" => simple.facets.push(Facet::Length(number()?, number()?)),
                "minLength" => simple.facets.push(Facet::Length(number()?, usize::MAX)),
                "maxLength" => simple.facets.push(Facet::Length(0, number()?)),
                "totalDigits" => simple.facets.push(Facet::Digits(number()?, usize::MAX)),
                "fractionDigits" => simple.facets.push(Facet::Digits(usize::MAX, number()?)),
                "pattern" => patterns.push(pattern::compile(value)?),
                "enumeration" => {
                    let value = base.normalized(value).into_owned();
                    base.check(&value, &mut |_, _| {})
                        .map_err(|reason| Refusal(format!("xs:enumeration: {reason}")))?;
                    values.push(value);
                }
                "whiteSpace" => {
                    simple.spaces = simple.spaces.max(match value {
                        "preserve" => Spaces::Preserve,
                        "replace" => Spaces::Replace,
                        "collapse" => Spaces::Collapse,
                        _ => return Err(Refusal(format!("xs:whiteSpace: `{value}` is not known"))),
                    });
                }
                "minInclusive" => simple.facets.push(compared(AT_LEAST, "minInclusive")?),
                "maxInclusive" => simple.facets.push(compared(AT_MOST, "maxInclusive")?),
                "minExclusive" => simple.facets.push(compared(&[std::cmp::Ordering::Greater], "minExclusive")?),
                "maxExclusive" => simple.facets.push(compared(&[std::cmp::Ordering::Less], "maxExclusive")?),
                other => return Err(Refusal(format!("xs:{other} may not stand in a restriction of a simple type"))),
            }
        }
        simple.facets.extend((!patterns.is_empty()).then_some(Facet::Pattern(patterns)));
        simple.facets.extend((!values.is_empty()).then_some(Facet::Enumeration(values)));
        Ok(simple)
    }

    fn complex(&mut self, id: Id) -> Result<Type, Refusal> {
        let document = self.document;
        let content =
            document.elements(id).find(|id| matches!(document.local(*id), "simpleContent" | "complexContent"));
        let mixed = flag(document, id, "mixed") || content.is_some_and(|content| flag(document, content, "mixed"));
        let is_abstract = flag(document, id, "abstract");
        let Some(content) = content else {
            let (attributes, wildcard, _) = self.attributes_in(id)?;
            let particle = self.particle_in(id)?;
            let content = content_of(particle.as_ref())?;
            let complex = Complex { is_abstract, attributes, wildcard, mixed, content, particle };
            return Ok(Type { base: None, kind: Kind::Complex(Box::new(complex)) });
        };
        let derivation =
            document.elements(content).find(|id| matches!(document.local(*id), "extension" | "restriction"));
        let derivation =
            derivation.ok_or_else(|| Refusal("a content that is neither extension nor restriction".into()))?;
        let name = document.attribute(derivation, "base");
        let name = name.ok_or_else(|| Refusal(format!("xs:{}: `base` is needed", document.local(derivation))))?;
        let base = self.type_number(derivation, name)?;
        self.fill(base)?;
        let is_extension = document.local(derivation) == "extension";
        let (own, wildcard, prohibited) = self.attributes_in(derivation)?;
        let (mut attributes, base_wildcard) = match self.schema.types.get(base).map(|known| &known.kind) {
            Some(Kind::Complex(base)) => (base.attributes.clone(), base.wildcard.clone()),
            Some(Kind::Any) => {
                (Vec::new(), Some(Wildcard { spaces: Namespaces::Any, process: super::model::Process::Lax }))
            }
            _ => (Vec::new(), None),
        };
        attributes.retain(|known| {
            !own.iter().chain(&prohibited).any(|own| (&own.space, &own.local) == (&known.space, &known.local))
        });
        attributes.extend(own);
        // An extension has what its base has; a restriction only what it says again.
        let wildcard = if is_extension { wildcard.or(base_wildcard) } else { wildcard };
        let (content, particle) = if document.local(content) == "simpleContent" {
            let simple = self.simple_of(base)?;
            let simple = if is_extension { simple } else { Rc::new(self.restricted(derivation, &simple)?) };
            (Content::Simple(simple), None)
        } else {
            let own = self.particle_in(derivation)?;
            let base_particle = match self.schema.types.get(base).map(|known| &known.kind) {
                Some(Kind::Complex(base)) if matches!(base.content, Content::Simple(_)) => {
                    return Err(Refusal(format!("xs:complexContent: the content of `{name}` is simple")));
                }
                Some(Kind::Complex(base)) => base.particle.clone(),
                Some(Kind::Any) => None,
                _ => return Err(Refusal(format!("xs:complexContent: `{name}` is a simple type"))),
            };
            let particle = match (is_extension, base_particle, own) {
                (true, Some(base), Some(own)) => {
                    Some(Particle { min: 1, max: Some(1), term: Term::Sequence(vec![base, own]) })
                }
                (true, base, own) => base.or(own),
                (false, _, own) => own,
            };
            (content_of(particle.as_ref())?, particle)
        };
        let complex = Complex { is_abstract, attributes, wildcard, mixed, content, particle };
        Ok(Type { base: Some(base), kind: Kind::Complex(Box::new(complex)) })
    }

    /// The attributes in a type, a derivation or a group: declared, any, and prohibited.
    #[expect(clippy::type_complexity, reason = "three things that stand beside each other")]
    pub(super) fn attributes_in(
        &mut self,
        id: Id,
    ) -> Result<(Vec<Attribute>, Option<Wildcard>, Vec<Attribute>), Refusal> {
        let document = self.document;
        let (mut declared, mut any, mut prohibited) = (Vec::new(), None, Vec::new());
        for inner in document.elements(id).collect::<Vec<_>>() {
            match document.local(inner) {
                "attribute" => match self.attribute(inner)? {
                    (attribute, false) => declared.push(attribute),
                    (attribute, true) => prohibited.push(attribute),
                },
                "anyAttribute" => any = Some(self.wildcard(inner)?),
                "attributeGroup" => {
                    let name = document.attribute(inner, "ref");
                    let name = name.ok_or_else(|| Refusal("xs:attributeGroup: `ref` is needed".into()))?;
                    let (space, local) = self.qualified(inner, name)?;
                    let group = self.attribute_groups.find(&space, local);
                    let group = group.ok_or_else(|| Refusal(format!("there is no attribute group `{name}`")))?;
                    let (more, wildcard, _) = self.deeper(|reader| reader.attributes_in(group))?;
                    declared.extend(more);
                    any = any.or(wildcard);
                }
                _ => {}
            }
        }
        Ok((declared, any, prohibited))
    }
}

/// Types that a value is held against at most.
fn width(simple: &Simple) -> usize {
    match &simple.variety {
        Variety::Union(members) => members.iter().map(|member| width(member)).sum(),
        Variety::List(item) => width(item),
        _ => 1,
    }
}

fn content_of(particle: Option<&Particle>) -> Result<Content, Refusal> {
    let nothing = Particle { min: 1, max: Some(1), term: Term::Sequence(Vec::new()) };
    let particle = particle.unwrap_or(&nothing);
    let Term::All(parts) = &particle.term else { return Model::new(particle).map(Content::Model) };
    let mut members = Vec::new();
    for part in parts {
        match part {
            Particle { min, max: Some(1), term: Term::Leaf(super::model::Leaf::Element(number)) } => {
                members.push((*number, *min > 0));
            }
            _ => return Err(Refusal("xs:all: takes elements that come once at most".into())),
        }
    }
    Ok(Content::All(members, particle.min == 0))
}
