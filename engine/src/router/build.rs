//! Compiles routes: normalised keys are sorted, then cut into labels wherever neighbours part.
//!
//! ```text
//!   *.Example.com, /orders/:id/items/   ──▶   1 ␀ example.com ␀ orders ␀ : ␀ items       1: the kind
//! ```
//!
//! With a separator that sorts before every other byte, all keys below a segment stand together and the one that ends
//! there comes first.

use std::collections::HashMap;
use std::ops::Range;

use super::{
    ANY, Branch, Conflict, EXACT, HOST_BYTES_MAX, HostPattern, NONE, Node, PARAMS_MAX, PATH_BYTES_MAX, ROUTES_MAX,
    Route, RouteTable, SEGMENTS_MAX, SeededHash, TO_BRANCH, VISITS_MAX, WILDCARD, Why, tag,
};

/// Between the segments of a key.
const SEPARATOR: u8 = 0;

/// The kind in front of a key.
const KIND_BYTES: usize = 1;

pub(super) fn build<'a>(routes: impl Iterator<Item = Route<'a>>, seed: u64) -> Result<RouteTable, Vec<Conflict>> {
    let keys = Keys::collect(routes)?;
    let table = Compiler::new(&keys, seed).compile();
    match too_ambiguous(&table) {
        Some(id) => Err(vec![Conflict { first: id, second: id, why: Why::TooAmbiguous }]),
        None => Ok(table),
    }
}

/// The keys of all routes, sorted and without doubles.
struct Keys {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    wildcard_labels: u128,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    end: u32,
    id: u32,
}

impl Keys {
    fn collect<'a>(routes: impl Iterator<Item = Route<'a>>) -> Result<Self, Vec<Conflict>> {
        let mut keys = Keys { bytes: Vec::new(), entries: Vec::new(), wildcard_labels: 0 };
        let mut conflicts = Vec::new();
        for route in routes {
            let start = keys.bytes.len();
            if let Err(why) = keys.push(&route) {
                keys.bytes.truncate(start);
                conflicts.push(Conflict { first: route.id, second: route.id, why });
            }
        }

        let Keys { bytes, entries, .. } = &mut keys;
        entries.sort_unstable_by(|a, b| a.key(bytes).cmp(b.key(bytes)).then(a.id.cmp(&b.id)));
        for same in entries.chunk_by(|a, b| a.key(bytes) == b.key(bytes)) {
            if let [first, others @ ..] = same {
                conflicts.extend(others.iter().map(|other| Conflict {
                    first: first.id,
                    second: other.id,
                    why: Why::SamePath,
                }));
            }
        }
        if conflicts.is_empty() {
            return Ok(keys);
        }
        conflicts.sort_unstable();
        Err(conflicts)
    }

    fn push(&mut self, route: &Route<'_>) -> Result<(), Why> {
        if self.entries.len() == ROUTES_MAX || route.id == NONE {
            return Err(Why::TooLarge);
        }
        let start = self.bytes.len();
        match route.host {
            HostPattern::Any => self.bytes.push(ANY as u8),
            HostPattern::Exact(host) => self.push_host(EXACT, host)?,
            HostPattern::Wildcard(suffix) => {
                self.push_host(WILDCARD, suffix)?;
                // Labels are not empty, so a host of the allowed length has no more than 127.
                self.wildcard_labels |= 1 << (suffix.split('.').count() & 127);
            }
        }
        self.push_path(route.path)?;
        match (u32::try_from(start), u32::try_from(self.bytes.len())) {
            (Ok(start), Ok(end)) => self.entries.push(Entry { start, end, id: route.id }),
            _ => return Err(Why::TooLarge),
        }
        Ok(())
    }

    fn push_host(&mut self, kind: usize, host: &str) -> Result<(), Why> {
        let is_bad = |byte: u8| byte == b'/' || byte.is_ascii_control();
        let has_empty_label = host.split('.').any(str::is_empty);
        if has_empty_label || host.len() > HOST_BYTES_MAX || host.starts_with(':') || host.bytes().any(is_bad) {
            return Err(Why::BadHost);
        }
        self.bytes.extend([kind as u8, SEPARATOR]);
        self.bytes.extend(host.bytes().map(|byte| byte.to_ascii_lowercase()));
        Ok(())
    }

    fn push_path(&mut self, path: &str) -> Result<(), Why> {
        if path.len() > PATH_BYTES_MAX || path.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Why::BadPath);
        }
        let (mut segments, mut params) = (0, 0);
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            self.bytes.push(SEPARATOR);
            segments += 1;
            if segment.starts_with(':') {
                params += 1;
                self.bytes.push(b':');
            } else {
                self.bytes.extend(segment.bytes());
            }
        }
        if segments > SEGMENTS_MAX || params > PARAMS_MAX { Err(Why::BadPath) } else { Ok(()) }
    }

    fn key(&self, index: usize) -> &[u8] {
        self.entries.get(index).map_or(&[], |entry| entry.key(&self.bytes))
    }

    fn id(&self, index: usize) -> u32 {
        self.entries.get(index).map_or(NONE, |entry| entry.id)
    }
}

