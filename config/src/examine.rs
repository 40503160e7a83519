//! What schemas let pass: the extensions look at their own configurations, each endpoint at what it inherits, too.
//!
//! Whatever would keep a gateway from starting is found here, before it replaces what runs. What this gateway does not build is left alone:
//! the files of another tenant's endpoints need not exist here.

use std::path::PathBuf;

use crate::catalogue::{Carries, Catalogue, Examine, NOT_SERVED, USES, What};
use crate::names;
use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::walk;

/// What the extensions say of a definition.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Problems, with positions.
    pub(crate) problems: Vec<Problem>,
    /// Why the API cannot be served, if it cannot.
    pub(crate) idle: Option<String>,
    /// Files that extensions are built from.
    pub(crate) files: Vec<PathBuf>,
}

/// A configuration, and where its parts are said.
struct Part<'n> {
    node: &'n Node,
    pointer: String,
    configuration: Option<&'n Node>,
    shared: Option<Node>,
    /// Pointers of the shared configuration and of what is laid over it.
    group: String,
    over: Option<&'n Node>,
}

impl Catalogue {
    /// Lets every extension that the definition of an API of this type names look at its configuration. Where `known` has an error
    /// already, there is nothing more to say.
    pub(crate) fn examine(
        &self,
        definition: &Node,
        carries: Carries,
        settings: &Settings,
        known: &[Problem],
    ) -> Examined {
        let mut examined = Examined::default();
        let single = USES.iter().filter(|used| matches!(used.what, What::Entrypoint | What::Policy | What::Guard));
        for used in single {
            for place in walk::places(definition, used.pattern) {
                let part = Part {
                    node: place.node,
                    pointer: place.pointer,
                    configuration: place.node.field(used.configuration),
                    shared: None,
                    group: String::new(),
                    over: None,
                };
                self.look((used.what, carries), used.name, &part, known, &mut examined);
            }
        }
        for place in walk::places(definition, "subscriptions[*].consumerConfiguration") {
            self.consumer(place.node, place.pointer, (carries, known), &mut examined);
        }
        for group in walk::places(definition, "endpointGroups[*]") {
            for place in walk::places(group.node, "endpoints[*]") {
                if is_foreign(place.node, settings) {
                    continue;
                }
                let inherits = place.node.field("inheritConfiguration").and_then(Node::as_bool) == Some(true);
                let inherited = group.node.field("sharedConfiguration").filter(|_| inherits);
                let over = place.node.field("sharedConfigurationOverride");
                let part = Part {
                    node: place.node,
                    pointer: format!("{}.{}", group.pointer, place.pointer),
                    configuration: place.node.field("configuration"),
                    shared: match (inherited, over) {
                        (Some(below), Some(above)) => Some(below.overlaid(above)),
                        (only, None) | (None, only) => only.cloned(),
                    },
                    group: format!("{}.sharedConfiguration", group.pointer),
                    over,
                };
                self.look((What::Endpoint, carries), "type", &part, known, &mut examined);
            }
        }
        examined
    }

    /// Lets the entrypoint look at what a subscription tells it that stands with its application.
    pub(crate) fn examine_consumer(&self, consumer: &Node, pointer: String) -> Examined {
        let mut examined = Examined::default();
        let name = consumer.field("entrypointId").and_then(Node::as_text).unwrap_or_default();
        let known = self.pushes.iter().find(|known| names::same(known.name, name));
        if let (Some(check), Some(told)) =
            (known.and_then(|known| known.shared), consumer.field("entrypointConfiguration"))
        {
            let place = format!("{pointer}.entrypointConfiguration");
            examined.problems.extend(check(told).into_iter().map(|problem| problem.below(&place)));
        }
        let known = examined.problems.clone();
        self.consumer(consumer, pointer, (Carries::Messages, &known), &mut examined);
        examined
    }

    /// What a subscription tells an entrypoint is examined as what an endpoint inherits: `sharedConfiguration`.
    fn consumer(&self, node: &Node, pointer: String, (carries, known): (Carries, &[Problem]), examined: &mut Examined) {
        let part = Part {
            node,
            configuration: None,
            shared: node.field("entrypointConfiguration").cloned(),
            group: format!("{pointer}.entrypointConfiguration"),
            pointer,
            over: None,
        };
        self.look((What::Consumer, carries), "entrypointId", &part, known, examined);
    }

