//! Bounds what an XML body may be made of.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Kind, Phases, Policy, Problem, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::media;
use crate::xml::{DOCUMENT_TYPE, Event, Malformed, Scanner};

/// `xml-threat-protection`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "xml-threat-protection",
    about: "Bounds depth, sizes and attributes of XML bodies of requests, and refuses document types.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            let allows = configuration.and_then(|node| node.field("allowExternalEntities"));
            let allows = allows.filter(|node| node.as_bool() == Some(true));
            let warning = |node: &ringway_contract::Node| {
                let text = "external entities are never allowed: a document that declares any is refused";
                Problem::warning(&node.span, "configuration.allowExternalEntities", text)
            };
            allows.map(warning).into_iter().collect()
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(XmlThreatProtection { config: decode(source.configuration)? })),
};

/// Configuration of `xml-threat-protection`. A negative bound is no bound; lengths are in UTF-16 code units.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Elements of the document at most.
    pub max_elements: i64,
    /// Elements inside of one another at most; the root element is the first.
    pub max_depth: i64,
    /// Length of the document at most.
    pub max_length: i64,
    /// Attributes of one element at most.
    pub max_attributes_per_element: i64,
    /// Length of the value of an attribute at most.
    pub max_attribute_value_length: i64,
    /// Elements directly in one element at most.
    pub max_children_per_element: i64,
    /// Length of a text between two tags at most.
    pub max_text_value_length: i64,
    /// Read, and never reached: a document that declares an entity is refused.
    pub max_entities: i64,
    /// Read, and never reached: a document that declares an entity is refused.
    pub max_entity_depth: i64,
    /// Read; `true` has no effect but a warning.
    pub allow_external_entities: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_elements: 1000,
            max_depth: 100,
            max_length: 1000,
            max_attributes_per_element: 100,
            max_attribute_value_length: 100,
            max_children_per_element: 100,
            max_text_value_length: 100,
            max_entities: 100,
            max_entity_depth: 100,
            allow_external_entities: false,
        }
    }
}

const DETECTED: &str = "XML_THREAT_DETECTED";

struct XmlThreatProtection {
    config: Config,
}

fn exceeds(count: impl TryInto<i64>, max: i64) -> bool {
    max >= 0 && count.try_into().unwrap_or(i64::MAX) > max
}

/// UTF-16 code units.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The error key of a document that is not well-formed, or has a document type.
fn blamed(body: &[u8], problem: Malformed) -> &'static str {
    if problem.what != DOCUMENT_TYPE {
        return DETECTED;
    }
    let document_type = body.get(problem.offset..).unwrap_or_default();
    let has = |word: &[u8]| document_type.windows(word.len()).any(|part| part == word);
    match (has(b"SYSTEM") || has(b"PUBLIC"), has(b"<!ENTITY")) {
        (true, _) => "XML_THREAT_EXTERNAL_ENTITY_FORBIDDEN",
        (false, true) => "XML_THREAT_MAX_ENTITIES",
        (false, false) => DETECTED,
    }
}

impl XmlThreatProtection {
    /// The error key of what is found.
    fn find(&self, body: &[u8]) -> Result<(), &'static str> {
        let config = &self.config;
        let malformed = |problem| blamed(body, problem);
        // A body has at least as many bytes as code units.
        if exceeds(body.len(), config.max_length) && exceeds(length(&String::from_utf8_lossy(body)), config.max_length)
        {
            return Err("XML_THREAT_MAX_LENGTH");
        }
        let mut scanner = Scanner::new(body).map_err(malformed)?;
        // Of every element that is open: the elements in it so far.
        let mut children: Vec<i64> = Vec::new();
        let (mut elements, mut attributes, mut text_length) = (0_i64, 0_i64, 0_usize);
        while let Some(event) = scanner.next().map_err(malformed)? {
            match event {
                Event::Begin(_) => {
                    (attributes, text_length) = (0, 0);
                    elements += 1;
                    if exceeds(elements, config.max_elements) {
                        return Err("XML_THREAT_MAX_ELEMENTS");
                    }
                    if exceeds(scanner.depth(), config.max_depth) {
                        return Err("XML_THREAT_MAX_DEPTH");
                    }
                    if let Some(siblings) = children.last_mut() {
                        *siblings += 1;
                        if exceeds(*siblings, config.max_children_per_element) {
                            return Err("XML_THREAT_MAX_CHILD_ELEMENTS");
                        }
                    }
                    children.push(0);
                }
                Event::Attribute(_, value) => {
                    attributes += 1;
                    if exceeds(attributes, config.max_attributes_per_element) {
                        return Err("XML_THREAT_MAX_ATTRIBUTES");
                    }
                    if exceeds(length(&value), config.max_attribute_value_length) {
                        return Err("XML_THREAT_MAX_ATTRIBUTE_VALUE_LENGTH");
                    }
                }
                Event::Inside if scanner.has_twins() => return Err(DETECTED),
                Event::Inside => {}
                // Sections and comments do not part a text.
                Event::Text { text, .. } => {
                    text_length += length(&text);
                    if exceeds(text_length, config.max_text_value_length) {
                        return Err("XML_THREAT_MAX_TEXT_VALUE_LENGTH");
                    }
                }
                Event::End(_) => {
                    text_length = 0;
                    children.pop();
                }
            }
        }
        Ok(())
    }
}

impl Policy for XmlThreatProtection {
    fn phases(&self) -> Phases {
        Phases::REQUEST.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let is_xml = exchange.request.as_deref().is_some_and(|request| media::is_xml(&request.head.fields));
        let body = exchange.contents.request.as_ref().filter(|body| is_xml && !body.is_empty());
        match body.map_or(Ok(()), |body| self.find(body)) {
            Ok(()) => Step::Next,
            Err(key) => Step::Reply(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, key, "Bad Request"))),
        }
    }

    /// Whatever a message says of its type: who reads it will find out.
    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let content =
            exchange.message.as_deref().map(|parcel| &parcel.message.content).filter(|content| !content.is_empty());
        match content.map_or(Ok(()), |content| self.find(content)) {
            Ok(()) => Step::Next,
            Err(key) => Step::Reply(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, key, "Bad Request"))),
        }
    }
}
