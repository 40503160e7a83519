//! Conditions: compiled when a definition is checked, so that none is wrong when a request comes.

use ringway_expression::{Root, Template, Vocabulary};

use crate::node::{Node, Span};
use crate::problem::Problem;
use crate::walk;

/// Where a flow, of the API or of a plan, has conditions, and what exists there.
const PLACES: [(&str, Vocabulary); 9] = [
    ("selectors[*].condition", Vocabulary::request()),
    ("request[*].condition", Vocabulary::request()),
    ("response[*].condition", Vocabulary::response()),
    ("publish[*].condition", Vocabulary::message()),
    ("subscribe[*].condition", Vocabulary::message()),
    ("request[*].messageCondition", Vocabulary::message()),
    ("response[*].messageCondition", Vocabulary::message()),
    ("publish[*].messageCondition", Vocabulary::message()),
    ("subscribe[*].messageCondition", Vocabulary::message()),
];

/// What exists for the assertion of a health check.
const HEALTH: Vocabulary = Vocabulary::deployment().with(Root::Response);

/// What is wrong with the conditions of a definition, whether or not they are evaluated.
pub(crate) fn check(definition: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (pattern, vocabulary) in &PLACES {
        for flows in ["flows[*]", "plans[*].flows[*]"] {
            compile(definition, &format!("{flows}.{pattern}"), vocabulary, &mut problems);
        }
    }
    compile(definition, "analytics.logging.condition", &Vocabulary::response(), &mut problems);
    compile(definition, "analytics.logging.messageCondition", &Vocabulary::message(), &mut problems);
    compile(definition, "plans[*].selectionRule", &Vocabulary::request(), &mut problems);
    for check in ["endpointGroups[*].services.healthCheck", "endpointGroups[*].endpoints[*].services.healthCheck"] {
        compile(definition, &format!("{check}.configuration.assertion"), &HEALTH, &mut problems);
    }
    for pattern in ["responseTemplates.*.*.body", "responseTemplates.*.*.headers.*"] {
        for walk::Place { node, pointer, .. } in walk::places(definition, pattern) {
            let Some(Err(problem)) = node.as_text().map(|text| Template::compile(text, &Vocabulary::error())) else {
                continue;
            };
            problems.push(placed(node, pointer, problem, "no text that can be compiled"));
        }
    }
    problems
}

fn compile(definition: &Node, pattern: &str, vocabulary: &Vocabulary, problems: &mut Vec<Problem>) {
    for walk::Place { node, pointer, .. } in walk::places(definition, pattern) {
        let Some(text) = node.as_text().filter(|text| !text.trim().is_empty()) else { continue };
        let Err(problem) = Template::condition(text, vocabulary) else { continue };
        problems.push(placed(node, pointer, problem, "no condition that can be compiled"));
    }
}

/// A problem of an expression, at its place in the file. What was substituted is not shown: it may be a secret.
fn placed(node: &Node, pointer: String, problem: ringway_expression::Problem, substituted: &str) -> Problem {
    match exact(node, problem.at) {
        _ if node.substituted => {
            Problem::error(&node.span, pointer, format!("what was substituted here is {substituted}"))
        }
        Some(span) => Problem::error(&span, pointer, problem.message).maybe_hint(problem.hint),
        None => told(&node.span, pointer, &problem),
    }
}

/// The place of a byte of a text, if the file writes the text up to there as it is: on one line and without escapes.
fn exact(node: &Node, byte: usize) -> Option<Span> {
    let before = node.as_text()?.get(..byte)?;
    let mut span = node.span.clone();
    let line = span.source.line(span.line);
    let (from, _) = line.char_indices().nth(usize::try_from(span.column).ok()?.checked_sub(1)?)?;
    let written = line.get(from..)?;
    let quote = usize::from(written.starts_with(['"', '\'']));
    if before.contains('\n') || !written.get(quote..)?.starts_with(before) {
        return None;
    }
    span.column = span.column.checked_add(u32::try_from(quote + before.chars().count()).ok()?)?;
    Some(span)
}

/// A problem of an expression, as one of the place that it stands at.
pub fn told(span: &Span, pointer: impl Into<String>, problem: &ringway_expression::Problem) -> Problem {
    let message = format!("{} (at byte {} of the text)", problem.message, problem.at);
    Problem::error(span, pointer, message).maybe_hint(problem.hint.clone())
}
