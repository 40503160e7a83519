//! Loads everything: settings, the definitions that they name, and what only shows when all are seen together.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::Api;
use crate::applications;
use crate::catalogue::Catalogue;
use crate::common::Common;
use crate::definition::{Contents, Definition, Format, Surroundings};
use crate::files::{self, FILE_BYTES_MAX, Found};
use crate::node::{Node, Source, Value};
use crate::premises::Premises;
use crate::problem::{self, Problem};
use crate::routes;
use crate::secrets::{Hidden, Secrets};
use crate::settings::{SecretProvider, Settings};
use crate::settings_file::{self, SettingsFile};
use crate::snapshot::Snapshot;
use crate::substitute::{Environment, ProcessEnvironment};

/// What a load found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The snapshot; `None` if anything is wrong.
    pub snapshot: Option<Snapshot>,
    /// Errors and warnings, by file and position.
    pub problems: Vec<Problem>,
    /// Files and folders that were read or looked for: what to watch.
    pub files: Vec<PathBuf>,
}

/// Loads settings and definitions, or checks them.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    environment: &'a dyn Environment,
    catalogue: Option<&'a Catalogue>,
    premises: Option<Premises>,
}

impl Default for Loader<'_> {
    fn default() -> Self {
        Self { environment: &ProcessEnvironment, catalogue: None, premises: None }
    }
}

/// Loads `ringway.yaml` and the definitions that it names; without, the built-in settings, which name none.
pub fn load(path: Option<&Path>) -> Loaded {
    Loader::default().load(path)
}

/// Checks settings, definitions and folders of them, all together.
pub fn check_paths(paths: &[PathBuf]) -> Vec<Problem> {
    Loader::default().check(paths)
}

impl<'a> Loader<'a> {
    /// Checks what definitions say to extensions, too. Without a catalogue, whatever they name is taken to exist, and only keyless plans
    /// are offered.
    #[must_use]
    pub fn catalogue(self, catalogue: &'a Catalogue) -> Self {
        Self { catalogue: Some(catalogue), ..self }
    }

    /// Tries out what settings say, too: that what they name is there and can be used.
    #[must_use]
    pub fn premises(self, premises: Premises) -> Self {
        Self { premises: Some(premises), ..self }
    }

    /// Takes the values of `${NAME}` and `file:` from elsewhere than this process's environment.
    #[must_use]
    pub fn environment(self, environment: &'a dyn Environment) -> Self {
        Self { environment, ..self }
    }

    /// Loads `ringway.yaml` and the definitions that it names; without, the built-in settings, which name none.
    pub fn load(&self, path: Option<&Path>) -> Loaded {
        let mut loaded = Loaded::default();
        let mut secrets = self.secrets(path.is_none().then(Vec::new));
        let file = match path {
            None => SettingsFile::default(),
            Some(path) => {
                loaded.files.push(path.to_owned());
                let file = settings_file::read(path, self.environment, &mut secrets, &mut loaded);
                if let Some((premises, node)) = self.premises.zip(file.node.as_ref()) {
                    let settings = file.is_sound().then_some(&file.settings);
                    premises.look(node, settings, path.parent().unwrap_or(Path::new("")), &mut loaded);
                }
                file
            }
        };
        // Definitions are read even if the settings are wrong, so that all problems show at once.
        let mut contents = self.definitions(&file, &mut secrets, &mut loaded);
        if let Some(node) = &file.node {
            contents.common.settings(node, &mut contents.problems);
        }
        self.finish(file.settings, contents, secrets, &mut loaded);
        loaded.files.sort();
        loaded.files.dedup();
        loaded
    }

    /// Loads the definitions of files and folders with settings that are there already: for a gateway whose settings are no file, as in a demo.
    pub fn load_with(&self, settings: Settings, paths: &[PathBuf]) -> Loaded {
        let mut loaded = Loaded::default();
        let mut contents = Contents::default();
        let mut secrets = self.secrets(Some(settings.secrets.clone()));
        for path in paths {
            self.path(path, &mut secrets, &mut loaded, &mut contents);
        }
        self.finish(settings, contents, secrets, &mut loaded);
        loaded
    }

