//! Lets requests pass, or not, by path and method.

use std::borrow::Cow;
use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ant::{self, Ant};
use crate::verb::Verb;

/// `resource-filtering`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "resource-filtering",
    about: "Lets requests pass, or not, by path and method.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        refused(configuration, decode(configuration).and_then(ResourceFiltering::new).err())
    }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(ResourceFiltering::new(decode(source.configuration)?)?)),
};

/// Configuration of `resource-filtering`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// When not empty: what no rule here takes is refused.
    pub whitelist: Vec<Rule>,
    /// What a rule here takes is refused.
    pub blacklist: Vec<Rule>,
    /// Accepted for exports: the gateway always works with the normal form of a path.
    pub normalize_request_path: bool,
    /// With `normalizeRequestPath`: `%2F` separates segments as `/` does. It only matters where the listener lets such paths pass.
    pub decode_encoded_slash: bool,
}

/// A path, and methods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// An Ant pattern, of the path behind the context path or of the whole path.
    pub pattern: String,
    /// Empty: any method.
    #[serde(default)]
    pub methods: Vec<Verb>,
}

#[derive(Debug)]
struct Compiled {
    pattern: Ant,
    /// A pattern without a slash in front is one behind the context path.
    is_relative: bool,
    methods: Box<[http::Method]>,
}

#[derive(Debug)]
struct ResourceFiltering {
    allowed: Box<[Compiled]>,
    denied: Box<[Compiled]>,
    decode_slash: bool,
}

/// What the lists say.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Forbidden,
    MethodNotAllowed,
}

impl ResourceFiltering {
    fn new(config: Config) -> Result<Self, Refusal> {
        let decode_slash = config.normalize_request_path && config.decode_encoded_slash;
        Ok(Self {
            allowed: compile("whitelist", config.whitelist)?,
            denied: compile("blacklist", config.blacklist)?,
            decode_slash,
        })
    }

    fn verdict(&self, method: &http::Method, paths: &Paths<'_>) -> Verdict {
        if !self.allowed.is_empty() {
            let mut of_path = self.allowed.iter().filter(|rule| rule.takes_all(paths)).peekable();
            if of_path.peek().is_none() {
                return Verdict::Forbidden;
            }
            if !of_path.any(|rule| rule.names(method)) {
                return Verdict::MethodNotAllowed;
            }
        }
        let mut denied = self.denied.iter().filter(|rule| rule.names(method) && rule.takes_one(paths));
        match denied.next() {
            None => Verdict::Pass,
            // One that names its methods may leave others; one that names none leaves nothing.
            Some(first) if !first.methods.is_empty() && denied.all(|rule| !rule.methods.is_empty()) => {
                Verdict::MethodNotAllowed
            }
            Some(_) => Verdict::Forbidden,
        }
    }

    #[cold]
    fn refusal(&self, verdict: &Verdict, paths: &Paths<'_>) -> Box<Reply> {
        if *verdict == Verdict::Forbidden {
            return Box::new(Reply::refusal(
                StatusCode::FORBIDDEN,
                "RESOURCE_FILTERING_FORBIDDEN",
                "This resource is not open to requests.",
            ));
        }
        let methods = Verb::ALL.into_iter().map(Verb::method);
        let left: Vec<_> = methods.filter(|method| self.verdict(method, paths) == Verdict::Pass).collect();
        let left: Vec<_> = left.iter().map(http::Method::as_str).collect();
        let reply = Reply::refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "RESOURCE_FILTERING_METHOD_NOT_ALLOWED",
            "This resource does not take this method.",
        );
        // RFC 9110 section 15.5.6: a 405 says what would be allowed.
        Box::new(reply.header("Allow", left.join(", ")))
    }
}

fn compile(list: &str, rules: Vec<Rule>) -> Result<Box<[Compiled]>, Refusal> {
    let compile = |(at, rule): (usize, Rule)| {
        Ok(Compiled {
            pattern: Ant::new(&format!("{list}[{at}].pattern"), &rule.pattern)?,
            is_relative: !rule.pattern.starts_with('/'),
            methods: rule.methods.into_iter().map(Verb::method).collect(),
        })
    };
    rules.into_iter().enumerate().map(compile).collect()
}

