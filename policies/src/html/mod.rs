//! HTML, as backends really send it: what is wrong in it is made the best of, as browsers do, and never refused.
//!
//! A document is a list of elements in the order in which they begin, so that what is within one stands directly behind it. Of the parser of the
//! [HTML standard](https://html.spec.whatwg.org/multipage/parsing.html) the parts are here that decide which element is in which for sound documents and the usual
//! faults: elements without an end, ends that are left out, and ends without a beginning. Misplaced formatting and content of tables stay where they are written.

mod scan;
pub mod select;

use std::borrow::Cow;

use scan::{Scanner, Tag, Token};

/// Elements of a document, and pieces of text; what comes behind them is left out.
const NODES_MAX: usize = 200_000;
/// Elements in one another; what is deeper stands beside.
const LEVELS_MAX: usize = 256;

/// A document.
#[derive(Debug)]
pub struct Document<'a> {
    nodes: Vec<Node<'a>>,
}

#[derive(Debug)]
struct Node<'a> {
    what: What<'a>,
    parent: usize,
    /// The node behind everything that is within.
    end: usize,
    /// The element before it of the same parent.
    previous: Option<usize>,
    /// The element behind it, likewise.
    next: Option<usize>,
}

#[derive(Debug)]
enum What<'a> {
    /// Its name in lower case, and its attributes, likewise.
    Element(String, Vec<(String, Cow<'a, str>)>),
    Text(Cow<'a, str>),
}

/// Elements that have nothing in them, and no end.
const VOID: &[&str] = &[
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "link", "meta",
    "param", "source", "track", "wbr",
];
/// Elements that stand in a head.
const HEAD: &[&str] = &["base", "link", "meta", "noscript", "script", "style", "template", "title"];
/// Elements that are lines of their own.
const BLOCK: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "search",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "ul",
];

/// Whether an element ends where another one begins, which may leave out its end.
fn ends_before(open: &str, next: &str) -> bool {
    match open {
        "p" => BLOCK.contains(&next) && !matches!(next, "body" | "head" | "html" | "title" | "option" | "legend"),
        "li" => next == "li",
        "dt" | "dd" => matches!(next, "dt" | "dd"),
        "option" => matches!(next, "option" | "optgroup"),
        "optgroup" => next == "optgroup",
        "td" | "th" => matches!(next, "td" | "th" | "tr" | "tbody" | "thead" | "tfoot"),
        "tr" => matches!(next, "tr" | "tbody" | "thead" | "tfoot"),
        "tbody" | "thead" | "tfoot" | "caption" | "colgroup" => matches!(next, "tbody" | "thead" | "tfoot"),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => matches!(next, "h1" | "h2" | "h3" | "h4" | "h5" | "h6"),
        "a" | "button" => next == open,
        _ => false,
    }
}

/// Whether the search for an element that ends here stops at this one: it is in another table, list or block.
fn is_barrier(open: &str, next: &str) -> bool {
    match open {
        "html" | "body" | "table" | "template" | "td" | "th" | "caption" | "button" | "object" | "select" => true,
        "ul" | "ol" => next == "li",
        "dl" => matches!(next, "dt" | "dd"),
        _ => false,
    }
}

impl<'a> Document<'a> {
    /// Reads a document.
    pub fn parse(text: &'a str) -> Self {
        let mut builder = Builder { nodes: Vec::new(), open: Vec::new(), last: Vec::new(), head: None, body: None };
        builder.begin("html".into(), Vec::new());
        let mut scanner = Scanner::new(text);
        while let Some(token) = scanner.next() {
            // The elements around it are three at most.
            if builder.nodes.len() + 4 > NODES_MAX {
                break;
            }
            match token {
                Token::Text(text) => builder.text(text),
                Token::Start(tag) => builder.start(tag),
                Token::End(name) => builder.end(&name),
            }
        }
        while !builder.open.is_empty() {
            builder.close();
        }
        Self { nodes: builder.nodes }
    }

    /// All elements, in their order.
    fn elements(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| matches!(node.what, What::Element(..))).map(|(at, _)| at)
    }

    fn name(&self, at: usize) -> &str {
        match self.nodes.get(at).map(|node| &node.what) {
            Some(What::Element(name, _)) => name,
            _ => "",
        }
    }

    fn attribute(&self, at: usize, name: &str) -> Option<&str> {
        let Some(What::Element(_, attributes)) = self.nodes.get(at).map(|node| &node.what) else { return None };
        attributes.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The element around one; none around the first.
    fn parent(&self, at: usize) -> Option<usize> {
        self.nodes.get(at).map(|node| node.parent).filter(|_| at > 0)
    }

    fn previous(&self, at: usize) -> Option<usize> {
        self.nodes.get(at)?.previous
    }

    fn next(&self, at: usize) -> Option<usize> {
        self.nodes.get(at)?.next
    }

    /// Appends the text of an element and of all within, with single spaces between words, lines and blocks.
    pub fn put_text(&self, at: usize, out: &mut String) {
        let start = out.len();
        let end = self.nodes.get(at).map_or(at, |node| node.end);
        let mut apart = false;
        // Blocks that end at a node: their ends are passed in the order of the nodes.
        let mut ends: Vec<usize> = Vec::new();
        for (at, node) in self.nodes.iter().enumerate().take(end).skip(at) {
            while ends.last().is_some_and(|end| *end <= at) {
                ends.pop();
                apart = true;
            }
            match &node.what {
                What::Element(name, _) if BLOCK.contains(&name.as_str()) => {
                    apart = true;
                    ends.push(node.end);
                }
                What::Element(name, _) => apart |= name == "br",
                What::Text(text) => {
                    for character in text.chars() {
                        if character.is_ascii_whitespace() || character == '\u{a0}' {
                            apart = true;
                            continue;
                        }
                        if std::mem::take(&mut apart) && out.len() > start {
                            out.push(' ');
                        }
                        out.push(character);
                    }
                }
            }
        }
    }
}

struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    /// Elements that have not ended.
    open: Vec<usize>,
    /// Of each of them, and of the document, the last element within.
    last: Vec<Option<usize>>,
    head: Option<usize>,
    body: Option<usize>,
}

