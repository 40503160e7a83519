//! From a file to APIs: parse, substitute, unwrap, settle the spelling, check, read, and judge what can be served.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::{Api, ApiType, Listener};
use crate::catalogue::{Carries, Catalogue, NOT_SERVED, Owner};
use crate::common::{self, Common};
use crate::kinds::{self, Kind};
use crate::node::{Node, Source, Value};
use crate::plans;
use crate::problem::{self, Problem};
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::substitute::{Environment, Rule, substitute};
use crate::{
    applications, check, conditions, decode, deployment, dictionaries, json, legacy, names, pairs, path, pending,
    rules, sampling, subscriptions, yaml,
};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML; several documents may stand in one file.
    Yaml,
}

impl Format {
    /// By the extension of a file; `None` for files that hold no definitions.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// By what a text begins with.
    pub fn sniff(text: &str) -> Self {
        match text.trim_start_matches('\u{feff}').trim_start().chars().next() {
            Some('{' | '[') => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// What definitions are checked against.
pub(crate) struct Surroundings<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) catalogue: Option<&'a Catalogue>,
    pub(crate) common: &'a Common,
}

/// A definition that was read.
pub(crate) struct Definition {
    /// The API, typed; its id may be missing.
    pub(crate) api: Api,
    /// The tree it was read from.
    pub(crate) node: Node,
    /// Those of its subscribers that stand in files of their own.
    pub(crate) joined: Vec<Node>,
    /// Files that its extensions are built from: what they hold is part of what it says.
    pub(crate) files: Vec<PathBuf>,
}

/// What files hold, as far as each can be read by itself: definitions are read when what they have in common is known.
#[derive(Default)]
pub(crate) struct Contents {
    /// Definitions, as trees.
    definitions: Vec<Node>,
    /// Lists of applications, as trees.
    lists: Vec<Node>,
    /// What they have in common.
    pub(crate) common: common::Said,
    /// Applications without errors.
    pub(crate) applications: Vec<applications::Read>,
    /// Errors and warnings.
    pub(crate) problems: Vec<Problem>,
    /// Files that values were read from, and those that extensions will read.
    pub(crate) files: Vec<PathBuf>,
}

/// The documents of a text.
pub(crate) fn documents(source: &Arc<Source>, format: Format) -> Result<Vec<Node>, Problem> {
    match format {
        Format::Json => json::parse(source).map(|node| vec![node]),
        Format::Yaml => yaml::parse(source),
    }
}

impl Contents {
    /// Takes the documents of a text; `folder` is where its relative paths begin.
    pub(crate) fn take(
        &mut self,
        source: &Arc<Source>,
        format: Format,
        folder: &Path,
        environment: &dyn Environment,
        secrets: &mut Secrets<'_>,
    ) {
        let documents = match documents(source, format) {
            Ok(documents) => documents,
            Err(problem) => return self.problems.push(problem),
        };
        for mut document in documents {
            let outcome = substitute(&mut document, Rule::UpperCase, folder, environment);
            self.problems.extend(outcome.problems);
            self.files.extend(outcome.files);
            secrets.expressions(&mut document, "", &mut self.problems);
            match document.value {
                Value::Seq(items) => items.into_iter().for_each(|item| self.sort(item)),
                _ => self.sort(document),
            }
        }
    }