    /// Reads the definitions of a text that is no file; `name` stands for it in problems. A text that somebody sent is read with
    /// [`NoEnvironment`](crate::NoEnvironment): its author must not read what this process may read.
    pub fn definition(&self, name: &str, text: &str, settings: &Settings) -> (Vec<Api>, Vec<Problem>) {
        let source = Source::new(name, text);
        let (mut loaded, mut contents) = (Loaded::default(), Contents::default());
        let mut secrets = self.secrets(Some(settings.secrets.clone()));
        contents.take(&source, Format::sniff(text), Path::new(""), self.environment, &mut secrets);
        let (definitions, common) = self.judge(contents, settings, &mut loaded);
        let hidden = secrets.hidden();
        hidden.hide_in(&mut loaded.problems);
        problem::sort(&mut loaded.problems);
        let mut finish = Finish { settings, common: &common, hidden, prints: Prints::default() };
        (definitions.into_iter().map(|definition| finish.one(definition)).collect(), loaded.problems)
    }

    /// Checks settings, definitions and folders of them. Settings are checked with the definitions that they name; all others together, with
    /// what stands beside them for APIs to have in common.
    pub fn check(&self, paths: &[PathBuf]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut found = Found::default();
        for path in paths {
            if let Err(error) = files::find(path, &mut found) {
                problems.push(Problem::of_file(path.display().to_string(), format!("cannot be read: {error}")));
            }
        }
        let looks_like_settings = |path: &PathBuf| settings_file::looks_like(path);
        let (settings, definitions): (Vec<PathBuf>, Vec<PathBuf>) =
            found.definitions.into_iter().partition(looks_like_settings);
        let mut checked = Vec::new();
        for path in found.settings.into_iter().chain(settings) {
            let loaded = self.load(Some(&path));
            problems.extend(loaded.problems);
            checked.extend(loaded.files);
        }
        // No server and no provider of secrets is known here, so none can be missing.
        let alone = Settings { servers: Vec::new(), ..Settings::default() };
        let mut loaded = Loaded::default();
        let mut read = Contents::default();
        let mut secrets = self.secrets(None);
        let own: Vec<&PathBuf> = definitions.iter().filter(|path| !checked.contains(path)).collect();
        for path in &own {
            self.file(path, &mut secrets, &mut loaded, &mut read);
        }
        let mut beside: Vec<PathBuf> = own.iter().flat_map(|path| files::beside(path)).collect();
        beside.sort();
        beside.dedup();
        beside.retain(|path| !own.contains(&path));
        for path in &beside {
            let mut other = Contents::default();
            self.file(path, &mut secrets, &mut Loaded::default(), &mut other);
            read.common.append(other.common);
        }
        self.judge(read, &alone, &mut loaded);
        // What is wrong in those was not asked.
        let is_asked = |problem: &Problem| !beside.iter().any(|path| path.display().to_string() == problem.file);
        problems.extend(loaded.problems.into_iter().filter(is_asked));
        problem::sort(&mut problems);
        problems.dedup();
        problems
    }

