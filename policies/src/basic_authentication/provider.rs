//! Who knows users: the resources that a policy names.

use std::future::Future;
use std::pin::Pin;

use ringway_contract::kind::{Services, Source};
use ringway_contract::{Exchange, Refusal, Value};

use super::Credentials;
use super::directory::Directory;
use super::inline::Inline;
use super::service::Service;

/// What a provider says of credentials.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// They are those of this user.
    Known(User),
    /// They are nobody's.
    Unknown,
    /// It cannot say now.
    Away,
}

/// Someone who showed the right password.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The attribute `user`.
    pub name: String,
    /// The attribute `user.roles`; not set where there are none.
    pub roles: Option<Value<'static>>,
    /// Further attributes `user.…`.
    pub attributes: Vec<(String, String)>,
}

/// A verdict that has to be waited for.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// Knows users.
pub trait Provider {
    /// Whether it looks at the request's body.
    fn needs_content(&self) -> bool {
        false
    }

    /// What it can say at once; `None`: it has to be asked.
    fn knows(&self, exchange: &Exchange, credentials: &Credentials) -> Option<Verdict>;

    /// Asks it.
    fn ask<'a>(&'a self, exchange: &'a Exchange, credentials: &'a Credentials) -> Asking<'a>;
}

/// The one that a resource describes.
///
/// # Errors
/// There is no such resource, or it is none that can be asked.
pub fn build(source: Source<'_>, name: &str, services: &Services) -> Result<Box<dyn Provider>, Refusal> {
    let (kind, configuration) = source.resource(name)?;
    let named = |Refusal(message)| Refusal(format!("resource `{name}`: {message}"));
    match kind {
        super::INLINE => Ok(Box::new(Inline::new(configuration, services).map_err(named)?)),
        super::SERVICE => Ok(Box::new(Service::new(configuration, services.fetch.clone()).map_err(named)?)),
        super::DIRECTORY => Ok(Box::new(Directory::new(configuration, services).map_err(named)?)),
        other => Err(Refusal(format!("resource `{name}`: a resource of type `{other}` cannot tell who someone is"))),
    }
}