impl Entry {
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

struct Compiler<'a> {
    keys: &'a Keys,
    hash: SeededHash,
    nodes: Vec<Node>,
    branches: Vec<Branch>,
    text: Vec<u8>,
    /// Where in `text` a label is, by its form in the keys.
    labels: HashMap<&'a [u8], u32>,
    /// Branches that have no children yet. Parents come before their children in `branches`.
    pending: Vec<Pending>,
}

struct Pending {
    branch: usize,
    /// The keys below the branch, which agree in their first `depth` bytes.
    keys: Range<usize>,
    depth: usize,
}

/// Keys that agree in their segment after a branch.
struct Group {
    keys: Range<usize>,
    /// Where in the keys that segment ends, and where the last one does in which all of them agree.
    segment_end: usize,
    label_end: usize,
}

impl<'a> Compiler<'a> {
    fn new(keys: &'a Keys, seed: u64) -> Self {
        Self {
            keys,
            hash: SeededHash::new(seed),
            nodes: Vec::new(),
            branches: Vec::new(),
            text: Vec::new(),
            labels: HashMap::new(),
            pending: Vec::new(),
        }
    }

    fn compile(mut self) -> RouteTable {
        let mut start = 0;
        for kind in [EXACT, WILDCARD, ANY] {
            let end = start
                + self
                    .keys
                    .entries
                    .iter()
                    .skip(start)
                    .take_while(|entry| entry.key(&self.keys.bytes).first().copied().map(usize::from) == Some(kind))
                    .count();
            self.push_branch(start..end, KIND_BYTES);
            start = end;
        }
        while let Some(pending) = self.pending.pop() {
            self.fill(pending);
        }
        RouteTable {
            hash: self.hash,
            nodes: self.nodes.into(),
            branches: self.branches.into(),
            text: self.text.into(),
            wildcard_labels: self.keys.wildcard_labels,
        }
    }

    fn push_branch(&mut self, keys: Range<usize>, depth: usize) -> u32 {
        let branch = self.branches.len();
        self.branches.push(Branch::EMPTY);
        self.pending.push(Pending { branch, keys, depth });
        branch as u32
    }

    fn fill(&mut self, Pending { branch: index, keys, depth }: Pending) {
        let mut branch = Branch::EMPTY;
        let mut rest = keys;
        if !rest.is_empty() && self.keys.key(rest.start).len() == depth {
            branch.id = self.keys.id(rest.start);
            rest.start += 1;
        }
        let (params, statics): (Vec<_>, Vec<_>) =
            self.groups(rest, depth).into_iter().partition(|group| self.segment(group, depth) == b":");

        branch.first = self.nodes.len() as u32;
        branch.slots = slots_for(statics.len()) as u32;
        self.nodes.resize(self.nodes.len() + branch.slots as usize, Node::FREE);
        for group in statics {
            let hash = self.hash.of(self.segment(&group, depth));
            let node = self.node(group, depth, tag(hash));
            let (first, slots) = (branch.first as usize, branch.slots as usize);
            let start = branch.slot(hash) as usize;
            // There are at least as many slots as children, so one is free.
            if let Some(slot) =
                (start..slots).chain(0..start).find(|slot| self.nodes.get(first + slot).is_some_and(Node::is_free))
                && let Some(free) = self.nodes.get_mut(first + slot)
            {
                *free = node;
            }
        }
        for group in params {
            branch.param = self.nodes.len() as u32;
            let node = self.node(group, depth, 0);
            self.nodes.push(node);
        }
        if let Some(empty) = self.branches.get_mut(index) {
            *empty = branch;
        }
    }

