//! Texts with expressions in them.

use crate::build::Builder;
use crate::code::Code;
use crate::context::Context;
use crate::lexer::place;
use crate::limits::{PIECES_MAX, TEMPLATE_BYTES_MAX};
use crate::run::Run;
use crate::{EvalError, Problem, Value, Vocabulary, parser};

/// A compiled text: literal text with expressions in it, or one expression that keeps its type.
#[derive(Debug)]
pub struct Template {
    pieces: Box<[Piece]>,
    needs: Needs,
}

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Code(u32, Code),
}

/// What must be kept as a whole before a template can be evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The request's content.
    pub request_content: bool,
    /// The response's content.
    pub response_content: bool,
    /// The message's content.
    pub message_content: bool,
}

impl Template {
    /// Compiles a text. An expression begins with `{#`, `{T(` or `{(` and ends with its `}`; any other brace is text.
    ///
    /// # Errors
    /// A [`Problem`] for what is not an expression, what is not carried, and what does not exist in this vocabulary.
    pub fn compile(text: &str, vocabulary: &Vocabulary) -> Result<Self, Problem> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(Problem::new(0, format!("the text has more than {TEMPLATE_BYTES_MAX} bytes")));
        }
        let mut builder = Builder::new(*vocabulary);
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(start) = begin(text, from) {
            if pieces.len() >= PIECES_MAX {
                return Err(Problem::new(place(start), format!("the text has more than {PIECES_MAX} expressions")));
            }
            push_text(&mut pieces, text.get(from..start));
            let (code, end) = parser::piece(text, start + 1, &mut builder)?;
            pieces.push(Piece::Code(place(start), code));
            from = end;
        }
        push_text(&mut pieces, text.get(from..));
        Ok(Self { pieces: pieces.into(), needs: builder.needs })
    }

    /// Compiles a condition: one expression, or `true` or `false`, with blanks around it.
    ///
    /// # Errors
    /// As [`Template::compile`]; and for a text that is no condition.
    pub fn condition(text: &str, vocabulary: &Vocabulary) -> Result<Self, Problem> {
        let blank = text.len() - text.trim_start().len();
        let shifted = |mut problem: Problem| {
            problem.at += blank;
            problem
        };
        let mut template = Self::compile(text.trim(), vocabulary).map_err(shifted)?;
        let problem = match &mut *template.pieces {
            [Piece::Code(at, Code::Const(value))]
                if !matches!(value, Value::Bool(_) | Value::Null | Value::Text(_)) =>
            {
                Problem::new(*at, format!("a condition is true or false, not {}", value.kind()))
            }
            [Piece::Code(at, _)] => {
                *at += place(blank);
                return Ok(template);
            }
            [Piece::Text(text)] if matches!(&**text, "true" | "false") => return Ok(template),
            _ => Problem::new(0, "a condition is one expression").hint("write `{#request.method == 'GET'}`"),
        };
        Err(shifted(problem))
    }

    /// The text, if there is no expression in it.
    pub fn as_text(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The code, if there is one expression and nothing else.
    pub(crate) fn alone(&self) -> Option<&Code> {
        match &*self.pieces {
            [Piece::Code(_, code)] => Some(code),
            _ => None,
        }
    }

    /// What must be kept before it can be evaluated.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// The value: that of the expression if the template is one, otherwise a text.
    ///
    /// # Errors
    /// An [`EvalError`] for operands of wrong types, and when a bound of [`crate::limits`] is passed.
    pub fn evaluate<'a>(&'a self, context: &'a dyn Context) -> Result<Value<'a>, EvalError> {
        match &*self.pieces {
            [Piece::Code(_, code)] => Run::new(context).value(code, None),
            [Piece::Text(text)] => Ok(Value::text(text)),
            _ => {
                let mut text = String::new();
                self.render(context, &mut text)?;
                Ok(Value::Text(text.into()))
            }
        }
    }

    /// Whether it holds. Null does not.
    ///
    /// # Errors
    /// As [`Template::evaluate`]; and when the value is neither true nor false.
    pub fn as_bool(&self, context: &dyn Context) -> Result<bool, EvalError> {
        if let [Piece::Code(_, Code::EntryIs(entry))] = &*self.pieces {
            return Ok(entry.holds(context));
        }
        let run = Run::new(context);
        match &*self.pieces {
            [Piece::Code(at, code)] => run.truth(*at, &run.value(code, None)?),
            _ => run.truth(0, &self.evaluate(context)?),
        }
    }

    /// Appends the text to `out`. Null is nothing, the items of a list are joined with commas, a map is JSON.
    ///
    /// # Errors
    /// As [`Template::evaluate`]; `out` then has a part of the text.
    pub fn render(&self, context: &dyn Context, out: &mut String) -> Result<(), EvalError> {
        let run = Run::new(context);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Code(at, code) => run.write(*at, &run.value(code, None)?, out)?,
            }
        }
        Ok(())
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        pieces.push(Piece::Text(text.into()));
    }
}

/// Where the next expression begins.
pub(crate) fn begin(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let opens = |(at, _): &(usize, &str)| {
        let inner = rest.get(at + 1..).unwrap_or("");
        inner.starts_with(['#', '(']) || inner.starts_with("T(")
    };
    rest.match_indices('{').find(opens).map(|(at, _)| from + at)
}
