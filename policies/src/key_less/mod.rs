//! The guard of an open plan.

use std::rc::Rc;

use ringway_contract::kind::Part;
use ringway_contract::{Admission, Exchange, Guard, Kind, Subscribers, guard};
use schemars::JsonSchema;
use serde::Deserialize;

/// `key-less`.
pub static KIND: Kind<dyn Guard> = Kind {
    name: "key-less",
    about: "Lets everyone in: an open plan.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: None,
    build: |_, _| Ok(Rc::new(KeyLess)),
};

/// A keyless plan has nothing to configure.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Config {}

struct KeyLess;

impl Guard for KeyLess {
    fn admit<'a>(&'a self, exchange: &'a mut Exchange, _subscribers: &'a Subscribers) -> Admission<'a> {
        // The reference product reports keyless calls as application "1".
        exchange.attributes.set("application", "1");
        Admission::Admit(None)
    }

    fn rank(&self) -> u8 {
        guard::OPEN
    }
}
