//! What of XML Schema is supported: a schema with anything else is refused, so that none is read as if it asked for less.

use ringway_contract::Refusal;

use super::schema::XS;
use crate::xml::tree::{Document, Id};

/// Elements, and the attributes that they may have besides `id`.
const KNOWN: &[(&str, &[&str])] = &[
    ("schema", &["targetNamespace", "elementFormDefault", "attributeFormDefault", "finalDefault", "version"]),
    (
        "element",
        &["name", "ref", "type", "minOccurs", "maxOccurs", "nillable", "abstract", "default", "fixed", "form", "final"],
    ),
    ("attribute", &["name", "ref", "type", "use", "default", "fixed", "form"]),
    ("complexType", &["name", "mixed", "abstract", "final"]),
    ("simpleType", &["name", "final"]),
    ("complexContent", &["mixed"]),
    ("simpleContent", &[]),
    ("extension", &["base"]),
    ("restriction", &["base"]),
    ("sequence", &["minOccurs", "maxOccurs"]),
    ("choice", &["minOccurs", "maxOccurs"]),
    ("all", &["minOccurs", "maxOccurs"]),
    ("group", &["name", "ref", "minOccurs", "maxOccurs"]),
    ("attributeGroup", &["name", "ref"]),
    ("any", &["namespace", "processContents", "minOccurs", "maxOccurs"]),
    ("anyAttribute", &["namespace", "processContents"]),
    ("list", &["itemType"]),
    ("union", &["memberTypes"]),
    ("length", FACET),
    ("minLength", FACET),
    ("maxLength", FACET),
    ("pattern", FACET),
    ("enumeration", FACET),
    ("whiteSpace", FACET),
    ("minInclusive", FACET),
    ("maxInclusive", FACET),
    ("minExclusive", FACET),
    ("maxExclusive", FACET),
    ("totalDigits", FACET),
    ("fractionDigits", FACET),
];

const FACET: &[&str] = &["value", "fixed"];

/// Elements that may stand at the top.
const GLOBAL: &[&str] = &["element", "attribute", "complexType", "simpleType", "group", "attributeGroup", "annotation"];

/// Looks for what is not supported.
///
/// # Errors
/// What it is.
pub fn check(document: &Document, root: Id) -> Result<(), Refusal> {
    for id in document.elements(root) {
        let local = document.local(id);
        if document.space(id) == XS && !GLOBAL.contains(&local) {
            let why = match local {
                "include" | "import" | "redefine" | "override" => {
                    ": a schema must be whole in itself, nothing is fetched"
                }
                _ => "",
            };
            return Err(Refusal(format!("xs:{local} is not supported at the top of a schema{why}")));
        }
    }
    element(document, root)
}

/// As deep as documents may be.
fn element(document: &Document, id: Id) -> Result<(), Refusal> {
    let local = document.local(id);
    if document.space(id) != XS {
        return Err(Refusal(format!("`{}` is no element of a schema", document.name(id))));
    }
    let Some((_, known)) = KNOWN.iter().find(|(name, _)| *name == local) else {
        return Err(Refusal(format!("xs:{local} is not supported")));
    };
    for attribute in document.attributes(id) {
        // Attributes of other namespaces are notes.
        let is_own = document.attribute_space(attribute).is_empty();
        if is_own && attribute.name != "id" && !known.contains(&attribute.name) {
            return Err(Refusal(format!("`{}` of xs:{local} is not supported", attribute.name)));
        }
    }
    // Whatever stands in an annotation is for people.
    let inner = document.elements(id).filter(|id| document.space(*id) != XS || document.local(*id) != "annotation");
    for inner in inner {
        element(document, inner)?;
    }
    Ok(())
}
