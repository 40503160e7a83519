//! A document as a tree, in one table, with its namespaces resolved (Namespaces in XML 1.0).
//!
//! Comments and processing instructions are not in it, and what stands on both sides of one is one text.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Event, Malformed, Scanner};

/// The namespace of the prefix `xml`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Prefixes that may be declared around one element.
const PREFIXES_MAX: usize = 256;

/// What a document may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Elements inside of one another.
    pub depth_max: usize,
    /// Elements, texts and attributes.
    pub nodes_max: usize,
}

/// A node: a place in the table, in document order. 0 is the document itself.
pub type Id = usize;

#[derive(Debug)]
struct Node<'a> {
    parent: Id,
    /// 0: none.
    first: Id,
    /// 0: none.
    last: Id,
    /// 0: none.
    next: Id,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Document,
    Element {
        name: &'a str,
        space: usize,
        /// Its attributes in the table of attributes.
        attributes: (usize, usize),
        /// The declaration that is nearest; 0: none.
        scope: usize,
    },
    Text(Cow<'a, str>),
}

/// An attribute; declarations of namespaces are none.
#[derive(Debug)]
pub struct Attribute<'a> {
    /// As it is written, prefix and all.
    pub name: &'a str,
    /// Its value.
    pub value: Cow<'a, str>,
    space: usize,
}

#[derive(Debug)]
struct Declaration<'a> {
    prefix: &'a str,
    space: usize,
    /// The declaration around it; 0: none.
    around: usize,
    /// Declarations around it.
    depth: usize,
}

/// A document.
#[derive(Debug)]
pub struct Document<'a> {
    nodes: Vec<Node<'a>>,
    attributes: Vec<Attribute<'a>>,
    declarations: Vec<Declaration<'a>>,
    spaces: Vec<String>,
}

