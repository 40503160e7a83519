//! The rules of the router as tables, and against an oracle that tries every route.

use super::{Conflict, HostPattern, Match, PARAMS_MAX, Route, RouteTable, SEGMENTS_MAX, Why, tag};

const SEED: u64 = 42;

/// Routes as `host path`, with their place as id.
fn parse<'a>(routes: &[&'a str]) -> Vec<Route<'a>> {
    let split = |line: &'a str| line.split_once(' ').unwrap_or(("", line));
    (0u32..)
        .zip(routes)
        .map(|(id, &line)| Route { host: HostPattern::parse(split(line).0), path: split(line).1, id })
        .collect()
}

fn table(routes: &[&str]) -> RouteTable {
    RouteTable::build(parse(routes).into_iter(), SEED).expect("no conflicts")
}

/// The id, the bytes of the prefix, and the parameters' values.
fn found<'a>(table: &RouteTable, host: &str, path: &'a str) -> Option<(u32, usize, Vec<&'a str>)> {
    let Match { id, prefix_len, params } = table.lookup(host, path)?;
    let values = params.as_slice().iter().map(|&(start, end)| &path[start as usize..end as usize]).collect();
    Some((id, prefix_len, values))
}

#[test]
fn a_context_path_ends_where_a_segment_ends() {
    for route in ["/orders", "/orders/", "orders", "//orders//"] {
        let table = table(&[route]);
        for (path, expected) in [
            ("/orders", Some(7)),
            ("/orders/", Some(7)),
            ("/orders/1", Some(7)),
            ("/orders//1", Some(7)),
            ("/ordersx", None),
            ("/order", None),
            ("/Orders", None),
            ("//orders", None),
            ("/", None),
            ("", None),
            ("*", None),
            ("orders", None),
            ("/x/orders", None),
        ] {
            assert_eq!(found(&table, "", path).map(|(_, len, _)| len), expected, "{route} and {path}");
        }
    }
}

#[test]
fn the_root_matches_everything_on_its_host() {
    let table = table(&["a.com /"]);
    for path in ["/", "/x", "/x/y/", "//", "", "*"] {
        assert_eq!(found(&table, "a.com", path), Some((0, 0, vec![])), "{path}");
        assert_eq!(found(&table, "b.com", path), None, "{path}");
    }
}

#[test]
fn the_match_that_takes_in_most_wins_and_then_the_static_one() {
    let table = table(&[
        /* 0 */ "/a",
        /* 1 */ "/a/b",
        /* 2 */ "/a/:x",
        /* 3 */ "/:x/b/c",
        /* 4 */ "/a/:x/c/d",
        /* 5 */ "/a/:x/:y",
        /* 6 */ "/:x/:y/:z/:w/e",
        /* 7 */ "/a/b/c/d/f/g/h",
        /* 8 */ "/",
    ]);
    for (path, id, prefix, params) in [
        ("/a", 0, "/a", &[][..]),
        ("/a/b", 1, "/a/b", &[]),
        ("/a/q", 2, "/a/q", &["q"]),
        ("/a/", 0, "/a", &[]),
        ("/q/b", 8, "", &[]),
        ("/q/b/c", 3, "/q/b/c", &["q"]),
        // Of the two that take in all three segments, the first differing one is static in `/a/:x/:y`.
        ("/a/b/c", 5, "/a/b/c", &["b", "c"]),
        ("/a/b/c/d", 4, "/a/b/c/d", &["b"]),
        ("/a/b/c/d/e", 6, "/a/b/c/d/e", &["a", "b", "c", "d"]),
        ("/a/b/c/d/f/g/x", 4, "/a/b/c/d", &["b"]),
        ("/a/b/c/d/f/g/h/i", 7, "/a/b/c/d/f/g/h", &[]),
        ("/a/b/q", 5, "/a/b/q", &["b", "q"]),
        ("/q", 8, "", &[]),
    ] {
        assert_eq!(found(&table, "h", path), Some((id, prefix.len(), params.to_vec())), "{path}");
    }
}

