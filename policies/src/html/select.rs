//! Selectors of CSS (Selectors Level 4), as far as a document without a browser has them, with the additions of the library jsoup that are in use: `:eq`,
//! `:lt`, `:gt` and `:contains`.

use ringway_contract::Refusal;

use super::Document;

/// Parts of a selector.
const PARTS_MAX: usize = 64;
/// Elements that are held against parts of one selector.
const STEPS_MAX: usize = 5_000_000;

/// Several ways to be selected.
#[derive(Debug)]
pub struct Selector(Vec<Complex>);

/// Parts from right to left, each with what leads to the next.
#[derive(Debug)]
struct Complex(Vec<(Vec<Simple>, Combinator)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combinator {
    Descendant,
    Child,
    Next,
    Later,
}

#[derive(Debug)]
enum Simple {
    Name(String),
    /// An attribute, how it is compared, and with what.
    Attribute(String, Comparison, String),
    /// Of the `a*n+b`-th, from the front or the back, of all or of the same name.
    Nth {
        a: i64,
        b: i64,
        from_end: bool,
        same_name: bool,
    },
    /// The place among its siblings, from 0.
    Place(std::cmp::Ordering, i64),
    Contains(String),
    Not(Vec<Simple>),
    /// Without anything in it.
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Exists,
    Equals,
    Differs,
    Begins,
    Ends,
    Contains,
    /// One of several words.
    Word,
    /// The value, or what begins with it and a `-`.
    Prefix,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// It is none, or one that there is not here.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut parser = Parser { rest: text.trim(), parts: 0 };
        let mut all = Vec::new();
        loop {
            all.push(parser.complex()?);
            parser.space();
            if parser.rest.is_empty() {
                return Ok(Self(all));
            }
            parser.expect(',')?;
        }
    }

    /// The elements that it selects, in their order.
    ///
    /// # Errors
    /// The document is too deep for it.
    pub fn select(&self, document: &Document<'_>) -> Result<Vec<usize>, &'static str> {
        let mut search = Search { document, steps: 0 };
        let mut found = Vec::new();
        for at in document.elements() {
            for Complex(parts) in &self.0 {
                if search.leads(parts, at)? {
                    found.push(at);
                    break;
                }
            }
        }
        Ok(found)
    }
}

struct Search<'a, 'd> {
    document: &'d Document<'a>,
    steps: usize,
}

impl Search<'_, '_> {
    /// Whether an element is what the parts end with. As deep as there are parts.
    fn leads(&mut self, parts: &[(Vec<Simple>, Combinator)], at: usize) -> Result<bool, &'static str> {
        let Some(((simple, combinator), rest)) = parts.split_first() else { return Ok(true) };
        if !self.all(simple, at)? {
            return Ok(false);
        }
        if rest.is_empty() {
            return Ok(true);
        }
        let (document, combinator) = (self.document, *combinator);
        let step = |at| match combinator {
            Combinator::Descendant | Combinator::Child => document.parent(at),
            Combinator::Next | Combinator::Later => document.previous(at),
        };
        let mut next = step(at);
        while let Some(at) = next {
            if self.leads(rest, at)? {
                return Ok(true);
            }
            if matches!(combinator, Combinator::Child | Combinator::Next) {
                break;
            }
            next = step(at);
        }
        Ok(false)
    }

    fn all(&mut self, simple: &[Simple], at: usize) -> Result<bool, &'static str> {
        for simple in simple {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err("a selector costs too much on this document");
            }
            if !self.is(simple, at)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is(&mut self, simple: &Simple, at: usize) -> Result<bool, &'static str> {
        let document = self.document;
        Ok(match simple {
            Simple::Name(name) => document.name(at) == name,
            Simple::Attribute(name, comparison, wanted) => compares(document.attribute(at, name), *comparison, wanted),
            Simple::Nth { a, b, from_end, same_name } => {
                let place = self.place(at, *from_end, *same_name)? + 1;
                let behind = place - b;
                if *a == 0 { behind == 0 } else { behind % a == 0 && behind / a >= 0 }
            }
            Simple::Place(order, number) => self.place(at, false, false)?.cmp(number) == *order,
            Simple::Contains(wanted) => {
                let mut text = String::new();
                document.put_text(at, &mut text);
                self.steps += text.len();
                text.to_lowercase().contains(wanted)
            }
            Simple::Not(simple) => !self.all(simple, at)?,
            Simple::Empty => document.nodes.get(at).is_some_and(|node| node.end == at + 1),
        })
    }

    /// How many siblings are before it, or behind it.
    fn place(&mut self, at: usize, from_end: bool, same_name: bool) -> Result<i64, &'static str> {
        let document = self.document;
        let step = |at| if from_end { document.next(at) } else { document.previous(at) };
        let (mut place, mut next) = (0, step(at));
        while let Some(other) = next {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err("a selector costs too much on this document");
            }
            place += i64::from(!same_name || document.name(other) == document.name(at));
            next = step(other);
        }
        Ok(place)
    }
}

