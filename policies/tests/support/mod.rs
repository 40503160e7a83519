//! What the runners of cases share: how a case is read, and how what came out is shown.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    dead_code,
    reason = "tests; each runner uses its part"
)]

pub mod around;

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use ring::rand::SystemRandom;
use ring::{hmac, signature};
use ringway_contract::fetch::Fetching;
use ringway_contract::kind::Part;
use ringway_contract::{
    Cause, Fault, Fetch, FetchRequest, FetchResponse, Node, Problem, Reply, RequestHead, Resource, ResponseHead, Value,
};

pub const CONTEXT_PATH: &str = "/api";

#[derive(Default)]
pub struct Case {
    pub title: String,
    pub line: usize,
    /// Name, rest of the line, indented block.
    pub parts: Vec<(String, String, String)>,
}

impl Case {
    pub fn part(&self, name: &str) -> Option<(&str, &str)> {
        self.parts.iter().find(|(known, ..)| known == name).map(|(_, value, block)| (&**value, &**block))
    }

    /// Every part of this name: the rest of its line, and its block.
    pub fn blocks<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.parts.iter().filter(move |(known, ..)| known == name).map(|(_, value, block)| (&**value, &**block))
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = self.parts.iter().filter(move |(known, ..)| known == name).map(|(_, value, _)| value);
        values
            .map(|value| value.split_once('=').map(|(name, value)| (name.trim(), value.trim())).expect("name = value"))
    }
}

pub fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("# ") {
            cases.push(Case { title: title.to_owned(), line: number + 1, ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(indented) = line.strip_prefix("    ") {
            case.parts.last_mut().expect("a part before its block").2 += &format!("{indented}\n");
        } else if line.trim().is_empty() {
            // Inside a block an empty line ends the head; behind a block it means nothing, which the comparison trims.
            if let Some((.., block)) = case.parts.last_mut().filter(|(.., block)| !block.is_empty()) {
                block.push('\n');
            }
        } else {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("line {}: `name: value`", number + 1));
            case.parts.push((name.to_owned(), value.trim().to_owned(), String::new()));
        }
    }
    cases
}

/// Head and body of a block.
pub fn message(block: &str) -> (BytesMut, Option<Bytes>) {
    let (head, body) = block.split_once("\n\n").unwrap_or((block.trim_end(), ""));
    let body = body.trim_end_matches('\n').to_owned();
    let head = head.trim_end().replace('\n', "\r\n");
    let length = if body.is_empty() { String::new() } else { format!("\r\nContent-Length: {}", body.len()) };
    let is_request = !head.starts_with("HTTP/");
    let zero = if body.is_empty() && !is_request { "\r\nContent-Length: 0" } else { "" };
    (BytesMut::from(&*format!("{head}{length}{zero}\r\n\r\n")), Some(Bytes::from(body)))
}

pub fn shown_request(head: &RequestHead, body: Option<&Bytes>) -> String {
    let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
    let line = format!("{} {}{query} HTTP/1.1", head.method, head.path());
    shown(&line, head.fields.iter(), body)
}

pub fn shown_response(head: &ResponseHead, body: Option<&Bytes>) -> String {
    let reason = head.status.canonical_reason().unwrap_or_default();
    shown(&format!("HTTP/1.1 {} {reason}", head.status.as_str()), head.fields.iter(), body)
}

fn shown<'a>(line: &str, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, body: Option<&Bytes>) -> String {
    let mut text = format!("{}\n", line.trim_end());
    for (name, value) in fields.filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length")) {
        let _ = writeln!(text, "{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    }
    if let Some(body) = body.filter(|body| !body.is_empty()) {
        let _ = write!(text, "\n{}", String::from_utf8_lossy(body));
    }
    text.trim_end().to_owned()
}

pub fn shown_reply(reply: &Reply) -> String {
    let mut text = format!("{} {}", reply.status.as_str(), reply.key).trim_end().to_owned();
    for (name, value) in &reply.headers {
        let _ = write!(text, "\n{name}: {}", String::from_utf8_lossy(value));
    }
    if let Some(body) = reply.body.as_ref().filter(|body| !body.is_empty()) {
        let _ = write!(text, "\n\n{}", String::from_utf8_lossy(body));
    }
    text
}

/// Polls until it is done: what a case waits for is a moment, such as that of `latency`.
pub fn wait<T>(mut future: Pin<&mut dyn Future<Output = T>>) -> T {
    let started = std::time::Instant::now();
    while started.elapsed().as_secs() < 10 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    panic!("the policy waits for ever")
}

/// The errors of a configuration, and the warnings.
pub fn problems(part: &Part, node: &Node) -> (String, String) {
    let problems = (part.check)(node);
    let examined = part.examine.filter(|_| problems.is_empty());
    let problems = problems.into_iter().chain(examined.into_iter().flat_map(|examine| examine(Some(node), None)));
    told(problems)
}

fn told(problems: impl IntoIterator<Item = Problem>) -> (String, String) {
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(Problem::is_error);
    let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    (told(errors), told(warnings))
}

/// Whether what came is what was wanted.
pub fn same(what: &str, wanted: &str, got: &str) -> Result<(), String> {
    let wanted = wanted.trim_end();
    if wanted == got { Ok(()) } else { Err(format!("{what}:\n--- wanted\n{wanted}\n--- got\n{got}\n---")) }
}