    fn sort(&mut self, document: Node) {
        match kinds::of(&document) {
            Ok(Kind::Applications) => self.lists.push(document),
            Ok(Kind::Common) => self.common.take(document, &mut self.problems),
            Ok(Kind::Definition) => self.definitions.push(legacy::unwrap(document, &mut self.problems)),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Reads the definitions, and the applications.
    pub(crate) fn read(&mut self, around: &Surroundings<'_>) -> Vec<Definition> {
        for list in std::mem::take(&mut self.lists) {
            let applications = applications::read(&list, around.catalogue, &mut self.problems);
            self.files.extend(applications.iter().flat_map(applications::Read::files).cloned());
            self.applications.extend(applications);
        }
        let mut read = Vec::new();
        for node in std::mem::take(&mut self.definitions) {
            let (mut problems, mut files) = (Vec::new(), Vec::new());
            read.extend(one(node, around, &mut problems, &mut files));
            // Whatever is wrong with one of them, its next version may be right.
            self.files.extend(files);
            self.problems.extend(problems);
        }
        read
    }
}

/// Reads one definition. `None` when it has errors.
fn one(
    mut node: Node,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
    files: &mut Vec<PathBuf>,
) -> Option<Definition> {
    if let Some(problem) = legacy::is_v2(&node) {
        problems.push(problem);
        return None;
    }
    legacy::settle(&mut node, problems);
    deployment::evaluate(&mut node, problems);
    problems.extend(check::check::<Api>(&node));
    let conditions = conditions::check(&node);
    around.common.expand(&mut node, problems);
    if problems.iter().any(Problem::is_error) {
        also(&node, around, problems, files);
        around.common.own(&node, problems);
        return None;
    }
    let mut api: Api = decode::read(&node).map_err(|problem| problems.push(problem)).ok()?;
    api.source = Some(node.span.clone());
    complete(&mut api);
    rules::examine(&node, around.settings, problems);
    problems.extend(conditions);
    problems.extend(sampling::check(&api, &node));
    problems.extend(dictionaries::mentioned(&node, &around.common.dictionaries));
    judge(&mut api, &node, around, problems, files);
    around.common.own(&node, problems);
    api.platform = around.common.platform.clone();
    files.extend(around.common.platform_files.iter().cloned());
    let clean = !problems.iter().any(Problem::is_error);
    clean.then(|| Definition { api, node, joined: Vec::new(), files: files.clone() })
}

/// What else is wrong with a definition that cannot be read as a whole: all errors that need no more than its tree, so that they need not
/// come to light one after another. Where there is an error already, nothing follows from it.
fn also(node: &Node, around: &Surroundings<'_>, problems: &mut Vec<Problem>, files: &mut Vec<PathBuf>) {
    let mut more = Vec::new();
    rules::examine(node, around.settings, &mut more);
    let kind = node.field("type").and_then(Node::as_text).unwrap_or_default();
    let carries = [ApiType::Proxy, ApiType::Message].into_iter().find(|known| names::same(known.name(), kind));
    if let Some((catalogue, carries)) = around.catalogue.zip(carries.and_then(Carries::of)) {
        more.extend(catalogue.inspect(node, carries, Owner::Api).problems);
        let known: Vec<Problem> = problems.iter().chain(&more).cloned().collect();
        let examined = catalogue.examine(node, carries, around.settings, &known);
        files.extend(examined.files);
        more.extend(examined.problems);
    }
    let known: Vec<(u32, u32)> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
    more.retain(|problem| problem.is_error() && !known.contains(&(problem.line, problem.column)));
    problems.extend(more);
    problem::sort(problems);
}

/// Fills in what may be left out, and writes the names of extensions in the one case that the extensions have.
fn complete(api: &mut Api) {
    for listener in &mut api.listeners {
        if let Listener::Http(http) = listener {
            for path in &mut http.paths {
                path.host = path.host.take().filter(|host| !path::normal_host(Some(host)).is_empty());
            }
        }
    }
    let entrypoints =
        api.listeners.iter_mut().flat_map(Listener::entrypoints_mut).map(|entrypoint| &mut entrypoint.kind);
    let groups = api.endpoint_groups.iter_mut().flat_map(|group| {
        let endpoints = group.endpoints.iter_mut().map(|endpoint| &mut endpoint.kind);
        std::iter::once(&mut group.kind).chain(endpoints)
    });
    let securities = api.plans.iter_mut().filter_map(|plan| plan.security.as_mut()).map(|security| &mut security.kind);
    let consumers =
        api.subscriptions.iter_mut().filter_map(|subscription| subscription.consumer_configuration.as_mut());
    let consumers = consumers.map(|consumer| &mut consumer.entrypoint_id);
    entrypoints.chain(groups).chain(securities).chain(consumers).for_each(|kind| *kind = names::kebab(kind));
    for flow in api.flows.iter_mut().chain(api.plans.iter_mut().flat_map(|plan| &mut plan.flows)) {
        flow.settle_names();
    }
    // A health check that says nothing has its defaults.
    let Some(start) = api.source.clone() else { return };
    let nothing = || Node::new(Value::Map(Vec::new()), start.clone());
    for group in &mut api.endpoint_groups {
        let services = group.endpoints.iter_mut().map(|endpoint| &mut endpoint.services);
        for check in
            std::iter::once(&mut group.services).chain(services).filter_map(|services| services.health_check.as_mut())
        {
            check.configuration.get_or_insert_with(nothing);
        }
    }
    for plan in &mut api.plans {
        if plan.id.is_empty() {
            plan.id = plan.hrid.clone().unwrap_or_else(|| names::slug(&plan.name));
        }
    }
    if api.id.is_empty() {
        api.id = api.hrid.clone().unwrap_or_default();
    }
}

/// Decides whether the API is served here, with which plans, flows and endpoints.
fn judge(api: &mut Api, node: &Node, around: &Surroundings<'_>, problems: &mut Vec<Problem>, files: &mut Vec<PathBuf>) {
    let settings = around.settings;
    let Some(carries) = Carries::of(api.kind) else {
        let kind = node.field("type").unwrap_or(node);
        let reason = format!("APIs of type {} come with a later release", api.kind.name());
        problems.push(Problem::warning(&kind.span, "type", reason.clone()).hint(NOT_SERVED));
        api.idle = Some(reason);
        plans::withhold(api, node, around, &[], problems);
        return;
    };
    for (at, listener) in api.listeners.iter().enumerate() {
        let is_served = match listener {
            Listener::Http(_) => true,
            Listener::Subscription(_) => carries == Carries::Messages,
            Listener::Tcp(_) | Listener::Kafka(_) => false,
        };
        if is_served {
            continue;
        }
        let span = node
            .field("listeners")
            .and_then(|listeners| listeners.items().get(at))
            .map_or(&node.span, |item| &item.span);
        let message = match listener {
            Listener::Subscription(_) => "listeners of type SUBSCRIPTION belong to APIs of type MESSAGE".to_owned(),
            _ => format!("listeners of type {} come with a later release", listener.name()),
        };
        problems.push(Problem::warning(span, format!("listeners[{at}]"), message).hint("the API is not served on it"));
    }
    let mut reasons = Vec::new();
    match (api.http_listeners().next(), api.pushing_entrypoints().next(), carries) {
        (Some(_), ..) | (_, Some(_), Carries::Messages) => {}
        (.., Carries::Requests) => reasons.push("none of its listeners is of type HTTP".to_owned()),
        (.., Carries::Messages) => reasons.push("none of its listeners is of type HTTP or SUBSCRIPTION".to_owned()),
    }
    let groups = node.field("endpointGroups").map(Node::items).unwrap_or_default();
    for (at, other) in groups.iter().enumerate().skip(1) {
        if pairs::may_serve(api, at)
            || api.endpoint_groups.get(at).is_some_and(|group| subscriptions::takes_dead_letters(api, group))
        {
            continue;
        }
        let message = "only the first group is used: no flow has a policy of the request that could name another";
        problems.push(Problem::warning(&other.span, format!("endpointGroups[{at}]"), message));
        break;
    }
    let found = pending::find(node, carries);
    problems.extend(found.problems);
    reasons.extend(found.idle);
    let mut unguarded: Vec<usize> = (0..api.plans.len()).filter(|at| !is_open(api, *at)).collect();
    if let Some(catalogue) = around.catalogue {
        let verdict = catalogue.inspect(node, carries, Owner::Api);
        problems.extend(verdict.problems);
        if carries == Carries::Messages {
            problems.extend(pairs::check(api, node, catalogue));
        }
        reasons.extend(verdict.idle);
        unguarded = verdict.unguarded;
    }
    plans::withhold(api, node, around, &unguarded, problems);
    subscriptions::judge(api, node, carries, around.catalogue, problems);
    if let Some(catalogue) = around.catalogue.filter(|_| crate::tags::deployed(&api.tags, &settings.tags)) {
        let examined = catalogue.examine(node, carries, settings, problems);
        files.extend(examined.files);
        problems.extend(examined.problems);
        reasons.extend(examined.idle);
    }
    crate::tags::narrow(api, settings, &mut reasons);
    if !api.state.is_started() {
        reasons.insert(0, "it is stopped".to_owned());
    }
    api.idle = reasons.into_iter().next();
}

/// Whether a plan asks for nothing: all that can be judged when nobody told which guards exist.
fn is_open(api: &Api, plan: usize) -> bool {
    api.plans.get(plan).and_then(crate::api::Plan::guard) == Some("key-less")
}
