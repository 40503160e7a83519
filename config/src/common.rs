//! What the APIs of a gateway have in common: read before them, from the files that they stand in and from `ringway.yaml`.

use std::path::PathBuf;
use std::sync::Arc;

use crate::api::{self, Dictionary, Platform, SharedPolicyGroup};
use crate::catalogue::{Carries, Catalogue, NOT_SERVED, Owner};
use crate::groups::{self, Groups};
use crate::node::{Node, Value};
use crate::problem::{Problem, Severity};
use crate::settings::Settings;
use crate::{check, conditions, decode, dictionaries, legacy, names, pending, rules, tags};

/// The fields that say it, in documents beside definitions and in `ringway.yaml`.
pub(crate) const FIELDS: [&str; 3] = ["platform", "sharedPolicyGroups", "dictionaries"];

/// What documents say of it, still as trees.
#[derive(Default)]
pub(crate) struct Said(Vec<Part>);

struct Part {
    field: &'static str,
    node: Node,
    pointer: String,
    /// Whether it fits its schema.
    sound: bool,
}

/// Whether a document is one group or one dictionary, as an export has it.
fn is_one(document: &Node) -> bool {
    groups::is_one(document) || is_dictionary(document)
}

/// Whether a document is one dictionary, as an export has it.
pub(crate) fn is_dictionary(document: &Node) -> bool {
    let kind = document.field("type").and_then(Node::as_text);
    kind.is_some_and(|kind| names::same(kind, "MANUAL") || names::same(kind, "DYNAMIC"))
}

impl Said {
    /// Takes a document of the kind [`Common`](crate::kinds::Kind::Common).
    pub(crate) fn take(&mut self, mut document: Node, problems: &mut Vec<Problem>) {
        let is_one = is_one(&document);
        legacy::settle_common(&mut document, is_one, problems);
        let (field, found) = match (groups::is_one(&document), is_dictionary(&document)) {
            (true, _) => (Some("sharedPolicyGroups"), check::check::<SharedPolicyGroup>(&document)),
            (_, true) => (Some("dictionaries"), check::check::<Dictionary>(&document)),
            _ => (None, check::check::<api::Common>(&document)),
        };
        let sound = !found.iter().any(Problem::is_error);
        problems.extend(found);
        match field {
            Some(field) => self.0.push(Part { field, node: document, pointer: String::new(), sound }),
            None => self.fields(&document, sound),
        }
    }

    /// Takes the fields of settings. Their own schema tells no more of these than that they are maps.
    pub(crate) fn settings(&mut self, settings: &Node, problems: &mut Vec<Problem>) {
        let before = self.0.len();
        self.fields(settings, true);
        for part in self.0.iter_mut().skip(before) {
            let found = match part.field {
                "platform" => check::check::<Platform>(&part.node),
                "dictionaries" => check::check::<Dictionary>(&part.node),
                _ => check::check::<SharedPolicyGroup>(&part.node),
            };
            part.sound = !found.iter().any(Problem::is_error);
            problems.extend(found.into_iter().map(|problem| problem.below(&part.pointer)));
        }
    }

    /// Takes what was said elsewhere.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    fn fields(&mut self, document: &Node, sound: bool) {
        for field in FIELDS {
            let Some(node) = document.field(field) else { continue };
            if !matches!(node.value, Value::Seq(_)) {
                self.0.push(Part { field, node: node.clone(), pointer: field.to_owned(), sound });
            }
            for (at, item) in node.items().iter().enumerate() {
                self.0.push(Part { field, node: item.clone(), pointer: format!("{field}[{at}]"), sound });
            }
        }
    }
}

/// What the APIs of a gateway have in common.
#[derive(Default)]
pub(crate) struct Common {
    groups: Groups,
    /// Flows around those of every API.
    pub(crate) platform: Arc<Platform>,
    /// The tree that they were read from: part of what every API says.
    pub(crate) platform_node: Option<Node>,
    /// Files that the policies of the platform are built from.
    pub(crate) platform_files: Vec<PathBuf>,
    /// Tables of texts, by name.
    pub(crate) dictionaries: Vec<Arc<Dictionary>>,
    /// What is wrong with groups, whoever uses them.
    told: Vec<Problem>,
}

impl Common {
    /// Reads what documents said.
    pub(crate) fn read(
        said: Said,
        catalogue: Option<&Catalogue>,
        settings: &Settings,
        problems: &mut Vec<Problem>,
    ) -> (Self, Vec<PathBuf>) {
        let mut common = Self::default();
        let mut files = Vec::new();
        let mut platforms = Vec::new();
        for part in said.0 {
            match part.field {
                "sharedPolicyGroups" => common.groups.add(part.node, part.pointer, part.sound, problems),
                "dictionaries" if part.sound => {
                    let known = &mut common.dictionaries;
                    dictionaries::add(&part.node, &part.pointer, known, catalogue, problems);
                }
                "platform" => platforms.push(part),
                _ => {}
            }
        }
        common.settle_groups(catalogue, settings, problems, &mut files);
        let mut platforms = platforms.into_iter();
        let first = platforms.next();
        for second in platforms {
            let place =
                first.as_ref().map(|first| format!(": {}:{}", first.node.span.source.name, first.node.span.line));
            let message = format!("the platform has its flows elsewhere{}", place.unwrap_or_default());
            problems.push(Problem::error(&second.node.span, second.pointer, message));
        }
        if let Some(part) = first.filter(|part| part.sound) {
            common.settle_platform(part, catalogue, settings, problems);
            files.extend(common.platform_files.iter().cloned());
        }
        (common, files)
    }

