//! From host and path to the route: down the static children, back to parameters where that did not reach the end.

use super::{ANY, Branch, EXACT, NONE, Node, PARAMS_MAX, RouteTable, TO_BRANCH, WILDCARD, tag};

/// The route of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The id that the route was given.
    pub id: u32,
    /// Bytes of the path that the context path took: 7 of `/orders/1` for `/orders`, 0 for `/`. What follows is empty
    /// or begins with a slash.
    pub prefix_len: usize,
    /// Where the parameters are.
    pub params: Params,
}

/// Spans of the path, in the order of the parameters in the context path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    spans: [(u32, u32); PARAMS_MAX],
    count: u8,
}

impl Params {
    /// First byte and the one after the last, for each parameter.
    pub fn as_slice(&self) -> &[(u32, u32)] {
        self.spans.get(..usize::from(self.count)).unwrap_or_default()
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize) {
        // The table has no path with more parameters than this holds, and no path is longer than its numbers.
        if let Some(span) = self.spans.get_mut(usize::from(self.count)) {
            *span = (start as u32, end as u32);
            self.count += 1;
        }
    }
}

pub(super) fn lookup(table: &RouteTable, host: &[u8], path: &[u8]) -> Option<Match> {
    let path = if u32::try_from(path.len()).is_ok() { path } else { &[] };
    let end = path.len() - usize::from(path.ends_with(b"/"));
    let mut search = Search { table, path, end, params: Params::default(), best: None };

    // A label goes on with a slash after the host.
    if !host.is_empty() && !host.contains(&b'/') {
        search.host(EXACT, host);
        if search.best.is_none() && table.wildcard_labels != 0 {
            search.wildcards(host);
        }
    }
    if search.best.is_none() {
        search.descend(table.branches.get(ANY)?, 0);
    }
    search.best
}

struct Search<'a> {
    table: &'a RouteTable,
    path: &'a [u8],
    /// Where a match ends that nothing can exceed.
    end: usize,
    /// The parameters on the way to where the search is.
    params: Params,
    best: Option<Match>,
}

impl<'a> Search<'a> {
    fn host(&mut self, kind: usize, host: &[u8]) {
        let table = self.table;
        let Some(hosts) = table.branches.get(kind) else { return };
        if let Some((node, rest)) = table.child(hosts, host)
            && let Some((branch, at)) = self.follow(node, rest, 0)
        {
            self.descend(branch, at);
        }
        self.params.count = 0;
    }

    fn wildcards(&mut self, host: &[u8]) {
        let dots = || host.iter().enumerate().filter(|&(_, &byte)| byte == b'.').map(|(at, _)| at);
        // The suffix after the first dot has one label less than the host, and so on: the longest comes first. Those of
        // a length that no wildcard has are not even hashed.
        let labels = dots().count();
        for (at, suffix_labels) in dots().zip((0..=labels).rev()) {
            if suffix_labels < 128 && self.table.wildcard_labels >> suffix_labels & 1 == 1 {
                // What stands before the dot is a label, at least one and not empty.
                if let (1.., Some(suffix)) = (at, host.get(at + 1..)) {
                    self.host(WILDCARD, suffix);
                    if self.best.is_some() {
                        return;
                    }
                }
            }
        }
    }

    /// Goes down from `branch`, to which the path is matched up to `at`. It calls itself where both a static child and
    /// a parameter lead on: so at most once per segment of the longest context path.
    fn descend(&mut self, branch: &'a Branch, at: usize) {
        let (mut branch, mut at) = (branch, at);
        loop {
            if branch.id != NONE {
                self.offer(branch.id, at);
            }
            let Some(segment) = segment(self.path, at) else { return };
            let after = at + 1 + segment.len();
            let count = self.params.count;

            let on_static = self.table.child(branch, segment).and_then(|(node, rest)| self.follow(node, rest, after));
            let Some(param) = self.table.param(branch) else {
                let Some(next) = on_static else { return };
                (branch, at) = next;
                continue;
            };
            if let Some((branch, at)) = on_static {
                self.descend(branch, at);
            }
            if self.best.is_some_and(|best| best.prefix_len == self.end) {
                return;
            }
            self.params.count = count;
            self.params.push(at + 1, after);
            let (node, rest) = param;
            let Some(next) = self.follow(node, rest, after) else { return };
            (branch, at) = next;
        }
    }

    /// Matches what is left of a node's label from `at` on. A node with one route below it ends the way there.
    #[inline]
    fn follow(&mut self, node: &Node, rest: &[u8], at: usize) -> Option<(&'a Branch, usize)> {
        let at = self.follow_label(rest, at)?;
        if node.tag & TO_BRANCH != 0 {
            return Some((self.table.branches.get(node.target as usize)?, at));
        }
        self.offer(node.target, at);
        None
    }

    #[inline]
    fn follow_label(&mut self, mut rest: &[u8], mut at: usize) -> Option<usize> {
        while let Some(expected) = segment(rest, 0) {
            let segment = segment(self.path, at)?;
            let after = at + 1 + segment.len();
            if expected == b":" {
                self.params.push(at + 1, after);
            } else if expected != segment {
                return None;
            }
            rest = rest.get(1 + expected.len()..)?;
            at = after;
        }
        Some(at)
    }

    #[inline]
    fn offer(&mut self, id: u32, at: usize) {
        if self.best.is_none_or(|best| at > best.prefix_len) {
            self.best = Some(Match { id, prefix_len: at, params: self.params });
        }
    }
}

impl RouteTable {
    /// The static child of `branch` whose label begins with `segment`, and the rest of that label.
    #[inline]
    fn child(&self, branch: &Branch, segment: &[u8]) -> Option<(&Node, &[u8])> {
        if branch.slots == 0 {
            return None;
        }
        let first = branch.first as usize;
        let slots = self.nodes.get(first..first + branch.slots as usize)?;
        let hash = self.hash.of(segment);
        let (wrapped, ahead) = slots.split_at_checked(branch.slot(hash) as usize)?;
        for node in ahead.iter().chain(wrapped) {
            if node.is_free() {
                return None;
            }
            if node.tag & !TO_BRANCH == tag(hash)
                && let Some(rest) = self.label(node).strip_prefix(segment)
                && rest.first().is_none_or(|&next| next == b'/')
            {
                return Some((node, rest));
            }
        }
        None
    }

    /// The child of `branch` that is a parameter, and its label without that.
    #[inline]
    fn param(&self, branch: &Branch) -> Option<(&Node, &[u8])> {
        if branch.param == NONE {
            return None;
        }
        let node = self.nodes.get(branch.param as usize)?;
        Some((node, self.label(node).get(1..)?))
    }

    #[inline]
    fn label(&self, node: &Node) -> &[u8] {
        let start = node.label as usize;
        self.text.get(start..start + usize::from(node.label_bytes)).unwrap_or_default()
    }
}

/// The segment that begins with the slash at `at`, unless it is empty: no segment of a context path is.
#[inline]
fn segment(path: &[u8], at: usize) -> Option<&[u8]> {
    let (b'/', from) = path.get(at..)?.split_first()? else { return None };
    let len = from.iter().position(|&byte| byte == b'/').unwrap_or(from.len());
    if len > 0 { from.get(..len) } else { None }
}
