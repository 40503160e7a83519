//! Signs requests to the backend with a shared secret (draft-cavage-http-signatures-12).

use std::rc::Rc;

use http::{HeaderName, StatusCode};
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::http_signature::message::{Algorithm, Scheme, Signature};
use crate::text::Text;

/// `generate-http-signature`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "generate-http-signature",
    about: "Signs requests to the backend with a shared secret (HTTP signatures).",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Generate::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Generate::new(decode(source.configuration)?)?)),
};

/// Configuration of `generate-http-signature`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Where the signature is put.
    pub scheme: Scheme,
    /// The name of the key; may have expressions.
    pub key_id: String,
    /// The secret; may have expressions.
    pub secret: String,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// Fields that are signed, besides the moments; also `(request-target)`.
    pub headers: Vec<String>,
    /// Whether the moment of the signature is signed.
    pub created: bool,
    /// Whether the moment is signed at which the signature ends.
    pub expires: bool,
    /// Seconds from the one to the other.
    pub validity_duration: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scheme: Scheme::default(),
            key_id: String::new(),
            secret: String::new(),
            algorithm: Algorithm::default(),
            headers: Vec::new(),
            created: true,
            expires: true,
            validity_duration: 3,
        }
    }
}

struct Generate {
    scheme: Scheme,
    key_id: Text,
    secret: Text,
    algorithm: Algorithm,
    names: Vec<String>,
    created: bool,
    /// Seconds.
    expires: Option<u64>,
}

impl Generate {
    fn new(config: Config) -> Result<Self, Refusal> {
        for (field, value) in [("keyId", &config.key_id), ("secret", &config.secret)] {
            if value.is_empty() {
                return Err(Refusal(format!("`{field}` is empty")));
            }
        }
        if config.expires && config.validity_duration == 0 {
            return Err(Refusal("`validityDuration` is 0: no signature would hold".into()));
        }
        let mut names: Vec<String> = Vec::new();
        let own = config.headers.iter().map(|name| name.trim().to_ascii_lowercase());
        let moments = [(config.created, "(created)"), (config.expires, "(expires)")];
        let moments = moments.iter().filter(|(signed, _)| *signed).map(|(_, name)| (*name).to_owned());
        for name in own.chain(moments) {
            match &*name {
                "(created)" if !config.created => return Err(Refusal("`(created)` needs `created: true`".into())),
                "(expires)" if !config.expires => return Err(Refusal("`(expires)` needs `expires: true`".into())),
                "(created)" | "(expires)" | "(request-target)" => {}
                name if HeaderName::from_bytes(name.as_bytes()).is_ok() => {}
                name => return Err(Refusal(format!("`headers`: `{name}` is no name of a field"))),
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            let message = "nothing would be signed: name `headers`, or let `created` be true";
            return Err(Refusal(message.into()));
        }
        Ok(Self {
            scheme: config.scheme,
            key_id: Text::on_request("keyId", &config.key_id)?,
            secret: Text::on_request("secret", &config.secret)?,
            algorithm: config.algorithm,
            names,
            created: config.created,
            expires: config.expires.then(|| config.validity_duration.into()),
        })
    }

    fn sign(&self, exchange: &mut Exchange) -> Result<(), Box<Reply>> {
        let impossible =
            |status, message| Box::new(Reply::refusal(status, "HTTP_SIGNATURE_IMPOSSIBLE_GENERATION", message));
        let key_id = self.key_id.render(exchange)?.into_owned();
        let secret = self.secret.render(exchange)?;
        if key_id.is_empty() || key_id.contains(char::is_control) || secret.is_empty() {
            let message = "There is no key that this request could be signed with.";
            return Err(impossible(StatusCode::INTERNAL_SERVER_ERROR, message));
        }
        let key = self.algorithm.key(secret.as_bytes());
        let now = now_ms() / 1000;
        let mut signature = Signature {
            key_id,
            algorithm: self.algorithm.name().into(),
            created: self.created.then(|| now.to_string()),
            expires: self.expires.map(|seconds| (now + seconds).to_string()),
            names: self.names.clone(),
            ..Signature::default()
        };
        let Some(request) = exchange.request.as_deref_mut() else { return Ok(()) };
        if signature.sign(&key, &request.head).is_none() {
            return Err(impossible(StatusCode::BAD_REQUEST, "The request lacks a field that is to be signed."));
        }
        let (name, value) = match self.scheme {
            Scheme::Authorization => ("Authorization", format!("Signature {}", signature.to_text())),
            Scheme::Signature => ("Signature", signature.to_text()),
        };
        let set = request.head.fields.set(name, value.as_bytes());
        set.map_err(|_| impossible(StatusCode::INTERNAL_SERVER_ERROR, "The signature cannot be put into a field."))
    }
}

impl Policy for Generate {
    fn phases(&self) -> Phases {
        let request_content = [&self.key_id, &self.secret].iter().any(|text| text.needs().request_content);
        Phases { request_content, ..Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.sign(exchange).map_or_else(Step::Reply, |()| Step::Next)
    }
}
