//! Conditions: compiled when a definition is checked, so that none is wrong when a request comes.

use ringway_expression::{Template, Vocabulary};

use crate::node::{Node, Span};
use crate::problem::Problem;
use crate::walk;

/// Where a definition has conditions that are evaluated, and what exists there.
const PLACES: [(&str, Vocabulary); 7] = [
    ("flows[*].request[*].condition", Vocabulary::request()),
    ("flows[*].response[*].condition", Vocabulary::response()),
    ("flows[*].selectors[*].condition", Vocabulary::request()),
    ("plans[*].flows[*].request[*].condition", Vocabulary::request()),
    ("plans[*].flows[*].response[*].condition", Vocabulary::response()),
    ("plans[*].flows[*].selectors[*].condition", Vocabulary::request()),
    ("plans[*].selectionRule", Vocabulary::request()),
];

/// What is wrong with the conditions of a definition.
pub(crate) fn check(definition: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (pattern, vocabulary) in &PLACES {
        for place in walk::places(definition, pattern) {
            let Some(text) = place.node.as_text().filter(|text| !text.trim().is_empty()) else { continue };
            if let Err(problem) = Template::condition(text, vocabulary) {
                problems.push(told(&place.node.span, place.pointer, &problem));
            }
        }
    }
    problems
}

/// A problem of an expression, as one of the place that it stands at.
pub fn told(span: &Span, pointer: impl Into<String>, problem: &ringway_expression::Problem) -> Problem {
    let message = format!("{} (at byte {} of the text)", problem.message, problem.at);
    Problem::error(span, pointer, message).maybe_hint(problem.hint.clone())
}
