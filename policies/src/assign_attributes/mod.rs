//! Sets context attributes.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Needs, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::scope::ContentScope;
use crate::text::Text;

/// `policy-assign-attributes`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-assign-attributes",
    about: "Sets attributes of the context or of a message, for conditions, later policies and endpoints.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(AssignAttributes::new).err())
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(AssignAttributes::new(decode(source.configuration)?)?)),
};

/// Configuration of `policy-assign-attributes`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Accepted for older definitions. The phase is the one that the step stands in.
    pub scope: ContentScope,
    /// The attributes.
    pub attributes: Vec<Attribute>,
}

/// An attribute.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name, with or without `gravitee.attribute.`.
    pub name: String,
    /// Its value; may have expressions.
    pub value: String,
}

struct AssignAttributes {
    attributes: Box<[(String, Text)]>,
}

impl AssignAttributes {
    fn new(config: Config) -> Result<Self, Refusal> {
        let attributes = config.attributes.into_iter().enumerate();
        let attributes = attributes.filter(|(_, attribute)| !attribute.name.is_empty()).map(|(at, attribute)| {
            Ok((attribute.name, Text::on_both(&format!("attributes[{at}].value"), &attribute.value)?))
        });
        Ok(Self { attributes: attributes.collect::<Result<_, _>>()? })
    }

    fn assign(&self, exchange: &mut Exchange) -> Result<(), Box<Reply>> {
        for (name, value) in &self.attributes {
            let value = value.render(exchange)?.into_owned();
            exchange.attributes.set(name.clone(), value);
        }
        Ok(())
    }
}

fn step<'a>(assigned: Result<(), Box<Reply>>) -> Step<'a> {
    assigned.map_or_else(Step::Reply, |()| Step::Next)
}

impl Policy for AssignAttributes {
    fn phases(&self) -> Phases {
        let needs = |needs: fn(Needs) -> bool| self.attributes.iter().any(|(_, value)| needs(value.needs()));
        Phases {
            request: true,
            response: true,
            request_content: needs(|needs| needs.request_content),
            response_content: needs(|needs| needs.response_content),
            ..Phases::default()
        }
        .with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        step(self.assign(exchange))
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        step(self.assign(exchange))
    }

    /// Those of the message: what is meant for one says nothing of the next.
    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        step(self.attributes.iter().try_for_each(|(name, value)| {
            let value = value.render(exchange)?.into_owned();
            if let Some(parcel) = exchange.message.as_deref_mut() {
                parcel.message.attributes.get_or_insert_default().set(name.clone(), value);
            }
            Ok(())
        }))
    }
}
