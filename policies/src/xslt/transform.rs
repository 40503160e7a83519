//! Applies a stylesheet to a document.

use std::cell::Cell;

use super::evaluate::{Evaluator, Focus, Node, Value};
use super::expression::{Axis, Expression, Step};
use super::output::Output;
use super::stylesheet::{Binding, Bound, Instruction, Part, Rule, Stylesheet, in_scope};
use crate::xml::tree::{Document, Id};

/// Templates in one another.
const TEMPLATES_MAX: usize = 100;
/// Variables that are there at once.
const VARIABLES_MAX: usize = 1000;
/// Steps of one transformation: nodes that are looked at, expressions, instructions, pieces of text.
pub const STEPS_MAX: u64 = 4_000_000;

type Done = Result<(), &'static str>;

struct Engine<'a> {
    sheet: &'a Stylesheet,
    evaluator: Evaluator<'a>,
    variables: Vec<(String, Value)>,
    /// Variables before those of the template that is applied: the global ones.
    globals: usize,
    depth: usize,
}

/// Where an instruction is executed.
#[derive(Clone, Copy)]
struct Place {
    node: Node,
    position: usize,
    size: usize,
}

/// Applies a stylesheet; what comes of it, as XML or as text.
///
/// # Errors
/// It takes more than is allowed, or makes what is no document.
pub fn transform(
    sheet: &Stylesheet,
    document: &Document,
    parameters: &[(String, String)],
) -> Result<String, &'static str> {
    let budget = Cell::new(STEPS_MAX);
    let evaluator = Evaluator { document, budget: &budget };
    let mut engine = Engine { sheet, evaluator, variables: Vec::new(), globals: 0, depth: 0 };
    let root = Place { node: Node::of(0), position: 1, size: 1 };
    for (binding, is_parameter) in &sheet.globals {
        let given = parameters.iter().rev().find(|(name, _)| *is_parameter && *name == binding.name);
        let value = match given {
            Some((_, value)) => Value::Text(value.clone()),
            None => engine.bound(binding, root)?,
        };
        engine.variables.push((binding.name.clone(), value));
    }
    engine.globals = engine.variables.len();
    let mut out = Output::new();
    engine.apply(root, "", &mut Vec::new(), &mut out)?;
    let (xml, text) = out.finish()?;
    if sheet.is_text {
        return Ok(text);
    }
    let declaration = if sheet.omit_declaration { "" } else { "<?xml version=\"1.0\" encoding=\"UTF-8\"?>" };
    Ok(format!("{declaration}{xml}"))
}

