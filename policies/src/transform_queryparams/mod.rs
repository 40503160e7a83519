//! Removes and sets parameters of the query.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Request, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::query;
use crate::text::Text;

/// `transform-queryparams`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "transform-queryparams",
    about: "Removes, sets and appends parameters of the query.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        refused(configuration, decode(configuration).and_then(TransformQueryparams::new).err())
    }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(TransformQueryparams::new(decode(source.configuration)?)?)),
};

/// Configuration of `transform-queryparams`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Removes all parameters before others are added.
    pub clear_all: bool,
    /// Names of parameters to remove. Not looked at with `clearAll`.
    pub remove_query_parameters: Vec<String>,
    /// Parameters to set.
    pub add_query_parameters: Vec<Parameter>,
}

/// A parameter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value; may have expressions.
    pub value: String,
    /// Whether parameters of this name that are there already stay. Otherwise they are replaced.
    #[serde(default)]
    pub append_to_existing_array: bool,
}

struct TransformQueryparams {
    clear: bool,
    remove: Box<[String]>,
    add: Box<[Added]>,
}

struct Added {
    /// As it is compared, and as it is written.
    name: String,
    encoded: String,
    value: Text,
    appends: bool,
}

impl TransformQueryparams {
    fn new(config: Config) -> Result<Self, Refusal> {
        let added = |(at, parameter): (usize, Parameter)| {
            let mut encoded = String::new();
            query::push(&parameter.name, &mut encoded);
            Ok(Added {
                name: query::decoded(&encoded, true).into_owned(),
                encoded,
                value: Text::on_request(&format!("addQueryParameters[{at}].value"), &parameter.value)?,
                appends: parameter.append_to_existing_array,
            })
        };
        // A parameter without a name is not one: exports have them where a form was left empty.
        let named = config.add_query_parameters.into_iter().enumerate();
        let named = named.filter(|(_, parameter)| !parameter.name.trim().is_empty());
        Ok(Self {
            remove: if config.clear_all { Box::default() } else { config.remove_query_parameters.into() },
            clear: config.clear_all,
            add: named.map(added).collect::<Result<_, _>>()?,
        })
    }

    /// The new query.
    fn query(&self, request: &Request, exchange: &Exchange) -> Result<String, Box<Reply>> {
        let old = request.head.query().filter(|_| !self.clear).unwrap_or_default();
        let mut added: Vec<(&str, String)> = Vec::with_capacity(self.add.len());
        for parameter in &self.add {
            if !parameter.appends {
                added.retain(|(name, _)| *name != parameter.name);
            }
            let mut pair = format!("{}=", parameter.encoded);
            query::push(&parameter.value.render(exchange)?, &mut pair);
            added.push((&parameter.name, pair));
        }
        let removed = |name: &str| self.remove.iter().any(|removed| removed == name);
        let replaced = |name: &str| self.add.iter().any(|parameter| !parameter.appends && parameter.name == name);
        let kept = query::pairs(old).filter(|pair| {
            let (name, _) = query::parameter(pair);
            !removed(&name) && !replaced(&name)
        });
        let added = added.iter().filter(|(name, _)| !removed(name)).map(|(_, pair)| &**pair);
        Ok(kept.chain(added).collect::<Vec<_>>().join("&"))
    }
}

impl Policy for TransformQueryparams {
    fn phases(&self) -> Phases {
        let content = self.add.iter().any(|parameter| parameter.value.needs().request_content);
        if content { Phases::REQUEST.with_content() } else { Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref() else { return Step::Next };
        if request.head.query().is_none() && self.add.is_empty() {
            return Step::Next;
        }
        let query = match self.query(request, exchange) {
            Ok(query) => query,
            Err(reply) => return Step::Reply(reply),
        };
        if let Some(request) = exchange.request.as_deref_mut() {
            // Every byte of it is one that queries hold: it came in one, or was encoded.
            let _ = request.head.set_query(Some(&*query).filter(|query| !query.is_empty()));
        }
        Step::Next
    }
}