/// The part behind the prefix.
pub fn local(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

fn prefix(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

/// What is being read.
struct Reader<'a> {
    document: Document<'a>,
    known: HashMap<String, usize>,
    bounds: Bounds,
    open: Vec<Id>,
    name: &'a str,
    /// Attributes of the element that began last.
    attributes: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// It is not well-formed, has a document type, names a prefix that is not declared, or is beyond the bounds.
    pub fn parse(text: &'a [u8], bounds: Bounds) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(text)?;
        let mut reader = Reader::new(bounds);
        while let Some(event) = scanner.next()? {
            reader.take(event, &mut scanner).map_err(|what| Malformed { offset: scanner.at, what })?;
        }
        Ok(reader.document)
    }

    /// The root element.
    pub fn root(&self) -> Id {
        self.children(0).find(|id| self.is_element(*id)).unwrap_or(0)
    }

    fn node(&self, id: Id) -> Option<&Node<'a>> {
        self.nodes.get(id)
    }

    /// Whether it is an element.
    pub fn is_element(&self, id: Id) -> bool {
        matches!(self.node(id), Some(Node { content: Content::Element { .. }, .. }))
    }

    /// The element or document around it; of the document itself, none.
    pub fn parent(&self, id: Id) -> Option<Id> {
        self.node(id).filter(|_| id != 0).map(|node| node.parent)
    }

    /// The node behind it, in what is around it.
    pub fn next(&self, id: Id) -> Option<Id> {
        self.node(id).map(|node| node.next).filter(|next| *next != 0)
    }

    /// The nodes in it.
    pub fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        let first = self.node(id).map(|node| node.first).filter(|first| *first != 0);
        std::iter::successors(first, |id| self.next(*id))
    }

    /// The elements in it.
    pub fn elements(&self, id: Id) -> impl Iterator<Item = Id> {
        self.children(id).filter(|id| self.is_element(*id))
    }

    /// The name as it is written; of what is no element, nothing.
    pub fn name(&self, id: Id) -> &'a str {
        if let Some(Node { content: Content::Element { name, .. }, .. }) = self.node(id) { name } else { "" }
    }

    /// The name without its prefix.
    pub fn local(&self, id: Id) -> &'a str {
        local(self.name(id))
    }

    /// The namespace of an element; empty for none.
    pub fn space(&self, id: Id) -> &str {
        match self.node(id) {
            Some(Node { content: Content::Element { space, .. }, .. }) => self.space_of(*space),
            _ => "",
        }
    }

    fn space_of(&self, space: usize) -> &str {
        self.spaces.get(space).map_or("", String::as_str)
    }

    /// The namespace of an attribute; empty for none.
    pub fn attribute_space(&self, attribute: &Attribute) -> &str {
        self.space_of(attribute.space)
    }

    /// The attributes of an element.
    pub fn attributes(&self, id: Id) -> &[Attribute<'a>] {
        match self.node(id) {
            Some(Node { content: Content::Element { attributes: (from, to), .. }, .. }) => {
                self.attributes.get(*from..*to).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// The value of the attribute of this name that is in no namespace.
    pub fn attribute(&self, id: Id, name: &str) -> Option<&str> {
        self.attributes(id).iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_ref())
    }

    /// The text of a text.
    pub fn text(&self, id: Id) -> Option<&str> {
        if let Some(Node { content: Content::Text(text), .. }) = self.node(id) { Some(text) } else { None }
    }

    /// All texts in it, at any level, one behind the other.
    pub fn texts(&self, id: Id, out: &mut String) {
        let end = self.end(id);
        (id..end).filter_map(|id| self.text(id)).for_each(|text| out.push_str(text));
    }

    /// The first node behind it and all in it, in document order.
    pub fn end(&self, id: Id) -> Id {
        let mut at = id;
        loop {
            match (self.next(at), self.parent(at)) {
                (Some(next), _) => return next,
                (None, Some(parent)) => at = parent,
                (None, None) => return self.nodes.len(),
            }
        }
    }

    /// The namespace that a prefix means at an element; the empty one is the default namespace.
    pub fn resolve(&self, id: Id, prefix: &str) -> Option<&str> {
        let scope = match self.node(id) {
            Some(Node { content: Content::Element { scope, .. }, .. }) => *scope,
            _ => 0,
        };
        self.lookup(scope, prefix).map(|space| self.space_of(space))
    }

    fn lookup(&self, scope: usize, prefix: &str) -> Option<usize> {
        if prefix == "xml" {
            return Some(1);
        }
        let mut at = scope;
        while let Some(declaration) = self.declarations.get(at).filter(|_| at != 0) {
            if declaration.prefix == prefix {
                // `xmlns=""` takes the default back.
                return Some(declaration.space);
            }
            at = declaration.around;
        }
        prefix.is_empty().then_some(0)
    }

    /// The declarations that an element itself makes: prefix and namespace.
    pub fn declarations(&self, id: Id) -> impl Iterator<Item = (&'a str, &str)> {
        let scope = |id: Id| match self.node(id) {
            Some(Node { content: Content::Element { scope, .. }, .. }) => *scope,
            _ => 0,
        };
        let outer = self.parent(id).map_or(0, scope);
        let own = std::iter::successors(Some(scope(id)), |at| self.declarations.get(*at).map(|known| known.around));
        own.take_while(move |at| *at != outer && *at != 0)
            .filter_map(|at| self.declarations.get(at))
            .map(|known| (known.prefix, self.space_of(known.space)))
    }
}

impl<'a> Reader<'a> {
    fn new(bounds: Bounds) -> Self {
        let none = Declaration { prefix: "", space: 0, around: 0, depth: 0 };
        let document = Node { parent: 0, first: 0, last: 0, next: 0, content: Content::Document };
        Self {
            document: Document {
                nodes: vec![document],
                attributes: Vec::new(),
                declarations: vec![none],
                spaces: vec![String::new(), XML.to_owned()],
            },
            known: [(String::new(), 0), (XML.to_owned(), 1)].into(),
            bounds,
            open: Vec::new(),
            name: "",
            attributes: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'a>, scanner: &mut Scanner<'a>) -> Result<(), &'static str> {
        match event {
            Event::Begin(name) => {
                if self.open.len() >= self.bounds.depth_max {
                    return Err("more levels than are allowed");
                }
                self.name = name;
                self.attributes.clear();
                Ok(())
            }
            Event::Attribute(name, value) => {
                self.attributes.push((name, value));
                self.within(self.attributes.len())
            }
            Event::Inside if scanner.has_twins() => Err("two attributes of one name"),
            Event::Inside => self.begin(),
            Event::Text { text, .. } => {
                if let Some(parent) = self.open.last() {
                    let last = self.document.nodes.get(*parent).map_or(0, |node| node.last);
                    match self.document.nodes.get_mut(last).map(|node| &mut node.content) {
                        Some(Content::Text(known)) => known.to_mut().push_str(&text),
                        _ if text.is_empty() => {}
                        _ => return self.append(Content::Text(text)).map(|_| ()),
                    }
                }
                Ok(())
            }
            Event::End(_) => {
                self.open.pop();
                Ok(())
            }
        }
    }

    fn within(&self, more: usize) -> Result<(), &'static str> {
        let count = self.document.nodes.len() + self.document.attributes.len() + more;
        if count > self.bounds.nodes_max { Err("more elements, texts and attributes than are allowed") } else { Ok(()) }
    }

    fn begin(&mut self) -> Result<(), &'static str> {
        let around = self.open.last().and_then(|id| self.document.nodes.get(*id));
        let mut scope = match around {
            Some(Node { content: Content::Element { scope, .. }, .. }) => *scope,
            _ => 0,
        };
        let attributes = std::mem::take(&mut self.attributes);
        for (name, value) in &attributes {
            let prefix = match name.strip_prefix("xmlns") {
                Some("") => "",
                Some(rest) if rest.starts_with(':') => rest.get(1..).unwrap_or_default(),
                _ => continue,
            };
            let misused = prefix == "xmlns" || (prefix == "xml") != (value == XML);
            if misused || (value.is_empty() && !prefix.is_empty()) {
                return Err("a declaration of a namespace that may not be declared");
            }
            let depth = self.document.declarations.get(scope).map_or(0, |known| known.depth) + 1;
            if depth > PREFIXES_MAX {
                return Err("more declarations of namespaces than are allowed");
            }
            let space = self.intern(value);
            self.document.declarations.push(Declaration { prefix, space, around: scope, depth });
            scope = self.document.declarations.len() - 1;
        }
        let space = self.space(scope, self.name, prefix(self.name))?;
        let from = self.document.attributes.len();
        let mut qualified: Vec<(usize, &str)> = Vec::new();
        for (name, value) in attributes {
            if name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            // An attribute without a prefix is in no namespace.
            let space = if name.contains(':') { self.space(scope, name, prefix(name))? } else { 0 };
            if space != 0 {
                qualified.push((space, local(name)));
            }
            self.document.attributes.push(Attribute { name, value, space });
        }
        qualified.sort_unstable();
        if qualified.windows(2).any(|pair| matches!(pair, [one, next] if one == next)) {
            return Err("two attributes of one name");
        }
        let attributes = (from, self.document.attributes.len());
        let id = self.append(Content::Element { name: self.name, space, attributes, scope })?;
        self.open.push(id);
        Ok(())
    }

    fn space(&self, scope: usize, name: &str, prefix: &str) -> Result<usize, &'static str> {
        let local = local(name);
        if local.is_empty() || local.contains(':') || name.starts_with(':') {
            return Err("a name with a colon in the wrong place");
        }
        self.document.lookup(scope, prefix).ok_or("a prefix that is not declared")
    }

    fn intern(&mut self, space: &str) -> usize {
        if let Some(known) = self.known.get(space) {
            return *known;
        }
        let id = self.document.spaces.len();
        self.document.spaces.push(space.to_owned());
        self.known.insert(space.to_owned(), id);
        id
    }

    fn append(&mut self, content: Content<'a>) -> Result<Id, &'static str> {
        self.within(1)?;
        let id = self.document.nodes.len();
        let parent = self.open.last().copied().unwrap_or(0);
        self.document.nodes.push(Node { parent, first: 0, last: 0, next: 0, content });
        let last = self.document.nodes.get_mut(parent).map_or(0, |node| std::mem::replace(&mut node.last, id));
        if last == 0 {
            if let Some(node) = self.document.nodes.get_mut(parent) {
                node.first = id;
            }
        } else if let Some(node) = self.document.nodes.get_mut(last) {
            node.next = id;
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { depth_max: 4, nodes_max: 20 };

    #[test]
    fn a_document_is_a_tree_with_namespaces() {
        let text =
            br#"<a xmlns="urn:a" xmlns:b="urn:b" b:x="1" y="2">t<!-- c --><![CDATA[u]]><b:c xmlns=""><d/></b:c>v</a>"#;
        let document = Document::parse(text, BOUNDS).unwrap();
        let root = document.root();
        assert_eq!(
            (document.name(root), document.space(root), document.attribute(root, "y")),
            ("a", "urn:a", Some("2"))
        );
        let spaces = document.attributes(root).iter().map(|known| document.attribute_space(known)).collect::<Vec<_>>();
        assert_eq!(spaces, ["urn:b", ""]);
        let children = document.children(root).collect::<Vec<_>>();
        assert_eq!(children.iter().map(|id| document.text(*id)).collect::<Vec<_>>(), [Some("tu"), None, Some("v")]);
        let inner = children[1];
        assert_eq!((document.space(inner), document.local(inner)), ("urn:b", "c"));
        let leaf = document.elements(inner).next().unwrap();
        assert_eq!((document.space(leaf), document.parent(leaf)), ("", Some(inner)));
        assert_eq!(document.resolve(leaf, "b"), Some("urn:b"));
        assert_eq!(document.declarations(root).collect::<Vec<_>>(), [("b", "urn:b"), ("", "urn:a")]);
        assert_eq!(document.end(inner), children[2]);
        let mut all = String::new();
        document.texts(0, &mut all);
        assert_eq!(all, "tuv");
    }

    #[test]
    fn what_namespaces_forbid_and_what_is_beyond_the_bounds_is_refused() {
        for text in [
            "<a:b/>",
            "<a b:c='1'/>",
            "<a:b:c xmlns:a='u'/>",
            "<:a/>",
            "<a xmlns:b='u' xmlns:c='u' b:x='' c:x=''/>",
            "<a xmlns:b=''/>",
            "<a xmlns:xmlns='u'/>",
            "<a xmlns:xml='u'/>",
            "<a><b><c><d><e/></d></c></b></a>",
            "<a><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/></a>",
        ] {
            assert!(Document::parse(text.as_bytes(), BOUNDS).is_err(), "{text}");
        }
        let many = (0..300).map(|n| format!(" xmlns:p{n}='u'")).collect::<String>();
        let bounds = Bounds { depth_max: 4, nodes_max: 1000 };
        assert!(Document::parse(format!("<a{many}/>").as_bytes(), bounds).is_err());
    }
}