#[test]
fn a_parameter_is_one_segment_that_is_not_empty() {
    let table = table(&["/orders/:id/items"]);
    for (path, expected) in [
        ("/orders/17/items", Some(vec!["17"])),
        ("/orders/17/items/3", Some(vec!["17"])),
        ("/orders/:id/items", Some(vec![":id"])),
        ("/orders/:/items", Some(vec![":"])),
        ("/orders//items", None),
        ("/orders/1/2/items", None),
        ("/orders/17", None),
        ("/orders/17/", None),
        ("/orders/17/item", None),
        ("/orders/17/itemsx", None),
    ] {
        assert_eq!(found(&table, "", path).map(|(_, _, params)| params), expected, "{path}");
    }
}

#[test]
fn hosts_go_from_exact_over_the_longest_wildcard_to_any() {
    let table = table(&[
        /* 0 */ "api.example.com /a",
        /* 1 */ "*.example.com /a",
        /* 2 */ "*.example.com /b",
        /* 3 */ "*.eu.example.com /a",
        /* 4 */ "*.com /c",
        /* 5 */ "/a",
        /* 6 */ "* /d",
        /* 7 */ "API.Example.org /a",
        /* 8 */ "*.EXAMPLE.net /a",
        /* 9 */ "example.com /e",
    ]);
    for (host, path, expected) in [
        ("api.example.com", "/a", Some(0)),
        ("www.example.com", "/a", Some(1)),
        ("x.y.example.com", "/a", Some(1)),
        ("x.eu.example.com", "/a", Some(3)),
        ("x.y.eu.example.com", "/a", Some(3)),
        ("eu.example.com", "/a", Some(1)),
        ("example.com", "/a", Some(5)),
        ("example.com", "/e", Some(9)),
        ("other.org", "/a", Some(5)),
        ("", "/a", Some(5)),
        // A host without that path leaves it to the next less specific one.
        ("api.example.com", "/b", Some(2)),
        ("api.example.com", "/c", Some(4)),
        ("api.example.com", "/d", Some(6)),
        ("x.eu.example.com", "/b/1", Some(2)),
        ("api.example.com", "/e", None),
        ("com", "/c", None),
        (".com", "/c", None),
        ("api.example.org", "/a", Some(7)),
        ("x.example.net", "/a", Some(8)),
        ("xexample.net", "/a", Some(5)),
        // What cannot be a host is none.
        ("api.example.com/a", "/a", Some(5)),
        ("api.example.com/a", "/e", None),
        (":", "/d", Some(6)),
    ] {
        assert_eq!(found(&table, host, path).map(|(id, ..)| id), expected, "{host} {path}");
    }
}

#[test]
fn a_longer_path_on_a_less_specific_host_does_not_win() {
    let table = table(&["a.com /x", "/x/y"]);
    assert_eq!(found(&table, "a.com", "/x/y"), Some((0, 2, vec![])));
    assert_eq!(found(&table, "b.com", "/x/y"), Some((1, 4, vec![])));
}

#[test]
fn labels_that_share_text_but_not_segments_stay_apart() {
    let table = table(&["/ab/c", "/a/bc", "/abc", "/a", "/ab/cd", "a.com /b.com", "a.co /m/b.com"]);
    for (host, path, id, len) in [
        ("", "/ab/c", 0, 5),
        ("", "/a/bc", 1, 5),
        ("", "/abc", 2, 4),
        ("", "/a/b", 3, 2),
        ("", "/ab/cd", 4, 6),
        ("a.com", "/b.com", 5, 6),
        ("a.co", "/m/b.com", 6, 8),
    ] {
        assert_eq!(found(&table, host, path), Some((id, len, vec![])), "{host} {path}");
    }
    assert_eq!(found(&table, "", "/ab"), None);
}

