//! The house rules that a compiler can't hold: who may depend on whom, and what may be written where.
//!
//! Each test lists every breach at once. The dependency edges are read from the table of `ARCHITECTURE.md`, so that the
//! page and the build can't disagree.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a Rust file beyond which an idea is hiding in it.
const LINES_MAX: usize = 700;

/// Files that may be longer, with the reason.
const LONG: [(&str, &str); 0] = [];

/// Where `unsafe` may be written, with the reason. `undocumented_unsafe_blocks` (clippy) asks for the comment.
const UNSAFE: [(&str, &str); 5] = [
    ("engine/net/", "system calls on raw descriptors"),
    ("engine/ring/", "the slots of the ring"),
    ("engine/wire/src/scan", "the scanner's reads by the word"),
    (
        "connectors/src/kafka/native/",
        "librdkafka's C interface: its Rust wrapper has no batches and copies what it produces",
    ),
    ("tests/tests/allocations.rs", "a counting allocator"),
];

/// Names of extensions that the engine may spell all the same, with the reason.
const SPELLED: [(&str, &str, &str); 2] = [
    (
        "engine/wire/src/websocket/handshake.rs",
        "websocket",
        "the token of RFC 6455 by which a client asks for the protocol",
    ),
    ("engine/wire/src/known.rs", "api_key", "the names of header fields"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_owned()
}

/// Every file of the project with one of the extensions, as a path from the root.
fn files(extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root(), &mut |path| {
        if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            found.push(path.strip_prefix(root()).expect("below the root").display().to_string());
        }
    });
    found.sort();
    assert!(!found.is_empty(), "no {extensions:?} files found: the walk is broken");
    found
}

fn collect(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = name == ".ci" || !(name.starts_with('.') || name.starts_with("target"));
        if path.is_dir() {
            let made = ["artifacts", "corpus", "node_modules"].contains(&name.as_str());
            if ours && !made {
                collect(&path, visit);
            }
        } else {
            visit(&path);
        }
    }
}

fn read(path: &str) -> String {
    String::from_utf8_lossy(&fs::read(root().join(path)).unwrap_or_default()).into_owned()
}

#[track_caller]
fn none(what: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{what}:\n  {}", breaches.join("\n  "));
}

/// The code of a Rust file, line by line: comments blanked. Literals stay.
fn code(text: &str) -> Vec<String> {
    #[derive(PartialEq)]
    enum In {
        Code,
        Literal,
        Raw(usize),
        Line,
        Block(usize),
    }
    let mut state = In::Code;
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let mut take = next.len_utf8();
        let mut blank = false;
        match state {
            In::Code => {
                if rest.starts_with("//") {
                    state = In::Line;
                    blank = true;
                } else if rest.starts_with("/*") {
                    (state, take, blank) = (In::Block(1), 2, true);
                } else if next == '"' {
                    state = In::Literal;
                } else if let Some(hashes) = raw_literal(rest) {
                    let opens =
                        rest.starts_with('r') && !out.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_');
                    if opens {
                        (state, take) = (In::Raw(hashes), 2 + hashes);
                    }
                } else if rest.starts_with("'\"'") {
                    take = 3;
                } else if rest.starts_with("'\\\"'") || rest.starts_with("'\\\\'") || rest.starts_with("'\\''") {
                    take = 4;
                }
            }
            In::Literal => match next {
                '\\' => take += rest[1..].chars().next().map_or(0, char::len_utf8),
                '"' => state = In::Code,
                _ => {}
            },
            In::Raw(hashes) => {
                let end = format!("\"{}", "#".repeat(hashes));
                if rest.starts_with(&end) {
                    (state, take) = (In::Code, end.len());
                }
            }
            In::Line => {
                blank = next != '\n';
                if next == '\n' {
                    state = In::Code;
                }
            }
            In::Block(depth) => {
                blank = next != '\n';
                if rest.starts_with("*/") {
                    state = if depth == 1 { In::Code } else { In::Block(depth - 1) };
                    take = 2;
                } else if rest.starts_with("/*") {
                    (state, take) = (In::Block(depth + 1), 2);
                }
            }
        }
        if !blank {
            out.push_str(&rest[..take]);
        }
        rest = &rest[take..];
    }
    out.lines().map(str::to_owned).collect()
}

