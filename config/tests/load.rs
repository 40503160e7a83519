//! Loading from files: folders, order, conflicts between files, and what extensions say.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::path::{Path, PathBuf};

use ringway_config::{Catalogue, Extension, Loaded, Loader, Node, Problem, check_against, check_paths};
use tempfile::TempDir;

fn api(name: &str, path: &str) -> String {
    format!(
        "name: {name}\ntype: proxy\nlisteners: [{{ type: http, paths: [{{ path: {path} }}], entrypoints: [{{ type: http-proxy }}] }}]\n\
         endpointGroups: [{{ name: g, type: http-proxy, endpoints: [{{ name: e, type: http-proxy, configuration: {{ target: 'http://b' }} }}] }}]\n\
         plans: [{{ name: open, security: {{ type: key-less }} }}]\n"
    )
}

/// A folder with these files, `ringway.yaml` naming the folder `apis`.
fn folder(settings: &str, files: &[(&str, String)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ringway.yaml"), format!("apis: [apis]\n{settings}")).unwrap();
    for (name, text) in files {
        let path = folder.path().join("apis").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn load(folder: &TempDir) -> Loaded {
    Loader::default().load(Some(&folder.path().join("ringway.yaml")))
}

/// The problems without the name of the folder.
fn lines(folder: &TempDir, problems: &[Problem]) -> Vec<String> {
    let prefix = format!("{}/", folder.path().display());
    problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

#[test]
fn folders_are_read_in_order_with_all_below_them() {
    let folder = folder(
        "",
        &[
            ("b.yml", api("B", "/b")),
            ("a/z.json", r#"{"name": "Z", "type": "PROXY", "listeners": [{"type": "HTTP", "paths": [{"path": "/z"}], "entrypoints": [{"type": "http-proxy"}]}], "endpointGroups": [{"name": "g", "type": "http-proxy"}]}"#.into()),
            ("a/a.yaml", api("A", "/a")),
            (".hidden.yaml", "wrong".into()),
            ("notes.txt", "wrong".into()),
            ("ringway.yaml", "shards: 1".into()),
        ],
    );
    let first = load(&folder);
    let snapshot = first.snapshot.unwrap();
    assert_eq!(snapshot.apis.iter().map(|api| api.id.as_str()).collect::<Vec<_>>(), ["a", "z", "b"]);
    let files: Vec<&Path> = first.files.iter().map(|file| file.strip_prefix(folder.path()).unwrap()).collect();
    let wanted = ["apis", "apis/a", "apis/a/a.yaml", "apis/a/z.json", "apis/b.yml", "ringway.yaml"].map(Path::new);
    assert_eq!(files, wanted);
    let second = load(&folder).snapshot.unwrap();
    assert!(second.revision > snapshot.revision);
    assert_eq!(second.apis[0].fingerprint, snapshot.apis[0].fingerprint);
}

#[test]
fn anything_wrong_gives_no_snapshot() {
    let folder = folder("", &[("a.yaml", api("A", "/a")), ("b.yaml", "name: B".into())]);
    let loaded = load(&folder);
    assert!(loaded.snapshot.is_none());
    assert!(loaded.files.contains(&folder.path().join("apis/b.yaml")), "watched all the same");
    assert_eq!(lines(&folder, &loaded.problems).len(), 3, "{:?}", loaded.problems);
}

#[test]
fn definitions_are_checked_although_the_settings_are_wrong() {
    let folder = folder("shrads: 1", &[("a.yaml", api("A", "a"))]);
    let loaded = load(&folder);
    assert!(loaded.snapshot.is_none());
    let found = lines(&folder, &loaded.problems);
    assert!(found.iter().any(|line| line.starts_with("ringway.yaml:2:1: error: shrads")), "{found:?}");
    assert!(
        found.iter().any(|line| line.starts_with("apis/a.yaml:3:43: error: listeners[0].paths[0].path")),
        "{found:?}"
    );
}

#[test]
fn files_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("ringway.yaml");
    assert_eq!(
        lines(&folder, &Loader::default().load(Some(&settings)).problems),
        ["ringway.yaml: error: cannot be read: No such file or directory (os error 2)"]
    );
    std::fs::write(&settings, "apis:\n  - none\n").unwrap();
    assert_eq!(
        lines(&folder, &Loader::default().load(Some(&settings)).problems),
        ["ringway.yaml:2:5: error: apis[0]: `none` cannot be read: No such file or directory (os error 2)"]
    );
    std::fs::write(folder.path().join("none"), b"\xff").unwrap();
    assert_eq!(
        lines(&folder, &Loader::default().load(Some(&settings)).problems),
        [
            "ringway.yaml:2:5: error: apis[0]: `none` cannot be read: not UTF-8: the byte at offset 0 is not part of a character"
        ]
    );
}

#[test]
fn paths_that_two_want_are_refused_in_both_names() {
    let host =
        |name: &str, path: &str, more: &str| api(name, path).replace("paths: [{", &format!("paths: [{{ {more},"));
    let servers =
        |name: &str, id: &str| api(name, "/a").replace("{ type: http,", &format!("{{ type: http, servers: [{id}],"));
    let two = "servers: [{ id: x, listen: '127.0.0.1:1' }, { id: y, listen: '127.0.0.1:2' }]";
    let taken = |column: u32, path: &str, host: &str| {
        format!(
            "apis/b.yaml:3:{column}: error: listeners[0].paths[0].path: the context path `{path}`{host} is taken by the API `A` (it is given in apis/a.yaml:3:{column}; choose another path or host, or other `servers`)"
        )
    };
    let table = [
        ("", api("A", "/a"), api("B", "/a/"), vec![taken(43, "/a/", "")]),
        ("", api("A", "/a/:x"), api("B", "/a/:y"), vec![taken(43, "/a/:y", "")]),
        ("", api("A", "/a"), api("B", "/a/b"), vec![]),
        (
            "",
            host("A", "/a", "host: X.test"),
            host("B", "/a", "host: x.TEST"),
            vec![taken(57, "/a", " on host `x.TEST`")],
        ),
        ("", host("A", "/a", "host: x.test"), host("B", "/a", "host: y.test"), vec![]),
        ("", host("A", "/a", "host: x.test"), api("B", "/a"), vec![]),
        (two, servers("A", "x"), servers("B", "y"), vec![]),
        (two, servers("A", "x"), servers("B", "x"), vec![taken(57, "/a", "")]),
        ("tags: [t]", api("A", "/a") + "tags: [t]", api("B", "/a"), vec![]),
    ];
    for (settings, a, b, wanted) in table {
        let folder = folder(settings, &[("a.yaml", a), ("b.yaml", b.clone())]);
        let loaded = load(&folder);
        assert_eq!(lines(&folder, &loaded.problems), wanted, "{settings} {b}");
        assert_eq!(loaded.snapshot.is_none(), !wanted.is_empty());
    }
}

#[test]
fn ids_are_unique_and_made_up_where_missing() {
    let with = |id: &str, path: &str| format!("id: {id}\n{}", api("A", path));
    let twice = folder("", &[("a.yaml", with("x", "/a")), ("b.yaml", with("x", "/b"))]);
    assert_eq!(
        lines(&twice, &load(&twice).problems),
        ["apis/b.yaml:1:5: error: id: the id `x` is taken by another API (it is given in apis/a.yaml:1:5)"]
    );
    let files = [("a.yaml", api("A", "/a")), ("b.yaml", api("A", "/b")), ("c.yaml", with("a", "/c"))];
    let made = load(&folder("", &files)).snapshot.unwrap();
    assert_eq!(made.apis.iter().map(|api| api.id.as_str()).collect::<Vec<_>>(), ["a-2", "a-3", "a"]);
}

#[test]
fn tags_and_tenants_choose_what_is_served() {
    let tenants = api("A", "/a").replace("name: e, type", "name: e, tenants: [eu], type");
    let files =
        [("a.yaml", tenants + "tags: [t]\nflows: [{ tags: [u] }, { tags: [t] }, {}]"), ("b.yaml", api("B", "/b"))];
    let snapshot = load(&folder("tags: [t]\ntenant: us", &files)).snapshot.unwrap();
    assert_eq!(snapshot.apis[0].idle, None);
    assert_eq!(snapshot.apis[0].flows.iter().map(|flow| flow.enabled).collect::<Vec<_>>(), [false, true, true]);
    assert!(snapshot.apis[0].endpoint_groups[0].endpoints.is_empty());
    assert_eq!(snapshot.apis[1].idle.as_deref(), Some("its tags are not those of this gateway"));
    let all = load(&folder("", &files)).snapshot.unwrap();
    assert!(all.apis.iter().all(|api| api.is_served()));
    assert_eq!(all.apis[0].endpoint_groups[0].endpoints.len(), 1);
}

fn strict(node: &Node) -> Vec<Problem> {
    let schema = serde_json::json!({ "type": "object", "properties": { "target": { "type": "string" } }, "required": ["target"], "additionalProperties": false });
    check_against(node, &schema)
}

fn any(_: &Node) -> Vec<Problem> {
    Vec::new()
}

fn catalogue() -> Catalogue {
    let extension = |name, configuration| Extension {
        name,
        configuration,
        shared: None,
        examine: None,
        files: None,
        messaging: None,
        resources: &[],
        evaluated: &[],
        on_messages: false,
    };
    Catalogue {
        entrypoints: vec![extension("http-proxy", any)],
        brokers: Vec::new(),
        pushes: Vec::new(),
        endpoints: vec![Extension {
            name: "http-proxy",
            configuration: strict,
            shared: Some(any),
            examine: None,
            files: None,
            messaging: None,
            resources: &[],
            evaluated: &[],
            on_messages: false,
        }],
        guards: vec![extension("key-less", any), extension("jwt", any)],
        policies: vec![extension("transform-headers", any)],
        reshape: None,
    }
}

#[test]
fn what_definitions_say_to_extensions_is_checked() {
    let known = catalogue();
    let check = |text: &str| {
        let loader = Loader::default().catalogue(&known);
        let (apis, problems) = loader.definition("a", text, &Default::default());
        (apis, problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect::<Vec<_>>())
    };
    let base = api("A", "/a");
    let (apis, problems) = check(&base);
    assert!(apis[0].is_served() && problems.is_empty(), "{problems:?}");

    let (_, problems) = check(&base.replace("target:", "tarket:"));
    assert_eq!(
        problems,
        [
            "endpointGroups[0].endpoints[0].configuration: `target` is missing",
            "endpointGroups[0].endpoints[0].configuration.tarket: unknown field"
        ]
    );
    let (_, problems) = check(&base.replace(", configuration: { target: 'http://b' }", ""));
    assert_eq!(problems, ["endpointGroups[0].endpoints[0].configuration: `target` is missing"]);

    let (apis, problems) = check(&(base.clone() + "flows: [{ request: [{ policy: transfrom-headers }] }]"));
    assert_eq!(
        (apis.len(), problems),
        (0, vec!["flows[0].request[0].policy: there is no policy `transfrom-headers`".to_owned()])
    );

    let later = "flows[0].request[0].policy: the policy `rate-limit` comes with a later release";
    let (apis, problems) = check(&(base.clone() + "flows: [{ request: [{ policy: rate-limit }] }]"));
    assert_eq!((apis[0].idle.as_deref(), problems), (Some(later), vec![later.to_owned()]));
    let (apis, problems) = check(&(base.clone() + "flows: [{ request: [{ policy: rate-limit, enabled: false }] }]"));
    assert!(apis[0].is_served() && problems.is_empty());
    let (apis, problems) = check(&(base.clone() + "flows: [{ request: [{ policy: groovy }] }]"));
    let instead = "flows[0].request[0].policy: the policy `groovy` is not carried";
    assert_eq!((apis.len(), problems), (0, vec![instead.to_owned()]));

    // A guard that exists opens its plan; one that does not closes it.
    let (apis, problems) = check(&base.replace("key-less", "JWT"));
    assert_eq!((apis[0].offered_plans().count(), problems.len()), (1, 0));
    let (apis, problems) = check(&base.replace("key-less", "oauth2"));
    assert_eq!(apis[0].offered_plans().count(), 0);
    assert_eq!(problems[1], "plans[0].security.type: the plan security `oauth2` comes with a later release");
}

/// An extension that refuses `bad: true` and warns about `odd: true`, wherever either is said.
fn examine(configuration: Option<&Node>, shared: Option<&Node>) -> Vec<Problem> {
    let roots = [("configuration", configuration), ("sharedConfiguration", shared)];
    let found = roots.into_iter().filter_map(|(root, node)| Some((root, node?))).flat_map(|(root, node)| {
        let bad = node.field("bad").map(|node| Problem::error(&node.span, format!("{root}.bad"), "is bad"));
        let odd = node.field("odd").map(|node| Problem::warning(&node.span, format!("{root}.odd"), "is odd"));
        [bad, odd]
    });
    found.flatten().collect()
}

#[test]
fn extensions_look_at_what_their_schemas_let_pass() {
    let look = |name| Extension {
        name,
        configuration: any,
        shared: Some(any),
        examine: Some(examine),
        files: None,
        messaging: None,
        resources: &[],
        evaluated: &[],
        on_messages: false,
    };
    let known = Catalogue { endpoints: vec![look("http-proxy")], policies: vec![look("mock")], ..catalogue() };
    let check = |text: &str, settings: &ringway_config::Settings| {
        let (apis, problems) = Loader::default().catalogue(&known).definition("a", text, settings);
        let lines = problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message));
        (apis.first().map(|api| api.idle.clone()), lines.collect::<Vec<_>>())
    };
    let groups = |shared: &str, endpoints: &str| {
        format!(
            "name: A\ntype: proxy\nlisteners: [{{ type: http, paths: [{{ path: /a }}], entrypoints: [{{ type: http-proxy }}] }}]\n\
             plans: [{{ name: open, security: {{ type: key-less }} }}]\n\
             endpointGroups: [{{ name: g, type: http-proxy, sharedConfiguration: {shared}, endpoints: [{endpoints}] }}]\n"
        )
    };
    let endpoint = |name: &str, more: &str| format!("{{ name: {name}, type: http-proxy, {more} }}");
    let (a, b) = (endpoint("a", "inheritConfiguration: true"), endpoint("b", "inheritConfiguration: true"));
    let here = Default::default();

    // What two endpoints inherit is told once, where it is said.
    let (apis, problems) = check(&groups("{ odd: 1 }", &format!("{a}, {b}")), &here);
    assert_eq!((apis, problems), (Some(None), vec!["endpointGroups[0].sharedConfiguration.odd: is odd".to_owned()]));
    let (apis, problems) = check(&groups("{ bad: 1 }", &a), &here);
    assert_eq!((apis, problems), (None, vec!["endpointGroups[0].sharedConfiguration.bad: is bad".to_owned()]));
    // What nobody inherits has no say, and what is laid over it is looked at in its place.
    assert_eq!(check(&groups("{ bad: 1 }", &endpoint("a", "weight: 1")), &here).1, [""; 0]);
    let over = endpoint("a", "inheritConfiguration: true, sharedConfigurationOverride: { odd: 2 }");
    let (_, problems) = check(&groups("{ odd: 1 }", &over), &here);
    assert_eq!(problems, ["endpointGroups[0].endpoints[0].sharedConfigurationOverride.odd: is odd"]);
    // An endpoint of another tenant is not built here.
    let settings = ringway_config::Settings { tenant: Some("north".into()), ..Default::default() };
    let tenants =
        endpoint("a", "tenants: [south], configuration: { bad: 1 }") + ", " + &endpoint("b", "tenants: [north]");
    assert_eq!(check(&groups("{}", &tenants), &settings).1, [""; 0]);
    assert_eq!(check(&groups("{}", &tenants), &here).1, ["endpointGroups[0].endpoints[0].configuration.bad: is bad"]);

    // Endpoints evaluate no expressions yet, so that none with one is served as if it were plain text. Policies look at their own.
    let (apis, problems) = check(&groups("{}", &endpoint("a", "configuration: { text: [x, 'a {#b}'] }")), &here);
    let idle = "endpointGroups[0].endpoints[0].configuration.text[1]: `{#…}` is not evaluated: where something is built, only `#api` and `#properties` are known";
    assert_eq!((apis, problems), (Some(Some(idle.to_owned())), vec![idle.to_owned()]));
    let step = "flows: [{ request: [{ policy: mock, configuration: { content: [x, 'a {#b}'] } }] }]";
    assert_eq!(check(&(groups("{}", &a) + step), &here), (Some(None), Vec::new()));
}

/// An extension that is built from the file that `store` names.
fn files(_: Option<&Node>, shared: Option<&Node>) -> Vec<PathBuf> {
    shared.and_then(|shared| shared.field("store")?.as_text()).map(PathBuf::from).into_iter().collect()
}

#[test]
fn what_the_files_of_an_extension_hold_is_part_of_the_definition() {
    let endpoint = Extension { files: Some(files), shared: Some(any), ..catalogue().endpoints[0] };
    let known = Catalogue { endpoints: vec![endpoint], ..catalogue() };
    let folder = folder("", &[("a.yaml", api("A", "/a"))]);
    let store = folder.path().join("store.pem");
    let shared = format!("sharedConfigurationOverride: {{ store: '{}' }}, configuration", store.display());
    let text = api("A", "/a").replace("configuration", &shared);
    std::fs::write(folder.path().join("apis/a.yaml"), &text).unwrap();
    let load = || {
        let loaded = Loader::default().catalogue(&known).load(Some(&folder.path().join("ringway.yaml")));
        assert!(loaded.files.contains(&store), "it is watched: {:?} {:?}", loaded.files, loaded.problems);
        loaded.snapshot.map(|snapshot| snapshot.apis[0].fingerprint)
    };
    let missing = load().unwrap();
    std::fs::write(&store, "one").unwrap();
    let one = load().unwrap();
    std::fs::write(&store, "two").unwrap();
    let two = load().unwrap();
    assert!(missing != one && one != two && two != missing);
    std::fs::write(&store, "one").unwrap();
    assert_eq!(load(), Some(one), "nothing but what it holds counts");
    // With an error in the definition it is watched all the same.
    std::fs::write(folder.path().join("apis/a.yaml"), text + "flows: [{ request: [{ policy: transfrom-headers }] }]")
        .unwrap();
    assert_eq!(load(), None);
}

#[test]
fn errors_of_every_kind_come_to_light_at_once() {
    let text = "name: A\ntype: proxy\nnmae: B\n\
                listeners: [{ type: http, paths: [{ path: a }], entrypoints: [{ type: http-prox }] }]\n\
                endpointGroups: [{ name: g, type: http-proxy, endpoints: [{ name: e, type: http-proxy, configuration: {} }] }]\n\
                plans: [{ name: open, security: { type: key-less } }]\n";
    let (apis, problems) = Loader::default().catalogue(&catalogue()).definition("a", text, &Default::default());
    let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    let wanted = [
        "nmae",
        "listeners[0].paths[0].path",
        "listeners[0].entrypoints[0].type",
        "endpointGroups[0].endpoints[0].configuration",
    ];
    assert_eq!((apis.len(), pointers), (0, wanted.to_vec()));
}

#[test]
fn settings_and_definitions_are_checked_together() {
    let folder = folder("shrads: 1\n", &[("a.yaml", "name: A".into())]);
    let other = folder.path().join("gateway.yml");
    std::fs::write(&other, "servers: [{ listen: wrong }]").unwrap();
    let found = lines(&folder, &check_paths(&[folder.path().to_owned()]));
    for wanted in [
        "ringway.yaml:2:1: error: shrads: unknown field",
        "apis/a.yaml:1:1: error: `type` is missing",
        "gateway.yml:1:21: error: servers[0].listen",
    ] {
        assert!(found.iter().any(|line| line.starts_with(wanted)), "{wanted}: {found:?}");
    }
    assert_eq!(
        check_paths(&["/none".into()])[0].to_string(),
        "/none: error: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn the_examples_have_no_problem() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples");
    for example in ["http-proxy", "load-balancing", "orders"] {
        let paths: [PathBuf; 1] = [examples.join(example)];
        assert!(paths[0].is_dir());
        assert_eq!(check_paths(&paths), [], "{example}");
        let snapshot = Loader::default().load(Some(&paths[0].join("ringway.yaml"))).snapshot.unwrap();
        assert!(snapshot.apis[0].is_served() && snapshot.apis[0].offered_plans().count() == 1, "{example}");
    }
}
