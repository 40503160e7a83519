//! Tokens that were found good, by their SHA-256: a look here is cheaper than a signature or a call.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Tokens of one generation; there are two of them per plan and shard.
const TOKENS_MAX: usize = 1024;

/// Two generations: when the young one is full it becomes the old one, and what was old is forgotten. A token that is asked for again moves
/// to the young one.
pub struct Cache<T> {
    generations: RefCell<[HashMap<[u8; 32], Rc<T>>; 2]>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { generations: RefCell::default() }
    }
}

impl<T> Cache<T> {
    /// What is known of the token.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Rc<T>> {
        let known = {
            let [young, old] = &*self.generations.borrow();
            if let Some(known) = young.get(digest) {
                return Some(known.clone());
            }
            old.get(digest)?.clone()
        };
        self.put(*digest, known.clone());
        Some(known)
    }

    /// Keeps what is known.
    pub fn put(&self, digest: [u8; 32], known: Rc<T>) {
        let [young, old] = &mut *self.generations.borrow_mut();
        if young.len() >= TOKENS_MAX {
            *old = std::mem::take(young);
        }
        young.insert(digest, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_in_use_stay_and_others_are_forgotten() {
        let digest = |number: usize| crate::jose::digest(&number.to_be_bytes());
        let cache = Cache::default();
        for number in 0..10 * TOKENS_MAX {
            cache.put(digest(number), Rc::new(number));
            assert!(cache.get(&digest(0)).is_some(), "asked for all the time: {number}");
        }
        assert!(cache.get(&digest(1)).is_none());
        let [young, old] = &*cache.generations.borrow();
        assert!(young.len() <= TOKENS_MAX && old.len() <= TOKENS_MAX);
    }
}
