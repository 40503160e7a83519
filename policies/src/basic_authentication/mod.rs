//! Asks for a name and a password (RFC 7617), which resources of the API know.

mod clerk;
pub(crate) mod directory;
mod hash;
mod inline;
mod provider;
mod service;

use std::rc::Rc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::StatusCode;
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, ResourceUse, Source, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use self::provider::{Provider, User, Verdict};
use crate::credentials;

/// Types of resources that know users.
const INLINE: &str = "auth-provider-inline-resource";
const SERVICE: &str = "auth-provider-http-resource";
const DIRECTORY: &str = "auth-provider-ldap-resource";

/// `policy-basic-authentication`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-basic-authentication",
    about: "Lets those in who show a name and a password that the API's resources know.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(|config: Config| challenge(&config).map(drop)).err())
        })
        .with_resources(&[ResourceUse {
            field: "authenticationProviders",
            kinds: &[(INLINE, inline::check), (SERVICE, service::check), (DIRECTORY, directory::check)],
        }]),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(BasicAuthentication::new(source, services)?)),
};

/// Configuration of `policy-basic-authentication`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Names of the resources, of type `auth-provider-inline-resource`, `auth-provider-http-resource` or `auth-provider-ldap-resource`, that are
    /// asked in this order until one knows the user.
    pub authentication_providers: Vec<String>,
    /// What the client is told that the name and the password are for; without: `gravitee.io`.
    pub realm: Option<String>,
}

/// The value of `WWW-Authenticate` (RFC 7617 section 2).
fn challenge(config: &Config) -> Result<String, Refusal> {
    if config.authentication_providers.iter().all(|name| name.is_empty()) {
        return Err(Refusal("`authenticationProviders` names no resource: nobody could be let in".into()));
    }
    let realm = config.realm.as_deref().map(str::trim).filter(|realm| !realm.is_empty()).unwrap_or("gravitee.io");
    if realm.contains(|character: char| character.is_control() || !character.is_ascii()) {
        return Err(Refusal("`realm` may have visible characters of ASCII only".into()));
    }
    Ok(format!("Basic realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A name and a password.
struct Credentials {
    name: String,
    password: String,
}

/// Base64, whether or not its end is padded.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Credentials {
    /// Those of the first `Authorization` of the scheme `Basic`. `None`: there is none, or it is not well formed.
    fn of(exchange: &Exchange) -> Option<Self> {
        let fields = &credentials::head(exchange)?.fields;
        let shown = fields.get_all("authorization").find_map(|value| credentials::after_scheme(value, "basic"))?;
        let text = String::from_utf8(BASE64.decode(shown).ok()?).ok()?;
        // RFC 7617 section 2: neither may have control characters.
        let (name, password) = text.split_once(':').filter(|_| !text.contains(char::is_control))?;
        (!name.is_empty()).then(|| Self { name: name.to_owned(), password: password.to_owned() })
    }
}

struct BasicAuthentication {
    challenge: String,
    providers: Vec<Box<dyn Provider>>,
}

impl BasicAuthentication {
    fn new(source: Source<'_>, services: &Services) -> Result<Self, Refusal> {
        let config: Config = decode(source.configuration)?;
        let challenge = challenge(&config)?;
        let names = config.authentication_providers.iter().filter(|name| !name.is_empty());
        let providers = names.map(|name| provider::build(source, name, services)).collect::<Result<_, _>>()?;
        Ok(Self { challenge, providers })
    }

    fn refuse<'a>(&self) -> Step<'a> {
        let message = "This resource asks for a name and a password.";
        let reply = Reply::refusal(StatusCode::UNAUTHORIZED, "BASIC_AUTHENTICATION_UNAUTHORIZED", message);
        Step::Reply(Box::new(reply.header("WWW-Authenticate", self.challenge.clone())))
    }

    /// What comes after all were asked.
    fn conclude<'a>(&self, exchange: &mut Exchange, known: Option<User>, away: bool) -> Step<'a> {
        match known {
            Some(User { name, roles, attributes }) => {
                exchange.attributes.set("user", name);
                for (attribute, value) in attributes {
                    exchange.attributes.set(format!("user.{attribute}"), value);
                }
                if let Some(roles) = roles {
                    exchange.attributes.set_json("user.roles", roles);
                }
                Step::Next
            }
            // The client is not to think that what it has shown is wrong.
            None if away => {
                let message = "What names and passwords are checked with is not available.";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Step::Reply(Box::new(Reply::refusal(status, "BASIC_AUTHENTICATION_UNAVAILABLE", message)))
            }
            None => self.refuse(),
        }
    }
}

impl Policy for BasicAuthentication {
    fn phases(&self) -> Phases {
        let request_content = self.providers.iter().any(|provider| provider.needs_content());
        Phases { request_content, ..Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(credentials) = Credentials::of(exchange) else { return self.refuse() };
        let mut providers = self.providers.iter();
        // Those in front that can say something at once, so that mostly nothing has to be waited for.
        let first = loop {
            let Some(provider) = providers.next() else { return self.refuse() };
            match provider.knows(exchange, &credentials) {
                Some(Verdict::Known(user)) => return self.conclude(exchange, Some(user), false),
                Some(Verdict::Unknown | Verdict::Away) => {}
                None => break provider,
            }
        };
        Step::Wait(Box::pin(async move {
            let (mut away, mut known) = (false, None);
            for provider in std::iter::once(first).chain(providers) {
                let verdict = match provider.knows(exchange, &credentials) {
                    Some(verdict) => verdict,
                    None => provider.ask(exchange, &credentials).await,
                };
                match verdict {
                    Verdict::Known(user) => {
                        known = Some(user);
                        break;
                    }
                    Verdict::Unknown => {}
                    Verdict::Away => away = true,
                }
            }
            self.conclude(exchange, known, away)
        }))
    }
}
