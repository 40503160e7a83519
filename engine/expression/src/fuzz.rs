//! What fuzzers call: any text compiles or is refused at a place in it, and any code is evaluated in bounded time and memory.

use crate::context::{Body, Context, Field, Map};
use crate::{Template, Value, Vocabulary};

/// Compiles the first half of the bytes, and evaluates it against a context that answers with the second.
pub fn expression(data: &[u8]) {
    let (text, answers) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b"{\"a\":[1,\"x\",null]}"[..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let vocabulary = Vocabulary::response().with(crate::Root::Message);
    let template = match Template::compile(text, &vocabulary) {
        Ok(template) => template,
        Err(problem) => {
            assert!(problem.at <= text.len() && !problem.message.is_empty(), "no place: {problem}");
            return;
        }
    };
    let context = Arbitrary { answers };
    let mut out = String::new();
    for context in [&context as &dyn Context, &crate::context::Nothing] {
        for result in [template.evaluate(context).map(drop), template.render(context, &mut out)] {
            if let Err(error) = result {
                assert!(error.at as usize <= text.len() && !error.message.is_empty(), "no place: {error}");
            }
        }
        let _ = template.as_bool(context);
    }
    assert!(out.len() <= 2 * (text.len() + crate::limits::BYTES_MAX), "{} bytes were made", out.len());
}

/// Answers with parts of the input.
struct Arbitrary<'d> {
    answers: &'d [u8],
}

impl Arbitrary<'_> {
    fn answer(&self, salt: usize) -> Value<'_> {
        let part = self.answers.split(|byte| *byte == b'\n').nth(salt % 5).unwrap_or(b"");
        match (part.first(), std::str::from_utf8(part)) {
            (Some(b'0'..=b'9'), Ok(text)) => text.parse().map_or(Value::text(text), Value::Int),
            (Some(b'!'), _) => Value::Bool(true),
            (Some(_), Ok(text)) => Value::text(text),
            _ => Value::Null,
        }
    }
}

impl Context for Arbitrary<'_> {
    fn field(&self, field: Field) -> Value<'_> {
        self.answer(field as usize)
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        if index > 3 { Value::Null } else { self.answer(map as usize + name.len() + index) }
    }

    fn names(&self, _: Map, each: &mut dyn FnMut(&str)) {
        for part in self.answers.split(|byte| *byte == b'\n').take(5) {
            each(&String::from_utf8_lossy(part));
        }
    }

    fn body(&self, _: Body) -> Option<&[u8]> {
        Some(self.answers)
    }

    fn dictionary(&self, id: &str, key: &str) -> Value<'_> {
        self.answer(id.len() + key.len())
    }

    fn now_ms(&self) -> Option<u64> {
        Some(self.answers.len() as u64)
    }
}
