//! Lets bodies in that are signed (JSON Web Signature, RFC 7515), and passes on what was signed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Exchange, Kind, Node, Phases, Policy, Refusal, Reply, Step, Value};
use schemars::JsonSchema;
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::jose::{self, Algorithm, Key, Token};

/// `jws`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "jws",
    about: "Refuses bodies that are not signed (JWS), and passes on what was signed.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Jws::new).err()))
        .reading(files),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Jws::new(decode(source.configuration)?)?)),
};

/// The name of the key of bodies that name none.
const DEFAULT: &str = "default";
/// Bytes of a file with a key.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// Configuration of `jws`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Public keys by their names (`kid`); `default` is the key of bodies that name none. In PEM, in the form of `ssh-rsa`, or the path of a
    /// file that ends with `.pem` and is watched.
    pub keys: BTreeMap<String, String>,
    /// How bodies are signed; one of RSA. A body that is signed otherwise is refused.
    pub signature: Algorithm,
    /// Whether the certificate that a body brings must hold now.
    pub check_certificate_validity: bool,
    /// Whether the certificate is looked for in lists of revocation. Not there: a step that asks for it is refused.
    pub check_certificate_revocation: bool,
}

fn is_file(key: &str) -> bool {
    key.trim().ends_with(".pem") && !key.contains("-----BEGIN")
}

fn files(configuration: Option<&Node>, _: Option<&Node>) -> Vec<PathBuf> {
    let keys = decode::<Config>(configuration).map(|config| config.keys).unwrap_or_default();
    keys.values().filter(|key| is_file(key)).map(|key| key.trim().into()).collect()
}

struct Jws {
    keys: BTreeMap<String, Key>,
    signature: Algorithm,
    validity: bool,
}

impl Jws {
    fn new(config: Config) -> Result<Self, Refusal> {
        if config.check_certificate_revocation {
            let message = "`checkCertificateRevocation`: lists of revocation are not fetched here; take a revoked certificate's key out of `keys`";
            return Err(Refusal(message.into()));
        }
        if !config.signature.name().starts_with(['R', 'P']) {
            return Err(Refusal("`signature` is one of RSA: RSA_RS256 to RSA_RS512, RSA_PS256 to RSA_PS512".into()));
        }
        if config.keys.is_empty() {
            let message = "`keys` is empty: it has what stands below `policy.jws.kid` in the settings of the reference product's gateway, \
                           `{ default: <key> }`";
            return Err(Refusal(message.into()));
        }
        let keys = config.keys.into_iter().map(|(kid, given)| {
            let text = if is_file(&given) { read(given.trim()) } else { Ok(given) };
            let key = text.and_then(|text| Key::given(config.signature, &text));
            key.map(|key| (kid.clone(), key)).map_err(|reason| Refusal(format!("`keys`, `{kid}`: {reason}")))
        });
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Self { keys, signature: config.signature, validity: config.check_certificate_validity })
    }

    /// What is signed in a body. `None`: nothing that is good here and now.
    fn signed(&self, body: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(body).ok()?.trim();
        // How long a body may be is not for a token to say.
        let token = Token::read_within(text, self.signature, text.len())?;
        let header = &token.header;
        let fits = |name: &str, known: &[&str]| match jose::member(header, name) {
            None => true,
            Some(Value::Text(said)) => said.is_empty() || known.iter().any(|known| known.eq_ignore_ascii_case(said)),
            Some(_) => false,
        };
        if !fits("typ", &["JOSE", "JSON", "JOSE+JSON"]) || !fits("cty", &["json", "application/json"]) {
            return None;
        }
        let key = self.keys.get(jose::text(header, "kid").filter(|kid| !kid.is_empty()).unwrap_or(DEFAULT))?;
        if !token.is_signed_by(key) || !self.certificate_fits(header, key) {
            return None;
        }
        let payload = token.payload()?;
        let claims = jose::parse(&payload)?;
        let now = now_ms() as f64 / 1000.0;
        let at = |name| match jose::member(&claims, name) {
            None => Some(None),
            Some(Value::Int(seconds)) => Some(Some(*seconds as f64)),
            Some(Value::Float(seconds)) if seconds.is_finite() => Some(Some(*seconds)),
            Some(_) => None,
        };
        let holds = at("exp")?.is_none_or(|at| now < at) && at("nbf")?.is_none_or(|at| now >= at);
        holds.then_some(payload)
    }

    /// Whether the first certificate of `x5c` is that of the key. It has to be there, and makes no key good that is not known.
    fn certificate_fits(&self, header: &Value<'static>, key: &Key) -> bool {
        let first = jose::texts(jose::member(header, "x5c")).next();
        let Some(der) = first.and_then(|text| STANDARD.decode(text).ok()) else { return false };
        let Ok((rest, certificate)) = X509Certificate::from_der(&der) else { return false };
        rest.is_empty() && key.is_of(&certificate) && (!self.validity || certificate.validity().is_valid())
    }
}

fn read(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{path}: {error}"))?;
    file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(|error| format!("{path}: {error}"))?;
    Ok(text)
}

impl Policy for Jws {
    fn phases(&self) -> Phases {
        Phases::REQUEST.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let payload = exchange.contents.request.as_deref().and_then(|body| self.signed(body));
        let Some(payload) = payload else {
            let message = "The body is not signed, or its signature is not valid.";
            return Step::Reply(Box::new(Reply::refusal(StatusCode::UNAUTHORIZED, "JWS_INVALID_TOKEN", message)));
        };
        exchange.contents.request = Some(Bytes::from(payload));
        if let Some(request) = exchange.request.as_deref_mut() {
            // Name and value are those of a field.
            let _ = request.head.fields.set("Content-Type", "application/json");
        }
        Step::Next
    }
}
