//! Lets requests in that are signed with a shared secret (draft-cavage-http-signatures-12).

pub mod message;

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::context::Field;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::scope::decoded;
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Root, Step, Template, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

use self::message::{Algorithm, Scheme, Signature, seconds};
use crate::asked::Asked;
use crate::credentials;

/// `http-signature`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "http-signature",
    about: "Refuses requests that are not signed with a shared secret (HTTP signatures).",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(HttpSignature::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(HttpSignature::new(decode(source.configuration)?)?)),
};

/// Configuration of `http-signature`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Where the signature stands.
    pub scheme: Scheme,
    /// The secret; may have expressions, also with `#keyId`, the name that the signature gives its key.
    pub secret: String,
    /// Algorithms that a signature may have. Empty: any of these.
    pub algorithms: Vec<Algorithm>,
    /// Fields that must be signed; also `(request-target)`, `(created)` and `(expires)`.
    pub enforce_headers: Vec<String>,
    /// Seconds that the clocks may differ by, for `created` and `expires`.
    pub clock_skew: u32,
    /// Whether texts must be quoted, as the draft has it.
    pub strict_mode: bool,
    /// Whether the signature is percent-encoded.
    pub decode_signature: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scheme: Scheme::default(),
            secret: String::new(),
            algorithms: Vec::new(),
            enforce_headers: Vec::new(),
            clock_skew: 30,
            strict_mode: true,
            decode_signature: false,
        }
    }
}

struct HttpSignature {
    scheme: Scheme,
    secret: Template,
    algorithms: Vec<Algorithm>,
    /// In lower case.
    enforced: Vec<String>,
    skew: f64,
    strict: bool,
    decode: bool,
}

impl HttpSignature {
    fn new(config: Config) -> Result<Self, Refusal> {
        if config.secret.is_empty() {
            return Err(Refusal("`secret` is empty: anyone could sign".into()));
        }
        let secret = Template::compile(&config.secret, &Vocabulary::request().with(Root::KeyId));
        let secret = secret.map_err(|problem| Refusal(format!("`secret`: {problem}")))?;
        let algorithms = if config.algorithms.is_empty() { Algorithm::ALL.into() } else { config.algorithms };
        Ok(Self {
            scheme: config.scheme,
            secret,
            algorithms,
            enforced: config.enforce_headers.iter().map(|name| name.trim().to_ascii_lowercase()).collect(),
            skew: config.clock_skew.into(),
            strict: config.strict_mode,
            decode: config.decode_signature,
        })
    }

    /// The signature of a request; `None`: there is none, or it is not well formed.
    fn shown(&self, exchange: &Exchange) -> Option<Signature> {
        let fields = &credentials::head(exchange)?.fields;
        let text = match self.scheme {
            Scheme::Authorization => {
                fields.get_all("authorization").find_map(|value| credentials::after_scheme(value, "signature"))?
            }
            Scheme::Signature => {
                let value = fields.get("signature")?;
                credentials::after_scheme(value, "signature").or_else(|| std::str::from_utf8(value).ok())?
            }
        };
        let mut signature = Signature::parse(text, self.strict)?;
        if self.decode {
            signature.signature = decoded(&signature.signature, false).into_owned();
        }
        Some(signature)
    }

    fn algorithm(&self, signature: &Signature) -> Option<Algorithm> {
        match (&*signature.algorithm, &*self.algorithms) {
            // Section 2.1.3: the key knows its algorithm.
            ("hs2019", [one]) => Some(*one),
            (name, known) => known.iter().find(|known| known.name() == name).copied(),
        }
    }

    fn is_signed(&self, exchange: &Exchange) -> bool {
        let Some(signature) = self.shown(exchange) else { return false };
        let Some(algorithm) = self.algorithm(&signature) else { return false };
        if !self.enforced.iter().all(|name| signature.names.contains(name)) {
            return false;
        }
        let now = now_ms() as f64 / 1000.0;
        let at = |text: &Option<String>| text.as_deref().and_then(seconds);
        if at(&signature.created).is_some_and(|at| at > now + self.skew)
            || at(&signature.expires).is_some_and(|at| at < now - self.skew)
        {
            return false;
        }
        let texts = &[(Field::KeyId, &*signature.key_id)];
        let mut secret = String::new();
        let rendered = self.secret.render(&Asked { exchange, texts, response: None }, &mut secret).is_ok();
        // An expression that leads to nothing is a key that nobody has, not one that everyone can guess.
        if !rendered || secret.is_empty() {
            return false;
        }
        credentials::head(exchange).is_some_and(|head| signature.is_of(&algorithm.key(secret.as_bytes()), head))
    }
}

impl Policy for HttpSignature {
    fn phases(&self) -> Phases {
        Phases { request_content: self.secret.needs().request_content, ..Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.is_signed(exchange) {
            return Step::Next;
        }
        let message = "The request is not signed, or its signature is not valid.";
        let reply = Reply::refusal(StatusCode::UNAUTHORIZED, "HTTP_SIGNATURE_INVALID_SIGNATURE", message);
        Step::Reply(Box::new(reply.header("WWW-Authenticate", &b"Signature"[..])))
    }
}
