//! Shared policy groups: steps that stand in flows of many APIs by their name, and are put there when a definition is read.
//!
//! ```text
//!  { policy: shared-policy-group-policy, configuration: { sharedPolicyGroupId: x } }   as it is written
//!  { policy: ..., configuration: ..., steps: [ the steps of x, of their own file ] }   as it is checked and built
//! ```
//!
//! So what is wrong with a step of a group has the place where it stands, whichever API uses it; the fingerprint of an API covers what its
//! groups say; and a shard's chain knows nothing of them.

use std::collections::HashMap;

use crate::api::{ApiType, GroupReference, Phase, SharedPolicyGroup};
use crate::check;
use crate::decode;
use crate::names;
use crate::node::{Entry, Node, Value};
use crate::problem::Problem;

/// The policy of a step that stands for a group.
const POLICY: &str = "shared-policy-group-policy";

/// The field that has the steps of the group.
const STEPS: &str = "steps";

/// The most steps that a step stands for, those of groups in groups counted.
const STEPS_MAX: usize = 1000;

/// The deepest nesting of groups in groups.
const GROUPS_DEEP_MAX: usize = 16;

/// The most names that a hint lists.
const HINT_NAMES_MAX: usize = 16;

/// A group.
struct Group {
    node: Node,
    /// Where its document has it; empty for a document that is one group.
    pointer: String,
    /// Its names: `id`, `crossId` and `hrid`, the first for people.
    names: Vec<String>,
    /// What it says; `None` when it is wrong: then the errors are named already.
    said: Option<SharedPolicyGroup>,
    /// Its steps, with those of groups in it put in place.
    steps: Node,
    count: usize,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untouched,
    UnderWay,
    Done,
}

/// The groups of a gateway.
#[derive(Default)]
pub(crate) struct Groups {
    all: Vec<Group>,
    by_name: HashMap<String, usize>,
}

/// Where a step stands that names a group.
struct Place<'a> {
    phase: &'a str,
    /// The type of the API; none for flows of the platform, which are around those of every API.
    kind: Option<ApiType>,
    pointer: String,
}

/// A group by itself, for checks: a definition that has nothing else.
pub(crate) struct Alone {
    /// `{flows: [{request: [...]}]}`.
    pub(crate) definition: Node,
    /// The pointer of the steps in there, and where they really are.
    pub(crate) within: String,
    pub(crate) pointer: String,
}

impl Alone {
    /// A problem of the definition, with the pointer that it has in the group's document.
    pub(crate) fn placed(&self, mut problem: Problem) -> Problem {
        if let Some(rest) = problem.pointer.strip_prefix(&self.within) {
            problem.pointer = format!("{}{rest}", self.pointer);
        }
        problem
    }
}

/// Whether a step stands for a group whose steps are in place: then those are what is looked at.
pub(crate) fn steps_of(step: &Node) -> Option<&Node> {
    step.field(STEPS).filter(|_| step.field("policy").and_then(Node::as_text).is_some_and(is_policy))
}

/// Whether this is the policy of steps that stand for groups.
pub(crate) fn is_policy(name: &str) -> bool {
    names::same(name, POLICY)
}

/// Whether a document is one group, as an export has it.
pub(crate) fn is_one(document: &Node) -> bool {
    ["apiType", "phase"].iter().all(|field| document.field(field).is_some()) && document.field("listeners").is_none()
}

impl Groups {
    /// Adds a group; `sound` tells whether its node fits the schema.
    pub(crate) fn add(&mut self, node: Node, pointer: String, sound: bool, problems: &mut Vec<Problem>) {
        let text = |field: &str| node.field(field).and_then(Node::as_text).map(str::to_owned);
        let mut own: Vec<String> = ["id", "hrid", "crossId"].into_iter().filter_map(text).collect();
        own.retain(|name| !name.is_empty());
        if text("id").is_none() && text("hrid").is_none() {
            own.insert(0, names::slug(&text("name").unwrap_or_default()));
        }
        own.dedup();
        let said =
            sound.then(|| decode::read::<SharedPolicyGroup>(&node).map_err(|problem| problems.push(problem)).ok());
        let mut said = said.flatten();
        if let Some(kind) = said.as_ref().map(|said| said.api_type).filter(|kind| !is_of(*kind)) {
            let span = &node.field("apiType").unwrap_or(&node).span;
            let message = format!("APIs of type {} have no flows here", kind.name());
            problems
                .push(Problem::error(span, below(&pointer, "apiType"), message).hint("allowed: `PROXY`, `MESSAGE`"));
            said = None;
        }
        for name in &own {
            let Some(other) = self.by_name.get(name).and_then(|at| self.all.get(*at)) else {
                self.by_name.insert(name.clone(), self.all.len());
                continue;
            };
            let first = &other.node.span;
            let message =
                format!("another shared policy group is called `{name}`, too: {}:{}", first.source.name, first.line);
            problems.push(Problem::error(&node.span, pointer.clone(), message));
        }
        let empty = Node::new(Value::Seq(Vec::new()), node.span.clone());
        let steps = node.field(STEPS).cloned().unwrap_or(empty);
        self.all.push(Group { node, pointer, names: own, said, steps, count: 0, progress: Progress::Untouched });
    }