    fn settle_groups(
        &mut self,
        catalogue: Option<&Catalogue>,
        settings: &Settings,
        problems: &mut Vec<Problem>,
        files: &mut Vec<PathBuf>,
    ) {
        let mut told = Vec::new();
        // As they are written: a step that stands for another group has conditions of its own.
        for (alone, kind) in self.groups.alone() {
            let mut found = conditions::check(&alone.definition);
            found.extend(
                Carries::of(kind).map(|carries| pending::find(&alone.definition, carries).problems).unwrap_or_default(),
            );
            told.extend(found.into_iter().map(|problem| alone.placed(problem)));
        }
        self.groups.settle(problems);
        for (alone, kind) in self.groups.alone() {
            let mut found = dictionaries::mentioned(&alone.definition, &self.dictionaries);
            if let Some((catalogue, carries)) = catalogue.zip(Carries::of(kind)) {
                found.extend(catalogue.inspect(&alone.definition, carries, Owner::Group).problems);
                let examined = catalogue.examine(&alone.definition, carries, settings, &found);
                found.extend(examined.problems);
                files.extend(examined.files);
            }
            for problem in found {
                // A group in a group is told of by itself.
                if !is_told(&told, &problem) {
                    told.push(alone.placed(problem));
                }
            }
        }
        problems.extend(told.iter().cloned());
        self.told = told;
    }

    fn settle_platform(
        &mut self,
        part: Part,
        catalogue: Option<&Catalogue>,
        settings: &Settings,
        problems: &mut Vec<Problem>,
    ) {
        // It is around the flows of APIs of every type; those of type MESSAGE have all its phases.
        let carries = Carries::Messages;
        let Part { mut node, pointer, .. } = part;
        let mut found = conditions::check(&node);
        rules::flows(&node, &mut found);
        found.extend(pending::find(&node, carries).problems);
        self.groups.expand(&mut node, None, &mut found);
        found.extend(dictionaries::mentioned(&node, &self.dictionaries));
        if let Some(catalogue) = catalogue {
            found.extend(catalogue.inspect(&node, carries, Owner::Platform).problems);
            let examined = catalogue.examine(&node, carries, settings, &found);
            found.extend(examined.problems);
            self.platform_files = examined.files;
        }
        let file = &node.span.source.name;
        found.retain(|problem| problem.file == *file || !is_told(&self.told, problem));
        for problem in &mut found {
            // What keeps an API from being served would keep all of them: nobody means that.
            if problem.hint.as_deref() == Some(NOT_SERVED) {
                problem.severity = Severity::Error;
                problem.hint = None;
            }
        }
        let mut platform: Platform = match decode::read(&node) {
            Ok(platform) => platform,
            Err(problem) => {
                problems.push(problem.below(&pointer));
                return;
            }
        };
        problems.extend(found.into_iter().map(|problem| problem.below(&pointer)));
        for flow in &mut platform.flows {
            flow.enabled &= tags::part_deployed(&flow.tags, &settings.tags);
            flow.settle_names();
        }
        self.platform = Arc::new(platform);
        self.platform_node = Some(node);
    }

    /// Puts the steps of groups in place in the flows of the definition of an API.
    pub(crate) fn expand(&self, definition: &mut Node, problems: &mut Vec<Problem>) {
        let kind = definition.field("type").and_then(Node::as_text).and_then(|kind| {
            [api::ApiType::Proxy, api::ApiType::Message].into_iter().find(|known| names::same(known.name(), kind))
        });
        self.groups.expand(definition, kind, problems);
    }

    /// What is wrong with a definition, without what was told of its groups; what only it has to do with names it.
    pub(crate) fn own(&self, definition: &Node, problems: &mut Vec<Problem>) {
        let file = &definition.span.source.name;
        problems.retain(|problem| problem.file == *file || !is_told(&self.told, problem));
        let name = definition.field("name").map(Node::shown).unwrap_or_default();
        for problem in
            problems.iter_mut().filter(|problem| problem.file != *file && problem.pointer.contains(".steps["))
        {
            problem.message = format!("{}, in the API {name} that uses the group", problem.message);
        }
    }
}

/// Whether the same was said of the same place.
fn is_told(told: &[Problem], problem: &Problem) -> bool {
    let place = |problem: &Problem| (problem.line, problem.column);
    told.iter()
        .any(|known| place(known) == place(problem) && known.file == problem.file && known.message == problem.message)
}
