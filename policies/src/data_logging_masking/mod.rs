//! Hides parts of requests and responses where they are written down.

mod path;

use std::rc::Rc;

use regex::{NoExpand, Regex};
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Kind, Mask, Phases, Policy, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use self::path::Path;
use crate::json::Value;
use crate::pattern;
use crate::scope::ContentScope;

/// `policy-data-logging-masking`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-data-logging-masking",
    about: "Hides parts of requests and responses where they are written down (`analytics.logging`).",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Rules::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Masking { rules: Rc::new(Rules::new(decode(source.configuration)?)?) })),
};

/// Rules of each kind.
const RULES_MAX: usize = 64;

/// Configuration of `policy-data-logging-masking`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Accepted for older definitions: what is hidden is of the phase that the step stands in.
    pub scope: Option<ContentScope>,
    /// Fields whose values are hidden.
    pub header_rules: Vec<HeaderRule>,
    /// What is hidden of bodies.
    pub body_rules: Vec<BodyRule>,
}

/// A field whose value is hidden.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderRule {
    /// Its name.
    pub path: String,
    /// What stands in the place of its value.
    #[serde(default = "star")]
    pub replacer: String,
}

/// What is hidden of a body: what stands at a path, what fits a pattern, or what fits a pattern at a path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyRule {
    /// Places of a JSON body: `$.a`, `$['a']`, `$.a[0]`, `$.a[*].b`, `$..b`. Without: the whole body.
    #[serde(default)]
    pub path: Option<String>,
    /// A pattern that there is already.
    #[serde(default, rename = "type")]
    pub kind: Option<Pattern>,
    /// A regular expression of your own.
    #[serde(default)]
    pub regex: Option<String>,
    /// What stands in the place of what is hidden.
    #[serde(default = "star")]
    pub replacer: String,
}

fn star() -> String {
    "*".into()
}

/// A pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Pattern {
    /// That of `regex`.
    Custom,
    /// Numbers of cards: Visa, Mastercard, American Express.
    CreditCard,
    /// Addresses of mail.
    Email,
    /// Addresses of IPv4 and IPv6.
    Ip,
    /// URIs of http, https, ftp, mailto and file.
    Uri,
}

impl Pattern {
    /// Its expression; `None`: the rule's own.
    fn expression(self) -> Option<&'static str> {
        Some(match self {
            Self::Custom => return None,
            Self::CreditCard => {
                r"\b(?:(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2})(?:[ -]?\d{4}){3}|4\d{12}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5})\b"
            }
            Self::Email => r"(?i)[a-z0-9._%+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}",
            Self::Ip => {
                r"(?i)\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b|\b[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}\b|(?:\b[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}\b)?"
            }
            Self::Uri => r#"(?i)\b(?:(?:https?|ftp|file)://|mailto:)[^\s"'<>\\]+"#,
        })
    }
}

struct Masking {
    rules: Rc<Rules>,
}

struct Rules {
    /// Names in lower case.
    fields: Vec<(String, String)>,
    bodies: Vec<Hidden>,
}

struct Hidden {
    path: Option<Path>,
    pattern: Option<Regex>,
    replacer: String,
}

impl Rules {
    fn new(config: Config) -> Result<Self, Refusal> {
        if config.header_rules.len() > RULES_MAX || config.body_rules.len() > RULES_MAX {
            return Err(Refusal(format!("headerRules, bodyRules: at most {RULES_MAX} of each")));
        }
        let bodies = config.body_rules.into_iter().enumerate().map(|(at, rule)| {
            let field = |name: &str| format!("bodyRules[{at}].{name}");
            let own = rule.regex.filter(|regex| !regex.is_empty());
            let expression = match (rule.kind.and_then(Pattern::expression), own) {
                (Some(_), Some(_)) => return Err(Refusal(format!("{}: it belongs to `type: CUSTOM`", field("regex")))),
                (Some(known), None) => Some(known.to_owned()),
                (None, None) if rule.kind.is_some() => {
                    return Err(Refusal(format!("{}: `type: CUSTOM` needs it", field("regex"))));
                }
                (None, own) => own,
            };
            let pattern = expression.map(|text| pattern::anywhere(&field("regex"), &text)).transpose()?;
            let path = rule.path.filter(|path| !path.trim().is_empty()).map(|path| {
                let why = "is no path into JSON such as `$.a.b[*]['c']` or `$..c`; in XML hide by `regex`";
                Path::parse(&path).ok_or_else(|| Refusal(format!("{}: `{path}` {why}", field("path"))))
            });
            let path = path.transpose()?;
            if path.is_none() && pattern.is_none() {
                return Err(Refusal(format!("bodyRules[{at}]: it needs a `path`, a `type` or a `regex`")));
            }
            Ok(Hidden { path, pattern, replacer: rule.replacer })
        });
        let bodies = bodies.collect::<Result<_, _>>()?;
        let fields = config.header_rules.into_iter().map(|rule| (rule.path.trim().to_ascii_lowercase(), rule.replacer));
        Ok(Self { fields: fields.collect(), bodies })
    }
}

impl Hidden {
    /// Changes a body; `false`: what it names cannot be found in it.
    fn hide(&self, body: &mut String, whole: bool) -> bool {
        let Some(path) = &self.path else {
            if let Some(pattern) = &self.pattern {
                *body = pattern.replace_all(body, NoExpand(&self.replacer)).into_owned();
            }
            return true;
        };
        let Some(mut value) = whole.then(|| Value::parse(body.as_bytes()).ok()).flatten() else { return false };
        path.visit(&mut value, &mut |found| match &self.pattern {
            None => *found = Value::String(self.replacer.clone()),
            Some(pattern) => self.replace_in(pattern, found),
        });
        *body = value.to_string();
        true
    }

    /// In every text and number of a value; it is as deep as a body may be.
    fn replace_in(&self, pattern: &Regex, value: &mut Value) {
        match value {
            Value::String(text) => *text = pattern.replace_all(text, NoExpand(&self.replacer)).into_owned(),
            Value::Number(digits) if pattern.is_match(digits) => {
                *value = Value::String(pattern.replace_all(digits, NoExpand(&self.replacer)).into_owned());
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_in(pattern, item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.replace_in(pattern, member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl Mask for Rules {
    fn field(&self, name: &str, value: &mut String) {
        if let Some((_, replacer)) = self.fields.iter().find(|(known, _)| known == name) {
            value.clone_from(replacer);
        }
    }

    fn body(&self, body: &mut String, whole: bool) {
        for hidden in &self.bodies {
            if !hidden.hide(body, whole) {
                // Where a place cannot be found, all of it is hidden.
                body.clone_from(&hidden.replacer);
                return;
            }
        }
    }
}

impl Policy for Masking {
    fn phases(&self) -> Phases {
        Phases::default()
    }

    fn mask(&self) -> Option<Rc<dyn Mask>> {
        Some(self.rules.clone())
    }
}
