//! Load balancing among the members of a group that may take an exchange.

use std::cell::Cell;

use ringway_config::api::LoadBalancerType;

/// Chooses among candidates. One per group and shard: the cursors are nobody else's.
#[derive(Debug)]
pub struct Balancer {
    kind: LoadBalancerType,
    cursor: Cell<usize>,
    /// Current weights of the smooth weighted round-robin.
    turns: Vec<Cell<i64>>,
    seed: Cell<u64>,
}

/// What the balancer knows of a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Index in the group.
    pub index: usize,
    /// Weight, at least 1.
    pub weight: u32,
    /// Exchanges that it is busy with on this shard.
    pub busy: usize,
}

impl Balancer {
    /// A balancer for `members` members. The seed is given, so that a run can be repeated.
    pub fn new(kind: LoadBalancerType, members: usize, seed: u64) -> Self {
        Self {
            kind,
            // Shards start at different places: otherwise each one's first request would hit the same endpoint.
            cursor: Cell::new(seed as usize % members.max(1)),
            turns: (0..members).map(|_| Cell::new(0)).collect(),
            seed: Cell::new(seed | 1),
        }
    }

    /// One of the candidates; `None` when there is none. The candidates come in the order of their index.
    pub fn choose(&self, candidates: impl Iterator<Item = Candidate> + Clone) -> Option<usize> {
        match self.kind {
            LoadBalancerType::RoundRobin => self.round_robin(candidates),
            LoadBalancerType::Random => self.random(candidates.map(|c| Candidate { weight: 1, ..c })),
            LoadBalancerType::WeightedRandom => self.random(candidates),
            LoadBalancerType::WeightedRoundRobin => self.weighted_round_robin(candidates),
            LoadBalancerType::LeastRequest => self.least_request(candidates),
        }
    }

    fn round_robin(&self, mut candidates: impl Iterator<Item = Candidate> + Clone) -> Option<usize> {
        let cursor = self.cursor.get();
        let next = candidates.clone().find(|c| c.index >= cursor).or_else(|| candidates.next())?;
        self.cursor.set(next.index + 1);
        Some(next.index)
    }

    fn random(&self, mut candidates: impl Iterator<Item = Candidate> + Clone) -> Option<usize> {
        let total: u64 = candidates.clone().map(|c| u64::from(c.weight)).sum();
        if total == 0 {
            return None;
        }
        let mut point = self.next_random() % total;
        candidates
            .find(|c| {
                let hit = point < u64::from(c.weight);
                point = point.wrapping_sub(u64::from(c.weight));
                hit
            })
            .map(|c| c.index)
    }

    /// Smooth weighted round-robin: each turn every candidate gains its weight, the highest goes and pays the total. A heavy member's
    /// turns are spread out instead of coming in a row.
    fn weighted_round_robin(&self, candidates: impl Iterator<Item = Candidate>) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for candidate in candidates {
            let Some(turn) = self.turns.get(candidate.index) else { continue };
            turn.set(turn.get() + i64::from(candidate.weight));
            total += i64::from(candidate.weight);
            if best.is_none_or(|(_, most)| turn.get() > most) {
                best = Some((candidate.index, turn.get()));
            }
        }
        let (index, most) = best?;
        self.turns.get(index)?.set(most - total);
        Some(index)
    }

    /// Fewest exchanges under way in proportion to the weight; ties go round.
    fn least_request(&self, candidates: impl Iterator<Item = Candidate> + Clone) -> Option<usize> {
        let load = |c: &Candidate| (c.busy as u64 + 1).saturating_mul(1 << 16) / u64::from(c.weight.max(1));
        let least = candidates.clone().map(|c| load(&c)).min()?;
        self.round_robin(candidates.filter(move |c| load(c) == least))
    }

    /// xorshift64*: enough to spread load, and cheap.
    fn next_random(&self) -> u64 {
        let mut x = self.seed.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.seed.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(kind: LoadBalancerType, members: &[(u32, usize)], turns: usize) -> Vec<usize> {
        let balancer = Balancer::new(kind, members.len(), members.len() as u64);
        let mut hits = vec![0; members.len()];
        for _ in 0..turns {
            let candidates = members.iter().enumerate().map(|(index, (weight, busy))| Candidate {
                index,
                weight: *weight,
                busy: *busy,
            });
            hits[balancer.choose(candidates).unwrap()] += 1;
        }
        hits
    }

    #[test]
    fn every_kind_keeps_its_shares() {
        use LoadBalancerType::*;
        assert_eq!(turns(RoundRobin, &[(1, 0), (9, 0), (1, 0)], 300), [100, 100, 100]);
        assert_eq!(turns(WeightedRoundRobin, &[(1, 0), (3, 0)], 400), [100, 300]);
        assert_eq!(turns(LeastRequest, &[(1, 5), (1, 2), (1, 2)], 100), [0, 50, 50]);
        assert_eq!(turns(LeastRequest, &[(1, 2), (4, 5)], 10), [0, 10]);
        let random = turns(Random, &[(1, 0), (9, 0)], 10_000);
        assert!((4_500..5_500).contains(&random[0]), "{random:?}");
        let weighted = turns(WeightedRandom, &[(1, 0), (9, 0)], 10_000);
        assert!((800..1_200).contains(&weighted[0]), "{weighted:?}");
    }

    #[test]
    fn weighted_turns_do_not_come_in_a_row() {
        let balancer = Balancer::new(LoadBalancerType::WeightedRoundRobin, 2, 0);
        let order: Vec<_> = (0..7)
            .filter_map(|_| {
                let weights = [5, 2];
                balancer.choose(weights.into_iter().enumerate().map(|(index, weight)| Candidate {
                    index,
                    weight,
                    busy: 0,
                }))
            })
            .collect();
        assert_eq!(order, [0, 1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn without_candidates_there_is_no_choice() {
        let balancer = Balancer::new(LoadBalancerType::Random, 0, 7);
        assert_eq!(balancer.choose(std::iter::empty()), None);
    }
}
