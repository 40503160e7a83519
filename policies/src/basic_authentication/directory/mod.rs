//! A directory that knows users: `auth-provider-ldap-resource`.

pub(crate) mod ber;
pub(crate) mod connection;
pub(crate) mod filter;
mod plan;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use ringway_contract::kind::{Services, decode};
use ringway_contract::{Dial, Exchange, Node, Refusal};

use self::connection::{Code, Connection, Entry, Search};
pub use self::plan::check;
use self::plan::{Plan, Server, Texts, Wanted, Wrong};
use super::Credentials;
use super::provider::{Asking, Provider, User, Verdict};
use crate::clock::now_ms;
use crate::gate::Gate;
use crate::seal::{Mark, Seal};

/// What a connection is for. A bind makes it somebody's, so that those that search are not those that try passwords.
#[derive(Clone, Copy)]
enum Use {
    Search,
    Try,
}

type Sleep = fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>;

/// A directory, as one shard asks it.
pub struct Directory {
    wanted: Wanted,
    /// What is in force: of the texts as they were last.
    standing: RefCell<Option<Rc<Standing>>>,
    dial: Rc<dyn Dial>,
    sleep: Sleep,
    gate: Rc<Gate>,
    seal: Seal,
    is_constant: bool,
    /// Whether the last question was not answered: it is said once.
    away: Cell<bool>,
}

/// A directory as the texts of its configuration describe it; with other texts it is another one, of which nothing is known.
struct Standing {
    texts: Texts,
    plan: Plan,
    dial: Rc<dyn Dial>,
    sleep: Sleep,
    idle: [RefCell<Vec<Connection>>; 2],
    /// Who showed the right password, and until when that is remembered. By a mark that only this shard can make.
    right: RefCell<HashMap<Mark, (User, u64)>>,
}

fn told((field, message): Wrong) -> Refusal {
    Refusal(format!("{field}: {message}"))
}

impl Directory {
    /// # Errors
    /// A field is wrong, or there is nothing to dial with.
    pub fn new(configuration: Option<&Node>, services: &Services) -> Result<Self, Refusal> {
        let wanted = Wanted::new(decode(configuration)?).map_err(told)?;
        let constant = wanted.constant();
        let dial = services.dial.clone().ok_or_else(|| Refusal("there is nothing to reach a directory with".into()));
        let directory = Self {
            gate: Gate::new(wanted.connections_max(), services.shards),
            wanted,
            standing: RefCell::default(),
            dial: dial?,
            sleep: services.sleep,
            seal: Seal::new()?,
            is_constant: constant.is_some(),
            away: Cell::new(false),
        };
        if let Some(texts) = constant {
            directory.stand(texts)?;
        }
        Ok(directory)
    }

    fn stand(&self, texts: Texts) -> Result<Rc<Standing>, Refusal> {
        let plan = self.wanted.plan(&texts).map_err(told)?;
        plan.servers.iter().try_for_each(|server| self.dial.check(server.secured()))?;
        let (dial, sleep) = (self.dial.clone(), self.sleep);
        let standing =
            Rc::new(Standing { texts, plan, dial, sleep, idle: Default::default(), right: RefCell::default() });
        self.standing.replace(Some(standing.clone()));
        Ok(standing)
    }

    /// The directory as it is described now.
    fn now(&self, exchange: &Exchange) -> Result<Rc<Standing>, Refusal> {
        let standing = self.standing.borrow().clone();
        if let Some(standing) = standing.as_ref().filter(|_| self.is_constant) {
            return Ok(standing.clone());
        }
        let texts = self.wanted.texts(exchange).map_err(told)?;
        match standing.filter(|standing| standing.texts == texts) {
            Some(standing) => Ok(standing),
            None => self.stand(texts),
        }
    }

    /// It cannot say.
    fn trouble(&self, error: &dyn std::fmt::Display) -> Verdict {
        if !self.away.replace(true) {
            tracing::warn!(%error, "the directory cannot be asked");
        }
        Verdict::Away
    }
}

