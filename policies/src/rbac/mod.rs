//! Lets only users of certain roles pass.

use std::borrow::Cow;
use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Kind, Phases, Policy, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// The attribute that tells the roles: a JSON array of texts, or texts separated by blanks or commas.
const ATTRIBUTE: &str = "user.roles";

/// `rbac`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "rbac",
    about: "Lets only users of certain roles pass.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Rbac(decode(source.configuration)?))),
};

/// Configuration of `rbac`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The roles. Empty: any role will do.
    pub roles: Vec<String>,
    /// Whether a user needs all of the roles, or one of them.
    pub strict: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { roles: Vec::new(), strict: true }
    }
}

struct Rbac(Config);

impl Rbac {
    fn check(&self, exchange: &Exchange) -> Result<(), Box<Reply>> {
        let refusal = |status, key: &'static str, message: &'static str| Box::new(Reply::refusal(status, key, message));
        let Some(roles) = exchange.attributes.get(ATTRIBUTE) else {
            return Err(refusal(StatusCode::FORBIDDEN, "RBAC_NO_USER_ROLE", "The user has no roles."));
        };
        if self.0.roles.is_empty() {
            return Ok(());
        }
        let Some(roles) = parse(roles) else {
            return Err(refusal(
                StatusCode::BAD_REQUEST,
                "RBAC_INVALID_USER_ROLES",
                "The user's roles cannot be read.",
            ));
        };
        let has = |role: &String| roles.iter().any(|known| *known == **role);
        let passes = if self.0.strict { self.0.roles.iter().all(has) } else { self.0.roles.iter().any(has) };
        if passes {
            return Ok(());
        }
        Err(refusal(
            StatusCode::FORBIDDEN,
            "RBAC_FORBIDDEN",
            "The user does not have the roles that this resource needs.",
        ))
    }
}

fn parse(roles: &str) -> Option<Vec<Cow<'_, str>>> {
    if roles.trim_start().starts_with('[') {
        return serde_json::from_str(roles).ok();
    }
    let separator = |character: char| character == ',' || character.is_whitespace();
    Some(roles.split(separator).filter(|role| !role.is_empty()).map(Cow::Borrowed).collect())
}

impl Policy for Rbac {
    fn phases(&self) -> Phases {
        Phases::REQUEST
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.check(exchange).map_or_else(Step::Reply, |()| Step::Next)
    }
}