impl<'a> Engine<'a> {
    fn focus(&self, place: Place) -> Focus<'_> {
        let Place { node, position, size } = place;
        Focus { node, position, size, current: node, variables: &self.variables }
    }

    fn evaluate(&self, expression: &Expression, place: Place) -> Result<Value, &'static str> {
        self.evaluator.evaluate(expression, self.focus(place))
    }

    fn text(&self, expression: &Expression, place: Place) -> Result<String, &'static str> {
        let value = self.evaluate(expression, place)?;
        self.evaluator.text(&value).map(std::borrow::Cow::into_owned)
    }

    /// The value of a variable, a parameter or an argument.
    fn bound(&mut self, binding: &'a Binding, place: Place) -> Result<Value, &'static str> {
        match &binding.value {
            Bound::Expression(expression) => self.evaluate(expression, place),
            Bound::Body(body) => {
                let mut out = Output::new();
                self.body(body, place, &mut out)?;
                let (xml, text) = out.finish()?;
                self.evaluator.charge(xml.len() / 8)?;
                Ok(Value::Fragment(xml, text))
            }
        }
    }

    fn push(&mut self, name: &str, value: Value) -> Done {
        if self.variables.len() >= VARIABLES_MAX {
            return Err("more variables than are allowed");
        }
        self.variables.push((name.to_owned(), value));
        Ok(())
    }

    /// Applies the template that matches a node, or the one that is built in.
    fn apply(&mut self, place: Place, mode: &str, arguments: &mut Vec<(String, Value)>, out: &mut Output) -> Done {
        self.evaluator.charge(1)?;
        let sheet = self.sheet;
        for rule in sheet.rules.iter().filter(|rule| rule.mode == mode) {
            if self.matches(rule, place.node)? {
                return self.template(rule.template, place, arguments, out);
            }
        }
        let document = self.evaluator.document;
        let Node { id, attribute } = place.node;
        if attribute > 0 || document.text(id).is_some() {
            let text = self.evaluator.text_of(place.node)?;
            return out.text(&text);
        }
        self.deeper(|engine| {
            let children = engine.children(id);
            engine.all(&children, mode, &Vec::new(), out)
        })
    }

    fn children(&self, id: Id) -> Vec<Node> {
        let document = self.evaluator.document;
        let stripped =
            |id: &Id| self.sheet.strip_space && document.text(*id).is_some_and(|text| text.trim_ascii().is_empty());
        document.children(id).filter(|id| !stripped(id)).map(Node::of).collect()
    }

    fn all(&mut self, nodes: &[Node], mode: &str, arguments: &[(String, Value)], out: &mut Output) -> Done {
        self.evaluator.charge(nodes.len())?;
        let size = nodes.len();
        for (index, node) in nodes.iter().enumerate() {
            let place = Place { node: *node, position: index + 1, size };
            self.apply(place, mode, &mut arguments.to_vec(), out)?;
        }
        Ok(())
    }

    fn deeper(&mut self, run: impl FnOnce(&mut Self) -> Done) -> Done {
        self.depth += 1;
        if self.depth > TEMPLATES_MAX {
            return Err("more templates in one another than are allowed");
        }
        let done = run(self);
        self.depth -= 1;
        done
    }

    fn template(
        &mut self,
        number: usize,
        place: Place,
        arguments: &mut Vec<(String, Value)>,
        out: &mut Output,
    ) -> Done {
        let sheet = self.sheet;
        let template = sheet.templates.get(number).ok_or("no template")?;
        self.deeper(|engine| {
            // A template sees the global variables and its own.
            let outer = engine.variables.split_off(engine.globals);
            let mut done = Ok(());
            for parameter in &template.parameters {
                let given = arguments.iter().position(|(name, _)| *name == parameter.name);
                let value = match given {
                    Some(at) => Ok(arguments.swap_remove(at).1),
                    None => engine.bound(parameter, place),
                };
                done = value.and_then(|value| engine.push(&parameter.name, value));
                if done.is_err() {
                    break;
                }
            }
            if done.is_ok() {
                done = engine.body(&template.body, place, out);
            }
            engine.variables.truncate(engine.globals);
            engine.variables.extend(outer);
            done
        })
    }

    fn body(&mut self, body: &'a [Instruction], place: Place, out: &mut Output) -> Done {
        let outer = self.variables.len();
        for instruction in body {
            self.evaluator.charge(1)?;
            self.instruction(instruction, place, out)?;
        }
        self.variables.truncate(outer);
        Ok(())
    }

    /// Recursive, as deep as a stylesheet may be, in every template.
    fn instruction(&mut self, instruction: &'a Instruction, place: Place, out: &mut Output) -> Done {
        match instruction {
            Instruction::Text(text) => {
                self.evaluator.charge(text.len() / 8)?;
                out.text(text)
            }
            Instruction::ValueOf(select) => {
                let text = self.text(select, place)?;
                out.text(&text)
            }
            Instruction::Element { name, space, declared, attributes, body } => {
                out.begin(name, space)?;
                for (prefix, space) in declared {
                    out.declare(prefix, space)?;
                }
                for (name, space, parts) in attributes {
                    let value = self.parts(parts, place)?;
                    out.attribute(name, space, value)?;
                }
                self.body(body, place, out)?;
                out.end()
            }
            Instruction::Choose(branches) => {
                for (condition, body) in branches {
                    let holds = match condition {
                        Some(condition) => {
                            let value = self.evaluate(condition, place)?;
                            self.evaluator.boolean(&value)
                        }
                        None => true,
                    };
                    if holds {
                        return self.body(body, place, out);
                    }
                }
                Ok(())
            }
            Instruction::ForEach(select, body) => {
                let nodes = self.evaluator.nodes(select, self.focus(place))?;
                let size = nodes.len();
                for (index, node) in nodes.into_iter().enumerate() {
                    self.body(body, Place { node, position: index + 1, size }, out)?;
                }
                Ok(())
            }
            Instruction::Variable(binding) => {
                let value = self.bound(binding, place)?;
                self.push(&binding.name, value)
            }
            Instruction::Apply(select, mode, arguments) => {
                let nodes = match select {
                    Some(select) => self.evaluator.nodes(select, self.focus(place))?,
                    None if place.node.attribute > 0 => Vec::new(),
                    None => self.children(place.node.id),
                };
                let arguments = self.arguments(arguments, place)?;
                self.all(&nodes, mode, &arguments, out)
            }
            Instruction::Call(name, arguments) => {
                let mut arguments = self.arguments(arguments, place)?;
                let named = self.sheet.named.iter().find(|(known, _)| known == name);
                let (_, number) = named.ok_or("no template")?;
                self.template(*number, place, &mut arguments, out)
            }
            Instruction::Copy(body) => self.copy(place, Some(body), out),
            Instruction::CopyOf(select) => match self.evaluate(select, place)? {
                Value::Nodes(nodes) => nodes.into_iter().try_for_each(|node| self.copy_of(node, out)),
                Value::Fragment(xml, text) => out.raw(&xml, &text),
                other => {
                    let text = self.evaluator.text(&other)?.into_owned();
                    out.text(&text)
                }
            },
            Instruction::NewElement(name, prefixes, space, body) => {
                let name = self.parts(name, place)?;
                let space = space.as_ref().map(|space| self.parts(space, place)).transpose()?;
                let (name, space) = qualified(name, prefixes, space, true)?;
                out.begin(&name, &space)?;
                self.body(body, place, out)?;
                out.end()
            }
            Instruction::NewAttribute(name, prefixes, space, body) => {
                let name = self.parts(name, place)?;
                let space = space.as_ref().map(|space| self.parts(space, place)).transpose()?;
                let (name, space) = qualified(name, prefixes, space, false)?;
                let mut inner = Output::new();
                self.body(body, place, &mut inner)?;
                let (_, value) = inner.finish()?;
                out.attribute(&name, &space, value)
            }
        }
    }

    fn arguments(&mut self, bindings: &'a [Binding], place: Place) -> Result<Vec<(String, Value)>, &'static str> {
        bindings.iter().map(|binding| Ok((binding.name.clone(), self.bound(binding, place)?))).collect()
    }

    fn parts(&self, parts: &[Part], place: Place) -> Result<String, &'static str> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Expression(expression) => text.push_str(&self.text(expression, place)?),
            }
        }
        Ok(text)
    }

    /// Copies a node without what is in it; of the document, only its content is made.
    fn copy(&mut self, place: Place, body: Option<&'a [Instruction]>, out: &mut Output) -> Done {
        let document = self.evaluator.document;
        let Node { id, attribute } = place.node;
        if attribute > 0 {
            let value = self.evaluator.text_of(place.node)?;
            return out.attribute(self.evaluator.name(place.node), self.evaluator.space(place.node), value);
        }
        if let Some(text) = document.text(id) {
            self.evaluator.charge(text.len() / 8)?;
            return out.text(text);
        }
        let is_element = document.is_element(id);
        if is_element {
            self.begin(id, out)?;
        }
        if let Some(body) = body {
            self.body(body, place, out)?;
        }
        if is_element { out.end() } else { Ok(()) }
    }

    /// Begins a copy of an element, with the namespaces that are declared at it.
    fn begin(&self, id: Id, out: &mut Output) -> Done {
        let document = self.evaluator.document;
        out.begin(document.name(id), document.space(id))?;
        let declared = in_scope(document, id);
        self.evaluator.charge(declared.len())?;
        declared.iter().try_for_each(|(prefix, space)| out.declare(prefix, space))
    }

    /// Copies a node with all that is in it; as deep as documents may be.
    fn copy_of(&self, node: Node, out: &mut Output) -> Done {
        let document = self.evaluator.document;
        self.evaluator.charge(1)?;
        let Node { id, attribute } = node;
        if attribute > 0 || document.text(id).is_some() {
            let text = self.evaluator.text_of(node)?;
            return match attribute {
                0 => out.text(&text),
                _ => out.attribute(self.evaluator.name(node), self.evaluator.space(node), text),
            };
        }
        let is_element = document.is_element(id);
        if is_element {
            self.begin(id, out)?;
            let count = document.attributes(id).len();
            (1..=count).try_for_each(|attribute| self.copy_of(Node { id, attribute }, out))?;
        }
        document.children(id).try_for_each(|child| self.copy_of(Node::of(child), out))?;
        if is_element { out.end() } else { Ok(()) }
    }

    /// Whether a pattern matches a node.
    fn matches(&self, rule: &Rule, node: Node) -> Result<bool, &'static str> {
        match rule.steps.split_first() {
            None => Ok(rule.from_root && node == Node::of(0)),
            Some((first, rest)) => self.matches_from(rule, first, rest, node),
        }
    }

    fn matches_from(
        &self,
        rule: &Rule,
        (step, levels): &(Step, bool),
        rest: &[(Step, bool)],
        node: Node,
    ) -> Result<bool, &'static str> {
        self.evaluator.charge(1)?;
        let document = self.evaluator.document;
        if !self.fits(step, node)? {
            return Ok(false);
        }
        let parent = if node.attribute > 0 { Some(node.id) } else { document.parent(node.id) };
        let Some((next, rest)) = rest.split_first() else {
            return Ok(!rule.from_root || *levels || parent == Some(0));
        };
        let mut around = parent;
        while let Some(id) = around {
            if self.matches_from(rule, next, rest, Node::of(id))? {
                return Ok(true);
            }
            around = if *levels { document.parent(id) } else { None };
        }
        Ok(false)
    }

    /// Whether a step of a pattern takes a node.
    fn fits(&self, step: &Step, node: Node) -> Result<bool, &'static str> {
        let is_attribute = step.axis == Axis::Attribute;
        let is_right = (node.attribute > 0) == is_attribute && node != Node::of(0);
        if !is_right || !self.evaluator.fits(node, &step.test, is_attribute) {
            return Ok(false);
        }
        if step.conditions.is_empty() {
            return Ok(true);
        }
        let focus = Focus { node, position: 1, size: 1, current: node, variables: &self.variables };
        if !step.conditions.iter().any(Expression::is_positional) {
            for condition in &step.conditions {
                let value = self.evaluator.evaluate(condition, focus)?;
                if !self.evaluator.boolean(&value) {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        // Its place among those beside it.
        let document = self.evaluator.document;
        let mut beside: Vec<Node> = if is_attribute {
            (1..=document.attributes(node.id).len()).map(|attribute| Node { id: node.id, attribute }).collect()
        } else {
            document.parent(node.id).into_iter().flat_map(|parent| document.children(parent)).map(Node::of).collect()
        };
        self.evaluator.charge(beside.len())?;
        beside.retain(|node| self.evaluator.fits(*node, &step.test, is_attribute));
        for condition in &step.conditions {
            beside = self.evaluator.filtered(beside, condition, focus)?;
        }
        Ok(beside.contains(&node))
    }
}

/// A name that was made, with its namespace: that which is given, or that of its prefix.
fn qualified(
    name: String,
    prefixes: &[(String, String)],
    space: Option<String>,
    is_element: bool,
) -> Result<(String, String), &'static str> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", &name));
    let is_name = |name: &str| crate::xml::is_name(name) && !name.contains(':');
    if !is_name(local) || (name.contains(':') && !is_name(prefix)) || name == "xmlns" || prefix == "xmlns" {
        return Err("a name that no element or attribute can have");
    }
    let space = match space {
        Some(space) => space,
        // An attribute without a prefix is in no namespace.
        None if prefix.is_empty() && !is_element => String::new(),
        None if prefix == "xml" => crate::xml::tree::XML.to_owned(),
        None => {
            let known = prefixes.iter().find(|(known, _)| known == prefix).map(|(_, space)| space.clone());
            known.or_else(|| prefix.is_empty().then(String::new)).ok_or("a prefix that is not declared")?
        }
    };
    if space.is_empty() {
        return Ok((local.to_owned(), space));
    }
    if prefix.is_empty() && !is_element {
        return Ok((format!("ns0:{local}"), space));
    }
    Ok((name, space))
}