    /// Puts the steps of groups in groups in place. Groups that contain themselves are errors.
    pub(crate) fn settle(&mut self, problems: &mut Vec<Problem>) {
        for at in 0..self.all.len() {
            self.settle_one(at, 0, problems);
        }
    }

    fn settle_one(&mut self, at: usize, depth: usize, problems: &mut Vec<Problem>) {
        let Some(group) = self.all.get_mut(at).filter(|group| group.progress == Progress::Untouched) else { return };
        group.progress = Progress::UnderWay;
        let Some(said) = group.said.as_ref() else {
            group.steps.value = Value::Seq(Vec::new());
            group.progress = Progress::Done;
            return;
        };
        let (phase, kind) = (said.phase, said.api_type);
        let (mut steps, pointer) = (group.steps.clone(), below(&group.pointer, STEPS));
        let mut count = steps.items().len();
        for (index, step) in items_mut(&mut steps).iter_mut().enumerate() {
            let place = Place { phase: phase.field(), kind: Some(kind), pointer: format!("{pointer}[{index}]") };
            let inner = match self.named(step, &place) {
                None => continue,
                Some(Err(problem)) => {
                    problems.push(problem);
                    continue;
                }
                Some(Ok(inner)) => inner,
            };
            if depth < GROUPS_DEEP_MAX {
                self.settle_one(inner, depth + 1, problems);
            }
            let Some(other) = self.all.get(inner) else { continue };
            let name = |at: usize| self.all.get(at).and_then(|group| group.names.first()).map_or("", String::as_str);
            let message = match other.progress {
                Progress::Done => {
                    count += other.count;
                    put(step, &other.steps);
                    continue;
                }
                _ if depth >= GROUPS_DEEP_MAX => format!("groups are nested more than {GROUPS_DEEP_MAX} deep here"),
                _ if inner == at => format!("the group `{}` contains itself", name(at)),
                _ => format!("the group `{}` contains `{}`, which contains it", name(at), name(inner)),
            };
            problems.push(Problem::error(&step.span, place.pointer, message));
        }
        if count > STEPS_MAX {
            let message =
                format!("the group has {count} steps with those of groups in it, and {STEPS_MAX} are the most");
            problems.push(Problem::error(&steps.span, pointer, message));
            steps.value = Value::Seq(Vec::new());
        }
        if let Some(group) = self.all.get_mut(at) {
            group.steps = steps;
            group.count = count;
            group.progress = Progress::Done;
        }
    }

