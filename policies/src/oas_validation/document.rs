//! An OpenAPI document (3.0, 3.1), compiled: paths, parameters, bodies.

use jsonschema::{Draft, Validator};
use regex::Regex;
use ringway_contract::{Node, Refusal};
use serde_json::{Map, Value, json};

use super::values::Shape;
use crate::schema;

/// References that lead to one another at most.
const REFERENCES_MAX: usize = 16;

/// Levels of a schema that are rewritten at most; the reader of the document has a bound of its own.
const DEPTH_MAX: usize = 128;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

pub struct Document {
    /// Those with fewer parameters first.
    paths: Vec<Path>,
    /// Paths of the servers.
    bases: Vec<String>,
}

struct Path {
    template: Regex,
    operations: Vec<(&'static str, Operation)>,
}

pub struct Operation {
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    /// By status, such as `200`, `2XX` or `default`.
    pub responses: Vec<(String, Response)>,
}

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum In {
    Path,
    Query,
    Header,
    Cookie,
}

impl In {
    pub fn noun(self) -> &'static str {
        match self {
            Self::Path => "path's parameter",
            Self::Query => "query's parameter",
            Self::Header => "field",
            Self::Cookie => "cookie",
        }
    }
}

pub struct Parameter {
    pub name: String,
    pub place: In,
    pub required: bool,
    /// Which of the path's parameters it is.
    pub segment: Option<usize>,
    pub schema: Option<(Shape, Validator)>,
}

pub struct Body {
    pub required: bool,
    pub contents: Vec<Content>,
}

pub struct Content {
    /// In lower case; `type/*` and `*/*` are ranges.
    range: String,
    pub schema: Option<(Shape, Validator)>,
}

pub struct Response {
    pub headers: Vec<Parameter>,
    pub body: Body,
}

impl Operation {
    /// What is said of a status.
    pub fn response(&self, status: u16) -> Option<&Response> {
        let of = |wanted: &str| self.responses.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted));
        let found = of(&status.to_string()).or_else(|| of(&format!("{}XX", status / 100))).or_else(|| of("default"));
        found.map(|(_, response)| response)
    }
}

impl Body {
    /// What is said of a type; the most specific range counts.
    pub fn content(&self, essence: &[u8]) -> Option<&Content> {
        let essence = std::str::from_utf8(essence).unwrap_or_default();
        let kind = essence.split('/').next().unwrap_or_default();
        let of = |wanted: &str| self.contents.iter().find(|content| content.range == wanted);
        of(essence).or_else(|| of(&format!("{kind}/*"))).or_else(|| of("*/*"))
    }
}

impl Document {
    /// # Errors
    /// It is neither JSON nor YAML, of another version, refers to something that is not there, or has a schema that is none.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let name = "the OpenAPI document";
        let parsed = if text.trim_start().starts_with('{') {
            Node::parse_json(name, text).map(|node| vec![node])
        } else {
            Node::parse_yaml(name, text)
        };
        let parsed = parsed.map_err(|problem| Refusal(problem.to_string()))?;
        let root = parsed.first().map(Node::to_json).unwrap_or_default();
        let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
        let reader = match version.get(..4) {
            Some("3.0.") => Reader::new(&root, Draft::Draft4),
            Some("3.1.") => Reader::new(&root, Draft::Draft202012),
            _ => return Err(Refusal("`openapi` is not 3.0 or 3.1".into())),
        };
        let mut paths = Vec::new();
        for (template, item) in root.get("paths").and_then(Value::as_object).into_iter().flatten() {
            let path = reader.path(template, item);
            paths.push(path.map_err(|Refusal(reason)| Refusal(format!("paths: {template}: {reason}")))?);
        }
        paths.sort_by_key(|path| path.template.captures_len());
        let servers = root.get("servers").and_then(Value::as_array).into_iter().flatten();
        let urls = servers.filter_map(|server| server.get("url").and_then(Value::as_str));
        let bases = urls.filter_map(|url| {
            let behind =
                url.split_once("://").map_or(Some(url), |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)))?;
            Some(behind.trim_end_matches('/').to_owned())
        });
        let bases = bases.filter(|base| base.starts_with('/') && !base.contains('{')).collect();
        Ok(Self { paths, bases })
    }

    /// The operation of a method and a path, and what the path's parameters are.
    ///
    /// # Errors
    /// There is none; the text says what is missing.
    pub fn find(&self, method: &str, path: &str, strict: bool) -> Result<(&Operation, Vec<String>), String> {
        let without_base = |base: &String| path.strip_prefix(base.as_str()).filter(|rest| rest.starts_with('/'));
        let candidates = std::iter::once(path).chain(self.bases.iter().filter_map(without_base));
        let mut is_known = false;
        for candidate in candidates {
            let other = match candidate.strip_suffix('/') {
                _ if strict => None,
                Some(without) => Some(without.to_owned()),
                None => Some(format!("{candidate}/")),
            };
            for candidate in std::iter::once(candidate).chain(other.as_deref()) {
                for path in &self.paths {
                    let Some(captures) = path.template.captures(candidate) else { continue };
                    is_known = true;
                    let own = path.operations.iter().find(|(known, _)| known.eq_ignore_ascii_case(method));
                    if let Some((_, operation)) = own {
                        let caught = captures.iter().skip(1).flatten().map(|caught| caught.as_str().to_owned());
                        return Ok((operation, caught.collect()));
                    }
                }
            }
        }
        Err(if is_known {
            format!("{method} of `{path}` is not described")
        } else {
            format!("the path `{path}` is not described")
        })
    }
}

