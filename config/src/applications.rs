//! Files of applications: read like definitions, and joined with the APIs that they are subscribed to.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::api::{Api, Application, ApplicationStatus, Applications};
use crate::catalogue::{Carries, Catalogue};
use crate::definition::Definition;
use crate::names;
use crate::node::Node;
use crate::problem::Problem;
use crate::subscriptions::{self, Said};
use crate::{check, decode};

/// An application that was read, and where.
pub(crate) struct Read {
    application: Application,
    node: Node,
    /// Its place in its file.
    at: usize,
    /// Of each of its subscriptions the files that its entrypoint is built from.
    files: Vec<Vec<PathBuf>>,
}

impl Read {
    /// Files that entrypoints are built from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().flatten()
    }
}

/// Reads the applications of a document.
pub(crate) fn read(document: &Node, catalogue: Option<&Catalogue>, problems: &mut Vec<Problem>) -> Vec<Read> {
    let found = check::check::<Applications>(document);
    let broken = found.iter().any(Problem::is_error);
    problems.extend(found);
    if broken {
        return Vec::new();
    }
    let read: Applications = match decode::read(document) {
        Ok(read) => read,
        Err(problem) => {
            problems.push(problem);
            return Vec::new();
        }
    };
    let nodes = document.field("applications").map(Node::items).unwrap_or_default();
    let all = read.applications.into_iter().zip(nodes).enumerate();
    all.map(|(at, (application, node))| {
        let files = files(node, at, catalogue, problems);
        Read { application, node: node.clone(), at, files }
    })
    .collect()
}

/// Lets the entrypoints look at what an application's subscriptions tell them.
fn files(
    application: &Node,
    at: usize,
    catalogue: Option<&Catalogue>,
    problems: &mut Vec<Problem>,
) -> Vec<Vec<PathBuf>> {
    let subscriptions = application.field("subscriptions").map(Node::items).unwrap_or_default();
    let examined = subscriptions.iter().enumerate().map(|(number, subscription)| {
        let (Some(catalogue), Some(consumer)) = (catalogue, subscription.field("consumerConfiguration")) else {
            return Vec::new();
        };
        let pointer = format!("applications[{at}].subscriptions[{number}].consumerConfiguration");
        let examined = catalogue.examine_consumer(consumer, pointer);
        problems.extend(examined.problems);
        examined.files
    });
    examined.collect()
}

/// Gives every API the subscriptions that stand with applications.
pub(crate) fn join(applications: &[Read], definitions: &mut [Definition], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, &Read> = HashMap::new();
    for read in applications {
        if let Some(other) = seen.insert(&read.application.id, read) {
            let span = &read.node.field("id").unwrap_or(&read.node).span;
            let first = &other.node.span;
            let message = format!(
                "another application has the id `{}`, too: {}:{}",
                read.application.id, first.source.name, first.line
            );
            problems.push(Problem::error(span, format!("applications[{}].id", read.at), message));
            continue;
        }
        subscribe(read, definitions, problems);
    }
}

fn subscribe(read: &Read, definitions: &mut [Definition], problems: &mut Vec<Problem>) {
    let application = &read.application;
    let nodes = read.node.field("subscriptions").map(Node::items).unwrap_or_default();
    for (at, (subscription, place)) in application.subscriptions.iter().zip(nodes).enumerate() {
        let said = Said { place, pointer: format!("applications[{}].subscriptions[{at}]", read.at) };
        let mut subscription = subscription.clone();
        subscription.application.clone_from(&application.id);
        subscription.client_id = subscription.client_id.or_else(|| application.client_id.clone());
        if subscription.client_certificates.is_empty() {
            subscription.client_certificates.clone_from(&application.client_certificates);
        }
        for (name, value) in &application.metadata {
            subscription.metadata.entry(name.clone()).or_insert_with(|| value.clone());
        }
        subscriptions::complete(&mut subscription);
        let named = |api: &Api| api.id == subscription.api || api.name == subscription.api;
        let Some(definition) = definitions.iter_mut().find(|definition| named(&definition.api)) else {
            let names = definitions.iter().flat_map(|known| [known.api.id.as_str(), known.api.name.as_str()]);
            let hint = names::nearest(&subscription.api, names).map(|near| format!("did you mean `{near}`?"));
            let span = &place.field("api").unwrap_or(place).span;
            let message = format!("there is no API `{}` here: the subscription has no effect", subscription.api);
            problems.push(Problem::warning(span, format!("{}.api", said.pointer), message).maybe_hint(hint));
            continue;
        };
        let api = &mut definition.api;
        let carries = Carries::of(api.kind).unwrap_or(Carries::Requests);
        subscription.withheld = match application.status {
            ApplicationStatus::Active => subscriptions::withheld(api, &subscription, &said, carries, problems),
            ApplicationStatus::Archived => Some("its application is archived".into()),
        };
        if api.subscriptions.iter().any(|other| other.id == subscription.id) {
            let span = &place.field("id").unwrap_or(place).span;
            let message = format!("the API `{}` has another subscription with the id `{}`", api.name, subscription.id);
            problems.push(Problem::error(span, format!("{}.id", said.pointer), message));
            continue;
        }
        api.subscriptions.push(subscription);
        definition.joined.push(read.node.clone());
        definition.files.extend(read.files.get(at).into_iter().flatten().cloned());
    }
}
