//! What stands around a case: keys, resources of the API, services that are called.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use ringway_contract::fetch::Fetching;
use ringway_contract::kind::Part;
use ringway_contract::{Cause, Fault, Fetch, FetchRequest, FetchResponse, Node, Problem, Resource};

use super::Case;

/// Answers as a case says, and counts.
pub struct Answers {
    known: Vec<(String, String)>,
    pub calls: Cell<usize>,
    /// The last call, as a request is written.
    pub last: RefCell<String>,
}

impl Answers {
    pub fn of(case: &Case) -> Rc<Self> {
        let known = case.parts.iter().filter(|(name, ..)| name == "fetch");
        let known = known.map(|(_, url, block)| (url.clone(), filled(block, |name| format!("<{name}>")))).collect();
        Rc::new(Self { known, calls: Cell::new(0), last: RefCell::default() })
    }
}

impl Fetch for Answers {
    fn fetch(&self, request: FetchRequest) -> Fetching {
        self.calls.set(self.calls.get() + 1);
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let fields = request.headers.iter().map(|(name, value)| format!("\n{name}: {value}")).collect::<String>();
        let shown = format!("{} {}{fields}\n\n{body}", request.method, request.url);
        self.last.replace(shown.trim_end().to_owned());
        let asked = format!("{} {body}", request.url);
        let found = self.known.iter().find(|(url, _)| url == asked.trim_end()).map(|(_, block)| block.clone());
        let found = found.ok_or(Fault::new(Cause::BackendUnreachable));
        Box::pin(async move {
            let block = found?;
            let (head, body) = block.trim_end().split_once("\n\n").unwrap_or((block.trim_end(), ""));
            let mut lines = head.lines();
            let status =
                lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("200").parse().expect("a status");
            let field = |line: &str| {
                let (name, value) = line.split_once(": ").expect("name: value");
                (name.to_owned(), Bytes::from(value.to_owned()))
            };
            Ok(FetchResponse { status, headers: lines.map(field).collect(), body: Bytes::from(body.to_owned()) })
        })
    }
}

/// The text of a file of `tests/keys`.
pub fn key_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The same, within a JSON text; of `path name`, the path of that file of `tests/data`.
pub fn json_text(name: &str) -> String {
    if let Some(name) = name.strip_prefix("path ") {
        return Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string();
    }
    key_file(name).replace('\n', "\\n")
}

/// What the PEM of such a file has.
pub fn der(name: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(key_file(name).as_bytes()).expect("a PEM file").1.contents
}

/// The text with its `<file>` and `<now+seconds>` replaced.
pub fn filled(text: &str, file: impl Fn(&str) -> String) -> String {
    filled_at(text, 0, file)
}

/// The same, `skew` seconds later.
pub fn filled_at(text: &str, skew: i64, file: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let (name, behind) = after.split_once('>').expect("`<name>`");
        out += before;
        let now = ringway_contract::subscriber::now_ms() as i64 / 1000 + skew;
        match name.strip_prefix("now") {
            Some("") => out += &now.to_string(),
            Some(seconds) => out += &(now + seconds.parse::<i64>().expect("seconds")).to_string(),
            None => out += &file(name),
        }
        rest = behind;
    }
    out + rest
}

/// The API's resources: lines `resource: name type {}`.
pub fn resources(case: &Case) -> Vec<Resource> {
    let lines = case.parts.iter().filter(|(name, ..)| name == "resource");
    let read = lines.map(|(_, line, block)| {
        let (name, rest) = line.split_once(' ').expect("name type {}");
        let (kind, configuration) = rest.split_once(' ').expect("name type {}");
        let configuration = Node::parse_json("resource", &format!("{configuration}{block}")).expect("JSON");
        Resource { name: name.into(), kind: kind.into(), enabled: true, configuration: Some(configuration) }
    });
    read.collect()
}

/// Errors and warnings of the resources that a configuration names.
pub fn resource_problems(part: &Part, configuration: &Node, resources: &[Resource]) -> (String, String) {
    let mut problems: Vec<Problem> = Vec::new();
    for used in part.resources {
        let Some(said) = configuration.field(used.field) else { continue };
        let names = if said.items().is_empty() { std::slice::from_ref(said) } else { said.items() };
        for name in names.iter().filter_map(Node::as_text) {
            let Some(resource) = resources.iter().find(|resource| resource.name == name) else { continue };
            let Some((_, check)) = used.kinds.iter().find(|(kind, _)| *kind == resource.kind) else { continue };
            problems.extend(resource.configuration.as_ref().into_iter().flat_map(check));
        }
    }
    super::told(problems)
}