/// The number of `#` of the raw literal that begins here.
fn raw_literal(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The code before the file's own tests: those may name whatever they like.
fn product(text: &str) -> Vec<String> {
    let mut lines = code(text);
    if let Some(tests) = lines.iter().position(|line| line.trim() == "#[cfg(test)]") {
        lines.truncate(tests);
    }
    lines
}

/// Whether `word` stands in `line` by itself.
fn has_word(line: &str, word: &str) -> bool {
    let inner = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !inner(line[..at].chars().next_back()) && !inner(line[at + word.len()..].chars().next()))
}

fn find(files: &[String], mut breach: impl FnMut(&str, &str) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files {
        for (at, line) in code(&read(file)).iter().enumerate() {
            if breach(file, line) {
                breaches.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    breaches
}

#[test]
fn comments_are_told_from_code() {
    let table = [
        ("a // b", "a "),
        ("a /* b /* c */ d */ e", "a  e"),
        ("\"a // b\" // c", "\"a // b\" "),
        ("\"\\\"//\" // c", "\"\\\"//\" "),
        ("r#\"\"//\"# // c", "r#\"\"//\"# "),
        ("'\"' // c", "'\"' "),
        ("br\"//\" // c", "br\"//\" "),
    ];
    for (text, wanted) in table {
        assert_eq!(code(text), [wanted], "{text}");
    }
    assert_eq!(product("a\n#[cfg(test)]\nmod tests { b }"), ["a"]);
    assert!(has_word("x.todo!()", "todo!") && !has_word("unsafe_code", "unsafe"));
}

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    let rows = architecture_table();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root());
    let output = cargo.output().expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata speaks JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let folder_of = |package: &serde_json::Value| -> String {
        let manifest =
            Path::new(package["manifest_path"].as_str().expect("a manifest path")).parent().expect("a folder");
        manifest
            .strip_prefix(fs::canonicalize(root()).expect("the root"))
            .expect("below the root")
            .display()
            .to_string()
    };
    let folders: BTreeMap<&str, String> =
        packages.iter().map(|package| (package["name"].as_str().expect("a name"), folder_of(package))).collect();
    assert!(folders.len() >= 10, "cargo metadata shows only {folders:?}");
    let mut breaches = Vec::new();
    for package in packages {
        let (name, folder) = (package["name"].as_str().expect("a name"), folder_of(package));
        let Some(allowed) = rows.get(&folder) else {
            breaches.push(format!("{folder}/ has no row in the table of ARCHITECTURE.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let Some(target) = dependency["name"].as_str().and_then(|name| folders.get(name)) else { continue };
            let allowed = allowed.as_ref().is_none_or(|allowed| allowed.contains(target));
            if !allowed && *target != folder {
                breaches.push(format!("{name} must not depend on {target}/"));
            }
        }
    }
    none("edges that ARCHITECTURE.md does not allow", breaches);
}

/// Folder -> the folders it may depend on; `None` for all.
fn architecture_table() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut rows = BTreeMap::new();
    let short = |name: &str| match name {
        "contract" | "expression" | "net" | "ring" | "wire" => format!("engine/{name}"),
        _ => name.to_owned(),
    };
    for line in read("ARCHITECTURE.md").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [folders, _, edges] = cells.as_slice() else { panic!("not a row of three cells: {line}") };
        let allowed = match *edges {
            "all" => None,
            "–" => Some(BTreeSet::new()),
            edges => Some(edges.split(',').map(|edge| short(edge.trim())).collect()),
        };
        for folder in folders.split(',') {
            rows.insert(folder.trim().trim_matches('`').trim_end_matches('/').to_owned(), allowed.clone());
        }
    }
    assert!(rows.len() >= 12, "the table of ARCHITECTURE.md was not understood: {rows:?}");
    rows
}

#[test]
fn only_net_names_the_runtime() {
    let sources = files(&["rs", "toml"]);
    let breaches = find(&sources, |file, line| {
        let allowed = file.starts_with("engine/net/")
            || file == "Cargo.toml"
            || file == "deny.toml"
            || file == "tests/tests/house.rs";
        !allowed && has_word(line.split('#').next().unwrap_or_default(), "monoio")
    });
    none("monoio named outside of engine/net", breaches);
}

#[test]
fn the_engine_knows_no_extension_by_name() {
    let mut names = BTreeSet::new();
    for table in ["connectors/src", "policies/src"] {
        for entry in fs::read_dir(root().join(table)).expect("the folder of a table") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                names.insert(path.file_name().expect("a folder has a name").to_string_lossy().into_owned());
            }
        }
    }
    assert!(names.contains("http_proxy"), "the folders of the extensions were not found: {names:?}");
    let mut breaches = Vec::new();
    for file in files(&["rs"]) {
        let watched = ["engine/", "gateway/", "management/"].iter().any(|folder| file.starts_with(folder));
        if !watched || !file.contains("src/") {
            continue;
        }
        for (at, line) in product(&read(&file)).iter().enumerate() {
            let excused = |name: &String| SPELLED.iter().any(|(place, word, _)| *place == file && word == name);
            if let Some(name) = names.iter().find(|name| spells(line, name) && !excused(name)) {
                breaches.push(format!("{file}:{}: names {name}: {}", at + 1, line.trim()));
            }
        }
    }
    none("names of policies or connectors in the engine, the gateway or the management", breaches);
}