fn compares(value: Option<&str>, comparison: Comparison, wanted: &str) -> bool {
    let Some(value) = value else { return comparison == Comparison::Differs };
    match comparison {
        Comparison::Exists => true,
        Comparison::Equals => value.trim() == wanted,
        Comparison::Differs => value.trim() != wanted,
        Comparison::Begins => !wanted.is_empty() && value.starts_with(wanted),
        Comparison::Ends => !wanted.is_empty() && value.ends_with(wanted),
        Comparison::Contains => !wanted.is_empty() && value.contains(wanted),
        Comparison::Word => value.split_ascii_whitespace().any(|word| word == wanted),
        Comparison::Prefix => {
            value.strip_prefix(wanted).is_some_and(|behind| behind.is_empty() || behind.starts_with('-'))
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    parts: usize,
}

impl<'a> Parser<'a> {
    fn wrong<T>(&self, what: &str) -> Result<T, Refusal> {
        Err(Refusal(if self.rest.is_empty() {
            format!("{what} at the end of the selector")
        } else {
            format!("{what} at `{}`", self.rest)
        }))
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn takes(&mut self, mark: char) -> bool {
        let behind = self.rest.strip_prefix(mark);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn expect(&mut self, mark: char) -> Result<(), Refusal> {
        if self.takes(mark) { Ok(()) } else { self.wrong(&format!("`{mark}` is expected")) }
    }

    fn word(&mut self) -> Result<&'a str, Refusal> {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii();
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        if word.is_empty() {
            return self.wrong("a name is expected");
        }
        self.rest = rest;
        Ok(word)
    }

    fn complex(&mut self) -> Result<Complex, Refusal> {
        let mut parts = Vec::new();
        self.space();
        let mut combinator = Combinator::Descendant;
        loop {
            parts.push((self.compound()?, combinator));
            let spaced = self.rest.starts_with(|c: char| c.is_whitespace());
            self.space();
            combinator = match self.rest.chars().next() {
                None | Some(',') => break,
                Some('>') => Combinator::Child,
                Some('+') => Combinator::Next,
                Some('~') => Combinator::Later,
                Some(_) if spaced => Combinator::Descendant,
                Some(_) => return self.wrong("a part is expected"),
            };
            if combinator != Combinator::Descendant {
                self.rest = self.rest.get(1..).unwrap_or_default();
            }
            self.space();
        }
        parts.reverse();
        Ok(Complex(parts))
    }

    fn compound(&mut self) -> Result<Vec<Simple>, Refusal> {
        let mut simple = Vec::new();
        let mut any = self.takes('*');
        loop {
            self.parts += 1;
            if self.parts > PARTS_MAX {
                return Err(Refusal(format!("a selector of more than {PARTS_MAX} parts")));
            }
            simple.push(match self.rest.chars().next() {
                Some('#') => {
                    self.takes('#');
                    Simple::Attribute("id".into(), Comparison::Equals, self.word()?.to_owned())
                }
                Some('.') => {
                    self.takes('.');
                    Simple::Attribute("class".into(), Comparison::Word, self.word()?.to_owned())
                }
                Some('[') => self.attribute()?,
                Some(':') => self.pseudo()?,
                Some(c) if !any && simple.is_empty() && (c.is_alphanumeric() || c == '_') => {
                    Simple::Name(self.word()?.to_ascii_lowercase())
                }
                _ if any || !simple.is_empty() => return Ok(simple),
                _ => return self.wrong("a part is expected"),
            });
            any = true;
        }
    }

    fn attribute(&mut self) -> Result<Simple, Refusal> {
        self.expect('[')?;
        self.space();
        let name = self.word()?.to_ascii_lowercase();
        self.space();
        let comparison = match self.rest.chars().next() {
            Some(']') => Comparison::Exists,
            Some('=') => Comparison::Equals,
            Some('!') => Comparison::Differs,
            Some('^') => Comparison::Begins,
            Some('$') => Comparison::Ends,
            Some('*') => Comparison::Contains,
            Some('~') => Comparison::Word,
            Some('|') => Comparison::Prefix,
            _ => return self.wrong("`]` or `=` is expected"),
        };
        if comparison == Comparison::Exists {
            self.expect(']')?;
            return Ok(Simple::Attribute(name, comparison, String::new()));
        }
        if comparison != Comparison::Equals {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        self.expect('=')?;
        self.space();
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                self.takes(quote);
                let Some((value, rest)) = self.rest.split_once(quote) else {
                    return self.wrong("a text without an end");
                };
                self.rest = rest;
                value
            }
            _ => {
                let length = self.rest.find(']').unwrap_or(self.rest.len());
                let (value, rest) = self.rest.split_at_checked(length).unwrap_or_default();
                self.rest = rest;
                value.trim()
            }
        };
        self.space();
        self.expect(']')?;
        Ok(Simple::Attribute(name, comparison, value.to_owned()))
    }

    /// What stands in brackets behind a pseudo-class.
    fn argument(&mut self) -> Result<&'a str, Refusal> {
        self.expect('(')?;
        let Some((argument, rest)) = self.rest.split_once(')') else { return self.wrong("`)` is expected") };
        self.rest = rest;
        Ok(argument.trim())
    }

    fn pseudo(&mut self) -> Result<Simple, Refusal> {
        let whole = self.rest;
        self.expect(':')?;
        let nth = |a, b, from_end, same_name| Simple::Nth { a, b, from_end, same_name };
        Ok(match self.word()? {
            "first-child" => nth(0, 1, false, false),
            "last-child" => nth(0, 1, true, false),
            "first-of-type" => nth(0, 1, false, true),
            "last-of-type" => nth(0, 1, true, true),
            "empty" => Simple::Empty,
            name @ ("nth-child" | "nth-last-child" | "nth-of-type" | "nth-last-of-type") => {
                let argument = self.argument()?;
                match formula(argument) {
                    Some((a, b)) => nth(a, b, name.contains("last"), name.contains("type")),
                    None => return self.wrong(&format!("`{argument}` is no `an+b`")),
                }
            }
            name @ ("eq" | "lt" | "gt") => {
                let order = match name {
                    "eq" => std::cmp::Ordering::Equal,
                    "lt" => std::cmp::Ordering::Less,
                    _ => std::cmp::Ordering::Greater,
                };
                match self.argument()?.parse() {
                    Ok(number) => Simple::Place(order, number),
                    Err(_) => return self.wrong(&format!("`:{name}` takes a number")),
                }
            }
            "contains" => Simple::Contains(self.argument()?.trim_matches(['"', '\'']).to_lowercase()),
            "not" => {
                let mut inner = Parser { rest: self.argument()?, parts: self.parts };
                let simple = inner.compound()?;
                self.parts = inner.parts;
                inner.space();
                if !inner.rest.is_empty() {
                    return inner.wrong("`:not` takes one part");
                }
                Simple::Not(simple)
            }
            name => {
                self.rest = whole;
                return self.wrong(&format!("`:{name}` is not known"));
            }
        })
    }
}

/// `odd`, `even`, `3`, `2n+1`, `-n+3`, ...
fn formula(text: &str) -> Option<(i64, i64)> {
    let text: String = text.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let bounded = |number: &str| number.parse::<i32>().ok().map(i64::from);
    match text.as_str() {
        "odd" => return Some((2, 1)),
        "even" => return Some((2, 0)),
        _ => {}
    }
    let Some((a, b)) = text.split_once('n') else { return Some((0, bounded(&text)?)) };
    let a = match a {
        "" | "+" => 1,
        "-" => -1,
        a => bounded(a)?,
    };
    Some((a, if b.is_empty() { 0 } else { bounded(b)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<div id=top class='a b' data-x='one two'><h1>T</h1><p lang=en-GB>p1</p><p class=b>p2 Word</p><ul><li>1<li>2<li>3\
        <li>4</ul></div><p>p3</p><a href='/x.png'>i</a><a href='https://y'>y</a><i></i>";

    #[test]
    fn elements_are_selected() {
        for (selector, wanted) in [
            ("h1", "T"),
            ("DIV > p", "p1|p2 Word"),
            ("div p, h1", "T|p1|p2 Word"),
            ("#top.a.b > .b", "p2 Word"),
            ("h1 + p", "p1"),
            ("h1 ~ p", "p1|p2 Word"),
            ("div ~ p", "p3"),
            ("body > p:not(.b)", "p3"),
            ("[data-x~=two] h1", "T"),
            ("[lang|=en]", "p1"),
            ("a[href$='.png']", "i"),
            ("a[href^=https]", "y"),
            ("a[href*=x]", "i"),
            ("a[href!='/x.png']", "y"),
            ("li:first-child, li:last-child", "1|4"),
            ("li:nth-child(odd)", "1|3"),
            ("li:nth-child(-n+2)", "1|2"),
            ("li:nth-last-child(2)", "3"),
            ("p:first-of-type", "p1|p3"),
            ("li:eq(1)", "2"),
            ("li:lt(1)", "1"),
            ("li:gt(2)", "4"),
            ("p:contains(word)", "p2 Word"),
            ("i:empty", ""),
            ("div *:contains(3)", "1 2 3 4|3"),
            ("nothing", ""),
        ] {
            let document = Document::parse(PAGE);
            let found = Selector::parse(selector).unwrap().select(&document).unwrap();
            let texts = found.into_iter().map(|at| {
                let mut out = String::new();
                document.put_text(at, &mut out);
                out
            });
            assert_eq!(Vec::from_iter(texts).join("|"), wanted, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            "",
            ">",
            "a >",
            "a,",
            "a[",
            "a[b",
            "a[b='c]",
            "a:hover",
            "a:nth-child(x)",
            "a:eq(x)",
            ".",
            "#",
            "a b:not(c d)",
            "a!b",
            "a::before",
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        assert!(Selector::parse(&"a ".repeat(100)).is_err());
    }
}
