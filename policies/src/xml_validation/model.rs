//! Content models: which elements may stand in an element, and in which order.
//!
//! A model is an automaton whose states are the places of its elements (Glushkov): a child costs the places that may follow, whatever
//! stands in the document, and nothing is tried twice.

use ringway_contract::Refusal;

/// Places that a model may have; `maxOccurs` makes as many of what it repeats.
const PLACES_MAX: usize = 4096;
/// Steps from a place to a next one that a model may have.
const STEPS_MAX: usize = 1 << 20;

/// What may stand in a place; elements are numbers in the schema.
#[derive(Clone, Debug)]
pub enum Leaf {
    /// An element.
    Element(usize),
    /// Any element of some namespaces.
    Wildcard(Wildcard),
}

/// `xs:any` and `xs:anyAttribute`.
#[derive(Clone, Debug)]
pub struct Wildcard {
    /// Namespaces that it takes.
    pub spaces: Namespaces,
    /// What becomes of what it takes.
    pub process: Process,
}

/// Namespaces of a wildcard.
#[derive(Clone, Debug)]
pub enum Namespaces {
    /// `##any`
    Any,
    /// `##other`: any but this one and none.
    Other(String),
    /// These; empty for none.
    Of(Vec<String>),
}

impl Wildcard {
    /// Whether it takes a namespace; empty for none.
    pub fn takes(&self, space: &str) -> bool {
        match &self.spaces {
            Namespaces::Any => true,
            Namespaces::Other(target) => !space.is_empty() && space != target,
            Namespaces::Of(spaces) => spaces.iter().any(|known| known == space),
        }
    }
}

/// `processContents`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// It must be declared, and fit.
    Strict,
    /// If it is declared, it must fit.
    Lax,
    /// It is not looked at.
    Skip,
}

/// A part of a model, and how often it may come.
#[derive(Clone, Debug)]
pub struct Particle {
    /// At least.
    pub min: usize,
    /// At most; `None`: any number of times.
    pub max: Option<usize>,
    /// What comes.
    pub term: Term,
}

/// A part of a model.
#[derive(Clone, Debug)]
pub enum Term {
    /// One element.
    Leaf(Leaf),
    /// All of these, in this order.
    Sequence(Vec<Particle>),
    /// One of these.
    Choice(Vec<Particle>),
    /// All of these, in any order; each is an element that comes once at most.
    All(Vec<Particle>),
}

/// A model.
#[derive(Debug)]
pub struct Model {
    places: Vec<Leaf>,
    next: Vec<Vec<usize>>,
    first: Vec<usize>,
    /// Whether the model may end behind a place.
    ends: Vec<bool>,
    nullable: bool,
}

/// Places of a part: where it may begin and end, and whether it may be nothing.
struct Part {
    first: Vec<usize>,
    last: Vec<usize>,
    nullable: bool,
}

impl Part {
    fn nothing() -> Self {
        Self { first: Vec::new(), last: Vec::new(), nullable: true }
    }
}

/// Where a document is in a model.
#[derive(Debug, Default)]
pub struct Progress(Option<Vec<usize>>);

impl Model {
    /// The model of a particle.
    ///
    /// # Errors
    /// It has too many places, or `xs:all` in another model.
    pub fn new(particle: &Particle) -> Result<Self, Refusal> {
        let mut model =
            Self { places: Vec::new(), next: Vec::new(), first: Vec::new(), ends: Vec::new(), nullable: false };
        let mut steps = 0;
        let part = model.repeated(particle, &mut steps)?;
        model.ends = vec![false; model.places.len()];
        for place in part.last {
            if let Some(ends) = model.ends.get_mut(place) {
                *ends = true;
            }
        }
        (model.first, model.nullable) = (part.first, part.nullable);
        Ok(model)
    }

    fn repeated(&mut self, particle: &Particle, steps: &mut usize) -> Result<Part, Refusal> {
        let Particle { min, max, term } = particle;
        let mut part = Part::nothing();
        match max {
            Some(max) => {
                // `a{2,4}` is `a a (a (a)?)?`: behind each place there is one way on.
                for _ in *min..*max {
                    let one = self.term(term, steps)?;
                    part = self.chained(one, part, steps)?;
                    part.nullable = true;
                }
            }
            None => {
                part = self.term(term, steps)?;
                self.link(&part.last, &part.first, steps)?;
                part.nullable |= *min == 0;
            }
        }
        let required = if max.is_some() { *min } else { min.saturating_sub(1) };
        for _ in 0..required {
            let one = self.term(term, steps)?;
            part = self.chained(one, part, steps)?;
        }
        Ok(part)
    }

    fn term(&mut self, term: &Term, steps: &mut usize) -> Result<Part, Refusal> {
        // What repeats nothing has no place, and takes time all the same.
        *steps += 1;
        self.within(*steps)?;
        match term {
            Term::Leaf(leaf) => {
                let place = self.places.len();
                if place >= PLACES_MAX {
                    return Err(Refusal(format!(
                        "a content model with more than {PLACES_MAX} places: lower `maxOccurs`"
                    )));
                }
                self.places.push(leaf.clone());
                self.next.push(Vec::new());
                Ok(Part { first: vec![place], last: vec![place], nullable: false })
            }
            Term::Sequence(parts) => {
                let mut whole = Part::nothing();
                for particle in parts {
                    let part = self.repeated(particle, steps)?;
                    whole = self.chained(whole, part, steps)?;
                }
                Ok(whole)
            }
            Term::Choice(parts) => {
                let mut whole = Part { nullable: parts.is_empty(), ..Part::nothing() };
                for particle in parts {
                    let mut part = self.repeated(particle, steps)?;
                    whole.first.append(&mut part.first);
                    whole.last.append(&mut part.last);
                    whole.nullable |= part.nullable;
                }
                Ok(whole)
            }
            Term::All(_) => Err(Refusal("xs:all must be the whole of a content model".into())),
        }
    }

