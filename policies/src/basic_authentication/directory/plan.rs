//! What a resource says of a directory: read when the definition is, but for texts with expressions, which may say something else tomorrow.

use std::time::Duration;

use ringway_contract::context::Context;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Node, Problem, Remote, RemoteTls, Template, Value, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

use super::filter::Filter;

/// Servers of one directory.
const SERVERS_MAX: usize = 16;
/// Where a time is not bounded, it is all the same.
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Authentications that a shard remembers, whatever the configuration says.
const CACHED_MAX: usize = 10_000;
/// Connections of the whole gateway, whatever the configuration says.
const POOL_MAX: usize = 1024;

/// Configuration of a resource of type `auth-provider-ldap-resource`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    context_source_url: String,
    #[serde(rename = "useStartTLS")]
    use_start_tls: bool,
    context_source_base: String,
    context_source_username: String,
    context_source_password: String,
    user_search_filter: String,
    user_search_base: String,
    attributes: Vec<String>,
    cache_max_elements: usize,
    cache_time_to_live: u64,
    connect_timeout: u64,
    response_timeout: u64,
    min_pool_size: usize,
    max_pool_size: usize,
    /// PEM of the authorities that sign the directory's certificate; without, those of the system. Of Ringway.
    ca: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            context_source_url: String::new(),
            use_start_tls: false,
            context_source_base: String::new(),
            context_source_username: String::new(),
            context_source_password: String::new(),
            user_search_filter: "uid={0}".into(),
            user_search_base: String::new(),
            attributes: Vec::new(),
            cache_max_elements: 100,
            cache_time_to_live: 60_000,
            connect_timeout: 5000,
            response_timeout: 5000,
            min_pool_size: 5,
            max_pool_size: 15,
            ca: None,
        }
    }
}

/// Checks the configuration of such a resource.
pub fn check(node: &Node) -> Vec<Problem> {
    let mut problems = (Part::of::<Config>().check)(node);
    let Ok(config) = decode::<Config>(Some(node)) else { return problems };
    match Wanted::new(config).and_then(|wanted| wanted.plan(&wanted.sample())) {
        Err((field, message)) => {
            let place = node.field(field).unwrap_or(node);
            problems.push(Problem::error(&place.span, field, message));
        }
        Ok(plan) if plan.servers.iter().any(|server| server.secured().tls.is_none()) => {
            let message =
                "passwords go to the directory in clear: use `ldaps://` or `useStartTLS` where others can listen";
            let place = node.field("contextSourceUrl").unwrap_or(node);
            problems.push(Problem::warning(&place.span, "contextSourceUrl", message));
        }
        Ok(_) => {}
    }
    problems
}

/// A field that is wrong, and what is wrong with it.
pub type Wrong = (&'static str, String);

/// Fields whose texts may have expressions; [`Texts`] has them in this order.
const FIELDS: [&str; 6] = [
    "contextSourceUrl",
    "contextSourceUsername",
    "contextSourcePassword",
    "contextSourceBase",
    "userSearchBase",
    "userSearchFilter",
];

/// The texts of [`FIELDS`].
pub type Texts = [String; 6];

/// A configuration whose texts may say something else from request to request: those of `#api` and `#properties` were evaluated when the
/// definition was read, dictionaries change while it is in force.
pub struct Wanted {
    config: Config,
    templates: [Template; 6],
}

impl Wanted {
    /// # Errors
    /// An expression is none, or asks for what there is not.
    pub fn new(config: Config) -> Result<Self, Wrong> {
        let texts = [
            &config.context_source_url,
            &config.context_source_username,
            &config.context_source_password,
            &config.context_source_base,
            &config.user_search_base,
            &config.user_search_filter,
        ];
        let compiled = |field: &'static str, text: &str| {
            Template::compile(text, &Vocabulary::deployment()).map_err(|problem| (field, problem.to_string()))
        };
        let [url, username, password, base, search_base, filter] = texts;
        let [of_url, of_username, of_password, of_base, of_search_base, of_filter] = FIELDS;
        let templates = [
            compiled(of_url, url)?,
            compiled(of_username, username)?,
            compiled(of_password, password)?,
            compiled(of_base, base)?,
            compiled(of_search_base, search_base)?,
            compiled(of_filter, filter)?,
        ];
        Ok(Self { config, templates })
    }

    /// The texts, if they are the same for every request.
    pub fn constant(&self) -> Option<Texts> {
        let texts = self.templates.iter().map(|template| template.as_text().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()?.try_into().ok()
    }

    /// The texts as they are now.
    ///
    /// # Errors
    /// One cannot be evaluated, or is nothing: a directory that is searched with less than was meant would know others.
    pub fn texts(&self, context: &dyn Context) -> Result<Texts, Wrong> {
        let mut texts = Texts::default();
        for ((field, template), out) in FIELDS.into_iter().zip(&self.templates).zip(&mut texts) {
            match template.evaluate(context) {
                Ok(Value::Null) => return Err((field, "its expression gives nothing".into())),
                Ok(_) => template.render(context, out).map_err(|error| (field, error.to_string()))?,
                Err(error) => return Err((field, error.to_string())),
            }
        }
        Ok(texts)
    }

    /// Texts to examine the others with: where an expression stands, one that is right.
    fn sample(&self) -> Texts {
        let url = if self.config.use_start_tls { "ldap://directory" } else { "ldaps://directory" };
        let stand_ins = [url, "cn=name", "password", "dc=base", "ou=base", "(uid={0})"];
        let texts = self.templates.iter().zip(stand_ins);
        texts
            .map(|(template, stand_in)| template.as_text().unwrap_or(stand_in).to_owned())
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_default()
    }

    /// What is asked for with these texts.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn plan(&self, texts: &Texts) -> Result<Plan, Wrong> {
        Plan::new(&self.config, texts)
    }

    /// Connections of the whole gateway.
    pub fn connections_max(&self) -> usize {
        self.config.max_pool_size.clamp(1, POOL_MAX)
    }
}