/// Where the cases of an extension lie: its folder is named as it is, without the `policy-` that some ids begin with.
pub fn cases_of(name: &str) -> PathBuf {
    let folder = name.strip_prefix("policy-").unwrap_or(name).replace('-', "_");
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder).join("cases.txt")
}

/// A value as a case writes it.
pub fn shown_value(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => text.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(shown_value).collect::<Vec<_>>().join(",")),
        Value::Map(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}:{}", shown_value(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

/// Header and payload, written one behind the other as JSON, as a token in the compact form (RFC 7515 section 7.1). `key` is the file of a
/// private key, `secret:` and an HMAC secret, `public:` and a file whose text is the HMAC secret, or `none`.
pub fn sign(key: &str, file: impl Fn(&str) -> String, parts: &str) -> String {
    let split = parts.find("} {").expect("two objects") + 1;
    let (header, payload) = (&parts[..split], parts[split..].trim());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let algorithm: serde_json::Value = serde_json::from_str(header).unwrap_or_default();
    let algorithm = algorithm["alg"].as_str().unwrap_or_default().to_owned();
    let random = SystemRandom::new();
    let message = signed.as_bytes();
    let hmac_of = |secret: &[u8]| {
        let digest = match &*algorithm {
            "HS384" => hmac::HMAC_SHA384,
            "HS512" => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(digest, secret), message).as_ref().to_vec()
    };
    let pem = |name: &str| x509_parser::pem::parse_x509_pem(file(name).as_bytes()).expect("a PEM file").1.contents;
    let signature = if key == "none" {
        Vec::new()
    } else if let Some(secret) = key.strip_prefix("secret:") {
        hmac_of(secret.as_bytes())
    } else if let Some(name) = key.strip_prefix("public:") {
        hmac_of(file(name).as_bytes())
    } else if key.starts_with("ec521") {
        p521_of(&pem(key), message)
    } else if key.starts_with("ec") {
        let curve = if key.contains("384") {
            &signature::ECDSA_P384_SHA384_FIXED_SIGNING
        } else {
            &signature::ECDSA_P256_SHA256_FIXED_SIGNING
        };
        let pair = ring::signature::EcdsaKeyPair::from_pkcs8(curve, &pem(key), &random).expect("an EC key");
        pair.sign(&random, message).expect("a signature").as_ref().to_vec()
    } else if key.starts_with("ed") {
        let pair = signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pem(key)).expect("an Ed25519 key");
        pair.sign(message).as_ref().to_vec()
    } else {
        let padding: &dyn signature::RsaEncoding = match &*algorithm {
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            "PS512" => &signature::RSA_PSS_SHA512,
            _ => &signature::RSA_PKCS1_SHA256,
        };
        let pair = signature::RsaKeyPair::from_pkcs8(&pem(key)).expect("an RSA key");
        let mut out = vec![0; pair.public().modulus_len()];
        pair.sign(padding, &random, message, &mut out).expect("a signature");
        out
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The signature of a private key on P-521, from its PKCS#8.
fn p521_of(der: &[u8], message: &[u8]) -> Vec<u8> {
    use p521::ecdsa::signature::Signer;
    use p521::ecdsa::{Signature, SigningKey};
    // ECPrivateKey (RFC 5915 section 3): version 1, then the number.
    let marked = [2, 1, 1, 4, 66];
    let from = der.windows(marked.len()).position(|window| window == marked).expect("a key on P-521") + marked.len();
    let key = SigningKey::from_slice(&der[from..from + 66]).expect("a number of the curve");
    let signature: Signature = key.sign(message);
    signature.to_bytes().to_vec()
}

/// Services beside the traffic: they answer as the `fetch:` parts of a case say, by URL and body, and are counted.
pub struct Answers {
    known: Vec<(String, String)>,
    pub calls: Cell<usize>,
    /// The last call, as a case writes it.
    pub last: RefCell<String>,
}

impl Answers {
    pub fn of(case: &Case, filled: impl Fn(&str) -> String) -> Rc<Self> {
        let known = case.parts.iter().filter(|(name, ..)| name == "fetch");
        let known = known.map(|(_, url, block)| (url.clone(), filled(block))).collect();
        Rc::new(Self { known, calls: Cell::new(0), last: RefCell::default() })
    }
}

impl Fetch for Answers {
    fn fetch(&self, request: FetchRequest) -> Fetching {
        self.calls.set(self.calls.get() + 1);
        let asked = format!("{} {}", request.url, String::from_utf8_lossy(&request.body));
        let fields = request.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        *self.last.borrow_mut() = shown(&format!("{} {}", request.method, request.url), fields, Some(&request.body));
        let found = self.known.iter().find(|(url, _)| url == asked.trim_end()).map(|(_, block)| block.clone());
        let found = found.ok_or(Fault::new(Cause::BackendUnreachable));
        Box::pin(async move {
            let block = found?;
            let (head, body) = block.trim_end().split_once("\n\n").unwrap_or((block.trim_end(), ""));
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("200");
            let fields = lines.map(|line| line.split_once(": ").expect("a field"));
            Ok(FetchResponse {
                status: status.parse().expect("a status"),
                headers: fields.map(|(name, value)| (name.to_owned(), Bytes::from(value.to_owned()))).collect(),
                body: Bytes::from(body.to_owned()),
            })
        })
    }
}

/// The resources of the API, from the parts `resource: name type {}`.
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