/// Whether a line of code spells the extension whose folder is `name`: as a kind, a module or a type. One word by itself may
/// well mean something else, and counts only as a literal or a path.
fn spells(line: &str, name: &str) -> bool {
    let kebab = name.replace('_', "-");
    if !name.contains('_') {
        return line.contains(&format!("\"{name}\""))
            || line.contains(&format!("policies::{name}"))
            || line.contains(&format!("connectors::{name}"));
    }
    let camel: String = name.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
    [kebab.as_str(), name, camel.as_str()].iter().any(|spelling| line.contains(spelling))
}

#[test]
fn an_extension_is_recognised_in_every_spelling() {
    for line in ["if kind == \"http-proxy\" {", "use x::http_proxy;", "HttpProxy::new()", "\"key-less\""] {
        assert!(spells(line, "http_proxy") || spells(line, "key_less"), "{line}");
    }
    assert!(spells("kind == \"mock\"", "mock") && !spells("a mock backend", "mock"));
}

#[test]
fn unsafe_stays_where_it_is_allowed() {
    let breaches = find(&files(&["rs"]), |file, line| {
        let allowed = UNSAFE.iter().any(|(place, _)| file.starts_with(place)) || file == "tests/tests/house.rs";
        !allowed && has_word(line, "unsafe")
    });
    none("unsafe outside of the places that may have it", breaches);
}

#[test]
fn nothing_is_left_undone() {
    let breaches = find(&files(&["rs"]), |file, line| {
        let words = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
        file != "tests/tests/house.rs" && words.iter().any(|word| line.contains(word))
    });
    none("unfinished work", breaches);
}

#[test]
fn files_hold_one_idea() {
    let mut breaches = Vec::new();
    for file in files(&["rs"]) {
        let lines = read(&file).lines().count();
        if lines > LINES_MAX && !LONG.iter().any(|(long, _)| *long == file) {
            breaches.push(format!("{file}: {lines} lines"));
        }
    }
    for (file, reason) in LONG {
        assert!(read(file).lines().count() > LINES_MAX, "{file} need not be excused ({reason})");
    }
    none("files of more than 700 lines", breaches);
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    let root = root().display().to_string();
    // "/root" with its slash in front would be a path of this file's own.
    let homes = ["root", "home"].map(|home| format!("/{home}/"));
    let mut breaches = Vec::new();
    let texts = ["rs", "toml", "md", "yaml", "yml", "json", "sh", "py", "conf", "html"];
    for file in files(&texts).into_iter().chain([".ci/run", "tests/run", "fuzz/run"].map(str::to_owned)) {
        for (at, line) in read(&file).lines().enumerate() {
            if line.contains(&format!("{root}/")) || homes.iter().any(|home| line.contains(home.as_str())) {
                breaches.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    none("absolute paths", breaches);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut breaches = Vec::new();
    for file in files(&["md"]) {
        let folder = Path::new(&file).parent().expect("a file has a folder").to_owned();
        let text = read(&file);
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !outside && !root().join(&folder).join(target).exists() {
                breaches.push(format!("{file}: {link}"));
            }
        }
    }
    none("links to nothing", breaches);
}

/// The targets of `[text](target)` outside of code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
        }
        if !block {
            found.extend(line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target)));
        }
    }
    found
}

#[test]
fn links_are_found() {
    assert_eq!(links("a [b](c.md) [d](e#f)\n```\n[g](h)\n```\n"), ["c.md", "e#f"]);
}