/// What a configuration asks for.
pub struct Plan {
    /// The directory's servers, in the order in which they are tried.
    pub servers: Vec<Server>,
    /// Who searches: name and password.
    pub login: Option<(String, String)>,
    /// Where is searched.
    pub base: String,
    /// What is searched for.
    pub filter: Filter,
    /// Attributes that are wanted of an entry.
    pub attributes: Vec<String>,
    /// Authentications that are remembered.
    pub cached_max: usize,
    /// For how long, in milliseconds.
    pub cached_ms: u64,
    /// How long an operation may take.
    pub response: Duration,
}

impl Plan {
    fn new(config: &Config, texts: &Texts) -> Result<Self, Wrong> {
        let [url, username, password, base, search_base, filter] = texts;
        let bounded = |ms: u64| Duration::from_millis(if ms == 0 { TIMEOUT_MS_MAX } else { ms.min(TIMEOUT_MS_MAX) });
        let tls = RemoteTls {
            authorities: config.ca.clone().filter(|pem| !pem.is_empty()),
            verify_hostname: true,
            trust_all: false,
        };
        let urls = url.split([',', ' ']).filter(|url| !url.is_empty());
        let read = |url| server(url, &tls, config.use_start_tls, bounded(config.connect_timeout));
        let servers = urls.map(read).collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(|message| ("contextSourceUrl", message))?;
        if servers.is_empty() || servers.len() > SERVERS_MAX {
            return Err(("contextSourceUrl", format!("it is one URL to {SERVERS_MAX}, with commas between them")));
        }
        let filter = Filter::parse(filter).map_err(|message| ("userSearchFilter", message))?;
        if !filter.has_place() {
            return Err((
                "userSearchFilter",
                "`{0}`, the place of the name, is not in it: everybody would be the same".into(),
            ));
        }
        let bases = [search_base, base].into_iter().filter(|base| !base.trim().is_empty());
        // RFC 4513 section 5.1.2: with a name and without a password, a directory lets in as nobody.
        if !username.is_empty() && password.is_empty() {
            return Err(("contextSourcePassword", "it is empty, and `contextSourceUsername` is not".into()));
        }
        Ok(Self {
            servers,
            login: Some((username.clone(), password.clone())).filter(|(name, _)| !name.is_empty()),
            base: bases.map(String::as_str).collect::<Vec<_>>().join(","),
            filter,
            attributes: config.attributes.clone(),
            cached_max: config.cache_max_elements.min(CACHED_MAX),
            cached_ms: config.cache_time_to_live,
            response: bounded(config.response_timeout),
        })
    }
}

fn server(url: &str, tls: &RemoteTls, starts: bool, timeout: Duration) -> Result<Server, String> {
    let wrong = || format!("`{url}` is not of the form `ldap://host:389` or `ldaps://host:636`");
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    let (in_tls, port) = match uri.scheme_str() {
        Some("ldap") => (false, 389),
        Some("ldaps") if starts => {
            return Err(format!("`{url}` is TLS from the start, and `useStartTLS` asks for it later"));
        }
        Some("ldaps") => (true, 636),
        _ => return Err(wrong()),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!("`{url}`: what is searched stands in `contextSourceBase`"));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
    let remote = Remote { host, port: uri.port_u16().unwrap_or(port), tls: in_tls.then(|| tls.clone()), timeout };
    let started = starts.then(|| Remote { tls: Some(tls.clone()), ..remote.clone() });
    Ok(Server { remote, started })
}

/// A server of a directory.
pub struct Server {
    /// Where it is.
    pub remote: Remote,
    /// The same with TLS, where it begins when it is asked for.
    pub started: Option<Remote>,
}

impl Server {
    /// What passwords go over, in the end.
    pub fn secured(&self) -> &Remote {
        self.started.as_ref().unwrap_or(&self.remote)
    }
}
