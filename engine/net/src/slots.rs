//! A table of values with stable, reused indexes.

/// Values by index; freed indexes are used again, last freed first.
pub(crate) struct Slots<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.values[index as usize] = Some(value);
            return index;
        }
        // More than 2^32 sockets or waiters do not fit a process: the descriptor table ends long before.
        let index = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(Some(value));
        index
    }

    pub(crate) fn at(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.values.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }

    /// Takes out every value that `chosen` says.
    pub(crate) fn remove_all(&mut self, chosen: impl Fn(&T) -> bool) -> Vec<T> {
        let mut removed = Vec::new();
        for (index, value) in self.values.iter_mut().enumerate() {
            if let Some(value) = value.take_if(|value| chosen(value)) {
                self.free.push(u32::try_from(index).unwrap_or(u32::MAX));
                removed.push(value);
            }
        }
        removed
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn indexes_are_stable_and_reused() {
        let mut slots = Slots::new();
        let (a, b) = (slots.insert("a"), slots.insert("b"));
        assert_eq!(slots.remove(a), Some("a"));
        assert_eq!(slots.remove(a), None, "twice is once");
        assert_eq!(slots.at(b), Some(&mut "b"));
        assert_eq!(slots.insert("c"), a);
        assert_eq!((slots.len(), slots.iter().count()), (2, 2));
        assert_eq!(slots.remove_all(|value| *value == "c"), ["c"]);
        assert_eq!((slots.len(), slots.insert("d")), (1, a));
    }
}