    fn look(
        &self,
        (what, carries): (What, Carries),
        name: &str,
        part: &Part<'_>,
        known: &[Problem],
        examined: &mut Examined,
    ) {
        let disabled = part.node.field("enabled").and_then(Node::as_bool) == Some(false);
        let broken = |pointer: &str| {
            let below = |problem: &&Problem| !pointer.is_empty() && problem.pointer.starts_with(pointer);
            known.iter().filter(below).any(Problem::is_error)
        };
        let inherited = part.shared.is_some() && broken(&part.group);
        if disabled || broken(&part.pointer) || inherited {
            return;
        }
        let name = part.node.field(name).and_then(Node::as_text).unwrap_or_default();
        // Where an entrypoint belongs is checked already.
        let pushes = if what == What::Entrypoint { &self.pushes[..] } else { &[] };
        let mut table = self.table(what, carries).iter().chain(pushes);
        let Some(extension) = table.find(|known| names::same(known.name, name)) else { return };
        let on_message = [".publish[", ".subscribe["].iter().any(|phase| part.pointer.contains(phase));
        if what == What::Policy && on_message && carries == Carries::Messages && !extension.on_messages {
            let message = format!("`{}` does not act on messages", extension.name);
            let problem = Problem::warning(&part.node.span, part.pointer.clone(), message);
            if examined.idle.is_none() {
                examined.idle = Some(format!("{}: {}", problem.pointer, problem.message));
            }
            examined.add(problem.hint(NOT_SERVED));
        }
        // Policies and guards say for themselves what of theirs is evaluated.
        let parts = if matches!(what, What::Policy | What::Guard) {
            [None, None]
        } else {
            [part.configuration, part.shared.as_ref()]
        };
        for (root, node) in ["configuration", "sharedConfiguration"].into_iter().zip(parts) {
            let own = extension.evaluated;
            let Some((place, pointer)) = node.and_then(|node| expression(node, root.to_owned(), own)) else { continue };
            let message = "is not evaluated: where something is built, only `#api` and `#properties` are known";
            let problem = Problem::warning(&place.span, part.at(&pointer), format!("`{{#…}}` {message}"));
            if examined.idle.is_none() {
                examined.idle = Some(format!("{}: `{{#…}}` {message}", problem.pointer));
            }
            examined.add(problem.hint(NOT_SERVED));
            return;
        }
        if let Some(files) = extension.files {
            examined.files.extend(files(part.configuration, part.shared.as_ref()));
        }
        let Some(examine) = extension.examine else { return };
        for mut problem in run(examine, part) {
            problem.pointer = part.at(&problem.pointer);
            examined.add(problem);
        }
    }
}

fn run(examine: Examine, part: &Part<'_>) -> Vec<Problem> {
    examine(part.configuration, part.shared.as_ref())
}

impl Examined {
    /// What endpoints inherit is examined with each of them, and told once.
    fn add(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

impl Part<'_> {
    /// Where a pointer of the extension is said in the definition.
    fn at(&self, pointer: &str) -> String {
        match pointer.strip_prefix("sharedConfiguration") {
            Some(rest) if self.over.is_some_and(|over| says(over, rest)) => {
                format!("{}.sharedConfigurationOverride{rest}", self.pointer)
            }
            Some(rest) => format!("{}{rest}", self.group),
            None => format!("{}.{pointer}", self.pointer),
        }
    }
}

/// Whether `node` has what a pointer such as `.ssl.trustStore` or `.headers[0].value` names. Lists are laid over whole.
fn says(mut node: &Node, pointer: &str) -> bool {
    for step in pointer.split('.').skip(1) {
        let (name, item) = step.split_once('[').map_or((step, false), |(name, _)| (name, true));
        match node.field(name) {
            Some(_) if item => return true,
            Some(field) => node = field,
            None => return false,
        }
    }
    true
}

/// Endpoints of other tenants are not used here.
fn is_foreign(endpoint: &Node, settings: &Settings) -> bool {
    let named = |tenant: &String| {
        let tenants = endpoint.field("tenants").map(Node::items).unwrap_or_default();
        tenants.iter().any(|known| known.as_text() == Some(tenant))
    };
    settings.tenant.as_ref().is_some_and(|tenant| !named(tenant))
}

/// The first text with an expression in it that is not at one of the places `own`, and its pointer.
fn expression<'n>(node: &'n Node, pointer: String, own: &[&str]) -> Option<(&'n Node, String)> {
    if own.contains(&pointer.as_str()) {
        return None;
    }
    match &node.value {
        Value::String(text) if text.contains("{#") => Some((node, pointer)),
        Value::Seq(items) => {
            items.iter().enumerate().find_map(|(at, item)| expression(item, format!("{pointer}[{at}]"), own))
        }
        Value::Map(entries) => {
            entries.iter().find_map(|entry| expression(&entry.value, format!("{pointer}.{}", entry.key), own))
        }
        _ => None,
    }
}
