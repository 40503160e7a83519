//! Users that stand in the definition: `auth-provider-inline-resource`.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ringway_contract::kind::{Part, Services, decode};
use ringway_contract::{Exchange, Node, Problem, Refusal, Template, Value, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Credentials;
use super::clerk::{Busy, Clerk};
use super::hash::Hash;
use super::provider::{Asking, Provider, User, Verdict};
use crate::seal::{Mark, Seal};
use crate::tokens::Cache;

/// Configuration of a resource of type `auth-provider-inline-resource`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    users: Vec<Entry>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Entry {
    username: String,
    /// In clear, with or without expressions, or a hash.
    #[serde(default)]
    password: String,
    #[serde(default)]
    roles: Vec<String>,
}

/// Checks the configuration of such a resource.
pub fn check(node: &Node) -> Vec<Problem> {
    let mut problems = (Part::of::<Config>().check)(node);
    if !problems.is_empty() {
        return problems;
    }
    let entries = node.field("users").map(Node::items).unwrap_or_default();
    let mut names = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let text = |field| entry.field(field).and_then(Node::as_text).unwrap_or_default();
        let (name, password) = (text("username").to_lowercase(), text("password"));
        let place = |field: &str| entry.field(field).map_or(&entry.span, |node| &node.span);
        let mut say = |field: &str, message: String| {
            problems.push(Problem::error(place(field), format!("users[{at}].{field}"), message));
        };
        if name.is_empty() || name.contains(':') {
            say("username", "a name is not empty and has no `:` (RFC 7617 section 2)".into());
        } else if name.contains("{#") {
            say("username", "a name with an expression is not carried: write the name itself".into());
        } else if names.contains(&name) {
            say("username", format!("the user `{name}` is there already; case does not count"));
        }
        if let Err(message) = secret_of(password).map(drop) {
            say("password", message);
        }
        names.push(name);
        if password.is_empty() {
            let message = "without a password nobody can log in by this name";
            problems.push(Problem::warning(place("password"), format!("users[{at}].password"), message));
        }
    }
    if entries.is_empty() {
        problems.push(Problem::warning(&node.span, "users", "there are no users: nobody can log in"));
    }
    problems
}

/// A password before it is sealed.
enum Secret {
    Clear(String),
    Hashed(Hash),
    Expression(Template),
}

fn secret_of(password: &str) -> Result<Secret, String> {
    if Hash::is_one(password) {
        return Hash::parse(password).map(Secret::Hashed);
    }
    let template = Template::compile(password, &Vocabulary::deployment()).map_err(|problem| problem.to_string())?;
    Ok(match template.as_text() {
        Some(text) => Secret::Clear(text.to_owned()),
        None => Secret::Expression(template),
    })
}

/// What a user shows to be known.
enum Proof {
    Sealed(Mark),
    Hashed(Arc<Hash>),
    Expression(Template),
}

struct Known {
    user: User,
    /// `None`: nothing would be good.
    proof: Option<Proof>,
}

/// Users of a definition.
pub struct Inline {
    /// By name in lower case.
    users: HashMap<String, Known>,
    /// One of the hashes: names that are not there are held against it, so that the time tells nothing of which names there are.
    decoy: Option<Arc<Hash>>,
    seal: Seal,
    clerk: Clerk,
    /// Credentials that were held against a hash, and were right.
    right: Cache<()>,
    /// And such that were wrong. Apart, so that wrong ones do not push right ones out.
    wrong: Cache<()>,
}

impl Inline {
    /// # Errors
    /// A hash is none.
    pub fn new(configuration: Option<&Node>, services: &Services) -> Result<Self, Refusal> {
        let config: Config = decode(configuration)?;
        let seal = Seal::new()?;
        let mut users = HashMap::with_capacity(config.users.len());
        let mut decoy = None;
        for Entry { username, password, roles } in config.users {
            let secret = secret_of(&password);
            let secret = secret.map_err(|message| Refusal(format!("the password of `{username}`: {message}")))?;
            let proof = match secret {
                Secret::Clear(text) if text.is_empty() => None,
                Secret::Clear(text) => Some(Proof::Sealed(seal.mark(text.as_bytes()))),
                Secret::Expression(template) => Some(Proof::Expression(template)),
                Secret::Hashed(hash) => {
                    let hash = Arc::new(hash);
                    decoy.get_or_insert_with(|| hash.clone());
                    Some(Proof::Hashed(hash))
                }
            };
            let roles: Arc<[Value<'static>]> = roles.into_iter().map(|role| Value::Text(role.into())).collect();
            let roles = Some(roles).filter(|roles| !roles.is_empty()).map(Value::List);
            let name = username.to_lowercase();
            users.insert(name, Known { user: User { name: username, roles, attributes: Vec::new() }, proof });
        }
        Ok(Self { users, decoy, seal, clerk: Clerk::new(services), right: Cache::default(), wrong: Cache::default() })
    }

    fn user(&self, credentials: &Credentials) -> Option<&Known> {
        self.users.get(&credentials.name.to_lowercase())
    }

    fn mark(&self, credentials: &Credentials) -> Mark {
        self.seal.mark_pair(&credentials.name.to_lowercase(), &credentials.password)
    }
}

impl Provider for Inline {
    fn knows(&self, exchange: &Exchange, credentials: &Credentials) -> Option<Verdict> {
        let known = self.user(credentials);
        let right = match known.and_then(|known| known.proof.as_ref()) {
            Some(Proof::Sealed(mark)) => self.seal.is(mark, credentials.password.as_bytes()),
            Some(Proof::Expression(template)) => {
                let mut text = String::new();
                let rendered = template.render(exchange, &mut text).is_ok() && !text.is_empty();
                rendered & self.seal.is(&self.seal.mark(text.as_bytes()), credentials.password.as_bytes())
            }
            None if self.decoy.is_none() => false,
            Some(Proof::Hashed(_)) | None => {
                let mark = self.mark(credentials);
                if self.right.get(&mark).is_none() {
                    self.wrong.get(&mark)?;
                    return Some(Verdict::Unknown);
                }
                true
            }
        };
        Some(known.filter(|_| right).map_or(Verdict::Unknown, |known| Verdict::Known(known.user.clone())))
    }

    fn ask<'a>(&'a self, _: &'a Exchange, credentials: &'a Credentials) -> Asking<'a> {
        let known = self.user(credentials);
        let own = known.and_then(|known| match &known.proof {
            Some(Proof::Hashed(hash)) => Some((known, hash)),
            _ => None,
        });
        let Some(hash) = own.map(|(_, hash)| hash).or(self.decoy.as_ref()) else {
            return Box::pin(std::future::ready(Verdict::Unknown));
        };
        let mark = self.mark(credentials);
        let checking = self.clerk.is_of(mark, hash, &credentials.password);
        Box::pin(async move {
            match (checking.await, own) {
                (Ok(true), Some((known, _))) => {
                    self.right.put(mark, Rc::new(()));
                    Verdict::Known(known.user.clone())
                }
                (Ok(_), _) => {
                    self.wrong.put(mark, Rc::new(()));
                    Verdict::Unknown
                }
                (Err(Busy), _) => Verdict::Away,
            }
        })
    }
}