impl Compiled {
    fn names(&self, method: &http::Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// For a list of what is allowed: every way to read the path must fit.
    fn takes_all(&self, paths: &Paths<'_>) -> bool {
        self.takes(&paths.plain, false) && paths.bare.as_ref().is_none_or(|path| self.takes(path, false))
    }

    /// For a list of what is denied: one way to read the path is enough, and a slash at its end makes no difference.
    fn takes_one(&self, paths: &Paths<'_>) -> bool {
        self.takes(&paths.plain, true) || paths.bare.as_ref().is_some_and(|path| self.takes(path, true))
    }

    fn takes(&self, path: &Reading<'_>, lenient: bool) -> bool {
        let fits = |from: usize| {
            let segments = path.segments.get(from..).unwrap_or_default();
            self.pattern.fits(segments.iter().map(|segment| &**segment), path.ends_with_slash, lenient)
        };
        fits(path.context_segments) || (!self.is_relative && fits(0))
    }
}

/// A path in the ways in which a backend may read it.
#[derive(Debug)]
struct Paths<'p> {
    plain: Reading<'p>,
    /// Without the parameters of its segments (`;…`), which some backends drop; `None` where there are none.
    bare: Option<Reading<'p>>,
}

#[derive(Debug)]
struct Reading<'p> {
    /// Decoded.
    segments: Vec<Cow<'p, str>>,
    context_segments: usize,
    ends_with_slash: bool,
}

impl<'p> Paths<'p> {
    fn new(path: &'p str, context_path_len: usize, decode_slash: bool) -> Self {
        let reading = |keep_parameters: bool| {
            let mut segments: Vec<Cow<'p, str>> = Vec::new();
            for segment in ant::split(path) {
                let decoded = match ant::decoded(segment) {
                    decoded if keep_parameters => decoded,
                    decoded => Cow::Owned(decoded.split(';').next().unwrap_or_default().to_owned()),
                };
                if decode_slash {
                    segments.extend(ant::split(&decoded).map(|part| Cow::Owned(part.to_owned())));
                } else if !decoded.is_empty() {
                    segments.push(decoded);
                }
            }
            let context = path.get(..context_path_len).unwrap_or_default();
            Reading { segments, context_segments: ant::split(context).count(), ends_with_slash: path.ends_with('/') }
        };
        let plain = reading(true);
        let has_parameters = plain.segments.iter().any(|segment| segment.contains(';'));
        Self { plain, bare: has_parameters.then(|| reading(false)) }
    }
}

impl Policy for ResourceFiltering {
    fn phases(&self) -> Phases {
        Phases::REQUEST
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref() else { return Step::Next };
        let paths = Paths::new(request.head.path(), request.context_path_len, self.decode_slash);
        match self.verdict(&request.head.method, &paths) {
            Verdict::Pass => Step::Next,
            verdict => Step::Reply(self.refusal(&verdict, &paths)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(list: &str, path: &str) -> Verdict {
        let config = serde_json::from_str(list).unwrap();
        let policy = ResourceFiltering::new(config).unwrap();
        policy.verdict(&http::Method::GET, &Paths::new(path, "/api".len(), policy.decode_slash))
    }

    /// What the engine refuses by default never comes here; a listener may let it pass.
    #[test]
    fn what_a_listener_may_keep_opens_nothing() {
        let denied = r#"{"blacklist": [{"pattern": "/admin/**"}]}"#;
        for path in ["/api/admin", "/api/admin/", "/api/admin;x=1/users", "/api/admin%3Bx/users", "/api/;y/admin"] {
            assert_eq!(verdict(denied, path), Verdict::Forbidden, "{path}");
        }
        let allowed = r#"{"whitelist": [{"pattern": "/open/*.txt"}]}"#;
        assert_eq!(verdict(allowed, "/api/open/a.txt"), Verdict::Pass);
        assert_eq!(verdict(allowed, "/api/open/secret;.txt"), Verdict::Forbidden);
        assert_eq!(verdict(allowed, "/api/open/a.txt;x"), Verdict::Forbidden);
    }

    #[test]
    fn an_encoded_slash_separates_only_where_it_is_asked_for() {
        let kept = r#"{"blacklist": [{"pattern": "/admin/users"}]}"#;
        assert_eq!(verdict(kept, "/api/admin%2Fusers"), Verdict::Pass);
        let decoded =
            r#"{"blacklist": [{"pattern": "/admin/users"}], "normalizeRequestPath": true, "decodeEncodedSlash": true}"#;
        assert_eq!(verdict(decoded, "/api/admin%2Fusers"), Verdict::Forbidden);
    }
}