#[test]
fn a_prefix_of_a_label_that_has_its_tag_by_chance_is_not_taken_for_it() {
    // A tag has 15 bits: of some hundred thousand segments and hosts a few have that of the table's only label.
    let long = "a".repeat(1000);
    let (path, host_path) = (format!("/{long}"), "/s".repeat(60));
    let (mut same_tags, mut same_host_tags) = (0, 0);
    for seed in 0..120 {
        let route = Route { host: HostPattern::Any, path: &path, id: 0 };
        let table = RouteTable::build(std::iter::once(route), seed).expect("no conflicts");
        for end in 2..path.len() {
            same_tags +=
                usize::from(tag(table.hash.of(&path.as_bytes()[1..end])) == tag(table.hash.of(long.as_bytes())));
            assert_eq!(found(&table, "", &path[..end]), None, "seed {seed}, {end} bytes");
        }
    }
    let names = format!("a.com{host_path}");
    for seed in 0..2000 {
        let route = Route { host: HostPattern::Exact("a.com"), path: &host_path, id: 0 };
        let table = RouteTable::build(std::iter::once(route), seed).expect("no conflicts");
        for end in (7..=names.len()).step_by(2) {
            same_host_tags += usize::from(tag(table.hash.of(&names.as_bytes()[..end])) == tag(table.hash.of(b"a.com")));
            assert_eq!(found(&table, &names[..end], &names[end..]), None, "seed {seed}, {end} bytes");
        }
    }
    assert!(same_tags > 0 && same_host_tags > 0, "the seeds show nothing: {same_tags}, {same_host_tags}");
}

#[test]
fn an_empty_table_finds_nothing() {
    let table = table(&[]);
    assert_eq!(table.lookup("a.com", "/"), None);
    assert_eq!(table.lookup("", ""), None);
}

#[test]
fn routes_that_cannot_be_told_apart_conflict() {
    let routes = parse(&[
        "a.com /x/:id",
        "/x/",
        "A.com /x/:name/",
        "b.com /x/:id",
        "x",
        "*.a.com /x/:id",
        "//x",
        "a.com /x/:id/y",
    ]);
    let same = |first, second| Conflict { first, second, why: Why::SamePath };
    let expected = vec![same(0, 2), same(1, 4), same(1, 6)];
    assert_eq!(RouteTable::build(routes.iter().copied(), SEED).err(), Some(expected.clone()));
    assert_eq!(RouteTable::build(routes.iter().rev().copied(), SEED).err(), Some(expected));
}

#[test]
fn routes_beyond_the_bounds_are_refused_all_at_once() {
    let deep = |segments: usize, segment: &str| segment.repeat(segments);
    let (fits, too_deep) = (deep(SEGMENTS_MAX, "/s"), deep(SEGMENTS_MAX + 1, "/s"));
    let (eight, nine) = (deep(PARAMS_MAX, "/:p"), deep(PARAMS_MAX + 1, "/:p"));
    let (longest, too_long) = (format!("/{}", "p".repeat(4095)), format!("/{}", "p".repeat(4096)));
    let (long_host, too_long_host) = (format!("{}h", "h.".repeat(126)), format!("{}hh", "h.".repeat(126)));
    let any = HostPattern::Any;
    let cases = [
        (any, &*fits, None),
        (any, &*too_deep, Some(Why::BadPath)),
        (any, &*eight, None),
        (any, &*nine, Some(Why::BadPath)),
        (any, &*longest, None),
        (any, &*too_long, Some(Why::BadPath)),
        (any, "/a\0b", Some(Why::BadPath)),
        (HostPattern::Exact(&long_host), "/", None),
        (HostPattern::Wildcard(&long_host), "/", None),
        (HostPattern::Exact(&too_long_host), "/", Some(Why::BadHost)),
        (HostPattern::Exact(""), "/", Some(Why::BadHost)),
        (HostPattern::Exact("a/b"), "/", Some(Why::BadHost)),
        (HostPattern::Exact(":a"), "/", Some(Why::BadHost)),
        (HostPattern::Exact("a..b"), "/", Some(Why::BadHost)),
        (HostPattern::Wildcard(""), "/", Some(Why::BadHost)),
        (HostPattern::Wildcard("a\tb"), "/", Some(Why::BadHost)),
    ];
    let routes = || (0u32..).zip(cases).map(|(id, (host, path, _))| Route { host, path, id });
    let expected: Vec<_> = (0u32..)
        .zip(cases)
        .filter_map(|(id, (_, _, why))| Some(Conflict { first: id, second: id, why: why? }))
        .collect();
    assert_eq!(RouteTable::build(routes(), SEED).err(), Some(expected));

    let fitting = RouteTable::build(routes().filter(|route| cases[route.id as usize].2.is_none()), SEED).expect("fits");
    assert_eq!(found(&fitting, "", &fits).map(|(id, ..)| id), Some(0));
    assert_eq!(found(&fitting, "", &deep(9, "/v")).map(|(id, _, params)| (id, params.len())), Some((2, 8)));
    assert_eq!(found(&fitting, "", &longest).map(|(id, ..)| id), Some(4));
    assert_eq!(found(&fitting, &long_host, "/x").map(|(id, ..)| id), Some(7));
    assert_eq!(found(&fitting, &format!("h.{long_host}"), "/x").map(|(id, ..)| id), Some(8));

    let last = Route { host: any, path: "/", id: u32::MAX };
    assert_eq!(
        RouteTable::build(std::iter::once(last), SEED).err(),
        Some(vec![Conflict { first: u32::MAX, second: u32::MAX, why: Why::TooLarge }])
    );
}