    fn groups(&self, keys: Range<usize>, depth: usize) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut start = keys.start;
        while start < keys.end {
            let first = self.keys.key(start);
            let segment_end = next_separator(first, depth + 1);
            let shared = first.get(..segment_end).unwrap_or_default();
            let more = (start + 1..keys.end).take_while(|&index| is_below(self.keys.key(index), shared)).count();
            let end = start + 1 + more;
            let label_end = common_segments(first, self.keys.key(end - 1), segment_end);
            groups.push(Group { keys: start..end, segment_end, label_end });
            start = end;
        }
        groups
    }

    fn segment(&self, group: &Group, depth: usize) -> &'a [u8] {
        self.keys.key(group.keys.start).get(depth + 1..group.segment_end).unwrap_or_default()
    }

    fn node(&mut self, group: Group, depth: usize, tag: u16) -> Node {
        let label = self.keys.key(group.keys.start).get(depth + 1..group.label_end).unwrap_or_default();
        let start = match self.labels.get(label) {
            Some(&start) => start,
            None => {
                let start = self.text.len() as u32;
                self.text.extend(label.iter().map(|&byte| if byte == SEPARATOR { b'/' } else { byte }));
                self.labels.insert(label, start);
                start
            }
        };
        let (tag, target) = if group.keys.len() == 1 {
            (tag, self.keys.id(group.keys.start))
        } else {
            (tag | TO_BRANCH, self.push_branch(group.keys, group.label_end))
        };
        // A host and a path of the allowed lengths fit together into 16 bits.
        Node { label: start, label_bytes: label.len() as u16, tag, target }
    }
}

/// A third more slots than children keeps the way to a free slot short; a few children are found as fast by looking at
/// them all.
fn slots_for(children: usize) -> usize {
    if children <= 4 { children } else { children + children / 3 }
}

/// Where the segment that begins at `from` ends.
fn next_separator(key: &[u8], from: usize) -> usize {
    key.iter().skip(from).position(|&byte| byte == SEPARATOR).map_or(key.len(), |len| from + len)
}

/// Whether a key consists of the segments of `above` and perhaps more.
fn is_below(key: &[u8], above: &[u8]) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.first().is_none_or(|&byte| byte == SEPARATOR))
}

/// Where the last segment ends in which two keys agree; they do up to `known`. All keys that are sorted between them
/// agree as far.
fn common_segments(a: &[u8], b: &[u8], known: usize) -> usize {
    let mut common = known;
    while common < a.len() {
        let end = next_separator(a, common + 1);
        if !a.get(..end).is_some_and(|segments| is_below(b, segments)) {
            break;
        }
        common = end;
    }
    common
}

/// A route of a host on which a lookup might exceed `VISITS_MAX`.
///
/// A path leads to at most one static child of a branch and to its parameter, so the most costly way below a branch is
/// bounded by the most costly of its static children plus the parameter. (No one path may be the worst for both: it is
/// a bound, not the exact number.)
fn too_ambiguous(table: &RouteTable) -> Option<u32> {
    let mut visits = vec![1u32; table.branches.len()];
    let cost = |visits: &[u32], node: &Node| match node.tag & TO_BRANCH {
        0 => 1,
        _ => visits.get(node.target as usize).copied().unwrap_or(1),
    };
    // Children come after their parents.
    for (index, branch) in table.branches.iter().enumerate().rev() {
        let statics = table.statics(branch).iter().map(|node| cost(&visits, node)).max().unwrap_or(0);
        let param = table.nodes.get(branch.param as usize).map_or(0, |node| cost(&visits, node));
        if let Some(visits) = visits.get_mut(index) {
            *visits = statics.saturating_add(param).saturating_add(1);
        }
    }
    // The two branches of hosts count for themselves.
    let worst = (EXACT..=ANY)
        .find(|&root| visits.get(root).is_some_and(|&visits| visits > VISITS_MAX + u32::from(root != ANY)))?;
    // Down the most costly static children to a route.
    let mut branch = table.branches.get(worst)?;
    loop {
        let next = table.statics(branch).iter().filter(|node| !node.is_free()).max_by_key(|node| cost(&visits, node));
        let node = next.or_else(|| table.nodes.get(branch.param as usize))?;
        if node.tag & TO_BRANCH == 0 {
            return Some(node.target);
        }
        branch = table.branches.get(node.target as usize)?;
    }
}

impl RouteTable {
    fn statics(&self, branch: &Branch) -> &[Node] {
        let first = branch.first as usize;
        self.nodes.get(first..first + branch.slots as usize).unwrap_or_default()
    }
}