impl<'a> Builder<'a> {
    fn begin(&mut self, name: String, attributes: Vec<(String, Cow<'a, str>)>) {
        let at = self.nodes.len();
        let previous = self.last.last_mut().and_then(|last| last.replace(at));
        if let Some(previous) = previous.and_then(|previous| self.nodes.get_mut(previous)) {
            previous.next = Some(at);
        }
        let parent = self.open.last().copied().unwrap_or_default();
        let what = What::Element(name, attributes);
        self.nodes.push(Node { what, parent, end: at + 1, previous, next: None });
        self.open.push(at);
        self.last.push(None);
    }

    fn close(&mut self) {
        let end = self.nodes.len();
        if let Some(node) = self.open.pop().and_then(|at| self.nodes.get_mut(at)) {
            node.end = end;
        }
        self.last.pop();
    }

    fn open_name(&self, depth: usize) -> &str {
        match self.open.get(depth).and_then(|at| self.nodes.get(*at)).map(|node| &node.what) {
            Some(What::Element(name, _)) => name,
            _ => "",
        }
    }

    /// Adds attributes to an element that is there already.
    fn add(&mut self, at: usize, attributes: Vec<(String, Cow<'a, str>)>) {
        if let Some(Node { what: What::Element(_, known), .. }) = self.nodes.get_mut(at) {
            for (name, value) in attributes {
                if !known.iter().any(|(known, _)| *known == name) {
                    known.push((name, value));
                }
            }
        }
    }

    /// Begins the head, if there was none.
    fn head(&mut self) {
        if self.head.is_none() {
            self.head = Some(self.nodes.len());
            self.begin("head".into(), Vec::new());
        }
    }

    /// Begins the body, if there is none.
    fn body(&mut self) {
        if self.body.is_none() {
            while self.open.len() > 1 {
                self.close();
            }
            self.body = Some(self.nodes.len());
            self.begin("body".into(), Vec::new());
        }
    }

    fn text(&mut self, text: Cow<'a, str>) {
        let in_head = self.body.is_none() && self.open.len() > 2;
        if !in_head {
            if self.body.is_none() && text.trim().is_empty() {
                return;
            }
            self.body();
        }
        let at = self.nodes.len();
        let parent = self.open.last().copied().unwrap_or_default();
        self.nodes.push(Node { what: What::Text(text), parent, end: at + 1, previous: None, next: None });
    }

    fn start(&mut self, tag: Tag<'a>) {
        let Tag { name, attributes } = tag;
        match (name.as_str(), self.body) {
            ("html", _) => return self.add(0, attributes),
            ("head", None) if self.head.is_none() => {
                self.head = Some(self.nodes.len());
                return self.begin(name, attributes);
            }
            ("head", _) => return,
            ("body", None) => {
                let at = self.nodes.len();
                self.body();
                return self.add(at, attributes);
            }
            ("body", Some(at)) => return self.add(at, attributes),
            (name, None) if HEAD.contains(&name) => self.head(),
            (_, None) => self.body(),
            _ => {}
        }
        // What this one ends is the nearest such element, with all within.
        for depth in (0..self.open.len()).rev() {
            let open = self.open_name(depth);
            if ends_before(open, &name) {
                while self.open.len() > depth {
                    self.close();
                }
                // A cell may end its row, too.
                if !matches!(name.as_str(), "tr" | "tbody" | "thead" | "tfoot") {
                    break;
                }
            } else if is_barrier(open, &name) {
                break;
            }
        }
        let is_void = VOID.contains(&name.as_str());
        self.begin(name, attributes);
        if is_void || self.open.len() > LEVELS_MAX {
            self.close();
        }
    }

    fn end(&mut self, name: &str) {
        if matches!(name, "html" | "body") {
            return;
        }
        let Some(depth) = (1..self.open.len()).rev().find(|depth| self.open_name(*depth) == name) else { return };
        while self.open.len() > depth {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::select::Selector;
    use super::*;

    fn texts(html: &str, selector: &str) -> Vec<String> {
        let document = Document::parse(html);
        let found = Selector::parse(selector).unwrap().select(&document).unwrap();
        let text = |at: usize| {
            let mut out = String::new();
            document.put_text(at, &mut out);
            out
        };
        found.into_iter().map(text).collect()
    }

    #[test]
    fn what_is_left_out_is_made_up_for() {
        for (html, selector, wanted) in [
            ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", "body > ul > li", &["a", "b c", "d"][..]),
            ("<table><tr><td>1<td>2<tr><th>3</table>", "tr", &["1 2", "3"]),
            ("<table><thead><tr><th>h<tbody><tr><td>b</table>x", "tbody td", &["b"]),
            ("<p>a<p>b<div>c</div>", "p", &["a", "b"]),
            ("<p>a <b>b</p>c", "p b", &["b"]),
            ("<dl><dt>a<dd>b<dt>c</dl>", "dt", &["a", "c"]),
            ("<select><option>a<option selected>b</select>", "option[selected]", &["b"]),
            ("text", "body", &["text"]),
            ("<title>a &amp; <b></title><p>x", "head > title", &["a & <b>"]),
            ("<html lang=de><body class=x><p>y", "html[lang=de] > body.x > p", &["y"]),
            ("</p></div><p>a</i>b</p>", "p", &["ab"]),
            ("<br/><img src=a><p>x", "body > p", &["x"]),
            ("<script>if (a < b) '<p>no</p>'</script><p>yes", "p", &["yes"]),
            ("<!-- <p>no</p> --><!doctype html><p>yes<!--", "p", &["yes"]),
            ("a < b &lt; c &#x41;&#66; &nope; &amp", "body", &["a < b < c AB &nope; &"]),
            ("<div>a<p>b</p>c<br>d<span>e</span>f\n &nbsp; g</div>", "div", &["a b c def g"]),
        ] {
            assert_eq!(texts(html, selector), wanted, "{html}");
        }
    }

    #[test]
    fn what_is_hostile_ends() {
        for html in [
            "<div>".repeat(20_000),
            "<a b='".repeat(20_000),
            "<!--".repeat(20_000),
            "<script>".repeat(20_000),
            "<p".repeat(20_000),
            "&".repeat(20_000),
            "</x>".repeat(20_000),
            "<b><p>".repeat(20_000),
            "<table><td>".repeat(10_000),
        ] {
            let document = Document::parse(&html);
            assert!(document.nodes.len() <= NODES_MAX);
            assert!(document.nodes.iter().enumerate().all(|(at, node)| node.end > at && node.parent <= at));
            document.put_text(0, &mut String::new());
        }
        let deep = "<a>".to_owned() + &"<div>".repeat(250) + "<b>";
        let document = Document::parse(&deep);
        let many = Selector::parse(&format!("{}p b", "div ".repeat(30))).unwrap();
        assert!(many.select(&document).is_err() || many.select(&document).unwrap().is_empty());
    }
}