impl Standing {
    /// Waits for an operation for as long as it may take.
    async fn within<T>(&self, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        match select(pin!(operation), (self.sleep)(self.plan.response)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// A new connection to a server, in TLS where it is asked for.
    async fn reach(&self, server: &Server) -> io::Result<Connection> {
        let connection = Connection::new(self.dial.dial(&server.remote).await?);
        match &server.started {
            Some(remote) => self.within(connection.start_tls(remote)).await,
            None => Ok(connection),
        }
    }

    /// A new connection to the first server that takes one.
    async fn connect(&self, what: Use) -> io::Result<Connection> {
        let mut last = io::Error::other("there is no server");
        for server in &self.plan.servers {
            let mut connection = match self.reach(server).await {
                Ok(connection) => connection,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            if let (Use::Search, Some((name, password))) = (what, &self.plan.login) {
                match self.within(connection.bind(name, password)).await {
                    Ok(Code::SUCCESS) => {}
                    Ok(Code(code)) => {
                        last = io::Error::other(format!("the directory does not let `{name}` in: {code}"));
                        continue;
                    }
                    Err(error) => {
                        last = error;
                        continue;
                    }
                }
            }
            return Ok(connection);
        }
        Err(last)
    }

    /// Does something with a connection. One that was idle may have been closed by the directory: then with a new one, once.
    async fn with<T>(&self, what: Use, operation: impl AsyncFn(&mut Connection) -> io::Result<T>) -> io::Result<T> {
        let [search, attempt] = &self.idle;
        let idle = match what {
            Use::Search => search,
            Use::Try => attempt,
        };
        let kept = idle.borrow_mut().pop();
        if let Some(mut connection) = kept {
            match self.within(operation(&mut connection)).await {
                Ok(outcome) => {
                    idle.borrow_mut().push(connection);
                    return Ok(outcome);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(_) => idle.borrow_mut().clear(),
            }
        }
        let mut connection = self.connect(what).await?;
        let outcome = self.within(operation(&mut connection)).await?;
        // There are no more than places at the gate.
        idle.borrow_mut().push(connection);
        Ok(outcome)
    }

    /// The one entry that the name leads to.
    async fn find(&self, name: &str) -> io::Result<Option<Entry>> {
        let mut filter = Vec::new();
        self.plan.filter.write(&mut filter, name.as_bytes());
        let limit_s = u32::try_from(self.plan.response.as_secs()).unwrap_or(u32::MAX).max(1);
        let search = Search {
            base: &self.plan.base,
            filter: &filter,
            attributes: &self.plan.attributes,
            entries_max: 2,
            limit_s,
        };
        let (code, mut entries) = self.with(Use::Search, async |connection| connection.search(&search).await).await?;
        match code {
            Code::SUCCESS | Code::SIZE_LIMIT_EXCEEDED => {}
            Code::NO_SUCH_OBJECT => return Ok(None),
            Code(code) => return Err(io::Error::other(format!("the search ended with {code}"))),
        }
        if entries.len() > 1 {
            tracing::warn!("a name leads to more than one entry of the directory: it is nobody's");
        }
        let entry = entries.pop().filter(|entry| entries.is_empty() && !entry.name.is_empty());
        Ok(entry)
    }

    async fn verdict(&self, credentials: &Credentials) -> io::Result<Verdict> {
        let Some(entry) = self.find(&credentials.name).await? else { return Ok(Verdict::Unknown) };
        let (name, password) = (&entry.name, &credentials.password);
        match self.with(Use::Try, async |connection| connection.bind(name, password).await).await? {
            Code::SUCCESS => {}
            code if code.refuses() => return Ok(Verdict::Unknown),
            Code(code) => return Err(io::Error::other(format!("the login ended with {code}"))),
        }
        let attributes = entry.attributes.into_iter().filter_map(|(kind, values)| {
            // As the definition writes it; a directory may write it otherwise.
            let known = self.plan.attributes.iter().find(|known| known.eq_ignore_ascii_case(&kind))?;
            Some((known.clone(), values.into_iter().next()?))
        });
        Ok(Verdict::Known(User { attributes: attributes.collect(), name: entry.name, roles: None }))
    }

    fn remember(&self, mark: Mark, user: &User) {
        let mut right = self.right.borrow_mut();
        if self.plan.cached_max == 0 {
            return;
        }
        if right.len() >= self.plan.cached_max {
            let now_ms = now_ms();
            right.retain(|_, (_, until_ms)| *until_ms > now_ms);
        }
        if right.len() >= self.plan.cached_max {
            let any = right.keys().next().copied();
            any.map(|any| right.remove(&any));
        }
        right.insert(mark, (user.clone(), now_ms().saturating_add(self.plan.cached_ms)));
    }
}

impl Provider for Directory {
    fn knows(&self, exchange: &Exchange, credentials: &Credentials) -> Option<Verdict> {
        // RFC 4513 section 5.1.2: a login without a password succeeds, and is nobody's.
        if credentials.password.is_empty() {
            return Some(Verdict::Unknown);
        }
        let standing = match self.now(exchange) {
            Ok(standing) => standing,
            Err(refusal) => return Some(self.trouble(&refusal)),
        };
        if standing.plan.cached_max == 0 {
            return None;
        }
        let right = standing.right.borrow();
        let (user, until_ms) = right.get(&self.seal.mark_pair(&credentials.name, &credentials.password))?;
        (*until_ms > now_ms()).then(|| Verdict::Known(user.clone()))
    }

    fn ask<'a>(&'a self, exchange: &'a Exchange, credentials: &'a Credentials) -> Asking<'a> {
        Box::pin(async move {
            let _place = self.gate.enter().await;
            let standing = match self.now(exchange) {
                Ok(standing) => standing,
                Err(refusal) => return self.trouble(&refusal),
            };
            match standing.verdict(credentials).await {
                Ok(verdict) => {
                    self.away.set(false);
                    if let Verdict::Known(user) = &verdict {
                        standing.remember(self.seal.mark_pair(&credentials.name, &credentials.password), user);
                    }
                    verdict
                }
                Err(error) => self.trouble(&error),
            }
        })
    }
}

#[cfg(test)]
mod tests;
