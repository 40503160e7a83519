//! What `graphql-limits` and `graphql-rate-limit` have in common: they find the GraphQL documents of a request, and how much those ask for.

use std::borrow::Cow;

use http::Method;
use ringway_contract::Exchange;

use crate::json::{Event, Scanner, Value};
use crate::{media, query};

mod document;
mod measure;

use document::Document;
pub use measure::Measure;
use measure::Measurer;

/// Requests in one body.
const BATCH_MAX: usize = 100;

/// What a request asks for.
#[derive(Debug, Default)]
pub struct Asked {
    /// Of each request of a batch; one otherwise.
    pub requests: Vec<Measure>,
}

/// One request of GraphQL.
struct Request<'a> {
    text: Cow<'a, str>,
    operation: Option<String>,
    variables: Option<Value>,
}

/// Finds what a request asks for; `None` if it carries no GraphQL at all: whatever is neither a `POST` nor has a parameter `query`.
///
/// # Errors
/// What is wrong with it. What cannot be read here is refused: another reader may understand it.
pub fn asked(exchange: &Exchange) -> Result<Option<Asked>, String> {
    let Some(request) = exchange.request.as_deref() else { return Ok(None) };
    let head = &request.head;
    let parameters = query::pairs(head.query().unwrap_or_default()).map(query::parameter);
    let parameters: Vec<_> =
        parameters.filter(|(name, _)| matches!(&**name, "query" | "operationName" | "variables")).collect();
    let has_query = parameters.iter().any(|(name, _)| name == "query");
    if head.method != Method::POST {
        if !has_query {
            return Ok(None);
        }
        let mut of_url = Request { text: Cow::Borrowed(""), operation: None, variables: None };
        for (name, value) in &parameters {
            if parameters.iter().filter(|(other, _)| other == name).count() > 1 {
                return Err(format!("the parameter `{name}` is there twice"));
            }
            match &**name {
                "query" => of_url.text = value.clone(),
                "operationName" => of_url.operation = Some(value.clone().into_owned()),
                _ => {
                    of_url.variables =
                        Some(Value::parse(value.as_bytes()).map_err(|error| format!("variables: {error}"))?)
                }
            }
        }
        return Ok(Some(Asked { requests: vec![measured(&of_url)?] }));
    }
    if !parameters.is_empty() {
        return Err("a POST with parameters of GraphQL in its URL, besides those in its body".into());
    }
    let body = exchange.contents.request.as_deref().unwrap_or_default();
    let media = media::essence(head.fields.get("content-type").unwrap_or_default());
    if media.eq_ignore_ascii_case(b"application/graphql") {
        let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
        let whole = Request { text: Cow::Borrowed(text), operation: None, variables: None };
        return Ok(Some(Asked { requests: vec![measured(&whole)?] }));
    }
    twins(body).map_err(|what| what.to_owned())?;
    let value = Value::parse(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let values = match value {
        Value::Array(values) if values.len() <= BATCH_MAX => values,
        Value::Array(_) => return Err(format!("more than {BATCH_MAX} requests in one body")),
        single => vec![single],
    };
    let requests = values.into_iter().map(|value| measured(&of_json(value)?)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Asked { requests }))
}

/// A member that is there twice means one thing here and another where the first one counts.
fn twins(body: &[u8]) -> Result<(), &'static str> {
    let malformed = "the body is not JSON";
    let mut scanner = Scanner::new(body).map_err(|_| malformed)?;
    let mut seen = [false; 3];
    while let Some(event) = scanner.next().map_err(|_| malformed)? {
        let is_request = scanner.depth() == 1 || (scanner.depth() == 2 && scanner.is_in_array(1));
        match event {
            Event::BeginObject if is_request => seen = [false; 3],
            Event::Name(name) if is_request => {
                let member = ["query", "operationName", "variables"].iter().position(|known| *known == name);
                let place = member.and_then(|member| seen.get_mut(member));
                if place.is_some_and(|seen| std::mem::replace(seen, true)) {
                    return Err("a member of the request is there twice");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn of_json(value: Value) -> Result<Request<'static>, String> {
    let Value::Object(mut members) = value else { return Err("a request that is no JSON object".into()) };
    let Some(Value::String(text)) = members.swap_remove("query") else {
        return Err("a request without a `query`".into());
    };
    let operation = match members.swap_remove("operationName") {
        Some(Value::String(name)) if !name.is_empty() => Some(name),
        Some(Value::Null | Value::String(_)) | None => None,
        Some(_) => return Err("an `operationName` that is no text".into()),
    };
    Ok(Request { text: Cow::Owned(text), operation, variables: members.swap_remove("variables") })
}

/// What a request asks for: the operation that is named, or the only one.
fn measured(request: &Request) -> Result<Measure, String> {
    let document = Document::parse(&request.text).map_err(|error| format!("not GraphQL: {error}"))?;
    let variables = |name: &str| match request.variables.as_ref()?.as_object()?.get(name)? {
        Value::Number(digits) => Some(digits.parse().unwrap_or(i64::MAX)),
        _ => None,
    };
    let meant = |name: Option<&str>| request.operation.as_deref().is_none_or(|wanted| name == Some(wanted));
    let mut operations = document.operations.iter().filter(|operation| meant(operation.name));
    // A server has to refuse it, too: it would not know which to execute.
    let (Some(operation), None) = (operations.next(), operations.next()) else {
        return Err("not one operation that is meant: `operationName` must name one of them".into());
    };
    Measurer::measure(&document, operation, &variables).map_err(|what| format!("not GraphQL: {what}"))
}