    fn chained(&mut self, mut one: Part, mut other: Part, steps: &mut usize) -> Result<Part, Refusal> {
        self.link(&one.last, &other.first, steps)?;
        let mut first = std::mem::take(&mut one.first);
        if one.nullable {
            first.append(&mut other.first);
        }
        if other.nullable {
            other.last.append(&mut one.last);
        }
        Ok(Part { first, last: other.last, nullable: one.nullable && other.nullable })
    }

    fn link(&mut self, from: &[usize], to: &[usize], steps: &mut usize) -> Result<(), Refusal> {
        *steps += from.len() * to.len();
        self.within(*steps)?;
        for place in from {
            if let Some(next) = self.next.get_mut(*place) {
                next.extend_from_slice(to);
            }
        }
        Ok(())
    }

    fn within(&self, steps: usize) -> Result<(), Refusal> {
        if steps <= STEPS_MAX {
            return Ok(());
        }
        Err(Refusal("a content model in which too much may follow too much".into()))
    }

    fn ways<'a>(&'a self, progress: &'a Progress) -> Box<dyn Iterator<Item = usize> + 'a> {
        match &progress.0 {
            None => Box::new(self.first.iter().copied()),
            Some(places) => {
                Box::new(places.iter().filter_map(|place| self.next.get(*place)).flat_map(|next| next.iter().copied()))
            }
        }
    }

    /// Goes on by a child that `fits` some places; the first of those, or `None` if it may not stand here.
    pub fn step(&self, progress: &mut Progress, fits: impl Fn(&Leaf) -> bool) -> Option<&Leaf> {
        let taken = self.ways(progress).filter(|place| self.places.get(*place).is_some_and(&fits));
        let mut taken: Vec<usize> = taken.collect();
        taken.sort_unstable();
        taken.dedup();
        // An element that is named comes before a wildcard that takes it, too.
        let named = taken.iter().filter_map(|place| self.places.get(*place));
        let first = named.min_by_key(|leaf| matches!(leaf, Leaf::Wildcard(_)))?;
        progress.0 = Some(taken);
        Some(first)
    }

    /// Whether the content may end here.
    pub fn may_end(&self, progress: &Progress) -> bool {
        match &progress.0 {
            None => self.nullable,
            Some(places) => places.iter().any(|place| self.ends.get(*place) == Some(&true)),
        }
    }

    /// Some of what may stand here, for a message.
    pub fn expected(&self, progress: &Progress) -> Vec<&Leaf> {
        const SHOWN: usize = 5;
        self.ways(progress).filter_map(|place| self.places.get(place)).take(SHOWN).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(name: usize) -> Term {
        Term::Leaf(Leaf::Element(name))
    }

    fn particle(min: usize, max: Option<usize>, term: Term) -> Particle {
        Particle { min, max, term }
    }

    fn fits(model: &Model, names: &[usize]) -> bool {
        let mut progress = Progress::default();
        let taken = names.iter().all(|name| {
            model.step(&mut progress, |leaf| matches!(leaf, Leaf::Element(known) if known == name)).is_some()
        });
        taken && model.may_end(&progress)
    }

    #[test]
    fn a_model_takes_what_it_says() {
        // (1{1,3}, (2 | 3*), 4?)
        let model = Model::new(&particle(
            1,
            Some(1),
            Term::Sequence(vec![
                particle(1, Some(3), leaf(1)),
                particle(1, Some(1), Term::Choice(vec![particle(1, Some(1), leaf(2)), particle(0, None, leaf(3))])),
                particle(0, Some(1), leaf(4)),
            ]),
        ))
        .unwrap();
        for names in [&[1][..], &[1, 1, 1], &[1, 2], &[1, 3, 3, 3, 4], &[1, 4]] {
            assert!(fits(&model, names), "{names:?}");
        }
        for names in [&[][..], &[2], &[1, 1, 1, 1], &[1, 2, 3], &[1, 4, 4], &[1, 2, 2]] {
            assert!(!fits(&model, names), "{names:?}");
        }
        let twice = Model::new(&particle(
            2,
            None,
            Term::Sequence(vec![particle(1, Some(1), leaf(1)), particle(0, Some(1), leaf(2))]),
        ))
        .unwrap();
        assert!(
            fits(&twice, &[1, 2, 1]) && fits(&twice, &[1, 1, 2, 1]) && !fits(&twice, &[1, 2]) && !fits(&twice, &[1])
        );
        let none = Model::new(&particle(0, Some(0), leaf(1))).unwrap();
        assert!(fits(&none, &[]) && !fits(&none, &[1]));
    }

    #[test]
    fn a_model_has_bounds() {
        let many = particle(1, Some(100_000), leaf(1));
        assert!(Model::new(&many).is_err());
        let wide = Term::Choice((0..2000).map(|name| particle(1, Some(1), leaf(name))).collect());
        assert!(Model::new(&particle(0, None, wide)).is_err());
    }
}
