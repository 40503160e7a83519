use std::sync::Barrier;

use super::*;

const SHARDS: usize = 8;

fn of(key: u64, limit: u64, now_ms: u64, period_ms: u64) -> Use {
    Use { key: Key::of(&key), limit, now_ms, ends_ms: now_ms + period_ms, weight: 1 }
}

fn local(slot: usize) -> Local {
    Local { slot, windows: Windows::default() }
}

/// A small generator (splitmix64): the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// How many of `attempts` per thread are let through.
fn hammer(limit: impl Fn(usize, u64) -> u64 + Sync, attempts: u64) -> u64 {
    let store = Store::new(KEYS_MAX, SHARDS);
    let barrier = Barrier::new(SHARDS);
    std::thread::scope(|scope| {
        let shards = (0..SHARDS).map(|slot| {
            let (store, barrier, limit) = (&store, &barrier, &limit);
            scope.spawn(move || {
                let mut local = local(slot);
                barrier.wait();
                let uses = (0..attempts).map(|attempt| of(1, limit(slot, attempt), 5, 1000));
                uses.filter(|it| store.count(&mut local, *it).unwrap().within).count() as u64
            })
        });
        shards.collect::<Vec<_>>().into_iter().map(|shard| shard.join().unwrap()).sum()
    })
}

#[test]
fn eight_shards_that_hammer_one_limit_let_exactly_that_many_through() {
    for limit in [0, 1, 5, 100, 1023, 1024, 1025, 5000, 100_000] {
        for _ in 0..3 {
            assert_eq!(hammer(|_, _| limit, limit / 4 + 50), limit, "limit {limit}");
        }
    }
}

#[test]
fn heavy_uses_are_within_the_limit_as_a_whole_or_not_at_all() {
    for limit in [0, 10, 1000, 5000, 100_000] {
        let store = Store::new(KEYS_MAX, SHARDS);
        let let_through = std::thread::scope(|scope| {
            let shards = (0..SHARDS).map(|slot| {
                let store = &store;
                scope.spawn(move || {
                    let mut local = local(slot);
                    let uses =
                        (0..limit / 4 + 50).map(|attempt| Use { weight: 1 + attempt % 7, ..of(1, limit, 5, 1000) });
                    uses.filter(|it| store.count(&mut local, *it).unwrap().within).map(|it| it.weight).sum::<u64>()
                })
            });
            shards.collect::<Vec<_>>().into_iter().map(|shard| shard.join().unwrap()).sum::<u64>()
        });
        // What is left over was too little for the heavy ones, and every light one found it.
        assert_eq!(let_through, limit, "limit {limit}");
        let mut local = local(0);
        assert!(!store.count(&mut local, of(1, limit, 5, 1000)).unwrap().within);
    }
    let store = Store::new(KEYS_MAX, SHARDS);
    let mut local = local(0);
    let heavy = |weight| Use { weight, ..of(2, 10, 5, 1000) };
    let words = [7, 7, 3, 1].map(|weight| store.count(&mut local, heavy(weight)).unwrap());
    assert_eq!(words.map(|it| (it.within, it.remaining)), [(true, 3), (false, 3), (true, 0), (false, 0)]);
}

#[test]
fn a_limit_that_is_hardly_reached_is_reached() {
    // As many attempts as uses: every one must find the use that is left for it.
    for limit in [8, 1024, 8192, 80_000] {
        assert_eq!(hammer(|_, _| limit, limit / SHARDS as u64), limit);
    }
}

#[test]
fn a_limit_that_changes_under_way_forgets_no_use() {
    let changing = |slot, attempt: u64| if (attempt / 100 + slot as u64).is_multiple_of(2) { 4000 } else { 5000 };
    let let_through = hammer(changing, 2000);
    assert!((4000..=5000).contains(&let_through), "{let_through}");
    let store = Store::new(KEYS_MAX, SHARDS);
    let mut local = local(0);
    let mut through = |limit, attempts: u64| {
        (0..attempts).filter(|_| store.count(&mut local, of(1, limit, 0, 1000)).unwrap().within).count()
    };
    assert_eq!([through(10, 8), through(3, 8), through(9, 8), through(3, 8), through(12, 8)], [8, 0, 1, 0, 3]);
}

/// Shards at random moments, keys, pauses and limits; against a model that knows one number per window.
#[test]
fn a_seeded_simulation_of_shards_and_time_has_no_error() {
    let (mut uses, mut error, mut windows) = (0_u64, 0_u64, 0_u64);
    for seed in 0..60 {
        let mut random = Random(seed);
        let store = Store::new(KEYS_MAX, SHARDS);
        let mut shards: Vec<Local> = (0..SHARDS).map(local).collect();
        let limit = [3, 40, 1500, 6000][random.below(4) as usize];
        let period_ms = 100 + random.below(1000);
        let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut now_ms = 1_000_000;
        for _ in 0..20_000 {
            if random.below(50) == 0 {
                now_ms += random.below(40);
            }
            if random.below(5000) == 0 {
                now_ms += random.below(3 * period_ms);
            }
            // Skewed: shard 0 and key 0 are the busy ones.
            let shard = random.below(SHARDS as u64).min(random.below(SHARDS as u64)) as usize;
            let key = random.below(3).min(random.below(3));
            let verdict = store.count(&mut shards[shard], of(key, limit, now_ms, period_ms)).unwrap();
            let window = model.entry(key).or_default();
            if now_ms >= window.0 {
                *window = (now_ms + period_ms, 0);
                windows += 1;
            }
            let within = window.1 < limit;
            window.1 += u64::from(within);
            uses += 1;
            error += u64::from(verdict.within != within);
            error += verdict.remaining.abs_diff(limit - window.1);
            error += verdict.ends_ms.abs_diff(window.0);
        }
    }
    println!("{uses} uses in {windows} windows on {SHARDS} shards: error {error}");
    assert_eq!(error, 0);
}

#[test]
fn a_million_keys_take_bounded_memory_and_ended_ones_go() {
    const MAX: usize = 100_000;
    let store = Store::new(MAX, SHARDS);
    let mut local = local(0);
    let mut refused = 0_u64;
    for key in 0..1_000_000 {
        // A thousand keys per millisecond in windows of a second: all of them are live.
        refused += u64::from(store.count(&mut local, of(key, 5, key / 1000, 1000)).is_err());
    }
    assert!(store.len() <= MAX + STRIPES, "{} keys", store.len());
    assert!(local.windows.len() <= REMEMBERED_MAX);
    assert!(refused >= 890_000, "{refused}");
    // Their windows have ended: there is room again.
    for key in 0..1000 {
        assert!(store.count(&mut local, of(key, 5, 10_000, 1000)).unwrap().within);
    }
    assert!(store.len() <= MAX + STRIPES);
    for key in 0..1_000_000 {
        // Ten keys live at a time: the rest are let go on the way.
        store.count(&mut local, of(key, 5, 20_000 + key * 100, 1000)).unwrap();
    }
    assert!(store.len() <= STRIPES * 64, "{} keys", store.len());
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_a_window_for_longer() {
    let store = Store::new(KEYS_MAX, SHARDS);
    let mut local = local(0);
    let mut within = |now_ms| store.count(&mut local, of(1, 1, now_ms, 1000)).unwrap().within;
    assert!(within(10_000_000));
    assert!(!within(9_999_999), "another shard read the clock a little earlier");
    assert!(within(5_000_000));
}
