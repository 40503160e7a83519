//! Templates: text with `${...}` and `<#...>`, read once.

use ringway_contract::Refusal;

use super::expression::{Expression, Parser};

/// Directives inside of one another at most.
const DEPTH_MAX: usize = 32;

#[derive(Debug)]
pub enum Node {
    Text(String),
    /// `${expression}`
    Print(Expression),
    /// `<#assign name = expression>`
    Assign(String, Expression),
    /// `<#if>`, `<#elseif>`, `<#else>`: the first branch whose condition is true; one without a condition always is.
    If(Vec<(Option<Expression>, Vec<Node>)>),
    /// `<#list expression as name>`
    List(List),
}

#[derive(Debug)]
pub struct List {
    pub of: Expression,
    pub name: String,
    /// `as key, value`: of an object.
    pub value: Option<String>,
    pub body: Vec<Node>,
    /// Between two items, behind the body: `<#sep>`.
    pub between: Vec<Node>,
    /// Where there are no items.
    pub otherwise: Vec<Node>,
}

const STARTS: [&str; 4] = ["${", "<#", "</#", "<@"];

enum Token<'t> {
    Text(&'t str),
    Print(&'t str),
    /// Name and what follows it; a name with `/` ends.
    Directive(&'t str, &'t str),
    Comment,
}

/// Bytes before `end`, which stands outside of quotes and parentheses.
fn extent(text: &str, end: char) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, _) if character == end && depth == 0 => return Some(at),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let found = STARTS.iter().filter_map(|start| Some((rest.find(start)?, *start))).min();
        let Some((at, start)) = found else {
            tokens.push(Token::Text(rest));
            break;
        };
        let (before, found) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if !before.is_empty() {
            tokens.push(Token::Text(before));
        }
        let inside = found.get(start.len()..).unwrap_or_default();
        let unended = || {
            let shown: String = found.chars().take(40).collect();
            Refusal(format!("`{shown}` does not end"))
        };
        rest = match start {
            "${" => {
                let end = extent(inside, '}').ok_or_else(unended)?;
                tokens.push(Token::Print(inside.get(..end).unwrap_or_default()));
                inside.get(end + 1..).unwrap_or_default()
            }
            "<@" => return Err(Refusal("macros (`<@...>`) are not carried".into())),
            "<#" if inside.starts_with("--") => {
                tokens.push(Token::Comment);
                inside.split_once("-->").ok_or_else(unended)?.1
            }
            _ => {
                let end = extent(inside, '>').ok_or_else(unended)?;
                let tag = inside.get(..end).unwrap_or_default();
                let length = tag.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(tag.len());
                let (name, arguments) = tag.split_at_checked(length).unwrap_or((tag, ""));
                let whole = found.get(..start.len() + length).unwrap_or_default();
                let name = if start == "</#" { whole.get(1..).unwrap_or(name) } else { name };
                tokens.push(Token::Directive(name, arguments.trim()));
                inside.get(end + 1..).unwrap_or_default()
            }
        };
    }
    Ok(tokens)
}

/// Drops the space of lines that have nothing but directives, as FreeMarker does.
fn without_lines_of_directives(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut lines: Vec<Vec<Token<'_>>> = vec![Vec::new()];
    for token in tokens {
        let Token::Text(text) = token else {
            if let Some(line) = lines.last_mut() {
                line.push(token);
            }
            continue;
        };
        for piece in text.split_inclusive('\n') {
            if let Some(line) = lines.last_mut() {
                line.push(Token::Text(piece));
            }
            if piece.ends_with('\n') {
                lines.push(Vec::new());
            }
        }
    }
    let is_bare = |line: &[Token<'_>]| {
        line.iter().any(|token| matches!(token, Token::Directive(..) | Token::Comment))
            && line.iter().all(|token| match token {
                Token::Text(text) => text.trim_ascii().is_empty(),
                Token::Print(_) => false,
                Token::Directive(..) | Token::Comment => true,
            })
    };
    let kept = lines.into_iter().flat_map(|mut line| {
        if is_bare(&line) {
            line.retain(|token| !matches!(token, Token::Text(_)));
        }
        line
    });
    kept.collect()
}

/// A template, of which the names are known.
///
/// # Errors
/// Something in it is not carried, or malformed.
pub fn parse(text: &str) -> Result<Vec<Node>, Refusal> {
    let mut reader =
        Reader { tokens: without_lines_of_directives(tokens(text)?).into_iter(), names: Vec::new(), depth: 0 };
    let (nodes, end) = reader.nodes(&[])?;
    match end {
        Some((name, _)) => Err(Refusal(format!("`<{name}>` without a beginning"))),
        None => Ok(nodes),
    }
}