    /// The groups as definitions of their own, such that nest others after those.
    pub(crate) fn alone(&self) -> impl Iterator<Item = (Alone, ApiType)> + '_ {
        self.all.iter().filter_map(|group| {
            let said = group.said.as_ref()?;
            let span = &group.node.span;
            let map = |key: &str, value: Node| Node::new(Value::Map(vec![entry(key, value)]), span.clone());
            let flow = map(said.phase.field(), group.steps.clone());
            let flows = Node::new(Value::Seq(vec![flow]), span.clone());
            let within = format!("flows[0].{}", said.phase.field());
            let alone = Alone { definition: map("flows", flows), within, pointer: below(&group.pointer, STEPS) };
            Some((alone, said.api_type))
        })
    }

    /// Puts the steps of groups in place in the flows of a definition. `kind` is the type of its API.
    pub(crate) fn expand(&self, definition: &mut Node, kind: Option<ApiType>, problems: &mut Vec<Problem>) {
        let mut of_flows = |node: &mut Node, prefix: &str| {
            let Some(flows) = field_mut(node, "flows") else { return };
            for (at, flow) in items_mut(flows).iter_mut().enumerate() {
                self.expand_flow(flow, kind, &format!("{prefix}flows[{at}]"), problems);
            }
        };
        of_flows(definition, "");
        let Some(plans) = field_mut(definition, "plans") else { return };
        for (at, plan) in items_mut(plans).iter_mut().enumerate() {
            of_flows(plan, &format!("plans[{at}]."));
        }
    }

    fn expand_flow(&self, flow: &mut Node, kind: Option<ApiType>, pointer: &str, problems: &mut Vec<Problem>) {
        let Value::Map(entries) = &mut flow.value else { return };
        for entry in entries {
            for (at, step) in items_mut(&mut entry.value).iter_mut().enumerate() {
                let place = Place { phase: &entry.key, kind, pointer: format!("{pointer}.{}[{at}]", entry.key) };
                match self.named(step, &place) {
                    None => {}
                    Some(Err(problem)) => problems.push(problem),
                    Some(Ok(at)) => {
                        if let Some(group) = self.all.get(at) {
                            put(step, &group.steps);
                        }
                    }
                }
            }
        }
    }

    /// The group that a step stands for, if it stands for one. One that has an error may stand anywhere.
    fn named(&self, step: &Node, place: &Place<'_>) -> Option<Result<usize, Problem>> {
        let disabled = step.field("enabled").and_then(Node::as_bool) == Some(false);
        let policy = step.field("policy").and_then(Node::as_text)?;
        (is_policy(policy) && !disabled).then(|| self.resolve(step, place))
    }

    fn resolve(&self, step: &Node, place: &Place<'_>) -> Result<usize, Problem> {
        let at = below(&place.pointer, "configuration");
        let Some(configuration) = step.field("configuration") else {
            let message = "`configuration` is missing: its `sharedPolicyGroupId` names the group";
            return Err(Problem::error(&step.span, at, message));
        };
        let wrong = check::check::<GroupReference>(configuration);
        if let Some(problem) = wrong.into_iter().find(Problem::is_error) {
            return Err(problem.below(&at));
        }
        let field =
            ["sharedPolicyGroupId", "hrid"].into_iter().find_map(|name| Some((name, configuration.field(name)?)));
        let Some((name, node)) = field else {
            let message = "`sharedPolicyGroupId` is missing: it names the group";
            return Err(Problem::error(&configuration.span, at, message));
        };
        let at = below(&at, name);
        let refused = |message: String| Problem::error(&node.span, at.clone(), message);
        let found = node.as_text().and_then(|name| self.by_name.get(name));
        let Some((index, group)) = found.and_then(|index| Some((*index, self.all.get(*index)?))) else {
            return Err(refused(format!("there is no shared policy group {}", node.shown())).hint(self.nearest(node)));
        };
        let Some(said) = &group.said else { return Ok(index) };
        if said.phase.field() != place.phase {
            let message = format!(
                "the shared policy group `{}` is for the phase {}, and this is {}",
                said.name,
                said.phase.name(),
                Phase::ALL.into_iter().find(|phase| phase.field() == place.phase).map_or("another", Phase::name)
            );
            return Err(refused(message));
        }
        if let Some(kind) = place.kind.filter(|kind| *kind != said.api_type) {
            let message = format!(
                "the shared policy group `{}` is for APIs of type {}, and this is of type {}",
                said.name,
                said.api_type.name(),
                kind.name()
            );
            return Err(refused(message));
        }
        Ok(index)
    }

    fn nearest(&self, wanted: &Node) -> String {
        let known = || self.all.iter().flat_map(|group| group.names.first()).map(String::as_str);
        let near = wanted.as_text().and_then(|wanted| names::nearest(wanted, known()));
        match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.all.is_empty() => "groups stand beside definitions, in files that `apis` names".to_owned(),
            None => format!("known: {}", names::list(known().take(HINT_NAMES_MAX))),
        }
    }
}

/// APIs of these types have flows that are built here.
fn is_of(kind: ApiType) -> bool {
    matches!(kind, ApiType::Proxy | ApiType::Message)
}

fn put(step: &mut Node, steps: &Node) {
    if let Value::Map(entries) = &mut step.value {
        entries.push(entry(STEPS, steps.clone()));
    }
}

fn entry(key: &str, value: Node) -> Entry {
    Entry { key: key.to_owned(), span: value.span.clone(), value }
}

fn below(pointer: &str, field: &str) -> String {
    if pointer.is_empty() { field.to_owned() } else { format!("{pointer}.{field}") }
}

fn field_mut<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Value::Map(entries) = &mut node.value else { return None };
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
}

fn items_mut(node: &mut Node) -> &mut [Node] {
    match &mut node.value {
        Value::Seq(items) => items,
        _ => &mut [],
    }
}
