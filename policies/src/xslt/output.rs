//! What a transformation makes: XML or text, in the order in which it is made.

use crate::xml::escape;

/// Bytes of it.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Elements in one another.
const LEVELS_MAX: usize = 200;

/// What is made.
pub struct Output {
    /// All that is done.
    xml: String,
    /// The texts of it.
    text: String,
    open: Vec<Open>,
    /// The start tag that attributes may still be added to.
    pending: Option<Pending>,
}

struct Open {
    name: String,
    declared: Vec<(String, String)>,
}

struct Pending {
    /// Namespace and name as it is written, and value.
    attributes: Vec<(String, String, String)>,
}

/// It became too much, or something stands in the wrong place.
pub type Made = Result<(), &'static str>;

impl Output {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { xml: String::new(), text: String::new(), open: Vec::new(), pending: None }
    }

    /// What was made: as XML, and its texts.
    pub fn finish(mut self) -> Result<(String, String), &'static str> {
        self.flush()?;
        Ok((self.xml, self.text))
    }

    fn within(&self) -> Made {
        if self.xml.len() + self.text.len() > BYTES_MAX { Err("more output than is allowed") } else { Ok(()) }
    }

    fn declared(&self, prefix: &str) -> Option<&str> {
        let known = self.open.iter().rev().flat_map(|open| open.declared.iter().rev());
        known.into_iter().find(|(known, _)| known == prefix).map(|(_, space)| space.as_str())
    }

    /// Declares a prefix on the element that begins, unless it is declared so already.
    pub fn declare(&mut self, prefix: &str, space: &str) -> Made {
        let known = if prefix == "xml" { Some(crate::xml::tree::XML) } else { self.declared(prefix) };
        if known.unwrap_or_default() == space {
            return Ok(());
        }
        if space.is_empty() && !prefix.is_empty() {
            return Err("a prefix without a namespace");
        }
        let Some(open) = self.open.last_mut().filter(|_| self.pending.is_some()) else {
            return Err("a namespace that is declared behind content");
        };
        if open.declared.iter().any(|(known, _)| known == prefix) {
            return Err("a prefix that means two namespaces on one element");
        }
        open.declared.push((prefix.to_owned(), space.to_owned()));
        Ok(())
    }

    /// Begins an element.
    pub fn begin(&mut self, name: &str, space: &str) -> Made {
        self.flush()?;
        if self.open.len() >= LEVELS_MAX {
            return Err("more levels of output than are allowed");
        }
        self.open.push(Open { name: name.to_owned(), declared: Vec::new() });
        self.pending = Some(Pending { attributes: Vec::new() });
        self.declare(prefix(name), space)
    }

    /// Adds an attribute to the element that began; a later one of the same name takes its place.
    pub fn attribute(&mut self, name: &str, space: &str, value: String) -> Made {
        if !space.is_empty() {
            self.declare(prefix(name), space)?;
        }
        let Some(pending) = &mut self.pending else { return Err("an attribute behind content, or without an element") };
        let local = crate::xml::tree::local(name);
        let same =
            |known: &&mut (String, String, String)| known.0 == space && crate::xml::tree::local(&known.1) == local;
        if let Some(known) = pending.attributes.iter_mut().find(same) {
            *known = (space.to_owned(), name.to_owned(), value);
            return Ok(());
        }
        if pending.attributes.len() >= ATTRIBUTES_MAX {
            return Err("more attributes than are allowed");
        }
        pending.attributes.push((space.to_owned(), name.to_owned(), value));
        Ok(())
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> Made {
        if text.is_empty() {
            return Ok(());
        }
        self.flush()?;
        escape_text(text, &mut self.xml);
        self.text.push_str(text);
        self.within()
    }

    /// Adds what another output made.
    pub fn raw(&mut self, xml: &str, text: &str) -> Made {
        self.flush()?;
        self.xml.push_str(xml);
        self.text.push_str(text);
        self.within()
    }

    /// Ends the element that is open.
    pub fn end(&mut self) -> Made {
        if self.pending.is_some() {
            self.start_tag("/>");
            self.open.pop();
        } else if let Some(Open { name, .. }) = self.open.pop() {
            self.xml.push_str("</");
            self.xml.push_str(&name);
            self.xml.push('>');
        }
        self.within()
    }

    fn flush(&mut self) -> Made {
        if self.pending.is_some() {
            self.start_tag(">");
        }
        self.within()
    }

    fn start_tag(&mut self, end: &str) {
        let (Some(open), Some(pending)) = (self.open.last(), self.pending.take()) else { return };
        let xml = &mut self.xml;
        xml.push('<');
        xml.push_str(&open.name);
        for (prefix, space) in &open.declared {
            xml.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
            xml.push_str(prefix);
            value(space, xml);
        }
        for (_, name, text) in &pending.attributes {
            xml.push(' ');
            xml.push_str(name);
            value(text, xml);
        }
        xml.push_str(end);
    }
}

/// Attributes of an element.
const ATTRIBUTES_MAX: usize = 1000;

fn prefix(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

fn value(text: &str, xml: &mut String) {
    xml.push_str("=\"");
    let from = xml.len();
    escape(text, xml);
    // A reader would make blanks of these.
    if xml.get(from..).is_some_and(|added| added.contains(['\t', '\n', '\r'])) {
        let added = xml.split_off(from);
        xml.push_str(&added.replace('\t', "&#9;").replace('\n', "&#10;").replace('\r', "&#13;"));
    }
    xml.push('"');
}

/// Quotes mean nothing in a text.
fn escape_text(text: &str, xml: &mut String) {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\r' => xml.push_str("&#13;"),
            // Characters that XML does not have.
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => xml.push(character),
        }
    }
}