    fn secrets(&self, providers: Option<Vec<SecretProvider>>) -> Secrets<'a> {
        Secrets::new(self.environment, providers).opened_by(self.premises.map(|premises| premises.store))
    }

    /// Takes the files that settings name.
    fn definitions(&self, file: &SettingsFile, secrets: &mut Secrets<'_>, loaded: &mut Loaded) -> Contents {
        let mut contents = Contents::default();
        for (at, path) in file.settings.apis.iter().enumerate() {
            let before = loaded.problems.len();
            self.path(path, secrets, loaded, &mut contents);
            // A path that is not there is a problem of the file that names it.
            let span = file.node.as_ref().and_then(|node| Some(&node.field("apis")?.items().get(at)?.span));
            for problem in loaded.problems.iter_mut().skip(before) {
                if let (0, Some(span)) = (problem.line, span.filter(|_| problem.file == path.display().to_string())) {
                    *problem = Problem::error(
                        span,
                        format!("apis[{at}]"),
                        format!("`{}` {}", path.display(), problem.message),
                    );
                }
            }
        }
        contents
    }

    fn path(&self, path: &Path, secrets: &mut Secrets<'_>, loaded: &mut Loaded, contents: &mut Contents) {
        loaded.files.push(path.to_owned());
        let mut found = Found::default();
        if let Err(error) = files::find(path, &mut found) {
            loaded.problems.push(Problem::of_file(path.display().to_string(), format!("cannot be read: {error}")));
            return;
        }
        for file in &found.definitions {
            self.file(file, secrets, loaded, contents);
        }
        loaded.files.extend(found.folders);
        loaded.files.extend(found.definitions);
    }

    fn file(&self, path: &Path, secrets: &mut Secrets<'_>, loaded: &mut Loaded, contents: &mut Contents) {
        let name = path.display().to_string();
        let text = match files::read(path) {
            Ok(text) => text,
            Err(error) => return loaded.problems.push(Problem::of_file(name, format!("cannot be read: {error}"))),
        };
        let format = Format::of(path).unwrap_or_else(|| Format::sniff(&text));
        let folder = path.parent().unwrap_or(Path::new(""));
        contents.take(&Source::new(name, text), format, folder, self.environment, secrets);
    }

    /// Reads what was taken, and looks at what only shows when all is seen together.
    fn judge(&self, mut contents: Contents, settings: &Settings, loaded: &mut Loaded) -> (Vec<Definition>, Common) {
        let said = std::mem::take(&mut contents.common);
        let (common, files) = Common::read(said, self.catalogue, settings, &mut contents.problems);
        let around = Surroundings { settings, catalogue: self.catalogue, common: &common };
        let mut definitions = contents.read(&around);
        loaded.problems.append(&mut contents.problems);
        loaded.files.append(&mut contents.files);
        loaded.files.extend(files);
        loaded.problems.extend(routes::identify(&mut definitions));
        loaded.problems.extend(routes::conflicts(&definitions));
        applications::join(&contents.applications, &mut definitions, &mut loaded.problems);
        (definitions, common)
    }

    /// Puts the problems in order, and makes the snapshot if nothing is wrong.
    fn finish(&self, settings: Settings, contents: Contents, secrets: Secrets<'_>, loaded: &mut Loaded) {
        let (definitions, common) = self.judge(contents, &settings, loaded);
        let hidden = secrets.hidden();
        hidden.hide_in(&mut loaded.problems);
        problem::sort(&mut loaded.problems);
        loaded.files.extend(secrets.files);
        if loaded.problems.iter().any(Problem::is_error) {
            return;
        }
        static REVISION: AtomicU64 = AtomicU64::new(0);
        let mut finish =
            Finish { settings: &settings, common: &common, hidden: hidden.clone(), prints: Prints::default() };
        let apis = definitions.into_iter().map(|definition| Arc::new(finish.one(definition))).collect();
        let revision = REVISION.fetch_add(1, Ordering::Relaxed) + 1;
        loaded.snapshot = Some(Snapshot { apis, dictionaries: common.dictionaries, settings, hidden, revision });
    }
}

/// What an API is completed with.
struct Finish<'a> {
    settings: &'a Settings,
    common: &'a Common,
    hidden: Hidden,
    prints: Prints,
}

impl Finish<'_> {
    /// The API with its fingerprint. What must not be shown of it is that of all: what changes of its own makes it another one.
    fn one(&mut self, definition: Definition) -> Api {
        let Definition { mut api, node, joined, files } = definition;
        let mut hasher = DefaultHasher::new();
        hash(&node, &mut hasher);
        joined.iter().chain(&self.common.platform_node).for_each(|node| hash(node, &mut hasher));
        (&api.id, &self.settings.tags, &self.settings.tenant, &api.idle).hash(&mut hasher);
        files.into_iter().for_each(|path| self.prints.of(path).hash(&mut hasher));
        api.fingerprint = hasher.finish();
        api.hidden = self.hidden.clone();
        api
    }
}

/// What files hold that extensions are built from: each is read once, however many APIs it is for.
#[derive(Default)]
struct Prints(HashMap<PathBuf, Option<u64>>);

impl Prints {
    /// Of a file that cannot be read: nothing. Whoever needs it will say so.
    fn of(&mut self, path: PathBuf) -> Option<u64> {
        *self.0.entry(path).or_insert_with_key(|path| print(path).ok())
    }
}

fn print(path: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut file = BufReader::new(File::open(path)?.take(FILE_BYTES_MAX));
    loop {
        let bytes = file.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(hasher.finish());
        }
        hasher.write(bytes);
        file.consume(length);
    }
}

/// Hashes the values of a tree, not where they stand.
pub(crate) fn hash(node: &Node, hasher: &mut DefaultHasher) {
    match &node.value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(value) => (1_u8, value).hash(hasher),
        Value::Number(number) => (2_u8, number.text()).hash(hasher),
        Value::String(text) => (3_u8, text).hash(hasher),
        Value::Seq(items) => {
            (4_u8, items.len()).hash(hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Map(entries) => {
            (5_u8, entries.len()).hash(hasher);
            for entry in entries {
                entry.key.hash(hasher);
                hash(&entry.value, hasher);
            }
        }
    }
}