struct Reader<'t> {
    tokens: std::vec::IntoIter<Token<'t>>,
    names: Vec<String>,
    depth: usize,
}

type End<'t> = Option<(&'t str, &'t str)>;

impl<'t> Reader<'t> {
    fn expression(&self, text: &str) -> Result<Expression, Refusal> {
        Parser::new(text, &self.names)
            .whole()
            .map_err(|Refusal(reason)| Refusal(format!("`{}`: {reason}", text.trim())))
    }

    /// Nodes up to one of the directives that end them, which is consumed.
    fn nodes(&mut self, ends: &[&str]) -> Result<(Vec<Node>, End<'t>), Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Refusal(format!("more than {DEPTH_MAX} directives inside of one another")));
        }
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Text(text) => nodes.push(Node::Text(text.to_owned())),
                Token::Comment => {}
                Token::Print(text) => nodes.push(Node::Print(self.expression(text)?)),
                Token::Directive(name, arguments) if ends.contains(&name) => {
                    self.depth -= 1;
                    return Ok((nodes, Some((name, arguments))));
                }
                Token::Directive(name, arguments) => nodes.push(self.directive(name, arguments)?),
            }
        }
        self.depth -= 1;
        match ends.last() {
            Some(end) => Err(Refusal(format!("`<{end}>` is missing"))),
            None => Ok((nodes, None)),
        }
    }

    fn directive(&mut self, name: &str, arguments: &str) -> Result<Node, Refusal> {
        match name {
            "assign" => {
                let (name, value) = arguments
                    .split_once('=')
                    .ok_or_else(|| Refusal(format!("`<#assign {arguments}>`: only `name = value` is carried")))?;
                let name = name.trim().trim_matches(['"', '\'']).to_owned();
                let value = self.expression(value.trim_end_matches('/'))?;
                self.names.push(name.clone());
                Ok(Node::Assign(name, value))
            }
            "if" => {
                let mut condition = Some(self.expression(arguments)?);
                let mut branches = Vec::new();
                loop {
                    let (body, end) = self.nodes(&["elseif", "else", "/#if"])?;
                    branches.push((condition.take(), body));
                    match end {
                        Some(("elseif", arguments)) => condition = Some(self.expression(arguments)?),
                        Some(("else", _)) => {}
                        _ => return Ok(Node::If(branches)),
                    }
                }
            }
            "list" => {
                let malformed = || Refusal(format!("`<#list {arguments}>`: `list items as item` is carried"));
                let (of, names) = arguments.rsplit_once(" as ").ok_or_else(malformed)?;
                let (name, value) = names.split_once(',').map_or((names, None), |(name, value)| (name, Some(value)));
                let of = self.expression(of)?;
                let (name, value) = (name.trim().to_owned(), value.map(|value| value.trim().to_owned()));
                let known = self.names.len();
                self.names.extend([Some(name.clone()), value.clone()].into_iter().flatten());
                self.names.extend([format!("{name}_index"), format!("{name}_has_next")]);
                let mut list = List { of, name, value, body: Vec::new(), between: Vec::new(), otherwise: Vec::new() };
                let (body, mut end) = self.nodes(&["sep", "else", "/#list"])?;
                list.body = body;
                if matches!(end, Some(("sep", _))) {
                    (list.between, end) = self.nodes(&["/#sep", "else", "/#list"])?;
                    if matches!(end, Some(("/#sep", _))) {
                        let (rest, behind) = self.nodes(&["else", "/#list"])?;
                        let has_more =
                            rest.iter().any(|node| !matches!(node, Node::Text(text) if text.trim_ascii().is_empty()));
                        if has_more {
                            return Err(Refusal("`<#sep>` is carried at the end of a list only".into()));
                        }
                        end = behind;
                    }
                }
                self.names.truncate(known);
                if matches!(end, Some(("else", _))) {
                    (list.otherwise, _) = self.nodes(&["/#list"])?;
                }
                Ok(Node::List(list))
            }
            _ => Err(Refusal(
                format!("`<#{name}>` is not carried; `assign`, `if`, `elseif`, `else`, `list` and `sep` are")
                    .replace("<#/#", "</#"),
            )),
        }
    }
}
