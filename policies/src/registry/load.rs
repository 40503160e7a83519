//! A schema from a registry, with all that it refers to.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use ringway_contract::{FETCH_BYTES_MAX, FetchRequest, Refusal};

use super::{Failed, Registry, Schema};
use crate::json::{Object, Value};
use crate::query::unreserved;
use crate::{avro, protobuf};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Schemas that one may refer to, directly or not.
const REFERENCES_MAX: usize = 64;
/// Bytes of them all.
const BYTES_MAX: usize = 2 * FETCH_BYTES_MAX;

/// A schema that is referred to: a version of a subject.
type Version = (String, String);

struct Written {
    /// What it is called where it is referred to: a path of an import, or the name of a type.
    name: String,
    text: String,
    refers_to: Vec<(String, Version)>,
}

/// The schema of this id, and the bytes of its text and of those that it refers to.
pub async fn schema(registry: &Registry, id: u32) -> (Result<Rc<Schema>, Failed>, usize) {
    match all(registry, id).await {
        Ok((kind, main, others)) => {
            let bytes = main.text.len() + others.values().map(|other| other.text.len()).sum::<usize>();
            let compiled = compile(&kind, &main, &others).map(Rc::new);
            let compiled = compiled.map_err(|Refusal(reason)| {
                Failed::Missing(format!("the schema {id} of the registry cannot be used: {reason}").into())
            });
            let bytes = if compiled.is_ok() { bytes } else { 0 };
            (compiled, bytes)
        }
        Err(failed) => {
            tracing::warn!(id, registry = %registry.base, ?failed, "a schema was not fetched");
            (Err(failed), 0)
        }
    }
}

async fn all(registry: &Registry, id: u32) -> Result<(String, Written, HashMap<Version, Written>), Failed> {
    let answer = ask(registry, &format!("/schemas/ids/{id}"), id).await?;
    let kind = answer.get("schemaType").and_then(Value::as_str).unwrap_or("AVRO").to_owned();
    let main = written(&answer, String::new())?;
    let mut bytes = main.text.len();
    let mut others: HashMap<Version, Written> = HashMap::new();
    let mut wanted = main.refers_to.clone();
    while let Some((name, version)) = wanted.pop() {
        if others.contains_key(&version) {
            continue;
        }
        if others.len() >= REFERENCES_MAX || bytes > BYTES_MAX {
            let reason = format!("the schema {id} refers to more than {REFERENCES_MAX} others, or {BYTES_MAX} bytes");
            return Err(Failed::Missing(reason.into()));
        }
        let path = format!("/subjects/{}/versions/{}", unreserved(&version.0), unreserved(&version.1));
        let other = written(&ask(registry, &path, id).await?, name)?;
        bytes += other.text.len();
        wanted.extend(other.refers_to.iter().cloned());
        others.insert(version, other);
    }
    Ok((kind, main, others))
}

async fn ask(registry: &Registry, path: &str, id: u32) -> Result<Object, Failed> {
    let fetch = registry.fetch.as_ref().ok_or(Failed::Away)?;
    let url = format!("{}{path}", registry.base);
    let mut request = FetchRequest { timeout: TIMEOUT, ..FetchRequest::get(url) };
    request.headers.push(("Accept".into(), "application/vnd.schemaregistry.v1+json, application/json".into()));
    if let Some(authorization) = &registry.authorization {
        request.headers.push(("Authorization".into(), authorization.clone()));
    }
    let response = fetch.fetch(request).await.map_err(|_| Failed::Away)?;
    match response.status {
        StatusCode::OK => match Value::parse(&response.body) {
            Ok(Value::Object(answer)) => Ok(answer),
            _ => Err(Failed::Away),
        },
        StatusCode::NOT_FOUND => Err(Failed::Missing(format!("the registry does not have the schema {id}").into())),
        _ => Err(Failed::Away),
    }
}

fn written(answer: &Object, name: String) -> Result<Written, Failed> {
    let text = answer.get("schema").and_then(Value::as_str).ok_or(Failed::Away)?.to_owned();
    let Some(Value::Array(references)) = answer.get("references") else {
        return Ok(Written { name, text, refers_to: Vec::new() });
    };
    let refers_to = references.iter().map(|reference| {
        let reference = reference.as_object()?;
        let text = |member: &str| reference.get(member).and_then(Value::as_str).map(str::to_owned);
        let Some(Value::Number(version)) = reference.get("version") else { return None };
        Some((text("name")?, (text("subject")?, version.to_string())))
    });
    let refers_to = refers_to.collect::<Option<Vec<_>>>().ok_or(Failed::Away)?;
    Ok(Written { name, text, refers_to })
}

fn compile(kind: &str, main: &Written, others: &HashMap<Version, Written>) -> Result<Schema, Refusal> {
    match kind {
        "AVRO" => {
            let mut before = Vec::new();
            let mut seen = Vec::new();
            in_order(main, others, &mut seen, &mut before);
            avro::Schema::parse_behind(&before, &main.text).map(Schema::Avro)
        }
        "PROTOBUF" => {
            let import = |path: &str| others.values().find(|other| other.name == path).map(|other| other.text.clone());
            protobuf::compile(&main.text, import).map(Schema::Protobuf)
        }
        "JSON" => Ok(Schema::Json),
        other => Err(Refusal(format!("it is of the type `{other}`"))),
    }
}

/// Those that a schema refers to, each behind what it refers to itself. As deep as there are schemas: [`REFERENCES_MAX`] at most.
fn in_order<'a>(
    of: &'a Written,
    others: &'a HashMap<Version, Written>,
    seen: &mut Vec<&'a Version>,
    out: &mut Vec<String>,
) {
    for (_, version) in &of.refers_to {
        let Some(other) = others.get(version).filter(|_| !seen.contains(&version)) else { continue };
        seen.push(version);
        in_order(other, others, seen, out);
        out.push(other.text.clone());
    }
}