/// All paths of `depth` segments that are each static or a parameter, and one segment more at their end.
fn forks(depth: u32) -> Vec<String> {
    (0..1u32 << depth)
        .map(|bits| (0..depth).map(|at| if bits >> at & 1 == 1 { "/:p" } else { "/s" }).collect::<String>() + "/end")
        .collect()
}

#[test]
fn a_table_that_could_make_a_lookup_slow_is_refused() {
    let paths = forks(8);
    for host in ["", "a.com ", "*.a.com "] {
        let lines: Vec<_> = paths.iter().map(|path| format!("{host}{path}")).collect();
        let table = table(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let path = "/s".repeat(8) + "/en";
        assert_eq!(table.lookup("a.com", &path), None);
        assert_eq!(
            table.lookup("x.a.com", path.replace("/en", "/end")).map(|found| found.prefix_len),
            match host {
                "a.com " => None,
                _ => Some(20),
            }
        );
    }

    // Ten places with both, of which a path has at most eight parameters.
    let paths: Vec<_> = forks(10).into_iter().filter(|path| path.matches(':').count() <= PARAMS_MAX).collect();
    for host in [HostPattern::Any, HostPattern::Exact("a.com"), HostPattern::Wildcard("a.com")] {
        let routes = (0u32..).zip(&paths).map(|(id, path)| Route { host, path, id });
        let refused = RouteTable::build(routes, SEED).err().unwrap_or_default();
        assert_eq!(refused.iter().map(|conflict| conflict.why).collect::<Vec<_>>(), [Why::TooAmbiguous]);
    }
}

#[test]
fn seeds_change_nothing_that_can_be_seen() {
    let paths: Vec<_> = (0..500).map(|number| format!("/svc{}/:p/res{number}", number % 7)).collect();
    let routes = || (0u32..).zip(&paths).map(|(id, path)| Route { host: HostPattern::Any, path, id });
    for seed in [0, 1, u64::MAX] {
        let table = RouteTable::build(routes(), seed).expect("no conflicts");
        for (id, path) in (0u32..).zip(&paths) {
            assert_eq!(found(&table, "", path), Some((id, path.len(), vec![":p"])), "seed {seed}, {path}");
        }
    }
}

#[test]
fn a_hundred_thousand_routes_take_at_most_sixty_bytes_each_and_less_where_they_share() {
    const COUNT: u32 = 100_000;
    type Shape = fn(u32) -> (String, String);
    let shapes: [(&str, usize, Shape); 4] = [
        ("one host, static", 40, |id| (String::new(), format!("/tenant{:05}/orders-{id:06}/v{}", id % 977, id % 3))),
        ("one host, parameters", 40, |id| (String::new(), format!("/api/v3/svc{}/res{id}/:id/items", id % 100))),
        ("a host for ten paths", 25, |id| {
            (format!("api{:05}.example.com", id / 10), format!("/service-{}/v1", id % 10))
        }),
        ("a host for each path", 60, |id| (format!("api{id:06}.example.com"), format!("/context-{id:06}"))),
    ];
    for (name, bytes_max, shape) in shapes {
        let routes: Vec<_> = (0..COUNT).map(shape).collect();
        let routes =
            (0..COUNT).zip(&routes).map(|(id, (host, path))| Route { host: HostPattern::parse(host), path, id });
        let table = RouteTable::build(routes, SEED).expect("no conflicts");
        let bytes = table.heap_bytes() / COUNT as usize;
        assert!(bytes <= bytes_max, "{name}: {bytes} bytes a route");
    }
}

/// splitmix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Up to six segments of `from`.
    fn path(&mut self, from: &[&str]) -> String {
        (0..self.below(7)).map(|_| format!("/{}", self.pick(from))).collect()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// The rules as they are written down, over all routes one by one.
fn oracle<'a>(routes: &[(String, String)], host: &str, path: &'a str) -> Option<(u32, usize, Vec<&'a str>)> {
    let rank = |pattern: &str| match HostPattern::parse(pattern) {
        HostPattern::Exact(name) => (name == host).then_some(1000),
        HostPattern::Wildcard(suffix) => {
            host.strip_suffix(suffix)?.strip_suffix('.').filter(|rest| !rest.is_empty()).map(|_| suffix.len())
        }
        HostPattern::Any => Some(0),
    };
    let matches = (0u32..).zip(routes).filter_map(|(id, (pattern, route))| {
        let rank = rank(pattern)?;
        let mut given = path.strip_prefix('/').into_iter().flat_map(|path| path.split('/'));
        let (mut len, mut params, mut statics) = (0, Vec::new(), Vec::new());
        for expected in route.split('/').skip(1) {
            let given = given.next().filter(|given| !given.is_empty())?;
            if expected.starts_with(':') {
                params.push(given);
            } else if given != expected {
                return None;
            }
            statics.push(!expected.starts_with(':'));
            len += 1 + given.len();
        }
        Some(((rank, statics.len(), statics), (id, len, params)))
    });
    matches.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, found)| found)
}