struct Reader<'d> {
    root: &'d Value,
    draft: Draft,
    /// The document's own schemas, as the draft writes them.
    components: Value,
}

impl<'d> Reader<'d> {
    fn new(root: &'d Value, draft: Draft) -> Self {
        let schemas = root.pointer("/components/schemas").cloned().unwrap_or_else(|| json!({}));
        let mut reader = Self { root, draft, components: Value::Null };
        reader.components = json!({ "schemas": reader.rewritten(schemas, 0) });
        reader
    }

    /// `nullable` of 3.0 is a type of its own in a JSON Schema.
    fn rewritten(&self, schema: Value, depth: usize) -> Value {
        if self.draft != Draft::Draft4 || depth > DEPTH_MAX {
            return schema;
        }
        match schema {
            Value::Object(object) => {
                let is_nullable = object.get("nullable") == Some(&Value::Bool(true));
                let mut rewritten = Map::new();
                for (key, value) in object {
                    let value = match (&*key, value) {
                        ("type", Value::String(kind)) if is_nullable => json!([kind, "null"]),
                        ("enum", Value::Array(mut values)) if is_nullable => {
                            values.push(Value::Null);
                            Value::Array(values)
                        }
                        ("enum" | "example" | "examples" | "default", value) => value,
                        (_, value) => self.rewritten(value, depth + 1),
                    };
                    rewritten.insert(key, value);
                }
                Value::Object(rewritten)
            }
            Value::Array(items) => items.into_iter().map(|item| self.rewritten(item, depth + 1)).collect(),
            other => other,
        }
    }

    /// What a reference inside of the document leads to.
    fn resolved(&self, value: &'d Value) -> Result<&'d Value, Refusal> {
        let mut value = value;
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
            let pointer = reference
                .strip_prefix('#')
                .ok_or_else(|| Refusal(format!("`{reference}` leads out of the document; nothing is fetched")))?;
            let found = self.root.pointer(pointer);
            value = found.ok_or_else(|| Refusal(format!("`{reference}` leads nowhere")))?;
        }
        Err(Refusal("references lead in a circle".into()))
    }

    fn schema(&self, schema: Option<&'d Value>) -> Result<Option<(Shape, Validator)>, Refusal> {
        let Some(schema) = schema else { return Ok(None) };
        let shape = Shape::of(self.resolved(schema)?, &|inner| self.resolved(inner));
        // Its references are to the components beside it.
        let whole = json!({ "allOf": [self.rewritten(schema.clone(), 0)], "components": self.components });
        Ok(Some((shape, schema::compile(&whole, self.draft)?)))
    }

