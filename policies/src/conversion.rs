//! What policies have in common that turn serialized values into others: which body is meant, and waiting for schemas of a registry.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::{Exchange, Fields, Phases, Policy, Reply, Step};

use crate::framing::Format;
use crate::json::Value;
use crate::message;
use crate::protobuf::{self, Printing};
use crate::registry::{Failed, Registry, Schema, TRIES};

/// Schemas of a registry that one conversion may need.
const SCHEMAS_MAX: usize = 2;

/// One way to convert a value.
pub trait Conversion {
    /// The key of what is refused.
    const KEY: &'static str;

    /// Ids of the schemas that it takes from registries; what is wrong with the value is said by [`Conversion::converted`].
    fn schemas(&self, value: &[u8]) -> [Option<(&Rc<Registry>, u32)>; SCHEMAS_MAX];

    /// The value converted, and its type of content; an empty one where that stays.
    ///
    /// # Errors
    /// It is none of the schema, or there is no schema.
    fn converted(&self, value: &[u8]) -> Result<(Bytes, &'static str), Failure>;
}

/// Why nothing comes of a value.
pub enum Failure {
    /// It is not what it has to be.
    Value(String),
    /// The registry is away.
    Away,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Value(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::Value(reason.to_owned())
    }
}

/// The schema of an id, which was looked for before.
///
/// # Errors
/// There is none.
pub fn found(registry: &Registry, id: u32) -> Result<Rc<Schema>, Failure> {
    match registry.known(id) {
        Some(Ok(schema)) => Ok(schema),
        Some(Err(Failed::Missing(reason))) => Err(Failure::Value(reason.to_string())),
        Some(Err(Failed::Away)) | None => Err(Failure::Away),
    }
}

/// JSON of a value of Protocol Buffers, from behind the id of its schema.
///
/// # Errors
/// It is no value of the schema.
pub fn json_of(schema: &protobuf::Schema, format: Format, bytes: &[u8], printing: Printing) -> Result<String, Failure> {
    let (indexes, bytes) = format.indexes(bytes)?;
    let message = schema.at(&indexes).ok_or("indexes that lead to no message of the schema")?;
    Ok(protobuf::decode(schema, message, bytes, printing)?)
}

/// The value of Protocol Buffers that JSON is, with its frame: one of the schema's first message.
///
/// # Errors
/// It is no value of the schema.
pub fn protobuf_of(schema: &protobuf::Schema, format: Format, id: u32, value: &Value) -> Result<Vec<u8>, Failure> {
    let message = schema.at(&[0]).ok_or("a schema without a message")?;
    let mut out = format.head(id);
    format.first_index(&mut out);
    out.append(&mut protobuf::encode(schema, message, value)?);
    Ok(out)
}

/// A policy that converts bodies and messages.
pub struct Converter<C>(pub C);

/// Whose content it is.
#[derive(Clone, Copy)]
enum Of {
    Request,
    Response,
    Message,
}

impl<C: Conversion> Converter<C> {
    fn run<'a>(&self, content: &mut Option<Bytes>, fields: &mut Fields, status: StatusCode) -> Step<'a> {
        let Some(body) = content.as_ref().filter(|body| !body.is_empty()) else { return Step::Next };
        let reply = match self.0.converted(body) {
            Ok((body, media)) => {
                *content = Some(body);
                if !media.is_empty() {
                    // A constant is a value that every head takes.
                    let _ = fields.set("Content-Type", media);
                }
                return Step::Next;
            }
            Err(Failure::Value(reason)) => Reply::refusal(status, C::KEY, reason),
            Err(Failure::Away) => {
                let message = "The schema registry does not answer.";
                Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "SCHEMA_REGISTRY_UNAVAILABLE", message)
            }
        };
        Step::Reply(Box::new(reply))
    }

    fn apply<'a>(&self, exchange: &mut Exchange, of: Of) -> Step<'a> {
        match of {
            Of::Request => {
                let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
                self.run(&mut exchange.contents.request, &mut request.head.fields, StatusCode::BAD_REQUEST)
            }
            Of::Response => {
                let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
                self.run(&mut exchange.contents.response, &mut response.fields, StatusCode::INTERNAL_SERVER_ERROR)
            }
            Of::Message => message::content(exchange, "", |content, fields, status| self.run(content, fields, status)),
        }
    }

    /// A schema that has to be fetched first.
    fn missing(&self, exchange: &Exchange, of: Of) -> Option<(Rc<Registry>, u32)> {
        let value = match of {
            Of::Request => exchange.contents.request.as_ref(),
            Of::Response => exchange.contents.response.as_ref(),
            Of::Message => exchange.message.as_deref().map(|parcel| &parcel.message.content),
        };
        let value = value.filter(|value| !value.is_empty())?;
        let mut schemas = self.0.schemas(value).into_iter().flatten();
        let missing = schemas.find(|(registry, id)| registry.known(*id).is_none());
        missing.map(|(registry, id)| (registry.clone(), id))
    }

    fn step<'a>(&'a self, exchange: &'a mut Exchange, of: Of) -> Step<'a> {
        let Some(mut missing) = self.missing(exchange, of) else { return self.apply(exchange, of) };
        // Who waits for an answer is told at once; a message waits, and those behind it at the broker.
        let tries = if matches!(of, Of::Message) { TRIES } else { 1 };
        Step::Wait(Box::pin(async move {
            for _ in 0..SCHEMAS_MAX {
                missing.0.find(missing.1, tries).await;
                match self.missing(exchange, of) {
                    Some(next) => missing = next,
                    None => break,
                }
            }
            self.apply(exchange, of)
        }))
    }
}

impl<C: Conversion> Policy for Converter<C> {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(exchange, Of::Request)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(exchange, Of::Response)
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(exchange, Of::Message)
    }
}