#[test]
fn random_tables_agree_with_trying_every_route_in_whatever_order() {
    let hosts = ["", "a.com", "*.a.com", "b.a.com", "*.b.a.com", "*.com"];
    let asked_hosts = ["", "a.com", "b.a.com", "c.a.com", "c.b.a.com", "d.c.b.a.com", "x.com", "com", "org"];
    let segments = ["a", "b", "c", "ab", "abcdefgh", "abcdefghi", ":x", ":y"];
    let asked_segments = ["a", "b", "c", "ab", "abcdefgh", "abcdefghi", "z", ""];
    let mut compared = 0;
    for seed in 0..300 {
        let mut random = Random(seed);
        let host_count = 1 + random.below(hosts.len());
        let mut routes: Vec<(String, String)> = Vec::new();
        for _ in 0..random.below(120) {
            let route = (random.pick(&hosts[..host_count]).to_owned(), random.path(&segments));
            let key = |route: &(String, String)| (route.0.clone(), route.1.replace(":y", ":x"));
            if routes.iter().all(|other| key(other) != key(&route)) {
                routes.push(route);
            }
        }
        let mut shuffled: Vec<_> = (0u32..)
            .zip(&routes)
            .map(|(id, (host, path))| Route { host: HostPattern::parse(host), path, id })
            .collect();
        random.shuffle(&mut shuffled);
        let table = RouteTable::build(shuffled.into_iter(), seed).expect("no conflicts");
        for _ in 0..300 {
            let (host, path) = (random.pick(&asked_hosts), random.path(&asked_segments));
            let path = if random.below(8) == 0 { path + "/" } else { path };
            let expected = oracle(&routes, host, &path);
            compared += usize::from(expected.is_some());
            assert_eq!(found(&table, host, &path), expected, "seed {seed}, {host} {path}, {routes:?}");
        }
    }
    assert!(compared > 20_000, "only {compared} lookups found anything");
}
