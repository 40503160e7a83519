//! How much a document asks for. What a fragment asks for is found once, however often it is spread: a document costs time by its length.

use std::collections::HashMap;

use super::document::{Count, Document, Kind, Operation, Selection};

/// How much is asked for. Numbers that are too large are the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Every field is 1, and those in a field count as often as it is asked for; the operation itself is 1.
    pub cost: u64,
    /// Fields inside of one another.
    pub depth: u64,
    /// Fields that go by another name.
    pub aliases: u64,
    /// Directives.
    pub directives: u64,
    /// Whether the schema is asked for.
    pub introspection: bool,
}

impl Measure {
    fn add(&mut self, other: Self) {
        self.cost = self.cost.saturating_add(other.cost);
        self.depth = self.depth.max(other.depth);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.introspection |= other.introspection;
    }
}

/// Measures an operation.
pub struct Measurer<'d, 'a> {
    document: &'d Document<'a>,
    names: HashMap<&'a str, usize>,
    /// Of each fragment: `None` while it is being measured.
    known: HashMap<usize, Option<Measure>>,
    /// The values of variables that are numbers.
    variables: &'d dyn Fn(&str) -> Option<i64>,
    defaults: &'d [(&'a str, i64)],
    levels: usize,
}

/// Selections inside of one another, those of fragments where they are spread.
pub const NESTED_MAX: usize = 200;

impl<'d, 'a> Measurer<'d, 'a> {
    /// Measures an operation.
    ///
    /// # Errors
    /// It spreads a fragment that is not there or spreads itself, or is deeper than [`NESTED_MAX`].
    pub fn measure(
        document: &'d Document<'a>,
        operation: &'d Operation<'a>,
        variables: &'d dyn Fn(&str) -> Option<i64>,
    ) -> Result<Measure, &'static str> {
        let names = document.fragments.iter().enumerate().map(|(number, (name, _))| (*name, number)).collect();
        let known = HashMap::new();
        let mut measurer = Self { document, names, known, variables, defaults: &operation.defaults, levels: 0 };
        let mut measure = measurer.all(&operation.selections)?;
        measure.cost = measure.cost.saturating_add(1);
        Ok(measure)
    }

    /// Recursive, up to [`NESTED_MAX`] deep.
    fn all(&mut self, selections: &[Selection<'a>]) -> Result<Measure, &'static str> {
        self.levels += 1;
        if self.levels > NESTED_MAX {
            return Err("more levels than are allowed");
        }
        let mut sum = Measure::default();
        for selection in selections {
            let mut own = match &selection.kind {
                Kind::Inline => self.all(&selection.inner)?,
                Kind::Spread(name) => self.fragment(name)?,
                Kind::Field { name, aliased, counts } => {
                    let mut inner = self.all(&selection.inner)?;
                    let times = counts.iter().filter_map(|count| self.times(*count)).max().unwrap_or(1);
                    inner.cost = inner.cost.saturating_mul(times).saturating_add(1);
                    inner.depth = inner.depth.saturating_add(1);
                    inner.aliases = inner.aliases.saturating_add(u64::from(*aliased));
                    inner.introspection |= matches!(*name, "__schema" | "__type");
                    inner
                }
            };
            own.directives = own.directives.saturating_add(selection.directives);
            sum.add(own);
        }
        self.levels -= 1;
        Ok(sum)
    }

    fn fragment(&mut self, name: &str) -> Result<Measure, &'static str> {
        let number = *self.names.get(name).ok_or("a fragment that is not there")?;
        match self.known.get(&number) {
            Some(Some(measure)) => return Ok(*measure),
            Some(None) => return Err("a fragment that spreads itself"),
            None => {}
        }
        self.known.insert(number, None);
        let document = self.document;
        let (_, selections) = document.fragments.get(number).ok_or("a fragment that is not there")?;
        let measure = self.all(selections)?;
        self.known.insert(number, Some(measure));
        Ok(measure)
    }

    fn times(&self, count: Count) -> Option<u64> {
        let number = match count {
            Count::Number(number) => number,
            Count::Variable(name) => {
                let default = || self.defaults.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
                (self.variables)(name).or_else(default)?
            }
        };
        // None of them are asked for, or the server refuses it: the field is there all the same.
        Some(u64::try_from(number).unwrap_or(0).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(text: &str) -> Result<Measure, &'static str> {
        let document = Document::parse(text).map_err(|error| error.what)?;
        let variables = |name: &str| (name == "n").then_some(5);
        Measurer::measure(&document, &document.operations[0], &variables)
    }

    #[test]
    fn costs_are_those_of_the_reference_product() {
        let text = "query { allPeople(first:20) { people { name vehicleConnection(first:10) { vehicles { id name cargoCapacity } } } } }";
        assert_eq!(measure(text).map(|it| (it.cost, it.depth)), Ok((862, 5)));
        for (text, cost) in [
            ("{a}", 2),
            ("{a(first: $n) {b}}", 7),
            ("query ($m: Int = 3) {a(first: $m) {b}}", 5),
            ("query ($n: Int = 3) {a(first: $n) {b}}", 7),
            ("{a(first: $x) {b}}", 3),
            ("{a(first: -1, last: 4) {b}}", 6),
            ("{a(first: 99999999999999999999) {b(first: 99999999999999999999) {c d e}}}", u64::MAX),
        ] {
            assert_eq!(measure(text).map(|it| it.cost), Ok(cost), "{text}");
        }
    }

    #[test]
    fn fragments_count_where_they_are_spread() {
        let text = "{x: a {...F @d} ...G} fragment F on T {b {c}} fragment G on T {y: __schema {d} ...F}";
        let wanted = Measure { cost: 8, depth: 3, aliases: 2, directives: 1, introspection: true };
        assert_eq!(measure(text), Ok(wanted));
        let mut bomb = String::from("{...F0}");
        for level in 0..15 {
            bomb += &format!("fragment F{level} on T {{ {} }}", format!("...F{} ", level + 1).repeat(100));
        }
        bomb += "fragment F15 on T {a}";
        assert_eq!(measure(&bomb).map(|it| it.cost), Ok(u64::MAX));
        assert!(measure("{...F} fragment F on T {...G} fragment G on T {...F}").is_err());
        assert!(measure("{...F}").is_err());
        let chain = (0..300).map(|n| format!("fragment F{n} on T {{...F{}}}", n + 1)).collect::<String>();
        assert!(measure(&format!("{{...F0}} {chain} fragment F300 on T {{a}}")).is_err());
    }
}
