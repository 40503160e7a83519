//! Texts of a configuration that may change from request to request.

use std::borrow::Cow;

use http::StatusCode;
use ringway_contract::context::Context;
use ringway_contract::{EvalError, Exchange, Needs, Refusal, Reply, Template, Value, Vocabulary};

/// A text, with or without expressions.
#[derive(Debug)]
pub struct Text(Template);

impl Text {
    /// Compiles a text of a policy on the request; `field` is where it stands.
    ///
    /// # Errors
    /// An expression in it is none, or names what does not exist.
    pub fn on_request(field: &str, text: &str) -> Result<Self, Refusal> {
        Self::new(field, text, &Vocabulary::request())
    }

    /// Compiles a text of a policy that may stand on the response and on messages, too; what is not there is null.
    ///
    /// # Errors
    /// As [`Text::on_request`].
    pub fn on_both(field: &str, text: &str) -> Result<Self, Refusal> {
        Self::new(field, text, &Vocabulary::any())
    }

    /// Compiles a text where these names exist.
    ///
    /// # Errors
    /// As [`Text::on_request`].
    pub fn new(field: &str, text: &str, vocabulary: &Vocabulary) -> Result<Self, Refusal> {
        let template = Template::compile(text, vocabulary);
        template.map(Self).map_err(|problem| Refusal(format!("{field}: {problem}")))
    }

    /// The text, if it is the same for every request.
    pub fn constant(&self) -> Option<&str> {
        self.0.as_text()
    }

    /// What must be held for it.
    pub fn needs(&self) -> Needs {
        self.0.needs()
    }

    /// The text for this exchange. What is missing is nothing.
    ///
    /// # Errors
    /// The answer, when it cannot be evaluated.
    pub fn render<'a>(&'a self, exchange: &Exchange) -> Result<Cow<'a, str>, Box<Reply>> {
        if let Some(text) = self.constant() {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::new();
        self.0.render(exchange, &mut out).map_err(|error| failed(exchange, &error))?;
        Ok(Cow::Owned(out))
    }

    /// The same with what `context` sees besides.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub fn render_in(&self, context: &dyn Context, exchange: &Exchange) -> Result<String, Box<Reply>> {
        let mut out = String::new();
        self.0.render(context, &mut out).map_err(|error| failed(exchange, &error))?;
        Ok(out)
    }

    /// The value of the text, of whatever type, with what `context` sees.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub fn evaluate_in<'a>(&'a self, context: &'a dyn Context, exchange: &Exchange) -> Result<Value<'a>, Box<Reply>> {
        self.0.evaluate(context).map_err(|error| failed(exchange, &error))
    }

    /// The value for this exchange: that of the expression if the text is one, otherwise a text.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub fn evaluate<'a>(&'a self, exchange: &'a Exchange) -> Result<Value<'a>, Box<Reply>> {
        self.0.evaluate(exchange).map_err(|error| failed(exchange, &error))
    }

    /// The same as [`Text::render`]; `None` if it is one expression and its value is null.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub fn value<'a>(&'a self, exchange: &'a Exchange) -> Result<Option<Cow<'a, str>>, Box<Reply>> {
        match self.evaluate(exchange)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => self.render(exchange).map(Some),
        }
    }
}

/// What the client is told; the operator is told what is wrong.
#[cold]
fn failed(exchange: &Exchange, error: &EvalError) -> Box<Reply> {
    tracing::warn!(api = exchange.api.id, %error, "an expression of a policy cannot be evaluated");
    let message = "An expression of this API cannot be evaluated.";
    Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "GATEWAY_POLICY_INTERNAL_ERROR", message))
}