    fn path(&self, template: &str, item: &'d Value) -> Result<Path, Refusal> {
        let item = self.resolved(item)?;
        let mut names = Vec::new();
        let mut pattern = String::from("^");
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or_else(|| Refusal("a brace is missing".into()))?;
            pattern += &regex::escape(before);
            pattern += "([^/]+?)";
            names.push(name);
            rest = behind;
        }
        pattern += &regex::escape(rest);
        pattern.push('$');
        let template = Regex::new(&pattern).map_err(|error| Refusal(error.to_string()))?;
        let shared = self.parameters(item.get("parameters"))?;
        let mut operations = Vec::new();
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let within = |Refusal(reason)| Refusal(format!("{method}: {reason}"));
            operations.push((method, self.operation(operation, &shared, &names).map_err(within)?));
        }
        Ok(Path { template, operations })
    }

    fn operation(&self, operation: &'d Value, shared: &[&'d Value], names: &[&str]) -> Result<Operation, Refusal> {
        let own = self.parameters(operation.get("parameters"))?;
        let key = |parameter: &Value| (parameter.get("name").cloned(), parameter.get("in").cloned());
        let inherited = shared.iter().filter(|shared| !own.iter().any(|own| key(own) == key(shared)));
        let mut parameters = Vec::new();
        for parameter in inherited.chain(&own) {
            parameters.extend(self.parameter(parameter, names)?);
        }
        let body = match operation.get("requestBody") {
            Some(body) => Some(self.body(self.resolved(body)?)?),
            None => None,
        };
        let mut responses = Vec::new();
        for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
            let response = self.resolved(response)?;
            let mut headers = Vec::new();
            for (name, header) in response.get("headers").and_then(Value::as_object).into_iter().flatten() {
                headers.extend(self.field(name, In::Header, self.resolved(header)?, None)?);
            }
            responses.push((status.clone(), Response { headers, body: self.body(response)? }));
        }
        Ok(Operation { parameters, body, responses })
    }

    fn parameters(&self, parameters: Option<&'d Value>) -> Result<Vec<&'d Value>, Refusal> {
        parameters.and_then(Value::as_array).into_iter().flatten().map(|parameter| self.resolved(parameter)).collect()
    }

    fn parameter(&self, parameter: &'d Value, names: &[&str]) -> Result<Option<Parameter>, Refusal> {
        let name = parameter.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| Refusal("a parameter without a `name`".into()))?;
        let place = match parameter.get("in").and_then(Value::as_str) {
            Some("path") => In::Path,
            Some("query") => In::Query,
            Some("header") => In::Header,
            Some("cookie") => In::Cookie,
            _ => return Err(Refusal(format!("the parameter `{name}` is in no known place"))),
        };
        let segment = names.iter().position(|known| *known == name);
        self.field(name, place, parameter, segment)
    }

    fn field(
        &self,
        name: &str,
        place: In,
        described: &'d Value,
        segment: Option<usize>,
    ) -> Result<Option<Parameter>, Refusal> {
        // Of these fields the document speaks elsewhere (OpenAPI 3.1 section 4.8.12.1).
        let elsewhere =
            ["accept", "content-type", "authorization"].iter().any(|known| name.eq_ignore_ascii_case(known));
        if place == In::Header && elsewhere {
            return Ok(None);
        }
        let within = |Refusal(reason)| Refusal(format!("the parameter `{name}`: {reason}"));
        let schema = self.schema(described.get("schema")).map_err(within)?;
        let style = described.get("style").and_then(Value::as_str);
        let explode = described.get("explode").and_then(Value::as_bool);
        let by_form = matches!(place, In::Query | In::Cookie);
        let separator = match (style, explode) {
            (None | Some("form"), Some(true) | None) if by_form => None,
            (Some("spaceDelimited"), _) => Some(' '),
            (Some("pipeDelimited"), _) => Some('|'),
            _ => Some(','),
        };
        let schema = schema.map(|(shape, validator)| (shape.separated_by(separator), validator));
        // An object in several parameters, or in a way of its own, is not put together.
        let schema = schema.filter(|(shape, _)| !shape.is_object());
        let required = described.get("required") == Some(&Value::Bool(true));
        Ok(Some(Parameter { name: name.to_owned(), place, required, segment, schema }))
    }

    fn body(&self, described: &'d Value) -> Result<Body, Refusal> {
        let required = described.get("required") == Some(&Value::Bool(true));
        let mut contents = Vec::new();
        for (range, content) in described.get("content").and_then(Value::as_object).into_iter().flatten() {
            let schema = self.schema(content.get("schema"));
            let schema = schema.map_err(|Refusal(reason)| Refusal(format!("{range}: {reason}")))?;
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            contents.push(Content { range, schema });
        }
        Ok(Body { required, contents })
    }
}
